/** One graph with everything the panels show of it, for the present inputs and seeds. */

import { countForward, countReverse, findActivity, type Counts } from "./counts";
import {
  computeAdjoints, computeNumbers, computeTangents, Edges, findObstacle, finiteDifference,
  flowing, type Flow, type Inputs, type Numbers, type Obstacle, type Sweep,
} from "./evaluate";
import { buildFolds, type FoldTree } from "./fold";
import { fromWire, isArray, type ArraySummary, type NodeRecord, type View, type WireValue } from "./payload";
import type { Mode } from "./state";

/** A number, an array, null for zero by structure, undefined for what is not known here. */
export type Quantity = number | ArraySummary | null | undefined;

export function toQuantity(value: WireValue | undefined): Quantity {
  if (value === undefined || value === null) return undefined;
  return isArray(value) ? value : fromWire(value);
}

export class Model {
  readonly edges: Edges;
  readonly folds: FoldTree;
  readonly obstacle: Obstacle | null;
  readonly operators: number[];
  readonly inputs: number[];
  readonly outputs: number[];
  readonly hasArrays: boolean;
  private inputsKey: Inputs = new Map();
  private cachedNumbers: Numbers | null = null;
  private tangents = new Map<number, Sweep>();
  private adjoints = new Map<number, Sweep>();
  private cachedFlow: Flow | null = null;
  private cachedCounts: { key: string; forward: Counts; reverse: Counts } | null = null;

  constructor(readonly view: View, private readonly checkpoints = 0) {
    this.edges = new Edges(view);
    this.folds = buildFolds(view);
    this.obstacle = findObstacle(view);
    this.hasArrays = view.nodes.some((node) => node.shape.length > 0);
    this.operators = view.nodes.filter((node) => node.kind === "op").map((node) => node.id);
    this.inputs = view.nodes.filter((node) => node.kind === "input" && node.differentiable).map((node) => node.id);
    this.outputs = [...new Set(view.outputs.map((output) => output.node))];
  }

  node(id: number): NodeRecord {
    return this.view.nodes[id] as NodeRecord;
  }

  /** Must be called before numbers are asked for; forgets them when the inputs have changed. */
  useInputs(inputs: Inputs): void {
    if (inputs === this.inputsKey) return;
    this.inputsKey = inputs;
    this.cachedNumbers = null;
    this.cachedFlow = null;
    this.tangents.clear();
    this.adjoints.clear();
  }

  get numbers(): Numbers {
    return (this.cachedNumbers ??= computeNumbers(this.view, this.edges, this.inputsKey));
  }

  get flow(): Flow {
    return (this.cachedFlow ??= flowing(this.edges, this.numbers));
  }

  get edited(): boolean {
    return this.inputsKey.size > 0;
  }

  tangentSweep(input: number): Sweep {
    let sweep = this.tangents.get(input);
    if (sweep === undefined) this.tangents.set(input, (sweep = computeTangents(this.view, this.edges, this.numbers, input)));
    return sweep;
  }

  adjointSweep(output: number): Sweep {
    let sweep = this.adjoints.get(output);
    if (sweep === undefined) this.adjoints.set(output, (sweep = computeAdjoints(this.view, this.edges, this.numbers, output)));
    return sweep;
  }

  value(id: number): Quantity {
    const own = this.node(id).value;
    if (own === null) return undefined;
    return isArray(own) ? own : this.numbers.values[id];
  }

  tangent(id: number, input: number): Quantity {
    return this.hasArrays ? this.given("tangents", input, id) : this.tangentSweep(input)[id];
  }

  adjoint(id: number, output: number): Quantity {
    return this.hasArrays ? this.given("adjoints", output, id) : this.adjointSweep(output)[id];
  }

  /**
   * Sweeps over arrays come with the payload. Where it has the sweep, a node without an entry is
   * zero by structure; where it has none, nothing is known.
   */
  private given(sweep: "tangents" | "adjoints", seed: number, id: number): Quantity {
    const value = this.node(id)[sweep]?.[String(seed)];
    if (value !== undefined) return toQuantity(value);
    if (this.node(id).dtype === "results") return undefined; // several arrays at once: not shown
    const known = this.view.nodes.some((node) => node[sweep]?.[String(seed)] !== undefined);
    return known ? null : undefined;
  }

  partial(edge: string): Quantity {
    const [to = 0, position = 0] = edge.split(".").map(Number);
    const record = this.node(to).partials[position] ?? null;
    if (record === null) return null;
    if (isArray(record.value)) return record.value;
    if (record.value === null && record.program?.mask === undefined && this.hasArrays) return undefined;
    return this.numbers.partials.get(edge) ?? null;
  }

  /** Slope by finite differences: computed here for scalars, Python's for arrays. */
  finite(output: number, input: number): Quantity {
    if (this.obstacle === null) return finiteDifference(this.view, this.inputsKey, output, input);
    return toQuantity(this.view.checks.find((check) => check.output === output && check.input === input)?.finite);
  }

  get counts(): { forward: Counts; reverse: Counts } {
    // Values matter to the counts only through masks: which branches are taken.
    const flow = this.flow;
    const key = flow.all.length === this.edges.all.length ? "" : flow.all.map((edge) => edge.id).join();
    if (this.cachedCounts === null || this.cachedCounts.key !== key) {
      const activity = findActivity(this.view, flow, this.inputs, this.outputs);
      this.cachedCounts = { key, forward: countForward(activity), reverse: countReverse(this.view, activity, this.checkpoints) };
    }
    return this.cachedCounts;
  }

  /**
   * Edits of another graph's inputs, for this one: by name, and only where both were given the same
   * value (before and after optimisation; not two calls that differ in just this input).
   */
  translate(edits: Inputs, other: Model): Inputs {
    const found = new Map<number, number>();
    for (const [id, x] of edits) {
      const source = other.view.nodes[id];
      const own = source && this.view.nodes.find((node) => node.kind === "input" && node.name === source.name && node.value === source.value);
      if (own !== undefined) found.set(own.id, x);
    }
    return found;
  }

  /** The operators in the order in which a sweep takes them. */
  order(mode: Mode): number[] {
    return mode === "reverse" ? [...this.operators].reverse() : this.operators;
  }

  outputName(id: number): string {
    return this.view.outputs.find((output) => output.node === id)?.name ?? "";
  }
}
