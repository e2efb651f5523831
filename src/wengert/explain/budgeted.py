"""What reverse mode holds within a budget: predicted from the plan, and measured in a run."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from wengert.explain.facts import Facts
from wengert.graph import Graph
from wengert.run import run
from wengert.run.budget import Budget, parse_memory
from wengert.transform.graphs import vjp_graph
from wengert.transform.memory.entries import fitted_graph, ordinary_peak

__all__ = ["BudgetedMemory", "budgeted_memory"]


class BudgetedMemory(NamedTuple):
    """Bytes held at most beside the arguments, by reverse mode from all results to all inputs.

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


def budgeted_memory(facts: Facts, memory: Budget | None) -> BudgetedMemory:
    """Plan the derivative of an explained function within a budget, run it and measure."""
    graph = facts.graph
    wrt = tuple(k for k, t in enumerate(graph.input_types) if t.is_float)
    seeded = tuple(k for k, t in enumerate(graph.output_types) if t.is_float)
    derivative = vjp_graph(graph, wrt, seeded)
    arguments = [np.asarray(facts.values[k]) for k in graph.inputs]
    seeds = [np.ones(graph.output_types[k].shape, graph.output_types[k].dtype) for k in seeded]
    ordinary = ordinary_peak(derivative)
    if memory is None:
        return BudgetedMemory(
            None, ordinary, _measured(derivative, [*arguments, *seeds]), ordinary, 1.0
        )
    budget = parse_memory(memory)
    fitted = fitted_graph(derivative, budget)
    measured = _measured(fitted.graph, [*arguments, *seeds])
    return BudgetedMemory(budget, fitted.peak, measured, ordinary, fitted.work)


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
