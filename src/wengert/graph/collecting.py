"""Python's search for garbage in cycles, put off while graphs are built.

It runs again and again while many objects are made, of which hardly any is garbage yet: a fifth of
the time that a small program takes to compile. Afterwards it runs as before.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collecting_later", "importing"]

_lock = threading.Lock()
_inside = 0
_was_enabled = False


@contextmanager
def collecting_later() -> Iterator[None]:
    """A block in which no search begins by itself. Blocks may stand inside each other, and run in
    several threads."""
    global _inside, _was_enabled
    with _lock:
        if not _inside:
            _was_enabled = gc.isenabled()
            gc.disable()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside and _was_enabled:
                gc.enable()


@contextmanager
def importing() -> Iterator[None]:
    """A block that imports. What it makes lives as long as the process, and goes to the old objects
    at once, without a search among them."""
    before = len(sys.modules)
    with collecting_later():
        yield
        # Unless all was loaded before, or a program has put objects aside.
        if len(sys.modules) > before and not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()
