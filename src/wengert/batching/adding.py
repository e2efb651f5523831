"""Adding rows to the rows that numbers name: what scattering cotangents comes down to."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from wengert.codegen.addresses import address
from wengert.codegen.engine import compile_kernels, is_started
from wengert.codegen.kernel import WalkSpec
from wengert.codegen.restricted import words
from wengert.ops import TABLE
from wengert.ops.bounds import check_bounds

__all__ = ["ADDING_WORDS", "add_rows", "can_add", "fill_adding", "kernel_address", "sum_rows"]

_NATIVE = (np.dtype(np.float32), np.dtype(np.float64))
_SCATTER_SUM = TABLE["scatter_sum"]
ADDING_WORDS = 15


def add_rows(target: Any, rows: Any, found: Any) -> None:
    """`target[rows[k]] += found[k]` for all k in order; a row may be named several times.

    Contiguous arrays; `rows` are of 64 bits, and none is negative.
    """
    if can_add(target.dtype) and is_started():
        size = found[0].size if len(found) else 0
        given = np.empty(ADDING_WORDS, np.int64)
        fill_adding(given, len(rows), size, len(target))
        slots = np.array([address(target), address(found), address(rows)], np.int64)
        _kernel(target.dtype)(address(slots), address(given))
        return
    order = np.argsort(rows, kind="stable")
    sorted_rows = rows[order]
    starts = np.flatnonzero(np.diff(sorted_rows, prepend=-1))
    target[sorted_rows[starts]] += np.add.reduceat(found[order], starts, axis=0)


def sum_rows(*arrays: Any, shape: tuple[int, ...], parts: Any) -> Any:
    """The value of `scatter_sum`. NumPy takes ten times as long for the rows of an array that
    minibatches read one by one, such as the vectors of words."""
    values = arrays[0]
    is_rows = parts == (("gather", (0,)),) and len(shape) > 1 and np.ndim(arrays[1]) == 1
    if not (is_rows and can_add(values.dtype) and is_started()):
        return _SCATTER_SUM.evaluate(*arrays, shape=shape, parts=parts)
    rows = np.asarray(arrays[1], np.int64)
    check_bounds(rows, shape[0])
    out = np.zeros(shape, values.dtype)
    rows = np.ascontiguousarray(np.where(rows < 0, rows + shape[0], rows))
    add_rows(out, rows, np.ascontiguousarray(values))
    return out


def can_add(dtype: Any) -> bool:
    """Whether there is native code for numbers of this kind."""
    return dtype in _NATIVE


@words
def fill_adding(given: Any, count: Any, size: Any, rows: Any) -> Any:
    """Write the `ADDING_WORDS` that the kernel takes to add `count` rows of `size` elements to some
    of `rows`; the slots are those of the target, what is added, and row numbers."""
    for k in range(ADDING_WORDS):
        given[k] = 0
    # Slots of source and row numbers; sizes; strides of target, source and row numbers; how many
    # rows the target has, and how far apart.
    given[1] = 1
    given[2] = 2
    given[5] = count
    given[6] = size
    given[8] = 1
    given[9] = size
    given[10] = 1
    given[11] = 1
    given[13] = rows
    given[14] = size
    return 0


def kernel_address(dtype: Any) -> int:
    """Where the kernel is that adds rows."""
    return ctypes.cast(_kernel(dtype), ctypes.c_void_p).value or 0


@functools.cache
def _kernel(dtype: Any) -> Any:
    index = (np.dtype(np.int64),)
    spec = WalkSpec("add", dtype, 2, indices=index, into_target=True, unit=True)
    (compiled,) = compile_kernels([spec])
    return ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(compiled.address)
