"""Building blocks of loop nests in LLVM IR: counted loops, elements in memory, splats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from wengert.codegen import ir
from wengert.codegen.vector import Kind, intrinsic

__all__ = [
    "F64",
    "I8",
    "I32",
    "I64",
    "Loop",
    "finished_sum",
    "first_lanes",
    "i64",
    "loop",
    "masked_load",
    "masked_store",
    "memory_type",
    "neumaier",
    "splat",
]

I64 = ir.IntType(64)
I32 = ir.IntType(32)
I8 = ir.IntType(8)
F64 = ir.DoubleType()


def i64(value: int) -> Any:
    """An integer constant."""
    return ir.Constant(I64, value)


@contextmanager
def loop(
    b: ir.IRBuilder, start: Any, stop: Any, step: Any, carried: Sequence[Any] = ()
) -> Iterator[Loop]:
    """`for i in range(start, stop, step)`, with values carried from iteration to iteration.

    Inside, `.index` is i and `.carried` the values at its beginning; assign the values at its end
    to `.next`. After the block, `.results` are the values after the last iteration.
    """
    before = b.block
    head = b.append_basic_block("loop")
    body = b.append_basic_block("body")
    done = b.append_basic_block("done")
    b.branch(head)
    b.position_at_end(head)
    index = b.phi(I64)
    index.add_incoming(start, before)
    phis = []
    for value in carried:
        phi = b.phi(value.type)
        phi.add_incoming(value, before)
        phis.append(phi)
    b.cbranch(b.icmp_signed("<", index, stop), body, done)
    b.position_at_end(body)
    frame = Loop(index, phis)
    yield frame
    after = b.add(index, step)
    index.add_incoming(after, b.block)
    for phi, value in zip(phis, frame.next, strict=True):
        phi.add_incoming(value, b.block)
    b.branch(head)
    b.position_at_end(done)


class Loop:
    """The state of a `loop`."""

    def __init__(self, index: Any, carried: list[Any]) -> None:
        self.index = index
        self.carried = carried
        self.results = carried
        self.next = list(carried)


def splat(b: ir.IRBuilder, value: Any, lanes: int) -> Any:
    """A vector whose lanes all hold a value."""
    if lanes == 1:
        return value
    kind = ir.VectorType(value.type, lanes)
    one = b.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(I32, 0))
    return b.shuffle_vector(
        one, ir.Constant(kind, ir.Undefined), ir.Constant(ir.VectorType(I32, lanes), None)
    )


def memory_type(dtype: np.dtype[Any]) -> Any:
    """How an element of a dtype lies in memory; a bool is a byte."""
    if dtype.kind == "b":
        return I8
    if dtype.kind == "f":
        return ir.FloatType() if dtype.itemsize == 4 else F64
    return ir.IntType(8 * dtype.itemsize)


def first_lanes(b: ir.IRBuilder, count: Any, lanes: int) -> Any:
    """The mask of the lanes whose number is less than a count."""
    kind = ir.VectorType(I32, lanes)
    numbers = ir.Constant(kind, list(range(lanes)))
    return b.icmp_signed("<", numbers, splat(b, b.trunc(count, I32), lanes))


def masked_load(b: ir.IRBuilder, pointer: Any, mask: Any, otherwise: Any, size: int) -> Any:
    """A vector of elements of `size` bytes, of which only the lanes of a mask are read."""
    place = b.bitcast(pointer, otherwise.type.as_pointer())
    args = [place, ir.Constant(I32, size), mask, otherwise]
    return b.call(_masked(b.module, "load", otherwise.type, args, otherwise.type, size), args)


def masked_store(b: ir.IRBuilder, value: Any, pointer: Any, mask: Any, size: int) -> None:
    """Write the lanes of a mask."""
    place = b.bitcast(pointer, value.type.as_pointer())
    args = [value, place, ir.Constant(I32, size), mask]
    b.call(_masked(b.module, "store", value.type, args, ir.VoidType(), size), args)


def _masked(
    module: ir.Module, name: str, kind: Any, args: Sequence[Any], result: Any, size: int
) -> Any:
    letter = "f" if kind.element in (F64, ir.FloatType()) else "i"
    full_name = f"llvm.masked.{name}.v{kind.count}{letter}{8 * size}.p0"
    function = module.globals.get(full_name)
    if function is None:
        declared = ir.FunctionType(result, [a.type for a in args])
        function = ir.Function(module, declared, full_name)
    return function


# ---------------------------------------------------------------- compensated sums


def neumaier(b: ir.IRBuilder, total: Any, compensation: Any, value: Any) -> list[Any]:
    """A sum and its compensation with a further value, all float64 (A. Neumaier,
    Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen, 1974)."""
    new = b.fadd(total, value)
    larger = b.fcmp_ordered(">=", _abs(b, total), _abs(b, value))
    lost_value = b.fadd(b.fsub(total, new), value)
    lost_total = b.fadd(b.fsub(value, new), total)
    return [new, b.fadd(compensation, b.select(larger, lost_value, lost_total))]


def finished_sum(b: ir.IRBuilder, total: Any, compensation: Any) -> Any:
    """The sum with its compensation, which is NaN where the sum is infinite or NaN."""
    corrected = b.fadd(total, compensation)
    finite = b.fcmp_ordered("<", _abs(b, total), ir.Constant(F64, np.inf))
    return b.select(finite, corrected, total)


def _abs(b: ir.IRBuilder, x: Any) -> Any:
    double = Kind(np.dtype(np.float64), getattr(x.type, "count", 1))
    return b.call(intrinsic(b.module, "fabs", double, 1), [x])
