"""Budgets on `vjp`, `jacobian` and `hessian`."""

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
