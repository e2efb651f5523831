"""When graphs run in batches: as a rule when it pays; within a scope always or never."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from wengert.batching.report import DynamicReport
from wengert.errors import ArgumentError

__all__ = ["Mode", "autobatching", "current_mode"]

_WHEN = ("when it pays", "always", "never")
_STRATEGIES = ("agenda", "depth")


class Mode(NamedTuple):
    """When to batch, and how the next batch is chosen."""

    when: str
    strategy: str
    reports: deque[DynamicReport] | None = None


_MOST_REPORTS = 16
_DEFAULT = Mode(_WHEN[0], _STRATEGIES[0])
current_mode: ContextVar[Mode] = ContextVar("batching", default=_DEFAULT)


@contextmanager
def autobatching(
    when: str = "when it pays", strategy: str = "agenda"
) -> Iterator[deque[DynamicReport]]:
    """Within the block, in this thread: when `grad` and `value_and_grad` merge equal operators.

    Parameters
    ----------
    when : "when it pays" (what holds outside: by a cost model that looks at the graph alone),
        "always" or "never"
    strategy : which batch comes next. "agenda": that of the operator which lies nearest to the
        inputs on average; "depth": level by level

    The block's value holds a `DynamicReport` of each of its last derivatives, at most 16: how many
    nodes were recorded, how they were merged, what each batch ran, and where the time went.

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
    >>> with wg.autobatching("always") as reports:
    ...     print(np.allclose(wg.grad(loss)(0.1), one_by_one))
    True
    >>> print(reports[-1].by_operator["tanh"])  # 39 nodes in one batch
    (39, 1)
    """
    if when not in _WHEN:
        raise ArgumentError(f"autobatching: {when!r} is none of {', '.join(map(repr, _WHEN))}")
    if strategy not in _STRATEGIES:
        raise ArgumentError(
            f"autobatching: the strategy {strategy!r} is none of "
            f"{', '.join(map(repr, _STRATEGIES))}"
        )
    reports: deque[DynamicReport] = deque(maxlen=_MOST_REPORTS)
    token = current_mode.set(Mode(when, strategy, reports))
    try:
        yield reports
    finally:
        current_mode.reset(token)
