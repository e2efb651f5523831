"""Invertible steps in loops: nothing of a step is kept."""

import numpy as np
import pytest

import wengert as wg
from wengert.run import run
from wengert.transform.control.joining import joined_loops
from wengert.transform.graphs import forward_graph, vjp_graph
from wengert.transform.memory.entries import ordinary_peak

X = np.linspace(0.1, 1.0, 400)
W = np.linspace(-0.4, 0.5, 400)


def plain(x, w, e):
    a, b = x
    a = a + np.sin(b) * w
    return a, b + np.tanh(a) * e


def back(y, w, e):
    a, b = y
    b = b - np.tanh(a) * e
    return a - np.sin(b) * w, b


coupling = wg.invertible(plain, back)


def loop(step, reverse=False, length=40):
    """Carries: a pair that is handed on by two steps, and one that goes through; results."""

    def f(x, w):
        def body(c, e):
            pair, fixed = c
            pair = step(step(pair, w, e), fixed * w, 0.5)
            return (pair, fixed), np.sum(pair[0]) * e

        elements = np.linspace(0.0, 1.0, length) * np.mean(x)
        (pair, fixed), ys = wg.scan(body, ((x, x * w), w * 2.0), elements, reverse=reverse)
        return np.sum(pair[0] * pair[1]) + np.sum(ys * ys) + np.sum(fixed)

    return f


@pytest.mark.parametrize("reverse", [False, True])
def test_the_gradient(reverse):
    expected = wg.grad(loop(plain, reverse), (0, 1))(X, W)
    found = wg.grad(loop(coupling, reverse), (0, 1))(X, W)
    compiled = wg.compile(wg.grad(loop(coupling, reverse), (0, 1)))(X, W)
    for a, b, c in zip(expected, found, compiled, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(c, a, rtol=1e-8, atol=1e-10)


def test_memory_does_not_grow_with_the_length():
    def peak(step, length):
        graph = wg.trace(loop(step, length=length), X, W)
        return ordinary_peak(vjp_graph(graph, (0, 1), (0,), one=True))

    # Beside the steps there are elements, results and their cotangents: a number each.
    assert peak(coupling, 400) <= peak(coupling, 40) + 4 * 8 * 360 < 40 * X.nbytes
    assert peak(plain, 400) > 1000 * X.nbytes


def test_higher_derivatives():
    def product(step):
        return wg.hvp(loop(step, length=9), (X, W), (np.cos(X), np.sin(W)))

    for a, b in zip(product(plain), product(coupling), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-7, atol=1e-9)

    def twice(step):
        inner = wg.grad(loop(step, length=9))
        return wg.grad(lambda x, w: np.sum(inner(x, w) ** 2), (0, 1))(X, W)

    for a, b in zip(twice(plain), twice(coupling), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-7, atol=1e-7)
    graph = wg.trace(wg.grad(loop(coupling)), X, W)
    product_graph = joined_loops(forward_graph(graph, (0, 1)).graph).graph
    assert ordinary_peak(product_graph) < 80 * X.nbytes


def test_batches():
    def rows(step):
        return wg.vmap(wg.grad(loop(step, length=5)), in_axes=(0, None))(np.stack([X, X * 0.5]), W)

    np.testing.assert_allclose(rows(coupling), rows(plain), rtol=1e-8, atol=1e-10)


def test_counted_loops():
    def f(step):
        def body(_, pair):
            return step(pair, W, 0.3)

        return lambda x: np.sum(wg.fori_loop(0, 30, body, (x, x * 2.0))[0])

    np.testing.assert_allclose(wg.grad(f(coupling))(X), wg.grad(f(plain))(X), rtol=1e-8)


def test_what_can_not_be_undone_is_kept():
    """The second operand of the step is made from the state that is to be recovered."""

    def f(step):
        def body(pair, e):
            return step(pair, np.cos(pair[0]), e), None

        return lambda x: np.sum(wg.scan(body, (x, x * 2.0), np.linspace(0.0, 1.0, 10))[0][0])

    np.testing.assert_allclose(wg.grad(f(coupling))(X), wg.grad(f(plain))(X), rtol=1e-8)
    graph = wg.trace(f(coupling), X)
    assert len(run(vjp_graph(graph, (0,), (0,), one=True), [X])) == 2
