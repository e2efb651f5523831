"""Reading and writing parts of arrays.

Basic indexing is `slice_index` with a static key: per axis an integer (the axis disappears) or
`(start, stop, step)`, normalised so that start and stop are never negative, except a stop of -1 for
"down to and including 0" with a negative step. Advanced indexing is `gather` with integer arrays.

Both transpose into `scatter_sum`, which adds any number of parts into one array of zeros: the
reverse sweep merges the parts that belong to one array, so that a loop over its elements costs one
dense array, not one per step. Where a dense cotangent meets parts, `scatter_add` adds them to it,
in place if nothing else needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.graph.types import Type
from wengert.ops.bounds import check_bounds
from wengert.ops.linear import Linear, as_scalar, linear, zeros
from wengert.ops.record import TABLE, type_error
from wengert.ops.structural import draw

__all__ = ["slice_key", "slice_length"]

Key = tuple[Any, ...]


def slice_key(key: Key) -> tuple[Any, ...]:
    """The NumPy key of a static key."""
    return tuple(
        k if isinstance(k, int) else slice(k[0], None if k[1] < 0 else k[1], k[2]) for k in key
    )


def slice_length(start: int, stop: int, step: int) -> int:
    """As `len(range(start, stop, step))`, also of sizes that are not known."""
    if step > 0:
        return (stop - start + step - 1) // step if start < stop else 0
    return (start - stop - step - 1) // -step if stop < start else 0


def _sliced_shape(key: Key) -> tuple[int, ...]:
    return tuple(slice_length(*k) for k in key if not isinstance(k, int))


# ---------------------------------------------------------------- basic indexing


def _slice_type(op: Any, x: Type, key: Key) -> Type:
    if len(key) != x.ndim:
        raise type_error(op, f"{len(key)} axes", [x])
    return x.with_shape(_sliced_shape(key))


def _whole(n: int) -> tuple[int, int, int]:
    return (0, n, 1)


def _slice(x: Any, key: Key) -> Any:
    part = x[slice_key(key)]
    # A view keeps the whole array alive, and from being reused in place: not for a small part.
    return part.copy() if 4 * part.size <= x.size else part


@linear(
    linear_in=((0,),),
    symbol="slice",
    latex=r"{0}[\cdot]",
    value=_slice,
    type=_slice_type,
    transpose=lambda k, ct, x, key: scatter_sum(ct, shape=x.shape, parts=(("slice", key),)),
    batch=lambda args, batched, size, key: slice_index(args[0], key=(_whole(size), *key)),
    samples=lambda rng, dtype: [
        ((draw(rng, dtype, 5, 4),), {"key": key})
        for key in ((1, (0, 4, 2)), ((4, -1, -2), 3), ((0, 0, 1), (0, 4, 1)), (0, 0))
    ],
)
def slice_index(x: Any, *, key: Key) -> Any:
    """x[key] for a key of integers and slices."""


# ---------------------------------------------------------------- advanced indexing


def _index_shape(op: Any, indices: tuple[Type, ...], types: Any) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*[i.shape for i in indices])
    except ValueError:
        raise type_error(op, "index arrays whose shapes broadcast together", types) from None


def _gather_type(op: Any, x: Type, *indices: Type, axes: tuple[int, ...]) -> Type:
    lead = _index_shape(op, indices, [x, *indices])
    if any(i.dtype.kind not in "iu" for i in indices):
        raise type_error(op, "integer indices", [x, *indices])
    return x.with_shape((*lead, *(n for a, n in enumerate(x.shape) if a not in axes)))


def _front(x: Any, axes: tuple[int, ...]) -> Any:
    rest = tuple(a for a in range(x.ndim) if a not in axes)
    return np.transpose(x, axes + rest)


def _gather(x: Any, *indices: Any, axes: tuple[int, ...]) -> Any:
    _check_bounds(x.shape, indices, axes)
    return _front(np.asarray(x), axes)[indices]


def _check_bounds(shape: tuple[int, ...], indices: Any, axes: tuple[int, ...]) -> None:
    for index, a in zip(indices, axes, strict=True):
        check_bounds(index, shape[a])


def _batched_indices(
    indices: Any, batched: Any, size: int, *, with_rows: bool
) -> tuple[list[Any], bool]:
    # Batched index arrays come as (size, ...): align their ranks, and add the row numbers as a
    # first index where the indexed array has a batch axis too.
    rank = max((i._type.ndim - b for i, b in zip(indices, batched, strict=True)), default=0)
    aligned = []
    for i, b in zip(indices, batched, strict=True):
        shape = i._type.shape
        if b and len(shape) - 1 < rank:
            i = TABLE["reshape"](i, shape=(size, *[1] * (rank - len(shape) + 1), *shape[1:]))
        aligned.append(i)
    if with_rows:
        rows = np.arange(size).reshape(size, *[1] * rank)
        return [rows, *aligned], True
    return aligned, any(batched)


def _gather_batch(args: Any, batched: Any, size: int, axes: tuple[int, ...]) -> Any:
    x, indices = args[0], args[1:]
    shifted = tuple(a + 1 for a in axes)
    if not any(batched[1:]):
        found = gather(x, *indices, axes=shifted)
        lead = found._type.ndim - (x._type.ndim - len(axes))
        order = (lead, *(a for a in range(found._type.ndim) if a != lead))
        return TABLE["transpose"](found, axes=order)
    if not batched[0]:
        return gather(
            x, *_batched_indices(indices, batched[1:], size, with_rows=False)[0], axes=axes
        )
    rows, _ = _batched_indices(indices, batched[1:], size, with_rows=True)
    return gather(x, *rows, axes=(0, *shifted))


def _gather_samples(rng: Any, dtype: Any) -> Any:
    x = draw(rng, dtype, 3, 4, 2)
    return [
        ((x, np.array([0, 2, 2, -1])), {"axes": (0,)}),
        ((x, np.array([[0], [1]]), np.array([1, 0, 1])), {"axes": (2, 0)}),
        ((x, np.array(1)), {"axes": (1,)}),
    ]


@linear(
    linear_in=((0,),),
    symbol="gather",
    latex=r"{0}[{1}]",
    value=_gather,
    type=_gather_type,
    transpose=lambda k, ct, x, *indices, axes: scatter_sum(
        ct, *indices, shape=x.shape, parts=(("gather", axes),)
    ),
    batch=_gather_batch,
    samples=_gather_samples,
    can_fail=True,
)
def gather(x: Any, *indices: Any, axes: tuple[int, ...]) -> Any:
    """Elements at integer indices along `axes`; the shape of the indices comes first."""


# ---------------------------------------------------------------- scatter


class _ScatterSum(Linear):
    """Linear in its values, jointly; the operands between them are index arrays."""

    def groups(self, count: int, params: dict[str, Any]) -> tuple[tuple[int, ...], ...]:
        return (tuple(at for at, _, _ in _parts(range(count), params["parts"])),)


def _parts(operands: Any, parts: Any) -> list[tuple[Any, Any, Any]]:
    """Per part: its value, its index operands, and the part itself."""
    found, at = [], 0
    for part in parts:
        count = 1 if part[0] == "slice" else 1 + len(part[1])
        found.append((operands[at], operands[at + 1 : at + count], part))
        at += count
    return found


def _read(ct: Any, indices: Any, part: Any) -> Any:
    if part[0] == "slice":
        return slice_index(ct, key=part[1])
    return gather(ct, *indices, axes=part[1])


def _scatter_type(op: Any, *types: Type, shape: tuple[int, ...], parts: Any) -> Type:
    for value, indices, part in _parts(types, parts):
        if part[0] == "slice":
            expected = _sliced_shape(part[1])
        else:
            rest = tuple(n for a, n in enumerate(shape) if a not in part[1])
            expected = (*_index_shape(op, indices, types), *rest)
        if value.shape != expected:
            raise type_error(op, f"a value of shape {expected}", [value])
    return Type(shape, types[0].dtype)


def _scatter(*arrays: Any, shape: tuple[int, ...], parts: Any) -> Any:
    out = np.zeros(shape, np.asarray(arrays[0]).dtype)
    return as_scalar(_add_into(out, *arrays, parts=parts))


def _add_into(out: Any, *arrays: Any, parts: Any) -> Any:
    for value, indices, part in _parts(arrays, parts):
        if part[0] == "slice":
            out[slice_key(part[1])] += value
        else:
            _check_bounds(out.shape, indices, part[1])
            _add_at(_front(out, part[1]), indices, value)
    return out


def _add_at(out: Any, indices: Sequence[Any], value: Any) -> None:
    """Add a value at indices, which may name a place several times."""
    one = len(indices) == 1 and np.ndim(indices[0]) == 1 and len(indices[0]) > 0
    if not one or out.ndim < 2 or out.dtype.kind != "f":
        np.add.at(out, tuple(indices), value)
        return
    # Rows: those of one place are summed in order, as `add.at` does, but ten times as fast.
    rows = np.where(indices[0] < 0, indices[0] + len(out), indices[0])
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    out[rows[starts]] += np.add.reduceat(np.asarray(value)[order], starts, axis=0)


def _scatter_transpose(
    ct: Any, needed: Any, xs: Any, shape: tuple[int, ...], parts: Any
) -> list[Any]:
    found: list[Any] = [None] * len(xs)
    at = 0
    for _, indices, part in _parts(xs, parts):
        if needed[at]:
            found[at] = _read(ct, indices, part)
        at += 1 + len(indices)
    return found


def _scatter_batch(args: Any, batched: Any, size: int, shape: tuple[int, ...], parts: Any) -> Any:
    operands, new_parts = _batched_parts(args, batched, size, parts)
    return scatter_sum(*operands, shape=(size, *shape), parts=new_parts)


def _batched_parts(
    args: Any, batched: Any, size: int, parts: Any
) -> tuple[list[Any], tuple[Any, ...]]:
    operands: list[Any] = []
    new_parts: list[Any] = []
    flags = _parts(batched, parts)
    for (value, indices, part), (is_batched, index_flags, _) in zip(
        _parts(args, parts), flags, strict=True
    ):
        if not is_batched:
            value = TABLE["broadcast_to"](value, shape=(size, *value._type.shape))
        if part[0] == "slice":
            operands.append(value)
            new_parts.append(("slice", (_whole(size), *part[1])))
        else:
            rows, _ = _batched_indices(indices, index_flags, size, with_rows=True)
            operands += [value, *rows]
            axes = (0, *(a + 1 for a in part[1]))
            new_parts.append(("gather", axes))
    return operands, tuple(new_parts)


def _scatter_samples(rng: Any, dtype: Any) -> Any:
    return [
        (
            (draw(rng, dtype, 2), draw(rng, dtype, 3, 4)),
            {
                "shape": (3, 4),
                "parts": (("slice", (1, (0, 4, 2))), ("slice", ((0, 3, 1), (0, 4, 1)))),
            },
        ),
        (
            (draw(rng, dtype, 4, 2), np.array([0, 2, 2, -1])),
            {"shape": (3, 2), "parts": (("gather", (0,)),)},
        ),
        (
            (draw(rng, dtype, 2), draw(rng, dtype, 3), np.array([1, 1, 0]), np.array([0, 0, 1])),
            {"shape": (2, 2), "parts": (("slice", (0, (0, 2, 1))), ("gather", (0, 1)))},
        ),
    ]


def _declare_scatter(function: Any) -> Linear:
    return _ScatterSum(
        function,
        linear_in=None,
        transpose_all=_scatter_transpose,
        symbol="scatter",
        latex=r"\operatorname{{scatter}}({0})",
        value=_scatter,
        type=_scatter_type,
        batch=_scatter_batch,
        samples=_scatter_samples,
        can_fail=True,
    )


@_declare_scatter
def scatter_sum(*operands: Any, shape: tuple[int, ...], parts: Any) -> Any:
    """Zeros of a shape, with values added at places.

    `parts` tells what the operands are: `("slice", key)` takes one value, `("gather", axes)`
    a value and one index array per axis. Places that occur several times are added up.
    """


class _ScatterAdd(Linear):
    """Linear jointly in the array and the values that are added to it."""

    in_place = staticmethod(_add_into)

    def groups(self, count: int, params: dict[str, Any]) -> tuple[tuple[int, ...], ...]:
        return ((0, *(at for at, _, _ in _parts(range(1, count), params["parts"]))),)


def _scatter_add_type(op: Any, x: Type, *types: Type, parts: Any) -> Type:
    found = _scatter_type(op, *types, shape=x.shape, parts=parts)
    if found is not x:
        raise type_error(op, f"values of dtype {x.dtype}", [x, *types])
    return x


def _scatter_add(x: Any, *arrays: Any, parts: Any) -> Any:
    return as_scalar(_add_into(np.array(x, copy=True), *arrays, parts=parts))


def _scatter_add_transpose(ct: Any, needed: Any, xs: Any, parts: Any) -> list[Any]:
    reads = _scatter_transpose(ct, needed[1:], xs[1:], shape=ct.shape, parts=parts)
    return [ct if needed[0] else None, *reads]


def _scatter_add_batch(args: Any, batched: Any, size: int, parts: Any) -> Any:
    x = args[0]
    if not batched[0]:
        x = TABLE["broadcast_to"](x, shape=(size, *x._type.shape))
    operands, new_parts = _batched_parts(args[1:], batched[1:], size, parts)
    return scatter_add(x, *operands, parts=new_parts)


def _scatter_add_samples(rng: Any, dtype: Any) -> Any:
    return [
        ((draw(rng, dtype, *params["shape"]), *operands), {"parts": params["parts"]})
        for operands, params in _scatter_samples(rng, dtype)
    ]


def _declare_scatter_add(function: Any) -> Linear:
    return _ScatterAdd(
        function,
        linear_in=None,
        transpose_all=_scatter_add_transpose,
        symbol="scatter +",
        latex=r"{0} + \operatorname{{scatter}}({1})",
        value=_scatter_add,
        type=_scatter_add_type,
        batch=_scatter_add_batch,
        samples=_scatter_add_samples,
        can_fail=True,
    )


@_declare_scatter_add
def scatter_add(x: Any, *operands: Any, parts: Any) -> Any:
    """x with values added at places, which `parts` describes as for `scatter_sum`."""


# ---------------------------------------------------------------- assignment


def _assign_into(x: Any, value: Any, *indices: Any, part: Any) -> Any:
    """As `assign`, but writing into the array `x` itself."""
    if part[0] == "slice":
        x[slice_key(part[1])] = value
    else:
        _check_bounds(x.shape, indices, part[1])
        _front(x, part[1])[indices] = value
    return x


class _Assign(Linear):
    """Linear jointly in the array and the value that is written into it."""

    in_place = staticmethod(_assign_into)

    def groups(self, count: int, params: dict[str, Any]) -> tuple[tuple[int, ...], ...]:
        return ((0, 1),)


def _assign_type(op: Any, x: Type, value: Type, *indices: Type, part: Any) -> Type:
    if part[0] == "slice":
        expected = _sliced_shape(part[1])
    else:
        rest = tuple(n for a, n in enumerate(x.shape) if a not in part[1])
        expected = (*_index_shape(op, indices, [x, value, *indices]), *rest)
    if value.shape != expected or value.dtype != x.dtype:
        raise type_error(op, f"a value of shape {expected} and dtype {x.dtype}", [x, value])
    return x


def _assign(x: Any, value: Any, *indices: Any, part: Any) -> Any:
    return as_scalar(_assign_into(np.array(x, copy=True), value, *indices, part=part))


def _assign_transpose(ct: Any, needed: Any, xs: Any, part: Any) -> list[Any]:
    x, value, *indices = xs
    # The part is read first: then nothing needs `ct` after the assignment, which can be in place.
    read = _value_cotangent(ct, x, value, indices, part) if needed[1] else None
    rest = assign(ct, zeros(ct._tape, value._type), *indices, part=part) if needed[0] else None
    return [rest, read, *[None] * len(indices)]


def _value_cotangent(ct: Any, x: Any, value: Any, indices: Any, part: Any) -> Any:
    read = _read(ct, indices, part)
    if part[0] == "slice" or part[2]:
        return read
    # Of several values written to one place the last remains, and only it has a derivative.
    numbers = np.arange(value.size).reshape(value.shape)
    places = np.zeros(x.shape, numbers.dtype)
    winner = _read(assign(places, numbers, *indices, part=part), indices, part) == numbers
    return TABLE["where"](winner, read, ct.dtype.type(0))


def _assign_batch(args: Any, batched: Any, size: int, part: Any) -> Any:
    x, value, *indices = args
    if not batched[0]:
        x = TABLE["broadcast_to"](x, shape=(size, *x._type.shape))
    if not batched[1]:
        value = TABLE["broadcast_to"](value, shape=(size, *value._type.shape))
    if part[0] == "slice":
        return assign(x, value, part=("slice", (_whole(size), *part[1])))
    rows, _ = _batched_indices(indices, batched[2:], size, with_rows=True)
    axes = (0, *(a + 1 for a in part[1]))
    return assign(x, value, *rows, part=("gather", axes, part[2]))


def _assign_samples(rng: Any, dtype: Any) -> Any:
    x = draw(rng, dtype, 3, 4)
    return [
        ((x, draw(rng, dtype, 2)), {"part": ("slice", (1, (0, 4, 2)))}),
        ((x, draw(rng, dtype, 3, 3), np.array([0, 2, 2])), {"part": ("gather", (1,), False)}),
        (
            (x, draw(rng, dtype, 2), np.array([0, 2]), np.array([1, 3])),
            {"part": ("gather", (0, 1), True)},
        ),
    ]


def _declare_assign(function: Any) -> Linear:
    return _Assign(
        function,
        linear_in=((0, 1),),
        transpose_all=_assign_transpose,
        symbol="assign",
        latex=r"{0}[\cdot \leftarrow {1}]",
        value=_assign,
        type=_assign_type,
        batch=_assign_batch,
        samples=_assign_samples,
        can_fail=True,
    )


@_declare_assign
def assign(x: Any, value: Any, *indices: Any, part: Any) -> Any:
    """x with a part replaced by `value`, which has the part's shape.

    `part` is `("slice", key)` or `("gather", axes, unique)`; `unique` says that no place
    occurs twice.
    """
