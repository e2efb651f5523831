"""Creating arrays, and asking for their facts.

Inside a transformation (`grad`, `vmap`, …) `wengert.numpy`'s creation functions give traced arrays,
which can be assigned to: `out = wnp.zeros(3); out[0] = x`. Outside they give NumPy's arrays.
Integer ranges stay NumPy arrays everywhere, since they are used as indices.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from wengert.capture.functions.registry import (
    PUBLIC,
    axis_of,
    checked,
    contains_traced,
    fresh,
    implements,
    operand,
)
from wengert.capture.functions.shaping import shape_argument
from wengert.capture.variable import FUNCTIONS, Variable
from wengert.errors import ArgumentError
from wengert.graph import Traced, current_tape
from wengert.ops import TABLE

__all__ = ["astype", "traced_here"]


def traced_here(array: Any) -> Any:
    """A NumPy array as a variable of the transformation that is running, if there is one."""
    tape = current_tape()
    return array if tape is None else tape.constant(array)


def creates(*functions: Any, floats_only: bool = False) -> Callable[[Any], Any]:
    """Register what `wengert.numpy` exports under the names of NumPy's creation functions.

    The decorated function, if it is one, serves arguments that contain traced values.
    """

    def register(implementation: Any) -> Any:
        for function in functions:
            PUBLIC["", function.__name__] = _creating(function, implementation, floats_only)
        return implementation

    return register


def _creating(function: Any, implementation: Any, floats_only: bool) -> Any:
    served = None if implementation is None else checked(function, implementation)

    @functools.wraps(function)
    def create(*args: Any, **kwargs: Any) -> Any:
        if served is not None and contains_traced((args, tuple(kwargs.values()))):
            return served(*args, **kwargs)
        made = function(*args, **kwargs)
        return made if floats_only and made.dtype.kind != "f" else traced_here(made)

    return create


creates(np.zeros, np.ones, np.empty, np.eye, np.identity, np.tri)(None)
creates(np.arange, floats_only=True)(None)


@implements(np.astype if hasattr(np, "astype") else None)
def astype(x: Any, dtype: Any, /, *, copy: bool = True) -> Any:
    """The numbers in another dtype."""
    a = operand(x)
    if a.dtype == dtype:
        return fresh(a) if copy else a
    return TABLE["cast"](a, dtype=np.dtype(dtype))


FUNCTIONS["astype"] = astype


@creates(np.array)
def array(object: Any, dtype: Any = None, *, copy: bool | None = True, ndmin: int = 0) -> Any:
    """An array from a number, an array or nested lists that contain traced values."""
    made = operand(object)
    if dtype is not None and made.dtype != dtype:
        made = TABLE["cast"](made, dtype=np.dtype(dtype))
    elif copy and made is object:
        made = fresh(made)
    if made.ndim < ndmin:
        made = TABLE["reshape"](made, shape=(1,) * (ndmin - made.ndim) + tuple(made.shape))
    return made


@creates(np.asarray, np.asanyarray, np.ascontiguousarray)
def asarray(a: Any, dtype: Any = None) -> Any:
    """As `array`, but without a copy if that is possible."""
    return array(a, dtype, copy=None)


@creates(np.full)
def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """An array filled with a traced number or array."""
    value = operand(fill_value)
    value = value if dtype is None else astype(value, dtype)
    return fresh(TABLE["broadcast_to"](value, shape=shape_argument(shape, "full")))


@implements(np.full_like)
def full_like(a: Any, fill_value: Any, dtype: Any = None, *, shape: Any = None) -> Any:
    """An array with the shape and dtype of another, filled with a number or an array."""
    x = operand(a)
    value = operand(fill_value)
    value = astype(value, x.dtype if dtype is None else dtype)
    shape = x.shape if shape is None else shape_argument(shape, "full_like")
    if isinstance(value, Traced):
        return fresh(TABLE["broadcast_to"](value, shape=shape))
    return _constant_like(a, np.broadcast_to(value, shape))


def _constant_like(a: Any, array: Any) -> Any:
    # A variable, so that traced values can be assigned into it.
    tape = current_tape() or a._tape
    if array.size and array.ndim and not any(array.strides):
        one = tape.constant(array[(0,) * array.ndim])
        return TABLE["broadcast_to"](one, shape=array.shape)
    return tape.constant(array)


@implements(np.zeros_like)
def zeros_like(a: Any, dtype: Any = None, *, shape: Any = None) -> Any:
    """Zeros with the shape and dtype of another array."""
    return full_like(a, 0, dtype, shape=shape)


@implements(np.empty_like)
def empty_like(prototype: Any, dtype: Any = None, *, shape: Any = None) -> Any:
    """Zeros with the shape and dtype of another array: nothing is left undefined."""
    return full_like(prototype, 0, dtype, shape=shape)


@implements(np.ones_like)
def ones_like(a: Any, dtype: Any = None, *, shape: Any = None) -> Any:
    """Ones with the shape and dtype of another array."""
    return full_like(a, 1, dtype, shape=shape)


@implements(np.copy)
def copy(a: Any) -> Any:
    """A copy, which shares nothing with the original."""
    return fresh(operand(a))


@implements(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Evenly spaced numbers from start to stop, which may be traced arrays."""
    weak = [v if isinstance(v, (int, float)) else operand(v).dtype for v in (start, stop)]
    real = np.result_type(*weak, 0.0)
    first, last = (astype(v, real, copy=False) for v in (start, stop))
    count = int(num)
    if count < 0:
        raise ArgumentError(f"linspace: the number of points must not be negative: {num}")
    parts = count - 1 if endpoint else count
    shape = np.broadcast_shapes(first.shape, last.shape)
    steps = (np.arange(count) / max(parts, 1)).astype(real).reshape(count, *[1] * len(shape))
    # Written so that both ends are exact.
    result = (1.0 - steps) * first + steps * last
    if dtype is not None:
        if np.dtype(dtype).kind in "iu":
            result = TABLE["floor"](result)
        result = astype(result, dtype)
    number = axis_of(axis, result.ndim, "linspace")
    if number:
        order = (*range(1, number + 1), 0, *range(number + 1, result.ndim))
        result = TABLE["transpose"](result, axes=order)
    return (result, (last - first) / max(parts, 1)) if retstep else result


@implements(np.logspace)
def logspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Numbers evenly spaced on a logarithmic scale: base to the powers that `linspace` gives."""
    result = TABLE["power"](base, linspace(start, stop, num, endpoint, axis=axis))
    return result if dtype is None else astype(result, dtype)


@implements(np.geomspace)
def geomspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    """Numbers whose neighbours have one ratio, from start to stop (of one sign)."""
    wide = np.result_type(operand(start).dtype, operand(stop).dtype, float)
    first, last = (astype(v, wide, copy=False) for v in (start, stop))
    zero = (first - first) * 0.0 + (last - last) * 0.0
    shares = linspace(zero, zero + 1.0, num, endpoint, axis=axis)
    if axis not in (0, -shares.ndim) and first.ndim + last.ndim:
        raise ArgumentError("geomspace: axis= is not available for traced arrays")
    result = first * TABLE["power"](last / first, shares)
    return result if dtype is None else astype(result, dtype)


@implements(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """Coordinate arrays from coordinate vectors."""
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: indexing must be 'xy' or 'ij', not {indexing!r}")
    vectors = [operand(x) for x in xi]
    n = len(vectors)
    order = list(range(n))
    if indexing == "xy" and n > 1:
        order[0], order[1] = 1, 0
    shape = [1] * n
    for x, axis in zip(vectors, order, strict=True):
        shape[axis] = x.size
    grids = []
    for x, axis in zip(vectors, order, strict=True):
        own = TABLE["reshape"](x, shape=tuple(x.size if a == axis else 1 for a in range(n)))
        grids.append(own if sparse else fresh(TABLE["broadcast_to"](own, shape=tuple(shape))))
    return tuple(grids)


@implements(np.vander)
def vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    """Powers of a vector as columns."""
    v = operand(x)
    count = v.size if N is None else int(N)
    wide = np.promote_types(v.dtype, int)
    v = v if v.dtype == wide else TABLE["cast"](v, dtype=wide)
    powers = range(count) if increasing else range(count - 1, -1, -1)
    if not count:
        return np.zeros((v.size, 0), v.dtype)
    columns = [TABLE["reshape"](TABLE["integer_power"](v, n=p), shape=(v.size, 1)) for p in powers]
    return TABLE["concatenate"](*columns, axis=1)


# ---------------------------------------------------------------- facts


@implements(np.shape)
def shape(a: Any) -> tuple[int, ...]:
    """Length of each axis."""
    return tuple(operand(a).shape)


@implements(np.ndim)
def ndim(a: Any) -> int:
    """Number of axes."""
    return int(operand(a).ndim)


@implements(np.size)
def size(a: Any, axis: Any = None) -> int:
    """Number of elements, in all or along an axis."""
    x = operand(a)
    if axis is None:
        return int(x.size)
    axes = axis if isinstance(axis, tuple) else (axis,)
    return int(np.prod([x.shape[axis_of(i, x.ndim, "size")] for i in axes], dtype=int))


def _kinds(values: Any) -> list[Any]:
    return [v.dtype if isinstance(v, Variable) else v for v in values]


@implements(np.result_type)
def result_type(*arrays_and_dtypes: Any) -> Any:
    """NumPy's common dtype."""
    return np.result_type(*_kinds(arrays_and_dtypes))


@implements(np.common_type)
def common_type(*arrays: Any) -> Any:
    """NumPy's common float type."""
    return np.common_type(
        *[np.empty(0, k) if isinstance(k, np.dtype) else k for k in _kinds(arrays)]
    )


@implements(np.can_cast)
def can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """Whether a dtype can be cast to another."""
    first, second = _kinds((from_, to))
    return np.can_cast(first, second, casting)


@implements(np.min_scalar_type)
def min_scalar_type(a: Any) -> Any:
    """The dtype of the traced value."""
    return a.dtype


@implements(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """False: traced values are real."""
    return False


@implements(np.isrealobj)
def isrealobj(x: Any) -> bool:
    """True: traced values are real."""
    return True


@implements(np.iscomplex)
def iscomplex(x: Any) -> Any:
    """False everywhere: traced values are real."""
    return np.zeros(operand(x).shape, bool)


@implements(np.isreal)
def isreal(x: Any) -> Any:
    """True everywhere: traced values are real."""
    return np.ones(operand(x).shape, bool)


@implements(np.shares_memory, np.may_share_memory)
def shares_memory(a: Any, b: Any, /) -> bool:
    """Whether one is the other, or a view of it, or both are views of one array."""
    return _root(a) is _root(b)


def _root(x: Any) -> Any:
    while isinstance(x, Variable) and hasattr(x, "_base"):
        x = x._base
    return x


@implements(np.array_str)
def array_str(a: Any, *args: Any, **kwargs: Any) -> str:
    """The text of `str`."""
    return np.array_str(a._value(), *args, **kwargs)


@implements(np.array_repr)
def array_repr(arr: Any, *args: Any, **kwargs: Any) -> str:
    """The text of `repr`."""
    return np.array_repr(arr._value(), *args, **kwargs)


@implements(np.array2string)
def array2string(a: Any, *args: Any, **kwargs: Any) -> str:
    """The numbers as text."""
    return np.array2string(np.asarray(a._value()), *args, **kwargs)
