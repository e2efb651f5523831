"""Folding: the value of an entry whose operands are all constants, if it is small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.graph import Type, type_of
from wengert.ops import TABLE
from wengert.run import evaluate_entry

__all__ = ["fold"]

#: A folded constant has at most this many elements, or as many as its operands together.
_SMALL = 64
#: An entry whose value takes more work than this many element operations is left to run time.
_WORK = 1 << 22


def fold(op: Any, values: Sequence[Any], params: tuple[tuple[str, Any], ...], type_: Any) -> Any:
    """The value, or None where it is better left: repeated numbers, large results, errors.

    A broadcast stays a broadcast: writing it out would only cost memory.
    """
    if not isinstance(type_, Type) or op is TABLE["broadcast_to"]:
        return None
    total = sum(np.size(v) for v in values)
    if type_.size > max(_SMALL, total) or _work(op, values, type_) > _WORK:
        return None
    try:
        with np.errstate(all="ignore"):
            value = evaluate_entry(op, values, params)
    except (ValueError, TypeError, IndexError, ArithmeticError):
        return None  # the error belongs to the run, where the user sees it
    if type_of(value) is not type_:
        return None
    if isinstance(value, np.ndarray):
        value = np.ascontiguousarray(value) if value.ndim else value[()]
        if any(value is v or np.shares_memory(value, v) for v in values if np.ndim(v)):
            value = value.copy()
    return value


def _work(op: Any, values: Sequence[Any], type_: Type) -> int:
    sizes = [int(np.size(v)) for v in values]
    return max(sizes) * max(type_.size, 1) if op.family != "elementwise" else type_.size
