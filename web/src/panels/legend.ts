/** Every mark that can be on the screen, drawn as it is drawn there, with what it means. */

import type { Context, Panel } from "../context";
import { h, replaceContent, s } from "../dom";
import { t, type Key } from "../i18n";

type Sample = () => Element;

const box = (kind: string, symbol: string, extra = "", ...more: Element[]): Sample => () =>
  s("svg", { viewBox: "-34 -24 68 48", class: "graph sample", "aria-hidden": "true" },
    s("g", { class: `box ${kind} ${extra}` }, ...(kind === "fold" ? [s("rect", { class: "behind", x: -22, y: -18, width: 56, height: 30, rx: 8 })] : []),
      s("rect", { class: "frame", x: -28, y: -14, width: 56, height: 30, rx: kind === "input" || kind === "result" ? 15 : 8 }), s("text", { class: "symbol", y: 6 }, symbol), ...more));
const words = (name: string, text: string): Sample => () => h("span", { class: `mark ${name}`, "aria-hidden": "true" }, text);
const wire = (extra: string): Sample => () =>
  s("svg", { viewBox: "-34 -10 68 20", class: "graph sample wide", "aria-hidden": "true" }, s("g", { class: `link ${extra}` }, s("path", { class: "wire", d: "M-30,0H28", "marker-end": "url(#arrow)" })));

export function makeLegend(): Panel {
  const element = h("details", { class: "legend", open: true });
  return {
    element,
    update({ state, model }: Context) {
      const entries: [Sample, Key][] = [
        [box("input", "w"), "legend.input"], [box("op", "×"), "legend.op"], [box("result", "f"), "legend.result"],
        [words("value", "0.5"), "legend.value"], [words("partial", "∂ exp(h₃) = 1"), "legend.partial"],
        [box("op", "×", "current", s("path", { class: "pointer", d: "M-6,-24h12l-6,8z" })), "legend.current"],
        [box("op", "×", "ahead"), "legend.ahead"], [box("op", "×", "selected"), "legend.selected"], [words("nan", "⚠ NaN"), "legend.nan"],
        [words("absent", t("zero.mark")), "legend.zero"], [wire("zero"), "legend.zerowire"],
      ];
      if (model.view.nodes.some((node) => node.kind === "constant")) entries.push([box("constant", "2"), "legend.constant"]);
      if (state.mode === "forward") entries.push([words("tangent", "▸ 1"), "legend.tangent"], [box("input", "w", "seeded tangent"), "legend.seed"]);
      if (state.mode === "reverse") entries.push([words("adjoint", "◂ 1"), "legend.adjoint"], [words("adjoint", "◂ 1 + …"), "legend.open"], [box("op", "×", "seeded adjoint"), "legend.seed"]);
      if (model.folds.folds.length > 0) entries.push([box("fold", "× 12"), "legend.fold"], [words("value", "× 2"), "legend.merged"]);
      if (model.hasArrays) entries.push([words("heat-sample", ""), "legend.heat"]);
      if (model.view.nodes.some((node) => node.batch !== null)) entries.push([words("batch", t("batch.short", 1)), "legend.batch"]);
      replaceContent(element, h("summary", { "data-key": "legend" }, t("legend.title")),
        h("dl", {}, ...entries.map(([sample, key]) => h("div", {}, h("dt", {}, sample()), h("dd", {}, t(key))))));
    },
  };
}
