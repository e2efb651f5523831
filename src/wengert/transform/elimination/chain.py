"""Jacobians of array programs, cut where few numbers pass: bracketing a chain of Jacobians.

Between any two entries of a Wengert list stands a *frontier*: the values that the inputs reach and
that are needed later. A Jacobian is the product of those between frontiers, and may be taken in
any bracketing. Each factor is known only as a program that maps tangents or cotangents, so there
are five ways to join two stretches: go on pushing tangents, or pulling cotangents, through the
whole; push a matrix through the later one; pull one through the earlier one; or multiply two
matrices. The cheapest tree of these is found by dynamic programming (U. Naumann, "Matrix-free
Jacobian chaining", arXiv 2406.01760, 2024; for matrices: the chain product of every textbook).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from wengert.graph import Graph, Type
from wengert.graph.tuples import NamedTuple
from wengert.ops import MINUS_ONE, ONE, TABLE, zeros
from wengert.transform.elimination.segments import (
    Units,
    columns,
    identity,
    is_taken_whole,
    pull,
    push,
    rows,
    transposed,
)
from wengert.transform.graphs import extend
from wengert.transform.memo import remembered
from wengert.transform.merging import merge_loops
from wengert.transform.sweeps import active_entries

__all__ = ["Chain", "Tree", "chained", "linear_work"]

#: Frontiers that are considered, those with the fewest elements.
_MOST_CUTS = 16


class Frontier(NamedTuple):
    """The values that pass between entry `at` and the next; `size` is the number of elements."""

    at: int
    values: tuple[int, ...]
    size: int


class Tree(NamedTuple):
    """How the Jacobian from frontier `start` to frontier `stop` is accumulated.

    rule : "forward", "reverse": from unit directions; "push": the matrix `left`, through the rest;
        "pull": the matrix `right`, through what is before it; "product" of `left` and `right`
    """

    rule: str
    start: int
    stop: int
    left: Tree | None = None
    right: Tree | None = None

    @property
    def joints(self) -> int:
        """How many times two stretches are joined."""
        parts = [t for t in (self.left, self.right) if t is not None]
        return bool(parts) + sum(t.joints for t in parts)

    def __str__(self) -> str:
        parts = [str(t) for t in (self.left, self.right) if t is not None]
        return f"{self.rule}[{self.start}:{self.stop}]" + (f"({', '.join(parts)})" if parts else "")


def linear_work(graph: Graph, active: Sequence[bool]) -> list[int]:
    """Per entry the multiplications that one tangent or cotangent takes on its way through it."""
    found = []
    for i, (op, operands, params, type_) in enumerate(graph.entries):
        if not operands or not active[i]:
            found.append(0)
            continue
        along = [j for j, k in enumerate(operands) if active[k]]
        found.append(_work(graph, op, operands, dict(params), type_, along))
    return found


def _work(
    graph: Graph, op: Any, operands: Any, params: dict[str, Any], type_: Any, along: list[int]
) -> int:
    if op.family == "elementwise":
        factors = [op.partials[j] for j in along]
        return type_.size * sum(p not in (None, ONE, MINUS_ONE) for p in factors)  # type: ignore[no-any-return]
    if op is TABLE["contract"]:
        sizes: dict[str, int] = {}
        for part, k in zip(params["spec"].split("->")[0].split(","), operands, strict=True):
            sizes.update(zip(part, graph.entries[k][3].shape, strict=True))
        return math.prod(sizes.values()) * len(along)
    bodies = [v for v in params.values() if isinstance(v, Graph)]
    if bodies:
        return sum(sum(linear_work(body, [True] * len(body))) for body in bodies)
    if op.family == "linear" and any(
        len(g) == len(operands) for g in op.groups(len(operands), params)
    ):
        return 0  # moves and sums
    sizes_of = [t.size for t in _types(type_)] + [
        t.size for j in along for t in _types(graph.entries[operands[j]][3])
    ]
    return max(sizes_of, default=0)


def _types(type_: Any) -> tuple[Any, ...]:
    return type_ if isinstance(type_, tuple) else (type_,)


class Chain:
    """A program as a chain of stretches, and the cheapest way to accumulate its Jacobian.

    Attributes
    ----------
    frontiers : the inputs, those chosen between, the outputs
    forward, reverse : multiplications of the two sweeps in unit directions
    cost, tree : of the cheapest way
    """

    def __init__(self, graph: Graph, wrt: Sequence[int], outs: Sequence[int]) -> None:
        self.graph = graph
        inputs = tuple(graph.inputs[k] for k in wrt)
        active = active_entries(graph.entries, inputs)
        outputs = tuple(dict.fromkeys(k for k in (graph.outputs[j] for j in outs) if active[k]))
        used = graph.with_outputs(outputs).live()
        active = [a and b for a, b in zip(active, used, strict=True)]
        work = linear_work(graph, active)
        self.frontiers = _frontiers(graph, inputs, outputs, active)
        below = [0]
        for w in work:
            below.append(below[-1] + w)
        marks = [below[f.at + 1] for f in self.frontiers]
        total = marks[-1] - marks[0]
        self.forward = self.frontiers[0].size * total
        self.reverse = self.frontiers[-1].size * total
        free = _Free(graph, active, work)
        self.cost, self.tree = _cheapest(self.frontiers, marks, free)


def _frontiers(
    graph: Graph, inputs: tuple[int, ...], outputs: tuple[int, ...], active: Sequence[bool]
) -> list[Frontier]:
    """The first and the last frontier, and those between that are worth a cut."""
    entries = graph.entries
    last = [-1] * len(entries)
    for i, (_, operands, _, _) in enumerate(entries):
        if active[i]:
            for k in operands:
                last[k] = i
    for k in outputs:
        last[k] = len(entries)
    first = max(inputs, default=-1)
    begin = Frontier(first, inputs, sum(entries[k][3].size for k in inputs))
    end = Frontier(len(entries) - 1, outputs, sum(entries[k][3].size for k in outputs))
    alive = {k for k in inputs if active[k] and last[k] > first}
    sizes = _sizes(graph, first, alive, active, last)
    # Within a run of frontiers with the same number of elements the last one says it all; and
    # next to a product unit directions are worth beginning with.
    product = TABLE["contract"]
    worth = [
        (size, i)
        for (size, i), (after, _) in itertools.pairwise([*sizes, (end.size, end.at)])
        if size < after or product in (entries[i][0], entries[i + 1][0])
    ]
    few = {i for _, i in sorted(worth)[:_MOST_CUTS]}
    found = [begin]
    for i in range(first + 1, max(few, default=-1) + 1):
        if active[i]:
            alive.add(i)
            alive -= {k for k in (*entries[i][1], i) if last[k] <= i}
            if i in few:
                values = tuple(sorted(alive))
                found.append(Frontier(i, values, sum(entries[k][3].size for k in values)))
    return [*found, end]


def _sizes(
    graph: Graph, first: int, alive: set[int], active: Sequence[bool], last: Sequence[int]
) -> list[tuple[int, int]]:
    """Of each possible frontier the number of elements, and the entry that it follows."""
    entries = graph.entries
    living, found = set(alive), []
    size = sum(entries[k][3].size for k in alive)
    several = 0  # entries with several results can't be cut behind
    for i in range(first + 1, len(entries) - 1):
        if not active[i]:
            continue
        gone = {k for k in entries[i][1] if k in living and last[k] <= i}
        come = {i} if last[i] > i else set()
        for k, sign in (*((k, -1) for k in gone), *((k, 1) for k in come)):
            type_ = entries[k][3]
            several += sign * (not isinstance(type_, Type))
            size += sign * (type_.size if isinstance(type_, Type) else 0)
        living -= gone
        living |= come
        if living and not several:
            found.append((size, i))
    return found


class _Free:
    """The products with unit directions that are none: the other operand is the result."""

    def __init__(self, graph: Graph, active: Sequence[bool], work: Sequence[int]) -> None:
        self.work = work
        self.reads: dict[int, list[int]] = {}
        self.last: dict[int, int] = {}
        self.makes: set[int] = set()
        for i, (op, operands, params, type_) in enumerate(graph.entries):
            if not active[i]:
                continue
            along = [j for j, k in enumerate(operands) if active[k]]
            for j in along:
                self.last[operands[j]] = i
            if op is not TABLE["contract"] or len(along) != 1:
                continue
            spec = dict(params)["spec"]
            if is_taken_whole(spec, along[0]):
                self.reads.setdefault(operands[along[0]], []).append(i)
            own = spec.split("->")[0].split(",")[along[0]]
            if type_.ndim == 1 and spec.split("->")[1] not in own:
                self.makes.add(i)

    def forward(self, start: Frontier, stop: Frontier) -> int:
        """Per direction what unit tangents of the frontier `start` save on their way to `stop`."""
        entries = [i for k in start.values for i in self.reads.get(k, ())]
        return sum(self.work[i] for i in entries if start.at < i <= stop.at)

    def reverse(self, start: Frontier, stop: Frontier) -> int:
        """Per direction what unit cotangents of the frontier `stop` save on their way back."""
        return sum(
            self.work[i]
            for i in stop.values
            if i in self.makes and i > start.at and not start.at < self.last.get(i, -1) <= stop.at
        )


def _cheapest(frontiers: list[Frontier], marks: list[int], free: _Free) -> tuple[int, Tree]:
    """The least multiplications from the first to the last frontier, and how."""
    n = len(frontiers)
    sizes = [f.size for f in frontiers]
    costs: dict[tuple[int, int], int] = {}
    rules: dict[tuple[int, int], tuple[str, int]] = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            a, b, ends = sizes[i], sizes[j], (frontiers[i], frontiers[j])
            work = marks[j] - marks[i]
            least, rule = a * (work - free.forward(*ends)), ("forward", 0)
            cost = b * (work - free.reverse(*ends))
            if cost < least:
                least, rule = cost, ("reverse", 0)
            for k in range(i + 1, j):
                left, right = costs[i, k], costs[k, j]
                if (cost := left + a * (marks[j] - marks[k])) < least:
                    least, rule = cost, ("push", k)
                if (cost := right + b * (marks[k] - marks[i])) < least:
                    least, rule = cost, ("pull", k)
                if (cost := left + right + a * sizes[k] * b) < least:
                    least, rule = cost, ("product", k)
            costs[i, j], rules[i, j] = least, rule
    return costs[0, n - 1], _tree(rules, 0, n - 1)


def _tree(rules: dict[tuple[int, int], tuple[str, int]], i: int, j: int) -> Tree:
    rule, k = rules[i, j]
    left = _tree(rules, i, k) if rule in ("push", "product") else None
    right = _tree(rules, k, j) if rule in ("pull", "product") else None
    return Tree(rule, i, j, left, right)


def chained(graph: Graph, wrt: tuple[int, ...], outs: tuple[int, ...]) -> Graph:
    """The Jacobian by the cheapest tree; inputs and outputs as those of `eliminated`."""

    def make() -> Graph:
        chain = Chain(graph, wrt, outs)
        return _Accumulation(chain).run(wrt, outs)

    return remembered("chained", graph, wrt, outs, make=make)  # type: ignore[no-any-return]


class _Accumulation:
    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.graph = chain.graph
        self.tape = extend(self.graph)

    def run(self, wrt: Sequence[int], outs: Sequence[int]) -> Graph:
        graph, tape = self.graph, self.tape
        # Without results that depend on the inputs there is nothing to accumulate.
        matrix = self._matrix(self.chain.tree) if self.chain.frontiers[-1].values else None
        row = {}
        at = 0
        for k in self.chain.frontiers[-1].values:
            row[k] = at
            at += graph.entries[k][3].size
        blocks = []
        for number in outs:
            y = graph.output_types[number]
            start, at = row.get(graph.outputs[number]), 0
            for j in wrt:
                x = graph.input_types[j]
                shape = (*y.shape, *x.shape)
                if start is None:
                    block = zeros(tape, y.with_shape(shape))
                else:
                    key = ((start, start + y.size, 1), (at, at + x.size, 1))
                    block = TABLE["slice_index"](matrix, key=key)
                    block = TABLE["reshape"](block, shape=shape)
                at += x.size
                blocks.append(block._index)
        return merge_loops(tape.graph([*graph.outputs, *blocks]))

    def _types(self, frontier: int) -> list[Any]:
        return [self.graph.entries[k][3] for k in self.chain.frontiers[frontier].values]

    def _matrix(self, tree: Tree) -> Any:
        """The Jacobian between two frontiers: rows are elements of the later one."""
        tape, frontiers = self.tape, self.chain.frontiers
        start, stop = frontiers[tree.start], frontiers[tree.stop]
        if tree.rule == "product":
            assert tree.left is not None
            assert tree.right is not None
            earlier, later = self._matrix(tree.left), self._matrix(tree.right)
            return TABLE["contract"](later, earlier, spec="ij,jk->ik")
        if tree.rule in ("forward", "push"):
            seeds: Units | list[Any]
            if tree.left is None:
                seeds, source = identity(tape, start.values), tree.start
            else:
                source = tree.left.stop
                seeds = columns(transposed(self._matrix(tree.left)), self._types(source))
            found = self._through(push, source, tree.stop, seeds)
            return transposed(rows(tape, found, self._types(tree.stop), start.size))
        if tree.right is None:
            seeds, target = identity(tape, stop.values), tree.stop
        else:
            target = tree.right.start
            seeds = columns(self._matrix(tree.right), self._types(target))
        found = self._through(pull, tree.start, target, seeds)
        return rows(tape, found, self._types(tree.start), stop.size)

    def _through(
        self, sweep: Any, start: int, stop: int, seeds: Units | Sequence[Any]
    ) -> list[Any]:
        a, b = self.chain.frontiers[start], self.chain.frontiers[stop]
        found: list[Any] = sweep(
            self.tape, self.graph.entries, a.at, b.at, a.values, b.values, seeds
        )
        return found
