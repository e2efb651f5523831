"""Logarithms.

Method: x = 2**k m with m between sqrt(1/2) and sqrt(2), f = m - 1, s = f / (2 + f), and
log(m) = 2 artanh(s) = f - (f*f/2 - s (f*f/2 + R(s*s))), so that the greatest term, f, is exact
(K. C. Ng, comments of fdlibm's e_log.c, 1993; the polynomial R is our own minimax fit).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from wengert.codegen.math_exp import exp, exp2, limits
from wengert.codegen.math_flow import if_any, outlined
from wengert.codegen.math_pairs import two_sum
from wengert.codegen.math_table import coefficients, emits
from wengert.codegen.vector import Lanes, fma, polynomial, where
from wengert.graph.tuples import NamedTuple


class _Parts(NamedTuple):
    k: Lanes
    m: Lanes
    scale: Lanes  # 2**(1 - k), or 0 where that isn't a normal number


def split_normal(x: Lanes) -> _Parts:
    """k (as a float), m and 2**(1 - k) of a positive normal number."""
    kind = x.kind
    root = kind.bits_of(math.sqrt(0.5))
    one = kind.exponent_bias << kind.fraction_bits
    moved = x.as_integer + (one - root)
    fraction = (1 << kind.fraction_bits) - 1
    m = ((moved & fraction) + root).as_float(kind)
    # The exponent becomes the low bits of a float of known exponent: see `Lanes.rounded`.
    base = 2.0**kind.fraction_bits
    k = (moved.shifted_right(kind.fraction_bits) | kind.bits_of(base)).as_float(kind)
    scale = (2 * one + (fraction + 1) - (moved & ~fraction)).as_float(kind)
    return _Parts(k - (base + kind.exponent_bias), m, scale)


def split(x: Lanes) -> tuple[Lanes, Lanes]:
    """k (as a float) and m of a positive number, subnormal ones included."""
    kind = x.kind
    lift = kind.fraction_bits + 2.0
    is_small = x < float(kind.info.smallest_normal)
    k, m, _ = split_normal(where(is_small, x * 2.0**lift, x))
    return where(is_small, k - lift, k), m


def at_edges(x: Lanes, y: Lanes) -> Lanes:
    """A logarithm's value y with the right values for x zero, negative, infinite or NaN."""
    y = where(x.equals(math.inf), x, y)
    y = where(x.equals(0.0), -math.inf, y)
    return where(x.compare("<", 0.0, unordered=True), math.nan, y)


def tail(f: Lanes) -> tuple[Lanes, Lanes]:
    """f*f/2, and s (f*f/2 + R): log(1 + f) = f - (the first - the second)."""
    s = f / (f + 2.0)
    z = s * s
    half_square = f * f * 0.5
    return half_square, s * fma(z, polynomial(z, coefficients("LOG", f.kind)), half_square)


def _from_parts(k: Lanes, m: Lanes) -> Lanes:
    at = limits(k.kind)
    f = m - 1.0
    half_square, rest = tail(f)
    rest = fma(k, at.ln2_low, rest)
    return fma(k, at.ln2_high, f - (half_square - rest))


def is_plain(x: Lanes) -> Lanes:
    """Whether a number is positive, normal and finite."""
    return (x >= float(x.kind.info.smallest_normal)) & (x < math.inf)


def with_edges(name: str, x: Lanes, of_parts: Callable[[Lanes, Lanes], Lanes]) -> Lanes:
    """A logarithm from k and m; numbers that aren't plain take a second, slower, turn."""

    def anywhere(operands: list[Lanes]) -> list[Lanes]:
        (x,) = operands
        return [at_edges(x, of_parts(*split(x)))]

    k, m, _ = split_normal(x)
    (y,) = if_any(~is_plain(x), [of_parts(k, m)], lambda: outlined(name, [x], [x.kind], anywhere))
    return y


@emits("log")
def log(x: Lanes) -> Lanes:
    """Natural logarithm, at most 1 ulp."""
    return with_edges("log", x, _from_parts)


# ---------------------------------------------------------------- other bases

#: log10(2) as an unevaluated sum of two floats.
_LOG10_2 = {
    4: (0.3010300099849701, -1.432098883924482e-08),
    8: (0.3010299956639812, -2.8037281277851704e-18),
}


def _log_near_one(m: Lanes) -> Lanes:
    f = m - 1.0
    half_square, rest = tail(f)
    return f - (half_square - rest)


@emits("log2")
def log2(x: Lanes) -> Lanes:
    """Logarithm to base 2, at most 2 ulp; exact for powers of two."""
    return with_edges("log2", x, lambda k, m: fma(_log_near_one(m), math.log2(math.e), k))


@emits("log10")
def log10(x: Lanes) -> Lanes:
    """Logarithm to base 10, at most 2 ulp; exact for powers of ten."""
    high, low = _LOG10_2[x.kind.dtype.itemsize]

    def of_parts(k: Lanes, m: Lanes) -> Lanes:
        return fma(k, high, fma(_log_near_one(m), math.log10(math.e), k * low))

    return with_edges("log10", x, of_parts)


# ---------------------------------------------------------------- log1p and relatives


def log_of_sum(u: Lanes, error: Lanes) -> Lanes:
    """log(u + error) for normal u, without edge values; error is far smaller than u."""
    at = limits(u.kind)
    k, m, scale = split_normal(u)
    exact = m - 1.0
    moved = (error * scale) * 0.5
    f = exact + moved
    half_square, rest = tail(f)
    lost = moved - (f - exact)
    rest = fma(k, at.ln2_low, rest + lost)
    return fma(k, at.ln2_high, f - (half_square - rest))


@emits("log1p")
def log1p(x: Lanes) -> Lanes:
    """log(1 + x), at most 1 ulp."""
    u, error = two_sum(x.full(1.0), x)
    y = log_of_sum(u, error)
    (y,) = if_any(~is_plain(u), [y], lambda: [at_edges(u, y)])
    return y.copysign(x)  # of zero


def _log1p_of_fraction(e: Lanes) -> Lanes:
    """log(1 + e) for e from 0 to 1, where k is 0 or 1 and f needs no sum."""
    at = limits(e.kind)
    is_large = e > math.sqrt(2.0) - 1.0
    f = where(is_large, (e - 1.0) * 0.5, e)
    half_square, rest = tail(f)
    rest = rest + where(is_large, e.full(at.ln2_low), 0.0)
    return where(is_large, e.full(at.ln2_high), 0.0) + (f - (half_square - rest))


@emits("softplus")
def softplus(x: Lanes) -> Lanes:
    """max(x, 0) + log1p(exp(-abs(x))), at most 2 ulp."""
    return where(x < 0, 0.0, x) + _log1p_of_fraction(exp(-abs(x)))


@emits("logaddexp")
def logaddexp(a: Lanes, b: Lanes) -> Lanes:
    """log(exp(a) + exp(b)), at most 2 ulp of the greater operand, or of log(2) if that is less:
    where the result is near zero, the sum behind it cancels, as it does in NumPy."""
    y = where(a < b, b, a) + _log1p_of_fraction(exp(-abs(a - b)))
    # Equal infinities have no difference.
    return where(a.equals(b), a + math.log(2.0), y)


@emits("logaddexp2")
def logaddexp2(a: Lanes, b: Lanes) -> Lanes:
    """log2(2**a + 2**b), at most 2 ulp of the greater operand, or of 1 if that is less."""
    natural = _log1p_of_fraction(exp2(-abs(a - b)))
    y = fma(natural, math.log2(math.e), where(a < b, b, a))
    return where(a.equals(b), a + 1.0, y)


# ---------------------------------------------------------------- inverse hyperbolic functions


@emits("arcsinh")
def arcsinh(x: Lanes) -> Lanes:
    """log(a + sqrt(a*a + 1)) with a = abs(x), as log1p(a + a*a / (1 + sqrt(a*a + 1))) in spirit:
    at most 3 ulp."""
    a = abs(x)
    # Beyond 1 / tiny the one under the root is nothing, and log(2a) = log(a) + ln 2.
    large = a > 1.0 / limits(x.kind).tiny
    t = where(large, 1.0, a)
    square = t * t
    p = t + square / ((square + 1.0).sqrt() + 1.0)
    u, error = two_sum(p.full(1.0), p)
    y = _log_or_large(u, error, a, large)
    return y.copysign(x)


def _log_or_large(u: Lanes, error: Lanes, a: Lanes, large: Lanes) -> Lanes:
    """log(u + error), or log(2 a) where a is large; infinity and NaN stay."""
    y = log_of_sum(where(large, a, u), where(large, 0.0, error))
    y = where(large, y + math.log(2.0), y)
    return where(a < math.inf, y, a)


@emits("arccosh")
def arccosh(x: Lanes) -> Lanes:
    """log1p(t + sqrt(2 t + t*t)) with t = x - 1: at most 3 ulp; NaN below 1."""
    large = x > 1.0 / limits(x.kind).tiny
    t = where(large, 1.0, x - 1.0)
    p = t + fma(t, t, t + t).sqrt()
    u, error = two_sum(p.full(1.0), p)
    y = _log_or_large(u, error, x, large)
    return where(x.compare("<", 1.0, unordered=True), math.nan, y)


@emits("arctanh")
def arctanh(x: Lanes) -> Lanes:
    """log1p(2 a / (1 - a)) / 2 with a = abs(x): at most 3 ulp; NaN beyond 1."""
    a = abs(x)
    p = (a + a) / (1.0 - a)
    u, error = two_sum(p.full(1.0), p)
    y = log_of_sum(u, error) * 0.5
    y = where(a.equals(1.0), math.inf, where(a > 1.0, math.nan, y))
    return y.copysign(x)
