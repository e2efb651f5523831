"""Trials: the way that took less time is kept, until the next trial."""

import ctypes

import numpy as np
import pytest

from wengert.codegen.engine import runtime_address
from wengert.codegen.tables import TRIAL

CLOCK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int64, ctypes.POINTER(ctypes.c_int64))
KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


class Plan:
    """A plan whose calls take as long as is said."""

    def __init__(self, alone, shared):
        self.times = {1: alone, 0: shared}
        self.now = 999_999_000
        self.asked = 0

        @CLOCK
        def clock(which, place):
            assert which == 7
            self.asked += 1
            place[0], place[1] = divmod(self.now, 10**9)
            return 0

        self.clock = clock
        self.words = np.zeros(len(TRIAL), np.int64)
        self.words[TRIAL["clock"]] = ctypes.cast(clock, ctypes.c_void_p).value
        self.words[TRIAL["which"]] = 7
        self.args = np.array([self.words.ctypes.data], np.int64)

    def call(self):
        """One call; whether it was kept to one thread."""
        begin, end = (KERNEL(runtime_address(x)) for x in ("begin_trial", "end_trial"))
        begin(None, self.args.ctypes.data)
        is_alone = int(self.words[TRIAL["is_alone"]])
        self.now += self.times[is_alone]
        end(None, self.args.ctypes.data)
        return is_alone


@pytest.mark.parametrize(
    ("alone", "shared", "kept"), [(900, 500, 0), (500, 900, 1), (500, 490, 1), (500, 500, 1)]
)
def test_the_better_way_is_kept(alone, shared, kept):
    plan = Plan(alone, shared)
    assert {plan.call() for _ in range(32)} == {0, 1}
    asked = plan.asked
    assert {plan.call() for _ in range(990)} == {kept}
    assert plan.asked == asked, "only trials look at the clock"


def test_later_trials_may_find_otherwise():
    plan = Plan(900, 500)
    assert not [plan.call() for _ in range(1024)][-1]
    plan.times[0] = 5000
    assert [plan.call() for _ in range(1024)][-1]
    plan.times[0] = 100
    assert not [plan.call() for _ in range(1024)][-1]


def test_a_call_that_was_held_up_does_not_count():
    plan = Plan(900, 500)
    for number in range(32):
        plan.times[0] = 90_000 if number in (24, 29) else 500
        plan.call()
    assert not plan.call()


def test_those_who_sleep_are_woken_when_sharing_is_tried():
    plan = Plan(900, 500)
    asked = []
    for _ in range(1024 + 40):
        plan.call()
        asked.append(int(plan.words[TRIAL["wakes"]]))
    assert [number for number, one in enumerate(asked) if one] == [16, 1024 + 16]
