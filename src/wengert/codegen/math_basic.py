"""Arithmetic, comparisons, logic, selection, rounding and conversion: at most a few instructions.

All are exact or correctly rounded (at most 0.5 ulp), with NumPy's values at NaN, infinity, signed
zero and subnormal numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from wengert.codegen.math_table import EMITTERS, JOINED, Emitter, emits
from wengert.codegen.vector import Lanes, where


def _absolute(a: Lanes) -> Lanes:
    if a.kind.is_float:
        return abs(a)
    return where(a < 0, -a, a) if a.kind.is_signed else a


def _never(a: Lanes) -> Lanes:
    return Lanes(a.builder, a.kind.mask.constant(False), a.kind.mask)


def _sign(a: Lanes) -> Lanes:
    if a.kind.is_float:
        # Zeros lose their sign, as in NumPy.
        return where(a > 0, 1, where(a < 0, -1, where(a.equals(0), 0, a)))
    if a.kind.is_signed:
        return where(a > 0, 1, where(a < 0, a.full(-1), 0))
    return where(a > 0, a.full(1), 0)


def _rounding(how: str) -> Emitter:
    return lambda a: a.call(how) if a.kind.is_float else a


def _of_bits(floats: Callable[[Lanes], Lanes], otherwise: Callable[[Lanes], Lanes]) -> Emitter:
    return lambda a: floats(a) if a.kind.is_float else otherwise(a)


EMITTERS.update(
    {
        # Sums and products of bools are `or` and `and`.
        "add": lambda a, b: a | b if a.kind.is_bool else a + b,
        "subtract": lambda a, b: a - b,
        "multiply": lambda a, b: a & b if a.kind.is_bool else a * b,
        "divide": lambda a, b: a / b,
        "negative": lambda a: -a,
        "positive": lambda a: a,
        "stop_gradient": lambda a: a,
        "square": lambda a: a if a.kind.is_bool else a * a,
        "absolute": _absolute,
        "sign": _sign,
        "sqrt": lambda a: a.sqrt(),
        "copysign": lambda a, b: a.copysign(b),
        # One rounding of the factor and one of the product: at most 1.5 ulp.
        "radians": lambda a: a * (math.pi / 180.0),
        "degrees": lambda a: a * (180.0 / math.pi),
        "equal": lambda a, b: a.equals(b),
        "not_equal": lambda a, b: a.differs(b),
        "less": lambda a, b: a < b,
        "less_equal": lambda a, b: a <= b,
        "greater": lambda a, b: a > b,
        "greater_equal": lambda a, b: a >= b,
        "logical_and": lambda a, b: a.to(bool) & b.to(bool),
        "logical_or": lambda a, b: a.to(bool) | b.to(bool),
        "logical_xor": lambda a, b: a.to(bool) ^ b.to(bool),
        "logical_not": lambda a: ~a.to(bool),
        "bitwise_and": lambda a, b: a & b,
        "bitwise_or": lambda a, b: a | b,
        "bitwise_xor": lambda a, b: a ^ b,
        "invert": lambda a: ~a,
        "where": where,
        "isnan": _of_bits(lambda a: a.is_nan, _never),
        "isinf": _of_bits(lambda a: abs(a).equals(math.inf), _never),
        "isfinite": _of_bits(lambda a: abs(a) < math.inf, lambda a: ~_never(a)),
        "signbit": lambda a: a.as_integer < 0,
        "floor": _rounding("floor"),
        "ceil": _rounding("ceil"),
        "trunc": _rounding("trunc"),
        "rint": _rounding("rint"),
    }
)
# One rounding on processors that have the instruction, two on others.
JOINED.update(
    {
        "multiply_add": lambda a, b, c: a.call("fmuladd", b, c),
        "multiply_subtract": lambda a, b, c: a.call("fmuladd", b, -c),
        "subtract_multiply": lambda a, b, c: (-a).call("fmuladd", b, c),
    }
)


@emits("cast")
def cast(a: Lanes, *, dtype: Any) -> Lanes:
    """As `Lanes.to`: floats outside an integer dtype's range saturate, NaN becomes 0."""
    return a.to(dtype)


# ---------------------------------------------------------------- extrema

# At a tie the second operand is chosen, as NumPy's vector loops do: it shows only in zeros' signs.


@emits("maximum")
def maximum(a: Lanes, b: Lanes) -> Lanes:
    """NaN if either is."""
    larger = where(a > b, a, b)
    return where(a.is_nan, a, larger) if a.kind.is_float else larger


@emits("minimum")
def minimum(a: Lanes, b: Lanes) -> Lanes:
    """NaN if either is."""
    smaller = where(a < b, a, b)
    return where(a.is_nan, a, smaller) if a.kind.is_float else smaller


@emits("fmax")
def fmax(a: Lanes, b: Lanes) -> Lanes:
    """The other one where one is NaN."""
    larger = where(a > b, a, b)
    return where(b.is_nan, a, larger) if a.kind.is_float else larger


@emits("fmin")
def fmin(a: Lanes, b: Lanes) -> Lanes:
    """The other one where one is NaN."""
    smaller = where(a < b, a, b)
    return where(b.is_nan, a, smaller) if a.kind.is_float else smaller


@emits("relu")
def relu(a: Lanes) -> Lanes:
    """The positive part; NaN stays."""
    return where(a <= 0, 0, a) if a.kind.is_float or a.kind.is_signed else a
