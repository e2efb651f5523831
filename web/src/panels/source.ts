/** The user's program, with the line of the present operator marked. */

import type { Context, Panel } from "../context";
import { h, replaceContent } from "../dom";
import { showEquation, equation, wholeExpr } from "../equations";
import { name, toText } from "../expr";
import { t } from "../i18n";

const LONGEST = 56; // characters of a formula that fits into the panel: MathML does not break lines
const CONTEXT = 14; // lines shown around the marked one in a long program

export function makeSource(): Panel {
  const element = h("section", { class: "card source", "aria-labelledby": "source-title" });
  return {
    element,
    update({ model, progress, state }: Context) {
      const { source, expression } = model.view;
      const marked = progress.current !== null && progress.step > 0 ? model.node(progress.current).line : null;
      const chosen = state.selected === null ? null : (model.view.nodes[state.selected]?.line ?? null);
      const output = progress.seeds.output;
      const whole = output === null ? null : wholeExpr(model, output);
      const children: (Node | false)[] = [h("h2", { id: "source-title" }, t("source.title"))];
      const short = whole !== null && toText(whole).length <= LONGEST;
      if (short && output !== null) children.push(h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": t("source.formula"), "data-key": "formula" }, showEquation(equation([name(model.outputName(output) || "f"), whole]))));
      else if (expression !== "") children.push(h("p", { class: "note formula" }, expression));
      if (source === null) children.push(h("p", { class: "note" }, t("source.none")));
      else {
        const line = marked ?? chosen;
        const around = source.lines.length > 2 * CONTEXT && line !== null ? line - source.first : 0;
        const from = source.lines.length <= 2 * CONTEXT ? 0 : Math.max(0, Math.min(around - CONTEXT, source.lines.length - 2 * CONTEXT));
        const rows = source.lines.slice(from, from + 2 * CONTEXT).map((text, i) => {
          const at = source.first + from + i;
          const now = at === marked;
          return h("li", { value: at, class: now ? "current" : at === chosen ? "chosen" : "", "aria-current": now ? "step" : null },
            h("span", { class: "gutter", "aria-hidden": "true" }, now ? "▶" : "", String(at)), h("code", {}, text === "" ? " " : text));
        });
        children.push(h("p", { class: "file" }, source.file), h("ol", { class: "lines", tabindex: "0", "aria-label": t("source.label", source.file) }, ...rows));
      }
      replaceContent(element, ...children);
      // Within the list only: the page itself must not move at every step.
      const list = element.querySelector<HTMLElement>(".lines");
      const row = list?.querySelector<HTMLElement>(".current, .chosen");
      if (list && row) list.scrollTop = row.offsetTop - list.offsetTop - list.clientHeight / 2;
    },
  };
}
