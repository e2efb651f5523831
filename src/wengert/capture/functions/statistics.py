"""Order statistics, statistics that ignore NaN, and covariances."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from wengert.capture.functions import reducing
from wengert.capture.functions.joining import concatenate, cut
from wengert.capture.functions.reducing import nonzero_root
from wengert.capture.functions.registry import (
    axes_of,
    axis_of,
    implements,
    kept_shape,
    operand,
    reshaped,
)
from wengert.capture.functions.searching import sort
from wengert.capture.functions.selecting import known
from wengert.errors import ArgumentError, ShapeError
from wengert.graph import Traced
from wengert.ops import TABLE

__all__: list[str] = []

_where = TABLE["where"]


# ---------------------------------------------------------------- order statistics


def _sorted_last(a: Any, axis: Any, name: str, floats: bool = True) -> tuple[Any, tuple[int, ...]]:
    """The elements sorted along one last axis, in place of the given axes."""
    x = operand(a)
    if floats and x.dtype.kind != "f":
        x = TABLE["cast"](x, dtype=np.dtype(float))
    axes = axes_of(axis, x.ndim, name)
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    lined = TABLE["transpose"](x, axes=rest + axes)
    count = math.prod(x.shape[i] for i in axes)
    lined = reshaped(lined, (*(x.shape[i] for i in rest), count))
    if not count:
        raise ShapeError(f"{name}: of no elements")
    return sort(lined, -1), axes


def _element(ordered: Any, k: int) -> Any:
    return TABLE["slice_index"](ordered, key=(*((0, n, 1) for n in ordered.shape[:-1]), k))


def _between(ordered: Any, places: Any, method: str) -> Any:
    """The element at a place between 0 and n - 1, which need not be an integer."""
    low, high = math.floor(places), math.ceil(places)
    if method == "nearest":  # half a place goes to the even neighbour
        low = high = round(places)
    elif method == "lower":
        high = low
    elif method == "higher":
        low = high
    first = _element(ordered, low)
    if low == high:
        return first
    share = 0.5 if method == "midpoint" else places - low
    return first + (_element(ordered, high) - first) * share


def _nan_spreads(result: Any, ordered: Any) -> Any:
    # NaN is sorted to the end: then it is the result.
    if ordered.dtype.kind != "f":
        return result
    last = _element(ordered, ordered.shape[-1] - 1)
    return _where(TABLE["isnan"](last), last, result)


def _quantiles(name: str, a: Any, q: Any, axis: Any, method: str, keepdims: Any) -> Any:
    if isinstance(q, Traced):
        raise ArgumentError(f"{name}: q must be known numbers, not a traced value")
    if method not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise ArgumentError(f"{name}: method={method!r} is not available for traced values")
    wanted = np.asarray(q, float)
    if not ((wanted >= 0) & (wanted <= 1)).all():
        raise ArgumentError(f"{name}: q is out of its range")
    shape = operand(a).shape
    ordered, axes = _sorted_last(a, axis, name, method in ("linear", "midpoint"))
    if wanted.ndim and ordered.dtype.kind == "f" and ordered.dtype != float:
        ordered = TABLE["cast"](ordered, dtype=np.dtype(float))  # q is an array of doubles
    n = ordered.shape[-1]
    found = []
    for share in wanted.ravel():
        value = _nan_spreads(_between(ordered, float(share) * (n - 1), method), ordered)
        found.append(reshaped(value, kept_shape(shape, axes)) if keepdims else value)
    if wanted.ndim == 0:
        return found[0]
    if not found:
        raise ArgumentError(f"{name}: q is empty")
    rows = [reshaped(v, (1, *v.shape)) for v in found]
    return reshaped(concatenate(rows, 0), (*wanted.shape, *found[0].shape))


@implements(np.quantile)
def quantile(
    a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: bool = False
) -> Any:
    """Quantiles; their derivatives follow the elements they lie between."""
    return _quantiles("quantile", a, q, axis, method, keepdims)


@implements(np.percentile)
def percentile(
    a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: bool = False
) -> Any:
    """Quantiles, q in hundredths."""
    if isinstance(q, Traced):
        raise ArgumentError("percentile: q must be known numbers, not a traced value")
    return _quantiles("percentile", a, np.asarray(q) / 100.0, axis, method, keepdims)


@implements(np.median)
def median(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The middle element, or the mean of the two in the middle."""
    shape = operand(a).shape
    ordered, axes = _sorted_last(a, axis, "median")
    n = ordered.shape[-1]
    middle = _element(ordered, n // 2)
    if n % 2 == 0:
        middle = (_element(ordered, n // 2 - 1) + middle) / 2.0
    result = _nan_spreads(middle, ordered)
    return reshaped(result, kept_shape(shape, axes)) if keepdims else result


# ---------------------------------------------------------------- without NaN


def _without_nan(x: Any, neutral: float) -> Any:
    return _where(TABLE["isnan"](x), x.dtype.type(neutral), x) if x.dtype.kind == "f" else x


def _replacing(neutral: float, function: Callable[..., Any]) -> Callable[..., Any]:
    def ignoring(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        *,
        keepdims: Any = np._NoValue,
        initial: Any = np._NoValue,
        where: Any = np._NoValue,
    ) -> Any:
        """As the function without `nan`, but NaN counts as absent."""
        return function(
            _without_nan(operand(a), neutral),
            axis,
            dtype,
            keepdims=keepdims,
            initial=initial,
            where=where,
        )

    return ignoring


nansum = implements(np.nansum)(_replacing(0.0, reducing.sum))
nanprod = implements(np.nanprod)(_replacing(1.0, reducing.prod))


@implements(np.nancumsum)
def nancumsum(a: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Running sums in which NaN counts as 0."""
    return reducing.cumsum(_without_nan(operand(a), 0.0), axis, dtype)


@implements(np.nancumprod)
def nancumprod(a: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Running products in which NaN counts as 1."""
    return reducing.cumprod(_without_nan(operand(a), 1.0), axis, dtype)


def _present(x: Any, where: Any) -> Any:
    known = ~TABLE["isnan"](x)
    return known if where is np._NoValue or where is True else known & where


@implements(np.nanmean)
def nanmean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    keepdims: Any = np._NoValue,
    where: Any = np._NoValue,
) -> Any:
    """Mean of the elements that are not NaN."""
    x = operand(a)
    return reducing.mean(x, axis, dtype, keepdims=keepdims, where=_present(x, where))


@implements(np.nanvar)
def nanvar(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    ddof: float = 0,
    keepdims: Any = np._NoValue,
    where: Any = np._NoValue,
) -> Any:
    """Variance of the elements that are not NaN."""
    x = operand(a)
    return reducing.var(x, axis, dtype, ddof=ddof, keepdims=keepdims, where=_present(x, where))


@implements(np.nanstd)
def nanstd(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    ddof: float = 0,
    keepdims: Any = np._NoValue,
    where: Any = np._NoValue,
) -> Any:
    """Standard deviation of the elements that are not NaN; derivative 0 where it is 0."""
    return nonzero_root(nanvar(a, axis, dtype, ddof=ddof, keepdims=keepdims, where=where))


def _nan_extremum(name: str, a: Any, axis: Any, keepdims: Any) -> Any:
    x = operand(a)
    worst = -np.inf if name == "max" else np.inf
    function = reducing.max if name == "max" else reducing.min
    result = function(_without_nan(x, worst), axis, keepdims=keepdims)
    if x.dtype.kind != "f":
        return result
    absent = reducing.all(TABLE["isnan"](x), axis, keepdims=keepdims)
    return _where(absent, x.dtype.type(np.nan), result)


@implements(np.nanmax)
def nanmax(a: Any, axis: Any = None, *, keepdims: Any = np._NoValue) -> Any:
    """Largest element that is not NaN."""
    return _nan_extremum("max", a, axis, keepdims)


@implements(np.nanmin)
def nanmin(a: Any, axis: Any = None, *, keepdims: Any = np._NoValue) -> Any:
    """Smallest element that is not NaN."""
    return _nan_extremum("min", a, axis, keepdims)


@implements(np.nanargmax)
def nanargmax(a: Any, axis: Any = None, *, keepdims: Any = np._NoValue) -> Any:
    """Position of the first largest element that is not NaN."""
    return reducing.argmax(_without_nan(operand(a), -np.inf), axis, keepdims=keepdims)


@implements(np.nanargmin)
def nanargmin(a: Any, axis: Any = None, *, keepdims: Any = np._NoValue) -> Any:
    """Position of the first smallest element that is not NaN."""
    return reducing.argmin(_without_nan(operand(a), np.inf), axis, keepdims=keepdims)


# ---------------------------------------------------------------- covariances


@implements(np.cov)
def cov(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None) -> Any:
    """Covariance matrix of variables, which are rows (or columns)."""
    x = _variables(m, rowvar)
    if y is not None:
        x = concatenate([x, _variables(y, rowvar)], 0)
    if ddof is None:
        ddof = 0 if bias else 1
    n = x.shape[1]
    centred = x - reducing.mean(x, 1, keepdims=True)
    result = TABLE["contract"](centred, centred, spec="ik,jk->ij") / max(
        n - operator.index(ddof), 0
    )
    shape = tuple(k for k in result.shape if k != 1)
    return reshaped(result, shape)


def _variables(m: Any, rowvar: bool) -> Any:
    x = operand(m)
    if x.ndim > 2:
        raise ShapeError(f"cov: needs at most two axes, not shape {x.shape}")
    wide = np.result_type(x.dtype, float)
    if x.dtype != wide:
        x = TABLE["cast"](x, dtype=wide)
    if x.ndim < 2:
        return reshaped(x, (1, x.size))
    return x if rowvar or x.shape[0] == 1 else TABLE["transpose"](x, axes=(1, 0))


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Any:
    """Matrix of the correlation coefficients of variables."""
    c = cov(x, y, rowvar)
    if not c.ndim:
        return c / c
    deviation = TABLE["sqrt"](TABLE["diagonal"](c, offset=0, axis1=0, axis2=1))
    n = deviation.size
    scaled = c / reshaped(deviation, (n, 1)) / deviation
    return TABLE["maximum"](TABLE["minimum"](scaled, 1.0), -1.0)


@implements(np.trim_zeros)
def trim_zeros(filt: Any, trim: str = "fb", *, axis: Any = None) -> Any:
    """A sequence without the zeros at its ends."""
    x = operand(filt)
    if x.ndim != 1 or (axis is not None and axis_of(axis, 1, "trim_zeros")):
        raise ShapeError(f"trim_zeros: needs a sequence, not shape {x.shape}")
    places = np.nonzero(known(x))[0]
    start = int(places[0]) if "f" in trim.lower() and len(places) else 0
    stop = int(places[-1]) + 1 if "b" in trim.lower() and len(places) else x.size
    return cut(x, 0, start if len(places) else x.size, stop)
