"""Rows of leaves, put one after another: what each example brings along, such as the steps of a
sequence.

There may be thousands, each of a few numbers. Native code reads from the array objects where their
numbers lie, and copies them.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.batching.scanning import is_layout_known
from wengert.codegen.addresses import address
from wengert.codegen.engine import is_started, words_addresses
from wengert.codegen.recording_entries import ARRAY
from wengert.codegen.restricted import call, half, words

__all__ = ["copy_rows"]

_CLASS, _ITEMS = 1, 3  # words of an object, and of a list
_C_CONTIGUOUS = 0x0001


@words
def _copy_plain(values, count, kind, size, target, copy):
    """Copy the contents of arrays, `size` bytes each, as far as they are contiguous and of the
    class `kind`; how many."""
    items = values[_ITEMS]
    for k in range(count):
        value = items[k]
        if value[_CLASS] != kind or (half(value + ARRAY["flags"]) & _C_CONTIGUOUS) == 0:
            return k
        call(copy, target + k * size, value[ARRAY["data"] // 8], size)
    return count


@functools.cache
def _function() -> Any:
    (found,) = words_addresses([_copy_plain])
    # It reads Python's objects, so it holds the GIL.
    return ctypes.PYFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 6)(found)


@functools.cache
def _are_arrays_known() -> bool:
    """Whether arrays are laid out as the native function takes them to be."""
    if not is_layout_known():
        return False
    for array, is_contiguous in ((np.zeros((3, 2)), 1), (np.zeros((3, 2)).T, 0)):
        data = ctypes.c_int64.from_address(id(array) + ARRAY["data"]).value
        flags = ctypes.c_int32.from_address(id(array) + ARRAY["flags"]).value
        if data != array.ctypes.data or flags & _C_CONTIGUOUS != is_contiguous:
            return False
    return True


def copy_rows(values: Sequence[Any], target: Any) -> None:
    """Write arrays into the rows of `target`, whose rows have their shape and dtype."""
    values, done = list(values), 0
    if is_started() and _are_arrays_known() and len(values):
        given = (id(values), len(values), id(np.ndarray), target[0].nbytes, address(target))
        done = _function()(*given, ctypes.cast(ctypes.memmove, ctypes.c_void_p).value or 0)
    for k in range(done, len(values)):
        target[k] = values[k]
