"""Local improvement of a schedule: what need not be made again is kept.

A step that makes a value again can go if the instance before it can be held until the value's
later uses, within the budget. With it go the steps that only it needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wengert.transform.memory.problem import Problem

__all__ = ["improve"]


class _Instances:
    """The instances of a schedule, with positions that stay fixed while steps are removed."""

    def __init__(self, problem: Problem, schedule: Sequence[int]) -> None:
        self.problem = problem
        self.schedule = list(schedule)
        self.alive = [True] * len(schedule)
        self.end = len(schedule) - 1
        self.readers: dict[tuple[int, int], set[int]] = {}
        self.operands: list[list[tuple[int, int]]] = []
        self.before: list[int] = [-1] * len(schedule)
        self.runs: dict[int, list[int]] = {}
        born: dict[int, int] = {}
        for at, op in enumerate(schedule):
            found = [(value, born[value]) for value in problem.reads[op]]
            self.operands.append(found)
            for key in found:
                self.readers[key].add(at)
            for value in problem.writes[op]:
                born[value] = at
                self.readers[value, at] = set()
            self.runs.setdefault(op, []).append(at)
        for value in problem.results:
            self.readers[value, born[value]].add(self.end)
        change = np.zeros(len(schedule) + 1, np.int64)
        for (value, birth), readers in self.readers.items():
            change[birth] += problem.size[value]
            change[max(readers, default=birth) + 1] -= problem.size[value]
        self.profile = np.cumsum(change)[:-1] + np.array(
            [problem.scratch[op] for op in schedule], np.int64
        )

    def last(self, value: int, birth: int) -> int:
        """The last step that an instance is held for."""
        return max(self.readers[value, birth], default=birth)

    def remove(self, at: int) -> None:
        """Remove a step whose values nobody reads, and what was only needed for it."""
        stack = [at]
        size = self.problem.size
        while stack:
            step = stack.pop()
            if not self.alive[step]:
                continue
            self.alive[step] = False
            op = self.schedule[step]
            self.runs[op].remove(step)
            for value in self.problem.writes[op]:
                self.profile[step] -= size[value]
                del self.readers[value, step]
            self.profile[step] -= self.problem.scratch[op]
            for value, birth in self.operands[step]:
                readers = self.readers[value, birth]
                old = max(readers)
                readers.discard(step)
                new = max(readers, default=birth)
                if new < old:
                    self.profile[new + 1 : old + 1] -= size[value]
                maker = self.schedule[birth]
                if not readers and self.unread(maker, birth):
                    stack.append(birth)

    def unread(self, op: int, at: int) -> bool:
        """Whether nobody reads what the step `at` makes."""
        return all(not self.readers[value, at] for value in self.problem.writes[op])

    def keep_instead(self, at: int, budget: int) -> bool:
        """Use the instances before the step `at` in place of its own, if the budget allows."""
        problem, op = self.problem, self.schedule[at]
        runs = self.runs[op]
        place = runs.index(at)
        if place == 0:
            return False
        earlier = runs[place - 1]
        wanted = [v for v in problem.writes[op] if self.readers[v, at]]
        spans = [(v, self.last(v, earlier)) for v in wanted]
        if spans:
            first = min(last for _, last in spans)
            added = np.zeros(at - first, np.int64)
            for value, last in spans:
                added[last - first :] += problem.size[value]
            # While the step itself runs its own results are not held beside it.
            own = sum([problem.size[v] for v in problem.writes[op]])
            room = budget - self.profile[first + 1 : at + 1]
            room[-1] += own + problem.scratch[op]
            if np.any(added > room):
                return False
            self.profile[first + 1 : at + 1] += added
        for value in wanted:
            old, readers = self.readers[value, at], self.readers[value, earlier]
            for reader in old:
                self.operands[reader] = [
                    (v, earlier) if (v, b) == (value, at) else (v, b)
                    for v, b in self.operands[reader]
                ]
            readers |= old
            old.clear()
        self.remove(at)
        return True


def improve(problem: Problem, schedule: Sequence[int], budget: int, rounds: int = 3) -> list[int]:
    """The schedule without the steps that can go, the most worthwhile removed first."""
    found = _Instances(problem, schedule)
    for at in range(len(schedule) - 1, -1, -1):
        if found.alive[at] and found.unread(schedule[at], at):
            found.remove(at)
    for _ in range(rounds):
        again = [at for runs in found.runs.values() for at in runs[1:]]
        if not again:
            break
        again.sort(key=lambda at: _worth(found, at), reverse=True)
        changed = False
        for at in again:
            if found.alive[at] and found.keep_instead(at, budget):
                changed = True
        if not changed:
            break
    return [op for op, alive in zip(found.schedule, found.alive, strict=True) if alive]


def _worth(found: _Instances, at: int) -> float:
    """Cost saved per byte and step that is held more."""
    op = found.schedule[at]
    runs = found.runs[op]
    earlier = runs[runs.index(at) - 1]
    problem = found.problem
    held = sum(
        [
            problem.size[v] * max(1, at - found.last(v, earlier))
            for v in problem.writes[op]
            if found.readers[v, at]
        ]
    )
    return problem.cost[op] / max(1, held)
