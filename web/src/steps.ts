/** How far the chosen sweep has come: what is known at a step, and what the next step will bring. */

import type { Edge } from "./evaluate";
import type { Model, Quantity } from "./model";
import type { Mode, State } from "./state";

export interface Seeds {
  input: number | null;
  output: number | null;
}

/** Seeds as chosen, or the first input and output. */
export function seedsOf(model: Model, state: State): Seeds {
  const pick = (chosen: number | null, from: number[]): number | null => (chosen !== null && from.includes(chosen) ? chosen : (from[0] ?? null));
  return { input: pick(state.input, model.inputs), output: pick(state.output, model.outputs) };
}

export class Progress {
  readonly mode: Mode;
  readonly order: number[];
  readonly step: number;
  readonly seeds: Seeds;
  /** The operator of the step just done; null before the first. */
  readonly current: number | null;
  private readonly done: Set<number>;
  private sums: Map<number, number> | null = null;
  private pending: Map<number, number> | null = null;

  constructor(readonly model: Model, state: State, step?: number) {
    this.mode = state.mode;
    this.order = model.order(state.mode);
    this.step = Math.max(0, Math.min(this.order.length, step ?? state.step ?? this.order.length));
    this.seeds = seedsOf(model, state);
    this.done = new Set(this.order.slice(0, this.step));
    this.current = this.order[this.step - 1] ?? null;
  }

  get length(): number {
    return this.order.length;
  }

  isDone(id: number): boolean {
    return this.model.node(id).kind !== "op" || this.done.has(id);
  }

  /** Reverse mode evaluates first, so all values are known in it. */
  knowsValue(id: number): boolean {
    return this.mode === "reverse" || this.isDone(id);
  }

  knowsPartial(edge: Edge): boolean {
    return this.knowsValue(edge.to);
  }

  /** Hidden (undefined) outside forward mode and before its step. */
  tangent(id: number): Quantity {
    if (this.mode !== "forward" || this.seeds.input === null || !this.isDone(id)) return undefined;
    return this.model.tangent(id, this.seeds.input);
  }

  /** The adjoint so far; undefined before any contribution. */
  adjoint(id: number): Quantity {
    if (this.mode !== "reverse" || this.seeds.output === null) return undefined;
    if (this.isAdjointComplete(id)) return this.model.adjoint(id, this.seeds.output);
    if (id === this.seeds.output) return 1;
    if (this.model.hasArrays) return undefined;
    return this.partialSums().get(id);
  }

  isAdjointComplete(id: number): boolean {
    if (this.pending === null) {
      this.pending = new Map();
      for (const v of this.order.slice(this.step)) {
        if (this.seeds.output === null || this.model.adjoint(v, this.seeds.output) === null) continue;
        for (const edge of this.model.flow.into[v] ?? []) this.pending.set(edge.from, (this.pending.get(edge.from) ?? 0) + 1);
      }
    }
    return !this.pending.has(id);
  }

  private partialSums(): Map<number, number> {
    if (this.sums !== null) return this.sums;
    const sums = new Map<number, number>();
    if (this.seeds.output !== null) sums.set(this.seeds.output, 1);
    for (const v of this.order.slice(0, this.step)) {
      const adjoint = sums.get(v);
      if (adjoint === undefined) continue;
      for (const edge of this.model.edges.into[v] ?? []) {
        const partial = this.model.numbers.partials.get(edge.id);
        if (partial !== undefined) sums.set(edge.from, (sums.get(edge.from) ?? 0) + adjoint * partial);
      }
    }
    return (this.sums = sums);
  }
}

/** What the quiz asks for at a step: the number this step brings. */
export interface Question {
  kind: Mode;
  /** Whose value, tangent or adjoint. */
  node: number;
  /** The operator of the step. */
  operator: number;
  answer: number | null;
}

export function questionAfter(progress: Progress, state: State): Question | null {
  const operator = progress.order[progress.step];
  if (operator === undefined) return null;
  const next = new Progress(progress.model, state, progress.step + 1);
  const scalar = (q: Quantity): number | null | undefined => (typeof q === "object" && q !== null ? undefined : q);
  if (progress.mode !== "reverse") {
    const answer = scalar(progress.mode === "primal" ? progress.model.value(operator) : next.tangent(operator));
    return answer === undefined ? null : { kind: progress.mode, node: operator, operator, answer };
  }
  const edge = progress.model.edges.into[operator]?.find((e) => e.partial !== null && progress.model.node(e.from).kind !== "constant");
  if (edge === undefined) return null;
  const answer = scalar(next.adjoint(edge.from));
  return { kind: "reverse", node: edge.from, operator, answer: answer ?? null };
}

/** Right to about two digits of what is shown; null (zero by structure) is answered by 0. */
export function isRight(question: Question, given: number): boolean {
  const answer = question.answer ?? 0;
  if (Number.isNaN(answer)) return Number.isNaN(given);
  if (!Number.isFinite(answer)) return answer === given;
  return Math.abs(answer - given) <= 0.006 * Math.max(Math.abs(answer), 1e-3);
}
