"""Shape operators: they move or repeat numbers without changing them, and are all linear.

Each transposes into another of them: `broadcast_to` into `reduce_sum` and back, `reshape` and
`transpose` into themselves, `concatenate` into slices, `pad` into a slice.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wengert.errors import ArgumentError
from wengert.graph.types import Type
from wengert.ops.elementwise import unbroadcast
from wengert.ops.linear import linear
from wengert.ops.record import TABLE, type_error

__all__ = ["same_dtype"]


def draw(rng: Any, dtype: Any, *shape: int) -> Any:
    """A test sample."""
    return rng.uniform(-2.0, 2.0, shape).astype(dtype)


def same_dtype(op: Any, kinds: Any) -> Any:
    """Promotion rule: one common dtype, NumPy's."""
    dtypes = [np.dtype(k) for k in kinds if not isinstance(k, type)]
    weak = [k(0) for k in kinds if isinstance(k, type)]
    common = np.result_type(*dtypes, *weak)
    return (common,) * len(kinds)


# ---------------------------------------------------------------- reshape


def _reshape_type(op: Any, x: Type, shape: tuple[int, ...]) -> Type:
    if math.prod(shape) != x.size:
        raise type_error(
            op,
            f"{math.prod(shape)} elements for shape {shape}",
            [x],
            hint="the product of the new shape must equal the number of elements",
        )
    return x.with_shape(shape)


@linear(
    linear_in=((0,),),
    symbol="reshape",
    latex=r"\operatorname{{reshape}} {0}",
    value=lambda x, shape: np.reshape(x, shape),
    type=_reshape_type,
    transpose=lambda k, ct, x, shape: reshape(ct, shape=x.shape),
    batch=lambda args, batched, size, shape: reshape(args[0], shape=(size, *shape)),
    samples=lambda rng, dtype: [
        ((draw(rng, dtype, 2, 6),), {"shape": (3, 4)}),
        ((draw(rng, dtype, 1),), {"shape": ()}),
    ],
)
def reshape(x: Any, *, shape: tuple[int, ...]) -> Any:
    """The same elements, in C order, with another shape."""


# ---------------------------------------------------------------- transpose


def _transpose_type(op: Any, x: Type, axes: tuple[int, ...]) -> Type:
    if sorted(axes) != list(range(x.ndim)):
        raise type_error(op, f"each of the {x.ndim} axes once, not axes={axes}", [x])
    return x.with_shape(tuple(x.shape[a] for a in axes))


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def _transpose_batch(args: Any, batched: Any, size: int, axes: tuple[int, ...]) -> Any:
    return transpose(args[0], axes=(0, *(a + 1 for a in axes)))


@linear(
    linear_in=((0,),),
    symbol="transpose",
    latex=r"{0}^\top",
    value=lambda x, axes: np.transpose(x, axes),
    type=_transpose_type,
    transpose=lambda k, ct, x, axes: transpose(ct, axes=_inverse(axes)),
    batch=_transpose_batch,
    samples=lambda rng, dtype: [((draw(rng, dtype, 2, 3, 4),), {"axes": (2, 0, 1)})],
)
def transpose(x: Any, *, axes: tuple[int, ...]) -> Any:
    """The axes in another order: axis i of the result is axis axes[i] of x."""


# ---------------------------------------------------------------- broadcast and sum


def _broadcast_type(op: Any, x: Type, shape: tuple[int, ...]) -> Type:
    extra = len(shape) - x.ndim
    if extra < 0 or any(n not in (1, m) for n, m in zip(x.shape, shape[extra:], strict=True)):
        raise type_error(op, f"a shape that broadcasts to {shape}", [x])
    return x.with_shape(shape)


def _broadcast_batch(args: Any, batched: Any, size: int, shape: tuple[int, ...]) -> Any:
    (x,) = args
    own = x._type.shape
    aligned = (size, *[1] * (len(shape) + 1 - len(own)), *own[1:])
    return broadcast_to(reshape(x, shape=aligned), shape=(size, *shape))


@linear(
    linear_in=((0,),),
    symbol="broadcast",
    latex=r"\operatorname{{broadcast}} {0}",
    value=lambda x, shape: np.broadcast_to(x, shape),
    type=_broadcast_type,
    transpose=lambda k, ct, x, shape: unbroadcast(ct, x._type),
    batch=_broadcast_batch,
    samples=lambda rng, dtype: [
        ((draw(rng, dtype, 3, 1),), {"shape": (2, 3, 4)}),
        ((draw(rng, dtype),), {"shape": (2,)}),
    ],
)
def broadcast_to(x: Any, *, shape: tuple[int, ...]) -> Any:
    """The array repeated along new axes and along axes of length 1."""


def _sum_type(op: Any, x: Type, axes: tuple[int, ...]) -> Type:
    if any(not 0 <= a < x.ndim for a in axes) or len(set(axes)) != len(axes):
        raise type_error(op, f"different axes below {x.ndim}, not {axes}", [x])
    shape = tuple(n for a, n in enumerate(x.shape) if a not in axes)
    # As np.sum: booleans and small integers are summed as platform integers.
    dtype = np.result_type(x.dtype, np.int_) if x.dtype.kind in "bi" else x.dtype
    return Type(shape, np.result_type(x.dtype, np.uint) if x.dtype.kind == "u" else dtype)


def _sum_transpose(k: int, ct: Any, x: Any, axes: tuple[int, ...]) -> Any:
    kept = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    return broadcast_to(reshape(ct, shape=kept), shape=x.shape)


@linear(
    linear_in=((0,),),
    symbol="Σ",
    latex=r"\sum {0}",
    value=lambda x, axes: np.sum(x, axis=axes),
    type=_sum_type,
    transpose=_sum_transpose,
    batch=lambda args, batched, size, axes: reduce_sum(args[0], axes=tuple(a + 1 for a in axes)),
    samples=lambda rng, dtype: [
        ((draw(rng, dtype, 2, 3, 4),), {"axes": axes}) for axes in ((0,), (0, 2), (), (0, 1, 2))
    ],
)
def reduce_sum(x: Any, *, axes: tuple[int, ...]) -> Any:
    """Sum over axes, which disappear."""


# ---------------------------------------------------------------- concatenate and pad


def _concatenate_type(op: Any, *xs: Type, axis: int) -> Type:
    first = xs[0]
    if not 0 <= axis < first.ndim:
        raise type_error(op, f"an axis below {first.ndim}, not {axis}", xs)
    rest = first.shape[:axis] + first.shape[axis + 1 :]
    for x in xs:
        if x.ndim != first.ndim or x.shape[:axis] + x.shape[axis + 1 :] != rest:
            raise type_error(op, f"equal shapes except along axis {axis}", xs)
    total = sum(x.shape[axis] for x in xs)
    return first.with_shape((*first.shape[:axis], total, *first.shape[axis + 1 :]))


def _concatenate_transpose(ct: Any, needed: Any, xs: Any, axis: int) -> list[Any]:
    found, start = [], 0
    key = [(0, n, 1) for n in ct.shape]
    for x, need in zip(xs, needed, strict=True):
        stop = start + x.shape[axis]
        key[axis] = (start, stop, 1) if stop > start else (0, 0, 1)
        found.append(TABLE["slice_index"](ct, key=tuple(key)) if need else None)
        start = stop
    return found


def _concatenate_batch(args: Any, batched: Any, size: int, axis: int) -> Any:
    whole = [
        a if b else broadcast_to(a, shape=(size, *a._type.shape))
        for a, b in zip(args, batched, strict=True)
    ]
    return concatenate(*whole, axis=axis + 1)


@linear(
    linear_in=None,
    symbol="concatenate",
    latex=r"[{0}, \dots]",
    value=lambda *xs, axis: np.concatenate(xs, axis=axis),
    type=_concatenate_type,
    transpose_all=_concatenate_transpose,
    batch=_concatenate_batch,
    promote=same_dtype,
    samples=lambda rng, dtype: [
        ((draw(rng, dtype, 2, 3), draw(rng, dtype, 2, 1), draw(rng, dtype, 2, 2)), {"axis": 1})
    ],
)
def concatenate(*xs: Any, axis: int) -> Any:
    """Arrays joined along an axis they have."""


def _pad_type(op: Any, x: Type, widths: tuple[tuple[int, int], ...]) -> Type:
    if len(widths) != x.ndim or any(w < 0 for pair in widths for w in pair):
        raise ArgumentError(f"pad: expected {x.ndim} pairs of widths >= 0, not {widths}")
    return x.with_shape(tuple(n + a + b for n, (a, b) in zip(x.shape, widths, strict=True)))


def _pad(x: Any, widths: tuple[tuple[int, int], ...]) -> Any:
    # Faster than np.pad for small arrays, and right for arrays without axes.
    out = np.zeros([n + a + b for n, (a, b) in zip(x.shape, widths, strict=True)], x.dtype)
    out[tuple([slice(a, a + n) for n, (a, _) in zip(x.shape, widths, strict=True)])] = x
    return out if out.ndim else out[()]


def _pad_transpose(k: int, ct: Any, x: Any, widths: tuple[tuple[int, int], ...]) -> Any:
    key = tuple((a, a + n, 1) for n, (a, _) in zip(x.shape, widths, strict=True))
    return TABLE["slice_index"](ct, key=key)


@linear(
    linear_in=((0,),),
    symbol="pad",
    latex=r"\operatorname{{pad}} {0}",
    value=_pad,
    type=_pad_type,
    transpose=_pad_transpose,
    batch=lambda args, batched, size, widths: pad(args[0], widths=((0, 0), *widths)),
    samples=lambda rng, dtype: [((draw(rng, dtype, 2, 3),), {"widths": ((1, 0), (0, 2))})],
)
def pad(x: Any, *, widths: tuple[tuple[int, int], ...]) -> Any:
    """The array surrounded by zeros: `widths` holds (before, after) per axis."""


# ---------------------------------------------------------------- order


def _after_batch(args: Any, batched: Any, size: int) -> Any:
    x, y = args
    return after(x if batched[0] else broadcast_to(x, shape=(size, *x._type.shape)), y)


@linear(
    linear_in=((0,),),
    symbol="after",
    latex=r"{0}",
    value=lambda x, y: x,
    type=lambda op, x, y: x,
    transpose=lambda k, ct, x, y: ct if k == 0 else None,
    batch=_after_batch,
    samples=lambda rng, dtype: [((draw(rng, dtype, 2, 3), draw(rng, dtype, 4)), {})],
)
def after(x: Any, y: Any) -> Any:
    """`x` itself, to be read only when `y` has been computed: what is computed from it can't be
    taken for the same computation done before."""
