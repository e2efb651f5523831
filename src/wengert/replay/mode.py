"""When graphs are compiled: as a rule when it pays; within a scope always or never."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from wengert.errors import ArgumentError

__all__ = ["current_mode", "replaying"]

_MODES = ("when it pays", "always", "never")
current_mode: ContextVar[str] = ContextVar("replaying", default=_MODES[0])


@contextmanager
def replaying(when: str) -> Iterator[None]:
    """Within the block, in this thread: when derivatives of plain Python code run as native code.

    Parameters
    ----------
    when : "when it pays" (what holds outside: a structure that keeps coming is compiled),
        "always" (at the first call: results don't depend on what came before) or "never" (NumPy
        alone, operator by operator)

    Native code agrees with NumPy to rounding: the last bits of a sum, an exponential, a sine may
    differ. In a program that must give the same bits in each of its runs, say "always" or "never".

    Raises
    ------
    ArgumentError if `when` is none of the three.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> with wg.replaying("never"):
    ...     print(wg.grad(lambda x: np.sin(x) * x)(0.0))
    0.0
    """
    if when not in _MODES:
        raise ArgumentError(f"replaying: {when!r} is none of {', '.join(map(repr, _MODES))}")
    token = current_mode.set(when)
    try:
        yield
    finally:
        current_mode.reset(token)
