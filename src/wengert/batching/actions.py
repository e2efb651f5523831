"""Batches that follow one another, as one call of native code.

All that a batch does is known before anything runs: rows are copied to where its operands want
them, its steps run, rows are added to where they belong. Each is an *action*, eight words; a
sequence has for each batch where its actions are, and how many. So a sweep over small batches
spends its time on their rows, not in Python.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from wengert.batching.adding import ADDING_WORDS, fill_adding
from wengert.batching.native import one_blas_thread
from wengert.batching.teams import keep, run_rows
from wengert.codegen.engine import words_addresses
from wengert.codegen.restricted import call, scratch, words

__all__ = ["ADD", "GATHER", "NOTHING", "RUN", "SCATTER", "WORDS", "run_sequence"]

WORDS = 8
#: Kinds of actions, and what stands in their words.
#:
#: GATHER : memory, row numbers, how many, bytes of a row, target: put these rows one after another
#: SCATTER : the same, the other way: put rows that lie one after another into those of the memory
#: RUN : team of a plan, batch size, addresses of its arguments, strides of these
#: ADD : memory, row numbers, how many, elements of a row, what is added, kernel, rows of the memory
NOTHING, GATHER, SCATTER, RUN, ADD = range(5)


@words
def _add(action):
    """Add rows to those that numbers name (`adding`)."""
    slots = scratch(3)
    slots[0] = action[1]
    slots[1] = action[5]
    slots[2] = action[2]
    given = scratch(ADDING_WORDS)
    fill_adding(given, action[3], action[4], action[7])
    return call(action[6], slots, given)


@words
def _act(actions, count, copy):
    """Do some actions."""
    for k in range(count):
        action = actions + 64 * k
        if action[0] == RUN:
            run_rows(action[1], action[2], action[3], action[4], 0)
        elif action[0] == GATHER:
            for i in range(action[3]):
                source = action[1] + action[2][i] * action[4]
                call(copy, action[5] + i * action[4], source, action[4])
        elif action[0] == SCATTER:
            for i in range(action[3]):
                target = action[1] + action[2][i] * action[4]
                call(copy, target, action[5] + i * action[4], action[4])
        elif action[0] == ADD:
            _add(action)
    return 0


@words
def _follow(sequence, count, copy):
    """Do the actions of batches one after another."""
    for k in range(count):
        _act(sequence[2 * k], sequence[2 * k + 1], copy)
    keep(0)
    return 0


@functools.cache
def _functions() -> tuple[Any, int]:
    (found,) = words_addresses([_follow])
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 3)
    return kind(found), ctypes.cast(ctypes.memmove, ctypes.c_void_p).value or 0


def run_sequence(sequence: Any, begin: int, end: int) -> None:
    """Do the actions of the batches from `begin` to `end` of a sequence: an array with a row for
    each, where its actions begin and how many they are."""
    follow, copy = _functions()
    with one_blas_thread():
        follow(sequence.ctypes.data + 16 * begin, end - begin, copy)


assert np.dtype(np.int64).itemsize * WORDS == 64
