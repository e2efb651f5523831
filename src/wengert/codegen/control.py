"""Loops and branches at run time: functions that run the steps of other plans, again and again.

Each has the signature of a kernel, `void f(i64* slots, i64* args)`. A plan inside has a *frame*, a
piece of the arena of the plan around it: its own table of slots, then its own arena. Rows of three
words say how the table is filled before its steps run: (slot, where from, number), where `where
from` is one of `tables.SOURCES`.
"""

from __future__ import annotations

from typing import Any

from wengert.codegen import ir
from wengert.codegen.blocks import I8, I64, i64, loop
from wengert.codegen.tables import CARRY, SOURCES, STATE

__all__ = ["build_control"]

_PLACES = I64.as_pointer()
_KERNEL = ir.FunctionType(ir.VoidType(), [_PLACES, _PLACES])


def build_control(module: ir.Module) -> list[str]:
    """Add the functions that run loops and branches to a module that has `run_steps`."""
    _build_fill(module)
    _build_scan(module)
    _build_while(module)
    _build_cond(module)
    _build_revolve(module)
    return ["run_scan", "run_while", "run_cond", "run_revolve"]


class _Function:
    """A function under construction, and what all of them do."""

    def __init__(self, module: ir.Module, name: str) -> None:
        self.module = module
        function = ir.Function(module, _KERNEL, name)
        self.slots, self.args = function.args
        self.b = ir.IRBuilder(function.append_basic_block("entry"))

    def word(self, table: Any, at: Any) -> Any:
        """A word of a table of integers."""
        at = i64(at) if isinstance(at, int) else at
        return self.b.load(self.b.gep(table, [at]))

    def pointer(self, address: Any) -> Any:
        return self.b.inttoptr(address, _PLACES)

    def row(self, rows: Any, index: Any, width: int) -> list[Any]:
        """The words of one row."""
        begin = self.b.mul(index, i64(width))
        return [self.word(rows, self.b.add(begin, i64(k))) for k in range(width)]

    def put(self, table: Any, slot: Any, address: Any) -> None:
        self.b.store(address, self.b.gep(table, [slot]))

    def fill(self, table: Any, frame: Any, count: Any, rows: Any) -> None:
        self.b.call(self.module.globals["fill_table"], [table, frame, self.slots, count, rows])

    def run(self, table: Any, steps: Any, count: Any) -> None:
        self.b.call(self.module.globals["run_steps"], [self.pointer(steps), count, table])

    def copy(self, target: Any, source: Any, size: Any) -> None:
        kind = ir.FunctionType(
            ir.VoidType(), [I8.as_pointer(), I8.as_pointer(), I64, ir.IntType(1)]
        )
        name = "llvm.memcpy.p0.p0.i64"
        found = self.module.globals.get(name) or ir.Function(self.module, kind, name)
        ends = [self.b.inttoptr(x, I8.as_pointer()) for x in (target, source)]
        self.b.call(found, [*ends, size, ir.Constant(ir.IntType(1), 0)])


def _build_fill(module: ir.Module) -> None:
    """`void fill_table(i64* table, i64 frame, i64* slots, i64 count, i64* rows)`."""
    kind = ir.FunctionType(ir.VoidType(), [_PLACES, I64, _PLACES, I64, _PLACES])
    function = ir.Function(module, kind, "fill_table")
    function.linkage = "internal"
    table, frame, slots, count, rows = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    with loop(b, i64(0), count, i64(1)) as each:
        begin = b.mul(each.index, i64(3))
        slot, source, number = (b.load(b.gep(rows, [b.add(begin, i64(k))])) for k in range(3))
        outer = b.icmp_signed("==", source, i64(SOURCES["outer"]))
        # Only a slot of the plan around is looked up; another number would lead anywhere.
        looked_up = b.load(b.gep(slots, [b.select(outer, number, i64(0))]))
        in_frame = b.icmp_signed("==", source, i64(SOURCES["frame"]))
        address = b.select(in_frame, b.add(frame, number), number)
        b.store(b.select(outer, looked_up, address), b.gep(table, [slot]))
    b.ret_void()


def _build_scan(module: ir.Module) -> None:
    """args: slot of the frame; steps and their number; length, and whether it runs backwards; the
    rows of the table; rows (inner slot, outer slot, bytes from step to step) of elements and
    stacked results; rows of carries. Each list of rows is its number and its address.

    The values of a carry alternate between its result and its spare buffer, so that the last one
    falls into the result.
    """
    f = _Function(module, "run_scan")
    b = f.b
    names = "slot steps step_count length reverse fixed_count fixed moving_count moving carry_count"
    words = dict(
        zip([*names.split(), "carries"], (f.word(f.args, k) for k in range(11)), strict=True)
    )
    frame = f.word(f.slots, words["slot"])
    table = f.pointer(frame)
    f.fill(table, frame, words["fixed_count"], f.pointer(words["fixed"]))
    moving, carries = f.pointer(words["moving"]), f.pointer(words["carries"])
    last = b.sub(words["length"], i64(1))
    backwards = b.icmp_signed("!=", words["reverse"], i64(0))
    with loop(b, i64(0), words["length"], i64(1)) as step:
        left = b.sub(last, step.index)
        at = b.select(backwards, left, step.index)
        with loop(b, i64(0), words["moving_count"], i64(1)) as each:
            slot, outer, stride = f.row(moving, each.index, 3)
            f.put(table, slot, b.add(f.word(f.slots, outer), b.mul(at, stride)))
        is_first = b.icmp_signed("==", step.index, i64(0))
        even = b.icmp_signed("==", b.and_(left, i64(1)), i64(0))
        with loop(b, i64(0), words["carry_count"], i64(1)) as each:
            row = dict(zip(CARRY, f.row(carries, each.index, len(CARRY)), strict=True))
            result = f.word(f.slots, row["result"])
            spare = b.add(frame, row["spare"])
            before = b.select(even, spare, result)
            first = f.word(f.slots, row["first"])
            f.put(table, row["read"], b.select(is_first, first, before))
            f.put(table, row["write"], b.select(even, result, spare))
        f.run(table, words["steps"], words["step_count"])
    with b.if_then(b.icmp_signed("==", words["length"], i64(0))):
        _keep_first(f, carries, words["carry_count"])
    b.ret_void()


def _keep_first(f: _Function, carries: Any, count: Any) -> None:
    """A loop that never ran gives what it was given."""
    with loop(f.b, i64(0), count, i64(1)) as each:
        row = dict(zip(CARRY, f.row(carries, each.index, len(CARRY)), strict=True))
        result, first = f.word(f.slots, row["result"]), f.word(f.slots, row["first"])
        f.copy(result, first, row["bytes"])


def _build_while(module: ir.Module) -> None:
    """args: slot of the frame, where in it the condition's part and its result begin; for condition
    and body steps and their number and the rows of their tables (number, address); rows of
    carries."""
    f = _Function(module, "run_while")
    b = f.b
    slot, part, answer = (f.word(f.args, k) for k in range(3))
    asked = [f.word(f.args, 3 + k) for k in range(4)]
    repeated = [f.word(f.args, 7 + k) for k in range(4)]
    count, carries = f.word(f.args, 11), f.pointer(f.word(f.args, 12))
    frame = f.word(f.slots, slot)
    inner = b.add(frame, part)
    table, asking = f.pointer(frame), f.pointer(inner)
    f.fill(table, frame, repeated[2], f.pointer(repeated[3]))
    f.fill(asking, inner, asked[2], f.pointer(asked[3]))
    before = b.block
    head, body, done = (b.append_basic_block(x) for x in ("while", "do", "done"))
    b.branch(head)
    b.position_at_end(head)
    number = b.phi(I64)
    number.add_incoming(i64(0), before)
    is_first = b.icmp_signed("==", number, i64(0))
    even = b.icmp_signed("==", b.and_(number, i64(1)), i64(0))
    with loop(b, i64(0), count, i64(1)) as each:
        row = dict(zip(CARRY, f.row(carries, each.index, len(CARRY)), strict=True))
        result, spare = f.word(f.slots, row["result"]), b.add(frame, row["spare"])
        now = b.select(is_first, f.word(f.slots, row["first"]), b.select(even, result, spare))
        f.put(asking, row["condition"], now)
        f.put(table, row["read"], now)
        f.put(table, row["write"], b.select(even, spare, result))
    f.run(asking, asked[0], asked[1])
    said = b.load(b.inttoptr(b.add(inner, answer), I8.as_pointer()))
    b.cbranch(b.icmp_signed("!=", said, ir.Constant(I8, 0)), body, done)
    b.position_at_end(body)
    f.run(table, repeated[0], repeated[1])
    number.add_incoming(b.add(number, i64(1)), b.block)
    b.branch(head)
    b.position_at_end(done)
    with b.if_else(is_first) as (never, once):
        with never:
            _keep_first(f, carries, count)
        with once, b.if_then(b.not_(even)), loop(b, i64(0), count, i64(1)) as each:
            row = dict(zip(CARRY, f.row(carries, each.index, len(CARRY)), strict=True))
            f.copy(f.word(f.slots, row["result"]), b.add(frame, row["spare"]), row["bytes"])
    b.ret_void()


def _build_revolve(module: ir.Module) -> None:
    """args: slot of the frame, where in it the part of the way back begins; for the body and for
    the way back steps and their number and the rows of their tables (number, address); rows of
    moves (forward or not, step, places of the state before and after it); length, and whether the
    loop runs backwards; rows of elements for the body and for the way back, as in `run_scan`; rows
    of states; rows of carries of the way back."""
    f = _Function(module, "run_revolve")
    b = f.b
    slot, part = (f.word(f.args, k) for k in range(2))
    body = [f.word(f.args, 2 + k) for k in range(4)]
    back = [f.word(f.args, 6 + k) for k in range(4)]
    move_count, moves, length, reverse = (f.word(f.args, 10 + k) for k in range(4))
    counts = [f.word(f.args, k) for k in (14, 16, 18, 20)]
    elements, behind, states, carries = (f.pointer(f.word(f.args, k)) for k in (15, 17, 19, 21))
    frame = f.word(f.slots, slot)
    inner = b.add(frame, part)
    table, way = f.pointer(frame), f.pointer(inner)
    f.fill(table, frame, body[2], f.pointer(body[3]))
    f.fill(way, inner, back[2], f.pointer(back[3]))
    last = b.sub(length, i64(1))
    backwards = b.icmp_signed("!=", reverse, i64(0))

    def look_at(target: Any, count: Any, rows: Any, at: Any) -> None:
        with loop(b, i64(0), count, i64(1)) as each:
            number, outer, stride = f.row(rows, each.index, 3)
            f.put(target, number, b.add(f.word(f.slots, outer), b.mul(at, stride)))

    with loop(b, i64(0), move_count, i64(1)) as each_move:
        forward, step, source, target = f.row(f.pointer(moves), each_move.index, 4)
        at = b.select(backwards, b.sub(last, step), step)
        is_first = b.icmp_signed("<", source, i64(0))
        with b.if_else(b.icmp_signed("!=", forward, i64(0))) as (onwards, home):
            with onwards:
                look_at(table, counts[0], elements, at)
                with loop(b, i64(0), counts[2], i64(1)) as each:
                    row = dict(zip(STATE, f.row(states, each.index, len(STATE)), strict=True))
                    begin = b.add(frame, row["places"])
                    held = b.add(begin, b.mul(source, row["stride"]))
                    first = f.word(f.slots, row["first"])
                    f.put(table, row["read"], b.select(is_first, first, held))
                    f.put(table, row["write"], b.add(begin, b.mul(target, row["stride"])))
                f.run(table, body[0], body[1])
            with home:
                look_at(way, counts[1], behind, at)
                with loop(b, i64(0), counts[2], i64(1)) as each:
                    row = dict(zip(STATE, f.row(states, each.index, len(STATE)), strict=True))
                    held = b.add(b.add(frame, row["places"]), b.mul(source, row["stride"]))
                    first = f.word(f.slots, row["first"])
                    f.put(way, row["back"], b.select(is_first, first, held))
                begins = b.icmp_signed("==", step, last)
                even = b.icmp_signed("==", b.and_(step, i64(1)), i64(0))
                with loop(b, i64(0), counts[3], i64(1)) as each:
                    row = dict(zip(CARRY, f.row(carries, each.index, len(CARRY)), strict=True))
                    result, spare = f.word(f.slots, row["result"]), b.add(inner, row["spare"])
                    before = b.select(even, spare, result)
                    begun = f.word(f.slots, row["first"])
                    f.put(way, row["read"], b.select(begins, begun, before))
                    f.put(way, row["write"], b.select(even, result, spare))
                f.run(way, back[0], back[1])
    b.ret_void()


def _build_cond(module: ir.Module) -> None:
    """args: slot of the frame, slot of the predicate; for both branches, the true one first, steps
    and their number and the rows of their table (number, address)."""
    f = _Function(module, "run_cond")
    b = f.b
    frame = f.word(f.slots, f.word(f.args, 0))
    predicate = b.load(b.inttoptr(f.word(f.slots, f.word(f.args, 1)), I8.as_pointer()))
    chosen = b.select(b.icmp_signed("!=", predicate, ir.Constant(I8, 0)), i64(2), i64(6))
    steps, count, rows, address = (f.word(f.args, b.add(chosen, i64(k))) for k in range(4))
    table = f.pointer(frame)
    f.fill(table, frame, rows, f.pointer(address))
    f.run(table, steps, count)
    b.ret_void()
