/** Dense linear algebra on the last two axes, for the small matrices that a page shows. */

import type { ArrayOperator } from "./array-operators";
import { broadcastTo, sizeOf, type NdArray } from "./nd";

type Matrix = number[][];

interface Factors {
  /** Multipliers below the diagonal, the triangular factor on and above it. */
  lu: Matrix;
  /** Row i of the factors is row order[i] of the matrix. */
  order: number[];
  sign: number;
}

/** Gaussian elimination with partial pivoting, as LAPACK's getrf. */
function factor(matrix: Matrix): Factors {
  const lu = matrix.map((row) => [...row]);
  const n = lu.length;
  const order = [...lu.keys()];
  let sign = 1;
  for (let k = 0; k < n; k++) {
    let best = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(lu[i]?.[k] as number) > Math.abs(lu[best]?.[k] as number)) best = i;
    if (best !== k) {
      [lu[k], lu[best]] = [lu[best] as number[], lu[k] as number[]];
      [order[k], order[best]] = [order[best] as number, order[k] as number];
      sign = -sign;
    }
    const pivot = lu[k] as number[];
    if (pivot[k] === 0) continue; // singular: nothing to eliminate with
    for (let i = k + 1; i < n; i++) {
      const row = lu[i] as number[];
      const m = (row[k] as number) / (pivot[k] as number);
      row[k] = m;
      for (let j = k + 1; j < n; j++) row[j] = (row[j] as number) - m * (pivot[j] as number);
    }
  }
  return { lu, order, sign };
}

const diagonalOf = ({ lu }: Factors): number[] => lu.map((row, i) => row[i] as number);

function determinant(matrix: Matrix): number {
  const factors = factor(matrix);
  return diagonalOf(factors).reduce((product, x) => product * x, factors.sign);
}

function solveOne(a: Matrix, b: Matrix): Matrix {
  const { lu, order } = factor(a);
  const n = lu.length;
  const x = order.map((i) => [...(b[i] as number[])]);
  const eliminate = (i: number, k: number): void => {
    const m = lu[i]?.[k] as number;
    x[i]?.forEach((_, j, row) => (row[j] = (row[j] as number) - m * (x[k]?.[j] as number)));
  };
  for (let i = 0; i < n; i++) for (let k = 0; k < i; k++) eliminate(i, k);
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) eliminate(i, k);
    x[i] = (x[i] as number[]).map((v) => v / (lu[i]?.[i] as number));
  }
  return x;
}

/** By minors, which is right for singular matrices too. */
function cofactorsOf(matrix: Matrix): Matrix {
  return matrix.map((row, i) => row.map((_, j) => {
    const minor = matrix.filter((_, r) => r !== i).map((other) => other.filter((_, c) => c !== j));
    return ((i + j) % 2 === 0 ? 1 : -1) * determinant(minor);
  }));
}

/** The lower triangular factor; NaN where the matrix is not positive definite. */
function choleskyOf(matrix: Matrix): Matrix {
  const l = matrix.map((row) => row.map(() => 0));
  matrix.forEach((row, i) => {
    for (let j = 0; j <= i; j++) {
      let rest = row[j] as number;
      for (let k = 0; k < j; k++) rest -= (l[i]?.[k] as number) * (l[j]?.[k] as number);
      (l[i] as number[])[j] = i === j ? Math.sqrt(rest) : rest / (l[j]?.[j] as number);
    }
  });
  return l;
}

function matricesOf(x: NdArray): Matrix[] {
  const [rows = 0, columns = 0] = x.shape.slice(-2);
  const count = sizeOf(x.shape.slice(0, -2));
  const at = (k: number, i: number): number => (k * rows + i) * columns;
  return Array.from({ length: count }, (_, k) => Array.from({ length: rows }, (_, i) => [...x.data.subarray(at(k, i), at(k, i) + columns)]));
}

const perMatrix = (f: (matrix: Matrix) => Matrix): ArrayOperator => ([x]) => ({ shape: (x as NdArray).shape, data: Float64Array.from(matricesOf(x as NdArray).flatMap((matrix) => f(matrix).flat())) });

const perMatrixNumber = (f: (matrix: Matrix) => number): ArrayOperator => ([x]) => ({ shape: (x as NdArray).shape.slice(0, -2), data: Float64Array.from(matricesOf(x as NdArray), f) });

export const linearAlgebra: Record<string, ArrayOperator> = {
  solve: ([a, b]) => {
    const [left, right] = [a as NdArray, b as NdArray];
    const lead = left.shape.length >= right.shape.length ? left.shape.slice(0, -2) : right.shape.slice(0, -2);
    const wide = (x: NdArray): Matrix[] => matricesOf(broadcastTo(x, [...lead, ...x.shape.slice(-2)]));
    const rights = wide(right);
    const data = Float64Array.from(wide(left).flatMap((matrix, k) => solveOne(matrix, rights[k] as Matrix).flat()));
    return { shape: [...lead, ...right.shape.slice(-2)], data };
  },
  det: perMatrixNumber(determinant),
  logabsdet: perMatrixNumber((matrix) => diagonalOf(factor(matrix)).reduce((total, x) => total + Math.log(Math.abs(x)), 0)),
  sign_of_det: perMatrixNumber((matrix) => Math.sign(determinant(matrix))),
  cofactors: perMatrix(cofactorsOf),
  cholesky: perMatrix(choleskyOf),
};
