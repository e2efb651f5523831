"""Functions that NumPy lacks, by SciPy: the error functions and the usual activations.

Sources: NIST Digital Library of Mathematical Functions, chapters 5 and 7.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wengert.ops.elementwise import ONE, Masked, elementwise
from wengert.ops.transcendental import exp

_INF = float("inf")


def _scipy(name: str) -> Any:
    # SciPy is imported when first needed: it costs more than the rest of wengert together.
    def value(x: Any) -> Any:
        from scipy import special

        return getattr(special, name)(x).astype(x.dtype)  # float16 comes back wider

    return value


@elementwise(
    value=_scipy("erf"),
    like=np.exp,
    partials=[lambda y, x: (2.0 / math.sqrt(math.pi)) * exp(-(x * x))],
    symbol="erf",
    latex=r"\operatorname{{erf}} {0}",
    edges=[(0.0,), (30.0,), (-30.0,)],
)
def erf(x: Any) -> Any:
    """Error function."""


@elementwise(
    value=_scipy("erfc"),
    like=np.exp,
    partials=[lambda y, x: (-2.0 / math.sqrt(math.pi)) * exp(-(x * x))],
    symbol="erfc",
    latex=r"\operatorname{{erfc}} {0}",
    edges=[(0.0,), (30.0,), (-30.0,)],
)
def erfc(x: Any) -> Any:
    """Complementary error function, 1 - erf(x)."""


@elementwise(
    value=_scipy("erfinv"),
    like=np.exp,
    partials=[lambda y, x: (0.5 * math.sqrt(math.pi)) * exp(y * y)],
    symbol="erfinv",
    latex=r"\operatorname{{erf}}^{{-1}} {0}",
    domain=[(-0.7, 0.7)],
    edges=[(1.0,), (-1.0,), (2.0,)],
)
def erfinv(x: Any) -> Any:
    """Inverse of the error function."""


@elementwise(
    value=_scipy("gammaln"),
    like=np.exp,
    partials=[lambda y, x: digamma(x)],
    symbol="gammaln",
    latex=r"\ln \lvert \Gamma({0}) \rvert",
    domain=[(0.5, 4.0)],
    edges=[(0.0,), (1.0,)],
)
def gammaln(x: Any) -> Any:
    """Logarithm of the absolute value of the gamma function."""


@elementwise(
    value=_scipy("digamma"),
    like=np.exp,
    partials=[lambda y, x: polygamma(x, n=1)],
    symbol="digamma",
    latex=r"\psi({0})",
    domain=[(0.5, 4.0)],
)
def digamma(x: Any) -> Any:
    """Logarithmic derivative of the gamma function."""


def _polygamma(x: Any, n: int) -> Any:
    from scipy import special

    dtype = x.dtype if x.dtype.kind == "f" else np.float64
    return special.polygamma(n, x)[()].astype(dtype)


@elementwise(
    value=_polygamma,
    like=np.exp,
    partials=[lambda y, x, n: polygamma(x, n=n + 1)],
    symbol="polygamma",
    latex=r"\psi^{{(n)}}({0})",
    samples=lambda rng, dtype: [
        ((rng.uniform(0.5, 4.0, (3,)).astype(dtype),), {"n": n}) for n in (1, 2)
    ],
)
def polygamma(x: Any, *, n: int) -> Any:
    """The n-th derivative of `digamma`; n is a static integer."""


@elementwise(
    value=_scipy("expit"),
    like=np.exp,
    # y * (1 - y) would lose every digit where y rounds to 1.
    partials=[lambda y, x: y * sigmoid(-x)],
    symbol="sigmoid",
    latex=r"\sigma({0})",
    edges=[(0.0,), (1000.0,), (-1000.0,)],
)
def sigmoid(x: Any) -> Any:
    """Logistic function 1 / (1 + exp(-x)), without overflow."""


def _softplus(x: Any) -> Any:
    return np.logaddexp(x, x.dtype.type(0))


@elementwise(
    value=_softplus,
    like=np.exp,
    partials=[lambda y, x: sigmoid(x)],
    symbol="softplus",
    latex=r"\ln(1 + e^{{{0}}})",
    edges=[(1000.0,), (-1000.0,), (0.0,)],
)
def softplus(x: Any) -> Any:
    """log(1 + exp(x)), without overflow."""


def _relu(x: Any) -> Any:
    return np.maximum(x, x.dtype.type(0))


@elementwise(
    value=_relu,
    like=np.positive,
    partials=[lambda y, x: Masked(ONE, x > 0.0)],
    symbol="relu",
    latex=r"\max({0}, 0)",
    domain=[(0.2, 2.0)],
    edges=[(0.0,), (-1.0,)],
)
def relu(x: Any) -> Any:
    """The positive part; its derivative at 0 is 0 (`maximum(x, 0)` gives one half there)."""
