"""What entries hold and take when NumPy computes them: the model that planning uses."""

from __future__ import annotations

import math
from typing import Any

from wengert.graph import CONSTANT, INPUT, Graph
from wengert.ops.random import BLOCK
from wengert.run.budget import VIEWS

__all__ = ["entry_cost", "graph_cost", "scratch_bytes", "type_bytes"]

#: What an entry takes beside its work, in the unit of one byte that is moved.
_CALL = 4000
#: Operations of a function such as `exp`, per element, in the same unit.
_FUNCTION = 40
_PLAIN = frozenset(
    {"add", "subtract", "multiply", "negative", "maximum", "minimum", "square", "absolute", "where"}
)


def type_bytes(type_: Any) -> int:
    """The bytes of a value, or of all values of an entry with several results."""
    if isinstance(type_, tuple):
        return sum(type_bytes(t) for t in type_)
    return int(type_.size * type_.dtype.itemsize)


def entry_cost(op: Any, types: tuple[Any, ...], params: Any, result: Any) -> float:
    """The work of an entry, in bytes moved."""
    if op is INPUT or op is CONSTANT or op.name in VIEWS:
        return 0.0
    moved = sum([type_bytes(t) for t in types]) + type_bytes(result)
    if op.name == "contract":
        return _CALL + moved + 0.5 * _products(dict(params)["spec"], types)
    bodies = [value for _, value in params if isinstance(value, Graph)]
    if bodies:
        known = dict(params)
        length = int(known.get("length", 1))
        if "back" in known:
            from wengert.transform.memory.schedules import advances

            again = advances(length, known["slots"]) * graph_cost(known["body"])
            return _CALL + moved + again + length * graph_cost(known["back"])
        return _CALL + moved + length * sum([graph_cost(body) for body in bodies])
    if op.family == "elementwise":
        return _CALL + moved + float(0 if op.name in _PLAIN else _FUNCTION * result.size)
    if op.name == "random_bits":
        return _CALL + float(2 * _FUNCTION * result.size)
    square = [t for t in types if getattr(t, "ndim", 0) >= 2]
    if op.family == "general" and square and not params:
        return _CALL + float(moved * max(t.shape[-1] for t in square))
    return _CALL + 2 * moved


def _products(spec: str, types: tuple[Any, ...]) -> int:
    sizes: dict[str, int] = {}
    for letters, type_ in zip(spec.split("->")[0].split(","), types, strict=True):
        sizes.update(zip(letters, type_.shape, strict=True))
    return math.prod(sizes.values())


def graph_cost(graph: Graph) -> float:
    """The work of all entries that an output needs."""
    entries, live = graph.entries, graph.live()
    return sum(
        [
            entry_cost(op, tuple([entries[k][3] for k in operands]), params, type_)
            for i, (op, operands, params, type_) in enumerate(entries)
            if live[i]
        ]
    )


def scratch_bytes(op: Any, types: tuple[Any, ...], params: Any, result: Any) -> int:
    """What NumPy holds beside operands and result while it computes an entry."""
    bodies = [value for _, value in params if isinstance(value, Graph)]
    if bodies:
        from wengert.transform.memory.entries import ordinary_peak, owned_peak, step_peak

        known = dict(params)
        if "carries" not in known:
            return max(ordinary_peak(body) for body in bodies)
        forward = step_peak(known["body"], known["consts"], known["carries"])
        if "back" not in known:
            return forward
        # States in slots, the first of which is an operand; then a step in either direction.
        first, count = known["consts"], known["carries"]
        state = sum([type_bytes(t) for t in known["body"].input_types[first : first + count]])
        last = first + count + known["elements"]
        owned = (*range(first, first + count), *range(last, last + known["backs"]))
        behind = owned_peak(known["back"], owned, known["backs"])
        return int((known["slots"] - 1) * state + max(forward + state, behind))
    if op.name == "random_bits":
        return 24 * min(int(result.size), BLOCK)
    if op.family == "elementwise" and op.name in _TWO_STEPS:
        return type_bytes(result)
    return 0


#: Elementwise operators that NumPy computes in steps, with an array in between.
_TWO_STEPS = frozenset(
    {"sigmoid", "softplus", "reciprocal", "relu", "gelu", "logaddexp", "unit_float"}
)
