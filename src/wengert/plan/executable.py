"""Running a plan: arenas, the addresses of a call, and the native calls themselves."""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.codegen.engine import runtime_address
from wengert.errors import BoundsError
from wengert.plan.memory import empty, handler_for
from wengert.plan.plan import Plan
from wengert.plan.steps import NumpyStep
from wengert.plan.storage import ALIGNMENT
from wengert.run import run

__all__ = ["Executable", "SpareMemory", "ready_array", "run_steps"]

#: Blocks that a function keeps for plans of many sizes, and the part by which they are larger than
#: the first plan needs.
_MOST_BLOCKS, _MARGIN = 2, 4


@functools.cache
def run_steps() -> Any:
    """The native loop over a table of steps: `(address of the table, count, address of slots)`."""
    # A CFUNCTYPE call releases the GIL while it runs.
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
    return kind(runtime_address("run_steps"))


class SpareMemory:
    """Memory that plans of one function for many sizes share: a call takes a block for its arena,
    and gives it back. Else each size would hold its own; and fresh memory is slow at first."""

    def __init__(self) -> None:
        self._blocks: list[Any] = []
        self._lock = threading.Lock()

    def take(self, size: int) -> Any:
        """A block of at least so many bytes."""
        with self._lock:
            block = self._blocks.pop() if self._blocks else None
        if block is None or block.nbytes < size:
            block = np.empty(size + size // _MARGIN, np.uint8)
        return block

    def give(self, block: Any) -> None:
        """A block that is needed no longer; a few are kept, the largest last."""
        with self._lock:
            self._blocks.append(block)
            self._blocks.sort(key=lambda kept: kept.nbytes)
            del self._blocks[: len(self._blocks) - _MOST_BLOCKS]


class _Arena:
    """The memory of one running call: intermediates, and the table of addresses."""

    def __init__(self, plan: Plan, block: Any = None) -> None:
        size = plan.arena_bytes + ALIGNMENT
        self.buffer = np.empty(size, np.uint8) if block is None else block
        start = self.buffer.ctypes.data
        base = -(-start // ALIGNMENT) * ALIGNMENT
        self.slots = np.zeros(max(1, len(plan.types)), np.int64)
        self.address = self.slots.ctypes.data
        self.room: Any = None
        self.status = np.zeros(1, np.int64)
        if plan.status >= 0:
            self.slots[plan.status] = self.status.ctypes.data
        self.views: list[Any] = [None] * len(plan.types)
        has_views = any(isinstance(s, NumpyStep) for s in plan.segments)
        for slot, offset in plan.offsets.items():
            self.slots[slot] = base + offset
            type_ = plan.types[slot] if has_views else None
            if type_ is not None:
                at = base - start + offset
                raw = self.buffer[at : at + type_.size * type_.dtype.itemsize]
                self.views[slot] = raw.view(type_.dtype).reshape(type_.shape)
        for slot, value in plan.constants.items():
            self.slots[slot] = value.ctypes.data
            self.views[slot] = value


class Executable:
    """A plan that can be called from many threads at once: each call takes an arena of its own."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._arenas: list[_Arena] = []
        self._output_types = [plan.graph.type(k) for k in plan.graph.outputs]
        self._handler = handler_for(self._output_types)
        self._bound = [*plan.inputs, *plan.outputs]
        # Slots are numbered so that the inputs come first; outputs stand where they fell.
        self._numpy = any(isinstance(s, NumpyStep) for s in plan.segments)
        self._cleared = [
            *self._bound,
            *(
                s.writes[0]
                for s in plan.segments
                if isinstance(s, NumpyStep) and plan.types[s.writes[0]] is None
            ),
        ]

    def own_arena(self) -> _Arena:
        """An arena for a caller that keeps it; scalar outputs have room in it."""
        try:
            arena = self._arenas.pop()  # that of the first call: its memory has been touched
        except IndexError:
            arena = _Arena(self.plan)
        scalars = [
            s for s, t in zip(self.plan.outputs, self._output_types, strict=True) if t.ndim == 0
        ]
        room = np.zeros(max(1, len(scalars)), np.float64)
        for number, slot in enumerate(scalars):
            arena.slots[slot] = room.ctypes.data + 8 * number
        arena.room = room
        return arena

    def __call__(
        self,
        arrays: Sequence[np.ndarray[Any, Any]],
        reuse: Sequence[tuple[int, int]] = (),
        spare: SpareMemory | None = None,
    ) -> list[Any]:
        """The outputs for contiguous, aligned arrays of the types of the plan's inputs.

        `reuse` holds pairs (output, input) from `donation.reusable`: the output is the input's
        array, overwritten. The arena is from `spare`, if that is given, else the plan's own.
        """
        plan = self.plan
        if reuse:
            given = {output: arrays[k] for output, k in reuse}
            outputs = [
                given[i] if i in given else empty(t.shape, t.dtype, self._handler)
                for i, t in enumerate(self._output_types)
            ]
        else:
            outputs = [empty(t.shape, t.dtype, self._handler) for t in self._output_types]
        try:
            arena = self._arenas.pop()
        except IndexError:
            if self._numpy:  # whose views are made once
                spare = None
            size = plan.arena_bytes + ALIGNMENT
            arena = _Arena(plan, None if spare is None else spare.take(size))
        else:
            spare = None
        slots = arena.slots
        for slot, array in zip(self._bound, (*arrays, *outputs), strict=True):
            slots[slot] = array.__array_interface__["data"][0]
        if self._numpy:
            views = arena.views
            for slot, array in zip(self._bound, (*arrays, *outputs), strict=True):
                views[slot] = array
        for segment in plan.segments:
            if segment.__class__ is tuple:
                run_steps()(segment[0], segment[1], arena.address)
            else:
                self._by_numpy(segment, arena.views)
        if self._numpy:
            for slot in self._cleared:  # don't keep the caller's arrays alive
                arena.views[slot] = None
        refused = bool(arena.status[0])
        arena.status[0] = 0
        if spare is None:
            self._arenas.append(arena)
        else:
            spare.give(arena.buffer)
        if refused:
            self._refuse(arrays)
        return [x if x.ndim else x[()] for x in outputs]

    def _refuse(self, arrays: Sequence[np.ndarray[Any, Any]]) -> None:
        """Raise the error of an index that is out of bounds, which native code has noted."""
        run(self.plan.graph, arrays)
        raise BoundsError("an index is out of bounds")  # of an argument that was overwritten

    def _by_numpy(self, step: NumpyStep, views: list[Any]) -> None:
        with np.errstate(all="ignore"):
            result = step.function(*[views[s] for s in step.reads])
        target = step.writes[0]
        if isinstance(result, tuple):
            # A part may look into the arena, where a later step writes.
            held = [views[s] for s in step.reads]
            views[target] = tuple(
                [
                    x
                    if not isinstance(x, np.ndarray) or (x.base is None and not _among(x, held))
                    else x.copy()
                    for x in result
                ]
            )
        else:
            np.copyto(views[target], result, casting="no")


def _among(array: Any, held: Sequence[Any]) -> bool:
    return any(array is other for other in held)


def ready_array(leaf: Any) -> Any:
    """An array that native code can read: of native byte order, C-contiguous and aligned."""
    array = np.asarray(leaf)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned else np.array(array, order="C")
