"""Export: a graph as an object file with one C function, which needs nothing of Python.

The plan is that of a single thread: fused kernels, walks for everything else, products included,
and loops and branches, whose bodies are planned in the same way. The function gets the leaves of
the arguments and of the results as pointers, and a workspace that holds all intermediate values; it
allocates nothing and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from wengert.codegen.objects import Target
from wengert.codegen.rows import temporaries
from wengert.codegen.standalone import Call, Interface, Routine, build_standalone
from wengert.codegen.tables import SOURCES
from wengert.errors import ArgumentError
from wengert.graph import CONSTANT, Graph, Type
from wengert.plan.chunks import block
from wengert.plan.control import CONTROL, Around, lower_control
from wengert.plan.fusion import fuse
from wengert.plan.indices import given, positions_kernel
from wengert.plan.lowering import LoweredGroup, lower
from wengert.plan.moves import TARGET, walks, whole_copy, zero_fill
from wengert.plan.storage import ALIGNMENT, Lifetime, layout
from wengert.plan.units import fusible

__all__ = ["Exported", "export_graph"]


class Exported:
    """An exported graph: `code` is the object file, `workspace` its bytes of memory."""

    def __init__(self, code: bytes, workspace: int, calls: int) -> None:
        self.code = code
        self.workspace = workspace
        self.calls = calls


class _Exporter:
    """Plans one graph, the exported one or a body inside.

    Attributes
    ----------
    types : one item per slot
    offsets, arena_bytes : where in the arena slots lie, and its size
    constants : arrays by slot, which the plan around, or the function, has to provide
    segments : the plan as one routine
    """

    #: Indices are not checked.
    status = -1

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.slot: dict[int, int] = {}
        self.parts: dict[int, list[int]] = {}
        self.bytes: list[int] = []
        self.calls: list[Call] = []
        #: The slots that each call uses.
        self.uses: list[list[int]] = []
        self.constants: dict[int, Any] = {}
        self._plan()
        self.types = self.bytes
        self.offsets, self.arena_bytes = self._layout()
        self.routine = Routine(self.calls, len(self.bytes))
        self.segments = [(self.routine, 1)]

    def _new_slot(self, size: int) -> int:
        self.bytes.append(size)
        return len(self.bytes) - 1

    def _slot_for(self, k: int) -> int:
        if k not in self.slot:
            self.slot[k] = self._new_slot(_bytes(self.graph.type(k)))
        return self.slot[k]

    def _call(self, function: Any, args: Sequence[Any], uses: Sequence[int]) -> None:
        self.calls.append(Call(function, list(args)))
        self.uses.append(list(uses))

    def _plan(self) -> None:
        graph = self.graph
        live = graph.live()
        self.inputs = [self._slot_for(k) for k in graph.inputs]
        for k, (op, _, _, type_) in enumerate(graph.entries):
            if op is CONSTANT and live[k]:
                value = np.asarray(graph.constants[k], type_.dtype, order="C")
                self.constants[self._slot_for(k)] = value
        for i in given(graph):
            self._alone(i)
        groups = fuse(graph, fusible)
        of = {i: g.order for g in groups for i in g.members}
        needed = set(graph.outputs)
        for g in groups:
            for i in g.members:
                needed.update(k for k in graph.entries[i][1] if of.get(k) != g.order)
        for g in groups:
            if g.fused:
                self._kernel(lower(graph, g, needed))
            else:
                self._alone(g.members[0])
        self.outputs: list[int] = []
        for k in graph.outputs:
            slot = self._slot_for(k)
            if slot in self.inputs or slot in self.constants or slot in self.outputs:
                source, slot = slot, self._new_slot(self.bytes[slot])
                self._walk(whole_copy(graph.type(k)) or [], [source], slot)
            self.outputs.append(slot)

    def _kernel(self, lowered: LoweredGroup) -> None:
        if not lowered.stores:
            return
        reads = [self._slot_for(k) for k in lowered.loads]
        writes = [self._slot_for(k) for k in lowered.stores]
        rows = [
            self._new_slot(lowered.sizes[-1] * lowered.spec.dtype(k).itemsize)
            for k in temporaries(lowered.spec)
        ]
        length = lowered.sizes[0] if lowered.sizes else 1
        args = block(lowered, reads, writes, rows, 0, length)
        self._call(lowered.spec, args, [*reads, *writes, *rows])

    def _alone(self, i: int) -> None:
        op, operands, params, type_ = self.graph.entries[i]
        if op.name in ("reshape", "after"):
            self.slot[i] = self._slot_for(operands[0])
            return
        if op.name == "project" and operands[0] in self.parts:
            self.slot[i] = self.parts[operands[0]][dict(params)["number"]]
            return
        if op.name == "bundle":
            self.parts[i] = [self._slot_for(k) for k in operands]
            return
        if op.name in CONTROL:
            self._control(i)
            return
        if not isinstance(type_, Type):
            self._refuse(i, op)
        target = self._slot_for(i)
        if not type_.size:
            return
        types = [self.graph.type(k) for k in operands]
        if op.name == "positions":
            self._positions(i)
            return
        if op.name == "reduce_sum" and not types[0].size:
            found: Any = zero_fill(type_)
        else:
            found = walks(op, types, dict(params), type_)
        if found is None:
            self._refuse(i, op)
        self._walk(found, [self._slot_for(k) for k in operands], target)

    def _control(self, i: int) -> None:
        op, operands, params, types = self.graph.entries[i]
        reads = [self._slot_for(k) for k in operands]
        writes = [self._new_slot(_bytes(t)) for t in types]
        frame = self._new_slot(0)
        around = Around(_Exporter, lambda: -1, self._constant)
        found = lower_control(op, dict(params), reads, writes, frame, around)
        if found is None:
            self._refuse(i, op)
        self.parts[i] = writes
        self.bytes[frame] = found.frame_bytes
        self._call(found.runtime, found.args, [*reads, *writes, frame])

    def _constant(self, value: Any) -> tuple[int, int]:
        """A constant of a body as one of this plan."""
        slot = self._new_slot(value.nbytes)
        self.constants[slot] = value
        return SOURCES["outer"], slot

    def _positions(self, i: int) -> None:
        # Nothing is checked: a position that does not exist is none of those it is compared with.
        _, operands, params, type_ = self.graph.entries[i]
        bounds = [np.array(number, type_.dtype) for number in (0, dict(params)["length"])]
        slots = [self._slot_for(operands[0])]
        slots += [self._constant(bound)[1] for bound in bounds]
        slots.append(self._slot_for(i))
        spec = positions_kernel(self.graph.type(operands[0]).dtype)
        self._call(spec, [*slots, type_.size, 0, type_.size], slots)

    def _walk(self, found: Any, operands: list[int], target: int) -> None:
        for walk in found:
            slots = [target if k == TARGET else operands[k] for k in walk.arrays]
            self._call(walk.spec, [*slots, *walk.numbers], slots)

    def _layout(self) -> tuple[dict[int, int], int]:
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for number, slots in enumerate(self.uses):
            for slot in slots:
                first.setdefault(slot, number)
                last[slot] = number
        bound = {*self.inputs, *self.outputs, *self.constants}
        return layout(
            [Lifetime(s, self.bytes[s], first[s], last[s]) for s in first if s not in bound]
        )

    def _refuse(self, i: int, op: Any) -> NoReturn:
        line, type_ = self.graph.lines.get(i, ""), self.graph.type(i)
        what, hint = f"{op.name} of {type_}", "leave it out of the exported function"
        if op.name == "while_loop":
            what = "the derivative of a while_loop"
            hint = (
                "its memory grows with the number of steps; use a scan or fori_loop of known length"
            )
        raise ArgumentError(
            f"export: {what} can't be compiled to native code yet",
            hint=hint,
            location=line or None,
        )


def _bytes(type_: Type) -> int:
    return type_.size * type_.dtype.itemsize


def export_graph(graph: Graph, name: str, target: Target) -> Exported:
    """The object file of a graph whose function is called `name`.

    Raises `ArgumentError`, which names the operator and the user's line, for an operator that no
    kernel or walk computes.
    """
    made = _Exporter(graph)
    workspace = made.arena_bytes + ALIGNMENT if made.arena_bytes else 0
    interface = Interface(made.inputs, made.outputs, made.constants, made.offsets, workspace)
    module = build_standalone(target, name, made.routine, interface)
    return Exported(target.object_code(module), workspace, len(made.calls))
