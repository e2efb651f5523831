"""Activations: values against closed forms, derivatives in both modes."""

import numpy as np
import pytest
import scipy.special

import wengert as wg
from wengert import nn

POINTS = np.array([-30.0, -2.5, -0.3, 0.2, 1.0, 4.0, 30.0])

REFERENCES = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0.0),
    "leaky_relu": lambda x: np.where(x < 0, 0.01 * x, x),
    "tanh": np.tanh,
    "sigmoid": scipy.special.expit,
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "silu": lambda x: x * scipy.special.expit(x),
    "gelu": lambda x: x * scipy.special.ndtr(x),
    "softmax": scipy.special.softmax,
    "log_softmax": scipy.special.log_softmax,
}


@pytest.mark.parametrize("name", REFERENCES)
def test_values_and_dtype(name):
    activation, expected = getattr(nn, name), REFERENCES[name](POINTS)
    # cancellation in gelu at -30: both forms are zero to rounding there
    np.testing.assert_allclose(activation(POINTS), expected, rtol=1e-13, atol=1e-14)
    single = activation(POINTS.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("name", REFERENCES)
def test_derivatives(name):
    wg.check_grads(getattr(nn, name), (POINTS / 10,), order=2, modes=("forward", "reverse"))


@pytest.mark.parametrize("activation", [nn.softmax, nn.log_softmax])
def test_softmax_along_another_axis(activation, rng):
    x = rng.normal(size=(3, 4))
    np.testing.assert_allclose(activation(x, axis=0), activation(x.T).T, rtol=1e-14)


def test_softmax_neither_overflows_nor_loses_its_gradient():
    logits = np.array([1000.0, 0.0, -1000.0])
    np.testing.assert_array_equal(nn.softmax(logits), [1.0, 0.0, 0.0])
    gradient = wg.grad(lambda z: nn.log_softmax(z)[1])(logits)
    np.testing.assert_allclose(gradient, [-1.0, 1.0, 0.0])


def test_leaky_relu_takes_its_right_slope_at_the_tie():
    assert wg.grad(nn.leaky_relu)(0.0) == 1.0
