/**
 * Values of the rule table's operators on arrays, with NumPy's semantics. Elementwise operators are
 * those of `operators.ts`, broadcast; what stands here moves, reduces, contracts and indexes. There
 * are no derivatives: forward and reverse mode come as programs over these operators.
 */

import { linearAlgebra } from "./linear-algebra";
import { apply, isKnown } from "./operators";
import type { Params } from "./payload";
import {
  asRows, broadcastShapes, broadcastTo, filled, mapElements, offsets, reshape, scalarArray, sizeOf, stridesOf, take, transpose, type NdArray,
} from "./nd";

export type ArrayOperator = (args: readonly NdArray[], params: Params) => NdArray;
/** One axis of a static key: a position, or [start, stop, step] with stop −1 for "to the front". */
type Key = (number | [number, number, number])[];
type Part = ["slice", Key] | ["gather", number[], boolean?];

const first = (args: readonly NdArray[]): NdArray => args[0] as NdArray;
const ints = (params: Params, name: string): number[] => params[name] as unknown as number[];
const int = (params: Params, name: string): number => params[name] as number;

function reduce(f: (row: Float64Array) => number): ArrayOperator {
  return (args, params) => {
    const { rest, rows } = asRows(first(args), ints(params, "axes"));
    return { shape: rest, data: Float64Array.from(rows, f) };
  };
}

/** Pairwise, as NumPy does, so that rounding stays as small. */
function sum(row: Float64Array): number {
  if (row.length > 128) {
    const half = row.length >> 1;
    return sum(row.subarray(0, half)) + sum(row.subarray(half));
  }
  let total = 0;
  for (const x of row) total += x;
  return total;
}

/** Largest or smallest; NaN wins, as in NumPy. */
const extremum = (better: (a: number, b: number) => number) => (row: Float64Array): number => row.reduce((a, b) => better(a, b));

function bestPosition(isBetter: (a: number, b: number) => boolean): ArrayOperator {
  return (args, params) => {
    const { rest, rows } = asRows(first(args), [int(params, "axis")]);
    const position = (row: Float64Array): number => {
      let best = 0;
      for (let i = 1; i < row.length; i++) {
        if (Number.isNaN(row[best])) break;
        if (Number.isNaN(row[i]) || isBetter(row[i] as number, row[best] as number)) best = i;
      }
      return best;
    };
    return { shape: rest, data: Float64Array.from(rows, position) };
  };
}

/** Rewrites each row along an axis; the rows keep their places. */
function alongAxis(args: readonly NdArray[], axis: number, f: (rows: Float64Array[], out: Float64Array) => void): NdArray {
  const x = first(args);
  const each = args.map((a) => asRows(a, [axis]).rows);
  const length = x.shape[axis] as number;
  const order = [...x.shape.keys()].filter((a) => a !== axis);
  const data = new Float64Array(x.data.length);
  (each[0] as Float64Array[]).forEach((_, i) => f(each.map((rows) => rows[i] as Float64Array), data.subarray(i * length, (i + 1) * length)));
  const moved: NdArray = { shape: [...order, axis].map((a) => x.shape[a] as number), data };
  const back = new Array<number>(x.shape.length);
  [...order, axis].forEach((a, i) => (back[a] = i));
  return transpose(moved, back);
}

function scan(step: (before: number, row: number[], at: number) => number): ArrayOperator {
  return (args, params) =>
    alongAxis(args, int(params, "axis"), (rows, out) => {
      const n = out.length;
      const reverse = params.reverse === true;
      for (let k = 0; k < n; k++) {
        const at = reverse ? n - 1 - k : k;
        const before = k === 0 ? NaN : (out[reverse ? at + 1 : at - 1] as number);
        out[at] = step(before, rows.map((row) => row[at] as number), k);
      }
    });
}

// ---------------------------------------------------------------- contraction

function contract(args: readonly NdArray[], params: Params): NdArray {
  const [x1, x2] = args as [NdArray, NdArray];
  const [operands = "", out = ""] = (params.spec as string).split("->");
  const [left = "", right = ""] = operands.split(",");
  const shared = [...left].filter((c) => right.includes(c));
  const batch = shared.filter((c) => out.includes(c));
  const summed = shared.filter((c) => !out.includes(c));
  const rows = [...left].filter((c) => !right.includes(c));
  const columns = [...right].filter((c) => !left.includes(c));
  const length = (c: string): number => (left.includes(c) ? x1.shape[left.indexOf(c)] : x2.shape[right.indexOf(c)]) as number;
  const count = (names: string[]): number => sizeOf(names.map(length));
  const a = transpose(x1, [...batch, ...rows, ...summed].map((c) => left.indexOf(c))).data;
  const b = transpose(x2, [...batch, ...columns, ...summed].map((c) => right.indexOf(c))).data;
  const [lead, m, n, k] = [count(batch), count(rows), count(columns), count(summed)];
  const data = new Float64Array(lead * m * n);
  let at = 0;
  for (let l = 0; l < lead; l++)
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        const [from, to] = [(l * m + i) * k, (l * n + j) * k];
        let total = 0;
        for (let s = 0; s < k; s++) total += (a[from + s] as number) * (b[to + s] as number);
        data[at++] = total;
      }
  const produced = [...batch, ...rows, ...columns];
  return transpose({ shape: produced.map(length), data }, [...out].map((c) => produced.indexOf(c)));
}

// ---------------------------------------------------------------- indexing

/** Offsets that a static key picks, and the shape of what it picks. */
function pick(shape: readonly number[], key: Key): { at: Int32Array; shape: number[] } {
  const strides = stridesOf(shape);
  const [lengths, steps]: [number[], number[]] = [[], []];
  let start = 0;
  key.forEach((part, axis) => {
    const stride = strides[axis] as number;
    if (typeof part === "number") {
      start += part * stride;
      return;
    }
    const [from, to, step] = part;
    lengths.push(Math.max(0, Math.ceil((to - from) / step)));
    steps.push(step * stride);
    start += from * stride;
  });
  return { at: offsets(lengths, steps, start), shape: lengths };
}

/** An index out of bounds leads here: what is read there is NaN, what is written is lost. */
const NOWHERE = -(2 ** 30);

/** Offsets that index arrays along `axes` pick: the shape of the indices first, then the rest. */
function gatherPlaces(shape: readonly number[], indices: readonly NdArray[], axes: readonly number[]): { at: Int32Array; shape: number[] } {
  const lead = broadcastShapes(...indices.map((index) => index.shape));
  const strides = stridesOf(shape);
  const bases = new Int32Array(sizeOf(lead));
  indices.forEach((index, k) => {
    const axis = axes[k] as number;
    const [n, stride] = [shape[axis] as number, strides[axis] as number];
    broadcastTo(index, lead).data.forEach((i, p) => (bases[p] = i >= -n && i < n ? (bases[p] as number) + (i < 0 ? i + n : i) * stride : NOWHERE));
  });
  const others = [...shape.keys()].filter((axis) => !axes.includes(axis));
  const rest = others.map((axis) => shape[axis] as number);
  const within = offsets(rest, others.map((axis) => strides[axis] as number));
  const at = new Int32Array(bases.length * within.length);
  let p = 0;
  for (const base of bases) for (const offset of within) at[p++] = base + offset;
  return { at, shape: [...lead, ...rest] };
}

function places(shape: readonly number[], indices: readonly NdArray[], part: Part): { at: Int32Array; shape: number[] } {
  return part[0] === "slice" ? pick(shape, part[1]) : gatherPlaces(shape, indices, part[1]);
}

/** Adds values into `out`; a place that occurs several times gets all of them. */
function addInto(out: NdArray, operands: readonly NdArray[], parts: Part[]): NdArray {
  let next = 0;
  for (const part of parts) {
    const value = operands[next] as NdArray;
    const count = part[0] === "slice" ? 0 : part[1].length;
    const { at } = places(out.shape, operands.slice(next + 1, next + 1 + count), part);
    at.forEach((place, i) => (out.data[place] = (out.data[place] as number) + (value.data[i] as number)));
    next += 1 + count;
  }
  return out;
}

const copy = (x: NdArray): NdArray => ({ shape: x.shape, data: x.data.slice() });

function assign([x, value, ...indices]: readonly NdArray[], params: Params): NdArray {
  const out = copy(x as NdArray);
  const { at } = places(out.shape, indices, params.part as unknown as Part);
  at.forEach((place, i) => (out.data[place] = (value as NdArray).data[i] as number));
  return out;
}

function concatenate(args: readonly NdArray[], params: Params): NdArray {
  const axis = int(params, "axis");
  const shape = [...first(args).shape];
  shape[axis] = args.reduce((total, x) => total + (x.shape[axis] as number), 0);
  const out = filled(shape, 0);
  let start = 0;
  for (const x of args) {
    const stop = start + (x.shape[axis] as number);
    addInto(out, [x], [["slice", shape.map((n, a) => (a === axis ? [start, stop, 1] : [0, n, 1]))]]);
    start = stop;
  }
  return out;
}

function pad(args: readonly NdArray[], params: Params): NdArray {
  const x = first(args);
  const widths = params.widths as unknown as [number, number][];
  const out = filled(x.shape.map((n, axis) => n + (widths[axis]?.[0] ?? 0) + (widths[axis]?.[1] ?? 0)), 0);
  return addInto(out, [x], [["slice", x.shape.map((n, axis) => [widths[axis]?.[0] ?? 0, (widths[axis]?.[0] ?? 0) + n, 1])]]);
}

function diagonal(args: readonly NdArray[], params: Params): NdArray {
  const x = first(args);
  const [offset, axis1, axis2] = [int(params, "offset"), int(params, "axis1"), int(params, "axis2")];
  const start = Math.max(-offset, 0);
  const count = Math.max(0, Math.min((x.shape[axis1] as number) - start, (x.shape[axis2] as number) - Math.max(offset, 0)));
  const index = (from: number): NdArray => ({ shape: [count], data: Float64Array.from({ length: count }, (_, i) => i + from) });
  const { at, shape } = gatherPlaces(x.shape, [index(start), index(Math.max(offset, 0))], [axis1, axis2]);
  const found = take(x, at, shape);
  return transpose(found, [...shape.keys()].slice(1).concat(0));
}

// ---------------------------------------------------------------- orders

/** NaN comes last; equal elements keep their order. */
const ascending = (a: number, b: number): number => (Number.isNaN(a) || Number.isNaN(b) ? Number(Number.isNaN(a)) - Number(Number.isNaN(b)) : a - b || 0);

function searchSorted([a, v]: readonly NdArray[], params: Params): NdArray {
  const sorted = (a as NdArray).data;
  return mapElements([v as NdArray], ([x]) => {
    const before = (s: number): boolean => (params.right === true ? ascending(s, x as number) <= 0 : ascending(s, x as number) < 0);
    const at = sorted.findIndex((s) => !before(s));
    return at < 0 ? sorted.length : at;
  });
}

const TABLE: Record<string, ArrayOperator> = {
  reshape: (args, params) => reshape(first(args), ints(params, "shape")),
  transpose: (args, params) => transpose(first(args), ints(params, "axes")),
  broadcast_to: (args, params) => broadcastTo(first(args), ints(params, "shape")),
  reduce_sum: reduce(sum),
  reduce_max: reduce(extremum(Math.max)),
  reduce_min: reduce(extremum(Math.min)),
  reduce_all: reduce((row) => Number(row.every((x) => x !== 0))),
  reduce_any: reduce((row) => Number(row.some((x) => x !== 0))),
  argmax: bestPosition((a, b) => a > b),
  argmin: bestPosition((a, b) => a < b),
  cumsum: scan((before, [x], k) => (k === 0 ? (x as number) : before + (x as number))),
  cumprod: scan((before, [x], k) => (k === 0 ? (x as number) : before * (x as number))),
  linear_recurrence: scan((before, [a, b], k) => (k === 0 ? (b as number) : (a as number) * before + (b as number))),
  concatenate,
  pad,
  contract,
  slice_index: (args, params) => {
    const { at, shape } = pick(first(args).shape, params.key as unknown as Key);
    return take(first(args), at, shape);
  },
  gather: ([x, ...indices], params) => {
    const { at, shape } = gatherPlaces((x as NdArray).shape, indices, ints(params, "axes"));
    return take(x as NdArray, at, shape);
  },
  scatter_sum: (args, params) => addInto(filled(ints(params, "shape"), 0), args, params.parts as unknown as Part[]),
  scatter_add: ([x, ...rest], params) => addInto(copy(x as NdArray), rest, params.parts as unknown as Part[]),
  positions: (args, params) => mapElements(args, ([i]) => ((i as number) < 0 ? (i as number) + int(params, "length") : (i as number))),
  assign,
  diagonal,
  argsort: (args, params) =>
    alongAxis(args, int(params, "axis"), ([row], out) => out.set([...out.keys()].sort((i, j) => ascending(row?.[i] as number, row?.[j] as number)))),
  searchsorted: searchSorted,
  ...linearAlgebra,
};

/** Whether the page can evaluate the operator on arrays; on numbers they are a special case. */
export function isArrayOperator(op: string): boolean {
  return isKnown(op) || Object.hasOwn(TABLE, op);
}

/** The value of an operator; NaN for one that the page does not know. */
export function applyToArrays(op: string, args: readonly NdArray[], params: Params): NdArray {
  const own = Object.hasOwn(TABLE, op) ? TABLE[op] : undefined;
  if (own !== undefined) return own(args, params);
  if (args.every((x) => x.shape.length === 0)) return scalarArray(apply(op, args.map((x) => x.data[0] as number), params));
  return mapElements(args, (xs) => apply(op, xs, params));
}
