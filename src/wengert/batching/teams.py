"""Running a plan whose batch size is open, in parts on several threads where that pays.

An *instance* is the memory of one running call: argument blocks, slots, arena. A *team* is an
instance for each part of a batch, and what native code needs to divide it: rows do not depend on
each other. Which way is faster depends on the size, on the machine and on what else runs there, so
calls are timed (some tens of nanoseconds each) and the faster way is taken.

Parts find their thread in the pool, whose workers look for work for some microseconds before they
sleep, and are kept from it between the batches of a sequence; a batch that takes long anyway wakes
them.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.codegen.engine import runtime_address, words_addresses
from wengert.codegen.restricted import Static, call, scratch, words
from wengert.codegen.tables import POOL, SHORT, numbered
from wengert.errors import BoundsError
from wengert.plan.linking import clock_address
from wengert.plan.plan import Plan
from wengert.plan.steps import NativeStep
from wengert.plan.storage import ALIGNMENT, Lifetime, layout

__all__ = ["SIZES", "TIMES", "Team", "is_worth_it", "keep", "learn", "run_rows"]


#: What native code reads of an instance: the affine numbers of the argument blocks, where they go,
#: and how many there are; the slots, those of arguments, and how many; what runs the steps.
_INSTANCE = numbered(
    *("base", "slope", "numbers", "count"),
    *("slots", "bound", "bound_count"),
    *("run_steps", "table", "step_count"),
)
#: And of a team: its instances, how many, rows that a part has at least; the step that runs all
#: parts; the times of its plan; the function of a clock.
_TEAM = numbered("instances", "most", "least", "run_steps", "table", "times", "clock")
#: What is known of batches of a size, by its number of bits: how many calls there were; how long a
#: thousand rows took, in nanoseconds, alone and shared; how many of the last calls were divided.
TIMES = numbered("calls", "alone", "shared", "divided")
SIZES, _TIMES_WORDS = 64, len(TIMES)
_POOL = Static("wengert_pool")
#: In so many calls the other way is tried so often; at first each way is. Of divided ones that
#: follow each other the first are not counted: they wake those who help with the others.
_AGAIN, _EACH, _UNCOUNTED = 64, 4, 2
_CLOCK = getattr(time, "CLOCK_MONOTONIC", 0)
#: Batches that take fewer nanoseconds wake nobody, but for the first of a sequence.
_SHORT_NS = 50_000


@words
def fill(instance, n, begin, addresses, strides):
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
def run_part(_slots, instance):
    """Run the steps of an instance that is filled; with the arguments of a kernel."""
    return call(
        instance[_INSTANCE["run_steps"]],
        instance[_INSTANCE["table"]],
        instance[_INSTANCE["step_count"]],
        instance[_INSTANCE["slots"]],
    )


@words
def is_worth_it(times):
    """Whether to divide a batch now, from the `TIMES` of its size; counts the call."""
    calls = times[TIMES["calls"]]
    times[TIMES["calls"]] = calls + 1
    found = 0
    if times[TIMES["shared"]] < times[TIMES["alone"]]:
        found = 1
    if calls % _AGAIN < _EACH:
        found = 1 - found
    if calls < 2 * _EACH:
        found = calls < _EACH
    if found != 0:
        times[TIMES["divided"]] += 1
    else:
        times[TIMES["divided"]] = 0
    return found


@words
def learn(times, is_shared, took):
    """Note what a thousand rows took, in the call that was counted last. A longer time may be that
    of something else that ran: it counts less."""
    if is_shared != 0 and times[TIMES["divided"]] <= _UNCOUNTED:
        return 0
    which = TIMES["alone"] + is_shared
    before = times[which]
    if before == 0 or took < before:
        times[which] = took + 1
    else:
        times[which] = before + (took - before + 7) // 8
    return 0


@words
def now(clock):
    """Nanoseconds."""
    place = scratch(2)
    call(clock, _CLOCK, place)
    return place[0] * 1_000_000_000 + place[1]


@words
def keep(is_kept):
    """Keep the workers of the pool awake, or let them sleep."""
    pool = _POOL[0]
    if pool != 0:
        pool[POOL["kept"]] = is_kept
    return 0


@words
def is_kept():
    """Whether the workers are kept awake."""
    pool = _POOL[0]
    if pool == 0:
        return 0
    return pool[POOL["kept"]]


@words
def run_whole(instance, n, addresses, strides):
    """Run `n` rows on this thread."""
    fill(instance, n, 0, addresses, strides)
    run_part(0, instance)
    return 1


@words
def run_divided(team, parts, n, addresses, strides, step, mark):
    """Run `n` rows in parts."""
    instances = team[_TEAM["instances"]]
    table = team[_TEAM["table"]]
    for k in range(parts):
        begin = n * k // parts
        end = n * (k + 1) // parts
        fill(instances[k], end - begin, begin, addresses + k * step, strides)
    table[2] = parts + mark
    keep(1)
    call(team[_TEAM["run_steps"]], table, 1, table)
    return parts


@words
def run_rows(team, n, addresses, strides, step):
    """Run `n` rows; returns in how many parts. Part k finds the addresses of its arguments, if it
    began at the first row, `k * step` bytes after `addresses`."""
    instances = team[_TEAM["instances"]]
    parts = n // team[_TEAM["least"]]
    if parts > team[_TEAM["most"]]:
        parts = team[_TEAM["most"]]
    if parts < 2:
        return run_whole(instances[0], n, addresses, strides)
    bits = 0
    rest = n
    while rest > 0:
        bits += 1
        rest = rest >> 1
    times = team[_TEAM["times"]] + 8 * _TIMES_WORDS * bits
    clock = team[_TEAM["clock"]]
    is_shared = is_worth_it(times)
    began = now(clock)
    if is_shared != 0:
        mark = 0
        if is_kept() != 0 and times[TIMES["alone"]] * n < 1000 * _SHORT_NS:
            mark = SHORT
        run_divided(team, parts, n, addresses, strides, step, mark)
    else:
        run_whole(instances[0], n, addresses, strides)
        parts = 1
    learn(times, is_shared, (now(clock) - began) * 1000 // n)
    return parts


@words
def run_alone(team, n, addresses, strides, step):
    """`run_rows`, of a batch that no other one follows."""
    parts = run_rows(team, n, addresses, strides, step)
    keep(0)
    return parts


@functools.cache
def _functions() -> tuple[int, Any]:
    """The address of `run_part`, and `run_alone`."""
    found = words_addresses([run_part, run_alone])
    word = ctypes.c_int64
    return found[0], ctypes.CFUNCTYPE(word, *[word] * 5)(found[1])


class Team:
    """What runs batches of at most `capacity` rows, for one caller at a time. `address` is where
    native code finds it.

    offsets : where slots lie in the arena of an instance, of `size` bytes
    affine : base and slope of the argument blocks' numbers, and the slots of arguments
    least : how many rows a part has at least
    times : the `TIMES` of the plan, a row for each size
    """

    def __init__(
        self,
        plan: Plan,
        steps: Sequence[NativeStep],
        addresses: Sequence[int],
        slot_bytes: tuple[Any, Any],
        affine: tuple[Any, Any, Any],
        capacity: int,
        threads: int,
        least: int,
        times: Any,
    ) -> None:
        self.capacity = capacity
        offsets, size = _arena(plan, steps, slot_bytes, capacity)
        most = max(1, min(threads, capacity // least)) if clock_address() else 1
        self._instances = [
            _Instance(plan, steps, addresses, offsets, size, affine) for _ in range(most)
        ]
        self._blocks = np.array([i.address for i in self._instances], np.int64)
        part, self._run_alone = _functions()
        self._table = np.array([part, self._blocks.ctypes.data, 1], np.int64)
        self._times = times
        values = {
            "instances": self._blocks.ctypes.data,
            "most": most,
            "least": least,
            "run_steps": runtime_address("run_steps"),
            "table": self._table.ctypes.data,
            "times": times.ctypes.data,
            "clock": clock_address(),
        }
        self._words = np.array([values[name] for name in _TEAM], np.int64)
        self.address = int(self._words.ctypes.data)

    def run(self, n: int, addresses: int, strides: int, step: int) -> int:
        """`run_rows`, of a batch that no other one follows."""
        return int(self._run_alone(self.address, n, addresses, strides, step))

    def check(self) -> None:
        """Raise `BoundsError` if the steps found an index out of bounds."""
        failed = [instance.has_failed() for instance in self._instances]
        if any(failed):
            raise BoundsError("an index is out of bounds")


def _arena(
    plan: Plan, steps: Sequence[NativeStep], slot_bytes: tuple[Any, Any], capacity: int
) -> tuple[dict[int, int], int]:
    """Where the slots of intermediates lie, and how many bytes they take."""
    base, slope = slot_bytes
    sizes = base + slope * capacity
    own = {*plan.inputs, *plan.outputs, *plan.constants}
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for number, step in enumerate(steps):
        for slot in step.uses:
            first.setdefault(slot, number)
            last[slot] = number
    return layout([Lifetime(s, int(sizes[s]), first[s], last[s]) for s in first if s not in own])


class _Instance:
    """The memory of one running call: argument blocks, the table of steps, slots and arena.
    `address` is where native code finds it (`_INSTANCE`)."""

    def __init__(
        self,
        plan: Plan,
        steps: Sequence[NativeStep],
        addresses: Sequence[int],
        offsets: dict[int, int],
        size: int,
        affine: tuple[Any, Any, Any],
    ) -> None:
        base, slope, bound = affine
        self._numbers = np.zeros(max(1, len(base)), np.int64)
        rows, at, start = [], 0, self._numbers.ctypes.data
        self._blocks = np.zeros(max(1, len(steps)), np.int64)
        for number, (step, address) in enumerate(zip(steps, addresses, strict=True)):
            self._blocks[number] = start + 8 * at
            rows.append((address, self._blocks.ctypes.data + 8 * number, 1))
            at += len(step.blocks[0])
        self._table = np.array(rows or [(0, 0, 0)], np.int64)
        self._arena = np.empty(size + ALIGNMENT, np.uint8)
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

    def has_failed(self) -> bool:
        """Whether the steps found an index out of bounds since this was asked last."""
        found = bool(self._status[0])
        self._status[0] = 0
        return found
