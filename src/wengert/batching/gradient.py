"""The gradient of a recorded program in batches: read, schedule, run forward and backward."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from wengert.batching.cost import estimates, pays
from wengert.batching.mode import Mode
from wengert.batching.program import read_program
from wengert.batching.report import report_of
from wengert.batching.schedule import schedule
from wengert.batching.sweep import Sweep
from wengert.batching.workspace import borrowed
from wengert.graph import Graph
from wengert.replay.recording import install

__all__ = ["gradient_in_batches"]

#: Entries from which recording is worth loading native code for.
_MANY_ENTRIES = 1000


def gradient_in_batches(
    graph: Graph, arguments: Sequence[Any], by: Sequence[int], mode: Mode
) -> list[Any] | None:
    """The outputs, then the cotangents of the entries `by`; None where the mode leaves it to the
    cost and batching would not pay."""
    clock = _Clock()
    program = read_program(graph, by)
    plan = schedule(program, mode.strategy)
    clock.stop("scheduling")
    reports = mode.reports
    if mode.when != "always" and not pays(program, plan):
        if reports is not None:
            reports.append(report_of(program, plan, [], estimates(program, plan)))
        return None
    if len(graph) >= _MANY_ENTRIES:
        install()  # recording the next one costs less
    leaves: dict[int, Any] = dict(zip(graph.inputs, arguments, strict=True))
    leaves.update(graph.constants)
    with borrowed() as space:
        sweep = Sweep(program, plan, leaves, space)
        clock.stop("placing")
        sweep.forward()
        results = [_own(sweep.value(v)) for v in program.outputs]
        clock.stop("forward")
        sweep.backward(program.outputs[0])
        results += [sweep.gradient(k) for k in by]
        clock.stop("backward")
    if reports is not None:
        made = report_of(program, plan, sweep.how(), estimates(program, plan))
        made.seconds, made.plans = clock.seconds, sweep.reuse()
        reports.append(made)
    return results


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stop(self, what: str) -> None:
        now = time.perf_counter()
        self.seconds[what], self._last = now - self._last, now


def _own(value: Any) -> Any:
    return value.copy() if value.ndim else value[()]
