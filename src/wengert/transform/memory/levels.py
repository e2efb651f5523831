"""Ranks for values of a long program, after the optimal schedule for a chain.

Where few bytes are alive, a program can be cut: what is alive there is a state from which the rest
follows. Between the cuts it is a chain, for which the states that an optimal schedule keeps are
known (`schedules`). They get a rank by how often the schedule has come back before it keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wengert.transform.memory.problem import Problem, profile
from wengert.transform.memory.schedules import first_stretch

__all__ = ["Stages", "stages"]


class Stages:
    """The cuts of a program: positions, and the values that are alive there; and the values that
    are made on the way back, of which each needs nearly all before it to be made again."""

    def __init__(
        self, positions: list[int], alive: list[list[int]], cut: float, behind: list[int]
    ) -> None:
        self.positions = positions
        self.alive = alive
        self.bytes = cut
        self.behind = behind

    def ranks(self, slots: int, count: int) -> list[int]:
        """A rank for each of `count` values: higher for what is to be kept longer."""
        lowest = -1 - count
        rank = [lowest] * count
        for value in self.behind:
            rank[value] = 1
        stack = [(0, len(self.positions) + 1, max(2, slots), 0)]
        while stack:
            begin, end, free, turns = stack.pop()
            if end - begin <= 1:
                continue
            # Where no slot is left, each state is made again from the first.
            middle = end - 1 if free <= 1 else begin + first_stretch(end - begin, free)
            for value in self.alive[middle - 1]:
                rank[value] = max(rank[value], -turns)
            if free > 1:
                stack.append((middle, end, free - 1, turns))
                stack.append((begin, middle, free, turns + 1))
        return rank


def stages(problem: Problem) -> Stages | None:
    """Cuts of the way forward; None where the program has too few."""
    ordinary = profile(problem, problem.order)
    turn = int(ordinary.argmax())
    last = [-1] * len(problem.size)
    for op in range(turn + 1):
        for value in problem.reads[op]:
            last[value] = op
    change = np.zeros(turn + 2, np.int64)
    for op in range(turn + 1):
        for value in problem.writes[op]:
            if last[value] > op:
                change[op] += problem.size[value]
                change[last[value]] -= problem.size[value]
    alive = np.cumsum(change)[:turn]
    positions = _narrow(alive)
    if len(positions) < 4:
        return None
    cut = float(np.median(alive[positions]))
    behind = [value for value, op in enumerate(problem.maker) if op > turn]
    return Stages(positions, _alive(problem, positions, last), cut, behind)


def _narrow(alive: np.ndarray) -> list[int]:
    """Positions where least is alive among their neighbours, the first of equals."""
    count = len(alive)
    if count < 4:
        return []
    usual = np.quantile(alive, 0.25)
    found = []
    for at in range(count):
        around = alive[max(0, at - 2) : at + 3]
        if 0 < alive[at] <= 1.2 * usual and alive[at] <= around.min():
            found.append(at)
    return found


def _alive(problem: Problem, positions: Sequence[int], last: Sequence[int]) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in positions]
    starts = np.array(positions)
    for value, op in enumerate(problem.maker):
        if last[value] > op:
            for k in range(int(np.searchsorted(starts, op)), len(positions)):
                if positions[k] >= last[value]:
                    break
                found[k].append(value)
    return found
