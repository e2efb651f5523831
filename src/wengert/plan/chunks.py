"""Splitting a kernel's call into chunks of its first axis, which run in parallel.

A chunk has rows and partial results of its own; partial results are combined afterwards by a small
kernel, always in the same order. How a call is split depends on sizes and on the number of cores
alone, so that results are the same from run to run.
"""

from __future__ import annotations

from collections.abc import Callable

from wengert.codegen.kernel import Instruction, KernelSpec, Load, Store, is_cheap
from wengert.codegen.pool import worker_count
from wengert.plan.lowering import LoweredGroup

__all__ = ["Combination", "split", "work_of"]

#: Element operations below which a call stays on one thread (some ten microseconds), and the least
#: number of elements of a chunk of a single axis.
_LEAST_WORK = 400_000
_LEAST_ELEMENTS = 4096

_OPERATOR = {"sum": "add", "max": "maximum", "min": "minimum"}


class Combination:
    """A kernel that combines partial results: it reads `reads` and writes `target` (slots)."""

    def __init__(self, spec: KernelSpec, reads: list[int], target: int, count: int) -> None:
        self.spec = spec
        self.reads = reads
        self.target = target
        self.count = count

    def args(self) -> list[int]:
        """The arguments of the call."""
        return [*self.reads, self.target, self.count, 0, self.count]


def work_of(lowered: LoweredGroup) -> int:
    """Element operations of a call, roughly: a transcendental function counts ten."""
    elements = 1
    for n in lowered.sizes:
        elements *= n
    full = lowered.spec.is_full()
    weight = len(lowered.loads) + len(lowered.stores)
    for number, instruction in enumerate(lowered.spec.body, start=len(lowered.loads)):
        if full[number] or instruction.reduces:
            weight += 1 if instruction.reduces or is_cheap(instruction.name) else 10
    return elements * weight


def _private(spec: KernelSpec) -> list[int] | None:
    """The stores that chunks must not share, or None if the kernel can't be split."""
    n = len(spec.loads)
    if spec.rank == 0:
        return None
    if spec.rank > 1:
        return [k for k, store in enumerate(spec.stores) if not store.bits[0] and store.combine]
    reduced = {n + i for i, x in enumerate(spec.body) if x.reduces}
    if any(k in reduced for x in spec.body for k in x.operands):
        return None
    found = []
    for k, store in enumerate(spec.stores):
        if store.value in reduced:
            if store.bits[0]:
                return None
            found.append(k)
    return found


def split(
    lowered: LoweredGroup,
    rows: list[int],
    reads: list[int],
    writes: list[int],
    new_slot: Callable[[int], int],
    row_bytes: list[int],
) -> tuple[list[list[int]], list[Combination], list[int]]:
    """The argument blocks of a call, the combinations that follow it, and all slots it writes.

    `rows` are the slots of temporary rows of `row_bytes` bytes; `new_slot(bytes)` makes a slot.
    """
    spec = lowered.spec
    # Twice as many as threads, if each is worth it: then no thread waits long for another.
    threads = worker_count() + 1
    chunks = min(2 * threads, max(threads, work_of(lowered) // _LEAST_WORK)) if threads > 1 else 1
    length = lowered.sizes[0] if lowered.sizes else 1
    if spec.rank == 1:
        chunks = min(chunks, length // _LEAST_ELEMENTS)
    chunks = min(chunks, length)
    private = _private(spec)
    if private is None or chunks < 2 or work_of(lowered) < _LEAST_WORK:
        return [block(lowered, reads, writes, rows, 0, length)], [], [*writes, *rows]
    # Chunks of a single axis begin at multiples of 64 elements: aligned vectors, no shared lines.
    unit = 64 if spec.rank == 1 else 1
    bounds = [length * c // chunks // unit * unit for c in range(chunks)] + [length]
    blocks, written = [], [*writes, *rows]
    partial: dict[int, list[int]] = {k: [] for k in private}
    for c in range(chunks):
        own_rows, own_writes = rows, list(writes)
        if c:
            own_rows = [new_slot(n) for n in row_bytes]
            for k in private:
                size = lowered.counts[k] * spec.dtype(spec.stores[k].value).itemsize
                own_writes[k] = new_slot(size)
                partial[k].append(own_writes[k])
            written += [*own_rows, *(own_writes[k] for k in private)]
        blocks.append(block(lowered, reads, own_writes, own_rows, bounds[c], bounds[c + 1]))
    # Two at a time: the kernel is the same however many chunks there are.
    combinations = [
        _combination(lowered, k, writes[k], part) for k in private for part in partial[k]
    ]
    return blocks, combinations, written


def block(
    lowered: LoweredGroup,
    reads: list[int],
    writes: list[int],
    rows: list[int],
    begin: int,
    end: int,
) -> list[int]:
    """The arguments of one call, as `codegen.loops` reads them."""
    args = [*reads, *writes, *rows, *lowered.sizes]
    for strides in (*lowered.load_strides, *lowered.store_strides):
        args += strides
    stores = zip(lowered.spec.stores, lowered.store_strides, lowered.counts, strict=True)
    for store, strides, count in stores:
        if store.combine and store.bits[0]:  # a part of its own of a shared target
            args += [begin * strides[0], end * strides[0]]
        elif store.combine:
            args += [0, count]
    return [*args, begin, end] if lowered.spec.rank else args


def _combination(lowered: LoweredGroup, k: int, target: int, part: int) -> Combination:
    store = lowered.spec.stores[k]
    dtype = lowered.spec.dtype(store.value)
    how = store.combine
    if not how:
        how = lowered.spec.body[store.value - len(lowered.spec.loads)].reduces
    loads = (Load(dtype, (True,)), Load(dtype, (True,)))
    body = (Instruction(_OPERATOR[how], (0, 1), (), dtype),)
    spec = KernelSpec(1, loads, body, (Store(2, (True,), ""),))
    return Combination(spec, [target, part], target, lowered.counts[k])
