"""The multilayer perceptron: dense layers, one behind the other, with an activation on each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wengert.errors import ArgumentError
from wengert.graph.tuples import NamedTuple
from wengert.nn.activations import identity, tanh
from wengert.nn.dense import dense, dense_init
from wengert.nn.initialisers import Initialiser, glorot_uniform

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray


class Layer(NamedTuple):
    """What one layer computes on the way forward.

    `state` is the weighted sum of its inputs plus the bias, `activation` what it hands to the next
    layer: the activation function of the state.
    """

    state: Any
    activation: Any


def mlp_init(
    rng: np.random.Generator,
    sizes: Sequence[int],
    *,
    initialiser: Initialiser = glorot_uniform,
    dtype: DTypeLike = np.float64,
) -> list[dict[str, NDArray[Any]]]:
    """Parameters of a multilayer perceptron.

    Parameters
    ----------
    rng : a NumPy random generator.
    sizes : lengths in elements: of the input, of each hidden layer, of the output.
    initialiser : makes the weights.
    dtype : a floating-point dtype.

    Returns
    -------
    One `{"weight": (n_in, n_out), "bias": (n_out,)}` per layer.

    Raises
    ------
    ArgumentError : fewer than two sizes, or a size below 1.

    Example
    -------
    >>> params = mlp_init(np.random.default_rng(0), [64, 32, 10])
    >>> [layer["weight"].shape for layer in params]
    [(64, 32), (32, 10)]
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ArgumentError(
            f"mlp_init: sizes must be two or more positive integers, got {list(sizes)}",
            hint="name the input's length first and the output's last: [64, 32, 10]",
        )
    return [
        dense_init(rng, n_in, n_out, initialiser=initialiser, dtype=dtype)
        for n_in, n_out in itertools.pairwise(sizes)
    ]


def mlp_layers(
    params: Sequence[dict[str, Any]],
    x: Any,
    *,
    activation: Callable[[Any], Any] = tanh,
    last_activation: Callable[[Any], Any] = identity,
) -> list[Layer]:
    """Go forward through the layers, keeping the state and the activation of each.

    Formula: `a_0 = x`, `z_k = a_(k-1) W_k + b_k`, `a_k = activation(z_k)`; the last layer takes
    `last_activation`.

    Parameters
    ----------
    params : one dict of `weight` W and `bias` b per layer.
    x : (..., n_in), floating-point.
    activation : of the hidden layers.
    last_activation : of the last layer; by default its activations are its states.

    Returns
    -------
    One `Layer(state, activation)` of two (..., n_out) arrays per layer.

    Cost
    ----
    2 n_in n_out operations per example and layer; two arrays per layer are kept.

    Example
    -------
    >>> params = [{"weight": np.eye(2), "bias": np.zeros(2)}] * 2
    >>> hidden, last = mlp_layers(params, np.array([-1.0, 2.0]), activation=np.abs)
    >>> hidden.state, hidden.activation, last.activation
    (array([-1.,  2.]), array([1., 2.]), array([1., 2.]))
    """
    layers = []
    for position, layer in enumerate(params):
        state = dense(layer, x)
        is_last = position == len(params) - 1
        x = (last_activation if is_last else activation)(state)
        layers.append(Layer(state, x))
    return layers


def mlp(
    params: Sequence[dict[str, Any]],
    x: Any,
    *,
    activation: Callable[[Any], Any] = tanh,
    last_activation: Callable[[Any], Any] = identity,
) -> Any:
    """The output of a multilayer perceptron: the activation of its last layer.

    Parameters
    ----------
    As of `mlp_layers`, which also returns what the layers before the last computed.

    Returns
    -------
    (..., n_out) of the last layer.

    Example
    -------
    >>> params = mlp_init(np.random.default_rng(0), [64, 32, 10])
    >>> mlp(params, np.ones((5, 64))).shape
    (5, 10)
    """
    layers = mlp_layers(params, x, activation=activation, last_activation=last_activation)
    return layers[-1].activation
