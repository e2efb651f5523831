"""Splitting a call of a kernel or a walk into chunks of its first axis, which run in parallel.

A chunk has rows and partial results of its own; partial results are combined afterwards by a small
kernel, always in the same order. How a call is split depends on sizes and on the number of cores
alone, so that results are the same from run to run.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.codegen.kernel import Instruction, KernelSpec, Load, Store, is_cheap, per_spec
from wengert.codegen.pool import worker_count
from wengert.codegen.rows import temporaries
from wengert.plan.lowering import LoweredGroup
from wengert.plan.moves import Walk
from wengert.plan.steps import Cut, NativeStep

__all__ = ["block", "kernel_step", "own_results", "shares_of", "walk_step", "work_of"]

#: Element operations below which a call stays on one thread (some ten microseconds), and the least
#: number of elements of a chunk of a single axis.
_LEAST_WORK = 400_000
_LEAST_ELEMENTS = 4096
#: Element operations in a nanosecond, roughly.
_PER_NS = 60

#: How many elements a row is filled up to, and what a row and a reduction of one cost besides, in
#: element operations.
_LANES, _ROW, _REDUCTION = 16, 200, 600

#: Elements that a walk moves in a nanosecond, roughly: along vectors, and one by one.
_MOVED_PER_NS, _MOVED_SINGLY_PER_NS = 4.0, 1.0

#: Bytes between what chunks have for themselves. Processors fetch lines ahead of those that are
#: asked for: what another core writes must not be among them. (Nor should rows begin at the same
#: place of a page: they would fight for the same lines of the cache.)
_APART = 576

_OPERATOR = {"sum": "add", "max": "maximum", "min": "minimum"}


def work_of(lowered: LoweredGroup) -> int:
    """Element operations of a call, roughly: a transcendental function counts ten."""
    weight, of_row = _weights(lowered.spec)
    if lowered.spec.rank < 2:
        return math.prod(lowered.sizes) * weight
    *outer, length = lowered.sizes
    return math.prod(outer) * (-(-length // _LANES) * _LANES * weight + of_row)


@per_spec
def _weights(spec: KernelSpec) -> tuple[int, int]:
    """Operations per element, and of a row besides."""
    full = spec.is_full()
    weight, of_row = len(spec.loads) + len(spec.stores), _ROW
    for number, instruction in enumerate(spec.body, start=len(spec.loads)):
        if full[number] or instruction.reduces:
            weight += 1 if instruction.reduces or is_cheap(instruction.name) else 10
            of_row += _REDUCTION if instruction.reduces else 0
    return weight, of_row


@per_spec
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


def _bounds_of(lowered: LoweredGroup) -> list[int]:
    """Where the chunks of a call begin and end that is cut by itself."""
    spec = lowered.spec
    # Twice as many as threads, if each is worth it: then no thread waits long for another.
    threads = worker_count() + 1
    work = work_of(lowered)
    chunks = min(2 * threads, max(threads, work // _LEAST_WORK)) if threads > 1 else 1
    length = lowered.sizes[0] if lowered.sizes else 1
    if spec.rank == 1:
        chunks = min(chunks, length // _LEAST_ELEMENTS)
    chunks = min(chunks, length)
    if work < _LEAST_WORK or chunks < 2 or _private(spec) is None:
        return [0, length]
    # Chunks of a single axis begin at multiples of 64 elements: aligned vectors, no shared lines.
    unit = 64 if spec.rank == 1 else 1
    return [length * c // chunks // unit * unit for c in range(chunks)] + [length]


def kernel_step(
    lowered: LoweredGroup,
    reads: list[int],
    writes: list[int],
    new_slot: Callable[[int], int],
) -> NativeStep:
    """The step of a kernel; `new_slot(bytes)` makes a slot."""
    names = " ".join(i.name for i in lowered.spec.body) or "copy"
    step = NativeStep([], reads, writes, f"kernel {names}", lowered.members, lowered.spec)

    def apply(step: NativeStep, bounds: list[int]) -> None:
        _cut(step, lowered, writes, new_slot, bounds)

    apply(step, _bounds_of(lowered))
    private = _private(lowered.spec)
    if private is not None:
        shares = shares_of(lowered, reads, writes)
        step.cut = Cut(lowered.sizes[0], shares, work_of(lowered) / _PER_NS, apply)
    return step


def shares_of(lowered: LoweredGroup, reads: list[int], writes: list[int]) -> frozenset[int]:
    """The slots of which a chunk touches only its own share."""
    spec, private = lowered.spec, _private(lowered.spec) or []
    whole = {slot for slot, load in zip(reads, spec.loads, strict=True) if not load.bits[0]}
    whole |= {
        slot
        for k, (slot, store) in enumerate(zip(writes, spec.stores, strict=True))
        if k in private or not store.bits[0]
    }
    return frozenset({*reads, *writes} - whole)


def _cut(
    step: NativeStep,
    lowered: LoweredGroup,
    writes: list[int],
    new_slot: Callable[[int], int],
    bounds: list[int],
) -> None:
    """Cut the step of a kernel: each chunk has rows and, of what is reduced, results of its own."""
    spec = lowered.spec
    row_bytes = [lowered.sizes[-1] * spec.dtype(k).itemsize for k in temporaries(spec)]
    step.blocks, step.scratch = [], []
    own = own_results(step, lowered, writes, new_slot, len(bounds) - 1)
    for targets, (begin, end) in zip(own, itertools.pairwise(bounds), strict=True):
        rows = [new_slot(n + _APART) for n in row_bytes]
        step.scratch += rows
        step.blocks.append(block(lowered, step.reads, targets, rows, begin, end))


def own_results(
    step: NativeStep,
    lowered: LoweredGroup,
    writes: list[int],
    new_slot: Callable[[int], int],
    chunks: int,
) -> list[list[int]]:
    """The slots that each chunk writes: of what is reduced, results of its own. Sets what the step
    writes, and the steps that combine these."""
    spec = lowered.spec
    private = (_private(spec) or []) if chunks > 1 else []
    step.writes = [slot for k, slot in enumerate(writes) if k not in private]
    step.combining = []
    found = []
    for _ in range(chunks):
        own = list(writes)
        for k in private:
            size = lowered.counts[k] * spec.dtype(spec.stores[k].value).itemsize
            own[k] = new_slot(size + _APART)
        step.writes += [own[k] for k in private]
        found.append(own)
    # Two at a time: the kernel is the same however many chunks there are.
    for k in private:
        before = found[0][k]
        for own in found[1:]:
            step.combining.append(_combination(lowered, k, before, own[k], writes[k]))
            before = writes[k]
    return found


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


@functools.cache
def _combining(how: str, dtype: np.dtype[Any]) -> KernelSpec:
    loads = (Load(dtype, (True,)), Load(dtype, (True,)))
    body = (Instruction(_OPERATOR[how], (0, 1), (), dtype),)
    return KernelSpec(1, loads, body, (Store(2, (True,), ""),))


def _combination(lowered: LoweredGroup, k: int, first: int, part: int, target: int) -> NativeStep:
    """The step that combines a partial result with those before it."""
    store = lowered.spec.stores[k]
    dtype = lowered.spec.dtype(store.value)
    how = store.combine
    if not how:
        how = lowered.spec.body[store.value - len(lowered.spec.loads)].reduces
    spec = _combining(how, dtype)
    count = lowered.counts[k]
    args = [first, part, target, count, 0, count]
    return NativeStep([args], [first, part], [target], "combine chunks", [lowered.stores[k]], spec)


def walk_step(
    walk: Walk, slots: list[int], counts: Sequence[int], what: str, entry: int
) -> NativeStep:
    """The step of a walk; `slots` and `counts` (of elements) are those of its arrays."""
    step = NativeStep([[*slots, *walk.numbers]], slots[1:], [slots[0]], what, [entry], walk.spec)
    spec = walk.spec
    # A sum goes on from one index to the next, and what indices point at is known later.
    if spec.kind not in ("zero", "copy", "add") or spec.indices or not spec.rank:
        return step
    arrays = len(slots)
    sizes = walk.numbers[arrays:][: spec.rank]
    strides = [walk.numbers[arrays + spec.rank * (1 + k) :][: spec.rank] for k in range(arrays)]

    def is_shared(k: int) -> bool:
        """Whether chunk c touches of array k what chunk c of a step along its first axis does."""
        row, *others = strides[k]
        last = walk.numbers[k] + sum((n - 1) * s for n, s in zip(sizes[1:], others, strict=True))
        return row * sizes[0] == counts[k] and min(others, default=0) >= 0 and last < row

    def apply(step: NativeStep, bounds: list[int]) -> None:
        step.blocks = []
        for begin, end in itertools.pairwise(bounds):
            numbers = list(walk.numbers)
            for k in range(arrays):
                numbers[k] += begin * strides[k][0]
            numbers[arrays] = end - begin
            step.blocks.append([*slots, *numbers])

    shares = frozenset(slots) - {slot for k, slot in enumerate(slots) if not is_shared(k)}
    speed = _MOVED_PER_NS if spec.unit else _MOVED_SINGLY_PER_NS
    step.cut = Cut(sizes[0], shares, math.prod(sizes) / speed, apply)
    return step
