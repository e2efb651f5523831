/**
 * What forward and reverse mode hold and do, by the definition in docs/memory-counts.md, as whole
 * time lines so that the meters can follow the sweep. The Python side implements the same.
 */

import type { Edge, Flow } from "./evaluate";
import type { View } from "./payload";

/** Counts after one step. `held` and `tape` are numbers in memory, `work` the multiplications so far. */
export interface Moment {
  phase: "evaluate" | "recompute" | "accumulate";
  node: number;
  held: number;
  tape: number;
  work: number;
}

export interface Counts {
  accumulation: number;
  tape: number;
  total: number;
  multiplications: number;
  /** Operators evaluated a second time because of checkpoints. */
  recomputed: number;
  line: Moment[];
}

/** The part of the graph that counts: on a path from a chosen input to a chosen output. */
export interface Activity {
  operators: number[];
  into: Map<number, Edge[]>;
  /** Numbers in the running products of a node: the sizes of the inputs that reach it, summed. */
  up: Map<number, Set<number>>;
  down: Map<number, Set<number>>;
  size: (id: number) => number;
}

export function findActivity(view: View, edges: Flow, inputs: number[], outputs: number[]): Activity {
  const size = (id: number): number => view.nodes[id]?.size ?? 0;
  const up = new Map<number, Set<number>>(inputs.map((id) => [id, new Set([id])]));
  const down = new Map<number, Set<number>>(outputs.map((id) => [id, new Set([id])]));
  spread(edges.all, up, (edge) => [edge.from, edge.to]);
  spread([...edges.all].reverse(), down, (edge) => [edge.to, edge.from]);
  const operators = view.nodes.filter((node) => node.kind === "op" && up.has(node.id) && down.has(node.id)).map((node) => node.id);
  const into = new Map<number, Edge[]>();
  for (const id of operators)
    into.set(id, (edges.into[id] ?? []).filter((edge) => edge.partial !== null && up.has(edge.from) && down.has(edge.from)));
  return { operators, into, up, down, size };
}

/**
 * Union of sets along edges. A set that comes along one edge only is shared, not copied: with many
 * inputs, copying would make a long chain quadratic in memory.
 */
function spread(edges: Edge[], sets: Map<number, Set<number>>, ends: (edge: Edge) => [number, number]): void {
  const owned = new Set<number>();
  for (const edge of edges) {
    if (edge.partial === null) continue;
    const [from, to] = ends(edge);
    const source = sets.get(from);
    if (source === undefined) continue;
    const target = sets.get(to);
    if (target === undefined) sets.set(to, source);
    else if (target !== source) {
      let missing = false;
      for (const item of source) if (!target.has(item)) missing = true;
      if (!missing) continue;
      const union = owned.has(to) ? target : new Set(target);
      for (const item of source) union.add(item);
      owned.add(to);
      sets.set(to, union);
    }
  }
}

function sizes(set: Set<number> | undefined, size: (id: number) => number, except?: number): number {
  let sum = 0;
  for (const id of set ?? []) if (id !== except) sum += size(id);
  return sum;
}

function summarise(line: Moment[], recomputed: number): Counts {
  const peak = (of: (moment: Moment) => number): number => line.reduce((top, moment) => Math.max(top, of(moment)), 0);
  return {
    accumulation: peak((m) => m.held),
    tape: peak((m) => m.tape),
    total: peak((m) => m.held + m.tape),
    multiplications: line.at(-1)?.work ?? 0,
    recomputed,
    line,
  };
}

/** Forward: one running product per (value, input that reaches it), values and products together. */
export function countForward(activity: Activity): Counts {
  const { operators, into, up, size } = activity;
  const lastUse = new Map<number, number>();
  operators.forEach((id, i) => {
    for (const edge of into.get(id) ?? []) lastUse.set(edge.from, i);
  });
  const freed = new Map<number, number[]>();
  for (const id of operators) {
    const when = lastUse.get(id);
    if (when !== undefined) freed.set(when, [...(freed.get(when) ?? []), id]);
  }
  const products = (id: number): number => size(id) * sizes(up.get(id), size);
  const line: Moment[] = [];
  let held = 0;
  let work = 0;
  operators.forEach((id, i) => {
    for (const edge of into.get(id) ?? []) work += (edge.partial?.nnz ?? 0) * sizes(up.get(edge.from), size, edge.from);
    held += products(id);
    for (const gone of freed.get(i) ?? []) held -= products(gone);
    line.push({ phase: "accumulate", node: id, held, tape: 0, work });
    if (!lastUse.has(id)) held -= products(id); // a result is counted once, then handed over
  });
  return summarise(line, 0);
}

/** Values that the edges of an operator need and that are results of operators: its tape. */
function tapeNeeds(view: View, activity: Activity, id: number): number[] {
  const needs = new Set<number>();
  for (const edge of activity.into.get(id) ?? [])
    for (const need of edge.partial?.needs ?? []) if (view.nodes[need]?.kind === "op") needs.add(need);
  return [...needs];
}

/** Positions in `operators` after which a segment ends; the last segment ends with the list. */
export function segmentEnds(length: number, checkpoints: number): number[] {
  const segments = Math.max(1, Math.min(checkpoints + 1, length));
  const [short, longer] = [Math.floor(length / segments), length % segments];
  const ends: number[] = [];
  for (let s = 0, end = -1; s < segments; s++) ends.push((end += short + (s < longer ? 1 : 0)));
  return ends;
}

/** A set of values in memory and how many numbers they are. */
class Tape {
  private readonly kept = new Set<number>();
  size = 0;
  constructor(private readonly sizeOf: (id: number) => number) {}
  keep(id: number): void {
    if (!this.kept.has(id)) this.size += this.sizeOf(id);
    this.kept.add(id);
  }
  drop(id: number): void {
    if (this.kept.delete(id)) this.size -= this.sizeOf(id);
  }
}

/** Adjoints in memory: for each node the outputs that have contributed so far. */
class Adjoints {
  private readonly from = new Map<number, Set<number>>();
  held = 0;
  constructor(private readonly sizeOf: (id: number) => number) {}
  private numbers(id: number): number {
    return this.sizeOf(id) * sizes(this.from.get(id), this.sizeOf);
  }
  contribute(id: number, outputs: Set<number>): void {
    const before = this.from.get(id);
    if (before === outputs) return;
    this.held -= this.numbers(id);
    this.from.set(id, before === undefined ? outputs : new Set([...before, ...outputs]));
    this.held += this.numbers(id);
  }
  release(id: number): void {
    this.held -= this.numbers(id);
    this.from.delete(id);
  }
}

/**
 * Reverse: evaluate and keep what the partials need, then accumulate from the outputs. Checkpoints
 * (chains only) keep the last value of each segment and evaluate the segment again when its turn comes.
 */
export function countReverse(view: View, activity: Activity, checkpoints = 0): Counts {
  const { operators, into, down, size } = activity;
  const needs = operators.map((id) => tapeNeeds(view, activity, id));
  const earliestNeed = new Map<number, number>();
  const earliestUse = new Map<number, number>();
  operators.forEach((id, i) => {
    for (const need of needs[i] ?? []) if (!earliestNeed.has(need)) earliestNeed.set(need, i);
    for (const edge of into.get(id) ?? []) if (!earliestUse.has(edge.from)) earliestUse.set(edge.from, i);
  });
  const ends = segmentEnds(operators.length, checkpoints);
  const startOf = (s: number): number => (s === 0 ? 0 : (ends[s - 1] as number) + 1);
  const wantedIn = (s: number): Set<number> => new Set(needs.slice(startOf(s), (ends[s] as number) + 1).flat());
  const last = ends.length - 1;
  const borders = new Set(ends.slice(0, last).map((end) => operators[end] as number));

  const line: Moment[] = [];
  const tape = new Tape(size);
  const adjoints = new Adjoints(size);
  let work = 0;
  let recomputed = 0;
  const note = (phase: Moment["phase"], node: number): void => {
    line.push({ phase, node, held: adjoints.held, tape: tape.size, work });
  };

  const wantedLast = wantedIn(last);
  const position = new Map(operators.map((id, i) => [id, i]));
  // A needed value may come from an operator that no input reaches; it is kept all the same.
  const evaluated = [...new Set([...operators, ...needs.flat()])].sort((a, b) => a - b);
  for (const id of evaluated) {
    const i = position.get(id);
    if (i === undefined || borders.has(id) || (i >= startOf(last) && wantedLast.has(id))) tape.keep(id);
    note("evaluate", id);
  }
  for (let s = last; s >= 0; s--) {
    const [start, stop] = [startOf(s), ends[s] as number];
    if (s < last) {
      const wanted = wantedIn(s);
      for (const id of operators.slice(start, stop)) {
        if (wanted.has(id)) tape.keep(id);
        recomputed++;
        note("recompute", id);
      }
    }
    for (let i = stop; i >= start; i--) {
      const id = operators[i] as number;
      const seeds = sizes(down.get(id), size, id);
      adjoints.release(id);
      for (const edge of into.get(id) ?? []) {
        work += (edge.partial?.nnz ?? 0) * seeds;
        adjoints.contribute(edge.from, down.get(id) as Set<number>);
      }
      for (const need of needs[i] ?? []) if (earliestNeed.get(need) === i) tape.drop(need);
      const border = i === start && s > 0 ? (operators[start - 1] as number) : null;
      if (border !== null && (earliestNeed.get(border) ?? i) >= i) tape.drop(border);
      note("accumulate", id);
      // A finished derivative is counted once, then handed over.
      for (const edge of into.get(id) ?? [])
        if (view.nodes[edge.from]?.kind !== "op" && earliestUse.get(edge.from) === i) adjoints.release(edge.from);
    }
  }
  return summarise(line, recomputed);
}
