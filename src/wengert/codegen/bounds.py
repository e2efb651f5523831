"""The check of index arrays, at run time: every index must be within its axis.

Loop nests and walks move an index that is out of range into it, so that they never leave an array.
The check notes that there was one, and whoever ran the plan raises the error.
"""

from __future__ import annotations

from typing import Any

from wengert.codegen import ir
from wengert.codegen.blocks import I32, I64, i64, loop

__all__ = ["build_bounds"]

_PLACES = I64.as_pointer()


def build_bounds(module: ir.Module) -> list[str]:
    """Add `check_index` and `positions` to a module.

    args: slot of the indices, their number, bytes of one, whether they are signed, length of the
    axis, slot of the word that becomes 1, slot of the positions (four bytes each).
    """
    _build(module, "check_index", stores=False)
    _build(module, "positions", stores=True)
    return ["check_index", "positions"]


def _build(module: ir.Module, name: str, *, stores: bool) -> None:
    kind = ir.FunctionType(ir.VoidType(), [_PLACES, _PLACES])
    function = ir.Function(module, kind, name)
    slots, args = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    at, count, size, signed, length, status, target = (
        b.load(b.gep(args, [i64(k)])) for k in range(7)
    )
    address, places = (b.load(b.gep(slots, [k])) for k in (at, target))
    found = b.inttoptr(places, I32.as_pointer()) if stores else None
    note, done = (function.append_basic_block(name) for name in ("note", "done"))
    choose = b.switch(b.add(b.shl(size, i64(1)), signed), done)
    for size_of in (1, 2, 4, 8):
        for is_signed in (0, 1):
            block = function.append_basic_block()
            choose.add_case(i64(2 * size_of + is_signed), block)
            b.position_at_end(block)
            wrong = _any_outside(b, address, count, length, (size_of, bool(is_signed)), found)
            b.cbranch(wrong, note, done)
    b.position_at_end(note)
    word = b.inttoptr(b.load(b.gep(slots, [status])), _PLACES)
    b.store_atomic(i64(1), word, "release", 8)
    b.branch(done)
    b.position_at_end(done)
    b.ret_void()


def _any_outside(
    b: ir.IRBuilder, address: Any, count: Any, length: Any, of: tuple[int, bool], found: Any
) -> Any:
    """Whether any index is out of range; positions are stored at `found`, if that is given."""
    size, signed = of
    base = b.inttoptr(address, ir.IntType(8 * size).as_pointer())
    least = b.neg(length)
    none = ir.Constant(ir.IntType(1), 0)
    with loop(b, i64(0), count, i64(1), [none]) as step:
        index = b.load(b.gep(base, [step.index]), align=size)
        if size < 8:
            index = (b.sext if signed else b.zext)(index, I64)
        is_negative = b.icmp_signed("<", index, i64(0))
        if signed:
            outside = b.or_(b.icmp_signed("<", index, least), b.icmp_signed(">=", index, length))
        else:
            outside = b.icmp_unsigned(">=", index, length)
        if found is not None:
            place = b.select(is_negative, b.add(index, length), index)
            b.store(b.trunc(place, I32), b.gep(found, [step.index]))
        step.next = [b.or_(step.carried[0], outside)]
    return step.results[0]
