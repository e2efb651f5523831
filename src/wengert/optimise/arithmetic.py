"""Rules of arithmetic: neutral elements, signs, constants, powers, extrema, choices, casts.

What is not here, and why: x*0 -> 0, x-x -> 0 and x/x -> 1 would turn nan into a number.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wengert.graph import Type
from wengert.graph.sizes import decides
from wengert.ops.arithmetic import (
    absolute,
    negative,
    positive,
    reciprocal,
    square,
    stop_gradient,
)
from wengert.optimise.facts import is_moderate
from wengert.optimise.record import Rule, rule
from wengert.optimise.terms import constant, parameter, variable

__all__ = ["CONSTANTS", "IDENTITIES", "SIGNS"]

x, y = variable("x"), variable("y")
a, b = constant("a"), constant("b")
to = parameter("to")


# ---------------------------------------------------------------- neutral elements

#: A divisor that is repeated this often is inverted first.
_FEW = 8

IDENTITIES: tuple[Rule, ...] = (
    rule("mul-by-one", x * 1.0, x, exact_in="floats", kinds="fiu", why="1 is neutral"),
    rule("div-by-one", x / 1.0, x, exact_in="floats", why="1 is neutral"),
    rule("add-minus-zero", x + (-0.0), x, exact_in="floats", why="-0.0 is neutral for every x"),
    rule("sub-zero", x - 0.0, x, exact_in="floats", kinds="fiu", why="0 is neutral"),
    rule("add-zero-integers", x + 0, x, exact_in="floats", kinds="iu", why="0 is neutral"),
    rule(
        "add-zero",
        x + 0.0,
        x,
        exact_in="reals",
        edges="zeros",
        why="0 is neutral, except that -0.0 + 0.0 is 0.0",
    ),
    rule(
        "mul-by-zero-integers",
        x * 0,
        0,
        exact_in="floats",
        kinds="iu",
        why="integers have no nan that 0 would have to keep",
    ),
    rule("positive", positive(x), x, exact_in="floats", kinds="fiu", why="+x is x"),
    rule(
        "stop-gradient",
        stop_gradient(x),
        x,
        exact_in="floats",
        kinds="fiub",
        why="it matters to derivatives only, and these have been taken",
    ),
    rule("one-over", 1.0 / x, reciprocal(x), exact_in="floats", why="one operand less"),
    rule(
        "reciprocal-twice",
        reciprocal(reciprocal(x)),
        x,
        exact_in="reals",
        edges="mended",
        why="1/(1/x) is x",
        domain=(0.5, 2.0),
    ),
    rule(
        "mul-by-reciprocal",
        x * reciprocal(y),
        x / y,
        exact_in="reals",
        edges="mended",
        once=True,
        when=lambda m: m.type_of("y") is m.type and not _is_constant(m, "x"),
        why="one rounding less",
        examples=[(lambda x, y: x * reciprocal(y), [(4,), (3, 4)], (0.5, 2.0))],
    ),
    rule(
        "div-by-reciprocal",
        x / reciprocal(y),
        x * y,
        exact_in="reals",
        edges="mended",
        why="one rounding less",
        domain=(0.5, 2.0),
    ),
    rule(
        "div-by-few",
        x / y,
        lambda m: m["x"] * reciprocal(m["y"]),
        exact_in="reals",
        edges="range",
        when=lambda m: _FEW * m.type_of("y").size <= m.type.size and not _is_constant(m, "y"),
        why="one division for each number that repeats, then products",
        examples=[(lambda x, y: x / y, [(16, 4), (4,)], (0.5, 2.0))],
    ),
    rule(
        "reciprocal-of-quotient",
        reciprocal(x / y),
        y / x,
        exact_in="reals",
        edges="mended",
        once=True,
        why="one division less",
        domain=(0.5, 2.0),
    ),
)

# ---------------------------------------------------------------- signs

SIGNS: tuple[Rule, ...] = (
    rule("neg-neg", negative(negative(x)), x, exact_in="floats", kinds="fi", why="signs cancel"),
    rule("mul-by-minus-one", x * -1.0, -x, exact_in="floats", kinds="fi", why="a sign, no product"),
    rule("div-by-minus-one", x / -1.0, -x, exact_in="floats", why="a sign, no division"),
    rule("zero-minus", 0.0 - x, -x, exact_in="reals", edges="zeros", why="a sign, no difference"),
    rule("minus-zero-minus", -0.0 - x, -x, exact_in="floats", why="a sign, no difference"),
    rule("add-neg", x + (-y), x - y, exact_in="floats", kinds="fi", why="one operation less"),
    rule("sub-neg", x - (-y), x + y, exact_in="floats", kinds="fi", why="one operation less"),
    rule(
        "neg-sub",
        -(x - y),
        y - x,
        exact_in="reals",
        edges="zeros",
        kinds="fi",
        once=True,
        why="one operation less",
    ),
    rule("neg-mul-neg", (-x) * (-y), x * y, exact_in="floats", kinds="fi", why="signs cancel"),
    rule("neg-div-neg", (-x) / (-y), x / y, exact_in="floats", why="signs cancel"),
    rule(
        "neg-mul",
        (-x) * y,
        -(x * y),
        exact_in="floats",
        kinds="fi",
        once=True,
        when=lambda m: not _is_constant(m, "y"),
        why="signs move towards the result, where they meet others",
    ),
    rule(
        "neg-div",
        (-x) / y,
        -(x / y),
        exact_in="floats",
        once=True,
        when=lambda m: not _is_constant(m, "y"),
        why="signs move towards the result, where they meet others",
    ),
    rule(
        "div-neg",
        x / (-y),
        -(x / y),
        exact_in="floats",
        once=True,
        when=lambda m: not _is_constant(m, "x"),
        why="signs move towards the result, where they meet others",
    ),
    rule(
        "neg-of-reciprocal",
        reciprocal(-x),
        -reciprocal(x),
        exact_in="floats",
        once=True,
        why="signs move towards the result, where they meet others",
    ),
    rule("neg-times-constant", (-x) * a, x * (-a), exact_in="floats", why="a constant has a sign"),
    rule("neg-over-constant", (-x) / a, x / (-a), exact_in="floats", why="a constant has a sign"),
    rule("constant-over-neg", a / (-x), (-a) / x, exact_in="floats", why="a constant has a sign"),
    rule(
        "neg-of-constant-times",
        -(x * a),
        x * (-a),
        exact_in="floats",
        once=True,
        why="a constant has a sign",
    ),
    rule(
        "neg-of-constant-over",
        -(a / x),
        (-a) / x,
        exact_in="floats",
        once=True,
        why="a constant has a sign",
    ),
    rule("square-of-neg", square(-x), square(x), exact_in="floats", why="the square is even"),
    rule("abs-of-neg", absolute(-x), absolute(x), exact_in="floats", why="abs is even"),
)


def _is_constant(match: Any, name: str) -> bool:
    return match.env[name] in match.tape.constants


# ---------------------------------------------------------------- constants meet


@decides
def _finite(value: Any) -> bool:
    # Neither an infinity nor so small that digits are lost.
    size = abs(float(value))
    return size == 0 or bool(np.finfo(value.dtype).tiny <= size <= np.finfo(value.dtype).max)


def _product_is_safe(match: Any) -> bool:
    with np.errstate(all="ignore"):
        product = match.number("a") * match.number("b")
    return _finite(product) and product != 0


def _sum_is_safe(match: Any) -> bool:
    return _adds_up(match.number("a"), match.number("b"))


def _adds_up(a: Any, b: Any) -> bool:
    # Constants of opposite signs are left alone: (x + 1e16) - 1e16 is how a program rounds.
    with np.errstate(all="ignore"):
        return _finite(a + b) and bool(np.signbit(a) == np.signbit(b))


def _has_exact_inverse(match: Any) -> bool:
    # One quotient costs nothing. Nor is a number rewritten that may be a length (of a mean, say):
    # what is computed would depend on sizes, and each kind of size need kernels of its own.
    value = match.number("a")
    if match.type.ndim == 0 or _is_length(match.tape, value):
        return False
    return _is_power_of_two(value)


@decides
def _is_power_of_two(value: Any) -> bool:
    mantissa, _ = math.frexp(float(value))
    with np.errstate(all="ignore"):
        return abs(mantissa) == 0.5 and _finite(np.reciprocal(value)) and _finite(value)


@decides
def _may_be_length(value: Any) -> bool:
    return bool(value >= 2 and value == int(value))


def _is_length(tape: Any, value: Any) -> bool:
    """Whether a number is the length of an axis, or the number of elements, of some value."""
    if not _may_be_length(value):
        return False
    types = (entry[3] for entry in tape.everything)
    return any(
        isinstance(type_, Type) and (type_.size == value or value in type_.shape) for type_ in types
    )


CONSTANTS: tuple[Rule, ...] = (
    rule(
        "div-by-power-of-two",
        x / a,
        lambda m: m["x"] * np.reciprocal(m.number("a")),
        exact_in="floats",
        when=_has_exact_inverse,
        why="1/a is exact, and a product is faster than a quotient",
        examples=[(lambda x: x / 8.0, [(3, 4)]), (lambda x: x / 0.5, [(3,)])],
    ),
    rule(
        "mul-mul-constants",
        (x * a) * b,
        x * (a * b),
        exact_in="reals",
        edges="mended",
        when=_product_is_safe,
        why="one product less",
    ),
    rule(
        "constant-to-few",
        (x * a) * y,
        lambda m: m["x"] * (m["y"] * m["a"]),
        exact_in="reals",
        edges="range",
        once=True,
        when=lambda m: (
            _FEW * m.type_of("y").size <= m.type_of("x").size
            and is_moderate(m.number("a"))
            and not _is_constant(m, "y")
        ),
        why="one product for each number that repeats",
        examples=[(lambda x, y: (2.0 * x) * y, [(3, 8), (3, 1)])],
    ),
    rule(
        "div-div-constants",
        (x / a) / b,
        x / (a * b),
        exact_in="reals",
        edges="mended",
        when=_product_is_safe,
        why="one quotient less",
    ),
    rule(
        "constant-over-then-times",
        (a / x) * b,
        (a * b) / x,
        exact_in="reals",
        edges="mended",
        when=_product_is_safe,
        once=True,
        why="one product less",
        domain=(0.5, 2.0),
    ),
    rule(
        "reciprocal-times-constant",
        reciprocal(x) * a,
        a / x,
        exact_in="reals",
        edges="mended",
        once=True,
        why="one operation less",
        domain=(0.5, 2.0),
    ),
    rule(
        "add-add-constants",
        (x + a) + b,
        x + (a + b),
        exact_in="reals",
        edges="range",
        when=_sum_is_safe,
        why="one sum less",
        examples=[(lambda x: (x + 2.5) + 0.75, [(3, 4)])],
    ),
    rule(
        "sub-constant",
        x - a,
        lambda m: m["x"] + -m.number("a"),
        exact_in="floats",
        why="sums with constants meet in one form",
        examples=[(lambda x: x - 2.5, [(3, 4)]), (lambda x: x - 1.0, [()])],
    ),
    rule(
        "constant-minus-sum",
        a - (x + b),
        (a - b) - x,
        exact_in="reals",
        edges="range",
        when=lambda m: _adds_up(m.number("a"), -m.number("b")),
        why="one sum less",
    ),
    rule(
        "sum-minus-constant",
        (a - x) + b,
        (a + b) - x,
        exact_in="reals",
        edges="range",
        when=_sum_is_safe,
        why="one sum less",
        examples=[(lambda x: (2.5 - x) + 0.75, [(3, 4)])],
    ),
)
