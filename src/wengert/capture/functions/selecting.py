"""Choosing, ordering and placing elements."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from wengert.capture import indexing
from wengert.capture.functions.joining import resize
from wengert.capture.functions.registry import (
    axis_of,
    fresh,
    implements,
    operand,
    reshaped,
    view_of,
)
from wengert.capture.variable import Variable
from wengert.errors import ArgumentError, ConversionError, DTypeError, ShapeError
from wengert.graph import Traced
from wengert.ops import TABLE

__all__ = ["known", "take", "take_along_axis"]

_where = TABLE["where"]


def known(x: Any) -> Any:
    """The numbers behind a traced value, where they decide the shape of a result."""
    return x._tape.value(x._index) if isinstance(x, Traced) else np.asarray(x)


# ---------------------------------------------------------------- conditions


@implements(np.where)
def where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """x where the condition is true, else y; the side not chosen gets no derivative."""
    if x is None and y is None:
        return np.nonzero(known(operand(condition)))
    if x is None or y is None:
        raise ArgumentError("where: either both or neither of x and y must be given")
    x, y = (v if isinstance(v, (int, float)) else operand(v) for v in (x, y))
    return _where(_truth(operand(condition)), x, y)


def _truth(condition: Any) -> Any:
    return condition if condition.dtype.kind == "b" else condition != 0


@implements(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """Elements of the first choice whose condition is true."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ArgumentError("select: needs as many choices as conditions, and one at least")
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = where(condition, choice, result)
    return result


@implements(np.choose)
def choose(a: Any, choices: Any, *, mode: str = "raise") -> Any:
    """Elements of the choices that the integers in `a` name."""
    number = operand(a)
    count = len(choices)
    if mode == "raise":
        numbers = known(number)
        if numbers.size and (numbers.min() < 0 or numbers.max() >= count):
            raise ArgumentError(f"choose: the numbers must be from 0 to {count - 1}")
    elif mode == "wrap":
        number = number % count
    elif mode == "clip":
        number = clip(number, 0, count - 1)
    else:
        raise ArgumentError(f"choose: mode must be 'raise', 'wrap' or 'clip', not {mode!r}")
    result: Any = operand(choices[-1])
    for k in range(count - 2, -1, -1):
        result = where(number == k, choices[k], result)
    shape = np.broadcast_shapes(number.shape, *[operand(c).shape for c in choices])
    return result if result.shape == shape else fresh(TABLE["broadcast_to"](result, shape=shape))


@implements(np.clip)
def clip(
    a: Any,
    a_min: Any = np._NoValue,
    a_max: Any = np._NoValue,
    *,
    min: Any = np._NoValue,
    max: Any = np._NoValue,
) -> Any:
    """Limited to an interval: the derivative is 0 outside it, and one half at its ends."""
    low = min if a_min is np._NoValue else a_min
    high = max if a_max is np._NoValue else a_max
    result = a if isinstance(a, Traced) else operand(a)
    if low is not None and low is not np._NoValue:
        result = TABLE["maximum"](result, low)
    if high is not None and high is not np._NoValue:
        result = TABLE["minimum"](result, high)
    return fresh(result) if result is a else result


@implements(np.nan_to_num)
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """With numbers in place of NaN and the infinities; those places have derivative 0."""
    a = operand(x)
    result = a
    if a.dtype.kind == "f":
        limits = np.finfo(a.dtype)
        result = _where(TABLE["isnan"](a), nan, a)
        result = _where(a == np.inf, limits.max if posinf is None else posinf, result)
        result = _where(a == -np.inf, limits.min if neginf is None else neginf, result)
    if copy or not isinstance(a, Variable) or not a.shape:
        return fresh(result) if result is a else result
    a[...] = result
    return a


@implements(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    """The elements where a condition is true."""
    x = operand(arr)
    mask = reshaped(_truth(operand(condition)), (operand(condition).size,))
    return TABLE["gather"](reshaped(x, (x.size,)), np.nonzero(known(mask))[0], axes=(0,))


@implements(np.compress)
def compress(condition: Any, a: Any, axis: Any = None) -> Any:
    """The slices along an axis where a condition is true."""
    return take(a, np.nonzero(known(operand(condition)))[0], axis)


@implements(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """Values of the function whose condition is true; every function sees all of x."""
    a = operand(x)
    single = isinstance(condlist, Traced) or (np.ndim(condlist[0]) == 0 and a.ndim > 0)
    conditions = [operand(c) for c in ([condlist] if single else condlist)]
    if len(funclist) not in (len(conditions), len(conditions) + 1):
        raise ArgumentError(
            f"piecewise: {len(funclist)} functions for {len(conditions)} conditions"
        )
    rest = funclist[len(conditions)] if len(funclist) > len(conditions) else 0
    result = rest(a, *args, **kw) if callable(rest) else rest
    for condition, f in zip(conditions, funclist, strict=False):
        result = where(condition, f(a, *args, **kw) if callable(f) else f, result)
    return _as_type(result, a)


def _as_type(result: Any, like: Any) -> Any:
    result = operand(result)
    if result.dtype != like.dtype:
        result = TABLE["cast"](result, dtype=like.dtype)
    return result if result.shape == like.shape else TABLE["broadcast_to"](result, shape=like.shape)


# ---------------------------------------------------------------- taking and putting


@implements(np.take)
def take(a: Any, indices: Any, axis: Any = None, *, mode: str = "raise") -> Any:
    """Elements at indices along an axis."""
    x, index = operand(a), operand(indices)
    if axis is None:
        x, axis = reshaped(x, (x.size,)), 0
    number = axis_of(axis, x.ndim, "take")
    n = x.shape[number]
    if index.dtype.kind not in "iu":
        raise ArgumentError(f"take: indices must be integers, not {index.dtype}")
    if mode == "wrap":
        index = index % n
    elif mode == "clip":
        index = clip(index, 0, n - 1)
    elif mode != "raise":
        raise ArgumentError(f"take: mode must be 'raise', 'wrap' or 'clip', not {mode!r}")
    elif not isinstance(index, Traced):
        indexing._check_index(index, n, number)
    taken = TABLE["gather"](x, index, axes=(number,))
    return indexing._move_lead(taken, index.ndim, number)


def _along_indices(x: Any, index: Any, axis: int) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    # Index arrays for all axes: each axis but one is indexed by its own positions.
    if index.ndim != x.ndim or any(
        m != n and 1 not in (m, n)
        for i, (m, n) in enumerate(zip(index.shape, x.shape, strict=True))
        if i != axis
    ):
        raise ShapeError(f"take_along_axis: indices of shape {index.shape} for {x.shape}")
    indices = []
    for i, n in enumerate(x.shape):
        if i == axis:
            indices.append(index)
        else:
            grid = np.arange(n).reshape([n if k == i else 1 for k in range(x.ndim)])
            indices.append(grid)
    return tuple(indices), tuple(range(x.ndim))


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    """Elements at indices along an axis, for each position of the other axes."""
    x, index = operand(arr), operand(indices)
    if axis is None:
        x, axis = reshaped(x, (x.size,)), 0
    number = axis_of(axis, x.ndim, "take_along_axis")
    if x.ndim == 1:
        return TABLE["gather"](x, index, axes=(0,))
    found, axes = _along_indices(x, index, number)
    return TABLE["gather"](x, *found, axes=axes)


@implements(np.put_along_axis)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    """Assign values at indices along an axis, for each position of the other axes."""
    target = _target(arr, "put_along_axis")
    if axis is None:
        raise ArgumentError("put_along_axis: axis=None is not available for traced values")
    found, _ = _along_indices(target, operand(indices), axis_of(axis, target.ndim, "axis"))
    target[found] = values


def _target(x: Any, name: str) -> Any:
    if not isinstance(x, Variable):
        raise ArgumentError(
            f"np.{name}: traced values can't be put into a NumPy array",
            hint="make the array with wengert.numpy",
        )
    return x


@implements(np.copyto)
def copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    """Assign all elements, or those where a condition is true."""
    if not isinstance(dst, Variable):  # also np.full_like of such a one, which ends here
        raise ConversionError(
            "np.copyto or np.full_like: a traced value can't be put into a NumPy array",
            hint="make the array with wengert.numpy, for instance wnp.full_like(a, x)",
        )
    target = dst
    if not np.can_cast(operand(src).dtype, target.dtype, casting):
        raise DTypeError(f"copyto: {operand(src).dtype} is not cast to {target.dtype}: {casting=}")
    target[...] = src if where is True else _where(where, src, target)


@implements(np.fill_diagonal)
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """Assign the diagonal of a matrix."""
    target = _target(a, "fill_diagonal")
    if target.ndim != 2 or wrap:
        raise ArgumentError("fill_diagonal: needs two axes, and wrap=False, for traced values")
    at = np.arange(min(target.shape))
    target[at, at] = val


@implements(np.put)
def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """Assign elements by their numbers in C order; the values are repeated as often as needed."""
    target = _target(a, "put")
    places = known(operand(ind))
    if mode == "raise":
        indexing._check_index(places, target.size, 0)
    elif mode != "wrap":
        raise ArgumentError(f"put: mode={mode!r} is not available for traced values")
    if places.size:
        where = np.unravel_index(places % target.size, target.shape)
        target[where] = resize(v, places.shape)


@implements(np.place)
def place(arr: Any, mask: Any, vals: Any) -> None:
    """Assign the elements where a condition is true, in order; the values are repeated."""
    put(arr, np.flatnonzero(known(operand(mask))), vals)


@implements(np.putmask)
def putmask(a: Any, /, mask: Any, values: Any) -> None:
    """Assign elements where a condition is true; the values must have the array's shape."""
    target = _target(a, "putmask")
    new = operand(values)
    if new.ndim and new.shape != target.shape:
        raise ShapeError(
            f"putmask: values of shape {new.shape} for an array of {target.shape}",
            hint="x[mask] = values takes as many values as the mask has places",
        )
    target[...] = _where(mask, new, target)


@implements(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    """Values inserted before positions along an axis."""
    x, new = operand(arr), operand(values)
    if axis is None:
        x, axis = reshaped(x, (x.size,)), 0
    number = axis_of(axis, x.ndim, "insert")
    n = x.shape[number]
    # NumPy's own rule, applied to positions: -1 marks places that take inserted values.
    if np.ndim(obj) == 0 and not isinstance(obj, slice):
        shape = [m for i, m in enumerate(x.shape) if i != number]
        if new.ndim == x.ndim:
            count = new.shape[number]
        else:
            count = new.shape[0] if x.ndim == 1 and new.ndim == 1 else 1
            new = (
                new
                if x.ndim == 1
                else TABLE["reshape"](
                    TABLE["broadcast_to"](new, shape=tuple(shape)),
                    shape=tuple(1 if i == number else m for i, m in enumerate(x.shape)),
                )
            )
        marks = -1 - np.arange(count)
    else:
        count = np.insert(np.arange(n), obj, -1).size - n
        marks = -1 - np.arange(count)
    places = np.insert(np.arange(n), obj, marks)
    part = tuple(count if i == number else m for i, m in enumerate(x.shape))
    new = TABLE["broadcast_to"](_cast_to(new, x.dtype), shape=part)
    both = TABLE["concatenate"](x, new, axis=number)
    return take(both, np.where(places < 0, n - 1 - places, places), number)


def _cast_to(x: Any, dtype: Any) -> Any:
    return x if x.dtype == dtype else TABLE["cast"](x, dtype=dtype)


@implements(np.delete)
def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    """Without the slices at positions along an axis."""
    x = operand(arr)
    if axis is None:
        x, axis = reshaped(x, (x.size,)), 0
    number = axis_of(axis, x.ndim, "delete")
    return take(x, np.delete(np.arange(x.shape[number]), obj), number)


# ---------------------------------------------------------------- diagonals and triangles


@implements(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of two axes, as the last axis; a read-only view."""
    x = operand(a)
    first, second = axis_of(axis1, x.ndim, "diagonal"), axis_of(axis2, x.ndim, "diagonal")
    return view_of(x, "diagonal", offset=operator.index(offset), axis1=first, axis2=second)


@implements(getattr(np.linalg, "diagonal", None))
def matrix_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonals of the last two axes; a read-only view."""
    return diagonal(x, offset, -2, -1)


@implements(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    """Sum along the diagonal of two axes."""
    x = diagonal(a, offset, axis1, axis2)
    if dtype is not None:
        x = _cast_to(x, np.dtype(dtype))
    return TABLE["reduce_sum"](x, axes=(x.ndim - 1,))


@implements(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    """The diagonal of a matrix, or the matrix with a diagonal."""
    x = operand(v)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError(f"diag: needs one or two axes, not shape {x.shape}")
    n = x.size + abs(k)
    at = np.arange(x.size)
    return TABLE["scatter_sum"](
        x, at + max(-k, 0), at + max(k, 0), shape=(n, n), parts=(("gather", (0, 1)),)
    )


@implements(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    """The matrix whose diagonal holds all elements."""
    x = operand(v)
    return diag(reshaped(x, (x.size,)), k)


def _triangle(m: Any, mask: Any) -> Any:
    x = operand(m)
    if x.ndim == 1:  # as NumPy: a vector is repeated as the rows of a square
        x = TABLE["broadcast_to"](x, shape=(x.size, x.size))
    if x.ndim < 2:
        raise ShapeError("tril, triu: need one axis at least")
    return _where(mask(*x.shape[-2:]), x, x.dtype.type(0))


@implements(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    """The lower triangle of the last two axes, zeros elsewhere."""
    return _triangle(m, lambda rows, columns: np.tri(rows, columns, k, dtype=bool))


@implements(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    """The upper triangle of the last two axes, zeros elsewhere."""
    return _triangle(m, lambda rows, columns: ~np.tri(rows, columns, k - 1, dtype=bool))
