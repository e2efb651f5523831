"""Which way to accumulate a Jacobian, by cost: `jacobian(mode="auto")`.

Multiplications decide between orders of one kind. Between kinds the rest decides too: a sweep in
many directions works on arrays, elimination on single numbers. What runs in NumPy pays for every
entry, what is compiled for what the kernels do.
"""

from __future__ import annotations

from wengert.graph import Graph
from wengert.graph.tuples import NamedTuple
from wengert.ops import TABLE
from wengert.transform.elimination.accumulate import elements_of, order_of
from wengert.transform.elimination.chain import Chain
from wengert.transform.elimination.elements import Elements, has_elements
from wengert.transform.memo import remembered
from wengert.transform.sweeps import active_entries

__all__ = ["Candidate", "Choice", "choose", "element_counts"]

#: A call of NumPy, and a number in an array, in nanoseconds; only their proportions matter.
_CALL, _IN_CALL = 1_000.0, 0.5


class _Prices(NamedTuple):
    """Compiled: a step, a multiplication in a loop over an array, one in registers, and taking an
    element out of an array or putting it there, in nanoseconds."""

    step: float
    in_loop: float
    in_register: float
    element: float


_PRICES = {
    "compiled": _Prices(step=8.0, in_loop=0.3, in_register=0.5, element=5.0),
    # Per point of a batch, which the loops of the kernels go over.
    "batched": _Prices(step=5.0, in_loop=0.3, in_register=0.1, element=1.8),
}
#: Elimination beyond this many multiplications makes kernels that take long to compile.
_MOST_MULTIPLICATIONS = 2_000
#: Larger graphs are not searched unasked: building and ordering them takes too long.
_MOST_ELEMENTS, _MOST_EDGES = 1_500, 4_000
#: Estimates that differ by less than this factor say nothing.
_SAME_TIME = 1.3
#: A chain that is cut must save this share of the multiplications: the matrices cost something.
_WORTH_CUTTING = 0.75


class Candidate(NamedTuple):
    """One way: a `mode` of `jacobian` (and `order`), its multiplications, and its estimated time in
    nanoseconds."""

    mode: str
    order: str
    multiplications: int
    nanoseconds: float

    @property
    def name(self) -> str:
        """Mode and order."""
        return f"{self.mode}, {self.order}" if self.order else self.mode


class Choice(NamedTuple):
    """The chosen candidate, and all that were considered."""

    chosen: Candidate
    candidates: tuple[Candidate, ...]

    def __len__(self) -> int:
        return len(self.candidates)


def element_counts(
    graph: Graph, wrt: tuple[int, ...], outs: tuple[int, ...], *names: str, every: bool = False
) -> dict[str, int]:
    """The multiplications of each named elimination order; empty if the graph is too large."""
    if not has_elements(graph, wrt, outs):
        return {}
    skeleton = elements_of(graph, wrt, outs).skeleton
    return {
        name: skeleton.multiplications(order_of(graph, wrt, outs, name, every=every), every=every)
        for name in names
    }


def choose(graph: Graph, wrt: tuple[int, ...], outs: tuple[int, ...], setting: str) -> Choice:
    """The cheapest way to the Jacobian of `outs` by `wrt`; remembered by structure.

    `setting` is where the result runs: "numpy", "compiled", or "batched": compiled, for a batch of
    points at once.
    """
    return remembered(  # type: ignore[no-any-return]
        "choice", graph, wrt, outs, setting, make=lambda: _choose(graph, wrt, outs, setting)
    )


def _choose(graph: Graph, wrt: tuple[int, ...], outs: tuple[int, ...], setting: str) -> Choice:
    prices = _PRICES.get(setting)
    chain = Chain(graph, wrt, outs)
    active = active_entries(graph.entries, [graph.inputs[k] for k in wrt])
    steps = sum(active)

    def swept(mode: str, count: int, extra: int = 0) -> Candidate:
        if prices is None:
            return Candidate(mode, "", count, _CALL * 2 * (steps + extra) + _IN_CALL * count)
        time = prices.step * (steps + extra) + prices.in_loop * count
        return Candidate(mode, "", count, time)

    sweeps = [swept("forward", chain.forward), swept("reverse", chain.reverse)]
    if chain.frontiers[0].size > chain.frontiers[-1].size:
        sweeps.reverse()  # ties go to the smaller batch
    least = min(c.multiplications for c in sweeps)
    found = list(sweeps)
    # A user's rule for reverse mode may have no forward mode: it isn't swept both ways unasked.
    own = any(
        a and e[0] is TABLE["custom_vjp_call"] for a, e in zip(active, graph.entries, strict=True)
    )
    if chain.cost < _WORTH_CUTTING * least and not own:
        found.append(swept("chain", chain.cost, extra=chain.tree.joints))
    if _may_eliminate(graph, wrt, outs, chain, steps, prices is not None):
        elements = elements_of(graph, wrt, outs)
        # In NumPy's time scale a search takes long.
        names = ("markowitz", "forward", "reverse")
        for name in names if prices is None else ("best", *names):
            order = order_of(graph, wrt, outs, name)
            count = elements.skeleton.multiplications(order)
            if count <= _MOST_MULTIPLICATIONS:
                time = _elimination_time(elements, count, prices)
                found.append(Candidate("elimination", name, count, time))
    # The estimates are rough: among what takes about the same time, the fewest multiplications.
    limit = _SAME_TIME * min(c.nanoseconds for c in found)
    near = [c for c in found if c.nanoseconds <= limit]
    chosen = min(near, key=lambda c: (c.multiplications, c.nanoseconds))
    return Choice(chosen, tuple(found))


def _may_eliminate(
    graph: Graph,
    wrt: tuple[int, ...],
    outs: tuple[int, ...],
    chain: Chain,
    steps: int,
    compiled: bool,
) -> bool:
    if not has_elements(graph, wrt, outs, _MOST_ELEMENTS, _MOST_EDGES):
        return False
    # Every element of the Jacobian is an entry then: no use in NumPy if there are many.
    elements = chain.frontiers[0].size * chain.frontiers[-1].size
    return elements <= (1024 if compiled else 4 * steps)


def _elimination_time(elements: Elements, count: int, prices: _Prices | None) -> float:
    entries = elements.graph.entries
    moved = sum(ids.size for ids in elements.sources if ids.shape)
    width = sum(ids.size for ids in elements.sources)
    moved += sum(ids.size * width for ids in elements.sinks if ids.shape or moved)
    if prices is not None:
        return prices.step + prices.in_register * count + prices.element * moved
    partials = sum(e[0] is not TABLE["contract"] for e in entries if e[1])
    return _CALL * (partials + 1.5 * count + moved)
