"""The logistic function of the course notes: every number of their table."""

import numpy as np
import pytest

from wengert.explain import explain, explain_formula


def logistic(x, w, b):
    return 1 / (np.exp(-(w * x + b)) + 1)


@pytest.fixture(params=["function", "formula"])
def explanation(request):
    point = {"x": 1.0, "w": 0.0, "b": 0.0}
    if request.param == "function":
        return explain(logistic)(**point)
    return explain_formula("1/(exp(-(w*x+b))+1)", point)


def test_operators_values_and_partials(explanation):
    table = [
        (
            op.name,
            op.symbol,
            float(op.value),
            {p.operand: (p.formula, float(p.value)) for p in op.partials if p is not None},
        )
        for op in explanation.operators
    ]
    assert table == [
        ("h1", "×", 0.0, {"w": ("x", 1.0), "x": ("w", 0.0)}),
        ("h2", "+", 0.0, {"h1": ("1", 1.0), "b": ("1", 1.0)}),
        ("h3", "×(-1)", 0.0, {"h2": ("-1", -1.0)}),
        ("h4", "exp", 1.0, {"h3": ("exp(h3)", 1.0)}),
        ("h5", "+", 2.0, {"h4": ("1", 1.0)}),
        ("h6", "÷", 0.5, {"h5": ("-1/h5²", -0.25)}),
    ]


def test_what_operators_compute(explanation):
    assert [op.formula for op in explanation.operators] == [
        "w·x",
        "h1 + b",
        "-h2",
        "exp(h3)",
        "h4 + 1",
        "1/h5",
    ]
    assert [op.operands for op in explanation.operators] == [
        ("w", "x"),
        ("h1", "b"),
        ("h2",),
        ("h3",),
        ("h4", "1"),
        ("1", "h5"),
    ]


def test_types_and_lines():
    operators = explain(logistic)(1.0, 0.0, 0.0).operators
    assert {str(op.type) for op in operators} == {"f64[]"}
    assert {op.line.split(":")[0] for op in operators} == {"test_logistic.py"}


def test_derivatives(explanation):
    found = {(d.output, d.input): float(d.value) for d in explanation.derivatives}
    assert found == {
        ("f" if ("f", "x") in found else "logistic", name): value
        for name, value in (("x", 0.0), ("w", 0.25), ("b", 0.25))
    }
    assert all(d.status == "path" for d in explanation.derivatives)
    for d in explanation.derivatives:
        assert d.finite_difference == pytest.approx(d.value, abs=1e-9)


def test_derivative_formulas(explanation):
    assert explanation.derivative_formula("w") == "x*exp(-(w*x + b))/(exp(-(w*x + b)) + 1)**2"
    assert explanation.derivative_formula("x") == "w*exp(-(w*x + b))/(exp(-(w*x + b)) + 1)**2"
    assert explanation.derivative_formula("b") == "exp(-(w*x + b))/(exp(-(w*x + b)) + 1)**2"
    assert str(explanation.function_formula()) == "1/(exp(-(w*x + b)) + 1)"


def test_forward_table(explanation):
    sweeps = dict(explanation.table("forward"))
    assert list(sweeps) == ["x", "w", "b"]
    rows = [(r.derivative, r.formula, r.numbers, float(r.value)) for r in sweeps["w"]]
    assert rows == [
        ("∂h1/∂w", "x", "", 1.0),
        ("∂h2/∂w", "∂h2/∂h1·∂h1/∂w", "1·1", 1.0),
        ("∂h3/∂w", "∂h3/∂h2·∂h2/∂w", "(-1)·1", -1.0),
        ("∂h4/∂w", "∂h4/∂h3·∂h3/∂w", "1·(-1)", -1.0),
        ("∂h5/∂w", "∂h5/∂h4·∂h4/∂w", "1·(-1)", -1.0),
        ("∂h6/∂w", "∂h6/∂h5·∂h5/∂w", "(-0.25)·(-1)", 0.25),
    ]
    assert len(sweeps["b"]) == 5


def test_reverse_table(explanation):
    ((seed, rows),) = explanation.table("reverse")
    assert seed == "h6"
    assert [(r.derivative, float(r.value)) for r in rows] == [
        ("∂h6/∂h5", -0.25),
        ("∂h6/∂h4", -0.25),
        ("∂h6/∂h3", -0.25),
        ("∂h6/∂h2", 0.25),
        ("∂h6/∂h1", 0.25),
        ("∂h6/∂b", 0.25),
        ("∂h6/∂w", 0.25),
        ("∂h6/∂x", 0.0),
    ]


def test_the_path_from_w(explanation):
    paths = explanation.paths("h6", "w")
    (path,) = paths
    assert paths.count == 1
    assert path.nodes == ("w", "h1", "h2", "h3", "h4", "h5", "h6")
    assert [f.formula for f in path.factors] == ["x", "1", "-1", "exp(h3)", "1", "-1/h5²"]
    assert [float(f.value) for f in path.factors] == [1, 1, -1, 1, 1, -0.25]
    assert path.product == paths.sum == 0.25


def test_memory(explanation):
    forward, reverse = explanation.memory()
    assert (forward.accumulation, forward.tape, forward.total) == (3, 0, 3)
    assert forward.multiplications == 14
    assert (reverse.accumulation, reverse.tape, reverse.total) == (2, 2, 2)
    assert reverse.multiplications == 7
    assert reverse.total_bytes == 16


def test_text_has_every_part(explanation):
    text = str(explanation)
    for part in (
        "h6    ÷         1/h5",
        "∂h6/∂h5 = -1/h5² = -0.25",
        "Forward sweep for w",
        "Reverse sweep from h6",
        "w → h1 → h2 → h3 → h4 → h5 → h6",
        "x*exp(-(w*x + b))/(exp(-(w*x + b)) + 1)**2",
        "central difference",
    ):
        assert part in text


def test_latex(explanation):
    text = explanation.latex()
    assert r"\frac{1}{e^{-\left(w \, x + b\right)} + 1} = 0.5" in text
    assert r"h_{6} &= \frac{1}{h_{5}} = 0.5" in text
    assert r"\frac{\partial h_{6}}{\partial h_{5}} &= -\frac{1}{h_{5}^{2}} = -0.25" in text
    assert r"\left(-\frac{1}{h_{5}^{2}}\right) \cdot 1 \cdot e^{h_{3}} \cdot \left(-1" in text
    assert r"&= \frac{x \, e^{-\left(w \, x + b\right)}}{\left(e^{-\left(w" in text
    assert text.count("{") == text.count("}")
