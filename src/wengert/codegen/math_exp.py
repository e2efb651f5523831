"""Exponentials and what is made of them: exp, exp2, expm1, sinh, cosh, tanh, sigmoid.

Method: x = n ln 2 + r with n an integer and abs(r) at most (ln 2)/2, subtracted in two parts
(W. J. Cody and W. Waite, "Software Manual for the Elementary Functions", 1980); a minimax
polynomial in r; scaling by 2**n by an instruction (AVX-512) or in two factors, so that the result
overflows, and becomes subnormal with one rounding, exactly where it should.
"""

from __future__ import annotations

import math

from wengert.codegen.math_table import coefficients, emits, joins
from wengert.codegen.vector import Kind, Lanes, fma, polynomial, where
from wengert.graph.tuples import NamedTuple


class _Limits(NamedTuple):
    """Constants of a float type; ln 2 = `ln2_high + ln2_low` far beyond its precision."""

    ln2_high: float
    ln2_low: float
    overflow: float  # exp(x) is infinite from below here
    underflow: float  # exp(x) is zero from above here
    half_overflow: float  # exp(x) / 2 is infinite, 2**1023 times exp(r) is not
    tanh_one: float  # tanh(x) rounds to 1
    tiny: float  # x*x is lost beside x


_LIMITS = {
    4: _Limits(
        float.fromhex("0x1.62e43p-1"), -1.9046542121259336e-09, 89.0, -104.5, 89.6, 10.0, 1e-5
    ),
    8: _Limits(
        float.fromhex("0x1.62e42fefa39efp-1"),
        2.3190468138462996e-17,
        710.0,
        -746.0,
        710.7,
        22.0,
        1e-9,
    ),
}


def limits(kind: Kind) -> _Limits:
    """The constants of a float kind."""
    return _LIMITS[kind.dtype.itemsize]


def clamp(x: Lanes, lowest: float | None, highest: float | None) -> Lanes:
    """Between two numbers; NaN stays."""
    if highest is not None:
        x = where(x > highest, highest, x)
    return x if lowest is None else where(x < lowest, lowest, x)


class _Split(NamedTuple):
    """x = n ln 2 + r + error; the low bits of `bits` are the integer n."""

    n: Lanes
    bits: Lanes
    r: Lanes
    error: Lanes


def split_by_ln2(x: Lanes) -> _Split:
    """x less the nearest multiple of ln 2."""
    at = limits(x.kind)
    n, bits = x.rounded(math.log2(math.e))
    # The first subtraction is exact: both terms are multiples of an ulp of ln 2.
    above = fma(n, -at.ln2_high, x)
    r = fma(n, -at.ln2_low, above)
    return _Split(n, bits, r, fma(n, -at.ln2_low, above - r))


def times_power_of_two(y: Lanes, bits: Lanes, n: Lanes | None = None) -> Lanes:
    """y * 2**n for y near 1, and n up to twice the exponent range in the low bits of `bits`.

    Of 2**(n//2) and 2**(n - n//2) both are normal numbers, and only the last product rounds. With
    `n` as a float, too, processors that have an instruction for it need no more than that.
    """
    if n is not None and y.can_scale:
        return y.scaled(n)
    half = bits.shifted_right(1)
    return y * half.power_of_two(y.kind) * (bits - half).power_of_two(y.kind)


@emits("exp")
def exp(x: Lanes) -> Lanes:
    """e**x, at most 1 ulp."""
    at = limits(x.kind)
    n, bits, r, _ = split_by_ln2(clamp(x, at.underflow, at.overflow))
    p = fma(r * r, polynomial(r, coefficients("EXP", r.kind)), r) + 1.0
    return times_power_of_two(p, bits, n)


@emits("exp2")
def exp2(x: Lanes) -> Lanes:
    """2**x, at most 1 ulp."""
    bias = x.kind.exponent_bias
    x = clamp(x, -bias - x.kind.fraction_bits - 2.0, bias + 2.0)
    n, bits = x.rounded()
    r = x - n
    return times_power_of_two(fma(r, polynomial(r, coefficients("EXP2", x.kind)), 1.0), bits, n)


def _half_expm1(x: Lanes) -> Lanes:
    """(exp(x) - 1) / 2 for clamped x."""
    _, bits, r, error = split_by_ln2(x)
    scale = (bits - 1).power_of_two(x.kind)
    rest = fma(r * r, polynomial(r, coefficients("EXPM1", r.kind)), error)
    # The two great terms first: their sum is often exact.
    return fma(scale, rest, fma(scale, r, scale - 0.5))


@emits("expm1")
def expm1(x: Lanes) -> Lanes:
    """exp(x) - 1, at most 1.5 ulp."""
    at = limits(x.kind)
    half = _half_expm1(clamp(x, -50.0, at.overflow))
    # Half of a subnormal number would lose its last bit, and zero its sign.
    return where(abs(x) < at.tiny * at.tiny, x, half + half)


@emits("tanh")
def tanh(x: Lanes) -> Lanes:
    """(e - 1) / (e + 1) with e = exp(2 abs(x)), at most 2 ulp."""
    at = limits(x.kind)
    size = abs(x)
    _, bits, r, _ = split_by_ln2(clamp(size + size, None, 2.0 * at.tanh_one))
    scale = bits.power_of_two(x.kind)
    rest = fma(r * r, polynomial(r, coefficients("EXPM1", r.kind)), r)
    above = fma(scale, rest, scale - 1.0)
    q = above / (above + 2.0)
    half = above * 0.5
    return where(above < 1.0, fma(half, -q, half), q).copysign(x)


def _lift(kind: Kind) -> int:
    """A power of two by which exponentials are multiplied where they would be subnormal, or divided
    where they would overflow, before what is made of them does."""
    return (kind.exponent_bias + 1) // 2


@emits("sigmoid")
def sigmoid(x: Lanes) -> Lanes:
    """1 / (1 + exp(-x)), at most 2 ulp."""
    at = limits(x.kind)
    unit = 2.0 ** -_lift(x.kind)
    # From the upper limit on exp(-x) is nothing beside 1.
    x = clamp(x, at.underflow, -0.4 * at.underflow)
    n, bits = x.rounded(-math.log2(math.e))
    r = fma(n, -at.ln2_low, fma(n, -at.ln2_high, -x))
    scale = bits.power_of_two(x.kind, -_lift(x.kind))
    rest = fma(r * r, polynomial(r, coefficients("EXP", r.kind)), r)
    # The smaller term first, or the sum of the two is rounded as well.
    less, more = where(scale < unit, scale, unit), where(scale < unit, unit, scale)
    return unit / (fma(scale, rest, less) + more)


@joins("sigmoid_pair")
def sigmoid_pair(x: Lanes, *, minus: bool) -> Lanes:
    """sigmoid(x), or sigmoid(-x), where both are wanted, from one exponential e = exp(-abs(x)) and
    one quotient, 1 / (1 + e): at most 2 ulp."""
    known = x.builder.block.made
    key = ("sigmoid_pair", x.value.text)
    if key not in known:
        known[key] = _large_and_small(x)
    large, small = known[key]
    return where(x < 0, large, small) if minus else where(x < 0, small, large)


def _large_and_small(x: Lanes) -> tuple[Lanes, Lanes]:
    """sigmoid(abs(x)) and sigmoid(-abs(x))."""
    lift = _lift(x.kind)
    unit = 2.0**lift
    _, bits, r, _ = split_by_ln2(clamp(-abs(x), limits(x.kind).underflow, None))
    scale = bits.power_of_two(x.kind, lift)
    rest = fma(r * r, polynomial(r, coefficients("EXP", r.kind)), r)
    large = unit / fma(scale, rest, scale + unit)
    part = large * scale
    return large, fma(part, rest, part) * 2.0**-lift


def _even_and_odd(x: Lanes) -> tuple[Lanes, Lanes, Lanes, Lanes]:
    """For a = abs(x): cosh(r) - 1, sinh(r), and the sums 2**n + 2**-n and 2**n - 2**-n, divided
    by 4 to stay finite, where a = n ln 2 + r."""
    a = clamp(abs(x), None, limits(x.kind).half_overflow)
    n, bits, r, error = split_by_ln2(a)
    z = r * r
    even = z * polynomial(z, coefficients("COSH", x.kind))
    odd = r + fma(z * r, polynomial(z, coefficients("SINH", x.kind)), error)
    up, down = (bits - 2).power_of_two(x.kind), (-2 - bits).power_of_two(x.kind)
    # The small power is an exact zero's worth beside the large one once it would be subnormal.
    down = where(n > x.kind.fraction_bits + 10.0, 0.0, down)
    return even, odd, up + down, up - down


@emits("sinh")
def sinh(x: Lanes) -> Lanes:
    """(exp(x) - exp(-x)) / 2 without a division or a cancellation, at most 2 ulp."""
    even, odd, plus, minus = _even_and_odd(x)
    half = minus + fma(minus, even, plus * odd)
    return where(abs(x) < limits(x.kind).tiny, x, (half + half).copysign(x))


@emits("cosh")
def cosh(x: Lanes) -> Lanes:
    """(exp(x) + exp(-x)) / 2 without a division, at most 2 ulp."""
    even, odd, plus, minus = _even_and_odd(x)
    half = plus + fma(plus, even, minus * odd)
    return half + half
