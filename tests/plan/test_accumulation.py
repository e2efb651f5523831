"""Sums with a product as one step: the same numbers, fewer passes over memory."""

import numpy as np
import pytest

import wengert as wg
from wengert.optimise import optimise
from wengert.plan import Executable, make_plan
from wengert.plan.donation import reusable
from wengert.run import run


def planned(f, *args):
    graph = optimise(wg.trace(f, *args)).graph
    executable = Executable(make_plan(graph))
    wanted = run(graph, args)
    for _ in range(2):
        for found, expected in zip(executable(args), wanted, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
            assert found.dtype == expected.dtype
    return executable.plan


@pytest.fixture
def operands(rng):
    return [rng.normal(size=shape) for shape in ((48, 20), (30, 48), (30, 20))]


SUMS = {
    "w - rate * product": lambda w, x, g: w - 0.1 * (x.T @ g),
    "w + product": lambda w, x, g: w + x.T @ g,
    "product + w": lambda w, x, g: x.T @ g + w,
    "w - -product": lambda w, x, g: w - (-(x.T @ g)),
    "w + negative multiple": lambda w, x, g: w + (x.T @ g) * -0.1,
    "scaled": lambda w, x, g: (w, 0.3 * (x.T @ g)),
    "two products": lambda w, x, g: x.T @ g + (x * 2.0).T @ (g + 1.0),
    "own factor": lambda w, x, g: w - np.sum(g) * (x.T @ g),
}


@pytest.mark.parametrize("name", SUMS)
def test_sums_of_one_step(name, operands):
    made = planned(SUMS[name], *operands)
    kernels = [s.what for s in made.steps if s.what.startswith("kernel")]
    assert not [k for k in kernels if "subtract" in k]
    assert all(len(s.entries) > 0 for s in made.steps)
    assert [s for s in made.steps if "product" in s.what and len(s.entries) > 1]


def test_several_products_are_added_up_in_place(operands):
    """Whoever reads the sum: the products of a sweep over a sequence do not lie side by side."""
    w, x, g = operands

    def several(w, x, g):
        total = x.T @ g
        for k in range(1, 6):
            total = total + (x + k).T @ (g * k)
        return np.tanh(total + w)

    made = planned(several, w, x, g)
    added = [s for s in made.steps if "added" in s.what]
    assert len(added) == 5
    assert all(len(s.entries) >= 2 for s in added)
    planned(lambda w, x, g: several(w, x, g) - several(w, g @ g.T @ x, g), w, x, g)


KEPT = {
    "what a nest reads, of two": lambda w, x, g: np.tanh(x.T @ g + (x * 2.0).T @ g),
    "a product used twice": lambda w, x, g: (w - 0.1 * (x.T @ g), (x.T @ g) * 2.0),
    "a multiple used twice": lambda w, x, g: (w - 0.1 * (x.T @ g), 0.1 * (x.T @ g)),
    "an output": lambda w, x, g: (x.T @ g, w + x.T @ g),
    "from a product": lambda w, x, g: x.T @ g - w,
    "a row": lambda w, x, g: x.T @ g + g[0],
    "an array times": lambda w, x, g: w - w * (x.T @ g),
    "what a nest computes": lambda w, x, g: np.tanh(w) + x.T @ g,
    "what a nest reads": lambda w, x, g: np.tanh(w + x.T @ g),
}


@pytest.mark.parametrize("name", KEPT)
def test_sums_that_stay_apart(name, operands):
    planned(KEPT[name], *operands)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_long_sum_in_parts(dtype, rng):
    w, x, g = (rng.normal(size=s).astype(dtype) for s in ((16, 24), (700, 16), (700, 24)))
    graph = optimise(wg.trace(lambda w, x, g: w - 0.5 * (x.T @ g), w, x, g)).graph
    (found,) = Executable(make_plan(graph))([w, x, g])
    exact = w.astype("g") - 0.5 * (x.T.astype("g") @ g.astype("g"))
    assert np.max(np.abs(found - exact)) < 700 * np.finfo(dtype).eps * 4.0


def test_a_donated_parameter_is_added_to_in_place(operands):
    w, x, g = operands

    def f(w, x, g):
        return w - 0.1 * (x.T @ g)

    made = planned(f, w, x, g)
    assert reusable(made, [0]) == [(0, 0)]
    own = w.copy()
    (found,) = Executable(made)([own, x, g], [(0, 0)])
    assert found is own
    np.testing.assert_allclose(found, f(w, x, g), rtol=1e-12)
    square = np.ascontiguousarray(w[:20])
    made = planned(lambda w, v: (w + w @ v,), square, square + 1.0)
    assert reusable(made, [0]) == [], "a product needs all of its operands until its end"
