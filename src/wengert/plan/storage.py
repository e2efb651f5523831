"""Where values live: slots, lifetimes and the layout of the arena.

Every value has a slot, a number that names an address. Inputs, constants and outputs have memory of
their own; all other slots share one arena, laid out ahead: two slots overlap only if the last step
that reads one comes before the step that writes the other.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["ALIGNMENT", "Lifetime", "layout"]

ALIGNMENT = 64


class Lifetime:
    """A slot of the arena: its size in bytes, and the first and last step that use it."""

    __slots__ = ("bytes", "first", "last", "slot")

    def __init__(self, slot: int, size: int, first: int, last: int) -> None:
        self.slot = slot
        self.bytes = -(-max(size, 1) // ALIGNMENT) * ALIGNMENT
        self.first = first
        self.last = last


def layout(lifetimes: Sequence[Lifetime]) -> tuple[dict[int, int], int]:
    """Offset of each slot in the arena, and the size of the arena.

    Slots are placed in the order of their first use, each at the lowest offset that is free during
    its lifetime; free ranges are kept sorted and merged, so that the cost is near linear.
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
