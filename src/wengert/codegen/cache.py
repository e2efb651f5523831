"""Machine code on disk, for later processes.

Files are written whole under another name and renamed (concurrent writers, crashes), carry a
checksum of their name and contents (a damaged or exchanged file is ignored and replaced), and those
that were not used for longest are removed when the folder grows beyond `CACHE_BYTES`. Names come
from `file_name`, which covers everything that the contents depend on: processor, code of this
package, version of LLVM. Nothing here needs LLVM.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.machinery
import os
import sys
import threading
import time

__all__ = ["CACHE_BYTES", "contents", "file_name", "is_kept", "read", "trim", "write"]

CACHE_BYTES = 256 * 2**20
_MAGIC = b"wengert kernel 3\n"
#: A file takes at least this much of a disk.
_BLOCK = 4096
#: Seconds after which use of a file is noted again, and an unfinished file is given up.
_DAY, _HOUR = 86_400.0, 3_600.0

#: What Linux says of a processor that code may depend on.
_OF_PROCESSOR = (
    "vendor_id",
    "cpu family",
    "model",
    "model name",
    "stepping",
    "flags",
    "Features",
    "CPU implementer",
    "CPU architecture",
    "CPU variant",
    "CPU part",
    "CPU revision",
)


def cache_folder() -> str | None:
    """Where object files are kept: `WENGERT_CACHE`, or the user's cache folder; None if disabled
    by an empty `WENGERT_CACHE`."""
    chosen = os.environ.get("WENGERT_CACHE")
    if chosen is not None:
        return chosen or None
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "wengert", "kernels")


# ---------------------------------------------------------------- names


def _processor() -> str:
    """What this processor is and can do, as text that is the same in every process."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", "rb", buffering=0) as file:
        first = file.read(8192).decode(errors="replace").partition("\n\n")[0]
        pairs = (line.partition(":") for line in first.splitlines())
        found = {name.strip(): value.strip() for name, _, value in pairs}
        if "flags" in found or "Features" in found:
            return "\n".join(f"{k}: {found[k]}" for k in _OF_PROCESSOR if k in found)
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return " ".join([binding.get_host_cpu_name(), *sorted(k for k, on in features.items() if on)])


def _compiler() -> bytes:
    """The version of LLVM, without loading it."""
    spec = importlib.machinery.PathFinder.find_spec("llvmlite")
    folders = spec.submodule_search_locations if spec is not None else None
    for folder in folders or ():
        with contextlib.suppress(OSError):
            return contents(os.path.join(folder, "_version.py"))
    import llvmlite

    return str(llvmlite.__version__).encode()


def _source_digest() -> bytes:
    """Changes whenever code that generates kernels changes."""
    # Told by sizes and times, as Python tells whether its bytecode is up to date: reading all takes
    # longer than all else that a process needs of the cache.
    digest = hashlib.sha256()
    with os.scandir(os.path.dirname(__file__)) as files:
        for file in sorted(files, key=lambda file: file.name):
            if file.name.endswith(".py"):
                status = file.stat()
                digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.digest()


@functools.cache
def _fingerprint() -> bytes:
    machine = os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_IDENTIFIER")
    platform = f"{sys.platform} {machine} {sys.maxsize} {sys.implementation.cache_tag}"
    parts = (platform.encode(), _processor().encode(), _compiler(), _source_digest())
    return hashlib.sha256(b"\n".join(parts)).digest()


def file_name(key: str) -> str:
    """The name of the file of a kernel, or of anything else that has a key."""
    return hashlib.sha256(_fingerprint() + key.encode()).hexdigest()


# ---------------------------------------------------------------- contents


def contents(path: str) -> bytes:
    """What is in a file."""
    with open(path, "rb") as file:  # importing pathlib takes longer than all that is read here
        return file.read()


def is_kept(name: str) -> bool:
    """Whether there is a file of the cache, whatever is in it."""
    folder = cache_folder()
    return folder is not None and os.path.exists(os.path.join(folder, name))


def read(name: str) -> bytes | None:
    """The checked contents of a file of the cache, or None."""
    folder = cache_folder()
    if folder is None:
        return None
    path = os.path.join(folder, name)
    try:
        data = contents(path)
        if time.time() - os.stat(path).st_mtime > _DAY:
            os.utime(path)
    except OSError:
        return None
    head, body = data[: len(_MAGIC) + 32], data[len(_MAGIC) + 32 :]
    return body if head == _head(name, body) else None


def _head(name: str, body: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(name.encode() + b"\n" + body).digest()


def write(name: str, body: bytes) -> None:
    """Write a file of the cache whole, or not at all; a cache that can't be written is no error."""
    folder = cache_folder()
    if folder is None:
        return
    path = os.path.join(folder, name)
    unfinished = f"{path}.{os.getpid()}.{threading.get_ident()}.part"
    try:
        # What is read from here is executed: the folder is the user's alone.
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(unfinished, "wb") as file:
            file.write(_head(name, body) + body)
        os.replace(unfinished, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)


def trim() -> None:
    """Remove what was not used for longest, and what a crash left unfinished."""
    folder = cache_folder()
    files = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder) if folder is not None else ():
            with contextlib.suppress(OSError):
                status = entry.stat()
                if entry.name.endswith(".part") and time.time() - status.st_mtime > _HOUR:
                    os.unlink(entry.path)
                else:
                    files.append((status.st_mtime, max(status.st_size, _BLOCK), entry.path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= CACHE_BYTES:
            break
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size
