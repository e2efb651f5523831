/** Arrays of the page: numbers in C order with a shape, and how shapes broadcast. */

export interface NdArray {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

export function scalarArray(x: number): NdArray {
  return { shape: [], data: Float64Array.of(x) };
}

export function filled(shape: readonly number[], x: number): NdArray {
  return { shape, data: new Float64Array(sizeOf(shape)).fill(x) };
}

/** How far apart neighbours along each axis lie in C order. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = (strides[axis + 1] as number) * (shape[axis + 1] as number);
  return strides;
}

/** NumPy's rule: shapes are aligned at their ends, and lengths of 1 stretch. */
export function broadcastShapes(...shapes: (readonly number[])[]): number[] {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  const found = new Array<number>(rank).fill(1);
  for (const shape of shapes)
    shape.forEach((n, i) => {
      const axis = rank - shape.length + i;
      if (n !== 1) found[axis] = n;
    });
  return found;
}

/** Strides with which an array is read as if it had the wider `shape`: 0 where it is repeated. */
export function broadcastStrides(own: readonly number[], shape: readonly number[]): number[] {
  const extra = shape.length - own.length;
  const strides = stridesOf(own);
  return shape.map((_, axis) => (axis < extra || own[axis - extra] === 1 ? 0 : (strides[axis - extra] as number)));
}

/** Offsets of all elements of a box with these strides, in C order, from `start`. */
export function offsets(shape: readonly number[], strides: readonly number[], start = 0): Int32Array {
  let found = Int32Array.of(start);
  shape.forEach((n, axis) => {
    const stride = strides[axis] as number;
    const next = new Int32Array(found.length * n);
    let at = 0;
    for (const base of found) for (let i = 0; i < n; i++) next[at++] = base + i * stride;
    found = next;
  });
  return found;
}

/** The elements at these offsets, as an array of a shape. */
export function take(x: NdArray, at: Int32Array, shape: readonly number[]): NdArray {
  const data = new Float64Array(at.length);
  for (let i = 0; i < at.length; i++) data[i] = x.data[at[i] as number] as number;
  return { shape, data };
}

export function broadcastTo(x: NdArray, shape: readonly number[]): NdArray {
  if (x.shape.length === shape.length && x.shape.every((n, i) => n === shape[i])) return x;
  return take(x, offsets(shape, broadcastStrides(x.shape, shape)), shape);
}

/** The axes in another order: axis i of the result is axis axes[i] of x. */
export function transpose(x: NdArray, axes: readonly number[]): NdArray {
  const strides = stridesOf(x.shape);
  const shape = axes.map((axis) => x.shape[axis] as number);
  return take(x, offsets(shape, axes.map((axis) => strides[axis] as number)), shape);
}

export function reshape(x: NdArray, shape: readonly number[]): NdArray {
  return { shape, data: x.data };
}

/** A function of numbers, applied to all elements of arrays that broadcast together. */
export function mapElements(args: readonly NdArray[], f: (xs: number[]) => number): NdArray {
  const shape = broadcastShapes(...args.map((x) => x.shape));
  const wide = args.map((x) => broadcastTo(x, shape).data);
  const data = new Float64Array(sizeOf(shape));
  const xs = new Array<number>(args.length);
  for (let i = 0; i < data.length; i++) {
    for (let k = 0; k < wide.length; k++) xs[k] = (wide[k] as Float64Array)[i] as number;
    data[i] = f(xs);
  }
  return { shape, data };
}

/** The array as rows: the axes in `axes` last and flattened, the others before them. */
export function asRows(x: NdArray, axes: readonly number[]): { rest: number[]; rows: Float64Array[] } {
  const kept = x.shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
  const rest = kept.map((axis) => x.shape[axis] as number);
  const length = sizeOf(axes.map((axis) => x.shape[axis] as number));
  const moved = transpose(x, [...kept, ...axes]).data;
  const rows = Array.from({ length: sizeOf(rest) }, (_, i) => moved.subarray(i * length, (i + 1) * length));
  return { rest, rows };
}
