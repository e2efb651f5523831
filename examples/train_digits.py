"""Train a feed-forward network to read handwritten digits: three steps, repeated.

1. Forward: compute the state and the activation of each layer, and the loss.
2. Backward: compute the partial derivatives of the loss by each layer's parameters.
3. Update: move every parameter a little against its partial derivative.

Everything is plain NumPy except step 2, which wengert does. `wengert train digits` is the same with
a better optimiser, a progress bar and a plot.

Run: python examples/train_digits.py
"""

import itertools
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import wengert as wg

SIZES = [64, 64, 10]  # pixels, hidden units, digits
LEARNING_RATE = 0.2
EPOCHS = 40
BATCH = 32


def initial_parameters(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Small random weights and zero biases, one pair per layer."""
    return [
        {"weight": rng.normal(0, np.sqrt(1 / n_in), (n_in, n_out)), "bias": np.zeros(n_out)}
        for n_in, n_out in itertools.pairwise(SIZES)
    ]


def forward(params: list[dict[str, Any]], x: Any) -> list[tuple[Any, Any]]:
    """The state (weighted sum plus bias) and the activation (tanh of it) of each layer."""
    layers = []
    for layer in params:
        state = x @ layer["weight"] + layer["bias"]
        x = np.tanh(state)
        layers.append((state, x))
    return layers


def loss(params: list[dict[str, Any]], x: Any, labels: Any) -> tuple[Any, Any]:
    """Mean cross entropy between the last layer's states and the labels; and all layers."""
    layers = forward(params, x)
    logits = layers[-1][0]
    # subtracting the largest changes no probability, and keeps exp from overflowing
    logits = logits - logits.max(axis=1, keepdims=True)
    log_probability = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -np.mean(log_probability[np.arange(len(labels)), labels]), layers


def train_step(params: list[dict[str, Any]], x: Any, labels: Any) -> tuple[Any, Any]:
    """One step on a batch of examples: the parameters after it, and the loss before it."""
    # 1. Forward: states and activations of each layer, and the loss.
    value, pullback, _layers = wg.vjp(lambda p: loss(p, x, labels), params, has_aux=True)

    # 2. Backward: partial derivatives of the loss by each layer's parameters.
    (partials,) = pullback(1.0)

    # 3. Update: every parameter, against its partial derivative.
    params = [
        {name: layer[name] - LEARNING_RATE * partial[name] for name in layer}
        for layer, partial in zip(params, partials, strict=True)
    ]
    return params, value


def main() -> None:
    """Train, and test on the quarter of the digits that training never sees."""
    images, digits = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        images / 16, digits, test_size=0.25, stratify=digits, random_state=0
    )
    rng = np.random.default_rng(0)
    params = initial_parameters(rng)
    for epoch in range(1, EPOCHS + 1):
        order = rng.permutation(len(x_train))
        losses = []
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            params, value = train_step(params, x_train[rows], y_train[rows])
            losses.append(value)
        if epoch % 10 == 0:
            print(f"epoch {epoch}: mean loss {np.mean(losses):.4f}")

    last_state, _ = forward(params, x_test)[-1]
    print(f"test accuracy: {100 * np.mean(last_state.argmax(axis=1) == y_test):.1f} %")


if __name__ == "__main__":
    main()
