"""Values in registers: scalars or explicit vectors, with the operations that vector math needs.

`Kind` says what a register holds. `Lanes` wraps a value of `ir` and its builder, so that
emitters read as the mathematics they are: `r = fma(n, -LN2, x)`. No operation carries a fast-math
flag, and nothing is contracted to a fused multiply-add except where `fma` says so. On a processor
without that instruction (x86 before 2013) `fma` is a call of the C library: right, but slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wengert.codegen import ir

__all__ = [
    "Kind",
    "Lanes",
    "fma",
    "intrinsic",
    "polynomial",
    "where",
]

_FLOATS = {2: ir.HalfType(), 4: ir.FloatType(), 8: ir.DoubleType()}
#: Bits of the exponent field, and of the fraction, by the size of the float in bytes.
_FRACTION = {2: 10, 4: 23, 8: 52}
Number = bool | int | float


@dataclass(frozen=True)
class Kind:
    """The contents of a register: `lanes` elements of a dtype; one lane is a scalar.

    Booleans are `i1` in registers, whatever they are in memory.
    """

    dtype: np.dtype[Any]
    lanes: int = 1

    @property
    def is_float(self) -> bool:
        return self.dtype.kind == "f"

    @property
    def is_bool(self) -> bool:
        return self.dtype.kind == "b"

    @property
    def is_signed(self) -> bool:
        return self.dtype.kind == "i"

    @property
    def bits(self) -> int:
        """Width of an element in a register."""
        return 1 if self.is_bool else self.dtype.itemsize * 8

    @property
    def name(self) -> str:
        """`F32` or `F64`: the suffix of tables of coefficients."""
        return f"F{self.bits}"

    @property
    def element(self) -> ir.Type:
        """The LLVM type of one element."""
        return _FLOATS[self.dtype.itemsize] if self.is_float else ir.IntType(self.bits)

    @property
    def type(self) -> ir.Type:
        """The LLVM type of the register."""
        return self.element if self.lanes == 1 else ir.VectorType(self.element, self.lanes)

    @property
    def suffix(self) -> str:
        """The ending of an intrinsic's name: `f64`, `v8f32`, `v4i64`."""
        one = f"{'f' if self.is_float else 'i'}{self.bits}"
        return one if self.lanes == 1 else f"v{self.lanes}{one}"

    @property
    def mask(self) -> Kind:
        """The kind of a comparison's result."""
        return Kind(np.dtype(bool), self.lanes)

    @property
    def integer(self) -> Kind:
        """Signed integers of the same width."""
        return self.of(f"i{self.dtype.itemsize}")

    def of(self, dtype: Any) -> Kind:
        """The same number of lanes of another dtype."""
        return Kind(np.dtype(dtype), self.lanes)

    # ------------------------------------------------------------ of floats

    @property
    def fraction_bits(self) -> int:
        return _FRACTION[self.dtype.itemsize]

    @property
    def exponent_bias(self) -> int:
        return int(1 << (self.bits - self.fraction_bits - 2)) - 1

    @property
    def sign_bit(self) -> int:
        """The integer whose only bit is the sign's."""
        return -(1 << (self.bits - 1))

    @property
    def info(self) -> Any:
        """`numpy.finfo` or `numpy.iinfo` of the dtype."""
        return np.finfo(self.dtype) if self.is_float else np.iinfo(self.dtype)

    def bits_of(self, number: float) -> int:
        """The bits of a float of this kind, as an integer."""
        return int(self.dtype.type(number).view(f"i{self.dtype.itemsize}"))

    def constant(self, value: Number) -> ir.Value:
        """A number in every lane."""
        if self.is_float:
            with np.errstate(over="ignore"):
                one = ir.Constant(self.element, float(self.dtype.type(value)))
        else:
            one = ir.Constant(self.element, int(value))
        if self.lanes == 1:
            return one
        return ir.splat(self.type, one)


class Lanes:
    """A register in a function that is being built; operators append instructions.

    Python's `+ - * / & | ^ ~ << >> < <= > >=` do what they do on NumPy arrays of the dtype, with
    numbers taken as constants of it. Comparisons of floats are ordered: false on NaN.
    """

    __slots__ = ("builder", "kind", "value")

    def __init__(self, builder: ir.IRBuilder, value: ir.Value, kind: Kind) -> None:
        self.builder = builder
        self.value = value
        self.kind = kind

    def __repr__(self) -> str:
        return f"Lanes({self.kind.suffix}, {self.value})"

    def full(self, value: Number) -> Lanes:
        """A constant of this kind."""
        return Lanes(self.builder, self.kind.constant(value), self.kind)

    def _new(self, value: ir.Value, kind: Kind | None = None) -> Lanes:
        return Lanes(self.builder, value, self.kind if kind is None else kind)

    def _lift(self, other: Any) -> ir.Value:
        return other.value if isinstance(other, Lanes) else self.kind.constant(other)

    def _apply(self, float_name: str, int_name: str, a: ir.Value, b: ir.Value) -> Lanes:
        name = float_name if self.kind.is_float else int_name
        return self._new(getattr(self.builder, name)(a, b))

    # ------------------------------------------------------------ arithmetic

    def __add__(self, other: Any) -> Lanes:
        return self._apply("fadd", "add", self.value, self._lift(other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Lanes:
        return self._apply("fsub", "sub", self.value, self._lift(other))

    def __rsub__(self, other: Any) -> Lanes:
        return self._apply("fsub", "sub", self._lift(other), self.value)

    def __mul__(self, other: Any) -> Lanes:
        return self._apply("fmul", "mul", self.value, self._lift(other))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Lanes:
        return self._new(self.builder.fdiv(self.value, self._lift(other)))

    def __rtruediv__(self, other: Any) -> Lanes:
        return self._new(self.builder.fdiv(self._lift(other), self.value))

    def __neg__(self) -> Lanes:
        if self.kind.is_float:
            return self._new(self.builder.fneg(self.value))
        return self._new(self.builder.sub(self._lift(0), self.value))

    # ------------------------------------------------------------ bits

    def __and__(self, other: Any) -> Lanes:
        return self._new(self.builder.and_(self.value, self._lift(other)))

    def __or__(self, other: Any) -> Lanes:
        return self._new(self.builder.or_(self.value, self._lift(other)))

    def __xor__(self, other: Any) -> Lanes:
        return self._new(self.builder.xor(self.value, self._lift(other)))

    def __invert__(self) -> Lanes:
        return self._new(self.builder.xor(self.value, self._lift(1 if self.kind.is_bool else -1)))

    def __lshift__(self, other: Any) -> Lanes:
        return self._new(self.builder.shl(self.value, self._lift(other)))

    def __rshift__(self, other: Any) -> Lanes:
        shift = self.builder.ashr if self.kind.is_signed else self.builder.lshr
        return self._new(shift(self.value, self._lift(other)))

    def shifted_right(self, count: int) -> Lanes:
        """Shifted right, with zeros from the left whatever the sign."""
        return self._new(self.builder.lshr(self.value, self._lift(count)))

    @property
    def as_integer(self) -> Lanes:
        """The bits of floats as signed integers."""
        kind = self.kind.integer
        return self._new(self.builder.bitcast(self.value, kind.type), kind)

    def as_float(self, kind: Kind) -> Lanes:
        """Integers taken as the bits of floats."""
        return self._new(self.builder.bitcast(self.value, kind.type), kind)

    # ------------------------------------------------------------ comparisons

    def compare(self, how: str, other: Any, *, unordered: bool = False) -> Lanes:
        """`self HOW other`; where either is NaN the answer is `unordered`."""
        build, right = self.builder, self._lift(other)
        if self.kind.is_float:
            make = build.fcmp_unordered if unordered else build.fcmp_ordered
        else:
            make = build.icmp_signed if self.kind.is_signed else build.icmp_unsigned
        return self._new(make(how, self.value, right), self.kind.mask)

    def __lt__(self, other: Any) -> Lanes:
        return self.compare("<", other)

    def __le__(self, other: Any) -> Lanes:
        return self.compare("<=", other)

    def __gt__(self, other: Any) -> Lanes:
        return self.compare(">", other)

    def __ge__(self, other: Any) -> Lanes:
        return self.compare(">=", other)

    def equals(self, other: Any) -> Lanes:
        return self.compare("==", other)

    def differs(self, other: Any) -> Lanes:
        """Not equal; NaN differs from everything."""
        return self.compare("!=", other, unordered=True)

    @property
    def is_nan(self) -> Lanes:
        return self.differs(self)

    # ------------------------------------------------------------ functions of floats

    def call(self, name: str, *others: Lanes) -> Lanes:
        """The intrinsic `llvm.NAME` of this kind."""
        function = intrinsic(self.builder.module, name, self.kind, 1 + len(others))
        return self._new(self.builder.call(function, [self.value, *(o.value for o in others)]))

    def __abs__(self) -> Lanes:
        return self.call("fabs")

    def sqrt(self) -> Lanes:
        return self.call("sqrt")

    def copysign(self, sign: Any) -> Lanes:
        return self.call("copysign", self._new(self._lift(sign)))

    @property
    def sign(self) -> Lanes:
        """The sign bit alone, as an integer."""
        return self.as_integer & self.kind.sign_bit

    def flipped_by(self, sign: Lanes) -> Lanes:
        """Exclusive or with a `sign` bit: negated where it is set."""
        return (self.as_integer ^ sign).as_float(self.kind)

    def rounded(self, factor: float = 1.0) -> tuple[Lanes, Lanes]:
        """The integer nearest to `self * factor` as a float, and an integer whose low bits are it
        in two's complement; for magnitudes below `2**(fraction_bits - 2)`.

        Adding 1.5 * 2**fraction_bits moves the units into the lowest bits. AVX2 has no conversion
        between double and 64-bit integers, and this is quicker than those that exist.
        """
        magic = 1.5 * 2.0**self.kind.fraction_bits
        moved = self + magic if factor == 1.0 else fma(self, factor, magic)
        return moved - magic, moved.as_integer

    def power_of_two(self, kind: Kind, more: int = 0) -> Lanes:
        """2**(n + more) of a float kind, from the integer n of `rounded`; normal numbers only."""
        bits = (self << kind.fraction_bits) + ((kind.exponent_bias + more) << kind.fraction_bits)
        return bits.as_float(kind)

    @property
    def can_scale(self) -> bool:
        """Whether there is an instruction for `scaled`."""
        return self.builder.module.has_avx512 and self.kind.lanes * self.kind.bits == 512

    def scaled(self, n: Lanes) -> Lanes:
        """self * 2**n with one rounding, for whole numbers n."""
        kind, b = self.kind, self.builder
        name = f"llvm.x86.avx512.mask.scalef.p{'s' if kind.bits == 32 else 'd'}.512"
        mask, how = ir.IntType(kind.lanes), ir.IntType(32)
        function = b.module.globals.get(name) or ir.Function(
            b.module, ir.FunctionType(kind.type, [kind.type] * 3 + [mask, how]), name
        )
        every, as_usual = ir.Constant(mask, -1), ir.Constant(how, 4)
        return self._new(b.call(function, [self.value, n.value, self.value, every, as_usual]))

    # ------------------------------------------------------------ conversions

    def to(self, dtype: Any) -> Lanes:
        """Converted to another dtype, as NumPy's `astype`.

        Floats outside an integer dtype's range saturate and NaN becomes 0, where C leaves the
        result open.
        """
        source, target = self.kind, self.kind.of(dtype)
        if source.dtype == target.dtype:
            return self
        if target.is_bool:
            return self.differs(0)
        if np.float16 in (source.dtype, target.dtype) and np.float32 not in (
            source.dtype,
            target.dtype,
        ):
            # Processors convert float16 from and to float32 only.
            if source.bits == 64 and source.is_float:
                return self._to_odd().to(dtype)
            return self.to("f4").to(dtype)
        build, value, type_ = self.builder, self.value, target.type
        if source.is_float and target.is_float:
            convert = build.fptrunc if source.bits > target.bits else build.fpext
        elif source.is_float:
            how = "fptosi" if target.is_signed else "fptoui"
            function = _conversion(build.module, f"llvm.{how}.sat", source, target)
            return self._new(build.call(function, [value]), target)
        elif target.is_float:
            convert = build.sitofp if source.is_signed else build.uitofp
        elif source.bits > target.bits:
            convert = build.trunc
        elif source.bits == target.bits:
            return self._new(value, target)
        else:
            convert = build.sext if source.is_signed else build.zext
        return self._new(convert(value, type_), target)

    def _to_odd(self) -> Lanes:
        """float64 as float32, truncated, with the last bit set where anything was lost: rounding
        that to a shorter type is then rounding once (S. Boldo and G. Melquiond, "Emulation of FMA
        and correctly rounded sums: proved algorithms using rounding to odd", 2008).
        """
        near = self.to("f4")
        back = near.to("f8")
        bits = near.as_integer
        bits = where(abs(back) > abs(self), bits - 1, bits)
        return where(back.compare("!=", self), bits | 1, bits).as_float(near.kind)


def intrinsic(module: ir.Module, name: str, kind: Kind, operands: int) -> ir.Function:
    """The declaration of `llvm.NAME` for operands and result of one kind."""
    full_name = f"llvm.{name}.{kind.suffix}"
    found = module.globals.get(full_name)
    if found is None:
        type_ = ir.FunctionType(kind.type, [kind.type] * operands)
        found = ir.Function(module, type_, full_name)
    return found


def _conversion(module: ir.Module, name: str, source: Kind, target: Kind) -> ir.Function:
    full_name = f"{name}.{target.suffix}.{source.suffix}"
    found = module.globals.get(full_name)
    if found is None:
        found = ir.Function(module, ir.FunctionType(target.type, [source.type]), full_name)
    return found


def fma(a: Any, b: Any, c: Any) -> Lanes:
    """a * b + c with one rounding. One operand at least is `Lanes`; numbers are constants."""
    like = next(x for x in (a, b, c) if isinstance(x, Lanes))
    first, *others = (x if isinstance(x, Lanes) else like.full(x) for x in (a, b, c))
    return first.call("fma", *others)


def where(mask: Lanes, a: Any, b: Any) -> Lanes:
    """a where the mask is set, else b; one of them at least is `Lanes`."""
    like = a if isinstance(a, Lanes) else b
    first, second = (x if isinstance(x, Lanes) else like.full(x) for x in (a, b))
    chosen = mask.builder.select(mask.value, first.value, second.value)
    return Lanes(mask.builder, chosen, first.kind)


def polynomial(x: Lanes, coefficients: Sequence[float]) -> Lanes:
    """The polynomial with these coefficients, lowest first, by fused Horner steps.

    Horner's chain is long, but the loops that call this have many independent iterations in
    flight; more terms at once would only add multiplications.
    """
    *rest, highest = coefficients
    total: Any = highest
    for c in reversed(rest):
        total = fma(total, x, c)
    return total if isinstance(total, Lanes) else x.full(total)
