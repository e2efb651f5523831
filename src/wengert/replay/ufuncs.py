"""A short way from calls of NumPy's ufuncs to native recording.

`np.sin(x)` of a variable takes longer to find `__array_ufunc__` than to record. So ufuncs that were
recorded before get native code in place of their vectorcall function, which records what the table
knows and leaves every other call, those of arrays above all, to NumPy's own. A ufunc's function is
put back before Python ends.
"""

from __future__ import annotations

import atexit
import ctypes
from typing import Any

import numpy as np

__all__ = ["Shortcuts", "vectorcall"]

#: The word of a type that holds the place of the vectorcall function in its instances, and the flag
#: that says that they have one.
_OFFSET, _HAS_VECTORCALL = 7, 1 << 11


def _word(address: int) -> ctypes.c_int64:
    return ctypes.c_int64.from_address(address)


def _place(ufunc: np.ufunc) -> ctypes.c_int64:
    return _word(id(ufunc) + _word(id(np.ufunc) + 8 * _OFFSET).value)


def vectorcall() -> int:
    """The address of the function that calls of ufuncs run, 0 if it is not where it should be."""
    if not np.ufunc.__flags__ & _HAS_VECTORCALL:
        return 0
    if not 16 <= _word(id(np.ufunc) + 8 * _OFFSET).value <= np.ufunc.__basicsize__ - 8:
        return 0
    found = {_place(ufunc).value for ufunc in (np.add, np.sin, np.maximum, np.matmul, np.isnan)}
    return found.pop() if len(found) == 1 else 0


class Shortcuts:
    """The ufuncs that take the short way; `own` is NumPy's function, `native` the one that records.

    What `taken` holds is not freed before its function is put back.
    """

    def __init__(self, own: int, native: int) -> None:
        self.own, self.native = own, native
        self.taken: list[np.ufunc] = []
        atexit.register(self.give_back)

    def take(self, ufunc: Any) -> None:
        """Let calls of a ufunc enter native code, if they run NumPy's function."""
        if self.own and ufunc.__class__ is np.ufunc and _place(ufunc).value == self.own:
            self.taken.append(ufunc)
            _place(ufunc).value = self.native

    def give_back(self) -> None:
        """Let all of them run NumPy's function again."""
        for ufunc in self.taken:
            _place(ufunc).value = self.own
        self.own, self.taken = 0, []
