import assert from "node:assert/strict";
import { test } from "node:test";
import { computeAdjoints, computeNumbers, computeTangents, Edges, findObstacle, finiteDifference } from "../src/evaluate";
import { logistic, makeView, p } from "./helpers";

const at = new Map([[0, 1], [1, 0], [2, 0]]);

test("the logistic function at x=1, w=0, b=0: values, both modes, finite differences", () => {
  const view = logistic();
  const edges = new Edges(view);
  const numbers = computeNumbers(view, edges, at);
  assert.equal(numbers.values[9], 0.5);
  const adjoints = computeAdjoints(view, edges, numbers, 9);
  assert.deepEqual(adjoints.slice(0, 3), [0, 0.25, 0.25]);
  for (const input of [0, 1, 2]) {
    const tangent = computeTangents(view, edges, numbers, input)[9] as number;
    assert.ok(Math.abs(tangent - (adjoints[input] as number)) < 1e-15);
    assert.ok(Math.abs(finiteDifference(view, at, 9, input) - tangent) < 1e-9);
  }
});

test("zero by structure is absent, the number zero is not", () => {
  const view = logistic();
  const edges = new Edges(view);
  const numbers = computeNumbers(view, edges, at);
  const tangents = computeTangents(view, edges, numbers, 2);
  assert.equal(tangents[3], null); // h1 = x w does not depend on b
  assert.equal(tangents[9], 0.25);
  assert.equal(computeAdjoints(view, edges, numbers, 9)[0], 0); // a path leads there; its product is 0
});

test("a branch that was not taken does not poison the sum", () => {
  const view = makeView(
    [["x", "input"], ["c", 1], ["bad", "log", ["x"], [p("t0", ["reciprocal", ["x0"]])]], ["y", "where", ["c", "x", "bad"], [null, p(1), null]]],
    ["y"],
  );
  const edges = new Edges(view);
  const numbers = computeNumbers(view, edges, new Map([[0, -1]]));
  assert.ok(Number.isNaN(numbers.values[2]));
  assert.equal(computeAdjoints(view, edges, numbers, 3)[0], 1);
});

test("what the page cannot recompute is named", () => {
  assert.equal(findObstacle(logistic()), null);
  const strange = makeView([["x", "input"], ["y", "bessel", ["x"], [p(1)]]], ["y"]);
  assert.deepEqual(findObstacle(strange), { kind: "operator", op: "bessel" });
});

test("the finite difference is exact to about ten digits for a smooth function", () => {
  const view = makeView([["x", "input"], ["y", "exp", ["x"], [p("y")]]], ["y"]);
  for (const x of [-3, 0, 0.5, 2, 100]) {
    const slope = finiteDifference(view, new Map([[0, x]]), 1, 0);
    assert.ok(Math.abs(slope / Math.exp(x) - 1) < 3e-9 * Math.max(1, Math.abs(x) ** 3), `${x}: ${slope}`);
  }
});

test("a mask makes a partial zero by structure for some inputs only", () => {
  const view = makeView(
    [
      ["x", "input"], ["bad", "log", ["x"], [p("t0", ["reciprocal", ["x0"]])]], ["zero", 0], ["c", "greater", ["x", "zero"], [null, null]],
      ["y", "where", ["c", "bad", "x"], [null, { ...p(1), mask: "x0" }, { ...p(1, ["logical_not", ["x0"]]), mask: "t0" }]],
    ],
    ["y"],
  );
  const edges = new Edges(view);
  const slope = (x: number): unknown => computeAdjoints(view, edges, computeNumbers(view, edges, new Map([[0, x]])), 4)[0];
  assert.equal(slope(2), 0.5);
  assert.equal(slope(0), 1); // log(0) has an infinite slope, which does not leak
});
