"""Plans whose batch size is open: native code for every size, compiled once.

Kernels take their sizes as arguments; between two sizes of a batch only those arguments differ, and
they are affine in the size. So one plan, and the numbers `base + slope * n` for its argument
blocks, serve every size up to a capacity, which doubles when a larger batch comes. Rows do not
depend on each other: a large batch is divided among the threads of the pool, where that pays.
"""

from __future__ import annotations

import ctypes
import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from wengert.batching.sized import PROBES
from wengert.codegen.engine import compile_kernels, runtime_address, words_addresses
from wengert.codegen.pool import worker_count
from wengert.codegen.restricted import call, words
from wengert.codegen.tables import numbered
from wengert.errors import BoundsError
from wengert.graph import Graph
from wengert.plan.blas import blas_threads
from wengert.plan.executable import run_steps
from wengert.plan.plan import Plan, make_plan
from wengert.plan.steps import NativeStep
from wengert.plan.storage import ALIGNMENT, Lifetime, layout

__all__ = ["SizedPlan", "run_whole", "set_blas_threads", "sized_plan"]


#: Work (in the units of `Plan.work`) of a part of a batch that is worth a thread.
_LEAST_WORK = 60_000


#: What native code reads of an instance: the affine numbers of the argument blocks, where they go,
#: and how many there are; the slots, those of arguments, and how many; what runs the steps.
_INSTANCE = numbered(
    *("base", "slope", "numbers", "count"),
    *("slots", "bound", "bound_count"),
    *("run_steps", "table", "step_count"),
)


@words
def fill(instance: Any, n: Any, begin: Any, addresses: Any, strides: Any) -> Any:
    """Write what `n` rows need, from row `begin` of the arguments on."""
    numbers = instance[_INSTANCE["numbers"]]
    base = instance[_INSTANCE["base"]]
    slope = instance[_INSTANCE["slope"]]
    for k in range(instance[_INSTANCE["count"]]):
        numbers[k] = base[k] + slope[k] * n
    bound = instance[_INSTANCE["bound"]]
    slots = instance[_INSTANCE["slots"]]
    for k in range(instance[_INSTANCE["bound_count"]]):
        slots[bound[k]] = addresses[k] + begin * strides[k]
    return 0


@words
def run_part(_slots: Any, instance: Any) -> Any:
    """Run the steps of an instance that is filled; with the arguments of a kernel."""
    return call(
        instance[_INSTANCE["run_steps"]],
        instance[_INSTANCE["table"]],
        instance[_INSTANCE["step_count"]],
        instance[_INSTANCE["slots"]],
    )


@words
def run_whole(instance: Any, n: Any, addresses: Any, strides: Any) -> Any:
    """Fill an instance and run its steps."""
    fill(instance, n, 0, addresses, strides)
    return run_part(0, instance)


@functools.cache
def _functions() -> tuple[Any, int, Any]:
    """`fill`, the address of `run_part`, and `run_whole`."""
    found = words_addresses([fill, run_part, run_whole])
    word = ctypes.c_int64
    fill_kind = ctypes.CFUNCTYPE(word, word, word, word, word, word)
    whole_kind = ctypes.CFUNCTYPE(word, word, word, word, word)
    return fill_kind(found[0]), found[1], whole_kind(found[2])


class _Sharing:
    """Whether dividing a batch among threads pays, found out as it runs, by the power of 2 of its
    size: it does not where other programs keep the cores busy.

    Results are the same to rounding. Each way is tried again after `_AGAIN` calls of the other.
    """

    _AGAIN = 64

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, bool], float] = {}
        self._calls: dict[int, int] = {}

    def is_worth_it(self, n: int) -> bool | None:
        """Whether to divide a batch of n rows now; None: not, and how long it takes is known."""
        size = n.bit_length()
        calls = self._calls[size] = self._calls.get(size, 0) + 1
        alone, shared = (self._seconds.get((size, way)) for way in (False, True))
        if alone is None or shared is None:
            return shared is None
        is_again = calls % self._AGAIN == 0
        if shared < alone:
            return not is_again
        return True if is_again else None

    def learn(self, n: int, is_shared: bool, seconds: float) -> None:
        """Note what a batch of n rows took."""
        key = (n.bit_length(), is_shared)
        before = self._seconds.get(key)
        own = seconds / n
        self._seconds[key] = own if before is None else 0.75 * before + 0.25 * own


class SizedPlan:
    """A native plan for every batch size. Calls take addresses, in the order of the graph's inputs
    and outputs; the memory behind them must be contiguous."""

    def __init__(self, plans: Sequence[Plan], sizes: Sequence[int]) -> None:
        first = plans[0]
        self._plan = first
        steps: list[Any] = [s for s in first.steps if isinstance(s, NativeStep)]
        self._steps: list[Any] = [s for s in steps if s.runtime != _BLAS_THREADS]
        self._base, self._slope = _affine_numbers([_arguments(p) for p in plans], sizes)
        self._slot_bytes = _affine_numbers([p.slot_bytes for p in plans], sizes)
        self._work = max(1.0, (plans[1].work - first.work) / (sizes[1] - sizes[0]))
        self.kernels = [s.what for s in self._steps]
        compiled = iter(compile_kernels([s.spec for s in self._steps if s.spec is not None]))
        self._addresses = [
            next(compiled).address if s.spec is not None else runtime_address(s.runtime)
            for s in self._steps
        ]
        self._bound = np.array([*first.inputs, *first.outputs], np.int64)
        self._threads = worker_count() + 1
        self._sharing = _Sharing()
        self._lock = threading.Lock()
        self._free: list[_Instance] = []
        self._capacity = 0

    def is_divided(self, n: int) -> bool | None:
        """Whether a batch of n rows is to be divided among threads now; None: it is to run in one,
        and there is nothing to find out about it."""
        return self._sharing.is_worth_it(n) if self._most_parts(n) > 1 else None

    def _most_parts(self, n: int) -> int:
        return min(self._threads, n, int(n * self._work / _LEAST_WORK)) or 1

    @contextmanager
    def instance(self, n: int) -> Iterator[_Instance]:
        """What runs batches of at most n rows in one thread, for the caller alone; errors that it
        has found are raised at the end."""
        (found,) = self._taken(n, 1)
        yield found
        self._give_back([found])

    def run(self, n: int, addresses: int, strides: int, is_divided: bool | None = None) -> None:
        """Run at batch size n. `addresses` and `strides` are addresses of one word per argument:
        where its first row lies, and how many bytes lie between rows, 0 where all share one.
        `is_divided` is what the method of this name said, if it was asked."""
        self._run(n, [addresses] * self._threads, strides, is_divided)

    def run_sums(self, n: int, inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
        """The results of a plan that sums over rows, at batch size n.

        inputs : for each input a pair: its array (None if nothing needs it), and whether it has
            rows; outputs : types
        """
        parts = [[np.empty(t.shape, t.dtype) for t in outputs] for _ in range(self._threads)]
        held = [None if x is None else np.ascontiguousarray(x) for x, _ in inputs]
        given = [0 if x is None else x.ctypes.data for x in held]
        words = np.array([[*given, *[x.ctypes.data for x in part]] for part in parts], np.int64)
        steps = [
            x.strides[0] if x is not None and rows else 0
            for x, (_, rows) in zip(held, inputs, strict=True)
        ]
        strides = np.array([*steps, *[0] * len(outputs)], np.int64)
        tables = [int(words.ctypes.data + k * words.strides[0]) for k in range(len(parts))]
        count = self._run(n, tables, strides.ctypes.data)
        for part in parts[1:count]:
            for total, found in zip(parts[0], part, strict=True):
                total += found
        return parts[0]

    def _run(
        self, n: int, tables: Sequence[int], strides: int, is_divided: bool | None = None
    ) -> int:
        """Run n rows in parts; part k finds the addresses of its arguments, if it began at the
        first row, at `tables[k]`. How many parts there were."""
        set_threads, usual = set_blas_threads()
        set_threads(1)
        most = self._most_parts(n)
        if is_divided is None:
            is_divided = self.is_divided(n)
        parts = most if is_divided else 1
        start = time.perf_counter()
        instances = self._taken(n if parts == 1 else n // parts + 1, parts)
        fill, part, whole = _functions()
        if parts == 1:
            whole(instances[0].address, n, tables[0], strides)
        else:
            bounds = [n * k // parts for k in range(parts + 1)]
            for k, instance in enumerate(instances):
                begin, end = bounds[k : k + 2]
                fill(instance.address, end - begin, begin, tables[k], strides)
            blocks = np.array([i.address for i in instances], np.int64)
            table = np.array([part, blocks.ctypes.data, parts], np.int64)
            run_steps()(table.ctypes.data, 1, table.ctypes.data)
        if most > 1:
            self._sharing.learn(n, parts > 1, time.perf_counter() - start)
        set_threads(usual)
        self._give_back(instances)
        return parts

    def _give_back(self, instances: Sequence[_Instance]) -> None:
        with self._lock:
            self._free += [i for i in instances if i.capacity == self._capacity]
        for instance in instances:
            instance.check()

    def _taken(self, n: int, count: int) -> list[_Instance]:
        """Instances for batches of `n`, for the caller alone."""
        with self._lock:
            if n > self._capacity:
                self._capacity = max(64, 2 * n)
                self._free.clear()
            found = [self._free.pop() for _ in range(min(count, len(self._free)))]
            capacity = self._capacity
        return found + [self._instance(capacity) for _ in range(count - len(found))]

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
        affine = (self._base, self._slope, self._bound)
        return _Instance(plan, self._steps, self._addresses, offsets, total, affine, capacity)


class _Instance:
    """The memory of one running call of at most `capacity` rows: argument blocks, the table of
    steps, slots and arena. `address` is where native code finds it (`_INSTANCE`)."""

    def __init__(
        self,
        plan: Plan,
        steps: Sequence[NativeStep],
        addresses: Sequence[int],
        offsets: dict[int, int],
        total: int,
        affine: tuple[Any, Any, Any],
        capacity: int,
    ) -> None:
        base, slope, bound = affine
        self.capacity = capacity
        self._numbers = np.zeros(max(1, len(base)), np.int64)
        rows, at, start = [], 0, self._numbers.ctypes.data
        self._blocks = np.zeros(max(1, len(steps)), np.int64)
        for number, (step, address) in enumerate(zip(steps, addresses, strict=True)):
            self._blocks[number] = start + 8 * at
            rows.append((address, self._blocks.ctypes.data + 8 * number, 1))
            at += len(step.blocks[0])
        self._table = np.array(rows or [(0, 0, 0)], np.int64)
        self._arena = np.empty(total + ALIGNMENT, np.uint8)
        begin = -(-self._arena.ctypes.data // ALIGNMENT) * ALIGNMENT
        self._slots = np.zeros(max(1, len(plan.types)), np.int64)
        for slot, offset in offsets.items():
            self._slots[slot] = begin + offset
        for slot, value in plan.constants.items():
            self._slots[slot] = value.ctypes.data
        self._status = np.zeros(1, np.int64)
        if plan.status >= 0:
            self._slots[plan.status] = self._status.ctypes.data
        values = {
            "base": base.ctypes.data,
            "slope": slope.ctypes.data,
            "numbers": self._numbers.ctypes.data,
            "count": len(base),
            "slots": self._slots.ctypes.data,
            "bound": bound.ctypes.data,
            "bound_count": len(bound),
            "run_steps": runtime_address("run_steps"),
            "table": self._table.ctypes.data,
            "step_count": len(steps),
        }
        self._words = np.array([values[name] for name in _INSTANCE], np.int64)
        self.address = int(self._words.ctypes.data)

    def check(self) -> None:
        """Raise `BoundsError` if the steps found an index out of bounds."""
        if self._status[0]:
            self._status[0] = 0
            raise BoundsError("an index is out of bounds")


#: What the steps call that set how many threads BLAS has.
_BLAS_THREADS = "call_with_int"


@functools.cache
def set_blas_threads() -> tuple[Any, int]:
    """The function that sets how many threads BLAS uses, and how many it has outside plans: those
    of BLAS would wait for ours, and ours for them."""
    found = blas_threads()
    if found is None or found[1] == 1:
        return (lambda count: None), 1
    return ctypes.CFUNCTYPE(None, ctypes.c_int)(found[0]), found[1]


def _arguments(plan: Plan) -> list[int]:
    return [
        x
        for s in plan.steps
        if isinstance(s, NativeStep) and s.runtime != _BLAS_THREADS
        for x in s.blocks[0]
    ]


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
