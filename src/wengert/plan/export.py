"""Export: a graph as an object file with one C function, which needs nothing of Python.

The plan is that of a single thread: fused kernels, and walks for everything else, products
included. The function gets the leaves of the arguments and of the results as pointers, and a
workspace that holds all intermediate values; it allocates nothing and keeps nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wengert.codegen import ir
from wengert.codegen.compiler import build_function
from wengert.codegen.objects import Target
from wengert.codegen.rows import temporaries
from wengert.errors import ArgumentError
from wengert.graph import CONSTANT, Graph, Type
from wengert.plan.chunks import block
from wengert.plan.fusion import fuse
from wengert.plan.indices import given, positions_kernel
from wengert.plan.lowering import LoweredGroup, lower
from wengert.plan.moves import TARGET, walks, whole_copy, zero_fill
from wengert.plan.storage import ALIGNMENT, Lifetime, layout
from wengert.plan.units import fusible

__all__ = ["Exported", "export_graph"]

I8, I64 = ir.IntType(8), ir.IntType(64)


class Exported:
    """An exported graph: `code` is the object file, `workspace` its bytes of memory."""

    def __init__(self, code: bytes, workspace: int, calls: int) -> None:
        self.code = code
        self.workspace = workspace
        self.calls = calls


class _Exporter:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.slot: dict[int, int] = {}
        self.bytes: list[int] = []
        #: (structure, arguments, slots that are used) of each call, in order.
        self.calls: list[tuple[Any, list[int], list[int]]] = []

    def _new_slot(self, size: int) -> int:
        self.bytes.append(size)
        return len(self.bytes) - 1

    def _slot_for(self, k: int) -> int:
        if k not in self.slot:
            type_ = self.graph.type(k)
            self.slot[k] = self._new_slot(type_.size * type_.dtype.itemsize)
        return self.slot[k]

    def plan(self) -> tuple[list[int], list[int], dict[int, Any]]:
        """The calls; returns the slots of inputs and outputs, and the constants by slot."""
        graph = self.graph
        live = graph.live()
        for i, (op, _, _, type_) in enumerate(graph.entries):
            if live[i] and not isinstance(type_, Type):
                self._refuse(i, op)
        inputs = [self._slot_for(k) for k in graph.inputs]
        constants = {
            self._slot_for(k): np.asarray(graph.constants[k], type_.dtype, order="C")
            for k, (op, _, _, type_) in enumerate(graph.entries)
            if op is CONSTANT and live[k]
        }
        self.constants = constants
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
        outputs: list[int] = []
        for k in graph.outputs:
            slot = self._slot_for(k)
            if slot in inputs or slot in constants or slot in outputs:
                source, slot = slot, self._new_slot(self.bytes[slot])
                self._walk(whole_copy(graph.type(k)) or [], [source], slot)
            outputs.append(slot)
        return inputs, outputs, constants

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
        self.calls.append(
            (lowered.spec, block(lowered, reads, writes, rows, 0, length), [*reads, *writes, *rows])
        )

    def _alone(self, i: int) -> None:
        op, operands, params, type_ = self.graph.entries[i]
        if op.name == "reshape":
            self.slot[i] = self._slot_for(operands[0])
            return
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

    def _positions(self, i: int) -> None:
        # Nothing is checked: a position that does not exist is none of those it is compared with.
        _, operands, params, type_ = self.graph.entries[i]
        slots = [self._slot_for(operands[0])]
        for number in (0, dict(params)["length"]):
            slot = self._new_slot(type_.dtype.itemsize)
            self.constants[slot] = np.array(number, type_.dtype)
            slots.append(slot)
        slots.append(self._slot_for(i))
        spec = positions_kernel(self.graph.type(operands[0]).dtype)
        self.calls.append((spec, [*slots, type_.size, 0, type_.size], slots))

    def _walk(self, found: Any, operands: list[int], target: int) -> None:
        for walk in found:
            slots = [target if k == TARGET else operands[k] for k in walk.arrays]
            self.calls.append((walk.spec, [*slots, *walk.numbers], slots))

    def _refuse(self, i: int, op: Any) -> None:
        line = self.graph.lines.get(i, "")
        raise ArgumentError(
            f"export: {op.name} of {self.graph.type(i)} can't be compiled to native code yet",
            hint="leave it out of the exported function",
            location=line or None,
        )


def export_graph(graph: Graph, name: str, target: Target) -> Exported:
    """The object file of a graph whose function is called `name`.

    Raises `ArgumentError`, which names the operator and the user's line, for an operator that no
    kernel or walk computes.
    """
    made = _Exporter(graph)
    inputs, outputs, constants = made.plan()
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for number, (_, _, slots) in enumerate(made.calls):
        for slot in slots:
            first.setdefault(slot, number)
            last[slot] = number
    bound = {*inputs, *outputs, *constants}
    lifetimes = [Lifetime(s, made.bytes[s], first[s], last[s]) for s in first if s not in bound]
    offsets, total = layout(lifetimes)
    workspace = total + ALIGNMENT if total else 0
    module = target.module()
    _build(module, name, made, (inputs, outputs, constants, offsets), workspace, target)
    return Exported(target.object_code(module), workspace, len(made.calls))


def _build(
    module: ir.Module, name: str, made: _Exporter, slots: Any, workspace: int, target: Target
) -> None:
    inputs, outputs, constants, offsets = slots
    kernels: dict[Any, Any] = {}
    for spec, _, _ in made.calls:
        if spec not in kernels:
            label = f"{name}_kernel_{len(kernels)}"
            build_function(module, spec, label, target.vector_bytes)
            kernels[spec] = module.globals[label]
            kernels[spec].linkage = "internal"
    size = ir.IntType(target.pointer_bits)
    asked = ir.Function(module, ir.FunctionType(size, []), f"{name}_workspace_bytes")
    ir.IRBuilder(asked.append_basic_block()).ret(ir.Constant(size, workspace))
    pointers = [I8.as_pointer()] * (len(inputs) + len(outputs) + 1)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), pointers), name)
    b = ir.IRBuilder(function.append_basic_block())
    table = b.alloca(I64, ir.Constant(I64, max(1, len(made.bytes))))

    def bind(slot: int, address: Any) -> None:
        b.store(address, b.gep(table, [ir.Constant(I64, slot)]))

    *given, room = [b.ptrtoint(p, I64) for p in function.args]
    for slot, address in zip([*inputs, *outputs], given, strict=True):
        bind(slot, address)
    aligned = b.and_(b.add(room, ir.Constant(I64, ALIGNMENT - 1)), ir.Constant(I64, -ALIGNMENT))
    for slot, offset in offsets.items():
        bind(slot, b.add(aligned, ir.Constant(I64, offset)))
    for slot, value in constants.items():
        bind(slot, b.ptrtoint(_data(module, f"{name}_constant_{slot}", value.tobytes()), I64))
    for number, (spec, args, _) in enumerate(made.calls):
        data = np.array(args or [0], "<i8").tobytes()
        where = b.bitcast(_data(module, f"{name}_call_{number}", data), I64.as_pointer())
        b.call(kernels[spec], [table, where])
    b.ret_void()


def _data(module: ir.Module, name: str, data: bytes) -> Any:
    kind = ir.ArrayType(I8, max(1, len(data)))
    found = ir.GlobalVariable(module, kind, name)
    found.initializer = ir.Constant(kind, bytearray(data or b"\0"))
    found.global_constant = True
    found.linkage = "internal"
    found.align = ALIGNMENT
    return found


# ---------------------------------------------------------------- the C header

_C_TYPES = {"f4": "float", "f8": "double", "b1": "uint8_t"}


def c_type(type_: Type) -> str:
    """The C type of an element."""
    kind, size = type_.dtype.kind, type_.dtype.itemsize
    known = _C_TYPES.get(type_.dtype.str[1:])
    return known or f"{'u' if kind == 'u' else ''}int{8 * size}_t"


def c_header(
    name: str,
    inputs: list[tuple[str, str, Type]],
    outputs: list[tuple[str, str, Type]],
    about: list[str],
    workspace: int,
) -> str:
    """The header: per leaf its C name, its name in Python, and its type."""
    guard = f"{name.upper()}_H"
    names = [c for c, _, _ in (*inputs, *outputs)]
    width = max([len(n) for n in names], default=0)

    def line(c: str, own: str, type_: Type) -> str:
        shape = " × ".join(str(n) for n in type_.shape) or "one number"
        elements = f", {math.prod(type_.shape)} elements" if type_.ndim > 1 else ""
        return f" *   {c:<{width}}  {shape}{elements}; {own}"

    arguments = [f"const {c_type(t)} *{c}" for c, _, t in inputs]
    arguments += [f"{c_type(t)} *{c}" for c, _, t in outputs] + ["void *workspace"]
    return "\n".join(
        [
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            "#include <stddef.h>",
            "#include <stdint.h>",
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            "/*",
            *[f" * {text}" for text in about],
            " *",
            " * Arrays are contiguous, in C order; a bool is a byte, 0 or 1. Reads:",
            *[line(*entry) for entry in inputs],
            " * Writes (no array may overlap another):",
            *[line(*entry) for entry in outputs],
            f" * and uses {workspace} bytes at `workspace`, of any alignment; NULL if that is 0.",
            " *",
            " * It allocates nothing, keeps nothing, and may be called from several threads,",
            " * each with a workspace of its own. It needs the C library (memcpy, memset) and, on",
            " * processors without these instructions, fma, floor, rint and the like of libm.",
            " */",
            f"void {name}(" + ",\n     ".join(arguments) + ");",
            "",
            "/* The bytes that `workspace` must have. */",
            f"size_t {name}_workspace_bytes(void);",
            "",
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "",
            "#endif",
            "",
        ]
    )
