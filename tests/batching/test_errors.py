"""Errors while batches run."""

import numpy as np
import pytest

import wengert as wg
from wengert.errors import BoundsError


@wg.compile
def pick(table, x, index):
    return np.tanh(table[index] + x)


@pytest.mark.parametrize("index", [9, -10, 10**12])
def test_an_index_outside_its_axis_in_a_batch_of_compiled_functions(index):
    table = np.random.default_rng(0).standard_normal((9, 4))

    def loss(indices):
        return lambda t: sum(np.sum(pick(t, t[0], np.array(k))) for k in indices)

    good = [1, 2, -9, 8] * 4
    with wg.autobatching("never"):
        wanted = wg.grad(loss(good))(table)
    with wg.autobatching("always"):
        with pytest.raises(BoundsError, match=f"index {index} is out of bounds"):
            wg.grad(loss([1, index, 2, 3] * 4))(table)
        np.testing.assert_allclose(wg.grad(loss(good))(table), wanted, atol=1e-12)
