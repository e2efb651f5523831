"""Local partials as programs: the rule of an operator, recorded once on symbolic operands.

The rule table holds one derivative rule per operator. Here it is applied to handles, and the few
entries that it records are the partial: they are evaluated for its number, printed for its formula,
and say which values it is computed from.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.capture import Recorder
from wengert.explain.expression import Algebra, Expression
from wengert.graph import CONSTANT, INPUT, Graph, Traced
from wengert.ops import MINUS_ONE, ONE, Masked
from wengert.run import run

__all__ = ["LocalPartial", "local_partial", "record_expressions"]


class LocalPartial:
    """The partial of an operator by one operand.

    Attributes
    ----------
    graph : inputs: the operator's result, then its operands; outputs: the partial and, where it is
        zero by structure on one side of a condition, that condition
    needs : positions in `graph.inputs` of the values it is computed from (0: the result)
    unit : 1 or -1 where the partial is known without computing, else None
    """

    __slots__ = ("graph", "is_masked", "needs", "unit")

    def __init__(self, graph: Graph, unit: int | None) -> None:
        self.graph = graph
        self.unit = unit
        self.is_masked = len(graph.outputs) == 2
        live = graph.live()
        self.needs = tuple(k for k, i in enumerate(graph.inputs) if live[i])

    def evaluate(self, y: Any, xs: Sequence[Any]) -> tuple[Any, Any]:
        """The partial's value, and its mask (None where it has none)."""
        if self.unit is not None and not self.is_masked:
            return np.asarray(y).dtype.type(self.unit), None
        found = run(self.graph, [y, *xs])
        return found[0], found[1] if self.is_masked else None

    def expression(
        self, algebra: Algebra, y: Expression, xs: Sequence[Expression], *, masked: bool = True
    ) -> Expression:
        """The formula, with formulas in place of result and operands.

        With `masked`, a condition becomes part of it; else only the value where it holds.
        """
        found = record_expressions(self.graph, algebra, [y, *xs])
        if not self.is_masked or not masked:
            return found[0]
        return algebra.select(found[1], found[0], algebra.zero)


def local_partial(
    op: Any, k: int, y_type: Any, types: tuple[Any, ...], params: tuple[tuple[str, Any], ...]
) -> LocalPartial | None:
    """The partial by operand k, or None where it is zero by structure.

    For elementwise operators of any shape, and for all others from a scalar to a scalar.
    """
    return _recorded(op, k, y_type, types, params)


@functools.lru_cache(maxsize=4096)
def _recorded(
    op: Any, k: int, y_type: Any, types: tuple[Any, ...], params: tuple[Any, ...]
) -> LocalPartial | None:
    if not types[k].is_float or not y_type.is_float:
        return None
    tape = Recorder()
    y = tape.input(y_type)
    xs = [tape.input(t) for t in types]
    if op.family == "elementwise":
        partial = op.partial(k, y, xs, dict(params))
    else:  # the tangent of a scalar for a tangent of 1 is the partial
        one = tape.constant(types[k].dtype.type(1))
        partial = op.pushforward(
            y, xs, [one if j == k else None for j in range(len(xs))], dict(params)
        )
    if partial is None:
        return None
    value, mask = partial if isinstance(partial, Masked) else (partial, None)
    unit = None
    if value is ONE or value is MINUS_ONE:
        unit = 1 if value is ONE else -1
        value = tape.constant(y_type.dtype.type(unit))
    outputs = [_index(tape, v) for v in (value, mask) if v is not None]
    return LocalPartial(tape.graph(outputs), unit)


def _index(tape: Recorder, value: Any) -> int:
    handle = value if isinstance(value, Traced) else tape.constant(np.asarray(value)[()])
    index: int = handle._index
    return index


def record_expressions(
    graph: Graph, algebra: Algebra, inputs: Sequence[Expression]
) -> list[Expression]:
    """The formulas of the outputs of a graph, from those of its inputs."""
    env: list[Any] = [None] * len(graph)
    for i, e in zip(graph.inputs, inputs, strict=True):
        env[i] = e
    live = graph.live()
    for i, (op, operands, params, type_) in enumerate(graph.entries):
        if not live[i] or op is INPUT:
            continue
        if op is CONSTANT:
            env[i] = constant_expression(algebra, graph.constants[i], i)
        else:
            env[i] = algebra.apply(
                op,
                [env[k] for k in operands],
                params,
                [shape_of(graph.entries[k][3]) for k in operands],
                shape_of(type_),
            )
    return [env[i] for i in graph.outputs]


def shape_of(type_: Any) -> tuple[int, ...]:
    """The shape of a type; values with several parts have none."""
    return () if isinstance(type_, tuple) else type_.shape


def constant_expression(algebra: Algebra, value: Any, index: int) -> Expression:
    """A constant's number; an array of constants is a name for it."""
    array = np.asarray(value)
    if array.ndim == 0:
        return algebra.number(array[()])
    if array.size and np.all(array == array.flat[0]) and array.flat[0] in (0, 1):
        return algebra.number(array.flat[0])
    return algebra.symbol(f"c{index}", f"c_{{{index}}}")
