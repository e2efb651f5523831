"""The gradient of a recorded program in batches, where that pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wengert.batching.cost import pays
from wengert.batching.mode import current_mode
from wengert.batching.program import read_program
from wengert.batching.schedule import schedule
from wengert.batching.sweep import Sweep
from wengert.graph import Graph

__all__ = ["run_gradient"]

#: Entries below which a graph is not worth looking at.
_LEAST_ENTRIES = 64


def run_gradient(graph: Graph, arguments: Sequence[Any], wrt: Sequence[int]) -> list[Any] | None:
    """The outputs of a graph of arrays, then the cotangents of its inputs number `wrt`, for a
    cotangent of 1 for the first output. None: batching would not pay."""
    when, strategy = current_mode.get()
    if when == "never" or (len(graph) < _LEAST_ENTRIES and when != "always"):
        return None
    program = read_program(graph, [graph.inputs[k] for k in wrt])
    plan = schedule(program, strategy)
    if when != "always" and not pays(program, plan):
        return None
    leaves: dict[int, Any] = dict(zip(graph.inputs, arguments, strict=True))
    leaves.update(graph.constants)
    return evaluate(program, plan, leaves, [graph.inputs[k] for k in wrt])


def evaluate(program: Any, plan: Any, leaves: Mapping[int, Any], wrt: Sequence[int]) -> list[Any]:
    """Both sweeps: the outputs, then the cotangents of the leaves `wrt`."""
    sweep = Sweep(program, plan, leaves)
    sweep.forward()
    outputs = program.outputs
    results = [_own(sweep.value(v)) for v in outputs]
    sweep.backward(outputs[0])
    return results + [sweep.gradient(k) for k in wrt]


def _own(value: Any) -> Any:
    return value.copy() if value.ndim else value[()]
