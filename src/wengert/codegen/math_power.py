"""Powers, cube roots and lengths.

`power` is 2**(y log2(x)) with log2(x) as a pair of floats, about 13 bits beyond the precision, so
that an exponent of 1000 still costs no digit of the result. For float32 the same is done in
float64 without pairs. Edge values are those of C's `pow` (ISO C, annex F.10.4.4).
"""

from __future__ import annotations

import math

from wengert.codegen.math_exp import clamp, times_power_of_two
from wengert.codegen.math_flow import if_any, outlined, repeat_while
from wengert.codegen.math_log import is_plain, split, split_normal
from wengert.codegen.math_pairs import Pair, fast_two_sum, two_product
from wengert.codegen.math_table import coefficients, emits
from wengert.codegen.vector import Lanes, fma, polynomial, where

_LOG2_E = (1.4426950408889634, 2.0355273740931033e-17)
_THIRD = (0.3333333333333333, 1.850371707708594e-17)
#: |n| up to which x**n is made of products of pairs.
_GREATEST_BY_PRODUCTS = 64


def _log2_pair(k: Lanes, m: Lanes) -> Pair:
    """log2 of m 2**k, to about 2**-66 of the greater of it and 1."""
    x = m
    f = m - 1.0
    below = f + 2.0
    below_low = f - (below - 2.0)
    inverse = 1.0 / below
    s = f * inverse
    s_low = (fma(-s, below, f) - s * below_low) * inverse
    z, z_low = two_product(s, s)
    z_low = fma(s + s, s_low, z_low)
    v, v_low = fast_two_sum(z.full(_THIRD[0]), z * polynomial(z, coefficients("LOG_LONG", x.kind)))
    w, w_low = Pair(v, v_low + _THIRD[1]).times(z, z_low)
    t, t_low = Pair(w, w_low).times(s, s_low)
    high, low = fast_two_sum(s, t)
    low = low + (t_low + s_low)
    high, low = Pair(high, low).times(x.full(2.0 * _LOG2_E[0]), x.full(2.0 * _LOG2_E[1]))
    total, lost = fast_two_sum(k, high)
    return Pair(total, lost + low)


def _log2_short(x: Lanes) -> Lanes:
    """log2 of a positive normal float64, good enough for float32 results."""
    k, m, _ = split_normal(x)
    f = m - 1.0
    s = f / (f + 2.0)
    z = s * s
    t = fma(s * z, polynomial(z, coefficients("LOG_SHORT", x.kind)), s + s)
    return fma(t, _LOG2_E[0], k)


def _at_power_edges(x: Lanes, y: Lanes, size: Lanes) -> Lanes:
    """x**y from abs(x)**y, by sign and edge values."""
    is_integer = y.equals(y.call("trunc"))
    half = y * 0.5
    is_odd = is_integer & half.differs(half.call("trunc"))
    signed = where(is_odd, size.copysign(x), size)
    # Powers of -0.0 and of minus infinity are defined for every exponent.
    undefined = (x < 0.0) & (x > -math.inf) & ~is_integer
    signed = where(undefined, math.nan, signed)
    return where(x.equals(1.0) | y.equals(0.0), 1.0, signed)


def _exp2_of_pair(e: Lanes, lost: Lanes) -> tuple[Lanes, Lanes]:
    """2**(e + lost) as a number near 1, and the integer of its exponent."""
    n, bits = e.rounded()
    r = (e - n) + lost
    return fma(r, polynomial(r, coefficients("EXP2", e.kind)), 1.0), bits


def _power_by_pairs(x: Lanes, y: Lanes) -> Lanes:
    k, m, _ = split_normal(x)
    high, low = _log2_pair(k, m)
    e, lost = two_product(y, high)
    p, bits = _exp2_of_pair(e, fma(y, low, lost))
    quick = p * bits.power_of_two(x.kind)
    # All edge values but those of y = 0 are outside; NaN is.
    is_inside = is_plain(x) & (abs(e) < x.kind.exponent_bias - 2.0)
    (result,) = if_any(
        ~is_inside,
        [quick],
        lambda: outlined("power", [x, y], [x.kind], lambda operands: [_power_anywhere(*operands)]),
    )
    return result


def _power_anywhere(x: Lanes, y: Lanes) -> Lanes:
    size = abs(x)
    high, low = _log2_pair(*split(size))
    is_inside = (size > 0.0) & (size < math.inf)
    edge = where(size.equals(0.0), -math.inf, size)  # infinity and NaN are their own logarithm
    high = where(is_inside, high, edge)
    low = where(is_inside, low, 0.0)
    e, lost = two_product(y, high)
    lost = where(abs(e) < 1100.0, fma(y, low, lost), 0.0)
    # 1**inf is 1.
    e = where(size.equals(1.0), where(y.is_nan, y, 0.0), e)
    p, bits = _exp2_of_pair(clamp(e, -1080.0, 1030.0), lost)
    return _at_power_edges(x, y, times_power_of_two(p, bits))


def _exp2_short(e: Lanes) -> Lanes:
    n, bits = e.rounded()
    r = e - n
    p = fma(r, polynomial(r, coefficients("EXP2_SHORT", e.kind)), 1.0)
    return p * bits.power_of_two(e.kind)


def _power_through_double(x: Lanes, y: Lanes) -> Lanes:
    """For float32 operands that have been converted."""
    e = y * _log2_short(x)
    quick = _exp2_short(e)
    is_inside = is_plain(x) & (abs(e) < 500.0)
    (result,) = if_any(
        ~is_inside,
        [quick],
        lambda: outlined(
            "short_power",
            [x, y],
            [x.kind],
            lambda operands: [_power_through_double_anywhere(*operands)],
        ),
    )
    return result


def _power_through_double_anywhere(x: Lanes, y: Lanes) -> Lanes:
    size = abs(x)
    logarithm = _log2_short(size)
    is_inside = (size > 0.0) & (size < math.inf)
    logarithm = where(is_inside, logarithm, where(size.equals(0.0), -math.inf, size))
    e = where(size.equals(1.0), where(y.is_nan, y, 0.0), y * logarithm)
    return _at_power_edges(x, y, _exp2_short(clamp(e, -200.0, 200.0)))


@emits("power")
def power(x: Lanes, y: Lanes) -> Lanes:
    """x**y, at most 1.5 ulp. Integers wrap around, as NumPy's; a negative exponent, which NumPy
    refuses there, gives 0."""
    if not x.kind.is_float:
        return _integer_base(x, y)
    if x.kind.bits == 32:
        return _power_through_double(x.to("f8"), y.to("f8")).to("f4")
    return _power_by_pairs(x, y)


def _integer_base(x: Lanes, y: Lanes) -> Lanes:
    result, _, _ = repeat_while(
        [x.full(1), x, y],
        lambda at: at[2] > 0,
        lambda at: [where((at[2] & 1).differs(0), at[0] * at[1], at[0]), at[1] * at[1], at[2] >> 1],
    )
    return where(y < 0, 0, result) if y.kind.is_signed else result


# ---------------------------------------------------------------- static exponents


@emits("integer_power")
def integer_power(x: Lanes, *, n: int) -> Lanes:
    """x**n, at most 2 ulp, by repeated squaring of pairs; large exponents as `power`."""
    if n == 0:
        return x.full(1)
    if not x.kind.is_float:
        return _by_squaring(x, n)
    if abs(n) > _GREATEST_BY_PRODUCTS:
        return power(x, x.full(n))
    if x.kind.bits == 32:
        # A power that overflows float64, or underflows it, does so in float32 long before.
        wide = _by_squaring(x.to("f8"), abs(n))
        return (wide if n > 0 else 1.0 / wide).to("f4")
    if n == -1:
        return 1.0 / x
    if 0 < n <= 3:
        return _by_squaring(x, n)
    return _pairs_by_squaring(x, n)


def _by_squaring(x: Lanes, n: int) -> Lanes:
    result: Lanes | None = None
    while n:
        if n & 1:
            result = x if result is None else result * x
        n >>= 1
        if n:
            x = x * x
    assert result is not None
    return result


def _pairs_by_squaring(x: Lanes, n: int) -> Lanes:
    if n > 0:
        base = Pair(x, x.full(0.0))
    else:
        # The inverse first, or results that are subnormal would be lost to overflow.
        inverse = 1.0 / x
        base = Pair(inverse, fma(-inverse, x, 1.0) * inverse)
    n = abs(n)
    result: Pair | None = None
    while n:
        if n & 1:
            result = base if result is None else result.times(*base)
        n >>= 1
        if n:
            base = base.times(*base)
    assert result is not None
    # Beyond the range the low part is NaN.
    total = result.high + result.low
    return where(total.is_nan, result.high, total)


# ---------------------------------------------------------------- roots and lengths


@emits("reciprocal")
def reciprocal(x: Lanes) -> Lanes:
    """1 / x, correctly rounded; of integers 1, -1 or 0, and the least integer for 0."""
    if x.kind.is_float:
        return 1.0 / x
    is_one = x.equals(1) | x.equals(-1) if x.kind.is_signed else x.equals(1)
    least = int(x.kind.info.min) if x.kind.is_signed else 0
    return where(is_one, x, where(x.equals(0), x.full(least), 0))


_CUBE_ROOT_2 = 2.0 ** (1.0 / 3.0)


@emits("cbrt")
def cbrt(x: Lanes) -> Lanes:
    """Cube root, at most 1 ulp: a polynomial for t**(-1/3), Newton's iteration, and a last step
    with the exact residual of the cube."""
    size = abs(x)
    k, m = split(size)
    q, bits = k.rounded(1.0 / 3.0)
    left = fma(q, -3.0, k)
    is_up, is_down = left > 0.5, left < -0.5
    t = m * where(is_up, x.full(2.0), where(is_down, x.full(0.5), 1.0))
    start = where(is_up, x.full(1.0 / _CUBE_ROOT_2), where(is_down, x.full(_CUBE_ROOT_2), 1.0))
    r = start * polynomial(m, coefficients("CBRT", x.kind))
    if x.kind.bits == 64:
        r = fma(r * (1.0 / 3.0), fma(-(t * r), r * r, 1.0), r)
    square = r * r
    y = t * square
    y2, y2_low = two_product(y, y)
    residual = fma(y2, y, -t) + y2_low * y
    y = fma(residual, square * (-1.0 / 3.0), y)
    y = (y * bits.power_of_two(x.kind)).copysign(x)
    return where((size > 0.0) & (size < math.inf), y, x)


@emits("hypot")
def hypot(a: Lanes, b: Lanes) -> Lanes:
    """sqrt(a*a + b*b) scaled by a power of two, at most 1.5 ulp; infinite if either is."""
    a, b = abs(a), abs(b)
    kind = a.kind
    is_infinite = a.equals(math.inf) | b.equals(math.inf)
    if kind.bits == 32:
        wide, other = a.to("f8"), b.to("f8")
        return where(is_infinite, math.inf, fma(wide, wide, other * other).sqrt().to("f4"))
    is_less = a < b
    large, small = where(is_less, b, a), where(is_less, a, b)
    least = float(kind.info.smallest_normal) * 2.0
    exponent = where(large < least, least, large).as_integer & (kind.bits_of(math.inf))
    down = (((2 * kind.exponent_bias + 1) << kind.fraction_bits) - exponent).as_float(kind)
    up = (exponent - (1 << kind.fraction_bits)).as_float(kind)
    large, small = large * down, small * down
    return where(is_infinite, math.inf, fma(large, large, small * small).sqrt() * up)
