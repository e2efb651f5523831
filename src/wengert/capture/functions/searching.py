"""Where elements are, and their order."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.capture.functions.registry import axis_of, implements, operand, reshaped
from wengert.capture.functions.selecting import known, take_along_axis
from wengert.capture.functions.shaping import shape_argument
from wengert.errors import ArgumentError, DerivativeError, ShapeError
from wengert.ops import TABLE

__all__ = ["searchsorted", "sort"]


# ---------------------------------------------------------------- positions (values decide shapes)


@implements(np.nonzero)
def nonzero(a: Any) -> tuple[Any, ...]:
    """Indices of the elements that are not zero, as NumPy arrays."""
    return np.nonzero(known(operand(a)))


@implements(np.flatnonzero)
def flatnonzero(a: Any) -> Any:
    """Indices into the flattened array of the elements that are not zero."""
    return np.flatnonzero(known(operand(a)))


@implements(np.argwhere)
def argwhere(a: Any) -> Any:
    """Indices of the elements that are not zero, one row for each."""
    return np.argwhere(known(operand(a)))


@implements(np.unique)
def unique(ar: Any, *args: Any, **kwargs: Any) -> Any:
    """Of integers and bools only: of floats it would lose the gradient."""
    x = operand(ar)
    if x.dtype.kind == "f":
        raise DerivativeError(
            "unique: has no derivative that could be given in general",
            hint="np.unique(np.asarray(wg.stop_gradient(x)), return_index=True) tells which "
            "elements to take",
        )
    return np.unique(known(x), *args, **kwargs)


@implements(np.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """Positions at which elements would keep an array sorted; locally constant."""
    x, y = operand(a), operand(v)
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: side must be 'left' or 'right', not {side!r}")
    if sorter is not None:
        x = TABLE["gather"](x, operand(sorter), axes=(0,))
    return TABLE["searchsorted"](x, y, right=side == "right")


@implements(np.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """Number of the bin of each element; locally constant."""
    edges = operand(bins)
    if edges.ndim != 1 or not edges.size:
        raise ShapeError(f"digitize: bins must be a sequence, not of shape {edges.shape}")
    side = "left" if right else "right"
    flipped = TABLE["slice_index"](edges, key=((edges.size - 1, -1, -1),))
    rising, falling = searchsorted(edges, x, side), edges.size - searchsorted(flipped, x, side)
    first, last = (TABLE["slice_index"](edges, key=(k,)) for k in (0, edges.size - 1))
    return TABLE["where"](first <= last, rising, falling)


# ---------------------------------------------------------------- order


@implements(np.argsort)
def argsort(
    a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Any:
    """The order that sorts along an axis. It is always stable."""
    x, number = _ordered(a, axis, order, "argsort")
    return TABLE["argsort"](x, axis=number) if x.ndim else np.intp(0)


def _ordered(a: Any, axis: Any, order: Any, name: str) -> tuple[Any, int]:
    if order is not None:
        raise ArgumentError(f"{name}: order= is for arrays with fields")
    x = operand(a)
    if axis is None or not x.ndim:
        return reshaped(x, (x.size,)), 0
    return x, axis_of(axis, x.ndim, name)


@implements(np.sort)
def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """Sorted along an axis; derivatives follow their elements."""
    x, number = _ordered(a, axis, order, "sort")
    return take_along_axis(x, TABLE["argsort"](x, axis=number), number)


@implements(np.partition)
def partition(
    a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None
) -> Any:
    """Sorted as `sort` does, which is one of the orders that np.partition may give."""
    return sort(a, axis, None, order)


@implements(np.argpartition)
def argpartition(
    a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None
) -> Any:
    """The order that sorts, which is one of those that np.argpartition may give."""
    return argsort(a, axis, None, order)


# ---------------------------------------------------------------- membership and index arrays


@implements(np.isin)
def isin(
    element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False
) -> Any:
    """Whether elements are among others."""
    x, others = operand(element), operand(test_elements)
    found = TABLE["reduce_any"](
        reshaped(x, (*x.shape, 1)) == reshaped(others, (others.size,)), axes=(x.ndim,)
    )
    return ~found if invert else found


@implements(np.ix_)
def ix_(*args: Any) -> Any:
    """Index arrays that select all combinations of given positions."""
    return np.ix_(*[known(operand(a)) for a in args])


@implements(np.unravel_index)
def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Any, ...]:
    """The index of each axis from numbers of elements."""
    rest = operand(indices)
    lengths = shape_argument(shape, "unravel_index")
    _check_order(order, "unravel_index")
    found = []
    for n in lengths if order == "F" else reversed(lengths):
        found.append(rest % n)
        rest = rest // n
    return tuple(found if order == "F" else reversed(found))


def _check_order(order: str, name: str) -> None:
    if order not in ("C", "F"):
        raise ArgumentError(f"{name}: order must be 'C' or 'F', not {order!r}")


@implements(np.ravel_multi_index)
def ravel_multi_index(multi_index: Any, dims: Any, mode: str = "raise", order: str = "C") -> Any:
    """The numbers of elements from the index of each axis."""
    _check_order(order, "ravel_multi_index")
    lengths = shape_argument(dims, "ravel_multi_index")
    if mode not in ("raise", "wrap"):
        raise ArgumentError(f"ravel_multi_index: mode={mode!r} is not available")
    pairs = list(zip(multi_index, lengths, strict=True))
    total: Any = 0
    for index, n in reversed(pairs) if order == "F" else pairs:
        total = total * n + (operand(index) % n if mode == "wrap" else operand(index))
    return total


@implements(np.tril_indices_from)
def tril_indices_from(arr: Any, k: int = 0) -> Any:
    """Indices of the lower triangle."""
    return np.tril_indices(arr.shape[-2], k, arr.shape[-1])


@implements(np.triu_indices_from)
def triu_indices_from(arr: Any, k: int = 0) -> Any:
    """Indices of the upper triangle."""
    return np.triu_indices(arr.shape[-2], k, arr.shape[-1])


@implements(np.diag_indices_from)
def diag_indices_from(arr: Any) -> Any:
    """Indices of the main diagonal."""
    return np.diag_indices_from(np.broadcast_to(0, arr.shape))
