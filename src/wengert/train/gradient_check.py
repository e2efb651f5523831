"""Is the gradient right? Compare it with what central differences say."""

from typing import Any

import numpy as np
import optree
from numpy.typing import NDArray

from wengert.api import grad
from wengert.train.loop import mean_loss


def largest_relative_difference(
    params: Any,
    x: NDArray[Any],
    labels: NDArray[Any],
    *,
    samples: int,
    rng: np.random.Generator,
) -> tuple[float, int]:
    """Compare partial derivatives of the loss with central differences, in double precision.

    Formula: `|g - d| / max |g|`, where `d = (loss(w + h) - loss(w - h)) / (2 h)` and the maximum is
    over the array that w belongs to: a partial that is zero must only be small beside the others.

    Parameters
    ----------
    params, x, labels : of the network and one batch.
    samples : how many partials to compare at most, drawn at random.
    rng : draws them.

    Returns
    -------
    The largest of the relative differences, and how many were compared.

    Cost
    ----
    Two losses of the batch per sample.
    """
    leaves, structure = optree.tree_flatten(params)
    leaves = [np.array(leaf, dtype=np.float64) for leaf in leaves]
    x = x.astype(np.float64)

    def loss(arrays: Any) -> Any:
        return mean_loss(optree.tree_unflatten(structure, arrays), x, labels)[0]

    gradients = grad(loss)(leaves)
    sizes = [leaf.size for leaf in leaves]
    total = sum(sizes)
    chosen = rng.choice(total, size=min(samples, total), replace=False)
    which = np.searchsorted(np.cumsum(sizes), chosen, side="right")
    places = chosen - (np.cumsum(sizes) - sizes)[which]

    largest = 0.0
    for leaf, place in zip(which, places, strict=True):
        partial = gradients[leaf].flat[place]
        difference = abs(partial - _central_difference(loss, leaves, leaf, place))
        largest = max(largest, difference / np.abs(gradients[leaf]).max())
    return float(largest), len(chosen)


def _central_difference(loss: Any, leaves: list[NDArray[Any]], leaf: int, place: int) -> float:
    # Truncation (h^2) and rounding (epsilon / h) errors are about equal at this step.
    step = np.cbrt(np.finfo(np.float64).eps)
    ends = []
    for sign in (1.0, -1.0):
        moved = leaves[leaf].copy()
        moved.flat[place] += sign * step
        ends.append(loss([*leaves[:leaf], moved, *leaves[leaf + 1 :]]))
    return float((ends[0] - ends[1]) / (2 * step))
