"""Large results on memory that is used again: NumPy's allocator for them (see `codegen.memory`)."""

from __future__ import annotations

import ctypes
import functools
import importlib
from typing import Any

import numpy as np

from wengert.codegen.engine import runtime_address
from wengert.codegen.tables import LEAST_KEPT, MEMORY, MEMORY_WORDS

__all__ = ["empty", "handler_for", "numpy_api"]

_FUNCTIONS = ("memory_allocate", "memory_clear", "memory_resize", "memory_free")
_SET_HANDLER = 304


@functools.cache
def numpy_api() -> Any:
    """The table of NumPy's functions and types for C; its order is a stable interface."""
    umath = importlib.import_module("numpy._core._multiarray_umath")

    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address = get(umath._ARRAY_API, None)
    return (ctypes.c_void_p * (_SET_HANDLER + 1)).from_address(address)


class _Handler(ctypes.Structure):
    """NumPy's `PyDataMem_Handler`, version 1."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("state", ctypes.c_void_p),
        *[(name, ctypes.c_void_p) for name in _FUNCTIONS],
    )


@functools.cache
def _handler() -> Any:
    """The capsule of the allocator, or None where the C library lacks what it needs.

    Arrays may live until the process ends: what their memory is freed by is never freed.
    """
    try:
        libc = ctypes.CDLL(None)
        functions = [getattr(libc, name) for name in ("aligned_alloc", "free")]
    except (OSError, AttributeError):
        return None
    functions.append(getattr(libc, "madvise", None))
    words = (ctypes.c_int64 * MEMORY_WORDS)()
    for at, function in enumerate(functions, start=MEMORY["allocate"]):
        words[at] = 0 if function is None else ctypes.cast(function, ctypes.c_void_p).value or 0
    addresses = [runtime_address(name) for name in _FUNCTIONS]
    made = _Handler(b"wengert", 1, ctypes.addressof(words), *addresses)
    for kept in (words, made):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    new = ctypes.pythonapi.PyCapsule_New
    new.restype = ctypes.py_object
    new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    capsule = new(ctypes.addressof(made), _NAME, None)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(capsule))
    return capsule


#: NumPy recognises the capsule by its name, which must outlive it.
_NAME = b"mem_handler"


@functools.cache
def _set_handler() -> Any:
    # Python's lock is held during the call.
    return ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(numpy_api()[_SET_HANDLER])


def handler_for(types: Any) -> Any:
    """The allocator for results of these types; None where NumPy's own does as well."""
    large = any(t.size * t.dtype.itemsize >= LEAST_KEPT for t in types)
    return _handler() if large else None


def empty(shape: tuple[int, ...], dtype: Any, handler: Any) -> Any:
    """An array without contents, by an allocator."""
    if handler is None:
        return np.empty(shape, dtype)
    old = _set_handler()(handler)
    try:
        return np.empty(shape, dtype)
    finally:
        _set_handler()(old)
