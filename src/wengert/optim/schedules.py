"""Learning rates that change: functions from the number of updates made so far to a number.

Schedules return plain Python numbers, which leave the dtype of what they multiply as it is.
"""

import bisect
import itertools
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from wengert.errors import ArgumentError

__all__ = [
    "Schedule",
    "constant",
    "cosine_decay",
    "exponential_decay",
    "piecewise_constant",
    "warmup_cosine_decay",
]

Schedule: TypeAlias = Callable[[int], float]


def _require_steps(name: str, argument: str, steps: float) -> None:
    if steps <= 0:
        raise ArgumentError(f"{name}: {argument} must be a positive number of updates, got {steps}")


def constant(value: float) -> Schedule:
    """The same number at every step.

    Example
    -------
    >>> constant(0.1)(1000)
    0.1
    """
    return lambda step: value


def exponential_decay(start: float, steps: float, factor: float) -> Schedule:
    """A number that is multiplied by `factor` over every `steps` updates, smoothly.

    Formula: `start * factor^(step / steps)`.

    Parameters
    ----------
    start : the value at step 0.
    steps : positive, in updates.
    factor : positive.

    Raises
    ------
    ArgumentError : `steps` or `factor` not positive.

    Example
    -------
    >>> halving = exponential_decay(0.8, steps=10, factor=0.5)
    >>> halving(0), halving(10), halving(20)
    (0.8, 0.4, 0.2)
    """
    _require_steps("exponential_decay", "steps", steps)
    if factor <= 0:
        raise ArgumentError(f"exponential_decay: factor must be positive, got {factor}")
    return lambda step: start * float(factor) ** (step / steps)


def cosine_decay(start: float, steps: float, end: float = 0.0) -> Schedule:
    """A number that falls along half a cosine wave, then stays.

    Formula: `end + (start - end) * (1 + cos(pi * min(step / steps, 1))) / 2`.

    Parameters
    ----------
    start : the value at step 0.
    steps : after how many updates `end` is reached, positive.
    end : the value from then on.

    Raises
    ------
    ArgumentError : `steps` not positive.

    Example
    -------
    >>> falling = cosine_decay(1.0, steps=100)
    >>> falling(0), round(falling(50), 6), falling(100), falling(1000)
    (1.0, 0.5, 0.0, 0.0)

    Source
    ------
    Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017,
    equation 5.
    """
    _require_steps("cosine_decay", "steps", steps)
    return lambda step: end + (start - end) * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2


def warmup_cosine_decay(
    peak: float, warmup_steps: int, steps: int, *, start: float = 0.0, end: float = 0.0
) -> Schedule:
    """A number that rises on a straight line to its peak, then falls along half a cosine wave.

    Formula: `start + (peak - start) * step / warmup_steps` below `warmup_steps`, then
    `cosine_decay(peak, steps - warmup_steps, end)`.

    Parameters
    ----------
    peak : the largest value.
    warmup_steps : after how many updates it is reached, positive.
    steps : after how many updates in all `end` is reached, above `warmup_steps`.
    start, end : the first and the last value.

    Raises
    ------
    ArgumentError : `warmup_steps` not positive, or `steps` not above it.

    Example
    -------
    >>> rate = warmup_cosine_decay(1.0, warmup_steps=10, steps=110)
    >>> rate(0), rate(5), rate(10), round(rate(60), 6), rate(110)
    (0.0, 0.5, 1.0, 0.5, 0.0)
    """
    _require_steps("warmup_cosine_decay", "warmup_steps", warmup_steps)
    _require_steps("warmup_cosine_decay", "steps - warmup_steps", steps - warmup_steps)
    falling = cosine_decay(peak, steps - warmup_steps, end)

    def schedule(step: int) -> float:
        if step < warmup_steps:
            return start + (peak - start) * step / warmup_steps
        return falling(step - warmup_steps)

    return schedule


def piecewise_constant(values: Sequence[float], boundaries: Sequence[int]) -> Schedule:
    """A number that changes at the given steps.

    Parameters
    ----------
    values : one more than `boundaries`.
    boundaries : rising; the step from which on the next value holds.

    Raises
    ------
    ArgumentError : the lengths do not fit, or the boundaries do not rise.

    Example
    -------
    >>> dropping = piecewise_constant([1.0, 0.1], [100])
    >>> dropping(99), dropping(100)
    (1.0, 0.1)
    """
    if len(values) != len(boundaries) + 1:
        raise ArgumentError(
            "piecewise_constant: needs one value more than boundaries, "
            f"got {len(values)} values and {len(boundaries)} boundaries"
        )
    if any(later <= earlier for earlier, later in itertools.pairwise(boundaries)):
        raise ArgumentError(f"piecewise_constant: boundaries must rise, got {list(boundaries)}")
    return lambda step: values[bisect.bisect_right(boundaries, step)]
