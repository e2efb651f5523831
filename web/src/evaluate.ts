/**
 * Numbers on the graph: values, partials, tangents and adjoints of one view, from its Wengert list.
 * Pure functions of the view and of the inputs the user typed; nothing here touches the document.
 */

import { isArrayOperator } from "./array-operators";
import type { ArrayEngine } from "./arrays";
import { apply, isKnown, lookUp, toDtype } from "./operators";
import { scalarOf, type NodeRecord, type Partial, type View } from "./payload";

export type Inputs = ReadonlyMap<number, number>;

/** One edge: operand number `position` of node `to` is node `from`. */
export interface Edge {
  id: string;
  from: number;
  to: number;
  position: number;
  partial: Partial | null;
}

export interface Numbers {
  values: number[];
  /** By edge id; what is zero by structure has no entry. */
  partials: Map<string, number>;
}

export function edgeId(to: number, position: number): string {
  return `${to}.${position}`;
}

/** All edges of a view in evaluation order, and by end, made once per view. */
export class Edges {
  readonly all: Edge[] = [];
  readonly into: Edge[][] = [];
  readonly outOf: Edge[][] = [];

  constructor(view: View) {
    for (const node of view.nodes) {
      this.into.push([]);
      this.outOf.push([]);
      node.operands.forEach((from, position) => {
        const partial = node.partials[position] ?? null;
        const edge: Edge = { id: edgeId(node.id, position), from, to: node.id, position, partial };
        this.all.push(edge);
        this.into[node.id]?.push(edge);
        this.outOf[from]?.push(edge);
      });
    }
  }
}

/** Edges along which derivatives flow: neither zero by structure nor masked at these inputs. */
export interface Flow {
  all: Edge[];
  into: Edge[][];
}

export function flowing(edges: Edges, numbers: Numbers): Flow {
  const flows = (edge: Edge): boolean => numbers.partials.has(edge.id);
  return { all: edges.all.filter(flows), into: edges.into.map((incoming) => (incoming.every(flows) ? incoming : incoming.filter(flows))) };
}

/** Why the page cannot recompute the view after an edit; null when it can. */
export type Obstacle = { kind: "large"; most: number } | { kind: "array"; node: NodeRecord } | { kind: "operator"; op: string } | { kind: "partial"; node: NodeRecord };

/** `engine` is there when the graph holds arrays and came with the programs to compute them. */
export function findObstacle(view: View, engine: ArrayEngine | null = null): Obstacle | null {
  const knows = engine === null ? isKnown : isArrayOperator;
  if (engine !== null && engine.unknownOperator() !== "") return { kind: "operator", op: engine.unknownOperator() };
  for (const node of view.nodes) {
    if (node.shape.length > 0 && engine === null) return view.arrays === null ? { kind: "large", most: view.mostNumbers ?? 0 } : { kind: "array", node };
    if (node.kind === "op" && !knows(node.op)) return { kind: "operator", op: node.op };
    for (const partial of node.partials) {
      if (partial === null) continue;
      if (partial.program === undefined && (engine === null || typeof partial.value === "number")) return { kind: "partial", node };
      for (const [op] of partial.program?.code ?? []) if (!knows(op)) return { kind: "operator", op };
    }
  }
  return null;
}

/** The number of a partial; null where its mask makes it zero by structure. */
export function runProgram(partial: Partial, xs: readonly number[], y: number): number | null {
  if (partial.program === undefined) return scalarOf(partial.value);
  const ts: number[] = [];
  for (const [op, operands, params] of partial.program.code)
    ts.push(apply(op, operands.map((ref) => lookUp(ref, xs, y, ts)), params ?? {}));
  const { mask, result } = partial.program;
  if (mask !== undefined && lookUp(mask, xs, y, ts) === 0) return null;
  return lookUp(result, xs, y, ts);
}

/** All values; rounded to each node's dtype unless `exact`, which finite differences need. */
export function computeValues(view: View, inputs: Inputs, exact = false): number[] {
  const values: number[] = [];
  for (const node of view.nodes) {
    const x = node.kind === "op" ? apply(node.op, node.operands.map((id) => values[id] as number), node.params) : (inputs.get(node.id) ?? scalarOf(node.value));
    values.push(exact ? x : toDtype(x, node.dtype));
  }
  return values;
}

/** Values and partials: the payload's own when nothing was edited, computed here otherwise. */
export function computeNumbers(view: View, edges: Edges, inputs: Inputs): Numbers {
  const given = inputs.size === 0;
  const values = given ? view.nodes.map((node) => scalarOf(node.value)) : computeValues(view, inputs);
  const partials = new Map<string, number>();
  for (const edge of edges.all) {
    if (edge.partial === null) continue;
    const xs = view.nodes[edge.to]?.operands.map((id) => values[id] as number) ?? [];
    const masked = given && edge.partial.program?.mask !== undefined && edge.partial.value === null;
    const partial = given ? (masked ? null : scalarOf(edge.partial.value)) : runProgram(edge.partial, xs, values[edge.to] as number);
    if (partial !== null) partials.set(edge.id, partial);
  }
  return { values, partials };
}

/**
 * A sweep's results by node; null is zero by structure (no edge leads there), which is not the same
 * as the number 0.
 */
export type Sweep = (number | null)[];

/** Forward mode in the direction of one input: tangents. */
export function computeTangents(view: View, edges: Edges, numbers: Numbers, seed: number): Sweep {
  const tangents: Sweep = view.nodes.map((node) => (node.id === seed ? 1 : null));
  for (const edge of edges.all) {
    const tangent = tangents[edge.from] ?? null;
    const partial = numbers.partials.get(edge.id);
    if (tangent === null || partial === undefined) continue;
    tangents[edge.to] = add(tangents[edge.to] ?? null, partial * tangent);
  }
  return tangents;
}

/** Reverse mode from one output: adjoints. */
export function computeAdjoints(view: View, edges: Edges, numbers: Numbers, seed: number): Sweep {
  const adjoints: Sweep = view.nodes.map((node) => (node.id === seed ? 1 : null));
  for (let id = view.nodes.length - 1; id >= 0; id--) {
    const adjoint = adjoints[id] ?? null;
    if (adjoint === null) continue;
    for (const edge of edges.into[id] ?? []) {
      const partial = numbers.partials.get(edge.id);
      if (partial === undefined) continue;
      adjoints[edge.from] = add(adjoints[edge.from] ?? null, adjoint * partial);
    }
  }
  return adjoints;
}

function add(sum: number | null, term: number): number {
  return sum === null ? term : sum + term;
}

/**
 * Central difference, once extrapolated (Richardson), which leaves an error of order h⁴; the step is
 * near the fifth root of machine epsilon, where that error and rounding meet.
 */
export function finiteDifference(view: View, inputs: Inputs, output: number, input: number): number {
  const at = inputs.get(input) ?? scalarOf(view.nodes[input]?.value ?? null);
  const step = 2 ** -10 * Math.max(1, 2 ** Math.round(Math.log2(Math.abs(at) || 1)));
  const slope = (h: number): number => {
    const high = computeValues(view, new Map(inputs).set(input, at + h), true)[output] as number;
    const low = computeValues(view, new Map(inputs).set(input, at - h), true)[output] as number;
    return (high - low) / (2 * h);
  };
  const [coarse, fine] = [slope(step), slope(step / 2)];
  return fine + (fine - coarse) / 3;
}

/** Equal to about `digits` digits; NaN agrees with NaN. */
export function agree(a: number, b: number, digits: number): boolean {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) && Number.isNaN(b);
  if (a === b) return true;
  return Math.abs(a - b) <= 10 ** -digits * Math.max(1, Math.abs(a), Math.abs(b));
}
