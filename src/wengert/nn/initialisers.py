"""Random starting values for weights.

Every initialiser takes `(rng, n_in, n_out, dtype)` and returns a (n_in, n_out) array whose variance
keeps the size of activations (and, for Glorot, of cotangents) the same from layer to layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

Initialiser: TypeAlias = "Callable[[np.random.Generator, int, int, DTypeLike], NDArray[Any]]"


def glorot_uniform(
    rng: np.random.Generator, n_in: int, n_out: int, dtype: DTypeLike = np.float64
) -> NDArray[Any]:
    """Uniform weights for layers with a symmetric activation such as `tanh`.

    Formula: uniform on `[-a, a)` with `a = sqrt(6 / (n_in + n_out))`: variance
    `2 / (n_in + n_out)`.

    Parameters
    ----------
    rng : a NumPy random generator.
    n_in, n_out : lengths of the layer's input and output, in elements.
    dtype : a floating-point dtype.

    Returns
    -------
    (n_in, n_out), of `dtype`.

    Example
    -------
    >>> w = glorot_uniform(np.random.default_rng(0), 3, 3)
    >>> w.shape, bool(abs(w).max() <= 1.0)
    ((3, 3), True)

    Source
    ------
    Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010, equation 16.
    """
    bound = np.sqrt(6.0 / (n_in + n_out))
    return rng.uniform(-bound, bound, (n_in, n_out)).astype(dtype)


def he_normal(
    rng: np.random.Generator, n_in: int, n_out: int, dtype: DTypeLike = np.float64
) -> NDArray[Any]:
    """Normal weights for layers with a rectifier, which halves the variance.

    Formula: normal with mean 0 and variance `2 / n_in`.

    Parameters
    ----------
    rng : a NumPy random generator.
    n_in, n_out : lengths of the layer's input and output, in elements.
    dtype : a floating-point dtype.

    Returns
    -------
    (n_in, n_out), of `dtype`.

    Example
    -------
    >>> he_normal(np.random.default_rng(0), 200, 300).std().round(2)
    np.float64(0.1)

    Source
    ------
    He, Zhang, Ren, Sun, "Delving deep into rectifiers", 2015, equation 10.
    """
    return rng.normal(0.0, np.sqrt(2.0 / n_in), (n_in, n_out)).astype(dtype)


def lecun_normal(
    rng: np.random.Generator, n_in: int, n_out: int, dtype: DTypeLike = np.float64
) -> NDArray[Any]:
    """Normal weights that keep the variance of a linear layer's input.

    Formula: normal with mean 0 and variance `1 / n_in`.

    Parameters
    ----------
    rng : a NumPy random generator.
    n_in, n_out : lengths of the layer's input and output, in elements.
    dtype : a floating-point dtype.

    Returns
    -------
    (n_in, n_out), of `dtype`.

    Example
    -------
    >>> lecun_normal(np.random.default_rng(0), 100, 300).std().round(2)
    np.float64(0.1)

    Source
    ------
    LeCun, Bottou, Orr, Müller, "Efficient BackProp", 1998, section 4.6.
    """
    return rng.normal(0.0, np.sqrt(1.0 / n_in), (n_in, n_out)).astype(dtype)
