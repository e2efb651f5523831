"""Entries as expressions, for the log."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from wengert.graph import CONSTANT
from wengert.graph.text import params_text
from wengert.optimise.terms import Term

__all__ = ["expression", "instance"]

#: How many levels of values that the user's graph does not have are written out.
_DEEPEST = 4


def expression(
    tape: Any, what: Any, written_out: Collection[int] = (), depth: int = _DEEPEST
) -> str:
    """A value number, or an application (op, operands, params), as text.

    Values of the user's graph are shown by their number there, except those in `written_out`;
    other values are written out, to a limited depth.
    """
    if isinstance(what, int):
        op, operands, params, type_ = tape.entries[what]
        if op is CONSTANT:
            return _number(tape.constants[what]) if not type_.shape else f"<{type_}>"
        known = tape.origin.get(what)
        if known is not None and what not in written_out:
            return f"%{known}"
        if depth < 0:
            return "…"
    else:
        op, operands, params = what
    return _applied(op, [expression(tape, k, written_out, depth - 1) for k in operands], params)


def instance(tape: Any, term: Term, env: dict[str, Any]) -> str:
    """A pattern with what its variables stand for, as text."""
    if term.kind == "number":
        return repr(term.value)
    if term.kind != "apply":
        return expression(tape, env[term.name])
    return _applied(term.op, [instance(tape, a, env) for a in term.args], term.params)


def _applied(op: Any, operands: list[str], params: Any) -> str:
    shown = params_text(params) if params else ""
    return f"{op.name}({', '.join(operands)}{'; ' + shown if shown else ''})"


def _number(value: Any) -> str:
    number = np.asarray(value)
    return f"{number:.9g}" if number.dtype.kind == "f" else repr(number.item())
