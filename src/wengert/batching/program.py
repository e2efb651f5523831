"""A recorded graph as nodes of families: what the scheduler and the sweeps work on.

A family holds the nodes with equal operator, parameters and operand types. Values are numbered:
a leaf or a node with one result has its number in the graph, results of a node with several come
after all of those. Entries that compute the same are one node, and two kinds of nodes are read as
something else than their entry:

- reading one row of an array (`table[word]`, `scores[label]`) takes the row's number as a further
  operand, since the numbers differ from example to example: all of them are one family;
- a sum or difference of numbers that is used by another one alone becomes part of that one: the
  losses of a minibatch are added in one step, however they were added in the program.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from wengert.batching.passes import merge_sums, run_pass, spread
from wengert.batching.scanning import Scanned, scan
from wengert.graph import Graph, Tape, Type
from wengert.ops import TABLE
from wengert.transform.calling import call

__all__ = ["Family", "Program", "read_program"]

_PROJECT, _GATHER, _ADD, _SUBTRACT = (
    TABLE[name] for name in ("project", "gather", "add", "subtract")
)
_INDEX = Type((), np.dtype(np.int64))
_FIRST_AXIS = (("axes", (0,)),)


class _Kind(NamedTuple):
    """What all nodes of a family have in common.

    graph : what each computes, as a graph of its own; carries : whether derivatives flow through;
    is_sum : whether it adds or subtracts any number of operands of the one type that `graph` takes
    """

    name: str
    graph: Graph
    is_call: bool
    is_sum: bool
    carries: bool


class Family:
    """Nodes that differ in their operands only; the fields of their kind besides

    members : the nodes; operands : value numbers, a row per member (none for sums); firsts : value
    number of the first result of each, which the others follow
    """

    def __init__(self, kind: _Kind, members: Any, operands: Any, firsts: Any) -> None:
        self.name, self.graph, self.is_call, self.is_sum, self.carries = kind
        self.members, self.operands, self.firsts = members, operands, firsts

    @property
    def results(self) -> Any:
        """The value numbers of the results: an array with a row per member."""
        return self.firsts[:, None] + np.arange(len(self.graph.outputs))


class Program:
    """The nodes that the outputs of a graph need. Node j has the operands
    `args[starts[j]:starts[j + 1]]`; those of a sum have `signs`.

    types : type of each value (None for values that nothing needs); type_of : their numbers in
    `distinct`; numbers : value -> row number; families; where : value number of each entry;
    node_of : for each entry the node that it is, or is part of, or -1; producer : for each value
    the node that computes it, or -1; depth : for each node the longest way from a leaf; active :
    which values depend on those that derivatives are taken by
    """

    def __init__(self, graph: Graph, wrt: Iterable[int]) -> None:
        self.graph = graph
        found = scan(graph)
        self.where = found.where
        kinds = self._name_kinds(found)
        # Each number of a row is a value of its own, after all others.
        is_row = found.rows >= 0
        distinct, number = np.unique(found.rows[is_row], return_inverse=True)
        row = np.full(len(found.rows), -1, np.int64)
        row[is_row] = found.values + number
        values = found.values + len(distinct)
        self.numbers = dict(zip(range(found.values, values), distinct.tolist(), strict=True))
        self.args, self.starts, self.firsts = found.args, found.starts, found.firsts
        family = self._family_of_kind[found.kinds]
        self._set_producer(values, family, kinds)
        self.node_of = found.node_of
        sums = np.array([k.is_sum * (2 if k.name == "subtract" else 1) for k in kinds], np.int64)
        self.signs = np.ones(len(self.args), np.int64)
        if sums.any():
            kept = self._merge(sums[family])
            family, row = family[kept], row[kept]
            self._set_producer(values, family, kinds)
        self._read_types(found, values, family, row, kinds)
        self._spread(wrt, family, kinds)
        self._divide(family, row, kinds)

    # ------------------------------------------------------------ steps of reading

    def _name_kinds(self, found: Scanned) -> list[_Kind]:
        """The kinds of families; `_family_of_kind` for the kinds found."""
        entries = self.graph.entries
        count = int(found.kinds.max(initial=-1)) + 1
        first = np.zeros(count, np.int64)
        first[found.kinds[::-1]] = np.arange(len(found.kinds))[::-1]
        self._family_of_kind = np.zeros(count, np.int64)
        known: dict[Any, int] = {}
        kinds: list[_Kind] = []

        for number, (at, row) in enumerate(
            zip(found.entries[first].tolist(), found.rows[first].tolist(), strict=True)
        ):
            op, operands, params, _ = entries[at]
            if row >= 0:
                key: Any = (_GATHER, _FIRST_AXIS, (entries[operands[0]][3], _INDEX))
            else:
                key = (op, params, tuple([entries[k][3] for k in operands]))
            family = known.get(key)
            if family is None:
                family = known[key] = len(kinds)
                kinds.append(_kind(key))
            self._family_of_kind[number] = family
        return kinds

    def _set_producer(self, values: int, family: Any, kinds: list[_Kind]) -> None:
        self.producer = np.full(values, -1, np.int64)
        nodes = np.arange(len(self.firsts))
        counts = np.array([len(k.graph.outputs) for k in kinds], np.int64)
        self._results = counts[family] if len(family) else family
        for k in range(int(self._results.max(initial=0))):
            having = self._results > k
            self.producer[self.firsts[having] + k] = nodes[having]

    def _merge(self, adds: Any) -> Any:
        """Merge sums; which nodes are left."""
        count, total = len(self.firsts), len(self.args)
        uses = np.zeros(len(self.producer), np.int64)
        uses[self.where[list(self.graph.outputs)]] = 1
        into, absorbed = np.full(count, -1, np.int64), np.zeros(count, np.int64)
        starts, args = np.empty(count + 1, np.int64), np.empty(total, np.int64)
        signs = np.empty(total, np.int64)
        stack, stack_signs = np.empty((2, total + 1), np.int64)
        left = run_pass(
            merge_sums,
            count,
            adds,
            self.starts,
            self.args,
            self.firsts,
            self.producer,
            uses,
            into,
            absorbed,
            starts,
            args,
            signs,
            stack,
            stack_signs,
        )
        kept = absorbed == 0
        # A node's new number, and for a merged one that of the sum that it went into.
        numbers = np.cumsum(kept) - 1
        for j in np.flatnonzero(~kept)[::-1].tolist():
            numbers[j] = numbers[into[j]]
        present = self.node_of >= 0
        self.node_of[present] = numbers[self.node_of[present]]
        self.args, self.signs = args[:left], signs[:left]
        self.starts = np.append(starts[:-1][kept], left)
        self.firsts = self.firsts[kept]
        return kept

    def _read_types(
        self, found: Scanned, values: int, family: Any, row: Any, kinds: list[_Kind]
    ) -> None:
        """`types`, `type_of` and `distinct`."""
        self.distinct: list[Type] = [_INDEX]
        known: dict[Any, int] = {_INDEX: 0}

        def number(type_: Type) -> int:
            at = known.get(type_)
            if at is None:
                at = known[type_] = len(self.distinct)
                self.distinct.append(type_)
            return at

        self.type_of = np.full(values, -1, np.int64)
        self.type_of[found.values :] = 0
        for f, kind in enumerate(kinds):
            members = np.flatnonzero(family == f)
            for k, type_ in enumerate(kind.graph.output_types):
                self.type_of[self.firsts[members] + k] = number(type_)
        entries = self.graph.entries
        used = np.zeros(values, bool)
        used[self.args] = True
        used[self.where[list(self.graph.outputs)]] = True
        used[found.values :] = False
        self.leaves = np.flatnonzero(used & (self.producer < 0)).tolist()
        for k in self.leaves:
            self.type_of[k] = number(entries[k][3])

    def _spread(self, wrt: Iterable[int], family: Any, kinds: list[_Kind]) -> None:
        count = len(family)
        self.depth = np.zeros(count, np.int64)
        active = np.zeros(len(self.producer), np.int64)
        active[list(wrt)] = 1
        floats = np.array([t.is_float for t in self.distinct], np.int64)
        carries = np.array([k.carries for k in kinds], np.int64)
        run_pass(
            spread,
            count,
            self.starts,
            self.args,
            self.firsts,
            self._results,
            carries[family] if count else family,
            floats[self.type_of],
            self.producer,
            self.depth,
            active,
        )
        self.active = active.astype(bool)

    def _divide(self, family: Any, row: Any, kinds: list[_Kind]) -> None:
        """The families."""
        order = np.argsort(family, kind="stable")
        bounds = np.searchsorted(family[order], np.arange(len(kinds) + 1))
        self.families: list[Family] = []
        self.place = np.empty(len(family), np.int64)
        for f, kind in enumerate(kinds):
            members = order[bounds[f] : bounds[f + 1]]
            if not len(members):  # all of them were merged into others
                continue
            self.place[members] = np.arange(len(members))
            self.families.append(
                Family(kind, members, self._operands(kind, members, row), self.firsts[members])
            )

    def _operands(self, kind: _Kind, members: Any, row: Any) -> Any:
        """A row of value numbers per member; none for sums."""
        if kind.is_sum:
            return np.empty((len(members), 0), np.int64)
        count = len(kind.graph.inputs)
        starts, rows = self.starts[members][:, None], row[members]
        known = rows >= 0
        if not known.any():
            return self.args[starts + np.arange(count)]
        # Rows of an array whose number is known, and rows whose number is computed, are one family.
        found = np.empty((len(members), count), np.int64)
        found[:, :-1] = self.args[starts + np.arange(count - 1)]
        found[known, -1] = rows[known]
        found[~known, -1] = self.args[starts[~known, 0] + count - 1]
        return found

    # ------------------------------------------------------------ asking

    def type(self, value: int) -> Type:
        """The type of a value."""
        return self.distinct[int(self.type_of[value])]

    def operands(self, node: int) -> Any:
        """The values that a node takes, but for the number of a row."""
        return self.args[self.starts[node] : self.starts[node + 1]]

    def terms(self, node: int) -> tuple[Any, Any]:
        """The values that a sum takes, and their signs."""
        part = slice(self.starts[node], self.starts[node + 1])
        return self.args[part], self.signs[part]

    @property
    def outputs(self) -> list[int]:
        """The value numbers of the graph's outputs."""
        return [int(self.where[k]) for k in self.graph.outputs]

    @property
    def node_count(self) -> int:
        """How many nodes there are."""
        return len(self.firsts)


def read_program(graph: Graph, wrt: Iterable[int]) -> Program:
    """Read a graph, to be differentiated by the entries `wrt`; cost: linear in its entries."""
    return Program(graph, wrt)


#: Kinds by (operator, parameters, operand types): most programs use the same few.
_kinds: dict[Any, _Kind] = {}
_MOST_KINDS = 4096


def _kind(key: Any) -> _Kind:
    found = _kinds.get(key)
    if found is None:
        if len(_kinds) >= _MOST_KINDS:
            _kinds.clear()
        found = _kinds[key] = _made_kind(*key)
    return found


def _made_kind(op: Any, params: Any, types: Any) -> _Kind:
    if op is call:
        return _Kind("call", params[0][1], True, False, True)
    tape = Tape()
    inputs = [tape.input(t)._index for t in types]
    made = tape.record(op, tuple(inputs), params)
    outputs = [made._index]
    if made._type.__class__ is tuple:
        outputs = [
            tape.record(_PROJECT, (made._index,), (("number", k),))._index
            for k in range(len(made._type))
        ]
    is_sum = op is _ADD or op is _SUBTRACT
    is_sum = is_sum and types[0] is types[1] and types[0].is_float and not types[0].shape
    return _Kind(op.name, tape.graph(outputs), False, is_sum, op.differentiable)
