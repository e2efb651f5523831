"""Derivatives as graphs: functions from a graph to the graph of its derivative.

Each keeps the entries of the given graph at their numbers and appends to them, so that values that
are already known can be used, and remembers its result by the structure of what it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wengert.capture import Recorder
from wengert.errors import DerivativeError
from wengert.graph import CONSTANT, INPUT, Entry, Graph
from wengert.graph.tuples import NamedTuple
from wengert.ops import zeros
from wengert.transform.memo import remembered
from wengert.transform.merging import merge_loops
from wengert.transform.sweeps import (
    active_entries,
    pushforward_sweep,
    reverse_sweep,
    transpose_onto,
)

__all__ = [
    "Ordered",
    "Split",
    "extend",
    "forward_graph",
    "jvp_graph",
    "linearize_graph",
    "pullback_graph",
    "split_graph",
    "transpose_graph",
    "vjp_graph",
]


def extend(graph: Graph) -> Recorder:
    """A tape that begins with the entries of `graph`, at the same numbers."""
    tape = Recorder()
    tape.entries = list(graph.entries)
    tape.inputs = list(graph.inputs)
    tape.constants = dict(graph.constants)
    tape.names = dict(graph.names)
    return tape


def _handles(tape: Recorder) -> Callable[[int], Any]:
    make, entries = tape.handle, tape.entries
    return lambda i: make(tape, i, entries[i][3])


def jvp_graph(graph: Graph, wrt: tuple[int, ...]) -> Graph:
    """Inputs: those of `graph`, then a tangent for each input number in `wrt` (positions in
    `graph.inputs`). Outputs: those of `graph`, then the tangent of each float output."""

    def make() -> Graph:
        tape = extend(graph)
        handle = _handles(tape)
        tangents = {}
        for k in wrt:
            index = graph.inputs[k]
            tangents[index] = tape.input(graph.entries[index][3])
        pushforward_sweep(graph.entries, handle, tangents)
        outputs = list(graph.outputs)
        for k in graph.outputs:
            type_ = graph.entries[k][3]
            if type_.is_float:
                t = tangents.get(k)
                outputs.append((zeros(tape, type_) if t is None else t)._index)
        return merge_loops(tape.graph(outputs))

    return remembered("jvp", graph, wrt, make=make)  # type: ignore[no-any-return]


class Ordered(NamedTuple):
    """A graph in another order, and where it has the values of the original one."""

    graph: Graph
    places: list[int]

    def __len__(self) -> int:
        return len(self.graph)


def forward_graph(graph: Graph, wrt: tuple[int, ...]) -> Ordered:
    """`jvp_graph` in the order in which forward mode needs no memory of its own: each value is
    followed by its tangent, and what no later one needs is gone."""

    def make() -> Ordered:
        tape = extend(graph)
        count = len(graph.entries)
        tangents = {graph.inputs[k]: tape.input(graph.type(graph.inputs[k])) for k in wrt}
        order: list[int] = []
        done = count

        def before(i: int) -> None:
            nonlocal done
            order.extend(range(done, len(tape.entries)))
            done = len(tape.entries)
            order.append(i)

        pushforward_sweep(graph.entries, _handles(tape), tangents, before)
        _share_primals(tape.entries, order, count)
        found = [(k, tangents.get(k)) for k in graph.outputs if graph.type(k).is_float]
        dots = [(zeros(tape, graph.type(k)) if t is None else t)._index for k, t in found]
        order.extend(range(done, len(tape.entries)))
        made = merge_loops(tape.graph([*graph.outputs, *dots]))
        places = [0] * len(order)
        for at, i in enumerate(order):
            places[i] = at
        return Ordered(_in_order(made, order, places), places[:count])

    return remembered("forward", graph, wrt, make=make)  # type: ignore[no-any-return]


def _share_primals(entries: list[Entry], order: Sequence[int], count: int) -> None:
    """Read the results of a loop from the loop of its pairs of value and tangent, where there is
    one: both have them. The first `count` entries are those of the function."""
    places = {i: at for at, i in enumerate(order)}
    for i, (op, _, params, _) in enumerate(entries[:count]):
        if not hasattr(op, "primal_results"):
            continue
        at = places[i] + 1
        while at < len(order) and order[at] >= count and entries[order[at]][0] is not op:
            at += 1
        if at == len(order) or order[at] < count:
            continue
        joint = order[at]
        where = op.primal_results(dict(params), dict(entries[joint][2]))
        for k, (reader, operands, own, type_) in enumerate(entries):
            if k != joint and operands and operands[0] == i and reader.name == "project":
                number = where[dict(own)["number"]]
                entries[k] = (reader, (joint,), (("number", number),), type_)


def _in_order(graph: Graph, order: Sequence[int], places: Sequence[int]) -> Graph:
    entries = []
    for i in order:
        op, operands, params, type_ = graph.entries[i]
        entries.append((op, tuple([places[k] for k in operands]), params, type_))
    return Graph(
        entries,
        [places[k] for k in graph.inputs],
        [places[k] for k in graph.outputs],
        {places[k]: value for k, value in graph.constants.items()},
        {places[k]: line for k, line in graph.lines.items()},
        {places[k]: name for k, name in graph.names.items()},
    )


def vjp_graph(
    graph: Graph, wrt: tuple[int, ...], seeded: tuple[int, ...], *, one: bool = False
) -> Graph:
    """Reverse mode.

    Inputs: those of `graph`, then a cotangent for each output number in `seeded` (with `one`, the
    only seed is 1 and no input). Outputs: those of `graph`, then the cotangent of each input
    number in `wrt`.
    """

    def make() -> Graph:
        tape = extend(graph)
        handle = _handles(tape)
        seeds: dict[int, list[Any]] = {}
        for k in seeded:
            index = graph.outputs[k]
            type_ = graph.entries[index][3]
            seed = tape.constant(type_.dtype.type(1)) if one else tape.input(type_)
            seeds.setdefault(index, []).append(seed)
        inputs = [graph.inputs[k] for k in wrt]
        active = active_entries(graph.entries, inputs)
        env = [handle(i) for i in range(len(graph.entries))]
        seeds = {k: v for k, v in seeds.items() if active[k]}
        found = reverse_sweep(graph.entries, env, active, seeds, inputs)
        outputs = list(graph.outputs)
        for k in inputs:
            ct = found.get(k)
            outputs.append((zeros(tape, graph.entries[k][3]) if ct is None else ct)._index)
        return merge_loops(tape.graph(outputs))

    return remembered("vjp", graph, wrt, seeded, one, make=make)  # type: ignore[no-any-return]


class Split:
    """A graph in two parts: what can be computed early, and what must wait for late inputs.

    early : inputs: the early inputs; outputs: the early outputs, then the residuals
    late : inputs: the residuals, then the late inputs; outputs: the late outputs
    """

    def __init__(self, early: Graph, late: Graph) -> None:
        self.early = early
        self.late = late

    def __len__(self) -> int:
        return len(self.early) + len(self.late)


def split_graph(graph: Graph, early_inputs: int, early_outputs: int) -> Split:
    """Split a graph whose first inputs and outputs are early, and whose others are late.

    Entries keep their numbers in the early part as far as no late input comes before them.
    """
    late_numbers = set(graph.inputs[early_inputs:])
    early, late = Recorder(), Recorder()
    where: list[Any] = []  # handle in the early or in the late part
    residuals: dict[int, Any] = {}
    constants: dict[int, int] = {}

    def in_late(handle: Any) -> int:
        if handle._tape is late:
            return handle._index  # type: ignore[no-any-return]
        if handle._index in constants:
            return constants[handle._index]
        if handle._index not in residuals:
            if handle._index in early.constants:  # is in both parts, rather than handed over
                index = late._append_leaf(CONSTANT, handle._type)
                late.constants[index] = early.constants[handle._index]
                constants[handle._index] = index
                return index
            residuals[handle._index] = late.input(handle._type)
        return residuals[handle._index]._index  # type: ignore[no-any-return]

    for i, (op, operands, params, type_) in enumerate(graph.entries):
        if op is INPUT:
            where.append((late if i in late_numbers else early).input(type_, graph.names.get(i)))
        elif op is CONSTANT:
            index = early._append_leaf(CONSTANT, type_)
            early.constants[index] = graph.constants[i]
            where.append(early.handle(early, index, type_))
        else:
            handles = [where[k] for k in operands]
            if any(h._tape is late for h in handles):
                where.append(late.record(op, tuple([in_late(h) for h in handles]), params))
            else:
                where.append(early.record(op, tuple([h._index for h in handles]), params))
    outputs = [in_late(where[k]) for k in graph.outputs[early_outputs:]]
    inputs = [where[k]._index for k in graph.inputs]
    late_inputs = [h._index for h in residuals.values()] + inputs[early_inputs:]
    kept = [where[k]._index for k in graph.outputs[:early_outputs]] + list(residuals)
    return Split(early.graph(kept, inputs[:early_inputs]), late.graph(outputs, late_inputs))


def linearize_graph(graph: Graph, wrt: tuple[int, ...]) -> Split:
    """Forward mode in two parts: values and residuals, then tangents of the float outputs."""
    return remembered(  # type: ignore[no-any-return]
        "linearize",
        graph,
        wrt,
        make=lambda: split_graph(jvp_graph(graph, wrt), len(graph.inputs), len(graph.outputs)),
    )


def pullback_graph(graph: Graph, wrt: tuple[int, ...], seeded: tuple[int, ...]) -> Split:
    """Reverse mode in two parts: values and residuals, then cotangents of the inputs."""
    return remembered(  # type: ignore[no-any-return]
        "pullback",
        graph,
        wrt,
        seeded,
        make=lambda: split_graph(
            vjp_graph(graph, wrt, seeded), len(graph.inputs), len(graph.outputs)
        ),
    )


def transpose_graph(graph: Graph, linear: Sequence[int]) -> Graph:
    """The transpose of a graph that is linear in its inputs number `linear`.

    Inputs: the other inputs of `graph`, then the cotangents of its outputs. Outputs: the
    cotangents of the linear inputs.
    """
    tape = Recorder()
    local = Recorder(tape)
    local.entries = list(graph.entries)
    local.inputs = list(graph.inputs)
    local.constants = dict(graph.constants)
    linear_inputs = [graph.inputs[k] for k in linear]
    for k in graph.inputs:
        if k not in linear_inputs:
            local.captured[k] = tape.input(graph.entries[k][3])
    seeds: dict[int, list[Any]] = {}
    active = active_entries(graph.entries, linear_inputs)
    for k in graph.outputs:
        seed = tape.input(graph.entries[k][3])
        if active[k]:
            seeds.setdefault(k, []).append(seed)
    check_linear(graph, linear_inputs)
    found = transpose_onto(tape, local, linear_inputs, seeds)
    outputs = []
    for k in linear_inputs:
        ct = found.get(k)
        outputs.append((zeros(tape, graph.entries[k][3]) if ct is None else ct)._index)
    return tape.graph(outputs)


def check_linear(graph: Graph, inputs: Sequence[int]) -> None:
    """Raise `DerivativeError` unless every entry is linear in the values that depend on `inputs`.

    Decided by the operators' declarations; a function may be linear in a way they don't show.
    """
    active = active_entries(graph.entries, inputs)
    for i, (op, operands, params, _) in enumerate(graph.entries):
        if op is CONSTANT or not active[i] or not operands:
            continue
        present = [j for j, k in enumerate(operands) if active[k]]
        groups = (
            op.groups(len(operands), dict(params))
            if hasattr(op, "groups")
            else getattr(op, "linear_in", ())
        )
        if not any(set(present) <= set(group) for group in groups):
            line = graph.lines.get(i, "")
            raise DerivativeError(
                f"{op.name}: is not linear in its operand {present[0]}, but a linear function is "
                "needed here",
                location=line or None,
            )
