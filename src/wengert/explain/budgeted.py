"""What a derivative holds within a budget: predicted from the plan, and measured in a run."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.errors import ArgumentError
from wengert.explain.facts import Facts
from wengert.graph import Graph
from wengert.graph.tuples import NamedTuple
from wengert.run import run
from wengert.run.budget import Budget, parse_memory
from wengert.transform.control.joining import joined_loops
from wengert.transform.graphs import forward_graph, vjp_graph
from wengert.transform.memory.costs import graph_cost
from wengert.transform.memory.entries import fitted_graph, ordinary_peak
from wengert.transform.memory.loops import loops_within

__all__ = ["DERIVATIVES", "BudgetedMemory", "budgeted_memory"]

#: Derivatives whose memory is explained: reverse mode, forward mode, forward over reverse.
DERIVATIVES = ("vjp", "jvp", "hvp")


class BudgetedMemory(NamedTuple):
    """Bytes held at most beside the arguments, by one derivative of all results by all inputs.

    budget : the budget; None: as many as it needs
    predicted, measured : by the plan, and as NumPy allocated them in a run
    ordinary : predicted without a budget
    work : estimated work in multiples of that without a budget
    """

    budget: int | None
    predicted: int
    measured: int
    ordinary: int
    work: float

    def __str__(self) -> str:
        budget = "none" if self.budget is None else f"{self.budget:,}"
        return "\n".join(
            [
                f"{budget:>14}  bytes of budget",
                f"{self.predicted:>14,}  held at most, predicted",
                f"{self.measured:>14,}  held at most, measured",
                f"{self.ordinary:>14,}  held at most without a budget",
                f"{self.work:>14.3f}  times its work",
            ]
        )


def budgeted_memory(facts: Facts, memory: Budget | None, of: str) -> BudgetedMemory:
    """Plan a derivative of an explained function within a budget, run it and measure."""
    if of not in DERIVATIVES:
        raise ArgumentError(f"memory: of must be one of {DERIVATIVES}, not {of!r}")
    graph = facts.graph
    wrt = tuple(k for k, t in enumerate(graph.input_types) if t.is_float)
    seeded = tuple(k for k, t in enumerate(graph.output_types) if t.is_float)

    def derive(graph: Graph) -> Graph:
        found = graph if of == "jvp" else vjp_graph(graph, wrt, seeded)
        if of != "vjp":
            found = joined_loops(forward_graph(found, wrt).graph).graph
        return found

    derivative = derive(graph)
    ordinary = ordinary_peak(derivative)
    arguments = [np.asarray(facts.values[k]) for k in graph.inputs]
    arguments += [np.ones(t.shape, t.dtype) for t in derivative.input_types[len(arguments) :]]
    if memory is None:
        return BudgetedMemory(None, ordinary, _measured(derivative, arguments), ordinary, 1.0)
    budget = parse_memory(memory)
    cut = loops_within(graph, budget, derive)
    fitted = fitted_graph(derive(cut), budget)
    measured = _measured(fitted.graph, arguments)
    work = graph_cost(fitted.graph) / max(graph_cost(derivative), 1.0)
    return BudgetedMemory(budget, fitted.peak, measured, ordinary, work)


def _measured(graph: Graph, arguments: Sequence[Any]) -> int:
    """The peak of what NumPy allocates while the interpreter runs a graph."""
    run(graph, arguments)  # what is made once, such as the schedule, is not the derivative's
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        run(graph, arguments)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not was_tracing:
            tracemalloc.stop()
