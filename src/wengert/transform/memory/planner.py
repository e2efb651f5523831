"""Planning: the cheapest schedule that was found within a budget.

Several ways of ranking values are simulated (`greedy`), the schedules are improved (`improve`), and
the cheapest is taken. A small problem is tried in many random variations as well. The result is
the same each time: the variations are drawn from a fixed seed.
"""

from __future__ import annotations

import math
import random
from heapq import heapify, heappop, heappush

from wengert.graph.tuples import NamedTuple
from wengert.transform.memory.greedy import Policy, Simulation, simulate
from wengert.transform.memory.improve import improve
from wengert.transform.memory.levels import stages
from wengert.transform.memory.problem import MOST_WORK, Problem, profile, reordered, work

__all__ = ["Schedule", "plan", "smallest_budget"]

#: The same while the smallest feasible budget is looked for.
_LEAST_WORK = 16

#: A schedule that costs so many times as much as the best is not improved any further.
_TOO_DEAR = 1.5

#: The ways of ranking that are tried on every problem.
_POLICIES = (
    Policy(),
    Policy(retain=True),
    Policy(distance=0.5),
    Policy(distance=2.0, retain=True),
    Policy(chained=False),
    Policy(size=0.5),
)
#: Operations up to which variations are tried, and how many steps they take together.
_SMALL, _VARIED_STEPS = 400, 20_000
#: Operations beyond which few schedules are tried, and how: first for those that are not much
#: longer than the program.
_MIDDLE, _LARGE_WORK = 1500, 4
_LARGE_POLICIES = (Policy(distance=0.5, lazy=True),)


class Schedule(NamedTuple):
    """The order in which operations run, and what it takes.

    peak : bytes held at most; `ordinary_peak` those of the program's own order
    work : cost of all steps; `ordinary_work` that of the program's own order
    """

    order: list[int]
    peak: int
    work: float
    ordinary_peak: int
    ordinary_work: float


def plan(problem: Problem, budget: int) -> Schedule | None:
    """The cheapest schedule found that holds at most `budget` bytes, or None.

    Where the program's own order keeps to the budget, it is that.
    """
    ordinary = problem.order
    held = profile(problem, ordinary)
    peak = int(held.max(initial=0))
    cost = work(problem, ordinary)
    if peak <= budget:
        return Schedule(ordinary, peak, cost, peak, cost)
    best = _search(problem, budget)
    if best is None:
        return None
    order, total = best
    return Schedule(order, int(profile(problem, order).max()), total, peak, cost)


_Found = tuple[list[int], float] | None


def _search(problem: Problem, budget: int) -> _Found:
    given = Simulation(problem)
    count = len(problem.reads)
    if count > _MIDDLE:
        return _search_large(problem, given, budget)
    best = _by_stages(problem, given, budget, None)
    most = MOST_WORK * count if best is None else 2 * len(best[0])
    ranked = []
    for policy in _POLICIES:
        dearest = _TOO_DEAR * best[1] if best is not None else math.inf
        found = simulate(given, budget, policy, most=most, dearest=dearest)
        if found is None:
            continue
        ranked.append((work(problem, found), policy))
        # Later policies need not be followed further than the best so far.
        most = min(most, 2 * len(found))
        best = _better(problem, found, budget, best)
    if count > _SMALL:
        return best
    tries = max(1, _VARIED_STEPS // max(count, len(best[0]) if best else 2 * count))
    ranked.sort(key=lambda pair: pair[0])
    policies = [policy for _, policy in ranked[:3]] or list(_POLICIES)
    return _varied(problem, given, budget, policies, tries, best)


def _search_large(problem: Problem, given: Simulation, budget: int) -> _Found:
    """A few simulations, the cheapest of which is improved: near linear in the operations."""
    count = len(problem.reads)
    found = []
    for most in (_LARGE_WORK * count, MOST_WORK * count):
        for policy in _LARGE_POLICIES:
            made = simulate(given, budget, policy, most=most)
            if made is not None:
                most = min(most, 2 * len(made))
                found.append(made)
        found += _after_chains(problem, given, budget, (2,), most)
        if found:
            return _better(problem, min(found, key=lambda f: work(problem, f)), budget, None)
    return None


def _after_chains(
    problem: Problem, given: Simulation, budget: int, less: tuple[int, ...], most: int
) -> list[list[int]]:
    """Schedules after those of a chain, for several numbers of slots."""
    cuts = stages(problem)
    if cuts is None:
        return []
    slots = max(2, int(budget / cuts.bytes))
    less = (*less, slots // 4, slots // 2) if 1 in less else less
    made = []
    for number in sorted({max(2, slots - k) for k in less}):
        found = simulate(given, budget, rank=cuts.ranks(number, len(problem.size)), most=most)
        if found is not None:
            most = min(most, 2 * len(found))
            made.append(found)
    return made


def _by_stages(problem: Problem, given: Simulation, budget: int, best: _Found) -> _Found:
    """The best schedule after those of a chain."""
    most = MOST_WORK * len(problem.reads)
    made = _after_chains(problem, given, budget, (1, 2, 3, 4), most)
    made.sort(key=lambda found: work(problem, found))
    for found in made[:3]:
        best = _better(problem, found, budget, best)
    return best


def _varied(
    problem: Problem,
    given: Simulation,
    budget: int,
    policies: list[Policy],
    tries: int,
    best: _Found,
) -> _Found:
    draw = random.Random(0)
    count = len(problem.size)
    ordinary = problem.order
    kept = [1.0] * count
    for k in range(tries):
        spread = (0.3, 1.0, 2.5)[k % 3]
        base = kept if k % 2 else [1.0] * count
        weight = [w * 2.0 ** draw.gauss(0.0, spread) for w in base]
        most = MOST_WORK * len(problem.reads) if best is None else 2 * len(best[0])
        order, own = ordinary, given
        if k % 4 == 3:
            order = _other_order(problem, draw)
            own = Simulation(reordered(problem, order))
        found = simulate(own, budget, policies[k % len(policies)], weight, most=most)
        if found is None:
            continue
        found = [order[op] for op in found]
        now = _better(problem, found, budget, best)
        if now is not best:
            best, kept = now, weight
    return best


def _other_order(problem: Problem, draw: random.Random) -> list[int]:
    """The operations in another order that can run, not far from their own."""
    far = draw.choice([2.0, 5.0, len(problem.reads)])
    users: list[list[int]] = [[] for _ in problem.size]
    missing = [len(values) for values in problem.reads]
    for op, values in enumerate(problem.reads):
        for value in values:
            users[value].append(op)
    ready = [(draw.gauss(op, far), op) for op, count in enumerate(missing) if not count]
    heapify(ready)
    order = []
    while ready:
        _, op = heappop(ready)
        order.append(op)
        for value in problem.writes[op]:
            for user in users[value]:
                missing[user] -= 1
                if not missing[user]:
                    heappush(ready, (draw.gauss(user, far), user))
    return order


def _better(
    problem: Problem,
    found: list[int],
    budget: int,
    best: _Found,
) -> _Found:
    if best is not None and work(problem, found) > _TOO_DEAR * best[1]:
        return best
    order = improve(problem, found, budget)
    total = work(problem, order)
    return (order, total) if best is None or total < best[1] - 1e-9 else best


def smallest_budget(problem: Problem) -> int:
    """The smallest budget, within one percent, for which two of the policies find a schedule of no
    more than `_LEAST_WORK` times the steps: quicker to find than the smallest for `plan`."""
    high = int(profile(problem, problem.order).max(initial=0))
    low = _floor(problem)
    given = Simulation(problem)
    most = _LEAST_WORK * len(problem.reads)

    def feasible(budget: int) -> bool:
        return any(simulate(given, budget, policy, most=most) for policy in _POLICIES[:2])

    if feasible(low):
        return low
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        if feasible(middle):
            high = middle
        else:
            low = middle
    return high


def _floor(problem: Problem) -> int:
    """What no schedule can go below: some operation with its operands, or the results."""
    size = problem.size
    least = sum([size[v] for v in problem.results])
    for op, (reads, writes) in enumerate(zip(problem.reads, problem.writes, strict=True)):
        own = set(writes)
        least = max(least, problem.scratch[op] + sum([size[v] for v in own.union(reads)]))
    return least
