"""Loops within a budget: the same gradients, with the history of stretches only."""

import tracemalloc

import numpy as np
import pytest

import wengert as wg
from wengert.errors import BudgetError
from wengert.run import run
from wengert.transform.graphs import vjp_graph
from wengert.transform.inline import runners
from wengert.transform.memory.entries import ordinary_peak
from wengert.transform.memory.loops import Cut, loops_within, with_cuts
from wengert.transform.memory.revolving import revolve_back, revolve_scan
from wengert.transform.memory.schedules import advances

X = np.linspace(0.1, 1.0, 4000)


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.delitem(runners, "replay")


def scanned(x, reverse=False):
    def step(c, e):
        return np.sin(c) * np.tanh(c + e), np.sum(c * e)

    final, ys = wg.scan(step, x, np.arange(90.0) / 90.0, reverse=reverse)
    return np.sum(final) + np.sum(ys**2)


def looped(x):
    def step(state):
        c, n = state
        return np.sin(c) * np.tanh(c + 0.1), n + 1

    final, _ = wg.while_loop(lambda state: state[1] < 90, step, (x, 0))
    return np.sum(final)


def measured(derivative):
    derivative(X)
    tracemalloc.start()
    result = derivative(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, peak


@pytest.mark.parametrize("program", [scanned, lambda x: scanned(x, reverse=True), looped])
def test_the_same_gradient_in_less_memory(program):
    expected, ordinary = measured(wg.grad(program))
    for share in (0.6, 0.2):
        found, peak = measured(wg.grad(program, memory=int(share * ordinary)))
        assert np.array_equal(expected, found)
        assert peak <= 1.1 * share * ordinary


@pytest.mark.parametrize("states", [0, 2, 5, 30, 200])
@pytest.mark.parametrize("share", [0.4, 1.0])
@pytest.mark.parametrize("reverse", [False, True])
def test_every_cut_is_the_same_loop(states, share, reverse):
    graph = wg.trace(lambda x: scanned(x, reverse), X)
    cut = with_cuts(graph, Cut(states * X.nbytes, share))
    cut.verify()
    whole = vjp_graph(graph, (0,), (0,), one=True)
    parts = vjp_graph(cut, (0,), (0,), one=True)
    assert ordinary_peak(parts) < ordinary_peak(whole)
    for a, b in zip(run(whole, [X]), run(parts, [X]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_loop_that_fits_is_left_alone_and_memory_falls_like_the_root():
    graph = wg.trace(scanned, X)

    def derive(g):
        return vjp_graph(g, (0,), (0,), one=True)

    whole = ordinary_peak(derive(graph))
    assert loops_within(graph, whole, derive) is graph
    assert ordinary_peak(derive(loops_within(graph, whole // 8, derive))) <= whole // 8


def test_compiled_loops_within_a_budget():
    expected = wg.grad(scanned)(X)
    whole = wg.compile(wg.grad(scanned)).report(X)
    compiled = wg.compile(wg.grad(scanned, memory=whole.memory.arena // 2))
    np.testing.assert_allclose(compiled(X), expected, rtol=1e-9, atol=1e-12)
    assert compiled.report(X).fitted.measured <= whole.memory.arena // 2


def test_a_loop_that_can_not_be_cut_enough():
    with pytest.raises(BudgetError, match="the smallest"):
        wg.grad(scanned, memory=3 * X.nbytes)(X)


@pytest.mark.parametrize("share", [0.1, 0.05])
def test_the_budget_is_used_and_the_steps_are_those_of_the_optimal_schedule(share):
    """No more steps than the closed form says for the states that the budget has room for."""
    graph = wg.trace(scanned, X)

    def derive(g):
        return vjp_graph(g, (0,), (0,), one=True)

    budget = int(share * ordinary_peak(derive(graph)))
    cut = loops_within(graph, budget, derive)
    least = ordinary_peak(derive(with_cuts(graph, Cut(0))))
    taken = ordinary_peak(derive(cut))
    assert budget - 2 * X.nbytes <= taken <= budget
    again = sum(
        advances(dict(e[2])["length"], dict(e[2])["slots"])
        for e in derive(cut).entries
        if e[0] is revolve_back
    )
    steps = sum(dict(e[2])["length"] for e in derive(cut).entries if e[0] is revolve_scan)
    assert steps == 90
    slots = (budget - least) // X.nbytes + 2
    assert steps + again <= advances(90, slots - 1) + 1
