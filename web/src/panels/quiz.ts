/** Predict first: asks for the number the next step brings, with three hints. */

import type { Context, Panel } from "../context";
import { h, m, setText } from "../dom";
import { contributionEquation, equation, equationText, tangentEquation, titleOf, valueEquation, type Equation } from "../equations";
import { name, nodeName, toMath } from "../expr";
import { formatNumber } from "../format";
import { t, withElements } from "../i18n";
import { isRight, questionAfter, type Question } from "../steps";
import { parseNumber } from "./inputs";

export function makeQuiz(get: () => Context): Panel {
  const title = h("h2", { id: "quiz-title" });
  const ask = h("label", { for: "quiz-answer", class: "lead" });
  const box = h("input", { id: "quiz-answer", type: "text", inputmode: "decimal", autocomplete: "off" });
  const check = h("button", { type: "submit", class: "primary" });
  const hint = h("button", { type: "button", "data-key": "quiz-hint", click: () => giveHint() });
  const verdict = h("p", { class: "verdict", role: "status" });
  const hints = h("ul", { class: "hints" });
  const score = h("p", { class: "note" });
  const form = h("form", {}, ask, h("div", { class: "answer" }, box, check, hint));
  const element = h("section", { class: "card quiz", "aria-labelledby": "quiz-title" }, title, form, verdict, hints, score);
  let question: Question | null = null;
  let asked = "";
  let shown = 0;
  let [right, tries] = [0, 0];

  /** Symbols first, then the numbers, then the answer. */
  const hintEquation = (context: Context, q: Question): Equation => {
    const { model, progress } = context;
    if (q.kind === "primal") return valueEquation(model, q.node);
    if (q.kind === "forward" && progress.seeds.input !== null) return tangentEquation(model, q.node, progress.seeds.input);
    const edge = (model.edges.into[q.operator] ?? []).find((e) => e.from === q.node && e.partial !== null);
    if (edge === undefined || progress.seeds.output === null) return equation([]);
    return contributionEquation(model, edge, progress.seeds.output, progress.adjoint(q.node) === undefined);
  };

  const giveHint = (): void => {
    const context = get();
    if (question === null || shown >= 3) return;
    shown++;
    const { parts, relation } = hintEquation(context, question);
    if (shown === 3) hints.append(h("li", {}, t("quiz.answer", formatNumber(question.answer ?? 0))));
    else {
      const symbols = Math.max(2, parts.length - 2);
      hints.append(h("li", {}, equationText({ parts: parts.slice(0, shown === 1 ? symbols : Math.max(2, parts.length - 1)), relation })));
    }
    setText(hint, t("quiz.hint", 3 - shown));
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const x = parseNumber(box.value);
    if (question === null || x === null) {
      setText(verdict, t("quiz.number"));
      return;
    }
    tries++;
    const { actions, progress } = get();
    if (!isRight(question, x)) {
      verdict.className = "verdict no";
      setText(verdict, `✗ ${t("quiz.wrong")}`);
      setText(score, t("quiz.score", right, tries));
      return;
    }
    right++;
    const praise = `✓ ${t("quiz.right", formatNumber(question.answer ?? 0))}`;
    actions.setStep(progress.step + 1);
    verdict.className = "verdict yes";
    setText(verdict, praise);
    setText(score, t("quiz.score", right, tries));
    box.focus();
  });

  return {
    element,
    update(context: Context) {
      const { state, progress, model } = context;
      element.hidden = !state.quiz;
      if (!state.quiz) return;
      question = questionAfter(progress, state);
      setText(title, t("quiz.title"));
      setText(check, t("quiz.check"));
      const now = `${progress.mode} ${progress.step} ${progress.seeds.input} ${progress.seeds.output} ${[...state.edits]} ${[...state.cells]} ${model.operators.length}`;
      if (now !== asked) {
        asked = now;
        shown = 0;
        hints.replaceChildren();
        setText(verdict, "");
        box.value = "";
      }
      setText(hint, t("quiz.hint", 3 - shown));
      box.disabled = check.disabled = hint.disabled = question === null;
      if (question === null) setText(ask, t(progress.step >= progress.length ? "quiz.done" : "quiz.skip"));
      else {
        const mark = question.kind === "primal" ? "" : question.kind === "forward" ? "tangent" : "adjoint";
        const what = m("math", {}, toMath(name(nodeName(model.node(question.node)), mark)));
        const step = document.createTextNode(titleOf(model.node(question.operator)));
        ask.replaceChildren(...withElements(question.kind === "primal" ? "quiz.primal" : question.kind === "forward" ? "quiz.forward" : "quiz.reverse", what, step));
      }
    },
  };
}
