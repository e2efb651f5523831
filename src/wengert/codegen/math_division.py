"""Remainders, floor division, common divisors and shifts.

Float remainders are exact, as in C: quotients that fit a float's precision take one fused step;
larger ones a loop that takes about as many bits off at a time.
"""

from __future__ import annotations

import math

from wengert.codegen import ir
from wengert.codegen.math_flow import if_any, repeat_while
from wengert.codegen.math_table import emits
from wengert.codegen.vector import Lanes, fma, where


def _reduced(a: Lanes, b: Lanes) -> Lanes:
    """a mod b for floats a and b that aren't negative, with a / b below 2**fraction_bits."""
    r = fma((a / b).call("trunc"), -b, a)
    # The quotient, rounded, may be one too great.
    return where(r < 0.0, r + b, r)


def _float_fmod(a: Lanes, b: Lanes) -> Lanes:
    kind = a.kind
    size, divisor = abs(a), abs(b)
    limit = 2.0 ** (kind.fraction_bits - 1)
    # Also where the quotient overflows; not where an operand is 0, infinite or NaN.
    is_far = ((size / divisor) >= limit) & (divisor > 0.0) & (size < math.inf)

    quick = _reduced(size, divisor)

    def long() -> list[Lanes]:
        def step(at: list[Lanes]) -> list[Lanes]:
            (rest,) = at
            # A multiple of the divisor by a power of two, at most `limit` below the rest.
            return [where(is_far & (rest >= divisor), _reduced(rest, _scaled(rest)), rest)]

        def _scaled(rest: Lanes) -> Lanes:
            (scaled,) = repeat_while(
                [divisor],
                lambda at: is_far & (at[0] * limit <= rest),
                lambda at: [where(is_far & (at[0] * limit <= rest), at[0] * limit, at[0])],
            )
            return scaled

        (rest,) = repeat_while([size], lambda at: is_far & (at[0] >= divisor), step)
        return [where(is_far, rest, quick)]

    (r,) = if_any(is_far, [quick], long)
    r = where(divisor.equals(math.inf), size, r)
    r = where(size.equals(math.inf) | divisor.equals(0.0), math.nan, r)
    r = where(a.is_nan | b.is_nan, math.nan, r)
    return r.copysign(a)


def _safe(a: Lanes, b: Lanes) -> Lanes:
    """The divisor, or 1 where the processor would trap: zero, and the least integer by -1."""
    trap = b.equals(0)
    if a.kind.is_signed:
        trap = trap | (a.equals(int(a.kind.info.min)) & b.equals(-1))
    return where(trap, 1, b)


def _integer_remainder(a: Lanes, b: Lanes) -> Lanes:
    """With the sign of a; 0 where b is 0."""
    make = a.builder.srem if a.kind.is_signed else a.builder.urem
    return Lanes(a.builder, make(a.value, _safe(a, b).value), a.kind)


def _integer_quotient(a: Lanes, b: Lanes) -> Lanes:
    make = a.builder.sdiv if a.kind.is_signed else a.builder.udiv
    return Lanes(a.builder, make(a.value, _safe(a, b).value), a.kind)


@emits("fmod")
def fmod(a: Lanes, b: Lanes) -> Lanes:
    """Remainder with the sign of a, exact; of integers by zero 0."""
    return _float_fmod(a, b) if a.kind.is_float else where(b.equals(0), 0, _integer_remainder(a, b))


@emits("remainder")
def remainder(a: Lanes, b: Lanes) -> Lanes:
    """Remainder with the sign of b, rounded once; of integers by zero 0."""
    if not a.kind.is_float:
        r = where(b.equals(0), 0, _integer_remainder(a, b))
        return where(_differ(r, b), r + b, r) if a.kind.is_signed else r
    r = _float_fmod(a, b)
    moved = where(r.equals(0.0), r.full(0.0).copysign(b), where(_differ(r, b), r + b, r))
    return where(b.equals(0.0), r, moved)


def _differ(r: Lanes, b: Lanes) -> Lanes:
    """Whether r isn't zero and has the other sign than b."""
    return r.differs(0) & ((r < 0) ^ (b < 0))


@emits("floor_divide")
def floor_divide(a: Lanes, b: Lanes) -> Lanes:
    """floor(a / b), of the exact quotient as far as it can be told; of integers by zero 0.

    The steps are NumPy's: subtract the exact remainder, divide, round what should be an integer.
    """
    if not a.kind.is_float:
        q, r = _integer_quotient(a, b), _integer_remainder(a, b)
        if a.kind.is_signed:
            q = where(_differ(r, b), q - 1, q)
        return where(b.equals(0), 0, q)
    r = _float_fmod(a, b)
    q = (a - r) / b
    q = where(_differ(r, b), q - 1.0, q)
    whole = q.call("floor")
    whole = where(q - whole > 0.5, whole + 1.0, whole)
    plain = a / b
    whole = where(q.equals(0.0), q.full(0.0).copysign(plain), whole)
    return where(b.equals(0.0), plain, whole)


# ---------------------------------------------------------------- integers


def _magnitude(a: Lanes) -> Lanes:
    """abs(a) as an unsigned integer, the least one included."""
    if not a.kind.is_signed:
        return a
    return where(a < 0, -a, a).to(f"u{a.kind.dtype.itemsize}")


def _trailing_zeros(a: Lanes) -> Lanes:
    kind = a.kind
    module, builder = a.builder.module, a.builder
    name = f"llvm.cttz.{kind.suffix}"
    function = module.globals.get(name) or ir.Function(
        module, ir.FunctionType(kind.type, [kind.type, ir.IntType(1)]), name
    )
    return Lanes(builder, builder.call(function, [a.value, ir.Constant(ir.IntType(1), 0)]), kind)


@emits("gcd")
def gcd(a: Lanes, b: Lanes) -> Lanes:
    """Greatest common divisor, not negative, by J. Stein's binary algorithm ("Computational
    problems associated with Racah algebra", 1967): no division, so all lanes run together."""
    u, v = _magnitude(a), _magnitude(b)
    twos = _trailing_zeros(u | v)
    u = where(u.equals(0), 0, u >> _below(_trailing_zeros(u)))

    def step(at: list[Lanes]) -> list[Lanes]:
        first, second = at
        second = second >> _below(_trailing_zeros(second))
        is_less = first < second
        low = where(is_less, first, second)
        difference = where(is_less, second - first, first - second)
        is_open = at[1].differs(0) & at[0].differs(0)
        return [where(is_open, low, at[0]), where(is_open, difference, at[1])]

    odd, other = repeat_while([u, v], lambda at: at[1].differs(0) & at[0].differs(0), step)
    found = where(odd.equals(0), other >> _below(_trailing_zeros(other)), odd)
    found = where(u.equals(0) & v.equals(0), 0, found << _below(twos))
    return found.to(a.kind.dtype)


def _below(count: Lanes) -> Lanes:
    """A shift count that is not the full width (the count of a zero)."""
    return count & (count.kind.bits - 1)


@emits("lcm")
def lcm(a: Lanes, b: Lanes) -> Lanes:
    """Least common multiple, not negative; it wraps around."""
    divisor = gcd(a, b)
    quotient = _integer_quotient(a, where(divisor.equals(0), 1, divisor))
    product = _magnitude(quotient) * _magnitude(b)
    return product.to(a.kind.dtype)


# ---------------------------------------------------------------- shifts


def _is_in_width(count: Lanes) -> Lanes:
    # Negative counts are taken as great ones, as in NumPy.
    fits = count < count.kind.bits
    return fits & (count >= 0) if count.kind.is_signed else fits


@emits("left_shift")
def left_shift(a: Lanes, b: Lanes) -> Lanes:
    """Zero where the count is the width or more."""
    fits = _is_in_width(b)
    return where(fits, a << where(fits, b, 0), 0)


@emits("right_shift")
def right_shift(a: Lanes, b: Lanes) -> Lanes:
    """Only sign bits are left where the count is the width or more."""
    fits = _is_in_width(b)
    if a.kind.is_signed:
        return a >> where(fits, b, a.kind.bits - 1)
    return where(fits, a >> where(fits, b, 0), 0)
