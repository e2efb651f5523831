"""The scheduler: which nodes run as one batch, and in which order.

Four steps, on arrays of integers: the *signatures* of the nodes; the *ready set*, which is how many
operands each node still waits for; the *choice* of the next signature; the *emission* of all of its
nodes that are ready.

Two nodes have one signature if they agree in operator, parameters, types of the operands, and in
the operands that are shared rather than stacked. They are compared by equality.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from wengert.batching.program import Program

__all__ = ["STRATEGIES", "Batch", "Schedule", "Signature", "schedule", "signatures"]

#: An operand of so many elements is shared by fewer examples than a small one: stacking copies it.
_LARGE = 1024
_FEW = 8


class Signature(NamedTuple):
    """family : number; flags : which operands are stacked; shared : the value numbers of the
    others; members : places in the family"""

    family: int
    flags: tuple[bool, ...]
    shared: tuple[int, ...]
    members: Any


class Batch(NamedTuple):
    """Nodes of one signature that run together: their places in the family."""

    signature: int
    places: Any


class Schedule(NamedTuple):
    """The signatures, and the batches in order."""

    signatures: list[Signature]
    batches: list[Batch]


def signatures(program: Program) -> list[Signature]:
    """The nodes of each family, divided by the operands that they share."""
    computed = np.ones(len(program.types), bool)
    computed[program.leaves] = False
    found: list[Signature] = []
    for number, family in enumerate(program.families):
        operands = np.array(family.operands, np.int64)
        count, arity = operands.shape
        sizes = [t.size for t in family.graph.input_types]
        flags = [
            not _is_shared(operands[:, p], sizes[p], bool(computed[operands[0, p]]))
            for p in range(arity)
        ]
        if arity and not any(flags):
            flags[int(np.argmin(sizes))] = True
        shared = np.array([not f for f in flags], bool)
        if not shared.any():
            found.append(Signature(number, tuple(flags), (), np.arange(count)))
            continue
        keys, which = np.unique(operands[:, shared], axis=0, return_inverse=True)
        order = np.argsort(which.reshape(-1), kind="stable")
        bounds = np.searchsorted(which.reshape(-1)[order], np.arange(len(keys) + 1))
        for k, key in enumerate(keys.tolist()):
            members = order[bounds[k] : bounds[k + 1]]
            found.append(Signature(number, tuple(flags), tuple(key), members))
    return found


def _is_shared(column: Any, size: int, computed: bool) -> bool:
    """Whether the nodes of a family are divided by an operand, instead of stacking it."""
    count = len(column)
    if count == 1:
        return size >= _LARGE and not computed
    distinct = len(np.unique(column))
    return distinct == 1 or distinct * (2 if size >= _LARGE else _FEW) <= count


class _Ready:
    """How many operands each node waits for, and who waits for it. Nodes are entry numbers."""

    def __init__(self, program: Program) -> None:
        count = len(program.graph.entries)
        producer = np.full(len(program.types), -1, np.int64)
        self.depth = np.full(count, -1, np.int64)
        made, users = [], []
        for family in program.families:
            nodes = np.array(family.members, np.int64)
            producer[family.results] = nodes[:, None]
            self.depth[nodes] = family.depths
        for family in program.families:
            operands = np.array(family.operands, np.int64)
            made.append(producer[operands].reshape(-1))
            users.append(np.repeat(family.members, operands.shape[1]))
        all_made, all_users = np.concatenate(made), np.concatenate(users)
        kept = all_made >= 0
        all_made, all_users = all_made[kept], all_users[kept]
        order = np.argsort(all_made, kind="stable")
        self.users = all_users[order]
        self.bounds = np.searchsorted(all_made[order], np.arange(count + 1))
        self.waiting = np.bincount(all_users, minlength=count)

    def first(self) -> Any:
        """The nodes that wait for nothing."""
        return np.flatnonzero((self.waiting == 0) & (self.depth >= 0))

    def release(self, nodes: Any) -> Any:
        """The nodes that become ready when these have run."""
        begins, ends = self.bounds[nodes], self.bounds[nodes + 1]
        lengths = ends - begins
        total = int(lengths.sum())
        if not total:
            return self.users[:0]
        at = np.repeat(begins - np.cumsum(lengths) + lengths, lengths) + np.arange(total)
        users = self.users[at]
        np.subtract.at(self.waiting, users, 1)
        return np.unique(users[self.waiting[users] == 0])


def by_agenda(average: Any, lowest: Any, ready: Any) -> int:
    """DyNet's agenda: of the signatures with a ready node, the one of lowest average depth. What
    lies near the outputs waits until all of it is ready."""
    del lowest
    return int(ready[np.argmin(average[ready])])


def by_depth(average: Any, lowest: Any, ready: Any) -> int:
    """Level by level: of the signatures with a ready node, the one with the lowest node."""
    return int(ready[np.lexsort((average[ready], lowest[ready]))[0]])


STRATEGIES: dict[str, Callable[[Any, Any, Any], int]] = {"agenda": by_agenda, "depth": by_depth}


def schedule(program: Program, strategy: str = "agenda") -> Schedule:
    """Emit batches until every node has run."""
    choose = STRATEGIES[strategy]
    found = signatures(program)
    state = _Ready(program)
    count = len(program.graph.entries)
    signature, place = np.zeros(count, np.int64), np.zeros(count, np.int64)
    average = np.zeros(len(found))
    for number, s in enumerate(found):
        nodes = np.array(program.families[s.family].members, np.int64)[s.members]
        signature[nodes], place[nodes] = number, s.members
        average[number] = state.depth[nodes].mean()
    lowest = np.full(len(found), np.iinfo(np.int64).max)
    waiting: list[list[Any]] = [[] for _ in found]
    batches: list[Batch] = []

    def add(nodes: Any) -> None:
        if len(nodes):
            order = np.argsort(signature[nodes], kind="stable")
            nodes = nodes[order]
            starts = np.flatnonzero(np.diff(signature[nodes], prepend=-1))
            for part in np.split(nodes, starts[1:]):
                number = signature[part[0]]
                waiting[number].append(part)
                lowest[number] = min(lowest[number], state.depth[part].min())

    none = np.iinfo(np.int64).max
    add(state.first())
    while True:
        ready = np.flatnonzero(lowest < none)
        if not len(ready):
            return Schedule(found, batches)
        number = choose(average, lowest, ready)
        nodes = np.concatenate(waiting[number])
        waiting[number], lowest[number] = [], none
        if strategy == "depth":
            level = state.depth[nodes].min()
            later = nodes[state.depth[nodes] > level]
            nodes = nodes[state.depth[nodes] == level]
            add(later)
        batches.append(Batch(number, place[nodes]))
        add(state.release(nodes))
