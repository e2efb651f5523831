"""The gradient of a recorded program in batches, where that may pay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.batching.mode import current_mode
from wengert.graph import Graph

__all__ = ["run_gradient"]

#: Entries below which a graph is not worth looking at.
_LEAST_ENTRIES = 64


def run_gradient(graph: Graph, arguments: Sequence[Any], wrt: Sequence[int]) -> list[Any] | None:
    """The outputs of a graph of arrays, then the cotangents of its inputs number `wrt`, for a
    cotangent of 1 for the first output. None: batching would not pay."""
    mode = current_mode.get()
    if mode.when == "never" or (len(graph) < _LEAST_ENTRIES and mode.when != "always"):
        return None
    # A structure that comes again is the same graph: that it doesn't pay is found out once.
    refused = ("batching does not pay", mode.strategy, tuple(wrt))
    if mode.when != "always" and mode.reports is None and refused in graph.schedules:
        return None
    # What runs batches is loaded by programs that have some, not by `import wengert`.
    from wengert.batching.gradient import gradient_in_batches

    found = gradient_in_batches(graph, arguments, [graph.inputs[k] for k in wrt], mode)
    if found is None:
        graph.schedules[refused] = True
    return found
