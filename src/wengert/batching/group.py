"""The nodes of one signature in one run: what is kept for them, and where batches find it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wengert.batching.adding import add_rows
from wengert.batching.body import Body, Source, body_of
from wengert.batching.places import Column, Places, Rows, Span
from wengert.batching.program import Program
from wengert.batching.schedule import Signature
from wengert.batching.workspace import Workspace
from wengert.graph import Type

__all__ = ["Group"]


class _Argument(NamedTuple):
    """One argument of all batches: for batch b it lies among `rows` from `places[b]` on, or from
    `direct[b]` on in the `arena`; or it is a value that all share."""

    rows: Rows | None
    places: Any
    value: Any = None
    arena: Rows | None = None
    direct: Mapping[int, int] = {}

    def array(self, b: int, n: int) -> Any:
        """What NumPy gets for batch b."""
        if self.arena is not None and b in self.direct:
            return self.arena.array[self.direct[b] :][:n]
        return self.value if self.rows is None else self.rows.array[self.places[b] :][:n]


class _Table:
    """The arguments of all batches as words: for each batch a row of addresses, and how many bytes
    lie between the rows of each argument."""

    def __init__(self, arguments: Sequence[_Argument], batches: int) -> None:
        self._words = np.empty((batches, max(1, len(arguments))), np.int64)
        self._strides = np.zeros(max(1, len(arguments)), np.int64)
        for k, (rows, places, value, arena, direct) in enumerate(arguments):
            if rows is None:
                self._words[:, k] = value.__array_interface__["data"][0]
                continue
            self._words[:, k] = rows.address + np.asarray(places) * rows.stride
            self._strides[k] = rows.stride
            if arena is not None and direct:
                at = list(direct)
                begins = np.array(list(direct.values()), np.int64)
                self._words[at, k] = arena.address + begins * arena.stride
        self._first, self._step = self._words.ctypes.data, self._words.strides[0]
        self.strides = self._strides.ctypes.data

    def row(self, b: int) -> int:
        """Where the addresses of batch b stand."""
        return int(self._first + b * self._step)


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
        self.starts = [span.start for span in spans]
        self.sizes = [span.end - span.start for span in spans]
        self._begins = np.array([span.begins for span in spans], np.int64)
        self._space, self._arenas, self._value = space, arenas, value
        self._moves: list[list[tuple[Any, Any, Any]]] = [[] for _ in spans]
        self.operands: dict[int, Rows] = {}
        self.residuals = [self._rows(t) for t in body.residuals]
        self.deferred = [self._rows(body.late.row_type(k)) for k in body.late_rows]
        kept = {s.number for s in body.sources if s.kind == "operand"}
        self.columns: dict[int, Column] = {}
        arguments = []
        for p, type_ in enumerate(self.input_types):
            if self.flags[p]:
                self.columns[p] = places.column(number, self.family.operands[:, p])
                arguments.append(self._gathered(p, type_, p in kept))
            else:
                arguments.append(_Argument(None, None, value(self.shared[p])))
        arguments += [
            _Argument(arenas[t], self._begins[:, j], None) for j, t in enumerate(self.output_types)
        ]
        arguments += [_Argument(rows, self.starts, None) for rows in self.residuals]
        self._forward = arguments
        if body.forward_is_native:
            self._forward_table = _Table(arguments, len(spans))

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
            return _Argument(arena, column.rows[self.starts], None)
        target = self._rows(type_, None if is_kept else max(self.sizes))
        if is_kept:
            self.operands[p] = target
        places: list[int] = []
        direct: dict[int, int] = {}
        for b, (start, n) in enumerate(zip(self.starts, self.sizes, strict=True)):
            place = start if is_kept else 0
            places.append(place)
            rows = column.rows[start : start + n]
            in_order = column.is_range(start, start + n)
            if in_order:
                direct[b] = int(rows[0])
            if is_kept or not in_order:
                self._moves[b].append((arena.array, rows, target.array[place : place + n]))
        return _Argument(target, places, None, arena, direct)

    def run_forward(self, b: int, body: Body) -> None:
        """Compute the results of batch b, and what is kept for the way back."""
        n = self.sizes[b]
        for arena, rows, target in self._moves[b]:
            np.take(arena, rows, axis=0, out=target, mode="clip")
        if body.forward_is_native:
            body.forward_natively(n, self._forward_table.row(b), self._forward_table.strides)
            self.wholes.append([])
            return
        arrays = [argument.array(b, n) for argument in self._forward]
        count = len(self.flags)
        self.wholes.append(body.forward(n, arrays[:count], arrays[count:]))

    # ------------------------------------------------------------ backward

    def prepare_backward(self, cotangents: Mapping[Type, Rows]) -> None:
        """Find where the arguments of the way back lie."""
        body = self.body
        if body is None or not self.needs_gradient:
            return
        self._scattered: list[tuple[Column, Any, Any, Mapping[int, int]]] = []
        self._cotangents = cotangents
        arguments = [self._given(source) for source in body.sources]
        for p in body.rows_out:
            column, type_ = self.columns[p], self.input_types[p]
            arena = cotangents[type_]
            if column.is_whole and all(map(column.is_single, self.starts)):
                arguments.append(_Argument(arena, column.rows[self.starts], None))
                continue
            found = self._rows(type_, max(self.sizes))
            direct = {
                b: int(column.rows[start])
                for b, (start, n) in enumerate(zip(self.starts, self.sizes, strict=True))
                if column.is_single(start) and column.is_range(start, start + n)
            }
            arguments.append(_Argument(found, [0] * len(self.sizes), None, arena, direct))
            self._scattered.append((column, arena.array, found.array, direct))
        arguments += [_Argument(rows, self.starts, None) for rows in self.deferred]
        self._backward = arguments
        self._backward_table: _Table | None = None
        if body.backward_is_native and not body.wholes:
            self._backward_table = _Table(arguments, len(self.sizes))

    def _given(self, source: Source) -> _Argument:
        kind, number = source
        if kind == "operand" and self.flags[number]:
            return _Argument(self.operands[number], self.starts, None)
        if kind == "operand":
            return _Argument(None, None, self._value(self.shared[number]))
        if kind == "residual":
            return _Argument(self.residuals[number], self.starts, None)
        if kind == "whole":
            return _Argument(None, None)  # of its own for each batch
        arenas = self._arenas if kind == "output" else self._cotangents
        return _Argument(arenas[self.output_types[number]], self._begins[:, number], None)

    def run_backward(self, b: int, body: Body) -> list[Any]:
        """Compute the cotangents of batch b; the residuals that it has of its own."""
        n, start = self.sizes[b], self.starts[b]
        wholes = self.wholes.pop()
        if self._backward_table is not None:
            table = self._backward_table
            body.backward_natively(n, table.row(b), table.strides)
        else:
            arrays = [argument.array(b, n) for argument in self._backward]
            for k, source in enumerate(body.sources):
                if source.kind == "whole":
                    arrays[k] = wholes[source.number]
            count = len(body.sources)
            body.backward(n, arrays[:count], arrays[count:])
        for column, target, found, direct in self._scattered:
            if b not in direct and column.is_active(start):
                _scatter(column, start, n, target, found[:n])
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


def _scatter(column: Column, start: int, n: int, target: Any, found: Any) -> None:
    """Add the rows of a batch to the cotangents of the values that they belong to."""
    rows = column.rows[start : start + n]
    if column.is_range(start, start + n):
        target[rows[0] : rows[0] + n] += found
    elif column.is_single(start):
        target[rows] = found
    else:
        add_rows(target, rows, found)
