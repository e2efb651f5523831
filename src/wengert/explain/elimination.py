"""What each order of accumulation costs: multiplications counted, and times measured."""

from __future__ import annotations

import functools
import math
import time
from typing import Any

import numpy as np

from wengert.capture import capture
from wengert.explain.facts import Facts
from wengert.explain.tables import columns
from wengert.graph import Graph, type_of
from wengert.graph.tuples import NamedTuple
from wengert.optimise import optimise, stabilise
from wengert.plan import Executable, make_plan
from wengert.transform import jacobian
from wengert.transform.batching import batch_graph
from wengert.transform.elimination import Candidate, choose
from wengert.transform.inline import apply_graph

__all__ = ["Elimination", "Way"]

#: Points at which a Jacobian is taken in one call when it is timed, and rounds of timing.
_BATCH, _ROUNDS = 4096, 9
#: Numbers that the results of such a call may have; larger Jacobians are timed one by one, and
#: those beyond the second number are not timed.
_MOST_NUMBERS, _MOST_TIMED = 300_000, 20_000_000


class Way(NamedTuple):
    """One way to accumulate the Jacobian.

    mode, order : as `jacobian` takes them
    multiplications : of partials with each other, ±1 left out
    seconds : measured per Jacobian, compiled; None where it was not measured, as for Jacobians of
        more than 20 million numbers
    """

    mode: str
    order: str | None
    multiplications: int
    seconds: float | None

    @property
    def name(self) -> str:
        """Mode and order."""
        return f"{self.mode}, {self.order}" if self.order else self.mode


class Elimination:
    """The orders in which a Jacobian can be accumulated, beside pure forward and reverse mode.

    Attributes
    ----------
    ways : list of `Way`: forward and reverse mode first, then what else there is
    chosen : the one that `jacobian(mode="auto")` takes in a compiled function
    batch : how many points a timed call took, so that the call itself weighs little
    """

    def __init__(self, facts: Facts, measure: bool) -> None:
        self._facts = facts
        self._leaves = [np.asarray(facts.values[i]) for i in facts.inputs]
        graph = self._own_graph
        wrt, outs = tuple(range(len(self._leaves))), tuple(range(len(graph.outputs)))
        choice = choose(graph, wrt, outs, "compiled")
        width = sum(a.size for a in self._leaves)
        numbers = width * sum(t.size for t in graph.output_types)
        self.batch = max(1, min(_BATCH, _MOST_NUMBERS // max(1, numbers)))
        first = ("forward", "reverse")
        ranked = sorted(
            choice.candidates, key=lambda c: first.index(c.mode) if c.mode in first else len(first)
        )
        measure = measure and numbers <= _MOST_TIMED
        timed = self._measured(ranked) if measure else [None] * len(ranked)
        self.ways = [
            Way(c.mode, c.order or None, c.multiplications, seconds)
            for c, seconds in zip(ranked, timed, strict=True)
        ]
        self.chosen = self.ways[ranked.index(choice.chosen)]

    @functools.cached_property
    def _own_graph(self) -> Graph:
        """The function as a graph of its float inputs and results alone."""
        facts = self._facts
        graph = facts.graph
        floats = [o.index for o in facts.outputs if graph.type(o.index).is_float]
        given = dict(zip(facts.inputs, range(len(facts.inputs)), strict=True))

        def f(*leaves: Any) -> tuple[Any, ...]:
            args = [
                leaves[given[i]] if i in given else np.asarray(facts.values[i])
                for i in graph.inputs
            ]
            return tuple(apply_graph(graph.with_outputs(floats), args))

        self._function = f
        return self._captured(f)

    def _captured(self, f: Any) -> Graph:
        captured = capture(
            f,
            self._leaves,
            {},
            traced=range(len(self._leaves)),
            purpose="explain",
            lift=False,
            types_only=lambda position, number, leaf: type_of(leaf),
            prepare=lambda graph: stabilise(graph).graph,
        )
        return stabilise(captured.graph).graph

    def _measured(self, candidates: list[Candidate]) -> list[float]:
        """Seconds per Jacobian of each, timed in turn; the best of some rounds."""
        argnums = tuple(range(len(self._leaves)))
        prepared = []
        for c in candidates:
            graph = self._captured(jacobian(self._function, argnums, c.mode, order=c.order or None))
            args = self._leaves
            if self.batch > 1:
                batched = [True] * len(graph.inputs)
                graph = batch_graph(graph, batched, self.batch, all_outputs=True).graph
                args = [np.repeat(a[None], self.batch, 0) for a in args]
            prepared.append((Executable(make_plan(optimise(graph).graph)), args))
        best = [math.inf] * len(prepared)
        for _ in range(_ROUNDS):
            for k, (run, args) in enumerate(prepared):
                start = time.perf_counter()
                run(args)
                best[k] = min(best[k], (time.perf_counter() - start) / self.batch)
        return best

    def __str__(self) -> str:
        facts = self._facts
        header = ["order of accumulation", "multiplications", "time"]
        rows: list[tuple[str, ...]] = [tuple(header)]
        for way in self.ways:
            chosen = "  <- chosen" if way is self.chosen else ""
            rows.append((way.name, str(way.multiplications), _duration(way.seconds) + chosen))
        if self.chosen.seconds is None:
            rows = [(a, b + ("  <- chosen" if "chosen" in c else "")) for a, b, c in rows]
        sizes = (
            sum(a.size for a in self._leaves),
            sum(
                facts.graph.type(o.index).size
                for o in facts.outputs
                if facts.graph.type(o.index).is_float
            ),
        )
        title = f"Jacobian of {facts.function}: {sizes[1]} by {sizes[0]} numbers"
        return "\n".join([title, *columns(rows, indent=2)])

    def __repr__(self) -> str:
        return f"<Elimination: {len(self.ways)} ways, chosen {self.chosen.name}>"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
