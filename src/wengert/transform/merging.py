"""Loops that run the same steps run once.

A derivative runs a loop again to keep what it needs of each step (`staging`). Where the graph holds
the loop itself too, the second run gives all that the first gives: the first is replaced by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.graph import Entry, Graph

__all__ = ["merge_loops", "merged_entries"]


def merge_loops(graph: Graph) -> Graph:
    """`graph` with loops merged; every value keeps its number, and its type but for more results.

    A loop that was merged into an earlier one is left dead in its place.
    """
    entries, moved = merged_entries(graph.entries)
    if not moved:
        return graph
    return Graph(
        entries,
        graph.inputs,
        [moved.get(k, k) for k in graph.outputs],
        graph.constants,
        graph.lines,
        graph.names,
    )


def merged_entries(entries: Sequence[Entry]) -> tuple[list[Entry], dict[int, int]]:
    """The entries with loops merged, and for each that was merged the one that took its place."""
    found: list[Entry] = []
    moved: dict[int, int] = {}
    known: dict[Any, list[int]] = {}
    for i, (op, operands, params, type_) in enumerate(entries):
        if moved:
            operands = tuple([moved.get(k, k) for k in operands])
        found.append((op, operands, params, type_))
        if getattr(op, "name", "") != "scan":
            continue
        body = dict(params)["body"]
        key = (operands, tuple(p for p in params if p[0] != "body"))
        for k in known.setdefault(key, []):
            other = dict(found[k][2])["body"]
            if _extends(body, other):
                found[k] = (op, operands, params, type_)
                moved[i] = k
            elif _extends(other, body):
                moved[i] = k
            if i in moved:
                break
        else:
            known[key].append(i)
    return found, moved


def _extends(longer: Graph, shorter: Graph) -> bool:
    """Whether `longer` begins as `shorter` does, and gives its outputs first.

    A loop in `longer` may itself extend the one in its place.
    """
    size, count = len(shorter.entries), len(shorter.outputs)
    if (
        len(longer.entries) < size
        or longer.inputs != shorter.inputs
        or longer.outputs[:count] != shorter.outputs
    ):
        return False
    for own, other in zip(longer.entries, shorter.entries, strict=False):
        if own != other and not _extends_loop(own, other):
            return False
    constants = {k: v for k, v in longer.constants.items() if k < size}
    return Graph(shorter.entries, shorter.inputs, shorter.outputs, constants) == shorter


def _extends_loop(own: Entry, other: Entry) -> bool:
    op, operands, params, _ = own
    if getattr(op, "name", "") != "scan" or (op, operands) != other[:2]:
        return False
    more, less = dict(params), dict(other[2])
    return _extends(more.pop("body"), less.pop("body")) and more == less
