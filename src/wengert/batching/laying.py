"""Writing down what native code does for the batches of a signature: their actions (`actions`).

An *argument* of a plan and a *move* of rows are described once for all batches of a signature, by
a few words each; native code writes from that what each batch needs. In Python it would take as
long as running a small batch.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from wengert.batching.actions import ADD, GATHER, NOTHING, RUN, SCATTER, WORDS
from wengert.batching.adding import kernel_address
from wengert.batching.places import Column, Rows
from wengert.codegen.addresses import address
from wengert.codegen.engine import words_addresses
from wengert.codegen.restricted import words
from wengert.codegen.tables import numbered
from wengert.graph.tuples import NamedTuple

__all__ = ["Actions", "Argument", "Move"]

#: For batch b an argument lies at `first + places[b] * stride`; where `is_direct[b]`, at
#: `direct + begins[b] * direct_stride`. A list of places that is 0 stands for zeros.
_ARGUMENT = numbered("first", "stride", "places", "is_direct", "direct", "direct_stride", "begins")
#: Rows are moved between those of an arena that `numbers` names and those from
#: `own + places[b] * stride` on, where `is_needed[b]`: from the arena if there is no `kernel`; else
#: to it, and added where not `is_single[b]`. `rows` is how many the arena has.
_MOVE = numbered(
    *("arena", "numbers", "stride", "own", "places", "is_needed"),
    *("is_single", "kernel", "rows", "size"),
)
_ARGUMENT_WORDS, _MOVE_WORDS = len(_ARGUMENT), len(_MOVE)
#: What is common to all batches of a signature.
_COMMON = numbered(
    *("batches", "starts", "sizes", "team", "table", "arity", "strides"),
    *("arguments", "moves", "move_count", "run_at"),
)


@words
def _place(argument, b):
    """Where an argument of batch b lies."""
    if argument[_ARGUMENT["is_direct"]] != 0 and argument[_ARGUMENT["is_direct"]][b] != 0:
        begin = argument[_ARGUMENT["begins"]][b]
        return argument[_ARGUMENT["direct"]] + begin * argument[_ARGUMENT["direct_stride"]]
    if argument[_ARGUMENT["places"]] == 0:
        return argument[_ARGUMENT["first"]]
    place = argument[_ARGUMENT["places"]][b]
    return argument[_ARGUMENT["first"]] + place * argument[_ARGUMENT["stride"]]


@words
def _lay_move(action, move, start, size, b):
    """Write the action of a move of batch b, which begins at node `start` of its signature."""
    action[0] = NOTHING
    if move[_MOVE["is_needed"]][b] == 0:
        return 0
    stride = move[_MOVE["stride"]]
    own = move[_MOVE["own"]]
    if move[_MOVE["places"]] != 0:
        own += move[_MOVE["places"]][b] * stride
    action[1] = move[_MOVE["arena"]]
    action[2] = move[_MOVE["numbers"]] + 8 * start
    action[3] = size
    action[4] = stride
    action[5] = own
    if move[_MOVE["kernel"]] == 0:
        action[0] = GATHER
    elif move[_MOVE["is_single"]][b] != 0:
        action[0] = SCATTER
    else:
        action[0] = ADD
        action[4] = move[_MOVE["size"]]
        action[6] = move[_MOVE["kernel"]]
        action[7] = move[_MOVE["rows"]]
    return 0


@words
def lay(common, actions):
    """Write the addresses of the arguments and the actions of all batches."""
    arity = common[_COMMON["arity"]]
    arguments = common[_COMMON["arguments"]]
    moves = common[_COMMON["moves"]]
    count = common[_COMMON["move_count"]]
    run_at = common[_COMMON["run_at"]]
    table = common[_COMMON["table"]]
    action = actions
    for b in range(common[_COMMON["batches"]]):
        start = common[_COMMON["starts"]][b]
        size = common[_COMMON["sizes"]][b]
        for k in range(arity):
            table[k] = _place(arguments + 8 * _ARGUMENT_WORDS * k, b)
        for k in range(count + 1):
            if k == run_at:
                action[0] = RUN
                action[1] = common[_COMMON["team"]]
                action[2] = size
                action[3] = table
                action[4] = common[_COMMON["strides"]]
            else:
                m = k
                if k > run_at:
                    m = k - 1
                _lay_move(action, moves + 8 * _MOVE_WORDS * m, start, size, b)
            action += 8 * WORDS
        table += 8 * arity
    return 0


@functools.cache
def _lay() -> Any:
    (found,) = words_addresses([lay])
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(found)


class Argument(NamedTuple):
    """One argument of all batches: for batch b it lies among `rows` from `places[b]` on (None: from
    the first on), or, if it `is_direct[b]`, from `begins[b]` on in the `arena`; or it is a value
    that all share."""

    rows: Rows | None
    places: Any
    value: Any = None
    arena: Rows | None = None
    is_direct: Any = None
    begins: Any = None

    def array(self, b: int, n: int) -> Any:
        """What NumPy gets for batch b."""
        if self.arena is not None and self.is_direct[b]:
            return self.arena.array[self.begins[b] :][:n]
        if self.rows is None:
            return self.value
        return self.rows.array[0 if self.places is None else self.places[b] :][:n]

    def words(self) -> tuple[int, ...]:
        """`_ARGUMENT`."""
        rows, arena = self.rows, self.arena
        if rows is None:
            return (address(self.value), 0, 0, 0, 0, 0, 0)
        places = 0 if self.places is None else address(self.places)
        if arena is None:
            return (rows.address, rows.stride, places, 0, 0, 0, 0)
        direct = (address(self.is_direct), arena.address, arena.stride, address(self.begins))
        return (rows.address, rows.stride, places, *direct)


class Move(NamedTuple):
    """Rows that are copied before a batch runs (those of an operand), or added after it has (a
    cotangent's), between the places that `column` names in an arena and `rows`, from `places[b]`
    on (None: from the first on); `is_needed` says for which batches."""

    column: Column
    arena: Rows
    rows: Rows
    places: Any
    is_needed: Any

    def words(self, *, is_back: bool) -> tuple[int, ...]:
        """`_MOVE`."""
        array = self.arena.array
        places = 0 if self.places is None else address(self.places)
        arena = (self.arena.address, address(self.column.rows), self.arena.stride)
        common = (*arena, self.rows.address, places, address(self.is_needed))
        if not is_back:
            return (*common, 0, 0, 0, 0)
        size = array[0].size if len(array) else 0
        kernel = kernel_address(array.dtype)
        return (*common, address(self.column.is_single), kernel, len(array), size)


class Actions:
    """What native code does for each batch of a signature, one way: `width` actions for each,
    `step` bytes apart from `first` on. `starts` and `sizes` are those of the batches."""

    def __init__(
        self,
        plan: Any,
        starts: Any,
        sizes: Any,
        arguments: Sequence[Argument],
        moves: Sequence[Move],
        stack: ExitStack,
        *,
        is_back: bool,
    ) -> None:
        batches, arity = len(sizes), len(arguments)
        self.width = len(moves) + 1
        words = np.empty((batches, self.width, WORDS), np.int64)
        table = np.empty((batches, arity), np.int64)
        given = np.array([a.words() for a in arguments] or [()], np.int64)
        strides = given[:, _ARGUMENT["stride"]].copy() if arity else given
        moved = np.array([m.words(is_back=is_back) for m in moves] or [()], np.int64)
        team = stack.enter_context(plan.team(int(sizes.max())))
        values = {
            "batches": batches,
            "starts": address(starts),
            "sizes": address(sizes),
            "team": team.address,
            "table": address(table),
            "arity": arity,
            "strides": address(strides),
            "arguments": address(given),
            "moves": address(moved),
            "move_count": len(moves),
            "run_at": 0 if is_back else len(moves),
        }
        common = np.array([values[name] for name in _COMMON], np.int64)
        self.first, self.step = address(words), words.strides[0]
        _lay()(address(common), self.first)
        #: What the actions refer to, besides the memory of arguments and moves.
        self._held = (words, table, strides, arguments, moves)
