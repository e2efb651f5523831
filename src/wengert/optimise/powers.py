"""Rewrite rules of powers, squares and roots."""

from __future__ import annotations

from typing import Any

from wengert.ops.arithmetic import (
    absolute,
    integer_power,
    power,
    reciprocal,
    square,
)
from wengert.ops.transcendental import sqrt
from wengert.optimise.facts import is_not_negative
from wengert.optimise.record import Rule, rule
from wengert.optimise.terms import constant, parameter, variable

__all__ = ["POWERS"]


x = variable("x")
a = constant("a")
n = parameter("n")
to = parameter("to")

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
