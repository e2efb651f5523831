import assert from "node:assert/strict";
import { test } from "node:test";
import { apply, isKnown, operatorNames } from "../src/operators";
import { fromWire, type WireNumber } from "../src/payload";
import reference from "./reference.json";

const rows = reference as [string, WireNumber[], WireNumber][];

/** Zeros of either sign count as equal where NumPy itself differs between its loops. */
const SIGN_FREE = new Set(["maximum", "minimum", "fmax", "fmin"]);

test("values agree with mpmath and NumPy to 2e-15, edge values exactly", () => {
  const wrong: string[] = [];
  for (const [op, args, expected] of rows) {
    const [value, want] = [apply(op, args.map(fromWire), {}), fromWire(expected)];
    const said = `${op}(${args.join(", ")}) is ${value}, not ${want}`;
    if (!matches(value, want, SIGN_FREE.has(op))) wrong.push(said);
  }
  assert.deepEqual(wrong, []);
});

function matches(value: number, want: number, signFree: boolean): boolean {
  if (Number.isNaN(want)) return Number.isNaN(value);
  if (want === 0 && !signFree) return Object.is(value, want);
  if (!Number.isFinite(want)) return value === want;
  return Math.abs(value - want) <= 2e-15 * Math.abs(want);
}

test("integer_power takes its exponent from the parameters", () => {
  assert.equal(apply("integer_power", [3], { n: 4 }), 81);
  assert.equal(apply("integer_power", [2], { n: -1 }), 0.5);
});

test("where chooses and lets nothing of the other branch through", () => {
  assert.equal(apply("where", [1, 2, NaN], {}), 2);
  assert.equal(apply("where", [0, NaN, 3], {}), 3);
});

test("an operator the page does not know is NaN and says so", () => {
  assert.ok(!isKnown("toString") && !isKnown("einsum"));
  assert.ok(Number.isNaN(apply("einsum", [1, 2], {})));
  assert.ok(operatorNames().length > 70);
});
