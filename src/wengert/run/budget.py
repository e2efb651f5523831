"""Budgets: how they are written, which one holds where, and what takes no memory of its own."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from wengert.errors import ArgumentError

__all__ = ["VIEWS", "Budget", "current_budget", "limited", "parse_memory", "shown_bytes", "within"]

Budget = int | str

#: Operators whose result is a view of their first operand.
VIEWS = frozenset(
    {"broadcast_to", "transpose", "after", "stop_gradient", "project", "diagonal", "slice_index"}
)

_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_BINARY = {"KI": 1 << 10, "MI": 1 << 20, "GI": 1 << 30, "TI": 1 << 40}
_FORM = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([KMGT]I?)?\s*(B)?\s*", re.IGNORECASE)


def parse_memory(memory: Budget) -> int:
    """Bytes: an integer as it is; "200MB", "1.5 GiB", "64k" by their units.

    K, M, G, T are powers of 1000; Ki, Mi, Gi, Ti powers of 1024.

    >>> parse_memory("1.5MiB")
    1572864
    """
    if isinstance(memory, (int, np.integer)) and not isinstance(memory, bool):
        if memory <= 0:
            raise ArgumentError(f"memory={memory!r}: a budget must be a positive number of bytes")
        return int(memory)
    match = _FORM.fullmatch(memory) if isinstance(memory, str) else None
    if match is None:
        raise ArgumentError(
            f"memory={memory!r} is not an amount of memory",
            hint='write a number of bytes, or a string such as "200MB", "1.5GiB" or "64k"',
        )
    unit = (match[2] or "").upper()
    size = int(float(match[1]) * (_BINARY[unit] if unit in _BINARY else _UNITS[unit]))
    if size <= 0:
        raise ArgumentError(f"memory={memory!r}: a budget must be a positive number of bytes")
    return size


def shown_bytes(count: int) -> str:
    """A number of bytes for messages: the exact number, and one in a convenient unit."""
    for unit, size in (("GB", 1000**3), ("MB", 1000**2), ("kB", 1000)):
        if count >= size:
            return f"{count} bytes ({count / size:.3g} {unit})"
    return f"{count} bytes"


class _Active(threading.local):
    budget: int | None = None


_active = _Active()


def current_budget() -> int | None:
    """The bytes that graphs which run now in this thread may hold; None: as many as they need."""
    return _active.budget


@contextmanager
def within(budget: int | None) -> Iterator[None]:
    """Let graphs that run meanwhile keep to a budget, and to the one that holds already."""
    outer = current_budget()
    _active.budget = min([b for b in (budget, outer) if b is not None], default=None)
    try:
        yield
    finally:
        _active.budget = outer


def limited(derived: Callable[..., Any], memory: Budget | None) -> Callable[..., Any]:
    """`derived` within a budget; `derived` itself if there is none."""
    if memory is None:
        return derived
    budget = parse_memory(memory)

    @functools.wraps(derived)
    def inside(*args: Any, **kwargs: Any) -> Any:
        with within(budget):
            return derived(*args, **kwargs)

    return inside
