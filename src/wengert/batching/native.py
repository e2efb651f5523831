"""Plans whose batch size is open: native code for every size, compiled once.

Kernels take their sizes as arguments; between two sizes of a batch only those arguments differ, and
they are affine in the size. So one plan, and the numbers `base + slope * n` for its argument
blocks, serve every size up to a capacity, which doubles when a larger batch comes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.batching.sized import PROBES
from wengert.codegen.engine import compile_kernels, runtime_address
from wengert.errors import BoundsError
from wengert.graph import Graph
from wengert.plan.executable import run_steps
from wengert.plan.plan import Plan, make_plan
from wengert.plan.steps import NativeStep
from wengert.plan.storage import ALIGNMENT, Lifetime, layout

__all__ = ["SizedPlan", "sized_plan"]


class SizedPlan:
    """A native plan for every batch size. Calls take addresses, in the order of the graph's inputs
    and outputs; the memory behind them must be contiguous."""

    def __init__(self, plans: Sequence[Plan], sizes: Sequence[int]) -> None:
        first = plans[0]
        self._plan = first
        self._steps: list[Any] = [s for s in first.steps if isinstance(s, NativeStep)]
        self._base, self._slope = _affine_numbers([_arguments(p) for p in plans], sizes)
        self._slot_bytes = _affine_numbers([p.slot_bytes for p in plans], sizes)
        self.kernels = [s.what for s in self._steps]
        compiled = iter(compile_kernels([s.spec for s in self._steps if s.spec is not None]))
        self._addresses = [
            next(compiled).address if s.spec is not None else runtime_address(s.runtime)
            for s in self._steps
        ]
        self._bound = np.array([*first.inputs, *first.outputs], np.int64)
        self._lock = threading.Lock()
        self._free: list[_Instance] = []
        self._capacity = 0

    def __call__(self, n: int, addresses: Sequence[int]) -> None:
        """Run at batch size n."""
        with self._lock:
            if n > self._capacity:
                self._capacity = max(64, 2 * n)
                self._free.clear()
            instance = self._free.pop() if self._free else None
            capacity = self._capacity
        if instance is None:
            instance = self._instance(capacity)
        instance.run(n, self._base, self._slope, self._bound, addresses)
        with self._lock:
            if capacity == self._capacity:
                self._free.append(instance)

    def _instance(self, capacity: int) -> _Instance:
        plan = self._plan
        base, slope = self._slot_bytes
        sizes = base + slope * capacity
        own = {*plan.inputs, *plan.outputs, *plan.constants}
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for number, step in enumerate(self._steps):
            for slot in step.uses:
                first.setdefault(slot, number)
                last[slot] = number
        lifetimes = [Lifetime(s, int(sizes[s]), first[s], last[s]) for s in first if s not in own]
        offsets, total = layout(lifetimes)
        return _Instance(plan, self._steps, self._addresses, offsets, total, len(self._base))


class _Instance:
    """The memory of one running call: argument blocks, the table of steps, slots and arena."""

    def __init__(
        self,
        plan: Plan,
        steps: Sequence[NativeStep],
        addresses: Sequence[int],
        offsets: dict[int, int],
        total: int,
        count: int,
    ) -> None:
        self._numbers = np.zeros(max(1, count), np.int64)
        self._count = count
        rows, at, start = [], 0, self._numbers.ctypes.data
        self._blocks = np.zeros(max(1, len(steps)), np.int64)
        for number, (step, address) in enumerate(zip(steps, addresses, strict=True)):
            self._blocks[number] = start + 8 * at
            rows.append((address, self._blocks.ctypes.data + 8 * number, 1))
            at += len(step.blocks[0])
        self._table = np.array(rows or [(0, 0, 0)], np.int64)
        self._arena = np.empty(total + ALIGNMENT, np.uint8)
        base = -(-self._arena.ctypes.data // ALIGNMENT) * ALIGNMENT
        self._slots = np.zeros(max(1, len(plan.types)), np.int64)
        for slot, offset in offsets.items():
            self._slots[slot] = base + offset
        for slot, value in plan.constants.items():
            self._slots[slot] = value.ctypes.data
        self._status = np.zeros(1, np.int64)
        if plan.status >= 0:
            self._slots[plan.status] = self._status.ctypes.data
        self._call = (self._table.ctypes.data, len(steps), self._slots.ctypes.data)

    def run(self, n: int, base: Any, slope: Any, bound: Any, addresses: Sequence[int]) -> None:
        numbers = self._numbers[: self._count]
        np.multiply(slope, n, out=numbers)
        numbers += base
        self._slots[bound] = addresses
        run_steps()(*self._call)
        if self._status[0]:
            self._status[0] = 0
            raise BoundsError("an index is out of bounds")


def _arguments(plan: Plan) -> list[int]:
    return [x for s in plan.steps if isinstance(s, NativeStep) for x in s.blocks[0]]


def _affine_numbers(values: Sequence[Any], sizes: Sequence[int]) -> tuple[Any, Any]:
    rows = [np.array(v, np.int64) for v in values]
    slope = (rows[1] - rows[0]) // (sizes[1] - sizes[0])
    base = rows[0] - slope * sizes[0]
    if any(not np.array_equal(base + slope * n, row) for n, row in zip(sizes, rows, strict=True)):
        raise ValueError("not affine in the batch size")
    return base, slope


def _alike(plans: Sequence[Plan]) -> bool:
    """Whether the plans differ in numbers only, and are native throughout."""
    first = plans[0]
    for plan in plans:
        if len(plan.steps) != len(first.steps) or len(plan.slot_bytes) != len(first.slot_bytes):
            return False
        if (plan.inputs, plan.outputs, plan.status) != (first.inputs, first.outputs, first.status):
            return False
        if plan.constants.keys() != first.constants.keys():
            return False
        if any(not np.array_equal(v, first.constants[k]) for k, v in plan.constants.items()):
            return False
        for own, other in zip(plan.steps, first.steps, strict=True):
            if not isinstance(own, NativeStep) or not isinstance(other, NativeStep):
                return False
            if (own.spec, own.runtime) != (other.spec, other.runtime) or len(own.blocks) != 1:
                return False
            if len(own.blocks[0]) != len(other.blocks[0]):
                return False
    return True


def sized_plan(make: Callable[[int], Graph]) -> SizedPlan | None:
    """The plan of the graphs that `make` gives for a batch size; None if there is none, since an
    operator has no native code, or since its steps depend on the size in another way."""
    for sizes in PROBES:
        plans = [make_plan(make(n), is_parallel=False) for n in sizes]
        if any(not isinstance(s, NativeStep) for s in plans[0].steps):
            return None
        if not _alike(plans):
            continue
        try:
            return SizedPlan(plans, sizes)
        except ValueError:
            continue
    return None
