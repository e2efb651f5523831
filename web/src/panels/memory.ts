/** Memory meters: what each mode holds and does on this graph, and on a chain of one's own. */

import { chainView, clampChain, type ChainShape } from "../chain";
import type { Context, Panel } from "../context";
import { countForward, countReverse, findActivity, type Counts, type Moment } from "../counts";
import { h, replaceContent, s, setText } from "../dom";
import { Edges } from "../evaluate";
import { formatCount } from "../format";
import { t, type Key } from "../i18n";
import type { Progress } from "../steps";

type Pair = { forward: Counts; reverse: Counts };
const ROWS = ["accumulation", "tape", "total", "multiplications"] as const;
const ROW_KEYS: Record<(typeof ROWS)[number], Key> = { accumulation: "memory.accumulation", tape: "memory.tape", total: "memory.total", multiplications: "memory.multiplications" };

/** The moment of a time line that the sweep on the screen has reached; null when it runs elsewhere. */
function momentAt(counts: Counts, mode: "forward" | "reverse", progress: Progress): Moment | null {
  if (progress.current === null) return null;
  if (progress.mode === "primal" && mode === "reverse") return findMoment(counts, "evaluate", progress);
  return progress.mode === mode ? findMoment(counts, "accumulate", progress) : null;
}

/** Steps of operators that don't count leave the line where the last counting step left it. */
function findMoment(counts: Counts, phase: Moment["phase"], progress: Progress): Moment | null {
  const done = new Set(progress.order.slice(0, progress.step));
  let reached: Moment | null = null;
  for (const moment of counts.line) if (moment.phase === phase && done.has(moment.node)) reached = moment;
  return reached;
}

function reading(moment: Moment | null, row: (typeof ROWS)[number]): number | null {
  if (moment === null) return null;
  return { accumulation: moment.held, tape: moment.tape, total: moment.held + moment.tape, multiplications: moment.work }[row];
}

function meters(pair: Pair, moments: { forward: Moment | null; reverse: Moment | null }): HTMLElement {
  const columns = (["forward", "reverse"] as const).map((mode) => {
    const rows = ROWS.map((row) => {
      const top = Math.max(1, ...ROWS.filter((r) => (r === "multiplications") === (row === "multiplications")).flatMap((r) => [pair.forward[r], pair.reverse[r]]));
      const [peak, now] = [pair[mode][row], reading(moments[mode], row)];
      const bar = s("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
        s("rect", { class: "rail", width: 100, height: 10 }), s("rect", { class: `peak ${row}`, width: (100 * peak) / top, height: 10 }),
        now === null ? null : s("rect", { class: "now", x: Math.max(0, (100 * now) / top - 0.8), width: 1.6, height: 10 }));
      return h("tr", {}, h("th", { scope: "row" }, t(ROW_KEYS[row])), h("td", { class: "bar-cell" }, bar), h("td", { class: "figure" }, formatCount(peak)), h("td", { class: "now" }, now === null ? "" : formatCount(now)));
    });
    return h("table", { class: `meter ${mode}` }, h("caption", {}, t(mode === "forward" ? "memory.forward" : "memory.reverse")),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("memory.what")), h("td", {}), h("th", { scope: "col" }, t("memory.peak")), h("th", { scope: "col" }, t("memory.now")))), h("tbody", {}, ...rows));
  });
  return h("div", { class: "meters" }, ...columns);
}

/** A stepped band; of thousands of steps only those where it changes are written. */
function steppedArea(line: Moment[], low: (m: Moment) => number, high: (m: Moment) => number, x: (i: number) => number, y: (n: number) => number): string {
  if (line.length === 0) return "";
  const edge = (of: (m: Moment) => number): string[] => {
    const points: string[] = [];
    line.forEach((moment, i) => {
      if (i > 0 && of(moment) === of(line[i - 1] as Moment)) return;
      if (i > 0) points.push(`${x(i).toFixed(2)},${y(of(line[i - 1] as Moment)).toFixed(2)}`);
      points.push(`${x(i).toFixed(2)},${y(of(moment)).toFixed(2)}`);
    });
    points.push(`${x(line.length).toFixed(2)},${y(of(line.at(-1) as Moment)).toFixed(2)}`);
    return points;
  };
  return `M${[...edge(high), ...edge(low).reverse()].join("L")}Z`;
}

/** Numbers in memory over time, both modes on one scale: accumulation over tape. */
function timeline(pair: Pair, moments: { forward: Moment | null; reverse: Moment | null }): HTMLElement {
  const top = Math.max(1, pair.forward.total, pair.reverse.total);
  const steps = Math.max(pair.forward.line.length, pair.reverse.line.length, 1);
  const [width, height] = [460, 120];
  const chart = (mode: "forward" | "reverse"): HTMLElement => {
    const line = pair[mode].line;
    const area = (low: (m: Moment) => number, high: (m: Moment) => number): string => steppedArea(line, low, high, (i) => (i * width) / steps, (n) => height - (n * (height - 8)) / top);
    const turn = line.findIndex((moment) => moment.phase !== "evaluate");
    const at = moments[mode] === null ? -1 : line.indexOf(moments[mode] as Moment);
    const name = t(mode === "forward" ? "memory.forward" : "memory.reverse");
    const picture = s("svg", { class: "timeline", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": t("memory.chart", name, formatCount(pair[mode].total)) },
      s("path", { class: "tape", d: area(() => 0, (m) => m.tape) }),
      s("path", { class: "accumulation", d: area((m) => m.tape, (m) => m.tape + m.held) }),
      s("line", { class: "axis", x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }),
      turn <= 0 ? null : s("line", { class: "divider", x1: (turn * width) / steps, x2: (turn * width) / steps, y1: 0, y2: height }),
      s("text", { class: "scale", x: 5, y: 15 }, formatCount(top)),
      at < 0 ? null : s("line", { class: "now", x1: ((at + 1) * width) / steps, x2: ((at + 1) * width) / steps, y1: 0, y2: height }));
    return h("figure", {}, picture, h("figcaption", {}, name));
  };
  return h("div", { class: "timelines" }, chart("forward"), chart("reverse"));
}

function swatches(): HTMLElement {
  const swatch = (name: string): HTMLElement => h("span", { class: `swatch ${name}`, "aria-hidden": "true" });
  return h("p", { class: "note key" }, swatch("accumulation"), ` ${t("memory.accumulation.why")} `, swatch("tape"), ` ${t("memory.tape.why")}`);
}

export function countChain(shape: ChainShape): Pair {
  const view = chainView(shape);
  const inputs = view.nodes.filter((node) => node.differentiable).map((node) => node.id);
  const activity = findActivity(view, new Edges(view), inputs, view.outputs.map((output) => output.node));
  return { forward: countForward(activity), reverse: countReverse(view, activity, shape.checkpoints) };
}

/** The facts in words; general formulas where the chain is the one they are about. */
export function chainFacts(shape: ChainShape, pair: Pair): string[] {
  const { forward, reverse } = pair;
  const n = shape.depth;
  const facts = [t("facts.chain", n, shape.inputs, shape.outputs)];
  facts.push(t("facts.known", forward.accumulation, forward.multiplications, reverse.accumulation, reverse.multiplications));
  if (shape.inputs === n && shape.outputs === 1 && n >= 2)
    facts.push(t("facts.general", n, forward.multiplications, reverse.accumulation, reverse.multiplications));
  facts.push(t("facts.tape", reverse.tape, reverse.total, n));
  facts.push(shape.checkpoints === 0 ? t("facts.checkpoint.none") : t("facts.checkpoint", shape.checkpoints, reverse.tape, reverse.recomputed));
  facts.push(t("facts.sweeps", shape.inputs));
  return facts;
}

export function makeMemory(get: () => Context): Panel {
  const element = h("section", { class: "card memory", "aria-labelledby": "memory-title" });
  const own = h("div", { class: "own" });
  const result = h("div", { "aria-live": "polite" });
  let counted = ""; // the chain and language that `result` shows
  const names = ["depth", "inputs", "outputs", "checkpoints"] as const;
  const keys: Record<(typeof names)[number], Key> = { depth: "chain.depth", inputs: "chain.inputs", outputs: "chain.outputs", checkpoints: "chain.checkpoints" };
  const sliders = names.map((name) => {
    const label = h("label", { for: `chain-${name}` });
    const range = h("input", { type: "range", id: `chain-${name}`, min: name === "checkpoints" ? 0 : 1, max: 64, input: () => {
      const before = get().state.sliders;
      const next = { ...before, [name]: Number(range.value) };
      // A chain in which every operator has an input of its own stays one when its depth changes.
      if (name === "depth" && before.inputs === before.depth) next.inputs = next.depth;
      const sliders = clampChain(next);
      get().store.set(get().state.chain === null ? { sliders } : { sliders, chain: sliders });
    } });
    const figure = h("output", { for: `chain-${name}` });
    return { name, label, range, figure, row: h("div", { class: "slider" }, label, range, figure) };
  });
  const draw = h("button", { type: "button", "data-key": "chain-draw", click: () => {
    const { store, state } = get();
    store.set({ chain: state.chain === null ? state.sliders : null, view: 0, step: null, input: null, output: null, selected: null, edits: new Map(), toggled: new Set() });
  } });
  const title = h("h2", { id: "memory-title" });
  const more = h("details", { open: true }, h("summary", {}), h("div", { class: "chain" }, h("div", { class: "sliders" }, ...sliders.map((slider) => slider.row), draw), result));
  element.append(title, own, more);
  return {
    element,
    update({ model, progress, state }: Context) {
      setText(title, t("memory.title"));
      const counts = model.counts;
      const moments = { forward: momentAt(counts.forward, "forward", progress), reverse: momentAt(counts.reverse, "reverse", progress) };
      const { forward, reverse } = counts;
      replaceContent(own, h("p", { class: "lead" }, t("memory.lead", model.inputs.length, model.outputs.length)), meters(counts, moments), timeline(counts, moments), swatches(),
        h("p", { class: "fact" }, t("memory.words", forward.accumulation, forward.multiplications, reverse.accumulation, reverse.multiplications, reverse.tape, reverse.total)));
      setText(more.firstElementChild as Element, t("chain.title"));
      for (const { name, label, range, figure } of sliders) {
        setText(label, t(keys[name]));
        if (name !== "depth") range.max = String(name === "checkpoints" ? state.sliders.depth - 1 : state.sliders.depth);
        range.value = String(state.sliders[name]);
        setText(figure, String(state.sliders[name]));
      }
      setText(draw, t(state.chain === null ? "chain.draw" : "chain.leave"));
      const key = `${JSON.stringify(state.sliders)} ${state.language}`;
      if (key === counted) return;
      counted = key;
      const pair = countChain(state.sliders);
      const none = { forward: null, reverse: null };
      replaceContent(result, meters(pair, none), timeline(pair, none), h("ul", { class: "facts" }, ...chainFacts(state.sliders, pair).map((fact) => h("li", {}, fact))));
    },
  };
}
