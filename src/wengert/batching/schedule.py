"""The scheduler: which nodes run as one batch, and in which order.

Three steps, on arrays of integers: the *signatures* of the nodes; how many operands each node waits
for, and who waits for it (`passes.count_users`); the *emission* of batches (`passes.agenda`, or
level by level).

Two nodes have one signature if they agree in operator, parameters, types of the operands, and in
the operands that are shared rather than stacked. They are compared by equality.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from wengert.batching.passes import agenda, count_distinct, count_users, run_pass
from wengert.batching.program import Family, Program

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
    found: list[Signature] = []
    seen, stamp = np.zeros(len(program.producer), np.int64), 1
    for number, family in enumerate(program.families):
        count, arity = family.operands.shape
        if family.is_sum:
            found.append(Signature(number, (True, True), (), np.arange(count)))
            continue
        distinct = np.empty(arity, np.int64)
        run_pass(count_distinct, count, arity, family.operands, stamp, seen, distinct)
        stamp += arity
        found += _divided(program, number, family, distinct.tolist())
    return found


def _divided(
    program: Program, number: int, family: Family, distinct: Sequence[int]
) -> list[Signature]:
    """`distinct` is how many different values each operand has."""
    operands = family.operands
    count, arity = operands.shape
    sizes = [t.size for t in family.graph.input_types]
    flags = [
        not _is_shared(count, distinct[p], sizes[p], bool(program.producer[operands[0, p]] >= 0))
        for p in range(arity)
    ]
    if arity and not any(flags):
        flags[int(np.argmin(sizes))] = True
    shared = [p for p in range(arity) if not flags[p]]
    if all(distinct[p] == 1 for p in shared):
        values = tuple(operands[0, shared].tolist())
        return [Signature(number, tuple(flags), values, np.arange(count))]
    keys = operands[:, shared]
    which = _numbered(keys)
    order = np.argsort(which, kind="stable")
    begins = np.flatnonzero(np.diff(which[order], prepend=-1))
    ends = np.append(begins[1:], count)
    return [
        Signature(number, tuple(flags), tuple(key), order[begin:end])
        for key, begin, end in zip(keys[order[begins]].tolist(), begins, ends, strict=True)
    ]


def _numbered(keys: Any) -> Any:
    """The rows of an array as numbers, equal for equal rows, in the same order."""
    found, size = keys[:, 0], int(keys.max()) + 1
    for p in range(1, keys.shape[1]):
        if int(found.max()) >= (1 << 62) // size:
            found = np.unique(found, return_inverse=True)[1].reshape(-1)
        found = found * size + keys[:, p]
    return found


def _is_shared(count: int, distinct: int, size: int, computed: bool) -> bool:
    """Whether `count` nodes of a family are divided by an operand, instead of stacking it."""
    if count == 1:
        return size >= _LARGE and not computed
    if distinct == 1:
        return True
    if size == 1:  # such as the number of a row
        return False
    return distinct * (2 if size >= _LARGE else _FEW) <= count


def by_agenda(program: Program, signature: Any, average: Any) -> tuple[Any, Any, Any]:
    """DyNet's agenda: of the signatures with a ready node, the one of lowest average depth. What
    lies near the outputs waits until all of it is ready."""
    count, kinds = len(signature), len(average)
    waiting, cursor, following, order, chosen, ends = np.zeros((6, count), np.int64)
    bounds = np.zeros(count + 1, np.int64)
    users = np.empty(len(program.args), np.int64)
    given = (program.starts, program.args, program.producer)
    run_pass(count_users, count, *given, waiting, bounds, users, cursor)
    rank = np.empty(kinds, np.int64)
    rank[np.argsort(average, kind="stable")] = np.arange(kinds)
    head, tail = np.empty((2, kinds), np.int64)
    queues = (kinds, rank, head, tail, following)
    found = (order, chosen, ends)
    batches = run_pass(agenda, count, signature, waiting, bounds, users, *queues, *found)
    return order, chosen[:batches], ends[:batches]


def by_depth(program: Program, signature: Any, average: Any) -> tuple[Any, Any, Any]:
    """Level by level; within a level the signatures of lower average depth first."""
    order = np.lexsort((signature, average[signature], program.depth))
    level, kind = program.depth[order], signature[order]
    last = np.append((level[1:] != level[:-1]) | (kind[1:] != kind[:-1]), True)
    ends = np.flatnonzero(last) + 1
    return order, kind[last], ends


#: For each strategy a function of the program, the nodes' signatures and the signatures' average
#: depths: the nodes in order, the signature of each batch, and where it ends.
STRATEGIES: dict[str, Callable[[Program, Any, Any], tuple[Any, Any, Any]]] = {
    "agenda": by_agenda,
    "depth": by_depth,
}


def schedule(program: Program, strategy: str = "agenda") -> Schedule:
    """Emit batches until every node has run."""
    found = signatures(program)
    count = program.node_count
    if not count:
        return Schedule(found, [])
    signature = np.empty(count, np.int64)
    for number, s in enumerate(found):
        signature[program.families[s.family].members[s.members]] = number
    total = np.bincount(signature, weights=program.depth, minlength=len(found))
    average = total / np.bincount(signature, minlength=len(found))
    order, chosen, ends = STRATEGIES[strategy](program, signature, average)
    places = program.place[order]
    begins = [0, *ends[:-1].tolist()]
    batches = [
        Batch(number, places[begin:end])
        for number, begin, end in zip(chosen.tolist(), begins, ends.tolist(), strict=True)
    ]
    return Schedule(found, batches)
