"""A recorded graph as nodes of families: what the scheduler and the sweeps work on.

A family holds the nodes with equal operator, parameters and operand types. Values are numbered:
a leaf or a node with one result has its number in the graph, results of a node with several come
after all of those. Reading one row of an array (`table[word]`, `scores[label]`) is a family of its
own, whose row number is a further operand: the numbers differ from example to example.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from wengert.graph import CONSTANT, INPUT, Graph, Tape, Type
from wengert.ops import TABLE
from wengert.transform.calling import call

__all__ = ["Family", "Program", "read_program"]

_PROJECT, _SLICE, _GATHER = (TABLE[name] for name in ("project", "slice_index", "gather"))
_INDEX = Type((), np.dtype(np.int64))


class Family:
    """Nodes that differ in their operands only.

    graph : what each computes, as a graph of its own; carries : whether derivatives flow through
    members : the entries; operands : value numbers, a tuple per member; firsts : value number of
    the first result of each, which the others follow; depths : longest way from a leaf
    """

    def __init__(self, name: str, graph: Graph, is_call: bool, carries: bool) -> None:
        self.name = name
        self.graph = graph
        self.is_call = is_call
        self.carries = carries
        self.members: list[int] = []
        self.operands: list[tuple[int, ...]] = []
        self.firsts: list[int] = []
        self.depths: list[int] = []

    def add(self, member: int, operands: tuple[int, ...], first: int, depth: int) -> None:
        """A further node."""
        self.members.append(member)
        self.operands.append(operands)
        self.firsts.append(first)
        self.depths.append(depth)

    @property
    def results(self) -> Any:
        """The value numbers of the results: an array with a row per member."""
        count = len(self.graph.outputs)
        return np.array(self.firsts, np.int64)[:, None] + np.arange(count)


class Program:
    """The nodes that the outputs of a graph need.

    types : type of each value; leaves : the values that no node computes; numbers : value -> row
    number; where : value number of each entry; active : which values depend on those that
    derivatives are taken by
    """

    def __init__(self, graph: Graph, wrt: Iterable[int]) -> None:
        self.graph = graph
        self.types: list[Any] = [entry[3] for entry in graph.entries]
        self.leaves: list[int] = []
        self.numbers: dict[int, int] = {}
        self.families: list[Family] = []
        self.where: list[int] = list(range(len(graph.entries)))
        self.active = [False] * len(graph.entries)
        for k in wrt:
            self.active[k] = True

    @property
    def outputs(self) -> list[int]:
        """The value numbers of the graph's outputs."""
        return [self.where[k] for k in self.graph.outputs]

    @property
    def node_count(self) -> int:
        """How many nodes there are."""
        return sum(len(family.members) for family in self.families)


def read_program(graph: Graph, wrt: Iterable[int]) -> Program:
    """Read a graph, to be differentiated by the entries `wrt`; cost: linear in its entries."""
    program = Program(graph, wrt)
    types, where, active = program.types, program.where, program.active
    depth = [-1] * len(types)
    families: dict[Any, Family] = {}
    calls: dict[int, Family] = {}  # by the parameters' address: they determine the operand types
    rows: dict[int, int] = {}
    for i, live in enumerate(graph.live()):
        if not live:
            continue
        op, operands, params, type_ = graph.entries[i]
        if op is _PROJECT:
            where[i] = where[operands[0]] + params[0][1]
            continue
        if op is INPUT or op is CONSTANT:
            program.leaves.append(i)
            continue
        args = tuple([where[k] for k in operands])
        if op is _SLICE and _is_row(params[0][1], types[args[0]]):
            args, op, params = (args[0], _number(program, rows, params)), _GATHER, _FIRST_AXIS
            depth += [-1] * (len(types) - len(depth))
        family = calls.get(id(params)) if op is call else None
        if family is None:
            key = (op, params, tuple([types[a] for a in args]))
            family = families.get(key)
            if family is None:
                family = families[key] = _family(*key)
                program.families.append(family)
            if op is call:
                calls[id(params)] = family
        deepest = 1 + max([depth[a] for a in args], default=-1)
        flows = family.carries and (True in [active[a] for a in args])
        if type_.__class__ is tuple:
            first = where[i] = len(types)
            types += type_
            depth += [deepest] * len(type_)
            active += [flows and t.is_float for t in type_]
        else:
            first = i
            depth[i] = deepest
            active[i] = flows and type_.is_float
        family.add(i, args, first, deepest)
    return program


_FIRST_AXIS = (("axes", (0,)),)


def _is_row(key: Any, type_: Type) -> bool:
    return key[0].__class__ is int and all(
        part == (0, n, 1) for part, n in zip(key[1:], type_.shape[1:], strict=True)
    )


def _number(program: Program, rows: dict[int, int], params: Any) -> int:
    row = params[0][1][0]
    found = rows.get(row)
    if found is None:
        found = rows[row] = len(program.types)
        program.types.append(_INDEX)
        program.active.append(False)
        program.numbers[found] = row
    return found


def _family(op: Any, params: Any, types: Any) -> Family:
    if op is call:
        return Family("call", params[0][1], True, True)
    tape = Tape()
    inputs = [tape.input(t)._index for t in types]
    made = tape.record(op, tuple(inputs), params)
    outputs = [made._index]
    if made._type.__class__ is tuple:
        outputs = [
            tape.record(_PROJECT, (made._index,), (("number", k),))._index
            for k in range(len(made._type))
        ]
    return Family(op.name, tape.graph(outputs), False, op.differentiable)
