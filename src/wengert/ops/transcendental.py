"""Roots, exponentials, logarithms, trigonometric and hyperbolic functions.

Derivatives: NIST Digital Library of Mathematical Functions, chapter 4. They are written so that
they neither overflow nor cancel where the function itself does not: (1-y)(1+y), not 1-y*y.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wengert.ops.arithmetic import hypot, reciprocal
from wengert.ops.elementwise import Masked, elementwise
from wengert.ops.record import TABLE

_INF = float("inf")
_NAN = float("nan")


@elementwise(
    value=np.sqrt,
    partials=[lambda y, x: 0.5 / y],
    symbol="sqrt",
    latex=r"\sqrt{{{0}}}",
    domain=[(0.5, 2.0)],
    edges=[(0.0,), (-1.0,), (_INF,)],
)
def sqrt(x: Any) -> Any:
    """Square root; its derivative at 0 is infinite."""


@elementwise(
    value=np.cbrt,
    partials=[lambda y, x: 1.0 / (3.0 * (y * y))],
    symbol="cbrt",
    latex=r"\sqrt[3]{{{0}}}",
    domain=[(0.5, 2.0)],
    edges=[(0.0,), (-8.0,)],
)
def cbrt(x: Any) -> Any:
    """Cube root."""


@elementwise(
    value=np.exp,
    partials=[lambda y, x: y],
    symbol="exp",
    latex="e^{{{0}}}",
    edges=[(0.0,), (1000.0,), (-1000.0,), (_NAN,)],
)
def exp(x: Any) -> Any:
    """e to the power x."""


@elementwise(
    value=np.exp2,
    partials=[lambda y, x: y * math.log(2.0)],
    symbol="exp2",
    latex="2^{{{0}}}",
    edges=[(0.0,), (2000.0,)],
)
def exp2(x: Any) -> Any:
    """2 to the power x."""


@elementwise(
    value=np.expm1,
    partials=[lambda y, x: y + 1.0],
    symbol="expm1",
    latex="e^{{{0}}} - 1",
    edges=[(1e-20,), (-1000.0,)],
)
def expm1(x: Any) -> Any:
    """exp(x) - 1, exact for small x."""


@elementwise(
    value=np.log,
    partials=[lambda y, x: reciprocal(x)],
    symbol="log",
    latex=r"\ln {0}",
    domain=[(0.5, 2.0)],
    edges=[(0.0,), (-1.0,), (_INF,)],
)
def log(x: Any) -> Any:
    """Natural logarithm."""


@elementwise(
    value=np.log2,
    partials=[lambda y, x: 1.0 / (x * math.log(2.0))],
    symbol="log2",
    latex=r"\log_2 {0}",
    domain=[(0.5, 2.0)],
    edges=[(0.0,), (8.0,)],
)
def log2(x: Any) -> Any:
    """Logarithm to base 2."""


@elementwise(
    value=np.log10,
    partials=[lambda y, x: 1.0 / (x * math.log(10.0))],
    symbol="log10",
    latex=r"\log_{{10}} {0}",
    domain=[(0.5, 2.0)],
    edges=[(0.0,), (1000.0,)],
)
def log10(x: Any) -> Any:
    """Logarithm to base 10."""


@elementwise(
    value=np.log1p,
    partials=[lambda y, x: reciprocal(x + 1.0)],
    symbol="log1p",
    latex=r"\ln(1 + {0})",
    domain=[(-0.5, 2.0)],
    edges=[(-1.0,), (1e-20,)],
)
def log1p(x: Any) -> Any:
    """log(1 + x), exact for small x."""


@elementwise(
    value=np.sin,
    partials=[lambda y, x: cos(x)],
    symbol="sin",
    latex=r"\sin {0}",
    edges=[(0.0,), (_INF,), (math.pi,)],
)
def sin(x: Any) -> Any:
    """Sine of an angle in radians."""


@elementwise(
    value=np.cos,
    partials=[lambda y, x: -sin(x)],
    symbol="cos",
    latex=r"\cos {0}",
    edges=[(0.0,), (_INF,)],
)
def cos(x: Any) -> Any:
    """Cosine of an angle in radians."""


@elementwise(
    value=np.tan,
    partials=[lambda y, x: y * y + 1.0],
    symbol="tan",
    latex=r"\tan {0}",
    domain=[(-1.0, 1.0)],
    edges=[(0.0,), (_INF,)],
)
def tan(x: Any) -> Any:
    """Tangent of an angle in radians."""


@elementwise(
    value=np.arcsin,
    partials=[lambda y, x: 1.0 / sqrt((1.0 - x) * (1.0 + x))],
    symbol="arcsin",
    latex=r"\arcsin {0}",
    domain=[(-0.8, 0.8)],
    edges=[(1.0,), (2.0,)],
)
def arcsin(x: Any) -> Any:
    """Inverse sine, in radians."""


@elementwise(
    value=np.arccos,
    partials=[lambda y, x: -1.0 / sqrt((1.0 - x) * (1.0 + x))],
    symbol="arccos",
    latex=r"\arccos {0}",
    domain=[(-0.8, 0.8)],
    edges=[(1.0,), (2.0,)],
)
def arccos(x: Any) -> Any:
    """Inverse cosine, in radians."""


@elementwise(
    value=np.arctan,
    partials=[lambda y, x: 1.0 / (x * x + 1.0)],
    symbol="arctan",
    latex=r"\arctan {0}",
    edges=[(_INF,), (-_INF,)],
)
def arctan(x: Any) -> Any:
    """Inverse tangent, in radians."""


def _square_over(x: Any, h: Any) -> Any:
    # x / h**2 without the overflow of h**2.
    return Masked((x / h) / h, h != 0.0)


@elementwise(
    value=np.arctan2,
    partials=[
        lambda y, x1, x2: _square_over(x2, hypot(x1, x2)),
        lambda y, x1, x2: _square_over(-x1, hypot(x1, x2)),
    ],
    symbol="arctan2",
    latex=r"\operatorname{{atan2}}({0}, {1})",
    domain=[(0.5, 2.0), (-2.0, 2.0)],
    edges=[(0.0, 0.0), (-0.0, -1.0), (0.0, -1.0), (_INF, _INF)],
)
def arctan2(x1: Any, x2: Any) -> Any:
    """Angle of the point (x2, x1), in radians; derivative 0 at the origin."""


@elementwise(
    value=np.sinh,
    partials=[lambda y, x: cosh(x)],
    symbol="sinh",
    latex=r"\sinh {0}",
    edges=[(1000.0,), (-0.0,)],
)
def sinh(x: Any) -> Any:
    """Hyperbolic sine."""


@elementwise(
    value=np.cosh,
    partials=[lambda y, x: sinh(x)],
    symbol="cosh",
    latex=r"\cosh {0}",
    edges=[(1000.0,)],
)
def cosh(x: Any) -> Any:
    """Hyperbolic cosine."""


@elementwise(
    value=np.tanh,
    partials=[lambda y, x: (1.0 - y) * (1.0 + y)],
    symbol="tanh",
    latex=r"\tanh {0}",
    edges=[(0.0,), (400.0,), (-400.0,)],
)
def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""


@elementwise(
    value=np.arcsinh,
    partials=[lambda y, x: reciprocal(hypot(x, 1.0))],
    symbol="arcsinh",
    latex=r"\operatorname{{arsinh}} {0}",
    edges=[(1e300,)],
)
def arcsinh(x: Any) -> Any:
    """Inverse hyperbolic sine."""


@elementwise(
    value=np.arccosh,
    partials=[lambda y, x: 1.0 / (sqrt(x - 1.0) * sqrt(x + 1.0))],
    symbol="arccosh",
    latex=r"\operatorname{{arcosh}} {0}",
    domain=[(1.5, 3.0)],
    edges=[(1.0,), (0.0,)],
)
def arccosh(x: Any) -> Any:
    """Inverse hyperbolic cosine."""


@elementwise(
    value=np.arctanh,
    partials=[lambda y, x: 1.0 / ((1.0 - x) * (1.0 + x))],
    symbol="arctanh",
    latex=r"\operatorname{{artanh}} {0}",
    domain=[(-0.8, 0.8)],
    edges=[(1.0,), (2.0,)],
)
def arctanh(x: Any) -> Any:
    """Inverse hyperbolic tangent."""


@elementwise(
    value=np.radians,
    partials=[lambda y, x: x.dtype.type(math.pi / 180.0)],
    symbol="radians",
    latex=r"{0} \cdot \frac{{\pi}}{{180}}",
    linear_in=((0,),),
)
def radians(x: Any) -> Any:
    """Degrees to radians."""


@elementwise(
    value=np.degrees,
    partials=[lambda y, x: x.dtype.type(180.0 / math.pi)],
    symbol="degrees",
    latex=r"{0} \cdot \frac{{180}}{{\pi}}",
    linear_in=((0,),),
)
def degrees(x: Any) -> Any:
    """Radians to degrees."""


def _weight(difference: Any, y: Any) -> Masked:
    # exp(x - y), without the rounding of y; where both operands are -inf it would be NaN.
    return Masked(TABLE["sigmoid"](difference), y != -_INF)


@elementwise(
    value=np.logaddexp,
    partials=[lambda y, x1, x2: _weight(x1 - x2, y), lambda y, x1, x2: _weight(x2 - x1, y)],
    symbol="logaddexp",
    latex=r"\ln(e^{{{0}}} + e^{{{1}}})",
    edges=[(1000.0, 1000.0), (-_INF, -_INF), (-1000.0, 0.0)],
)
def logaddexp(x1: Any, x2: Any) -> Any:
    """log(exp(x1) + exp(x2)) without overflow."""


@elementwise(
    value=np.logaddexp2,
    partials=[
        lambda y, x1, x2: _weight((x1 - x2) * math.log(2.0), y),
        lambda y, x1, x2: _weight((x2 - x1) * math.log(2.0), y),
    ],
    symbol="logaddexp2",
    latex=r"\log_2(2^{{{0}}} + 2^{{{1}}})",
    edges=[(2000.0, 2000.0), (-_INF, -_INF)],
)
def logaddexp2(x1: Any, x2: Any) -> Any:
    """log2(2**x1 + 2**x2) without overflow."""
