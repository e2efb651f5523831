"""Dropout: random elements are left out while a network is trained."""

from typing import Any

import numpy as np

from wengert import random
from wengert.errors import ArgumentError

__all__ = ["dropout"]


def dropout(x: Any, rate: Any, key: Any) -> Any:
    """Zeros in place of random elements; the others are scaled so that the mean stays.

    Formula: `x / (1 - rate)` with probability `1 - rate`, else 0, for each element by itself.

    Parameters
    ----------
    x : any shape, floating-point.
    rate : probability of leaving an element out, from 0 to below 1; 0 leaves `x` as it is.
    key : a key of `wengert.random`; the same key leaves out the same elements.

    Returns
    -------
    Shape and dtype of `x`.

    Derivative
    ----------
    1 / (1 - rate) where an element is kept, 0 where it is left out.

    Example
    -------
    >>> dropout(np.ones(8), 0.5, random.key(3))
    array([2., 0., 0., 2., 2., 2., 0., 2.])

    Source
    ------
    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout: a simple way to prevent
    neural networks from overfitting", 2014.
    """
    if isinstance(rate, (int, float)):
        if not 0 <= rate < 1:
            raise ArgumentError(f"dropout: rate={rate} is not from 0 to below 1")
        if rate == 0:
            return x
    kept = random.bernoulli(key, 1.0 - rate, np.shape(x))
    return np.where(kept, x / (1.0 - rate), 0.0)
