"""Static keys of basic indexing: tests, and a slice of a slice as one key."""

from __future__ import annotations

from typing import Any

from wengert.ops.indexing import slice_length

__all__ = ["as_key", "as_slice", "compose", "is_whole", "whole"]

Key = tuple[Any, ...]


def is_whole(k: Any, n: int) -> bool:
    """Whether an item of a key takes a whole axis of length n."""
    if isinstance(k, int) or slice_length(*k) != n:
        return False
    return n == 0 or (k[0] == 0 and (n == 1 or k[2] == 1))


def whole(n: int) -> tuple[int, int, int]:
    """The item that takes a whole axis."""
    return (0, n, 1)


def as_key(r: range) -> tuple[int, int, int]:
    """The item that takes the positions of a range."""
    # Static keys never have a negative start; a stop of -1 means down to the first element.
    return (r.start, r.stop, r.step) if len(r) else (0, 0, 1)


def compose(first: Key, second: Key) -> Key:
    """The key that reads what `second` reads of what `first` reads."""
    found: list[Any] = []
    rest = iter(second)
    for k in first:
        if isinstance(k, int):
            found.append(k)
            continue
        own, later = range(*k), next(rest)
        found.append(own[later] if isinstance(later, int) else as_key(own[as_slice(later)]))
    return tuple(found)


def as_slice(k: tuple[int, int, int]) -> slice:
    """The Python slice of an item."""
    return slice(k[0], None if k[1] < 0 else k[1], k[2])
