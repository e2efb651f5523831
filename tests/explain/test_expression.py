"""Formulas: the normal form, and how they are printed."""

import numpy as np
import pytest

from wengert.explain.expression import Algebra
from wengert.explain.printing import latex_name, latex_number, print_formula
from wengert.explain.values import count_text, number_text, value_text
from wengert.ops import TABLE


@pytest.fixture
def algebra():
    return Algebra()


def build(algebra, text):
    """A formula from Python's own arithmetic on names."""

    class Symbolic:
        def __init__(self, e):
            self.e = e

        def lift(self, other):
            return other.e if isinstance(other, Symbolic) else algebra.number(other)

        def __add__(self, o):
            return Symbolic(algebra.add(self.e, self.lift(o)))

        def __radd__(self, o):
            return Symbolic(algebra.add(self.lift(o), self.e))

        def __sub__(self, o):
            return Symbolic(algebra.add(self.e, self.lift(o), -1))

        def __rsub__(self, o):
            return Symbolic(algebra.add(self.lift(o), self.e, -1))

        def __mul__(self, o):
            return Symbolic(algebra.multiply(self.e, self.lift(o)))

        def __rmul__(self, o):
            return Symbolic(algebra.multiply(self.lift(o), self.e))

        def __truediv__(self, o):
            return Symbolic(algebra.divide(self.e, self.lift(o)))

        def __rtruediv__(self, o):
            return Symbolic(algebra.divide(self.lift(o), self.e))

        def __pow__(self, o):
            return Symbolic(algebra.to_power(self.e, self.lift(o)))

        def __rpow__(self, o):
            return Symbolic(algebra.to_power(self.lift(o), self.e))

        def __neg__(self):
            return Symbolic(algebra.negate(self.e))

    def function(name):
        return lambda *args: Symbolic(
            algebra.apply(
                TABLE[name],
                [a.e if isinstance(a, Symbolic) else algebra.number(a) for a in args],
                (),
            )
        )

    scope = {n: Symbolic(algebra.symbol(n, n)) for n in "xyzw"}
    scope |= {n: function(n) for n in ("sin", "exp", "where", "less", "sqrt", "equal", "expm1")}
    return eval(text, {}, scope).e


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x + x", "2*x"),
        ("x - x", "0"),
        ("x * x", "x**2"),
        ("x / x", "1"),
        ("x * 1", "x"),
        ("x + 0", "x"),
        ("x * 0", "0"),
        ("-(-x)", "x"),
        ("-1 * x", "-x"),
        ("1 / x / x", "1/x**2"),
        ("-(1 / (x * x))", "-1/x**2"),
        ("x - (y - z)", "x - (y - z)"),
        ("x + (y + z)", "x + y + z"),
        ("-x + 1", "1 - x"),
        ("-(x + y)", "-(x + y)"),
        ("2 * (x + y)", "2*(x + y)"),
        ("x * (y + z) / w", "x*(y + z)/w"),
        ("x / (y * z)", "x/(y*z)"),
        ("x / 3", "x/3"),
        ("0.5 / x", "1/(2*x)"),
        ("x * 0.1", "0.1*x"),
        ("(x ** 2) ** 3", "x**6"),
        ("(-x) ** 2", "x**2"),
        ("x ** 0.5", "x**0.5"),
        ("2 ** x", "2**x"),
        ("x ** y", "x**y"),
        ("(-2) ** x", "(-2)**x"),
        ("x ** -1", "1/x"),
        ("x ** 0", "1"),
        ("x ** (-y)", "x**(-y)"),
        ("(x + y) ** 2", "(x + y)**2"),
        ("sin(x) ** 2", "sin(x)**2"),
        ("sin(x) * x", "x*sin(x)"),
        ("x * y + x * y", "2*x*y"),
        ("x + 2 * x", "3*x"),
        ("x * y - y * x", "0"),
        ("where(less(x, 1), x, y)", "where(x < 1, x, y)"),
        ("where(less(x, 1), y, y)", "y"),
        ("equal(x + 1, less(x, y))", "x + 1 == (x < y)"),
        ("1 / (1 / x)", "x"),
        ("x - 1", "x - 1"),
        ("3 - x", "3 - x"),
        ("x / 2 - y / 2", "x/2 - y/2"),
        ("-x * y", "-x*y"),
        ("x - 2 * (y / z)", "x - 2*y/z"),
        ("-(x ** 2)", "-x**2"),
        ("2 * 3 + x", "6 + x"),
        ("sqrt(x) / sqrt(x)", "1"),
        ("exp(-x) * exp(-x)", "exp(-x)**2"),
    ],
)
def test_normal_form(algebra, text, code):
    assert print_formula(build(algebra, text)) == code


@pytest.mark.parametrize(
    "text",
    [
        "x - (y - z)",
        "x / (y * z) * w",
        "(x + y) * (z - 2) ** 2 / 3",
        "-(x + 1) ** 3 / (x * x + 1)",
        "2 ** x / 2 ** (-y)",
        "x * -y - -z",
        "(x / y) ** -2",
        "1 / (x + 1 / (y + 1 / z))",
        "x ** 2 * x ** 3 / x",
        "(2 * x) ** 2",
        "(x * y) ** 3 - (x + y) ** -1",
        "0.1 * x + 0.2 * x",
    ],
)
def test_printed_code_has_the_same_value(algebra, text):
    rng = np.random.default_rng(3)
    for _ in range(5):
        scope = dict(zip("xyzw", map(float, rng.uniform(0.5, 2.0, 4)), strict=True))
        written = eval(print_formula(build(algebra, text)), {}, scope)
        assert written == pytest.approx(eval(text, {}, scope))


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("x / y", r"\frac{x}{y}"),
        ("-x / (y + 1)", r"-\frac{x}{y + 1}"),
        ("x * y", r"x \, y"),
        ("2 * 3 ** x", r"2 \cdot 3^{x}"),
        ("x / 2", r"\frac{x}{2}"),
        ("exp(x) ** 2", r"\left(e^{x}\right)^{2}"),
        ("sin(x + y)", r"\sin \left(x + y\right)"),
        ("sqrt(x + y)", r"\sqrt{x + y}"),
        ("x * sin(y)", r"x \, \sin y"),
        ("sin(x) ** 2", r"\left(\sin x\right)^{2}"),
        ("x ** y", "x^{y}"),
        ("expm1(x) * y", r"y \, \left(e^{x} - 1\right)"),
    ],
)
def test_latex(algebra, text, latex):
    assert print_formula(build(algebra, text), "latex") == latex


def test_pretty(algebra):
    assert print_formula(build(algebra, "-x * y ** 2 / z ** 12"), "pretty") == "-x·y²/z¹²"


def test_names(algebra):
    inner = build(algebra, "sin(x)")
    root = algebra.multiply(inner, build(algebra, "sin(x) + 1"))
    assert print_formula(root, names={inner: "h1"}) == "h1*(h1 + 1)"
    assert print_formula(inner, names={inner: "h1"}, define=True) == "sin(x)"


def test_deep_formulas_do_not_recurse(algebra):
    e = build(algebra, "x")
    for _ in range(20_000):
        e = algebra.apply(TABLE["sin"], [e], ())
    assert len(print_formula(e)) == 20_000 * 5 + 1
    assert print_formula(e, "latex").endswith(r"\right)")


def test_long_sums_and_products_take_linear_time(algebra):
    total = product = build(algebra, "x")
    for k in range(20_000):
        name = algebra.symbol(f"a{k}", f"a_{k}")
        total = algebra.add(total, name)
        product = algebra.multiply(product, name)
    assert print_formula(total).count("a") == 20_000
    assert print_formula(product).count("a") == 20_000


def test_every_operator_prints(algebra):
    symbols = [algebra.symbol(n, n) for n in "xyz"]
    for op in TABLE.values():
        if op.family == "elementwise":
            for args, params in op.test_samples(np.random.default_rng(0), np.float64)[:1]:
                e = algebra.apply(op, symbols[: len(args)], tuple(sorted(params.items())))
                for style in ("code", "pretty", "latex"):
                    assert print_formula(e, style)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.25, "0.25"),
        (-0.0, "0"),
        (1.0, "1"),
        (1e-9, "1e-9"),
        (1e20, "1e20"),
        (1 / 3, "0.3333333"),
        (float("nan"), "NaN"),
        (float("-inf"), "-inf"),
        (True, "True"),
        (7, "7"),
    ],
)
def test_numbers(value, text):
    assert number_text(value) == text


def test_values():
    assert value_text(np.array([1.0, 2.5])) == "[1, 2.5]"
    assert value_text(np.zeros((0, 3))) == "[]"
    assert value_text(np.arange(100.0).reshape(10, 10)) == "10×10 numbers, 0 to 99"
    assert value_text(np.full(100, np.nan)) == "100 numbers, none finite"
    assert value_text(np.array([1.0] * 99 + [np.inf])) == "100 numbers, 1 to 1, 1 not finite"
    assert value_text(None) == "not computed"
    assert count_text(10**3000) == "about 10^3000"


def test_latex_names_and_numbers():
    assert latex_name("h12") == "h_{12}"
    assert latex_name("weight") == r"\mathrm{weight}"
    assert latex_name("a_b$") == r"\mathrm{a\_b\$}"
    assert latex_number(1e-9) == r"1 \cdot 10^{-9}"
    assert latex_number(float("inf")) == r"\infty"
