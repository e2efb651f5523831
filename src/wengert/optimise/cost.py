"""Estimates of the work of a graph: floating-point operations, and bytes read and written.

An estimate follows from an operator's family and the types of its operands and result; it does
not know what is fused. Moving axes and repeating elements costs bytes only where it is not a view.
"""

from __future__ import annotations

import math
from typing import Any

from wengert.graph import CONSTANT, INPUT, Graph, Type
from wengert.graph.tuples import NamedTuple
from wengert.ops import TABLE
from wengert.optimise.contractions import letter_sizes

__all__ = ["Cost", "cost_table", "entry_cost", "graph_cost"]

#: Operators whose result is a view of their operand.
_VIEWS = frozenset({"reshape", "transpose", "broadcast_to", "stop_gradient", "project"})
#: Operators that move numbers without computing.
_COPIES = frozenset({"concatenate", "pad", "slice_index", "gather", "assign", "diagonal"})
#: Elementwise operators that are one instruction, or a few; others count `_FUNCTION`.
_SIMPLE = frozenset(
    {
        "add",
        "subtract",
        "multiply",
        "negative",
        "positive",
        "square",
        "absolute",
        "maximum",
        "minimum",
        "relu",
        "where",
        "cast",
        "sign",
        "floor",
        "ceil",
        "trunc",
        "rint",
        "copysign",
        "equal",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "logical_and",
        "logical_or",
        "logical_xor",
        "logical_not",
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "invert",
        "isnan",
        "isinf",
        "isfinite",
        "signbit",
        "divide",
        "reciprocal",
        "sqrt",
        "fmax",
        "fmin",
    }
)
_FUNCTION = 20


class Cost(NamedTuple):
    """Operations, and bytes that are read and written."""

    flops: int
    bytes: int

    def __add__(self, other: object) -> Cost:
        if not isinstance(other, Cost):
            return NotImplemented
        return Cost(self.flops + other.flops, self.bytes + other.bytes)

    def __str__(self) -> str:
        return f"{quantity(self.flops)}flop, {quantity(self.bytes)}B"


def quantity(count: int) -> str:
    """A count with a decimal prefix: 1.2 M."""
    for size, prefix in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {prefix}"
    return f"{count} "


def _bytes(type_: Any) -> int:
    if isinstance(type_, tuple):
        return sum(_bytes(t) for t in type_)
    return int(type_.size * type_.dtype.itemsize)


def _sizes(type_: Any) -> int:
    return sum(t.size for t in type_) if isinstance(type_, tuple) else type_.size


def entry_cost(op: Any, types: tuple[Any, ...], params: Any, result: Any) -> Cost:
    """The cost of one entry from the types of its operands and of its result."""
    if op is INPUT or op is CONSTANT or op.name in _VIEWS:
        return Cost(0, 0)
    moved = sum(_bytes(t) for t in types) + _bytes(result)
    if op.name in _COPIES:
        touched = _bytes(result) if op.name != "assign" else _bytes(types[1])
        return Cost(0, 2 * touched)
    return Cost(_flops(op, types, params, result), moved)


def _flops(op: Any, types: tuple[Any, ...], params: Any, result: Any) -> int:
    known = dict(params)
    if op is TABLE["contract"]:
        sizes = letter_sizes(known["spec"], types[0].shape, types[1].shape)
        return 2 * math.prod(sizes.values())
    if op.family == "elementwise":
        return _sizes(result) * (1 if op.name in _SIMPLE else _FUNCTION)
    bodies = [value for value in known.values() if isinstance(value, Graph)]
    if bodies:
        # A `while_loop` counts as one step: how many it takes is not known.
        return sum(graph_cost(body).flops for body in bodies) * int(known.get("length", 1))
    # Reductions, scans and scatters touch each element once; dense linear algebra takes a
    # multiple of its operand's size that grows with the last axis.
    largest = max([_sizes(t) for t in types], default=_sizes(result))
    square = [t for t in types if isinstance(t, Type) and t.ndim >= 2]
    solves = op.family == "general" and not known and bool(square)
    return largest * max(t.shape[-1] for t in square) if solves else largest


def graph_cost(graph: Graph) -> Cost:
    """The cost of all entries that an output needs."""
    return sum((cost for _, cost in _costs(graph)), Cost(0, 0))


def _costs(graph: Graph) -> list[tuple[int, Cost]]:
    entries, live = graph.entries, graph.live()
    return [
        (i, entry_cost(op, tuple([entries[k][3] for k in operands]), params, type_))
        for i, (op, operands, params, type_) in enumerate(entries)
        if live[i]
    ]


def cost_table(graph: Graph, *, most: int = 20) -> str:
    """The most expensive entries, by bytes and then operations, one line each, and the total."""
    ranked = sorted(_costs(graph), key=lambda pair: (-pair[1].bytes, -pair[1].flops, pair[0]))
    lines = []
    for i, cost in ranked[:most]:
        if cost.bytes or cost.flops:
            op, _, _, type_ = graph.entries[i]
            lines.append(f"%{i:<5} {op.name:<18} {type_!s:<18} {cost}")
    return "\n".join([*lines, f"total {len(ranked)} entries: {graph_cost(graph)}"])
