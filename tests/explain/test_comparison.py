"""Two explanations side by side, the optimised graph, and the calls that fold."""

import functools
import linecache
import re

import numpy as np
import pytest
from tests.explain.test_page_support import (
    branches,
    choices,
    clipped,
    four_layers,
    logistic,
    many_nodes,
    network,
    repeated,
)

import wengert as wg
from wengert import cli, nn
from wengert.errors import ArgumentError
from wengert.explain import Explanation, explain, explain_formula
from wengert.explain.html import static_body
from wengert.explain.page import make_payload
from wengert.explain.source import find_own_source
from wengert.explain.words import ENGLISH, words_in

# ---------------------------------------------------------------- optimised graphs


def test_the_optimised_graph_explains_the_same_function():
    plain = explain(repeated)(1.0, 2.0)
    better = plain.optimised()
    assert isinstance(better, Explanation)
    assert len(better.operators) == 3 < len(plain.operators) == 6
    assert plain.optimisation is None
    assert {r.rule for r in better.optimisation.log} >= {"mul-by-one", "same-value"}
    assert better.inputs == plain.inputs
    assert better.outputs == plain.outputs
    for a, b in zip(plain.derivatives, better.derivatives, strict=True):
        assert (a.output, a.input) == (b.output, b.input)
        assert b.value == pytest.approx(float(a.value), rel=1e-14)
        assert b.finite_difference == pytest.approx(float(b.value), rel=1e-6)
    assert all(op.line.startswith("test_page_support.py:") for op in better.operators)


def test_the_graph_of_a_derivative_is_optimised():
    plain = explain(wg.grad(lambda x: np.sin(x) * x * 1.0))(0.7)
    better = plain.optimised()
    assert len(better.operators) < len(plain.operators)
    assert float(better.derivatives[0].value) == pytest.approx(2 * np.cos(0.7) - 0.7 * np.sin(0.7))


def test_optimised_arrays():
    plain = network()
    better = plain.optimised()
    for a, b in zip(plain.derivatives, better.derivatives, strict=True):
        np.testing.assert_allclose(b.value, a.value, rtol=1e-12)


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (lambda x: x * wg.stop_gradient(x), "stop_gradient"),
        (lambda x: 5.0 * clipped(x), "custom_vjp"),
        (lambda x: wg.cond(x > 0, lambda y: wg.stop_gradient(y) * y, lambda y: y, x), "stop_gra"),
    ],
)
def test_what_optimisation_would_change_is_refused(f, name):
    with pytest.raises(ArgumentError, match=name):
        explain(f)(2.0).optimised()


# ---------------------------------------------------------------- comparisons


def test_two_inputs_that_take_different_branches():
    both = explain(branches)(2.0).compare(explain(branches)(-2.0))
    assert both.names == ("x = 2", "x = -2")
    symbols = [{op.symbol for op in each.operators} for each in both]
    assert "log" in symbols[0] - symbols[1]
    assert "exp" in symbols[1] - symbols[0]
    text = str(both)
    assert text.splitlines()[0].split("  ")[-1].strip() == "x = -2"
    assert "1.693147" in text  # the derivative of x log x at 2


def test_before_and_after(tmp_path):
    plain = explain(repeated)(1.0, 2.0)
    both = plain.compare(plain.optimised())
    assert both.names == ("before optimisation", "after optimisation")
    assert plain.optimised().compare(plain).names == ("after optimisation", "before optimisation")
    path = tmp_path / "both.html"
    text = both.to_html(path)
    assert path.read_text(encoding="utf-8") == text
    assert text.count("<h2>before optimisation</h2>") == 1
    assert "<h2>优化前</h2>" in both.to_html(language="zh")
    notebook = both._repr_html_()
    assert notebook.count("<svg") == 2
    assert repr(both).startswith("<comparison of <explanation of repeated(x, y), 6 long>")


def test_headings():
    one = explain(repeated)(1.0, 2.0)
    assert one.compare(explain(repeated)(1.0, 2.0)).names == ("left", "right")
    assert one.compare(explain(branches)(1.0)).names == ("repeated", "branches")
    mixed = make_payload(one, explain(branches)(1.0))
    assert mixed["title"] == "repeated(x, y) · branches(x)"
    assert one.compare(one, names=["a", "b"]).names == ("a", "b")
    arrays = explain(np.sum)(np.zeros(2)).compare(explain(np.sum)(np.ones(2)))
    assert arrays.names == ("a = [0, 0]", "a = [1, 1]")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.compare(2.0), "takes another explanation, not float"),
        (lambda e: e.compare(e, names="ab"), "two names"),
        (lambda e: e.compare(e, names=["a"]), "two names"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ArgumentError, match=message):
        call(logistic())


def test_command_with_optimised(tmp_path, capsys):
    page = tmp_path / "page.html"
    formula = ["explain", "(x+y)*(x+y)+(x+y)", "x=1", "y=2"]
    assert cli.main([*formula, "--html", str(page), "--optimised"]) == 0
    out = capsys.readouterr().out
    assert "Before and after optimisation" in out
    assert "same-value" in out
    assert "after optimisation" in page.read_text(encoding="utf-8")
    assert cli.main([*formula, "--latex", "--optimised"]) == 0
    assert "Before and after" not in capsys.readouterr().out


# ---------------------------------------------------------------- what folds


def grouped(explanation):
    """The labels of the groups, outermost first, that each operator lies in."""
    view = make_payload(explanation)["views"][0]
    found = []
    for node in view["nodes"]:
        if node["kind"] == "op":
            labels, group = [], node["group"]
            while group is not None:
                labels.insert(0, view["groups"][group]["label"])
                group = view["groups"][group]["parent"]
            found.append("/".join(labels))
    return found


def test_calls_of_functions_become_groups():
    found = grouped(four_layers())
    assert found[:12] == [f"one_layer {k}" for k in (1, 2, 3, 4) for _ in range(3)]
    assert set(found[12:]) == {""}


def test_calls_nest_and_stand_apart():
    def inner(x):
        return np.sin(x) * x

    def outer(x):
        return inner(x) + np.exp(inner(x * 2.0))

    found = grouped(explain(lambda x: outer(x) - outer(-x))(0.3))
    assert found == [
        *["outer 1/inner 1"] * 2,
        "outer 1",
        *["outer 1/inner 2"] * 2,
        *["outer 1"] * 2,
        "",
        *["outer 2/inner 1"] * 2,
        "outer 2",
        *["outer 2/inner 2"] * 2,
        *["outer 2"] * 2,
        "",
    ]


def test_layers_of_wengert_fold():
    params = nn.mlp_init(np.random.default_rng(0), [2, 3, 1])
    found = grouped(explain(lambda p, x: np.sum(nn.mlp(p, x) ** 2))(params, np.ones(2)))
    assert any(label.startswith("mlp/dense 1") for label in found)
    assert any(label.startswith("mlp/dense 2") for label in found)


def test_recursion_and_callable_objects():
    class Twice:
        def __call__(self, x):
            return np.sin(x) * 2.0

    twice = Twice()
    assert grouped(explain(lambda x: twice(x) + x)(1.0)) == ["Twice", "Twice", ""]

    def down(x, n):
        return x if n == 0 else np.sin(down(x, n - 1)) * 1.5

    found = grouped(explain(lambda x: down(x, 60))(0.3))
    assert max(label.count("/") for label in found) < 8


# ---------------------------------------------------------------- source lines


def source_of(explanation):
    view = make_payload(explanation)["views"][0]
    source = view["source"]
    lines = {n["name"]: n["line"] for n in view["nodes"] if n["kind"] == "op"}
    return source, {
        k: source["lines"][n - source["first"]].strip() for k, n in lines.items() if n is not None
    }


def test_lambdas_over_several_lines():
    f = lambda x: (  # noqa: E731
        np.sin(x)
        * 2.0
    )  # fmt: skip
    source, lines = source_of(explain(f)(1.0))
    assert source["lines"][0].strip().startswith("f = lambda x: (")
    assert lines["h1"] == "np.sin(x)"


def test_notebook_cells_and_helpers_in_the_same_file():
    cell = "def helper(x):\n    return x * x\n\n\ndef f(x):\n    return helper(np.exp(x))\n"
    name = "/nowhere/ipykernel_1/123456.py"
    linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
    scope = {"np": np}
    exec(compile(cell, name, "exec"), scope)
    source, lines = source_of(explain(scope["f"])(1.0))
    assert (source["file"], source["first"]) == ("123456.py", 1)
    assert lines == {"h1": "return helper(np.exp(x))", "h2": "return x * x"}
    del linecache.cache[name]


def test_the_text_behind_wrappers():
    class Model:
        def __call__(self, x):
            return x * x

        def method(self, x):
            return x + x

    for f in (
        branches,
        functools.partial(branches, {}),
        Model(),
        Model().method,
        wg.grad(branches),
        wg.explain(choices),
    ):
        assert find_own_source(f).text[find_own_source(f).first - 1].lstrip().startswith("def ")
    for f in (np.sin, int, 3):
        assert find_own_source(f) is None


# ---------------------------------------------------------------- robustness and language


def test_a_rule_that_has_no_forward_form_is_explained():
    for at in (2.0, np.ones(3)):
        explanation = explain(lambda x: 5.0 * clipped(x))(at)
        view = make_payload(explanation)["views"][0]
        assert view["noForward"].startswith("forward mode needs a custom_vjp rule that is linear")
        assert all("tangents" not in node for node in view["nodes"])
        assert any("adjoints" in node for node in view["nodes"])
        assert "Not available: forward mode needs" in explanation.to_html()
    tall = explain(lambda x: np.stack([clipped(x), x * x]))(2.0)
    np.testing.assert_allclose(tall.derivatives[0].value, [1.0, 4.0])
    assert make_payload(logistic())["views"][0]["noForward"] == ""


EXAMPLES = [
    logistic,
    network,
    four_layers,
    lambda: explain(choices)(-1.0, 2.0),
    lambda: explain(lambda x, y: (x, y * 2.0))(1.0, 2.0),
    lambda: explain(functools.reduce)(lambda a, _: a + a * a, range(60), 0.1),
    lambda: explain(lambda x: np.where(x > 0, x, np.nan))(np.arange(9.0)),
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_static_part_in_chinese_has_no_english_left(example):
    explanation = example()
    english, chinese = static_body(explanation, ENGLISH), static_body(explanation, words_in("zh"))
    assert chinese.startswith('<div lang="zh-Hans">')
    read = re.sub("<[^>]*>", " ", chinese)
    for phrase in ("Derivatives", "numbers", "dense", "masked", "no path", "value", "sweep"):
        assert phrase not in read, phrase
    assert "Derivatives" in english
    assert "导数" in chinese
    assert "导数" not in english
    assert chinese in explanation.to_html(language="zh")


def test_the_static_part_of_a_large_graph_is_small():
    body = static_body(many_nodes())
    assert len(body) < 400_000
    assert "(long)" in body


def test_a_formula_has_no_source():
    assert make_payload(explain_formula("x*x", {"x": 1.0}))["views"][0]["source"] is None
