"""Loops of unknown length within a budget: states are kept while the loop runs."""

import tracemalloc

import numpy as np
import pytest

import wengert as wg
from wengert.transform.inline import runners
from wengert.transform.memory import online, revolving
from wengert.transform.memory.online import States
from wengert.transform.memory.schedules import advances_online, kept_online

X = np.linspace(0.1, 1.0, 20_000)
W = np.linspace(-0.5, 0.9, 20_000)


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.delitem(runners, "replay")


def looped(x, w, steps=90):
    """The carries include a counter; the loop reads a constant."""

    def step(state):
        c, n = state
        return np.sin(c) * np.tanh(c + w), n + 1

    final, _ = wg.while_loop(lambda state: state[1] < steps, step, (x, 0))
    return np.sum(final * w)


def measured(derivative):
    derivative(X, W)
    tracemalloc.start()
    result = derivative(X, W)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, peak


@pytest.mark.parametrize("slots", [2, 3, 7, 20, 50])
@pytest.mark.parametrize("steps", [1, 2, 9, 40, 333])
def test_what_is_kept(slots, steps):
    states = States(max(1, slots // 2))
    for step in range(steps):
        states.pass_by(step, [step])
    assert sorted(states.held) == kept_online(steps, slots)
    assert all(value == [step] for step, value in states.held.items())


@pytest.mark.parametrize("share", [0.5, 0.2, 0.1, 0.06])
@pytest.mark.parametrize("argnums", [0, (0, 1)])
def test_the_same_gradient_in_less_memory(share, argnums):
    expected, ordinary = measured(wg.grad(looped, argnums))
    memory = int(share * ordinary)
    found, peak = measured(wg.grad(looped, argnums, memory=memory))
    assert peak <= 1.1 * memory + 2 * X.nbytes  # copies of the arguments
    for a, b in zip(np.atleast_2d(expected), np.atleast_2d(found), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 17])
def test_short_loops(steps):
    expected = wg.grad(lambda x: looped(x, W, steps))(X)
    for states in (12, 20, 1000):
        found = wg.grad(lambda x: looped(x, W, steps), memory=states * X.nbytes)(X)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_steps_are_counted_online(monkeypatch):
    runs = []
    real = revolving.run
    monkeypatch.setattr(revolving, "run", lambda g, a: runs.append(g) or real(g, a))
    seen = []
    within = online.states_within
    monkeypatch.setattr(online, "states_within", lambda *a: seen.append(within(*a)) or seen[-1])
    wg.grad(looped, memory=24 * X.nbytes)(X, W)
    (slots,) = seen
    assert 6 <= slots <= 20
    # Each of 90 steps runs once more where it is reversed.
    assert len(runs) == advances_online(90, slots) + 90
