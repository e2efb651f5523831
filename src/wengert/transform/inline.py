"""Applying a graph: running it on arrays, or recording its entries on a tape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from wengert.graph import CONSTANT, INPUT, Graph, Tape, innermost
from wengert.graph.sizes import is_watched
from wengert.run import run
from wengert.run.budget import current_budget
from wengert.transform.memory.entries import fitted_graph

__all__ = ["apply_graph", "inline", "runners"]

#: Other ways to run a graph on arrays, by name: functions of (graph, arguments, known values) and,
#: where one is binding, a budget, that return arrays of their own, or None to leave it to the
#: interpreter. `api` puts native replay
#: here, which comes later in the order of imports.
runners: dict[str, Callable[..., list[Any] | None]] = {}


def inline(
    tape: Any, graph: Graph, args: Sequence[Any], *, record: Callable[..., Any] | None = None
) -> list[Any]:
    """Record the entries that the outputs of `graph` need on `tape`; handles of the outputs.

    `record` is called in place of `tape.record`, with operator, operands and parameters.
    """
    tape.check_open()
    env: list[int] = [-1] * len(graph.entries)
    for k, arg in zip(graph.inputs, args, strict=True):
        env[k] = tape.index_of(arg)
    live = graph.live()
    if (
        record is None
        and type(tape).record is Tape.record
        and not is_watched()
        and all(tape.entries[env[k]][3] is graph.entries[k][3] for k in graph.inputs)
    ):
        tape.record_graph(graph, env, live)
        return [tape.handle(tape, env[k], tape.entries[env[k]][3]) for k in graph.outputs]
    record = record or tape.record
    for i, (op, operands, params, _) in enumerate(graph.entries):
        if not live[i] or op is INPUT:
            continue
        if op is CONSTANT:
            env[i] = tape.index_of(graph.constants[i])
        else:
            env[i] = record(op, tuple([env[k] for k in operands]), params)._index
    return [tape.handle(tape, env[k], tape.entries[env[k]][3]) for k in graph.outputs]


def apply_graph(
    graph: Graph, args: Sequence[Any], *, known: Mapping[int, Any] | None = None
) -> list[Any]:
    """The outputs of `graph`: handles if an argument is traced, else arrays of their own.

    A budget that holds here is kept to, or handed to the outermost tape: whoever runs what that one
    records keeps to it.
    """
    tape = innermost(args)
    budget = current_budget()
    if tape is not None:
        if budget is not None:
            tape.limit(budget)
        return inline(tape, graph, args)
    if budget is not None:
        fitted = fitted_graph(graph, budget).graph
        if fitted is not graph:
            if isinstance(known, dict):
                known.clear()  # these would be held beside the budget; they can be computed again
            found = _by_runner(graph, args, None, budget)
            return _interpreted(fitted, args, None) if found is None else found
    if known:
        # An entry with several results may have more of them in a derived graph (`merge_loops`).
        known = {k: value for k, value in known.items() if not isinstance(value, tuple)}
    found = _by_runner(graph, args, known)
    return _interpreted(graph, args, known) if found is None else found


def _by_runner(graph: Graph, *given: Any) -> list[Any] | None:
    for runner in runners.values():
        found = runner(graph, *given)
        if found is not None:
            return found
    return None


def _interpreted(graph: Graph, args: Sequence[Any], known: Mapping[int, Any] | None) -> list[Any]:
    outputs = run(graph, args, known=known)
    held = [
        a
        for a in (*args, *graph.constants.values(), *(known or {}).values())
        if isinstance(a, np.ndarray)
    ]
    return _owned(outputs, held)


def _owned(outputs: list[Any], held: list[Any]) -> list[Any]:
    # A result must be the caller's to change: neither read-only, nor repeated in memory, nor
    # sharing memory with an argument or with another result.
    taken = {id(_root(a)) for a in held}
    results: list[Any] = []
    for value in outputs:
        if isinstance(value, np.ndarray):
            if value.ndim == 0:
                value = value[()]
            elif not value.flags.writeable or 0 in value.strides or id(_root(value)) in taken:
                value = value.copy()
            if isinstance(value, np.ndarray):
                held.append(value)  # keeps it alive, so that its id stays its own
                taken.add(id(_root(value)))
        results.append(value)
    return results


def _root(array: Any) -> Any:
    # The object that owns the memory an array looks at.
    while getattr(array, "base", None) is not None:
        array = array.base
    return array
