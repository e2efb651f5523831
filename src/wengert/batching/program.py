"""A recorded graph as nodes of families: what the scheduler and the sweeps work on.

A family holds the nodes with equal operator, parameters and operand types. Values are numbered:
a leaf or a node with one result has its number in the graph, results of a node with several come
after all of those. Entries that compute the same are one node, and two kinds of nodes are read as
something else than their entry:

- reading one row of an array (`table[word]`, `scores[label]`) takes the row's number as a further
  operand, since the numbers differ from example to example: all of them are one family;
- a sum or difference of numbers that is used by another one alone becomes part of that one: the
  losses of a minibatch are added in one step, however they were added in the program.

Sequences of operators that come again and again are nodes too (`fragments`).
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import Any

import numpy as np

from wengert.batching.fragments import Fragment, Nodes, library, tables
from wengert.batching.kinds import INDEX, Facts, Kind, facts_of, kind_of
from wengert.batching.learning import learn_fragments
from wengert.batching.matching import find_fragments, find_last_uses, merge_nodes
from wengert.batching.passes import (
    close_up,
    divide,
    find_producers,
    merge_sums,
    number_rows,
    number_types,
    read_types,
    renumber,
    run_pass,
    spread,
)
from wengert.batching.scanning import Scanned, scan
from wengert.graph import Graph, Type
from wengert.ops import TABLE
from wengert.replay.mode import current_mode as replaying

__all__ = ["Family", "Program", "read_program"]

_GATHER = TABLE["gather"]
_FIRST_AXIS = (("axes", (0,)),)
#: The part of a program's operators from which on its fragments are known.
_COVERED = 0.5


class Family:
    """Nodes that differ in their operands only; the fields of their kind besides

    members : the nodes; operands : value numbers, a row per member (none for sums); firsts : value
    number of the first result of each, which the others follow
    """

    def __init__(self, kind: Kind, members: Any, operands: Any, firsts: Any) -> None:
        self.name, self.graph, self.carries = kind.name, kind.graph, kind.carries
        self.is_native, self.is_sum, self.is_exact = kind.is_native, kind.is_sum, kind.is_exact
        self.members, self.operands, self.firsts = members, operands, firsts

    @property
    def results(self) -> Any:
        """The value numbers of the results: an array with a row per member."""
        return self.firsts[:, None] + np.arange(len(self.graph.outputs))


class Program:
    """The nodes that the outputs of a graph need. Node j has the operands
    `args[starts[j]:starts[j + 1]]`; those of a sum have `signs`.

    type_of : for each value the number of its type in `distinct` (-1 for values that nothing
    needs); numbers : value -> row number; leaves : values that are no results and no numbers;
    families; where : value number of each entry; node_of : for each entry the node that it is, or
    is part of, or -1; producer : for each value the node that computes it, or -1; depth : for each
    node the longest way from a leaf; active : which values depend on those that derivatives are
    taken by (0 or 1)
    """

    def __init__(self, graph: Graph, wrt: Collection[int]) -> None:
        self.graph = graph
        found = scan(graph)
        self.where, self.node_of = found.where, found.node_of
        self.args, self.starts, self.firsts = found.args, found.starts, found.firsts
        kinds = self._name_kinds(found)
        values = self._number_rows(found.values)
        family = self._family_of_kind[found.kinds]
        facts = facts_of(kinds)
        self._set_producer(values, family, facts)
        family, values = self._merge_nodes(family, kinds, wrt)
        facts = facts_of(kinds)
        self._set_producer(values, family, facts)
        if facts.adds.any():
            family = self._merge(facts.adds[family], family)
            self._set_producer(values, family, facts)
        else:
            self.signs = np.ones(len(self.args), np.int64)
        self._read_types(family, facts, found.types)
        self._spread(wrt, family, facts)
        self._divide(family, facts)

    # ------------------------------------------------------------ steps of reading

    def _name_kinds(self, found: Scanned) -> list[Kind]:
        """The kinds of families; `_family_of_kind` for the kinds found."""
        entries = self.graph.entries
        count = int(found.kinds.max(initial=-1)) + 1
        first = np.zeros(count, np.int64)
        first[found.kinds[::-1]] = np.arange(len(found.kinds))[::-1]
        self._family_of_kind = np.zeros(count, np.int64)
        known: dict[Any, int] = {}
        kinds: list[Kind] = []

        for number, (at, row) in enumerate(
            zip(found.entries[first].tolist(), found.rows[first].tolist(), strict=True)
        ):
            op, operands, params, _ = entries[at]
            if row >= 0:
                key: Any = (_GATHER, _FIRST_AXIS, (entries[operands[0]][3], INDEX))
            else:
                key = (op, params, tuple([entries[k][3] for k in operands]))
            family = known.get(key)
            if family is None:
                family = known[key] = len(kinds)
                kinds.append(kind_of(key))
            self._family_of_kind[number] = family
        return kinds

    def _number_rows(self, values: int) -> int:
        """Give each number of a row a value of its own, after all others; how many values there are
        then."""
        self._first_number = values
        places = 1 << (2 * len(self.firsts) + 2).bit_length()
        numbers, table = np.empty(len(self.firsts), np.int64), np.full(places, -1, np.int64)
        total = len(self.args)
        count = run_pass(number_rows, total, self.args, values, places - 1, table, numbers)
        own = numbers[:count].tolist()
        self.numbers = dict(zip(range(values, values + count), own, strict=True))
        return values + count

    def _set_producer(self, values: int, family: Any, facts: Facts) -> None:
        self.producer = np.full(values, -1, np.int64)
        self._results = np.empty(len(family), np.int64)
        given = (family, facts.results, self.firsts)
        run_pass(find_producers, len(family), *given, self._results, self.producer)

    def _merge_nodes(self, family: Any, kinds: list[Kind], wrt: Collection[int]) -> tuple[Any, int]:
        """Merge nodes that compute the same, and those of fragments; the families of what is left,
        and how many values there are. `kinds` gets those of fragments."""
        count = len(family)
        values = len(self.producer)
        last = np.full(values, -1, np.int64)
        run_pass(find_last_uses, count, self.starts, self.args, last)
        last[self.where[list(self.graph.outputs)]] = count
        nodes = Nodes(family, self.starts, self.args, self.firsts, self.producer, last)
        families = {id(kind): f for f, kind in enumerate(kinds)}
        # Native code agrees with NumPy to rounding, and what is known comes from earlier programs.
        may_learn = replaying.get() == "when it pays"
        fragments = library.among(families) if may_learn else []
        chosen = np.full(count, -1, np.int64)
        known = tables(fragments, families, len(kinds))
        if fragments:
            run_pass(find_fragments, count, *nodes, *known[:8], chosen)
        if may_learn:
            self._choose(nodes, kinds, wrt, fragments, chosen)
        kinds += [fragment.kind if fragment.is_used else kinds[0] for fragment in fragments]
        new_family, new_firsts = np.empty((2, count), np.int64)
        new_starts, new_args = np.empty(count + 1, np.int64), np.empty_like(self.args)
        places = 1 << (2 * count + 2).bit_length()
        value_of, node_of = np.arange(values), np.empty(count, np.int64)
        sizes = np.zeros(2, np.int64)
        left = run_pass(
            merge_nodes,
            count,
            *nodes[:4],
            self._results,
            chosen,
            known.begins,
            known.spec_begins,
            known.specs,
            known.result_begins,
            known.result_nodes,
            np.arange(len(families), len(kinds)),
            values,
            places - 1,
            np.full(places, -1, np.int64),
            value_of,
            node_of,
            new_family,
            new_starts,
            new_args,
            new_firsts,
            sizes,
        )
        self.starts, self.args = new_starts[: left + 1], new_args[: int(sizes[0])]
        self.firsts = new_firsts[:left]
        for numbers, new in ((self.where, value_of), (self.node_of, node_of)):
            run_pass(renumber, len(numbers), numbers, new)
        return new_family[:left], int(sizes[1])

    def _choose(
        self,
        nodes: Nodes,
        kinds: list[Kind],
        wrt: Collection[int],
        fragments: list[Fragment],
        chosen: Any,
    ) -> None:
        """Leave those `chosen` that are worth it, and learn others if they are few."""
        uses = np.bincount(chosen[chosen >= 0], minlength=len(fragments)).tolist()
        covered = 0
        for p, fragment in enumerate(fragments):
            covered += uses[p] * len(fragment.kinds)
            library.note_uses(fragment, uses[p])
            if not fragment.is_used:
                chosen[chosen == p] = -1
        candidates = int(facts_of(kinds).joins[nodes.family].sum())
        own = [id(kind) for kind in kinds if kind.joins]
        if covered < candidates * _COVERED and library.is_due(own, candidates):
            weights = np.zeros(len(self.producer), bool)
            weights[[k for k in wrt if self.graph.entries[k][3].ndim > 1]] = True
            library.learn(own, learn_fragments(nodes, kinds, weights))

    def _merge(self, adds: Any, family: Any) -> Any:
        """Merge sums; the families of what is left."""
        count, total = len(self.firsts), len(self.args)
        uses = np.zeros(len(self.producer), np.int64)
        uses[self.where[list(self.graph.outputs)]] = 1
        into, absorbed = np.full(count, -1, np.int64), np.zeros(count, np.int64)
        starts, args = np.empty(count + 1, np.int64), np.empty(total, np.int64)
        signs = np.empty(total, np.int64)
        stack, stack_signs = np.empty((2, total + 1), np.int64)
        total = run_pass(
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
        self.args, self.signs = args[:total], signs[:total]
        numbers = np.empty(count, np.int64)
        left = run_pass(close_up, count, absorbed, into, family, starts, self.firsts, numbers)
        run_pass(renumber, len(self.node_of), self.node_of, numbers)
        self.starts, self.firsts = starts[: left + 1], self.firsts[:left]
        return family[:left]

    def _read_types(self, family: Any, facts: Facts, identities: Any) -> None:
        """`type_of`, `distinct` and `leaves`, from the identities of values' types."""
        known = dict(facts.types)
        rows = slice(self._first_number, self._first_number + len(self.numbers))
        self.type_of = np.full(len(self.producer), -1, np.int64)
        self.type_of[rows] = 0
        leaves = np.empty(len(self.args) + len(self.graph.outputs), np.int64)
        nodes = (family, self.starts, self.args, self.firsts, self._results)
        given = (facts.begins, facts.numbers, self.type_of, leaves)
        count = run_pass(read_types, len(family), *nodes, *given)
        outputs = [value for value in set(self.outputs) if self.type_of[value] == -1]
        leaves[count : count + len(outputs)] = outputs
        leaves = np.sort(leaves[: count + len(outputs)])
        self.leaves: list[int] = leaves.tolist()
        different, first = np.empty((2, len(leaves)), np.int64)
        about = (leaves, identities, different, first, self.type_of)
        count = run_pass(number_types, len(leaves), *about)
        found = [self.graph.entries[k][3] for k in first[:count].tolist()]
        numbers = [known.setdefault(t, len(known)) for t in found]
        self.distinct = list(known)
        self.type_of[leaves] = np.array(numbers, np.int64)[self.type_of[leaves]]

    def _spread(self, wrt: Collection[int], family: Any, facts: Facts) -> None:
        count = len(family)
        self.depth = np.zeros(count, np.int64)
        self.active = np.zeros(len(self.producer), np.int64)
        self.active[list(wrt)] = 1
        floats = np.array([t.is_float for t in self.distinct], np.int64)
        run_pass(
            spread,
            count,
            self.starts,
            self.args,
            self.firsts,
            self._results,
            facts.carries[family],
            floats[self.type_of],
            self.producer,
            self.depth,
            self.active,
        )

    def _divide(self, family: Any, facts: Facts) -> None:
        """The families."""
        kinds, arity, count = facts.kinds, facts.arity, len(family)
        bounds, cursor, operand_bounds = np.zeros((3, len(kinds) + 1), np.int64)
        members, firsts, self.place = np.empty((3, count), np.int64)
        operands = np.empty_like(self.args)
        given = (len(kinds), family, self.starts, self.args, self.firsts, arity)
        found = (bounds, cursor, members, self.place, firsts, operand_bounds, operands)
        run_pass(divide, count, *given, *found)
        self.families: list[Family] = []
        ranges = zip(*[pairwise(x.tolist()) for x in (bounds, operand_bounds)], strict=True)
        for kind, width, ((begin, end), (at, to)) in zip(kinds, arity, ranges, strict=True):
            if begin < end:  # else all of them were merged into others
                own = operands[at:to].reshape(end - begin, width)
                self.families.append(Family(kind, members[begin:end], own, firsts[begin:end]))

    # ------------------------------------------------------------ asking

    def type(self, value: int) -> Type:
        """The type of a value."""
        return self.distinct[int(self.type_of[value])]

    def operands(self, node: int) -> Any:
        """The values that a node takes."""
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


def read_program(graph: Graph, wrt: Collection[int]) -> Program:
    """Read a graph, to be differentiated by the entries `wrt`; cost: linear in its entries."""
    return Program(graph, wrt)
