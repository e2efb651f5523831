"""The programs that are measured, written once in NumPy's vocabulary, and their data.

`xp` is the namespace that the operations are taken from: `numpy` (for wengert), `jax.numpy`,
`autograd.numpy`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Layers = list[tuple[Any, Any]]

LARGE = (784, 512, 512, 10)
LARGE_BATCH = 128
SMALL = (64, 64, 64, 10)
SMALL_BATCH = 32
LEARNING_RATE = 0.01


# ---------------------------------------------------------------- elementwise and rows


def gelu_sum(x: Any, xp: Any = np) -> Any:
    """The sum of GELU in its tanh form (Hendrycks and Gimpel, 2016), written out."""
    inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    return xp.sum(0.5 * x * (1.0 + xp.tanh(inner)))


def norm_cross_entropy(x: Any, gain: Any, bias: Any, labels: Any, xp: Any = np) -> Any:
    """Layer norm of each row, then the mean softmax cross-entropy of the rows, written out."""
    centred = x - xp.mean(x, axis=1, keepdims=True)
    variance = xp.mean(centred * centred, axis=1, keepdims=True)
    z = centred / xp.sqrt(variance + 1e-5) * gain + bias
    z = z - xp.max(z, axis=1, keepdims=True)
    return xp.mean(xp.log(xp.sum(xp.exp(z), axis=1)) - z[xp.arange(x.shape[0]), labels])


def norm_cross_entropy_data(n: int = 1024) -> tuple[Any, ...]:
    """x (n, n), gain (n,), bias (n,) of float32 and n labels below n."""
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((n, n), np.float32),
        rng.uniform(0.5, 1.5, n).astype(np.float32),
        rng.standard_normal(n, np.float32),
        rng.integers(0, n, n),
    )


# ---------------------------------------------------------------- multilayer perceptron


def mlp_data(sizes: Sequence[int], batch: int) -> tuple[Layers, Any, Any]:
    """Layers of (weight, bias), a batch of inputs, and its classes as one-hot rows; float32."""
    rng = np.random.default_rng(0)
    layers = [
        (
            rng.standard_normal((a, b), np.float32) * np.float32(np.sqrt(2 / a)),
            np.zeros(b, np.float32),
        )
        for a, b in itertools.pairwise(sizes)
    ]
    x = rng.standard_normal((batch, sizes[0]), np.float32)
    one_hot = np.eye(sizes[-1], dtype=np.float32)[rng.integers(0, sizes[-1], batch)]
    return layers, x, one_hot


def mlp_loss(
    layers: Layers, x: Any, one_hot: Any, xp: Any, log_softmax: Callable[[Any], Any]
) -> Any:
    """Mean cross-entropy of a perceptron with rectified linear units."""
    *hidden, (weight, bias) = layers
    for w, b in hidden:
        x = xp.maximum(x @ w + b, 0.0)
    return -xp.mean(xp.sum(one_hot * log_softmax(x @ weight + bias), axis=1))


def mlp_flops(sizes: Sequence[int], batch: int) -> int:
    """Operations of the matrix products of a step: the inputs' gradient is not asked for."""
    pairs = [a * b for a, b in itertools.pairwise(sizes)]
    return 2 * batch * (3 * sum(pairs) - pairs[0])


def mlp_products(sizes: Sequence[int], batch: int) -> list[tuple[Any, Any]]:
    """The pairs of matrices that a step multiplies, as they lie in memory (`.T`: transposed)."""
    rng = np.random.default_rng(0)

    def matrix(a: int, b: int) -> Any:
        return rng.standard_normal((a, b), np.float32)

    pairs = []
    for number, (a, b) in enumerate(itertools.pairwise(sizes)):
        x, w, z_bar = matrix(batch, a), matrix(a, b), matrix(batch, b)
        pairs += [(x, w), (x.T, z_bar)]
        if number:
            pairs.append((z_bar, w.T))
    return pairs
