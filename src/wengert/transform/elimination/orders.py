"""Orders in which the vertices of a linearised graph are eliminated, and the search for a good one.

The cheapest order is NP-complete to find (U. Naumann, "Optimal Jacobian accumulation is
NP-complete", Mathematical Programming 112, 2008). Forward and reverse mode are two orders; the
greedy rules take, step by step, the vertex that looks best:

- *Markowitz*: the fewest multiplications now (Griewank and Walther, section 9.2);
- *relative Markowitz*: the fewest beyond what the vertex costs at the very end, when only sources
  and sinks are left to be joined through it (Griewank and Naumann, "Accumulating Jacobians as
  chained sparse matrix products", Mathematical Programming 95, 2003).

`best_order` adds dynamic programming where there are few vertices, which is exact, and simulated
annealing over orders elsewhere (as Naumann and Gottschling did, "Simulated annealing for optimal
pivot selection in Jacobian accumulation", 2003), with a fixed seed and bounded work.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable

from wengert.errors import ArgumentError
from wengert.transform.elimination.skeleton import Skeleton, State

__all__ = [
    "GREEDY",
    "ORDERS",
    "best_greedy",
    "best_order",
    "forward",
    "markowitz",
    "optimal",
    "relative_markowitz",
    "reverse",
]

Order = tuple[int, ...]

#: Up to this many inner vertices the optimum is computed, by dynamic programming over subsets.
MOST_EXACT = 9
#: The work of the annealing per vertex, in products of edges that it may try: some tenths of a
#: second for a hundred vertices.
WORK = 3_000
_MOST_WORK = 600_000
#: Annealing keeps a state per vertex: beyond this many rows of edges there is none.
_MOST_ROWS = 600_000
#: How far a vertex moves in the order at most, in one step of the annealing; runs take turns.
_WINDOWS = (24, 8)
#: The first temperature of the annealing, as a share of the multiplications.
_HOT = 0.004
#: The most vertices that are ordered by exhaustion, if that is asked for.
_MOST_OPTIMAL = 18


def forward(skeleton: Skeleton, *, every: bool = False) -> Order:
    """The order of evaluation: forward mode, which leaves out zeros."""
    del every
    return skeleton.inner


def reverse(skeleton: Skeleton, *, every: bool = False) -> Order:
    """Against the order of evaluation: reverse mode, which leaves out zeros."""
    del every
    return skeleton.inner[::-1]


def _greedy(skeleton: Skeleton, every: bool, score: Callable[[State, int], int]) -> Order:
    """Eliminate the vertex of the least score, time and again; ties go to the later vertex.

    A score may depend on the vertex's edges alone, so that only neighbours are scored anew.
    """
    state = skeleton.state(every=every)
    scores = {v: score(state, v) for v in skeleton.inner}
    heap = [(s, -v) for v, s in scores.items()]
    heapq.heapify(heap)
    order: list[int] = []
    while heap:
        found, v = heapq.heappop(heap)
        v = -v
        if scores.get(v) != found:
            continue  # gone, or scored anew since
        near = (*state.into[v], *state.out[v])
        state.eliminate(v)
        del scores[v]
        order.append(v)
        for u in near:
            if u in scores and (new := score(state, u)) != scores[u]:
                scores[u] = new
                heapq.heappush(heap, (new, -u))
    return tuple(order)


def markowitz(skeleton: Skeleton, *, every: bool = False) -> Order:
    """The vertex with the fewest multiplications first."""
    return _greedy(skeleton, every, lambda state, v: state.degree(v))


def relative_markowitz(skeleton: Skeleton, *, every: bool = False) -> Order:
    """The vertex with the fewest multiplications beyond what it costs if it is the last."""
    sources, sinks = _reach(skeleton)
    last = [a * b for a, b in zip(sources, sinks, strict=True)]
    return _greedy(skeleton, every, lambda state, v: state.degree(v) - last[v])


def _reach(skeleton: Skeleton) -> tuple[list[int], list[int]]:
    """Per vertex the number of sources that reach it, and of sinks that it reaches."""
    n = len(skeleton.into)
    above, below = [0] * n, [0] * n
    for number, v in enumerate(skeleton.sources):
        above[v] |= 1 << number
    for number, v in enumerate(skeleton.sinks):
        below[v] |= 1 << number
    for v in range(n):
        for i in skeleton.into[v]:
            above[v] |= above[i]
    for v in range(n - 1, -1, -1):
        for k in skeleton.out[v]:
            below[v] |= below[k]
    return [x.bit_count() for x in above], [x.bit_count() for x in below]


def optimal(skeleton: Skeleton, *, every: bool = False) -> Order:
    """An order with the fewest multiplications, by dynamic programming over sets of vertices.

    The graph that is left does not depend on the order in which a set was eliminated, so that only
    the cheapest way to each set counts. Depth first, with the best order so far as a bound. Cost:
    up to 2**vertices graphs.

    Raises
    ------
    ArgumentError if there are too many vertices.
    """
    free = _free(skeleton, every)
    left = frozenset(skeleton.inner) - set(free)
    if len(left) > _MOST_OPTIMAL:
        raise ArgumentError(
            f"order='optimal' tries all sets of vertices, and {len(left)} are too many: at most "
            f"{_MOST_OPTIMAL}",
            hint="use order='best'",
        )
    best = best_greedy(skeleton, every=every)
    fewest = skeleton.multiplications(best, every=every)
    start = skeleton.state(every=every)
    for v in free:
        start.eliminate(v)
    seen: dict[frozenset[int], int] = {}
    stack: list[tuple[State, Order, frozenset[int]]] = [(start, free, left)]
    while stack:
        state, order, left = stack.pop()
        if state.count >= fewest:
            continue
        if not left:
            fewest, best = state.count, order
            continue
        known = seen.get(left)
        if known is not None and known <= state.count:
            continue
        seen[left] = state.count
        for v in sorted(left, key=state.degree, reverse=True):
            after = state.copy()
            after.eliminate(v)
            stack.append((after, (*order, v), left - {v}))
    return best


#: The orders that are found without a search.
GREEDY: dict[str, Callable[..., Order]] = {
    "forward": forward,
    "reverse": reverse,
    "markowitz": markowitz,
    "relative markowitz": relative_markowitz,
}


def best_greedy(skeleton: Skeleton, *, every: bool = False) -> Order:
    """The cheapest of the orders that are found without a search."""
    found = [rule(skeleton, every=every) for rule in GREEDY.values()]
    return min(found, key=lambda order: skeleton.multiplications(order, every=every))


def best_order(skeleton: Skeleton, *, every: bool = False, work: int = WORK) -> Order:
    """The cheapest order that is found: optimal for few vertices, else by annealing.

    Deterministic. Never worse than any order in `GREEDY`, the two cheapest of which it starts from.
    `work` per vertex bounds the search.
    """
    free = _free(skeleton, every)
    rest = set(skeleton.inner) - set(free)
    if len(rest) <= MOST_EXACT:
        return optimal(skeleton, every=every)
    starts = [rule(skeleton, every=every) for rule in GREEDY.values()]
    found: list[Order] = []
    if len(skeleton.inner) * len(skeleton.into) > _MOST_ROWS:
        return _cheapest(skeleton, starts, every)[0]
    for number, start in enumerate(_cheapest(skeleton, starts, every)):
        order = (*free, *(v for v in start if v in rest))
        allowed = min(work * len(rest), _MOST_WORK)
        found.append(_annealed(skeleton, order, len(free), every, number, allowed))
    return _cheapest(skeleton, [*found, *starts], every)[0]


def _cheapest(skeleton: Skeleton, orders: list[Order], every: bool) -> list[Order]:
    """The two cheapest of some orders."""
    distinct = list(dict.fromkeys(orders))
    return sorted(distinct, key=lambda o: skeleton.multiplications(o, every=every))[:2]


def _free(skeleton: Skeleton, every: bool) -> Order:
    """Vertices that may as well go first: a partial of ±1 is all that leads in, or all that leads
    out, so that the vertex is its neighbour under another name."""
    if every:
        return ()
    state = skeleton.state()
    found: list[int] = []
    pending = list(skeleton.inner)
    left = set(pending)
    while pending:
        v = pending.pop()
        if v not in left:
            continue
        ins, outs = state.into[v], state.out[v]
        if any(len(row) == 1 and all(row.values()) for row in (ins, outs)):
            pending += [*ins, *outs]
            state.eliminate(v)
            left.discard(v)
            found.append(v)
    return tuple(found)


def _annealed(
    skeleton: Skeleton, start: Order, fixed: int, every: bool, seed: int, work: int
) -> Order:
    """Simulated annealing: move one vertex to another place in the order, keep it if it is good.

    The first `fixed` vertices stay where they are. The graph after a set of vertices is the same
    in whatever order they went, so that only the stretch between both places is computed anew.
    """
    random_ = random.Random(seed)
    order = list(start)
    n = len(order)
    states = [skeleton.state(every=every)]
    for v in order:
        states.append(states[-1].copy())
        states[-1].eliminate(v)
    current = fewest = states[-1].count
    best, done = start, 0
    hot = max(1.0, _HOT * current)
    reach = _WINDOWS[seed % len(_WINDOWS)]
    begun = current
    while done < work and n - fixed > 1:
        if 2 * done > work and fewest == begun:
            break  # nothing found so far: little hope
        temperature = hot * (1.0 - done / work) ** 2 + 1e-9
        a = random_.randrange(fixed, n)
        b = random_.randrange(max(fixed, a - reach), min(n, a + reach + 1))
        first, last = min(a, b), max(a, b)
        window = order[first : last + 1]
        window.insert(b - first, window.pop(a - first))
        state, made = states[first], []
        for v in window:
            state = state.copy()
            done += 1 + len(state.into[v]) * len(state.out[v])
            state.eliminate(v)
            made.append(state)
        change = state.count - states[last + 1].count
        if change <= 0 or random_.random() < math.exp(-change / temperature):
            order[first : last + 1] = window
            states[first + 1 : last + 2] = made
            for later in states[last + 2 :] if change else ():
                later.count += change
            current += change
            if current < fewest:
                best, fewest = tuple(order), current
    return best


#: Every order by its name.
ORDERS: dict[str, Callable[..., Order]] = {**GREEDY, "best": best_order, "optimal": optimal}
