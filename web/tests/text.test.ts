import assert from "node:assert/strict";
import { test } from "node:test";
import { clampChain } from "../src/chain";
import { call, join, markedName, name, number, toText } from "../src/expr";
import { fileName } from "../src/export";
import { buildFolds } from "../src/fold";
import { formatCount, formatNumber, nameText } from "../src/format";
import { arrange } from "../src/layout";
import { parseNumber } from "../src/panels/inputs";
import { parsePayload } from "../src/payload";
import { readFragment, START, writeFragment } from "../src/state";
import { en } from "../src/strings.en";
import { zh } from "../src/strings.zh";
import { logistic } from "./helpers";

test("numbers as people write them", () => {
  assert.deepEqual([0.25, -0.25, 1 / 3, 1e-7, 123456789, NaN, -Infinity, -0].map((x) => formatNumber(x)), ["0.25", "−0.25", "0.333333", "1e−7", "1.23457e8", "NaN", "−∞", "0"]);
  assert.equal(formatCount(12345678901234567890n), "12\u202f345\u202f678\u202f901\u202f234\u202f567\u202f890");
  assert.deepEqual(["-0.5", "−2", "1/4", "inf", "1e3", "0,5", "abc", ""].map(parseNumber), [-0.5, -2, 0.25, Infinity, 1000, 0.5, null, null]);
});

test("names with numbers get subscripts and marks", () => {
  assert.equal(nameText("h12"), "h₁₂");
  assert.equal(nameText("x_3"), "x₃");
  assert.equal(nameText("<b>"), "<b>");
  assert.equal(markedName("h3", "adjoint"), "h\u0304₃");
});

test("formulas have the parentheses they need and no others", () => {
  const [a, b] = [name("a"), name("b")];
  const texts = [
    call("multiply", [call("add", [a, b]), b]), call("subtract", [a, call("subtract", [a, b])]), call("negative", [call("reciprocal", [call("square", [b])])]),
    call("multiply", [number(1), a]), call("power", [call("negative", [a]), number(2)]), call("power", [a, number(-1)]), join("multiply", [a, number(-1), b]),
    call("exp", [call("negative", [a])]), call("divide", [a, call("multiply", [a, b])]), call("sqrt", [call("add", [a, b])]),
  ].map(toText);
  assert.deepEqual(texts, ["(a + b) · b", "a − (a − b)", "−1/b²", "a", "(−a)²", "a⁻¹", "a · (−1) · b", "exp(−a)", "a/(a · b)", "√(a + b)"]);
});

test("the fragment holds the state and only what differs from the start", () => {
  assert.equal(writeFragment(START, START), "");
  const state = { ...START, mode: "reverse" as const, step: 4, selected: 5, edits: new Map([[0, -0.5], [2, Infinity]]), toggled: new Set(["g1"]), language: "zh" as const, quiz: true, chain: clampChain({ depth: 9, inputs: 3, outputs: 2, checkpoints: 20 }) };
  const again = readFragment(`#${writeFragment(state, START)}`, START);
  assert.deepEqual(again, state);
  assert.deepEqual(readFragment("#mode=sideways&step=-3&chain=1e9.x&lang=<b>", START), { ...START, chain: clampChain({ depth: 64, inputs: 1, outputs: 1, checkpoints: 0 }) });
});

test("both languages say everything, with the same places to fill", () => {
  for (const key of Object.keys(en) as (keyof typeof en)[]) {
    assert.notEqual(zh[key], "", key);
    const places = (text: string): string => [...new Set(text.match(/\{\d\}/g) ?? [])].sort().join();
    assert.equal(places(zh[key]), places(en[key]), key);
  }
});

test("neighbouring groups of a family fold together", () => {
  const view = logistic();
  view.groups = [{ label: "a 1", parent: null, family: "a" }, { label: "a 2", parent: null, family: "a" }, { label: "other", parent: null, family: "" }];
  [3, 4, 5].forEach((id, k) => ((view.nodes[id] as { group: number }).group = k));
  const { folds, around } = buildFolds(view);
  assert.deepEqual(folds.map((fold) => [fold.key, fold.label, fold.repeats, fold.operators]), [["f0", "a", 2, 2], ["g0", "a 1", 1, 1], ["g1", "a 2", 1, 1], ["g2", "other", 1, 1]]);
  assert.deepEqual(around[3]?.map((fold) => fold.key), ["f0", "g0"]);
});

test("a large layout is quick and puts no two boxes in one place", () => {
  const boxes = Array.from({ length: 3000 }, (_, i) => ({ key: `n${i}`, width: 60, height: 50, parent: null }));
  const links = boxes.slice(1).map((box, i) => ({ key: `e${i}`, from: `n${Math.floor((i * 7919) % (i + 1))}`, to: box.key, width: 50, height: 40 }));
  const begun = performance.now();
  const layout = arrange(boxes, links, []);
  assert.ok(performance.now() - begun < 1000);
  const places = new Set([...layout.boxes.values()].map((place) => `${place.x.toFixed(0)} ${place.y.toFixed(0)}`));
  assert.equal(places.size, boxes.length);
});

test("payloads of another kind are refused in words", () => {
  assert.throws(() => parsePayload('{"format":"other"}'), /wengert-explain/);
  assert.throws(() => parsePayload('{"format":"wengert-explain","version":1,"views":[]}'), /no graph/);
});

test("file names are plain", () => {
  assert.equal(fileName("1 / (exp(-x)) <b>", "svg"), "1-exp-x-b.svg");
  assert.equal(fileName("…", "txt"), "wengert.txt");
});
