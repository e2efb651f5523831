"""Entries with several results: what all operators of control flow share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.capture import Recorder
from wengert.errors import GraphError
from wengert.graph import Graph, Traced, Type, type_of
from wengert.ops import TABLE, Op, zeros
from wengert.transform.inline import apply_graph

__all__ = [
    "Control",
    "bundle",
    "call",
    "read",
    "rebundled",
    "repeated",
    "type_of_leaf",
    "zeros_like",
]


class Control(Op):
    """An operator that runs graphs; its result is a tuple, read by `project`."""

    family = "control"

    def _infer(self, types: tuple[Any, ...], params: dict[str, Any]) -> Any:
        for value in params.values():
            if isinstance(value, Graph):
                value.verify()
        found = self.result_types(types, params)
        if not all(0 <= k < len(types) for k in self.linear_operands(params)):
            raise GraphError(f"{self.name}: linear in operands that it does not have")
        return found

    def result_types(self, types: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, ...]:
        """The types of the results, or an error that says what doesn't fit."""
        raise NotImplementedError

    def groups(self, count: int, params: dict[str, Any]) -> tuple[tuple[int, ...], ...]:
        """The operands in which it is jointly linear."""
        del count
        return (self.linear_operands(params),)

    def linear_operands(self, params: dict[str, Any]) -> tuple[int, ...]:
        """The operands in which an entry with these parameters is jointly linear."""
        found: tuple[int, ...] = params["linear"]
        return found


def read(entry: Any, count: int | None = None) -> list[Any]:
    """Handles of the first results of an entry, by default of all."""
    number = len(entry._type) if count is None else count
    return [TABLE["project"](entry, number=i) for i in range(number)]


def call(op: Op, operands: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    """The results of one application: handles if an operand is traced, else arrays."""
    tape = Recorder()
    handles = [tape.input(type_of_leaf(x)) for x in operands]
    entry = tape.apply(op, handles, tuple(sorted(params.items())))
    graph = tape.graph([part._index for part in read(entry)])
    return apply_graph(graph, operands)


def type_of_leaf(leaf: Any) -> Type:
    """The type of an array, a number or a handle."""
    return leaf._type if isinstance(leaf, Traced) else type_of(leaf)


def zeros_like(values: Sequence[Any], types: Sequence[Any], tape: Any) -> list[Any]:
    """The values, with zeros of its type in place of each that is missing."""
    return [zeros(tape, t) if v is None else v for v, t in zip(values, types, strict=True)]


def repeated(x: Any, size: int) -> Any:
    """A handle with a batch axis in front, along which it is repeated."""
    return TABLE["broadcast_to"](x, shape=(size, *x._type.shape))


# ---------------------------------------------------------------- bundle


class _Bundle(Control):
    """Several values as the results of one entry."""

    def linear_operands(self, params: dict[str, Any]) -> tuple[int, ...]:
        return ()

    def groups(self, count: int, params: dict[str, Any]) -> tuple[tuple[int, ...], ...]:
        return (tuple(range(count)),)

    def result_types(self, types: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, ...]:
        return types

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        return arrays

    def pushforward(self, y: Any, xs: Sequence[Any], tangents: Sequence[Any], params: Any) -> Any:
        return list(tangents)

    def pullback(
        self, y: Any, xs: Sequence[Any], cotangent: Any, needed: Sequence[bool], params: Any
    ) -> Sequence[Any]:
        return list(cotangent)

    def batch(self, args: Sequence[Any], batched: Sequence[bool], size: int, params: Any) -> Any:
        return bundle(*[a if b else repeated(a, size) for a, b in zip(args, batched, strict=True)])


def _declare(function: Any) -> _Bundle:
    return _Bundle(function, symbol="results", latex=r"({0}, \dots)", samples=lambda rng, dtype: [])


@_declare
def bundle(*values: Any) -> Any:
    """Several values as the results of one entry, such as a batched loop whose results were put
    in order."""


def rebundled(values: Sequence[Any], carries: Sequence[bool], size: int) -> Any:
    """The results of a batched entry as one entry, each with the batch axis in front."""
    whole = [v if b else repeated(v, size) for v, b in zip(values, carries, strict=True)]
    return bundle(*whole)
