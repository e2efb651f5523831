/**
 * Plain values of scalar operators, NumPy's semantics in float64: the one table of operators the
 * page has. There is no table of derivatives; partials arrive as programs over these names.
 */

import { fromWire, type Params, type WireNumber } from "./payload";

type Scalar = (args: readonly number[], params: Params) => number;

const unary = (f: (x: number) => number): Scalar => ([x]) => f(x as number);
const binary = (f: (x: number, y: number) => number): Scalar => ([x, y]) => f(x as number, y as number);
const truth = (condition: boolean): number => (condition ? 1 : 0);

/** 1 to any power is 1, and so is (-1) to an infinite one; JavaScript says NaN to both. */
function power(x: number, y: number): number {
  if (x === 1 || (x === -1 && Math.abs(y) === Infinity)) return 1;
  return Math.pow(x, y);
}

/** The exponent is whatever number the operator's only numeric parameter holds. */
function integerPower(x: number, params: Params): number {
  const n = Object.values(params).find((value) => typeof value === "number");
  return typeof n === "number" ? power(x, n) : NaN;
}

function isNegative(x: number): boolean {
  return x < 0 || Object.is(x, -0);
}

function copysign(x: number, y: number): number {
  return isNegative(x) === isNegative(y) ? x : -x;
}

/** Half to even. */
function rint(x: number): number {
  if (!Number.isFinite(x) || Math.abs(x) >= 2 ** 52) return x;
  const down = Math.floor(x);
  const rest = x - down;
  const even = down % 2 === 0;
  return copysign(rest < 0.5 || (rest === 0.5 && even) ? down : down + 1, x);
}

/** Python's remainder: the sign of the divisor, also at zero. */
function remainder(x: number, y: number): number {
  const rest = x % y;
  if (Number.isNaN(rest)) return NaN;
  if (rest === 0) return copysign(0, y);
  return rest < 0 !== y < 0 ? rest + y : rest;
}

function floorDivide(x: number, y: number): number {
  if (y === 0) return x / y;
  const rest = x % y;
  let quotient = (x - rest) / y;
  if (rest !== 0 && rest < 0 !== y < 0) quotient -= 1;
  if (quotient === 0) return copysign(0, x / y);
  const whole = Math.floor(quotient);
  return quotient - whole > 0.5 ? whole + 1 : whole;
}

function logaddexp(x: number, y: number): number {
  if (x === y) return x + Math.LN2; // also both infinite, where the difference is NaN
  const gap = x - y;
  return gap > 0 ? x + Math.log1p(Math.exp(-gap)) : gap <= 0 ? y + Math.log1p(Math.exp(gap)) : NaN;
}

function logaddexp2(x: number, y: number): number {
  if (x === y) return x + 1;
  const gap = x - y;
  const log2p1 = (z: number): number => Math.log1p(z) * Math.LOG2E;
  return gap > 0 ? x + log2p1(2 ** -gap) : gap <= 0 ? y + log2p1(2 ** gap) : NaN;
}

export function sigmoid(x: number): number {
  if (x >= 0) return 1 / (1 + Math.exp(-x));
  const e = Math.exp(x);
  return e / (1 + e);
}

/** exp(-x²) to full relative precision: the rounding error of x² would be amplified by x². */
function gauss(x: number): number {
  const head = Math.fround(x);
  return Math.exp(-head * head) * Math.exp(-(x - head) * (x + head));
}

/** Abramowitz and Stegun 7.1.6 (all terms positive) below 2, through erfc above. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (Number.isNaN(x) || a === 0) return x;
  if (a > 6) return copysign(1, x);
  if (a >= 2) return copysign(1 - erfc(a), x);
  let term = 1;
  let sum = 1;
  for (let n = 1; term > sum * 1e-18; n++) {
    term *= (2 * a * a) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * x * gauss(x) * sum;
}

/** Abramowitz and Stegun 7.1.14, the continued fraction, evaluated from its far end. */
export function erfc(x: number): number {
  if (Number.isNaN(x)) return NaN;
  if (x < 0.5) return 1 - erf(x);
  if (x > 28) return 0;
  let tail = x;
  for (let k = Math.ceil(30 + 400 / (x * x)); k >= 1; k--) tail = x + k / 2 / tail;
  return gauss(x) / (Math.sqrt(Math.PI) * tail);
}

function bitwise(x: number, y: number, f: (a: bigint, b: bigint) => bigint): number {
  return Number.isInteger(x) && Number.isInteger(y) ? Number(f(BigInt(x), BigInt(y))) : NaN;
}

/** The greatest common divisor, by Euclid. */
function divisor(x: number, y: number): number {
  let [a, b] = [Math.abs(x), Math.abs(y)];
  while (b > 0) [a, b] = [b, a % b];
  return a;
}

/** A float64 in another dtype, as far as one number can show it. */
export function toDtype(x: number, dtype: string): number {
  if (dtype === "float32") return Math.fround(x);
  if (dtype === "bool") return truth(x !== 0);
  return /^u?int/.test(dtype) ? Math.trunc(x) : x;
}

const identity = unary((x) => x);

const TABLE: Record<string, Scalar> = {
  add: binary((x, y) => x + y),
  subtract: binary((x, y) => x - y),
  multiply: binary((x, y) => x * y),
  divide: binary((x, y) => x / y),
  true_divide: binary((x, y) => x / y),
  negative: unary((x) => -x),
  positive: identity,
  power: binary(power),
  float_power: binary(power),
  integer_power: ([x], params) => integerPower(x as number, params),
  reciprocal: unary((x) => 1 / x),
  exp: unary(Math.exp),
  exp2: unary((x) => 2 ** x),
  expm1: unary(Math.expm1),
  log: unary(Math.log),
  log2: unary(Math.log2),
  log10: unary(Math.log10),
  log1p: unary(Math.log1p),
  sqrt: unary(Math.sqrt),
  square: unary((x) => x * x),
  cbrt: unary(Math.cbrt),
  sin: unary(Math.sin),
  cos: unary(Math.cos),
  tan: unary(Math.tan),
  arcsin: unary(Math.asin),
  arccos: unary(Math.acos),
  arctan: unary(Math.atan),
  sinh: unary(Math.sinh),
  cosh: unary(Math.cosh),
  tanh: unary(Math.tanh),
  arcsinh: unary(Math.asinh),
  arccosh: unary(Math.acosh),
  arctanh: unary(Math.atanh),
  degrees: unary((x) => x * (180 / Math.PI)),
  rad2deg: unary((x) => x * (180 / Math.PI)),
  radians: unary((x) => x * (Math.PI / 180)),
  deg2rad: unary((x) => x * (Math.PI / 180)),
  absolute: unary(Math.abs),
  fabs: unary(Math.abs),
  sign: unary((x) => (x === 0 ? 0 : Math.sign(x))), // NumPy: +0 for both zeros
  signbit: unary((x) => truth(isNegative(x))),
  maximum: binary(Math.max),
  minimum: binary(Math.min),
  fmax: binary((x, y) => (Number.isNaN(x) ? y : Number.isNaN(y) ? x : Math.max(x, y))),
  fmin: binary((x, y) => (Number.isNaN(x) ? y : Number.isNaN(y) ? x : Math.min(x, y))),
  hypot: binary(Math.hypot),
  arctan2: binary(Math.atan2),
  logaddexp: binary(logaddexp),
  logaddexp2: binary(logaddexp2),
  copysign: binary((x, y) => copysign(x, y)),
  floor: unary(Math.floor),
  ceil: unary(Math.ceil),
  rint: unary(rint),
  trunc: unary(Math.trunc),
  remainder: binary(remainder),
  mod: binary(remainder),
  fmod: binary((x, y) => x % y),
  floor_divide: binary(floorDivide),
  heaviside: binary((x, y) => (x === 0 ? y : x > 0 ? 1 : x < 0 ? 0 : NaN)),
  equal: binary((x, y) => truth(x === y)),
  not_equal: binary((x, y) => truth(x !== y)),
  less: binary((x, y) => truth(x < y)),
  less_equal: binary((x, y) => truth(x <= y)),
  greater: binary((x, y) => truth(x > y)),
  greater_equal: binary((x, y) => truth(x >= y)),
  logical_and: binary((x, y) => truth(x !== 0 && y !== 0)),
  logical_or: binary((x, y) => truth(x !== 0 || y !== 0)),
  logical_xor: binary((x, y) => truth((x !== 0) !== (y !== 0))),
  logical_not: unary((x) => truth(x === 0)),
  isnan: unary((x) => truth(Number.isNaN(x))),
  isinf: unary((x) => truth(Math.abs(x) === Infinity)),
  isfinite: unary((x) => truth(Number.isFinite(x))),
  where: ([condition, x, y]) => (condition !== 0 ? (x as number) : (y as number)),
  select: ([condition, x, y]) => (condition !== 0 ? (x as number) : (y as number)),
  sigmoid: unary(sigmoid),
  log_sigmoid: unary((x) => -logaddexp(0, -x)),
  softplus: unary((x) => logaddexp(x, 0)),
  relu: unary((x) => (x > 0 || Number.isNaN(x) ? x : 0)),
  silu: unary((x) => x * sigmoid(x)),
  ldexp: binary((x, n) => x * 2 ** n),
  cast: ([x], { dtype }) => toDtype(x as number, typeof dtype === "string" ? dtype : "float64"),
  bitwise_and: binary((x, y) => bitwise(x, y, (a, b) => a & b)),
  bitwise_or: binary((x, y) => bitwise(x, y, (a, b) => a | b)),
  bitwise_xor: binary((x, y) => bitwise(x, y, (a, b) => a ^ b)),
  left_shift: binary((x, y) => bitwise(x, y, (a, b) => a << b)),
  right_shift: binary((x, y) => bitwise(x, y, (a, b) => a >> b)),
  gcd: binary(divisor),
  lcm: binary((x, y) => (x === 0 || y === 0 ? 0 : Math.abs(x / divisor(x, y)) * Math.abs(y))),
  invert: unary((x) => -x - 1), // of integers; Python sends logical_not for truth values
  erf: unary(erf),
  erfc: unary(erfc),
  identity,
  stop_gradient: identity,
};

export function isKnown(op: string): boolean {
  return Object.hasOwn(TABLE, op);
}

export function apply(op: string, args: readonly number[], params: Params): number {
  const scalar = isKnown(op) ? TABLE[op] : undefined;
  return scalar === undefined ? NaN : scalar(args, params);
}

export function operatorNames(): string[] {
  return Object.keys(TABLE);
}

/** A reference or literal of a program, with the values it may refer to. */
export function lookUp(ref: string | number, xs: readonly number[], y: number, ts: readonly number[]): number {
  if (typeof ref === "number") return ref;
  if (ref === "y") return y;
  const index = Number(ref.slice(1));
  if (ref.startsWith("x")) return xs[index] ?? NaN;
  if (ref.startsWith("t")) return ts[index] ?? NaN;
  return fromWire(ref as WireNumber);
}
