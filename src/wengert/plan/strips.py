"""Strips: steps that follow each other chunk by chunk, without waiting in between.

Where steps are short, threads that wait for each other after each of them gain nothing. But many
steps in a row divide the same axis (the examples of a batch, the rows of a parameter), and chunk c
of each needs of the others only what chunk c has made. Such steps are a *strip*: it is cut once,
each thread goes through all steps of its chunk, and all meet at the end.

A step says by its `Cut` what it divides, and of which slots a chunk touches only its own share: the
same part of the memory as of the axis. Steps that do not depend on a strip may change places with
it, so that more of its kind come together.

(To sum the gradients of weights in parts, one per chunk, keeps more steps in a strip, and saves a
third of a matrix factorisation's gradient where cores are far from each other. But then a plan
within a memory budget, which has no strips, gives other bits, and it must give the same.)
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable, Sequence

from wengert.plan.steps import NativeStep, NumpyStep

__all__ = ["with_strips"]

#: Nanoseconds of work that a chunk must have: meeting costs some hundreds.
_LEAST_NS = 1_500
#: Nanoseconds of work that a step must have to be a strip by itself.
_LEAST_ALONE_NS = 5_000
#: A chunk with less work does not wait for threads that sleep.
_SHORT_NS = 30_000
#: Nor is it taken for granted that to share one with less work than this pays: where cores are far
#: from each other, to hand over what one has made costs more than small steps do.
_TRIED_NS = 500_000
#: Rows that a chunk must have.
_LEAST_ROWS = 8
#: How many bytes steps that are put off may read: what they read stays in memory.
_MOST_PUT_OFF = 1 << 20
#: How many bytes the steps of a strip may write: all of it is held until the strip ends.
_MOST_WRITTEN = 1 << 21
#: Among how many steps those of a strip are looked for, how many others may lie between two of
#: them, and how much work the first must be: a long list of small steps is not looked through again
#: and again.
_WINDOW, _MOST_BETWEEN, _LEAST_FIRST_NS = 64, 16, 50.0


class _Strip:
    """Steps that were found to go together, and steps put off until after them."""

    def __init__(self) -> None:
        self.steps: list[NativeStep] = []
        self.put_off: list[NativeStep] = []
        self.rows = 0
        self.put_off_bytes = 0
        self._ns = 0.0
        self._read: set[int] = set()
        self._written: set[int] = set()
        #: Slots of which some step touches more than its share.
        self._whole: set[int] = set()
        self._late_reads: set[int] = set()
        self._late_writes: set[int] = set()

    def take(self, step: NativeStep) -> bool:
        """Add a step, if its chunks depend on chunks of the same number only."""
        cut = step.cut
        if cut is None:
            return False
        reads, writes = set(step.reads), set(step.writes)
        if self._late_writes & (reads | writes) or self._late_reads & writes:
            return False
        # What depends on other steps of the strip must depend on the same chunk of them only.
        common = (reads & self._written) | (writes & (self._read | self._written))
        if not common <= cut.shares - self._whole:
            return False
        rows = math.gcd(self.rows, cut.length)
        if self.steps and rows not in (self.rows, cut.length):
            return False
        if rows < 2 * _LEAST_ROWS:
            return False
        self.rows = rows
        self._ns += cut.ns
        self.steps.append(step)
        self._read |= reads
        self._written |= writes
        self._whole |= (reads | writes) - cut.shares
        return True

    def leave(self, step: NativeStep, size: int) -> bool:
        """Put a step off until after the strip, if that does not keep much in memory."""
        if self.put_off_bytes + size > _MOST_PUT_OFF:
            return False
        self.put_off_bytes += size
        self.put_off.append(step)
        self._late_reads |= set(step.reads)
        self._late_writes |= set(step.writes)
        return True

    def chunks(self, threads: int) -> int:
        """Into how many chunks it is worth to cut the strip."""
        return min(threads, self.rows // _LEAST_ROWS, int(self._ns) // _LEAST_NS)

    def cut(self, number: int, chunks: int) -> list[NativeStep]:
        """Cut the steps; returns those that combine what their chunks have reduced."""
        after: list[NativeStep] = []
        shares = [self.rows * c // chunks // _LEAST_ROWS * _LEAST_ROWS for c in range(chunks)]
        for step in self.steps:
            assert step.cut is not None
            unit = step.cut.length // self.rows
            step.cut.apply(step, [unit * r for r in (*shares, self.rows)])
            step.strip = number
            step.is_short = self._ns < chunks * _SHORT_NS
            step.is_tried = self._ns < chunks * _TRIED_NS
            after += step.combining
        return after


def with_strips(
    steps: Sequence[NativeStep | NumpyStep], threads: int, sizes: Sequence[int]
) -> list[NativeStep | NumpyStep]:
    """The steps of a plan, some of them as strips; `sizes` are the bytes of the slots."""
    left = deque(steps)
    done: list[NativeStep | NumpyStep] = []
    number = 0
    while left:
        strip, stop = _longest(left, sizes)
        chunks = strip.chunks(threads)
        if chunks < 2 or (len(strip.steps) < 2 and not _is_worth_it(strip.steps)):
            done.append(left.popleft())
            continue
        replaced = {id(s) for step in strip.steps for s in step.combining}
        for _ in range(stop):
            left.popleft()
        while left and id(left[0]) in replaced:
            left.popleft()
        combining = strip.cut(number, chunks)
        put_off = [s for s in strip.put_off if id(s) not in replaced]
        left.extendleft(reversed([*combining, *put_off]))
        done += strip.steps
        number += 1
    return done


def _is_worth_it(steps: Sequence[NativeStep]) -> bool:
    """Whether a single step is a strip: one that is not cut yet, but is not short either."""
    return any(
        s.cut is not None and s.cut.ns > _LEAST_ALONE_NS and len(s.blocks) == 1 for s in steps
    )


def _longest(left: Iterable[NativeStep | NumpyStep], sizes: Sequence[int]) -> tuple[_Strip, int]:
    """The strip that begins with the first step, and how many steps it takes or puts off."""
    strip = _Strip()
    stop = kept = written = 0
    for number, step in enumerate(itertools.islice(left, _WINDOW)):
        # Loops, checks of indices and NumPy's steps stay where they are.
        if not isinstance(step, NativeStep) or (step.spec is None and not step.calls_blas()):
            break
        if number == 0 and (step.cut is None or step.cut.ns < _LEAST_FIRST_NS):
            break
        written += sum(sizes[s] for s in step.writes)
        if strip.steps and written > _MOST_WRITTEN:
            break
        if strip.take(step):
            stop, kept = number + 1, len(strip.put_off)
        elif not strip.steps or not strip.leave(step, sum(sizes[s] for s in step.reads)):
            break
        if number - stop > _MOST_BETWEEN:
            break
    del strip.put_off[kept:]  # nothing of the strip comes after these
    return strip, stop
