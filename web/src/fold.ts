/** Folding: groups of nodes drawn as one. Repeats of one family fold together ("layer × 12"). */

import type { View } from "./payload";

export interface Fold {
  key: string;
  label: string;
  parent: Fold | null;
  /** Repeats it stands for; 1 for a single group. */
  repeats: number;
  operators: number;
}

export interface FoldTree {
  folds: Fold[];
  /** Folds around each node, outermost first. */
  around: Fold[][];
}

/** Above this many operators folds start closed. */
const OPEN_LIMIT = 40;

export function buildFolds(view: View): FoldTree {
  const folds: Fold[] = [];
  const ofGroup: Fold[] = [];
  const make = (key: string, label: string, parent: Fold | null, repeats: number): Fold => {
    const fold: Fold = { key, label, parent, repeats, operators: 0 };
    folds.push(fold);
    return fold;
  };
  const runs = findRuns(view);
  const families = new Map<number, Fold>();
  view.groups.forEach((group, index) => {
    const parent = group.parent === null ? null : (ofGroup[group.parent] ?? null);
    const run = runs[index] as { first: number; length: number };
    let inside = parent;
    if (run.length > 1) {
      let family = families.get(run.first);
      if (family === undefined) families.set(run.first, (family = make(`f${run.first}`, group.family || group.label, parent, run.length)));
      inside = family;
    }
    ofGroup[index] = make(`g${index}`, group.label, inside, 1);
  });
  const around = view.nodes.map((node) => {
    const chain: Fold[] = [];
    for (let fold = node.group === null ? null : (ofGroup[node.group] ?? null); fold !== null; fold = fold.parent) chain.unshift(fold);
    if (node.kind === "op") for (const fold of chain) fold.operators++;
    return chain;
  });
  return { folds: folds.filter((fold) => fold.operators > 0), around };
}

/** For each group, the run of neighbouring siblings of its family that it belongs to. */
function findRuns(view: View): { first: number; length: number }[] {
  const runs: { first: number; length: number }[] = [];
  const latest = new Map<number | null, number>(); // last sibling seen, by parent
  view.groups.forEach((group, index) => {
    const before = latest.get(group.parent);
    const joins = before !== undefined && group.family !== "" && view.groups[before]?.family === group.family;
    const run = joins ? (runs[before] as { first: number; length: number }) : { first: index, length: 0 };
    run.length++;
    runs[index] = run;
    latest.set(group.parent, index);
  });
  return runs;
}

export function startsClosed(view: View): boolean {
  return view.nodes.filter((node) => node.kind === "op").length > OPEN_LIMIT;
}

/** Closed folds are the default ones, changed by what the user toggled. */
export function isClosed(fold: Fold, closedAtFirst: boolean, toggled: ReadonlySet<string>): boolean {
  return closedAtFirst !== toggled.has(fold.key);
}

/** What stands for a node in the drawing: the outermost closed fold around it, or itself (null). */
export function standIn(tree: FoldTree, node: number, closed: (fold: Fold) => boolean): Fold | null {
  return tree.around[node]?.find(closed) ?? null;
}
