"""`compile`: a function captured once per signature, optimised, planned and compiled.

The first call with a signature captures and plans; kernels are compiled per structure, so that
another size usually needs a plan only. Later calls enter native code directly (`plan.site`).
"""

from __future__ import annotations

import functools
import os
import threading
import types
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wengert.capture import function_name, unflatten
from wengert.compiling.entry import Entry, capture_entry
from wengert.compiling.signature import Signature, argument_numbers
from wengert.errors import ArgumentError
from wengert.graph import Graph, current_tape
from wengert.graph.collecting import collecting_later
from wengert.plan import NativeCallable, Site, SpareMemory, enter_directly

if TYPE_CHECKING:
    from wengert.compiling.calls import Calls

__all__ = ["CompiledFunction", "compile_function"]

#: Signatures that one function keeps; the least recently used is forgotten.
MOST_SIGNATURES = 128
#: With more of them, first calls share memory (calls that enter native code have their own).
_FEW_SIGNATURES = 2


class CompiledFunction(NativeCallable):
    """A function that runs as native code; see `wengert.compile`.

    `graph(*args)`, `optimized(*args)` and `report(*args)` show what is run for arguments of these
    types, without running it; `save` and `export` write it to files.
    """

    _site: Site

    def __init__(
        self,
        f: Callable[..., Any],
        static_argnums: int | Sequence[int] = (),
        donate: int | Sequence[int] = (),
    ) -> None:
        if not callable(f):
            raise ArgumentError(
                f"compile: {f!r} is not a function",
                hint="write wg.compile(f)(x), not wg.compile(f(x))",
            )
        functools.update_wrapper(self, f)
        name = function_name(f)
        self._f = f
        self._static = argument_numbers(static_argnums, "static_argnums", name)
        self._donated = argument_numbers(donate, "donate", name)
        if self._static & self._donated:
            raise ArgumentError(f"compile: an argument of {name} is both static and donated")
        self._entries: OrderedDict[Any, Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._spare = SpareMemory()
        self._site = Site(name, self._slow_call, self._opened)
        #: Uses inside dynamic graphs, once there are any.
        self._calls: Calls | None = None

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        # As a method: the instance is the first argument.
        return self if instance is None else types.MethodType(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The results of the function; native code where the arguments allow it."""
        return self._site.call(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<compiled {function_name(self._f)}>"

    def __reduce__(self) -> Any:
        raise TypeError(
            "a compiled function can't be pickled: pickle the function itself, or use "
            "its save(path, *args) and wg.load_compiled(path)"
        )

    # ------------------------------------------------------------ calls

    def _opened(self, site: int) -> None:
        enter_directly(self, site)

    def _slow_call(self, *args: Any, **kwargs: Any) -> Any:
        tape = current_tape()
        if tape is not None and tape.keeps_calls and not kwargs and not self._static:
            is_node, found = self._recorded(args)
            if is_node:
                return found
        with collecting_later():
            signature, entry = self._prepared(args, kwargs)
            if entry is not None and entry.executable().plan.is_brief:
                return self._first(entry, signature, args, kwargs)
        if entry is None:
            # Inside another transformation the function is part of what that one captures.
            return self._f(*args, **kwargs)
        return self._first(entry, signature, args, kwargs)

    def _recorded(self, args: tuple[Any, ...]) -> tuple[bool, Any]:
        """Whether the use is recorded as one node of a dynamic graph, and its results."""
        # Needed by such programs only.
        from wengert.compiling.calls import INLINE, Calls

        with self._lock:
            if self._calls is None:
                self._calls = Calls(self._f, self._site)
        found = self._calls.record(args)
        return found is not INLINE, found

    def _prepared(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Signature, Entry | None]:
        signature = Signature(args, kwargs, self._static, function_name(self._f))
        return signature, None if signature.traced else self._entry(signature, args, kwargs)

    def _first(
        self, entry: Entry, signature: Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run what was prepared; calls like this one enter native code from now on."""
        run = entry.executable()
        reuse = _allowed(entry.reuse, signature) if entry.reuse else ()
        many = len(self._entries) > _FEW_SIGNATURES and entry.budget is None
        results = run(signature.arrays, reuse, self._spare if many else None)
        if not self._static and (len(args), tuple(kwargs)) not in entry.forms:
            self._show_site(entry, args, kwargs)
        return unflatten(entry.structure, results)

    def _entry(
        self, signature: Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Entry | None:
        """What is kept for this signature; None if the function uses outer traced values."""
        key = signature.key
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
                return found
        # Not under a lock: the function may call other compiled functions. If two threads come
        # here at once, both capture, and the first wins.
        made = capture_entry(self._f, args, kwargs, self._static, self._donated)
        if made is None:
            return None
        with self._lock:
            kept = self._entries.setdefault(key, made)
            self._entries.move_to_end(key)
            while len(self._entries) > MOST_SIGNATURES:
                self._entries.popitem(last=False)
        return kept

    def _show_site(self, entry: Entry, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Let calls like this one enter native code from now on."""
        form = (len(args), tuple(kwargs))
        structure = entry.structure
        with self._lock:
            if form in entry.forms:
                return
            entry.forms.add(form)
            self._site.learn(
                (*args, *kwargs.values()),
                entry.executable(),
                lambda leaves: unflatten(structure, leaves),
                names=tuple(kwargs),
                reuse=entry.reuse,
                exact_numbers=_mixes_dtypes(entry.graph),
            )

    # ------------------------------------------------------------ asking

    def _asked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Entry:
        name = function_name(self._f)
        signature = Signature(args, kwargs, self._static, name)
        entry = None if signature.traced else self._entry(signature, args, kwargs)
        if entry is None:
            raise ArgumentError(
                f"compile: {name} has no graph of its own here, since an argument, or a value "
                "that it uses, is traced by an enclosing transformation",
                hint="ask outside the transformation, and pass the value as an argument",
            )
        return entry

    def graph(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph as captured for arguments of these types.

        >>> import wengert as wg
        >>> [node.op.name for node in wg.compile(lambda x: x * 1.0 + x).graph(2.0)]
        ['input', 'constant', 'multiply', 'add']
        """
        return self._asked(args, kwargs).graph

    def optimized(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph after optimisation.

        >>> import wengert as wg
        >>> [node.op.name for node in wg.compile(lambda x: x * 1.0 + x).optimized(2.0)]
        ['input', 'add']
        """
        return self._asked(args, kwargs).optimised().graph

    def report(self, *args: Any, **kwargs: Any) -> Any:
        """What happened for arguments of these types, as a `Report`: print it."""
        from wengert.compiling.report import Report

        return Report.of(function_name(self._f), self._asked(args, kwargs))

    # ------------------------------------------------------------ files

    def save(self, path: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Write the optimised graph for arguments of these types to a file, without the source.

        `wengert.load_compiled(path)` gives the function back, in any process. Nothing is pickled:
        loading a file runs no code of it. Arguments and results may be trees of dicts, lists,
        tuples, named tuples and dataclasses.
        """
        from wengert.compiling.files import save_compiled

        save_compiled(
            path,
            function_name(self._f),
            self._asked(args, kwargs),
            [a for k, a in enumerate(args) if k not in self._static],
            kwargs,
        )

    def export(
        self,
        path_prefix: str | os.PathLike[str],
        *args: Any,
        name: str = "step",
        triple: str | None = None,
        cpu: str = "generic",
        features: str = "",
    ) -> tuple[str, str]:
        """Write `path_prefix.o` and `path_prefix.h`: a C function that needs nothing of Python.

        The header says in which order the function takes the leaves of the arguments and results
        (`void step(const double *x, ..., double *out0, ..., void *workspace)`), with their shapes
        and dtypes. Matrix products are generated loops: no BLAS is linked.

        Parameters
        ----------
        args : arguments of the types to export for
        name : the C function's name
        triple : LLVM's name of the target, such as aarch64-linux-gnu or wasm32; this machine's
            by default
        cpu, features : the processor; "native" is this one, "generic" any of the target

        Returns
        -------
        The two paths.

        Raises
        ------
        ArgumentError : if an operator has no native code yet: it names operator and line
        """
        from wengert.compiling.exporting import export_entry

        return export_entry(
            path_prefix, self._asked(args, {}), function_name(self._f), name, triple, cpu, features
        )


def _allowed(reuse: Sequence[tuple[int, int]], signature: Signature) -> list[tuple[int, int]]:
    """The pairs for which the input is a writable array that no other input overlaps."""
    found = []
    for output, k in reuse:
        own = signature.arrays[k]
        if own.flags.writeable and not any(
            np.may_share_memory(own, other)
            for i, other in enumerate(signature.leaves)
            if i != k and isinstance(other, np.ndarray)
        ):
            found.append((output, k))
    return found


def _mixes_dtypes(graph: Graph) -> bool:
    """Whether a Python float and a NumPy float64 may lead to results of different dtypes."""
    return any(getattr(t, "is_float", False) and t.dtype != np.float64 for *_, t in graph.entries)


def _make(
    f: Callable[..., Any], static_argnums: int | Sequence[int], donate: int | Sequence[int]
) -> CompiledFunction:
    # A class for each function: it is the class that says how its instance is called.
    own: Any = type("CompiledFunction", (CompiledFunction,), {})
    return own(f, static_argnums, donate)  # type: ignore[no-any-return]


def compile_function(
    f: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Sequence[int] = (),
    donate: int | Sequence[int] = (),
) -> Any:
    """See `wengert.compile`."""
    if f is None:
        return lambda g: _make(g, static_argnums, donate)
    return _make(f, static_argnums, donate)
