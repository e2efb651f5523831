"""The planner against an exact search, and against the optimal schedules of chains."""

import heapq
import random

import numpy as np
import pytest
from tests.memory.checkmate import optimum
from tests.work import calls

from wengert.transform.memory.planner import plan, smallest_budget
from wengert.transform.memory.problem import Problem, profile, work
from wengert.transform.memory.schedules import advances


def reversal(parents, size, cost):
    """A program of steps, and its way back: the cotangent of a step reads the step's operands, and
    the cotangents of the steps that read it."""
    n = len(parents)
    readers = [[j for j in range(n) if i in parents[j]] for i in range(n)]
    reads, writes = [tuple(p) for p in parents], [(i,) for i in range(n)]
    place = {}
    for i in range(n - 1, -1, -1):
        place[i] = len(reads)
        own = [place[j] for j in readers[i]] or [n - 1]
        reads.append(tuple(dict.fromkeys([*parents[i], *own])))
        writes.append((place[i],))
    count = len(reads)
    sizes = [*size, *(size[i] for i in range(n - 1, -1, -1))]
    costs = [*cost, *(2 * cost[i] for i in range(n - 1, -1, -1))]
    return Problem(
        reads, writes, list(range(count)), sizes, costs, [0] * count, frozenset([count - 1])
    )


def random_program(draw, steps):
    parents = [()]
    for i in range(1, steps):
        chosen = {i - 1} if draw.random() < 0.8 else set()
        chosen |= {draw.randrange(i) for _ in range(draw.choice([0, 1, 1]))} or {i - 1}
        parents.append(tuple(sorted(chosen)))
    return reversal(
        parents,
        [draw.choice([1, 1, 2, 4]) for _ in range(steps)],
        [float(draw.choice([1, 1, 3, 10])) for _ in range(steps)],
    )


def cheapest(problem, budget):
    """The optimum, by Dijkstra's algorithm over the sets of values held; None if infeasible."""
    goal = sum(1 << v for v in problem.results)
    ops = [
        (sum(1 << v for v in r), sum(1 << v for v in w), c, s)
        for r, w, c, s in zip(
            problem.reads, problem.writes, problem.cost, problem.scratch, strict=True
        )
    ]
    size = problem.size
    held = {0: 0}
    best = {0: 0.0}
    queue = [(0.0, 0)]
    while queue:
        spent, state = heapq.heappop(queue)
        if spent > best[state]:
            continue
        if state & goal == goal:
            return spent
        following = [(state & ~(1 << v), 0.0) for v in range(len(size)) if state >> v & 1]
        for reads, writes, cost, scratch in ops:
            new = state | writes
            if state & reads != reads or new == state:
                continue
            if new not in held:
                held[new] = sum(size[v] for v in range(len(size)) if new >> v & 1)
            if held[new] + scratch <= budget:
                following.append((new, cost))
        for new, cost in following:
            if spent + cost < best.get(new, np.inf) - 1e-12:
                best[new] = spent + cost
                heapq.heappush(queue, (spent + cost, new))
    return None


@pytest.mark.parametrize("seed", range(12))
def test_small_programs_are_planned_within_ten_percent_of_the_optimum(seed):
    draw = random.Random(seed)
    problem = random_program(draw, draw.choice([5, 6, 7]))
    peak = int(profile(problem, problem.order).max())
    for budget in range(peak - 1, 0, -2):
        optimum = cheapest(problem, budget)
        found = plan(problem, budget)
        if optimum is None:
            assert found is None
            break
        if found is not None:
            assert profile(problem, found.order).max() <= budget
            assert found.work == work(problem, found.order) <= 1.1 * optimum


def chain(steps):
    """Every step of one size and cost; the way back does not run steps again by itself."""
    return reversal([(), *((i,) for i in range(steps - 1))], [1] * steps, [1.0] * steps)


@pytest.mark.parametrize(("steps", "slots"), [(20, 6), (60, 8), (100, 12), (400, 23), (1000, 34)])
def test_chains_are_planned_like_the_optimal_schedule(steps, slots):
    problem = chain(steps)
    found = plan(problem, slots)
    assert found.peak <= slots
    # Three slots hold what a step back reads and makes; a schedule's first run is the program's.
    extra = found.work - found.ordinary_work
    assert extra <= 1.1 * (advances(steps, slots - 2) - steps) + 2


@pytest.mark.parametrize(("steps", "slots"), [(64, 20), (128, 24), (256, 28)])
def test_small_sums_of_the_way_back_are_not_made_again(steps, slots):
    """Layers of a product and a function with its derivative; the gradient of the weights that all
    layers share is added up along the way back, and making it again would take all of it."""
    reads, writes, size = [], [], []

    def step(bytes_, *values):
        reads.append(values)
        writes.append(tuple(range(len(size), len(size) + len(bytes_))))
        size.extend(bytes_)
        return writes[-1]

    (state,) = step([64])
    layers = []
    for _ in range(steps):
        (product,) = step([64], state)
        before, (state, derivative) = state, step([64, 64], product)
        layers.append((before, derivative))
    cotangent, total = state, None
    for before, derivative in reversed(layers):
        (own,) = step([64], derivative, cotangent)
        (total,) = step([1], before, own, *([] if total is None else [total]))
        (cotangent,) = step([64], own)
    maker = [op for op, values in enumerate(writes) for _ in values]
    count = len(reads)
    results = frozenset([total])
    problem = Problem(reads, writes, maker, size, [1.0] * count, [0] * count, results)
    made = plan(problem, 64 * slots)
    assert made.peak <= 64 * slots
    # The way forward, which is two fifths of the program, runs three times at most.
    assert made.work <= 1.8 * made.ordinary_work


def test_the_programs_own_order_where_the_budget_does_not_bind():
    problem = chain(30)
    peak = int(profile(problem, problem.order).max())
    assert plan(problem, peak).order == problem.order
    assert plan(problem, peak - 1).order != problem.order


@pytest.mark.parametrize("seed", range(2))
def test_the_smallest_budget_is_feasible_and_what_is_below_is_not(seed):
    problem = random_program(random.Random(100 + seed), 15)
    least = smallest_budget(problem)
    assert plan(problem, least) is not None
    assert plan(problem, least).peak <= least


def test_thousands_of_operations():
    problem = chain(1500)
    for budget in (100, 400):
        found = plan(problem, budget)
        assert found.peak <= budget
        assert found.work < 2 * found.ordinary_work


def test_a_schedule_that_reads_what_is_not_there_is_refused():
    problem = chain(3)
    with pytest.raises(ValueError, match="never made"):
        profile(problem, [1, 0])


@pytest.mark.parametrize(
    ("seed", "steps", "share"),
    [
        *[(seed, 8, 0.9) for seed in range(4)],
        (0, 8, 0.7),
        (3, 8, 0.7),
        *[(seed, 11, 0.85) for seed in (0, 2)],
        (0, 15, 0.9),
        (3, 15, 0.9),
    ],
)
def test_programs_of_16_to_30_operations_against_integer_programming(seed, steps, share):
    """Checkmate's optimum for the program's order, and for the order of the plan."""
    problem = random_program(random.Random(1000 + seed), steps)
    budget = int(share * profile(problem, problem.order).max())
    found = plan(problem, budget)
    best = optimum(problem, budget)
    assert best is not None
    if found is None:
        assert best == np.inf
        return
    first = list(dict.fromkeys(found.order))
    best = min(best, optimum(renamed(problem, first), budget) or np.inf)
    assert profile(problem, found.order).max() <= budget
    assert found.work <= 1.1 * best


def renamed(problem, order):
    """The problem with its operations, and the value that each makes, in another order."""
    new = {op: at for at, op in enumerate(order)}
    return Problem(
        [tuple(new[v] for v in problem.reads[op]) for op in order],
        [(at,) for at in range(len(order))],
        list(range(len(order))),
        [problem.size[op] for op in order],
        [problem.cost[op] for op in order],
        [problem.scratch[op] for op in order],
        frozenset(new[v] for v in problem.results),
    )


def skipping(steps, seed):
    """A long program, a fifth of whose steps read an earlier value too."""
    draw = random.Random(seed)
    parents = [()]
    for i in range(1, steps):
        chosen = {i - 1}
        if draw.random() < 0.2:
            chosen.add(max(0, i - draw.choice([2, 5, 20, 200])))
        parents.append(tuple(sorted(chosen)))
    return reversal(
        parents,
        [draw.choice([1, 2, 4]) for _ in range(steps)],
        [float(draw.choice([1, 3, 10])) for _ in range(steps)],
    )


@pytest.mark.parametrize(("share", "most"), [(0.4, 1.15), (0.1, 1.3)])
def test_ten_thousand_operations_are_planned_in_near_linear_work(share, most):
    """Counted, not timed: Python calls per operation, beside those for a fifth as many."""
    per_operation = []
    for steps in (1000, 5000):
        problem = skipping(steps, 0)
        budget = int(share * profile(problem, problem.order).max())
        found = []
        made = calls(lambda p=problem, b=budget, f=found: f.append(plan(p, b)))
        per_operation.append(made / len(problem.reads))
        assert found[0].peak <= budget
        assert found[0].work <= most * found[0].ordinary_work
    assert per_operation[1] < 2 * per_operation[0]
    assert per_operation[1] < 500
