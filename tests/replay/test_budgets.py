"""Binding budgets: a structure that comes back runs natively, within the budget."""

import tracemalloc

import numpy as np
import pytest

import wengert as wg
from wengert.replay.state import statistics

RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 100))
WEIGHTS = [RNG.standard_normal((100, 100)) / 10 for _ in range(3)]


def chain(x, weights):
    for k in range(12):
        x = np.tanh(x @ weights[k % 3])
    return np.sum(x * x)


@pytest.mark.parametrize("states", [8, 10])
def test_native_within_the_budget(states):
    expected = wg.grad(chain)(X, WEIGHTS)
    gradient = wg.grad(chain, memory=states * X.nbytes)
    with wg.replaying("always"):
        gradient(X, WEIGHTS)
        before = statistics["native"]
        tracemalloc.start()
        found = gradient(X, WEIGHTS)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert statistics["native"] == before + 1
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    # Copies of what the program closes over come with the arguments.
    assert peak <= 1.1 * states * X.nbytes + sum(w.nbytes for w in WEIGHTS)


def test_what_native_code_has_no_room_for_is_interpreted():
    def sorted_chain(x):
        for _ in range(12):
            x = np.sort(np.tanh(x @ WEIGHTS[0]), axis=1)
        return np.sum(x * x)

    expected = wg.grad(sorted_chain)(X)
    with wg.replaying("always"):
        gradient = wg.grad(sorted_chain, memory=12 * X.nbytes)
        for _ in range(2):
            np.testing.assert_allclose(gradient(X), expected, rtol=1e-10, atol=1e-12)


def test_each_budget_has_a_plan_of_its_own():
    expected = wg.grad(chain)(X, WEIGHTS)
    with wg.replaying("always"):
        for states in (8, 12, 8, 100):
            found = wg.grad(chain, memory=states * X.nbytes)(X, WEIGHTS)
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
