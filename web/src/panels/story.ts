/** What the present step does, as a sentence and as equations; before the first step, what a sweep is. */

import type { Context, Panel } from "../context";
import { h, replaceContent } from "../dom";
import {
  contributionEquation, equationText, liveEdges, showEquation, tangentEquation, titleOf, valueEquation, type Equation,
} from "../equations";
import { t } from "../i18n";
import type { Progress } from "../steps";

export interface Story {
  sentence: string;
  equations: Equation[];
  after: string;
}

export function tellStep(progress: Progress): Story {
  const { model, mode, current, step, length, seeds } = progress;
  const { noForward } = model.view;
  if (mode === "forward" && noForward) return { sentence: t("story.noforward", noForward), equations: [], after: "" };
  if (current === null || step === 0) {
    const seed = mode === "forward" ? seeds.input : mode === "reverse" ? seeds.output : null;
    if (mode === "primal") return { sentence: t("story.primal.start", length), equations: [], after: "" };
    const who = seed === null ? "?" : mode === "reverse" ? model.outputName(seed) || titleOf(model.node(seed)) : titleOf(model.node(seed));
    return { sentence: t(mode === "forward" ? "story.forward.start" : "story.reverse.start", who), equations: [], after: "" };
  }
  const node = model.node(current);
  const place = t("story.step", step, length);
  if (mode === "primal") return { sentence: `${place} ${t("story.primal", titleOf(node))}`, equations: [valueEquation(model, current)], after: "" };
  if (mode === "forward") {
    const seed = seeds.input;
    if (seed === null) return { sentence: t("story.noinput"), equations: [], after: "" };
    const reached = model.tangent(current, seed) !== null;
    const sentence = t(reached ? "story.forward" : "story.forward.zero", titleOf(node), titleOf(model.node(seed)));
    return { sentence: `${place} ${sentence}`, equations: [valueEquation(model, current), ...(reached ? [tangentEquation(model, current, seed)] : [])], after: "" };
  }
  const seed = seeds.output;
  if (seed === null) return { sentence: t("story.nooutput"), equations: [], after: "" };
  if (model.adjoint(current, seed) === null) return { sentence: `${place} ${t("story.reverse.zero", titleOf(node))}`, equations: [], after: "" };
  const edges = liveEdges(model, model.edges.into[current] ?? []);
  const touched = new Set<number>();
  const equations = edges.map((edge) => {
    const earlier = (model.edges.outOf[edge.from] ?? []).some((e) => e.to > current && e.partial !== null && model.adjoint(e.to, seed) !== null);
    const first = !earlier && !touched.has(edge.from) && edge.from !== seed;
    touched.add(edge.from);
    return contributionEquation(model, edge, seed, first);
  });
  const open = [...touched].filter((id) => !progress.isAdjointComplete(id)).map((id) => titleOf(model.node(id)));
  return {
    sentence: `${place} ${t(edges.length === 0 ? "story.reverse.none" : "story.reverse", titleOf(node))}`,
    equations,
    after: open.length > 0 ? t("story.reverse.open", open.join(", ")) : "",
  };
}

export function storyText(progress: Progress): string {
  const story = tellStep(progress);
  return [story.sentence, ...story.equations.map((eq) => `    ${equationText(eq)}`), story.after].filter((line) => line !== "").join("\n");
}

export function makeStory(): Panel {
  const element = h("section", { class: "card story", "aria-labelledby": "story-title" });
  return {
    element,
    update(context: Context) {
      const story = tellStep(context.progress);
      replaceContent(element,
        h("h2", { id: "story-title" }, t("story.title")),
        h("p", { class: "lead" }, story.sentence),
        ...story.equations.slice(0, 24).map(showEquation),
        story.after !== "" && h("p", { class: "note" }, story.after));
    },
  };
}
