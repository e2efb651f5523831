"""Loops whose steps can be undone (`wg.invertible`): the way back recovers their states.

If every carry is handed on by calls that have an inverse, the state before a step follows from the
one after it. The reversal then is a loop that carries the state and the cotangents, begun at the
final state: of the steps nothing is kept, whatever their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.capture import Recorder
from wengert.graph import CONSTANT, INPUT, Graph
from wengert.graph.tuples import NamedTuple
from wengert.ops import TABLE, zeros
from wengert.transform.control.bodies import rearranged
from wengert.transform.control.staging import Layout
from wengert.transform.memo import remembered
from wengert.transform.sweeps import active_entries, reverse_sweep

__all__ = ["Undone", "undone_step"]


class Undone(NamedTuple):
    """A step back.

    graph : inputs: constants; the state after the step, cotangents of the carries, sums of
        cotangents of constants; elements, cotangents of `ys`. Outputs: the state before the step,
        cotangents, sums; cotangents of elements. None if the step can't be undone
    consts, carries, elements : which have cotangents, each counted from 0
    """

    graph: Graph | None
    consts: tuple[int, ...]
    carries: tuple[int, ...]
    elements: tuple[int, ...]

    def __len__(self) -> int:
        return 1 if self.graph is None else len(self.graph)


def undone_step(
    body: Graph, layout: Layout, flags: tuple[bool, ...], present: tuple[bool, ...]
) -> Undone:
    """The step back of a loop, if it can be undone.

    `flags` says which inputs have cotangents, closed over the carries; `present` which results
    after the carries have one.
    """
    if not any(getattr(entry[0], "recovers", False) for entry in body.entries):
        return Undone(None, (), (), ())
    return remembered(  # type: ignore[no-any-return]
        "undone", body, layout, flags, present, make=lambda: _undone(body, layout, flags, present)
    )


def _undone(body: Graph, layout: Layout, flags: Sequence[bool], present: Sequence[bool]) -> Undone:
    first, last = layout.consts, layout.consts + layout.carries
    tape = Recorder()
    tape.lines = None
    outs, states = body.outputs[: layout.carries], body.inputs[first:last]
    after = [tape.input(body.type(k)) for k in outs]
    # A carry that is handed on as it is has the same value before the step.
    same = {s: h for s, out, h in zip(states, outs, after, strict=True) if s == out}
    known = dict(zip(outs, after, strict=True))
    unknown = []
    env: list[Any] = []
    for i, (op, operands, params, type_) in enumerate(body.entries):
        if op is INPUT and i in same:
            env.append(same[i])
        elif op is INPUT:
            env.append(tape.input(type_))
            if i in states:
                unknown.append(env[-1])
        elif op is CONSTANT:
            env.append(tape.constant(body.constants[i]))
        elif i in known:
            env.append(known[i])
        else:
            env.append(tape.record(op, tuple([env[k]._index for k in operands]), params))
    inputs = [env[k] for k in body.inputs]
    recovered: dict[tuple[int, int], Any] = {}
    for k, handle in zip(outs, after, strict=True):
        op, operands, params, _ = body.entries[k]
        if op is TABLE["project"]:
            recovered[operands[0], dict(params)["number"]] = handle
    groups = [
        tuple([k for k in range(low, high) if flags[k]])
        for low, high in ((0, first), (first, last), (last, layout.total))
    ]
    consts, carries, elements = groups
    wanted = [body.inputs[k] for group in groups for k in group]
    active = active_entries(body.entries, wanted)
    contributions: dict[int, list[Any]] = {}
    cts = []
    seeded = [(k - first, True) for k in carries]
    seeded += [(layout.carries + k, False) for k, here in enumerate(present) if here]
    for k, _ in seeded:
        cts.append(tape.input(body.type(body.outputs[k])))
        if active[body.outputs[k]]:
            contributions.setdefault(body.outputs[k], []).append(cts[-1])
    found = reverse_sweep(body.entries, env, active, contributions, wanted, recovered)
    before = []
    for state in states:
        value = same.get(state, recovered.get((state, -1)))
        if value is None:
            return Undone(None, (), (), ())
        before.append(value)
    sums = [tape.input(body.input_types[k]) for k in consts]
    totals = [
        total if found.get(body.inputs[k]) is None else total + found[body.inputs[k]]
        for k, total in zip(consts, sums, strict=True)
    ]
    bars = [found.get(body.inputs[k]) for k in (*carries, *elements)]
    bars = [
        zeros(tape, body.input_types[k]) if value is None else value
        for k, value in zip((*carries, *elements), bars, strict=True)
    ]
    count = len(carries)
    graph = tape.graph([h._index for h in (*before, *bars[:count], *totals, *bars[count:])])
    live = graph.live()
    if any(live[h._index] for h in unknown):
        return Undone(None, (), (), ())  # something is computed from a state before it is recovered
    place = {number: k for k, number in enumerate(graph.inputs)}
    order = [*inputs[:first], *after, *cts[:count], *sums, *inputs[last:], *cts[count:]]
    made = rearranged(graph, [place[h._index] for h in order])
    return Undone(
        made, consts, tuple([k - first for k in carries]), tuple([k - last for k in elements])
    )
