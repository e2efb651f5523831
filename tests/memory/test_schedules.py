"""Binomial checkpointing: the counts are those of the closed form, and the schedules keep them."""

import functools
from math import comb

import numpy as np
import pytest

from wengert.transform.memory.schedules import (
    advances,
    advances_online,
    capacity,
    kept_online,
    repetitions,
    revolve,
)


def counted(steps, slots):
    """The forward steps of a schedule, having checked that each action is possible."""
    stored, current, total, reversed_ = {0}, 0, 0, []
    for what, step in revolve(steps, slots):
        if what == "advance":
            assert step > current >= 0
            total += step - current
            current = step
        elif what == "store":
            assert step == current
            stored.add(step)
            assert len(stored) <= slots
        elif what == "restore":
            assert step in stored
            current = step
        elif what == "free":
            stored.remove(step)
        else:
            assert what == "reverse"
            assert step == current
            reversed_.append(step)
            current = -1
    assert reversed_ == list(range(steps - 1, -1, -1))
    return total


def test_the_closed_form_is_the_optimum():
    @functools.cache
    def optimum(n, s):
        if n == 1:
            return 0
        if s == 1:
            return n * (n - 1) // 2
        return min(m + optimum(n - m, s - 1) + optimum(m, s) for m in range(1, n))

    for n in range(1, 50):
        for s in range(1, 10):
            assert advances(n, s) == optimum(n, s)


def test_counts_for_every_length_to_2000_and_every_number_of_slots_to_50():
    steps = np.arange(1, 2001)
    for slots in range(1, 51):
        repeats = np.array([repetitions(int(n), slots) for n in (1, 2000)])
        found = np.array([advances(int(n), slots) for n in steps])
        expected = np.zeros(2000, np.int64)
        # Between C(s + r - 1, s) and C(s + r, s) each further step costs r.
        for r in range(1, int(repeats[1]) + 1):
            low, high = comb(slots + r - 1, slots), min(comb(slots + r, slots), 2000)
            if low >= 2000:
                break
            inside = np.arange(low + 1, high + 1)
            expected[low:high] = expected[low - 1] + r * (inside - low)
        assert np.array_equal(found, expected)


def test_what_slots_and_repetitions_reach():
    for slots in range(1, 12):
        for repeats in range(6):
            reach = capacity(slots, repeats)
            assert reach == comb(slots + repeats, slots)
            assert repetitions(reach, slots) == repeats
            assert repetitions(reach + 1, slots) == repeats + 1


@pytest.mark.parametrize("slots", [1, 2, 3, 5, 8, 13, 50])
def test_schedules_take_as_many_steps_as_the_closed_form_says(slots):
    lengths = [*range(1, 40), 100, 333, 1000, 2000] if slots > 1 else range(1, 60)
    for n in lengths:
        assert counted(n, slots) == advances(n, slots)


def test_square_root_and_logarithm():
    # Chen et al. 2016: about one more forward run in memory of order sqrt(n).
    assert advances(10_000, 200) <= 2 * 10_000
    # Memory of order log n for n log n work.
    for n in (100, 1000, 10_000):
        slots = 2 * int(np.log2(n))
        assert advances(n, slots) <= n * np.log2(n)


def test_a_loop_of_unknown_length_costs_a_small_factor():
    worst = 0.0
    for slots in (4, 6, 10, 20, 50):
        for n in range(1, 2001, 7):
            held = kept_online(n, slots)
            assert len(held) <= max(1, slots // 2)
            assert held[0] == 0
            known = max(advances(n, slots), n)
            worst = max(worst, (n + advances_online(n, slots)) / known)
    assert worst < 2.5


@pytest.mark.parametrize(("slots", "less"), [(4, 0.06), (10, 0.16), (50, 0.25)])
def test_keeping_states_online_takes_less_than_counting_first(slots, less):
    lengths = range(1, 2001)
    ratios = [(n + advances_online(n, slots)) / (n + advances(n, slots)) for n in lengths]
    assert round(1 - sum(ratios) / len(ratios), 2) == less


def test_a_loop_of_a_thousand_steps():
    assert [round(advances(1000, slots) / 1000, 2) for slots in (50, 10)] == [1.95, 3.64]
