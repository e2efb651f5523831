"""Where values live: slots, lifetimes and the layout of the arena.

Every value has a slot, a number that names an address. Inputs, constants and outputs have memory of
their own; all other slots share one arena, laid out ahead: two slots overlap only if the last step
that reads one comes before the step that writes the other.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from itertools import accumulate

__all__ = ["ALIGNMENT", "Lifetime", "alive_at_most", "layout"]

ALIGNMENT = 64


class Lifetime:
    """A slot of the arena: its size in bytes, and the first and last step that use it."""

    __slots__ = ("bytes", "first", "last", "slot")

    def __init__(self, slot: int, size: int, first: int, last: int) -> None:
        self.slot = slot
        self.bytes = -(-max(size, 1) // ALIGNMENT) * ALIGNMENT
        self.first = first
        self.last = last


#: Up to so many slots a layout with gaps is tried again in other ways.
_MOST_TRIED = 1500


def layout(lifetimes: Sequence[Lifetime]) -> tuple[dict[int, int], int]:
    """Offset of each slot in the arena, and the size of the arena.

    Slots are placed in the order of their first use. Where that leaves gaps, so that the arena is
    larger than what is alive at once, they are placed in other orders too, and the smallest arena
    is taken.
    """
    offsets, total = _by_first_use(lifetimes)
    least = alive_at_most(lifetimes)
    if total > least and len(lifetimes) <= _MOST_TRIED:
        for rank in _RANKS:
            other, size = _ranked(sorted(lifetimes, key=rank))
            if size < total:
                offsets, total = other, size
            if total == least:
                break
    return offsets, total


def alive_at_most(lifetimes: Sequence[Lifetime]) -> int:
    """The bytes of the slots that are alive at once, at most: what no layout goes below."""
    change: dict[int, int] = {}
    for item in lifetimes:
        change[item.first] = change.get(item.first, 0) + item.bytes
        change[item.last + 1] = change.get(item.last + 1, 0) - item.bytes
    return max(accumulate(change[at] for at in sorted(change)), default=0)


def _large_first(item: Lifetime) -> tuple[int, ...]:
    return (-item.bytes, item.first)


def _long_first(item: Lifetime) -> tuple[int, ...]:
    return (item.first - item.last, -item.bytes)


def _area_first(item: Lifetime) -> tuple[int, ...]:
    return (-item.bytes * (item.last - item.first + 1), item.first)


#: Orders in which slots are placed; each leaves the least gaps in some programs.
_RANKS = (_large_first, _area_first, _long_first)


def _ranked(items: Sequence[Lifetime]) -> tuple[dict[int, int], int]:
    """Each slot at the lowest offset that is free during its lifetime."""
    offsets: dict[int, int] = {}
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last; sorted
    total = 0
    for item in items:
        at = 0
        for offset, end, first, last in placed:
            if first > item.last or last < item.first or end <= at:
                continue
            if offset - at >= item.bytes:
                break
            at = end
        insort(placed, (at, at + item.bytes, item.first, item.last))
        offsets[item.slot] = at
        total = max(total, at + item.bytes)
    return offsets, total


def _by_first_use(lifetimes: Sequence[Lifetime]) -> tuple[dict[int, int], int]:
    """Each slot, in the order of first use, at the tightest place that is free during its lifetime.

    Free ranges are kept sorted and merged, so that the cost is near linear.
    """
    offsets: dict[int, int] = {}
    ends: list[tuple[int, Lifetime]] = sorted(
        ((item.last, item) for item in lifetimes), key=lambda pair: pair[0]
    )
    free: list[tuple[int, int]] = []  # (offset, size), sorted, never adjacent
    total = 0
    done = 0
    for item in sorted(lifetimes, key=lambda x: x.first):
        while done < len(ends) and ends[done][0] < item.first:
            old = ends[done][1]
            free = _release(free, offsets[old.slot], old.bytes)
            done += 1
        best = None
        for position, (_, size) in enumerate(free):
            if size >= item.bytes and (best is None or size < free[best][1]):
                best = position
        if best is not None:
            offset, size = free.pop(best)
            if size > item.bytes:
                free.insert(best, (offset + item.bytes, size - item.bytes))
        elif free and free[-1][0] + free[-1][1] == total:
            offset = free.pop()[0]
            total = offset + item.bytes
        else:
            offset = total
            total += item.bytes
        offsets[item.slot] = offset
    return offsets, total


def _release(free: list[tuple[int, int]], offset: int, size: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for at, length in sorted([*free, (offset, size)]):
        if found and found[-1][0] + found[-1][1] == at:
            found[-1] = (found[-1][0], found[-1][1] + length)
        else:
            found.append((at, length))
    return found
