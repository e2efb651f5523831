"""A schedule by simulation: run the program in its order, and drop a value when memory is full.

What is dropped is what is cheap to make again, large, and not needed for long (Kirisame et al.,
"Dynamic tensor rematerialization", 2021, use the time since the last access; ahead of the run
the next use is known, as in Belady's rule). What making it again costs includes what it needs that
has been dropped too. Nothing recurses: chains of dropped values are as long as programs.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from heapq import heappop, heappush

from wengert.graph.tuples import NamedTuple
from wengert.transform.memory.problem import Problem

__all__ = ["DEFAULT", "Policy", "Simulation", "simulate"]


class Policy(NamedTuple):
    """How values are ranked for dropping.

    distance : exponent of the distance to the next use
    size : exponent of the size
    chained : whether the cost of a value includes that of its dropped ancestors
    retain : whether values that only dropped ones were made from may stay
    lazy : whether ranks are brought up to date only where they would decide: for long programs
    """

    distance: float = 1.0
    size: float = 1.0
    chained: bool = True
    retain: bool = False
    lazy: bool = False


DEFAULT = Policy()

#: A score that has grown by more than this since it was entered is entered anew.
_GROWN = 1.1


class Simulation:
    """What is the same in all simulations of one problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        count = len(problem.size)
        self.uses: list[list[int]] = [[] for _ in range(count)]
        for op, values in enumerate(problem.reads):
            for value in values:
                self.uses[value].append(op)
        self.never = len(problem.reads) + 1
        self.last = [uses[-1] if uses else -1 for uses in self.uses]
        for value in problem.results:
            self.last[value] = self.never

    def next_use(self, value: int, now: int) -> int:
        """The first operation after `now` that reads a value; `never` if there is none."""
        uses = self.uses[value]
        at = bisect_right(uses, now)
        return uses[at] if at < len(uses) else self.never


class _Full(Exception):
    """There is nothing left to drop, or too much work has been done."""


class _Run:
    def __init__(
        self,
        given: Simulation,
        budget: int,
        policy: Policy,
        weight: Sequence[float] | None,
        rank: Sequence[int] | None,
        most: int,
        dearest: float,
    ) -> None:
        self.given = given
        self.problem = given.problem
        self.budget = budget
        self.policy = policy
        self.most = most
        self.left = dearest
        problem = given.problem
        count = len(problem.size)
        # Per value what its score is multiplied by, and what making it again costs by itself.
        self.share = [1.0 / max(1, size) ** policy.size for size in problem.size]
        if weight is not None:
            self.share = [share * w for share, w in zip(self.share, weight, strict=True)]
        self.again = [problem.cost[op] for op in problem.maker]
        self.upcoming = [given.next_use(value, -1) for value in range(count)]
        self.rank = rank
        self.heap: list[tuple[float, int, int]] = []
        self.resident: dict[int, None] = {}
        self.held = 0
        self.pins = [0] * count
        self.extra = [0.0] * count  # cost of dropped ancestors, per value
        self.gone = [0.0] * count  # what a dropped value added to those made from it
        self.schedule: list[int] = []
        self.now = 0

    def run(self) -> list[int]:
        problem, last = self.problem, self.given.last
        ranked = self.rank is not None or self.policy.lazy
        for op in range(len(problem.reads)):
            self.now = op
            for value in problem.reads[op - 1] if op else ():
                self.upcoming[value] = self.given.next_use(value, op - 1)
            self._execute(op)
            if ranked:
                self.now = op + 1
                for value in problem.reads[op]:
                    self.upcoming[value] = self.given.next_use(value, op)
                    self._enter(value)
                self.now = op
            for value in problem.reads[op]:
                if last[value] <= op and value in self.resident:
                    self._retire(value)
            for value in problem.writes[op]:
                if last[value] < op:
                    self._release(value)
        return self.schedule

    # ------------------------------------------------------------ running

    def _execute(self, op: int) -> None:
        """Run an operation, and before it whatever it needs that is not there."""
        problem, pins = self.problem, self.pins
        stack = [(op, False)]
        while stack:
            current, ready = stack.pop()
            if not ready:
                if current != op and all(v in self.resident for v in problem.writes[current]):
                    continue
                stack.append((current, True))
                missing = []
                for value in problem.reads[current]:
                    pins[value] += 1
                    if value not in self.resident:
                        missing.append(value)
                # The most expensive first: what it leaves is one value, when the next is made.
                missing.sort(key=lambda v: problem.cost[problem.maker[v]] + self.extra[v])
                stack.extend([(problem.maker[v], False) for v in missing])
                continue
            self._make(current, again=current != op)

    def _make(self, op: int, again: bool) -> None:
        problem, resident = self.problem, self.resident
        new = [v for v in problem.writes[op] if v not in resident]
        needed = problem.scratch[op] + sum([problem.size[v] for v in new])
        if any(v not in resident for v in problem.reads[op]):
            raise _Full
        if self.held + needed > self.budget:
            self._drop(self.held + needed - self.budget)
        self.left -= problem.cost[op]
        if len(self.schedule) >= self.most or self.left < 0:
            raise _Full
        self.schedule.append(op)
        for value in new:
            self.held += problem.size[value]
            resident[value] = None
            self._restored(value)
            self._enter(value)
        for value in problem.reads[op]:
            self.pins[value] -= 1
        if again:
            last = self.given.last
            for value in problem.reads[op]:
                if last[value] < self.now and value in resident and not self.pins[value]:
                    self._retire(value)
            for value in new:
                if last[value] < self.now and not self.pins[value]:
                    self._release(value)

    # ------------------------------------------------------------ dropping

    def _retire(self, value: int) -> None:
        """A value that the program will not read again: it goes, unless dropped ones need it."""
        if not self.policy.retain or self._next(value) >= self.given.never:
            self._release(value)

    def _release(self, value: int) -> None:
        if value in self.resident and not self.pins[value]:
            del self.resident[value]
            self.held -= self.problem.size[value]
            self._dropped(value)

    def _next(self, value: int) -> int:
        given, now = self.given, self.now
        found = self.upcoming[value]
        if self.policy.retain and found >= given.never:
            # The next use of what was made from it, and may have to be made from it again.
            writes = self.problem.writes
            for op in given.uses[value]:
                if op <= now:
                    for child in writes[op]:
                        found = min(found, given.next_use(child, now - 1))
        return found

    def _drop(self, bytes_: int) -> None:
        """Drop values of together at least `bytes_` bytes, those that matter least first."""
        if self.rank is not None:
            self._drop_ranked(bytes_)
            return
        if self.policy.lazy:
            self._drop_lazily(bytes_)
            return
        size, pins, score = self.problem.size, self.pins, self._score
        scores = [
            (score(value), value) for value in self.resident if size[value] and not pins[value]
        ]
        scores.sort()
        chosen: list[int] = []
        freed = 0
        for _, value in scores:
            if freed >= bytes_:
                break
            chosen.append(value)
            freed += size[value]
        if freed < bytes_:
            raise _Full
        # The last one may have made an earlier one unnecessary.
        for value in chosen[:-1]:
            if freed - size[value] >= bytes_:
                freed -= size[value]
            else:
                self._release(value)
        self._release(chosen[-1])

    def _score(self, value: int) -> float:
        """How much a value matters."""
        policy = self.policy
        upcoming = self._next(value) if policy.retain else self.upcoming[value]
        if upcoming >= self.given.never and value not in self.problem.results:
            return 0.0
        again = self.again[value]
        if policy.chained:
            again += self.extra[value]
        ahead = upcoming - self.now + 1
        if policy.distance != 1.0:
            ahead **= policy.distance
        return float(again * self.share[value] / ahead)

    def _enter(self, value: int) -> None:
        """Put a value in its place among those that may be dropped."""
        if value not in self.resident or not self.problem.size[value]:
            return
        if self.rank is not None:
            heappush(self.heap, (self.rank[value], -self._next(value), value))
        elif self.policy.lazy:
            heappush(self.heap, (self._score(value), 0, value))

    def _drop_lazily(self, bytes_: int) -> None:
        """The lowest of the scores as they were entered, if it has not grown much since."""
        size, pins, aside = self.problem.size, self.pins, []
        while bytes_ > 0 and self.heap:
            entry = heappop(self.heap)
            value = entry[2]
            if value not in self.resident:
                continue
            if pins[value]:
                aside.append(entry)
                continue
            score = self._score(value)
            if score > _GROWN * entry[0] and self.heap and score > self.heap[0][0]:
                heappush(self.heap, (score, 0, value))
                continue
            self._release(value)
            bytes_ -= size[value]
        for entry in aside:
            heappush(self.heap, entry)
        if bytes_ > 0:
            raise _Full

    def _drop_ranked(self, bytes_: int) -> None:
        """By rank, then the one that is needed last."""
        size, pins, aside = self.problem.size, self.pins, []
        while bytes_ > 0 and self.heap:
            entry = heappop(self.heap)
            value = entry[2]
            if value not in self.resident or entry[1] != -self._next(value):
                continue  # it was dropped, or read, since it was entered
            if pins[value]:
                aside.append(entry)
                continue
            self._release(value)
            bytes_ -= size[value]
        for entry in aside:
            heappush(self.heap, entry)
        if bytes_ > 0:
            raise _Full

    def _dropped(self, value: int) -> None:
        if not self.policy.chained or self.rank is not None:
            return
        again = self.problem.cost[self.problem.maker[value]] + self.extra[value]
        self.gone[value] = again
        self._add(value, again)

    def _restored(self, value: int) -> None:
        if self.gone[value]:
            self._add(value, -self.gone[value])
            self.gone[value] = 0.0

    def _add(self, value: int, amount: float) -> None:
        writes, extra = self.problem.writes, self.extra
        for op in self.given.uses[value]:
            for child in writes[op]:
                extra[child] = max(0.0, extra[child] + amount)


def simulate(
    given: Simulation,
    budget: int,
    policy: Policy = DEFAULT,
    weight: Sequence[float] | None = None,
    rank: Sequence[int] | None = None,
    most: int = 1 << 20,
    dearest: float = math.inf,
) -> list[int] | None:
    """A schedule that keeps to a budget, or None where this policy finds none.

    `weight` multiplies the score of each value, to try variations. With `rank`, values are dropped
    by rank and then by their next use alone. `most` limits the steps, `dearest` their cost.
    """
    try:
        return _Run(given, budget, policy, weight, rank, most, dearest).run()
    except _Full:
        return None
