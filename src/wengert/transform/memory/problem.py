"""The planning problem, stripped of everything else: operations that make values of some size.

A *schedule* is a sequence of operations in which one may occur several times. An operation reads
the latest instance of each value. An instance is held from the operation that makes it to the last
one that reads it; a result of the program, in its last instance, to the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wengert.graph.tuples import NamedTuple

__all__ = ["MOST_WORK", "Problem", "early_order", "profile", "reordered", "work"]

#: A schedule has at most this many times as many steps as the program has operations.
MOST_WORK = 64


class Problem(NamedTuple):
    """A program in an order that can run.

    reads, writes : the values that each operation reads and makes
    maker : the operation that makes each value
    size : bytes of each value
    cost : what running each operation takes, in any unit
    scratch : bytes that each operation holds beside its operands and results while it runs
    results : values that are held at the end
    """

    reads: list[tuple[int, ...]]
    writes: list[tuple[int, ...]]
    maker: list[int]
    size: list[int]
    cost: list[float]
    scratch: list[int]
    results: frozenset[int]

    @property
    def order(self) -> list[int]:
        """The ordinary schedule: every operation once."""
        return list(range(len(self.reads)))


def work(problem: Problem, schedule: Sequence[int]) -> float:
    """What a schedule costs."""
    cost = problem.cost
    return sum([cost[op] for op in schedule])


def profile(problem: Problem, schedule: Sequence[int]) -> np.ndarray:
    """Bytes held while each step of a schedule runs.

    Raises `ValueError` if a step reads a value that has not been made: this is the check of what
    the planner gives as much as its measure.
    """
    born: dict[int, int] = {}
    last: dict[int, int] = {}
    change = [0] * (len(schedule) + 1)
    size = problem.size

    def close(value: int, end: int) -> None:
        change[born[value]] += size[value]
        change[end + 1] -= size[value]

    for at, op in enumerate(schedule):
        for value in problem.reads[op]:
            if value not in born:
                raise ValueError(f"step {at} (operation {op}) reads value {value}, never made")
            last[value] = at
        for value in problem.writes[op]:
            if value in born:
                close(value, last[value])
            born[value] = last[value] = at
    end = len(schedule) - 1
    for value in born:
        close(value, end if value in problem.results else last[value])
    for value in problem.results:
        if value not in born:
            raise ValueError(f"result {value} is never made")
    held = np.cumsum(np.array(change[:-1], np.int64))
    return held + np.array([problem.scratch[op] for op in schedule], np.int64)


def early_order(problem: Problem) -> list[int]:
    """The operations in an order in which what frees memory runs as soon as it can.

    A sum of many cotangents, for one, is added up as they come, not when all are there.
    """
    uses: list[list[int]] = [[] for _ in problem.size]
    for op, values in enumerate(problem.reads):
        for value in values:
            uses[value].append(op)
    left = [len(u) + (v in problem.results) for v, u in enumerate(uses)]
    missing = [len(values) for values in problem.reads]
    done = [False] * len(problem.reads)
    order: list[int] = []
    for first in range(len(problem.reads)):
        stack = [first]
        while stack:
            op = stack.pop()
            if done[op]:
                continue
            done[op] = True
            order.append(op)
            for value in problem.reads[op]:
                left[value] -= 1
            for value in problem.writes[op]:
                for user in uses[value]:
                    missing[user] -= 1
            near = {u for v in (*problem.writes[op], *problem.reads[op]) for u in uses[v][-2:]}
            stack.extend(
                [
                    user
                    for user in sorted(near, reverse=True)
                    if not done[user] and not missing[user] and _frees(problem, user, left)
                ]
            )
    return order


def _frees(problem: Problem, op: int, left: Sequence[int]) -> bool:
    freed = sum([problem.size[v] for v in problem.reads[op] if left[v] == 1])
    made = sum([problem.size[v] for v in problem.writes[op]])
    return freed > made and not problem.scratch[op]


def reordered(problem: Problem, order: Sequence[int]) -> Problem:
    """The same problem with its operations in another order."""
    maker = [0] * len(problem.size)
    for at, op in enumerate(order):
        for value in problem.writes[op]:
            maker[value] = at
    return problem._replace(
        reads=[problem.reads[op] for op in order],
        writes=[problem.writes[op] for op in order],
        cost=[problem.cost[op] for op in order],
        scratch=[problem.scratch[op] for op in order],
        maker=maker,
    )
