"""Writes array_reference.json: every operator of the rule table on arrays, by the interpreter.

The operands are the samples of the table itself, which are inside the domains, and a few more that
broadcast and hold NaN and infinities. Operators that the page does not evaluate are listed: of graphs
with these it says that it can't edit their inputs, and names the operator.

    python web/tests/make_array_reference.py
"""

import json
import re
from pathlib import Path

import numpy as np

from wengert.explain.page.numbers import wire_number
from wengert.explain.page.programs import page_name, param_value
from wengert.graph import type_of
from wengert.ops import TABLE
from wengert.run import evaluate_entry

SOURCES = Path(__file__).parents[1] / "src"
DOUBLE = np.dtype(np.float64)


def array(x):
    return {"shape": list(np.shape(x)), "data": [wire_number(v) for v in np.ravel(x)]}


def page_operators():
    """The names that stand in the page's tables of operators."""
    files = ("operators.ts", "array-operators.ts", "linear-algebra.ts")
    text = "\n".join((SOURCES / name).read_text(encoding="utf-8") for name in files)
    return set(re.findall(r"^  (\w+)[:,]", text, re.MULTILINE))


def samples(op):
    rng = np.random.default_rng(sum(op.name.encode()))
    yield from op.test_samples(rng, DOUBLE)
    nan, inf = np.nan, np.inf
    odd = np.array([[1.0, nan, -2.0], [inf, 3.0, -inf], [0.0, -0.0, 2.0]])
    if op.name in ("reduce_max", "reduce_min", "reduce_sum"):
        yield (odd,), {"axes": (1,)}
        yield (odd,), {"axes": ()}
    if op.name in ("argmax", "argmin", "argsort", "cumprod"):
        yield (odd,), {"axis": 1}
    if op.name in ("reduce_all", "reduce_any"):
        yield (odd != 0,), {"axes": (0, 1)}
    if op.name in ("add", "multiply", "maximum", "less"):
        yield (odd, np.array([[1.0], [nan], [0.5]])), {}
        yield (np.zeros((0, 3)), np.ones(3)), {}
    if op.name == "reduce_sum":
        yield (rng.normal(size=(2, 200)),), {"axes": (1,)}
        yield (np.zeros((0, 3)),), {"axes": (0,)}
    if op.name == "contract":
        yield (np.zeros((2, 0)), np.zeros((0, 3))), {"spec": "ij,jk->ik"}
    if op.name == "cofactors":  # of a singular matrix
        yield (np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]]),), {}


def rows():
    known = page_operators()
    with np.errstate(all="ignore"):
        for name, op in TABLE.items():
            if name not in known:
                continue
            found = 0
            for operands, params in samples(op):
                arrays = [np.asarray(x) for x in operands]
                value = evaluate_entry(op, [x[()] for x in arrays], tuple(params.items()))
                yield {
                    "op": page_name(op, type_of(value)),
                    "of": name,
                    "dtype": str(np.asarray(value).dtype),
                    "args": [array(x) for x in arrays],
                    "params": {key: param_value(value) for key, value in params.items()},
                    "result": array(value),
                }
                found += 1
            assert found, f"{name}: nothing to compare"


def make():
    return {"notEvaluated": sorted(set(TABLE) - page_operators()), "rows": list(rows())}


def text(made):
    lines = ",\n".join(json.dumps(row) for row in made["rows"])
    return f'{{"notEvaluated": {json.dumps(made["notEvaluated"])},\n"rows": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    Path(__file__).with_name("array_reference.json").write_text(text(make()))
