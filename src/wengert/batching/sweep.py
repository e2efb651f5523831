"""Running a schedule: batches forward, then backward in the reverse order.

Values of one type lie in one arena, a row each, in the order in which they are computed. So the
results of a batch are contiguous, its cotangents too, and operands are gathered by row number, or
not at all where they lie in order already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wengert.batching.body import Body, body_of
from wengert.batching.program import Program
from wengert.batching.schedule import Schedule, Signature
from wengert.graph import Type
from wengert.run import run
from wengert.transform.graphs import pullback_graph

__all__ = ["Sweep"]


class _Group:
    """The state of one signature in one run: rows of operands, residuals and cotangents."""

    def __init__(self, program: Program, signature: Signature) -> None:
        family = program.families[signature.family]
        self.family = family
        self.flags = signature.flags
        self.total = len(signature.members)
        self.results = family.results
        self.done = 0
        self.spans: list[tuple[int, int]] = []
        self.wholes: list[list[Any]] = []
        self.singles: list[Any] = []
        self.body: Body | None = None
        if family.is_sum:
            members = family.members[signature.members]
            results = program.active[program.firsts[members]]
            self.needs_gradient = bool(results.any())
            return
        types = family.graph.input_types
        self.columns = [np.ascontiguousarray(column) for column in family.operands.T]
        members = signature.members
        self.needed = tuple(
            bool(t.is_float and program.active[column[members]].any())
            for t, column in zip(types, self.columns, strict=True)
        )
        self.needs_gradient = any(self.needed)
        self.shared = {
            p: int(self.columns[p][members[0]])
            for p, stacked in enumerate(self.flags)
            if not stacked
        }
        body = body_of(family.graph, self.flags, self.needed, native=family.is_call)
        if not body.usable:
            return
        self.body = body
        kept = {s.number for s in body.sources if s.kind == "operand"}
        self.operand_rows: dict[int, Any] = {
            p: _rows(self.total, types[p]) for p in kept if self.flags[p]
        }
        self.residual_rows = [_rows(self.total, t) for t in body.residuals]
        self.deferred_rows = [_rows(self.total, body.late.row_type(k)) for k in body.late_rows]


def _rows(count: int, type_: Type) -> Any:
    return np.empty((count, *type_.shape), type_.dtype)


class Sweep:
    """One run of a program.

    Parameters
    ----------
    leaves : value number -> array or number, for each leaf
    """

    def __init__(self, program: Program, plan: Schedule, leaves: Mapping[int, Any]) -> None:
        self.program = program
        self.plan = plan
        self.leaves = {k: np.asarray(leaves[k], order="C") for k in program.leaves}
        self.groups = [_Group(program, s) for s in plan.signatures]
        self._place()
        self.values = {t: _rows(n, t) for t, n in self.counts.items()}
        self.shared_cotangents: dict[int, Any] = {}
        self.cotangents: dict[Type, Any] = {}
        self._place_leaves()

    # ------------------------------------------------------------ places

    def _place(self) -> None:
        """A row in the arena of its type for each computed value and each stacked leaf."""
        program = self.program
        self.row = np.full(len(program.producer), -1, np.int64)
        self.counts: dict[Type, int] = {}
        stacked = np.zeros(len(program.producer), bool)
        for group, signature in zip(self.groups, self.plan.signatures, strict=True):
            if group.family.is_sum:
                for node in group.family.members.tolist():
                    stacked[program.operands(node)] = True
            elif group.body is not None:
                for p, flag in enumerate(group.flags):
                    if flag:
                        stacked[group.columns[p][signature.members]] = True
        stacked &= program.producer < 0
        self.stacked_leaves: dict[Type, list[int]] = {}
        for value in np.flatnonzero(stacked).tolist():
            type_ = program.type(value)
            self.row[value] = self.counts.get(type_, 0)
            self.counts[type_] = int(self.row[value]) + 1
            self.stacked_leaves.setdefault(type_, []).append(value)
        self.first_rows: list[list[int]] = []
        for batch in self.plan.batches:
            group = self.groups[batch.signature]
            n = len(batch.places)
            begins = []
            for j, type_ in enumerate(group.family.graph.output_types):
                begin = self.counts.get(type_, 0)
                self.row[group.results[batch.places, j]] = np.arange(begin, begin + n)
                self.counts[type_] = begin + n
                begins.append(begin)
            self.first_rows.append(begins)

    def _place_leaves(self) -> None:
        numbers = self.program.numbers
        for type_, values in self.stacked_leaves.items():
            arena = self.values[type_]
            for at, value in enumerate(values):
                arena[at] = numbers[value] if value in numbers else self.leaves[value]

    def value(self, number: int) -> Any:
        """The array of a value."""
        if number in self.leaves:
            return self.leaves[number]
        if number in self.program.numbers:
            return np.int64(self.program.numbers[number])
        return self.values[self.program.type(number)][int(self.row[number])]

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

    # ------------------------------------------------------------ forward

    def forward(self) -> None:
        """Compute all values."""
        with np.errstate(all="ignore"):
            for batch, begins in zip(self.plan.batches, self.first_rows, strict=True):
                group = self.groups[batch.signature]
                if group.family.is_sum:
                    self._forward_sums(group, batch.places, begins[0])
                elif group.body is not None:
                    self._forward_batch(group, group.body, batch.places, begins)
                else:
                    self._forward_singly(group, batch.places, begins)

    def _forward_sums(self, group: _Group, places: Any, begin: int) -> None:
        arena = self.values[group.family.graph.output_types[0]]
        for at, node in enumerate(group.family.members[places].tolist()):
            arena[begin + at] = arena[self.row[self.program.operands(node)]].sum()

    def _forward_batch(self, group: _Group, body: Body, places: Any, begins: Sequence[int]) -> None:
        n, start = len(places), group.done
        end = start + n
        group.done = end
        group.spans.append((start, end))
        types = group.family.graph.input_types
        operands = []
        for p, stacked in enumerate(group.flags):
            if not stacked:
                operands.append(self.value(group.shared[p]))
                continue
            rows = self.row[group.columns[p][places]]
            arena = self.values[types[p]]
            target = group.operand_rows.get(p)
            if _in_order(rows):
                found = arena[rows[0] : rows[0] + n]
                if target is not None:
                    target[start:end] = found
            else:
                target = _rows(n, types[p]) if target is None else target[start:end]
                found = np.take(arena, rows, axis=0, out=target, mode="clip")
            operands.append(found)
        outputs = [
            self.values[t][begin : begin + n]
            for t, begin in zip(group.family.graph.output_types, begins, strict=True)
        ]
        outputs += [rows[start:end] for rows in group.residual_rows]
        group.wholes.append(body.forward(n, operands, outputs))

    def _forward_singly(self, group: _Group, places: Any, begins: Sequence[int]) -> None:
        graph = group.family.graph
        types = graph.output_types
        seeded = tuple(j for j, t in enumerate(types) if t.is_float)
        wrt = tuple(p for p, need in enumerate(group.needed) if need)
        parts = pullback_graph(graph, wrt, seeded if wrt else ())
        for at, place in enumerate(places.tolist()):
            found = run(parts.early, [self.value(int(v)) for v in group.family.operands[place]])
            for j, type_ in enumerate(types):
                self.values[type_][begins[j] + at] = found[j]
            group.singles.append((place, parts, found[len(types) :], seeded, wrt))

    # ------------------------------------------------------------ backward

    def backward(self, seed: int) -> None:
        """Compute the cotangents, from 1 for the value `seed`."""
        for type_, count in self.counts.items():
            if type_.is_float:
                self.cotangents[type_] = np.zeros((count, *type_.shape), type_.dtype)
        type_ = self.program.type(seed)
        if self.row[seed] >= 0:
            self.cotangents[type_][self.row[seed]] += 1
        else:
            self._add_shared(seed, type_.dtype.type(1))
        with np.errstate(all="ignore"):
            pairs = zip(self.plan.batches, self.first_rows, strict=True)
            for batch, begins in reversed(list(pairs)):
                group = self.groups[batch.signature]
                if not group.needs_gradient:
                    continue
                if group.family.is_sum:
                    self._backward_sums(group, batch.places, begins[0])
                elif group.body is not None:
                    self._backward_batch(group, group.body, batch.places, begins)
                else:
                    self._backward_singly(group, batch.places, begins)

    def _backward_sums(self, group: _Group, places: Any, begin: int) -> None:
        type_ = group.family.graph.output_types[0]
        for at, node in enumerate(group.family.members[places].tolist()):
            rows = self.row[self.program.operands(node)]
            found = np.broadcast_to(self.cotangents[type_][begin + at], rows.shape)
            self._scatter(type_, rows, found)

    def _backward_batch(
        self, group: _Group, body: Body, places: Any, begins: Sequence[int]
    ) -> None:
        n = len(places)
        start, end = group.spans.pop()
        wholes = group.wholes.pop()
        types = group.family.graph.output_types
        given = [
            self._given(group, source, (start, end), wholes, begins, n, types)
            for source in body.sources
        ]
        columns = [group.columns[p][places] for p in body.rows_out]
        outputs: list[Any] = [_rows(n, group.family.graph.input_types[p]) for p in body.rows_out]
        outputs += [rows[start:end] for rows in group.deferred_rows]
        body.backward(n, given, outputs)
        for p, column, found in zip(body.rows_out, columns, outputs, strict=False):
            self._scatter(group.family.graph.input_types[p], self.row[column], found)
        if start == 0 and body.summed:
            self._sum(group, body, wholes)

    def _given(
        self,
        group: _Group,
        source: Any,
        span: tuple[int, int],
        wholes: Sequence[Any],
        begins: Sequence[int],
        n: int,
        types: Sequence[Any],
    ) -> Any:
        kind, number = source
        start, end = span
        if kind == "operand":
            if group.flags[number]:
                return group.operand_rows[number][start:end]
            return self.value(group.shared[number])
        if kind == "residual":
            return group.residual_rows[number][start:end]
        if kind == "whole":
            return wholes[number]
        arenas = self.values if kind == "output" else self.cotangents
        return arenas[types[number]][begins[number] : begins[number] + n]

    def _sum(self, group: _Group, body: Body, wholes: Sequence[Any]) -> None:
        """The cotangents of shared operands: all batches of the signature have been run back."""
        env: dict[int, Any] = dict(zip(body.late_rows, group.deferred_rows, strict=True))
        types = group.family.graph.output_types
        deferred = set(body.deferred)
        for k, source in zip(body.late.inputs, body.sources, strict=True):
            kind, number = source
            if kind == "operand":
                env[k] = (
                    group.operand_rows[number]
                    if group.flags[number]
                    else self.value(group.shared[number])
                )
            elif kind == "residual":
                env[k] = group.residual_rows[number]
            elif kind == "whole":
                env[k] = wholes[number]
            elif k in deferred:
                arena = (self.values if kind == "output" else self.cotangents)[types[number]]
                env[k] = arena[self._rows_of(group, number)]
        for p, found in body.sums(group.total, env):
            value = group.shared[p]
            if self.row[value] >= 0:
                self.cotangents[self.program.type(value)][self.row[value]] += found
            else:
                self._add_shared(value, found)

    def _rows_of(self, group: _Group, number: int) -> Any:
        """The rows of a result, in the order in which the batches of the group ran."""
        parts = [
            np.arange(begins[number], begins[number] + len(batch.places))
            for batch, begins in zip(self.plan.batches, self.first_rows, strict=True)
            if self.groups[batch.signature] is group
        ]
        return np.concatenate(parts)

    def _backward_singly(self, group: _Group, places: Any, begins: Sequence[int]) -> None:
        types = group.family.graph.output_types
        for at in range(len(places) - 1, -1, -1):
            place, parts, residuals, seeded, wrt = group.singles.pop()
            seeds = [self.cotangents[types[j]][begins[j] + at] for j in seeded]
            for p, found in zip(wrt, run(parts.late, [*residuals, *seeds]), strict=True):
                value = int(group.family.operands[place, p])
                if self.row[value] >= 0:
                    self.cotangents[self.program.type(value)][self.row[value]] += found
                else:  # it may be one of the residuals, or a view of one
                    self._add_shared(value, np.array(found))

    def _add_shared(self, value: int, found: Any) -> None:
        known = self.shared_cotangents.get(value)
        self.shared_cotangents[value] = found if known is None else known + found

    def _scatter(self, type_: Type, rows: Any, found: Any) -> None:
        """Add rows to the cotangents of the values that they belong to."""
        target = self.cotangents[type_]
        n = len(rows)
        if _in_order(rows):
            target[rows[0] : rows[0] + n] += found
            return
        order = np.argsort(rows, kind="stable")
        sorted_rows = rows[order]
        starts = np.flatnonzero(np.diff(sorted_rows, prepend=-1))
        if len(starts) == n:
            target[rows] += found
        else:  # a value used several times within the batch
            target[sorted_rows[starts]] += np.add.reduceat(found[order], starts, axis=0)

    def gradient(self, leaf: int) -> Any:
        """The cotangent of a leaf, as an array of the caller's own."""
        type_ = self.program.graph.entries[leaf][3]
        found = self.shared_cotangents.get(leaf)
        if self.row[leaf] >= 0 and type_ in self.cotangents:
            own = self.cotangents[type_][self.row[leaf]]
            found = own.copy() if found is None else found + own
        if found is None:
            found = np.zeros(type_.shape, type_.dtype)
        found = np.asarray(found, type_.dtype)
        if not found.flags.writeable or 0 in found.strides:
            found = found.copy()
        return found if found.ndim else found[()]


def _in_order(rows: Any) -> bool:
    n = len(rows)
    return n == 1 or bool(rows[-1] - rows[0] == n - 1 and (rows[1:] - rows[:-1] == 1).all())
