"""Kernels by their structure: from memory, from disk, or from LLVM.

A kernel is compiled once per structure, processor and version of this package: at first quickly,
so that it can run, and then well, in the background (`background`). The object file of the
optimised code is kept in the user's cache folder (`cache`), so that later processes need no LLVM:
they do not even import it (`elf`).
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wengert.codegen import background, cache, elf, state
from wengert.codegen.kernel import Spec
from wengert.codegen.pool import ensure_pool
from wengert.codegen.tables import FURTHER

if TYPE_CHECKING:
    from wengert.codegen.compiler import Code

__all__ = [
    "Compiled",
    "absent",
    "begin",
    "compile_kernels",
    "is_made",
    "is_started",
    "make_later",
    "prepare",
    "runtime_address",
    "statistics",
    "words_addresses",
]

#: How often a process looks at the size of the folder: at the first compilation, and every so many.
_TRIM_EVERY = 32

_lock = threading.RLock()
#: Kernels that some thread compiles, without the lock; and what tells that they are there.
_in_progress: set[str] = set()
_there = threading.Condition(_lock)
#: Held while the runtime is loaded, which needs no kernels.
_runtime_lock = threading.RLock()
_is_prepared = False
#: What the file of the runtime is called by.
_RUNTIME = "runtime"


def _before_fork() -> None:
    # A child could never take a lock that another thread holds.
    background.settle()
    _runtime_lock.acquire()
    _lock.acquire()
    while _in_progress:
        _there.wait()


def _after_fork() -> None:
    _lock.release()
    _runtime_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )
#: Never freed, not even when the interpreter ends: results may outlive it, and free their memory by
#: functions of the runtime.
_loaded: list[Any] = []
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_loaded))
_addresses: dict[str, int] = {}
#: Counts since the process began, for reports and tests. `seconds` are those that callers waited;
#: `improved` counts the modules that were made anew in the background.
statistics = {"compiled": 0, "from_disk": 0, "seconds": 0.0, "modules": 0, "improved": 0}


class Compiled:
    """The address of a kernel, and how it was obtained ("memory", "disk" or "llvm")."""

    __slots__ = ("address", "origin")

    def __init__(self, address: int, origin: str) -> None:
        self.address = address
        self.origin = origin


def _load(body: bytes, names: Sequence[str], known: Mapping[str, int] | None = None) -> list[int]:
    """The addresses of functions of an object file; 0 for what is not in it."""
    known = {**state.addresses(), **(known or {})}
    found = elf.load(body, known)
    if found is not None:
        _loaded.append(found.memory)
        return [found.addresses.get(name, 0) for name in names]
    from wengert.codegen.compiler import load_object

    return load_object(body, names, known)


def compile_kernels(specs: Sequence[Spec]) -> list[Compiled]:
    """The kernels of these structures.

    Those that exist neither in this process nor on disk are compiled together, as one module: its
    object file is kept, and for each kernel a small file that names it.
    """
    keys = ["k" + spec.key() for spec in specs]
    by_key = dict(zip(keys, specs, strict=True))
    origin = dict.fromkeys(keys, "memory")
    while True:
        with _lock:
            missing = [k for k in by_key if k not in _addresses and k not in _in_progress]
            if missing:
                found = _from_disk(missing)
                origin.update(dict.fromkeys(found, "disk"))
            rest = {k: by_key[k] for k in missing if k not in _addresses}
            if not rest:
                # What others compile; if one of them fails, it is tried here.
                while not _in_progress.isdisjoint(by_key):
                    _there.wait()
                if all(k in _addresses for k in by_key):
                    return [Compiled(_addresses[key], origin[key]) for key in keys]
                continue
            _in_progress.update(rest)
        try:
            _compile(rest)
            origin.update(dict.fromkeys(rest, "llvm"))
        finally:
            with _lock:
                _in_progress.difference_update(rest)
                _there.notify_all()


def is_made(spec: Spec) -> bool:
    """Whether this process has the kernel of a structure."""
    return "k" + spec.key() in _addresses


def absent(specs: Sequence[Spec]) -> list[Spec]:
    """Those of these structures whose kernels LLVM would have to compile."""
    keys = {"k" + spec.key(): spec for spec in specs}
    return [
        spec
        for key, spec in keys.items()
        if key not in _addresses and not cache.is_kept(cache.file_name(key))
    ]


def _from_disk(keys: Sequence[str]) -> set[str]:
    objects: dict[str, list[str]] = {}
    for key in keys:
        reference = cache.read(cache.file_name(key))
        if reference is not None:
            objects.setdefault(reference.decode(), []).append(key)
    found: set[str] = set()
    for name, wanted in objects.items():
        body = cache.read(name)
        addresses = _load(body, wanted) if body is not None else [0]
        if all(addresses):
            _addresses.update(zip(wanted, addresses, strict=True))
            found.update(wanted)
    statistics["from_disk"] += len(found)
    return found


def _compile(specs: dict[str, Spec]) -> None:
    start = time.perf_counter()
    from wengert.codegen.compiler import kernels_code

    with _lock:
        statistics["modules"] += 1
        number = statistics["modules"]

    def keep(body: bytes) -> None:
        name = cache.file_name(" ".join(specs)) + "-object"
        cache.write(name, body)
        for key in specs:
            cache.write(cache.file_name(key), name.encode())
        if number % _TRIM_EVERY == 1:
            cache.trim()

    _make(kernels_code(specs), keep)
    with _lock:
        statistics["compiled"] += len(specs)
        statistics["seconds"] += time.perf_counter() - start


def _make(
    code: Code, keep: Callable[[bytes], None], known: Mapping[str, int] | None = None
) -> None:
    """Find addresses for the functions of some code. `keep` gets its optimised object file; `known`
    holds addresses of what it uses."""
    names = code.names
    known = known or {}
    if not background.is_allowed():
        body = code.optimised()
        _addresses.update(zip(names, _load(body, names, known), strict=True))
        keep(body)
        return
    wanted = [*map(code.hop, names), *map(code.word, names)]
    hot = code.hot
    own = dict(zip(hot, _load(code.hot_object(), hot), strict=True)) if hot else {}
    found = _load(code.first(), wanted, {**known, **own})
    _addresses.update(zip(names, found, strict=False))
    words = found[len(names) :]

    def improve() -> None:
        body = code.optimised()
        addresses = _load(body, names, known)
        with _lock:
            for word, address in zip(words, addresses, strict=True):
                # Aligned: who jumps at this moment finds one address or the other.
                ctypes.c_int64.from_address(word).value = address
            _addresses.update(zip(names, addresses, strict=True))
            statistics["improved"] += 1
        keep(body)

    background.submit(improve)


def runtime_address(name: str) -> int:
    """The address of a function of the runtime (`native`)."""
    found = _addresses.get(name)
    if found is None:
        with _runtime_lock:
            if name not in _addresses:
                _load_runtime("further" if name in FURTHER else _RUNTIME)
            found = _addresses[name]
    return found


def prepare() -> None:
    """Begin to make the runtime, in a thread, if LLVM has to, which needs nothing of Python for
    most of the time. (Loading it from disk is Python's work, and quick.)"""
    global _is_prepared
    if not _is_prepared and background.is_allowed():
        _is_prepared = True
        if not cache.is_kept(cache.file_name(_RUNTIME)):
            _begin(_prepare)


def begin(specs: Sequence[Spec]) -> None:
    """Begin to make kernels that will be asked for, in a thread, if LLVM has to."""
    if background.is_allowed() and (missing := absent(specs)):
        _begin(lambda: compile_kernels(missing))


def make_later(specs: Sequence[Spec]) -> None:
    """Make kernels that may be asked for, in the background, if LLVM has to."""
    if background.is_allowed() and (missing := absent(specs)):

        def work() -> None:
            # Who needs one that could not be made here tries again, and gets the error.
            with contextlib.suppress(Exception):
                compile_kernels(missing)

        background.submit(work)


def _begin(work: Callable[[], Any]) -> None:
    def run() -> None:
        # Who needs what could not be made here tries again, and gets the error.
        with contextlib.suppress(Exception):
            work()

    with contextlib.suppress(RuntimeError):  # no thread to be had: all comes when it is needed
        threading.Thread(target=run, name="wengert-first-code").start()


def _prepare() -> None:
    _load_llvm()
    runtime_address("entry")


def _load_llvm() -> None:
    """Load LLVM's library without holding Python's lock."""
    from wengert.codegen.llvm import library_path

    path = library_path()
    if path is not None:
        load = ctypes.CDLL(None).dlopen
        load.restype, load.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
        load(path.encode(), os.RTLD_NOW | os.RTLD_LOCAL)


def is_started() -> bool:
    """Whether this process has run native code."""
    return bool(_addresses)


def words_addresses(functions: Sequence[Any]) -> list[int]:
    """The addresses of functions of words (see `restricted`), which are kept on disk as one."""
    from wengert.codegen.restricted import words_name

    names = [words_name(f) for f in functions]
    with _lock:
        if any(name not in _addresses for name in names):
            sources = sorted({f.__code__.co_filename for f in functions})
            digest = hashlib.sha256(b"".join(cache.contents(file) for file in sources))
            file = cache.file_name(" ".join(["words", *names, digest.hexdigest()]))
            body = cache.read(file)
            if body is None:
                from wengert.codegen.compiler import words_code

                statistics["modules"] += 1
                _make(words_code(functions), lambda body: cache.write(file, body))
            else:
                _addresses.update(zip(names, _load(body, names), strict=True))
        return [_addresses[name] for name in names]


def _load_runtime(part: str) -> None:
    file = cache.file_name(part)
    # Steps of loops and branches are run by the runtime that every program has.
    known = {} if part == _RUNTIME else {"run_steps": runtime_address("run_steps")}
    kept = cache.read(file)
    if kept is None:
        from wengert.codegen.compiler import runtime_code

        statistics["modules"] += 1
        code = runtime_code(part)
        head = " ".join(code.names).encode() + b"\n"
        _make(code, lambda body: cache.write(file, head + body), known)
    else:
        listed, _, body = kept.partition(b"\n")
        names = listed.decode().split(" ")
        _addresses.update(zip(names, _load(body, names, known), strict=True))
    if part == _RUNTIME:
        ensure_pool(_addresses.__getitem__)
