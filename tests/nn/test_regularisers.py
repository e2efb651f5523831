"""`nn.dropout`."""

import numpy as np
import pytest

import wengert as wg
from wengert.errors import ArgumentError

KEY = wg.random.key(5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("wrap", [lambda f: f, wg.compile], ids=["interpreted", "compiled"])
def test_a_part_is_left_out_and_the_mean_stays(wrap, dtype):
    x = np.ones((100, 200), dtype)
    y = wrap(lambda x, key: wg.nn.dropout(x, 0.25, key))(x, KEY)
    assert y.dtype == dtype
    assert set(np.unique(y)) == {0.0, dtype(1) / dtype(0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.01
    assert abs(y.mean() - 1) < 0.02


def test_the_derivative_is_that_of_the_same_draw():
    x = np.linspace(1.0, 2.0, 50)
    y = wg.nn.dropout(x, 0.4, KEY)
    gradient = wg.grad(lambda x: np.sum(wg.nn.dropout(x, 0.4, KEY)))(x)
    np.testing.assert_allclose(gradient, np.where(y == 0, 0.0, 1 / 0.6))


def test_every_call_of_a_compiled_step_draws_with_its_own_key():
    step = wg.compile(wg.grad(lambda x, key: np.sum(wg.nn.dropout(x, 0.5, key) ** 2)))
    x = np.ones(100)
    first, second, again = (step(x, wg.random.fold_in(KEY, k)) for k in (0, 1, 0))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)


def test_the_rate():
    x = np.ones(3)
    assert wg.nn.dropout(x, 0, KEY) is x
    np.testing.assert_array_equal(
        wg.nn.dropout(np.ones(50), np.float64(0.5), KEY), wg.nn.dropout(np.ones(50), 0.5, KEY)
    )
    with pytest.raises(ArgumentError, match="rate=1 is not from 0 to below 1"):
        wg.nn.dropout(x, 1, KEY)
