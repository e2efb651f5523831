"""Operators as walks (`codegen.walk`): what moves numbers, and contractions without BLAS.

`walks` is the one entry: the walks that compute an operator, or None if none do. A reversed or
strided part of an array is a *view* here, an offset and a stride per axis, as in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.codegen.kernel import WalkSpec
from wengert.graph import Type
from wengert.graph.tuples import NamedTuple

__all__ = ["TARGET", "Walk", "safe_walks", "turned_copy", "walks", "whole_copy", "zero_fill"]

#: The number of the result among the arrays of a walk; operands are numbered from 0.
TARGET = -1
_KINDS = "fiub"


class Walk(NamedTuple):
    """One walk: its structure, the arrays (operand numbers, or `TARGET`) in the order of its slots,
    and the numbers that follow the slots among its arguments."""

    spec: WalkSpec
    arrays: list[int]
    numbers: list[int]


class View(NamedTuple):
    """Part of an array: elements at `offset + sum(index * stride)`."""

    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]


def whole(shape: Sequence[int]) -> View:
    """All of a contiguous array."""
    strides = [math.prod(shape[a + 1 :]) for a in range(len(shape))]
    return View(0, tuple(shape), tuple(strides))


def part(view: View, key: Sequence[Any]) -> View:
    """A view's part under a static key: an integer or (start, stop, step) per axis."""
    offset, sizes, strides = view.offset, [], []
    for k, stride in zip(key, view.strides, strict=True):
        if isinstance(k, int):
            offset += k * stride
        else:
            offset += k[0] * stride
            sizes.append(len(range(*k)))
            strides.append(k[2] * stride)
    return View(offset, tuple(sizes), tuple(strides))


def walks(op: Any, types: Sequence[Any], params: dict[str, Any], result: Any) -> list[Walk] | None:
    """The walks that compute `op`, one after the other, or None."""
    rule = _RULES.get(op.name)
    simple = [isinstance(t, Type) and _moves(t.dtype) for t in (*types, result)]
    if rule is None or not all(simple):
        return None
    found: list[Walk] | None = rule(types, result, **params)
    return found


def safe_walks(
    op: Any, types: Sequence[Any], params: dict[str, Any], result: Any
) -> list[Walk] | None:
    """As `walks`, but not for products, which BLAS computes faster, nor where there is nothing to
    write, or nothing to read from. Indices must be checked beforehand (see `indices`)."""
    if op.name == "contract" or not isinstance(result, Type) or not result.size:
        return None
    if any(isinstance(t, Type) and not t.size for t in types):
        return None
    return walks(op, types, params, result)


def _moves(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in _KINDS and dtype.isnative and dtype.str[1:] not in ("f2", "f16", "f12")


def _walk(
    kind: str,
    dtype: Any,
    arrays: list[int],
    views: Sequence[View],
    *,
    indices: Sequence[tuple[int, Any, View, int, int]] = (),
    into_target: bool = False,
    summed: int = 0,
) -> list[Walk]:
    """A walk over views of equal sizes; the target's comes first. Empty walks are left out.

    indices : per index array its operand number, dtype, view, and the length and stride of the
        axis that it points along
    """
    all_views = [*views, *(view for _, _, view, _, _ in indices)]
    sizes = all_views[-1].sizes
    if 0 in (sizes[: len(sizes) - summed] if summed else sizes):
        return []
    sizes, strides = _simplified(sizes, [v.strides for v in all_views], summed)
    rank = len(sizes)
    outer = rank - min(summed, rank)
    if kind == "dot":
        unit = (
            outer > 0
            and strides[0][outer - 1] == 1 == strides[2][outer - 1]
            and (strides[1][outer - 1] == 0)
        )
    else:
        unit = rank > 0 and not indices and all(s[-1] == 1 for s in strides) and kind != "plus"
    tiled = (
        kind == "copy"
        and rank > 1
        and not (indices or unit)
        and abs(strides[1][-2]) < abs(strides[1][-1])
    )
    pointing = tuple(d for _, d, _, _, _ in indices)
    spec = WalkSpec(kind, dtype, rank, pointing, into_target, rank - outer, unit, tiled)
    numbers = [v.offset for v in views] + list(sizes)
    for own in strides:
        numbers += own
    numbers += [length for *_, length, _ in indices] + [stride for *_, stride in indices]
    return [Walk(spec, [*arrays, *(k for k, *_ in indices)], numbers)]


def _simplified(
    sizes: tuple[int, ...], strides: list[tuple[int, ...]], summed: int
) -> tuple[tuple[int, ...], list[list[int]]]:
    """Axes of length 1 dropped, and neighbours merged where all arrays allow it.

    The last `summed` axes stay apart from the others; one of them is kept.
    """
    kept: list[int] = []
    lengths: list[int] = []
    found: list[list[int]] = [[] for _ in strides]
    border = len(sizes) - summed
    for a, n in enumerate(sizes):
        if n == 1 and not (summed and a == len(sizes) - 1 and all(k < border for k in kept)):
            continue
        joins = (
            bool(kept)
            and (kept[-1] < border) == (a < border)
            and all(own[-1] == n * s[a] for own, s in zip(found, strides, strict=True))
        )
        if joins:
            lengths[-1] *= n
            for own, s in zip(found, strides, strict=True):
                own[-1] = s[a]
            kept[-1] = a
        else:
            kept.append(a)
            lengths.append(n)
            for own, s in zip(found, strides, strict=True):
                own.append(s[a])
    return tuple(lengths), found


def whole_copy(type_: Type) -> list[Walk] | None:
    """A copy of operand 0, whose shape may be another one of the same size."""
    if not _moves(type_.dtype) or not type_.size:
        return None
    flat = Type((type_.size,), type_.dtype)
    return _copy(flat, whole(flat.shape), whole(flat.shape))


def turned_copy(shape: tuple[int, int], dtype: np.dtype[Any]) -> list[Walk]:
    """The transpose of operand 0, a matrix of this shape."""
    types = [Type(shape, dtype)]
    return _transpose(types, Type(shape[::-1], dtype), (1, 0))


def zero_fill(type_: Type) -> list[Walk]:
    """Zeros."""
    return _zero(type_)


# ---------------------------------------------------------------- rules


def _copy(result: Any, target: View, source: View, operand: int = 0) -> list[Walk]:
    return _walk("copy", result.dtype, [TARGET, operand], [target, source])


def _zero(result: Any) -> list[Walk]:
    return _walk("zero", result.dtype, [TARGET], [whole(result.shape)])


def _transpose(types: Any, result: Any, axes: Any) -> list[Walk]:
    strides = whole(types[0].shape).strides
    return _copy(
        result, whole(result.shape), View(0, result.shape, tuple(strides[a] for a in axes))
    )


def _broadcast(types: Any, result: Any, shape: Any) -> list[Walk]:
    own = types[0].shape
    extra = len(shape) - len(own)
    strides = [0] * extra + [
        0 if n == 1 else s for n, s in zip(own, whole(own).strides, strict=True)
    ]
    return _copy(result, whole(shape), View(0, tuple(shape), tuple(strides)))


def _slice(types: Any, result: Any, key: Any) -> list[Walk]:
    return _copy(result, whole(result.shape), part(whole(types[0].shape), key))


def _concatenate(types: Any, result: Any, axis: int) -> list[Walk]:
    found, start = [], 0
    for k, t in enumerate(types):
        key = [(0, n, 1) for n in t.shape]
        key[axis] = (start, start + t.shape[axis], 1)
        found += _copy(result, part(whole(result.shape), key), whole(t.shape), k)
        start += t.shape[axis]
    return found


def _pad(types: Any, result: Any, widths: Any) -> list[Walk]:
    key = [(a, a + n, 1) for n, (a, _) in zip(types[0].shape, widths, strict=True)]
    target = part(whole(result.shape), key)
    return [*_zero(result), *_copy(result, target, whole(types[0].shape))]


def _diagonal(types: Any, result: Any, offset: int, axis1: int, axis2: int) -> list[Walk]:
    strides = whole(types[0].shape).strides
    start = max(-offset, 0) * strides[axis1] + max(offset, 0) * strides[axis2]
    rest = [s for a, s in enumerate(strides) if a not in (axis1, axis2)]
    view = View(start, result.shape, (*rest, strides[axis1] + strides[axis2]))
    return _copy(result, whole(result.shape), view)


def _gather(types: Any, result: Any, axes: Any) -> list[Walk] | None:
    x, *indices = types
    return _indexed("copy", x.shape, result, indices, axes, [TARGET, 0], 1, into_target=False)


def _indexed(
    kind: str,
    shape: Any,
    moved: Any,
    indices: Any,
    axes: Any,
    arrays: list[int],
    first: int,
    *,
    into_target: bool,
) -> list[Walk]:
    """Elements of an array of `shape` at indices, against those of a contiguous array `moved`."""
    strides = whole(shape).strides
    lead = np.broadcast_shapes(*[i.shape for i in indices])
    rest = [a for a in range(len(shape)) if a not in axes]
    addressed = View(0, moved.shape, (*[0] * len(lead), *[strides[a] for a in rest]))
    plain = whole(moved.shape)
    pointers = []
    for k, (index, axis) in enumerate(zip(indices, axes, strict=True), start=first):
        own = index.shape
        steps = [0 if n == 1 else s for n, s in zip(own, whole(own).strides, strict=True)]
        view = View(0, moved.shape, (*[0] * (len(lead) - len(own)), *steps, *[0] * len(rest)))
        pointers.append((k, index.dtype, view, shape[axis], strides[axis]))
    views = [addressed, plain] if into_target else [plain, addressed]
    return _walk(kind, moved.dtype, arrays, views, indices=pointers, into_target=into_target)


def _into(types: Any, result: Any, kind: str, description: Any, first: int) -> list[Walk]:
    """Walks that put the operand number `first` into the part of the result that is described."""
    value = types[first]
    if description[0] == "slice":
        target = part(whole(result.shape), description[1])
        return _walk(kind, result.dtype, [TARGET, first], [target, whole(value.shape)])
    indices = types[first + 1 : first + 1 + len(description[1])]
    return _indexed(
        kind,
        result.shape,
        value,
        indices,
        description[1],
        [TARGET, first],
        first + 1,
        into_target=True,
    )


def _scattered(types: Any, result: Any, parts: Any, first: int) -> list[Walk]:
    found: list[Walk] = []
    for description in parts:
        found += _into(types, result, "add", description, first)
        first += 1 if description[0] == "slice" else 1 + len(description[1])
    return found


def _scatter_sum(types: Any, result: Any, shape: Any, parts: Any) -> list[Walk]:
    return [*_zero(result), *_scattered(types, result, parts, 0)]


def _scatter_add(types: Any, result: Any, parts: Any) -> list[Walk]:
    base = _copy(result, whole(result.shape), whole(result.shape))
    return [*base, *_scattered(types, result, parts, 1)]


def _assign(types: Any, result: Any, part: Any) -> list[Walk]:
    base = _copy(result, whole(result.shape), whole(result.shape))
    return [*base, *_into(types, result, "copy", part, 1)]


def _cumsum(types: Any, result: Any, axis: int, reverse: bool) -> list[Walk] | None:
    if types[0].dtype != result.dtype:
        return None
    n = result.shape[axis]
    if n == 0:
        return []
    everything = whole(result.shape)

    def along(start: int, stop: int) -> View:
        key: list[Any] = [(0, m, 1) for m in result.shape]
        key[axis] = (n - 1 - start, n - 1 - stop, -1) if reverse else (start, stop, 1)
        return part(everything, key)

    # The scan must run along the axis in order: it is the outermost one of the walk.
    def outermost(view: View) -> View:
        order = [axis, *(a for a in range(len(view.sizes)) if a != axis)]
        return View(
            view.offset, tuple(view.sizes[a] for a in order), tuple(view.strides[a] for a in order)
        )

    first = _copy(result, along(0, 1), along(0, 1))
    rest = _walk(
        "plus",
        result.dtype,
        [TARGET, 0, TARGET],
        [outermost(v) for v in (along(1, n), along(1, n), along(0, n - 1))],
    )
    return [*first, *rest]


def _contract(types: Any, result: Any, spec: str) -> list[Walk] | None:
    if result.dtype.kind == "b":
        return None
    operands, out = spec.split("->")
    left, right = operands.split(",")
    size = dict(zip(left + right, (*types[0].shape, *types[1].shape), strict=True))
    summed = [c for c in left if c not in out]
    if any(size[c] == 0 for c in summed):
        return _zero(result)
    letters = [*out, *summed]

    def view(own: str, shape: Any) -> View:
        strides = dict(zip(own, whole(shape).strides, strict=True))
        return View(0, tuple(size[c] for c in letters), tuple(strides.get(c, 0) for c in letters))

    a, b = view(left, types[0].shape), view(right, types[1].shape)
    order = [0, 1]
    if out and b.strides[len(out) - 1] != 1 and a.strides[len(out) - 1] == 1:
        order, a, b = [1, 0], b, a  # the operand that is contiguous along the last axis second
    if not summed:
        letters.append("")
        size[""] = 1
        a, b = (View(v.offset, (*v.sizes, 1), (*v.strides, 0)) for v in (a, b))
    target = view(out, result.shape)
    return _walk("dot", result.dtype, [TARGET, *order], [target, a, b], summed=len(summed) or 1)


_RULES: dict[str, Callable[..., list[Walk] | None]] = {
    "transpose": _transpose,
    "broadcast_to": _broadcast,
    "slice_index": _slice,
    "concatenate": _concatenate,
    "pad": _pad,
    "diagonal": _diagonal,
    "gather": _gather,
    "scatter_sum": _scatter_sum,
    "scatter_add": _scatter_add,
    "assign": _assign,
    "cumsum": _cumsum,
    "contract": _contract,
}
