/** What can be taken away: the drawing as SVG or PNG, and everything as a text transcript. */

import type { Context } from "./context";
import { s } from "./dom";
import { adjointEquation, derivativeText, equationText, titleOf, valueEquation } from "./equations";
import { formatExact } from "./format";
import type { Graph } from "./graph";
import { t } from "./i18n";
import type { Quantity } from "./model";
import { storyText } from "./panels/story";
import { Progress } from "./steps";

function save(name: string, blob: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function fileName(title: string, extension: string): string {
  const plain = title.normalize("NFKD").replace(/[^\p{Letter}\p{Number}]+/gu, "-").replace(/^-+|-+$/g, "");
  return `${plain.slice(0, 60) || "wengert"}.${extension}`;
}

/** The drawing alone, with its style and the colours of the present theme written into it. */
export function drawingText(graph: Graph, title: string): { text: string; width: number; height: number } {
  const { root, width, height } = graph.completeDrawing();
  const style = getComputedStyle(document.documentElement);
  const rules = document.getElementById("graph-style")?.textContent ?? "";
  const names = new Set([...rules.matchAll(/var\((--[\w-]+)\)/g)].map((found) => found[1] as string));
  const variables = [...names].map((name) => `${name}:${style.getPropertyValue(name)}`).join(";");
  const w = Math.ceil(width);
  const h = Math.ceil(height);
  const svg = s("svg", { xmlns: "http://www.w3.org/2000/svg", class: "graph", viewBox: `0 0 ${w} ${h}`, width: w, height: h },
    s("title", {}, title), s("style", {}, `svg{${variables}}${rules}`), document.querySelector("#marks defs")?.cloneNode(true),
    s("rect", { width: w, height: h, fill: style.getPropertyValue("--paper") }), root);
  for (const group of root.querySelectorAll("[tabindex]")) group.removeAttribute("tabindex");
  return { text: new XMLSerializer().serializeToString(svg), width: w, height: h };
}

export function saveSvg(graph: Graph, title: string): void {
  save(fileName(title, "svg"), new Blob([drawingText(graph, title).text], { type: "image/svg+xml" }));
}

/** Browsers refuse canvases beyond about 16,000 pixels a side. */
const LARGEST = 12_000;

export async function savePng(graph: Graph, title: string): Promise<void> {
  const { text, width, height } = drawingText(graph, title);
  const scale = Math.min(2, LARGEST / Math.max(width, height, 1));
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil(width * scale);
  canvas.height = Math.ceil(height * scale);
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (blob !== null) save(fileName(title, "png"), blob);
}

const figure = (q: Quantity): string => (q === null ? t("zero.title") : typeof q === "number" ? formatExact(q) : q === undefined ? "—" : `[${q.shape.join(", ")}]`);

/** The whole story as text: every step of the three sweeps, the derivatives and the counts. */
export function transcript({ model, state, payload, progress }: Context): string {
  const lines = [payload.title, model.view.expression, "", t("transcript.inputs")];
  for (const node of model.view.nodes) if (node.kind === "input") lines.push(`    ${titleOf(node)} = ${figure(model.value(node.id))}`);
  for (const mode of ["primal", "forward", "reverse"] as const) {
    lines.push("", t(mode === "primal" ? "mode.primal" : mode === "forward" ? "mode.forward" : "mode.reverse"));
    for (let step = 0; step <= Math.min(progress.length, 500); step++) lines.push(storyText(new Progress(model, { ...state, mode, step })));
  }
  lines.push("", t("derivatives.title"));
  for (const output of model.outputs)
    for (const input of model.inputs)
      lines.push(`    ${derivativeText(model, output, input)}: ${t("mode.forward")} ${figure(model.tangent(output, input))}, ${t("mode.reverse")} ${figure(model.adjoint(input, output))}, ${t("derivatives.finite")} ${figure(model.finite(output, input))}`);
  if (state.selected !== null && progress.seeds.output !== null && model.view.nodes[state.selected])
    lines.push("", t("node.title"), `    ${equationText(valueEquation(model, state.selected))}`, `    ${equationText(adjointEquation(model, state.selected, progress.seeds.output))}`);
  const { forward, reverse } = model.counts;
  lines.push("", t("memory.title"));
  for (const [name, c] of [[t("memory.forward"), forward], [t("memory.reverse"), reverse]] as const)
    lines.push(`    ${name}: ${t("memory.accumulation")} ${c.accumulation}, ${t("memory.tape")} ${c.tape}, ${t("memory.total")} ${c.total}, ${t("memory.multiplications")} ${c.multiplications}`);
  return lines.join("\n") + "\n";
}

export function saveTranscript(context: Context): void {
  save(fileName(context.payload.title, "txt"), new Blob([transcript(context)], { type: "text/plain;charset=utf-8" }));
}
