"""The optimiser's table of contents: what is done to a graph, in which order, and what for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Set

from wengert.graph import Graph
from wengert.graph.tuples import NamedTuple
from wengert.optimise.builder import RuleIndex
from wengert.optimise.calls import inline_calls, optimise_bodies
from wengert.optimise.chains import order_chains
from wengert.optimise.collecting import collect_terms
from wengert.optimise.record import Record
from wengert.optimise.rewriting import rewrite
from wengert.optimise.rules import BEFORE_DERIVATIVES, EXACT, LAST, RULES
from wengert.transform.control.joining import joined_loops
from wengert.transform.templates import for_all_sizes

__all__ = [
    "PIPELINE",
    "Optimised",
    "Pass",
    "State",
    "optimise",
    "optimise_for_all_sizes",
    "stabilise",
    "stabilise_for_all_sizes",
]

#: How often the repeated passes may run: two or three times are usual.
MOST_ROUNDS = 8


class State(NamedTuple):
    """What the passes hand on.

    graph : the graph so far
    origin : per entry its number in the graph that the user gave, or -1
    log : what was done
    reassociate : whether rules that change rounding are allowed
    settled : entries that no simplifying rule changes (see `Builder`)
    """

    graph: Graph
    origin: list[int]
    log: list[Record]
    reassociate: bool
    settled: Set[int] = frozenset()


class Pass(NamedTuple):
    """A step: `run` maps a state to the next; `gives` is what holds afterwards.

    Tests check the predicate that `gives` names after the pass, and that the graph verifies.
    """

    name: str
    run: Callable[[State, str], State]
    gives: str
    repeated: bool = False
    last: bool = False


def _inline(state: State, stage: str) -> State:
    graph, origin = inline_calls(state.graph, state.origin, state.log, stage)
    return state._replace(graph=graph, origin=origin)


def _join(state: State, stage: str) -> State:
    made = joined_loops(state.graph)
    for first, second in made.pairs:
        before = [f"%{k} = scan" for k in (first, second) if k >= 0]
        why = "each step of the second loop reads what the first has just made"
        line = state.graph.lines.get(second, "")
        state.log.append(
            Record(stage, "join-loops", why, "floats", "kept", line, ", ".join(before), "scan")
        )
    origin = [-1 if k < 0 else state.origin[k] for k in made.origin]
    return state._replace(graph=made.graph, origin=origin)


def _bodies(state: State, stage: str) -> State:
    def inner(body: Graph) -> tuple[Graph, list[Record]]:
        made = optimise(body, reassociate=state.reassociate)
        return made.graph, made.log

    return state._replace(graph=optimise_bodies(state.graph, inner, state.log, stage))


_ALL_INDEX = RuleIndex(RULES)
_EXACT_INDEX = RuleIndex(EXACT)
_LAST_INDEX = RuleIndex((*RULES, *LAST))
_ONLY_LAST_INDEX = RuleIndex(LAST)
_STABLE_INDEX = RuleIndex(BEFORE_DERIVATIVES)


def _simplify(state: State, stage: str) -> State:
    index = _ALL_INDEX if state.reassociate else _EXACT_INDEX
    graph, origin, settled = rewrite(
        state.graph, state.origin, index, state.log, stage, settled=state.settled
    )
    return state._replace(graph=graph, origin=origin, settled=settled)


def _order_products(state: State, stage: str) -> State:
    if not state.reassociate:
        return state
    graph, origin = order_chains(state.graph, state.origin, state.log, stage)
    settled = state.settled if graph is state.graph else frozenset()
    return state._replace(graph=graph, origin=origin, settled=settled)


def _collect(state: State, stage: str) -> State:
    if not state.reassociate:
        return state
    graph, origin = collect_terms(state.graph, state.origin, state.log, stage)
    settled = state.settled if graph is state.graph else frozenset()
    return state._replace(graph=graph, origin=origin, settled=settled)


def _positions(state: State, stage: str) -> State:
    if not state.reassociate:
        return state
    graph, origin, _ = rewrite(
        state.graph,
        state.origin,
        _LAST_INDEX,
        state.log,
        stage,
        settled=state.settled,
        more=_ONLY_LAST_INDEX,
    )
    return state._replace(graph=graph, origin=origin)


PIPELINE = (
    Pass("inline calls", _inline, gives="no call of a function with a custom derivative"),
    Pass("join loops", _join, gives="no loop reads another one step by step"),
    Pass("optimise bodies", _bodies, gives="the bodies of loops and branches are optimised"),
    Pass("simplify", _simplify, gives="all entries different and needed", repeated=True),
    Pass(
        "order products",
        _order_products,
        gives="no chain of contractions has a much cheaper order",
        repeated=True,
    ),
    Pass(
        "collect terms",
        _collect,
        gives="no sum of products has a form with fewer operations",
        repeated=True,
    ),
    Pass("compare positions", _positions, gives="all entries different and needed", last=True),
)


class Optimised:
    """An optimised graph and the log of how it came about.

    graph : same inputs and outputs (number, order, types) as the given graph
    log : one record per thing done, in order; value numbers are those of the given graph
    given : the graph that was optimised
    """

    def __init__(self, graph: Graph, log: list[Record] | None, given: Graph) -> None:
        self.graph = graph
        self.given = given
        self._log = log

    @property
    def log(self) -> list[Record]:
        # A graph that was optimised for all sizes at once has none until somebody asks.
        if self._log is None:
            self._log = optimise(self.given).log
        return self._log

    def __str__(self) -> str:
        """Sizes and estimated work before and after, then the log line by line."""
        return "\n".join([self.summary(), *(f"  {r}" for r in self.log)])

    def summary(self) -> str:
        """Entries and estimated work before and after, in one line."""
        from wengert.optimise.cost import graph_cost  # for reports only

        return (
            f"{len(self.given)} entries ({graph_cost(self.given)}) -> "
            f"{len(self.graph)} entries ({graph_cost(self.graph)})"
        )

    def counts(self) -> dict[str, int]:
        """How often each rule was applied, most often first."""
        return dict(Counter(r.rule for r in self.log).most_common())


def stabilise(graph: Graph) -> Optimised:
    """The graph with numerically stable forms in place of those that overflow or cancel.

    For a graph that derivatives will be taken of: a derivative of `log(sum(exp(x)))` is nan where
    `exp(x)` overflows, and can't be mended as well as the formula itself. Custom derivatives and
    `stop_gradient` stay.
    """
    log: list[Record] = []
    made, _, _ = rewrite(graph, list(range(len(graph))), _STABLE_INDEX, log, "stabilise")
    return Optimised(made, log, graph)


def optimise_for_all_sizes(graph: Graph) -> Optimised:
    """As `optimise`; what was found out for other sizes is used."""
    logs: list[list[Record]] = []

    def function(graph: Graph) -> Graph:
        made = optimise(graph)
        logs.append(made.log)
        return made.graph

    made = for_all_sizes("optimise", graph, function)
    return Optimised(made, logs[0] if logs else None, graph)


def stabilise_for_all_sizes(graph: Graph) -> Graph:
    """The graph of `stabilise`; what was found out for other sizes is used."""
    return for_all_sizes("stabilise", graph, lambda g: stabilise(g).graph)  # type: ignore[no-any-return]


def optimise(graph: Graph, *, reassociate: bool = True) -> Optimised:
    """A graph that computes the same outputs from the same inputs with less work.

    Parameters
    ----------
    graph : any graph; derivatives must have been taken, since `stop_gradient` and custom rules
        are dropped
    reassociate : also apply rules that change rounding (sums and products in another order,
        numerically stable forms); without it results are the same to the bit

    Cost: linear in the number of entries, for each of at most `MOST_ROUNDS` rounds.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> found = optimise(wg.trace(lambda x: np.log(1.0 + np.exp(x)) * 1.0, 2.0))
    >>> [node.op.name for node in found.graph.nodes]
    ['input', 'softplus']
    >>> found.counts()
    {'log1p': 1, 'softplus': 1, 'mul-by-one': 1}
    """
    state = State(graph, list(range(len(graph))), [], reassociate)
    for step in PIPELINE:
        if not (step.repeated or step.last):
            state = step.run(state, step.name)
    repeated = [step for step in PIPELINE if step.repeated]
    for _ in range(MOST_ROUNDS):
        before = state.graph
        for step in repeated:
            state = step.run(state, step.name)
        if state.graph.structure == before.structure:
            break
    for step in PIPELINE:
        if step.last:
            state = step.run(state, step.name)
    return Optimised(state.graph, state.log, graph)
