"""Putting native recording in place: the number slots of `Variable` and its `__array_ufunc__`.

This is done when the first graph is compiled, since LLVM is loaded then. From then on Python enters
native code for `x * y`; what that does not recognise comes back to `_miss`, which calls the methods
of `Variable` and remembers in the table what they recorded. So the table holds facts that were
observed, and the native code has no rule of its own.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from wengert.capture import Recorder, Variable
from wengert.graph import CONSTANT, Type
from wengert.ops import TABLE

__all__ = ["install"]

#: The word of a type that holds `tp_as_number`.
_AS_NUMBER = 12
_DUNDER = {"add": "add", "subtract": "sub", "multiply": "mul", "divide": "truediv"}

_lock = threading.Lock()
_installed: _Native | None = None


def install() -> bool:
    """Record in native code from now on, if this Python has the layout that it knows."""
    global _installed
    with _lock:
        if _installed is None and _layout_is_known():
            _installed = _Native()
        return _installed is not None


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


class _Probe:
    """A class with Python's operators and nothing else: its slots are what `Variable`'s must be."""

    def __add__(self, other: Any) -> Any:
        return NotImplemented

    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __add__

    def __neg__(self) -> Any:
        return NotImplemented


def _layout_is_known() -> bool:
    """Whether objects of this Python are laid out as `codegen.recording` takes them to be."""
    from wengert.codegen.recording_tables import BINARY, NEGATIVE, TAPE, VARIABLE

    if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False
    tape = Recorder()
    x = tape.bound_input(Type((2,), np.float64), np.zeros(2))
    slots = [
        (owner, n, word) for owner, o in ((x, VARIABLE), (tape, TAPE)) for n, word in o.items()
    ]
    pair, items, number = (x, tape), [x, tape], 1.5
    own, probe = (_word(id(kind) + 8 * _AS_NUMBER) for kind in (Variable, _Probe))
    return (
        all(_word(id(owner) + 8 * word) == id(getattr(owner, n)) for owner, n, word in slots)
        and [_word(id(pair) + 8 * k) for k in (1, 2, 3, 4)] == [id(tuple), 2, id(x), id(tape)]
        and [_word(id(items) + 8 * k) for k in (1, 2)] == [id(list), 2]
        and _word(_word(id(items) + 24) + 8) == id(tape)
        and ctypes.c_double.from_address(id(number) + 16).value == number
        and all(
            _word(own + 8 * k) == _word(probe + 8 * k) != 0 for k in (*BINARY.values(), NEGATIVE)
        )
    )


class _Native:
    """The table and the set-up, which live as long as the process, and what they refer to."""

    def __init__(self) -> None:
        from wengert.codegen.engine import runtime_address
        from wengert.codegen.recording_tables import BINARY, NEGATIVE, ROW, ROWS, SETUP
        from wengert.codegen.state import STATE
        from wengert.plan.site import numpy_function, python_function

        self.table = np.zeros((ROWS, len(ROW)), np.int64)
        self.kept: dict[int, Any] = {}
        python_ufunc = Variable.__array_ufunc__
        objects = {
            "variable": Variable,
            "float": float,
            "true": True,
            "no_params": (),
            "call": "__call__",
            "ufunc_miss": self._ufunc_miss(python_ufunc),
        }
        for name in (*BINARY, "negative"):
            objects[f"{name}_op"] = TABLE[name]
            objects[f"{name}_miss"] = self._miss(name)
        self.objects = objects
        words = np.zeros(len(SETUP), np.int64)
        for name, place in SETUP.items():
            if name == "table":
                words[place] = self.table.ctypes.data
            elif name == "PyArray_Scalar":
                words[place] = numpy_function(name)
            elif name in objects:
                words[place] = id(objects[name])
            else:
                words[place] = python_function(name)
        self.words = words
        STATE["wengert_recording"].value = words.ctypes.data
        numbers = _word(id(Variable) + 8 * _AS_NUMBER)
        for name, place in {**BINARY, "negative": NEGATIVE}.items():
            slot = ctypes.c_int64.from_address(numbers + 8 * place)
            slot.value = runtime_address(f"record_{name}")
        self._replace_ufunc(runtime_address("record_ufunc"))

    def _replace_ufunc(self, address: int) -> None:
        from wengert.plan.site import native_function

        self.function = native_function("__array_ufunc__", address, b"", None)
        type.__setattr__(Variable, "__array_ufunc__", self.function[0])

    # ------------------------------------------------------------ misses

    def _miss(self, name: str) -> Callable[..., Any]:
        if name == "negative":
            return self._unary_miss(TABLE[name])
        forward, reflected = f"__{_DUNDER[name]}__", f"__r{_DUNDER[name]}__"
        op = TABLE[name]

        def binary_miss(left: Any, right: Any) -> Any:
            own = left if isinstance(left, Variable) else right
            entries = own._tape.entries
            before = len(entries)
            made: Any = NotImplemented
            if own is left:
                made = getattr(type(left), forward)(left, right)
            elif hasattr(type(right), reflected):
                made = getattr(type(right), reflected)(right, left)
            if made.__class__ is Variable and own._tape.fast:
                self._learn_binary(op, left, right, made, before)
            return made

        return binary_miss

    def _learn_binary(self, op: Any, left: Any, right: Any, made: Any, before: int) -> None:
        tape = made._tape
        added = tape.entries[before:]
        operands = [left, right]
        keys = [x._type if x.__class__ is Variable else x.__class__ for x in operands]
        number = next((k for k in (0, 1) if operands[k].__class__ is float), None)
        if number is None:
            if any(x.__class__ is not Variable or x._tape is not tape for x in operands):
                return
            indices = (left._index, right._index)
            leaf = None
        else:
            if len(added) != 2 or added[0][0] is not CONSTANT or made._tape is not tape:
                return
            other = operands[1 - number]
            if other.__class__ is not Variable or added[0][3].dtype not in (np.float64, np.float32):
                return
            indices = (before, other._index) if number == 0 else (other._index, before)
            leaf, added = added[0], added[1:]
        if added == [(op, indices, (), made._type)]:
            self._learn(op, keys[0], keys[1], op, made._type, leaf)

    def _unary_miss(self, op: Any) -> Callable[..., Any]:
        def unary_miss(x: Any) -> Any:
            before = len(x._tape.entries)
            made = type(x).__neg__(x)
            self._learn_unary(op, op, x, made, before)
            return made

        return unary_miss

    def _ufunc_miss(self, python: Callable[..., Any]) -> Callable[..., Any]:
        def ufunc_miss(own: Any, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
            before = len(own._tape.entries)
            made = python(own, ufunc, method, *inputs, **kwargs)
            if len(inputs) == 1 and method == "__call__" and not kwargs and inputs[0] is own:
                op = TABLE.get(ufunc.__name__)
                self._learn_unary(ufunc, op, own, made, before)
            return made

        return ufunc_miss

    def _learn_unary(self, key: Any, op: Any, x: Any, made: Any, before: int) -> None:
        if made.__class__ is not Variable or x.__class__ is not Variable or not made._tape.fast:
            return
        if made._tape.entries[before:] == [(op, (x._index,), (), made._type)]:
            self._learn(key, x._type, None, op, made._type, None)

    def _learn(self, first: Any, second: Any, third: Any, op: Any, result: Any, leaf: Any) -> None:
        from wengert.codegen.recording_tables import ROW, row_number

        keys = [0 if key is None else id(key) for key in (first, second, third)]
        number = row_number(*keys)
        dtype = None if leaf is None else leaf[3].dtype
        values = {
            "first": keys[0],
            "second": keys[1],
            "third": keys[2],
            "op": id(op),
            "result": id(result),
            "leaf": 0 if leaf is None else id(leaf),
            "dtype": 0 if leaf is None else id(dtype),
            "single": int(dtype == np.float32),
        }
        # Under the GIL, as native code reads it; the old row's objects go after the row itself.
        old = self.kept.get(number)
        row = self.table[number]
        for name, value in values.items():
            row[ROW[name]] = value
        self.kept[number] = (first, second, third, op, result, leaf, dtype)
        del old
