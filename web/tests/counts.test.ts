import assert from "node:assert/strict";
import { test } from "node:test";
import { chainView } from "../src/chain";
import { countForward, countReverse, findActivity, segmentEnds, type Counts } from "../src/counts";
import { Edges } from "../src/evaluate";
import type { View } from "../src/payload";
import { logistic, makeView, p } from "./helpers";

function count(view: View, checkpoints = 0): { forward: Counts; reverse: Counts } {
  const inputs = view.nodes.filter((node) => node.differentiable).map((node) => node.id);
  const activity = findActivity(view, new Edges(view), inputs, view.outputs.map((output) => output.node));
  return { forward: countForward(activity), reverse: countReverse(view, activity, checkpoints) };
}

const four = (c: Counts): number[] => [c.accumulation, c.tape, c.total, c.multiplications];

test("three operators in a row, each with an input of its own: forward 3, reverse 2", () => {
  const { forward, reverse } = count(chainView({ depth: 3, inputs: 3, outputs: 1, checkpoints: 0 }));
  assert.deepEqual(four(forward), [3, 0, 3, 3]);
  assert.deepEqual(four(reverse), [2, 2, 3, 3]);
  assert.deepEqual(forward.line.map((m) => [m.held, m.work]), [[1, 0], [2, 1], [3, 3]]);
  const backwards = reverse.line.filter((m) => m.phase === "accumulate");
  assert.deepEqual(backwards.map((m) => [m.held, m.tape, m.work]), [[2, 1, 0], [2, 1, 2], [1, 0, 3]]);
});

test("n operators: forward n and n(n-1)/2, reverse 2 and 2n-3, its total n (from 3 on)", () => {
  for (const n of [3, 4, 7, 20, 64]) {
    const { forward, reverse } = count(chainView({ depth: n, inputs: n, outputs: 1, checkpoints: 0 }));
    assert.deepEqual(four(forward), [n, 0, n, (n * (n - 1)) / 2]);
    assert.deepEqual(four(reverse), [2, n - 1, n, 2 * n - 3]);
  }
});

test("one direction along a chain holds one number", () => {
  const { forward, reverse } = count(chainView({ depth: 30, inputs: 1, outputs: 1, checkpoints: 0 }));
  assert.deepEqual(four(forward), [1, 0, 1, 29]);
  assert.equal(reverse.accumulation, 1);
});

test("many outputs of one input turn the tables", () => {
  const { forward, reverse } = count(chainView({ depth: 10, inputs: 1, outputs: 10, checkpoints: 0 }));
  assert.equal(forward.accumulation, 1);
  assert.equal(reverse.accumulation, 10);
  assert.equal(reverse.multiplications, 45);
});

test("the logistic function", () => {
  const { forward, reverse } = count(logistic());
  assert.deepEqual(four(forward), [3, 0, 3, 14]);
  assert.deepEqual(four(reverse), [2, 2, 2, 7]);
});

test("what is not on a path from an input to an output does not count", () => {
  const view = makeView(
    [
      ["x", "input"], ["dead", "exp", ["x"], [p("y")], [["dead"]]], ["c", 2],
      ["k", "exp", ["c"], [p("y")], [["k"]]], ["y", "multiply", ["x", "k"], [p("x1"), p("x0")], [["k"], ["x"]]],
    ],
    ["y"],
  );
  const { forward, reverse } = count(view);
  assert.deepEqual(four(forward), [1, 0, 1, 0]);
  assert.deepEqual(four(reverse), [1, 1, 1, 0]);
});

test("checkpoints trade tape for evaluating again", () => {
  assert.deepEqual(segmentEnds(10, 2), [3, 6, 9]);
  const plain = count(chainView({ depth: 36, inputs: 36, outputs: 1, checkpoints: 0 })).reverse;
  const kept = count(chainView({ depth: 36, inputs: 36, outputs: 1, checkpoints: 0 }), 5).reverse;
  assert.equal(plain.tape, 35);
  assert.equal(kept.tape, 10);
  assert.equal(kept.recomputed, 25);
  assert.equal(kept.multiplications, plain.multiplications);
  assert.equal(kept.line.at(-1)?.tape, 0);
});
