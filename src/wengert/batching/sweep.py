"""Running a schedule: batches forward, then backward in the reverse order (`places` says where)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wengert.batching.adding import add_rows
from wengert.batching.body import Body, body_of
from wengert.batching.places import Column, Places, Rows, Span
from wengert.batching.program import Program
from wengert.batching.schedule import Schedule, Signature
from wengert.batching.workspace import Workspace
from wengert.graph import Type
from wengert.run import run
from wengert.transform.graphs import pullback_graph

__all__ = ["Sweep"]


class _Group:
    """The state of one signature in one run: rows of operands, residuals and cotangents.

    operands : for each operand that is stacked and kept for the way back, its rows in the order in
        which nodes run; columns : of the stacked operands
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
        body = body_of(family.graph, self.flags, self.needed, native=family.is_call)
        if body.usable:
            self.body = body

    @property
    def stacked(self) -> list[int]:
        """The operands that are read from rows."""
        return [] if self.body is None else [p for p, flag in enumerate(self.flags) if flag]

    def prepare(
        self, number: int, places: Places, arenas: Mapping[Type, Rows], space: Workspace
    ) -> None:
        """Make room for what is kept; `number` is the signature's."""
        if self.body is None:
            return
        body, total = self.body, self.total
        values = self.family.operands
        self.columns = {p: places.column(number, values[:, p]) for p in self.stacked}
        self.operands: dict[int, Rows] = {}
        for source in body.sources:
            p = source.number
            if source.kind == "operand" and self.flags[p] and p not in self.operands:
                column, type_ = self.columns[p], self.input_types[p]
                if column.is_whole:  # they lie in the arena as they are wanted
                    begin = int(column.rows[0])
                    self.operands[p] = Rows(arenas[type_].array[begin : begin + total])
                else:
                    self.operands[p] = Rows(space.rows(total, type_))
        self.residuals = [Rows(space.rows(total, t)) for t in body.residuals]
        self.deferred = [Rows(space.rows(total, body.late.row_type(k))) for k in body.late_rows]


class Sweep:
    """One run of a program.

    Parameters
    ----------
    leaves : value number -> array or number, for each leaf
    space : where rows lie
    """

    def __init__(
        self, program: Program, plan: Schedule, leaves: Mapping[int, Any], space: Workspace
    ) -> None:
        self.program = program
        self.space = space
        self.plan = plan
        self.leaves = {k: np.asarray(leaves[k], order="C") for k in program.leaves}
        self.groups = [_Group(program, s) for s in plan.signatures]
        self.places = Places(program, plan, [group.stacked for group in self.groups])
        self.row = self.places.row
        self.values = {t: Rows(space.rows(n, t)) for t, n in self.places.counts.items()}
        for number, group in enumerate(self.groups):
            group.prepare(number, self.places, self.values, space)
        self.shared_cotangents: dict[int, Any] = {}
        self.cotangents: dict[Type, Rows] = {}
        self._scratch: dict[tuple[Type, int], Rows] = {}
        self._place_leaves()

    def _place_leaves(self) -> None:
        numbers = self.program.numbers
        for type_, values in self.places.leaves.items():
            arena = self.values[type_].array[: len(values)]
            found = [numbers[v] if v in numbers else self.leaves[v] for v in values]
            if type_.shape:
                np.concatenate(found, out=arena.reshape(-1, *type_.shape[1:]))
            else:
                arena[:] = found

    def value(self, number: int) -> Any:
        """The array of a value."""
        if number in self.leaves:
            return self.leaves[number]
        if number in self.program.numbers:
            return np.int64(self.program.numbers[number])
        return self.values[self.program.type(number)].array[int(self.row[number])]

    def how(self) -> list[str]:
        """How each signature runs, for reports."""
        return [
            "one sum"
            if group.family.is_sum
            else "node by node"
            if group.body is None
            else "native: " + "; ".join(group.body.kernels)
            if group.body.is_native
            else "NumPy"
            for group in self.groups
        ]

    def _room(self, type_: Type, number: int, count: int) -> Rows:
        """Memory for operand `number` of one batch; the next batch has the same."""
        found = self._scratch.get((type_, number))
        if found is None or len(found.array) < count:
            found = Rows(self.space.rows(max(count, 16), type_))
            self._scratch[type_, number] = found
        return found

    # ------------------------------------------------------------ forward

    def forward(self) -> None:
        """Compute all values."""
        with np.errstate(all="ignore"):
            for batch, span in zip(self.plan.batches, self.places.spans, strict=True):
                group = self.groups[batch.signature]
                if group.family.is_sum:
                    self._forward_sums(group, batch.places, span)
                elif group.body is not None:
                    self._forward_batch(group, group.body, span)
                else:
                    self._forward_singly(group, batch.places, span)

    def _forward_sums(self, group: _Group, places: Any, span: Span) -> None:
        arena = self.values[group.output_types[0]].array
        for at, node in enumerate(group.family.members[places].tolist()):
            arena[span.begins[0] + at] = arena[self.row[self.program.operands(node)]].sum()

    def _forward_batch(self, group: _Group, body: Body, span: Span) -> None:
        start, end = span.start, span.end
        operands: list[tuple[Rows | None, int, Any]] = []
        for p, stacked in enumerate(group.flags):
            if stacked:
                rows, begin = self._gathered(group, p, start, end)
                operands.append((rows, begin, None))
            else:
                operands.append((None, 0, self.value(group.shared[p])))
        outputs = [
            (self.values[t], begin)
            for t, begin in zip(group.output_types, span.begins, strict=True)
        ]
        outputs += [(rows, start) for rows in group.residuals]
        n = end - start
        if body.forward_is_native:
            body.forward_natively(n, *_located(operands, outputs))
            group.wholes.append([])
            return
        arrays = [x if rows is None else rows.array[k : k + n] for rows, k, x in operands]
        results = [rows.array[k : k + n] for rows, k in outputs]
        group.wholes.append(body.forward(n, arrays, results))

    def _gathered(self, group: _Group, p: int, start: int, end: int) -> tuple[Rows, int]:
        """Where the rows of a stacked operand lie one after another, for nodes `start` to `end` of
        its signature."""
        column, type_ = group.columns[p], group.input_types[p]
        arena = self.values[type_]
        kept = group.operands.get(p)
        begin = int(column.rows[start])
        if column.is_whole:
            return arena, begin
        if column.is_range(start, end):
            if kept is not None:
                kept.array[start:end] = arena.array[begin : begin + end - start]
            return arena, begin
        place = start
        if kept is None:
            kept, place = self._room(type_, p, end - start), 0
        target = kept.array[place : place + end - start]
        np.take(arena.array, column.rows[start:end], axis=0, out=target, mode="clip")
        return kept, place

    def _forward_singly(self, group: _Group, places: Any, span: Span) -> None:
        graph, types = group.family.graph, group.output_types
        seeded = tuple(j for j, t in enumerate(types) if t.is_float)
        wrt = tuple(p for p, need in enumerate(group.needed) if need)
        parts = pullback_graph(graph, wrt, seeded if wrt else ())
        for at, place in enumerate(places.tolist()):
            found = run(parts.early, [self.value(int(v)) for v in group.family.operands[place]])
            for j, type_ in enumerate(types):
                self.values[type_].array[span.begins[j] + at] = found[j]
            group.singles.append((place, parts, found[len(types) :], seeded, wrt))

    # ------------------------------------------------------------ backward

    def backward(self, seed: int) -> None:
        """Compute the cotangents, from 1 for the value `seed`."""
        for type_, rows in self.values.items():
            if type_.is_float:
                self.cotangents[type_] = Rows(self.space.rows(len(rows.array), type_))
                self.cotangents[type_].array.fill(0)
        type_ = self.program.type(seed)
        if self.row[seed] >= 0:
            self.cotangents[type_].array[self.row[seed]] += 1
        else:
            self._add_shared(seed, type_.dtype.type(1))
        with np.errstate(all="ignore"):
            pairs = zip(self.plan.batches, self.places.spans, strict=True)
            for batch, span in reversed(list(pairs)):
                group = self.groups[batch.signature]
                if not group.needs_gradient:
                    continue
                if group.family.is_sum:
                    self._backward_sums(group, batch.places, span)
                elif group.body is not None:
                    self._backward_batch(group, group.body, span)
                else:
                    self._backward_singly(group, batch.places, span)

    def _backward_sums(self, group: _Group, places: Any, span: Span) -> None:
        arena = self.cotangents[group.output_types[0]].array
        for at, node in enumerate(group.family.members[places].tolist()):
            np.add.at(arena, self.row[self.program.operands(node)], arena[span.begins[0] + at])

    def _backward_batch(self, group: _Group, body: Body, span: Span) -> None:
        start, end = span.start, span.end
        n = end - start
        wholes = group.wholes.pop()
        given = [self._given(group, source, span, wholes) for source in body.sources]
        outputs, scattered = [], []
        for k, p in enumerate(body.rows_out):
            column, type_ = group.columns[p], group.input_types[p]
            if column.is_single(start) and column.is_range(start, end):
                outputs.append((self.cotangents[type_], int(column.rows[start])))
                continue
            found = self._room(type_, k, n)
            outputs.append((found, 0))
            if column.is_active(start):
                scattered.append((column, self.cotangents[type_].array, found.array[:n]))
        outputs += [(rows, start) for rows in group.deferred]
        if body.backward_is_native:
            body.backward_natively(n, *_located(given, outputs))
        else:
            arrays = [x if rows is None else rows.array[k : k + n] for rows, k, x in given]
            body.backward(n, arrays, [rows.array[k : k + n] for rows, k in outputs])
        for column, target, array in scattered:
            _scatter(column, start, end, target, array)
        if start == 0 and body.summed:
            self._sum(group, body, wholes)

    def _given(
        self, group: _Group, source: Any, span: Span, wholes: Sequence[Any]
    ) -> tuple[Rows | None, int, Any]:
        """Rows and the first of them, or a value of all examples."""
        kind, number = source
        if kind == "operand":
            if group.flags[number]:
                return group.operands[number], span.start, None
            return None, 0, self.value(group.shared[number])
        if kind == "residual":
            return group.residuals[number], span.start, None
        if kind == "whole":
            return None, 0, wholes[number]
        arenas = self.values if kind == "output" else self.cotangents
        return arenas[group.output_types[number]], span.begins[number], None

    def _sum(self, group: _Group, body: Body, wholes: Sequence[Any]) -> None:
        """The cotangents of shared operands: all batches of the signature have been run back."""
        env: dict[int, Any] = {
            k: rows.array for k, rows in zip(body.late_rows, group.deferred, strict=True)
        }
        deferred = set(body.deferred)
        for k, source in zip(body.late.inputs, body.sources, strict=True):
            kind, number = source
            if kind == "operand":
                env[k] = (
                    group.operands[number].array
                    if group.flags[number]
                    else self.value(group.shared[number])
                )
            elif kind == "residual":
                env[k] = group.residuals[number].array
            elif kind == "whole":
                env[k] = wholes[number]
            elif k in deferred:
                arenas = self.values if kind == "output" else self.cotangents
                arena = arenas[group.output_types[number]].array
                env[k] = arena[self._rows_of(group, number)]
        for p, found in body.sums(group.total, env):
            value = group.shared[p]
            if self.row[value] >= 0:
                self.cotangents[self.program.type(value)].array[self.row[value]] += found
            else:
                self._add_shared(value, found)

    def _rows_of(self, group: _Group, number: int) -> Any:
        """The rows of a result, in the order in which the batches of the group ran."""
        order = self.places.orders[self.groups.index(group)]
        return self.row[group.family.firsts[order] + number]

    def _backward_singly(self, group: _Group, places: Any, span: Span) -> None:
        types = group.output_types
        for at in range(len(places) - 1, -1, -1):
            place, parts, residuals, seeded, wrt = group.singles.pop()
            seeds = [self.cotangents[types[j]].array[span.begins[j] + at] for j in seeded]
            for p, found in zip(wrt, run(parts.late, [*residuals, *seeds]), strict=True):
                value = int(group.family.operands[place, p])
                if self.row[value] >= 0:
                    self.cotangents[self.program.type(value)].array[self.row[value]] += found
                else:  # it may be one of the residuals, or a view of one
                    self._add_shared(value, np.array(found))

    def _add_shared(self, value: int, found: Any) -> None:
        known = self.shared_cotangents.get(value)
        self.shared_cotangents[value] = found if known is None else known + found

    def gradient(self, leaf: int) -> Any:
        """The cotangent of a leaf, as an array of the caller's own."""
        type_ = self.program.graph.entries[leaf][3]
        found = self.shared_cotangents.get(leaf)
        if self.row[leaf] >= 0 and type_ in self.cotangents:
            own = self.cotangents[type_].array[self.row[leaf]]
            found = own.copy() if found is None else found + own
        if found is None:
            found = np.zeros(type_.shape, type_.dtype)
        found = np.asarray(found, type_.dtype)
        if not found.flags.writeable or 0 in found.strides or self.space.holds(found):
            found = found.copy()
        return found if found.ndim else found[()]


def _located(
    given: Sequence[tuple[Rows | None, int, Any]], outputs: Sequence[tuple[Rows, int]]
) -> tuple[list[int], list[int]]:
    """The addresses of all arguments, and how far apart their rows are."""
    addresses, strides = [], []
    for rows, k, value in given:
        if rows is None:
            addresses.append(value.__array_interface__["data"][0])
            strides.append(0)
        else:
            addresses.append(rows.at(k))
            strides.append(rows.stride)
    for rows, k in outputs:
        addresses.append(rows.at(k))
        strides.append(rows.stride)
    return addresses, strides


def _scatter(column: Column, start: int, end: int, target: Any, found: Any) -> None:
    """Add the rows of a batch to the cotangents of the values that they belong to."""
    rows = column.rows[start:end]
    if column.is_range(start, end):
        target[rows[0] : rows[0] + end - start] += found
    elif column.is_single(start):
        target[rows] = found
    else:
        add_rows(target, rows, found)
