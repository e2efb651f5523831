"""Loops and branches as steps of a plan: their bodies are plans of their own.

A body is planned once, like any graph. Its slots and its arena lie in a *frame*, a slot of the plan
around it, so that calls from several threads don't meet. Elements and stacked results are looked at
in place, step by step; carries alternate between two buffers. A body that needs NumPy can't run in
native code: then the interpreter runs the whole entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.codegen.tables import CARRY, SOURCES, STATE
from wengert.graph import Graph, Type
from wengert.plan.storage import ALIGNMENT
from wengert.transform.memory.revolving import parts_of
from wengert.transform.memory.schedules import moves

__all__ = ["CONTROL", "Around", "ControlStep", "lower_control"]

_FRAME, _ADDRESS, _OUTER = SOURCES["frame"], SOURCES["address"], SOURCES["outer"]


class ControlStep:
    """What a step of control flow is given.

    runtime : the function of the runtime that runs it
    args : its arguments; an array stands for its address
    frame_bytes : the size of the frame
    inner : the plans that it runs
    runs : how often each of them runs, where that is known
    """

    __slots__ = ("args", "frame_bytes", "inner", "runs", "runtime")

    def __init__(
        self, runtime: str, args: list[Any], frame_bytes: int, inner: list[Any], runs: int = 1
    ) -> None:
        self.runtime = runtime
        self.args = args
        self.frame_bytes = frame_bytes
        self.inner = inner
        self.runs = runs

    def words(self) -> list[int]:
        """The arguments with the addresses of arrays, which live as long as the step."""
        return [a.ctypes.data if isinstance(a, np.ndarray) else a for a in self.args]


class Around:
    """The plan around a step of control flow.

    make : makes the plan of a body
    status : gives the slot of the word that a check of indices sets
    constant : a constant of a body as (source, number) of a row
    """

    __slots__ = ("constant", "make", "status")

    def __init__(
        self,
        make: Callable[[Graph], Any],
        status: Callable[[], int],
        constant: Callable[[Any], tuple[int, int]] = lambda value: (_ADDRESS, value.ctypes.data),
    ) -> None:
        self.make = make
        self.status = status
        self.constant = constant


class _Frame:
    """The memory of one inner plan: a table of slots, its arena, and room for carries."""

    def __init__(self, plan: Any, around: Around) -> None:
        self.plan = plan
        self.bytes = _aligned(8 * max(1, len(plan.types)))
        self.rows: list[tuple[int, int, int]] = []
        for slot, offset in plan.offsets.items():
            self.rows.append((slot, _FRAME, self.bytes + offset))
        self.bytes += _aligned(plan.arena_bytes)
        for slot, value in plan.constants.items():
            self.rows.append((slot, *around.constant(value)))
        if plan.status >= 0:
            self.outer(plan.status, around.status())

    def room(self, size: int) -> int:
        """Where in the frame `size` further bytes begin."""
        begin = self.bytes
        self.bytes += _aligned(size)
        return begin

    def outer(self, inner: int, slot: int) -> None:
        """The inner slot is a slot of the plan around."""
        self.rows.append((inner, _OUTER, slot))

    def words(self) -> list[Any]:
        """Steps and their number, and the rows: what the runtime wants to know of a plan."""
        steps, count = self.plan.segments[0] if self.plan.segments else (0, 0)
        return [steps, count, *_rows(self.rows)]


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _rows(rows: Sequence[Sequence[int]]) -> list[Any]:
    return [len(rows), np.array(rows or [(0,)], np.int64)]


def _bytes(type_: Type) -> int:
    return type_.size * type_.dtype.itemsize


class _Lowering:
    """What lowering an entry needs: how to plan a body, and the slots around it."""

    def __init__(
        self,
        around: Around,
        params: dict[str, Any],
        reads: Sequence[int],
        writes: Sequence[int],
        frame: int,
    ) -> None:
        self.around = around
        self.params = params
        self.reads = reads
        self.writes = writes
        self.frame = frame

    def native(self, *graphs: Graph) -> list[Any] | None:
        """The plans of these graphs, or None if one of them needs NumPy."""
        plans = [self.around.make(graph) for graph in graphs]
        native = all(
            len(p.segments) == 0 or (len(p.segments) == 1 and isinstance(p.segments[0], tuple))
            for p in plans
        )
        return plans if native else None


def _carry(frame: _Frame, type_: Type, **slots: int) -> list[int]:
    words = {"condition": 0, "bytes": _bytes(type_), "spare": frame.room(_bytes(type_)), **slots}
    return [words[name] for name in CARRY]


def _scan(the: _Lowering) -> ControlStep | None:
    body, length = the.params["body"], the.params["length"]
    consts, carries = the.params["consts"], the.params["carries"]
    plans = the.native(body)
    if plans is None:
        return None
    (plan,) = plans
    frame = _Frame(plan, the.around)
    for k in range(consts):
        frame.outer(plan.inputs[k], the.reads[k])
    rows = [
        _carry(
            frame,
            body.output_types[k],
            read=plan.inputs[consts + k],
            write=plan.outputs[k],
            first=the.reads[consts + k],
            result=the.writes[k],
        )
        for k in range(carries)
    ]
    moving = [
        (plan.inputs[k], the.reads[k], _bytes(body.input_types[k]))
        for k in range(consts + carries, len(plan.inputs))
    ]
    moving += [
        (plan.outputs[k], the.writes[k], _bytes(body.output_types[k]))
        for k in range(carries, len(plan.outputs))
    ]
    step = ControlStep("run_scan", [], frame.bytes, plans, runs=length)
    steps, count, fixed_count, fixed = frame.words()
    step.args = [the.frame, steps, count, length, int(the.params["reverse"]), fixed_count, fixed]
    step.args += [*_rows(moving), *_rows(rows)]
    return step


def _while(the: _Lowering) -> ControlStep | None:
    if the.params["steps"]:
        return None  # a derivative: its length decides about its graph
    consts = the.params["consts"]
    body = the.params["body"]
    plans = the.native(the.params["cond"], body)
    if plans is None:
        return None
    asking, doing = plans
    frame, part = _Frame(doing, the.around), _Frame(asking, the.around)
    for k in range(consts):
        frame.outer(doing.inputs[k], the.reads[k])
        part.outer(asking.inputs[k], the.reads[k])
    answer = part.room(1)
    part.rows.append((asking.outputs[0], _FRAME, answer))
    rows = [
        _carry(
            frame,
            type_,
            read=doing.inputs[consts + k],
            write=doing.outputs[k],
            condition=asking.inputs[consts + k],
            first=the.reads[consts + k],
            result=the.writes[k],
        )
        for k, type_ in enumerate(body.output_types)
    ]
    begin = frame.room(part.bytes)
    step = ControlStep("run_while", [], frame.bytes, plans)
    step.args = [the.frame, begin, answer, *part.words(), *frame.words()]
    step.args += _rows(rows)
    return step


def _cond(the: _Lowering) -> ControlStep | None:
    plans = the.native(the.params["true"], the.params["false"])
    if plans is None:
        return None
    step = ControlStep("run_cond", [the.frame, the.reads[0]], 0, plans)
    for plan in plans:
        frame = _Frame(plan, the.around)
        for inner, outer in zip(plan.inputs, the.reads[1:], strict=True):
            frame.outer(inner, outer)
        for inner, outer in zip(plan.outputs, the.writes, strict=True):
            frame.outer(inner, outer)
        step.args += frame.words()
        step.frame_bytes = max(step.frame_bytes, frame.bytes)
    return step


def _revolve(the: _Lowering) -> ControlStep | None:
    params, length = the.params, the.params["length"]
    body, back = params["body"], params["back"]
    plans = the.native(body, back)
    if plans is None:
        return None
    onwards, home = plans
    frame, part = _Frame(onwards, the.around), _Frame(home, the.around)
    at = parts_of(range(len(the.reads)), params)
    for k in at.consts:
        frame.outer(onwards.inputs[k], the.reads[k])
        part.outer(home.inputs[k], the.reads[k])
    known, places = moves(length, params["slots"])
    carries = [
        _carry(
            part,
            back.output_types[k],
            read=home.inputs[own],
            write=home.outputs[k],
            first=the.reads[own],
            result=the.writes[k],
        )
        for k, own in enumerate(at.backs)
    ]
    begin = frame.room(part.bytes)
    states = []
    for k, own in enumerate(at.carries):
        stride = _aligned(_bytes(body.output_types[k]))
        row = {
            "read": onwards.inputs[own],
            "write": onwards.outputs[k],
            "back": home.inputs[own],
            "first": the.reads[own],
            "places": frame.room(places * stride),
            "stride": stride,
        }
        states.append([row[name] for name in STATE])
    elements = [(onwards.inputs[k], the.reads[k], _bytes(body.input_types[k])) for k in at.elements]
    behind = [
        (home.inputs[k], the.reads[k], _bytes(back.input_types[k]))
        for k in (*at.elements, *at.seeds)
    ]
    behind += [
        (home.outputs[k], the.writes[k], _bytes(back.output_types[k]))
        for k in range(len(at.backs), len(home.outputs))
    ]
    step = ControlStep("run_revolve", [], frame.bytes, plans, runs=len(known))
    step.args = [the.frame, begin, *frame.words(), *part.words()]
    step.args += [*_rows(known), length, int(params["reverse"])]
    step.args += [*_rows(elements), *_rows(behind)]
    step.args += [*_rows(states), *_rows(carries)]
    return step


_LOWERINGS = {
    "scan": _scan,
    "revolve_scan": _scan,
    "revolve_back": _revolve,
    "while_loop": _while,
    "cond": _cond,
}

#: The operators of control flow that have a step.
CONTROL = frozenset(_LOWERINGS)


def lower_control(
    op: Any,
    params: dict[str, Any],
    reads: Sequence[int],
    writes: Sequence[int],
    frame: int,
    around: Around,
) -> ControlStep | None:
    """The step of an entry of control flow, or None if native code can't run it.

    Parameters
    ----------
    reads, writes, frame : slots of the operands, of the results and of the frame
    """
    return _LOWERINGS[op.name](_Lowering(around, params, reads, writes, frame))
