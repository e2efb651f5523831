"""Reductions and scans along axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.capture.functions.registry import (
    axes_of,
    axis_of,
    fresh,
    implements,
    kept_shape,
    operand,
    reshaped,
)
from wengert.errors import ArgumentError
from wengert.graph import Traced
from wengert.ops import TABLE

__all__ = ["nonzero_root"]

_where = TABLE["where"]
_cast = TABLE["cast"]
_missing = np._NoValue


def _kept(result: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: Any) -> Any:
    if keepdims is _missing or not keepdims:
        return result
    return reshaped(result, kept_shape(shape, axes))


def _given(value: Any) -> bool:
    return value is not _missing and value is not None


def _in(x: Any, dtype: Any) -> Any:
    return x if dtype is None or x.dtype == dtype else _cast(x, dtype=np.dtype(dtype))


def _selected(x: Any, where: Any, neutral: Any) -> Any:
    if where is _missing or where is True:
        return x
    return _where(where, x, x.dtype.type(neutral))


def _like(x: Any, number: Any) -> Any:
    # As NumPy, in the dtype of the result: np.sum of integers with initial=2.5 begins with 2.
    return operand(number) if isinstance(number, Traced) else x.dtype.type(number)


def _counted(x: Any, axes: tuple[int, ...], where: Any) -> Any:
    """How many elements each result is made of: an integer, or an array where `where` chooses."""
    if where is _missing or where is True:
        return int(np.prod([x.shape[a] for a in axes], dtype=int))
    chosen = TABLE["broadcast_to"](where, shape=x.shape)
    return TABLE["reduce_sum"](chosen, axes=axes)


# ---------------------------------------------------------------- sums and products


@implements(np.sum)
def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    keepdims: Any = _missing,
    initial: Any = _missing,
    where: Any = _missing,
) -> Any:
    """Sum over axes."""
    x = _selected(_in(operand(a), dtype), where, 0)
    axes = axes_of(axis, x.ndim, "sum")
    total = _in(TABLE["reduce_sum"](x, axes=axes), dtype)
    if _given(initial):
        total = total + _like(total, initial)
    return _kept(total, x.shape, axes, keepdims)


@implements(np.prod)
def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    keepdims: Any = _missing,
    initial: Any = _missing,
    where: Any = _missing,
) -> Any:
    """Product over axes; its derivative is exact where elements are zero."""
    x = _selected(_in(operand(a), dtype), where, 1)
    axes = axes_of(axis, x.ndim, "prod")
    result = _product(x, axes)
    if _given(initial):
        result = result * _like(result, initial)
    return _kept(result, x.shape, axes, keepdims)


def _product(x: Any, axes: tuple[int, ...]) -> Any:
    if not axes:
        return _in(fresh(x), np.prod(np.ones(1, x.dtype)).dtype)
    rest = tuple(a for a in range(x.ndim) if a not in axes)
    lined = TABLE["transpose"](x, axes=rest + axes) if axes != tuple(range(x.ndim)) else x
    shape = tuple(x.shape[a] for a in rest)
    count = int(np.prod([x.shape[a] for a in axes], dtype=int))
    if count == 0:
        return np.ones(shape, TABLE["reduce_sum"](x, axes=axes).dtype)
    running = TABLE["cumprod"](reshaped(lined, (*shape, count)), axis=len(shape))
    last = (*((0, n, 1) for n in shape), count - 1)
    return TABLE["slice_index"](running, key=last)


@implements(np.mean)
def mean(
    a: Any, axis: Any = None, dtype: Any = None, *, keepdims: Any = _missing, where: Any = _missing
) -> Any:
    """Arithmetic mean over axes."""
    x = operand(a)
    own = np.dtype(dtype) if dtype is not None else _float_of(x)
    # As NumPy: half precision is summed in single, or a mean of large numbers overflows.
    x = _in(x, np.dtype(np.float32) if own == np.float16 and dtype is None else own)
    axes = axes_of(axis, x.ndim, "mean")
    total = TABLE["reduce_sum"](_selected(x, where, 0), axes=axes)
    result = _in(total / _counted(x, axes, where), own)
    return _kept(result, x.shape, axes, keepdims)


def _float_of(x: Any) -> Any:
    return x.dtype if x.dtype.kind == "f" else np.dtype(float)


@implements(np.var)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    ddof: float = 0,
    keepdims: Any = _missing,
    where: Any = _missing,
    mean: Any = _missing,
    correction: Any = _missing,
) -> Any:
    """Variance over axes."""
    x = operand(a)
    x = _in(x, dtype if dtype is not None else _float_of(x))
    axes = axes_of(axis, x.ndim, "var")
    if _given(correction):
        if ddof != 0:
            raise ArgumentError("var: ddof and correction can't be given both")
        ddof = correction
    count = _counted(x, axes, where)
    if _given(mean):
        middle = mean
    else:
        total = TABLE["reduce_sum"](_selected(x, where, 0), axes=axes)
        middle = reshaped(_in(total / count, x.dtype), kept_shape(x.shape, axes))
    squares = _selected(TABLE["square"](x - middle), where, 0)
    freedom = TABLE["maximum"](count - ddof, 0)
    result = _in(TABLE["reduce_sum"](squares, axes=axes) / freedom, x.dtype)
    return _kept(result, x.shape, axes, keepdims)


@implements(np.std)
def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    ddof: float = 0,
    keepdims: Any = _missing,
    where: Any = _missing,
    mean: Any = _missing,
    correction: Any = _missing,
) -> Any:
    """Standard deviation over axes. Where it is 0 its derivative, which does not exist, is 0."""
    return nonzero_root(
        var(
            a,
            axis,
            dtype,
            ddof=ddof,
            keepdims=keepdims,
            where=where,
            mean=mean,
            correction=correction,
        )
    )


def nonzero_root(x: Any) -> Any:
    """Square root with derivative 0 at 0 (a subgradient of the norms that are made of it)."""
    return _where(x != 0, TABLE["sqrt"](x), x.dtype.type(0))


@implements(np.average)
def average(
    a: Any,
    axis: Any = None,
    weights: Any = None,
    returned: bool = False,
    *,
    keepdims: Any = _missing,
) -> Any:
    """Weighted mean."""
    x = operand(a)
    axes = axes_of(axis, x.ndim, "average")
    if weights is None:
        result = mean(x, axis, keepdims=keepdims)
        total: Any = np.full(result.shape, _counted(x, axes, _missing), result.dtype)[()]
    else:
        w = operand(weights)
        if w.shape != x.shape:
            expected = tuple(x.shape[a] for a in axes)
            if axis is None or w.shape != expected:
                raise ArgumentError(
                    f"average: weights of shape {w.shape} for an array of shape {x.shape} and "
                    f"axis={axis}"
                )
            w = reshaped(w, tuple(n if a in axes else 1 for a, n in enumerate(x.shape)))
            w = TABLE["broadcast_to"](w, shape=x.shape)
        dtype = np.result_type(x.dtype, w.dtype)
        dtype = dtype if dtype.kind == "f" else np.dtype(float)
        total = sum(w, axes, dtype, keepdims=keepdims)
        result = sum(x * w, axes, dtype, keepdims=keepdims) / total
    return (result, total) if returned else result


# ---------------------------------------------------------------- extrema


def _extremum(name: str, a: Any, axis: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    x = operand(a)
    axes = axes_of(axis, x.ndim, name)
    pair = TABLE["maximum" if name == "max" else "minimum"]
    if where is not _missing and where is not True:
        if initial is _missing:
            raise ArgumentError(f"{name}: where= needs initial=, the result of no elements")
        x = _where(where, x, _like(x, initial))
    if initial is not _missing and any(x.shape[a] == 0 for a in axes):
        shape = tuple(n for a, n in enumerate(x.shape) if a not in axes)
        return _kept(TABLE["broadcast_to"](_like(x, initial), shape=shape), x.shape, axes, keepdims)
    result = TABLE[f"reduce_{name}"](x, axes=axes)
    if initial is not _missing:
        result = pair(result, _like(x, initial))
    return _kept(result, x.shape, axes, keepdims)


@implements(np.max, np.amax)
def max(
    a: Any,
    axis: Any = None,
    *,
    keepdims: Any = _missing,
    initial: Any = _missing,
    where: Any = _missing,
) -> Any:
    """Largest element over axes; ties share the derivative equally."""
    return _extremum("max", a, axis, keepdims, initial, where)


@implements(np.min, np.amin)
def min(
    a: Any,
    axis: Any = None,
    *,
    keepdims: Any = _missing,
    initial: Any = _missing,
    where: Any = _missing,
) -> Any:
    """Smallest element over axes; ties share the derivative equally."""
    return _extremum("min", a, axis, keepdims, initial, where)


@implements(np.ptp)
def ptp(a: Any, axis: Any = None, *, keepdims: Any = _missing) -> Any:
    """Range: largest less smallest element."""
    return max(a, axis, keepdims=keepdims) - min(a, axis, keepdims=keepdims)


def _position(name: str, a: Any, axis: Any, keepdims: Any) -> Any:
    x = operand(a)
    if axis is None:
        found = TABLE[name](reshaped(x, (x.size,)), axis=0)
        return _kept(found, x.shape, tuple(range(x.ndim)), keepdims)
    number = axis_of(axis, x.ndim, name)
    return _kept(TABLE[name](x, axis=number), x.shape, (number,), keepdims)


@implements(np.argmax)
def argmax(a: Any, axis: Any = None, *, keepdims: Any = _missing) -> Any:
    """Position of the first largest element."""
    return _position("argmax", a, axis, keepdims)


@implements(np.argmin)
def argmin(a: Any, axis: Any = None, *, keepdims: Any = _missing) -> Any:
    """Position of the first smallest element."""
    return _position("argmin", a, axis, keepdims)


# ---------------------------------------------------------------- truth


def _truth(name: str, a: Any, axis: Any, keepdims: Any, where: Any, neutral: bool) -> Any:
    x = operand(a)
    axes = axes_of(axis, x.ndim, name)
    if where is not _missing and where is not True:
        x = _where(where, x != 0, np.bool_(neutral))
    return _kept(TABLE[f"reduce_{name}"](x, axes=axes), x.shape, axes, keepdims)


@implements(np.all)
def all(a: Any, axis: Any = None, *, keepdims: Any = _missing, where: Any = _missing) -> Any:
    """Whether all elements are true."""
    return _truth("all", a, axis, keepdims, where, True)


@implements(np.any)
def any_(a: Any, axis: Any = None, *, keepdims: Any = _missing, where: Any = _missing) -> Any:
    """Whether any element is true."""
    return _truth("any", a, axis, keepdims, where, False)


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """How many elements are not zero."""
    return sum(operand(a) != 0, axis, keepdims=keepdims)


# ---------------------------------------------------------------- scans


def _lined(a: Any, axis: Any, dtype: Any, name: str) -> tuple[Any, int]:
    x = _in(operand(a), dtype)
    if axis is None:
        return reshaped(x, (x.size,)), 0
    return x, axis_of(axis, x.ndim, name)


@implements(np.cumsum)
def cumsum(a: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Running sums."""
    x, number = _lined(a, axis, dtype, "cumsum")
    return TABLE["cumsum"](x, axis=number, reverse=False)


@implements(np.cumprod)
def cumprod(a: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Running products."""
    x, number = _lined(a, axis, dtype, "cumprod")
    return TABLE["cumprod"](x, axis=number)


def _with_initial(result: Any, axis: int, value: float) -> Any:
    shape = tuple(1 if a == axis else n for a, n in enumerate(result.shape))
    return TABLE["concatenate"](np.full(shape, value, result.dtype), result, axis=axis)


def _cumulative_axis(x: Any, axis: Any, name: str) -> Any:
    if axis is None and x.ndim > 1:
        raise ArgumentError(f"{name}: axis= is needed for an array with {x.ndim} axes")
    return -1 if axis is None else axis


@implements(getattr(np, "cumulative_sum", None))
def cumulative_sum(
    x: Any, /, *, axis: Any = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """Running sums along an axis, from 0 if `include_initial`."""
    axis = _cumulative_axis(x, axis, "cumulative_sum")
    result = cumsum(x, axis, dtype)
    if not include_initial:
        return result
    return _with_initial(result, axis_of(axis, result.ndim, "cumulative_sum"), 0)


@implements(getattr(np, "cumulative_prod", None))
def cumulative_prod(
    x: Any, /, *, axis: Any = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """Running products along an axis, from 1 if `include_initial`."""
    axis = _cumulative_axis(x, axis, "cumulative_prod")
    result = cumprod(x, axis, dtype)
    if not include_initial:
        return result
    return _with_initial(result, axis_of(axis, result.ndim, "cumulative_prod"), 1)


# ---------------------------------------------------------------- exponentials


@implements("logsumexp")
def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False) -> Any:
    """log(sum(b * exp(a))) over axes, without overflow; the signature is SciPy's.

    Where every element is -inf the result is -inf, and its derivative 0.
    """
    x = operand(a)
    x = _in(x, _float_of(x))
    axes = axes_of(axis, x.ndim, "logsumexp")
    if b is not None:
        b = operand(b)
        shape = np.broadcast_shapes(x.shape, b.shape)
        x = TABLE["broadcast_to"](x, shape=shape)
    top = TABLE["stop_gradient"](TABLE["reduce_max"](x, axes=axes))
    top = _where(TABLE["isfinite"](top), top, x.dtype.type(0))
    terms = TABLE["exp"](x - reshaped(top, kept_shape(x.shape, axes)))
    total = TABLE["reduce_sum"](terms if b is None else terms * b, axes=axes)
    result = _where(total != 0, TABLE["log"](total) + top, x.dtype.type(-np.inf))
    return _kept(result, x.shape, axes, keepdims)


@implements("log_softmax")
def log_softmax(x: Any, axis: Any = -1) -> Any:
    """x - logsumexp(x) along axes: the logarithm of `softmax`."""
    x = operand(x)
    return x - logsumexp(x, axis, keepdims=True)


@implements("softmax")
def softmax(x: Any, axis: Any = -1) -> Any:
    """exp(x) / sum(exp(x)) along axes (by default the last), without overflow."""
    x = operand(x)
    x = _in(x, _float_of(x))
    axes = axes_of(axis, x.ndim, "softmax")
    top = TABLE["stop_gradient"](TABLE["reduce_max"](x, axes=axes))
    weights = TABLE["exp"](x - reshaped(top, kept_shape(x.shape, axes)))
    total = TABLE["reduce_sum"](weights, axes=axes)
    return weights / reshaped(total, kept_shape(x.shape, axes))
