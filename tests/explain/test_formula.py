"""The formula parser: a closed vocabulary, and an error that helps for everything else."""

import math

import numpy as np
import pytest

from wengert.errors import FormulaError
from wengert.explain import explain_formula
from wengert.explain.formula import functions, parse_assignment, parse_formula


def value(text, **values):
    return float(explain_formula(text, values).outputs["f"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x", 2.0),
        ("-x**2", -4.0),
        ("x**-1", 0.5),
        ("2**x", 4.0),
        ("x**0.5", math.sqrt(2.0)),
        ("+x - 3 * x / 4 % 2", 2.0 - 1.5),
        ("x // 0.7", 2.0),
        ("np.exp(x)", math.exp(2.0)),
        ("numpy.sin(x) + math.cos(x)", math.sin(2.0) + math.cos(2.0)),
        ("abs(-x)", 2.0),
        ("where(x > 1, x * 10, 0)", 20.0),
        ("where(logical_and(x > 1, x <= 2), 1 * x, 0)", 2.0),
        ("where(x != 2, 1, 3) * x", 6.0),
        ("where(not x, 1, 3) * x", 6.0),
        ("maximum(x, pi) + e", math.pi + math.e),
        ("atan2(x, 1)", math.atan2(2.0, 1.0)),
        ("  x  ", 2.0),
        ("x * 10**-3", 0.002),
        ("x * sqrt(16)", 8.0),
        ("1e400 * x", math.inf),
    ],
)
def test_values(text, expected):
    assert value(text, x=2.0) == pytest.approx(expected)


def test_the_vocabulary_comes_from_the_rule_table():
    known = functions()
    assert {"exp", "where", "logaddexp", "erf", "sigmoid", "abs"} <= set(known)
    assert not {"cast", "integer_power", "polygamma", "matmul", "reduce_sum"} & set(known)


def test_a_name_may_hide_nothing_of_numpy():
    assert value("gamma*beta", gamma=2.0, beta=3.0) == 6.0


def test_arrays():
    explanation = explain_formula("x * w", {"x": np.array([1.0, 2.0]), "w": 3.0})
    np.testing.assert_array_equal(explanation.outputs["f"], [3.0, 6.0])


REFUSED = [
    ("", {}, "the formula is empty"),
    ("   ", {}, "the formula is empty"),
    ("x +", {"x": 1}, "can't be parsed"),
    ("(x", {"x": 1}, "can't be parsed"),
    ("x y", {"x": 1}, "can't be parsed"),
    ("x = 2", {"x": 1}, "write == to compare"),
    ("x\0", {"x": 1}, "can't be parsed"),
    ("x^2", {"x": 1}, r"write \*\* for powers"),
    ("x @ x", {"x": 1}, "@ can't be part of a formula"),
    ("x & 1", {"x": 1}, "bit operations"),
    ("x << 1", {"x": 1}, "bit operations"),
    ("~x", {"x": 1}, "~ can't"),
    ("'x'", {"x": 1}, "a string can't"),
    ("f'{x}'", {"x": 1}, "a string can't"),
    ("True * x", {"x": 1}, "True or False can't"),
    ("None", {"x": 1}, "None can't"),
    ("2j * x", {"x": 1}, "a complex number can't"),
    ("lambda: x", {"x": 1}, "a lambda can't"),
    ("[x for x in x]", {"x": 1}, "a comprehension can't"),
    ("sum(x for x in x)", {"x": 1}, "unknown function 'sum'"),
    ("{x: 1}", {"x": 1}, "a dict can't"),
    ("[x, x]", {"x": 1}, "a list can't"),
    ("x, x", {"x": 1}, "a tuple can't"),
    ("x[0]", {"x": 1}, "an index can't"),
    ("x.real", {"x": 1}, "an attribute can't"),
    ("x.__class__()", {"x": 1}, "an attribute can't"),
    ("np.linalg.det(x)", {"x": 1}, "an attribute can't"),
    ("(x)(2)", {"x": 1}, "'x' is a value"),
    ("2(x)", {"x": 1}, "only functions can be called"),
    ("(x + 1)(x)", {"x": 1}, "only functions can be called"),
    ("x if x else 1", {"x": 1}, r"where\(condition, a, b\)"),
    ("x > 0 and x < 1", {"x": 1}, r"logical_and\(a, b\)"),
    ("0 < x < 1", {"x": 1}, "chained comparisons"),
    ("x in x", {"x": 1}, "`in` and `is`"),
    ("(y := x)", {"x": 1}, "an assignment can't"),
    ("exp(x, x)", {"x": 1}, "exp takes 1 argument, not 2"),
    ("exp()", {"x": 1}, "exp takes 1 argument, not 0"),
    ("where(x > 0, x)", {"x": 1}, r"where\(condition, x1, x2\)"),
    ("exp(x=x)", {"x": 1}, "no keyword arguments"),
    ("exp(*x)", {"x": 1}, "a starred expression"),
    ("exp * x", {"x": 1}, r"write exp\(\.\.\.\)"),
    ("exq(x)", {"x": 1}, "did you mean 'exp'"),
    ("frobnicate(x)", {"x": 1}, "unknown function 'frobnicate'"),
    ("__import__('os')", {"x": 1}, "unknown function '__import__'"),
    ("weigth * x", {"weight": 1, "x": 1}, "did you mean 'weight'"),
    ("x * w + b", {"x": 1}, "the values of 'w', 'b' are missing"),
    ("x * w", {"x": 1}, "give w=1 after the formula"),
    ("x", {"x": 1, "y": 2}, "does not use 'y'"),
    ("1 + 1", {}, "no variable"),
    ("1 + 1", {"x": 1}, "does not use 'x'"),
    ("(" * 300 + "x" + ")" * 300, {"x": 1}, "nested too deeply"),
    ("+".join(["x"] * 500), {"x": 1}, "nested too deeply"),
    ("-" * 5000 + "x", {"x": 1}, "nested too deeply"),
    ("x" * 200_000, {"x": 1}, "200000 characters"),
    ("**".join(["x"] * 3000), {"x": 1}, "nested too deeply"),
]


@pytest.mark.parametrize(("text", "values", "message"), REFUSED, ids=range(len(REFUSED)))
def test_refused(text, values, message):
    with pytest.raises(FormulaError, match=message):
        parse_formula(text, values)


def test_a_caret_points_at_the_place():
    with pytest.raises(FormulaError) as caught:
        parse_formula("1 + x ^2", {"x": 1})
    lines = str(caught.value).splitlines()
    assert lines[-2] == "    1 + x ^2"
    assert lines[-1] == "          ^"


def test_a_caret_counts_characters_not_bytes():
    with pytest.raises(FormulaError) as caught:
        parse_formula("αβγ * 'x'", {"αβγ": 1})
    lines = str(caught.value).splitlines()
    assert lines[-1].index("^") == lines[-2].index("'")


def test_a_chain_just_below_the_limit():
    assert value("+".join(["x"] * 150), x=1.0) == 150.0


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("x=1", "x", 1.0),
        ("x=0.5", "x", 0.5),
        ("x=-1e-3", "x", -1e-3),
        ("x=pi/2", "x", math.pi / 2),
        (" x = 2*(1+1)", "x", 4.0),
        ("x=sqrt(4)", "x", 2.0),
        ("x=[1,2,3]", "x", [1.0, 2.0, 3.0]),
        ("x=[[1, 2], [3, pi]]", "x", [[1, 2], [3, math.pi]]),
        ("long_name=(1, 2)", "long_name", [1.0, 2.0]),
    ],
)
def test_assignments(text, name, expected):
    found, number = parse_assignment(text)
    assert found == name
    np.testing.assert_array_equal(number, expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "gives no value"),
        ("=1", "'' is not a name"),
        ("2x=1", "'2x' is not a name"),
        ("x=", "the value of 'x' is empty"),
        ("x=y", "which is not a number"),
        ("x='a'", "a string can't be part of the value of 'x'"),
        ("x=[1,[2,3]]", "rows of different lengths"),
        ("pi=3", "already has a meaning"),
        ("exp=3", "already has a meaning"),
        ("np=3", "already has a meaning"),
        ("x=1 2", "can't be parsed"),
        ("x=open('f')", "unknown function 'open'"),
        ("x={}", "a dict can't"),
        ("x=" + "[" * 300 + "]" * 300, "nested too deeply"),
    ],
)
def test_bad_assignments(text, message):
    with pytest.raises(FormulaError, match=message):
        parse_assignment(text)
