"""Checked indices: index arrays that are used without reading or writing at their places.

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

__all__ = ["check_bounds", "positions"]


def check_bounds(index: Any, length: int) -> None:
    """Raise if an index is not in [-length, length)."""
    if not np.size(index):
        return
    for found in (np.min(index), np.max(index)):
        if not -length <= int(found) < length:
            raise BoundsError(f"index {int(found)} is out of bounds for an axis of length {length}")


def _positions(index: Any, length: int) -> Any:
    check_bounds(index, length)
    wide = np.asarray(index).astype(np.int32)
    return as_scalar(np.where(wide < 0, wide + np.int32(length), wide))


def _type(op: Any, index: Type, length: int) -> Type:
    if index.dtype.kind not in "iu":
        raise type_error(op, "integer indices", [index])
    if length > np.iinfo(np.int32).max:
        raise type_error(op, "an axis that four-byte integers can count", [index])
    return Type(index.shape, np.int32)


@discrete(
    value=_positions,
    type=_type,
    batch=lambda args, batched, size, length: positions(args[0], length=length),
    symbol="positions",
    latex=r"{0}",
    can_fail=True,
    samples=lambda rng, dtype: [
        ((np.array([0, 2, -3]),), {"length": 3}),
        ((np.array([[0], [200]], np.uint8),), {"length": 201}),
    ],
)
def positions(index: Any, *, length: int) -> Any:
    """The places that indices in [-length, length) name along an axis, counted from 0.

    They are four-byte integers: as many are compared at a time as there are float32.
    """
