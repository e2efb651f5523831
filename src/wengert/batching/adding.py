"""Adding rows to the rows that numbers name: what scattering cotangents comes down to."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from wengert.codegen.addresses import address
from wengert.codegen.engine import compile_kernels, is_started
from wengert.codegen.kernel import WalkSpec
from wengert.ops import TABLE
from wengert.ops.bounds import check_bounds

__all__ = ["add_rows", "adding_words", "can_add", "kernel_address", "sum_rows"]

_NATIVE = (np.dtype(np.float32), np.dtype(np.float64))
_SCATTER_SUM = TABLE["scatter_sum"]


def add_rows(target: Any, rows: Any, found: Any) -> None:
    """`target[rows[k]] += found[k]` for all k in order; a row may be named several times.

    Contiguous arrays; `rows` are of 64 bits, and none is negative.
    """
    if can_add(target.dtype) and is_started():
        size = found[0].size if len(found) else 0
        words = adding_words(len(rows), size, len(target))
        slots = np.array([address(target), address(found), address(rows)], np.int64)
        _kernel(target.dtype)(address(slots), address(words))
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


def adding_words(count: Any, size: int, rows: int) -> Any:
    """The words that the kernel takes to add `count` rows of `size` elements to some of `rows` (the
    slots are those of the target, what is added, and row numbers); for several counts, a row for
    each."""
    count = np.asarray(count, np.int64)
    words = np.empty((*count.shape, 15), np.int64)
    # slots of target, source and rows; where target and source begin; sizes; strides of target,
    # source and rows; how many rows the target has, and how far apart
    words[...] = [0, 1, 2, 0, 0, 0, size, 0, 1, size, 1, 1, 0, rows, size]
    words[..., 5] = count
    return words


def kernel_address(dtype: Any) -> int:
    """Where the kernel is that adds rows."""
    return ctypes.cast(_kernel(dtype), ctypes.c_void_p).value or 0


@functools.cache
def _kernel(dtype: Any) -> Any:
    index = (np.dtype(np.int64),)
    spec = WalkSpec("add", dtype, 2, indices=index, into_target=True, unit=True)
    (compiled,) = compile_kernels([spec])
    return ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(compiled.address)
