"""Budgets on every derivative beside `grad`."""

import tracemalloc

import numpy as np
import pytest

import wengert as wg
from wengert.errors import BudgetError
from wengert.transform.inline import runners

X = np.linspace(0.1, 1.0, 20_000)


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.delitem(runners, "replay")


def deep(x):
    for _ in range(30):
        x = np.sin(x) * x
    return x


def summed(x):
    for _ in range(30):
        x = np.sin(x) + x
    return np.sum(x * x)


def looped(x):
    def step(c, e):
        return np.sin(c) * np.tanh(c + e), np.sum(c * e)

    final, ys = wg.scan(step, x, np.arange(60.0) / 60.0)
    return np.sum(final) + np.sum(ys**2)


def measured(derivative):
    derivative()
    tracemalloc.start()
    result = derivative()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, peak


def test_pullbacks():
    expected, whole = measured(lambda: wg.vjp(deep, X)[1](np.ones_like(X))[0])
    budget = 20 * X.nbytes
    # The primals are copied: the pullback may run long after.
    found, peak = measured(lambda: wg.vjp(deep, X, memory=budget)[1](np.ones_like(X))[0])
    assert np.array_equal(expected, found)
    assert peak <= 1.1 * budget + 3 * X.nbytes < whole
    with pytest.raises(BudgetError):
        wg.vjp(deep, X, memory="1kB")


@pytest.mark.parametrize("mode", ["forward", "reverse", "auto"])
def test_jacobians(mode):
    x = np.linspace(0.1, 1.0, 60)
    weights = np.random.default_rng(0).standard_normal((60, 60)) / 8

    def f(x):
        for _ in range(20):
            x = np.tanh(weights @ x) * x + x
        return x

    expected, whole = measured(lambda: wg.jacobian(f, mode=mode)(x))
    for memory in ("1GB", "300kB"):
        found, _ = measured(lambda memory=memory: wg.jacobian(f, mode=mode, memory=memory)(x))
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert whole > 0


def test_hessians():
    def f(x):
        return np.sum(deep(x) ** 2)

    x = X[:10]
    np.testing.assert_array_equal(wg.hessian(f, memory="1MB")(x), wg.hessian(f)(x))
    compiled = wg.compile(lambda x: wg.hessian(f, memory="1MB")(x))
    np.testing.assert_allclose(compiled(x), wg.hessian(f)(x), rtol=1e-9)


V = np.cos(X)


@pytest.mark.parametrize("program", [summed, looped])
def test_forward_mode_needs_no_history(program):
    (value, tangent), peak = measured(lambda: wg.jvp(program, (X,), (V,)))
    assert peak < 12 * X.nbytes
    value_, pushforward = wg.linearize(program, X)
    assert value_ == value
    assert tangent == pushforward(V)


@pytest.mark.parametrize("program", [summed, looped])
def test_pushforwards(program):
    memory = 14 * X.nbytes
    (_, expected), _ = measured(lambda: wg.jvp(program, (X,), (V,)))
    _, whole = measured(lambda: wg.linearize(program, X)[1](V))
    found, peak = measured(lambda: wg.linearize(program, X, memory=memory)[1](V))
    assert found == expected == wg.jvp(program, (X,), (V,), memory=memory)[1]
    assert peak <= 1.1 * memory + 3 * X.nbytes < 0.6 * whole
    for call in (wg.linearize, lambda *a, **k: wg.jvp(*a, (V,), **k)):
        with pytest.raises(BudgetError, match="the smallest"):
            call(program, X if call is wg.linearize else (X,), memory="1kB")


@pytest.mark.parametrize("program", [summed, looped])
@pytest.mark.parametrize("share", [0.6, 0.3, 0.2])
def test_products_with_the_hessian(program, share):
    expected, whole = measured(lambda: wg.hvp(program, (X,), (V,)))
    memory = int(share * whole)
    found, peak = measured(lambda: wg.hvp(program, (X,), (V,), memory=memory))
    assert np.array_equal(expected, found)
    assert peak <= 1.1 * memory


def layers(x):
    x = np.reshape(x, (100, 200))
    weights = np.random.default_rng(0).standard_normal((200, 200)) / 14
    for _ in range(16):
        x = np.tanh(x @ weights)
    return np.sum(x * x)


@pytest.mark.parametrize("program", [layers, looped])
@pytest.mark.parametrize("share", [0.7, 0.4, 0.3])
def test_compiled_products_with_the_hessian(program, share):
    ordinary = wg.compile(lambda x, v: wg.hvp(program, (x,), (v,)))
    expected = ordinary(X, V)
    # Without a budget some 35 arrays are held at least, for 16 layers; 480 for 60 steps.
    memory = int(share * (35 if program is layers else 100) * X.nbytes)
    assert memory < ordinary.report(X, V).memory.arena
    compiled = wg.compile(lambda x, v: wg.hvp(program, (x,), (v,), memory=memory))
    np.testing.assert_allclose(compiled(X, V), expected, rtol=1e-9, atol=1e-9)
    fitted = compiled.report(X, V).fitted
    assert fitted.work > 1.0 or program is looped  # its loop is cut before that is counted
    assert fitted.measured <= memory
    assert fitted.measured <= 1.1 * fitted.predicted


@pytest.mark.parametrize("program", [lambda x: np.sum(deep(x)), looped])
def test_loops_of_other_derivatives_are_cut(program):
    expected, whole = measured(lambda: wg.vjp(program, X)[1](1.0)[0])
    memory = int(0.4 * whole)
    found, peak = measured(lambda: wg.vjp(program, X, memory=memory)[1](1.0)[0])
    assert np.array_equal(expected, found)
    assert peak <= 1.1 * memory + 3 * X.nbytes


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_jacobians_of_loops(mode):
    x = np.linspace(0.1, 1.0, 300)
    weights = np.random.default_rng(0).standard_normal((300, 300)) / 17

    def f(x):
        return wg.scan(lambda c, _: (np.tanh(weights @ c) * c + c, None), x, np.arange(100))[0]

    expected, whole = measured(lambda: wg.jacobian(f, mode=mode)(x))
    for share in (0.8, 0.5):
        memory = int(share * whole)
        found, peak = measured(lambda memory=memory: wg.jacobian(f, mode=mode, memory=memory)(x))
        np.testing.assert_allclose(found, expected, rtol=1e-11)
        assert peak <= 1.1 * memory + weights.nbytes  # a copy of what f closes over


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_directions_are_taken_in_several_sweeps(mode):
    x = np.linspace(0.1, 1.0, 120)
    weights = np.random.default_rng(0).standard_normal((120, 120)) / 11

    def f(x):
        y = np.tanh(weights[:, :, None] * np.sin(x)[:, None] * np.array([1.0, 2.0, 3.0]))
        return np.sum(y * y, axis=(1, 2))

    expected, whole = measured(lambda: wg.jacobian(f, mode=mode)(x))
    memory = whole // 8
    found, peak = measured(lambda: wg.jacobian(f, mode=mode, memory=memory)(x))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    assert peak <= 1.1 * memory + 3 * weights.nbytes  # copies of what f closes over
    compiled = wg.compile(wg.jacobian(f, mode=mode, memory="3MB"))
    np.testing.assert_allclose(compiled(x), expected, rtol=1e-9, atol=1e-12)
    assert compiled.report(x).fitted.measured <= 3_000_000


@pytest.mark.parametrize("of", ["vjp", "jvp", "hvp"])
@pytest.mark.parametrize("program", [summed, looped])
def test_explanations_of_each(of, program):
    explanation = wg.explain(program)(X)
    ordinary = explanation.memory("1GB", of=of)
    assert ordinary.predicted == ordinary.ordinary
    assert abs(ordinary.measured - ordinary.predicted) <= 0.1 * ordinary.predicted
    if of != "jvp":
        half = explanation.memory(ordinary.ordinary // 2, of=of)
        assert abs(half.measured - half.predicted) <= 0.1 * half.predicted
        assert half.measured <= 0.55 * ordinary.ordinary
        assert half.work > 1.0


def test_explanations_of_others_are_refused():
    with pytest.raises(wg.errors.ArgumentError, match="of must be one of"):
        wg.explain(summed)(X).memory("1GB", of="grad")
