"""The parts that optimisers are chained from: each does one thing to the updates."""

from typing import Any

import numpy as np
import optree

from wengert.errors import ArgumentError
from wengert.graph.tuples import NamedTuple
from wengert.optim.optimiser import Optimiser
from wengert.optim.schedules import Schedule

__all__ = [
    "add_decayed_weights",
    "clip_by_global_norm",
    "global_norm",
    "scale",
    "scale_by_adam",
    "scale_by_learning_rate",
    "scale_by_momentum",
]


class ScheduleState(NamedTuple):
    """How many updates have been made."""

    step: int


class MomentumState(NamedTuple):
    """The running sum of gradients, one array per parameter."""

    velocity: Any


class AdamState(NamedTuple):
    """How many updates have been made, and the running moments, one array per parameter."""

    step: int
    mean: Any
    square: Any


def _init_nothing(params: Any) -> tuple[()]:
    return ()


def _zeros_like(params: Any) -> Any:
    return optree.tree_map(np.zeros_like, params)


def _running_mean(decay: float, mean: Any, values: Any) -> Any:
    return optree.tree_map(lambda m, value: decay * m + (1 - decay) * value, mean, values)


def _require(holds: bool, name: str, argument: str, expected: str, value: object) -> None:
    if not holds:
        raise ArgumentError(f"{name}: {argument} must be {expected}, got {value!r}")


def scale(factor: float) -> Optimiser:
    """Multiply every update by a number.

    Parameters
    ----------
    factor : any number; a wengert variable is allowed.

    Returns
    -------
    An optimiser without state.

    Example
    -------
    >>> double = scale(2.0)
    >>> double.update({"w": 3.0}, double.init({"w": 0.0}), {"w": 0.0})[0]
    {'w': 6.0}
    """

    def update(gradients: Any, state: tuple[()], params: Any) -> tuple[Any, tuple[()]]:
        return optree.tree_map(lambda g: g * factor, gradients), state

    return Optimiser(_init_nothing, update)


def scale_by_learning_rate(learning_rate: float | Schedule) -> Optimiser:
    """Multiply every update by minus the learning rate: descend.

    Parameters
    ----------
    learning_rate : a positive number (a wengert variable is allowed, so that a loss after some
        updates can be differentiated by it), or a schedule: a function from the number of
        updates made so far to a number.

    Returns
    -------
    An optimiser that counts its updates where the learning rate is a schedule.

    Example
    -------
    >>> halving = scale_by_learning_rate(lambda step: 0.5**step)
    >>> first, state = halving.update(1.0, halving.init(0.0), 0.0)
    >>> second, state = halving.update(1.0, state, 0.0)
    >>> first, second
    (-1.0, -0.5)
    """
    if not callable(learning_rate):
        return scale(-learning_rate)

    def init(params: Any) -> ScheduleState:
        return ScheduleState(step=0)

    def update(gradients: Any, state: ScheduleState, params: Any) -> tuple[Any, ScheduleState]:
        factor = -learning_rate(state.step)
        return optree.tree_map(lambda g: g * factor, gradients), ScheduleState(state.step + 1)

    return Optimiser(init, update)


def scale_by_momentum(decay: float = 0.9, *, nesterov: bool = False) -> Optimiser:
    """Replace every gradient by a decaying sum of all gradients so far.

    Formula: `v = decay * v + g`; the update is `v`, or with Nesterov `decay * v + g`.

    Parameters
    ----------
    decay : how much of the sum is kept, at least 0 and below 1.
    nesterov : look one step ahead along the sum.

    Returns
    -------
    An optimiser that holds one array per parameter.

    Raises
    ------
    ArgumentError : `decay` outside [0, 1).

    Example
    -------
    >>> heavy = scale_by_momentum(0.5)
    >>> first, state = heavy.update(1.0, heavy.init(0.0), 0.0)
    >>> second, state = heavy.update(1.0, state, 0.0)
    >>> float(first), float(second)
    (1.0, 1.5)

    Source
    ------
    Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep
    learning", 2013, equations 1 to 4.
    """
    _require(0 <= decay < 1, "scale_by_momentum", "decay", "at least 0 and below 1", decay)

    def init(params: Any) -> MomentumState:
        return MomentumState(_zeros_like(params))

    def update(gradients: Any, state: MomentumState, params: Any) -> tuple[Any, MomentumState]:
        velocity = optree.tree_map(lambda v, g: decay * v + g, state.velocity, gradients)
        if not nesterov:
            return velocity, MomentumState(velocity)
        ahead = optree.tree_map(lambda v, g: decay * v + g, velocity, gradients)
        return ahead, MomentumState(velocity)

    return Optimiser(init, update)


def scale_by_adam(
    mean_decay: float = 0.9, square_decay: float = 0.999, epsilon: float = 1e-8
) -> Optimiser:
    """Divide a running mean of the gradients by the root of a running mean of their squares.

    Formula, at step t = 1, 2, ...:

        m = mean_decay * m + (1 - mean_decay) * g
        v = square_decay * v + (1 - square_decay) * g^2
        update = m / (1 - mean_decay^t) / (sqrt(v / (1 - square_decay^t)) + epsilon)

    Parameters
    ----------
    mean_decay, square_decay : how much is kept, at least 0 and below 1.
    epsilon : keeps the quotient finite; positive, in the unit of the gradients.

    Returns
    -------
    An optimiser that holds two arrays per parameter and the number of its updates.

    Raises
    ------
    ArgumentError : a decay outside [0, 1), or `epsilon` not positive.

    Example
    -------
    >>> adaptive = scale_by_adam()
    >>> update, state = adaptive.update(-250.0, adaptive.init(0.0), 0.0)
    >>> round(float(update), 6), state.step
    (-1.0, 1)

    Source
    ------
    Kingma, Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1.
    """
    for argument, value in (("mean_decay", mean_decay), ("square_decay", square_decay)):
        _require(0 <= value < 1, "scale_by_adam", argument, "at least 0 and below 1", value)
    _require(epsilon > 0, "scale_by_adam", "epsilon", "positive", epsilon)

    def init(params: Any) -> AdamState:
        return AdamState(step=0, mean=_zeros_like(params), square=_zeros_like(params))

    def update(gradients: Any, state: AdamState, params: Any) -> tuple[Any, AdamState]:
        step = state.step + 1
        mean = _running_mean(mean_decay, state.mean, gradients)
        square = _running_mean(square_decay, state.square, optree.tree_map(np.square, gradients))
        # Both means start at zero; dividing by the weight they have gathered removes that bias.
        mean_weight = 1 - mean_decay**step
        square_weight = 1 - square_decay**step
        updates = optree.tree_map(
            lambda m, v: m / mean_weight / (np.sqrt(v / square_weight) + epsilon), mean, square
        )
        return updates, AdamState(step, mean, square)

    return Optimiser(init, update)


def add_decayed_weights(decay: float) -> Optimiser:
    """Add a part of the parameters to their updates, which pulls them towards zero.

    Formula: `update = g + decay * w`.

    Parameters
    ----------
    decay : at least 0, per unit of learning rate.

    Returns
    -------
    An optimiser without state.

    Raises
    ------
    ArgumentError : a negative `decay`.

    Example
    -------
    >>> shrink = add_decayed_weights(0.1)
    >>> shrink.update(1.0, shrink.init(5.0), 5.0)[0]
    1.5

    Source
    ------
    Loshchilov, Hutter, "Decoupled weight decay regularization", 2019, algorithm 2, line 12.
    """
    _require(decay >= 0, "add_decayed_weights", "decay", "at least 0", decay)

    def update(gradients: Any, state: tuple[()], params: Any) -> tuple[Any, tuple[()]]:
        return optree.tree_map(lambda g, w: g + decay * w, gradients, params), state

    return Optimiser(_init_nothing, update)


def global_norm(tree: Any) -> Any:
    """Euclidean norm of all numbers of a tree, as if they were one long vector.

    Formula: `sqrt(sum of the squares of all elements of all leaves)`.

    Parameters
    ----------
    tree : a tree of floating-point arrays.

    Returns
    -------
    A scalar; 0 for a tree without leaves.

    Derivative
    ----------
    `x / norm` for an element x; not defined where the norm is 0.

    Example
    -------
    >>> float(global_norm({"w": np.array([3.0, 0.0]), "b": 4.0}))
    5.0
    """
    return np.sqrt(sum(np.sum(np.square(leaf)) for leaf in optree.tree_leaves(tree)))


def clip_by_global_norm(largest: float) -> Optimiser:
    """Shorten the updates, all by one factor, where their global norm is above a limit.

    Formula: `update = g * largest / max(norm, largest)` with the global norm of all gradients.

    Parameters
    ----------
    largest : the limit, positive, in the unit of the gradients.

    Returns
    -------
    An optimiser without state.

    Raises
    ------
    ArgumentError : `largest` not positive.

    Example
    -------
    >>> clip = clip_by_global_norm(1.0)
    >>> clip.update(np.array([3.0, 4.0]), (), None)[0].round(6)
    array([0.6, 0.8])

    Source
    ------
    Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", 2013,
    algorithm 1.
    """
    _require(largest > 0, "clip_by_global_norm", "largest", "positive", largest)

    def update(gradients: Any, state: tuple[()], params: Any) -> tuple[Any, tuple[()]]:
        factor = largest / np.maximum(global_norm(gradients), largest)
        return optree.tree_map(lambda g: g * factor, gradients), state

    return Optimiser(_init_nothing, update)
