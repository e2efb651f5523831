"""Neural networks as functions over trees of arrays.

A layer is a pair of functions: one makes its parameters (a dict of arrays) from a random generator,
the other applies them. Nothing is registered and nothing is hidden, so a network is differentiated,
batched and saved like any other function and any other tree.
"""

from wengert.nn.activations import (
    gelu,
    identity,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from wengert.nn.dense import dense, dense_init
from wengert.nn.initialisers import glorot_uniform, he_normal, lecun_normal
from wengert.nn.losses import (
    accuracy,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    squared_error,
)
from wengert.nn.mlp import Layer, mlp, mlp_init, mlp_layers
from wengert.nn.regularisers import dropout

__all__ = [
    "Layer",
    "accuracy",
    "dense",
    "dense_init",
    "dropout",
    "gelu",
    "glorot_uniform",
    "he_normal",
    "identity",
    "leaky_relu",
    "lecun_normal",
    "log_softmax",
    "mlp",
    "mlp_init",
    "mlp_layers",
    "relu",
    "sigmoid",
    "sigmoid_cross_entropy",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "squared_error",
    "tanh",
]
