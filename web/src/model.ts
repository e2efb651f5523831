/** One graph with everything the panels show of it, for the present inputs and seeds. */

import { ArrayEngine, cellKey, MOST_CELLS, summarise, type Cells } from "./arrays";
import { countForward, countReverse, findActivity, type Counts } from "./counts";
import {
  computeAdjoints, computeNumbers, computeTangents, Edges, findObstacle, finiteDifference,
  flowing, type Flow, type Inputs, type Numbers, type Obstacle, type Sweep,
} from "./evaluate";
import { buildFolds, type FoldTree } from "./fold";
import type { NdArray } from "./nd";
import { fromWire, isArray, type ArraySummary, type NodeRecord, type View, type WireValue } from "./payload";
import type { Mode } from "./state";

/** A number, an array, null for zero by structure, undefined for what is not known here. */
export type Quantity = number | ArraySummary | null | undefined;

export function toQuantity(value: WireValue | undefined): Quantity {
  if (value === undefined || value === null) return undefined;
  return isArray(value) ? value : fromWire(value);
}

/** An array computed here as the panels show it: a number, or what it looks like from outside. */
export function toShown(x: NdArray): number | ArraySummary {
  return x.shape.length === 0 ? (x.data[0] as number) : summarise(x);
}

/** Results of the array engine for the present inputs. */
interface Computed {
  values: NdArray[];
  tangents: Map<string, (NdArray | null)[] | null>;
  adjoints: Map<number, (NdArray | null)[] | null>;
  finite: Map<string, NdArray | null>;
  shown: Map<NdArray, number | ArraySummary>;
}

export class Model {
  readonly edges: Edges;
  readonly folds: FoldTree;
  readonly obstacle: Obstacle | null;
  readonly operators: number[];
  readonly inputs: number[];
  readonly outputs: number[];
  readonly hasArrays: boolean;
  /** Computes with arrays; null for graphs of numbers and where that is not possible. */
  readonly engine: ArrayEngine | null;
  private inputsKey: Inputs = new Map();
  private cells: Cells = new Map();
  private computed: Computed | null = null;
  private cachedNumbers: Numbers | null = null;
  private tangents = new Map<number, Sweep>();
  private adjoints = new Map<number, Sweep>();
  private cachedFlow: Flow | null = null;
  private cachedCounts: { key: string; forward: Counts; reverse: Counts } | null = null;

  constructor(readonly view: View, private readonly checkpoints = 0) {
    this.edges = new Edges(view);
    this.folds = buildFolds(view);
    this.hasArrays = view.nodes.some((node) => node.shape.length > 0);
    const engine = view.arrays ? new ArrayEngine(view, view.arrays) : null;
    this.obstacle = findObstacle(view, engine);
    this.engine = this.obstacle === null ? engine : null;
    this.operators = view.nodes.filter((node) => node.kind === "op").map((node) => node.id);
    this.inputs = view.nodes.filter((node) => node.kind === "input" && node.differentiable).map((node) => node.id);
    this.outputs = [...new Set(view.outputs.map((output) => output.node))];
  }

  node(id: number): NodeRecord {
    return this.view.nodes[id] as NodeRecord;
  }

  /** Must be called before numbers are asked for; forgets them when the inputs have changed. */
  useInputs(inputs: Inputs, cells: Cells): void {
    if (inputs === this.inputsKey && cells === this.cells) return;
    this.inputsKey = inputs;
    this.cells = cells;
    this.computed = null;
    this.cachedNumbers = null;
    this.cachedFlow = null;
    this.tangents.clear();
    this.adjoints.clear();
  }

  get numbers(): Numbers {
    return (this.cachedNumbers ??= this.engine !== null && this.edited ? this.arrayNumbers(this.engine) : computeNumbers(this.view, this.edges, this.inputsKey));
  }

  // ---------------------------------------------------------------- arrays

  private get arrays(): Computed {
    const engine = this.engine as ArrayEngine;
    return (this.computed ??= { values: engine.values(this.inputsKey, this.cells), tangents: new Map(), adjoints: new Map(), finite: new Map(), shown: new Map() });
  }

  /** As for graphs of numbers; an array's place holds NaN, which nothing reads. */
  private arrayNumbers(engine: ArrayEngine): Numbers {
    const { values } = this.arrays;
    const partials = new Map<string, number>();
    for (const edge of this.edges.all) {
      if (edge.partial === null) continue;
      const found = engine.partial(edge.partial, this.node(edge.to), values);
      if (found !== null) partials.set(edge.id, found?.shape.length === 0 ? (found.data[0] as number) : NaN);
    }
    return { values: values.map((x) => (x.shape.length === 0 ? (x.data[0] as number) : NaN)), partials };
  }

  private shown(x: NdArray | null | undefined): Quantity {
    if (x === null || x === undefined) return x;
    let shown = this.arrays.shown.get(x);
    if (shown === undefined) this.arrays.shown.set(x, (shown = toShown(x)));
    return shown;
  }

  /** Whether the elements of an input can be edited here. */
  canEditElements(id: number): boolean {
    const node = this.node(id);
    return this.engine !== null && node.kind === "input" && node.shape.length > 0 && node.size > 0 && node.size <= MOST_CELLS;
  }

  elements(id: number): NdArray {
    return this.arrays.values[id] as NdArray;
  }

  /** Tangents for all elements of an input alike, or for one of them. */
  tangentArrays(input: number, position: number | null = null): (NdArray | null)[] | null {
    const { tangents, values } = this.arrays;
    const key = `${input}.${position ?? ""}`;
    let found = tangents.get(key);
    if (found === undefined) tangents.set(key, (found = (this.engine as ArrayEngine).tangents(values, input, position)));
    return found;
  }

  adjointArrays(output: number): (NdArray | null)[] | null {
    const { adjoints, values } = this.arrays;
    let found = adjoints.get(output);
    if (found === undefined) adjoints.set(output, (found = (this.engine as ArrayEngine).adjoints(values, output)));
    return found;
  }

  /** Finite differences by every element of an input; null where they would take too long. */
  finiteArray(output: number, input: number): NdArray | null {
    const { finite } = this.arrays;
    const key = `${output}.${input}`;
    let found = finite.get(key);
    if (found === undefined) finite.set(key, (found = (this.engine as ArrayEngine).finiteDifferences(this.inputsKey, this.cells, output, input)));
    return found;
  }

  get flow(): Flow {
    return (this.cachedFlow ??= flowing(this.edges, this.numbers));
  }

  get edited(): boolean {
    return this.inputsKey.size > 0 || this.cells.size > 0;
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
    if (this.engine !== null && this.edited) return this.shown(this.arrays.values[id]);
    if (own === null) return undefined;
    return isArray(own) ? own : this.numbers.values[id];
  }

  tangent(id: number, input: number): Quantity {
    if (this.engine !== null && this.edited) return this.shown(this.sweepOf(this.tangentArrays(input), id));
    return this.hasArrays ? this.given("tangents", input, id) : this.tangentSweep(input)[id];
  }

  adjoint(id: number, output: number): Quantity {
    if (this.engine !== null && this.edited) return this.shown(this.sweepOf(this.adjointArrays(output), id));
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

  private sweepOf(sweep: (NdArray | null)[] | null, id: number): NdArray | null | undefined {
    return sweep === null ? undefined : (sweep[id] ?? null);
  }

  partial(edge: string): Quantity {
    const [to = 0, position = 0] = edge.split(".").map(Number);
    const record = this.node(to).partials[position] ?? null;
    if (record === null) return null;
    if (this.engine !== null && this.edited) return this.shown(this.engine.partial(record, this.node(to), this.arrays.values));
    if (isArray(record.value)) return record.value;
    if (record.value === null && record.program?.mask === undefined && this.hasArrays) return undefined;
    return this.numbers.partials.get(edge) ?? null;
  }

  /** Slope by finite differences: computed here, or Python's where the page can't. */
  finite(output: number, input: number): Quantity {
    if (this.engine !== null && this.edited) return this.shown(this.finiteArray(output, input) ?? undefined);
    if (this.obstacle === null && !this.hasArrays) return finiteDifference(this.view, this.inputsKey, output, input);
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
  translate(edits: Inputs, cells: Cells, other: Model): { edits: Inputs; cells: Cells } {
    const found = new Map<number, number>();
    for (const [id, x] of edits) {
      const own = this.counterpart(other, id);
      if (own !== undefined) found.set(own, x);
    }
    const foundCells = new Map<string, number>();
    for (const [key, x] of cells) {
      const [id = 0, position = 0] = key.split(".").map(Number);
      const own = this.counterpart(other, id);
      if (own !== undefined) foundCells.set(cellKey(own, position), x);
    }
    return { edits: found, cells: foundCells };
  }

  /** The input of this graph with the name and the given value of another graph's input. */
  private counterpart(other: Model, id: number): number | undefined {
    const source = other.view.nodes[id];
    const given = (model: Model, node: NodeRecord): string => JSON.stringify(model.view.arrays?.elements[node.id] ?? node.value);
    return source && this.view.nodes.find((node) => node.kind === "input" && node.name === source.name && given(this, node) === given(other, source))?.id;
  }

  /** The operators in the order in which a sweep takes them. */
  order(mode: Mode): number[] {
    return mode === "reverse" ? [...this.operators].reverse() : this.operators;
  }

  outputName(id: number): string {
    return this.view.outputs.find((output) => output.node === id)?.name ?? "";
  }
}
