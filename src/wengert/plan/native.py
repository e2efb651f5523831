"""Objects that are native functions themselves: a call of one enters its site without any Python.

An instance of a Python class whose `__call__` is a native function costs a tuple of the arguments
and a look-up per call. CPython's vectorcall protocol (PEP 590) does without: the type says where in
its instances the address of a function stands. `NativeCallable` has room for it. Its subclasses are
called through `__call__`, as any class, until `enter_directly` gives an instance its function.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any

from wengert.codegen.engine import runtime_address
from wengert.codegen.tables import OBJECT

__all__ = ["NativeCallable", "enter_directly"]

_TP_CALL, _TP_MEMBERS = 50, 72
_SSIZE, _READ_ONLY = 19, 1
_BASE_TYPE, _VECTORCALL = 1 << 10, 1 << 11

#: Where fields stand in a type object, part of CPython's stable binary interface.
_OFFSET_FIELD, _FLAGS_FIELD = 56, 168


class _Member(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _Slot(ctypes.Structure):
    _fields_ = (("slot", ctypes.c_int), ("value", ctypes.c_void_p))


class _Spec(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("size", ctypes.c_int),
        ("item_size", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.POINTER(_Slot)),
    )


# The type refers to its members and its name for ever.
_members = (_Member * 2)(
    _Member(b"__vectorcalloffset__", _SSIZE, OBJECT["vectorcall"], _READ_ONLY, None)
)


def _make_type() -> Any:
    call = ctypes.cast(ctypes.pythonapi.PyVectorcall_Call, ctypes.c_void_p)
    slots = (_Slot * 3)(
        _Slot(_TP_CALL, call), _Slot(_TP_MEMBERS, ctypes.addressof(_members)), _Slot(0, None)
    )
    flags = _BASE_TYPE | _VECTORCALL
    spec = _Spec(b"wengert.plan.native.NativeCallable", OBJECT["size"], 0, flags, slots)
    make = ctypes.pythonapi.PyType_FromSpec
    make.restype, make.argtypes = ctypes.py_object, [ctypes.POINTER(_Spec)]
    return make(ctypes.byref(spec))


if TYPE_CHECKING:

    class NativeCallable:
        """An object that may be called as a native function."""

else:
    NativeCallable = _make_type()


def _field(kind: type, offset: int) -> Any:
    return ctypes.c_ssize_t.from_address(id(kind) + offset)


def enter_directly(instance: NativeCallable, site: int) -> None:
    """Calls of an instance enter the site at this address from now on.

    It must be the only instance of its class, which gives up its `__call__`.
    """
    kind: Any = type(instance)
    known = (
        sys.implementation.name == "cpython"
        and _field(kind, _OFFSET_FIELD).value == OBJECT["vectorcall"]
        and _field(kind, _FLAGS_FIELD).value == kind.__flags__
    )
    if not known:
        return
    words = {"vectorcall": runtime_address("entry_of_object"), "site": site}
    for name, value in words.items():
        ctypes.c_ssize_t.from_address(id(instance) + OBJECT[name]).value = value
    _field(kind, _FLAGS_FIELD).value |= _VECTORCALL
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))
