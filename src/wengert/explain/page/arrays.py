"""What the page needs to compute with arrays: their elements, and both modes as programs.

The page evaluates the operators of the rule table on arrays, and has no table of derivatives.
Forward and reverse mode are graphs that continue the function's own, so they travel as further
instructions, one program per seeded input or output.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypedDict

import numpy as np

from wengert.errors import DerivativeError
from wengert.explain.facts import Facts
from wengert.explain.page.numbers import WireNumber, wire_number
from wengert.explain.page.programs import page_name, param_value
from wengert.explain.sweeps import forward_program, reverse_program, reverse_wanted
from wengert.graph import CONSTANT, INPUT, Graph

__all__ = ["MOST_NUMBERS", "MOST_SEEDS", "ArrayProgram", "ArraySweep", "make_arrays"]

#: Sweeps over arrays that travel with a page, at most so many outputs and inputs.
MOST_SEEDS = 8
#: Elements of all array inputs and constants of a graph that the page computes with.
MOST_NUMBERS = 20_000
#: Operators of a graph, and numbers and products of one evaluation, of such a graph.
_MOST_OPERATORS = 400
_MOST_WORK = 2_000_000

Instruction = list[Any]


class ArraySweep(TypedDict):
    """Instructions that continue the graph: the first, number `start`, is the seed.

    `code`: [operator, operands, params, shape, dtype], ["", elements, shape] for a constant, and
    null for what is not needed. `results`: [node, number of the value that belongs to it].
    """

    start: int
    code: list[Instruction | None]
    results: list[list[int]]


class ArrayProgram(TypedDict):
    """`elements`: of array inputs and constants by node, in C order; sweeps by input and output."""

    elements: dict[str, list[WireNumber]]
    forward: dict[str, ArraySweep]
    reverse: dict[str, ArraySweep]


def make_arrays(facts: Facts, outputs: Iterable[int]) -> ArrayProgram | None:
    """The programs of a graph on arrays; None where it is too large to be computed on a page."""
    graph = facts.graph
    leaves = [i for i, entry in enumerate(graph.entries) if entry[0] in (INPUT, CONSTANT)]
    numbers = sum(graph.type(i).size for i in leaves)
    if numbers > MOST_NUMBERS or len(facts.operators) > _MOST_OPERATORS:
        return None
    if _work(graph) > _MOST_WORK:
        return None
    elements = {str(i): _elements(facts.values[i]) for i in leaves if graph.type(i).shape}
    reverse = {}
    for output in outputs:
        program, reached = reverse_program(facts, output, reverse_wanted(facts))
        reverse[str(output)] = _sweep(graph, program, reached)
    forward = {}
    try:
        for source in facts.inputs[:MOST_SEEDS]:
            forward[str(source)] = _sweep(graph, *forward_program(facts, source))
    except DerivativeError:  # a custom_vjp that only reverse mode can use
        forward = {}
    return {"elements": elements, "forward": forward, "reverse": reverse}


def _work(graph: Graph) -> int:
    total = 0
    for op, operands, params, type_ in graph.entries:
        if isinstance(type_, tuple):
            continue
        products = 1
        if op.name == "contract":
            left, out = dict(params)["spec"].split(",")[0], dict(params)["spec"].split("->")[1]
            shape = graph.type(operands[0]).shape
            products = math.prod(n for c, n in zip(left, shape, strict=True) if c not in out)
        total += type_.size * products
    return total


def _elements(value: Any) -> list[WireNumber]:
    array = np.asarray(value)
    if array.dtype == np.float32:  # nine digits give it back
        return [wire_number(float(f"{x:.9g}")) for x in array.ravel()]
    return [wire_number(x) for x in array.ravel()]


def _sweep(graph: Graph, program: Graph, nodes: list[int]) -> ArraySweep:
    start = len(graph)
    live = program.live()
    code: list[Instruction | None] = []
    for i, (op, operands, params, type_) in enumerate(program.entries[start:], start):
        if op is INPUT:
            code.append(["seed"])
        elif not live[i] or isinstance(type_, tuple):
            code.append(None)
        elif op is CONSTANT:
            value = np.asarray(program.constants[i])
            code.append(["", _elements(value), list(value.shape)])
        else:
            settings = {key: param_value(value) for key, value in params}
            name = page_name(op, type_)
            code.append([name, list(operands), settings, list(type_.shape), str(type_.dtype)])
    results = [[node, k] for node, k in zip(nodes, program.outputs, strict=True)]
    return {"start": start, "code": code, "results": results}
