/** Equations of the panels: what a step or a chain-rule sum says, in symbols, numbers, result. */

import { h, m } from "./dom";
import type { Edge } from "./evaluate";
import { join, name, nodeExpr, nodeName, number, operatorExpr, partialOf, call, toMath, toMathPieces, toText, type Expr } from "./expr";
import { formatShape, nameText } from "./format";
import { t } from "./i18n";
import type { Model, Quantity } from "./model";
import { edgeExpr } from "./paths";
import type { NodeRecord } from "./payload";

/** Left side and the forms it is equal to, shown as "a = b = c"; `relation` may be "+=". */
export interface Equation {
  parts: Expr[];
  relation: string;
}

const TERMS = 12; // more terms than this are counted, not written

export function equation(parts: Expr[], relation = "="): Equation {
  const kept = parts.filter((part, i) => i === 0 || toText(part) !== toText(parts[i - 1] as Expr));
  return { parts: kept, relation };
}

export function showEquation(eq: Equation): HTMLElement {
  const line = h("div", { class: "equation" });
  const piece = (sign: string, part: MathMLElement): void => {
    const row = m("mrow", {});
    if (sign !== "") row.append(m("mo", { form: "infix", lspace: "0.3em", rspace: "0" }, sign), m("mspace", { width: "0.3em" }));
    row.append(part);
    line.append(m("math", { displaystyle: "true" }, row));
  };
  eq.parts.forEach((part, i) => {
    const sign = i === 0 ? "" : i === 1 ? eq.relation : "=";
    breakable(part).forEach(([inner, math], k) => piece(k === 0 ? sign : inner, math));
  });
  return line;
}

/** Formulas don't wrap by themselves: a long sum or product is cut before its signs. */
function breakable(part: Expr): [sign: string, math: MathMLElement][] {
  if (part.kind !== "call" || part.args.length < 3 || part.size < 10 || (part.op !== "add" && part.op !== "multiply")) return [["", toMath(part)]];
  const pieces = toMathPieces(part);
  return pieces.map((math): [string, MathMLElement] => [part.op === "add" ? "+" : "·", math]);
}

export function equationText(eq: Equation): string {
  return eq.parts.map((part, i) => (i === 0 ? "" : i === 1 ? ` ${eq.relation} ` : " = ") + toText(part)).join("");
}

/** A quantity inside a formula: numbers coloured by what they are, arrays by their shape. */
export function figure(quantity: Quantity, dtype: string, role: string): Expr {
  if (quantity === null) return { kind: "text", text: t("zero.mark") };
  if (quantity === undefined) return { kind: "text", text: "…" };
  if (typeof quantity === "number") return number(quantity, role);
  return { kind: "text", text: formatShape(dtype, quantity.shape) };
}

const valueFigure = (model: Model, id: number): Expr => figure(model.value(id), model.node(id).dtype, "value");

/** h3 = −h2 = −0 = 0 */
export function valueEquation(model: Model, id: number): Equation {
  const node = model.node(id);
  if (node.kind !== "op") return equation([nodeExpr(node), valueFigure(model, id)]);
  const symbolic = operatorExpr(model.view, node);
  const parts: Expr[] = [name(nodeName(node)), symbolic];
  if (symbolic.kind === "call" && !model.hasArrays) {
    const figures = node.operands.map((operand) => valueFigure(model, operand));
    const rest = symbolic.args.length > figures.length ? symbolic.args.slice(figures.length) : [];
    parts.push({ ...symbolic, args: [...figures, ...rest] });
  }
  parts.push(valueFigure(model, id));
  return equation(parts);
}

export function partialFigure(model: Model, edge: Edge): Expr {
  const quantity = model.partial(edge.id);
  if (quantity === null || typeof quantity === "number") return figure(quantity, "", "partial");
  return { kind: "text", text: structureText(edge) };
}

/** How the local Jacobian is filled, in words. */
export function structureText(edge: Edge): string {
  return edge.partial === null ? "" : t(`structure.${edge.partial.structure}`);
}

/** The edges a derivative flows through: not zero by structure, and not from a constant. */
export function liveEdges(model: Model, edges: Edge[]): Edge[] {
  return edges.filter((edge) => edge.partial !== null && model.node(edge.from).kind !== "constant");
}

function sum(terms: Expr[]): Expr {
  if (terms.length === 0) return { kind: "text", text: t("zero.mark") };
  if (terms.length <= TERMS) return join("add", terms);
  return join("add", [...terms.slice(0, TERMS), { kind: "text", text: t("more.terms", terms.length - TERMS) }]);
}

const times = (a: Expr, b: Expr): Expr => join("multiply", [a, b]);

/** Forward mode's chain-rule sum of a node: over its operands. */
export function tangentEquation(model: Model, id: number, seed: number): Equation {
  const node = model.node(id);
  const left = name(nodeName(node), "tangent");
  const result = figure(model.tangent(id, seed), node.dtype, "tangent");
  if (id === seed) return equation([left, number(1, "tangent")]);
  const edges = liveEdges(model, model.edges.into[id] ?? []);
  const tangentOf = (edge: Edge): Quantity => model.tangent(edge.from, seed);
  const dot = (edge: Edge): Expr => name(nodeName(model.node(edge.from)), "tangent");
  return equation([
    left,
    sum(edges.map((edge) => times(partialOf(nodeName(node), nodeName(model.node(edge.from))), dot(edge)))),
    sum(edges.map((edge) => times(edgeExpr(model.view, edge), dot(edge)))),
    sum(edges.map((edge) => times(partialFigure(model, edge), figure(tangentOf(edge), model.node(edge.from).dtype, "tangent")))),
    result,
  ]);
}

/** Reverse mode's chain-rule sum of a node: over the operators that use it. */
export function adjointEquation(model: Model, id: number, seed: number): Equation {
  const node = model.node(id);
  const left = name(nodeName(node), "adjoint");
  const result = figure(model.adjoint(id, seed), node.dtype, "adjoint");
  if (id === seed) return equation([left, number(1, "adjoint")]);
  const edges = (model.edges.outOf[id] ?? []).filter((edge) => edge.partial !== null && model.adjoint(edge.to, seed) !== null);
  const bar = (edge: Edge): Expr => name(nodeName(model.node(edge.to)), "adjoint");
  const adjointOf = (edge: Edge): Expr => figure(model.adjoint(edge.to, seed), model.node(edge.to).dtype, "adjoint");
  return equation([
    left,
    sum(edges.map((edge) => times(bar(edge), partialOf(nodeName(model.node(edge.to)), nodeName(node))))),
    sum(edges.map((edge) => times(bar(edge), edgeExpr(model.view, edge)))),
    sum(edges.map((edge) => times(adjointOf(edge), partialFigure(model, edge)))),
    result,
  ]);
}

/** What one reverse step adds to the adjoint of one operand. */
export function contributionEquation(model: Model, edge: Edge, seed: number, first: boolean): Equation {
  const [from, to] = [model.node(edge.from), model.node(edge.to)];
  const adjoint = model.adjoint(edge.to, seed);
  const partial = model.partial(edge.id);
  const product: Quantity = partial === null ? null : typeof adjoint === "number" && typeof partial === "number" ? adjoint * partial : undefined;
  const parts: Expr[] = [
    name(nodeName(from), "adjoint"),
    times(name(nodeName(to), "adjoint"), edgeExpr(model.view, edge)),
    times(figure(adjoint, to.dtype, "adjoint"), partialFigure(model, edge)),
  ];
  if (product !== undefined) parts.push(figure(product, from.dtype, "adjoint"));
  return equation(parts, first ? "=" : "+=");
}

/** "∂f/∂w" as a formula. */
export function derivativeExpr(model: Model, output: number, input: number): Expr {
  return partialOf(model.outputName(output) || nodeName(model.node(output)), nodeName(model.node(input)));
}

export function derivativeText(model: Model, output: number, input: number): string {
  return toText(derivativeExpr(model, output, input));
}

export function titleOf(node: NodeRecord): string {
  return nameText(nodeName(node));
}

/** The whole function as one formula, by substitution, while it stays short. */
export function wholeExpr(model: Model, output: number): Expr | null {
  const built = new Map<number, Expr>();
  for (const node of model.view.nodes) {
    if (node.kind !== "op") built.set(node.id, nodeExpr(node));
    else {
      const own = operatorExpr(model.view, node);
      if (own.kind !== "call") return null;
      const extra = own.args.slice(node.operands.length);
      const expr = call(own.op, [...node.operands.map((id) => built.get(id) as Expr), ...extra]);
      if (expr.kind === "call" && expr.size > 45) return null;
      built.set(node.id, expr);
    }
    if (node.id === output) break;
  }
  return built.get(output) ?? null;
}
