"""Where batches may pay: for the gradient of a program, and for values read before it ends.

What runs them is loaded by programs that have some, not by `import wengert`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.batching.mode import current_mode
from wengert.graph import Graph

__all__ = ["compute_together", "run_gradient"]

#: Entries below which a graph is not worth looking at.
_LEAST_ENTRIES = 64
#: Needed entries from which batches are considered where no compiled function is among them.
_MANY_NEEDED = 64


def run_gradient(graph: Graph, arguments: Sequence[Any], wrt: Sequence[int]) -> list[Any] | None:
    """The outputs of a graph of arrays, then the cotangents of its inputs number `wrt`, for a
    cotangent of 1 for the first output. None: batching would not pay."""
    mode = current_mode.get()
    if mode.when == "never" or (len(graph.entries) < _LEAST_ENTRIES and mode.when != "always"):
        return None
    # A structure that comes again is the same graph: that it doesn't pay is found out once.
    refused = ("batching does not pay", mode.strategy, tuple(wrt))
    if mode.when != "always" and mode.reports is None and refused in graph.schedules:
        return None
    from wengert.batching.gradient import gradient_in_batches

    found = gradient_in_batches(graph, arguments, [graph.inputs[k] for k in wrt], mode)
    if found is None:
        graph.schedules[refused] = True
    return found


def compute_together(tape: Any, needed: Sequence[int], start: int) -> bool | None:
    """Compute the needed values of a tape and, from entry `start` on, others that go with them.

    Whether it was done; None: not even looked at. Uses of compiled functions are what batches make
    faster; single operators only where many are needed at once.
    """
    when = current_mode.get().when
    if when == "never":
        return False
    if (
        when != "always"
        and len(needed) < _MANY_NEEDED
        and not any(tape.entries[k][0].name == "call" for k in needed)
    ):
        return None
    from wengert.batching.reading import compute

    return compute(tape, needed, start, always=when == "always")
