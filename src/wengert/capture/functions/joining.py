"""Putting arrays together, taking them apart, and repeating them."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.capture.functions.registry import (
    all_reshaped,
    axis_of,
    fresh,
    implements,
    operand,
    reshaped,
    view_of,
)
from wengert.capture.functions.shaping import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    expand_dims,
    moveaxis,
)
from wengert.errors import ArgumentError, ShapeError
from wengert.ops import TABLE

__all__ = ["cut"]


def cut(x: Any, axis: int, start: int, stop: int) -> Any:
    """x[..., start:stop, ...] along an axis, as new values."""
    key = [(0, n, 1) for n in x.shape]
    key[axis] = (start, stop, 1) if stop > start else (0, 0, 1)
    return TABLE["slice_index"](x, key=tuple(key))


# ---------------------------------------------------------------- joining


@implements(np.concatenate, getattr(np, "concat", None))
def concatenate(
    arrays: Any, /, axis: Any = 0, *, dtype: Any = None, casting: Any = "same_kind"
) -> Any:
    """Joined along an axis that they have; flattened first if axis is None."""
    parts = [operand(a) for a in arrays]
    if not parts:
        raise ArgumentError("concatenate: needs one array at least")
    if axis is None:
        parts = [reshaped(p, (p.size,)) for p in parts]
        axis = 0
    if any(p.ndim == 0 for p in parts):
        raise ShapeError("concatenate: arrays without axes can't be joined", hint="use np.stack")
    number = axis_of(axis, parts[0].ndim, "concatenate")
    if dtype is not None:
        if not all(np.can_cast(p.dtype, dtype, casting) for p in parts):
            raise ArgumentError(f"concatenate: can't cast to {np.dtype(dtype)} by {casting!r}")
        parts = [TABLE["cast"](p, dtype=np.dtype(dtype)) for p in parts]
    return TABLE["concatenate"](*parts, axis=number)


@implements(np.stack)
def stack(arrays: Any, axis: int = 0, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Joined along a new axis."""
    parts = [operand(a) for a in arrays]
    if len({p.shape for p in parts}) != 1:
        shown = ", ".join(str(p.shape) for p in parts)
        raise ShapeError(f"stack: needs arrays of one shape, not {shown or 'none'}")
    shape = parts[0].shape
    number = axis_of(axis, len(shape) + 1, "stack")
    rows = all_reshaped(parts, (*shape[:number], 1, *shape[number:]))
    return concatenate(rows, number, dtype=dtype, casting=casting)


def _listed(arrays: Any, grow: Any) -> list[Any]:
    found = grow(*arrays)
    return list(found) if isinstance(found, tuple) else [found]


@implements(np.vstack)
def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Joined along the first axis, after `atleast_2d`."""
    return concatenate(_listed(tup, atleast_2d), 0, dtype=dtype, casting=casting)


@implements(np.hstack)
def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Joined along the second axis, or the first of arrays with one axis."""
    parts = _listed(tup, atleast_1d)
    return concatenate(parts, 0 if parts[0].ndim == 1 else 1, dtype=dtype, casting=casting)


@implements(np.dstack)
def dstack(tup: Any) -> Any:
    """Joined along the third axis, after `atleast_3d`."""
    return concatenate(_listed(tup, atleast_3d), 2)


@implements(np.column_stack)
def column_stack(tup: Any) -> Any:
    """Arrays with one axis as columns, joined along the second axis."""
    parts = [operand(a) for a in tup]
    columns = [reshaped(p, (p.size, 1)) if p.ndim < 2 else p for p in parts]
    return concatenate(columns, 1)


@implements(np.block)
def block(arrays: Any) -> Any:
    """Assembled from nested lists: innermost lists are joined along the last axis."""
    depth = _depth(arrays)
    rank = max(depth, max(p.ndim for p in _leaves(arrays)))
    return fresh(_joined(arrays, 0, depth, rank))


def _depth(arrays: Any) -> int:
    if not isinstance(arrays, list):
        return 0
    depths = {_depth(a) for a in arrays}
    if len(depths) != 1:
        raise ArgumentError("block: nested lists must be non-empty and equally deep")
    return 1 + depths.pop()


def _leaves(arrays: Any) -> list[Any]:
    if not isinstance(arrays, list):
        return [operand(arrays)]
    return [leaf for a in arrays for leaf in _leaves(a)]


def _joined(arrays: Any, level: int, depth: int, rank: int) -> Any:
    if not isinstance(arrays, list):
        x = operand(arrays)
        return reshaped(x, (1,) * (rank - x.ndim) + tuple(x.shape))
    parts = [_joined(a, level + 1, depth, rank) for a in arrays]
    return concatenate(parts, rank - depth + level)


@implements(np.append)
def append(arr: Any, values: Any, axis: Any = None) -> Any:
    """Values joined to the end; both flattened if axis is None."""
    return concatenate((arr, values), axis)


# ---------------------------------------------------------------- splitting


@implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """Parts along an axis, as views; their lengths may differ by one."""
    x = operand(ary)
    number = axis_of(axis, x.ndim, "array_split")
    n = x.shape[number]
    bounds = _bounds(indices_or_sections, n)
    key = [(0, length, 1) for length in x.shape]
    parts = []
    for start, stop in itertools.pairwise(bounds):
        first, last, _ = slice(start, stop).indices(n)
        key[number] = (first, last, 1) if last > first else (0, 0, 1)
        parts.append(view_of(x, "slice_index", key=tuple(key)))
    return parts


def _bounds(indices_or_sections: Any, n: int) -> list[Any]:
    try:
        sections = operator.index(indices_or_sections)
    except TypeError:
        return [0, *(operator.index(i) for i in indices_or_sections), None]
    if sections <= 0:
        raise ArgumentError(f"split: the number of sections must be positive, not {sections}")
    size, longer = divmod(n, sections)
    bounds = [0]
    for i in range(sections):
        bounds.append(bounds[-1] + size + (i < longer))
    return bounds


@implements(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """Equal parts, or parts between indices, along an axis, as views."""
    x = operand(ary)
    n = x.shape[axis_of(axis, x.ndim, "split")]
    if np.ndim(indices_or_sections) == 0 and n % operator.index(indices_or_sections):
        raise ShapeError(
            f"split: {n} elements do not make {indices_or_sections} equal parts",
            hint="use np.array_split",
        )
    return array_split(x, indices_or_sections, axis)


@implements(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Parts along the first axis."""
    return split(_with_axes(ary, 2, "vsplit"), indices_or_sections, 0)


@implements(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Parts along the second axis, or the first of an array with one axis."""
    x = _with_axes(ary, 1, "hsplit")
    return split(x, indices_or_sections, 1 if x.ndim > 1 else 0)


@implements(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Parts along the third axis."""
    return split(_with_axes(ary, 3, "dsplit"), indices_or_sections, 2)


def _with_axes(a: Any, least: int, name: str) -> Any:
    x = operand(a)
    if x.ndim < least:
        raise ShapeError(f"{name}: needs {least} axes at least, not shape {x.shape}")
    return x


@implements(getattr(np, "unstack", None))
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The slices along an axis, as views."""
    x = operand(x)
    number = axis_of(axis, x.ndim, "unstack")
    key: list[Any] = [(0, length, 1) for length in x.shape]
    parts = []
    for i in range(x.shape[number]):
        key[number] = i
        parts.append(view_of(x, "slice_index", key=tuple(key)))
    return tuple(parts)


# ---------------------------------------------------------------- slice by slice


@implements(np.apply_along_axis)
def apply_along_axis(func1d: Any, axis: Any, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """A function of vectors, applied to each one along an axis."""
    x = operand(arr)
    number = axis_of(axis, x.ndim, "apply_along_axis")
    last = moveaxis(x, number, -1)
    rest = last.shape[:-1]
    parts = [operand(func1d(last[at], *args, **kwargs)) for at in np.ndindex(*rest)]
    if not parts:
        raise ShapeError(f"apply_along_axis: no vectors in an array of shape {x.shape}")
    own = parts[0].shape
    rows = [reshaped(p, (1, *p.shape)) for p in parts]
    whole = reshaped(concatenate(rows, 0), (*rest, *own))
    ends = tuple(range(len(rest), len(rest) + len(own)))
    return moveaxis(whole, ends, tuple(range(number, number + len(own))))


@implements(np.apply_over_axes)
def apply_over_axes(func: Any, a: Any, axes: Any) -> Any:
    """A reduction, applied over one axis after the other, which stay with length 1."""
    x = operand(a)
    for axis in axes if np.ndim(axes) else (axes,):
        number = axis_of(axis, x.ndim, "apply_over_axes")
        reduced = operand(func(x, number))
        x = reduced if reduced.ndim == x.ndim else expand_dims(reduced, number)
    return x


# ---------------------------------------------------------------- repeating


@implements(np.tile)
def tile(A: Any, reps: Any) -> Any:
    """The array repeated as a whole along each axis."""
    x = operand(A)
    counts = [operator.index(r) for r in (reps if np.ndim(reps) else (reps,))]
    if any(r < 0 for r in counts):
        raise ArgumentError(f"tile: reps must not be negative: {reps!r}")
    rank = max(len(counts), x.ndim)
    counts = [1] * (rank - len(counts)) + counts
    shape = (1,) * (rank - x.ndim) + tuple(x.shape)
    apart = TABLE["reshape"](x, shape=tuple(m for n in shape for m in (1, n)))
    wide = tuple(m for r, n in zip(counts, shape, strict=True) for m in (r, n))
    repeated = TABLE["broadcast_to"](apart, shape=wide)
    whole = tuple(r * n for r, n in zip(counts, shape, strict=True))
    return TABLE["reshape"](repeated, shape=whole)


@implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    """Each element repeated along an axis, `repeats` times or as often as its entry says."""
    x = operand(a)
    if axis is None:
        x, axis = reshaped(x, (x.size,)), 0
    number = axis_of(axis, x.ndim, "repeat")
    n = x.shape[number]
    counts = np.asarray(repeats)
    if counts.dtype.kind not in "iu" or counts.ndim > 1 or (counts < 0).any():
        raise ArgumentError(f"repeat: repeats must be integers that are not negative: {repeats!r}")
    if counts.ndim == 0 or counts.size == 1:
        times = int(counts.reshape(()))
        before, after = tuple(x.shape[:number]), tuple(x.shape[number + 1 :])
        apart = TABLE["reshape"](x, shape=(*before, n, 1, *after))
        wide = TABLE["broadcast_to"](apart, shape=(*before, n, times, *after))
        return TABLE["reshape"](wide, shape=(*before, n * times, *after))
    if counts.size != n:
        raise ShapeError(f"repeat: {counts.size} repeats for an axis of length {n}")
    places = np.repeat(np.arange(n), counts)
    taken = TABLE["gather"](x, places, axes=(number,))
    order = (*range(1, number + 1), 0, *range(number + 1, x.ndim))
    return TABLE["transpose"](taken, axes=order) if number else taken


@implements(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    """The elements, repeated as often as needed, in another shape."""
    x = operand(a)
    shape = tuple(operator.index(n) for n in (new_shape if np.ndim(new_shape) else (new_shape,)))
    size = int(np.prod(shape, dtype=int))
    if size and not x.size:
        return np.zeros(shape, x.dtype)
    flat = reshaped(x, (x.size,))
    times = -(-size // x.size) if x.size else 1
    return TABLE["reshape"](cut(tile(flat, times), 0, 0, size), shape=shape)


# ---------------------------------------------------------------- padding

_PAD_PLACES = ("edge", "reflect", "symmetric", "wrap")


@implements(np.pad)
def pad(
    array: Any,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: Any = 0,
    reflect_type: str = "even",
) -> Any:
    """Surrounded by a constant, or by elements of the array itself."""
    x = operand(array)
    widths = _pairs(pad_width, x.ndim)
    if mode == "constant":
        return _pad_constant(x, widths, constant_values)
    if mode not in _PAD_PLACES:
        raise ArgumentError(
            f"pad: mode={mode!r} is not available for traced values",
            hint=f"available are 'constant', {', '.join(map(repr, _PAD_PLACES))}",
        )
    if reflect_type != "even":
        raise ArgumentError(f"pad: reflect_type={reflect_type!r} is not available")
    result = x
    for axis, (before, after) in enumerate(widths):
        n = x.shape[axis]
        if before or after:
            # NumPy's own rule for where each element comes from.
            places = np.pad(np.arange(n), (before, after), mode=mode)  # type: ignore[call-overload]
            taken = TABLE["gather"](result, places, axes=(axis,))
            order = (*range(1, axis + 1), 0, *range(axis + 1, x.ndim))
            result = TABLE["transpose"](taken, axes=order) if axis else taken
    return fresh(result)


def _pairs(pad_width: Any, ndim: int) -> tuple[tuple[int, int], ...]:
    if isinstance(pad_width, dict):
        pairs = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            pairs[axis_of(axis, ndim, "pad")] = tuple(np.broadcast_to(width, 2).tolist())
        return tuple(pairs)
    given = np.asarray(pad_width)
    try:
        table = np.broadcast_to(given, (ndim, 2))
    except ValueError:
        raise ArgumentError(f"pad: pad_width={pad_width!r} for an array with {ndim} axes") from None
    if given.dtype.kind not in "iu" or (table < 0).any():
        raise ArgumentError(f"pad: widths must be integers that are not negative: {pad_width!r}")
    return tuple((int(a), int(b)) for a, b in table)


def _pad_constant(x: Any, widths: Sequence[tuple[int, int]], constant: Any) -> Any:
    padded = TABLE["pad"](x, widths=tuple(widths))
    value = operand(constant)
    if not isinstance(constant, (int, float)) and value.ndim:
        raise ArgumentError(
            "pad: constant_values must be one number for traced values",
            hint="pad one axis at a time",
        )
    if isinstance(constant, (int, float)) and constant == 0:
        return padded
    inside = np.zeros([n + a + b for n, (a, b) in zip(x.shape, widths, strict=True)], bool)
    inside[tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, widths, strict=True))] = True
    return TABLE["where"](inside, padded, TABLE["cast"](value, dtype=x.dtype))
