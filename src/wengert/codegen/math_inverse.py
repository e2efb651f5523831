"""Inverse trigonometric functions.

arctan2 brings its argument to t between 0 and 1 by symmetry; arcsin and arccos bring theirs to at
most 1/2 by arcsin(x) = pi/2 - 2 arcsin(sqrt((1 - x) / 2)). Minimax polynomials do the rest.
"""

from __future__ import annotations

import math

from wengert.codegen.math_table import coefficients, emits
from wengert.codegen.vector import Lanes, fma, polynomial, where

#: pi as an unevaluated sum of two floats.
_PI = {
    4: (3.1415927410125732, -8.742277657347586e-08),
    8: (3.141592653589793, 1.2246467991473532e-16),
}


def _arctan_of_quotient(y: Lanes, x: Lanes) -> Lanes:
    """arctan(y / x) for y and x that aren't negative, nor both zero, nor both infinite."""
    pi, pi_low = _PI[x.kind.dtype.itemsize]
    is_steep = y > x
    t = where(is_steep, x, y) / where(is_steep, y, x)
    z = t * t
    rest = t * z * polynomial(z, coefficients("ATAN", x.kind))
    flat = t + rest
    return where(is_steep, (pi / 2 - t) - (rest - pi_low / 2), flat)


@emits("arctan")
def arctan(x: Lanes) -> Lanes:
    """Inverse tangent, at most 1.5 ulp."""
    size = abs(x)
    return _arctan_of_quotient(size, size.full(1.0)).copysign(x)


@emits("arctan2")
def arctan2(y: Lanes, x: Lanes) -> Lanes:
    """Angle of the point (x, y), at most 2 ulp; signed zeros and infinities as in C."""
    pi, pi_low = _PI[x.kind.dtype.itemsize]
    above, right = abs(y), abs(x)
    # Both infinite: the diagonal. Both zero: along the x axis.
    is_far = above.equals(math.inf) & right.equals(math.inf)
    is_origin = above.equals(0.0) & right.equals(0.0)
    right = where(is_far | is_origin, 1.0, right)
    above = where(is_far, 1.0, above)
    angle = _arctan_of_quotient(above, right)
    is_left = x.as_integer < 0
    angle = where(is_left, pi - (angle - pi_low), angle)
    angle = where(x.is_nan, x, angle)
    return angle.copysign(y)


def _arcsin_core(size: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """Whether abs(x) is above 1/2, t, and arcsin(t) - t."""
    is_large = size > 0.5
    half = fma(size, -0.5, 0.5)
    z = where(is_large, half, size * size)
    t = where(is_large, half.sqrt(), size)
    return is_large, t, t * z * polynomial(z, coefficients("ASIN", size.kind))


@emits("arcsin")
def arcsin(x: Lanes) -> Lanes:
    """Inverse sine, at most 2 ulp; NaN beyond 1."""
    pi, pi_low = _PI[x.kind.dtype.itemsize]
    is_large, t, rest = _arcsin_core(abs(x))
    complement = fma(t, -2.0, pi / 2) - fma(rest, 2.0, -pi_low / 2)
    return where(is_large, complement, t + rest).copysign(x)


@emits("arccos")
def arccos(x: Lanes) -> Lanes:
    """Inverse cosine, at most 1.5 ulp; NaN beyond 1."""
    pi, pi_low = _PI[x.kind.dtype.itemsize]
    is_large, t, rest = _arcsin_core(abs(x))
    is_negative = x.as_integer < 0
    sign = x.sign
    # pi/2 - arcsin(x) near the middle; 2 arcsin(t) near 1; pi - 2 arcsin(t) near -1.
    signed, signed_rest = t.flipped_by(sign), rest.flipped_by(sign)
    middle = (pi / 2 - signed) - (signed_rest - pi_low / 2)
    near_one = (t + rest) * 2.0
    near_minus_one = fma(t, -2.0, pi) - fma(rest, 2.0, -pi_low)
    return where(is_large, where(is_negative, near_minus_one, near_one), middle)
