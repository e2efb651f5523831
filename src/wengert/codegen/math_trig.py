"""Sine, cosine and tangent, right for every finite argument.

x = n pi/2 + r with abs(r) at most about pi/4. Up to `_FAR`, n pi/2 is subtracted in three parts
(W. J. Cody and W. Waite, "Software Manual for the Elementary Functions", 1980); with a fused
multiply-add the first subtraction is exact. Beyond, a scalar function multiplies by 192 bits of
2/pi, chosen by the exponent (M. H. Payne and R. N. Hanek, "Radian reduction for trigonometric
functions", 1983); it is called only where some lane needs it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wengert.codegen import ir
from wengert.codegen.math_coefficients import TWO_OVER_PI
from wengert.codegen.math_flow import if_any, outlined, repeat_while
from wengert.codegen.math_pairs import fast_two_sum, two_product, two_sum
from wengert.codegen.math_table import coefficients, emits
from wengert.codegen.vector import Kind, Lanes, fma, intrinsic, polynomial, where

#: pi/2 in three parts.
_HALF_PI = {
    4: (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
    8: (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
}
#: Up to here n is found with an error far below 1, and three parts are enough for r.
_FAR = {4: 2.0**16, 8: 2.0**36}
_LONG = ir.IntType(64)
_WIDE = ir.IntType(128)
_DOUBLE = ir.DoubleType()


def reduce(size: Lanes) -> list[Lanes]:
    """r, and an integer whose two low bits are n's, for size = abs(x)."""
    n, bits = size.rounded(2.0 / math.pi)
    r = size
    for part in _HALF_PI[size.kind.dtype.itemsize]:
        r = fma(n, -part, r)
    is_far = size >= _FAR[size.kind.dtype.itemsize]
    return if_any(is_far, [r, bits], lambda: _reduce_far(size, is_far, [r, bits]))


def reduce_with_error(size: Lanes) -> list[Lanes]:
    """As `reduce`, and r's rounding error third."""
    n, bits = size.rounded(2.0 / math.pi)
    first, second, third = _HALF_PI[size.kind.dtype.itemsize]
    # The first difference is exact; of the second, what is lost is kept.
    exact = fma(n, -first, size)
    product, product_low = two_product(n, n.full(-second))
    above, lost = two_sum(exact, product)
    r, error = fast_two_sum(above, fma(n, -third, lost + product_low))
    is_far = size >= _FAR[size.kind.dtype.itemsize]
    return if_any(is_far, [r, bits, error], lambda: _reduce_far(size, is_far, [r, bits, error]))


def _reduce_far(size: Lanes, is_far: Lanes, near: list[Lanes]) -> list[Lanes]:
    """The same where it is far, by the scalar function, one lane after another."""
    # The function reads a table by the exponent: only numbers that it is made for may reach it.
    safe = where(is_far, size, _FAR[size.kind.dtype.itemsize])
    kinds = [size.kind, size.kind.integer, size.kind]
    found = outlined("reduce_far", [safe], kinds, lambda operands: _lane_by_lane(*operands))
    found[0] = where(size.equals(math.inf), math.nan, found[0])
    return [where(is_far, a, b) for a, b in zip(found, near, strict=False)]


def _lane_by_lane(size: Lanes) -> list[Lanes]:
    kind, builder = size.kind, size.builder
    single, place_kind = Kind(kind.dtype), Kind(np.dtype("i4"))
    if kind.lanes == 1:
        return _reduce_one(size)

    def step(at: list[Lanes]) -> list[Lanes]:
        place, *parts = at
        one = Lanes(builder, builder.extract_element(size.value, place.value), single)
        filled = [
            Lanes(builder, builder.insert_element(p.value, v.value, place.value), p.kind)
            for p, v in zip(parts, _reduce_one(one), strict=True)
        ]
        return [place + 1, *filled]

    start = Lanes(builder, place_kind.constant(0), place_kind)
    blank = [size.full(0.0), size.as_integer.full(0), size.full(0.0)]
    _, *parts = repeat_while([start, *blank], lambda at: at[0] < kind.lanes, step)
    return parts


def _reduce_one(one: Lanes) -> list[Lanes]:
    """r, n and r's rounding error of a scalar."""
    builder, kind = one.builder, one.kind
    answer = builder.call(_payne_hanek(builder.module), [one.to("f8").value])
    high, low, quarter = (
        Lanes(builder, builder.extract_value(answer, j), Kind(np.dtype(dtype)))
        for j, dtype in enumerate(("f8", "f8", "i8"))
    )
    r = high.to(kind.dtype)
    return [r, quarter.to(kind.integer.dtype), (high - r.to("f8") + low).to(kind.dtype)]


def _table(module: ir.Module) -> ir.GlobalVariable:
    name = "wengert.two_over_pi"
    found = module.globals.get(name)
    if found is None:
        type_ = ir.ArrayType(_LONG, len(TWO_OVER_PI))
        found = ir.GlobalVariable(module, type_, name)
        found.linkage = "internal"
        found.global_constant = True
        found.initializer = ir.Constant(type_, [ir.Constant(_LONG, w) for w in TWO_OVER_PI])
    return found


def _payne_hanek(module: ir.Module) -> Any:
    """`{double r, double error, i64 n} (double x)` for x from 2**-8 up, in the module."""
    name = "wengert.reduce_far"
    found = module.globals.get(name)
    if found is not None:
        return found
    result = ir.LiteralStructType([_DOUBLE, _DOUBLE, _LONG])
    function = ir.Function(module, ir.FunctionType(result, [_DOUBLE]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    x = Lanes(b, function.args[0], Kind(np.dtype("f8")))
    high, low = _turned(x)
    # x 2/pi mod 4 is `high` and `low` in units of 2**-62 and 2**-126; less the nearest integer:
    n = (high + (1 << 61)).shifted_right(62)
    high = high - (n << 62)
    # The same as floats, from pieces of 32 bits, which are exact.
    first, lost = fast_two_sum(_piece(high >> 32, 2.0**32), _piece(high & 0xFFFFFFFF, 1.0))
    below = _piece(low.shifted_right(32), 2.0**-32) + _piece(low & 0xFFFFFFFF, 2.0**-64)
    turns = fast_two_sum(first, lost + below)
    half_pi, half_pi_low, _ = _HALF_PI[8]
    unit = 2.0**-62
    product = turns.times(x.full(half_pi * unit), x.full(half_pi_low * unit))
    r, error = fast_two_sum(*product)
    answer: ir.Value = ir.Constant(result, ir.Undefined)
    for i, part in enumerate((r, error, n)):
        answer = b.insert_value(answer, part.value, i)
    b.ret(answer)
    return function


def _piece(bits: Lanes, unit: float) -> Lanes:
    """Integers of 32 bits, in 64, as floats times a unit."""
    return bits.to("f8") * unit


def _turned(x: Lanes) -> tuple[Lanes, Lanes]:
    """x 2/pi mod 4 as two words of 64 bits, the first in units of 2**-62."""
    b, module = x.builder, x.builder.module
    bits = x.as_integer
    # x = m 2**(e - 52), m of 53 bits. Bits of 2/pi of weight 4 / 2**(e - 52) and more only add
    # multiples of 4 to m 2**(e - 52) 2/pi; the table begins with 64 zeros.
    m = (bits & ((1 << 52) - 1)) | (1 << 52)
    first_bit = (bits.shifted_right(52) & 0x7FF) + (64 - 1023 - 52 - 2)
    word, shift = first_bit >> 6, first_bit & 63
    table = _table(module)
    words = [
        b.load(b.gep(table, [(word + i).value], source_etype=_LONG), typ=_LONG) for i in range(4)
    ]
    funnel = intrinsic(module, "fshl", bits.kind, 3)
    # 192 bits from the first one, times m; what is above the highest word are multiples of 4.
    window = [b.call(funnel, [words[i], words[i + 1], shift.value]) for i in range(3)]
    wide_m = b.zext(m.value, _WIDE)
    lowest, middle = (b.mul(wide_m, b.zext(w, _WIDE)) for w in (window[2], window[1]))
    middle = b.add(middle, b.lshr(lowest, ir.Constant(_WIDE, 64)))
    carry = Lanes(b, b.trunc(b.lshr(middle, ir.Constant(_WIDE, 64)), _LONG), bits.kind)
    high = m * Lanes(b, window[0], bits.kind) + carry
    return high, Lanes(b, b.trunc(middle, _LONG), bits.kind)


def _sin_reduced(r: Lanes, z: Lanes) -> Lanes:
    return fma(r * z, polynomial(z, coefficients("SIN", r.kind)), r)


def _cos_reduced(z: Lanes) -> Lanes:
    half = z * 0.5
    near = 1.0 - half
    # What 1 - half lost is added with the rest.
    return near + fma(z * z, polynomial(z, coefficients("COS", z.kind)), (1.0 - near) - half)


def _quarter(r: Lanes, bits: Lanes) -> Lanes:
    """sin(r + n pi/2) from the two low bits of n."""
    z = r * r
    odd = (bits & 1).differs(0)
    sign = (bits << (r.kind.bits - 2)) & r.kind.sign_bit
    return where(odd, _cos_reduced(z), _sin_reduced(r, z)).flipped_by(sign)


@emits("sin")
def sin(x: Lanes) -> Lanes:
    """Sine, at most 2 ulp."""
    return _quarter(*reduce(abs(x))).flipped_by(x.sign)


@emits("cos")
def cos(x: Lanes) -> Lanes:
    """Cosine, at most 2 ulp."""
    r, bits = reduce(abs(x))
    return _quarter(r, bits + 1)


@emits("tan")
def tan(x: Lanes) -> Lanes:
    """Tangent, from t = tan(r/2): 2t / (1 - t*t), or -(1 - t*t) / 2t for odd n; at most 2 ulp."""
    r, bits, error = reduce_with_error(abs(x))
    h = r * 0.5
    z = h * h
    small = fma(h * z, polynomial(z, coefficients("TAN", x.kind)), error * 0.5)
    t = h + small
    t_low = small - (t - h)
    across = fma(-t, t, 1.0)
    across_low = fma(-t, t, 1.0 - across) * fma(t, t, 1.0)  # relative to across
    twice = t + t
    odd = (bits & 1).differs(0)
    q = where(odd, across, twice) / where(odd, twice, across)
    # t's own error changes tan(r) by (1 + q*q) times it, and 1 / tan(r) by as much the other way;
    # so does the error of 1 - t*t.
    slope = fma(q, q, 1.0) * t_low - q * across_low
    q = where(odd, q - slope, q + slope)
    sign = (bits << (r.kind.bits - 1)) & r.kind.sign_bit
    y = q.flipped_by(sign).flipped_by(x.sign)
    return where(abs(x) < 1e-18, x, y)
