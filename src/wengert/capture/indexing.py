"""Reading and assigning parts: NumPy's keys, taken apart into the primitives of the rule table."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from wengert.errors import ArgumentError, ShapeError
from wengert.graph import Traced
from wengert.graph.tuples import NamedTuple
from wengert.ops import TABLE

__all__ = ["read", "scattered", "write"]


class Parsed(NamedTuple):
    """A key taken apart.

    basic : static key per axis, `(start, stop, step)` or an integer; axes with an index array are
        whole
    new_axes : positions of `None` in the shape that basic indexing gives
    indices, axes : index arrays, and the axes (counted after the basic part and the new axes) that
        they index
    unique : whether no element can be named twice
    position : where NumPy puts the axes of the index arrays in the result
    """

    basic: tuple[Any, ...]
    new_axes: tuple[int, ...]
    indices: tuple[Any, ...]
    axes: tuple[int, ...]
    unique: bool
    position: int


def _expanded(key: Any, ndim: int) -> list[Any]:
    items = list(key) if isinstance(key, tuple) else [key]
    used = 0
    for i, item in enumerate(items):
        if isinstance(item, list):
            items[i] = item = np.asarray(item, dtype=None if item else np.intp)
        if item is None or item is Ellipsis:
            continue
        used += item.ndim if _is_mask(item) else 1
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise ArgumentError("an index can only have a single ellipsis ('...')")
    if used > ndim:
        raise ShapeError(f"index: {used} indices for an array with {ndim} axes")
    missing = [slice(None)] * (ndim - used)
    if dots:
        items[dots[0] : dots[0] + 1] = missing
    else:
        items += missing
    return items


def _is_traced(value: Any) -> bool:
    return isinstance(value, Traced)


def _is_mask(item: Any) -> bool:
    if isinstance(item, (bool, np.bool_)):
        raise ArgumentError(
            "a single bool as an index is not supported", hint="use an if statement, or np.where"
        )
    return (isinstance(item, np.ndarray) or _is_traced(item)) and item.dtype.kind == "b"


def _parse(shape: tuple[int, ...], key: Any) -> Parsed:
    basic: list[Any] = []
    new_axes: list[int] = []
    indices: list[Any] = []
    axes: list[int] = []
    at: list[int] = []
    unique = True
    has_arrays = False
    items = _expanded(key, len(shape))
    arrays = [i for i, item in enumerate(items) if _is_array(item)]
    axis = 0  # of the indexed array
    out = 0  # axis after the basic part
    for number, item in enumerate(items):
        if item is None:
            new_axes.append(out)
            out += 1
        elif isinstance(item, slice):
            basic.append(_slice(item, shape[axis]))
            axis += 1
            out += 1
        elif not _is_array(item):
            position = _integer(item, shape[axis], axis)
            if arrays:  # beside index arrays NumPy takes an integer as an index array too
                basic.append((0, shape[axis], 1))
                indices.append(np.asarray(position))
                axes.append(out)
                at.append(number)
                out += 1
            else:
                basic.append(position)
            axis += 1
        else:
            has_arrays = True
            found = _nonzero(item, shape, axis) if _is_mask(item) else (item,)
            unique = unique and _is_mask(item)
            for index in found:
                _check_index(index, shape[axis], axis)
                basic.append((0, shape[axis], 1))
                indices.append(index)
                axes.append(out)
                at.append(number)
                axis += 1
                out += 1
    position = 0
    if has_arrays:
        adjacent = all(b - a <= 1 for a, b in itertools.pairwise(at))
        position = axes[0] if adjacent else 0
        unique = (unique and len(set(at)) == 1) or _distinct(indices)
    return Parsed(tuple(basic), tuple(new_axes), tuple(indices), tuple(axes), unique, position)


def _is_array(item: Any) -> bool:
    if isinstance(item, Traced):
        return True
    return isinstance(item, np.ndarray) and (item.ndim > 0 or item.dtype.kind == "b")


def _distinct(indices: list[Any]) -> bool:
    # Indices without axes name one element each; one array of numbers known now, without repeats,
    # names no element twice.
    if all(i.ndim == 0 for i in indices):
        return True
    if len(indices) != 1 or isinstance(indices[0], Traced):
        return False
    index = indices[0]
    return bool(np.all(index >= 0)) and len(np.unique(index)) == index.size


def _slice(item: slice, n: int) -> tuple[int, int, int]:
    start, stop, step = item.indices(n)
    length = len(range(start, stop, step))
    if length == 0:
        return (0, 0, 1)
    # One form for equal slices: the last element decides the stop.
    end = start + (length - 1) * step
    return (start, end + 1, step) if step > 0 else (start, max(end - 1, -1), step)


def _integer(item: Any, n: int, axis: int) -> int:
    try:
        number = item.__index__()
    except (AttributeError, TypeError):
        raise ArgumentError(
            f"index: {item!r} is not an integer, slice, None, ... or an array of integers or bools"
        ) from None
    if not -n <= number < n:
        raise ShapeError(f"index {number} is out of bounds for axis {axis} with size {n}")
    return int(number + n if number < 0 else number)


def _check_index(index: Any, n: int, axis: int) -> None:
    if index.dtype.kind not in "iu":
        raise ArgumentError(
            f"index: arrays used as indices must be integer or bool, not {index.dtype}"
        )
    if not isinstance(index, Traced) and index.size:
        low, high = int(np.min(index)), int(np.max(index))
        if low < -n or high >= n:
            number = low if low < -n else high
            raise ShapeError(f"index {number} is out of bounds for axis {axis} with size {n}")


def _nonzero(mask: Any, shape: tuple[int, ...], axis: int) -> tuple[Any, ...]:
    expected = shape[axis : axis + mask.ndim]
    if mask.shape != expected:
        raise ShapeError(f"index: a bool index of shape {mask.shape} for axes of shape {expected}")
    # How many elements a mask selects decides the shape of the result: its value is needed now.
    value = mask._tape.value(mask._index) if isinstance(mask, Traced) else mask
    return np.nonzero(value)


def _is_whole(basic: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
    return all(k == (0, n, 1) for k, n in zip(basic, shape, strict=True))


def _with_new_axes(shape: tuple[int, ...], new_axes: tuple[int, ...]) -> tuple[int, ...]:
    grown = list(shape)
    for a in new_axes:
        grown.insert(a, 1)
    return tuple(grown)


_SLICE = TABLE["slice_index"]
# (shape, key) -> parameters of `slice_index`, for keys of integers: loops over elements use them.
_integer_keys: dict[Any, Any] = {}


def _integer_key(shape: tuple[int, ...], key: Any) -> Any:
    """The parameters of `slice_index` for an integer or a tuple of them, None for other keys."""
    if key.__class__ is tuple:
        for k in key:
            if k.__class__ is not int:
                return None
    elif key.__class__ is not int:
        return None
    found = _integer_keys.get((shape, key))
    if found is None:
        found = (("key", _parse(shape, key).basic),)
        if len(_integer_keys) >= 65536:
            _integer_keys.clear()
        _integer_keys[shape, key] = found
    return found


def _has_dots(key: Any) -> bool:
    return key is Ellipsis or (isinstance(key, tuple) and any(item is Ellipsis for item in key))


def read(x: Any, key: Any) -> Any:
    """x[key]: a view for a basic key, a new array otherwise."""
    from wengert.capture.view import View, view

    params = _integer_key(x._type.shape, key)
    if params is not None:
        x._tape.check_open()
        part = x._tape.record(_SLICE, (x._index,), params)
        return View(part, x, _SLICE, params, True) if part._type.shape else part
    parsed = _parse(x.shape, key)
    found = x
    if not _is_whole(parsed.basic, x.shape) or not (parsed.indices or parsed.new_axes):
        found = view(x, "slice_index", key=parsed.basic)
    if parsed.new_axes:
        found = view(found, "reshape", shape=_with_new_axes(found.shape, parsed.new_axes))
    if parsed.indices:
        gathered = TABLE["gather"](found, *parsed.indices, axes=parsed.axes)
        lead = gathered.ndim - (found.ndim - len(parsed.axes))
        return _move_lead(gathered, lead, parsed.position)
    if not found.shape and not _has_dots(key):  # NumPy gives a scalar, which shares nothing
        return found._tape.handle(found._tape, found._index, found._type)
    return found


def _move_lead(x: Any, lead: int, position: int) -> Any:
    # The axes of the index arrays come first; put them where NumPy does.
    if position == 0 or lead == 0:
        return x
    rest = list(range(lead, x.ndim))
    order = (*rest[:position], *range(lead), *rest[position:])
    return TABLE["transpose"](x, axes=order)


def _lead_first(x: Any, lead: int, position: int) -> Any:
    if position == 0 or lead == 0:
        return x
    order = (*range(position, position + lead), *range(position), *range(position + lead, x.ndim))
    return TABLE["transpose"](x, axes=order)


def _fit(value: Any, shape: tuple[int, ...], x: Any) -> Any:
    """`value` with the dtype of x, broadcast to the shape of the part it replaces."""
    if not _is_traced(value):
        value = np.asarray(value)
        if value.dtype != x.dtype:
            value = value.astype(x.dtype)
    elif value.dtype != x.dtype:
        value = TABLE["cast"](value, dtype=x.dtype)
    extra = value.ndim - len(shape)
    if extra > 0 and all(n == 1 for n in value.shape[:extra]):
        own = value.shape[extra:]
        value = (
            TABLE["reshape"](value, shape=own) if isinstance(value, Traced) else value.reshape(own)
        )
    if value.shape == shape:
        return value
    try:
        fits = np.broadcast_shapes(value.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"assignment: a value of shape {value.shape} does not fit a part of shape {shape}"
        )
    if not isinstance(value, Traced):  # one number stays one number on the tape
        value = x._tape.constant(value if value.ndim else value[()])
    return TABLE["broadcast_to"](value, shape=shape)


def write(x: Any, key: Any, value: Any) -> Any:
    """The array x with the part at `key` replaced by `value`."""
    params = _integer_key(x._type.shape, key)
    if params is not None:
        fitted = _fit(value, _SLICE.infer((x._type,), params).shape, x)
        return TABLE["assign"](x, fitted, part=("slice", params[0][1]))
    parsed = _parse(x.shape, key)
    basic = TABLE["slice_index"].infer((x._type,), (("key", parsed.basic),))
    shape = _with_new_axes(basic.shape, parsed.new_axes)
    if not parsed.indices:
        fitted = _fit(value, shape, x)
        if parsed.new_axes:
            fitted = TABLE["reshape"](fitted, shape=basic.shape)
        return TABLE["assign"](x, fitted, part=("slice", parsed.basic))
    whole = _is_whole(parsed.basic, x.shape)
    part = x if whole else TABLE["slice_index"](x, key=parsed.basic)
    if parsed.new_axes:
        part = TABLE["reshape"](part, shape=shape)
    lead_shape = np.broadcast_shapes(*[i.shape for i in parsed.indices])
    rest = [n for a, n in enumerate(shape) if a not in parsed.axes]
    at = parsed.position
    fitted = _fit(value, (*rest[:at], *lead_shape, *rest[at:]), x)
    if at and lead_shape:
        fitted = _lead_first(_handle(fitted, x), len(lead_shape), at)
    part = TABLE["assign"](
        part, fitted, *parsed.indices, part=("gather", parsed.axes, parsed.unique)
    )
    if parsed.new_axes:
        part = TABLE["reshape"](part, shape=basic.shape)
    return part if whole else TABLE["assign"](x, part, part=("slice", parsed.basic))


def _handle(value: Any, x: Any) -> Any:
    return value if isinstance(value, Traced) else x._tape.constant(value)


def scattered(x: Any, key: Any, value: Any) -> Any:
    """Zeros like x with `value` added at `key`, once for each time that a place is named."""
    parsed = _parse(x.shape, key)
    basic = TABLE["slice_index"].infer((x._type,), (("key", parsed.basic),))
    shape = _with_new_axes(basic.shape, parsed.new_axes)
    if not parsed.indices:
        fitted = _handle(_fit(value, shape, x), x)
        if parsed.new_axes:
            fitted = TABLE["reshape"](fitted, shape=basic.shape)
    else:
        lead = np.broadcast_shapes(*[i.shape for i in parsed.indices])
        rest = [n for a, n in enumerate(shape) if a not in parsed.axes]
        at = parsed.position
        fitted = _handle(_fit(value, (*rest[:at], *lead, *rest[at:]), x), x)
        fitted = _lead_first(fitted, len(lead), at)
        fitted = TABLE["scatter_sum"](
            fitted, *parsed.indices, shape=shape, parts=(("gather", parsed.axes),)
        )
        if parsed.new_axes:
            fitted = TABLE["reshape"](fitted, shape=basic.shape)
    return TABLE["scatter_sum"](fitted, shape=x.shape, parts=(("slice", parsed.basic),))
