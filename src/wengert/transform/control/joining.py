"""Loops of which one reads, step by step, what the other has just made run as one loop.

Forward mode runs a loop, keeping what the tangents need of each step, and then the loop of the
tangents. As one loop they keep nothing: the tangents run along with the values. The same holds for
any two loops of the same length and direction, if the second needs the first for its elements
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.capture import Recorder
from wengert.graph import CONSTANT, INPUT, Entry, Graph
from wengert.graph.tuples import NamedTuple
from wengert.ops import TABLE
from wengert.transform.control.results import read
from wengert.transform.control.scanning import layout_of, scan, scan_params
from wengert.transform.control.staging import Layout
from wengert.transform.inline import inline
from wengert.transform.memo import remembered

__all__ = ["Joined", "joined_loops"]


class Joined(NamedTuple):
    """A graph with loops joined.

    origin : per entry its number in the given graph; -1 for new ones
    pairs : the loops that were joined, in pairs of entries of the given graph or -1
    """

    graph: Graph
    origin: list[int]
    pairs: list[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.graph)


def joined_loops(graph: Graph) -> Joined:
    """`graph` with loops joined; the graph itself where there are none to join."""
    if sum(entry[0] is scan for entry in graph.entries) < 2:
        return Joined(graph, list(range(len(graph))), [])
    return remembered("joined", graph, make=lambda: _joined(graph))  # type: ignore[no-any-return]


def _joined(graph: Graph) -> Joined:
    origin, pairs = list(range(len(graph))), []
    while (pair := _pair(graph)) is not None:
        pairs.append((origin[pair[0]], origin[pair[1]]))
        graph, where = _join(graph, *pair)
        new = [-1] * len(graph)
        for i, k in where.items():
            new[k] = origin[i]
        origin = new
    return Joined(graph, origin, pairs)


def _pair(graph: Graph) -> tuple[int, int] | None:
    """The first loop that can be joined with one before it, and that one: the latest such."""
    entries, live = graph.entries, graph.live()
    for second, (op, operands, params, _) in enumerate(entries):
        if op is not scan or not live[second]:
            continue
        layout = layout_of(dict(params), len(operands))
        consts, carries, elements = layout.parts(operands)
        makers = {entries[k][1][0] for k in elements if _is_project(entries[k])}
        for first in sorted(makers, reverse=True):
            if _joinable(graph, first, second, [*consts, *carries], elements):
                return first, second
    return None


def _is_project(entry: Entry) -> bool:
    return entry[0] is TABLE["project"]


def _joinable(
    graph: Graph, first: int, second: int, fixed: Sequence[int], elements: Sequence[int]
) -> bool:
    entries = graph.entries
    if entries[first][0] is not scan:
        return False
    own, other = dict(entries[first][2]), dict(entries[second][2])
    if (own["length"], own["reverse"]) != (other["length"], other["reverse"]):
        return False
    after = {first}
    stacked: set[int] = set()
    for i in range(first + 1, second):
        _, operands, params, _ = entries[i]
        if any(k in after for k in operands):
            after.add(i)
            is_stacked = operands[0] == first and _is_project(entries[i])
            if is_stacked and dict(params)["number"] >= own["carries"]:
                stacked.add(i)
    return all(k not in after for k in fixed) and all(
        k not in after or k in stacked for k in elements
    )


def _join(graph: Graph, first: int, second: int) -> tuple[Graph, dict[int, int]]:
    """The graph with two loops as one, and where it has the other entries."""
    entries, live, outputs = graph.entries, graph.live(), set(graph.outputs)
    users = graph.users()
    wanted: list[tuple[int, int]] = []  # (loop, number of a result) that anything else reads
    for i, (_, operands, params, _) in enumerate(entries):
        if not live[i] or not _is_project(entries[i]) or operands[0] not in (first, second):
            continue
        if i in outputs or any(live[k] and k != second for k in users[i]):
            wanted.append((operands[0], dict(params)["number"]))
    tape = Recorder()
    tape.lines = None
    where: dict[int, int] = {}
    lines: dict[int, str] = {}
    results: dict[tuple[int, int], int] = {}

    def write(i: int) -> None:
        op, operands, params, type_ = entries[i]
        if op is INPUT:
            where[i] = tape.input(type_, graph.names.get(i))._index
        elif op is CONSTANT:
            where[i] = tape._append_leaf(CONSTANT, type_)
            tape.constants[where[i]] = graph.constants[i]
        elif not live[i]:
            return
        elif operands and operands[0] in (first, second):
            key = (operands[0], dict(params)["number"])
            if key in results:
                where[i] = results[key]
        else:
            where[i] = tape.record(op, tuple([where[k] for k in operands]), params)._index
        if i in where and i in graph.lines:
            lines[where[i]] = graph.lines[i]

    after = {first}
    waiting: list[int] = []
    for i, entry in enumerate(entries):
        if i == second:
            results.update(_both(graph, tape, where, first, second, wanted))
            for k in waiting:
                write(k)
        elif i != first and i < second and any(k in after for k in entry[1]):
            after.add(i)
            waiting.append(i)
        elif i != first:
            write(i)
    tape.lines = lines
    made = tape.graph([where[k] for k in graph.outputs], [where[k] for k in graph.inputs])
    return made, where


def _both(
    graph: Graph,
    tape: Recorder,
    where: dict[int, int],
    first: int,
    second: int,
    wanted: Sequence[tuple[int, int]],
) -> dict[tuple[int, int], int]:
    """Record the two loops as one; where the results are: (loop, number) -> value number."""
    entries = graph.entries
    params = {k: dict(entries[k][2]) for k in (first, second)}
    layouts = {k: layout_of(params[k], len(entries[k][1])) for k in (first, second)}
    mine = layouts[first].parts(entries[first][1])
    theirs = layouts[second].parts(entries[second][1])
    handed = {
        k: dict(entries[k][2])["number"]
        for k in theirs[2]
        if _is_project(entries[k]) and entries[k][1][0] == first
    }
    own = [k for k in dict.fromkeys(theirs[2]) if k not in handed]
    body = Recorder()
    body.lines = None
    groups = mine[0], theirs[0], mine[1], theirs[1]
    given = [[body.input(graph.type(k)) for k in group] for group in groups]
    stacks = [[body.input(_element(graph.type(k))) for k in group] for group in (mine[2], own)]
    found = inline(body, params[first]["body"], [*given[0], *given[2], *stacks[0]])
    steps = {**dict(zip(own, stacks[1], strict=True)), **{k: found[n] for k, n in handed.items()}}
    other = inline(
        body, params[second]["body"], [*given[1], *given[3], *[steps[k] for k in theirs[2]]]
    )
    values = {first: found, second: other}
    carries = [(k, n) for k in (first, second) for n in range(layouts[k].carries)]
    order = [*carries, *sorted({key for key in wanted if key[1] >= layouts[key[0]].carries})]
    made = body.graph([values[k][n]._index for k, n in order])
    layout = Layout(len(given[0]) + len(given[1]), len(carries), len(stacks[0]) + len(stacks[1]))
    operands = [where[k] for group in (*groups, mine[2], own) for k in group]
    known = scan_params(made, layout, params[first]["length"], reverse=params[first]["reverse"])
    entry = tape.record(scan, tuple(operands), tuple(sorted(known.items())))
    return {key: h._index for key, h in zip(order, read(entry), strict=True)}


def _element(type_: Any) -> Any:
    return type_.with_shape(type_.shape[1:])
