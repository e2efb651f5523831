"""Differences, convolutions, interpolation and polynomials."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from wengert.capture.functions import reducing
from wengert.capture.functions.creating import vander
from wengert.capture.functions.joining import concatenate, cut
from wengert.capture.functions.registry import (
    axes_of,
    axis_of,
    fresh,
    implements,
    kept_shape,
    operand,
    reshaped,
)
from wengert.capture.functions.searching import searchsorted
from wengert.capture.functions.selecting import known
from wengert.errors import ArgumentError, ShapeError
from wengert.ops import TABLE

__all__ = ["diff"]

_where = TABLE["where"]


# ---------------------------------------------------------------- differences


@implements(np.diff)
def diff(
    a: Any, n: int = 1, axis: int = -1, prepend: Any = np._NoValue, append: Any = np._NoValue
) -> Any:
    """The n-th differences of neighbours along an axis."""
    x = operand(a)
    number = axis_of(axis, x.ndim, "diff")
    if n < 0:
        raise ArgumentError(f"diff: n must not be negative, not {n}")
    if n == 0:
        return x
    ends = [None if v is np._NoValue else _end(operand(v), x, number) for v in (prepend, append)]
    parts = [p for p in (ends[0], x, ends[1]) if p is not None]
    result = x if len(parts) == 1 else concatenate(parts, number)
    subtract = TABLE["not_equal" if result.dtype.kind == "b" else "subtract"]
    for _ in range(n):
        length = result.shape[number]
        result = subtract(cut(result, number, 1, length), cut(result, number, 0, length - 1))
    return result


def _end(value: Any, x: Any, axis: int) -> Any:
    if value.ndim:
        return value
    shape = tuple(1 if i == axis else n for i, n in enumerate(x.shape))
    return TABLE["broadcast_to"](value, shape=shape)


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbours of the flattened array, with given values at the ends."""
    x = operand(ary)
    flat = reshaped(x, (x.size,))
    parts = [operand(v) for v in (to_begin, diff(flat), to_end) if v is not None]
    if not all(np.can_cast(p.dtype, x.dtype, "same_kind") for p in parts):
        raise ArgumentError(f"ediff1d: to_begin and to_end must fit the dtype {x.dtype}")
    parts = [p if p.dtype == x.dtype else TABLE["cast"](p, dtype=x.dtype) for p in parts]
    flats = [reshaped(p, (p.size,)) for p in parts]
    return flats[0] if len(flats) == 1 else concatenate(flats)


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Slopes by differences of second order in the inside, first (or second) at the ends."""
    x = operand(f)
    axes = axes_of(axis, x.ndim, "gradient")
    if axis is not None and isinstance(axis, (tuple, list)):
        axes = tuple(axis_of(i, x.ndim, "gradient") for i in axis)
    if edge_order not in (1, 2):
        raise ArgumentError(f"gradient: edge_order must be 1 or 2, not {edge_order}")
    spacings = list(varargs) if len(varargs) != 1 else list(varargs) * len(axes)
    if varargs and len(varargs) not in (1, len(axes)):
        raise ArgumentError(f"gradient: {len(varargs)} spacings for {len(axes)} axes")
    found = [
        _slopes(x, spacing, number, edge_order)
        for number, spacing in zip(axes, spacings or [1.0] * len(axes), strict=True)
    ]
    return found[0] if len(found) == 1 else tuple(found)


def _slopes(f: Any, spacing: Any, axis: int, edge_order: int) -> Any:
    n = f.shape[axis]
    if n < edge_order + 1:
        raise ShapeError(f"gradient: axis {axis} needs {edge_order + 1} elements, not {n}")
    f = f if f.dtype.kind == "f" else TABLE["cast"](f, dtype=np.dtype(float))
    h: Any = spacing if isinstance(spacing, (int, float)) else operand(spacing)
    along = np.ndim(h) > 0
    if along:
        if h.shape != (n,):
            raise ShapeError(f"gradient: coordinates of shape {h.shape} for axis of length {n}")
        h = diff(h)
        h = reshaped(h, tuple(n - 1 if i == axis else 1 for i in range(f.ndim)))

    def step(k: int) -> Any:
        return cut(h, axis, k, k + 1) if along else h

    def at(k: int) -> Any:
        return cut(f, axis, k, k + 1)

    parts = [
        _edge(
            [at(0), at(1), at(2)] if edge_order == 2 else [at(0), at(1)],
            [step(0), step(1)] if edge_order == 2 else [step(0)],
        )
    ]
    if n > 2:
        before, after = (cut(h, axis, 0, n - 2), cut(h, axis, 1, n - 1)) if along else (h, h)
        middle = cut(f, axis, 1, n - 1)
        rise, fall = cut(f, axis, 2, n) - middle, middle - cut(f, axis, 0, n - 2)
        if along:
            inner = (rise / after * before + fall / before * after) / (before + after)
        else:
            inner = (rise + fall) / (2.0 * h)
        parts.append(inner)
    if edge_order == 2:
        # The same formula read backwards; the differences change their sign twice.
        parts.append(-_edge([at(n - 1), at(n - 2), at(n - 3)], [step(n - 2), step(n - 3)]))
    else:
        parts.append((at(n - 1) - at(n - 2)) / step(n - 2))
    return concatenate(parts, axis, dtype=f.dtype)


def _edge(f: list[Any], h: list[Any]) -> Any:
    first = (f[1] - f[0]) / h[0]
    if len(f) == 2:
        return first
    second = (f[2] - f[1]) / h[1]
    return first - h[0] * (second - first) / (h[0] + h[1])


@implements(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 6.283185307179586) -> Any:
    """With jumps of half a period or more replaced by their complement."""
    x = operand(p)
    number = axis_of(axis, x.ndim, "unwrap")
    n = x.shape[number]
    steps = diff(x, axis=number)
    half = period / 2.0
    folded = TABLE["remainder"](steps + half, period) - half
    folded = _where((folded == -half) & (steps > 0), half, folded)
    limit = half if discont is None else discont
    correction = _where(TABLE["absolute"](steps) < limit, x.dtype.type(0), folded - steps)
    rest = cut(x, number, 1, n) + TABLE["cumsum"](correction, axis=number, reverse=False)
    return concatenate([cut(x, number, 0, min(n, 1)), rest], number)


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """Integral by the trapezoidal rule."""
    y = operand(y)
    number = axis_of(axis, y.ndim, "trapezoid")
    n = y.shape[number]
    upper, lower = cut(y, number, 1, n), cut(y, number, 0, n - 1)
    if x is not None:
        x = operand(x)
        dx = diff(x, axis=number if x.ndim > 1 else 0)
        if x.ndim == 1:
            dx = reshaped(dx, kept_shape(upper.shape, set(range(y.ndim)) - {number}))
    return reducing.sum(dx * (upper + lower) / 2.0, number)


# ---------------------------------------------------------------- convolution


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """Discrete convolution of two sequences."""
    x, y = _sequences(a, v, "convolve")
    if y.size > x.size:
        x, y = y, x
    return _convolved(x, TABLE["slice_index"](y, key=((y.size - 1, -1, -1),)), mode)


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """Cross-correlation of two sequences."""
    x, y = _sequences(a, v, "correlate")
    if y.size > x.size:
        swapped = _convolved(y, x, mode)
        return TABLE["slice_index"](swapped, key=((swapped.size - 1, -1, -1),))
    return _convolved(x, y, mode)


def _sequences(a: Any, v: Any, name: str) -> tuple[Any, Any]:
    x, y = operand(a), operand(v)
    x, y = (reshaped(s, (1,)) if not s.ndim else s for s in (x, y))
    if x.ndim != 1 or y.ndim != 1 or not x.size or not y.size:
        raise ShapeError(
            f"{name}: needs two sequences that are not empty, not shapes {x.shape} and {y.shape}"
        )
    return x, y


def _convolved(x: Any, y: Any, mode: str) -> Any:
    """Products of y with the windows of x, which is not shorter."""
    n, m = x.size, y.size
    if mode in ("full", 2):
        left, right = m - 1, m - 1
    elif mode in ("same", 1):
        left, right = m // 2, m - 1 - m // 2
    elif mode in ("valid", 0):
        left, right = 0, 0
    else:
        raise ArgumentError(f"convolve: mode must be 'full', 'same' or 'valid', not {mode!r}")
    padded = TABLE["pad"](x, widths=((left, right),))
    places = np.arange(n + left + right - m + 1)[:, None] + np.arange(m)
    windows = TABLE["gather"](padded, places, axes=(0,))
    return TABLE["contract"](windows, y, spec="ij,j->i")


# ---------------------------------------------------------------- interpolation


@implements(np.interp)
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """Piecewise linear interpolation; differentiable in x, xp and fp."""
    at, places, values = operand(x), operand(xp), operand(fp)
    if places.ndim != 1 or places.shape != values.shape or not places.size:
        raise ShapeError(
            f"interp: xp and fp must be sequences of one length, not of shapes "
            f"{places.shape} and {values.shape}"
        )
    at, places, values = (
        v if v.dtype == np.float64 else TABLE["cast"](v, dtype=np.dtype(float))
        for v in (at, places, values)
    )
    if period is not None:
        at, places, values = _periodic(at, places, values, period)
        left = right = None
    n = places.size
    first = TABLE["slice_index"](values, key=(0,)) if left is None else left
    last = TABLE["slice_index"](values, key=(n - 1,)) if right is None else right
    low, high = (TABLE["slice_index"](places, key=(k,)) for k in (0, n - 1))
    if n > 1:
        k = searchsorted(places, at, "right") - 1
        k = TABLE["minimum"](TABLE["maximum"](k, 0), n - 2)
        x0, x1 = (TABLE["gather"](places, k + i, axes=(0,)) for i in (0, 1))
        y0, y1 = (TABLE["gather"](values, k + i, axes=(0,)) for i in (0, 1))
        inside = y0 + (y1 - y0) / (x1 - x0) * (at - x0)
    else:
        inside = TABLE["slice_index"](values, key=(0,))
    result = _where(at < low, first, inside)
    return _where(at > high, last, result)


def _periodic(at: Any, places: Any, values: Any, period: Any) -> tuple[Any, Any, Any]:
    if not period:
        raise ArgumentError("interp: period must not be 0")
    period = TABLE["absolute"](operand(period))
    at, places = at % period, places % period
    order = TABLE["argsort"](places, axis=0)
    places, values = (TABLE["gather"](v, order, axes=(0,)) for v in (places, values))
    n = places.size
    places = concatenate([cut(places, 0, n - 1, n) - period, places, cut(places, 0, 0, 1) + period])
    values = concatenate([cut(values, 0, n - 1, n), values, cut(values, 0, 0, 1)])
    return at, places, values


# ---------------------------------------------------------------- polynomials


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """Value of a polynomial by Horner's rule, coefficients from the highest power on."""
    coefficients, at = operand(p), operand(x)
    if coefficients.ndim != 1:
        raise ShapeError(f"polyval: coefficients of shape {coefficients.shape} are no sequence")
    result: Any = np.zeros(at.shape, at.dtype)
    for k in range(coefficients.size):
        c = TABLE["slice_index"](coefficients, key=(k,))
        result = result * at + c if k else fresh(TABLE["broadcast_to"](c, shape=at.shape))
    return result


@implements(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Any:
    """Sum of two polynomials."""
    x, y = _sequences(a1, a2, "polyadd")
    n = max(x.size, y.size)
    x, y = (TABLE["pad"](v, widths=((n - v.size, 0),)) for v in (x, y))
    return x + y


@implements(np.polysub)
def polysub(a1: Any, a2: Any) -> Any:
    """Difference of two polynomials."""
    return polyadd(a1, -operand(a2))


@implements(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """Product of two polynomials, without leading zeros of the factors."""
    x, y = _sequences(a1, a2, "polymul")
    return convolve(_leading(x), _leading(y))


def _leading(p: Any) -> Any:
    places = np.flatnonzero(known(p))
    return cut(p, 0, int(places[0]) if places.size else p.size - 1, p.size)


@implements(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """Derivative of a polynomial."""
    x = operand(p)
    for _ in range(operator.index(m)):
        n = x.size
        x = cut(x, 0, 0, n - 1) * np.arange(n - 1, 0, -1)
    return x


@implements(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """Antiderivative of a polynomial."""
    x = operand(p)
    constants = operand(np.zeros(m) if k is None else k)
    constants = reshaped(constants, (1,)) if not constants.ndim else constants
    if constants.size == 1 and m > 1:
        constants = TABLE["broadcast_to"](constants, shape=(m,))
    if constants.size != m:
        raise ShapeError(f"polyint: {constants.size} constants for m={m}")
    for i in range(operator.index(m)):
        x = concatenate([x / np.arange(x.size, 0, -1), cut(constants, 0, i, i + 1)])
    return x


@implements(np.polyfit)
def polyfit(x: Any, y: Any, deg: Any) -> Any:
    """Coefficients of the polynomial that fits best by least squares."""
    at, values = operand(x), operand(y)
    if at.ndim != 1 or values.ndim not in (1, 2) or at.shape[0] != values.shape[0]:
        raise ShapeError(f"polyfit: shapes {at.shape} and {values.shape} do not fit")
    powers = vander(at, operator.index(deg) + 1)
    scale = TABLE["sqrt"](TABLE["reduce_sum"](powers * powers, axes=(0,)))
    inverse = TABLE["pinv"](powers / scale, rcond=float(at.size * np.finfo(at.dtype).eps))
    found = TABLE["contract"](inverse, values, spec="ij,j->i" if values.ndim == 1 else "ij,jk->ik")
    return found / (scale if values.ndim == 1 else reshaped(scale, (scale.size, 1)))


@implements(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """Sums of weights by the integers in x, whose largest decides the length."""
    numbers = operand(x)
    values = known(numbers)
    if numbers.ndim != 1 or values.dtype.kind not in "iu" or values.min(initial=0) < 0:
        raise ArgumentError("bincount: x must be a sequence of integers that are not negative")
    size = max(int(values.max(initial=-1)) + 1, operator.index(minlength))
    given = np.ones(numbers.shape, np.intp) if weights is None else operand(weights)
    if weights is not None and given.dtype != np.float64:
        given = TABLE["cast"](given, dtype=np.dtype(float))
    if given.shape != numbers.shape:
        raise ShapeError(f"bincount: weights of shape {given.shape} for x of {numbers.shape}")
    return TABLE["scatter_sum"](given, numbers, shape=(size,), parts=(("gather", (0,)),))
