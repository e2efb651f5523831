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


# ---------------------------------------------------------------- loops inside loops

WEIGHTS = np.linspace(-0.6, 0.7, 64).reshape(8, 8)
STATE = np.linspace(-1.0, 1.0, 3200).reshape(400, 8)
OUTER, INNER = np.linspace(-1.0, 1.0, 72).reshape(9, 8), np.linspace(0.5, 1.0, 80).reshape(10, 8)


def within_each_other(w, h, us, vs, reverse=False):
    def inner(h, v):
        h = np.tanh(h @ w + v)
        return h, np.sum(h * v)

    def outer(h, u):
        h, sums = wg.scan(inner, h + u, vs, reverse=not reverse)
        return h * 0.5 + np.sin(u), (sums, np.sum(h))

    h, (a, b) = wg.scan(outer, h, us, reverse=reverse)
    return np.sum(h * h) + np.sum(a * a) + np.sum(np.cos(b))


@pytest.mark.parametrize("reverse", [False, True])
def test_loops_inside_loops_hold_states_only_too(reverse):
    def f(*args):
        return within_each_other(*args, reverse=reverse)

    args = (WEIGHTS, STATE, OUTER, INNER)
    expected = wg.grad(f, argnums=(0, 1, 2, 3))(*args)
    # Ten steps of the inner loop take twenty states at least, if it keeps all.
    derivative = wg.grad(f, argnums=(0, 1, 2, 3), memory=15 * STATE.nbytes)
    derivative(*args)
    tracemalloc.start()
    found = derivative(*args)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 1.2 * 15 * STATE.nbytes
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-9)


def three_deep(x, lengths):
    def loop(x, depth):
        if depth == len(lengths):
            return np.sin(1.1 * x) + 0.1 * x
        return wg.fori_loop(0, lengths[depth], lambda _, x: loop(x, depth + 1), x)

    return np.sum(loop(x, 0) ** 2)


@pytest.mark.parametrize("lengths", [(5, 6, 7), (2, 40), (3, 2, 20), (20, 2)])
def test_loops_of_any_depth_and_length(lengths):
    f = lambda x: three_deep(x, lengths)  # noqa: E731
    expected = wg.grad(f)(X)
    graph = wg.trace(f, X)
    derive = lambda g: vjp_graph(g, (0,), (0,))  # noqa: E731
    outer = ordinary_peak(derive(with_cuts(graph, Cut(0))))
    both = ordinary_peak(derive(with_cuts(graph, Cut(0, inner=True))))
    assert both <= outer
    found, peak = measured(wg.grad(f, memory=both + 2 * X.nbytes))
    assert peak <= 1.15 * (both + 2 * X.nbytes)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_second_derivatives_of_loops_inside_loops():
    f = lambda x: three_deep(x, (6, 8))  # noqa: E731
    x = X[:50]
    expected = wg.grad(lambda x: np.sum(wg.grad(f)(x) * x))(x)
    cut = with_cuts(wg.trace(f, x), Cut(0, inner=True))
    first = vjp_graph(cut, (0,), (0,))
    _, gradient = run(first, [x, 1.0])
    np.testing.assert_allclose(gradient, wg.grad(f)(x), rtol=1e-12)
    *_, found = run(vjp_graph(first, (0,), (1,)), [x, 1.0, x])
    np.testing.assert_allclose(found, expected - gradient, rtol=1e-9, atol=1e-12)


def test_compiled_loops_inside_loops():
    f = lambda x: three_deep(x, (30, 30))  # noqa: E731
    expected = wg.grad(f)(X)
    compiled = wg.compile(wg.grad(f, memory=30 * X.nbytes))
    np.testing.assert_allclose(compiled(X), expected, rtol=1e-11)
    assert compiled.report(X).fitted.measured <= 30 * X.nbytes
