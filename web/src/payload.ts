/**
 * The contract between Python and the page: one JSON document, written by
 * `wengert.explain.page.payload` and read here. Its Python mirror is the set of TypedDicts there.
 *
 * JSON has no NaN, infinity or signed zero, so a number is a JSON number or one of the strings
 * "nan", "inf", "-inf", "-0".
 */

export type WireNumber = number | "nan" | "inf" | "-inf" | "-0";

/**
 * What an array looks like from outside. `grid` is a down-sampled picture of it, row by row (at most
 * 32 rows of 32; a vector is one row; higher ranks are flattened to their last two axes); a cell is
 * the mean of the entries it stands for. `exact` says that no entry was merged away.
 */
export interface ArraySummary {
  shape: number[];
  min: WireNumber;
  max: WireNumber;
  mean: WireNumber;
  /** Entries that are NaN, and entries that are infinite. */
  nans: number;
  infs: number;
  grid: WireNumber[][];
  exact: boolean;
}

/** The value of a node: a number for scalars, a summary for arrays, null when it was not computed. */
export type WireValue = WireNumber | ArraySummary | null;

/**
 * An operand of an instruction: "x0", "x1", … (values of the operands of the node), "y" (its value),
 * "t0", "t1", … (results of earlier instructions of the same program), or a literal number.
 */
export type Ref = string | number;

/** A static parameter: tuples (shapes, axes, keys) are lists, dtypes names. */
export type Param = WireNumber | boolean | string | null | Param[];
export type Params = Record<string, Param>;

/** One instruction: [operator of the rule table, its operands, its static parameters if any]. */
export type Instruction = [op: string, operands: Ref[], params?: Params];

/**
 * A partial derivative as a straight-line program in the operator vocabulary of the rule table, so
 * that the page needs no table of derivatives of its own. The result is the last instruction's, or
 * `result` (a Ref) when there is no instruction (a partial that is an operand, or a constant).
 */
export interface Program {
  code: Instruction[];
  result: Ref;
  /**
   * When it is there and comes out 0, the partial is zero by structure at these inputs (the branch
   * that was not taken, the smaller side of a maximum): nothing flows, whatever `result` is.
   */
  mask?: Ref;
}

/** How the local Jacobian of an array operator is filled. Scalars: "scalar". */
export type Structure = "scalar" | "diagonal" | "dense block" | "permutation" | "broadcast" | "sum" | "sparse";

/**
 * The local partial on the edge from operand number `position` into a node. An operand that the
 * node's value does not depend on differentiably (an integer index, a comparison, the branch that
 * is never taken) has null in the node's list: zero by structure. Where that depends on the inputs,
 * the program has a `mask`, and `value` is null while the mask is 0.
 */
export interface Partial {
  /** Present for scalars whose rule can be written so; without it the number is fixed. */
  program?: Program;
  /** The formula as plain text in the names of the nodes, used where there is no program. */
  text?: string;
  value: WireValue;
  structure: Structure;
  /** Entries of the local Jacobian that are not zero by structure (1 for scalars). */
  nnz: number;
  /** Ids of the nodes whose values the partial is computed from; see docs/memory-counts.md. */
  needs: number[];
}

export interface NodeRecord {
  /** Its position in `nodes`; operands refer to it. Operands always have smaller ids. */
  id: number;
  kind: "input" | "constant" | "op";
  /** Name of the primitive in the rule table ("multiply"), "" for inputs and constants. */
  op: string;
  /** The symbol in the drawing ("×", "exp"). For constants the number, for inputs their name. */
  label: string;
  /** How formulas call the value: "w", "h3". Constants may leave it "". */
  name: string;
  operands: number[];
  /** Static parameters, such as the exponent n of integer_power. */
  params: Params;
  /** Of a value with several parts ("results"): [how many parts]. */
  shape: number[];
  /** How many numbers the value has. */
  size: number;
  dtype: string;
  value: WireValue;
  /** One entry per operand; null is zero by structure. */
  partials: (Partial | null)[];
  /** For inputs: may be differentiated by (floating point, chosen by the caller). */
  differentiable: boolean;
  /** Line of the user's source, counted as in the file; null when unknown. */
  line: number | null;
  /** Innermost group the node belongs to, an index into `groups`; null at top level. */
  group: number | null;
  /** Which batch of a schedule executes it; null without a schedule. */
  batch: number | null;
  /** Array graphs only, where the page cannot compute: adjoints by output id (seed: ones). */
  adjoints?: Record<string, WireValue>;
  /** The same for tangents, by input id (seed: ones). */
  tangents?: Record<string, WireValue>;
}

/** A piece of the graph that can be folded into one node: a call, a module, a turn of a loop. */
export interface GroupRecord {
  label: string;
  parent: number | null;
  /** Groups next to each other with the same parent and family fold together: "label × 12". */
  family: string;
}

export interface SourceText {
  file: string;
  /** Number of the first of `lines` in the file. */
  first: number;
  lines: string[];
}

/** Derivatives computed by Python, shown when the page cannot compute them (arrays). */
export interface Check {
  output: number;
  input: number;
  forward: WireValue;
  reverse: WireValue;
  finite: WireValue;
}

/** One entry of a sweep over arrays; ["", elements, shape] is a constant, ["seed"] the sweep's seed. */
export type ArrayInstruction =
  | [op: string, operands: number[], params: Params, shape: number[], dtype: string]
  | [op: "", elements: WireNumber[], shape: number[]]
  | [op: "seed"]
  | null;

/** Instructions that continue the graph, the first as number `start`; null is not needed. */
export interface ArraySweep {
  start: number;
  code: ArrayInstruction[];
  /** [node, number of the value that is its tangent or adjoint]; a node without one is zero by structure. */
  results: [node: number, value: number][];
}

/** What the page needs to compute with arrays. */
export interface ArrayProgram {
  /** Elements of array inputs and constants by node, in C order. */
  elements: Record<string, WireNumber[]>;
  forward: Record<string, ArraySweep>;
  reverse: Record<string, ArraySweep>;
}

export interface View {
  /** Heading over the graph, shown when there are two ("before", "after optimisation"). */
  name: string;
  /** The whole function as one line of text, e.g. "1 / (exp(-(w * x + b)) + 1)"; may be "". */
  expression: string;
  source: SourceText | null;
  nodes: NodeRecord[];
  outputs: { node: number; name: string }[];
  groups: GroupRecord[];
  checks: Check[];
  /** Names of the batches of a schedule, by number. */
  batches: string[];
  /** Why forward mode is not available (a custom reverse rule without a forward form); "" where it is. */
  noForward?: string;
  /** Of a graph with arrays: its programs; null where it is too large to be computed on a page. */
  arrays?: ArrayProgram | null;
  /** The most elements of inputs and constants of a graph that is computed on a page. */
  mostNumbers?: number;
}

export interface Payload {
  format: "wengert-explain";
  version: 1;
  title: string;
  /** Language the page starts in; without it the browser's. */
  language: "en" | "zh" | null;
  /** One graph, or two side by side. */
  views: View[];
}

/** The number a wire number stands for. */
export function fromWire(value: WireNumber): number {
  if (typeof value === "number") return value;
  switch (value) {
    case "inf":
      return Infinity;
    case "-inf":
      return -Infinity;
    case "-0":
      return -0;
    default:
      return NaN;
  }
}

export function isArray(value: WireValue | undefined): value is ArraySummary {
  return typeof value === "object" && value !== null;
}

/** The wire value as a number; NaN stands for arrays and for what was not computed. */
export function scalarOf(value: WireValue): number {
  return value === null || isArray(value) ? NaN : fromWire(value);
}

/**
 * Check what the rest of the page relies on (ids are positions, operands come first), so that a
 * payload of another version fails with a sentence and not somewhere in the drawing.
 */
export function parsePayload(text: string): Payload {
  const data = JSON.parse(text) as Payload;
  if (data.format !== "wengert-explain" || data.version !== 1)
    throw new Error(`this page reads wengert-explain payloads of version 1, not ${String(data.format)} ${String(data.version)}`);
  if (!Array.isArray(data.views) || data.views.length === 0) throw new Error("the payload holds no graph");
  for (const view of data.views) {
    view.nodes.forEach((node, position) => {
      if (node.id !== position) throw new Error(`node ${node.id} stands at position ${position}`);
      if (node.operands.some((id) => !(id >= 0 && id < position)))
        throw new Error(`node ${node.id} uses a value that is not computed before it`);
      if (node.kind === "op" && node.partials.length !== node.operands.length)
        throw new Error(`node ${node.id} has ${node.operands.length} operands and ${node.partials.length} partials`);
    });
    for (const output of view.outputs)
      if (!view.nodes[output.node]) throw new Error(`output ${output.name} is no node of the graph`);
  }
  return data;
}
