"""Compiled derivatives within a budget: the same bits, in an arena that fits."""

import re

import numpy as np
import pytest

import wengert as wg
from wengert.errors import BudgetError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((50, 50))
WEIGHTS = [RNG.standard_normal((50, 50)) / 7 for _ in range(3)]


def chain(x, weights):
    for k in range(12):
        x = np.tanh(x @ weights[k % 3])
    return np.sum(x * x)


def residual(x, weights):
    for k in range(8):
        x = x + np.tanh(np.sin(x @ weights[k % 3])) * x
    return np.mean(x * x)


def shaped(x, weights):
    """Views, parts, sums and a loop between the layers."""
    for k in range(4):
        y = np.reshape(np.tanh(x @ weights[k % 3]), (25, 100))
        x = np.reshape(y - np.mean(y, axis=0), (50, 50)).T @ x
        x = np.concatenate([x[:20] * 2.0, np.sort(x[20:], axis=1)])
    final, rows = wg.scan(lambda c, row: (np.tanh(c + row), c * row), x[0], x)
    return np.sum(final) + np.sum(rows**2)


def leaves(tree):
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def smallest(f):
    with pytest.raises(BudgetError, match="the smallest that one was found for") as caught:
        wg.compile(wg.grad(f, (0, 1), memory=10))(X, WEIGHTS)
    return int(re.search(r"found for is (\d+) bytes", str(caught.value))[1])


@pytest.mark.parametrize("program", [chain, residual, shaped])
def test_the_same_bits_within_the_budget(program):
    ordinary = wg.compile(wg.grad(program, (0, 1)))
    expected = leaves(ordinary(X, WEIGHTS))
    report = ordinary.report(X, WEIGHTS)
    whole = report.memory.arena + sum(a.nbytes for a in expected)
    least = smallest(program)
    for budget in (least, (least + whole) // 2, whole):
        compiled = wg.compile(wg.grad(program, (0, 1), memory=budget))
        for _ in range(2):
            for a, b in zip(expected, leaves(compiled(X, WEIGHTS)), strict=True):
                if program is shaped:  # a cut loop adds up its cotangents piece by piece
                    assert np.max(np.abs(a - b)) <= 1e-12 * np.max(np.abs(a))
                else:
                    assert np.array_equal(a, b)
        found = compiled.report(X, WEIGHTS)
        assert found.fitted.measured <= budget
        assert 0.9 <= found.fitted.measured / found.fitted.predicted <= 1.1
        if program is shaped:  # a small budget cuts its loop into stretches: that graph takes less
            assert found.fitted.ordinary <= whole
        else:
            assert found.fitted.ordinary == whole
        assert (found.fitted.work > 1.0) >= (budget == least)
        assert budget < whole or found.fitted.work == 1.0
        assert "budget for the arena and the results" in str(found)


def test_no_budget_and_a_wide_budget_give_the_same_plan():
    ordinary = wg.compile(wg.grad(chain, (0, 1))).report(X, WEIGHTS)
    wide = wg.compile(wg.grad(chain, (0, 1), memory="1GB")).report(X, WEIGHTS)
    assert ordinary.fitted is None
    assert wide.fitted.work == 1.0
    assert [s.what for s in ordinary.steps] == [s.what for s in wide.steps]
    assert ordinary.memory.arena == wide.memory.arena


def test_a_budget_inside_a_compiled_program_holds_for_all_of_it():
    def step(x, weights):
        value, gradient = wg.value_and_grad(residual, memory="300kB")(x, weights)
        return value, x - 0.1 * gradient

    compiled = wg.compile(step)
    value, moved = compiled(X, WEIGHTS)
    expected, gradient = wg.value_and_grad(residual)(X, WEIGHTS)
    np.testing.assert_allclose(value, expected)
    np.testing.assert_allclose(moved, X - 0.1 * gradient)
    assert compiled.report(X, WEIGHTS).fitted.measured <= 300_000


def test_checkpoints_and_budgets_together():
    marked = wg.checkpoint(lambda x, w: x + np.tanh(np.sin(x @ w)) * x)

    def loss(x, weights):
        for w in weights * 3:
            x = marked(x, w)
        return np.mean(x * x)

    expected = wg.grad(loss)(X, WEIGHTS)
    whole = wg.compile(wg.grad(loss)).report(X, WEIGHTS).memory.arena + X.nbytes
    compiled = wg.compile(wg.grad(loss, memory=int(0.8 * whole)))
    np.testing.assert_allclose(compiled(X, WEIGHTS), expected, rtol=1e-10)
    assert compiled.report(X, WEIGHTS).fitted.measured <= 0.8 * whole


def test_explanations_measure_what_they_predict():
    explanation = wg.explain(lambda x: chain(x, WEIGHTS))(X)
    ordinary = explanation.memory("1GB")
    assert ordinary.predicted == ordinary.ordinary
    assert ordinary.work == 1.0
    half = explanation.memory(ordinary.ordinary // 2)
    for found in (ordinary, half):
        assert abs(found.measured - found.predicted) <= 0.1 * found.predicted
    assert half.measured <= 0.55 * ordinary.ordinary
    assert half.work > 1.0
    assert "held at most, measured" in str(half)
