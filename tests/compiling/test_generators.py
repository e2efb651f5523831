"""A compiled function that draws from NumPy's generators is warned of."""

import warnings

import numpy as np
import pytest

import wengert as wg

rng = np.random.default_rng(3)
X = np.ones(3)


class Noisy:
    """A program with a generator of its own."""

    def __init__(self):
        self.rng = np.random.default_rng(4)

    def loss(self, x):
        return np.sum(x * self.rng.normal(size=3))


noisy = Noisy()


def of_a_global(x):
    return np.sum(x * rng.normal(size=3))


def of_a_closure():
    own = np.random.RandomState(2)
    return lambda x: np.sum(x * own.normal(size=3))


@pytest.mark.parametrize(
    "f",
    [
        of_a_global,
        of_a_closure(),
        noisy.loss,
        lambda x: noisy.loss(x),
        lambda x: np.sum(x * np.random.normal(size=3)),  # noqa: NPY002
        wg.value_and_grad(of_a_global),
        wg.value_and_grad(wg.checkpoint(of_a_global)),
    ],
)
def test_draws_are_warned_of_once(f):
    compiled = wg.compile(f)
    with pytest.warns(UserWarning, match=r"drew from a random generator.*wg\.random"):
        compiled(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled(X)


def test_a_generator_that_does_not_draw_is_no_matter():
    keep = rng
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wg.compile(lambda x: x * (2 if keep is rng else 3))(X)
