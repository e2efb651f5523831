"""Floats taken apart and put together: ldexp, frexp_exponent, nextafter, spacing. All exact."""

from __future__ import annotations

import math

import numpy as np

from wengert.codegen.math_exp import times_power_of_two
from wengert.codegen.math_table import emits
from wengert.codegen.vector import Lanes, where


def _exponent_and_fraction(x: Lanes) -> tuple[Lanes, Lanes]:
    """The integer e and m with x = m 2**e and abs(m) from 1 up to 2; finite x that isn't 0."""
    kind = x.kind
    lift = kind.fraction_bits + 2
    is_small = abs(x) < float(kind.info.smallest_normal)
    bits = where(is_small, x * 2.0**lift, x).as_integer
    infinity = kind.bits_of(math.inf)
    biased = (bits & infinity).shifted_right(kind.fraction_bits)
    m = ((bits & ~infinity) | kind.bits_of(1.0)).as_float(kind)
    bias = biased.full(kind.exponent_bias)
    return biased - where(is_small, bias + lift, bias), m


def _is_plain(x: Lanes) -> Lanes:
    """Finite and not zero."""
    size = abs(x)
    return (size > 0.0) & (size < math.inf)


@emits("ldexp")
def ldexp(x: Lanes, n: Lanes) -> Lanes:
    """x * 2**n with one rounding."""
    kind = x.kind
    e, m = _exponent_and_fraction(x)
    # Far beyond every exponent is far enough; an int8 can't hold such numbers, nor needs to.
    far = min(4 * kind.exponent_bias, int(n.kind.info.max))
    n = where(n > far, n.full(far), where(n < -far, n.full(-far), n)).to(e.kind.dtype)
    total = e + n
    most, least = kind.exponent_bias + 1, -kind.exponent_bias - kind.fraction_bits - 2
    total = where(total > most, total.full(most), where(total < least, total.full(least), total))
    return where(_is_plain(x), times_power_of_two(m, total), x)


@emits("frexp_exponent")
def frexp_exponent(x: Lanes) -> Lanes:
    """The integer e with 0.5 <= abs(x) / 2**e < 1; 0 for zero, infinity and NaN."""
    if not x.kind.is_float:
        x = x.to("f8")
    e, _ = _exponent_and_fraction(x)
    return where(_is_plain(x), e + 1, 0).to(np.intc)


def _stepped(x: Lanes, up: Lanes) -> Lanes:
    """The neighbour of a number that isn't zero."""
    bits = x.as_integer
    away = (x > 0.0) ^ ~up
    return where(away, bits + 1, bits - 1).as_float(x.kind)


@emits("nextafter")
def nextafter(x: Lanes, towards: Lanes) -> Lanes:
    """The next number from x in a direction."""
    least = float(x.kind.info.smallest_subnormal)
    y = where(x.equals(0.0), x.full(least).copysign(towards), _stepped(x, x < towards))
    y = where(x.equals(towards), towards, y)
    return where(x.is_nan | towards.is_nan, math.nan, y)


@emits("spacing")
def spacing(x: Lanes) -> Lanes:
    """Distance to the next number away from zero, with the sign of x; NaN for infinity."""
    least = float(x.kind.info.smallest_subnormal)
    away = (x.as_integer + 1).as_float(x.kind) - x
    y = where(x.equals(0.0), x.full(least), away)
    return where(abs(x) < math.inf, y, math.nan)
