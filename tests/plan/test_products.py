"""Which kernels of products a graph will need, and how they are given their operands."""

import numpy as np
import pytest

import wengert as wg
from wengert.codegen.kernel import ProductSpec
from wengert.optimise import optimise
from wengert.plan import Executable, make_plan, unlinked_plan
from wengert.plan.products import foreseen
from wengert.run import run


def planned(graph):
    return {spec for spec in unlinked_plan(graph).specs if isinstance(spec, ProductSpec)}


def test_what_is_foreseen_is_what_plans_ask_for():
    small, large = np.zeros((20, 30), np.float32), np.zeros((30, 40))
    for f, arrays in (
        (lambda x: x @ x.T, (small,)),
        (lambda x, y: (x.T @ x, y @ y.T), (small, large)),
        (lambda x: np.sum(x * x), (large,)),
        (lambda x, v: x @ v, (large, np.zeros(40))),  # BLAS multiplies vectors
    ):
        graph = wg.compile(f).optimized(*arrays)
        assert set(foreseen(graph)) == planned(graph)


def turned_copies(f, *arrays):
    """How many the plan makes, whose results are checked."""
    graph = optimise(wg.trace(f, *arrays)).graph
    executable = Executable(make_plan(graph))
    for found, wanted in zip(executable(arrays), run(graph, arrays), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    return sum(s.what == "turned copy" for s in executable.plan.steps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_several_products_read_transposed_is_turned_once(dtype, rng):
    def array(*shape):
        return rng.normal(size=shape).astype(dtype)

    x, w = array(32, 21), array(43, 21)
    assert turned_copies(lambda x, w: (x @ w.T, np.tanh(x) @ w.T), x, w) == 1
    assert turned_copies(lambda x, w: (x @ np.tanh(w).T, np.tanh(x) @ np.tanh(w).T), x, w) == 1
    assert turned_copies(lambda x, w: (x @ w.T, np.tanh(x) @ w.T, w.T), x, w) == 1
    square = array(40, 40)
    assert turned_copies(lambda a: (a @ a.T, (a + 1.0) @ a.T, np.tanh(a) @ a), square) == 1
    cube = array(4, 10, 40)
    assert (
        turned_copies(lambda a, c: (a @ c.reshape(40, 40).T) @ (c.reshape(40, 40).T), square, cube)
        == 0
    )
    # One that is used once, or by many rows each time, costs little.
    assert turned_copies(lambda x, w: x @ w.T, x, w) == 0
    many = array(200, 21)
    assert turned_copies(lambda x, w: (x @ w.T, np.tanh(x) @ w.T), many, w) == 0
