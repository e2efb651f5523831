"""Putting native recording in place: slots of `Variable` and `View`, and their `__array_ufunc__`.

This is done when the first graph is compiled, since LLVM is loaded then. From then on Python enters
native code for `x * y` and `x[3]`; what that does not recognise comes back to a *miss*, which calls
the methods of `Variable` and remembers in the table what they recorded. So the table holds facts
that were observed, and the native code has no rule of its own.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np

from wengert.capture import Recorder, Variable
from wengert.capture.view import View
from wengert.graph import CONSTANT, Traced, Type
from wengert.ops import TABLE, Op
from wengert.replay.ufuncs import Shortcuts, vectorcall

__all__ = ["install"]

#: The words of a type that hold `tp_as_number` and `tp_as_mapping`, and the place of `mp_subscript`
#: in the latter.
_AS_NUMBER, _AS_MAPPING, _SUBSCRIPT = 12, 14, 1
#: Those of what frees an instance, and of the bytes of one.
_DEALLOC, _SIZE = 6, 4
#: The word of a type that holds `tp_call`.
_CALL = 16
_DUNDER = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "truediv",
    "matmul": "matmul",
}
_HANDLES = (Variable, View)
#: Functions of one array, perhaps with an axis, and of a list of arrays, that record one operator,
#: and which one only the types of the arrays and the axis decide.
_OF_ONE = frozenset(
    {np.sum, np.prod, np.max, np.min, np.cumsum, np.argmax, np.argmin, np.any, np.all}
)
_OF_A_LIST = frozenset({np.concatenate})
#: Operators that take a Python int as they take the float that equals it.
_OF_INTS = frozenset({"add", "subtract", "multiply", "divide", "maximum", "minimum"})
#: Bytes of an element of an array that native code compares.
_LEAST_BYTES = 4

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


def _operator_classes() -> list[type]:
    """The classes of the records of operators that are called as `Op` is."""
    found = {type(op) for op in TABLE.values()}
    return [kind for kind in found if kind.__call__ is Op.__call__]


class _Probe:
    """A class with Python's operators and nothing else: its slots are what `Variable`'s must be."""

    def __add__(self, other: Any) -> Any:
        return NotImplemented

    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __add__
    __matmul__ = __rmatmul__ = __add__

    def __neg__(self) -> Any:
        return NotImplemented

    def __call__(self) -> Any:
        return NotImplemented

    def __getitem__(self, key: Any) -> Any:
        return NotImplemented


def _layout_is_known() -> bool:
    """Whether objects of this Python are laid out as `codegen.recording` takes them to be."""
    from wengert.codegen.recording_tables import BINARY, NEGATIVE, TAPE, VARIABLE, VIEW

    if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False
    tape = Recorder()
    x = tape.bound_input(Type((2,), np.float64), np.zeros(2))
    part, span = x[:1], slice(1, 2, 3)
    owners: list[tuple[Any, dict[str, int]]] = [(x, VARIABLE), (tape, TAPE), (part, VIEW)]
    owners.append((part, {name: VARIABLE[name] for name in ("_tape", "_type")}))
    slots = [(owner, n, word) for owner, o in owners for n, word in o.items()]
    pair, items, number = (x, tape), [x, tape], 1.5
    probe = _Probe
    number_slots = [_word(id(kind) + 8 * _AS_NUMBER) for kind in (*_HANDLES, probe)]
    mapping_slots = [_word(id(kind) + 8 * _AS_MAPPING) for kind in (*_HANDLES, probe)]
    places = (*BINARY.values(), NEGATIVE)
    calls = _word(id(probe) + 8 * _CALL)
    subscripts = {_word(slot + 8 * _SUBSCRIPT) for slot in mapping_slots}
    return (
        all(_word(id(owner) + 8 * word) == id(getattr(owner, n)) for owner, n, word in slots)
        and [_word(id(pair) + 8 * k) for k in (1, 2, 3, 4)] == [id(tuple), 2, id(x), id(tape)]
        and [_word(id(items) + 8 * k) for k in (1, 2)] == [id(list), 2]
        and _word(_word(id(items) + 24) + 8) == id(tape)
        and _word(id(items) + 32) == (items.__sizeof__() - list.__basicsize__) // 8
        and (tuple.__basicsize__, tuple.__itemsize__) == (24, 8)
        and sys.getsizeof(pair) - pair.__sizeof__() == 16
        and _word(id(span)) % 2**31 == sys.getrefcount(span) - 1
        and [_word(id(span) + 8 * k) for k in (2, 3, 4)] == [id(1), id(2), id(3)]
        and ctypes.c_double.from_address(id(number) + 16).value == number
        and {_word(id(kind) + 8 * _CALL) for kind in (*_operator_classes(), probe)} == {calls}
        and calls != 0
        and len(subscripts) == 1
        and subscripts != {0}
        and len({_word(id(kind) + 8 * _DEALLOC) for kind in (*_HANDLES, Traced, probe)}) == 1
        and _word(id(Variable) + 8 * _SIZE) == 8 * (2 + len(VARIABLE)) == Variable.__basicsize__
        and _word(id(View) + 8 * _SIZE) == 8 * (5 + len(VIEW)) == View.__basicsize__
        and View.__weakrefoffset__ == View.__dictoffset__ == 0
        and Variable.__weakrefoffset__ == Variable.__dictoffset__ == 0
        and all(len({_word(own + 8 * k) for own in number_slots} - {0}) == 1 for k in places)
    )


class _Method:
    """A method that is no Python function: the interpreter calls functions that it finds under
    `__getitem__` itself, past the slot, once a line has run a few times."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self.function, instance)

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


class _Native:
    """The table and the set-up, which live as long as the process, and what they refer to."""

    def __init__(self) -> None:
        from wengert.codegen.engine import words_addresses
        from wengert.codegen.recording import SLOTS
        from wengert.codegen.recording_tables import BINARY, NEGATIVE, ROW, ROWS, SETUP
        from wengert.codegen.state import STATE
        from wengert.plan.site import native_function, numpy_function, python_function
        from wengert.transform.calling import call

        self.table = np.zeros((ROWS, len(ROW)), np.int64)
        self.kept: dict[int, Any] = {}
        self.turn = 0
        objects: dict[str, Any] = {
            "variable": Variable,
            "view": View,
            "float": float,
            "int": int,
            "list": list,
            "slice": slice,
            "tuple": tuple,
            "none": None,
            "true": True,
            "no_params": (),
            "call_name": "__call__",
            "axis": "axis",
            "where": np.where,
            "call_op": call,
            "project_op": TABLE["project"],
            "ufunc_miss": self._ufunc_miss(Variable.__array_ufunc__),
            "function_miss": self._function_miss(Variable.__array_function__),
            "item_miss": self._item_miss(Variable.__getitem__),
            "operator_miss": self._operator_miss(Op.__call__),
            "value_numbers": [],
            "tuples_of_one": [],
        }
        for name in (*BINARY, "negative"):
            objects[f"{name}_op"] = TABLE["contract" if name == "matmul" else name]
            objects[f"{name}_miss"] = self._miss(name)
        self.objects = objects
        words = np.zeros(len(SETUP), np.int64)
        for name, place in SETUP.items():
            if name == "table":
                words[place] = self.table.ctypes.data
            elif name.startswith("free"):
                continue
            elif name.startswith("PyArray"):
                words[place] = numpy_function(name)
            elif name == "operator_call":
                words[place] = _word(id(_Probe) + 8 * _CALL)
            elif name == "ufunc_call":
                words[place] = vectorcall()
            elif name in objects:
                words[place] = id(objects[name])
            else:
                words[place] = python_function(name)
        self.words = words
        STATE["wengert_recording"].value = words.ctypes.data
        # Setting it puts Python's own functions into the slots, so it comes first.
        type.__setattr__(Variable, "__getitem__", _Method(Variable.__getitem__))
        found = dict(zip(SLOTS, words_addresses(list(SLOTS.values())), strict=True))
        for kind in _HANDLES:
            numbers = _word(id(kind) + 8 * _AS_NUMBER)
            slots = {name: numbers + 8 * k for name, k in {**BINARY, "negative": NEGATIVE}.items()}
            slots["item"] = _word(id(kind) + 8 * _AS_MAPPING) + 8 * _SUBSCRIPT
            for name, slot in slots.items():
                ctypes.c_int64.from_address(slot).value = found[name]
        for operators in _operator_classes():
            ctypes.c_int64.from_address(id(operators) + 8 * _CALL).value = found["operator"]
        # Classes that derive from `Variable` keep their own, which end by calling this.
        ctypes.c_int64.from_address(id(Variable) + 8 * _DEALLOC).value = found["release"]
        ctypes.c_int64.from_address(id(View) + 8 * _DEALLOC).value = found["release_view"]
        self.shortcuts = Shortcuts(int(words[SETUP["ufunc_call"]]), found["ufunc_call"])
        self.functions = []
        for name in ("ufunc", "function"):
            made = native_function(f"__array_{name}__", found[name], b"", None)
            type.__setattr__(Variable, f"__array_{name}__", made[0])
            self.functions.append(made)

    # ------------------------------------------------------------ misses

    def _miss(self, name: str) -> Callable[..., Any]:
        if name == "negative":
            return self._unary_miss(TABLE[name])
        forward, reflected = f"__{_DUNDER[name]}__", f"__r{_DUNDER[name]}__"
        key = TABLE["contract" if name == "matmul" else name]

        def binary_miss(left: Any, right: Any) -> Any:
            own = left if isinstance(left, Variable) else right
            entries = own._tape.entries
            before = len(entries)
            made: Any = NotImplemented
            if own is left:
                made = getattr(type(left), forward)(left, right)
            elif hasattr(type(right), reflected):
                made = getattr(type(right), reflected)(right, left)
            if made.__class__ is Variable and made._tape is own._tape:
                self._learn_binary(key, left, right, made, before)
            return made

        return binary_miss

    def _learn_binary(self, key: Any, left: Any, right: Any, made: Any, before: int) -> None:
        tape = made._tape
        if not tape.fast:
            return
        added = tape.entries[before:]
        operands = [left, right]
        keys = [x._type if x.__class__ in _HANDLES else x.__class__ for x in operands]
        array = next((k for k in (0, 1) if operands[k].__class__ is np.ndarray), None)
        number = next((k for k in (0, 1) if operands[k].__class__ in (float, int)), None)
        if array is not None:
            self._learn_array(key, operands, array, made, added)
            return
        if number is None:
            if any(x.__class__ not in _HANDLES or x._tape is not tape for x in operands):
                return
            indices = (left._index, right._index)
            leaf = None
        else:
            if len(added) != 2 or added[0][0] is not CONSTANT or made._tape is not tape:
                return
            other = operands[1 - number]
            if other.__class__ not in _HANDLES or added[0][3].dtype not in (np.float64, np.float32):
                return
            if operands[number].__class__ is int and added[1][0].name not in _OF_INTS:
                return  # what it records may depend on the number, as a power does
            indices = (before, other._index) if number == 0 else (other._index, before)
            leaf, added = added[0], added[1:]
        if len(added) == 1 and added[0][1] == indices and added[0][3] is made._type:
            self._learn(key, keys[0], keys[1], added[0], leaf)

    def _learn_array(
        self, key: Any, operands: list[Any], array: int, made: Any, added: list[Any]
    ) -> None:
        """Remember an operator on a variable and an array, operand number `array`, that has become
        a constant, now or before."""
        from wengert.codegen.recording_tables import array_code

        value, other, entries = operands[array], operands[1 - array], made._tape.entries
        code = array_code(value.shape)
        if other.__class__ not in _HANDLES or not code or not value.ndim or len(added) > 2:
            return
        entry = added[-1]
        at = made._tape.snapshots[id(value)][2] if id(value) in made._tape.snapshots else -1
        wanted = (at, other._index) if array == 0 else (other._index, at)
        leaf = entries[at]
        if leaf[0] is not CONSTANT or leaf[3].dtype is not value.dtype or entry[1] != wanted:
            return
        if entry[3] is made._type and value.itemsize >= _LEAST_BYTES:
            first, second = (code, other._type) if array == 0 else (other._type, code)
            self._learn(key, first, second, entry, leaf, size=value.nbytes)

    def _operator_miss(self, python: Callable[..., Any]) -> Callable[..., Any]:
        def operator_miss(op: Any, args: Any) -> Any:
            own = next(x for x in args if x.__class__ in _HANDLES)
            before = len(own._tape.entries)
            made = python(op, *args)
            if made.__class__ is Variable and made._tape is own._tape and not op.can_fail:
                if len(args) == 1:
                    self._learn_unary(op, own, made, before)
                else:
                    self._learn_binary(op, args[0], args[1], made, before)
            return made

        return operator_miss

    def _unary_miss(self, op: Any) -> Callable[..., Any]:
        def unary_miss(x: Any) -> Any:
            before = len(x._tape.entries)
            made = type(x).__neg__(x)
            self._learn_unary(op, x, made, before)
            return made

        return unary_miss

    def _ufunc_miss(self, python: Callable[..., Any]) -> Callable[..., Any]:
        def ufunc_miss(own: Any, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
            before = len(own._tape.entries)
            made = python(own, ufunc, method, *inputs, **kwargs)
            if method == "__call__" and not kwargs:
                if len(inputs) == 1 and inputs[0] is own:
                    self._learn_unary(ufunc, own, made, before)
                elif len(inputs) == 2 and made.__class__ is Variable and made._tape is own._tape:
                    self._learn_binary(ufunc, *inputs, made, before)
                self.shortcuts.take(ufunc)
            return made

        return ufunc_miss

    def _function_miss(self, python: Callable[..., Any]) -> Callable[..., Any]:
        from wengert.codegen.recording_tables import axis_code

        def function_miss(own: Any, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
            before = len(own._tape.entries)
            made = python(own, function, types, args, kwargs)
            if made.__class__ is not Variable or made._tape is not own._tape or not args:
                return made
            operand, code = args[0], axis_code(args, kwargs)
            if function in _OF_ONE and operand is own and code is not None:
                self._learn_unary(function, own, made, before, code)
            elif function is np.where and len(args) == 3 and not kwargs:
                self._learn_choice(args, made, before)
            elif function in _OF_A_LIST and (code, len(operand)) == (0, 2):
                self._learn_binary(function, operand[0], operand[1], made, before)
            return made

        return function_miss

    def _learn_choice(self, args: Any, made: Any, before: int) -> None:
        if not made._tape.fast or any(x.__class__ not in _HANDLES for x in args):
            return
        added, indices = made._tape.entries[before:], tuple([x._index for x in args])
        if len(added) == 1 and added[0][1] == indices and added[0][3] is made._type:
            condition, x, y = (operand._type for operand in args)
            self._learn(condition, x, y, added[0])

    def _learn_unary(self, key: Any, x: Any, made: Any, before: int, code: int = 0) -> None:
        if made.__class__ is not Variable or x.__class__ not in _HANDLES or not made._tape.fast:
            return
        added = made._tape.entries[before:]
        if len(added) == 1 and added[0][1] == (x._index,) and added[0][3] is made._type:
            self._learn(key, x._type, code or None, added[0])

    def _item_miss(self, python: Callable[..., Any]) -> Callable[..., Any]:
        from wengert.codegen.recording_tables import item_code

        def item_miss(x: Any, key: Any) -> Any:
            before = len(x._tape.entries)
            made = python(x, key)
            code = item_code(key)
            if code and made.__class__ in _HANDLES and x.__class__ in _HANDLES and made._tape.fast:
                self._learn_item(key, code, x, made, before)
            return made

        return item_miss

    def _learn_item(self, key: Any, code: int, x: Any, made: Any, before: int) -> None:
        added = made._tape.entries[before:]
        if len(added) != 1 or added[0][1] != (x._index,) or added[0][3] is not made._type:
            return
        is_number = made.__class__ is Variable
        if not is_number and (
            made._base is not x
            or made._at != before
            or made._certain is not True
            or (made._op, made._params) != (added[0][0], added[0][2])
        ):
            return
        self._learn(key.__class__, x._type, code, added[0], single=is_number)

    def _place(self, number: int, keys: list[int]) -> int:
        """The one of two rows that has these keys, or is free, or had its turn longer ago."""
        rows = [self.table[number ^ k, :3].tolist() for k in (0, 1)]
        for wanted in (keys, [0, 0, 0]):
            if wanted in rows:
                return number ^ rows.index(wanted)
        self.turn ^= 1
        return number ^ self.turn

    def _learn(
        self,
        first: Any,
        second: Any,
        third: Any,
        entry: Any,
        leaf: Any = None,
        *,
        single: bool = False,
        size: int = 0,
    ) -> None:
        """Remember an entry (its operands do not matter) under three keys: objects, or a number."""
        from wengert.codegen.recording_tables import ROW, row_number

        three = (first, second, third)
        keys = [0 if k is None else k if k.__class__ is int else id(k) for k in three]
        number = self._place(row_number(*keys), keys)
        dtype = None if leaf is None else leaf[3].dtype
        values = {
            "first": keys[0],
            "second": keys[1],
            "third": keys[2],
            "op": id(entry[0]),
            "params": id(entry[2]),
            "result": id(entry[3]),
            "leaf": 0 if leaf is None else id(leaf),
            "dtype": 0 if leaf is None else id(dtype),
            "single": int(single or dtype == np.float32),
            "size": size,
        }
        # Under the GIL, as native code reads it; the old row's objects go after the row itself.
        old = self.kept.get(number)
        row = self.table[number]
        for name, value in values.items():
            row[ROW[name]] = value
        self.kept[number] = (first, second, third, entry, leaf, dtype)
        del old
