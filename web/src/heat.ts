/** Heat maps: a diverging scale around zero, from blue over the paper's grey to orange. */

import { h } from "./dom";
import { formatNumber, formatShape } from "./format";
import { t } from "./i18n";
import { fromWire, type ArraySummary } from "./payload";

export function gridOf(summary: ArraySummary): number[][] {
  return summary.grid.map((row) => row.map(fromWire));
}

/** Colour of a number on a scale that ends at ±top; NaN is magenta, which the scale lacks. */
export function heatColour(x: number, top: number): string {
  if (Number.isNaN(x)) return "rgb(200 0 160)";
  const share = Math.max(-1, Math.min(1, Number.isFinite(x) ? x / top : Math.sign(x)));
  const strength = Math.sqrt(Math.abs(share)); // small numbers should still be seen
  const end = share < 0 ? [38, 96, 184] : [214, 96, 12];
  const paper = [228, 228, 226];
  const mix = paper.map((p, i) => Math.round(p + ((end[i] as number) - p) * strength));
  return `rgb(${mix.join(" ")})`;
}

/** Black or white, whichever reads better on a colour of the scale: at least 4.5 to 1. */
export function inkOn(colour: string): string {
  const [r = 0, g = 0, b = 0] = (colour.match(/\d+/g) ?? []).map((part) => {
    const c = Number(part) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "black" : "white";
}

/** The heat map as a picture with a caption and, folded away, the numbers it is made of. */
export function heatMap(summary: ArraySummary, dtype: string, title: string): HTMLElement {
  const grid = gridOf(summary);
  const top = Math.max(...grid.flat().filter(Number.isFinite).map(Math.abs), 1e-300);
  const columns = grid[0]?.length ?? 0;
  const cell = Math.max(6, Math.min(22, Math.floor(340 / Math.max(columns, 1))));
  const canvas = h("canvas", { width: columns * cell, height: grid.length * cell, role: "img", "aria-label": t("heat.label", title, formatShape(dtype, summary.shape)) });
  const pen = canvas.getContext("2d");
  grid.forEach((row, i) => row.forEach((x, j) => {
    if (pen === null) return;
    pen.fillStyle = heatColour(x, top);
    pen.fillRect(j * cell, i * cell, cell - 0.5, cell - 0.5);
    if (Number.isNaN(x)) {
      pen.strokeStyle = "white"; // a cross as well as a colour
      pen.strokeRect(j * cell + 2, i * cell + 2, cell - 5, cell - 5);
    }
  }));
  const figures = [t("heat.range", formatNumber(fromWire(summary.min)), formatNumber(fromWire(summary.max)), formatNumber(fromWire(summary.mean)))];
  if (summary.nans > 0) figures.push(t("heat.nans", summary.nans));
  if (summary.infs > 0) figures.push(t("heat.infs", summary.infs));
  const table = h("table", { class: "numbers" }, h("tbody", {}, ...grid.slice(0, 16).map((row) => h("tr", {}, ...row.slice(0, 16).map((x) => h("td", {}, formatNumber(x, 4)))))));
  return h("figure", { class: "heat" }, canvas,
    h("figcaption", {}, `${title} ${formatShape(dtype, summary.shape)} · ${figures.join(" · ")}${summary.exact ? "" : ` · ${t("heat.sampled")}`}`),
    h("details", {}, h("summary", { "data-key": `heat-${title}` }, t("heat.numbers")), h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": t("heat.numbers") }, table)));
}
