"""Linking: from the steps of a plan to the tables that native code goes through."""

from __future__ import annotations

import ctypes
import functools
import itertools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wengert.codegen.engine import compile_kernels, runtime_address
from wengert.codegen.tables import PRODUCT, SHORT, TRIAL, TRIED
from wengert.plan.steps import NativeStep, NumpyStep, moments

if TYPE_CHECKING:
    from wengert.plan.plan import Plan

__all__ = ["link"]


#: Words of a table, at least: making one takes longer than filling it.
_CHUNK = 1024


class _Linker:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.run: list[tuple[int, int, int]] = []
        #: The table that is being filled: its words, its address, and how many words are left.
        self.words = np.zeros(0, np.int64)
        self.at = self.left = 0
        #: The address of the words of the trial of this segment, once it has jobs to try.
        self.trial = 0

    def kept(self, words: Sequence[int]) -> int:
        """The address of words that live as long as the plan."""
        count = len(words)
        if self.left < max(count, 1):
            self.words = np.zeros(max(_CHUNK, count), np.int64)
            self.plan.tables.append(self.words)
            self.at, self.left = self.words.__array_interface__["data"][0], len(self.words)
        first = len(self.words) - self.left
        self.words[first : first + count] = words
        self.left -= max(count, 1)
        return int(self.at + 8 * first)

    def native(self, steps: Sequence[NativeStep], addresses: Sequence[int]) -> None:
        """Add a step, or the steps of a strip."""
        blocks = [[self.kept(args) for args in step.blocks] for step in steps]
        if len(steps) == 1 and not steps[0].is_tried:
            self.run.append((addresses[0], self.kept(blocks[0]), len(blocks[0])))
            return
        chunks = [
            self.kept([len(steps), *itertools.chain(*zip(addresses, chunk, strict=True))])
            for chunk in zip(*blocks, strict=True)
        ]
        run_strip = runtime_address("run_strip")
        if not steps[0].is_tried or not clock_address():
            self.run.append((run_strip, self.kept(chunks), len(chunks)))
            return
        if not self.trial:
            words = dict.fromkeys(TRIAL, 0) | {
                "clock": clock_address(),
                "which": time.CLOCK_MONOTONIC,
            }
            self.trial = self.kept(list(words.values()))
        marks = TRIED | (SHORT if steps[0].is_short else 0)
        self.run.append((run_strip, self.kept([self.trial, *chunks]) + 8, len(chunks) | marks))

    def end_segment(self) -> None:
        """What follows is NumPy's, or nothing."""
        if self.trial:
            given = self.kept([self.kept([self.trial])])
            self.run.insert(0, (runtime_address("begin_trial"), given, 1))
            self.run.append((runtime_address("end_trial"), given, 1))
        if self.run:
            table = np.array(self.run, np.int64)
            self.plan.tables.append(table)
            self.plan.segments.append((table.ctypes.data, len(self.run)))
        self.run, self.trial = [], 0


@functools.cache
def clock_address() -> int:
    """The address of `clock_gettime`; 0 where the C library has none."""
    try:
        function = ctypes.CDLL(None).clock_gettime
    except (OSError, AttributeError, TypeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def link(plan: Plan) -> None:
    """Compile the kernels and lay the native steps out as tables of (address, arguments)."""
    compiled = iter(compile_kernels(plan.specs))
    linker = _Linker(plan)
    numbered = zip(moments(plan.steps), plan.steps, strict=True)
    for _, group in itertools.groupby(numbered, key=lambda pair: pair[0]):
        steps: list[NativeStep] = []
        addresses: list[int] = []
        for _, step in group:
            if isinstance(step, NumpyStep):
                linker.end_segment()
                plan.segments.append(step)
                continue
            steps.append(step)
            if step.spec is not None:
                kernel = next(compiled)
                step.origin = kernel.origin
                addresses.append(kernel.address)
                if step.finish is not None:
                    finish = next(compiled).address
                    for args in step.blocks:
                        args[PRODUCT["finish"]] = finish
            else:
                addresses.append(runtime_address(step.runtime))
        if steps:
            linker.native(steps, addresses)
    linker.end_segment()
