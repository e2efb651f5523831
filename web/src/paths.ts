/** All paths from an input to an output: how many, which, and what folding them saves. */

import { findActivity } from "./counts";
import type { Edge, Flow, Numbers } from "./evaluate";
import { join, partialExpr, partialOf, nodeName, number, type Expr } from "./expr";
import type { NodeRecord, View } from "./payload";

export interface PathReport {
  /** Exact, however large. */
  count: bigint;
  /** The first of them, each as its edges from the input to the output. */
  listed: Edge[][];
  /** Multiplications when every path is multiplied out, and when common factors are folded. */
  separate: bigint;
  folded: bigint;
  /** The subgraph on the paths: incoming edges by node, in evaluation order. */
  into: Map<number, Edge[]>;
}

export function findPaths(view: View, edges: Flow, input: number, output: number, limit: number): PathReport {
  const activity = findActivity(view, edges, [input], [output]);
  const into = new Map<number, Edge[]>();
  const outOf = new Map<number, Edge[]>();
  const count = new Map<number, bigint>([[input, 1n]]);
  const length = new Map<number, bigint>([[input, 0n]]); // summed over the paths
  let folded = 0n;
  for (const id of activity.operators) {
    const incoming = activity.into.get(id) ?? [];
    into.set(id, incoming);
    let [paths, edgesOnThem] = [0n, 0n];
    for (const edge of incoming) {
      outOf.set(edge.from, [...(outOf.get(edge.from) ?? []), edge]);
      paths += count.get(edge.from) ?? 0n;
      edgesOnThem += (length.get(edge.from) ?? 0n) + (count.get(edge.from) ?? 0n);
      if (edge.from !== input) folded += 1n;
    }
    count.set(id, paths);
    length.set(id, edgesOnThem);
  }
  const total = input === output ? 1n : into.has(output) ? (count.get(output) ?? 0n) : 0n;
  const separate = total === 0n || input === output ? 0n : (length.get(output) ?? 0n) - total;
  return { count: total, listed: listPaths(outOf, input, output, limit), separate, folded: total === 0n ? 0n : folded, into };
}

/** Depth first with a stack of its own: paths may be thousands of edges long. */
function listPaths(outOf: Map<number, Edge[]>, input: number, output: number, limit: number): Edge[][] {
  const found: Edge[][] = [];
  const path: Edge[] = [];
  const choices: Edge[][] = [[...(outOf.get(input) ?? [])].reverse()];
  while (choices.length > 0 && found.length < limit) {
    const edge = choices.at(-1)?.pop();
    if (edge === undefined) {
      choices.pop();
      path.pop();
      continue;
    }
    path.push(edge);
    if (edge.to === output) {
      found.push([...path]);
      path.pop();
    } else choices.push([...(outOf.get(edge.to) ?? [])].reverse());
  }
  return found;
}

export function pathProduct(path: Edge[], numbers: Numbers): number {
  let product = 1;
  for (const edge of path) {
    const partial = numbers.partials.get(edge.id);
    if (partial === undefined) return 0; // zero by structure ends the path, whatever else is on it
    product *= partial;
  }
  return product;
}

/** The sum over all paths, by folding; the number of paths may be astronomical. */
export function foldedSum(report: PathReport, numbers: Numbers, input: number, output: number): number | null {
  const sums = new Map<number, number>([[input, 1]]);
  for (const [id, incoming] of report.into) {
    sums.set(id, weigh(incoming, numbers, sums));
  }
  return sums.get(output) ?? null;
}

function weigh(incoming: Edge[], numbers: Numbers, sums: Map<number, number>): number {
  let sum = 0;
  for (const edge of incoming) {
    const partial = numbers.partials.get(edge.id);
    if (partial !== undefined) sum += partial * (sums.get(edge.from) ?? 0);
  }
  return sum;
}

export function edgeExpr(view: View, edge: Edge): Expr {
  const node = view.nodes[edge.to] as NodeRecord;
  const formula = edge.partial === null ? number(0) : partialExpr(view, node, edge.partial);
  return formula ?? partialOf(nodeName(node), nodeName(view.nodes[edge.from] as NodeRecord));
}

/** One line of the factored form: what it defines (null: the result itself) and the formula. */
export interface Factored {
  node: number;
  formula: Expr;
  numeric: Expr;
  value: number;
}

/**
 * The folded sum as formulas. A part that is used more than once, or has grown long, gets a line of
 * its own and is referred to as ∂h/∂x.
 */
export function factoredForm(view: View, report: PathReport, numbers: Numbers, input: number, output: number): Factored[] {
  const lines: Factored[] = [];
  const symbols = new Map<number, Expr>();
  const figures = new Map<number, Expr>();
  const sums = new Map<number, number>([[input, 1]]);
  const uses = new Map<number, number>();
  for (const incoming of report.into.values()) for (const edge of incoming) uses.set(edge.from, (uses.get(edge.from) ?? 0) + 1);
  const inputName = nodeName(view.nodes[input] as NodeRecord);
  for (const [id, incoming] of report.into) {
    const symbolic = join("add", incoming.map((edge) => times(edgeExpr(view, edge), symbols.get(edge.from))));
    const numeric = join("add", incoming.map((edge) => times(number(numbers.partials.get(edge.id) ?? 0, "partial"), figures.get(edge.from))));
    const value = weigh(incoming, numbers, sums);
    sums.set(id, value);
    const named = id === output || (uses.get(id) ?? 0) > 1 || weight(symbolic) > 40;
    if (named) lines.push({ node: id, formula: symbolic, numeric, value });
    symbols.set(id, named ? partialOf(nodeName(view.nodes[id] as NodeRecord), inputName) : symbolic);
    figures.set(id, named ? number(value) : numeric);
  }
  return lines;
}

/** partial · (inner), flattened into one product where the inner part is a product. */
function times(partial: Expr, inner: Expr | undefined): Expr {
  if (inner === undefined) return partial;
  const factors = inner.kind === "call" && inner.op === "multiply" ? inner.args : [inner];
  return join("multiply", [...factors, partial]);
}

const weight = (e: Expr): number => (e.kind === "call" ? e.size : 1);

