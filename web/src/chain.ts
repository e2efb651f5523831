/** The preset of the memory section: a chain of operators, as an ordinary view. */

import { computeValues, runProgram } from "./evaluate";
import type { NodeRecord, Partial, View } from "./payload";

export interface ChainShape {
  depth: number;
  inputs: number;
  outputs: number;
  checkpoints: number;
}

/** Sliders can ask for what a chain can't have; the nearest chain that exists. */
export function clampChain(shape: ChainShape): ChainShape {
  const clamp = (n: number, low: number, high: number): number => Math.max(low, Math.min(high, Math.round(n) || low));
  const depth = clamp(shape.depth, 1, 64);
  return {
    depth,
    inputs: clamp(shape.inputs, 1, depth),
    outputs: clamp(shape.outputs, 1, depth),
    checkpoints: clamp(shape.checkpoints, 0, depth - 1),
  };
}

const scalar = (program: Partial["program"] & object, needs: number[]): Partial => ({
  program,
  value: 0,
  structure: "scalar",
  nnz: 1,
  needs,
});

/**
 * h1 = exp(x1); then h(i) = h(i-1) · x(i) as long as there are inputs, and sin(h(i-1)) after that.
 * The last `outputs` operators are results. Values are filled in by evaluating.
 */
export function chainView(shape: ChainShape): View {
  const { depth, inputs, outputs } = clampChain(shape);
  const nodes: NodeRecord[] = [];
  const push = (record: Fields<NodeRecord>): number => {
    const id = nodes.length;
    nodes.push({
      kind: "op", op: "", label: "", name: "", operands: [], params: {}, shape: [], size: 1, dtype: "float64", value: null,
      partials: [], differentiable: false, line: null, group: null, batch: null, ...record, id,
    });
    return id;
  };
  const input = (k: number): number =>
    push({ kind: "input", label: `x${k}`, name: `x${k}`, value: Math.round(100 - 50 / (k + 1)) / 100, differentiable: true });
  const operators: number[] = [];
  for (let i = 1; i <= depth; i++) {
    const before = operators.at(-1);
    const name = `h${i}`;
    if (before === undefined) {
      const x = input(1);
      const id = nodes.length;
      operators.push(push({ op: "exp", label: "exp", name, operands: [x], partials: [scalar({ code: [], result: "y" }, [id])] }));
    } else if (i <= inputs) {
      const x = input(i);
      const partials = [scalar({ code: [], result: "x1" }, [x]), scalar({ code: [], result: "x0" }, [before])];
      operators.push(push({ op: "multiply", label: "×", name, operands: [before, x], partials }));
    } else {
      const partials = [scalar({ code: [["cos", ["x0"]]], result: "t0" }, [before])];
      operators.push(push({ op: "sin", label: "sin", name, operands: [before], partials }));
    }
  }
  const results = operators.slice(-outputs).map((node, k) => ({ node, name: outputs === 1 ? "y" : `y${k + 1}` }));
  const view: View = { name: "", expression: "", source: null, nodes, outputs: results, groups: [], checks: [], batches: [] };
  const values = computeValues(view, new Map());
  for (const node of nodes) {
    node.value = values[node.id] as number;
    const xs = node.operands.map((id) => values[id] as number);
    for (const partial of node.partials) if (partial !== null) partial.value = runProgram(partial, xs, node.value);
  }
  return view;
}

/** What distinguishes one node from another; the built-in Partial is shadowed by the payload's. */
type Fields<T> = { [K in keyof T]?: T[K] };
