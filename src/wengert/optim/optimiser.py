"""What an optimiser is, how several become one, and how updates are applied."""

from typing import Any, Protocol

import optree

from wengert.graph.tuples import NamedTuple

__all__ = ["Optimiser", "apply_updates", "chain"]


class Init(Protocol):
    """Makes the state that belongs to a tree of parameters."""

    def __call__(self, params: Any, /) -> Any: ...


class Update(Protocol):
    """Turns gradients into updates: (gradients, state, params) to (updates, next state)."""

    def __call__(self, gradients: Any, state: Any, params: Any, /) -> tuple[Any, Any]: ...


class Optimiser(NamedTuple):
    """A pair of functions: `init(params)` and `update(gradients, state, params)`.

    Neither changes its arguments. The state is a tree of arrays and numbers, so it can be saved
    with the parameters.
    """

    init: Init
    update: Update


def chain(*optimisers: Optimiser) -> Optimiser:
    """One optimiser that hands the updates of each on to the next as its gradients.

    Parameters
    ----------
    optimisers : in the order in which they see the gradients.

    Returns
    -------
    The composed pair; its state is a tuple of theirs.

    Example
    -------
    >>> from wengert.optim import clip_by_global_norm, sgd
    >>> import numpy as np
    >>> clipped = chain(clip_by_global_norm(1.0), sgd(0.1))
    >>> params = {"w": np.array([0.0, 0.0])}
    >>> gradients = {"w": np.array([30.0, 40.0])}
    >>> updates, _ = clipped.update(gradients, clipped.init(params), params)
    >>> updates["w"].round(6)
    array([-0.06, -0.08])
    """

    def init(params: Any) -> tuple[Any, ...]:
        return tuple(optimiser.init(params) for optimiser in optimisers)

    def update(gradients: Any, state: tuple[Any, ...], params: Any) -> tuple[Any, tuple[Any, ...]]:
        states = []
        for optimiser, part in zip(optimisers, state, strict=True):
            gradients, part = optimiser.update(gradients, part, params)
            states.append(part)
        return gradients, tuple(states)

    return Optimiser(init, update)


def apply_updates(params: Any, updates: Any) -> Any:
    """Parameters plus updates, leaf by leaf, as a new tree.

    Parameters
    ----------
    params : a tree of floating-point arrays.
    updates : a tree of the same structure and shapes.

    Returns
    -------
    A tree like `params`.

    Example
    -------
    >>> apply_updates({"w": 1.0}, {"w": -0.25})
    {'w': 0.75}
    """
    return optree.tree_map(lambda param, update: param + update, params, updates)
