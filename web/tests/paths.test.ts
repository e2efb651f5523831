import assert from "node:assert/strict";
import { test } from "node:test";
import { computeAdjoints, computeNumbers, Edges } from "../src/evaluate";
import { toText } from "../src/expr";
import { factoredForm, findPaths, foldedSum, pathProduct } from "../src/paths";
import { logistic, makeView, p, type Line } from "./helpers";

/** y = x + x, doubled n times: 2^n paths. */
function doubling(n: number): ReturnType<typeof makeView> {
  const lines: Line[] = [["x", "input"]];
  for (let i = 1; i <= n; i++) {
    const before = i === 1 ? "x" : `h${i - 1}`;
    lines.push([`h${i}`, "add", [before, before], [p(1), p(1)]]);
  }
  return makeView(lines, [`h${n}`]);
}

test("one path of the logistic function, its product and its folded form", () => {
  const view = logistic();
  const edges = new Edges(view);
  const numbers = computeNumbers(view, edges, new Map([[0, 1], [1, 0], [2, 0]]));
  const found = findPaths(view, edges, 1, 9, 10);
  assert.equal(found.count, 1n);
  assert.equal(pathProduct(found.listed[0] ?? [], numbers), 0.25);
  assert.equal(found.separate, 5n);
  assert.equal(found.folded, 5n);
  const lines = factoredForm(view, found, numbers, 1, 9);
  assert.equal(lines.length, 1);
  assert.equal(toText(lines[0]?.formula as never), "x · 1 · (−1) · exp(h₃) · 1 · (−h₆²)");
  assert.equal(lines[0]?.value, 0.25);
});

test("counts stay exact when there are too many paths to list", () => {
  const view = doubling(200);
  const found = findPaths(view, new Edges(view), 0, 200, 5);
  assert.equal(found.count, 2n ** 200n);
  assert.equal(found.listed.length, 5);
  assert.equal(found.separate, 199n * 2n ** 200n);
  assert.equal(found.folded, 2n * 199n);
});

test("the folded sum is the derivative", () => {
  const view = doubling(30);
  const edges = new Edges(view);
  const numbers = computeNumbers(view, edges, new Map([[0, 1]]));
  const found = findPaths(view, edges, 0, 30, 5);
  assert.equal(foldedSum(found, numbers, 0, 30), 2 ** 30);
  assert.equal(computeAdjoints(view, edges, numbers, 30)[0], 2 ** 30);
});

test("no path", () => {
  const view = makeView([["x", "input"], ["z", "input"], ["y", "exp", ["x"], [p("y")]]], ["y"]);
  assert.equal(findPaths(view, new Edges(view), 1, 2, 5).count, 0n);
});
