"""How far a prediction is from the truth: a loss per example, for you to sum or average."""

from typing import Any

import numpy as np

from wengert.errors import ShapeError
from wengert.nn.activations import log_softmax
from wengert.numpy import softplus


def softmax_cross_entropy(logits: Any, labels: Any) -> Any:
    """Minus the logarithm of the probability that a network gives to the right class.

    Formula: `-log softmax(z)_y = log(sum_j exp(z_j)) - z_y`.

    Parameters
    ----------
    logits : z: (..., n), floating-point, one number per class.
    labels : y: (...), integers from 0 to n - 1.

    Returns
    -------
    (...), the dtype of `logits`; at least 0, in nats.

    Derivative
    ----------
    `d loss / d z_j = softmax(z)_j - [j = y]`; none by the labels.

    Cost
    ----
    O(n) per example.

    Raises
    ------
    ShapeError : `labels` lacks an axis that `logits` has before its last one, or has more.

    Example
    -------
    >>> softmax_cross_entropy(np.array([0.0, np.log(3.0)]), np.array(1)).round(6)
    np.float64(0.287682)

    Source
    ------
    Bishop, "Pattern recognition and machine learning", 2006, equation 4.108.
    """
    if np.shape(labels) != np.shape(logits)[:-1]:
        raise ShapeError(
            f"softmax_cross_entropy: labels must have shape {np.shape(logits)[:-1]}, one per row "
            f"of logits {np.shape(logits)}, but have {np.shape(labels)}",
            hint="labels are class numbers; turn one-hot rows into them with .argmax(-1)",
        )
    # np.expand_dims, not labels[..., None]: a label may be a plain Python integer.
    right = np.take_along_axis(log_softmax(logits), np.expand_dims(labels, -1), axis=-1)
    return -np.squeeze(right, axis=-1)


def sigmoid_cross_entropy(logits: Any, labels: Any) -> Any:
    """Minus the logarithm of the probability of a yes-or-no label, for each element.

    Formula: `-y log s(z) - (1 - y) log(1 - s(z)) = softplus(z) - y z` with the sigmoid `s`.

    Parameters
    ----------
    logits : z: any shape, floating-point.
    labels : y: the same shape, numbers from 0 (no) to 1 (yes).

    Returns
    -------
    The shape of `logits`; at least 0, in nats.

    Derivative
    ----------
    `d loss / d z = s(z) - y`, `d loss / d y = -z`.

    Example
    -------
    >>> sigmoid_cross_entropy(np.array([0.0, 50.0]), np.array([1.0, 1.0])).round(6)
    array([0.693147, 0.      ])

    Source
    ------
    Bishop, "Pattern recognition and machine learning", 2006, equation 4.90.
    """
    return softplus(logits) - labels * logits


def squared_error(prediction: Any, target: Any) -> Any:
    """Square of the difference of each element.

    Formula: `(prediction - target)^2`.

    Parameters
    ----------
    prediction, target : shapes that broadcast together, floating-point.

    Returns
    -------
    The broadcast shape; at least 0.

    Derivative
    ----------
    `2 (prediction - target)` by the prediction, its negative by the target.

    Example
    -------
    >>> squared_error(np.array([1.0, 2.0]), 0.0)
    array([1., 4.])
    """
    return np.square(prediction - target)


def accuracy(logits: Any, labels: Any) -> float:
    """Share of examples whose largest logit is the right class, from 0 to 1.

    Parameters
    ----------
    logits : (..., n), one number per class.
    labels : (...), integers.

    Example
    -------
    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    return float(np.mean(np.argmax(logits, axis=-1) == labels))
