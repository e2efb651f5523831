"""Compiling modules with LLVM, and keeping the machine code: in memory, and on disk.

A kernel is compiled once per structure, processor and version of this package. Its object file is
kept in the user's cache folder, so that later processes need no LLVM optimisation at all. Files are
written whole under another name and renamed (concurrent writers), carry a checksum of their name
and contents (a damaged or exchanged file is ignored and replaced), and those that were not used for
longest are removed when the folder grows beyond `CACHE_BYTES`.

An execution engine owns its target machine: there is one of each per module, kept for the life of
the process, since compiled functions hold addresses into it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llvmlite
from llvmlite import binding, ir

from wengert.codegen.kernel import KernelSpec
from wengert.codegen.loops import build_kernel
from wengert.codegen.native import build_runtime
from wengert.codegen.threads import ensure_pool
from wengert.codegen.walk import WalkSpec, build_walk

__all__ = ["Compiled", "absent", "cache_folder", "compile_kernels", "runtime_address", "statistics"]

Spec = KernelSpec | WalkSpec

CACHE_BYTES = 256 * 2**20
_MAGIC = b"wengert kernel 2\n"
#: A file takes at least this much of a disk.
_BLOCK = 4096
#: How often a process looks at the size of the folder: at the first compilation, and every so many.
_TRIM_EVERY = 32
#: Seconds after which use of a file is noted again, and an unfinished file is given up.
_DAY, _HOUR = 86_400.0, 3_600.0

_lock = threading.RLock()
_engines: list[Any] = []
_addresses: dict[str, int] = {}
#: Counts since the process began, for reports and tests.
statistics = {"compiled": 0, "from_disk": 0, "seconds": 0.0, "modules": 0}


class Compiled:
    """The address of a kernel, and how it was obtained ("memory", "disk" or "llvm")."""

    __slots__ = ("address", "origin")

    def __init__(self, address: int, origin: str) -> None:
        self.address = address
        self.origin = origin


def _host() -> tuple[str, str]:
    # As a list, so that the same features always give the same text.
    features = binding.get_host_cpu_features()
    return binding.get_host_cpu_name(), ",".join(
        sorted(("+" if on else "-") + name for name, on in features.items())
    )


_initialised = False


def _initialise() -> None:
    global _initialised
    if not _initialised:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        _initialised = True


def _target_machine() -> Any:
    name, features = _host()
    target = binding.Target.from_triple(binding.get_process_triple())
    return target.create_target_machine(
        cpu=name, features=features, opt=2, reloc="pic", codemodel="default"
    )


def vector_bytes() -> int:
    """Width of the vectors that kernels use on this processor."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f") and features.get("avx512dq") and features.get("avx512vl"):
        return 64
    return 32 if features.get("avx2") else 16


def _source_digest() -> str:
    """Changes whenever code that generates kernels changes."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_fingerprint_text: str | None = None


def _fingerprint() -> str:
    global _fingerprint_text
    if _fingerprint_text is None:
        name, features = _host()
        parts = (
            name,
            features,
            llvmlite.__version__,
            str(binding.llvm_version_info),
            binding.get_process_triple(),
            _source_digest(),
        )
        _fingerprint_text = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return _fingerprint_text


def cache_folder() -> Path | None:
    """Where object files are kept: `WENGERT_CACHE`, or the user's cache folder; None if disabled
    by an empty `WENGERT_CACHE`."""
    chosen = os.environ.get("WENGERT_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "wengert" / "kernels"


def _read(name: str) -> bytes | None:
    """The checked contents of a file of the cache, or None."""
    folder = cache_folder()
    if folder is None:
        return None
    path = folder / name
    try:
        data = path.read_bytes()
        if time.time() - path.stat().st_mtime > _DAY:
            os.utime(path)
    except OSError:
        return None
    head, body = data[: len(_MAGIC) + 32], data[len(_MAGIC) + 32 :]
    return body if head == _head(name, body) else None


def _head(name: str, body: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(name.encode() + b"\n" + body).digest()


def _write(name: str, body: bytes) -> None:
    """Write a file of the cache whole, or not at all; a cache that can't be written is no error."""
    folder = cache_folder()
    if folder is None:
        return
    unfinished = folder / f"{name}.{os.getpid()}.{threading.get_ident()}.part"
    try:
        # What is read from here is executed: the folder is the user's alone.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished.write_bytes(_head(name, body) + body)
        os.replace(unfinished, folder / name)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def _trim() -> None:
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


_emitter: Any = None


def _object_code(module: ir.Module) -> bytes:
    global _emitter
    if _emitter is None:
        _emitter = _target_machine()
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    statistics["modules"] += 1
    return bytes(_emitter.emit_object(parsed))


def _load(body: bytes, names: Sequence[str]) -> list[int]:
    empty = binding.parse_assembly(f'target triple = "{binding.get_process_triple()}"')
    engine = binding.create_mcjit_compiler(empty, _target_machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(body))
    engine.finalize_object()
    _engines.append(engine)
    return [engine.get_function_address(name) for name in names]


def _module() -> ir.Module:
    module = ir.Module()
    module.triple = binding.get_process_triple()
    return module


def build_function(module: ir.Module, spec: Spec, name: str, width: int) -> None:
    """Add the function of a kernel or a walk to a module, for vectors of `width` bytes."""
    if isinstance(spec, WalkSpec):
        build_walk(module, spec, name, width)
    else:
        build_kernel(module, spec, name, width)


def compile_kernels(specs: Sequence[Spec]) -> list[Compiled]:
    """The kernels of these structures.

    Those that exist neither in this process nor on disk are compiled together, as one module: its
    object file is kept, and for each kernel a small file that names it.
    """
    with _lock:
        _initialise()
        keys = ["k" + spec.key() for spec in specs]
        missing = {k: spec for k, spec in zip(keys, specs, strict=True) if k not in _addresses}
        origin = dict.fromkeys(keys, "memory")
        if missing:
            found = _from_disk(list(missing))
            origin.update(dict.fromkeys(found, "disk"))
            rest = {k: spec for k, spec in missing.items() if k not in found}
            if rest:
                _compile(rest)
                origin.update(dict.fromkeys(rest, "llvm"))
        return [Compiled(_addresses[key], origin[key]) for key in keys]


def absent(specs: Sequence[Spec]) -> list[Spec]:
    """Those of these structures whose kernels LLVM would have to compile."""
    folder = cache_folder()
    with _lock:
        _initialise()
        keys = {"k" + spec.key(): spec for spec in specs}
        return [
            spec
            for key, spec in keys.items()
            if key not in _addresses and (folder is None or not (folder / _file_name(key)).exists())
        ]


def _from_disk(keys: Sequence[str]) -> set[str]:
    objects: dict[str, list[str]] = {}
    for key in keys:
        reference = _read(_file_name(key))
        if reference is not None:
            objects.setdefault(reference.decode(), []).append(key)
    found: set[str] = set()
    for name, wanted in objects.items():
        body = _read(name)
        addresses = _load(body, wanted) if body is not None else [0]
        if all(addresses):
            _addresses.update(zip(wanted, addresses, strict=True))
            found.update(wanted)
    statistics["from_disk"] += len(found)
    return found


def _compile(specs: dict[str, Spec]) -> None:
    start = time.perf_counter()
    module = _module()
    for key, spec in specs.items():
        build_function(module, spec, key, vector_bytes())
    body = _object_code(module)
    _addresses.update(zip(specs, _load(body, list(specs)), strict=True))
    name = _file_name(" ".join(specs)) + "-object"
    _write(name, body)
    for key in specs:
        _write(_file_name(key), name.encode())
    if statistics["modules"] % _TRIM_EVERY == 1:
        _trim()
    statistics["compiled"] += len(specs)
    statistics["seconds"] += time.perf_counter() - start


def _file_name(key: str) -> str:
    return hashlib.sha256(f"{_fingerprint()} {key}".encode()).hexdigest()


def kernel_text(spec: Spec) -> str:
    """The LLVM IR of a kernel, for reports."""
    _initialise()
    module = _module()
    build_function(module, spec, "k" + spec.key(), vector_bytes())
    return str(module)


def kernel_assembly(spec: Spec) -> str:
    """The machine code of a kernel as this processor's assembly, for reports."""
    with _lock:
        parsed = binding.parse_assembly(kernel_text(spec))
        return str(_target_machine().emit_assembly(parsed))


def runtime_address(name: str) -> int:
    """The address of a function of the runtime (`native.build_runtime`)."""
    with _lock:
        if name not in _addresses:
            _initialise()
            module = _module()
            names = build_runtime(module)
            body = _read(_file_name("runtime"))
            if body is None:
                body = _object_code(module)
                _write(_file_name("runtime"), body)
            _addresses.update(zip(names, _load(body, names), strict=True))
            ensure_pool(_addresses.__getitem__)
        return _addresses[name]
