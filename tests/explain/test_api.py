"""The interface: how `explain` is called, what it refuses, what a notebook shows."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

import wengert as wg
from wengert.errors import ArgumentError
from wengert.explain import Explanation, explain, explain_formula


def test_from_the_package_before_and_after_import():
    code = (
        "import wengert as wg\n"
        "for _ in range(2): print(type(wg.explain(lambda x: x * x)(1.0)).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "Explanation\nExplanation\n"


def test_inputs_stand_in_the_order_passed():
    def f(a, b, c):
        return a * b * c

    assert list(explain(f)(1.0, c=2.0, b=3.0).inputs) == ["a", "c", "b"]
    assert list(explain(lambda *v: v[0] * v[1])(1.0, 2.0).inputs) == ["v1", "v2"]


def test_trees_name_their_leaves():
    @dataclasses.dataclass
    class Point:
        x: float
        y: float
        label: str = "p"

    explanation = explain(lambda p, q: p.x * p.y * q[0])(Point(1.0, 2.0), [3.0, 4])
    assert list(explanation.inputs) == ["p.x", "p.y", "q[0]"]


def test_clashing_names():
    explanation = explain(lambda h1, h2: h1 * h2)(1.0, 2.0)
    assert [op.name for op in explanation.operators] == ["v1"]


def test_several_results():
    explanation = explain(lambda x, y: {"a": x * y, "b": (x, 2)})(2.0, 3.0)
    assert list(explanation.outputs) == ["f['a']", "f['b'][0]", "f['b'][1]"]
    found = {(d.output, d.input): d.text for d in explanation.derivatives}
    assert found == {
        ("f['a']", "x"): "3",
        ("f['a']", "y"): "2",
        ("f['b'][0]", "x"): "1",
        ("f['b'][0]", "y"): "0 (no path)",
    }
    assert explanation.paths("f['a']", "y").count == 1
    assert explanation.paths(1, 0).count == 1
    assert str(explanation.paths(1, 0).listed[0]) == ""


def test_the_function_is_called_once():
    calls = []

    def f(x):
        calls.append(1)
        return x * x

    explanation = explain(f)(2.0)
    str(explanation)
    explanation.to_html()
    assert len(calls) == 1


def test_closures_and_nothing_to_do():
    explanation = explain(lambda x: x)(1.0)
    assert explanation.operators == []
    assert "none: the function returns its input" in str(explanation)
    explanation.to_svg()
    explanation.latex()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: explain(lambda x: x)(1), "pass 1.0 instead of 1"),
        (lambda: explain(lambda: 1.0)(), "without any float"),
        (lambda: explain(lambda x: 3)(1.0), "returned no float"),
        (
            lambda: wg.grad(lambda x: explain(lambda y: x * y)(2.0).outputs["f"])(1.0),
            "inside another transformation",
        ),
        (
            lambda: wg.grad(lambda x: explain(lambda y: y)(x).outputs["f"])(1.0),
            "inside another transformation",
        ),
        (lambda: explain(np.sin)(1.0).table("sideways"), '"forward" or "reverse"'),
        (lambda: explain(np.multiply)(1.0, 2.0).paths("multiply", "z"), "there is no input 'z'"),
        (lambda: explain(np.multiply)(1.0, 2.0).paths("g", 0), "there is no output 'g'"),
        (lambda: explain(np.multiply)(1.0, 2.0).derivative_formula(), "which input is meant"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_notebook():
    explanation = explain_formula("x*sin(x)", {"x": 2.0})
    assert explanation._repr_svg_().startswith("<svg")
    assert "<details>" in explanation._repr_html_()
    assert explanation._repr_latex_().startswith("$$")
    assert repr(explanation) == "<explanation of f(x), 2 long>"


def test_data_of_operators():
    explanation = explain(lambda x: np.exp(x) * x)(0.0)
    exp, product = explanation.operators
    assert (exp.name, exp.symbol, exp.operands, float(exp.value)) == ("h1", "exp", ("x",), 1.0)
    assert exp.latex == "e^{x}"
    first, second = product.partials
    assert (first.operand, first.formula, first.latex, float(first.value)) == ("h1", "x", "x", 0.0)
    assert second.name == "∂h2/∂x"
    assert second.structure == "scalar"


def test_html_is_one_file_without_network(tmp_path):
    path = tmp_path / "page.html"
    text = explain_formula("x*y", {"x": 1.0, "y": 2.0}).to_html(path)
    assert path.read_text(encoding="utf-8") == text
    assert "<html" in text
    assert 'src="http' not in text
    assert 'href="http' not in text


def test_long_formulas_share_their_parts():
    def f(x):
        for _ in range(12):
            x = np.sin(x) * np.cos(x) + x * x
        return x

    formula = explain(f)(0.3).formula_of()
    assert formula.definitions
    assert len(str(formula)) < 5000


def test_explanation_is_exported():
    assert isinstance(wg.explain(np.sin)(1.0), Explanation)


def test_custom_derivatives():
    @wg.custom_vjp
    def clipped(x):
        return x

    clipped.defvjp(lambda x: (x, None), lambda _, ct: (np.clip(ct, -1.0, 1.0),))
    explanation = explain(lambda x: 5.0 * clipped(x))(2.0)
    assert explanation.derivatives[0].value == 1.0
    assert "not available: forward mode needs" in str(explanation)

    @wg.custom_jvp
    def softened(x):
        return np.log1p(np.exp(x))

    softened.defjvp(lambda p, t: (softened(p[0]), t[0] / (1.0 + np.exp(-p[0]))))
    explanation = explain(lambda x: softened(x) * 2.0)(0.0)
    assert explanation.derivatives[0].value == pytest.approx(1.0)
    assert explanation.derivatives[0].finite_difference == pytest.approx(1.0)
    str(explanation)
