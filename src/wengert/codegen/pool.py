"""Starting and stopping the workers of the thread pool (`threads`)."""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from typing import Any

import numpy as np

from wengert.codegen.state import STATE
from wengert.codegen.tables import CLOSED, POOL, POOL_WORDS

__all__ = ["ensure_pool", "worker_count"]

_MOST_WORKERS = 15

_lock = threading.Lock()
_pool: Any = None
_threads: list[Any] = []


def worker_count() -> int:
    """Workers beside the calling thread: one per further core, or `WENGERT_THREADS` - 1."""
    chosen = os.environ.get("WENGERT_THREADS", "")
    if chosen.isdigit() and int(chosen) > 0:
        return min(int(chosen) - 1, _MOST_WORKERS)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min((cores or 1) - 1, _MOST_WORKERS)


def ensure_pool(address_of: Any) -> None:
    """Start the workers, once per process. `address_of(name)` finds functions of the runtime.

    Where threads or semaphores are not to be had, everything runs on the calling thread.
    """
    global _pool
    with _lock:
        if _pool is not None or worker_count() == 0:
            return
        try:
            libc = ctypes.CDLL(None)
            names = ("sem_post", "sem_wait", "sem_trywait", "sched_yield")
            functions = [ctypes.cast(getattr(libc, n), ctypes.c_void_p).value or 0 for n in names]
            create, begin = libc.pthread_create, libc.sem_init
        except (OSError, AttributeError):
            return
        begin.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint]
        create.argtypes = [ctypes.c_void_p] * 4
        words = np.zeros(POOL_WORDS, np.int64)
        base = words.ctypes.data
        words[[POOL["post"], POOL["wait"], POOL["try"], POOL["yield"]]] = functions
        words[POOL["next"]] = CLOSED
        begin(base + 8 * POOL["work"], 0, 0)
        for _ in range(worker_count()):
            thread = ctypes.c_ulong()
            if create(ctypes.addressof(thread), None, address_of("pool_worker"), base):
                break
            _threads.append(thread)
        words[POOL["workers"]] = len(_threads)
        _pool = (words, libc)
        STATE["wengert_pool"].value = base


def _stop() -> None:
    """End the workers before the memory of their code is freed."""
    global _pool
    with _lock:
        if _pool is None:
            return
        words, libc = _pool
        STATE["wengert_pool"].value = 0
        words[POOL["stop"]] = 1
        base = words.ctypes.data
        libc.sem_post.argtypes = [ctypes.c_void_p]
        libc.pthread_join.argtypes = [ctypes.c_ulong, ctypes.c_void_p]
        for _ in _threads:
            libc.sem_post(base + 8 * POOL["work"])
        for thread in _threads:
            libc.pthread_join(thread, None)
        _threads.clear()
        _pool = None


def _forget() -> None:
    """In a forked child: the workers were not copied."""
    global _pool, _lock
    _lock = threading.Lock()
    if _pool is not None:
        STATE["wengert_pool"].value = 0
        _threads.clear()
        _pool = None


atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
