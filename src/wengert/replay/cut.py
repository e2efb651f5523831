"""A graph of which some values are known already, as a graph that takes them as inputs."""

from __future__ import annotations

from collections.abc import Iterable

from wengert.graph import CONSTANT, INPUT, Graph, Type

__all__ = ["cut"]


def cut(graph: Graph, known: Iterable[int]) -> tuple[Graph, list[int]]:
    """The graph with known values as further inputs, and which of them it needs, in that order.

    Entries keep their numbers; those that only the known values needed are dead.
    """
    entries = list(graph.entries)
    candidates = []
    for k in sorted(known):
        op, _, _, type_ = entries[k]
        if op is not INPUT and op is not CONSTANT and isinstance(type_, Type):
            entries[k] = (INPUT, (), (), type_)
            candidates.append(k)
    if not candidates:
        return graph, []
    live = Graph(entries, (), graph.outputs).live()
    taken = [k for k in candidates if live[k]]
    # An input that nothing needs must not be left undeclared: the entry stays as it was.
    for k in candidates:
        if not live[k]:
            entries[k] = graph.entries[k]
    made = Graph(entries, (*graph.inputs, *taken), graph.outputs, graph.constants, graph.lines)
    return made, taken
