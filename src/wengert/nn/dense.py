"""The dense layer: every output is a weighted sum of every input, plus a bias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wengert.nn.initialisers import Initialiser, glorot_uniform

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray


def dense_init(
    rng: np.random.Generator,
    n_in: int,
    n_out: int,
    *,
    initialiser: Initialiser = glorot_uniform,
    dtype: DTypeLike = np.float64,
) -> dict[str, NDArray[Any]]:
    """Parameters of a dense layer: random weights, zero biases.

    Parameters
    ----------
    rng : a NumPy random generator.
    n_in, n_out : lengths of the layer's input and output, in elements.
    initialiser : makes the weights.
    dtype : a floating-point dtype.

    Returns
    -------
    `weight`: (n_in, n_out) and `bias`: (n_out,), both of `dtype`.

    Example
    -------
    >>> params = dense_init(np.random.default_rng(0), 4, 2)
    >>> params["weight"].shape, params["bias"]
    ((4, 2), array([0., 0.]))
    """
    return {
        "weight": initialiser(rng, n_in, n_out, dtype),
        "bias": np.zeros(n_out, dtype),
    }


def dense(params: dict[str, Any], x: Any) -> Any:
    """Apply a dense layer to one example or to a batch of them.

    Formula: `x W + b`.

    Parameters
    ----------
    params : `weight` W: (n_in, n_out), `bias` b: (n_out,).
    x : (..., n_in), floating-point.

    Returns
    -------
    (..., n_out).

    Derivative
    ----------
    For a cotangent `y_bar`: `W_bar = x^T y_bar` and `b_bar = y_bar`, summed over the batch;
    `x_bar = y_bar W^T`.

    Cost
    ----
    2 n_in n_out operations per example.

    Example
    -------
    >>> dense({"weight": np.eye(2), "bias": np.array([0.0, 1.0])}, np.array([3.0, 4.0]))
    array([3., 5.])
    """
    return x @ params["weight"] + params["bias"]
