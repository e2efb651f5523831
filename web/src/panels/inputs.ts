/** Inputs to edit, and every derivative of the chosen output, checked four ways. */

import { isHiding, type Context, type Panel } from "../context";
import { h, m, replaceContent, setText } from "../dom";
import { derivativeExpr, titleOf } from "../equations";
import { agree } from "../evaluate";
import { nodeName, toMath } from "../expr";
import { formatExact, formatNumber, formatShape, nameText } from "../format";
import { t } from "../i18n";
import type { Model, Quantity } from "../model";
import { fromWire, type ArraySummary, type WireNumber } from "../payload";
import { makeElements, tooManyText } from "./elements";

const SHOWN = 40; // inputs listed; the rest are named in a note

export function obstacleText(model: Model): string {
  const obstacle = model.obstacle;
  if (obstacle === null) return "";
  if (obstacle.kind === "operator") return t("edit.operator", obstacle.op);
  if (obstacle.kind === "large") return t("edit.large", obstacle.most);
  return t(obstacle.kind === "array" ? "edit.array" : "edit.partial", titleOf(obstacle.node));
}

/** A number with its marks: NaN and zero by structure differ in sign, outline and spoken text. */
export function quantityCell(quantity: Quantity, dtype: string, role: string): HTMLElement {
  if (quantity === null) return h("span", { class: "absent", title: t("zero.title") }, t("zero.mark"), h("span", { class: "away" }, ` ${t("zero.title")}`));
  if (quantity === undefined) return h("span", { class: "unknown" }, "—");
  if (typeof quantity !== "number") return h("span", { class: role }, formatShape(dtype, quantity.shape));
  if (Number.isNaN(quantity)) return h("span", { class: "nan", title: t("nan.title") }, "⚠ NaN");
  return h("span", { class: role, title: formatExact(quantity) }, formatNumber(quantity));
}

/** Agreement of the modes with each other and with the finite difference, as a sign and a word. */
export function verdict(forward: Quantity, reverse: Quantity, finite: Quantity): HTMLElement {
  const figure = (q: Quantity): number | undefined => (q === null ? 0 : typeof q === "number" ? q : undefined);
  const [f, r, d] = [figure(forward), figure(reverse), figure(finite)];
  if (isSummary(reverse)) return isSummary(finite) ? judged(sameSummary(reverse, finite)) : h("span", {}, "");
  if (r === undefined || (f === undefined && d === undefined)) return h("span", {}, "");
  return judged( (f === undefined || agree(f, r, 12)) && (d === undefined || agree(r, d, 6)));
}

const isSummary = (q: Quantity): q is ArraySummary => typeof q === "object" && q !== null;

/** Arrays are compared by their extremes and mean and by what can be seen of them. */
function sameSummary(a: ArraySummary, b: ArraySummary): boolean {
  const scale = Math.max(1, Math.abs(fromWire(a.min)), Math.abs(fromWire(a.max)));
  const near = (x: WireNumber, y: WireNumber | undefined): boolean => y !== undefined && agree(fromWire(x) / scale, fromWire(y) / scale, 5);
  return near(a.min, b.min) && near(a.max, b.max) && near(a.mean, b.mean) && a.grid.every((row, i) => row.every((x, j) => near(x, b.grid[i]?.[j])));
}

function judged(same: boolean): HTMLElement {
  return h("span", { class: same ? "yes" : "no" }, same ? `✓ ${t("check.agree")}` : `✗ ${t("check.differ")}`);
}

export function makeInputs(get: () => Context): Panel {
  const title = h("h2", { id: "inputs-title" });
  const lead = h("p", { class: "note" });
  const fields = h("div", { class: "fields" });
  const reset = h("button", { type: "button", "data-key": "reset", click: () => get().store.set({ edits: new Map(), cells: new Map() }) });
  const elements = makeElements(get);
  const table = h("div", { class: "scroll", tabindex: "0", role: "group" });
  const element = h("section", { class: "card inputs", "aria-labelledby": "inputs-title" }, title, lead, fields, elements.element, reset, table);
  let shownFor: Model | null = null;
  let boxes = new Map<number, HTMLInputElement>();

  const edit = (id: number, box: HTMLInputElement): void => {
    const x = parseNumber(box.value);
    box.setAttribute("aria-invalid", String(x === null));
    if (x === null) return;
    const edits = new Map(get().state.edits);
    edits.set(id, x);
    get().store.set({ edits });
  };

  /** Fields are made once per graph, or typing would lose the caret. */
  const makeFields = (model: Model): void => {
    boxes = new Map();
    const all = model.view.nodes.filter((node) => node.kind === "input");
    fields.replaceChildren(...all.slice(0, SHOWN).map((node) => {
      const id = `edit-${node.id}`;
      if (node.shape.length > 0) return elements.field(model, node);
      const box = h("input", { id, type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false", disabled: model.obstacle !== null, input: () => edit(node.id, box) });
      boxes.set(node.id, box);
      return h("span", { class: "field" }, h("label", { for: id }, `${titleOf(node)} =`), box);
    }));
    shownFor = model;
  };

  return {
    element,
    update(context) {
      const { model, progress } = context;
      if (shownFor !== model) makeFields(model);
      setText(title, t("inputs.title"));
      setText(reset, t("inputs.reset"));
      reset.hidden = !model.edited;
      setText(lead, model.obstacle === null ? `${t("inputs.lead")} ${tooManyText(model)}`.trim() : t("inputs.locked", obstacleText(model)));
      elements.update(context);
      for (const [id, box] of boxes) {
        const now = model.numbers.values[id] as number;
        const typed = parseNumber(box.value);
        if (document.activeElement === box && (typed === null || Object.is(typed, now))) continue; // being typed
        box.value = formatExact(now);
        box.removeAttribute("aria-invalid");
      }
      table.setAttribute("aria-label", t("derivatives.title"));
      const output = progress.seeds.output;
      if (output === null || isHiding(context)) replaceContent(table, h("p", { class: "note" }, t(output === null ? "story.nooutput" : "quiz.hidden")));
      else replaceContent(table, derivativeTable(context, output));
    },
  };
}

/** What people type: a real minus sign, a decimal comma, inf, nan, fractions such as 1/3. */
export function parseNumber(text: string): number | null {
  const clean = text.trim().replaceAll("−", "-").replace("∞", "inf").toLowerCase();
  if (/^[+-]?inf(inity)?$/.test(clean)) return clean.startsWith("-") ? -Infinity : Infinity;
  if (clean === "nan") return NaN;
  const parts = clean.replace(",", ".").split("/");
  if (parts.length > 2 || parts.some((part) => !/^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/.test(part))) return null;
  const [a = 0, b = 1] = parts.map(Number);
  return a / b;
}

function derivativeTable({ model, actions }: Context, output: number): HTMLElement {
  const head = ["derivatives.what", "mode.forward", "mode.reverse", "derivatives.finite", "derivatives.check"] as const;
  const rows = model.inputs.slice(0, SHOWN).map((input) => {
    const dtype = model.node(input).dtype;
    const forward = model.tangent(output, input);
    const reverse = model.adjoint(input, output);
    const finite = model.finite(output, input);
    const label = h("button", { type: "button", class: "link", "data-key": `derivative-${input}`, click: () => actions.select(input), title: t("derivatives.of", model.outputName(output), nameText(nodeName(model.node(input)))) }, m("math", {}, toMath(derivativeExpr(model, output, input))));
    return h("tr", {}, h("th", { scope: "row" }, label),
      // An array input is seeded with ones: the sum of the derivatives by its elements.
      h("td", {}, model.node(input).shape.length > 0 && typeof forward === "number" ? "Σ " : "", quantityCell(forward, model.node(output).dtype, "tangent")),
      h("td", {}, quantityCell(reverse, dtype, "adjoint")),
      h("td", {}, quantityCell(finite, dtype, "value-plain")),
      h("td", {}, verdict(forward, reverse, finite)));
  });
  return h("div", {}, h("h3", {}, t("derivatives.title")),
    h("table", {}, h("thead", {}, h("tr", {}, ...head.map((key) => h("th", { scope: "col" }, t(key))))), h("tbody", {}, ...rows)),
    model.inputs.length > SHOWN ? h("p", { class: "note" }, t("more.inputs", model.inputs.length - SHOWN)) : null);
}
