"""Memory of results: blocks that were given back are handed out again.

A fresh block costs a page fault per page, in which the system clears the page: for large results
that takes longer than computing them. So NumPy is given an allocator for them (its `mem_handler`;
arrays remember theirs, own their memory, and free it through it). Blocks that come back are kept,
the oldest are given up when they are too many or too large together, and a new array takes the
smallest kept block that fits without wasting a quarter of it.

A block begins with a header of `HEADER` bytes, whose first word is its size. The state is a table
of words that Python makes (`tables.MEMORY`).
"""

from __future__ import annotations

from typing import Any

from wengert.codegen import ir
from wengert.codegen.blocks import I32, I64, i64, loop
from wengert.codegen.tables import LEAST_KEPT, MEMORY, MEMORY_PLACES, MOST_KEPT

__all__ = ["build_memory"]

HEADER = 64
#: Blocks from this size on stand on huge pages, where the system has them.
_HUGE = 2 << 20
_HUGE_FROM = 8 << 20
_MADV_HUGEPAGE = 14

_LOCK, _HAND, _KEPT, _ALLOCATE, _FREE, _ADVISE, _FIRST = MEMORY.values()


class _Function:
    """A function under construction, and how it reads the state."""

    def __init__(self, module: ir.Module, name: str, arguments: int) -> None:
        kind = ir.FunctionType(I64, [I64] * arguments)
        self.module = module
        self.function = ir.Function(module, kind, name)
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))

    def word(self, base: Any, index: Any) -> Any:
        offset = i64(8 * index) if isinstance(index, int) else self.b.shl(index, i64(3))
        return self.b.inttoptr(self.b.add(base, offset), I64.as_pointer())

    def c(self, state: Any, which: int, *args: Any) -> Any:
        """Call a function of the C library."""
        kind = ir.FunctionType(I64, [a.type for a in args])
        address = self.b.load(self.word(state, which))
        return self.b.call(self.b.inttoptr(address, kind.as_pointer()), args)

    def call(self, name: str, *args: Any) -> Any:
        return self.b.call(self.module.globals[name], args)

    def lock(self, state: Any) -> None:
        """Wait for the lock. Python's own lock is held by most callers: it is rarely taken."""
        b = self.b
        again, free = (b.append_basic_block(n) for n in ("lock", "locked"))
        b.branch(again)
        b.position_at_end(again)
        taken = b.atomic_rmw("xchg", self.word(state, _LOCK), i64(1), "acquire")
        b.cbranch(b.icmp_signed("==", taken, i64(0)), free, again)
        b.position_at_end(free)

    def unlock(self, state: Any) -> None:
        self.b.store_atomic(i64(0), self.word(state, _LOCK), "release", 8)


def build_memory(module: ir.Module) -> list[str]:
    """Add the four functions of an allocator; the first argument of each is the state."""
    _build_fresh(module)
    _build_allocate(module)
    _build_free(module)
    _build_clear(module)
    _build_resize(module)
    return ["memory_allocate", "memory_clear", "memory_resize", "memory_free"]


def _build_fresh(module: ir.Module) -> None:
    """`fresh(state, bytes)`: a new block, or 0."""
    f = _Function(module, "memory_fresh", 2)
    f.function.linkage = "internal"
    b, (state, size) = f.b, f.function.args
    is_huge = b.icmp_unsigned(">=", size, i64(_HUGE_FROM))
    alignment = b.select(is_huge, i64(_HUGE), i64(HEADER))
    rounded = b.and_(b.add(size, b.sub(alignment, i64(1))), b.neg(alignment))
    block = f.c(state, _ALLOCATE, alignment, rounded)
    found = b.icmp_unsigned("!=", block, i64(0))
    with b.if_then(found):
        b.store(rounded, f.word(block, 0))
        advice = b.icmp_unsigned("!=", b.load(f.word(state, _ADVISE)), i64(0))
        with b.if_then(b.and_(is_huge, advice)):
            f.c(state, _ADVISE, block, rounded, ir.Constant(I32, _MADV_HUGEPAGE))
    b.ret(block)


def _build_allocate(module: ir.Module) -> None:
    """`allocate(state, bytes)`: memory for an array, or 0."""
    f = _Function(module, "memory_allocate", 2)
    b, (state, size) = f.b, f.function.args
    need = b.add(size, i64(HEADER))
    most = b.add(need, b.lshr(need, i64(2)))
    f.lock(state)
    start = [i64(-1), i64(-1)]
    with loop(b, i64(0), i64(MEMORY_PLACES), i64(1), start) as step:
        best, least = step.carried
        at = b.add(i64(_FIRST), b.shl(step.index, i64(1)))
        own = b.load(f.word(state, b.add(at, i64(1))))
        fits = b.and_(b.icmp_unsigned(">=", own, need), b.icmp_unsigned("<=", own, most))
        better = b.and_(fits, b.icmp_unsigned("<", own, least))
        step.next = [b.select(better, at, best), b.select(better, own, least)]
    at, own = step.results
    found = b.icmp_signed(">=", at, i64(0))
    with b.if_then(found):
        kept = b.load(f.word(state, at))
        b.store(i64(0), f.word(state, at))
        b.store(i64(0), f.word(state, b.add(at, i64(1))))
        total = f.word(state, _KEPT)
        b.store(b.sub(b.load(total), own), total)
        f.unlock(state)
        b.ret(b.add(kept, i64(HEADER)))
    f.unlock(state)
    block = f.call("memory_fresh", state, need)
    b.ret(b.select(b.icmp_unsigned("==", block, i64(0)), i64(0), b.add(block, i64(HEADER))))


def _build_free(module: ir.Module) -> None:
    """`free(state, memory, bytes)`: keep a block, or give it back to the system."""
    f = _Function(module, "memory_free", 3)
    b, (state, memory, _) = f.b, f.function.args
    with b.if_then(b.icmp_unsigned("==", memory, i64(0))):
        b.ret(i64(0))
    block = b.sub(memory, i64(HEADER))
    size = b.load(f.word(block, 0))
    too_small = b.icmp_unsigned("<", size, i64(LEAST_KEPT))
    too_large = b.icmp_unsigned(">", size, i64(MOST_KEPT))
    with b.if_then(b.or_(too_small, too_large)):
        f.c(state, _FREE, block)
        b.ret(i64(0))
    f.lock(state)
    hand, total = f.word(state, _HAND), f.word(state, _KEPT)
    b.store(b.add(b.load(total), size), total)
    # The block takes the place of the oldest; more of the oldest go while there is too much.
    with loop(b, i64(0), i64(MEMORY_PLACES), i64(1)) as step:
        place = b.and_(b.add(b.load(hand), step.index), i64(MEMORY_PLACES - 1))
        at = b.add(i64(_FIRST), b.shl(place, i64(1)))
        beyond = b.add(at, i64(1))
        too_much = b.icmp_unsigned(">", b.load(total), i64(MOST_KEPT))
        is_first = b.icmp_signed("==", step.index, i64(0))
        old = b.load(f.word(state, at))
        goes = b.and_(b.or_(too_much, is_first), b.icmp_unsigned("!=", old, i64(0)))
        with b.if_then(goes):
            b.store(b.sub(b.load(total), b.load(f.word(state, beyond))), total)
            b.store(i64(0), f.word(state, at))
            b.store(i64(0), f.word(state, beyond))
            f.c(state, _FREE, old)
    place = b.load(hand)
    at = b.add(i64(_FIRST), b.shl(place, i64(1)))
    b.store(block, f.word(state, at))
    b.store(size, f.word(state, b.add(at, i64(1))))
    b.store(b.and_(b.add(place, i64(1)), i64(MEMORY_PLACES - 1)), hand)
    f.unlock(state)
    b.ret(i64(0))


def _build_clear(module: ir.Module) -> None:
    """`clear(state, count, bytes of one)`: memory of zeros."""
    f = _Function(module, "memory_clear", 3)
    b, (state, count, size) = f.b, f.function.args
    total = b.mul(count, size)
    memory = f.call("memory_allocate", state, total)
    with b.if_then(b.icmp_unsigned("!=", memory, i64(0))):
        words = b.lshr(b.add(total, i64(7)), i64(3))  # blocks are whole words
        with loop(b, i64(0), words, i64(1)) as step:
            b.store(i64(0), f.word(memory, step.index))
    b.ret(memory)


def _build_resize(module: ir.Module) -> None:
    """`resize(state, memory, bytes)`: the same contents in memory of another size."""
    f = _Function(module, "memory_resize", 3)
    b, (state, memory, size) = f.b, f.function.args
    made = f.call("memory_allocate", state, size)
    is_copied = b.and_(b.icmp_unsigned("!=", made, i64(0)), b.icmp_unsigned("!=", memory, i64(0)))
    with b.if_then(is_copied):
        old = b.sub(b.load(f.word(b.sub(memory, i64(HEADER)), 0)), i64(HEADER))
        least = b.select(b.icmp_unsigned("<", old, size), old, size)
        with loop(b, i64(0), b.lshr(b.add(least, i64(7)), i64(3)), i64(1)) as step:
            b.store(b.load(f.word(memory, step.index)), f.word(made, step.index))
        f.call("memory_free", state, memory, i64(0))
    b.ret(made)
