"""The multilayer perceptron: states and activations, hand-written gradients, batches."""

import numpy as np
import pytest

import wengert as wg
from wengert import nn
from wengert.errors import ArgumentError

SIZES = [4, 5, 3]


@pytest.fixture
def params(rng):
    layers = nn.mlp_init(rng, SIZES)
    return [{**layer, "bias": rng.normal(size=layer["bias"].shape)} for layer in layers]


@pytest.fixture
def x(rng):
    return rng.normal(size=(6, 4))


LABELS = np.array([0, 1, 2, 2, 1, 0])


def test_init_makes_one_layer_per_pair_of_sizes(rng):
    params = nn.mlp_init(rng, SIZES, dtype=np.float32, initialiser=nn.he_normal)
    assert [layer["weight"].shape for layer in params] == [(4, 5), (5, 3)]
    assert [layer["bias"].shape for layer in params] == [(5,), (3,)]
    assert {array.dtype for layer in params for array in layer.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("sizes", [[], [3], [3, 0], [3, -1, 2]])
def test_init_refuses_what_is_no_network(rng, sizes):
    with pytest.raises(ArgumentError, match="two or more positive integers") as caught:
        nn.mlp_init(rng, sizes)
    assert str(sizes) in str(caught.value)


def test_states_and_activations_of_each_layer(params, x):
    hidden, last = nn.mlp_layers(params, x)
    np.testing.assert_array_equal(hidden.state, x @ params[0]["weight"] + params[0]["bias"])
    np.testing.assert_array_equal(hidden.activation, np.tanh(hidden.state))
    np.testing.assert_array_equal(
        last.state, hidden.activation @ params[1]["weight"] + params[1]["bias"]
    )
    np.testing.assert_array_equal(last.activation, last.state)
    np.testing.assert_array_equal(nn.mlp(params, x), last.activation)


def test_activations_are_chosen_by_the_caller(params, x):
    hidden, last = nn.mlp_layers(params, x, activation=nn.relu, last_activation=nn.softmax)
    assert hidden.activation.min() == 0.0
    np.testing.assert_allclose(last.activation.sum(axis=1), 1.0)


def mean_loss(params, x):
    return nn.softmax_cross_entropy(nn.mlp(params, x), LABELS).mean()


def test_gradient_equals_backpropagation_by_hand(params, x):
    hidden, last = nn.mlp_layers(params, x)
    last_bar = (nn.softmax(last.state) - np.eye(3)[LABELS]) / len(x)
    hidden_bar = last_bar @ params[1]["weight"].T * (1 - hidden.activation**2)
    expected = [
        {"weight": x.T @ hidden_bar, "bias": hidden_bar.sum(axis=0)},
        {"weight": hidden.activation.T @ last_bar, "bias": last_bar.sum(axis=0)},
    ]
    gradients = wg.grad(mean_loss)(params, x)
    for computed, by_hand in zip(gradients, expected, strict=True):
        assert computed.keys() == by_hand.keys()
        for name in by_hand:
            np.testing.assert_allclose(computed[name], by_hand[name], atol=1e-14)


def test_gradient_in_both_modes(params, x):
    wg.check_grads(mean_loss, (params, x), order=1, modes=("forward", "reverse"))


def test_one_example_at_a_time_is_the_batch(params, x):
    batch = nn.mlp(params, x)
    np.testing.assert_allclose([nn.mlp(params, example) for example in x], batch, atol=1e-14)
    mapped = wg.vmap(nn.mlp, in_axes=(None, 0))(params, x)
    np.testing.assert_allclose(mapped, batch, atol=1e-14)


def test_gradients_of_each_example_by_vmap(params, x):
    def loss(params, example, label):
        return nn.softmax_cross_entropy(nn.mlp(params, example), label)

    per_example = wg.vmap(wg.grad(loss), in_axes=(None, 0, 0))(params, x, LABELS)
    mean = wg.grad(mean_loss)(params, x)
    for each, whole in zip(per_example, mean, strict=True):
        np.testing.assert_allclose(each["weight"].mean(axis=0), whole["weight"], atol=1e-14)
        np.testing.assert_allclose(each["bias"].mean(axis=0), whole["bias"], atol=1e-14)


def test_single_precision_stays_single(rng, x):
    params = nn.mlp_init(rng, SIZES, dtype=np.float32)
    loss, gradients = wg.value_and_grad(mean_loss)(params, x.astype(np.float32))
    assert loss.dtype == np.float32
    assert {a.dtype for layer in gradients for a in layer.values()} == {np.dtype(np.float32)}
