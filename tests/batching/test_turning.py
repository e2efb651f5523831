"""Weights that the way back reads transposed."""

import numpy as np

import wengert as wg
from wengert.batching.turning import turned_inputs, with_turned
from wengert.run import run


def test_matrices_that_are_read_transposed(rng):
    x, w, v = rng.standard_normal((7, 12)), rng.standard_normal((16, 12)), rng.standard_normal(12)
    graph = wg.compile(lambda x, w, v: (x * v) @ w.T).optimized(x, w, v)
    assert turned_inputs(graph, [1, 2]) == [1]
    turned = with_turned(graph, [1]).verify()
    (before,), (after,) = run(graph, [x, w, v]), run(turned, [x, np.ascontiguousarray(w.T), v])
    np.testing.assert_allclose(before, after)
    assert with_turned(graph, []) is graph


def test_other_matrices_stay(rng):
    x, w = rng.standard_normal((7, 12)), rng.standard_normal((12, 12))
    for function in (
        lambda x, w: x @ w,  # as it lies
        lambda x, w: x @ w.T + x @ w,  # both ways
        lambda x, w: x @ w.T + np.sum(w),  # otherwise, too
        lambda x, w: (x @ w.T, w),
        lambda x, w: w.T @ x.T,  # the first operand
        lambda x, w: x[:2] @ w.T,  # too few rows for a kernel of our own
    ):
        assert turned_inputs(wg.compile(function).optimized(x, w), [1]) == []


def test_the_way_back_reads_them_turned(rng):
    """Of three rows and more, and after the weights have changed."""
    w, b = rng.standard_normal((24, 24)) / 5, rng.standard_normal(24)
    xs = rng.standard_normal((40, 24))
    cell = wg.compile(lambda w, b, x: np.tanh(x @ w + b))

    for n in (40, 3, 11):

        def loss(w, b, n=n):
            return sum(np.sum(cell(w, b, cell(w, b, x))) for x in xs[:n])

        for factor in (1.0, -0.5):
            with wg.autobatching("always") as reports:
                value, found = wg.value_and_grad(loss, (0, 1))(factor * w, b)
            with wg.autobatching("never"):
                wanted = wg.value_and_grad(loss, (0, 1))(factor * w, b)
            np.testing.assert_allclose(value, wanted[0], rtol=1e-12)
            for one, other in zip(found, wanted[1], strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    assert reports[-1].batched
