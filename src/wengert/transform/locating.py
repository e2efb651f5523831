"""Errors of running a recorded graph, told of the line of user code that recorded the entry.

A graph runs when its function has returned, in a derived form, in batches or as native code: none
of these knows the line, and the frames of the error lead to the call of the derivative alone. So
after an error the graph itself is run once more by NumPy, entry by entry, up to the one that fails.
That changes nothing: entries are operators, not user code, and operands are never written to. Lines
are there for operators that can fail on operands of the right types (`Op.can_fail`), and for all
entries of compiled functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wengert.capture import Captured
from wengert.errors import located
from wengert.graph import Graph, Traced
from wengert.run import evaluate_entry
from wengert.run.budget import current_budget

__all__ = ["locating"]


class locating:
    """Context in which a derivative of a captured function runs."""

    __slots__ = ("captured",)

    def __init__(self, captured: Captured) -> None:
        self.captured = captured

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, MemoryError):
            captured = self.captured
            if current_budget() is None and not any(
                isinstance(a, Traced) for a in captured.arguments
            ):
                _fail(captured.graph, captured.arguments, captured.tape.origins or {})


def _fail(graph: Graph, args: Sequence[Any], lines: Mapping[int, str]) -> None:
    """Raise the error of the first entry that has one."""
    env = dict(graph.constants)
    env.update(zip(graph.inputs, args, strict=True))
    live = graph.live()
    with np.errstate(all="ignore"):
        for i, (op, operands, params, _) in enumerate(graph.entries):
            if not live[i] or i in env:
                continue
            values = [env[k] for k in operands]
            try:
                env[i] = evaluate_entry(op, values, params)
            except Exception as error:  # noqa: BLE001  raised again
                types = tuple([graph.type(k) for k in operands])
                for _, body in params:
                    if isinstance(body, Graph) and body.lines and body.input_types == types:
                        _fail(body, values, body.lines)
                raise located(error, op.name, lines.get(i, "")) from None
