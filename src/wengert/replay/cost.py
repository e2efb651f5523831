"""What compiling a graph costs, and what each run of it as native code saves; both in seconds.

Estimates from the graph alone, never measurements: whether two runs of a program compile the same
graphs at the same call must not depend on how busy the machine was. The constants were measured on
one core of a server; that they are right to a factor of two is enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wengert.graph import Graph, Type

__all__ = ["llvm_seconds", "planning_seconds", "saving_seconds"]

#: The interpreter's time per entry, beyond the arithmetic.
_DISPATCH = 0.8e-6
#: Per byte that an elementwise operator writes: a fused one keeps it in registers.
_MOVE = 0.15e-9
#: Optimising and planning, per entry.
_PLANNING = 80e-6
#: Compiling the body of a loop or a branch, per entry; it is compiled when it is planned.
_BODY = 1.5e-3
#: How often a body runs, where nobody knows.
_TURNS = 8
#: LLVM's time per module, per kernel, and per instruction of one: arithmetic or a function.
_MODULE, _KERNEL, _SIMPLE, _FUNCTION = 5e-3, 4e-3, 0.6e-3, 4.5e-3
#: Instructions that are one, or a few, of the processor's; others are polynomials of a page.
_ARITHMETIC = frozenset(
    {
        "add",
        "subtract",
        "multiply",
        "divide",
        "reciprocal",
        "negative",
        "square",
        "sqrt",
        "absolute",
        "maximum",
        "minimum",
        "relu",
        "where",
        "cast",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "equal",
        "not_equal",
        "row_sum",
        "row_max",
        "row_min",
    }
)


def saving_seconds(graph: Graph) -> float:
    """What one native run of `graph` saves."""
    total = 0.0
    live = graph.live()
    for needed, (op, operands, params, type_) in zip(live, graph.entries, strict=True):
        if needed and operands:
            total += _DISPATCH * (1 + _TURNS * sum(len(body) for body in _bodies(params)))
            if isinstance(type_, Type) and getattr(op, "family", "") == "elementwise":
                total += _MOVE * type_.size * type_.dtype.itemsize
    return total


def planning_seconds(graph: Graph) -> float:
    """What optimising and planning cost; LLVM counts for the bodies of loops and branches."""
    inner = sum(len(body) for _, _, params, _ in graph.entries for body in _bodies(params))
    return _PLANNING * len(graph) + _BODY * inner


def _bodies(params: Any) -> list[Graph]:
    return [value for _, value in params if isinstance(value, Graph)]


def llvm_seconds(specs: Iterable[Any]) -> float:
    """What compiling these kernels costs: nothing if there are none."""
    total = 0.0
    for spec in specs:
        total += _KERNEL
        for instruction in getattr(spec, "body", ()):
            total += _SIMPLE if instruction.name in _ARITHMETIC else _FUNCTION
    return total + _MODULE if total else 0.0
