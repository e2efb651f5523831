"""Memory for the rows of a run, used again by the next one.

A minibatch needs megabytes of rows, and the system hands out fresh memory page by page, each at the
price of a thousand multiplications. So a run borrows a workspace, takes from it whatever it needs,
and gives all of it back at the end; nothing that it returns to the caller may lie there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from wengert.graph import Type

__all__ = ["Workspace", "borrowed"]

_ALIGNMENT = 64
_LEAST_CHUNK = 1 << 22
#: Bytes that workspaces hold, between runs, all together.
MOST_KEPT = 256 << 20

_lock = threading.Lock()
_free: list[Workspace] = []


class Workspace:
    """Chunks of memory, of which the first are in use; `size` is what all hold, in bytes."""

    def __init__(self) -> None:
        self._chunks: list[Any] = []
        self._chunk, self._at = 0, 0
        self.size = 0

    def rows(self, count: int, type_: Type) -> Any:
        """An array of `count` values, with any contents."""
        size = count * type_.size * type_.dtype.itemsize
        while self._chunk < len(self._chunks):
            chunk = self._chunks[self._chunk]
            if self._at + size <= len(chunk):
                break
            self._chunk, self._at = self._chunk + 1, 0
        else:
            chunk = np.empty(max(size, _LEAST_CHUNK) + _ALIGNMENT, np.uint8)
            first = -chunk.ctypes.data % _ALIGNMENT
            chunk = chunk[first : first + max(size, _LEAST_CHUNK)]
            self._chunks.append(chunk)
            self.size += len(chunk)
        rows: Any = np.ndarray((count, *type_.shape), type_.dtype, chunk, self._at)
        self._at += -(-size // _ALIGNMENT) * _ALIGNMENT
        return rows

    def holds(self, array: Any) -> bool:
        """Whether an array lies here."""
        while getattr(array, "base", None) is not None:
            array = array.base
        return any(chunk.base is array for chunk in self._chunks)

    def clear(self) -> None:
        """Give all of it back."""
        self._chunk, self._at = 0, 0


@contextmanager
def borrowed() -> Iterator[Workspace]:
    """A workspace that nobody else uses until the block ends."""
    with _lock:
        found = _free.pop() if _free else Workspace()
    found.clear()
    try:
        yield found
    finally:
        with _lock:
            if found.size + sum(w.size for w in _free) <= MOST_KEPT:
                _free.append(found)
