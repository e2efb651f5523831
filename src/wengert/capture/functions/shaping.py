"""Other shapes of the same elements. As in NumPy these are views, unless the docstring says so."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.capture.functions.registry import (
    axes_of,
    axis_of,
    fresh,
    implements,
    operand,
    view_of,
)
from wengert.errors import ArgumentError, ShapeError
from wengert.ops import TABLE

__all__ = ["expand_dims", "moveaxis", "reshape", "shape_argument", "transpose"]


def shape_argument(shape: Any, name: str) -> tuple[int, ...]:
    """A shape given as an integer or as a sequence of integers."""
    items = shape if isinstance(shape, (tuple, list, np.ndarray)) else (shape,)
    try:
        return tuple(operator.index(n) for n in items)
    except TypeError:
        raise ArgumentError(f"{name}: a shape must be integers, not {shape!r}") from None


@implements(np.reshape)
def reshape(a: Any, /, shape: Any = None, order: str = "C", *, copy: bool | None = None) -> Any:
    """Another shape, in which one length may be -1."""
    x = operand(a)
    new = _resolved(x, shape_argument(shape, "reshape"))
    if order not in ("C", "F", "A"):
        raise ArgumentError(f"reshape: order must be 'C', 'F' or 'A', not {order!r}")
    if copy:
        x = fresh(x)
    if order == "F":
        return transpose(view_of(transpose(x), "reshape", shape=new[::-1]))
    return view_of(x, "reshape", shape=new)


def _resolved(x: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    unknown = [i for i, n in enumerate(shape) if n == -1]
    known = 1
    for n in shape:
        known *= 1 if n == -1 else n
    if len(unknown) > 1 or any(n < -1 for n in shape):
        raise ShapeError(f"reshape: at most one length may be -1, and none below it: {shape}")
    fits = known != 0 and x.size % known == 0 if unknown else known == x.size
    if not fits:
        raise ShapeError(f"reshape: {x.size} elements of shape {x.shape} do not fit {shape}")
    return tuple(x.size // known if n == -1 else n for n in shape)


@implements(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    """All elements in one axis."""
    return reshape(a, -1, "C" if order == "K" else order)


@implements(np.transpose, np.permute_dims)
def transpose(a: Any, axes: Any = None) -> Any:
    """The axes in another order, by default reversed."""
    x = operand(a)
    if axes is None:
        order = tuple(reversed(range(x.ndim)))
    else:
        order = tuple(axis_of(i, x.ndim, "transpose") for i in axes)
        if sorted(order) != list(range(x.ndim)):
            raise ArgumentError(f"transpose: axes={axes!r} for an array with {x.ndim} axes")
    return x if x.ndim < 2 else view_of(x, "transpose", axes=order)


@implements(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """The last two axes exchanged."""
    if operand(x).ndim < 2:
        raise ShapeError(f"matrix_transpose: needs two axes at least, not shape {x.shape}")
    return swapaxes(x, -1, -2)


@implements(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    x = operand(a)
    i, k = axis_of(axis1, x.ndim, "swapaxes"), axis_of(axis2, x.ndim, "swapaxes")
    order = list(range(x.ndim))
    order[i], order[k] = k, i
    return transpose(x, order)


@implements(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """Axes moved to other positions; the others keep their order."""
    x = operand(a)
    sources, targets = (
        [axis_of(i, x.ndim, "moveaxis") for i in (v if isinstance(v, (tuple, list)) else [v])]
        for v in (source, destination)
    )
    if (
        len(sources) != len(targets)
        or len(set(sources)) != len(sources)
        or len(set(targets)) != len(targets)
    ):
        raise ArgumentError(
            f"moveaxis: source={source!r} and destination={destination!r} must be "
            "as many different axes"
        )
    order = [i for i in range(x.ndim) if i not in sources]
    for target, i in sorted(zip(targets, sources, strict=True)):
        order.insert(target, i)
    return transpose(x, order)


@implements(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """An axis moved before another one."""
    x = operand(a)
    number = axis_of(axis, x.ndim, "rollaxis")
    if not -x.ndim <= start <= x.ndim:
        raise ShapeError(f"rollaxis: start={start} is out of bounds for {x.ndim} axes")
    start = start + x.ndim if start < 0 else start
    order = [i for i in range(x.ndim) if i != number]
    order.insert(start - 1 if start > number else start, number)
    return transpose(x, order)


@implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    """New axes of length 1 at positions of the result."""
    x = operand(a)
    wanted = axis if isinstance(axis, (tuple, list)) else (axis,)
    ndim = x.ndim + len(wanted)
    new = axes_of(tuple(wanted), ndim, "expand_dims")
    old = iter(x.shape)
    shape = tuple(1 if i in new else next(old) for i in range(ndim))
    return view_of(x, "reshape", shape=shape)


@implements(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    """Without axes of length 1."""
    x = operand(a)
    if axis is None:
        gone = tuple(i for i, n in enumerate(x.shape) if n == 1)
    else:
        gone = axes_of(axis, x.ndim, "squeeze")
        if any(x.shape[i] != 1 for i in gone):
            raise ShapeError(f"squeeze: an axis in {axis!r} of shape {x.shape} is longer than 1")
    shape = tuple(n for i, n in enumerate(x.shape) if i not in gone)
    return x if shape == x.shape else view_of(x, "reshape", shape=shape)


@implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any) -> Any:
    """Repeated along new axes and along axes of length 1; a read-only view."""
    return view_of(operand(array), "broadcast_to", shape=shape_argument(shape, "broadcast_to"))


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any) -> tuple[Any, ...]:
    """Arrays broadcast against each other; read-only views where the shape changes."""
    arrays = [operand(a) for a in args]
    try:
        shape = np.broadcast_shapes(*[a.shape for a in arrays])
    except ValueError:
        shown = ", ".join(str(a.shape) for a in arrays)
        raise ShapeError(f"broadcast_arrays: shapes {shown} do not broadcast together") from None
    return tuple(a if a.shape == shape else broadcast_to(a, shape) for a in arrays)


def _at_least(arrays: Sequence[Any], grow: Any) -> Any:
    found = tuple(grow(operand(a)) for a in arrays)
    return found[0] if len(found) == 1 else found


@implements(np.atleast_1d)
def atleast_1d(*arys: Any) -> Any:
    """With one axis at least."""
    return _at_least(arys, lambda x: x if x.ndim else view_of(x, "reshape", shape=(1,)))


@implements(np.atleast_2d)
def atleast_2d(*arys: Any) -> Any:
    """With two axes at least; new ones come first."""

    def grow(x: Any) -> Any:
        if x.ndim >= 2:
            return x
        return view_of(x, "reshape", shape=(1,) * (2 - x.ndim) + tuple(x.shape))

    return _at_least(arys, grow)


@implements(np.atleast_3d)
def atleast_3d(*arys: Any) -> Any:
    """With three axes at least, placed as NumPy does."""
    before_and_after = {0: (1, 2), 1: (1, 1), 2: (0, 1)}

    def grow(x: Any) -> Any:
        if x.ndim >= 3:
            return x
        before, after = before_and_after[x.ndim]
        return view_of(x, "reshape", shape=(1,) * before + tuple(x.shape) + (1,) * after)

    return _at_least(arys, grow)


# ---------------------------------------------------------------- order along axes


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    """Elements in reverse order along axes."""
    x = operand(m)
    axes = axes_of(axis, x.ndim, "flip")
    if not axes:
        return x
    key = tuple((n - 1, -1, -1) if i in axes and n else (0, n, 1) for i, n in enumerate(x.shape))
    return view_of(x, "slice_index", key=key)


@implements(np.flipud)
def flipud(m: Any) -> Any:
    """Reversed along the first axis."""
    return flip(m, 0)


@implements(np.fliplr)
def fliplr(m: Any) -> Any:
    """Reversed along the second axis."""
    return flip(m, 1)


@implements(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """Turned by k quarters in the plane of two axes."""
    x = operand(m)
    first, second = (axis_of(i, x.ndim, "rot90") for i in axes)
    if first == second:
        raise ArgumentError(f"rot90: axes={axes!r} must differ")
    k = operator.index(k) % 4
    if k == 0:
        return x
    if k == 2:
        return flip(x, (first, second))
    if k == 1:
        return swapaxes(flip(x, second), first, second)
    return flip(swapaxes(x, first, second), second)


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """Elements moved along axes, those that leave coming in at the other end; a copy."""
    x = operand(a)
    if axis is None:
        flat = roll(TABLE["reshape"](x, shape=(x.size,)), shift, 0)
        return TABLE["reshape"](flat, shape=x.shape)
    pairs = np.broadcast(np.asarray(shift), np.asarray(axis))
    total: dict[int, int] = {}
    for steps, i in pairs:
        number = axis_of(i, x.ndim, "roll")
        total[number] = total.get(number, 0) + int(steps)
    result = fresh(x)
    for number, steps in total.items():
        n = x.shape[number]
        if n and steps % n:
            key = [(0, length, 1) for length in x.shape]
            key[number] = (n - steps % n, n, 1)
            front = TABLE["slice_index"](result, key=tuple(key))
            key[number] = (0, n - steps % n, 1)
            back = TABLE["slice_index"](result, key=tuple(key))
            result = TABLE["concatenate"](front, back, axis=number)
    return result
