"""Where the values of a program lie while its batches run.

Values of one type lie in one arena, a row each, in the order in which they are computed. So the
results of a batch are contiguous, its cotangents too, and operands are gathered by row number, or
not at all where they lie in order already. All of this is known before anything runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.batching.passes import run_pass
from wengert.batching.placing import place_leaves, place_results, read_columns
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
        alone uses its values, and each once, and whether one of them needs a cotangent; 1 or 0
    """

    __slots__ = ("begins", "is_active", "is_range", "is_single", "is_whole", "rows")

    def __init__(self, rows: Any, begins: Any, flags: Any, is_whole: bool) -> None:
        self.rows, self.begins, self.is_whole = rows, begins, is_whole
        self.is_range, self.is_single, self.is_active = flags


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
        #: Where the batches of each signature begin among its nodes, and where the last one ends.
        self._starts = [np.cumsum([0, *map(len, p)], dtype=np.int64) for p in parts]
        self._families = [s.family for s in plan.signatures]
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
        for number, family in enumerate(families):
            rows = np.array(begins[number], np.int64)
            given = (self._starts[number], self.orders[number], family.firsts, len(types[number]))
            run_pass(place_results, len(rows), *given, rows, self.row)
        self._uses = np.bincount(program.args, minlength=len(program.producer))
        self._uses[program.outputs] += 1  # they have a cotangent of their own

    def _place_leaves(
        self, program: Program, plan: Schedule, stacked: Sequence[Sequence[int]]
    ) -> None:
        # In the order in which they are used: what each example reads once, such as the steps of
        # a sequence, then lies as the batches want it.
        counts = np.zeros(len(program.distinct), np.int64)
        leaves = np.empty(len(program.producer), np.int64)
        given = (program.producer, program.type_of, self.row, counts, leaves)
        found = 0
        for signature, order, numbers in zip(plan.signatures, self.orders, stacked, strict=True):
            family = program.families[signature.family]
            if family.is_sum:
                for node in family.members.tolist():
                    terms = program.operands(node)
                    own = (np.arange(len(terms)), terms, 1, np.zeros(1, np.int64), 1)
                    found = run_pass(place_leaves, len(terms), *own, *given, found)
            elif numbers:
                operands, chosen = family.operands, np.array(numbers, np.int64)
                own = (order, operands, operands.shape[1], chosen, len(chosen))
                found = run_pass(place_leaves, len(order), *own, *given, found)
        leaves = leaves[:found]
        types = program.type_of[leaves]
        for number in np.flatnonzero(counts).tolist():
            type_ = program.distinct[number]
            self.counts[type_] = int(counts[number])
            self.leaves[type_] = leaves[types == number].tolist()

    def columns(self, number: int, operands: Sequence[int]) -> list[Column]:
        """The columns of some operands of signature `number`."""
        family = self.program.families[self._families[number]]
        order, starts = self.orders[number], self._starts[number]
        count, columns = len(starts) - 1, len(operands)
        chosen, wholes = np.array(operands, np.int64), np.empty(columns, np.int64)
        rows, begins = (
            np.empty((columns, len(order)), np.int64),
            np.empty((columns, count), np.int64),
        )
        flags = np.empty((columns, 3, count), np.int64)
        given = (starts, order, family.operands, family.operands.shape[1], chosen, columns)
        about = (self.row, self._uses, self.program.active)
        run_pass(read_columns, count, *given, *about, rows, begins, flags, wholes)
        parts = zip(rows, begins, flags, wholes.astype(bool).tolist(), strict=True)
        return [Column(*part) for part in parts]
