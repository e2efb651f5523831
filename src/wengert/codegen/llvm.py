"""LLVM's library: text of modules to object files, by several threads at the same time.

llvmlite's Python takes longer to import than LLVM takes for the first code of a program, and lets
one thread at a time into LLVM, since modules of one context share data. So what is needed first is
called in llvmlite's library itself (`Library`), whose functions are known for some versions; each
module has a context of its own, and a target machine that no other thread uses meanwhile. With any
other version the same goes through llvmlite (`Binding`).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Binding", "Library", "binding", "features", "library", "library_path"]

#: Versions of llvmlite whose functions are those below.
_KNOWN = ("0.50.",)

_POINTER, _TEXT, _INT = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
_OUT = ctypes.POINTER(ctypes.c_char_p)

#: Result and arguments of the functions of the library.
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "InitializeNativeTarget": (_INT,),
    "InitializeNativeAsmPrinter": (_INT,),
    "GetProcessTriple": (None, _OUT),
    "GetHostCPUName": (None, _OUT),
    "GetHostCPUFeatures": (_INT, _OUT),
    "GetTargetFromTriple": (_POINTER, _TEXT, _OUT),
    "CreateTargetMachine": (
        *(_POINTER, _POINTER, _TEXT, _TEXT, _TEXT, _INT, _TEXT, _TEXT, _INT, _INT, _TEXT),
    ),
    "ContextCreate": (_POINTER,),
    "ContextDispose": (None, _POINTER),
    "ParseAssembly": (_POINTER, _POINTER, _TEXT, _OUT),
    "VerifyModule": (ctypes.c_bool, _POINTER, _OUT),
    "DisposeModule": (None, _POINTER),
    "TargetMachineEmitToMemory": (_POINTER, _POINTER, _POINTER, _INT, _OUT),
    "GetBufferStart": (_POINTER, _POINTER),
    "GetBufferSize": (ctypes.c_size_t, _POINTER),
    "DisposeMemoryBuffer": (None, _POINTER),
    "DisposeString": (None, _POINTER),
}

#: Those that take long: Python's other threads run meanwhile. The rest keep Python's lock, since a
#: thread that gave it away for a moment would wait for it for milliseconds, each time.
_LONG = frozenset({"ParseAssembly", "VerifyModule", "TargetMachineEmitToMemory"})

_lock = threading.Lock()


def _folder() -> str | None:
    """Where llvmlite is, without importing it."""
    import importlib.machinery

    spec = importlib.machinery.PathFinder.find_spec("llvmlite")
    folders = spec.submodule_search_locations if spec is not None else None
    return next(iter(folders or ()), None)


def library_path() -> str | None:
    """The file of the library, where it has the name that it has on Linux."""
    folder = _folder()
    path = os.path.join(folder or "", "binding", "libllvmlite.so")
    return path if folder is not None and os.path.exists(path) else None


@functools.cache
def library() -> Library | Binding:
    """What makes object files in this process."""
    with _lock, contextlib.suppress(OSError, AttributeError):
        path = library_path()
        if path is not None and _is_known(os.path.dirname(os.path.dirname(path))):
            return Library(path)
    return Binding()


def _is_known(folder: str) -> bool:
    with open(os.path.join(folder, "_version.py"), encoding="utf-8") as file:
        text = file.read()
    return any(f"'{version}" in text for version in _KNOWN)


@functools.cache
def binding() -> Any:
    """llvmlite's Python, for all that need not be there first."""
    from llvmlite import binding

    with _lock:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
    return binding


@functools.cache
def features() -> dict[str, bool]:
    """What this processor can do."""
    return library().features()


class _Machines:
    """Target machines, each for one thread at a time."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make = make
        self._free: dict[int, list[Any]] = {}

    @contextlib.contextmanager
    def taken(self, level: int) -> Iterator[Any]:
        free = self._free.setdefault(level, [])
        try:
            machine = free.pop()
        except IndexError:
            machine = self._make(level)
        yield machine
        free.append(machine)


class Library:
    """The functions of llvmlite's library."""

    def __init__(self, path: str) -> None:
        loaded, unlocked = ctypes.PyDLL(path), ctypes.CDLL(path)
        for name, (result, *arguments) in _FUNCTIONS.items():
            symbol = f"LLVMPY_{name}"
            function = getattr(unlocked if name in _LONG else loaded, symbol)
            function.restype, function.argtypes = result, arguments
            setattr(loaded, symbol, function)
        self._loaded = loaded
        loaded.LLVMPY_InitializeNativeTarget()
        loaded.LLVMPY_InitializeNativeAsmPrinter()
        self.triple = self._written("GetProcessTriple")
        self._machines = _Machines(self._machine)

    def _take(self, out: Any) -> str:
        found = (out.value or b"").decode()
        if out:
            self._loaded.LLVMPY_DisposeString(out)
        return found

    def _written(self, name: str) -> str:
        out = ctypes.c_char_p()
        getattr(self._loaded, f"LLVMPY_{name}")(ctypes.byref(out))
        return self._take(out)

    def features(self) -> dict[str, bool]:
        """What this processor can do."""
        return {name[1:]: name[0] == "+" for name in self._written("GetHostCPUFeatures").split(",")}

    def _machine(self, level: int) -> int:
        out = ctypes.c_char_p()
        triple = self.triple.encode()
        target = self._loaded.LLVMPY_GetTargetFromTriple(triple, ctypes.byref(out))
        if not target:
            raise RuntimeError(self._take(out))
        cpu = self._written("GetHostCPUName").encode()
        machine: int | None = self._loaded.LLVMPY_CreateTargetMachine(
            *(target, triple, cpu, _listed(features()).encode(), level),
            *(b"pic", b"default", 0, 0, b""),
        )
        if not machine:
            raise RuntimeError(f"LLVM has no target machine for {self.triple}")
        return machine

    def object_code(self, text: str, level: int, *, verified: bool = False) -> bytes:
        """The object file of a module."""
        loaded, out = self._loaded, ctypes.c_char_p()
        context = loaded.LLVMPY_ContextCreate()
        try:
            module = loaded.LLVMPY_ParseAssembly(context, text.encode(), ctypes.byref(out))
            if not module:
                raise RuntimeError(f"LLVM IR: {self._take(out)}")
            try:
                if verified:
                    is_broken = loaded.LLVMPY_VerifyModule(module, ctypes.byref(out))
                    message = self._take(out)
                    if is_broken:
                        raise RuntimeError(message)
                return self._emitted(module, level)
            finally:
                loaded.LLVMPY_DisposeModule(module)
        finally:
            loaded.LLVMPY_ContextDispose(context)

    def _emitted(self, module: Any, level: int) -> bytes:
        loaded, out = self._loaded, ctypes.c_char_p()
        with self._machines.taken(level) as machine:
            buffer = loaded.LLVMPY_TargetMachineEmitToMemory(machine, module, 1, ctypes.byref(out))
        if not buffer:
            raise RuntimeError(self._take(out))
        try:
            start = loaded.LLVMPY_GetBufferStart(buffer)
            return ctypes.string_at(start, loaded.LLVMPY_GetBufferSize(buffer))
        finally:
            loaded.LLVMPY_DisposeMemoryBuffer(buffer)


class Binding:
    """The same through llvmlite."""

    def __init__(self) -> None:
        self.triple: str = binding().get_process_triple()
        self._machines = _Machines(machine)

    def features(self) -> dict[str, bool]:
        """What this processor can do."""
        return dict(binding().get_host_cpu_features())

    def object_code(self, text: str, level: int, *, verified: bool = False) -> bytes:
        """The object file of a module."""
        parsed = binding().parse_assembly(text, binding().create_context())
        if verified:
            parsed.verify()
        with self._machines.taken(level) as made:
            return bytes(made.emit_object(parsed))


def _listed(found: dict[str, bool]) -> str:
    # Sorted, so that the same features always give the same text.
    return ",".join(sorted(("+" if on else "-") + name for name, on in found.items()))


def machine(level: int = 2) -> Any:
    """A target machine of llvmlite's for this processor."""
    target = binding().Target.from_triple(binding().get_process_triple())
    return target.create_target_machine(
        cpu=binding().get_host_cpu_name(),
        features=_listed(dict(binding().get_host_cpu_features())),
        opt=level,
        reloc="pic",
        codemodel="default",
    )
