"""`memory=`: the same gradients to the bit, within the budget, or an error that says what is."""

import random
import re
import tracemalloc

import numpy as np
import pytest

import wengert as wg
from wengert.errors import ArgumentError, BudgetError
from wengert.run.budget import parse_memory
from wengert.transform.inline import runners
from wengert.transform.memory.entries import fitted_graph, ordinary_peak

RNG = np.random.default_rng(0)
X = RNG.standard_normal((150, 150))
WEIGHTS = [RNG.standard_normal((150, 150)) / 10 for _ in range(3)]


def chain(x, weights):
    for k in range(12):
        x = np.tanh(x @ weights[k % 3])
    return np.sum(x * x)


def residual(x, weights):
    for k in range(8):
        x = x + np.tanh(np.sin(x @ weights[k % 3])) * x
    return np.mean(x * x)


def skips(x, weights):
    """Like a U-net: what the way down makes is read on the way up."""
    kept = []
    for k in range(5):
        x = np.tanh(x @ weights[k % 3])
        kept.append(x)
    for k in range(5):
        x = np.sin(x * kept.pop() + x @ weights[k % 3])
    return np.sum(x)


def forced(x, weights):
    """A Python loop that asks for values."""
    count = 0
    while np.sum(x * x) > 1e-3 and count < 15:
        x = 0.9 * np.tanh(x @ weights[count % 3])
        count += 1
    return np.sum(x * x)


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    """The same kernels with and without a budget: those of NumPy."""
    monkeypatch.delitem(runners, "replay")


PROGRAMS = [chain, residual, skips, forced]


def leaves(tree):
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def measured(derivative, *args):
    """The result, and the peak of what NumPy held meanwhile."""
    derivative(*args)
    tracemalloc.start()
    result = derivative(*args)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, peak


def smallest(f, *args):
    """The smallest feasible budget, from the error."""
    with pytest.raises(BudgetError, match="the smallest that one was found for is") as caught:
        wg.grad(f, (0, 1), memory=10)(*args)
    return int(re.search(r"found for is (\d+) bytes", str(caught.value))[1])


@pytest.mark.parametrize("program", PROGRAMS)
def test_gradients_are_the_same_bits_and_the_peak_is_as_predicted(program):
    expected = leaves(wg.grad(program, (0, 1))(X, WEIGHTS))
    least = smallest(program, X, WEIGHTS)
    for budget in (least, int(1.3 * least), 2 * least):
        found, peak = measured(wg.grad(program, (0, 1), memory=budget), X, WEIGHTS)
        for a, b in zip(expected, leaves(found), strict=True):
            assert np.array_equal(a, b)
        assert peak <= 1.1 * budget


@pytest.mark.parametrize("seed", range(8))
def test_random_programs_and_random_budgets(seed):
    draw = random.Random(seed)

    def program(x, y):
        values = [x, y]
        for _ in range(draw.randrange(5, 25)):
            a, b = draw.choice(values[-4:]), draw.choice(values)
            kind = draw.choice(["sin", "tanh", "add", "multiply", "product", "mean", "part"])
            if kind in ("sin", "tanh"):
                values.append(getattr(np, kind)(a))
            elif kind == "product":
                values.append(a @ b * 0.1)
            elif kind == "mean":
                values.append(a - np.mean(b, axis=0))
            elif kind == "part":
                values.append(np.concatenate([a[:10].T.reshape(10, 20), b[10:] * 2.0]))
            else:
                values.append(getattr(np, kind)(a, b))
        return np.sum(np.tanh(values[-1])) + np.sum(values[len(values) // 2] ** 2)

    x, y = RNG.standard_normal((2, 20, 20))
    state = draw.getstate()
    graph_peak = []
    for share in (1.0, 0.9, 0.7, 0.5, 0.3):
        draw.setstate(state)
        if share == 1.0:
            expected, peak = measured(wg.grad(program, (0, 1)), x, y)
            graph_peak.append(peak)
            draw.setstate(state)
            expected = wg.grad(program, (0, 1))(x, y)
            continue
        try:
            found = wg.grad(program, (0, 1), memory=int(share * graph_peak[0]))(x, y)
        except BudgetError:
            continue
        for a, b in zip(expected, found, strict=True):
            assert np.array_equal(a, b)


def test_a_budget_that_does_not_bind_changes_nothing():
    graph = wg.trace(chain, X, WEIGHTS)
    peak = ordinary_peak(graph)
    assert fitted_graph(graph, peak).graph is graph
    assert fitted_graph(graph, peak).work == 1.0


def test_a_fitted_graph_is_a_graph():
    captured = wg.trace(lambda x, w: wg.grad(residual, (0, 1))(x, w), X, WEIGHTS)
    fitted = fitted_graph(captured, ordinary_peak(captured) // 2)
    fitted.graph.verify()
    assert fitted.graph.input_types == captured.input_types
    assert fitted.graph.output_types == captured.output_types
    assert fitted.peak == ordinary_peak(fitted.graph) <= ordinary_peak(captured) // 2
    assert fitted.work > 1.0


def test_higher_derivatives_keep_to_a_budget():
    def loss(x):
        return residual(x, WEIGHTS)

    def slope(memory=None):
        return wg.grad(lambda x: np.sum(np.sin(wg.grad(loss)(x))), memory=memory)

    expected, peak = measured(slope(), X)
    found, less = measured(slope(int(0.6 * peak)), X)
    assert np.array_equal(expected, found)
    assert less <= 0.66 * peak + len(WEIGHTS) * X.nbytes  # copies of what the program closes over


def test_values_and_auxiliary_results():
    expected = wg.value_and_grad(lambda x: (chain(x, WEIGHTS), x[0] * 2), has_aux=True)(X)
    found = wg.value_and_grad(lambda x: (chain(x, WEIGHTS), x[0] * 2), has_aux=True, memory="2MB")(
        X
    )
    assert expected[0][0] == found[0][0]
    assert np.array_equal(expected[0][1], found[0][1])
    assert np.array_equal(expected[1], found[1])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (4096, 4096),
        ("200MB", 200_000_000),
        ("1.5 GiB", 3 << 29),
        ("64k", 64_000),
        ("10KiB", 10_240),
        ("7", 7),
        ("7B", 7),
        (np.int64(5), 5),
        ("2tb", 2 * 10**12),
    ],
)
def test_amounts_of_memory(text, count):
    assert parse_memory(text) == count


@pytest.mark.parametrize("text", ["", "200 MBs", "lots", "-5MB", "1e6", 2.5, None, True, "MB", [1]])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(ArgumentError, match="is not an amount of memory"):
        parse_memory(text)


@pytest.mark.parametrize("text", [0, -1, "0MB", "0.1B"])
def test_a_budget_is_positive(text):
    with pytest.raises(ArgumentError, match="must be a positive number of bytes"):
        parse_memory(text)


def test_a_bad_budget_is_refused_before_the_call():
    with pytest.raises(ArgumentError, match="200MB"):
        wg.grad(chain, memory="much")
