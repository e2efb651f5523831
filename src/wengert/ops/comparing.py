"""Elementwise operators that are locally constant: comparisons, logic, rounding, tests, bits.

They are declared with partials of None: their derivative is zero by structure. `where`, whose
result follows its chosen operand, stands here as the operator that consumes conditions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wengert.ops.elementwise import ONE, Elementwise, Masked, elementwise
from wengert.ops.record import TABLE

_NAN = float("nan")
_INF = float("inf")
_BOOL = np.dtype(bool)


def _step(ufunc: Any, symbol: str, latex: str, **rest: Any) -> Callable[..., Elementwise]:
    return elementwise(value=ufunc, partials=[None] * ufunc.nin, symbol=symbol, latex=latex, **rest)


def _integers(rng: Any, dtype: Any) -> Any:
    del dtype
    return [((rng.integers(1, 6, (3, 4)), rng.integers(1, 6, (4,))), {})]


def _integer(rng: Any, dtype: Any) -> Any:
    return [(_integers(rng, dtype)[0][0][:1], {})]


@_step(np.equal, "=", r"{0} = {1}", edges=((1.0, 1.0), (_NAN, _NAN), (0.0, -0.0)))
def equal(x1: Any, x2: Any) -> Any:
    """Whether the numbers are equal."""


@_step(np.not_equal, "≠", r"{0} \ne {1}", edges=((1.0, 1.0), (_NAN, _NAN)))
def not_equal(x1: Any, x2: Any) -> Any:
    """Whether the numbers differ."""


@_step(np.less, "<", r"{0} < {1}", edges=((1.0, 1.0), (_NAN, 1.0)))
def less(x1: Any, x2: Any) -> Any:
    """Whether x1 is less than x2."""


@_step(np.less_equal, "≤", r"{0} \le {1}", edges=((1.0, 1.0), (_NAN, 1.0)))
def less_equal(x1: Any, x2: Any) -> Any:
    """Whether x1 is at most x2."""


@_step(np.greater, ">", r"{0} > {1}", edges=((1.0, 1.0), (_NAN, 1.0)))
def greater(x1: Any, x2: Any) -> Any:
    """Whether x1 is greater than x2."""


@_step(np.greater_equal, "≥", r"{0} \ge {1}", edges=((1.0, 1.0), (_NAN, 1.0)))
def greater_equal(x1: Any, x2: Any) -> Any:
    """Whether x1 is at least x2."""


@_step(np.logical_and, "and", r"{0} \land {1}", edges=((0.0, 1.0), (1.0, 1.0)))
def logical_and(x1: Any, x2: Any) -> Any:
    """Whether both are true."""


@_step(np.logical_or, "or", r"{0} \lor {1}", edges=((0.0, 1.0), (0.0, 0.0)))
def logical_or(x1: Any, x2: Any) -> Any:
    """Whether either is true."""


@_step(np.logical_xor, "xor", r"{0} \oplus {1}", edges=((0.0, 1.0), (1.0, 1.0)))
def logical_xor(x1: Any, x2: Any) -> Any:
    """Whether exactly one is true."""


@_step(np.logical_not, "not", r"\lnot {0}", edges=((0.0,), (1.0,)))
def logical_not(x: Any) -> Any:
    """Whether the number is zero."""


@_step(np.sign, "sign", r"\operatorname{{sign}} {0}", edges=((0.0,), (-0.0,), (_NAN,)))
def sign(x: Any) -> Any:
    """-1, 0 or 1 by the sign of the number."""


@_step(np.floor, "floor", r"\lfloor {0} \rfloor", edges=((-0.5,), (_INF,)))
def floor(x: Any) -> Any:
    """The largest integer not above the number."""


@_step(np.ceil, "ceil", r"\lceil {0} \rceil", edges=((-0.5,), (_INF,)))
def ceil(x: Any) -> Any:
    """The smallest integer not below the number."""


@_step(np.trunc, "trunc", r"\operatorname{{trunc}} {0}", edges=((-0.5,), (2.5,)))
def trunc(x: Any) -> Any:
    """The number without its fraction."""


@_step(np.rint, "round", r"\operatorname{{round}} {0}", edges=((0.5,), (1.5,), (-0.5,)))
def rint(x: Any) -> Any:
    """The nearest integer, the even one at a tie."""


@_step(np.isnan, "isnan", r"\operatorname{{isnan}} {0}", edges=((_NAN,), (1.0,)))
def isnan(x: Any) -> Any:
    """Whether the number is NaN."""


@_step(np.isinf, "isinf", r"\operatorname{{isinf}} {0}", edges=((_INF,), (_NAN,)))
def isinf(x: Any) -> Any:
    """Whether the number is infinite."""


@_step(np.isfinite, "isfinite", r"\operatorname{{isfinite}} {0}", edges=((_INF,), (_NAN,)))
def isfinite(x: Any) -> Any:
    """Whether the number is finite."""


@_step(np.signbit, "signbit", r"\operatorname{{signbit}} {0}", edges=((-0.0,), (0.0,)))
def signbit(x: Any) -> Any:
    """Whether the sign bit is set."""


@_step(np.spacing, "spacing", r"\operatorname{{ulp}} {0}", edges=((1.0,), (0.0,)))
def spacing(x: Any) -> Any:
    """Distance to the next number away from zero."""


@_step(np.bitwise_and, "&", r"{0} \mathbin{{\&}} {1}", samples=_integers)
def bitwise_and(x1: Any, x2: Any) -> Any:
    """Bits set in both."""


@_step(np.bitwise_or, "|", r"{0} \mid {1}", samples=_integers)
def bitwise_or(x1: Any, x2: Any) -> Any:
    """Bits set in either."""


@_step(np.bitwise_xor, "^", r"{0} \oplus {1}", samples=_integers)
def bitwise_xor(x1: Any, x2: Any) -> Any:
    """Bits set in exactly one."""


@_step(np.left_shift, "<<", r"{0} \ll {1}", samples=_integers)
def left_shift(x1: Any, x2: Any) -> Any:
    """x1 shifted left by x2 bits."""


@_step(np.right_shift, ">>", r"{0} \gg {1}", samples=_integers)
def right_shift(x1: Any, x2: Any) -> Any:
    """x1 shifted right by x2 bits."""


@_step(np.gcd, "gcd", r"\gcd({0}, {1})", samples=_integers)
def gcd(x1: Any, x2: Any) -> Any:
    """Greatest common divisor."""


@_step(np.lcm, "lcm", r"\operatorname{{lcm}}({0}, {1})", samples=_integers)
def lcm(x1: Any, x2: Any) -> Any:
    """Least common multiple."""


@_step(np.invert, "~", r"\lnot {0}", samples=_integer)
def invert(x: Any) -> Any:
    """Every bit flipped."""


def _frexp_exponent(x: Any) -> Any:
    return np.frexp(x)[1]


@elementwise(
    value=_frexp_exponent,
    like=np.floor,
    partials=[None],
    symbol="exponent",
    latex=r"\operatorname{{exponent}} {0}",
    result=lambda x: np.dtype(np.intc),
)
def frexp_exponent(x: Any) -> Any:
    """The integer e with 0.5 <= abs(x) / 2**e < 1."""


def _where_promote(kinds: Any) -> Any:
    return (_BOOL, *TABLE["maximum"].promote(kinds[1:], {}))


def _where_samples(rng: Any, dtype: Any) -> Any:
    def draw(*shape: int) -> Any:
        return np.asarray(rng.uniform(-2.0, 2.0, shape).astype(dtype))

    return [
        ((rng.uniform(size=(3, 4)) > 0.5, draw(3, 4), draw(3, 4)), {}),
        ((np.array([True, False, True, True]), draw(3, 1), draw()), {}),
        ((np.asarray(True), draw(2, 3), draw(3)), {}),
    ]


@elementwise(
    value=np.where,
    like=np.maximum,
    partials=[None, lambda y, c, x1, x2: Masked(ONE, c), lambda y, c, x1, x2: Masked(ONE, ~c)],
    linear_in=((1, 2),),
    promote=_where_promote,
    result=lambda c, x1, x2: x1.dtype,
    symbol="where",
    latex=r"{0} \mathbin{{?}} {1} : {2}",
    samples=_where_samples,
)
def where(condition: Any, x1: Any, x2: Any) -> Any:
    """x1 where the condition is true, else x2. The side not chosen gets no derivative at all."""
