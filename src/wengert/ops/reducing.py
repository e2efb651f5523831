"""Reductions and scans along axes. `reduce_sum` stands with the shape operators.

Conventions: where several elements attain a maximum or minimum, each gets an equal share of the
derivative. `prod` and `cumprod` have exact derivatives where elements are zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.graph.types import Type
from wengert.ops.comparing import where
from wengert.ops.indexing import slice_index
from wengert.ops.linear import discrete, general, linear
from wengert.ops.record import type_error
from wengert.ops.structural import broadcast_to, draw, pad, reduce_sum, reshape, same_dtype

Axes = tuple[int, ...]


def _reduced(x: Type, axes: Axes) -> tuple[int, ...]:
    return tuple(n for a, n in enumerate(x.shape) if a not in axes)


def _axes_type(op: Any, x: Type, axes: Axes) -> Type:
    if any(not 0 <= a < x.ndim for a in axes):
        raise type_error(op, f"axes below {x.ndim}, not {axes}", [x])
    if op.name in ("reduce_max", "reduce_min") and any(x.shape[a] == 0 for a in axes):
        raise type_error(op, "at least one element along each reduced axis", [x])
    return x.with_shape(_reduced(x, axes))


def _bool_type(op: Any, x: Type, axes: Axes) -> Type:
    return Type(_reduced(x, axes), np.dtype(bool))


def _shifted(axes: Axes) -> Axes:
    return tuple(a + 1 for a in axes)


def _axes_samples(rng: Any, dtype: Any) -> Any:
    def distinct(*shape: int) -> Any:
        count = int(np.prod(shape))
        return ((rng.permutation(count) + 1.0).reshape(shape) / count).astype(dtype)

    return [((distinct(2, 3, 4),), {"axes": axes}) for axes in ((1,), (0, 2), (0, 1, 2))]


def _kept(y: Any, x: Any, axes: Axes) -> Any:
    shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    return reshape(y, shape=shape)


def _extremum_jvp(y: Any, xs: Any, tangents: Any, axes: Axes) -> Any:
    (x,), (t,) = xs, tangents
    attained = x == _kept(y, x, axes)
    zero = x.dtype.type(0)
    count = reduce_sum(where(attained, x.dtype.type(1), zero), axes=axes)
    return reduce_sum(where(attained, t, zero), axes=axes) / count


@general(
    value=lambda x, axes: np.max(x, axis=axes),
    type=_axes_type,
    jvp=_extremum_jvp,
    batch=lambda args, batched, size, axes: reduce_max(args[0], axes=_shifted(axes)),
    symbol="max",
    latex=r"\max {0}",
    samples=_axes_samples,
)
def reduce_max(x: Any, *, axes: Axes) -> Any:
    """Largest element over axes; ties share the derivative equally."""


@general(
    value=lambda x, axes: np.min(x, axis=axes),
    type=_axes_type,
    jvp=_extremum_jvp,
    batch=lambda args, batched, size, axes: reduce_min(args[0], axes=_shifted(axes)),
    symbol="min",
    latex=r"\min {0}",
    samples=_axes_samples,
)
def reduce_min(x: Any, *, axes: Axes) -> Any:
    """Smallest element over axes; ties share the derivative equally."""


def _bool_samples(rng: Any, dtype: Any) -> Any:
    return [((rng.uniform(size=(2, 3)) > 0.5,), {"axes": (1,)})]


@discrete(
    value=lambda x, axes: np.all(x, axis=axes),
    type=_bool_type,
    symbol="all",
    batch=lambda args, batched, size, axes: reduce_all(args[0], axes=_shifted(axes)),
    latex=r"\forall {0}",
    samples=_bool_samples,
)
def reduce_all(x: Any, *, axes: Axes) -> Any:
    """Whether all elements are true."""


@discrete(
    value=lambda x, axes: np.any(x, axis=axes),
    type=_bool_type,
    symbol="any",
    batch=lambda args, batched, size, axes: reduce_any(args[0], axes=_shifted(axes)),
    latex=r"\exists {0}",
    samples=_bool_samples,
)
def reduce_any(x: Any, *, axes: Axes) -> Any:
    """Whether any element is true."""


def _position_type(op: Any, x: Type, axis: int) -> Type:
    return Type(_axes_type(op, x, (axis,)).shape, np.intp)


def _axis_samples(rng: Any, dtype: Any) -> Any:
    return [((draw(rng, dtype, 2, 3, 4),), {"axis": 1})]


@discrete(
    value=lambda x, axis: np.argmax(x, axis=axis),
    type=_position_type,
    symbol="argmax",
    batch=lambda args, batched, size, axis: argmax(args[0], axis=axis + 1),
    latex=r"\arg\max {0}",
    samples=_axis_samples,
)
def argmax(x: Any, *, axis: int) -> Any:
    """Position of the first largest element along an axis."""


@discrete(
    value=lambda x, axis: np.argmin(x, axis=axis),
    type=_position_type,
    symbol="argmin",
    batch=lambda args, batched, size, axis: argmin(args[0], axis=axis + 1),
    latex=r"\arg\min {0}",
    samples=_axis_samples,
)
def argmin(x: Any, *, axis: int) -> Any:
    """Position of the first smallest element along an axis."""


# ---------------------------------------------------------------- scans


def _along_type(op: Any, *xs: Type, axis: int, **_: Any) -> Type:
    x = xs[0]
    if not 0 <= axis < x.ndim or any(other.shape != x.shape for other in xs):
        raise type_error(op, f"equal shapes with more than {axis} axes", xs)
    return x


def _along_axis(x: Any, axis: int, start: int, stop: int) -> Any:
    key = [(0, n, 1) for n in x.shape]
    key[axis] = (start, stop, 1)
    return slice_index(x, key=tuple(key))


def _predecessor(x: Any, axis: int, reverse: bool) -> Any:
    # The element before each one in the direction of the scan; 0 before the first.
    n = x.shape[axis]
    widths = [(0, 0)] * x.ndim
    widths[axis] = (0, 1) if reverse else (1, 0)
    start, stop = (1, n) if reverse else (0, n - 1)
    return pad(_along_axis(x, axis, start, stop), widths=tuple(widths)) if n else x


def _cumsum(x: Any, axis: int, reverse: bool) -> Any:
    return np.flip(np.cumsum(np.flip(x, axis), axis), axis) if reverse else np.cumsum(x, axis)


def _cumsum_type(op: Any, x: Type, axis: int, reverse: bool) -> Type:
    from_sum = {"b": np.int_, "i": np.int_, "u": np.uint}
    kind = from_sum.get(x.dtype.kind)
    checked = _along_type(op, x, axis=axis)
    return checked if kind is None else checked.with_dtype(np.result_type(x.dtype, kind))


@linear(
    linear_in=((0,),),
    value=_cumsum,
    type=_cumsum_type,
    transpose=lambda k, ct, x, axis, reverse: cumsum(ct, axis=axis, reverse=not reverse),
    batch=lambda args, batched, size, axis, reverse: cumsum(
        args[0], axis=axis + 1, reverse=reverse
    ),
    symbol="cumsum",
    latex=r"\operatorname{{cumsum}} {0}",
    samples=lambda rng, dtype: [
        ((draw(rng, dtype, 3, 4),), {"axis": 1, "reverse": r}) for r in (False, True)
    ],
)
def cumsum(x: Any, *, axis: int, reverse: bool = False) -> Any:
    """Running sums along an axis, from the end if `reverse`."""


def _recurrence(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    out = np.array(b, copy=True)
    steps = np.moveaxis(out, axis, 0)
    factors = np.moveaxis(np.asarray(a), axis, 0)
    order = range(len(steps) - 2, -1, -1) if reverse else range(1, len(steps))
    back = 1 if reverse else -1
    for i in order:
        steps[i] += factors[i] * steps[i + back]
    return out


def _recurrence_transpose(k: int, ct: Any, a: Any, b: Any, axis: int, reverse: bool) -> Any:
    # b_bar_i = ct_i + a_(i+1) b_bar_(i+1): the same recurrence, run the other way.
    return linear_recurrence(_predecessor(a, axis, not reverse), ct, axis=axis, reverse=not reverse)


def _recurrence_jvp(k: int, h: Any, xs: Any, a_dot: Any, axis: int, reverse: bool) -> Any:
    # h_i = a_i h_(i-1) + b_i, hence h_dot_i = a_i h_dot_(i-1) + a_dot_i h_(i-1).
    drive = a_dot * _predecessor(h, axis, reverse)
    return linear_recurrence(xs[0], drive, axis=axis, reverse=reverse)


def _recurrence_batch(args: Any, batched: Any, size: int, axis: int, reverse: bool) -> Any:
    whole = [
        x if b else broadcast_to(x, shape=(size, *x._type.shape))
        for x, b in zip(args, batched, strict=True)
    ]
    return linear_recurrence(*whole, axis=axis + 1, reverse=reverse)


def _recurrence_samples(rng: Any, dtype: Any) -> Any:
    return [
        ((draw(rng, dtype, 3, 4), draw(rng, dtype, 3, 4)), {"axis": 1, "reverse": r})
        for r in (False, True)
    ]


@linear(
    linear_in=((1,),),
    transpose=_recurrence_transpose,
    jvp=_recurrence_jvp,
    value=_recurrence,
    type=_along_type,
    batch=_recurrence_batch,
    promote=same_dtype,
    symbol="recurrence",
    latex=r"h_i = {0}_i h_{{i-1}} + {1}_i",
    samples=_recurrence_samples,
)
def linear_recurrence(a: Any, b: Any, *, axis: int, reverse: bool = False) -> Any:
    """h with h_i = a_i h_(i-1) + b_i along an axis; a_0 is not used."""


def _cumprod_jvp(y: Any, xs: Any, tangents: Any, axis: int) -> Any:
    (x,), (t,) = xs, tangents
    n = x.shape[axis]
    first = np.zeros([n if a == axis else 1 for a in range(x.ndim)], x.dtype)
    if n:
        first[(0,) * x.ndim] = 1
    before = _predecessor(y, axis, False) + first
    return linear_recurrence(x, before * t, axis=axis, reverse=False)


def _zero_samples(rng: Any, dtype: Any) -> Any:
    x = draw(rng, dtype, 3, 4)
    x[1, 2] = x[2, 0] = x[2, 3] = 0.0
    return [((x,), {"axis": 1}), ((x,), {"axis": 0})]


@general(
    value=lambda x, axis: np.cumprod(x, axis),
    jvp=_cumprod_jvp,
    type=lambda op, x, axis: _cumsum_type(op, x, axis, False),
    batch=lambda args, batched, size, axis: cumprod(args[0], axis=axis + 1),
    symbol="cumprod",
    latex=r"\operatorname{{cumprod}} {0}",
    samples=_zero_samples,
)
def cumprod(x: Any, *, axis: int) -> Any:
    """Running products along an axis."""
