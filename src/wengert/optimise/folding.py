"""Folding: the value of an entry whose operands are all constants, if it is small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.graph import Type, type_of
from wengert.graph.sizes import NotSymbolicError, Number
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
    if any(type(v) is Number for v in values):
        return _later(op, values, params, type_)
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


def _later(op: Any, values: Sequence[Any], params: Any, type_: Type) -> Any:
    """The number that comes out where operands depend on sizes; it may stand for an array."""
    if op is TABLE["reshape"]:
        return values[0]
    if type_.shape or any(v.shape for v in values):
        raise NotSymbolicError

    def again(*values: Any) -> Any:
        return fold(op, values, params, type_)

    run = next(v.run for v in values if type(v) is Number)
    bits = [v.place if type(v) is Number else (v.dtype, v.tobytes()) for v in values]
    concrete = again(*[v.value if type(v) is Number else v for v in values])
    if concrete is None:
        raise NotSymbolicError
    return run.number(("fold", op, params, *bits), (again, tuple(values)), concrete)


def _work(op: Any, values: Sequence[Any], type_: Type) -> int:
    sizes = [int(np.size(v)) for v in values]
    return max(sizes) * max(type_.size, 1) if op.family != "elementwise" else type_.size
