"""The batches of a dynamic run as colours of an explanation's operators."""

from __future__ import annotations

from typing import Any

from wengert.batching.report import DynamicReport
from wengert.errors import ArgumentError
from wengert.graph import CONSTANT, INPUT, Graph

__all__ = ["schedule_of"]


def schedule_of(report: DynamicReport, graph: Graph) -> dict[str, Any]:
    """The batches that ran the operators of `graph`, in the form that pages take.

    Both graphs must be recordings of one function at arguments of one structure: their operators
    are matched in the order in which they were recorded.
    """
    ran, shown = _operators(report.graph), _operators(graph)
    if [report.graph.entries[k][0] for k in ran] != [graph.entries[k][0] for k in shown]:
        raise ArgumentError(
            f"to_html: the report is of a run of {len(ran)} operators, which are not the "
            f"{len(shown)} of this explanation",
            hint="explain the function that was differentiated, at the same arguments; a compiled "
            "function is one node of a dynamic run, but its operators are explained",
        )
    pairs = zip(ran, shown, strict=True)
    return {
        "batch": {there: report.batch_of[here] for here, there in pairs if here in report.batch_of},
        "names": [f"{batch.nodes} × {batch.operator}" for batch in report.batches],
    }


def _operators(graph: Graph) -> list[int]:
    live = graph.live()
    return [k for k, e in enumerate(graph.entries) if live[k] and e[0] not in (INPUT, CONSTANT)]
