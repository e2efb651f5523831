"""The nodes of one signature in one run: what is kept for them, and where batches find it.

Both ways, what batches do is prepared for all of them at once: as actions for native code where
the body is native, else as arrays for NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from wengert.batching.actions import ADD, GATHER, NOTHING, RUN, SCATTER, WORDS
from wengert.batching.adding import add_rows, adding_words, can_add, kernel_address
from wengert.batching.body import Body, Source, body_of
from wengert.batching.places import Column, Places, Rows, Span
from wengert.batching.program import Program
from wengert.batching.schedule import Signature
from wengert.batching.workspace import Workspace
from wengert.codegen.addresses import address
from wengert.graph import Type

__all__ = ["Group"]


class _Argument(NamedTuple):
    """One argument of all batches: for batch b it lies among `rows` from `places[b]` on, or, if it
    `is_direct[b]`, from `begins[b]` on in the `arena`; or it is a value that all share."""

    rows: Rows | None
    places: Any
    value: Any = None
    arena: Rows | None = None
    is_direct: Any = None
    begins: Any = None

    def array(self, b: int, n: int) -> Any:
        """What NumPy gets for batch b."""
        if self.arena is not None and self.is_direct[b]:
            return self.arena.array[self.begins[b] :][:n]
        return self.value if self.rows is None else self.rows.array[self.places[b] :][:n]


class _Move(NamedTuple):
    """Rows that are copied before a batch runs (those of an operand), or added after it has (a
    cotangent's), between the places that `column` names in an arena and `rows`, from `places[b]`
    on; `is_needed` says for which batches."""

    column: Column
    arena: Rows
    rows: Rows
    places: Any
    is_needed: Any


class _Table:
    """The arguments of all batches as words: for each batch a row of addresses, `step` bytes apart
    from `first` on, and how many bytes lie between the rows of each argument."""

    def __init__(self, arguments: Sequence[_Argument], batches: int) -> None:
        self._words = np.empty((batches, max(1, len(arguments))), np.int64)
        self._strides = np.zeros(max(1, len(arguments)), np.int64)
        for k, (rows, places, value, arena, is_direct, begins) in enumerate(arguments):
            if rows is None:
                self._words[:, k] = address(value)
                continue
            self._words[:, k] = rows.address + np.asarray(places) * rows.stride
            self._strides[k] = rows.stride
            if arena is not None:
                direct = arena.address + begins * arena.stride
                np.copyto(self._words[:, k], direct, where=is_direct)
        self.first, self.step = address(self._words), self._words.strides[0]
        self.strides = address(self._strides)

    def row(self, b: int) -> int:
        """Where the addresses of batch b stand."""
        return int(self.first + b * self.step)


class Actions:
    """What native code does for each batch of a signature, one way: `width` actions for each,
    `step` bytes apart from `first` on."""

    def __init__(self, plan: Any, sizes: Any, table: _Table, moves: int, stack: ExitStack) -> None:
        self.words = np.zeros((len(sizes), moves + 1, WORDS), np.int64)
        self.width = moves + 1
        self.first, self.step = address(self.words), self.words.strides[0]
        self._held: list[Any] = [table]
        team = stack.enter_context(plan.team(int(sizes.max())))
        rows = table.first + table.step * np.arange(len(sizes))
        self._put(0, RUN, team.address, sizes, rows, table.strides)

    def _put(self, at: int, kind: Any, *values: Any) -> None:
        self.words[:, at, 0] = kind
        for k, value in enumerate(values):
            self.words[:, at, k + 1] = value

    def add_copy(self, at: int, move: _Move, starts: Any, sizes: Any, kind: int) -> None:
        """Copy rows, to where they lie one after another or from there."""
        kinds = np.where(move.is_needed, kind, NOTHING)
        rows, stride = address(move.column.rows) + 8 * starts, move.arena.stride
        own = move.rows.address + move.places * stride
        self._put(at, kinds, move.arena.address, rows, sizes, stride, own)

    def add_sum(self, at: int, move: _Move, starts: Any, sizes: Any) -> None:
        """Add rows to others; a copy where no other batch has any and each comes once."""
        self.add_copy(at, move, starts, sizes, SCATTER)
        is_sum = move.is_needed & ~move.column.is_single
        if not is_sum.any():
            return
        array = move.arena.array
        size = array[0].size if len(array) else 0
        words = adding_words(sizes, size, len(array))
        slots = np.empty((len(sizes), 3), np.int64)
        slots[:, 0] = move.arena.address
        slots[:, 1] = move.rows.address + move.places * move.rows.stride
        slots[:, 2] = address(move.column.rows) + 8 * starts
        self._held += [words, slots]
        chosen = np.flatnonzero(is_sum)
        self.words[chosen, at, 0] = ADD
        self.words[chosen, at, 1] = kernel_address(array.dtype)
        self.words[chosen, at, 2] = address(slots) + slots.strides[0] * chosen
        self.words[chosen, at, 3] = address(words) + words.strides[0] * chosen

    def roll(self) -> None:
        """Put the run last: what is copied is copied before it."""
        self.words = np.ascontiguousarray(np.roll(self.words, -1, axis=1))
        self.first = address(self.words)


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
        self._begins = np.array([span.begins for span in spans], np.int64)
        self._space, self._arenas, self._value = space, arenas, value
        self._largest = int(self.sizes.max())
        self._nowhere = np.zeros(len(spans), np.int64)
        self._moves: list[_Move] = []
        self.operands: dict[int, Rows] = {}
        self.residuals = [self._rows(t) for t in body.residuals]
        self.deferred = [self._rows(body.late.row_type(k)) for k in body.late_rows]
        kept = {s.number for s in body.sources if s.kind == "operand"}
        self.columns: dict[int, Column] = {}
        arguments = []
        for p, type_ in enumerate(self.input_types):
            if self.flags[p]:
                self.columns[p] = places.column(number, p)
                arguments.append(self._gathered(p, type_, p in kept))
            else:
                arguments.append(_Argument(None, None, value(self.shared[p])))
        arguments += [
            _Argument(arenas[t], self._begins[:, j]) for j, t in enumerate(self.output_types)
        ]
        arguments += [_Argument(rows, self.starts) for rows in self.residuals]
        self._arguments = arguments

    def forward_actions(self, stack: ExitStack) -> Actions | None:
        """What native code does on the way forward, until the stack ends; None if it has none."""
        plan = None if self.body is None else self.body.early_plan
        if plan is None:
            return None
        table = _Table(self._arguments, len(self.sizes))
        made = Actions(plan, self.sizes, table, len(self._moves), stack)
        for at, move in enumerate(self._moves):
            made.add_copy(at + 1, move, self.starts, self.sizes, GATHER)
        made.roll()
        return made

    def _rows(self, type_: Type, count: int | None = None) -> Rows:
        return Rows(self._space.rows(self.total if count is None else count, type_))

    def _gathered(self, p: int, type_: Type, is_kept: bool) -> _Argument:
        """Where the rows of a stacked operand lie one after another, and what must be moved there
        before a batch runs."""
        column, arena = self.columns[p], self._arenas[type_]
        if column.is_whole:  # as they are wanted
            if is_kept:
                begin = int(column.rows[0])
                self.operands[p] = Rows(arena.array[begin : begin + self.total])
            return _Argument(arena, column.begins)
        target = self._rows(type_, None if is_kept else self._largest)
        if is_kept:
            self.operands[p] = target
        places = self.starts if is_kept else self._nowhere
        is_moved = np.ones(len(self.sizes), bool) if is_kept else ~column.is_range
        self._moves.append(_Move(column, arena, target, places, is_moved))
        return _Argument(target, places, None, arena, column.is_range, column.begins)

    def run_forward(self, b: int, body: Body) -> None:
        """Compute the results of batch b, and what is kept for the way back."""
        n, start = int(self.sizes[b]), int(self.starts[b])
        for column, arena, rows, places, is_needed in self._moves:
            if is_needed[b]:
                target = rows.array[places[b] :][:n]
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
                arguments.append(_Argument(arena, column.begins))
                continue
            found = self._rows(type_, self._largest)
            is_direct = column.is_single & column.is_range
            arguments.append(_Argument(found, self._nowhere, None, arena, is_direct, column.begins))
            is_added = column.is_active & ~is_direct
            self._moves.append(_Move(column, arena, found, self._nowhere, is_added))
        arguments += [_Argument(rows, self.starts) for rows in self.deferred]
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
        table = _Table(arguments, len(self.sizes))
        made = Actions(plan, self.sizes, table, len(self._moves), stack)
        for at, move in enumerate(self._moves):
            made.add_sum(at + 1, move, self.starts, self.sizes)
        return made

    def _turned(self, matrix: Any) -> _Argument:
        """A matrix that all share, transposed."""
        rows = self._rows(Type(matrix.shape[::-1], matrix.dtype), 1)
        np.copyto(rows.array[0], matrix.T)
        return _Argument(None, None, rows.array[0])

    def _given(self, source: Source) -> _Argument:
        kind, number = source
        if kind == "operand" and self.flags[number]:
            return _Argument(self.operands[number], self.starts)
        if kind == "operand":
            return _Argument(None, None, self._value(self.shared[number]))
        if kind == "residual":
            return _Argument(self.residuals[number], self.starts)
        if kind == "whole":
            return _Argument(None, None)  # of its own for each batch
        arenas = self._arenas if kind == "output" else self._cotangents
        return _Argument(arenas[self.output_types[number]], self._begins[:, number])

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
