"""Training a feed-forward network: three steps, repeated.

1. Forward: go through the layers and compute the state and the activation of each, up to the loss.
2. Backward: compute the partial derivatives of the loss by every parameter of each layer.
3. Update: change every parameter a little against its derivative.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wengert.api import vjp
from wengert.errors import WengertError
from wengert.graph.tuples import NamedTuple
from wengert.nn import accuracy, mlp, mlp_layers, softmax_cross_entropy
from wengert.optim import Optimiser, apply_updates
from wengert.train.data import Dataset, batches


class Step(NamedTuple):
    """What one step leaves: the loss and accuracy before the update, and what comes after it."""

    loss: float
    accuracy: float
    params: Any
    state: Any


def mean_loss(params: Any, x: Any, labels: Any) -> tuple[Any, Any]:
    """The mean loss of a batch, and the layers with their states and activations."""
    layers = mlp_layers(params, x)
    return np.mean(softmax_cross_entropy(layers[-1].activation, labels)), layers


def train_step(
    optimiser: Optimiser, params: Any, state: Any, x: NDArray[Any], labels: NDArray[Any]
) -> Step:
    """Forward, backward, update, for one batch of examples."""
    # 1. Forward: the state and the activation of each layer, and the loss.
    loss, pullback, layers = vjp(lambda p: mean_loss(p, x, labels), params, has_aux=True)

    # 2. Backward: from d loss / d loss = 1 to the partials of each layer's parameters.
    (partials,) = pullback(np.ones_like(loss))

    # 3. Update: every parameter, against its partial derivative.
    updates, state = optimiser.update(partials, state, params)
    params = apply_updates(params, updates)

    return Step(float(loss), accuracy(layers[-1].activation, labels), params, state)


class Epoch(NamedTuple):
    """One pass over the training examples: means over its batches, and how the test went."""

    number: int
    loss: float
    train_accuracy: float
    test_accuracy: float
    params: Any


def train(
    dataset: Dataset,
    params: Any,
    optimiser: Optimiser,
    *,
    epochs: int,
    batch_size: int,
    rng: np.random.Generator,
) -> Iterator[Epoch]:
    """Train, handing over after each pass over the data.

    Parameters
    ----------
    dataset : what to learn from, and what to test on; testing never influences training.
    params : where to start, as from `mlp_init`.
    optimiser : turns partial derivatives into updates.
    epochs : how many passes.
    batch_size : how many examples each update is computed from.
    rng : shuffles the examples.

    Raises
    ------
    WengertError : the loss is no longer finite.
    """
    state = optimiser.init(params)
    for number in range(1, epochs + 1):
        losses, accuracies, sizes = [], [], []
        for rows in batches(rng, len(dataset.x_train), batch_size):
            step = train_step(
                optimiser, params, state, dataset.x_train[rows], dataset.y_train[rows]
            )
            if not np.isfinite(step.loss):
                raise WengertError(
                    f"the loss became {step.loss} in epoch {number}",
                    hint="use a smaller --learning-rate",
                    location="",
                )
            params, state = step.params, step.state
            losses.append(step.loss)
            accuracies.append(step.accuracy)
            sizes.append(len(rows))
        yield Epoch(
            number,
            loss=float(np.average(losses, weights=sizes)),
            train_accuracy=float(np.average(accuracies, weights=sizes)),
            test_accuracy=evaluate(params, dataset.x_test, dataset.y_test),
            params=params,
        )


def evaluate(params: Any, x: NDArray[Any], labels: NDArray[Any], batch_size: int = 4096) -> float:
    """Share of examples that a network classifies rightly, from 0 to 1, computed in batches."""
    starts = range(0, len(x), batch_size)
    logits = np.concatenate([mlp(params, x[start : start + batch_size]) for start in starts])
    return accuracy(logits, labels)
