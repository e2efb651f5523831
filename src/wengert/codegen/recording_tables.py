"""The words that Python fills for native recording, and where it finds them in objects.

The table has `ROWS` rows of `ROW`; a row is found by its three keys and holds what was recorded for
them:

- a binary operator: (operator, type, type); with a Python float on one side its class stands for
  the type, and the row has the entry and dtype of the constant that the float becomes;
- `negative`: (operator, type, 0);
- a ufunc of one operand: (ufunc, type, 0).
"""

from __future__ import annotations

from wengert.codegen.tables import numbered

__all__ = [
    "BINARY",
    "NEGATIVE",
    "ROW",
    "ROWS",
    "SETUP",
    "SPREAD",
    "TAPE",
    "VARIABLE",
    "row_number",
]

#: Python's operators: the place of the function in `PyNumberMethods`, and the operator recorded.
BINARY = {
    "add": 0,
    "subtract": 1,
    "multiply": 2,
    "divide": 30,
}
NEGATIVE = 6

#: Words of the set-up: addresses of functions, objects and the table, then two words per operator.
SETUP = numbered(
    "PyTuple_New",
    "PyList_Append",
    "PyLong_FromSsize_t",
    "PyLong_AsSsize_t",
    "PyDict_GetItem",
    "PyDict_SetItem",
    "PyType_GenericAlloc",
    "PyObject_Vectorcall",
    "PyUnicode_Compare",
    "Py_IncRef",
    "Py_DecRef",
    "PyArray_Scalar",
    "variable",
    "float",
    "true",
    "no_params",
    "call",
    "table",
    "ufunc_miss",
    *(f"{name}_{what}" for name in (*BINARY, "negative") for what in ("op", "miss")),
)
ROWS = 4096
ROW = numbered("first", "second", "third", "op", "result", "leaf", "dtype", "single")

#: Slots of `Variable` and of `Tape`, as words from the start of the object: slots of a class begin
#: at byte 16, in the order of their names.
VARIABLE = {name: 2 + k for k, name in enumerate(("_index", "_tape", "_type"))}
TAPE = {
    name: 2 + k
    for k, name in enumerate(("constants", "entries", "expected", "fast", "kept", "numbers"))
}

#: Spreads the bits of keys over the rows.
SPREAD = 0x9E3779B97F4A7C15


def row_number(first: int, second: int, third: int) -> int:
    """Where the table has the row of these keys."""
    mixed = (first ^ (second * 3) ^ (third * 7)) * SPREAD % 2**64
    return mixed >> 52
