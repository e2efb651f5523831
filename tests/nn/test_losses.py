"""Losses: closed forms, derivatives, extreme logits, and labels of the wrong shape."""

import numpy as np
import pytest

import wengert as wg
from wengert import nn
from wengert.errors import ShapeError


@pytest.fixture
def logits(rng):
    return rng.normal(size=(5, 3))


LABELS = np.array([0, 2, 1, 1, 0])


def test_softmax_cross_entropy_is_minus_the_log_probability(logits):
    expected = [-np.log(nn.softmax(row)[label]) for row, label in zip(logits, LABELS, strict=True)]
    np.testing.assert_allclose(nn.softmax_cross_entropy(logits, LABELS), expected)


def test_softmax_cross_entropy_gradient_is_probability_minus_one_hot(logits):
    gradient = wg.grad(lambda z: nn.softmax_cross_entropy(z, LABELS).sum())(logits)
    np.testing.assert_allclose(gradient, nn.softmax(logits) - np.eye(3)[LABELS], atol=1e-15)


def test_softmax_cross_entropy_of_one_example(logits):
    one = nn.softmax_cross_entropy(logits[0], 2)
    assert np.shape(one) == ()
    assert one == nn.softmax_cross_entropy(logits, LABELS * 0 + 2)[0]


def test_softmax_cross_entropy_survives_extreme_logits():
    logits = np.array([[1e4, 0.0], [0.0, 1e4]])
    labels = np.array([0, 0])
    loss, gradient = wg.value_and_grad(lambda z: nn.softmax_cross_entropy(z, labels).sum())(logits)
    assert loss == 1e4
    np.testing.assert_array_equal(gradient, [[0.0, 0.0], [-1.0, 1.0]])


def test_losses_differentiate_in_both_modes(logits):
    targets = np.linspace(0.0, 1.0, logits.size).reshape(logits.shape)
    for loss in (
        lambda z: nn.softmax_cross_entropy(z, LABELS),
        lambda z: nn.sigmoid_cross_entropy(z, targets),
        lambda z: nn.squared_error(z, targets),
    ):
        wg.check_grads(loss, (logits,), order=2, modes=("forward", "reverse"))


def test_sigmoid_cross_entropy_is_minus_the_log_probability(logits):
    yes = nn.sigmoid(logits)
    for label, probability in ((1.0, yes), (0.0, 1 - yes)):
        np.testing.assert_allclose(
            nn.sigmoid_cross_entropy(logits, np.full(logits.shape, label)), -np.log(probability)
        )


@pytest.mark.parametrize("shape", [(5, 3), (4,), (), (5, 1)])
def test_labels_of_the_wrong_shape_are_refused(logits, shape):
    with pytest.raises(ShapeError, match=r"labels must have shape \(5,\)") as caught:
        nn.softmax_cross_entropy(logits, np.zeros(shape, dtype=int))
    assert f"but have {shape}" in str(caught.value)
    assert "argmax" in str(caught.value)


def test_accuracy(logits):
    assert nn.accuracy(logits, logits.argmax(axis=1)) == 1.0
    assert nn.accuracy(np.eye(4), np.array([0, 1, 0, 0])) == 0.5
