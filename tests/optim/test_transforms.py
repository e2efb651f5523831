"""Optimisers: against plain loops over their formulas, on trees, in both precisions."""

import copy

import numpy as np
import optree
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wengert as wg
from wengert import optim
from wengert.errors import ArgumentError

ALL = {
    "sgd": optim.sgd(0.1),
    "sgd with a schedule": optim.sgd(optim.cosine_decay(0.2, 60)),
    "momentum": optim.momentum(0.1),
    "nesterov": optim.momentum(0.1, nesterov=True),
    "adam": optim.adam(0.1),
    "adamw": optim.adamw(0.1, weight_decay=0.1),
    "clipped adam": optim.chain(optim.clip_by_global_norm(0.5), optim.adam(0.1)),
}


def run(optimiser, gradients, start):
    """The parameters after each update, for given gradients."""
    params, state = start, optimiser.init(start)
    path = []
    for gradient in gradients:
        updates, state = optimiser.update(gradient, state, params)
        params = optim.apply_updates(params, updates)
        path.append(params)
    return path


@pytest.fixture
def gradients(rng):
    return list(rng.normal(size=(6, 3)))


START = np.array([1.0, -2.0, 0.5])


def test_sgd(gradients):
    expected = START - 0.1 * np.cumsum(gradients, axis=0)
    np.testing.assert_allclose(run(optim.sgd(0.1), gradients, START), expected)


def test_sgd_with_a_schedule(gradients):
    path = run(optim.sgd(lambda step: 1.0 / (step + 1)), gradients, START)
    rates = 1.0 / np.arange(1, len(gradients) + 1)[:, None]
    np.testing.assert_allclose(path, START - np.cumsum(rates * gradients, axis=0))


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum(gradients, nesterov):
    w, v, expected = START, np.zeros(3), []
    for g in gradients:
        v = 0.8 * v + g
        w = w - 0.1 * (0.8 * v + g if nesterov else v)
        expected.append(w)
    path = run(optim.momentum(0.1, 0.8, nesterov=nesterov), gradients, START)
    np.testing.assert_allclose(path, expected)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_adam_and_adamw(gradients, weight_decay):
    w, m, v, expected = START, np.zeros(3), np.zeros(3), []
    for t, g in enumerate(gradients, start=1):
        m = 0.8 * m + 0.2 * g
        v = 0.95 * v + 0.05 * g**2
        step = (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-6)
        w = w - 0.1 * (step + weight_decay * w)
        expected.append(w)
    optimiser = optim.adamw(0.1, 0.8, 0.95, 1e-6, weight_decay)
    np.testing.assert_allclose(run(optimiser, gradients, START), expected)
    if weight_decay == 0.0:
        plain = run(optim.adam(0.1, 0.8, 0.95, 1e-6), gradients, START)
        np.testing.assert_allclose(plain, expected)


@pytest.mark.parametrize("name", ALL)
def test_minimises_a_bowl(name):
    optimiser = ALL[name]
    target = {"a": np.array([0.3, -0.1]), "b": [np.array(0.2)]}

    def loss(params):
        squares = optree.tree_map(lambda p, t: np.sum(np.square(p - t)), params, target)
        return sum(optree.tree_leaves(squares))

    params = optree.tree_map(np.zeros_like, target)
    state = optimiser.init(params)
    before = loss(params)
    for _ in range(60):
        updates, state = optimiser.update(wg.grad(loss)(params), state, params)
        params = optim.apply_updates(params, updates)
    assert loss(params) < 0.05 * before


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_keeps_structure_and_dtype_and_changes_nothing_in_place(name, dtype, rng):
    optimiser = ALL[name]
    params = {"w": rng.normal(size=(2, 3)).astype(dtype), "rest": (np.ones(3, dtype), [])}
    gradients = optree.tree_map(lambda p: (p * 0.5).astype(dtype), params)
    state = optimiser.init(params)
    before = copy.deepcopy((params, gradients, state))
    for _ in range(2):
        updates, after = optimiser.update(gradients, state, params)
        assert optree.tree_structure(updates) == optree.tree_structure(params)
        assert {leaf.dtype for leaf in optree.tree_leaves(updates)} == {np.dtype(dtype)}
        assert optree.tree_structure(after) == optree.tree_structure(state)
    new = optim.apply_updates(params, updates)
    assert {leaf.dtype for leaf in optree.tree_leaves(new)} == {np.dtype(dtype)}
    now = (params, gradients, state)
    for ours, kept in zip(optree.tree_leaves(now), optree.tree_leaves(before), strict=True):
        np.testing.assert_array_equal(ours, kept)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5),
    st.floats(1e-3, 1e3),
)
def test_clipping_shortens_and_keeps_the_direction(numbers, largest):
    gradients = {"a": np.array(numbers), "b": np.array(0.5)}
    clipped, _ = optim.clip_by_global_norm(largest).update(gradients, (), None)
    norm = optim.global_norm(gradients)
    assert optim.global_norm(clipped) <= largest * (1 + 1e-12)
    factor = clipped["b"] / gradients["b"]
    assert factor == pytest.approx(min(1.0, largest / norm))
    np.testing.assert_allclose(clipped["a"], factor * gradients["a"], rtol=1e-12)


def test_clipping_leaves_a_zero_gradient_alone():
    clipped, _ = optim.clip_by_global_norm(1.0).update(np.zeros(3), (), None)
    np.testing.assert_array_equal(clipped, np.zeros(3))


def test_chain_runs_from_left_to_right():
    clip_last = optim.chain(optim.scale(10.0), optim.clip_by_global_norm(1.0))
    clip_first = optim.chain(optim.clip_by_global_norm(1.0), optim.scale(10.0))
    gradient = np.array([3.0, 4.0])
    last, _ = clip_last.update(gradient, clip_last.init(gradient), gradient)
    first, _ = clip_first.update(gradient, clip_first.init(gradient), gradient)
    np.testing.assert_allclose(last, [0.6, 0.8])
    np.testing.assert_allclose(first, [6.0, 8.0])


def test_a_loss_after_updates_is_differentiable_by_the_learning_rate():
    # w' = w - r * w for the loss w^2 / 2, twice: the loss is w^2 (1 - r)^4 / 2.
    def loss_after_two_updates(rate):
        params = 3.0
        optimiser = optim.sgd(rate)
        state = optimiser.init(params)
        for _ in range(2):
            gradient = wg.grad(lambda w: 0.5 * w**2)(params)
            updates, state = optimiser.update(gradient, state, params)
            params = optim.apply_updates(params, updates)
        return 0.5 * params**2

    derivative = wg.grad(loss_after_two_updates)(0.25)
    assert derivative == pytest.approx(-2 * 9 * (1 - 0.25) ** 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.scale_by_momentum(1.0), "decay must be at least 0 and below 1, got 1.0"),
        (lambda: optim.momentum(0.1, -0.5), "decay must be at least 0 and below 1, got -0.5"),
        (lambda: optim.adam(0.1, mean_decay=2.0), "mean_decay must be"),
        (lambda: optim.adam(0.1, square_decay=-1.0), "square_decay must be"),
        (lambda: optim.adamw(0.1, epsilon=0.0), "epsilon must be positive, got 0.0"),
        (lambda: optim.adamw(0.1, weight_decay=-0.1), "decay must be at least 0, got -0.1"),
        (lambda: optim.clip_by_global_norm(0.0), "largest must be positive, got 0.0"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        make()
    assert "test_transforms.py" in str(caught.value)
