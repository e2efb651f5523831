"""Forward sweep, reverse sweep, sum over paths, formula, `grad` and differences agree."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wengert.explain import explain, explain_formula
from wengert.transform import grad

NUMPY = {
    name: getattr(np, name)
    for name in (
        "exp",
        "sin",
        "cos",
        "tanh",
        "sqrt",
        "log",
        "arctan",
        "maximum",
        "minimum",
        "where",
        "hypot",
        "absolute",
        "power",
        "reciprocal",
        "square",
        "sign",
        "logical_not",
    )
}

LEAVES = st.sampled_from(["x", "y", "z", "2", "0.5", "pi", "3"])


def combine(parts):
    unary = st.sampled_from(
        [
            "sin({})",
            "cos({})",
            "tanh({})",
            "exp(-{}**2)",
            "sqrt({}**2 + 1)",
            "-{}",
            "arctan({})",
            "{}**2",
            "log({}**2 + 2)",
            "{}**3",
            "abs({})",
        ]
    )
    binary = st.sampled_from(
        [
            "({} + {})",
            "({} - {})",
            "{}*{}",
            "{}/({}**2 + 1)",
            "maximum({}, {})",
            "where({} > 0.3, x, {})",
            "hypot({}, {})",
        ]
    )
    return st.one_of(
        st.builds(lambda f, a: f.format(f"({a})"), unary, parts),
        st.builds(lambda f, a, b: f.format(f"({a})", f"({b})"), binary, parts, parts),
    )


EXPRESSIONS = st.recursive(LEAVES, combine, max_leaves=8)
POINTS = st.tuples(*[st.floats(-2.0, 2.0).map(lambda v: round(v, 3))] * 3)


def evaluate(formula, values):
    """The value of a formula's text by NumPy; its definitions come in order."""
    scope = dict(values, pi=np.pi, nan=np.nan, inf=np.inf, **NUMPY)
    text, *lines = formula.splitlines()
    with np.errstate(all="ignore"):
        for line in lines:
            name, _, right = line.partition(" = ")
            scope[name.strip()] = eval(right, {}, scope)
        return eval(text.removesuffix(", where"), {}, scope)


@given(EXPRESSIONS, POINTS)
def test_all_ways_to_the_derivative_agree(text, point):
    names = [name for name in "xyz" if re.search(rf"\b{name}\b", text)]
    if not names:
        return
    values = dict(zip(names, point, strict=False))
    explanation = explain_formula(text, values)
    output = explanation.graph.outputs[0]
    gradient = grad(lambda inputs: _call(text, inputs))(
        {k: np.float64(v) for k, v in values.items()}
    )
    reverse = dict(explanation.table("reverse"))
    ends = {row.derivative: row.value for rows in reverse.values() for row in rows}
    for (seed, rows), d in zip(explanation.table("forward"), explanation.derivatives, strict=True):
        close = pytest.approx(float(gradient[d.input]), rel=1e-9, abs=1e-12, nan_ok=True)
        assert float(d.value) == close
        assert seed == d.input
        paths = explanation.paths(None, d.input)
        assert float(paths.sum) == close
        if d.status == "path" and explanation.operators:
            assert float(rows[-1].value if rows else 1.0) == close or output != _last(explanation)
            name = f"∂{explanation.facts.names[output]}/∂{d.input}"
            assert float(ends.get(name, d.value)) == close
        else:
            assert d.value == (1.0 if d.status == "path" else 0.0)
        if np.isfinite(d.value):
            written = evaluate(explanation.derivative_formula(d.input), values)
            assert float(written) == pytest.approx(float(d.value), rel=1e-6, abs=1e-9)


def _last(explanation):
    return explanation.operators[-1].index


def _call(text, inputs):
    return explain_formula_function(text, inputs)


def explain_formula_function(text, inputs):
    from wengert.explain.formula import parse_formula

    return 1.0 * parse_formula(text, inputs)(inputs)


@given(st.floats(-2.0, 2.0), st.integers(0, 6))
def test_python_control_flow(x, turns):
    def f(x):
        for _ in range(turns):
            x = np.sin(x) * 2.0 if x > 0 else x * x - 1.0
        return x * 1.0

    explanation = explain(f)(x)
    assert float(explanation.derivatives[0].value) == pytest.approx(float(grad(f)(x)))
    assert float(explanation.paths().sum) == pytest.approx(float(grad(f)(x)))


def test_a_derivative_explained():
    explanation = explain(grad(lambda x: x**3))(2.0)
    assert float(explanation.outputs["f"]) == 12.0
    assert float(explanation.derivatives[0].value) == 12.0


def test_path_counts_multiply():
    def f(x):
        for _ in range(10):
            x = x * x
        return x

    paths = explain(f)(1.0).paths()
    assert paths.count == 2**10
    assert len(list(paths)) == 2**10
    assert len(paths.listed) == paths.limit
    assert float(paths.sum) == 2.0**10
    assert "1024 paths" in str(paths)
    assert "and 1004 more" in str(paths)
