/** The Wengert list as a table. Long lists show a window around the present step. */

import { isHiding, type Context, type Panel } from "../context";
import { h, m, replaceContent } from "../dom";
import { liveEdges, structureText, titleOf } from "../equations";
import { nodeExpr, operatorExpr, partialOf, nodeName, toMath } from "../expr";
import { t } from "../i18n";
import type { Quantity } from "../model";
import { edgeExpr } from "../paths";
import type { NodeRecord } from "../payload";
import { quantityCell } from "./inputs";

const WINDOW = 60;
const PARTIALS = 4; // partials written in one cell

export function makeTable(): Panel {
  const element = h("section", { class: "card table", "aria-labelledby": "table-title" });
  let start: number | null = null; // page chosen by hand; follows the step otherwise
  let last = "";
  return {
    element,
    update(context: Context) {
      const { model, progress, state } = context;
      const nodes = model.view.nodes;
      const follow = `${progress.current} ${progress.step}`;
      if (follow !== last) start = null;
      last = follow;
      const focus = progress.current ?? 0;
      const from = nodes.length <= WINDOW ? 0 : Math.max(0, Math.min(start ?? focus - WINDOW / 2, nodes.length - WINDOW));
      const turn = (by: number) => () => {
        start = Math.max(0, Math.min(nodes.length - WINDOW, from + by));
        this.update(context);
      };
      const sweep = state.mode === "forward" ? t("table.tangent") : state.mode === "reverse" ? t("table.adjoint") : null;
      const head = [t("table.name"), t("table.formula"), t("table.value"), t("table.partials"), ...(sweep === null ? [] : [sweep]), t("table.line")];
      const rows = nodes.slice(from, from + WINDOW).map((node) => row(context, node, sweep !== null));
      const pager = nodes.length > WINDOW && h("div", { class: "pager" },
        h("button", { type: "button", "data-key": "table-back", click: turn(-WINDOW) }, t("table.back")),
        h("span", {}, t("table.window", from, Math.min(nodes.length, from + WINDOW) - 1, nodes.length)),
        h("button", { type: "button", "data-key": "table-next", click: turn(WINDOW) }, t("table.next")));
      replaceContent(element, h("h2", { id: "table-title" }, t("table.title")), pager,
        h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": t("table.title"), "data-key": "table" },
          h("table", {}, h("thead", {}, h("tr", {}, ...head.map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, ...rows))));
    },
  };
}

function row(context: Context, node: NodeRecord, sweeping: boolean): HTMLElement {
  const { model, progress, state, actions } = context;
  const known = progress.knowsValue(node.id);
  const hiding = isHiding(context) && !known;
  const partials = h("td", { class: "partials" });
  const edges = liveEdges(model, model.edges.into[node.id] ?? []);
  for (const edge of edges.slice(0, PARTIALS)) {
    const left = partialOf(nodeName(node), nodeName(model.node(edge.from)));
    const figure: Quantity = known ? model.partial(edge.id) : undefined;
    // A block of numbers has no formula: only how it is filled is written.
    if (edge.partial?.program === undefined && edge.partial?.text === undefined && typeof edge.partial?.value !== "number") {
      partials.append(h("span", { class: "partial-item" }, m("math", {}, toMath(left)), `: ${structureText(edge)}`));
      continue;
    }
    partials.append(h("span", { class: "partial-item" }, m("math", {}, m("mrow", {}, toMath(left), m("mo", {}, "="), toMath(edgeExpr(model.view, edge)))),
      known ? " = " : "", known ? quantityCell(figure, "", "partial") : ""));
  }
  if (edges.length > PARTIALS) partials.append(t("more.terms", edges.length - PARTIALS));
  const current = progress.step > 0 && node.id === progress.current;
  const classes = [current ? "current" : "", node.id === state.selected ? "chosen" : "", progress.isDone(node.id) ? "" : "ahead", node.kind].filter((c) => c !== "");
  const quantity = progress.mode === "forward" ? progress.tangent(node.id) : progress.adjoint(node.id);
  const open = progress.mode === "reverse" && typeof quantity === "number" && !progress.isAdjointComplete(node.id);
  const name = titleOf(node);
  return h("tr", { class: classes.join(" "), "aria-current": current ? "step" : null },
    h("th", { scope: "row" }, current && h("span", { class: "here", "aria-hidden": "true" }, "▶ "), h("button", { type: "button", class: "link", "data-key": `row-${node.id}`, click: () => actions.find(node.id) }, name)),
    h("td", {}, node.kind === "op" ? m("math", {}, toMath(operatorExpr(model.view, node))) : node.kind === "input" ? t("kind.input") : m("math", {}, toMath(nodeExpr(node)))),
    h("td", {}, known && !hiding ? quantityCell(model.value(node.id), node.dtype, "value") : ""),
    partials,
    sweeping ? h("td", {}, node.kind === "constant" || quantity === undefined ? "" : quantityCell(quantity, node.dtype, progress.mode === "forward" ? "tangent" : "adjoint"), open ? " + …" : "") : null,
    h("td", { class: "line" }, node.line === null ? "" : String(node.line)));
}
