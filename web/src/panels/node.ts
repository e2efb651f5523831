/** One node, completely: its value, and its chain-rule sum in both modes. */

import { isHiding, type Context, type Panel } from "../context";
import { h, replaceContent } from "../dom";
import { adjointEquation, showEquation, tangentEquation, titleOf, valueEquation } from "../equations";
import { formatExact, formatShape, nameText } from "../format";
import { heatMap } from "../heat";
import { t } from "../i18n";
import { nodeName } from "../expr";
import { quantityCell } from "./inputs";

export function makeNode(): Panel {
  const element = h("section", { class: "card node", "aria-labelledby": "node-title" });
  return {
    element,
    update(context: Context) {
      const { model, progress, state } = context;
      const title = h("h2", { id: "node-title" }, t("node.title"));
      const id = state.selected;
      if (id === null || model.view.nodes[id] === undefined) {
        replaceContent(element, title, h("p", { class: "note" }, t("node.none")));
        return;
      }
      const node = model.node(id);
      const about = [t(node.kind === "op" ? "kind.op" : node.kind === "input" ? "kind.input" : "kind.constant"), node.op, formatShape(node.dtype, node.shape)];
      if (node.line !== null) about.push(t("node.line", node.line));
      if (node.batch !== null) about.push(model.view.batches[node.batch] ?? t("batch.long", node.batch + 1));
      for (const fold of model.folds.around[id] ?? []) about.push(fold.repeats > 1 ? `${fold.label} × ${fold.repeats}` : fold.label);
      const children: (Node | string | null)[] = [title, h("p", { class: "about" }, h("strong", {}, titleOf(node)), ` · ${about.filter((a) => a !== "").join(" · ")}`)];
      if (isHiding(context)) {
        replaceContent(element, ...children, h("p", { class: "note" }, t("quiz.hidden")));
        return;
      }
      const value = model.value(id);
      children.push(h("h3", {}, t("node.value")), showEquation(valueEquation(model, id)));
      if (typeof value === "number") children.push(h("p", { class: "note" }, t("node.exact", formatExact(value))));
      if (typeof value === "object" && value !== null) children.push(heatMap(value, node.dtype, titleOf(node)));
      if (node.kind !== "constant") {
        const { input, output } = progress.seeds;
        if (output !== null) children.push(...reversePart(context, id, output));
        if (input !== null) children.push(...forwardPart(context, id, input));
      }
      replaceContent(element, ...children);
    },
  };
}

function reversePart({ model }: Context, id: number, output: number): (HTMLElement | string)[] {
  const target = model.outputName(output) || titleOf(model.node(output));
  const heading = h("h3", { class: "adjoint" }, `◂ ${t("node.reverse", nameText(target), titleOf(model.node(id)))}`);
  const adjoint = model.adjoint(id, output);
  if (adjoint === null) return [heading, h("p", {}, quantityCell(null, "", ""), ` ${t("node.nopath", titleOf(model.node(id)), nameText(target))}`)];
  const parts = [heading, showEquation(adjointEquation(model, id, output)), h("p", { class: "note" }, t(id === output ? "node.seed" : "node.reverse.why"))];
  if (typeof adjoint === "object") parts.push(heatMap(adjoint, model.node(id).dtype, `∂${nameText(target)}/∂${titleOf(model.node(id))}`));
  return parts;
}

function forwardPart({ model }: Context, id: number, input: number): (HTMLElement | string)[] {
  const source = nameText(nodeName(model.node(input)));
  const heading = h("h3", { class: "tangent" }, `▸ ${t("node.forward", titleOf(model.node(id)), source)}`);
  const tangent = model.tangent(id, input);
  if (tangent === undefined) return [];
  if (tangent === null) return [heading, h("p", {}, quantityCell(null, "", ""), ` ${t("node.nopath", source, titleOf(model.node(id)))}`)];
  return [heading, showEquation(tangentEquation(model, id, input)), h("p", { class: "note" }, t(id === input ? "node.seed" : "node.forward.why"))];
}
