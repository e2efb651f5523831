/** What a panel is given to draw itself, and what it may ask for. */

import type { Model } from "./model";
import type { Payload } from "./payload";
import type { State, Store } from "./state";
import type { Progress } from "./steps";

export interface Context {
  store: Store;
  state: State;
  payload: Payload;
  /** The graphs on the screen, and the one that the panels describe. */
  models: Model[];
  model: Model;
  progress: Progress;
  actions: Actions;
}

export interface Actions {
  setStep(step: number): void;
  setMode(mode: State["mode"]): void;
  select(node: number): void;
  seed(node: number): void;
  togglePlay(): void;
  isPlaying(): boolean;
  find(node: number): void;
  say(text: string): void;
}

export interface Panel {
  element: HTMLElement;
  update(context: Context): void;
}

/** Answers that the quiz is still asking for are not shown elsewhere. */
export function isHiding(context: Context): boolean {
  return context.state.quiz && context.progress.step < context.progress.length;
}
