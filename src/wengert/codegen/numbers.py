"""Calls of numbers: functions of Python floats that live in registers from argument to result.

Where a function takes floats, computes by one kernel of rank 0, and returns floats in tuples, one
native function does it all: it checks the types of the arguments, reads their numbers, computes,
and makes the results. It needs no memory of its own, so that threads never wait for each other.

A result is a NumPy scalar, an object of three words: references, type, number. Most of a call's
time goes into making them, so it is done here as the `tp_alloc` of NumPy's scalars does it, with
memory of `PyObject_Malloc` (`plan.site` checks what can be checked of that).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.codegen import ir
from wengert.codegen.blocks import F64, I64, i64
from wengert.codegen.emit import emit
from wengert.codegen.kernel import CallSpec
from wengert.codegen.tables import NUMBERS
from wengert.codegen.vector import Kind

__all__ = ["build_call"]

#: The size of a NumPy scalar of eight bytes.
_SCALAR_BYTES = 24


def build_call(module: ir.Module, spec: CallSpec, name: str) -> None:
    """Add `PyObject* call(PyObject** args, i64* table)`; it returns NULL if it can't be used.

    `table` holds the words of `tables.NUMBERS`, then the constants.
    """
    function = ir.Function(module, ir.FunctionType(I64, [I64, I64]), name)
    args, table = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    other = function.append_basic_block("other")
    ir.IRBuilder(other).ret(i64(0))

    def word(base: Any, index: int, kind: Any = I64) -> Any:
        return b.load(b.inttoptr(b.add(base, i64(8 * index)), kind.as_pointer()))

    def unless(condition: Any) -> None:
        onward = function.append_basic_block()
        b.cbranch(condition, onward, other)
        b.position_at_end(onward)

    def made(address: Any, *args: Any) -> Any:
        kind = ir.FunctionType(I64, [I64] * len(args))
        found = b.call(b.inttoptr(address, kind.as_pointer()), args)
        unless(b.icmp_unsigned("!=", found, i64(0)))
        return found

    wanted = [word(table, NUMBERS[n]) for n in ("type", "other_type")]
    objects = [word(args, k) for k in range(spec.arguments)]
    for value in objects:
        kind = word(value, 1)
        unless(b.or_(*[b.icmp_unsigned("==", kind, t) for t in wanted]))
    loaded = [
        word(objects[k], 2, F64) if k >= 0 else word(table, len(NUMBERS) - 1 - k, F64)
        for k in spec.loads
    ]
    values = _computed(b, spec, loaded)
    allocate, result_type = (word(table, NUMBERS[n]) for n in ("PyObject_Malloc", "result_type"))
    leaves, stack = iter(spec.leaves), []
    for step in spec.program:
        if step < 0:
            number = values[spec.kernel.stores[next(leaves)].value]
            scalar = made(allocate, i64(_SCALAR_BYTES))
            for at, head in ((0, i64(1)), (8, result_type)):  # one reference; the type
                b.store(head, b.inttoptr(b.add(scalar, i64(at)), I64.as_pointer()))
            b.store(number, b.inttoptr(b.add(scalar, i64(16)), F64.as_pointer()))
            stack.append(scalar)
            continue
        whole = made(word(table, NUMBERS["PyTuple_New"]), i64(step))
        items = stack[len(stack) - step :]
        del stack[len(stack) - step :]
        for k, item in enumerate(items):
            b.store(item, b.inttoptr(b.add(whole, i64(24 + 8 * k)), I64.as_pointer()))
        stack.append(whole)
    b.ret(stack[0])


def _computed(b: ir.IRBuilder, spec: CallSpec, loaded: list[Any]) -> list[Any]:
    """The values of the kernel, loads first."""
    values, kernel = list(loaded), spec.kernel
    for instruction in kernel.body:
        at = instruction.operands[-1 if instruction.name == "where" else 0]
        kind = Kind(np.dtype(kernel.dtype(at)), 1)
        operands = [values[k] for k in instruction.operands]
        values.append(emit(b, instruction.name, operands, dict(instruction.params), kind))
    return values
