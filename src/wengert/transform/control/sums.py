"""Sums over the steps of a loop: cotangents of what every step reads.

A dense term is added up in a carry. A term that is a part of a constant (`scatter_sum`) is not made
dense: its values are added up or stacked, and scattered once, after the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.graph import Graph, Type
from wengert.graph.tuples import NamedTuple
from wengert.ops import TABLE
from wengert.transform.graphs import extend

__all__ = ["Sum", "sums"]


class _Part(NamedTuple):
    """One part of a scattered term: where its values and indices are found after the loop."""

    part: Any
    value: tuple[str, int]  # ("carry" or "piece", number)
    indices: tuple[int, ...]  # numbers of pieces


class Sum:
    """A body extended by sums.

    graph : the body, with one further input per sum that a carry holds
    types : their types
    totals : the value numbers of the new sums, in the same order
    pieces : value numbers of what is stacked
    """

    def __init__(self, graph: Graph) -> None:
        self._tape = extend(graph)
        self.types: list[Type] = []
        self.totals: list[int] = []
        self.pieces: list[int] = []
        self._terms: list[tuple[Type, list[int], list[_Part]]] = []

    @property
    def graph(self) -> Graph:
        """The extended body; its own outputs mean nothing."""
        return self._tape.graph([])

    def add(self, number: int, type_: Type) -> None:
        """Add up the value `number` over all steps."""
        dense, scattered = _terms(self._tape, number)
        carries = [self._carry(k) for k in dense]
        parts = [part for k in scattered for part in self._parts(k)]
        self._terms.append((type_, carries, parts))

    def _carry(self, number: int) -> int:
        tape = self._tape
        type_ = tape.entries[number][3]
        before = tape.input(type_)
        total = before + tape.handle(tape, number, type_)
        self.types.append(type_)
        self.totals.append(total._index)
        return len(self.totals) - 1

    def _parts(self, number: int) -> list[_Part]:
        op, operands, params, _ = self._tape.entries[number]
        found, at = [], 1 if op.name == "scatter_add" else 0
        for part in dict(params)["parts"]:
            count = 0 if part[0] == "slice" else len(part[1])
            value, *indices = operands[at : at + 1 + count]
            at += 1 + count
            if part[0] == "slice":
                found.append(_Part(part, ("carry", self._carry(value)), ()))
                continue
            first = len(self.pieces)
            self.pieces += [value, *indices]
            found.append(_Part(part, ("piece", first), tuple(range(first + 1, first + 1 + count))))
        return found

    def finish(self, carries: Sequence[Any], pieces: Sequence[Any]) -> list[Any]:
        """The sums, from the final carries and the stacked pieces."""
        results = []
        for type_, dense, parts in self._terms:
            total = None
            for k in dense:
                total = carries[k] if total is None else total + carries[k]
            if parts:
                scattered = _scatter(type_, parts, carries, pieces)
                total = scattered if total is None else total + scattered
            results.append(total)
        return results


def sums(graph: Graph, numbers: Sequence[int], types: Sequence[Type]) -> Sum:
    """`graph` extended by the sums of values over all steps of a loop."""
    plan = Sum(graph)
    for number, type_ in zip(numbers, types, strict=True):
        plan.add(number, type_)
    return plan


def _terms(tape: Any, number: int) -> tuple[list[int], list[int]]:
    """The dense and the scattered terms of a value; one dense term where nothing is scattered."""
    dense, scattered, stack = [], [], [number]
    while stack:
        k = stack.pop()
        op, operands, _, type_ = tape.entries[k]
        if op.name == "scatter_sum":
            scattered.append(k)
        elif op.name == "scatter_add":
            scattered.append(k)
            stack.append(operands[0])
        elif op.name == "add" and all(tape.entries[o][3] is type_ for o in operands):
            stack += operands
        else:
            dense.append(k)
    return (dense, scattered) if scattered else ([number], [])


def _scatter(
    type_: Type, parts: Sequence[_Part], carries: Sequence[Any], pieces: Sequence[Any]
) -> Any:
    operands: list[Any] = []
    keys: list[Any] = []
    for part, (where, number), at in parts:
        keys.append(part)
        if where == "carry":
            operands.append(carries[number])
            continue
        indices = [pieces[k] for k in at]
        rank = max(i._type.ndim for i in indices)
        aligned = []
        for i in indices:
            length, *rest = i._type.shape
            lead = (length, *[1] * (rank - i._type.ndim), *rest)
            aligned.append(TABLE["reshape"](i, shape=lead) if len(lead) > i._type.ndim else i)
        operands += [pieces[number], *aligned]
    return TABLE["scatter_sum"](*operands, shape=type_.shape, parts=tuple(keys))
