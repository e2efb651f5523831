"""Graphs inside entries: calls are replaced by the function's entries, other bodies are optimised.

A function with a custom derivative is called by an entry; once derivatives have been taken, only
the function matters. What a checkpoint computes again is computed after the cotangent that it is
computed for (the operator `after`), or it would be found to be the same as before. Loops and
branches keep their bodies as parameters; the forward derivative of a loop of unknown length is
written as a loop, and a branch for each example of a batch as a choice between both results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wengert.graph import CONSTANT, INPUT, Graph
from wengert.ops import TABLE
from wengert.optimise.record import Record
from wengert.transform.control.branching import chosen_graph, cond_each
from wengert.transform.control.looping import forward_graph, while_loop
from wengert.transform.custom import custom_jvp_call, custom_vjp_call
from wengert.transform.memory.calls import checkpoint_call
from wengert.transform.memory.invertible import invertible_call

__all__ = ["has_calls", "inline_calls", "optimise_bodies"]

#: The operators that call a graph, and which parameter holds it.
_CALLS = {
    custom_jvp_call: "function",
    custom_vjp_call: "function",
    checkpoint_call: "body",
    invertible_call: "body",
}

_DERIVED = "derivatives have been taken"
_AGAIN = "what is computed again has its place in the order"
_TANGENTS = "tangents are carries of the loop"
_CHOSEN = "both branches run on the whole batch"


def has_calls(graph: Graph) -> bool:
    """Whether an entry calls a graph."""
    return any(_called(graph, i) is not None for i in range(len(graph.entries)))


def _called(graph: Graph, i: int) -> tuple[Graph, str] | None:
    """The graph that stands for an entry, and why it may take its place."""
    op, operands, params, _ = graph.entries[i]
    if op in _CALLS:
        is_function = _CALLS[op] == "function"
        return dict(params)[_CALLS[op]], _DERIVED if is_function else _AGAIN
    if op is while_loop or op is cond_each:
        types = [graph.entries[k][3] for k in operands]
        found = (forward_graph if op is while_loop else chosen_graph)(types, dict(params))
        return None if found is None else (found, _TANGENTS if op is while_loop else _CHOSEN)
    return None


def inline_calls(
    graph: Graph, origin: list[int], log: list[Record], stage: str
) -> tuple[Graph, list[int]]:
    """The graph with the entries of called functions in place of calls, one nesting per round.

    `origin` holds for each entry its number in the graph that the user gave, or -1; the new one
    is returned with the graph.
    """
    while has_calls(graph):
        graph, origin = _one_level(graph, origin, log, stage)
    return graph, origin


def _one_level(
    graph: Graph, origin: list[int], log: list[Record], stage: str
) -> tuple[Graph, list[int]]:
    entries: list[Any] = []
    constants: dict[int, Any] = {}
    lines: dict[int, str] = {}
    names: dict[int, str] = {}
    origins: list[int] = []
    where: list[int] = []
    results: dict[int, list[int]] = {}

    def append(entry: Any, from_: int, line: str) -> int:
        entries.append(entry)
        origins.append(from_)
        if line:
            lines[len(entries) - 1] = line
        return len(entries) - 1

    for i, (op, operands, params, type_) in enumerate(graph.entries):
        line = graph.lines.get(i, "")
        called = _called(graph, i)
        if called is not None:
            function, why = called
            own: list[int] = [-1] * len(function.entries)
            given = [where[k] for k in operands]
            if dict(params).get("delayed") and dict(params)["linear"]:
                given = _delayed(given, dict(params)["linear"], entries, append, line)
            for k, value in zip(function.inputs, given, strict=True):
                own[k] = value
            for j, (op2, operands2, params2, type2) in enumerate(function.entries):
                if op2 is INPUT:
                    continue
                own[j] = append((op2, tuple([own[k] for k in operands2]), params2, type2), -1, line)
                if op2 is CONSTANT:
                    constants[own[j]] = function.constants[j]
            results[i] = [own[k] for k in function.outputs]
            where.append(-1)
            log.append(
                Record(
                    stage,
                    "inline",
                    why,
                    "floats",
                    "kept",
                    line,
                    f"%{origin[i]} = {op.name}",
                    f"its {len(function)} entries",
                )
            )
        elif op is TABLE["project"] and operands[0] in results:
            where.append(results[operands[0]][dict(params)["number"]])
        else:
            n = append((op, tuple([where[k] for k in operands]), params, type_), origin[i], line)
            if op is CONSTANT:
                constants[n] = graph.constants[i]
            if i in graph.names:
                names[n] = graph.names[i]
            where.append(n)
    made = Graph(
        entries,
        [where[k] for k in graph.inputs],
        [where[k] for k in graph.outputs],
        constants,
        lines,
        names,
    )
    return made, origins


def _delayed(
    given: list[int],
    linear: tuple[int, ...],
    entries: list[Any],
    append: Callable[[Any, int, str], int],
    line: str,
) -> list[int]:
    """The operands of a call, those that are no cotangents to be read after the last of these."""
    last = max(given[k] for k in linear)
    found = []
    for k, value in enumerate(given):
        if k not in linear and entries[value][0] is not CONSTANT:
            type_ = entries[value][3]
            value = append((TABLE["after"], (value, last), (), type_), -1, line)
        found.append(value)
    return found


def optimise_bodies(
    graph: Graph,
    optimise: Callable[[Graph], tuple[Graph, list[Record]]],
    log: list[Record],
    stage: str,
) -> Graph:
    """The graph with every graph among its entries' parameters replaced by its optimised form."""
    entries = list(graph.entries)
    made: dict[int, Graph] = {}

    def better(value: Any, where: str) -> Any:
        if isinstance(value, tuple) and any(isinstance(v, Graph) for v in value):
            return tuple([better(v, where) for v in value])
        if not isinstance(value, Graph):
            return value
        if id(value) not in made:
            body, records = optimise(value)
            log.extend([r._replace(stage=f"{stage} of {where}") for r in records])
            made[id(value)] = body if len(body) < len(value) or records else value
        return made[id(value)]

    for i, (op, operands, params, type_) in enumerate(entries):
        if not params or op in _CALLS:
            continue
        new = tuple([(name, better(value, f"%{i}")) for name, value in params])
        if new != params and op.infer(tuple([entries[k][3] for k in operands]), new) == type_:
            entries[i] = (op, operands, new, type_)
    if not made:
        return graph
    return Graph(entries, graph.inputs, graph.outputs, graph.constants, graph.lines, graph.names)
