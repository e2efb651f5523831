"""What is derived from graphs, remembered by their structure, within a number of bytes.

Most structures of a dynamic program come once, or keep coming. What has been asked for once is held
on *probation*, in little memory, first in, first out; what is asked for again moves to the *kept*
ones, least recently used first out. Of what left probation the hash stays a while: if its structure
comes again after all, it is made once more and kept at once. So a stream of structures that come
once costs the memory of the probation alone, and doesn't push out those that keep coming. (This is
the 2Q algorithm of Johnson and Shasha, 1994.)
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from wengert.graph import Graph
from wengert.graph.sizes import is_watched

__all__ = ["Memo", "memo_bytes", "remembered"]

#: What a derived graph takes per entry: half of it entries, half the interpreter's schedule.
#: Measured over the gradients of thousands of random trees.
ENTRY_BYTES = 450
PROBATION_BYTES = 16 * 2**20
KEPT_BYTES = 256 * 2**20
#: Hashes of what left probation: at least so many of the last ones, at most twice as many.
MOST_HASHES = 16384


class Memo:
    """Values by key, within bytes; safe between threads. `len` of a value counts its entries."""

    def __init__(self, probation: int, kept: int, hashes: int) -> None:
        self._probation = _Store(probation)
        self._kept = _Store(kept)
        self._most_hashes = hashes
        # Two generations, so that old hashes go without a queue beside the set.
        self._left: set[int] = set()
        self._left_before: set[int] = set()
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """What the values take together, estimated."""
        return self._probation.bytes + self._kept.bytes

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of a key, made if it is not there."""
        with self._lock:
            found = self._kept.values.get(key)
            if found is not None:
                # Which one goes first matters only where one may have to go soon.
                if self._kept.is_filling:
                    self._kept.values.move_to_end(key)
                return found
            found = self._probation.values.get(key)
            if found is not None:
                self._probation.remove(key)
                self._kept.add(key, found)
                return found
        made = make()
        with self._lock:
            if key in self._kept.values or key in self._probation.values:
                return made  # another thread was faster
            hashed = hash(key)
            if hashed in self._left or hashed in self._left_before:
                self._kept.add(key, made)
            else:
                self._note(self._probation.add(key, made))
        return made

    def _note(self, hashes: list[int]) -> None:
        self._left.update(hashes)
        if len(self._left) >= self._most_hashes:
            self._left, self._left_before = set(), self._left


class _Store:
    """Values in the order in which they go."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self.values: OrderedDict[Hashable, Any] = OrderedDict()
        self.is_filling = False  # whether half of it is taken

    def add(self, key: Hashable, value: Any) -> list[int]:
        """Add a value, of any size; the hashes of the keys that had to go for it."""
        self.values[key] = value
        self.bytes += ENTRY_BYTES * len(value)
        self.is_filling = 2 * self.bytes > self.limit
        gone = []
        while self.bytes > self.limit and len(self.values) > 1:
            first = next(iter(self.values))
            gone.append(hash(first))
            self.remove(first)
        return gone

    def remove(self, key: Hashable) -> None:
        """Take a value out."""
        self.bytes -= ENTRY_BYTES * len(self.values.pop(key))


_memo = Memo(PROBATION_BYTES, KEPT_BYTES, MOST_HASHES)


def remembered(kind: str, graph: Graph, *rest: Hashable, make: Callable[[], Any]) -> Any:
    """`make()`, or what it gave for an equal graph.

    Constants count: `capture` makes those of the program inputs, so that one derived graph serves
    all graphs of a structure.
    """
    if is_watched():
        return make()  # a graph without numbers for its sizes comes once
    return _memo.get((kind, graph, *rest), make)


def memo_bytes() -> int:
    """What the remembered graphs take together, estimated."""
    return _memo.bytes
