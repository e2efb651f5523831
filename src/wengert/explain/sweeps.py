"""The two sweeps, step by step, over the edges of a graph.

Forward: one sweep per input, along the order of evaluation; each step multiplies the local partials
of one operator with the derivatives so far. Reverse: one sweep per output, from the result back;
each step hands the derivative by one operator on to its operands.

Where every partial is a number, the sweeps multiply those numbers. Where arrays are involved, the
same steps are taken by the operators' own rules (`wengert.transform`), from a seed of ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.errors import DerivativeError
from wengert.explain.facts import Edge, Facts
from wengert.graph import Graph
from wengert.graph.tuples import NamedTuple
from wengert.ops import zeros
from wengert.run import run
from wengert.transform.graphs import extend
from wengert.transform.sweeps import active_entries, pushforward_sweep, reverse_sweep

__all__ = [
    "Step",
    "Sweep",
    "Term",
    "adjoints",
    "forward_program",
    "forward_sweep",
    "reverse_program",
    "reverse_sweeps",
    "reverse_wanted",
    "tangents",
]


class Term(NamedTuple):
    """One product of a step: the partial on an edge times the derivative that it is applied to.

    In forward mode `carried` is the derivative of the edge's operand, in reverse mode the
    derivative by the edge's operator. Where the partial is a block of numbers, `product` is None.
    """

    edge: Edge
    carried: Any
    product: Any


class Step(NamedTuple):
    """What one step computes: the derivative of (forward) or by (reverse) value number `node`."""

    node: int
    terms: tuple[Term, ...]
    result: Any


class Sweep(NamedTuple):
    """One sweep: `seed` is the value number whose derivative is 1 at the start.

    In reverse mode a step belongs to an operand, and stands after the operator that completed it.
    """

    mode: str
    seed: int
    steps: tuple[Step, ...]
    results: dict[int, Any]

    def result(self, index: int) -> Any:
        """The derivative of or by a value; None where no path leads there."""
        return self.results.get(index)


def tangents(facts: Facts, seed: int) -> dict[int, Any]:
    """Forward mode: the derivative of every value by input `seed`; absent where zero by structure.

    An array input is seeded with ones: the derivative in the direction in which all grow alike.
    """
    if not facts.is_scalar:
        return _array_tangents(facts, seed)
    found: dict[int, Any] = {seed: np.float64(1.0)}
    with np.errstate(all="ignore"):
        for i in facts.operators:
            if i < seed:
                continue
            total = None
            for edge in facts.flowing(i):
                carried = found.get(edge.operand)
                if carried is not None:
                    product = edge.value * carried
                    total = product if total is None else total + product
            if total is not None:
                found[i] = total
    return found


def adjoints(facts: Facts, seed: int) -> dict[int, Any]:
    """Reverse mode: the derivative of output `seed` by every value; absent where zero by structure.

    An array output is seeded with ones: the derivative of the sum of its elements.
    """
    if not facts.is_scalar:
        return _array_adjoints(facts, seed)
    found: dict[int, Any] = {seed: np.float64(1.0)}
    upward = facts.upward
    with np.errstate(all="ignore"):
        for i in reversed(facts.operators):
            carried = found.get(i)
            if carried is None:
                continue
            for edge in facts.flowing(i):
                if upward[edge.operand]:
                    product = carried * edge.value
                    before = found.get(edge.operand)
                    found[edge.operand] = product if before is None else before + product
    return found


def forward_sweep(facts: Facts, seed: int) -> Sweep:
    """The forward sweep for input `seed`, step by step."""
    found = tangents(facts, seed)
    steps = []
    for i in facts.operators:
        if i in found:
            terms = tuple(
                Term(e, found[e.operand], _product(e, found[e.operand]))
                for e in facts.flowing(i)
                if e.operand in found
            )
            steps.append(Step(i, terms, found[i]))
    return Sweep("forward", seed, tuple(steps), found)


def reverse_sweeps(facts: Facts, seed: int) -> Sweep:
    """The reverse sweep for output `seed`, step by step: one step per operand that is complete."""
    found = adjoints(facts, seed)
    users: dict[int, list[Edge]] = {}
    complete_after: dict[int, list[int]] = {}
    for i in facts.operators:
        if i not in found:
            continue
        for e in facts.flowing(i):
            if e.operand in found:
                if e.operand not in users:
                    complete_after.setdefault(i, []).append(e.operand)
                users.setdefault(e.operand, []).append(e)
    steps = []
    for i in reversed(facts.operators):
        for k in complete_after.get(i, ()):
            edges = sorted(users[k], key=lambda e: -e.into)
            terms = tuple(Term(e, found[e.into], _product(e, found[e.into])) for e in edges)
            steps.append(Step(k, terms, found[k]))
    return Sweep("reverse", seed, tuple(steps), found)


def _product(edge: Edge, carried: Any) -> Any:
    if not edge.is_scalar or np.ndim(carried):
        return None
    with np.errstate(all="ignore"):
        return edge.value * carried


# ---------------------------------------------------------------- arrays


def _known(facts: Facts) -> dict[int, Any]:
    constants = facts.graph.constants
    return {i: v for i, v in enumerate(facts.values) if i not in constants}


def _ones(type_: Any) -> Any:
    return np.ones(type_.shape, type_.dtype)[()]


def _run_all(facts: Facts, graph: Graph, seed: Any) -> list[Any]:
    return run(graph, [*facts.arguments, seed], known=_known(facts))


def forward_program(facts: Facts, seed: int) -> tuple[Graph, list[int]]:
    """A graph whose last input is the tangent of input `seed` and whose outputs are tangents.

    Returns it with the value numbers that its outputs belong to.
    """
    graph = facts.graph
    tape = extend(graph)
    given = tape.input(graph.type(seed))
    made: dict[int, Any] = {seed: given}
    pushforward_sweep(graph.entries, lambda i: tape.handle(tape, i, graph.entries[i][3]), made)
    reached = facts.reaches(seed)
    kept = [i for i, t in made.items() if reached[i] and not isinstance(t, list)]
    return tape.graph([made[i]._index for i in kept]), kept


def _array_tangents(facts: Facts, seed: int) -> dict[int, Any]:
    program, kept = forward_program(facts, seed)
    return dict(zip(kept, _run_all(facts, program, _ones(facts.graph.type(seed))), strict=True))


def reverse_program(facts: Facts, seed: int, wanted: Sequence[int]) -> tuple[Graph, list[int]]:
    """A graph whose last input is the seed and whose outputs are the adjoints of the wanted values.

    Returns it with the value numbers that its outputs belong to.
    """
    graph = facts.graph
    tape = extend(graph)
    given = tape.input(graph.type(seed))
    env = [tape.handle(tape, i, entry[3]) for i, entry in enumerate(graph.entries)]
    active = active_entries(graph.entries, facts.inputs)
    seeds = {seed: [given]} if active[seed] else {}
    found = reverse_sweep(graph.entries, env, active, seeds, wanted)
    reached = [i for i in wanted if i in found]
    return tape.graph([found[i]._index for i in reached]), reached


def reverse_wanted(facts: Facts) -> list[int]:
    """The values whose adjoints a reverse sweep over arrays is asked for."""
    types = [entry[3] for entry in facts.graph.entries]
    return [i for i, t in enumerate(types) if not isinstance(t, tuple) and facts.upward[i]]


def _array_adjoints(facts: Facts, seed: int) -> dict[int, Any]:
    program, reached = reverse_program(facts, seed, reverse_wanted(facts))
    found = _run_all(facts, program, _ones(facts.graph.type(seed)))
    return dict(zip(reached, found, strict=True))


# ---------------------------------------------------------------- Jacobians

_MOST_SWEEPS = 64
_MOST_NUMBERS = 65536


def jacobian(facts: Facts, output: int, source: int) -> Any:
    """The derivative of an output by an input: shape of the output, then shape of the input.

    None if it would take more than 64 sweeps or hold more than 65,536 numbers.
    """
    y, x = facts.graph.type(output), facts.graph.type(source)
    if y.size * x.size > _MOST_NUMBERS or min(y.size, x.size) > _MOST_SWEEPS:
        return None
    if y.size <= x.size:
        return _by_rows(facts, output, source)
    try:
        columns = [_pushed(facts, output, source, e) for e in _basis(x)]
    except DerivativeError:  # a custom_vjp that only reverse mode can use
        if y.size > _MOST_SWEEPS:
            return None
        return _by_rows(facts, output, source)
    stacked = np.reshape(columns, (*x.shape, *y.shape))
    return np.moveaxis(stacked, range(x.ndim), range(-x.ndim, 0)) if x.ndim else stacked[()]


def _by_rows(facts: Facts, output: int, source: int) -> Any:
    y, x = facts.graph.type(output), facts.graph.type(source)
    program, reached = reverse_program(facts, output, [source])
    rows = [
        _run_all(facts, program, e)[0] if reached else np.zeros(x.shape, x.dtype) for e in _basis(y)
    ]
    return np.reshape(rows, (*y.shape, *x.shape))[()]


def _pushed(facts: Facts, output: int, source: int, direction: Any) -> Any:
    graph = facts.graph
    tape = extend(graph)
    made: dict[int, Any] = {source: tape.input(graph.type(source))}
    pushforward_sweep(graph.entries, lambda i: tape.handle(tape, i, graph.entries[i][3]), made)
    tangent = made.get(output)
    if tangent is None:
        tangent = zeros(tape, graph.type(output))
    return _run_all(facts, tape.graph([tangent._index]), direction)[0]


def _basis(type_: Any) -> list[Any]:
    found = []
    for k in range(type_.size):
        e = np.zeros(type_.size, type_.dtype)
        e[k] = 1
        found.append(e.reshape(type_.shape)[()])
    return found
