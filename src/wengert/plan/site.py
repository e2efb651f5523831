"""Call sites: Python callables that enter native code directly (see `codegen.pycall`).

A site is made once per compiled function and learns signatures: a descriptor for each executable
whose steps are all native and whose arguments and results are lists, tuples and dicts of arrays and
scalars. Everything else takes the fallback, which is ordinary Python.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.codegen.engine import compile_kernels, runtime_address
from wengert.codegen.tables import API, DESCRIPTOR, NODE, NUMBERS, OUT, SITE
from wengert.plan.executable import Executable
from wengert.plan.memory import handler_for, numpy_api
from wengert.plan.numbers import call_of_numbers

__all__ = ["Site", "tree_program"]

_FASTCALL_KEYWORDS = 0x0082

#: Signatures that one site keeps; further ones take the fallback.
_MOST_DESCRIPTORS = 8


class _Method(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def python_function(name: str) -> int:
    """The address of a function of Python's C interface."""
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0


#: The places of functions and types in NumPy's table are part of its stable binary interface.
_NUMPY = {
    "PyArray_Type": 2,
    "PyArray_Scalar": 60,
    "PyArray_NewCopy": 85,
    "PyArray_Empty": 184,
    "PyDataMem_SetHandler": 304,
}


def numpy_function(name: str) -> int:
    """The address of a function or type of NumPy's C interface."""
    return int(numpy_api()[_NUMPY[name]])


def native_function(name: str, address: int, payload: Any, module: Any) -> tuple[Any, Any]:
    """A Python callable around native code, and what must live as long as it does.

    `payload` is what the native code gets as its first argument; the callable holds `module`.
    """
    method = _Method(name.encode(), address, _FASTCALL_KEYWORDS, None)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = (
        ctypes.py_object,
        [ctypes.c_void_p, ctypes.py_object, ctypes.py_object],
    )
    return make(ctypes.addressof(method), payload, module), method


@functools.cache
def _api_table() -> Any:
    types = {"PyTuple_Type": tuple, "PyList_Type": list, "PyDict_Type": dict}
    words = []
    for name in API:
        if name in _NUMPY:
            words.append(numpy_function(name))
        elif name in types:
            words.append(id(types[name]))
        else:
            words.append(python_function(name))
    return np.array(words, np.int64)


def _address(words: Any) -> int:
    return int(words.ctypes.data)


class Site:
    """One compiled function's entry: `call` is the native callable, or the fallback, before
    anything is learned; `words` what native code reads (see `tables.SITE`), `traced_count` the
    number of traced signatures among that (`traced`).

    `opened` is called with the site's address when it has learned its first signature.
    """

    def __init__(
        self,
        name: str,
        fallback: Callable[..., Any],
        opened: Callable[[int], None] | None = None,
    ) -> None:
        self._name = name
        self._opened = opened
        self._kept: list[Any] = [fallback]
        self.words = np.zeros(len(SITE), np.int64)
        self.words[SITE["fallback"]] = id(fallback)
        self.words[SITE["api"]] = _address(_api_table())
        self._payload = struct.pack("q", _address(self.words))
        self.call: Any = fallback
        self._method: Any = None
        self._count = 0
        self.traced_count = 0

    def open(self) -> None:
        """Let calls enter native code from now on."""
        if self._method is None:
            # Its module is the site, which whoever holds the callable thereby keeps alive.
            call, self._method = native_function(
                self._name, runtime_address("entry"), self._payload, self
            )
            self.call = call
            if self._opened is not None:
                self._opened(self.address)

    def keep(self, *objects: Any) -> None:
        """Keep objects as long as the site lives: its words refer to them."""
        self._kept += objects

    @property
    def address(self) -> int:
        """Where native code finds the site."""
        return _address(self.words)

    def learn(
        self,
        args: Sequence[Any],
        run: Executable,
        out_structure: Callable[[list[Any]], Any],
        *,
        names: Sequence[str] = (),
        reuse: Sequence[tuple[int, int]] = (),
        exact_numbers: bool = False,
    ) -> bool:
        """Enter calls with arguments like `args` directly from now on, if that is possible.

        The last arguments are given by `names`; those come last among the plan's inputs too, in
        alphabetical order. `out_structure` builds the result from its leaves. `reuse` holds pairs
        (output, input) as `Executable` takes them; a call whose arrays do not allow one takes the
        fallback. With `exact_numbers` a NumPy float64 does not pass for a Python float, nor the
        reverse.
        """
        plan = run.plan
        if (
            # What an index refuses is run again, from arguments that must still be there.
            (reuse and plan.status >= 0)
            # A name that another string may spell is never found again.
            or any(sys.intern(name) is not name for name in names)
            or self._count >= _MOST_DESCRIPTORS
            or len(plan.segments) > 1
            or (plan.segments and not isinstance(plan.segments[0], tuple))
        ):
            return False
        by_position = len(args) - len(names)
        order = sorted(range(len(args)), key=lambda k: ("", *names)[max(0, k + 1 - by_position)])
        nodes = _nodes([(k, args[k]) for k in order], plan, exact_numbers)
        program = tree_program(out_structure(list(range(len(plan.outputs)))))
        if nodes is None or program is None:
            return False
        table, kept = nodes
        leaves = [number for number, row in enumerate(table) if row[NODE["check"]] >= 3]
        outs, out_kept = _outs(plan, {output: leaves[k] for output, k in reuse})
        words, program_kept = program
        arena = run.own_arena()
        handler = handler_for(plan.graph.output_types)
        steps, count = plan.segments[0] if plan.segments else (0, 0)
        descriptor = np.zeros(len(DESCRIPTOR), np.int64)
        values = {
            "next": self.words[SITE["first"]],
            "nodes": _address(table),
            "node_count": len(table),
            "outs": _address(outs),
            "out_count": len(outs),
            "program": _address(words),
            "program_count": len(words),
            "steps": steps,
            "step_count": count,
            "slots": arena.address,
            "status": _address(arena.status),
            "handler": 0 if handler is None else id(handler),
            "release": plan.is_long,
            "argument_count": by_position,
        }
        if names:
            listed = np.array([len(names), *map(id, names)], np.int64)
            values["keywords"] = _address(listed)
            self._kept += [listed, names]
        numbers = None if names else _numbers(args, plan, words, exact_numbers)
        if numbers is not None:
            values["numbers"], values["numbers_table"] = numbers[0], _address(numbers[1])
        for field, value in values.items():
            descriptor[DESCRIPTOR[field]] = value
        self._kept += [
            numbers,
            table,
            kept,
            outs,
            out_kept,
            words,
            program_kept,
            arena,
            descriptor,
            run,
        ]
        self.words[SITE["first"]] = _address(descriptor)
        self._count += 1
        self.open()
        return True


def _nodes(
    args: Sequence[tuple[int, Any]], plan: Any, exact_numbers: bool
) -> tuple[Any, list[Any]] | None:
    """The nodes that fetch and check the leaves of numbered arguments, in the order of optree's
    flattening."""
    rows: list[list[int]] = []
    kept: list[Any] = []
    inputs = iter(plan.inputs)

    def node(**fields: int) -> int:
        row = [0] * len(NODE)
        for name, value in fields.items():
            row[NODE[name]] = value
        rows.append(row)
        return len(rows) - 1

    # Depth first, children in order: a stack of (value, how to fetch it).
    stack: list[tuple[Any, dict[str, int]]] = [
        (value, {"fetch": 0, "key": k}) for k, value in args
    ][::-1]
    while stack:
        value, fetch = stack.pop()
        kind = type(value)
        if kind in (tuple, list):
            at = node(check=0 if kind is tuple else 1, size=len(value), **fetch)
            mode = 1 if kind is tuple else 2
            stack += [
                (item, {"fetch": mode, "parent": at, "key": k}) for k, item in enumerate(value)
            ][::-1]
        elif kind is dict:
            at = node(check=2, size=len(value), **fetch)
            try:
                keys = sorted(value)
            except TypeError:
                return None
            kept += keys
            stack += [(value[k], {"fetch": 3, "parent": at, "key": id(k)}) for k in keys][::-1]
        elif kind is np.ndarray:
            slot = next(inputs, None)
            if slot is None:
                return None
            dims = np.array(value.shape or (0,), np.int64)
            native = np.dtype(value.dtype.type)  # whatever the byte order of this array
            kept += [dims, native]
            node(
                check=3,
                size=value.nbytes,
                type=id(native),
                nd=value.ndim,
                dims=_address(dims),
                slot=slot,
                **fetch,
            )
        elif kind is float or issubclass(kind, np.generic):
            slot = next(inputs, None)
            if slot is None:
                return None
            other = {float: np.float64, np.float64: float}.get(kind, kind)
            other = kind if exact_numbers else other
            node(check=4, type=id(kind), other=id(other), slot=slot, **fetch)
        else:
            return None
    if next(inputs, None) is not None:
        return None
    return np.array(rows, np.int64).reshape(len(rows), len(NODE)), kept


#: Where `tp_alloc` stands in a type object, part of CPython's stable binary interface.
_TP_ALLOC = 304
#: The bit of `__flags__` that types have which count their instances as references.
_HEAP_TYPE = 1 << 9


def _slot(kind: type, offset: int) -> int:
    return ctypes.c_void_p.from_address(id(kind) + offset).value or 0


@functools.cache
def _scalar_kind(kind: type) -> tuple[int, int]:
    """How a scalar of this NumPy type is made (see `tables.OUT`), and its `tp_alloc`."""
    # A NumPy scalar is a head of 16 bytes and the number. That the slot is where it is believed to
    # be is seen on a type whose `tp_alloc` is known.
    known = _slot(float, _TP_ALLOC) == python_function("PyType_GenericAlloc")
    if known and kind.__basicsize__ == 24 and object.__basicsize__ == 16:
        made_here = {8: 2, 4: 3}.get(np.dtype(kind).itemsize, 1)
        return made_here, _slot(kind, _TP_ALLOC)
    return 1, 0


def _is_plain_scalar(kind: type) -> bool:
    """Whether memory of `PyObject_Malloc` with references, type and number is such a scalar."""
    # A debug build counts objects, and NumPy 3 may allocate its scalars in another way.
    usual = np.__version__.startswith("2.") and not hasattr(sys, "gettotalrefcount")
    is_static = not kind.__flags__ & _HEAP_TYPE
    return usual and is_static and _scalar_kind(kind)[0] == 2


def _numbers(args: Sequence[Any], plan: Any, program: Any, exact: bool) -> tuple[int, Any] | None:
    """The address of the function for a whole call of numbers, and its table."""
    if not _is_plain_scalar(np.float64):
        return None
    found = call_of_numbers(args, plan, program.tolist())
    if found is None:
        return None
    spec, constants = found
    types = list({type(a) for a in args} if exact else {float, np.float64})
    if exact and len(types) > 1:
        return None
    words = {
        "type": id(types[0]),
        "other_type": id(types[-1]),
        "result_type": id(np.float64),
        **{name: python_function(name) for name in ("PyObject_Malloc", "PyTuple_New")},
    }
    table = np.array([*(words[name] for name in NUMBERS), *constants], np.int64)
    (compiled,) = compile_kernels([spec])
    return compiled.address, table


def _outs(plan: Any, reuse: dict[int, int]) -> tuple[Any, list[Any]]:
    """How each output is made; `reuse` says which node's array an output is written into."""
    rows, kept = [], []
    for output, slot in enumerate(plan.outputs):
        type_ = plan.types[slot]
        dims = np.array(type_.shape or (0,), np.int64)
        kept += [dims, type_.dtype]
        kind, allocate = _scalar_kind(type_.dtype.type) if type_.ndim == 0 else (0, 0)
        row = [0] * len(OUT)
        kind = 4 if output in reuse else kind
        for name, value in (
            ("slot", slot),
            ("nd", reuse.get(output, type_.ndim)),
            ("dims", _address(dims)),
            ("descr", id(type_.dtype)),
            ("kind", kind),
            ("type", id(type_.dtype.type)),
            ("allocate", allocate),
        ):
            row[OUT[name]] = value
        rows.append(row)
    return np.array(rows, np.int64).reshape(len(rows), len(OUT)), kept


def tree_program(tree: Any) -> tuple[Any, list[Any]] | None:
    """The program that builds a tree of results, of which `tree` holds the numbers."""
    words: list[tuple[int, int]] = []
    kept: list[Any] = []
    stack: list[tuple[Any, bool]] = [(tree, False)]
    while stack:
        value, children_done = stack.pop()
        kind = type(value)
        if kind is int:
            words.append((0, value))
        elif kind in (tuple, list, dict):
            items = list(value.values()) if kind is dict else list(value)
            if not children_done:
                stack.append((value, True))
                stack += [(item, False) for item in reversed(items)]
            elif kind is dict:
                keys = list(value)
                table = np.array([len(keys), *(id(k) for k in keys)], np.int64)
                kept += [keys, table]
                words.append((3, _address(table)))
            else:
                words.append((1 if kind is tuple else 2, len(items)))
        else:
            return None
    return np.array(words, np.int64).reshape(len(words), 2), kept
