/**
 * Formulas: small trees made from programs and nodes, printed as one line of text (drawing,
 * transcript) or as MathML (panels). The operator's notation is presentation only.
 */

import { m } from "./dom";
import { formatNumber, nameText, splitName, superscript } from "./format";
import type { NodeRecord, Partial, Ref, View } from "./payload";

export type Mark = "" | "tangent" | "adjoint";

export type Expr =
  | { kind: "number"; value: number; role?: string }
  | { kind: "name"; name: string; mark: Mark }
  | { kind: "partial"; of: string; by: string }
  | { kind: "text"; text: string }
  | { kind: "call"; op: string; args: Expr[]; size: number };

export const number = (value: number, role?: string): Expr => (role === undefined ? { kind: "number", value } : { kind: "number", value, role });
export const name = (text: string, mark: Mark = ""): Expr => ({ kind: "name", name: text, mark });
export const partialOf = (of: string, by: string): Expr => ({ kind: "partial", of, by });
const textOf = (text: string): Expr => ({ kind: "text", text });
const size = (e: Expr): number => (e.kind === "call" ? e.size : 1);

const isNumber = (e: Expr | undefined, value: number): boolean => e?.kind === "number" && e.role === undefined && e.value === value;

/** A call, tidied as a person would write it: no "1 ·", no "+ 0", no double minus. */
export function call(op: string, args: Expr[]): Expr {
  const [a, b] = args;
  if (op === "multiply" && a && b) {
    if (isNumber(a, 1)) return b;
    if (isNumber(b, 1)) return a;
    if (isNumber(a, -1)) return call("negative", [b]);
    if (isNumber(b, -1)) return call("negative", [a]);
    if (a.kind === "name" && b.kind === "name" && a.name === b.name && a.mark === b.mark) return call("square", [a]);
  }
  if (op === "negative" && a) {
    if (a.kind === "number" && a.role === undefined) return number(-a.value);
    if (a.kind === "call" && a.op === "negative") return a.args[0] as Expr;
  }
  if (op === "divide" && b && isNumber(b, 1)) return a as Expr;
  return { kind: "call", op, args, size: 1 + args.reduce((sum, arg) => sum + size(arg), 0) };
}

/** Sum or product of any number of terms, kept as written (numbers are not multiplied out). */
export function join(op: "add" | "multiply", terms: Expr[]): Expr {
  if (terms.length === 1) return terms[0] as Expr;
  return { kind: "call", op, args: terms, size: 1 + terms.reduce((sum, term) => sum + size(term), 0) };
}

export function nodeName(node: NodeRecord): string {
  if (node.name !== "") return node.name;
  return node.kind === "constant" ? node.label : `h${node.id}`;
}

export function nodeExpr(node: NodeRecord): Expr {
  if (node.kind === "constant" && typeof node.value === "number") return number(node.value);
  return name(nodeName(node));
}

export function operatorExpr(view: View, node: NodeRecord): Expr {
  const args = node.operands.map((id) => nodeExpr(view.nodes[id] as NodeRecord));
  const exponent = Object.values(node.params).find((value) => typeof value === "number");
  if (node.op === "integer_power" && typeof exponent === "number") args.push(number(exponent));
  return call(node.op === "integer_power" ? "power" : node.op, args);
}

/** The formula of the partial on an edge, in the names of the nodes; null when it is too long. */
export function partialExpr(view: View, node: NodeRecord, partial: Partial): Expr | null {
  if (partial.program === undefined) return partial.text === undefined ? null : textOf(partial.text);
  // "exp(h3)" says more than "h4" as the derivative of exp.
  if (partial.program.result === "y" && node.operands.length === 1) return operatorExpr(view, node);
  const results: Expr[] = [];
  const resolve = (ref: Ref): Expr => {
    if (typeof ref === "number") return number(ref);
    if (ref === "y") return nodeExpr(node);
    const index = Number(ref.slice(1));
    if (ref.startsWith("t")) return results[index] ?? textOf("?");
    const operand = view.nodes[node.operands[index] ?? -1];
    return operand === undefined ? textOf("?") : nodeExpr(operand);
  };
  for (const [op, operands, params] of partial.program.code) {
    const args = operands.map(resolve);
    const exponent = Object.values(params ?? {}).find((value) => typeof value === "number");
    if (op === "integer_power" && typeof exponent === "number") results.push(call("power", [args[0] as Expr, number(exponent)]));
    else results.push(call(op, args));
    if (size(results.at(-1) as Expr) > 60) return partial.text === undefined ? null : textOf(partial.text);
  }
  return resolve(partial.program.result);
}

const INFIX: Record<string, [symbol: string, precedence: number]> = {
  add: ["+", 1], subtract: ["−", 1], multiply: ["·", 2], divide: ["/", 2], true_divide: ["/", 2], floor_divide: ["//", 2],
  remainder: ["mod", 2], power: ["^", 4], float_power: ["^", 4], less: ["<", 0], less_equal: ["≤", 0], greater: [">", 0],
  greater_equal: ["≥", 0], equal: ["=", 0], not_equal: ["≠", 0], logical_and: ["∧", 0], logical_or: ["∨", 0],
};
const FUNCTIONS: Record<string, string> = {
  arcsin: "arcsin", arccos: "arccos", arctan: "arctan", log2: "log₂", log10: "log₁₀", sigmoid: "σ", maximum: "max",
  minimum: "min", reduce_sum: "Σ", reduce_max: "max", reduce_min: "min", arctan2: "atan2", sign: "sgn", logical_not: "not", expm1: "expm1",
};

export function infixSymbol(op: string): string | undefined {
  return INFIX[op]?.[0];
}

export function functionName(op: string): string {
  return FUNCTIONS[op] ?? op;
}

function precedence(e: Expr): number {
  if (e.kind === "number") return e.value < 0 || Object.is(e.value, -0) ? 1 : 9;
  if (e.kind !== "call") return e.kind === "partial" ? 3 : 9;
  if (e.op === "negative") return 1;
  if (e.op === "square") return 4;
  if (e.op === "reciprocal") return 2;
  return INFIX[e.op]?.[1] ?? 9;
}

/** Whether an argument of an infix operator needs parentheses. */
function wraps(op: string, arg: Expr, position: number): boolean {
  const outer = INFIX[op]?.[1] ?? 0;
  const inner = precedence(arg);
  if (op === "power" || op === "float_power") return position === 0 && inner <= 4;
  if (op === "add" && position === 0) return inner < 1;
  if (inner < outer) return true;
  if (inner === outer && position > 0) return op === "subtract" || op === "divide" || (arg.kind === "number" || (arg.kind === "call" && arg.op === "negative")) ;
  return false;
}

const COMBINING: Record<Mark, string> = { "": "", tangent: "\u0307", adjoint: "\u0304" };

export function markedName(text: string, mark: Mark): string {
  if (mark === "") return nameText(text);
  const [base, index] = splitName(text);
  return nameText([...base].map((letter) => letter + COMBINING[mark]).join("") + index);
}

export function toText(e: Expr): string {
  switch (e.kind) {
    case "number":
      return formatNumber(e.value);
    case "name":
      return markedName(e.name, e.mark);
    case "partial":
      return `∂${nameText(e.of)}/∂${nameText(e.by)}`;
    case "text":
      return e.text;
  }
  const [a] = e.args as [Expr];
  const paren = (arg: Expr, when: boolean): string => (when ? `(${toText(arg)})` : toText(arg));
  if (e.op === "negative") return `−${paren(a, precedence(a) <= 1)}`;
  if (e.op === "square") return `${paren(a, precedence(a) <= 4)}²`;
  if (e.op === "reciprocal") return `1/${paren(a, precedence(a) <= 2)}`;
  if (e.op === "absolute") return `|${toText(a)}|`;
  if (e.op === "sqrt") return `√${paren(a, a.kind === "call")}`;
  if (e.op === "power" && e.args.length === 2) {
    const exponent = toText(e.args[1] as Expr);
    const raised = superscript(exponent);
    return paren(a, wraps("power", a, 0)) + (raised ?? `^${paren(e.args[1] as Expr, (e.args[1] as Expr).kind === "call")}`);
  }
  const infix = INFIX[e.op];
  if (infix !== undefined && e.args.length >= 2) {
    const space = infix[0] === "/" || infix[0] === "^" ? "" : " ";
    return e.args.map((arg, k) => paren(arg, wraps(e.op, arg, k))).join(space + infix[0] + space);
  }
  return `${functionName(e.op)}(${e.args.map(toText).join(", ")})`;
}

function mathName(text: string, mark: Mark): MathMLElement {
  const [base, index] = splitName(text);
  const letter = m("mi", [...base].length > 1 ? { mathvariant: "normal" } : {}, base);
  const accent = mark === "tangent" ? "˙" : "¯";
  const marked = mark === "" ? letter : m("mover", { accent: "true", class: mark }, letter, m("mo", {}, accent));
  return index === "" ? marked : m("msub", {}, marked, m("mn", {}, index));
}

function mathNumber(value: number, role?: string): MathMLElement {
  const properties = role === undefined ? {} : { class: role };
  const text = formatNumber(value);
  if (Number.isNaN(value)) return m("mtext", { class: "nan" }, text);
  if (!text.startsWith("−")) return m("mn", properties, text);
  return m("mrow", properties, m("mo", { form: "prefix" }, "−"), m("mn", {}, text.slice(1)));
}

const parens = (inner: MathMLElement): MathMLElement => m("mrow", {}, m("mo", {}, "("), inner, m("mo", {}, ")"));

/** The terms of a sum or the factors of a product, each as it stands in the whole. */
export function toMathPieces(e: Expr & { kind: "call" }): MathMLElement[] {
  return e.args.map((arg, k) => (wraps(e.op, arg, k) ? parens(toMath(arg)) : toMath(arg)));
}

export function toMath(e: Expr): MathMLElement {
  switch (e.kind) {
    case "number":
      return mathNumber(e.value, e.role);
    case "name":
      return mathName(e.name, e.mark);
    case "partial":
      return m("mfrac", { class: "partial" }, m("mrow", {}, m("mo", {}, "∂"), mathName(e.of, "")), m("mrow", {}, m("mo", {}, "∂"), mathName(e.by, "")));
    case "text":
      return m("mtext", {}, e.text);
  }
  const [a, b] = e.args as [Expr, Expr];
  const paren = (arg: Expr, when: boolean): MathMLElement => (when ? parens(toMath(arg)) : toMath(arg));
  if (e.op === "negative") return m("mrow", {}, m("mo", { form: "prefix" }, "−"), paren(a, precedence(a) <= 1));
  if (e.op === "square") return m("msup", {}, paren(a, precedence(a) <= 4), m("mn", {}, "2"));
  if (e.op === "reciprocal") return m("mfrac", {}, m("mn", {}, "1"), toMath(a));
  if ((e.op === "divide" || e.op === "true_divide") && e.args.length === 2) return m("mfrac", {}, toMath(a), toMath(b));
  if (e.op === "sqrt") return m("msqrt", {}, toMath(a));
  if (e.op === "absolute") return m("mrow", {}, m("mo", {}, "|"), toMath(a), m("mo", {}, "|"));
  if (e.op === "power" && e.args.length === 2) return m("msup", {}, paren(a, wraps("power", a, 0)), toMath(b));
  const infix = INFIX[e.op];
  const row = m("mrow", {});
  if (infix !== undefined && e.args.length >= 2) {
    e.args.forEach((arg, k) => {
      if (k > 0) row.append(m("mo", {}, infix[0]));
      row.append(paren(arg, wraps(e.op, arg, k)));
    });
    return row;
  }
  row.append(m("mi", { mathvariant: "normal" }, functionName(e.op)), m("mo", {}, "("));
  e.args.forEach((arg, k) => row.append(...(k > 0 ? [m("mo", {}, ","), toMath(arg)] : [toMath(arg)])));
  row.append(m("mo", {}, ")"));
  return row;
}
