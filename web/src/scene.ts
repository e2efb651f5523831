/** What is drawn of a model: boxes and links with their text, after folding. No positions yet. */

import { structureText } from "./equations";
import type { Edge } from "./evaluate";
import { infixSymbol, nodeName, partialExpr, toText } from "./expr";
import { isClosed, standIn, startsClosed, type Fold } from "./fold";
import { formatNumber, formatShape, nameText, shorten } from "./format";
import type { Box, Cluster, Link } from "./layout";
import { t } from "./i18n";
import type { Model } from "./model";
import { isArray, scalarOf, type NodeRecord } from "./payload";

export interface SceneBox extends Box {
  kind: "input" | "constant" | "op" | "fold" | "result";
  node: number | null;
  fold: Fold | null;
  /** The large symbol and the small line under it. */
  symbol: string;
  caption: string;
}

export interface SceneLink extends Link {
  /** The edges of the graph it stands for; several when an end is folded. */
  edges: Edge[];
  /** Node whose value flows along it; null when folding has merged several. */
  value: number | null;
  formula: string;
}

export interface Scene {
  boxes: SceneBox[];
  links: SceneLink[];
  clusters: (Cluster & { fold: Fold })[];
}

const TEXT = 7.4; // mean width of a character of the drawing's text

/** "+ 1", "1 ÷": a scalar constant beside an infix operator is written into its box. */
function inlineSymbol(model: Model, node: NodeRecord): { symbol: string; constant: number } | null {
  if (infixSymbol(node.op) === undefined || node.operands.length !== 2) return null;
  const constants = node.operands.map((id) => model.node(id)).map((operand) => operand.kind === "constant" && operand.shape.length === 0);
  if (constants[0] === constants[1]) return null;
  const constant = node.operands[constants[0] ? 0 : 1] as number;
  const figure = formatNumber(scalarOf(model.node(constant).value), 4);
  return { symbol: constants[0] ? `${figure} ${node.label}` : `${node.label} ${figure.startsWith("−") ? `(${figure})` : figure}`, constant };
}

export function buildScene(model: Model, toggled: ReadonlySet<string>): Scene {
  const closedAtFirst = startsClosed(model.view);
  const closed = (fold: Fold): boolean => isClosed(fold, closedAtFirst, toggled);
  const boxes = new Map<string, SceneBox>();
  const keyOf: (string | null)[] = [];
  const inlined = new Map<number, number>(); // constant -> how many of its uses are written into boxes
  const inlineOf = new Map<number, { symbol: string; constant: number }>();
  for (const node of model.view.nodes) {
    const inline = node.kind === "op" ? inlineSymbol(model, node) : null;
    if (inline === null) continue;
    inlineOf.set(node.id, inline);
    inlined.set(inline.constant, (inlined.get(inline.constant) ?? 0) + 1);
  }
  for (const node of model.view.nodes) {
    const fold = standIn(model.folds, node.id, closed);
    if (fold !== null) {
      keyOf.push(fold.key);
      if (!boxes.has(fold.key)) boxes.set(fold.key, foldBox(fold));
      continue;
    }
    const hidden = node.kind === "constant" && inlined.get(node.id) === model.edges.outOf[node.id]?.length;
    keyOf.push(hidden ? null : `n${node.id}`);
    if (!hidden) boxes.set(`n${node.id}`, nodeBox(model, node, inlineOf.get(node.id)?.symbol));
  }
  const links = new Map<string, SceneLink>();
  for (const edge of model.edges.all) {
    const from = keyOf[edge.from] ?? null;
    const to = keyOf[edge.to] ?? null;
    if (from === null || to === null || from === to || inlineOf.get(edge.to)?.constant === edge.from) continue;
    const single = from.startsWith("n") && to.startsWith("n");
    const key = single ? `e${edge.id}` : `${from}>${to}`;
    const known = links.get(key);
    if (known === undefined) links.set(key, makeLink(model, key, from, to, edge, single));
    else {
      known.edges.push(edge);
      if (known.value !== edge.from) known.value = null;
    }
  }
  model.view.outputs.forEach((output, k) => {
    const from = keyOf[output.node] ?? null;
    if (from === null) return;
    const caption = nameText(output.name || "f");
    const box: SceneBox = {
      key: `r${k}`, kind: "result", node: output.node, fold: null, symbol: shorten(caption, 14), caption: "",
      width: Math.max(34, [...shorten(caption, 14)].length * 9 + 18), height: 34, parent: null,
    };
    boxes.set(box.key, box);
    const width = Math.max(56, valueText(model, output.node).length * TEXT + 14);
    links.set(`o${k}`, { key: `o${k}`, from, to: box.key, edges: [], value: output.node, formula: "", width, height: 40 });
  });
  const clusters = model.folds.folds.filter((fold) => !closed(fold)).map((fold) => ({ key: fold.key, parent: openParent(fold, closed), fold }));
  return { boxes: [...boxes.values()], links: [...links.values()], clusters };
}

function openParent(fold: Fold, closed: (fold: Fold) => boolean): string | null {
  return fold.parent === null || closed(fold.parent) ? null : fold.parent.key;
}

function foldBox(fold: Fold): SceneBox {
  const symbol = shorten(fold.repeats > 1 ? `${fold.label} × ${fold.repeats}` : fold.label, 24);
  return {
    key: fold.key, kind: "fold", node: null, fold, symbol, caption: String(fold.operators),
    width: Math.max(92, [...symbol].length * 8.4 + 34), height: 58, parent: fold.parent?.key ?? null,
  };
}

function nodeBox(model: Model, node: NodeRecord, inline: string | undefined): SceneBox {
  const array = node.shape.length > 0;
  const symbol = shorten(inline ?? (node.kind === "input" ? nameText(nodeName(node)) : node.label || node.op), 14);
  const shape = array ? formatShape(node.dtype, node.shape) : "";
  const caption = node.kind === "op" ? [nameText(nodeName(node)), shape].filter((t) => t !== "").join(" ") : shape;
  const picture = array && isArray(node.value);
  const parent = model.folds.around[node.id]?.at(-1)?.key ?? null;
  const width = Math.max(node.kind === "constant" ? 30 : 52, [...symbol].length * 10.5 + 22, caption.length * 6.4 + 16, picture ? 78 : 0);
  const height = node.kind === "constant" ? 30 : picture ? 86 : node.kind === "input" && !array ? 40 : 52;
  return { key: `n${node.id}`, kind: node.kind, node: node.id, fold: null, symbol, caption, width, height, parent };
}

function valueText(model: Model, id: number): string {
  const value = model.value(id);
  return typeof value === "number" ? formatNumber(value) : formatShape(model.node(id).dtype, model.node(id).shape);
}

function makeLink(model: Model, key: string, from: string, to: string, edge: Edge, single: boolean): SceneLink {
  if (!single) return { key, from, to, edges: [edge], value: edge.from, formula: "", width: valueText(model, edge.from).length * TEXT + 14, height: 24 };
  const node = model.node(edge.to);
  const formula = edge.partial === null ? "" : shorten(formulaText(model, node, edge), 20);
  const partial = edge.partial === null ? 4 : partialText(model, edge, formula, true).join("").length;
  const width = Math.max(46, valueText(model, edge.from).length * TEXT + 12, partial * 6.6 + 8);
  return { key, from, to, edges: [edge], value: edge.from, formula, width, height: 42 };
}

/** The partial under an edge: formula, then number and structure; the number once it is known. */
export function partialText(model: Model, edge: Edge, formula: string, known: boolean): [formula: string, rest: string] {
  const figure = known ? model.partial(edge.id) : undefined;
  const text = figure === null ? t("zero.mark") : typeof figure !== "number" ? "" : Number.isNaN(figure) ? "⚠ NaN" : formatNumber(figure, 4);
  const structure = edge.partial === null || edge.partial.structure === "scalar" ? "" : ` (${structureText(edge)})`;
  return [formula === "" ? "∂" : `∂ ${formula}`, (text === "" || text === formula ? "" : ` = ${text}`) + structure];
}

function formulaText(model: Model, node: NodeRecord, edge: Edge): string {
  const partial = edge.partial;
  if (partial === null) return "";
  const expr = partialExpr(model.view, node, partial);
  if (expr !== null) return toText(expr);
  return "";
}
