"""Activation functions: what a layer does to its state, element by element.

`relu`, `sigmoid` and `softplus` are operators of wengert's own and `tanh` is NumPy's; they are
named here so that a network needs one import. The others are formulas over operators.
"""

from typing import Any

import numpy as np

from wengert.numpy import erf, logsumexp, relu, sigmoid, softplus

__all__ = [
    "gelu",
    "identity",
    "leaky_relu",
    "log_softmax",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]

tanh = np.tanh


def identity(x: Any) -> Any:
    """The argument itself: the activation of a last layer whose states are the result."""
    return x


def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """Rectifier that lets a part of negative values through.

    Formula: `x` where `x >= 0`, `slope * x` elsewhere.

    Parameters
    ----------
    x : any shape, floating-point.
    slope : factor for negative values, a plain number.

    Returns
    -------
    Shape and dtype of `x`.

    Derivative
    ----------
    1 where `x >= 0` (so 1 at 0, the tie), `slope` elsewhere.

    Example
    -------
    >>> leaky_relu(np.array([-2.0, 3.0]), slope=0.5)
    array([-1.,  3.])

    Source
    ------
    Maas, Hannun, Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.
    """
    return np.where(x >= 0, x, slope * x)


def silu(x: Any) -> Any:
    """Sigmoid-weighted linear unit, also called swish.

    Formula: `x * sigmoid(x)`.

    Parameters
    ----------
    x : any shape, floating-point.

    Returns
    -------
    Shape and dtype of `x`.

    Derivative
    ----------
    `s * (1 + x * (1 - s))` with `s = sigmoid(x)`; 0.5 at 0.

    Example
    -------
    >>> silu(np.array([0.0, 20.0])).round(6)
    array([ 0., 20.])

    Source
    ------
    Elfwing, Uchibe, Doya, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning", 2018, equation 1.
    """
    return x * sigmoid(x)


def gelu(x: Any) -> Any:
    """Gaussian error linear unit, by the error function (not the tanh approximation).

    Formula: `x * P(X <= x)` for a standard normal `X`, which is `x/2 * (1 + erf(x / sqrt(2)))`.

    Parameters
    ----------
    x : any shape, floating-point.

    Returns
    -------
    Shape and dtype of `x`.

    Derivative
    ----------
    `P(X <= x) + x * exp(-x*x/2) / sqrt(2*pi)`; 0.5 at 0.

    Example
    -------
    >>> gelu(np.array([0.0, 1.0])).round(6)
    array([0.      , 0.841345])

    Source
    ------
    Hendrycks, Gimpel, "Gaussian error linear units", 2016, section 2.
    """
    return 0.5 * x * (1.0 + erf(x * (0.5**0.5)))


def log_softmax(x: Any, axis: int = -1) -> Any:
    """Logarithm of `softmax`, without overflow and without the logarithm of an underflow.

    Formula: `x_i - log(sum_j exp(x_j))`.

    Parameters
    ----------
    x : (..., n, ...), floating-point.
    axis : the axis of length n.

    Returns
    -------
    Shape and dtype of `x`; `exp` of it sums to 1 along `axis`.

    Derivative
    ----------
    `d y_i / d x_j = [i = j] - softmax(x)_j`.

    Cost
    ----
    O(n) per vector.

    Example
    -------
    >>> log_softmax(np.array([1000.0, 1000.0])).round(6)
    array([-0.693147, -0.693147])
    """
    return x - logsumexp(x, axis=axis, keepdims=True)


def softmax(x: Any, axis: int = -1) -> Any:
    """Positive numbers in proportion to `exp(x)` that sum to 1.

    Formula: `exp(x_i) / sum_j exp(x_j)`.

    Parameters
    ----------
    x : (..., n, ...), floating-point.
    axis : the axis of length n.

    Returns
    -------
    Shape and dtype of `x`.

    Derivative
    ----------
    `d y_i / d x_j = y_i * ([i = j] - y_j)`.

    Cost
    ----
    O(n) per vector.

    Example
    -------
    >>> softmax(np.array([0.0, np.log(3.0)])).round(6)
    array([0.25, 0.75])
    """
    return np.exp(log_softmax(x, axis=axis))
