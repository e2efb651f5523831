"""The three steps: what each step computes, and that training learns, repeatably."""

import numpy as np
import optree
import pytest

from wengert import optim
from wengert.errors import WengertError
from wengert.nn import mlp_init
from wengert.train.data import Dataset
from wengert.train.gradient_check import largest_relative_difference
from wengert.train.loop import evaluate, mean_loss, train, train_step


@pytest.fixture
def dataset(rng):
    """Two classes: points inside and outside a circle."""
    x = rng.uniform(-1, 1, size=(300, 2)).astype(np.float32)
    y = (np.hypot(x[:, 0], x[:, 1]) < 0.7).astype(np.int64)
    return Dataset("circle", x[:200], y[:200], x[200:], y[200:], classes=2)


@pytest.fixture
def params(rng):
    return mlp_init(rng, [2, 16, 2], dtype=np.float32)


def test_one_step_descends_along_the_gradient(dataset, params):
    optimiser = optim.sgd(0.1)
    before, layers = mean_loss(params, dataset.x_train, dataset.y_train)
    step = train_step(optimiser, params, optimiser.init(params), dataset.x_train, dataset.y_train)
    assert step.loss == before
    assert [layer.state.shape for layer in layers] == [(200, 16), (200, 2)]
    moved = optree.tree_map(lambda new, old: np.abs(new - old).sum(), step.params, params)
    assert min(optree.tree_leaves(moved)) > 0
    after, _ = mean_loss(step.params, dataset.x_train, dataset.y_train)
    squares = optree.tree_map(lambda new, old: np.sum((new - old) ** 2), step.params, params)
    # to first order the loss falls by the squared length of the step, divided by the rate
    assert before - after == pytest.approx(sum(optree.tree_leaves(squares)) / 0.1, rel=0.1)


def test_training_learns(dataset, params, rng):
    epochs = list(train(dataset, params, optim.adam(0.02), epochs=60, batch_size=20, rng=rng))
    assert [epoch.number for epoch in epochs] == list(range(1, 61))
    assert epochs[-1].loss < 0.3 * epochs[0].loss
    assert epochs[-1].test_accuracy > 0.9
    assert epochs[-1].test_accuracy == evaluate(
        epochs[-1].params, dataset.x_test, dataset.y_test, batch_size=7
    )


def test_the_same_seed_gives_the_same_network(dataset, params):
    ends = [
        list(
            train(
                dataset,
                params,
                optim.adam(0.02),
                epochs=2,
                batch_size=32,
                rng=np.random.default_rng(5),
            )
        )[-1]
        for _ in range(2)
    ]
    assert ends[0].loss == ends[1].loss
    for first, second in zip(*(optree.tree_leaves(end.params) for end in ends), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the point: infinities
def test_a_loss_that_is_no_number_stops_training(dataset, params, rng):
    steps = train(dataset, params, optim.sgd(1e38), epochs=5, batch_size=20, rng=rng)
    with pytest.raises(WengertError, match="smaller --learning-rate"):
        list(steps)


def test_the_gradient_check_agrees(dataset, params, rng):
    difference, compared = largest_relative_difference(
        params, dataset.x_train, dataset.y_train, samples=1000, rng=rng
    )
    assert compared == 2 * 16 + 16 + 16 * 2 + 2
    assert difference < 1e-7


def test_the_gradient_check_finds_a_wrong_gradient(dataset, params, rng, monkeypatch):
    from wengert.train import gradient_check

    right = gradient_check.grad

    def wrong_by_a_thousandth(f):
        return lambda *args: optree.tree_map(lambda g: 1.001 * g, right(f)(*args))

    monkeypatch.setattr(gradient_check, "grad", wrong_by_a_thousandth)
    difference, _ = largest_relative_difference(
        params, dataset.x_train, dataset.y_train, samples=1000, rng=rng
    )
    assert difference == pytest.approx(1e-3, rel=0.01)
