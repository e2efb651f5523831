"""Where the values of a program lie while its batches run.

Values of one type lie in one arena, a row each, in the order in which they are computed. So the
results of a batch are contiguous, its cotangents too, and operands are gathered by row number, or
not at all where they lie in order already. All of this is known before anything runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.batching.program import Program
from wengert.batching.schedule import Schedule
from wengert.codegen.addresses import address
from wengert.graph import Type

__all__ = ["Column", "Places", "Rows", "Span"]


class Rows:
    """Memory for a number of values of one type, a row each: `address` is where it begins, `stride`
    how many bytes a row takes."""

    __slots__ = ("address", "array", "stride")

    def __init__(self, array: Any) -> None:
        self.array = array
        self.address = address(array)
        self.stride: int = array.strides[0] if len(array) else 0


class Span:
    """The rows of one batch among those of its signature, and where each of its results begins in
    the arena of its type."""

    __slots__ = ("begins", "end", "start")

    def __init__(self, start: int, end: int, begins: Sequence[int]) -> None:
        self.start, self.end, self.begins = start, end, begins


class Column:
    """One operand of all nodes of a signature, in the order in which they run.

    rows : where the values lie in the arena of their type
    is_whole : whether these are one range of rows
    begins : the first row of each batch
    is_range, is_single, is_active : for each batch whether its rows are consecutive, whether it
        alone uses its values, and each once, and whether one of them needs a cotangent
    """

    __slots__ = ("begins", "is_active", "is_range", "is_single", "is_whole", "rows")

    def __init__(self, rows: Any, single: Any, active: Any, starts: Any) -> None:
        """`single` says which values are used once, `active` which need a cotangent; `starts` is
        where batches begin."""
        self.rows = rows
        breaks = np.zeros(len(rows), np.int64)
        np.cumsum(rows[1:] - rows[:-1] != 1, out=breaks[1:])
        self.is_whole = bool(breaks[-1] == 0)
        self.begins = rows[starts]
        self.is_range = breaks[starts] == breaks[np.append(starts[1:], len(rows)) - 1]
        self.is_single = np.logical_and.reduceat(single, starts)
        self.is_active = np.logical_or.reduceat(active, starts)


class Places:
    """The places of a scheduled program.

    row : for each value its row in the arena of its type, or -1 for a leaf that is only shared
    counts : rows of each arena
    leaves : for each type the leaves that have rows, which come first
    spans : for each batch; orders : for each signature its members in the order in which they run
    """

    def __init__(self, program: Program, plan: Schedule, stacked: Sequence[Sequence[int]]) -> None:
        """`stacked` says for each signature which operands have rows."""
        self.program = program
        self.row = np.full(len(program.producer), -1, np.int64)
        self.counts: dict[Type, int] = {}
        self.leaves: dict[Type, list[int]] = {}
        parts: list[list[Any]] = [[] for _ in plan.signatures]
        for number, places in plan.batches:
            parts[number].append(places)
        self.orders = [p[0] if len(p) == 1 else np.concatenate(p) for p in parts]
        self._starts = [np.cumsum([0, *map(len, p[:-1])]) for p in parts]
        self._place_leaves(program, plan, stacked)
        self.spans: list[Span] = []
        done = [0] * len(plan.signatures)
        families = [program.families[s.family] for s in plan.signatures]
        types = [family.graph.output_types for family in families]
        begins: list[list[list[int]]] = [[] for _ in plan.signatures]
        counts = self.counts
        for number, places in plan.batches:
            n = len(places)
            own = []
            for type_ in types[number]:
                begin = counts.get(type_, 0)
                counts[type_] = begin + n
                own.append(begin)
            begins[number].append(own)
            self.spans.append(Span(done[number], done[number] + n, own))
            done[number] += n
        for number, (family, order) in enumerate(zip(families, self.orders, strict=True)):
            self._place_results(family.firsts[order], np.array(begins[number]), number)
        uses = np.bincount(program.args, minlength=len(program.producer))
        uses[program.outputs] += 1  # they have a cotangent of their own
        self._single = uses == 1

    def _place_results(self, values: Any, begins: Any, number: int) -> None:
        starts = self._starts[number]
        sizes = np.diff(starts, append=len(values))
        for j in range(begins.shape[1]):
            # Row k of a batch is k after its first.
            shift = np.repeat(begins[:, j] - starts, sizes)
            self.row[values + j] = shift + np.arange(len(values))

    def _place_leaves(
        self, program: Program, plan: Schedule, stacked: Sequence[Sequence[int]]
    ) -> None:
        # In the order in which they are used: what each example reads once, such as the steps of
        # a sequence, then lies as the batches want it.
        used = [np.empty(0, np.int64)]
        for signature, order, numbers in zip(plan.signatures, self.orders, stacked, strict=True):
            family = program.families[signature.family]
            if family.is_sum:
                used += [program.operands(node) for node in family.members.tolist()]
            used += [family.operands[order, p] for p in numbers]
        values = np.concatenate(used)
        values = values[program.producer[values] < 0]
        first = np.full(len(program.producer), len(values))
        first[values[::-1]] = np.arange(len(values) - 1, -1, -1)
        leaves = values[first[values] == np.arange(len(values))]
        types = program.type_of[leaves]
        for number in sorted(set(types.tolist())):
            type_, own = program.distinct[number], leaves[types == number]
            self.row[own] = np.arange(len(own))
            self.counts[type_] = len(own)
            self.leaves[type_] = own.tolist()

    def column(self, number: int, values: Any) -> Column:
        """The column of an operand of signature `number`; `values` has an item per member of the
        family."""
        own = values[self.orders[number]]
        active = self.program.active[own]
        return Column(self.row[own], self._single[own], active, self._starts[number])
