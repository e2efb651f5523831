"""The methods of `Variable`: NumPy's functions, with the variable as first argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wengert.capture.functions import (
    contracting,
    creating,
    reducing,
    searching,
    selecting,
    shaping,
    ufuncs,
)
from wengert.capture.functions.registry import axis_of, fresh
from wengert.capture.variable import FUNCTIONS, Variable, _in_place
from wengert.errors import ArgumentError

__all__: list[str] = []

# Methods whose arguments are those of the function of the same name.
_SAME = (
    np.all,
    np.any,
    np.argmax,
    np.argmin,
    np.argpartition,
    np.argsort,
    np.clip,
    np.copy,
    np.cumprod,
    np.cumsum,
    np.diagonal,
    np.dot,
    np.max,
    np.mean,
    np.min,
    np.nonzero,
    np.prod,
    np.ravel,
    np.repeat,
    np.searchsorted,
    np.std,
    np.sum,
    np.swapaxes,
    np.squeeze,
    np.take,
    np.trace,
    np.var,
    np.choose,
)


def _method(function: Any) -> Callable[..., Any]:
    implementation = FUNCTIONS[function]

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return implementation(self, *args, **kwargs)

    method.__name__ = method.__qualname__ = function.__name__
    method.__doc__ = implementation.__doc__
    return method


for _function in _SAME:
    setattr(Variable, _function.__name__, _method(_function))


def _attached(function: Callable[..., Any]) -> Callable[..., Any]:
    name = function.__name__
    setattr(Variable, name if name.startswith("_") else name.rstrip("_"), function)
    return function


def _unpacked(args: tuple[Any, ...]) -> Any:
    # x.reshape(2, 3) and x.reshape((2, 3)) mean the same.
    return args[0] if len(args) == 1 else args


@_attached
def reshape(self: Any, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
    """Another shape, in which one length may be -1."""
    return shaping.reshape(self, _unpacked(shape), order, copy=copy)


@_attached
def transpose(self: Any, *axes: Any) -> Any:
    """The axes in another order, by default reversed."""
    return shaping.transpose(self, _unpacked(axes) if axes else None)


@_attached
def flatten(self: Any, order: str = "C") -> Any:
    """All elements in one axis, as a copy."""
    return fresh(shaping.ravel(self, order))


@_attached
def astype(
    self: Any,
    dtype: Any,
    order: str = "K",
    casting: str = "unsafe",
    subok: bool = True,
    copy: bool = True,
) -> Any:
    """The numbers in another dtype."""
    if not np.can_cast(self.dtype, dtype, casting):  # type: ignore[arg-type]
        raise ArgumentError(f"astype: can't cast {self.dtype} to {np.dtype(dtype)} by {casting!r}")
    return creating.astype(self, dtype, copy=copy)


@_attached
def round_(self: Any, decimals: int = 0) -> Any:
    """Rounded to a number of decimals; locally constant."""
    return ufuncs.round(self, decimals)


@_attached
def compress(self: Any, condition: Any, axis: Any = None) -> Any:
    """The slices along an axis where a condition is true."""
    return selecting.compress(condition, self, axis)


@_attached
def conj(self: Any) -> Any:
    """The value itself: traced values are real."""
    return self


@_attached
def conjugate(self: Any) -> Any:
    """The value itself: traced values are real."""
    return self


@_attached
def fill(self: Any, value: Any) -> None:
    """Assign one number to all elements."""
    self[...] = value


@_attached
def sort(
    self: Any, axis: int = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> None:
    """Sort in place along an axis."""
    self[...] = searching.sort(self, axis_of(axis, self.ndim, "sort"), kind, order)


@_attached
def partition(
    self: Any, kth: Any, axis: int = -1, kind: str = "introselect", order: Any = None
) -> None:
    """Sort in place, which is one of the orders that `partition` may give."""
    sort(self, axis, None, order)


@_attached
def put(self: Any, indices: Any, values: Any, mode: str = "raise") -> None:
    """Assign elements by their numbers in C order."""
    selecting.put(self, indices, values, mode)


@_attached
def ptp(self: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Range: largest less smallest element."""
    return reducing.ptp(self, axis, keepdims=keepdims)


@_attached
def __copy__(self: Any) -> Any:
    """A copy, which shares nothing with the original."""
    return fresh(self)


@_attached
def __deepcopy__(self: Any, memo: Any) -> Any:
    """A copy, which shares nothing with the original."""
    return fresh(self)


@_attached
def __contains__(self: Any, value: Any) -> bool:
    """Whether an element equals a value."""
    return bool(reducing.any_(self == value))


@_attached
def __imatmul__(self: Any, other: Any) -> Any:
    self[...] = contracting.matmul(self, other)
    return self


for _name, _function_name in (
    ("__iand__", "bitwise_and"),
    ("__ior__", "bitwise_or"),
    ("__ixor__", "bitwise_xor"),
    ("__ilshift__", "left_shift"),
    ("__irshift__", "right_shift"),
):
    setattr(Variable, _name, _in_place(_function_name))


def _property(name: str, get: Callable[[Any], Any], doc: str) -> None:
    setattr(Variable, name, property(get, doc=doc))


_property("itemsize", lambda self: self.dtype.itemsize, "Bytes of one element.")
_property("nbytes", lambda self: self.size * self.dtype.itemsize, "Bytes of all elements.")
_property("mT", shaping.matrix_transpose, "The last two axes exchanged.")
_property("imag", ufuncs.imag, "Zeros: traced values are real.")
