/** What the user has chosen: one record, kept in the URL fragment, and who hears of changes. */

import { clampChain, type ChainShape } from "./chain";

export type Mode = "primal" | "forward" | "reverse";
export type Language = "en" | "zh";
export type Theme = "auto" | "light" | "dark";

export interface State {
  view: number;
  mode: Mode;
  /** Steps done; null is all of them. */
  step: number | null;
  /** Seeded input and output; null is the first. */
  input: number | null;
  output: number | null;
  selected: number | null;
  edits: ReadonlyMap<number, number>;
  /** Edited elements of array inputs: "node.position" → number. */
  cells: ReadonlyMap<string, number>;
  /** The array input whose elements are shown for editing, and the chosen one of them. */
  element: { node: number; position: number } | null;
  toggled: ReadonlySet<string>;
  quiz: boolean;
  linked: boolean;
  /** The chain preset drawn in place of the payload's graphs. */
  chain: ChainShape | null;
  /** The chain of the memory section's sliders. */
  sliders: ChainShape;
  language: Language;
  theme: Theme;
}

export const START: State = {
  view: 0,
  mode: "primal",
  step: null,
  input: null,
  output: null,
  selected: null,
  edits: new Map(),
  cells: new Map(),
  element: null,
  toggled: new Set(),
  quiz: false,
  linked: false,
  chain: null,
  sliders: { depth: 3, inputs: 3, outputs: 1, checkpoints: 0 },
  language: "en",
  theme: "auto",
};

const shapeText = (shape: ChainShape): string => [shape.depth, shape.inputs, shape.outputs, shape.checkpoints].join(".");

function readShape(text: string): ChainShape {
  const [depth = 3, inputs = 3, outputs = 1, checkpoints = 0] = text.split(".").map(Number);
  return clampChain({ depth, inputs, outputs, checkpoints });
}

/** Only what differs from the start is written, so that a fresh page has a clean address. */
export function writeFragment(state: State, start: State): string {
  const parts = new URLSearchParams();
  const put = (key: string, value: string, initial: string): void => {
    if (value !== initial) parts.set(key, value);
  };
  const or = (value: number | null): string => (value === null ? "" : String(value));
  const edits = (s: State): string => [...s.edits, ...s.cells].map(([id, x]) => `${id}:${Object.is(x, -0) ? "-0" : x}`).join("_");
  const element = (s: State): string => (s.element === null ? "" : `${s.element.node}.${s.element.position}`);
  put("view", String(state.view), String(start.view));
  put("mode", state.mode, start.mode);
  put("step", or(state.step), or(start.step));
  put("in", or(state.input), or(start.input));
  put("out", or(state.output), or(start.output));
  put("node", or(state.selected), or(start.selected));
  put("edit", edits(state), edits(start));
  put("element", element(state), element(start));
  put("fold", [...state.toggled].join("_"), "");
  put("quiz", state.quiz ? "1" : "", "");
  put("linked", state.linked ? "1" : "", "");
  put("chain", state.chain === null ? "" : shapeText(state.chain), "");
  put("sliders", shapeText(state.sliders), shapeText(start.sliders));
  put("lang", state.language, start.language);
  put("theme", state.theme, start.theme);
  return parts.toString();
}

export function readFragment(fragment: string, start: State): State {
  const parts = new URLSearchParams(fragment.replace(/^#/, ""));
  const state = { ...start };
  const whole = (key: string): number | null => {
    const text = parts.get(key);
    return text !== null && /^\d+$/.test(text) ? Number(text) : null;
  };
  const mode = parts.get("mode");
  if (mode === "primal" || mode === "forward" || mode === "reverse") state.mode = mode;
  state.view = whole("view") ?? start.view;
  state.step = whole("step");
  state.input = whole("in");
  state.output = whole("out");
  state.selected = whole("node");
  const edits = new Map<number, number>();
  const cells = new Map<string, number>();
  for (const part of (parts.get("edit") ?? "").split("_")) {
    const [id, x] = part.split(":");
    if (id && x && /^\d+$/.test(id)) edits.set(Number(id), Number(x));
    if (id && x && /^\d+\.\d+$/.test(id)) cells.set(id, Number(x));
  }
  state.edits = edits;
  state.cells = cells;
  const element = /^(\d+)\.(\d+)$/.exec(parts.get("element") ?? "");
  if (element !== null) state.element = { node: Number(element[1]), position: Number(element[2]) };
  state.toggled = new Set((parts.get("fold") ?? "").split("_").filter((key) => key !== ""));
  state.quiz = parts.get("quiz") === "1";
  state.linked = parts.get("linked") === "1";
  const chain = parts.get("chain");
  if (chain !== null) state.chain = readShape(chain);
  const sliders = parts.get("sliders");
  if (sliders !== null) state.sliders = readShape(sliders);
  const language = parts.get("lang");
  if (language === "en" || language === "zh") state.language = language;
  const theme = parts.get("theme");
  if (theme === "light" || theme === "dark" || theme === "auto") state.theme = theme;
  return state;
}

export class Store {
  private readonly listeners: ((state: State, before: State) => void)[] = [];
  constructor(private current: State) {}
  get state(): State {
    return this.current;
  }
  set(patch: Partial<State>): void {
    const before = this.current;
    this.current = { ...before, ...patch };
    for (const listener of this.listeners) listener(this.current, before);
  }
  listen(listener: (state: State, before: State) => void): void {
    this.listeners.push(listener);
  }
}
