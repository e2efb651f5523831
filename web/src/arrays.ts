/** A graph of arrays, computed on the page: values, partials and both modes for edited inputs. */

import { applyToArrays, isArrayOperator } from "./array-operators";
import { toDtype } from "./operators";
import { filled, mapElements, scalarArray, type NdArray } from "./nd";
import { fromWire, scalarOf, type ArrayProgram, type ArraySummary, type ArraySweep, type NodeRecord, type Partial, type Ref, type View, type WireNumber } from "./payload";
import type { Inputs } from "./evaluate";

/** Edited elements: "node.position" in C order → number. */
export type Cells = ReadonlyMap<string, number>;

/** An array with more elements than this is computed with, but has no table of elements to edit. */
export const MOST_CELLS = 400;
/** Numbers that the finite differences by one input may compute, all together. */
const MOST_WORK = 8_000_000;

export function cellKey(node: number, position: number): string {
  return `${node}.${position}`;
}

function rounded(x: NdArray, dtype: string): NdArray {
  return dtype === "float64" ? x : { shape: x.shape, data: x.data.map((v) => toDtype(v, dtype)) };
}

const wired = (elements: readonly WireNumber[], shape: readonly number[]): NdArray => ({ shape, data: Float64Array.from(elements, fromWire) });

export class ArrayEngine {
  private readonly work: number;

  constructor(private readonly view: View, private readonly program: ArrayProgram) {
    this.work = view.nodes.reduce((total, node) => total + node.size, 0);
  }

  /** The first operator that the page cannot evaluate, in the graph or in a sweep; "" if there is none. */
  unknownOperator(): string {
    for (const node of this.view.nodes) if (node.kind === "op" && !isArrayOperator(node.op)) return node.op;
    for (const sweep of [...Object.values(this.program.forward), ...Object.values(this.program.reverse)])
      for (const entry of sweep.code) if (entry !== null && entry[0] !== "" && entry[0] !== "seed" && !isArrayOperator(entry[0])) return entry[0];
    return "";
  }

  /** An input or constant as given, with what was edited. */
  given(node: NodeRecord, inputs: Inputs, cells: Cells): NdArray {
    const elements = this.program.elements[node.id];
    if (elements === undefined) return scalarArray(inputs.get(node.id) ?? scalarOf(node.value));
    const array = wired(elements, node.shape);
    for (let i = 0; cells.size > 0 && i < array.data.length; i++) array.data[i] = cells.get(cellKey(node.id, i)) ?? (array.data[i] as number);
    return array;
  }

  /** All values; rounded to each node's dtype unless `exact`, which finite differences need. */
  values(inputs: Inputs, cells: Cells, exact = false): NdArray[] {
    const found: NdArray[] = [];
    for (const node of this.view.nodes) {
      const x = node.kind === "op" ? applyToArrays(node.op, node.operands.map((id) => found[id] as NdArray), node.params) : this.given(node, inputs, cells);
      found.push(exact && node.dtype.startsWith("float") ? x : rounded(x, node.dtype));
    }
    return found;
  }

  /** The partial on an edge; null where a mask discards all of it, undefined for a block of numbers. */
  partial(partial: Partial, to: NodeRecord, values: readonly NdArray[]): NdArray | null | undefined {
    if (partial.program === undefined) return undefined;
    const ts: NdArray[] = [];
    const look = (ref: Ref): NdArray => {
      if (typeof ref === "number") return scalarArray(ref);
      if (ref === "y") return values[to.id] as NdArray;
      const index = Number(ref.slice(1));
      if (ref.startsWith("x")) return values[to.operands[index] as number] as NdArray;
      return ref.startsWith("t") ? (ts[index] as NdArray) : scalarArray(fromWire(ref as WireNumber));
    };
    for (const [op, operands, params] of partial.program.code) ts.push(applyToArrays(op, operands.map(look), params ?? {}));
    const result = look(partial.program.result);
    if (partial.program.mask === undefined) return rounded(result, to.dtype);
    const mask = look(partial.program.mask);
    if (mask.data.every((x) => x === 0)) return null;
    return rounded(mapElements([mask, result], ([m, x]) => (m === 0 ? 0 : (x as number))), to.dtype);
  }

  /** Tangents by node for a change of input `seed`: of all its elements alike, or of one. */
  tangents(values: readonly NdArray[], seed: number, position: number | null = null): (NdArray | null)[] | null {
    const sweep = this.program.forward[seed];
    if (sweep === undefined) return null;
    const { shape } = this.view.nodes[seed] as NodeRecord;
    const direction = filled(shape, position === null ? 1 : 0);
    if (position !== null) direction.data[position] = 1;
    return this.sweep(sweep, values, direction);
  }

  /** Adjoints by node of the sum of the elements of output `seed`. */
  adjoints(values: readonly NdArray[], seed: number): (NdArray | null)[] | null {
    const sweep = this.program.reverse[seed];
    return sweep === undefined ? null : this.sweep(sweep, values, filled((this.view.nodes[seed] as NodeRecord).shape, 1));
  }

  private sweep(sweep: ArraySweep, values: readonly NdArray[], seed: NdArray): (NdArray | null)[] {
    const all: (NdArray | undefined)[] = [...values.slice(0, sweep.start)];
    for (const entry of sweep.code) {
      if (entry === null) all.push(undefined);
      else if (entry[0] === "seed") all.push(seed);
      else if (entry[0] === "") all.push(wired(entry[1] as WireNumber[], entry[2] as number[]));
      else {
        const [op, operands, params, , dtype] = entry as [string, number[], NodeRecord["params"], number[], string];
        all.push(rounded(applyToArrays(op, operands.map((k) => all[k] as NdArray), params), dtype));
      }
    }
    const found: (NdArray | null)[] = this.view.nodes.map(() => null);
    for (const [node, k] of sweep.results) found[node] = all[k] ?? null;
    return found;
  }

  /** Derivatives of the sum of an output's elements by those of an input; null where it would take long. */
  finiteDifferences(inputs: Inputs, cells: Cells, output: number, input: number): NdArray | null {
    const { shape, size } = this.view.nodes[input] as NodeRecord;
    if (4 * size * this.work > MOST_WORK) return null;
    return { shape, data: Float64Array.from({ length: size }, (_, i) => this.finiteDifference(inputs, cells, output, input, i)) };
  }

  /** By one element: a central difference, once extrapolated, as for numbers. */
  private finiteDifference(inputs: Inputs, cells: Cells, output: number, input: number, position: number): number {
    const node = this.view.nodes[input] as NodeRecord;
    const at = this.given(node, inputs, cells).data[position] as number;
    const step = 2 ** -10 * Math.max(1, 2 ** Math.round(Math.log2(Math.abs(at) || 1)));
    const total = (x: number): number => {
      const moved = node.shape.length === 0 ? this.values(new Map(inputs).set(input, x), cells, true) : this.values(inputs, new Map(cells).set(cellKey(input, position), x), true);
      return (moved[output] as NdArray).data.reduce((sum, y) => sum + y, 0);
    };
    const slope = (h: number): number => (total(at + h) - total(at - h)) / (2 * h);
    const [coarse, fine] = [slope(step), slope(step / 2)];
    return fine + (fine - coarse) / 3;
  }
}

const SIDE = 32; // rows and columns of a heat map, as in the payload

/** What an array looks like from outside, as Python summarises it. */
export function summarise({ shape, data }: NdArray): ArraySummary {
  const finite = data.filter(Number.isFinite);
  const wire = (x: number): WireNumber => (Number.isNaN(x) ? "nan" : !Number.isFinite(x) ? (x > 0 ? "inf" : "-inf") : x);
  const columns = shape.at(-1) ?? 1;
  const rows = columns === 0 ? 0 : data.length / columns;
  const bounds = (n: number): number[] => (n <= SIDE ? Array.from({ length: n + 1 }, (_, i) => i) : Array.from({ length: SIDE + 1 }, (_, i) => Math.floor((i * n) / SIDE)));
  const [down, across] = [bounds(rows), bounds(columns)];
  const mean = (r0: number, r1: number, c0: number, c1: number): number => {
    let total = 0;
    for (let r = r0; r < r1; r++) for (let c = c0; c < c1; c++) total += data[r * columns + c] as number;
    return total / ((r1 - r0) * (c1 - c0));
  };
  const grid = down.slice(1).map((r1, r) => across.slice(1).map((c1, c) => wire(mean(down[r] as number, r1, across[c] as number, c1))));
  return {
    shape: [...shape],
    min: wire(finite.length > 0 ? finite.reduce((a, b) => Math.min(a, b)) : NaN),
    max: wire(finite.length > 0 ? finite.reduce((a, b) => Math.max(a, b)) : NaN),
    mean: wire(finite.reduce((a, b) => a + b, 0) / finite.length),
    nans: data.filter(Number.isNaN).length,
    infs: data.filter((x) => Math.abs(x) === Infinity).length,
    grid,
    exact: rows <= SIDE && columns <= SIDE,
  };
}
