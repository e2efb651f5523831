"""Work that need not be done before a call returns: one thread, which lives while there is some.

The full optimisation of machine code takes LLVM ten times as long as the first code does, which
computes the same, to the bit, only slower. So a function runs the first code at once, and the full
code is made here (`engine`). The process ends when it is there and on disk.

`WENGERT_BACKGROUND=0` does without: every call returns only when all its code is fully optimised.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable

__all__ = ["is_allowed", "later", "settle", "submit"]

#: Seconds without new work before work begins: whoever wants more code soon should not have to wait
#: for LLVM, which does one thing at a time.
_PAUSE = 0.1

_change = threading.Condition()
_queue: deque[Callable[[], None]] = deque()
_thread: threading.Thread | None = None
_latest = 0.0
_waiting = 0


def is_allowed() -> bool:
    """Whether work may be done later."""
    return os.environ.get("WENGERT_BACKGROUND") != "0"


def submit(work: Callable[[], None]) -> None:
    """Do this soon, after what was submitted before it."""
    global _thread, _latest
    with _change:
        _queue.append(work)
        _latest = time.monotonic()
        if _thread is not None:
            return
        # Not a daemon: LLVM must not be at work while the process takes itself apart.
        _thread = threading.Thread(target=_work, name="wengert-compiler")
        try:
            _thread.start()
            return
        except RuntimeError:  # the interpreter is ending
            _thread = None
    _work()


def later(work: Callable[[], None]) -> bool:
    """Do this soon, if work may be done later; whether it may."""
    if is_allowed():
        submit(work)
        return True
    return False


def settle() -> None:
    """Return when all that was submitted is done."""
    global _waiting
    if threading.current_thread() is _thread:
        return
    with _change:
        _waiting += 1
        _change.notify_all()
        while _thread is not None:
            _change.wait()
        _waiting -= 1


def _next() -> Callable[[], None] | None:
    global _thread
    with _change:
        while _queue and not _waiting:
            left = _latest + _PAUSE - time.monotonic()
            if left <= 0:
                break
            _change.wait(left)
        if _queue:
            return _queue.popleft()
        _thread = None
        _change.notify_all()
        return None


def _work() -> None:
    while (work := _next()) is not None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  the first code stays in use
            warnings.warn(f"code could not be optimised: {error}", RuntimeWarning, stacklevel=1)


def _forget() -> None:
    """In a forked child: the thread was not copied."""
    global _change, _thread, _waiting
    _change, _thread, _waiting = threading.Condition(), None, 0
    _queue.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
