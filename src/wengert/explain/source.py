"""Where the text of the explained function is: in a file, a notebook's cell, or a lambda."""

from __future__ import annotations

import functools
import inspect
import linecache
import os
from types import CodeType
from typing import Any

from wengert.graph.tuples import NamedTuple

__all__ = ["OwnSource", "find_own_source"]


class OwnSource(NamedTuple):
    """The function's own lines, and the file around them.

    Attributes
    ----------
    file : name of the file without its folder, as in recorded lines
    first, last : the function's lines, counted as in the file
    text : all lines of the file
    """

    file: str
    first: int
    last: int
    text: tuple[str, ...]


def find_own_source(f: Any) -> OwnSource | None:
    """The source of a function, method, callable object or partial application; None without one.

    Python keeps the text of a notebook's cells beside that of files, so both are found.
    """
    code = _code_of(f)
    if code is None:
        return None
    text = linecache.getlines(code.co_filename)
    first, last = code.co_firstlineno, _last_line(code)
    if not text or not 1 <= first <= last <= len(text):
        return None
    block = inspect.getblock(text[first - 1 :])  # a def's closing brackets and comments
    if not code.co_name.startswith("<"):
        last = max(last, first + len(block) - 1)
    return OwnSource(os.path.basename(code.co_filename), first, last, tuple(text))


def _code_of(f: Any) -> CodeType | None:
    for _ in range(20):  # as many wrappers as anyone nests
        if isinstance(f, functools.partial):
            f = f.func
        elif hasattr(f, "__wrapped__"):
            f = f.__wrapped__
        elif inspect.ismethod(f):
            f = f.__func__
        elif inspect.isfunction(f):
            return f.__code__
        elif not inspect.isclass(f) and inspect.ismethod(getattr(f, "__call__", None)):  # noqa: B004
            f = f.__call__
        else:
            return None
    return None


def _last_line(code: CodeType) -> int:
    ends = [end for _, end, _, _ in code.co_positions() if end is not None]
    inner = [_last_line(const) for const in code.co_consts if isinstance(const, CodeType)]
    return max([code.co_firstlineno, *ends, *inner])
