"""Graphs inside entries: rearranging them, and their derivatives with zeros known by structure.

An entry of control flow holds graphs (a loop's body, the branches of a condition). What it needs
of them beyond `transform.graphs` is here: other inputs and outputs, batched outputs by force, and
derivatives that say which of their outputs are zero by structure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from wengert.capture import Recorder
from wengert.errors import GraphError
from wengert.graph import CONSTANT, INPUT, Entry, Graph, Type
from wengert.ops import TABLE, zeros
from wengert.transform.batching import batch_graph
from wengert.transform.graphs import extend
from wengert.transform.memo import remembered
from wengert.transform.merging import merge_loops
from wengert.transform.sweeps import (
    active_entries,
    pushforward_sweep,
    reverse_sweep,
    transpose_onto,
)

__all__ = [
    "Derived",
    "active_outputs",
    "batched_body",
    "expanded",
    "live_inputs",
    "pulled",
    "pushed",
    "rearranged",
    "selected",
    "transposed",
]


def rearranged(
    graph: Graph, inputs: Sequence[int | Type], outputs: Sequence[int] | None = None
) -> Graph:
    """The entries that `outputs` need, after the inputs in a given order.

    Parameters
    ----------
    inputs : positions in `graph.inputs`; a type stands for a further input that nothing reads
    outputs : value numbers; by default the outputs of `graph`

    Equal programs become equal graphs: inputs come first, and nothing in them is dead.
    """
    wanted = graph.outputs if outputs is None else tuple(outputs)
    entries: list[Entry] = []
    names: dict[int, str] = {}
    lines: dict[int, str] = {}
    constants: dict[int, Any] = {}
    new: dict[int, int] = {}
    for at, position in enumerate(inputs):
        if isinstance(position, Type):
            entries.append((INPUT, (), (), position))
            continue
        number = graph.inputs[position]
        new[number] = at
        entries.append(graph.entries[number])
        if number in graph.names:
            names[at] = graph.names[number]
    live = graph.with_outputs(wanted).live()
    for i, (op, operands, params, type_) in enumerate(graph.entries):
        if not live[i] or i in new:
            continue
        if op is INPUT:
            raise GraphError(f"control flow: input %{i} of a body is needed but not given")
        new[i] = len(entries)
        if op is CONSTANT:
            constants[new[i]] = graph.constants[i]
        if i in graph.lines:
            lines[new[i]] = graph.lines[i]
        entries.append((op, tuple([new[k] for k in operands]), params, type_))
    return Graph(entries, range(len(inputs)), [new[k] for k in wanted], constants, lines, names)


def selected(graph: Graph, positions: Iterable[int]) -> Graph:
    """The graph with some of its outputs, by position, and no dead entries."""
    return rearranged(graph, range(len(graph.inputs)), [graph.outputs[k] for k in positions])


def live_inputs(graph: Graph) -> list[bool]:
    """For each input, whether an output depends on it."""
    live = graph.live()
    return [live[k] for k in graph.inputs]


def active_outputs(graph: Graph, wrt: Iterable[int]) -> list[bool]:
    """For each output, whether it depends differentiably on an input number in `wrt`."""
    active = active_entries(graph.entries, [graph.inputs[k] for k in wrt])
    return [active[k] for k in graph.outputs]


# ---------------------------------------------------------------- derivatives


class Derived:
    """A derivative graph, and for each of its outputs whether it may differ from zero."""

    def __init__(self, graph: Graph, present: tuple[bool, ...]) -> None:
        self.graph = graph
        self.present = present

    def __len__(self) -> int:
        return len(self.graph)


def _finish(tape: Recorder, found: Sequence[Any], types: Sequence[Any]) -> Derived:
    outputs = [
        (zeros(tape, type_) if value is None else value)._index
        for value, type_ in zip(found, types, strict=True)
    ]
    graph = merge_loops(tape.graph(outputs))
    return Derived(
        rearranged(graph, range(len(graph.inputs))), tuple(value is not None for value in found)
    )


def expanded(graph: Graph) -> Graph:
    """`graph` with entries that hold little of a loop replaced by ordinary loops, whose forward
    derivative is linear in the tangents alone: it can be split and transposed."""
    if not any(hasattr(entry[0], "expand") for entry in graph.entries):
        return graph
    tape = Recorder()
    tape.lines = None
    env: list[Any] = []
    for i, (op, operands, params, type_) in enumerate(graph.entries):
        if op is INPUT:
            env.append(tape.input(type_, graph.names.get(i)))
        elif op is CONSTANT:
            index = tape._append_leaf(CONSTANT, type_)
            tape.constants[index] = graph.constants[i]
            env.append(tape.handle(tape, index, type_))
        elif hasattr(op, "expand"):
            env.append(op.expand([env[k] for k in operands], dict(params)))
        else:
            env.append(tape.record(op, tuple([env[k]._index for k in operands]), params))
    inputs = [env[k]._index for k in graph.inputs]
    return tape.graph([env[k]._index for k in graph.outputs], inputs)


def pushed(graph: Graph, wrt: tuple[int, ...]) -> Derived:
    """Forward mode. Inputs: those of `graph`, then tangents of its inputs number `wrt`. Outputs:
    the tangents of its outputs."""
    graph = expanded(graph)

    def make() -> Derived:
        tape = extend(graph)
        entries = tape.entries
        tangents = {graph.inputs[k]: tape.input(graph.input_types[k]) for k in wrt}
        pushforward_sweep(graph.entries, lambda i: tape.handle(tape, i, entries[i][3]), tangents)
        return _finish(tape, [tangents.get(k) for k in graph.outputs], graph.output_types)

    return remembered("pushed", graph, wrt, make=make)  # type: ignore[no-any-return]


def pulled(graph: Graph, wrt: tuple[int, ...], seeded: tuple[int, ...]) -> Derived:
    """Reverse mode. Inputs: those of `graph`, then cotangents of its outputs number `seeded`.
    Outputs: the cotangents of its inputs number `wrt`."""

    def make() -> Derived:
        tape = extend(graph)
        numbers = [graph.inputs[k] for k in wrt]
        active = active_entries(graph.entries, numbers)
        seeds = _seeds(tape, graph, seeded, active)
        env = [tape.handle(tape, i, entry[3]) for i, entry in enumerate(graph.entries)]
        found = reverse_sweep(graph.entries, env, active, seeds, numbers)
        return _finish(tape, [found.get(k) for k in numbers], [graph.type(k) for k in numbers])

    return remembered("pulled", graph, wrt, seeded, make=make)  # type: ignore[no-any-return]


def transposed(graph: Graph, linear: tuple[int, ...], seeded: tuple[int, ...]) -> Derived:
    """The transpose of a graph that is linear in its inputs number `linear`. Inputs: its other
    inputs, then cotangents of its outputs number `seeded`. Outputs: the cotangents of the linear
    inputs."""

    def make() -> Derived:
        tape = Recorder()
        local = Recorder(tape)
        local.entries = list(graph.entries)
        local.inputs = list(graph.inputs)
        local.constants = dict(graph.constants)
        numbers = [graph.inputs[k] for k in linear]
        for k in graph.inputs:
            if k not in numbers:
                local.captured[k] = tape.input(graph.entries[k][3])
        seeds = _seeds(tape, graph, seeded, active_entries(graph.entries, numbers))
        found = transpose_onto(tape, local, numbers, seeds)
        return _finish(tape, [found.get(k) for k in numbers], [graph.type(k) for k in numbers])

    return remembered("transposed", graph, linear, seeded, make=make)  # type: ignore[no-any-return]


def _seeds(
    tape: Recorder, graph: Graph, seeded: Sequence[int], active: Sequence[bool]
) -> dict[int, list[Any]]:
    seeds: dict[int, list[Any]] = {}
    for k in seeded:
        number = graph.outputs[k]
        seed = tape.input(graph.entries[number][3])
        if active[number]:
            seeds.setdefault(number, []).append(seed)
    return seeds


# ---------------------------------------------------------------- batching


def batched_body(
    graph: Graph, flags: Sequence[bool], size: int, forced: Callable[[int, bool], bool]
) -> tuple[Graph, list[bool]]:
    """`batch_graph`, with the outputs for which `forced(number, is batched)` holds repeated where
    they don't depend on the batch; and which outputs carry the batch axis."""
    made = batch_graph(graph, flags, size)
    carries = [forced(k, b) or b for k, b in enumerate(made.batched)]
    if carries == list(made.batched):
        return made.graph, carries
    tape = extend(made.graph)
    outputs = []
    for k, wanted, is_batched in zip(made.graph.outputs, carries, made.batched, strict=True):
        handle = tape.handle(tape, k, made.graph.entries[k][3])
        if wanted and not is_batched:
            handle = TABLE["broadcast_to"](handle, shape=(size, *handle._type.shape))
        outputs.append(handle._index)
    return tape.graph(outputs), carries
