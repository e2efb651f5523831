"""The BLAS that products use: the one in NumPy's own package, which is loaded anyway, or SciPy's.

Both are called as Fortran routines. Integers are handed over in eight bytes: a routine with
four-byte integers reads the lower half, on the little-endian processors that kernels run on.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from typing import Any

import numpy as np

__all__ = ["blas_threads", "gemm_address"]

#: How builds of OpenBLAS decorate the names of their functions: (before, behind).
_DECORATIONS = (("scipy_", "64_"), ("", "64_"), ("scipy_", ""), ("", ""))


@functools.cache
def _numpy_library() -> Any:
    """The OpenBLAS of NumPy's wheel, or None where NumPy was built with another BLAS."""
    folder = os.path.join(os.path.dirname(os.path.dirname(np.__file__)), "numpy.libs")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if "openblas" in name:
            with contextlib.suppress(OSError):
                return ctypes.CDLL(os.path.join(folder, name))
    return None


def _find(library: Any, name: str) -> Any:
    for before, behind in _DECORATIONS:
        for found in (f"{before}{name}{behind}", f"{before}{name}_{behind}"):
            if hasattr(library, found):
                return getattr(library, found)
    return None


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@functools.cache
def gemm_address(dtype: str) -> int:
    """The address of Fortran's sgemm ("f4") or dgemm ("f8")."""
    name = "sgemm" if dtype == "f4" else "dgemm"
    found = _find(_numpy_library(), name)
    if found is not None:
        return _address(found)
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__[name]
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return int(get(capsule, name_of(capsule)))


@functools.cache
def blas_threads() -> tuple[int, int] | None:
    """The address of the function that sets how many threads that BLAS uses, and the number it uses
    now; None where it has no such function: then products are not cut.

    While a plan runs, BLAS computes each product on the thread that asks for it.
    """
    library = _numpy_library()
    setter = _find(library, "openblas_set_num_threads")
    getter = _find(library, "openblas_get_num_threads")
    if setter is None or getter is None:
        return None
    return _address(setter), int(getter())
