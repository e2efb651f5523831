"""Diagonals of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.graph.types import Type
from wengert.ops.indexing import scatter_sum
from wengert.ops.linear import linear
from wengert.ops.record import TABLE, type_error
from wengert.ops.structural import draw


def _diagonal_places(rows: int, columns: int, offset: int) -> tuple[Any, Any]:
    start = max(-offset, 0)
    count = max(min(rows - start, columns - max(offset, 0)), 0)
    at = np.arange(count)
    return at + start, at + max(offset, 0)


def _diagonal_type(op: Any, x: Type, offset: int, axis1: int, axis2: int) -> Type:
    if axis1 == axis2 or not (0 <= axis1 < x.ndim and 0 <= axis2 < x.ndim):
        raise type_error(op, f"two axes {axis1} and {axis2}", [x])
    count = len(_diagonal_places(x.shape[axis1], x.shape[axis2], offset)[0])
    rest = tuple(n for a, n in enumerate(x.shape) if a not in (axis1, axis2))
    return x.with_shape((*rest, count))


def _diagonal_transpose(k: int, ct: Any, x: Any, offset: int, axis1: int, axis2: int) -> Any:
    places = _diagonal_places(x.shape[axis1], x.shape[axis2], offset)
    last = ct._type.ndim - 1
    first = TABLE["transpose"](ct, axes=(last, *range(last))) if last else ct
    return scatter_sum(first, *places, shape=x.shape, parts=(("gather", (axis1, axis2)),))


@linear(
    linear_in=((0,),),
    symbol="diagonal",
    latex=r"\operatorname{{diagonal}} {0}",
    value=lambda x, offset, axis1, axis2: np.diagonal(x, offset, axis1, axis2),
    type=_diagonal_type,
    transpose=_diagonal_transpose,
    batch=lambda args, batched, size, offset, axis1, axis2: diagonal(
        args[0], offset=offset, axis1=axis1 + 1, axis2=axis2 + 1
    ),
    samples=lambda rng, dtype: [
        ((draw(rng, dtype, 3, 4),), {"offset": 1, "axis1": 0, "axis2": 1}),
        ((draw(rng, dtype, 3, 2, 3),), {"offset": -1, "axis1": 2, "axis2": 0}),
    ],
)
def diagonal(x: Any, *, offset: int, axis1: int, axis2: int) -> Any:
    """The diagonal of two axes, as the last axis; the others keep their order."""
