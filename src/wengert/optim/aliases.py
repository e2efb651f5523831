"""The customary optimisers, each a chain of parts."""

from wengert.optim.optimiser import Optimiser, chain
from wengert.optim.schedules import Schedule
from wengert.optim.transforms import (
    add_decayed_weights,
    scale_by_adam,
    scale_by_learning_rate,
    scale_by_momentum,
)

__all__ = ["adam", "adamw", "momentum", "sgd"]


def sgd(learning_rate: float | Schedule) -> Optimiser:
    """Gradient descent, called stochastic where each gradient comes from a few examples.

    Formula: `w = w - learning_rate * g`.

    Parameters
    ----------
    learning_rate : a positive number, or a schedule.

    Returns
    -------
    An optimiser without state (with a schedule: the number of updates).

    Example
    -------
    >>> descend = sgd(0.1)
    >>> descend.update(2.0, descend.init(1.0), 1.0)[0]
    -0.2

    Source
    ------
    Robbins, Monro, "A stochastic approximation method", 1951.
    """
    return scale_by_learning_rate(learning_rate)


def momentum(
    learning_rate: float | Schedule, decay: float = 0.9, *, nesterov: bool = False
) -> Optimiser:
    """Gradient descent that keeps going where past gradients agree.

    Formula: `v = decay * v + g`, `w = w - learning_rate * v`; with Nesterov
    `w = w - learning_rate * (decay * v + g)`.

    Parameters
    ----------
    learning_rate : a positive number, or a schedule.
    decay : how much of the velocity is kept, at least 0 and below 1.
    nesterov : look one step ahead along the velocity.

    Returns
    -------
    An optimiser that holds one array per parameter.

    Raises
    ------
    ArgumentError : `decay` outside [0, 1).

    Example
    -------
    >>> heavy = momentum(0.1)
    >>> update, state = heavy.update(2.0, heavy.init(1.0), 1.0)
    >>> update, state = heavy.update(2.0, state, 0.8)
    >>> round(float(update), 6)
    -0.38

    Source
    ------
    Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep
    learning", 2013, equations 1 to 4.
    """
    return chain(scale_by_momentum(decay, nesterov=nesterov), scale_by_learning_rate(learning_rate))


def adam(
    learning_rate: float | Schedule,
    mean_decay: float = 0.9,
    square_decay: float = 0.999,
    epsilon: float = 1e-8,
) -> Optimiser:
    """Steps of about the learning rate in every parameter, whatever the scale of its gradients.

    Formula: that of `scale_by_adam`, times minus the learning rate.

    Parameters
    ----------
    learning_rate : a positive number, or a schedule.
    mean_decay, square_decay : how much of the running means is kept, at least 0 and below 1.
    epsilon : keeps the quotient finite; positive.

    Returns
    -------
    An optimiser that holds two arrays per parameter and the number of its updates.

    Raises
    ------
    ArgumentError : a decay outside [0, 1), or `epsilon` not positive.

    Example
    -------
    >>> adaptive = adam(0.001)
    >>> update, _ = adaptive.update(-250.0, adaptive.init(1.0), 1.0)
    >>> round(float(update), 6)
    0.001

    Source
    ------
    Kingma, Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1.
    """
    return chain(
        scale_by_adam(mean_decay, square_decay, epsilon), scale_by_learning_rate(learning_rate)
    )


def adamw(
    learning_rate: float | Schedule,
    mean_decay: float = 0.9,
    square_decay: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.01,
) -> Optimiser:
    """Adam with a pull of every parameter towards zero that Adam's quotient does not rescale.

    Formula: `w = w - learning_rate * (update + weight_decay * w)` with the update of
    `scale_by_adam`.

    Parameters
    ----------
    learning_rate : a positive number, or a schedule.
    mean_decay, square_decay : how much of the running means is kept, at least 0 and below 1.
    epsilon : keeps the quotient finite; positive.
    weight_decay : at least 0, per unit of learning rate.

    Returns
    -------
    An optimiser that holds two arrays per parameter and the number of its updates.

    Raises
    ------
    ArgumentError : a decay outside its range, or `epsilon` not positive.

    Example
    -------
    >>> decaying = adamw(0.001, weight_decay=0.1)
    >>> update, _ = decaying.update(-250.0, decaying.init(1.0), 1.0)
    >>> round(float(update), 6)
    0.0009

    Source
    ------
    Loshchilov, Hutter, "Decoupled weight decay regularization", 2019, algorithm 2.
    """
    return chain(
        scale_by_adam(mean_decay, square_decay, epsilon),
        add_decayed_weights(weight_decay),
        scale_by_learning_rate(learning_rate),
    )
