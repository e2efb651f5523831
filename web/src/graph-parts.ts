/** The marks of the drawing, one box or link at a time: first its elements, then its state. */

import { s, setText } from "./dom";
import { nodeName } from "./expr";
import { formatNumber, formatShape, nameText } from "./format";
import { gridOf, heatColour } from "./heat";
import { t } from "./i18n";
import { curve, type Layout, type Place } from "./layout";
import type { Model, Quantity } from "./model";
import { partialText, type SceneBox, type SceneLink } from "./scene";
import type { State } from "./state";
import type { Progress } from "./steps";

export interface BoxPicture {
  box: SceneBox;
  group: SVGGElement;
  press: SVGGElement;
  pill: SVGTextElement;
  /** The heat map of an array, and what it was made of. */
  miniature: SVGGElement | null;
  pictured: Quantity;
  pointer: SVGPathElement;
}

export interface LinkPicture {
  link: SceneLink;
  group: SVGGElement;
  value: SVGTextElement;
  formula: SVGTSpanElement;
  figure: SVGTSpanElement;
}

export const BATCH_COLOURS = 8;

export function drawBox(box: SceneBox, place: Place, model: Model): BoxPicture {
  const { width: w, height: h } = place;
  const group = s("g", { class: `box ${box.kind}`, transform: `translate(${place.x} ${place.y})` });
  // The button holds only the symbol: its spoken name begins with it and then says the rest.
  const press = s("g", { class: "press", "data-box": box.key, role: "button" });
  group.append(press);
  const frame = { x: -w / 2, y: -h / 2, width: w, height: h, rx: box.kind === "input" || box.kind === "result" ? Math.min(h / 2, 20) : 11 };
  if (box.kind === "fold") press.append(s("rect", { ...frame, x: frame.x + 6, y: frame.y - 6, class: "behind" }), s("rect", { ...frame, x: frame.x + 3, y: frame.y - 3, class: "behind" }));
  press.append(s("rect", { ...frame, class: "frame" }));
  const node = box.node === null ? null : model.node(box.node);
  const value = node === null || box.kind === "result" ? null : model.value(node.id);
  const picture = typeof value === "object" ? value : null;
  const symbolY = picture !== null ? -h / 2 + 18 : box.caption === "" ? 6 : -2;
  press.append(s("text", { class: "symbol", y: symbolY }, box.symbol));
  const caption = box.kind === "fold" ? t("fold.count", box.caption) : box.caption;
  if (caption !== "") group.append(s("text", { class: "caption", "aria-hidden": "true", y: picture !== null ? -h / 2 + 33 : h / 2 - 9 }, caption));
  const small = picture === null ? null : s("g", {}, miniature(gridOf(picture), h));
  if (small !== null) group.append(small);
  if (node !== null && node.batch !== null && box.kind !== "result") {
    group.classList.add(`batch-${node.batch % BATCH_COLOURS}`);
    group.append(s("text", { class: "batch", "aria-hidden": "true", x: w / 2 - 4, y: -h / 2 - 4 }, t("batch.short", node.batch + 1)));
  }
  const pill = s("text", { class: "pill", "aria-hidden": "true", y: h / 2 + 17 });
  const pointer = s("path", { class: "pointer", d: `M-8,${-h / 2 - 18}h16l-8,11z` });
  group.append(pill, pointer);
  return { box, group, press, pill, pointer, miniature: small, pictured: picture };
}

/** A picture of an array inside its node: at most eight by five cells. */
function miniature(grid: number[][], h: number): SVGGElement {
  const rows = grid.slice(0, 5);
  const columns = Math.min(8, rows[0]?.length ?? 0);
  const picture = s("g", { class: "miniature", transform: `translate(${-columns * 4} ${h / 2 - 10 - rows.length * 8})` });
  const top = Math.max(...grid.flat().filter(Number.isFinite).map(Math.abs), 1e-300);
  rows.forEach((row, i) => row.slice(0, 8).forEach((x, j) => picture.append(s("rect", { x: j * 8, y: i * 8, width: 7.4, height: 7.4, fill: heatColour(x, top) }))));
  return picture;
}

function short(quantity: Quantity, model: Model, id: number): string {
  if (quantity === null) return t("zero.mark");
  if (quantity === undefined) return "";
  if (typeof quantity === "number") return Number.isNaN(quantity) ? "⚠ NaN" : formatNumber(quantity);
  return formatShape(model.node(id).dtype, quantity.shape);
}

export function paintBox(picture: BoxPicture, model: Model, state: State, progress: Progress, focusKey: string | null): void {
  const { box, group, press } = picture;
  press.setAttribute("tabindex", box.key === focusKey ? "0" : "-1");
  const on = (name: string, condition: boolean): void => void group.classList.toggle(name, condition);
  if (box.node === null) {
    const holdsCurrent = progress.current !== null && (model.folds.around[progress.current] ?? []).some((fold) => fold === box.fold);
    on("current", holdsCurrent);
    press.setAttribute("aria-label", t("fold.open", box.symbol, box.caption));
    return;
  }
  const id = box.node;
  const value = model.value(id);
  if (picture.miniature !== null && typeof value === "object" && value !== null && value !== picture.pictured) {
    picture.miniature.replaceChildren(miniature(gridOf(value), box.height));
    picture.pictured = value;
  }
  const operator = box.kind === "op";
  const tangent = box.kind === "constant" || box.kind === "result" ? undefined : progress.tangent(id);
  const adjoint = box.kind === "constant" || box.kind === "result" ? undefined : progress.adjoint(id);
  const seeded = (progress.mode === "forward" && id === progress.seeds.input) || (progress.mode === "reverse" && id === progress.seeds.output);
  on("current", operator && id === progress.current);
  on("ahead", operator && !progress.isDone(id));
  on("selected", id === state.selected && box.kind !== "result");
  on("seeded", seeded && box.kind !== "constant");
  on("tangent", tangent !== undefined);
  on("adjoint", adjoint !== undefined);
  const partly = adjoint !== undefined && adjoint !== null && !progress.isAdjointComplete(id);
  const text = tangent !== undefined ? `▸ ${short(tangent, model, id)}` : adjoint !== undefined ? `◂ ${short(adjoint, model, id)}${partly ? " + …" : ""}` : "";
  setText(picture.pill, text);
  picture.pill.classList.toggle("absent", tangent === null || adjoint === null);
  press.setAttribute("aria-label", describe(box, model, progress, text === "" ? "" : text.slice(2)));
}

function describe(box: SceneBox, model: Model, progress: Progress, sweep: string): string {
  const id = box.node as number;
  const node = model.node(id);
  const value = progress.knowsValue(id) ? short(model.value(id), model, id) : "?";
  const kind = t(box.kind === "result" ? "kind.result" : box.kind === "input" ? "kind.input" : box.kind === "constant" ? "kind.constant" : "kind.op");
  const parts = [box.symbol, `${kind} ${box.kind === "result" ? "" : nameText(nodeName(node))}`.trim(), t("aria.value", value)];
  if (sweep !== "" && box.kind !== "result") parts.push(t(progress.mode === "forward" ? "aria.tangent" : "aria.adjoint", sweep));
  if (id === progress.current && box.kind === "op") parts.push(t("aria.current"));
  return parts.join(", ");
}

export function drawLink(link: SceneLink, where: Layout["links"] extends Map<string, infer T> ? T | undefined : never): LinkPicture {
  const group = s("g", { class: "link" });
  const value = s("text", { class: "value", "aria-hidden": "true" });
  const formula = s("tspan", { class: "formula" });
  const figure = s("tspan", { class: "figure" });
  if (where !== undefined) {
    const { x, y } = where.label;
    group.append(s("path", { class: "wire", d: curve(where.points), "marker-end": "url(#arrow)" }));
    value.setAttribute("x", String(x));
    value.setAttribute("y", String(y - 6));
    group.append(value, s("text", { class: "partial", "aria-hidden": "true", x, y: y + 15 }, formula, figure));
  }
  return { link, group, value, formula, figure };
}

export function paintLink(picture: LinkPicture, model: Model, state: State, progress: Progress): void {
  const { link, group } = picture;
  const edge = link.edges[0];
  const single = link.edges.length === 1 && link.key.startsWith("e") ? edge : undefined;
  const known = link.value !== null && progress.knowsValue(link.value);
  const value = link.value === null ? t("edges.count", link.edges.length) : known ? short(model.value(link.value), model, link.value) : "";
  setText(picture.value, value);
  picture.value.classList.toggle("nan", value.startsWith("⚠"));
  const absent = single !== undefined && (single.partial === null || (progress.knowsPartial(single) && model.partial(single.id) === null));
  group.classList.toggle("zero", absent);
  const operator = single?.to ?? null;
  group.classList.toggle("current", operator !== null && operator === progress.current);
  group.classList.toggle("chosen", state.selected !== null && link.edges.some((e) => e.to === state.selected || e.from === state.selected));
  if (single === undefined) return;
  if (single.partial === null) {
    setText(picture.formula, model.node(single.from).kind === "constant" ? "" : t("zero.mark"));
    return;
  }
  const [formula, rest] = partialText(model, single, link.formula, progress.knowsPartial(single));
  setText(picture.formula, formula);
  setText(picture.figure, rest);
}
