import type { NodeRecord, Program, View } from "../src/payload";

/** A view from a few lines: [name, operator or "input"/number, operand names, partial programs, needs]. */
export type Line = [name: string, op: string | number, operands?: string[], partials?: (Program | null)[], needs?: string[][]];

export const p = (result: string | number, ...code: Program["code"]): Program => ({ code, result });

export function makeView(lines: Line[], outputs: string[]): View {
  const ids = new Map(lines.map(([name], id) => [name, id]));
  const idOf = (name: string): number => ids.get(name) as number;
  const nodes = lines.map(([name, op, operands = [], partials = [], needs = []], id): NodeRecord => ({
    id,
    kind: op === "input" ? "input" : typeof op === "number" ? "constant" : "op",
    op: typeof op === "string" && op !== "input" ? op : "",
    label: typeof op === "number" ? String(op) : op === "input" ? name : op,
    name: typeof op === "number" ? "" : name,
    operands: operands.map(idOf),
    params: {},
    shape: [],
    size: 1,
    dtype: "float64",
    value: typeof op === "number" ? op : null,
    partials: partials.map((program, k) =>
      program === null ? null : { program, value: null, structure: "scalar", nnz: 1, needs: (needs[k] ?? []).map(idOf) },
    ),
    differentiable: op === "input",
    line: null,
    group: null,
    batch: null,
  }));
  return {
    name: "", expression: "", source: null, nodes, groups: [], checks: [], batches: [],
    outputs: outputs.map((name) => ({ node: idOf(name), name })),
  };
}

/** 1 / (exp(-(w x + b)) + 1), the example of the course notes. */
export const logistic = (): View =>
  makeView(
    [
      ["x", "input"], ["w", "input"], ["b", "input"],
      ["h1", "multiply", ["x", "w"], [p("x1"), p("x0")], [["w"], ["x"]]],
      ["h2", "add", ["h1", "b"], [p(1), p(1)]],
      ["h3", "negative", ["h2"], [p(-1)]],
      ["h4", "exp", ["h3"], [p("y")], [["h4"]]],
      ["one", 1],
      ["h5", "add", ["h4", "one"], [p(1), null]],
      ["h6", "reciprocal", ["h5"], [p("t1", ["square", ["y"]], ["negative", ["t0"]])], [["h6"]]],
    ],
    ["h6"],
  );
