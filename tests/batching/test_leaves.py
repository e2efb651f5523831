"""Rows of leaves, put one after another."""

import numpy as np

import wengert as wg
from wengert.batching import leaves


def test_rows_of_all_layouts(rng):
    plain = [rng.standard_normal((3, 4)) for _ in range(5)]
    turned = rng.standard_normal((4, 3)).T
    frozen = rng.standard_normal((3, 4))
    frozen.flags.writeable = False
    spread = rng.standard_normal((3, 8))[:, ::2]
    for values in ([], plain, [frozen, *plain], [*plain, turned, *plain], [spread, turned]):
        target = np.empty((len(values), 3, 4))
        leaves.copy_rows(values, target)
        for row, value in zip(target, values, strict=True):
            np.testing.assert_array_equal(row, value)


def test_rows_without_elements():
    target = np.empty((2, 0))
    leaves.copy_rows([np.empty(0), np.empty(0)], target)


def test_the_layout_of_arrays_is_checked():
    wg.compile(lambda x: 2 * x)(np.ones(3))  # loads native code
    assert leaves._are_arrays_known() == leaves.is_layout_known()


def test_leaves_that_are_not_contiguous(rng):
    w = rng.standard_normal((6, 12)).T[:, :6]
    xs = rng.standard_normal((40, 24))[:, ::2]

    def loss(w):
        return sum(np.sum(np.tanh(x @ w)) for x in xs)

    with wg.autobatching("always"):
        batched = wg.value_and_grad(loss)(w)
    with wg.autobatching("never"):
        singly = wg.value_and_grad(loss)(w)
    np.testing.assert_allclose(batched[0], singly[0], rtol=1e-12)
    np.testing.assert_allclose(batched[1], singly[1], rtol=1e-10, atol=1e-12)
