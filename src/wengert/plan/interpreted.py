"""Operators that no native code computes: NumPy's functions as steps of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.graph import Type

__all__ = ["numpy_function", "reshaped"]


def reshaped(shape: tuple[int, ...]) -> Any:
    """A function that gives an array another shape."""
    return lambda x: np.reshape(x, shape)


def numpy_function(op: Any, params: Any, types: Sequence[Any]) -> Any:
    """A function of arrays that computes an operator by NumPy."""
    # A slot may have been aliased by a reshape: give the operator the shapes of its operands.
    named = dict(params)
    shapes = [t.shape if isinstance(t, Type) else None for t in types]

    def function(*arrays: Any) -> Any:
        shaped = [a if s is None else a.reshape(s) for a, s in zip(arrays, shapes, strict=True)]
        return op.evaluate(*shaped, **named)

    return function
