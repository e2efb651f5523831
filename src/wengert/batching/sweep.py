"""Running a schedule: batches forward, then backward in the reverse order (`group` runs one)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from wengert.batching.actions import run_sequence
from wengert.batching.group import Group
from wengert.batching.laying import Actions
from wengert.batching.leaves import copy_rows
from wengert.batching.places import Places, Rows, Span
from wengert.batching.program import Program
from wengert.batching.schedule import Schedule
from wengert.batching.workspace import Workspace
from wengert.graph import Type
from wengert.run import run
from wengert.transform.graphs import pullback_graph

__all__ = ["Sweep"]


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
        self.leaves = leaves
        self._arrays: dict[int, Any] = {}  # of the leaves that were asked for
        self.groups = [Group(program, s) for s in plan.signatures]
        self.places = Places(program, plan, [group.stacked for group in self.groups])
        self.row = self.places.row
        self.values = {t: Rows(space.rows(n, t)) for t, n in self.places.counts.items()}
        self.shared_cotangents: dict[int, Any] = {}
        self.cotangents: dict[Type, Rows] = {}
        self._place_leaves()
        spans: list[list[Span]] = [[] for _ in plan.signatures]
        #: For each batch its number among those of its signature.
        self._numbers: list[int] = []
        for (number, _), span in zip(plan.batches, self.places.spans, strict=True):
            self._numbers.append(len(spans[number]))
            spans[number].append(span)
        for number, group in enumerate(self.groups):
            group.prepare(number, spans[number], self.places, self.values, self.value, space)

    def _place_leaves(self) -> None:
        numbers = self.program.numbers
        for type_, values in self.places.leaves.items():
            arena = self.values[type_].array[: len(values)]
            if type_.shape:
                copy_rows([self.leaves[v] for v in values], arena)
            else:
                arena[:] = [numbers[v] if v in numbers else self.leaves[v] for v in values]

    def value(self, number: int) -> Any:
        """The array of a value; a view, also of a number, which may be computed later."""
        if number in self._arrays:
            return self._arrays[number]
        if number in self.leaves:
            found = self._arrays[number] = np.asarray(self.leaves[number], order="C")
            return found
        if number in self.program.numbers:
            return np.array(self.program.numbers[number], np.int64)
        return self.values[self.program.type(number)].array[int(self.row[number]), ...]

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

    def reuse(self) -> tuple[int, int]:
        """How many signatures found their body again, and for how many it was made."""
        bodies = [group.is_new for group in self.groups if group.body is not None]
        return bodies.count(False), bodies.count(True)

    # ------------------------------------------------------------ forward

    def forward(self) -> None:
        """Compute all values."""
        with np.errstate(all="ignore"), ExitStack() as stack:
            actions = [group.forward_actions(stack) for group in self.groups]
            self._run(range(len(self.plan.batches)), actions, self._forward_batch, {})

    def _forward_batch(self, k: int) -> None:
        batch, number = self.plan.batches[k], self._numbers[k]
        group = self.groups[batch.signature]
        if group.body is not None:
            group.run_forward(number, group.body)
        elif group.family.is_sum:
            self._forward_sums(group, batch.places, self.places.spans[k])
        else:
            self._forward_singly(group, batch.places, self.places.spans[k])

    def _run(
        self,
        order: Sequence[int],
        actions: Sequence[Actions | None],
        run: Callable[[int], None],
        after: Mapping[int, Callable[[], None]],
    ) -> None:
        """Run batches in an order, those that stand side by side and are native as one call of
        native code, all others by `run`; and what is to be done after some of them."""
        sequence = np.zeros((len(order), 2), np.int64)
        begin = 0
        for at, k in enumerate(order):
            own, number = actions[self.plan.batches[k].signature], self._numbers[k]
            if own is not None:
                sequence[at] = own.first + number * own.step, own.width
            if own is None or k in after:
                end = at if own is None else at + 1
                if begin < end:
                    run_sequence(sequence, begin, end)
                begin = at + 1
                if own is None:
                    run(k)
                if k in after:
                    after[k]()
        if begin < len(order):
            run_sequence(sequence, begin, len(order))

    def _forward_sums(self, group: Group, places: Any, span: Span) -> None:
        arena = self.values[group.output_types[0]].array
        for at, node in enumerate(group.family.members[places].tolist()):
            values, signs = self.program.terms(node)
            terms = arena[self.row[values]] * signs
            arena[span.begins[0] + at] = terms.sum()

    def _forward_singly(self, group: Group, places: Any, span: Span) -> None:
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
        for group in self.groups:
            group.prepare_backward(self.cotangents)
        with np.errstate(all="ignore"):
            with ExitStack() as stack:
                actions = [
                    group.backward_actions(stack) if group.needs_gradient else None
                    for group in self.groups
                ]
                order = range(len(self.plan.batches) - 1, -1, -1)
                self._run(order, actions, self._backward_batch, self._summed_early(actions))
            for number, group in enumerate(self.groups):
                if group.needs_gradient and number not in self._summed:
                    self._sum_shared(number, ())

    def _summed_early(self, actions: Sequence[Actions | None]) -> dict[int, Callable[[], None]]:
        """After which batches shared cotangents are summed: the last ones of native signatures that
        share what the program computes, since it is differentiated then. Others wait."""
        self._summed: set[int] = set()
        producer = self.program.producer
        found: dict[int, Callable[[], None]] = {}
        for k, (batch, number) in enumerate(zip(self.plan.batches, self._numbers, strict=True)):
            signature = batch.signature
            if number or actions[signature] is None:
                continue
            if any(producer[value] >= 0 for value in self.groups[signature].shared.values()):
                found[k] = partial(self._sum_shared, signature, ())
        return found

    def _backward_batch(self, k: int) -> None:
        batch, number = self.plan.batches[k], self._numbers[k]
        group = self.groups[batch.signature]
        if not group.needs_gradient:
            return
        if group.body is not None:
            wholes = group.run_backward(number, group.body)
            if number == 0:
                self._sum_shared(batch.signature, wholes)
        elif group.family.is_sum:
            self._backward_sums(group, batch.places, self.places.spans[k])
        else:
            self._backward_singly(group, batch.places, self.places.spans[k])

    def _sum_shared(self, number: int, wholes: Sequence[Any]) -> None:
        """Add the cotangents of what a signature shares, once all of its batches have been run
        back."""
        self._summed.add(number)
        group = self.groups[number]
        if group.body is None or not group.body.summed:
            return
        firsts = group.family.firsts[self.places.orders[number]]
        for value, found in group.sums(group.body, wholes, lambda k: self.row[firsts + k]):
            if self.row[value] >= 0:
                self.cotangents[self.program.type(value)].array[self.row[value]] += found
            else:
                self._add_shared(value, found)

    def _backward_sums(self, group: Group, places: Any, span: Span) -> None:
        arena = self.cotangents[group.output_types[0]].array
        for at, node in enumerate(group.family.members[places].tolist()):
            values, signs = self.program.terms(node)
            np.add.at(arena, self.row[values], arena[span.begins[0] + at] * signs)

    def _backward_singly(self, group: Group, places: Any, span: Span) -> None:
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
