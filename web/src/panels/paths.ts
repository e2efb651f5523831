/** All paths between an input and an output, their products and sum, and what folding saves. */

import { isHiding, type Context, type Panel } from "../context";
import { h, replaceContent } from "../dom";
import { derivativeExpr, derivativeText, equation, figure, showEquation, titleOf } from "../equations";
import { agree } from "../evaluate";
import { join, nodeName, number, partialOf, type Expr } from "../expr";
import { formatCount, formatNumber, nameText } from "../format";
import { t } from "../i18n";
import type { Model } from "../model";
import { edgeExpr, factoredForm, findPaths, foldedSum, pathProduct } from "../paths";
import type { Edge } from "../evaluate";

const LISTED = 40;
const WRITTEN = 14; // factors written out in one product
const ENDS = 3; // factors written of a longer product, at each end
const FACTORED_LINES = 12;

export function makePaths(get: () => Context): Panel {
  const element = h("section", { class: "card paths", "aria-labelledby": "paths-title" });
  let shown: unknown[] = [];
  return {
    element,
    update(context: Context) {
      const { model, progress, state } = context;
      const { input, output } = progress.seeds;
      // Independent of the step, and the costliest panel of a large graph.
      const key = [model, input, output, state.edits, state.selected, state.language, isHiding(context)];
      if (key.every((part, i) => part === shown[i])) return;
      shown = key;
      const title = h("h2", { id: "paths-title" }, t("paths.title"));
      if (input === null || output === null) {
        replaceContent(element, title, h("p", { class: "note" }, t("story.noinput")));
        return;
      }
      const choose = (id: string, label: string, ids: number[], now: number, names: (id: number) => string, set: (id: number) => void): HTMLElement => {
        const select = h("select", { id, "data-key": id, change: () => set(Number(select.value)) }, ...ids.map((each) => h("option", { value: each, selected: each === now }, names(each))));
        return h("span", { class: "field" }, h("label", { for: id }, label), select);
      };
      const pickers = h("p", { class: "pickers" },
        choose("path-from", t("paths.from"), model.inputs, input, (id) => titleOf(model.node(id)), (id) => get().store.set({ input: id })),
        choose("path-to", t("paths.to"), model.outputs, output, (id) => nameText(model.outputName(id)) || titleOf(model.node(id)), (id) => get().store.set({ output: id })));
      const body = isHiding(context) ? [h("p", { class: "note" }, t("quiz.hidden"))] : model.hasArrays ? structureOnly(model, input, output) : report(model, input, output, state.selected);
      replaceContent(element, title, pickers, ...body);
    },
  };
}

function structureOnly(model: Model, input: number, output: number): HTMLElement[] {
  const found = findPaths(model.view, model.flow, input, output, LISTED);
  return [h("p", {}, t("paths.count", formatCount(found.count))), h("p", { class: "note" }, t("paths.arrays")), routes(model, found.listed)];
}

function route(model: Model, path: Edge[]): string {
  const stops = path.length === 0 ? [] : [path[0]?.from as number, ...path.map((edge) => edge.to)];
  const names = stops.map((id) => titleOf(model.node(id)));
  return names.length <= WRITTEN ? names.join(" → ") : [...names.slice(0, 6), "…", ...names.slice(-6)].join(" → ");
}

function routes(model: Model, listed: Edge[][]): HTMLElement {
  return h("ol", { class: "routes", tabindex: "0", "aria-label": t("paths.list") }, ...listed.map((path) => h("li", {}, route(model, path))));
}

function report(model: Model, input: number, output: number, selected: number | null): HTMLElement[] {
  const found = findPaths(model.view, model.flow, input, output, LISTED);
  const label = derivativeText(model, output, input);
  if (found.count === 0n) return [h("p", {}, t("paths.none", label))];
  const parts: HTMLElement[] = [h("p", { class: "lead" }, t("paths.count", formatCount(found.count)))];
  const rows = found.listed.map((path) => {
    const through = selected !== null && path.some((edge) => edge.from === selected || edge.to === selected);
    const clip = (factor: (edge: Edge) => Expr): Expr =>
      join("multiply", path.length <= WRITTEN ? path.map(factor) : [...path.slice(0, ENDS).map(factor), { kind: "text", text: "…" }, ...path.slice(-ENDS).map(factor)]);
    const symbols = clip((edge) => edgeExpr(model.view, edge));
    const figures = clip((edge) => figure(model.partial(edge.id), "", "partial"));
    const product = equation([symbols, figures, number(pathProduct(path, model.numbers), "adjoint")]);
    return h("li", { class: through ? "chosen" : "" }, h("span", { class: "route" }, route(model, path)), showEquation(product));
  });
  parts.push(h("ol", { class: "routes", tabindex: "0", "aria-label": t("paths.list") }, ...rows));
  if (found.count > BigInt(found.listed.length)) parts.push(h("p", { class: "note" }, t("paths.more", formatCount(found.count - BigInt(found.listed.length)))));

  const sum = foldedSum(found, model.numbers, input, output) ?? (input === output ? 1 : 0);
  const [forward, reverse] = [model.tangent(output, input), model.adjoint(input, output)];
  const same = typeof forward === "number" && typeof reverse === "number" && agree(sum, forward, 12) && agree(sum, reverse, 12);
  const left = derivativeExpr(model, output, input);
  const terms = found.listed.slice(0, 8).map((path) => number(pathProduct(path, model.numbers), "adjoint"));
  const open: Expr[] = found.count > BigInt(terms.length) ? [{ kind: "text", text: "…" }] : [];
  parts.push(h("h3", {}, t("paths.sum")), showEquation(equation([left, ...(terms.length > 1 ? [join("add", [...terms, ...open])] : []), number(sum, "adjoint")])),
    h("p", {}, h("span", { class: same ? "yes" : "no" }, same ? "✓ " : "✗ "), t("paths.check", value(forward), value(reverse))));

  parts.push(h("h3", {}, t("paths.factored")));
  const lines = factoredForm(model.view, found, model.numbers, input, output);
  for (const line of lines.slice(-FACTORED_LINES)) {
    const by = nodeName(model.node(input));
    const what = line.node === output ? left : partialOf(nodeName(model.node(line.node)), by);
    parts.push(showEquation(equation([what, line.formula, line.numeric, number(line.value, "adjoint")])));
  }
  if (lines.length > FACTORED_LINES) parts.push(h("p", { class: "note" }, t("paths.lines", lines.length - FACTORED_LINES)));
  parts.push(h("p", { class: "fact" }, t("paths.saved", formatCount(found.separate), formatCount(found.folded), formatCount(found.separate - found.folded))));
  return parts;
}

const value = (q: unknown): string => (typeof q === "number" ? formatNumber(q) : "—");

/** "∂f/∂w = x · 1 · (−1) · … = 0.25" for the opening: the longest single path that fits a line. */
export function openingProduct(model: Model): HTMLElement | null {
  const output = model.outputs[0];
  if (output === undefined || model.hasArrays) return null;
  let best: { input: number; path: Edge[] } | null = null;
  for (const input of model.inputs.slice(0, 12)) {
    const found = findPaths(model.view, model.flow, input, output, 2);
    const path = found.listed[0];
    if (found.count !== 1n || path === undefined || path.length < 2 || path.length > 9) continue;
    const interesting = (p: Edge[]): number => p.length + (pathProduct(p, model.numbers) === 0 ? 0 : 0.5);
    if (best === null || interesting(path) > interesting(best.path)) best = { input, path };
  }
  if (best === null) return null;
  const { input, path } = best;
  const figures = path.map((edge) => figure(model.partial(edge.id), "", "partial"));
  return showEquation(equation([derivativeExpr(model, output, input), join("multiply", path.map((edge) => edgeExpr(model.view, edge))), join("multiply", figures), number(pathProduct(path, model.numbers), "adjoint")]));
}
