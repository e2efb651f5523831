"""All directions of a Jacobian: in one batched sweep, or within a budget in several.

A sweep over a part of the directions holds a part of the intermediate values. What does not depend
on the direction is handed on from the first part of the derivative, or computed for each sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from wengert.capture import Recorder
from wengert.errors import BudgetError
from wengert.graph import Graph, innermost
from wengert.graph.tuples import NamedTuple
from wengert.ops import TABLE
from wengert.run.budget import current_budget, within
from wengert.transform.batching import batch_graph
from wengert.transform.control.results import read
from wengert.transform.control.scanning import scan, scan_params
from wengert.transform.control.staging import Layout
from wengert.transform.graphs import Split
from wengert.transform.inline import apply_graph
from wengert.transform.memory.costs import type_bytes
from wengert.transform.memory.entries import fitted_graph, ordinary_peak

__all__ = ["Directions", "directions_within", "late_batched", "pushed_or_pulled"]

#: The most sweeps that the directions are divided into.
_MOST = 64


def pushed_or_pulled(
    late: Graph, residuals: Sequence[Any], seeds: Sequence[Any], held: int
) -> list[Any]:
    """The results of `late`, the linear part for all directions, for the unit directions of all
    `seeds`. Their first axis counts the directions. `held` bytes of the budget are taken."""
    arguments = [*residuals, *_basis(seeds)]
    budget = current_budget()
    if budget is None or innermost(arguments) is not None:
        return apply_graph(late, arguments)
    with within(max(1, budget - held)):
        return apply_graph(late, arguments)


def late_batched(late: Graph, seeds: Sequence[Any], sweeps: int = 1, room: int = 0) -> Graph:
    """The linear part of a derivative for all directions, in a number of sweeps.

    Its last inputs are the directions, which its outputs begin with too. With `room`, each of
    several sweeps is planned to hold no more bytes than that, if it can.
    """
    total = sum(t.size for t in seeds)
    flags = [False] * (len(late.inputs) - len(seeds)) + [True] * len(seeds)
    made = batch_graph(late, flags, total // sweeps, all_outputs=True).graph
    if sweeps == 1:
        return made
    if room:
        with suppress(BudgetError):
            made = fitted_graph(made, room).graph
    tape = Recorder()
    fixed = [tape.input(t) for t in late.input_types[: len(late.inputs) - len(seeds)]]
    directions = [tape.input(t.with_shape((total, *t.shape))) for t in seeds]
    grouped = [
        TABLE["reshape"](x, shape=(sweeps, total // sweeps, *x._type.shape[1:])) for x in directions
    ]
    layout = Layout(len(fixed), 0, len(grouped))
    found = read(scan(*fixed, *grouped, **scan_params(made, layout, sweeps)))
    joined = [TABLE["reshape"](y, shape=(total, *y._type.shape[2:])) for y in found]
    return tape.graph([y._index for y in joined])


class Directions(NamedTuple):
    """How the directions of a Jacobian are run.

    early : the first part of the derivative, whose residuals the second part takes; None where it
        takes the arguments of the function, and runs that again
    late : the second part, for all directions
    held : bytes of the residuals and the directions
    """

    early: Graph | None
    late: Graph
    held: int


def directions_within(parts: Split, graph: Graph, whole: Graph, seeds: Sequence[Any]) -> Directions:
    """How a Jacobian keeps to the budget that holds, if there is one.

    `parts` are the derivative of `graph` in two parts, `whole` is the same in one. The fewest
    sweeps that fit are taken; if none do, no residuals are handed on.
    """
    count = len(graph.outputs)
    total = sum(t.size for t in seeds)
    basis = sum([total * type_bytes(t) for t in seeds])
    handed = sum([type_bytes(t) for t in parts.early.output_types[count:]])
    budget = current_budget()
    if budget is None:
        return Directions(parts.early, late_batched(parts.late, seeds), handed + basis)
    numbers = [n for n in range(1, _MOST + 1) if total % n == 0]
    if ordinary_peak(parts.early) <= budget:
        for sweeps in numbers:
            late = late_batched(parts.late, seeds, sweeps)
            if basis + handed + ordinary_peak(late) <= budget:
                return Directions(parts.early, late, handed + basis)
    again = whole.with_outputs(whole.outputs[count:])
    room = budget - basis
    for sweeps in numbers:
        late = late_batched(again, seeds, sweeps)
        if ordinary_peak(late) <= room:
            return Directions(None, late, basis)
    results = sum([total * type_bytes(t) for t in again.output_types])
    for sweeps in numbers[1:]:
        late = late_batched(again, seeds, sweeps, max(0, room - results))
        if ordinary_peak(late) <= room:
            return Directions(None, late, basis)
    return Directions(None, late_batched(again, seeds), basis)


def _basis(seeds: Sequence[Any]) -> list[Any]:
    """The unit directions of all leaves together, as one batched array per leaf."""
    total = sum(t.size for t in seeds)
    found, at = [], 0
    for t in seeds:
        basis = np.zeros((total, t.size), t.dtype)
        basis[np.arange(at, at + t.size), np.arange(t.size)] = 1
        found.append(basis.reshape((total, *t.shape)))
        at += t.size
    return found
