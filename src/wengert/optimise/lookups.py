"""Rules for one element per row, as in `logits[arange(n), labels]`: comparisons of positions.

A loop nest reads and writes at its own place only. An element at a computed place is a node of its
own, and cuts a nest in two: the whole array is stored before it. Comparing positions keeps it in
the nest, at the price of a comparison per element, which costs less than storing the array.

They apply where each row is known to be named once: the indices of all axes but the last are the
positions themselves, as constants.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.graph import CONSTANT, INPUT
from wengert.ops import TABLE
from wengert.ops.bounds import positions
from wengert.ops.indexing import gather, scatter_add, scatter_sum
from wengert.ops.structural import reduce_sum, reshape
from wengert.optimise.record import Rule, rule
from wengert.optimise.terms import Family

__all__ = ["LOOKUPS"]


def _one_per_row(match: Any, shape: Any, indices: Any, axes: Any) -> Any:
    """The index along the last axis, with a last axis of length 1, if each row is named once."""
    rows, last = shape[:-1], len(shape) - 1
    if not rows or sorted(axes) != list(range(last + 1)) or shape[-1] > np.iinfo(np.int32).max:
        return None
    lead = np.broadcast_shapes(*[i.shape for i in indices])
    if lead not in (rows, (*rows, 1)):
        return None
    for index, a in zip(indices, axes, strict=True):
        if a != last and not _is_position(match, index, lead, a):
            return None
    own = positions(indices[axes.index(last)], length=shape[-1])
    missing = len(lead) - own.ndim
    grid = (*(1,) * missing, *own.shape)[: len(rows)]
    return reshape(own, shape=(*grid, 1))


def _is_position(match: Any, index: Any, lead: Any, axis: int) -> bool:
    n = lead[axis]
    if match.tape.entries[index._index][0] is not CONSTANT:
        return False
    value = np.asarray(match.tape.constants[index._index])
    places = np.arange(n).reshape(n, *(1,) * (len(lead) - axis - 1))
    return bool(np.all(np.broadcast_to(value, lead) == places))


def _here(own: Any, length: int) -> Any:
    """Whether an element stands at the position of its row."""
    return TABLE["equal"](np.arange(length, dtype=np.int32), own)


def _pick(match: Any) -> Any:
    x, *indices = match.args()
    source = match.tape.entries[x._index][0]
    if source is INPUT or source is CONSTANT or source.family != "elementwise":
        return None  # it is in memory anyway, where reading a few elements costs little
    own = _one_per_row(match, x.shape, indices, dict(match.params)["axes"])
    if own is None:
        return None
    zero = x.dtype.type(0)
    chosen = TABLE["where"](_here(own, x.shape[-1]), x, zero)
    return reshape(reduce_sum(chosen, axes=(x.ndim - 1,)), shape=match.type.shape)


def _put(match: Any) -> Any:
    operands, params = match.args(), dict(match.params)
    base = operands.pop(0) if match.op is scatter_add else None
    parts, shape = params["parts"], match.type.shape
    if len(parts) != 1 or parts[0][0] != "gather":
        return None
    value, *indices = operands
    own = _one_per_row(match, shape, indices, parts[0][1])
    if own is None:
        return None
    spread = reshape(value, shape=(*shape[:-1], 1))
    zero = value.dtype.type(0)
    made = TABLE["where"](_here(own, shape[-1]), spread, zero)
    return made if base is None else base + made


_LABELS = np.array([3, 0, -1])

LOOKUPS: tuple[Rule, ...] = (
    rule(
        "pick-by-position",
        Family(gather)(),
        _pick,
        exact_in="reals",
        edges="zeros",
        why="one element of each row: compared with its position, it stays in the loop nest",
        examples=[
            (lambda x: gather(x * x, np.arange(3), _LABELS, axes=(0, 1)), [(3, 4)]),
            (
                lambda x: gather(
                    x * x,
                    np.array([[[1]], [[0]]]),
                    np.arange(2).reshape(2, 1, 1),
                    np.arange(3).reshape(3, 1),
                    axes=(2, 0, 1),
                ),
                [(2, 3, 5)],
            ),
        ],
    ),
    rule(
        "put-by-position",
        Family(scatter_sum)(),
        _put,
        exact_in="reals",
        edges="zeros",
        why="one element of each row: where its position is, nothing is added twice",
        examples=[
            (
                lambda x: scatter_sum(
                    x, np.arange(3), _LABELS, shape=(3, 4), parts=(("gather", (0, 1)),)
                ),
                [(3,)],
            ),
        ],
    ),
    rule(
        "add-by-position",
        Family(scatter_add)(),
        _put,
        exact_in="reals",
        edges="zeros",
        why="one element of each row: where its position is, nothing is added twice",
        examples=[
            (
                lambda x, y: scatter_add(
                    x,
                    y,
                    np.arange(2).reshape(2, 1),
                    np.array([[4], [1]]),
                    parts=(("gather", (0, 1)),),
                ),
                [(2, 5), (2, 1)],
            ),
        ],
    ),
)
