"""Orders and places in an order: integers, which are locally constant."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.graph.types import Type
from wengert.ops.linear import discrete
from wengert.ops.record import TABLE, type_error
from wengert.ops.structural import draw, same_dtype


def _along(op: Any, x: Type, axis: int) -> Type:
    if not 0 <= axis < x.ndim:
        raise type_error(op, f"an axis below {x.ndim}, not {axis}", [x])
    return x


def _argsort_type(op: Any, x: Type, axis: int) -> Type:
    return _along(op, x, axis).with_dtype(np.intp)


@discrete(
    value=lambda x, axis: np.argsort(x, axis=axis, kind="stable"),
    type=_argsort_type,
    batch=lambda args, batched, size, axis: argsort(args[0], axis=axis + 1),
    symbol="argsort",
    latex=r"\operatorname{{argsort}} {0}",
    samples=lambda rng, dtype: [((draw(rng, dtype, 3, 4),), {"axis": 1})],
)
def argsort(x: Any, *, axis: int) -> Any:
    """The order that sorts along an axis, stable."""


def _searchsorted_type(op: Any, a: Type, v: Type, right: bool) -> Type:
    if a.ndim != 1:
        raise type_error(op, "a sequence as operand 0", [a, v])
    return v.with_dtype(np.intp)


def _searchsorted_batch(args: Any, batched: Any, size: int, right: bool) -> Any:
    a, v = args
    if not batched[0]:
        return searchsorted(a, v, right=right)
    if not batched[1]:
        v = TABLE["broadcast_to"](v, shape=(size, *v._type.shape))
    shape = v._type.shape
    n = a._type.shape[1]
    sequences = TABLE["reshape"](a, shape=(size, *[1] * (len(shape) - 1), n))
    before = TABLE["less_equal" if right else "less"](
        sequences, TABLE["reshape"](v, shape=(*shape, 1))
    )
    return TABLE["reduce_sum"](before, axes=(len(shape),))


def _sorted_samples(rng: Any, dtype: Any) -> Any:
    a = np.sort(draw(rng, dtype, 5))
    v = draw(rng, dtype, 2, 3)
    v[0, 0] = a[2]
    return [((a, v), {"right": right}) for right in (False, True)]


@discrete(
    value=lambda a, v, right: np.searchsorted(a, v, "right" if right else "left"),
    type=_searchsorted_type,
    batch=_searchsorted_batch,
    symbol="searchsorted",
    promote=same_dtype,
    latex=r"\operatorname{{searchsorted}}({0}, {1})",
    samples=_sorted_samples,
)
def searchsorted(a: Any, v: Any, *, right: bool) -> Any:
    """Before which elements of a sorted sequence others belong, after equal ones if `right`."""
