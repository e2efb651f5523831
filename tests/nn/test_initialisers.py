"""Initialisers: shape, dtype, variance, and the same weights from the same seed."""

import numpy as np
import pytest

from wengert.nn import glorot_uniform, he_normal, lecun_normal

N_IN, N_OUT = 300, 200


@pytest.mark.parametrize(
    ("initialiser", "variance"),
    [
        (glorot_uniform, 2 / (N_IN + N_OUT)),
        (he_normal, 2 / N_IN),
        (lecun_normal, 1 / N_IN),
    ],
)
def test_mean_and_variance(initialiser, variance, rng):
    weights = initialiser(rng, N_IN, N_OUT)
    assert weights.shape == (N_IN, N_OUT)
    assert weights.dtype == np.float64
    # 60,000 samples: the relative standard error of a variance is below 1 %
    assert weights.var() == pytest.approx(variance, rel=0.03)
    assert abs(weights.mean()) < 4 * np.sqrt(variance / weights.size)


@pytest.mark.parametrize("initialiser", [glorot_uniform, he_normal, lecun_normal])
def test_seed_and_dtype(initialiser):
    first, second = (initialiser(np.random.default_rng(7), 3, 2, np.float32) for _ in range(2))
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, second)


def test_glorot_uniform_stays_within_its_bound(rng):
    assert abs(glorot_uniform(rng, N_IN, N_OUT)).max() <= np.sqrt(6 / (N_IN + N_OUT))
