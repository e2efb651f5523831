"""Kinds of nodes: what all nodes of a family have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from wengert.graph import Graph, Tape, Type
from wengert.ops import TABLE
from wengert.transform.calling import call

__all__ = ["INDEX", "Facts", "Kind", "facts_of", "kind_of"]

_PROJECT, _GATHER, _ADD, _SUBTRACT = (
    TABLE[name] for name in ("project", "gather", "add", "subtract")
)


class Kind(NamedTuple):
    """What all nodes of a family have in common.

    graph : what each computes, as a graph of its own; is_native : whether batches of it are worth
    native code; carries : whether derivatives flow through
    is_sum : whether it adds or subtracts any number of operands of the one type that `graph` takes
    joins : whether it may be part of a fragment (see `fragments`)
    is_exact : whether its code may not be rewritten by what holds in real arithmetic only
    """

    name: str
    graph: Graph
    is_native: bool
    is_sum: bool
    carries: bool
    joins: bool = False
    is_exact: bool = False


#: The type of the number of a row.
INDEX = Type((), np.dtype(np.int64))


class Facts(NamedTuple):
    """What passes are told of a program's kinds: arrays with an item for each.

    results, arity : how many results and operands a node has (0 operands for sums)
    adds : 1 for sums, 2 for differences, else 0; carries, joins : as 0 or 1
    types : the number of each different type of results, `INDEX` being 0; begins, numbers : results
    of kind f have the types with the numbers[begins[f]:begins[f + 1]]
    """

    kinds: tuple[Kind, ...]
    results: Any
    arity: Any
    adds: Any
    carries: Any
    joins: Any
    types: dict[Type, int]
    begins: Any
    numbers: Any


#: Kinds by (operator, parameters, operand types): most programs use the same few.
_kinds: dict[Any, Kind] = {}
_MOST_KINDS = 4096


def kind_of(key: Any) -> Kind:
    """The kind of an operator, its parameters and the types of its operands."""
    found = _kinds.get(key)
    if found is None:
        if len(_kinds) >= _MOST_KINDS:
            _kinds.clear()
        found = _kinds[key] = _made(*key)
    return found


def _made(op: Any, params: Any, types: Any) -> Kind:
    if op is call:
        return Kind("call", params[0][1], True, False, True)
    tape = Tape()
    inputs = [tape.input(t)._index for t in types]
    made = tape.record(op, tuple(inputs), params)
    outputs = [made._index]
    is_single = made._type.__class__ is not tuple
    if not is_single:
        outputs = [
            tape.record(_PROJECT, (made._index,), (("number", k),))._index
            for k in range(len(made._type))
        ]
    is_sum = op is _ADD or op is _SUBTRACT
    is_sum = is_sum and types[0] is types[1] and types[0].is_float and not types[0].shape
    # What can fail for some values is not computed with what nobody asked for; rows of an array
    # are read by numbers that were checked when they were recorded.
    joins = is_single and not is_sum and (not op.can_fail or op is _GATHER)
    joins = joins and not any(isinstance(value, Graph) for _, value in params)
    return Kind(op.name, tape.graph(outputs), False, is_sum, op.differentiable, joins)


#: Facts by the identities of kinds, which they keep alive: programs have the same ones again.
_facts: dict[tuple[int, ...], Facts] = {}
_MOST_FACTS = 256


def facts_of(kinds: Sequence[Kind]) -> Facts:
    """The facts about kinds."""
    key = tuple(map(id, kinds))
    found = _facts.get(key)
    if found is None:
        if len(_facts) >= _MOST_FACTS:
            _facts.clear()
        found = _facts[key] = _gathered(tuple(kinds))
    return found


def _gathered(kinds: tuple[Kind, ...]) -> Facts:
    types = {INDEX: 0}
    own = [k.graph.output_types for k in kinds]
    numbers = [types.setdefault(t, len(types)) for found in own for t in found]

    def array(items: Sequence[int]) -> Any:
        return np.array(items, np.int64)

    return Facts(
        kinds,
        array([len(found) for found in own]),
        array([0 if k.is_sum else len(k.graph.inputs) for k in kinds]),
        array([k.is_sum * (2 if k.name == "subtract" else 1) for k in kinds]),
        array([k.carries for k in kinds]),
        array([k.joins for k in kinds]),
        types,
        np.cumsum([0, *map(len, own)], dtype=np.int64),
        array(numbers),
    )
