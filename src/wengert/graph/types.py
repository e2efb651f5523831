"""Types of the values in a graph: a shape and a dtype.

Types are interned: equal types are one object, so that comparing and hashing them (which recording
an operation does several times) costs as little as comparing and hashing addresses.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np

from wengert.errors import DTypeError
from wengert.graph.sizes import is_size

__all__ = ["Type", "is_float", "type_of"]

_KINDS = {"f": "f", "i": "i", "u": "u", "b": "bool"}


class Type:
    """Shape and dtype of one array, e.g. `f64[3,4]`; `Type(shape, dtype)` is the same object for
    equal arguments.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype, of kind float, signed or unsigned integer, or bool
    is_float : whether derivatives can flow through values of this type
    """

    __slots__ = ("__weakref__", "dtype", "is_float", "ndim", "shape", "size")

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    ndim: int
    size: int
    is_float: bool

    def __new__(cls, shape: tuple[int, ...], dtype: Any) -> Type:
        dtype = np.dtype(dtype)
        key = (shape, dtype)
        found = _interned.get(key)
        return _make(shape, dtype) if found is None else found

    def with_shape(self, shape: tuple[int, ...]) -> Type:
        """The same dtype with another shape."""
        return Type(shape, self.dtype)

    def with_dtype(self, dtype: Any) -> Type:
        """The same shape with another dtype."""
        return Type(self.shape, np.dtype(dtype))

    def __repr__(self) -> str:
        shape = ",".join(str(n) for n in self.shape)
        return f"{dtype_name(self.dtype)}[{shape}]"

    def __reduce__(self) -> tuple[type[Type], tuple[tuple[int, ...], str]]:
        return Type, (self.shape, self.dtype.str)


_interned: weakref.WeakValueDictionary[Any, Type] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def _make(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Type:
    if dtype.kind not in _KINDS:
        raise DTypeError(
            f"a traced value must have a float, integer or bool dtype, not {dtype}",
            hint="convert it with .astype(float), or keep it outside the differentiated function",
        )
    with _lock:
        found = _interned.get((shape, dtype))
        if found is not None:
            return found
        made = object.__new__(Type)
        made.shape = tuple([n if is_size(n) else int(n) for n in shape])
        made.dtype = dtype
        made.ndim = len(shape)
        size = 1
        for n in made.shape:
            size *= n
        made.size = size
        made.is_float = dtype.kind == "f"
        _interned[(made.shape, dtype)] = made
        return made


def dtype_name(dtype: np.dtype[Any]) -> str:
    """Short name of a dtype: f64, i32, bool."""
    kind = _KINDS.get(dtype.kind, dtype.name)
    return kind if dtype.kind not in "fiu" else f"{kind}{dtype.itemsize * 8}"


def type_of(value: Any) -> Type:
    """The `Type` of a NumPy array, a NumPy scalar or a Python number."""
    if not isinstance(value, (np.ndarray, np.generic)):
        value = np.asarray(value)
    dtype = value.dtype
    key = (value.shape, dtype.num)
    found = _recent.get(key)
    if found is None or found.dtype is not dtype:
        found = Type(value.shape, dtype)
        if len(_recent) >= _MOST_RECENT:
            _recent.clear()
        _recent[key] = found
    return found


#: Types by shape and the number of their dtype, whose hash costs more than all else here.
_recent: dict[tuple[tuple[int, ...], int], Type] = {}
_MOST_RECENT = 1024


def is_float(dtype: Any) -> bool:
    """Whether a dtype is a real floating-point dtype."""
    return bool(np.dtype(dtype).kind == "f")
