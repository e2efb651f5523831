"""Modules that stand alone: a C function that goes through the calls of a plan, and the plans of
loops and branches inside it, without Python and without a runtime beside it.

Kernels, and the functions of `control` where there are loops, are part of the module. A plan is a
*routine*, `void f(i64* slots)`, whose calls have their arguments as constant data.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.codegen import ir
from wengert.codegen.blocks import I8, I64, i64
from wengert.codegen.compiler import build_function
from wengert.codegen.control import build_control
from wengert.codegen.objects import Target
from wengert.graph.tuples import NamedTuple

__all__ = ["Call", "Interface", "Routine", "build_standalone"]

_ALIGNMENT = 64
_PLACES = I64.as_pointer()
_ROUTINE = ir.FunctionType(ir.VoidType(), [_PLACES])


class Call(NamedTuple):
    """One call: of a kernel by its structure, or of a function of `control` by its name.

    Among the arguments an array stands for the address of its numbers, a routine for its own.
    """

    function: Any
    args: list[Any]


class Routine:
    """The calls of a plan, in order, and how many slots it has."""

    def __init__(self, calls: list[Call], slots: int) -> None:
        self.calls = calls
        self.slots = slots


class Interface(NamedTuple):
    """What the C function binds: slots of inputs and outputs in the order of its arguments,
    constants by slot, offsets in the workspace by slot, and the bytes of the workspace."""

    inputs: list[int]
    outputs: list[int]
    constants: dict[int, Any]
    offsets: dict[int, int]
    workspace: int


class _Module:
    def __init__(self, target: Target, name: str) -> None:
        self.module = target.module()
        self.name = name
        self.width = target.vector_bytes
        self.functions: dict[Any, Any] = {}
        self.count = 0
        self.has_control = False

    def label(self) -> str:
        """A name that nothing in the module has."""
        self.count += 1
        return f"{self.name}_part_{self.count}"

    def data(self, content: bytes) -> Any:
        """Constant data; the same content is there once."""
        if content not in self.functions:
            kind = ir.ArrayType(I8, max(1, len(content)))
            made = ir.GlobalVariable(self.module, kind, self.label())
            made.initializer = ir.Constant(kind, bytearray(content or b"\0"))
            made.global_constant = True
            made.linkage = "internal"
            made.align = _ALIGNMENT
            self.functions[content] = made
        return self.functions[content]

    def words(self, numbers: Any) -> Any:
        return self.data(np.array(numbers, "<i8").tobytes())

    def function(self, what: Any) -> Any:
        """The function of a kernel, of a routine, or of `control`."""
        if isinstance(what, str):
            if not self.has_control:
                self._control()
            return self.module.globals[what]
        if what not in self.functions:
            label = self.label()
            if isinstance(what, Routine):
                self._routine(what, label)
            else:
                build_function(self.module, what, label, self.width)
            self.functions[what] = self.module.globals[label]
            self.functions[what].linkage = "internal"
        return self.functions[what]

    def _control(self) -> None:
        # The steps of a plan are its routine.
        kind = ir.FunctionType(ir.VoidType(), [_PLACES, I64, _PLACES])
        run = ir.Function(self.module, kind, "run_steps")
        run.linkage = "internal"
        routine, _, slots = run.args
        b = ir.IRBuilder(run.append_basic_block())
        b.call(b.bitcast(routine, _ROUTINE.as_pointer()), [slots])
        b.ret_void()
        for name in build_control(self.module):
            self.module.globals[name].linkage = "internal"
        self.has_control = True

    def _routine(self, routine: Routine, label: str) -> None:
        function = ir.Function(self.module, _ROUTINE, label)
        b = ir.IRBuilder(function.append_basic_block())
        for call in routine.calls:
            b.call(self.function(call.function), [function.args[0], self._arguments(b, call.args)])
        b.ret_void()

    def _arguments(self, b: Any, args: list[Any]) -> Any:
        addresses = {k: a for k, a in enumerate(args) if isinstance(a, (np.ndarray, Routine))}
        if not addresses:
            return b.bitcast(self.words(args or [0]), _PLACES)
        # Where there are addresses, words are put together when they are needed: then nothing has
        # to be relocated, whatever the size of an address.
        place = b.alloca(I64, i64(len(args)))
        for k, a in enumerate(args):
            value = i64(a) if k not in addresses else None
            if isinstance(a, np.ndarray):
                value = b.ptrtoint(self.words(a), I64)
            elif isinstance(a, Routine):
                value = b.ptrtoint(self.function(a), I64)
            b.store(value, b.gep(place, [i64(k)]))
        return place


def build_standalone(
    target: Target, name: str, routine: Routine, interface: Interface
) -> ir.Module:
    """The module of the C function `name`, which binds memory to slots and runs a routine, and of
    `NAME_workspace_bytes`."""
    made = _Module(target, name)
    module = made.module
    size = ir.IntType(target.pointer_bits)
    asked = ir.Function(module, ir.FunctionType(size, []), f"{name}_workspace_bytes")
    ir.IRBuilder(asked.append_basic_block()).ret(ir.Constant(size, interface.workspace))
    run = made.function(routine)
    pointers = [I8.as_pointer()] * (len(interface.inputs) + len(interface.outputs) + 1)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), pointers), name)
    b = ir.IRBuilder(function.append_basic_block())
    table = b.alloca(I64, i64(max(1, routine.slots)))

    def bind(slot: int, address: Any) -> None:
        b.store(address, b.gep(table, [i64(slot)]))

    *given, room = [b.ptrtoint(p, I64) for p in function.args]
    for slot, address in zip([*interface.inputs, *interface.outputs], given, strict=True):
        bind(slot, address)
    aligned = b.and_(b.add(room, i64(_ALIGNMENT - 1)), i64(-_ALIGNMENT))
    for slot, offset in interface.offsets.items():
        bind(slot, b.add(aligned, i64(offset)))
    for slot, value in interface.constants.items():
        bind(slot, b.ptrtoint(made.data(value.tobytes()), I64))
    b.call(run, [table])
    b.ret_void()
    return module
