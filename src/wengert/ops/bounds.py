"""Checked indices: where an index array is used without reading or writing at its places.

Rewrites turn reading and writing at indices into comparisons of positions. A position that does not
exist must be an error then too, as it is in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.errors import BoundsError
from wengert.graph.types import Type
from wengert.ops.linear import as_scalar, discrete
from wengert.ops.record import type_error

__all__ = ["check_bounds", "in_bounds"]


def check_bounds(index: Any, length: int) -> None:
    """Raise if an index is not in [-length, length)."""
    if not np.size(index):
        return
    for found in (np.min(index), np.max(index)):
        if not -length <= int(found) < length:
            raise BoundsError(f"index {int(found)} is out of bounds for an axis of length {length}")


def _checked(index: Any, length: int) -> Any:
    check_bounds(index, length)
    return as_scalar(np.array(index, copy=True))


def _type(op: Any, index: Type, length: int) -> Type:
    if index.dtype.kind not in "iu":
        raise type_error(op, "integer indices", [index])
    return index


@discrete(
    value=_checked,
    type=_type,
    batch=lambda args, batched, size, length: in_bounds(args[0], length=length),
    symbol="in bounds",
    latex=r"{0}",
    samples=lambda rng, dtype: [((np.array([0, 2, -3]),), {"length": 3})],
)
def in_bounds(index: Any, *, length: int) -> Any:
    """The same indices, of which each must be in [-length, length)."""
