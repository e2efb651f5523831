"""When graphs run in batches: as a rule when it pays; within a scope always or never."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from wengert.errors import ArgumentError

__all__ = ["Mode", "autobatching", "current_mode"]

_WHEN = ("when it pays", "always", "never")
_STRATEGIES = ("agenda", "depth")


class Mode(NamedTuple):
    """When to batch, and how the next batch is chosen."""

    when: str
    strategy: str


_DEFAULT = Mode(_WHEN[0], _STRATEGIES[0])
current_mode: ContextVar[Mode] = ContextVar("batching", default=_DEFAULT)


@contextmanager
def autobatching(when: str = "when it pays", strategy: str = "agenda") -> Iterator[None]:
    """Within the block, in this thread: when `grad` and `value_and_grad` merge equal operators.

    Parameters
    ----------
    when : "when it pays" (what holds outside: by a cost model that looks at the graph alone),
        "always" or "never"
    strategy : which batch comes next. "agenda": that of the operator which lies nearest to the
        inputs on average; "depth": level by level

    Batched results agree with unbatched ones to rounding: a sum over examples is taken in another
    order.

    Raises
    ------
    ArgumentError if an argument is none of these.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> loss = lambda w: sum(np.tanh(w * k) ** 2 for k in range(1, 40))
    >>> with wg.autobatching("never"):
    ...     one_by_one = wg.grad(loss)(0.1)
    >>> with wg.autobatching("always"):
    ...     print(np.allclose(wg.grad(loss)(0.1), one_by_one))
    True
    """
    if when not in _WHEN:
        raise ArgumentError(f"autobatching: {when!r} is none of {', '.join(map(repr, _WHEN))}")
    if strategy not in _STRATEGIES:
        raise ArgumentError(
            f"autobatching: the strategy {strategy!r} is none of "
            f"{', '.join(map(repr, _STRATEGIES))}"
        )
    token = current_mode.set(Mode(when, strategy))
    try:
        yield
    finally:
        current_mode.reset(token)
