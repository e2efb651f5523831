"""Arithmetic, powers, extrema: elementwise operators with NumPy's values and promotion.

Conventions at points without a derivative: `abs` and `hypot` have derivative 0 at 0; at a tie
`maximum`, `minimum`, `fmax` and `fmin` give half to each side.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.errors import ArgumentError
from wengert.graph.types import Type
from wengert.ops.elementwise import MINUS_ONE, ONE, Masked, elementwise
from wengert.ops.record import TABLE

__all__ = ["like"]


def like(x: Any, number: float) -> Any:
    """A number in the dtype of `x`, for rules whose other operands have no dtype."""
    return x.dtype.type(number)


@elementwise(
    value=np.add,
    partials=[ONE, ONE],
    linear_in=((0, 1),),
    symbol="+",
    latex="{0} + {1}",
    traits=frozenset({"commutative", "associative"}),
)
def add(x1: Any, x2: Any) -> Any:
    """Sum."""


@elementwise(
    value=np.subtract, partials=[ONE, MINUS_ONE], linear_in=((0, 1),), symbol="-", latex="{0} - {1}"
)
def subtract(x1: Any, x2: Any) -> Any:
    """Difference."""


@elementwise(
    value=np.multiply,
    partials=[lambda y, x1, x2: x2, lambda y, x1, x2: x1],
    linear_in=((0,), (1,)),
    symbol="×",
    latex=r"{0} \cdot {1}",
    traits=frozenset({"commutative", "associative"}),
)
def multiply(x1: Any, x2: Any) -> Any:
    """Product."""


@elementwise(
    value=np.divide,
    partials=[lambda y, x1, x2: reciprocal(x2), lambda y, x1, x2: -(x1 / (x2 * x2))],
    linear_in=((0,),),
    symbol="÷",
    latex=r"\frac{{{0}}}{{{1}}}",
    domain=[(-2.0, 2.0), (0.5, 2.0)],
    edges=[(1.0, 0.0), (0.0, 0.0), (-1.0, np.inf)],
)
def divide(x1: Any, x2: Any) -> Any:
    """Quotient."""


@elementwise(
    value=np.negative, partials=[MINUS_ONE], linear_in=((0,),), symbol="×(-1)", latex="-{0}"
)
def negative(x: Any) -> Any:
    """The number times -1."""


@elementwise(value=np.positive, partials=[ONE], linear_in=((0,),), symbol="+1·", latex="{0}")
def positive(x: Any) -> Any:
    """The number itself."""


@elementwise(
    value=lambda x: x,
    like=np.positive,
    partials=[None],
    symbol="stop",
    latex=r"\operatorname{{stop}}({0})",
    promote=lambda kinds: (None,),
    result=lambda x: x.dtype,
)
def stop_gradient(x: Any) -> Any:
    """The number itself, taken as a constant by every derivative."""


@elementwise(
    value=np.reciprocal,
    partials=[lambda y, x: -(y * y)],
    symbol="1/·",
    latex=r"\frac{{1}}{{{0}}}",
    domain=[(0.5, 2.0)],
    edges=[(0.0,), (-0.0,), (np.inf,)],
)
def reciprocal(x: Any) -> Any:
    """One over the number."""


@elementwise(
    value=np.square,
    partials=[lambda y, x: 2.0 * x],
    symbol="·²",
    latex="{0}^2",
    edges=[(np.inf,), (0.0,)],
)
def square(x: Any) -> Any:
    """The number times itself."""


def _integer_power(x: Any, n: int) -> Any:
    return x**n


def _integer_power_partial(y: Any, x: Any, n: int) -> Any:
    if n == 0:
        return None
    return ONE if n == 1 else float(n) * (x if n == 2 else integer_power(x, n=n - 1))


def _integer_power_dtype(x: Type, n: int) -> Any:
    if not x.is_float and not 0 <= n <= np.iinfo(x.dtype).max:
        raise ArgumentError(
            f"integer_power: {x} can't be raised to the power {n}, which has no place in its dtype",
            hint="convert it first, x.astype(float)",
        )
    return x.dtype


@elementwise(
    value=_integer_power,
    like=np.positive,
    partials=[_integer_power_partial],
    result=_integer_power_dtype,
    symbol="power",
    latex="{0}^{{{n}}}",
    samples=lambda rng, dtype: [
        ((rng.uniform(0.5, 2.0, (3, 4)).astype(dtype) * s,), {"n": n})
        for n, s in ((3, 1), (3, -1), (-2, -1), (0, 1), (1, 1), (5, -1), (2, -1))
    ],
)
def integer_power(x: Any, *, n: int) -> Any:
    """x to the power n, a Python integer that is part of the graph's structure."""


@elementwise(
    value=np.power,
    partials=[
        # 0 * 0**-1 would be NaN: x**0 is 1, its derivative 0.
        lambda y, x1, x2: Masked(x2 * power(x1, x2 - 1.0), x2 != 0.0),
        lambda y, x1, x2: Masked(y * log_of(x1), x1 != 0.0),
    ],
    symbol="power",
    latex="{0}^{{{1}}}",
    domain=[(0.5, 2.0), (-2.0, 2.0)],
    edges=[(0.0, 0.0), (0.0, 2.0), (0.0, -1.0), (-2.0, 2.0), (np.inf, 0.0), (1.0, np.nan)],
)
def power(x1: Any, x2: Any) -> Any:
    """x1 to the power x2. The derivative by x2 is 0 where x1 is 0."""


def log_of(x: Any) -> Any:
    """The logarithm, from the table (declared in another module)."""
    return TABLE["log"](x)


@elementwise(
    value=np.remainder,
    partials=[ONE, lambda y, x1, x2: -floor_divide(x1, x2)],
    symbol="mod",
    latex=r"{0} \bmod {1}",
    domain=[(2.1, 2.9), (0.91, 0.99)],
    edges=[(1.0, 0.0), (-1.0, 3.0), (5.0, np.inf)],
)
def remainder(x1: Any, x2: Any) -> Any:
    """Remainder of floor division, with the sign of x2."""


@elementwise(
    value=np.fmod,
    partials=[ONE, lambda y, x1, x2: -TABLE["trunc"](x1 / x2)],
    symbol="fmod",
    latex=r"\operatorname{{fmod}}({0}, {1})",
    domain=[(2.1, 2.9), (0.91, 0.99)],
    edges=[(-1.0, 3.0), (1.0, 0.0)],
)
def fmod(x1: Any, x2: Any) -> Any:
    """Remainder of truncating division, with the sign of x1."""


@elementwise(
    value=np.floor_divide,
    partials=[None, None],
    symbol="//",
    latex=r"\lfloor {0} / {1} \rfloor",
    domain=[(2.1, 2.9), (0.91, 0.99)],
)
def floor_divide(x1: Any, x2: Any) -> Any:
    """The largest integer not above the quotient; locally constant."""


@elementwise(
    value=np.absolute,
    partials=[lambda y, x: TABLE["sign"](x)],
    symbol="abs",
    latex=r"\lvert {0} \rvert",
    domain=[(0.5, 2.0)],
    edges=[(0.0,), (-0.0,), (-np.inf,)],
)
def absolute(x: Any) -> Any:
    """Absolute value; derivative 0 at 0."""


def _share(x1: Any, x2: Any, loses: Any) -> Masked:
    # Half at a tie; where the other operand wins, zero by structure. NaN counts as winning.
    half = TABLE["where"](x1 == x2, like(x1, 0.5), like(x1, 1.0))
    return Masked(half, ~loses)


@elementwise(
    value=np.maximum,
    partials=[lambda y, x1, x2: _share(x1, x2, x1 < x2), lambda y, x1, x2: _share(x1, x2, x2 < x1)],
    symbol="max",
    latex=r"\max({0}, {1})",
    domain=[(-1.0, 1.0), (-1.0, 1.0)],
    edges=[(np.nan, 1.0), (1.0, 1.0), (0.0, -0.0)],
)
def maximum(x1: Any, x2: Any) -> Any:
    """The larger number, NaN if either is; each side gets half of the derivative at a tie."""


@elementwise(
    value=np.minimum,
    partials=[lambda y, x1, x2: _share(x1, x2, x1 > x2), lambda y, x1, x2: _share(x1, x2, x2 > x1)],
    symbol="min",
    latex=r"\min({0}, {1})",
    domain=[(-1.0, 1.0), (-1.0, 1.0)],
    edges=[(np.nan, 1.0), (1.0, 1.0)],
)
def minimum(x1: Any, x2: Any) -> Any:
    """The smaller number, NaN if either is; each side gets half of the derivative at a tie."""


@elementwise(
    value=np.fmax,
    partials=[
        lambda y, x1, x2: _share(x1, x2, (x1 < x2) | TABLE["isnan"](x1)),
        lambda y, x1, x2: _share(x1, x2, (x2 < x1) | TABLE["isnan"](x2)),
    ],
    symbol="fmax",
    latex=r"\operatorname{{fmax}}({0}, {1})",
    domain=[(-1.0, 1.0), (-1.0, 1.0)],
    edges=[(np.nan, 1.0), (1.0, np.nan)],
)
def fmax(x1: Any, x2: Any) -> Any:
    """The larger number, ignoring NaN."""


@elementwise(
    value=np.fmin,
    partials=[
        lambda y, x1, x2: _share(x1, x2, (x1 > x2) | TABLE["isnan"](x1)),
        lambda y, x1, x2: _share(x1, x2, (x2 > x1) | TABLE["isnan"](x2)),
    ],
    symbol="fmin",
    latex=r"\operatorname{{fmin}}({0}, {1})",
    domain=[(-1.0, 1.0), (-1.0, 1.0)],
    edges=[(np.nan, 1.0), (1.0, np.nan)],
)
def fmin(x1: Any, x2: Any) -> Any:
    """The smaller number, ignoring NaN."""


@elementwise(
    value=np.hypot,
    partials=[
        lambda y, x1, x2: Masked(x1 / y, y != 0.0),
        lambda y, x1, x2: Masked(x2 / y, y != 0.0),
    ],
    symbol="hypot",
    latex=r"\sqrt{{{0}^2 + {1}^2}}",
    domain=[(0.5, 2.0), (0.5, 2.0)],
    edges=[(0.0, 0.0), (np.inf, np.nan), (1e300, 1e300)],
)
def hypot(x1: Any, x2: Any) -> Any:
    """Length of the hypotenuse; derivative 0 where both legs are 0."""


@elementwise(
    value=np.copysign,
    partials=[lambda y, x1, x2: copysign(like(x1, 1.0), x1) * copysign(like(x1, 1.0), x2), None],
    symbol="copysign",
    latex=r"\operatorname{{copysign}}({0}, {1})",
    domain=[(0.5, 2.0), (-2.0, -0.5)],
    edges=[(1.0, -0.0), (-1.0, 0.0)],
)
def copysign(x1: Any, x2: Any) -> Any:
    """x1 with the sign of x2."""


@elementwise(
    value=np.ldexp,
    partials=[lambda y, x, n: ldexp(like(x, 1.0), n), None],
    symbol="ldexp",
    latex=r"{0} \cdot 2^{{{1}}}",
    samples=lambda rng, dtype: [((rng.uniform(-2.0, 2.0, (3, 4)).astype(dtype), np.arange(4)), {})],
)
def ldexp(x: Any, n: Any) -> Any:
    """x times 2 to the integer n."""


@elementwise(
    value=np.nextafter,
    partials=[ONE, None],
    symbol="nextafter",
    latex=r"\operatorname{{nextafter}}({0}, {1})",
    samples=lambda rng, dtype: [
        ((rng.uniform(1.0, 2.0, (3,)).astype(dtype), np.full(3, 9.0, dtype)), {})
    ],
)
def nextafter(x1: Any, x2: Any) -> Any:
    """The next representable number from x1 towards x2."""


def _cast_dtype(x: Type, dtype: Any) -> Any:
    return dtype


def _cast(x: Any, dtype: Any) -> Any:
    return x.astype(dtype)


@elementwise(
    value=_cast,
    partials=[ONE],
    symbol="cast",
    latex="{0}",
    promote=lambda kinds: tuple(np.dtype(k) if isinstance(k, type) else None for k in kinds),
    result=_cast_dtype,
    samples=lambda rng, dtype: [
        ((rng.uniform(-2.0, 2.0, (3, 4)).astype(dtype),), {"dtype": np.dtype(to)})
        for to in ("f4", "f8")
    ],
)
def cast(x: Any, *, dtype: Any) -> Any:
    """The number in another dtype; between float dtypes its derivative is 1."""
