/** Choosing a sweep and its seed, and stepping, playing and scrubbing through it. */

import type { Context, Panel } from "../context";
import { h, s, setText } from "../dom";
import { nodeName } from "../expr";
import { nameText } from "../format";
import { t, type Key } from "../i18n";
import type { Mode } from "../state";

const MODES: Mode[] = ["primal", "forward", "reverse"];
const MODE_KEYS: Record<Mode, Key> = { primal: "mode.primal", forward: "mode.forward", reverse: "mode.reverse" };

/** Drawn, not taken from a font: the usual media symbols are missing from many. */
const ICONS = {
  first: "M3,3h2.2v10H3z M13,3v10L6,8z",
  back: "M11.5,3v10L4.5,8z",
  play: "M4,2.5v11L13,8z",
  pause: "M3.5,3h3v10h-3z M9.5,3h3v10h-3z",
  next: "M4.5,3v10L11.5,8z",
  last: "M10.8,3H13v10h-2.2z M3,3v10l7-5z",
};

function button(icon: keyof typeof ICONS, press: () => void): HTMLButtonElement {
  const picture = s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: ICONS[icon] }));
  return h("button", { type: "button", "data-key": icon, class: "icon", click: press }, picture);
}

export function makeModes(get: () => Context): Panel {
  // Buttons, not radio buttons: those would take the arrow keys, which step everywhere on the page.
  const buttons = MODES.map((mode) => h("button", { type: "button", id: `mode-${mode}`, class: mode, click: () => get().actions.setMode(mode) }, h("span", { class: "dot", "aria-hidden": "true" }), h("span", {})));
  const group = h("div", { class: "modes", role: "group" }, ...buttons);
  const seed = h("select", { id: "seed", change: () => get().actions.seed(Number(seed.value)) });
  const seedLabel = h("label", { for: "seed" });
  const seedBox = h("span", { class: "seed" }, seedLabel, seed);
  const element = h("div", { class: "modebar" }, group, seedBox);
  return {
    element,
    update({ state, model, progress }) {
      group.setAttribute("aria-label", t("mode.legend"));
      buttons.forEach((button, i) => {
        const mode = MODES[i] as Mode;
        button.setAttribute("aria-pressed", String(state.mode === mode));
        setText(button.firstElementChild as Element, String(i + 1));
        setText(button.lastElementChild as Element, t(MODE_KEYS[mode]));
      });
      seedBox.hidden = state.mode === "primal";
      setText(seedLabel, t(state.mode === "forward" ? "seed.input" : "seed.output"));
      const choices = state.mode === "forward" ? model.inputs : model.outputs;
      const names = choices.map((id) => (state.mode === "forward" ? nameText(nodeName(model.node(id))) : model.outputName(id) || nameText(nodeName(model.node(id)))));
      seed.replaceChildren(...choices.map((id, i) => h("option", { value: id }, names[i] as string)));
      const chosen = state.mode === "forward" ? progress.seeds.input : progress.seeds.output;
      seed.value = String(chosen ?? "");
    },
  };
}

export function makeTransport(get: () => Context): Panel {
  const go = (step: (now: number, length: number) => number) => () => {
    const { actions, progress } = get();
    actions.setStep(Math.max(0, Math.min(progress.length, step(progress.step, progress.length))));
  };
  const first = button("first", go(() => 0));
  const back = button("back", go((now) => now - 1));
  const play = button("play", () => get().actions.togglePlay());
  const next = button("next", go((now) => now + 1));
  const last = button("last", go((_, length) => length));
  play.classList.add("play");
  const scrub = h("input", { type: "range", min: 0, id: "scrub", input: () => get().actions.setStep(Number(scrub.value)) });
  const count = h("output", { for: "scrub", class: "count" });
  const hint = h("span", { class: "hint" });
  const element = h("div", { class: "transport", role: "group" }, first, back, play, next, last, scrub, count, hint);
  const name = (control: HTMLElement, text: string): void => {
    control.setAttribute("aria-label", text);
    control.title = text;
  };
  return {
    element,
    update({ progress, actions }) {
      name(element, t("transport.label"));
      name(first, t("transport.first"));
      name(back, t("transport.back"));
      name(next, t("transport.next"));
      name(last, t("transport.last"));
      const playing = actions.isPlaying();
      name(play, t(playing ? "transport.pause" : "transport.play"));
      play.querySelector("path")?.setAttribute("d", playing ? ICONS.pause : ICONS.play);
      name(scrub, t("transport.scrub"));
      scrub.max = String(progress.length);
      scrub.value = String(progress.step);
      scrub.setAttribute("aria-valuetext", t("transport.count", progress.step, progress.length));
      setText(count, `${progress.step} / ${progress.length}`);
      setText(hint, t("transport.keys"));
      // Not disabled at the ends: a disabled button would lose the keyboard's place.
      for (const [control, off] of [[first, progress.step === 0], [back, progress.step === 0], [next, progress.step === progress.length], [last, progress.step === progress.length]] as const)
        control.setAttribute("aria-disabled", String(off));
    },
  };
}
