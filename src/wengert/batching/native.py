"""Plans whose batch size is open: native code for every size, compiled once.

Kernels take their sizes as arguments; between two sizes of a batch only those arguments differ, and
they are affine in the size. So one plan, and the numbers `base + slope * n` for its argument
blocks, serve every size up to a capacity, which doubles when a larger batch comes. Rows do not
depend on each other: a large batch is divided among the threads of the pool, where that pays.
"""

from __future__ import annotations

import ctypes
import functools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from wengert.batching.sized import PROBES
from wengert.batching.teams import SIZES, TIMES, Team
from wengert.codegen.addresses import address
from wengert.codegen.engine import compile_kernels, runtime_address
from wengert.codegen.pool import worker_count
from wengert.graph import Graph
from wengert.plan.blas import blas_threads
from wengert.plan.plan import Plan, make_plan
from wengert.plan.steps import NativeStep

__all__ = ["SizedPlan", "one_blas_thread", "sized_plan"]


#: Work (in the units of `Plan.work`) of a part of a batch that is worth a thread.
_LEAST_WORK = 60_000


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
        self._least = max(1, math.ceil(_LEAST_WORK / self._work))
        self._times = np.zeros((SIZES, len(TIMES)), np.int64)
        self._lock = threading.Lock()
        self._free: list[Team] = []
        self._capacity = 0

    @contextmanager
    def team(self, n: int) -> Iterator[Team]:
        """What runs batches of at most n rows, for the caller alone; an error that it has found is
        raised at the end."""
        found = self._taken(n)
        yield found
        self._give_back(found)

    def run(self, n: int, addresses: int, strides: int) -> None:
        """Run at batch size n. `addresses` and `strides` are addresses of one word per argument:
        where its first row lies, and how many bytes lie between rows, 0 where all share one."""
        with self.team(n) as team, one_blas_thread():
            team.run(n, addresses, strides, 0)

    def run_sums(self, n: int, inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
        """The results of a plan that sums over rows, at batch size n.

        inputs : for each input a pair: its array (None if nothing needs it), and whether it has
            rows; outputs : types
        """
        parts = [[np.empty(t.shape, t.dtype) for t in outputs] for _ in range(self._threads)]
        held = [None if x is None else np.ascontiguousarray(x) for x, _ in inputs]
        given = [0 if x is None else address(x) for x in held]
        words = np.array([[*given, *[address(x) for x in part]] for part in parts], np.int64)
        steps = [
            x.strides[0] if x is not None and rows else 0
            for x, (_, rows) in zip(held, inputs, strict=True)
        ]
        strides = np.array([*steps, *[0] * len(outputs)], np.int64)
        with self.team(n) as team, one_blas_thread():
            count = team.run(n, address(words), address(strides), words.strides[0])
        for part in parts[1:count]:
            for total, found in zip(parts[0], part, strict=True):
                total += found
        return parts[0]

    def _give_back(self, team: Team) -> None:
        with self._lock:
            if team.capacity == self._capacity:
                self._free.append(team)
        team.check()

    def _taken(self, n: int) -> Team:
        """A team for batches of `n`, for the caller alone."""
        with self._lock:
            if n > self._capacity:
                self._capacity = max(64, 2 * n)
                self._free.clear()
            if self._free:
                return self._free.pop()
            capacity = self._capacity
        return Team(
            self._plan,
            self._steps,
            self._addresses,
            self._slot_bytes,
            (self._base, self._slope, self._bound),
            capacity,
            self._threads,
            self._least,
            self._times,
        )


#: What the steps call that set how many threads BLAS has.
_BLAS_THREADS = "call_with_int"


@functools.cache
def _set_blas_threads() -> tuple[Any, int]:
    """The function that sets how many threads BLAS uses, and how many it has outside plans."""
    found = blas_threads()
    if found is None or found[1] == 1:
        return (lambda count: None), 1
    return ctypes.CFUNCTYPE(None, ctypes.c_int)(found[0]), found[1]


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within this block BLAS uses the calling thread: its own would wait for ours, and ours for
    them."""
    set_threads, usual = _set_blas_threads()
    set_threads(1)
    try:
        yield
    finally:
        set_threads(usual)


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
