import assert from "node:assert/strict";
import { test } from "node:test";
import { applyToArrays, isArrayOperator } from "../src/array-operators";
import { summarise } from "../src/arrays";
import { toDtype } from "../src/operators";
import { fromWire, type Params, type WireNumber } from "../src/payload";
import { sizeOf, type NdArray } from "../src/nd";
import reference from "./array_reference.json";

interface WireArray {
  shape: number[];
  data: WireNumber[];
}
interface Row {
  op: string;
  of: string;
  dtype: string;
  args: WireArray[];
  params: Params;
  result: WireArray;
}
const rows = reference.rows as unknown as Row[];
const arrayOf = ({ shape, data }: WireArray): NdArray => ({ shape, data: Float64Array.from(data, fromWire) });

function near(value: number, want: number, dtype: string): boolean {
  if (Number.isNaN(want)) return Number.isNaN(value);
  if (!Number.isFinite(want)) return value === want;
  if (!dtype.startsWith("float")) return value === want;
  return Math.abs(value - want) <= (dtype === "float32" ? 1e-6 : 1e-13) * Math.max(1, Math.abs(want));
}

test("every operator of the rule table is evaluated as the interpreter does", () => {
  const wrong: string[] = [];
  for (const row of rows) {
    const found = applyToArrays(row.op, row.args.map(arrayOf), row.params);
    const want = arrayOf(row.result);
    const same = found.shape.join() === want.shape.join() && found.data.length === sizeOf(want.shape) && want.data.every((x, i) => near(toDtype(found.data[i] as number, row.dtype), x, row.dtype));
    if (!same) wrong.push(`${row.op} ${JSON.stringify(row.params)}: [${found.shape}] ${[...found.data]} is not [${want.shape}] ${[...want.data]}`);
  }
  assert.deepEqual(wrong, []);
});

test("the operators that the page says it cannot evaluate are exactly the others", () => {
  for (const name of reference.notEvaluated) assert.ok(!isArrayOperator(name), name);
  for (const row of rows) assert.ok(isArrayOperator(row.op), row.op);
});

test("an array is summarised as in Python: extremes of finite numbers, means of merged cells", () => {
  const small = summarise({ shape: [2, 2], data: Float64Array.of(1, NaN, -Infinity, 4) });
  assert.deepEqual([small.min, small.max, small.mean, small.nans, small.infs, small.exact], [1, 4, 2.5, 1, 1, true]);
  assert.deepEqual(small.grid, [[1, "nan"], ["-inf", 4]]);
  const wide = summarise({ shape: [100], data: Float64Array.from({ length: 100 }, (_, i) => i) });
  assert.equal(wide.grid[0]?.length, 32);
  assert.equal(wide.grid[0]?.[0], 1); // the first three of a hundred
  assert.deepEqual(summarise({ shape: [0, 3], data: new Float64Array(0) }).grid, []);
});
