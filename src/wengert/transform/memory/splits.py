"""Derivatives in two parts within a budget: what is handed from the first part to the second."""

from __future__ import annotations

from wengert.graph import Graph
from wengert.run.budget import current_budget
from wengert.transform.graphs import Split
from wengert.transform.memory.costs import type_bytes
from wengert.transform.memory.entries import ordinary_peak

__all__ = ["split_within"]


def split_within(parts: Split, graph: Graph, whole: Graph) -> Split:
    """`parts`, or a split that hands on nothing but the arguments if a budget asks for it.

    `whole` is the derivative of `graph` in one part. Planned by itself, the second part then keeps
    to the budget, since nothing else is held while it runs.
    """
    budget = current_budget()
    if budget is None:
        return parts
    count = len(graph.outputs)
    handed = sum([type_bytes(t) for t in parts.early.output_types[count:]])
    if max(ordinary_peak(parts.early), handed + ordinary_peak(parts.late)) <= budget:
        return parts
    early = graph.with_outputs([*graph.outputs, *graph.inputs])
    return Split(early, whole.with_outputs(whole.outputs[count:]))
