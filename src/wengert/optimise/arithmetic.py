"""Rules of arithmetic: neutral elements, signs, constants, powers, extrema, choices, casts.

What is not here, and why: x*0 -> 0, x-x -> 0 and x/x -> 1 would turn nan into a number.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wengert.ops.arithmetic import (
    absolute,
    cast,
    fmax,
    fmin,
    integer_power,
    maximum,
    minimum,
    negative,
    positive,
    power,
    reciprocal,
    square,
    stop_gradient,
)
from wengert.ops.comparing import (
    bitwise_and,
    bitwise_or,
    equal,
    invert,
    logical_not,
    not_equal,
    where,
)
from wengert.ops.special import relu
from wengert.ops.transcendental import sqrt
from wengert.optimise.facts import is_moderate, is_not_negative
from wengert.optimise.record import Rule, rule
from wengert.optimise.terms import constant, parameter, variable

__all__ = ["CHOICES", "CONSTANTS", "IDENTITIES", "POWERS", "SIGNS"]

x, y, z = variable("x"), variable("y"), variable("z")
a, b, c, d = constant("a"), constant("b"), variable("c"), variable("d")
n = parameter("n")
to, middle = parameter("to"), parameter("middle")


def _truth(match: Any, name: str) -> bool:
    return bool(match.number(name))


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
    value = match.number("a")
    mantissa, _ = math.frexp(float(value))
    with np.errstate(all="ignore"):
        return abs(mantissa) == 0.5 and _finite(np.reciprocal(value)) and _finite(value)


CONSTANTS: tuple[Rule, ...] = (
    rule(
        "div-by-power-of-two",
        x / a,
        lambda m: m["x"] * np.reciprocal(m.number("a")),
        exact_in="floats",
        when=_has_exact_inverse,
        why="1/a is exact, and a product is faster than a quotient",
        examples=[(lambda x: x / 8.0, [(3, 4)]), (lambda x: x / 0.5, [()])],
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

# ---------------------------------------------------------------- powers

#: Powers up to this one become products.
_LARGEST_POWER = 16


def _by_products(match: Any) -> Any:
    # Repeated squaring: x^13 = x^8 x^4 x. Powers share their squares with other powers of x.
    return _powers(match["x"], match.param("n"))


def _powers(base: Any, exponent: int) -> Any:
    result, squared, left = None, base, abs(exponent)
    while left:
        if left % 2:
            result = squared if result is None else result * squared
        left //= 2
        if left:
            squared = square(squared)
    return reciprocal(result) if exponent < 0 else result


def _whole_exponent(match: Any) -> bool:
    exponent = float(match.number("a"))
    return exponent.is_integer() and 2 < abs(exponent) <= _LARGEST_POWER


def _power_examples(*exponents: Any) -> list[Any]:
    return [(lambda x, n=n: integer_power(x, n=n), [(3, 4)], (-2.0, 2.0)) for n in exponents]


POWERS: tuple[Rule, ...] = (
    rule(
        "power-0",
        integer_power(x, n=0),
        1,
        exact_in="floats",
        kinds="fiu",
        why="x**0 is 1 for every x, nan included",
    ),
    rule("power-1", integer_power(x, n=1), x, exact_in="floats", kinds="fiu", why="x**1 is x"),
    rule(
        "power-minus-1",
        integer_power(x, n=-1),
        reciprocal(x),
        exact_in="reals",
        why="a quotient",
        domain=(0.5, 2.0),
    ),
    rule(
        "power-by-products",
        integer_power(x, n=n),
        _by_products,
        exact_in="reals",
        when=lambda m: 2 <= abs(m.param("n")) <= _LARGEST_POWER,
        edges="range",
        why="products are faster than a power, and powers of one x share them",
        examples=_power_examples(2, 3, 4, 7, -2, -5),
    ),
    rule("general-power-0", power(x, 0.0), 1, exact_in="floats", why="x**0 is 1 for every x"),
    rule("general-power-1", power(x, 1.0), x, exact_in="floats", why="x**1 is x"),
    rule("general-power-2", power(x, 2.0), square(x), exact_in="reals", why="x**2 is x*x"),
    rule(
        "general-power-minus-1",
        power(x, -1.0),
        reciprocal(x),
        exact_in="reals",
        why="a quotient",
        domain=(0.5, 2.0),
    ),
    rule(
        "general-power-whole",
        power(x, a),
        lambda m: _powers(m["x"], int(m.number("a"))),
        exact_in="reals",
        edges="range",
        when=_whole_exponent,
        why="products are faster than a power",
        examples=[(lambda x: power(x, 3.0), [(3, 4)]), (lambda x: power(x, -4.0), [()])],
    ),
    rule("mul-self", x * x, square(x), exact_in="floats", kinds="fiu", why="one operand less"),
    rule(
        "reciprocal-of-square",
        reciprocal(square(x)),
        square(reciprocal(x)),
        exact_in="reals",
        edges="mended",
        once=True,
        why="reciprocals of one x are shared",
        domain=(0.5, 2.0),
    ),
    rule(
        "square-of-abs", square(absolute(x)), square(x), exact_in="floats", why="the square is even"
    ),
    rule(
        "square-of-sqrt",
        square(sqrt(x)),
        x,
        exact_in="reals",
        why="a root is undone",
        when=lambda m: is_not_negative(m.tape, m.env["x"]),
        examples=[(lambda x: square(sqrt(absolute(x))), [(3, 4)])],
    ),
    rule(
        "abs-of-not-negative",
        absolute(x),
        x,
        exact_in="floats",
        when=lambda m: is_not_negative(m.tape, m.env["x"]),
        why="it is not negative",
        examples=[(lambda x: absolute(square(x) + 1.0), [(3, 4)])],
    ),
    rule(
        "sqrt-of-square",
        sqrt(square(x)),
        absolute(x),
        exact_in="reals",
        edges="mended",
        why="no root is needed; the square could overflow",
    ),
)

# ---------------------------------------------------------------- extrema, choices, casts


def _chosen(match: Any) -> Any:
    return match["x"] if _truth(match, "a") else match["y"]


def _casts_meet(match: Any) -> bool:
    # Each value of the first dtype is a value of the middle one.
    return np.can_cast(match.type_of("x").dtype, match.param("middle"), "safe")


CHOICES: tuple[Rule, ...] = (
    *(
        rule(f"{op.name}-of-same", op(x, x), x, exact_in="floats", kinds="fiu", why="idempotent")
        for op in (maximum, minimum, fmax, fmin)
    ),
    *(
        rule(
            f"{op.name}-twice",
            op(op(x, y), y),
            op(x, y),
            exact_in="floats",
            kinds="fiu",
            why="idempotent",
        )
        for op in (maximum, minimum, fmax, fmin)
    ),
    rule("relu-of-relu", relu(relu(x)), relu(x), exact_in="floats", why="idempotent"),
    rule(
        "where-same",
        where(c, x, x),
        x,
        exact_in="floats",
        kinds="fiub",
        why="no choice",
        examples=[(lambda c, x: where(c, x, x), [(3, 4), (4,)], (-2.0, 2.0), "bf")],
    ),
    rule(
        "where-constant",
        where(a, x, y),
        _chosen,
        exact_in="floats",
        kinds="fiub",
        why="the condition is known",
        examples=[
            (lambda x, y: where(np.True_, x, y), [(3, 4), ()]),
            (lambda x, y: where(np.False_, x, y), [(3, 1), (4,)]),
        ],
    ),
    rule(
        "where-not",
        where(invert(c), x, y),
        where(c, y, x),
        exact_in="floats",
        kinds="fiub",
        why="one operation less",
        examples=[(lambda c, x, y: where(~c, x, y), [(3, 4)] * 3, (-2.0, 2.0), "bff")],
    ),
    rule(
        "where-logical-not",
        where(logical_not(c), x, y),
        where(c, y, x),
        exact_in="floats",
        kinds="fiub",
        when=lambda m: m.type_of("c").dtype.kind == "b",
        why="one operation less",
        examples=[(lambda c, x, y: where(logical_not(c), x, y), [(3, 4)] * 3, (-2.0, 2.0), "bff")],
    ),
    rule(
        "where-in-where",
        where(c, where(c, x, y), z),
        where(c, x, z),
        exact_in="floats",
        kinds="fiub",
        why="the condition is known to hold there",
        examples=[
            (lambda c, x, y, z: where(c, where(c, x, y), z), [(3, 4)] * 4, (-2.0, 2.0), "bfff")
        ],
    ),
    rule(
        "where-in-else",
        where(c, x, where(c, y, z)),
        where(c, x, z),
        exact_in="floats",
        kinds="fiub",
        why="the condition is known not to hold there",
        examples=[
            (lambda c, x, y, z: where(c, x, where(c, y, z)), [(3, 4)] * 4, (-2.0, 2.0), "bfff")
        ],
    ),
    rule(
        "where-nested-same-else",
        where(c, where(d, x, y), y),
        where(bitwise_and(c, d), x, y),
        exact_in="floats",
        kinds="fiub",
        once=True,
        why="one select instead of two",
        examples=[
            (lambda c, d, x, y: where(c, where(d, x, y), y), [(3, 4)] * 4, (-2.0, 2.0), "bbff")
        ],
    ),
    rule("invert-twice", invert(invert(x)), x, exact_in="floats", kinds="iub", why="undone"),
    rule(
        "not-equal",
        invert(equal(x, y)),
        not_equal(x, y),
        exact_in="floats",
        kinds="b",
        why="one operation less",
    ),
    rule(
        "not-not-equal",
        invert(not_equal(x, y)),
        equal(x, y),
        exact_in="floats",
        kinds="b",
        why="one operation less",
    ),
    rule("and-same", bitwise_and(x, x), x, exact_in="floats", kinds="iub", why="idempotent"),
    rule("or-same", bitwise_or(x, x), x, exact_in="floats", kinds="iub", why="idempotent"),
    rule(
        "cast-to-own",
        cast(x, dtype=to),
        x,
        exact_in="floats",
        kinds="fiub",
        when=lambda m: m.type_of("x").dtype == m.param("to"),
        why="it has this dtype",
        examples=[(lambda x: cast(x, dtype=x.dtype), [(3, 4)])],
    ),
    rule(
        "cast-of-cast",
        cast(cast(x, dtype=middle), dtype=to),
        lambda m: cast(m["x"], dtype=m.param("to")),
        exact_in="floats",
        kinds="fiub",
        when=_casts_meet,
        why="the dtype between holds every value exactly",
        examples=[
            (lambda x: cast(cast(x, dtype=np.dtype("f8")), dtype=x.dtype), [(3, 4)]),
            (
                lambda x: cast(cast(x, dtype=np.dtype("i4")), dtype=np.dtype("f8")),
                [(3, 4)],
                (-2.0, 2.0),
                "i",
            ),
        ],
    ),
)
