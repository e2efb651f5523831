"""The interpreter: it runs a graph entry by entry with NumPy. It is the oracle for everything else.

A schedule, made once per graph, lists the entries that an output needs, and after each the values
that are not needed any more, so that memory is freed as early as the order of entries allows.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from wengert.graph import CONSTANT, INPUT, Graph

__all__ = ["evaluate_entry", "run"]

Step = tuple[int, Callable[..., Any], tuple[int, ...], Any, tuple[int, ...]]

# References to an array that only its slot held: the local variable and getrefcount's argument.
_ONLY_HERE = 2


def evaluate_entry(op: Any, values: Sequence[Any], params: tuple[tuple[str, Any], ...]) -> Any:
    """The value of one entry from the values of its operands."""
    return op.evaluate(*values, **dict(params))


def _schedule(graph: Graph) -> list[Step]:
    found = graph.schedules.get("interpreter")
    if found is not None:
        return found  # type: ignore[no-any-return]
    live = graph.live()
    kept = set(graph.outputs)
    last: dict[int, int] = {}
    for i, (_, operands, _, _) in enumerate(graph.entries):
        if live[i]:
            for k in operands:
                last[k] = i
    frees: dict[int, list[int]] = {}
    for k, i in last.items():
        if k not in kept:
            frees.setdefault(i, []).append(k)
    steps: list[Step] = []
    for i, (op, operands, params, _) in enumerate(graph.entries):
        if not live[i] or op is INPUT or op is CONSTANT:
            continue
        function = functools.partial(op.evaluate, **dict(params)) if params else op.evaluate
        done = tuple(frees.get(i, ()))
        in_place = None
        if op.in_place is not None and operands[0] in done and operands[0] not in operands[1:]:
            in_place = functools.partial(op.in_place, **dict(params))
        steps.append((i, function, operands, in_place, done))
    graph.schedules["interpreter"] = steps
    return steps


def run(graph: Graph, args: Sequence[Any], *, known: Mapping[int, Any] | None = None) -> list[Any]:
    """The outputs of `graph` for the given inputs.

    Parameters
    ----------
    args : one array or number per input
    known : values that have been computed already, by value number

    Floating-point warnings are off: inf and nan are values here.
    """
    env: list[Any] = [None] * len(graph.entries)
    for k, value in graph.constants.items():
        env[k] = value
    for k, value in zip(graph.inputs, args, strict=True):
        env[k] = value
    if known:
        for k, value in known.items():
            env[k] = value
    with np.errstate(all="ignore"):
        for index, function, operands, in_place, done in _schedule(graph):
            if env[index] is not None:
                continue
            if in_place is not None:
                first, env[operands[0]] = env[operands[0]], None
                owned = first.__class__ is np.ndarray and first.base is None
                if owned and sys.getrefcount(first) == _ONLY_HERE:
                    function = in_place
                env[index] = function(first, *[env[k] for k in operands[1:]])
                first = None
            else:
                env[index] = function(*[env[k] for k in operands])
            for k in done:
                env[k] = None
    return [env[k] for k in graph.outputs]
