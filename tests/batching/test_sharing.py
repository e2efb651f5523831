"""Large batches are divided where that was faster, and the other way is tried now and then."""

import numpy as np
import pytest

import wengert as wg
from wengert.batching import native, teams


def ways(times, alone, shared, count):
    """Which way each of a number of calls took, if a thousand rows take these nanoseconds."""
    taken = []
    for _ in range(count):
        way = teams.is_worth_it(times)
        teams.learn(times, way, shared if way else alone)
        taken.append(bool(way))
    return taken


def test_the_faster_way_is_kept():
    for alone, shared in ((1000, 500), (500, 1000)):
        taken = ways(np.zeros(len(teams.TIMES), np.int64), alone, shared, 200)
        assert set(taken[:8]) == {True, False}
        assert taken.count(shared < alone) > 180


def test_a_change_is_noticed():
    times = np.zeros(len(teams.TIMES), np.int64)
    ways(times, 1000, 500, 50)
    assert ways(times, 1000, 20000, 200).count(False) > 170
    assert ways(times, 1000, 500, 200)[64:].count(True) > 120


def test_one_slow_call_changes_nothing():
    times = np.zeros(len(teams.TIMES), np.int64)
    ways(times, 1000, 500, 50)
    teams.learn(times, 1, 4000)
    assert ways(times, 1000, 500, 50).count(True) > 40


def test_calls_that_wake_are_not_counted():
    """Dividing pays only once the workers are awake."""
    times = np.zeros(len(teams.TIMES), np.int64)
    taken = []
    for _ in range(300):
        way = teams.is_worth_it(times)
        is_first = not any(taken[-2:])
        teams.learn(times, way, (5000 if is_first else 500) if way else 1000)
        taken.append(bool(way))
    assert taken[200:].count(True) > 80


@pytest.fixture
def loss(rng):
    w = rng.standard_normal((64, 64)) / 8.0
    xs = rng.standard_normal((90, 64))

    def gradient():
        cell = wg.compile(lambda w, x: np.tanh(x @ w) * x)
        loss = lambda w: sum(np.sum(cell(w, cell(w, w[0] * x))) for x in xs)  # noqa: E731
        with wg.autobatching("always"):
            return wg.value_and_grad(loss)(w)

    return gradient


def test_results_do_not_depend_on_it(loss, monkeypatch):
    monkeypatch.setenv("WENGERT_THREADS", "3")
    monkeypatch.setattr(native, "_LEAST_WORK", 1e12)
    one = loss()
    monkeypatch.setattr(native, "_LEAST_WORK", 1)
    for _ in range(3):  # shared first, then alone, then what was faster
        other = loss()
        np.testing.assert_allclose(one[0], other[0], rtol=1e-12)
        np.testing.assert_allclose(one[1], other[1], rtol=1e-10, atol=1e-12)


def test_workers_may_sleep_afterwards(loss, monkeypatch):
    from wengert.codegen.state import STATE
    from wengert.codegen.tables import POOL

    monkeypatch.setattr(native, "_LEAST_WORK", 1)
    loss()
    pool = STATE["wengert_pool"].value
    if pool:
        kept = teams.ctypes.c_int64.from_address(pool + 8 * POOL["kept"])
        assert kept.value == 0
