"""The nodes of one signature in one run: what is kept for them, and where batches find it.

Both ways, what batches do is prepared for all of them at once: as actions for native code where
the body is native, else as arrays for NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from wengert.batching.adding import add_rows, can_add
from wengert.batching.body import Body, Source, body_of
from wengert.batching.laying import Actions, Argument, Move
from wengert.batching.places import Column, Places, Rows, Span
from wengert.batching.program import Program
from wengert.batching.schedule import Signature
from wengert.batching.workspace import Workspace
from wengert.graph import Type

__all__ = ["Group"]

#: Rows of a matrix that are transposed at a time: as many as a line of the cache has numbers.
_STRIP = 16


class Group:
    """The state of one signature in one run.

    operands : for each operand that is stacked and kept for the way back, its rows in the order in
        which nodes run; residuals, deferred : what else is kept, likewise
    is_new : whether the body was made for this run, and not found again
    """

    def __init__(self, program: Program, signature: Signature) -> None:
        family = program.families[signature.family]
        self.family = family
        self.flags = signature.flags
        self.total = len(signature.members)
        self.input_types = family.graph.input_types
        self.output_types = family.graph.output_types
        self.wholes: list[list[Any]] = []
        self.singles: list[Any] = []
        self.body: Body | None = None
        if family.is_sum:
            members = family.members[signature.members]
            self.needs_gradient = bool(program.active[program.firsts[members]].any())
            return
        operands = family.operands[signature.members]
        self.needed = tuple(
            bool(t.is_float and program.active[operands[:, p]].any())
            for p, t in enumerate(self.input_types)
        )
        self.needs_gradient = any(self.needed)
        self.shared = {
            p: int(operands[0, p]) for p, stacked in enumerate(self.flags) if not stacked
        }
        how = {"native": family.is_native, "exact": family.is_exact}
        body = body_of(family.graph, self.flags, self.needed, **how)
        self.is_new = not body.runs
        body.runs += 1
        if body.usable:
            self.body = body

    @property
    def stacked(self) -> list[int]:
        """The operands that are read from rows."""
        return [] if self.body is None else [p for p, flag in enumerate(self.flags) if flag]

    # ------------------------------------------------------------ forward

    def prepare(
        self,
        number: int,
        spans: Sequence[Span],
        places: Places,
        arenas: Mapping[Type, Rows],
        value: Callable[[int], Any],
        space: Workspace,
    ) -> None:
        """Make room for what is kept, and find where the batches' arguments lie.

        `number` is the signature's, `spans` are its batches, `value` gives a shared value.
        """
        body = self.body
        if body is None:
            return
        self.starts = np.array([span.start for span in spans], np.int64)
        self.sizes = np.array([span.end for span in spans], np.int64) - self.starts
        self._begins = np.array(list(zip(*[span.begins for span in spans], strict=True)), np.int64)
        self._space, self._arenas, self._value = space, arenas, value
        self._largest = int(self.sizes.max())
        self._moves: list[Move] = []
        self.operands: dict[int, Rows] = {}
        self.residuals = [self._rows(t) for t in body.residuals]
        self.deferred = [self._rows(body.late.row_type(k)) for k in body.late_rows]
        kept = {s.number for s in body.sources if s.kind == "operand"}
        columns = places.columns(number, self.stacked)
        self.columns: dict[int, Column] = dict(zip(self.stacked, columns, strict=True))
        arguments = []
        for p, type_ in enumerate(self.input_types):
            if self.flags[p]:
                arguments.append(self._gathered(p, type_, p in kept))
            else:
                arguments.append(Argument(None, None, value(self.shared[p])))
        arguments += [Argument(arenas[t], self._begins[j]) for j, t in enumerate(self.output_types)]
        arguments += [Argument(rows, self.starts) for rows in self.residuals]
        self._arguments = arguments

    def forward_actions(self, stack: ExitStack) -> Actions | None:
        """What native code does on the way forward, until the stack ends; None if it has none."""
        plan = None if self.body is None else self.body.early_plan
        if plan is None:
            return None
        return self._laid(plan, self._arguments, stack, is_back=False)

    def _laid(self, plan: Any, arguments: Any, stack: ExitStack, *, is_back: bool) -> Actions:
        moves = self._moves
        return Actions(plan, self.starts, self.sizes, arguments, moves, stack, is_back=is_back)

    def _rows(self, type_: Type, count: int | None = None) -> Rows:
        return Rows(self._space.rows(self.total if count is None else count, type_))

    def _gathered(self, p: int, type_: Type, is_kept: bool) -> Argument:
        """Where the rows of a stacked operand lie one after another, and what must be moved there
        before a batch runs."""
        column, arena = self.columns[p], self._arenas[type_]
        if column.is_whole:  # as they are wanted
            if is_kept:
                begin = int(column.rows[0])
                self.operands[p] = Rows(arena.array[begin : begin + self.total])
            return Argument(arena, column.begins)
        target = self._rows(type_, None if is_kept else self._largest)
        if is_kept:
            self.operands[p] = target
        places = self.starts if is_kept else None
        is_moved = np.ones_like(self.sizes) if is_kept else 1 - column.is_range
        self._moves.append(Move(column, arena, target, places, is_moved))
        return Argument(target, places, None, arena, column.is_range, column.begins)

    def run_forward(self, b: int, body: Body) -> None:
        """Compute the results of batch b, and what is kept for the way back."""
        n, start = int(self.sizes[b]), int(self.starts[b])
        for column, arena, rows, places, is_needed in self._moves:
            if is_needed[b]:
                target = rows.array[0 if places is None else places[b] :][:n]
                numbers = column.rows[start : start + n]
                np.take(arena.array, numbers, axis=0, out=target, mode="clip")
        arrays = [argument.array(b, n) for argument in self._arguments]
        count = len(self.flags)
        self.wholes.append(body.forward(n, arrays[:count], arrays[count:]))

    # ------------------------------------------------------------ backward

    def prepare_backward(self, cotangents: Mapping[Type, Rows]) -> None:
        """Find where the arguments of the way back lie."""
        body = self.body
        if body is None or not self.needs_gradient:
            return
        self._moves = []
        self._cotangents = cotangents
        arguments = [self._given(source) for source in body.sources]
        for p in body.rows_out:
            column, type_ = self.columns[p], self.input_types[p]
            arena = cotangents[type_]
            if column.is_whole and column.is_single.all():
                arguments.append(Argument(arena, column.begins))
                continue
            found = self._rows(type_, self._largest)
            is_direct = column.is_single & column.is_range
            arguments.append(Argument(found, None, None, arena, is_direct, column.begins))
            is_added = column.is_active & (1 - is_direct)
            self._moves.append(Move(column, arena, found, None, is_added))
        arguments += [Argument(rows, self.starts) for rows in self.deferred]
        self._arguments = arguments

    def backward_actions(self, stack: ExitStack) -> Actions | None:
        """What native code does on the way back, until the stack ends; None if it has none."""
        if self.body is None:
            return None
        plan = self.body.late_plan
        if plan is None or not all(can_add(move.arena.array.dtype) for move in self._moves):
            return None
        arguments = list(self._arguments)
        for k in self.body.turned or ():
            arguments[k] = self._turned(arguments[k].value)
        return self._laid(plan, arguments, stack, is_back=True)

    def _turned(self, matrix: Any) -> Argument:
        """A matrix that all share, transposed."""
        rows = self._rows(Type(matrix.shape[::-1], matrix.dtype), 1)
        for k in range(0, len(matrix), _STRIP):
            np.copyto(rows.array[0][:, k : k + _STRIP], matrix[k : k + _STRIP].T)
        return Argument(None, None, rows.array[0])

    def _given(self, source: Source) -> Argument:
        kind, number = source
        if kind == "operand" and self.flags[number]:
            return Argument(self.operands[number], self.starts)
        if kind == "operand":
            return Argument(None, None, self._value(self.shared[number]))
        if kind == "residual":
            return Argument(self.residuals[number], self.starts)
        if kind == "whole":
            return Argument(None, None)  # of its own for each batch
        arenas = self._arenas if kind == "output" else self._cotangents
        return Argument(arenas[self.output_types[number]], self._begins[number])

    def run_backward(self, b: int, body: Body) -> list[Any]:
        """Compute the cotangents of batch b; the residuals that it has of its own."""
        n, start = int(self.sizes[b]), int(self.starts[b])
        wholes: list[Any] = self.wholes.pop() if self.wholes else []
        arrays = [argument.array(b, n) for argument in self._arguments]
        for k, source in enumerate(body.sources):
            if source.kind == "whole":
                arrays[k] = wholes[source.number]
        count = len(body.sources)
        body.backward(n, arrays[:count], arrays[count:])
        for column, arena, found, _, is_needed in self._moves:
            if is_needed[b]:
                rows = column.rows[start : start + n]
                if column.is_single[b]:
                    arena.array[rows] = found.array[:n]
                else:
                    add_rows(arena.array, rows, found.array[:n])
        return wholes

    def sums(
        self, body: Body, wholes: Sequence[Any], rows_of: Callable[[int], Any]
    ) -> list[tuple[int, Any]]:
        """(value number, cotangent) of the shared operands, once all batches have been run back;
        `rows_of` gives the rows of a result in the order in which nodes ran."""
        env: dict[int, Any] = {
            k: rows.array for k, rows in zip(body.late_rows, self.deferred, strict=True)
        }
        deferred = set(body.deferred)
        for k, source in zip(body.late.inputs, body.sources, strict=True):
            kind, number = source
            if kind == "whole":
                env[k] = wholes[number]
            elif kind in ("operand", "residual"):
                given = self._given(source)
                env[k] = given.value if given.rows is None else given.rows.array
            elif k in deferred:
                arenas = self._arenas if kind == "output" else self._cotangents
                env[k] = arenas[self.output_types[number]].array[rows_of(number)]
        return [(self.shared[p], found) for p, found in body.sums(self.total, env)]
