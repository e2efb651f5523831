"""The error functions.

erf: x + x P(x*x) below 1, and 1 - exp(P(x)) above. erfc: exp(-x*x) times a rational approximation
of exp(x*x) erfc(x), in the variable (x - 4) / (x + 4) (M. M. Shepherd and J. G. Laframboise,
"Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < infinity", 1981).
"""

from __future__ import annotations

from wengert.codegen.math_exp import clamp, limits, split_by_ln2, times_power_of_two
from wengert.codegen.math_pairs import two_product
from wengert.codegen.math_table import coefficients, emits
from wengert.codegen.vector import Lanes, fma, polynomial, where


@emits("erf")
def erf(x: Lanes) -> Lanes:
    """Error function, at most 1.5 ulp."""
    size = abs(x)
    z = size * size
    small = fma(size, polynomial(z, coefficients("ERF", x.kind)), size)
    # At 6 the complement is far below an ulp of 1.
    logarithm = polynomial(clamp(size, None, 6.0) - 1.0, coefficients("ERFC_LOG", x.kind))
    _, bits, r, _ = split_by_ln2(logarithm)
    p = fma(r * r, polynomial(r, coefficients("EXP", x.kind)), r) + 1.0
    large = fma(-p, bits.power_of_two(x.kind), 1.0)
    return where(size > 1.0, large, small).copysign(x)


@emits("erfc")
def erfc(x: Lanes) -> Lanes:
    """Complementary error function, at most 5 ulp down to the smallest number."""
    size = clamp(abs(x), None, 28.0 if x.kind.bits == 64 else 11.0)
    z, z_low = two_product(size, size)
    scaled = polynomial((size - 4.0) / (size + 4.0), coefficients("ERFCX", x.kind))
    scaled = scaled / fma(size, 2.0, 1.0)
    _, bits, r, error = split_by_ln2(clamp(-z, limits(x.kind).underflow, None))
    rest = fma(r * r, polynomial(r, coefficients("EXP", x.kind)), error)
    # exp(-z_low) is 1 - z_low, far beyond the precision.
    rest = rest - fma(z_low, rest + r, z_low)
    p = (rest + r) + 1.0
    tail = times_power_of_two(p * scaled, bits)
    near = 1.0 - fma(x, polynomial(x * x, coefficients("ERF", x.kind)), x)
    # Around zero the tail's rounding would be worse than that of 1 - erf(x).
    y = where(x < 0, 2.0 - tail, tail)
    return where(abs(x) < 0.25, near, y)
