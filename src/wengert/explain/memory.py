"""What forward and reverse mode hold and multiply: exact counts, from the graph alone.

The definition stands in docs/memory-counts.md. Sets of inputs (or outputs) are kept as the bits of
integers, so that the counts of long graphs take time linear in their length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from wengert.explain.facts import Edge, Facts
from wengert.explain.structure import type_size
from wengert.graph.tuples import NamedTuple

__all__ = ["Counts", "Memory", "count_memory"]


@dataclass(frozen=True)
class Counts:
    """Counts of one mode.

    accumulation, tape, total : the most numbers held at one moment
    multiplications : products done over the whole sweep
    accumulation_bytes, tape_bytes, total_bytes : the same peaks in bytes
    """

    accumulation: int
    tape: int
    total: int
    multiplications: int
    accumulation_bytes: int
    tape_bytes: int
    total_bytes: int


class Memory(NamedTuple):
    """The counts of both modes."""

    forward: Counts
    reverse: Counts

    def __str__(self) -> str:
        rows = ["                     forward    reverse   (numbers held at most)"]
        for name, label in (
            ("accumulation", "running products"),
            ("tape", "tape"),
            ("total", "total"),
            ("multiplications", "multiplications done"),
        ):
            both = [getattr(c, name) for c in self]
            rows.append(f"{label:20} {both[0]:>8} {both[1]:>10}")
        return "\n".join(rows)


class _Sizes:
    """Weighs values in numbers and in bytes."""

    def __init__(self, facts: Facts, group: Sequence[int]) -> None:
        types = [entry[3] for entry in facts.graph.entries]
        self.numbers = [type_size(t) for t in types]
        self.bytes = [_type_bytes(t) for t in types]
        self.bit = {i: 1 << n for n, i in enumerate(dict.fromkeys(group))}
        masks: dict[int, int] = {}
        for i, bit in self.bit.items():
            masks[self.numbers[i]] = masks.get(self.numbers[i], 0) | bit
        self._masks = list(masks.items())

    def members(self, bits: int) -> int:
        """Sum of the sizes of the values in a set."""
        return sum([size * (bits & mask).bit_count() for size, mask in self._masks])

    def held(self, i: int, bits: int) -> tuple[int, int]:
        """Numbers and bytes of the running products of value i with a set."""
        count = self.members(bits)
        return self.numbers[i] * count, self.bytes[i] * count


def _type_bytes(type_: Any) -> int:
    if isinstance(type_, tuple):
        return sum(_type_bytes(t) for t in type_)
    return int(type_.size * type_.dtype.itemsize)


class _Active(NamedTuple):
    """Operators and edges on a path from a chosen input to a chosen output."""

    operators: list[int]
    into: dict[int, list[Edge]]


def _find_active(facts: Facts) -> _Active:
    down = [False] * len(facts.graph)
    for output in facts.outputs:
        down[output.index] = True
    for i in reversed(facts.operators):
        if down[i]:
            for e in facts.flowing(i):
                down[e.operand] = True
    operators = [i for i in facts.operators if down[i] and facts.upward[i]]
    return _Active(
        operators, {i: [e for e in facts.flowing(i) if facts.upward[e.operand]] for i in operators}
    )


class _Peaks:
    """The largest counts on a time line, in numbers and in bytes."""

    def __init__(self) -> None:
        self.peaks = [[0, 0], [0, 0], [0, 0]]

    def note(self, held: Sequence[int], tape: Sequence[int]) -> None:
        """Take one moment into account."""
        for unit in (0, 1):
            now = (held[unit], tape[unit], held[unit] + tape[unit])
            for peak, value in zip(self.peaks, now, strict=True):
                peak[unit] = max(peak[unit], value)

    def counts(self, multiplications: int) -> Counts:
        """The finished counts."""
        numbers = [peak[0] for peak in self.peaks]
        sizes = [peak[1] for peak in self.peaks]
        accumulation, tape, total = numbers
        return Counts(accumulation, tape, total, multiplications, *sizes)


def _count_forward(facts: Facts, active: _Active) -> Counts:
    sizes = _Sizes(facts, facts.inputs)
    last: dict[int, int] = {}
    for i in active.operators:
        for e in active.into[i]:
            last[e.operand] = i
    gone: dict[int, list[int]] = {}
    for operand, i in last.items():
        gone.setdefault(i, []).append(operand)
    up: dict[int, int] = dict(sizes.bit)
    held, work, peaks = [0, 0], 0, _Peaks()
    for i in active.operators:
        reached = 0
        for e in active.into[i]:
            bits = up[e.operand]
            reached |= bits
            if e.operand not in sizes.bit:
                work += e.structure.nnz * sizes.members(bits)
        up[i] = reached
        _change(held, sizes.held(i, reached), 1)
        for operand in gone.get(i, ()):
            if operand not in sizes.bit:
                _change(held, sizes.held(operand, up.pop(operand)), -1)
        peaks.note(held, (0, 0))
        if i not in last:  # a result is counted once, then handed over
            _change(held, sizes.held(i, up.pop(i)), -1)
    return peaks.counts(work)


def _change(total: list[int], amount: tuple[int, int], sign: int) -> None:
    total[0] += sign * amount[0]
    total[1] += sign * amount[1]


def _tape_needs(active: _Active, is_operator: Callable[[int], bool]) -> dict[int, list[int]]:
    return {
        i: list(dict.fromkeys(n for e in active.into[i] for n in e.needs if is_operator(n)))
        for i in active.operators
    }


def _first_uses(uses: Iterable[tuple[int, Iterable[int]]]) -> dict[int, int]:
    first: dict[int, int] = {}
    for i, used in uses:
        for k in used:
            first.setdefault(k, i)
    return first


def _count_reverse(facts: Facts, active: _Active) -> Counts:
    sizes = _Sizes(facts, [output.index for output in facts.outputs])
    operators = set(facts.operators)
    needs = _tape_needs(active, operators.__contains__)
    first_need = _first_uses((i, needs[i]) for i in active.operators)
    first_use = _first_uses((i, [e.operand for e in active.into[i]]) for i in active.operators)
    tape, held, work, peaks = [0, 0], [0, 0], 0, _Peaks()

    def kept(k: int) -> tuple[int, int]:
        return sizes.numbers[k], sizes.bytes[k]

    for i in sorted({*active.operators, *first_need}):
        if i in first_need:
            _change(tape, kept(i), 1)
        peaks.note(held, tape)
    received: dict[int, int] = {}
    for i in reversed(active.operators):
        contributed = received.pop(i, 0)
        _change(held, sizes.held(i, contributed), -1)
        handed_on = contributed | sizes.bit.get(i, 0)
        for e in active.into[i]:
            work += e.structure.nnz * sizes.members(contributed)
            before = received.get(e.operand, 0)
            received[e.operand] = before | handed_on
            _change(held, sizes.held(e.operand, handed_on & ~before), 1)
        for k in needs[i]:
            if first_need[k] == i:
                _change(tape, kept(k), -1)
        peaks.note(held, tape)
        for k in dict.fromkeys(e.operand for e in active.into[i]):
            if k not in operators and first_use[k] == i:  # counted once, then handed over
                _change(held, sizes.held(k, received.pop(k)), -1)
    return peaks.counts(work)


def count_memory(facts: Facts) -> Memory:
    """The counts of a graph, from all its inputs to all its outputs."""
    active = _find_active(facts)
    return Memory(_count_forward(facts, active), _count_reverse(facts, active))
