"""What is known about a value from how it is made."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.graph import CONSTANT
from wengert.graph.sizes import decides

__all__ = ["is_moderate", "is_not_negative"]

#: Operators whose results are at least +0.0 or nan, whatever their operands.
_ALWAYS = frozenset({"exp", "exp2", "square", "absolute", "sigmoid", "softplus", "cosh", "hypot"})
#: Operators whose results are so if their operands are.
_PRESERVING = frozenset(
    {
        "add",
        "multiply",
        "divide",
        "reciprocal",
        "sqrt",
        "log1p",
        "maximum",
        "reduce_sum",
        "reduce_max",
        "reduce_min",
        "reshape",
        "broadcast_to",
        "transpose",
        "slice_index",
        "cumsum",
        "concatenate",
        "pad",
        "contract",
    }
)
#: How far back the question is followed.
_DEEPEST = 8


def is_not_negative(tape: Any, k: int, depth: int = _DEEPEST) -> bool:
    """Whether every element of value number `k` is at least +0.0, or nan."""
    op, operands, _, type_ = tape.entries[k]
    if op is CONSTANT:
        value = np.asarray(tape.constants[k])
        return bool(type_.is_float and value.size <= 1024 and not np.signbit(value).any())
    if op.name in _ALWAYS:
        return True
    if depth == 0 or not operands:
        return False
    if op.name in _PRESERVING:
        return all(is_not_negative(tape, j, depth - 1) for j in operands)
    if op.name == "where":
        return all(is_not_negative(tape, j, depth - 1) for j in operands[1:])
    return False


@decides
def is_moderate(value: Any) -> bool:
    """Whether a constant factor may be moved: it hardly matters for overflow."""
    return 2.0**-24 <= abs(float(value)) <= 2.0**24
