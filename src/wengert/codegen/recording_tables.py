"""The words that Python fills for native recording, and where it finds them in objects.

The table has `ROWS` rows of `ROW`; a row is found by its three keys, in one of two places, and
holds what was recorded for them:

- a binary operator: (operator, type, type); with a Python float or int on one side its class stands
  for the type, and the row has the entry and dtype of the constant that the number becomes;
- `negative`: (operator, type, 0);
- a ufunc of one operand: (ufunc, type, 0), or of two, as an operator;
- another function of NumPy: likewise, of one array or a list of two; for an axis a number that
  stands for it takes the place of 0;
- `np.where` of three variables: their types;
- with an array of the program on one side, a number that stands for its shape takes the place of
  the type, and the row has its dtype and its bytes besides the entry of the constant;
- a part `x[key]`: (class of the key, type, a number that stands for the key); `single` says that
  the result is a number, and not a view.
"""

from __future__ import annotations

from typing import Any

from wengert.codegen.tables import numbered

__all__ = [
    "BINARY",
    "ITEM",
    "LEAF_KINDS",
    "MOST_FREE",
    "MOST_NODES",
    "MOST_NUMBERS",
    "NEGATIVE",
    "ROW",
    "ROWS",
    "ROW_BYTES",
    "SETUP",
    "SHIFT",
    "SPREAD",
    "TAPE",
    "TRACED",
    "TRACED_NODE",
    "TRACED_NODE_BYTES",
    "VARIABLE",
    "VIEW",
    "array_code",
    "axis_code",
    "item_code",
    "row_number",
]

#: Python's operators: the place of the function in `PyNumberMethods`. The operator recorded has the
#: same name, but for `matmul`.
BINARY = {
    "add": 0,
    "subtract": 1,
    "multiply": 2,
    "divide": 30,
    "matmul": 34,
}
NEGATIVE = 6

#: Words of the set-up: addresses of functions, objects and the table, then two words per operator.
SETUP = numbered(
    "PyTuple_New",
    "PyList_New",
    "PyList_Append",
    "PyLong_FromSsize_t",
    "PyLong_AsSsize_t",
    "PyDict_New",
    "PyDict_GetItem",
    "PyDict_SetItem",
    "PyDict_Size",
    "PyErr_Clear",
    "PyObject_GC_UnTrack",
    "PyObject_GC_Track",
    "PyObject_GC_Del",
    "PyObject_Malloc",
    "PyErr_NoMemory",
    "PyType_GenericAlloc",
    "PyObject_Vectorcall",
    "PyUnicode_Compare",
    "Py_DecRef",
    "PyArray_NewCopy",
    "PyArray_Scalar",
    "PyArray_Type",
    "variable",
    "view",
    "float",
    "int",
    "list",
    "slice",
    "tuple",
    "none",
    "true",
    "no_params",
    "call_name",
    "axis",
    "where",
    "call_op",
    "project_op",
    "table",
    "free",
    "free_count",
    "free_views",
    "free_view_count",
    "ufunc_miss",
    "function_miss",
    "item_miss",
    "operator_miss",
    "operator_call",
    "ufunc_call",
    "value_numbers",
    "tuples_of_one",
    *(f"{name}_{what}" for name in (*BINARY, "negative") for what in ("op", "miss")),
)
#: Variables that have died and wait to be used again: `free` is the first, and each holds the next
#: where its value number was; there are at most so many. Views likewise.
MOST_FREE = 1024
ROWS, SHIFT = 16384, 50
ROW = numbered(
    "first", "second", "third", "op", "params", "result", "leaf", "dtype", "single", "size"
)
ROW_BYTES = 8 * len(ROW)

#: Slots of `Variable`, `View` and `Tape`, as words from the start of the object: slots of a class
#: begin at byte 16, or after those of its base, in the order of their names.
VARIABLE = {name: 2 + k for k, name in enumerate(("_index", "_tape", "_type"))}
VIEW = {
    name: 5 + k for k, name in enumerate(("_at", "_base", "_certain", "_op", "_params", "_seen"))
}
TAPE = {
    name: 2 + k
    for k, name in enumerate(
        (
            "constants",
            "entries",
            "expected",
            "fast",
            "keeps_calls",
            "kept",
            "numbers",
            "snapshots",
        )
    )
}

#: Numbers of keys that have a row are less than `none`, which stands for a slice without an end.
#: Arrays that have one have few axes, and lengths of few bits.
ITEM = {"bits": 31, "none": 1 << 29, "most_axes": 2, "axis_bits": 24}

#: Value numbers below this are made once for all tapes.
MOST_NUMBERS = 1 << 16

#: Spreads the bits of keys over the rows.
SPREAD = 0x9E3779B97F4A7C15

#: A traced signature (see `calls`): the next one; its nodes and what is recorded.
TRACED = numbered(
    "next",
    "argument_count",
    "node_count",
    "nodes",
    "leaf_count",
    "result_count",
    "params",
    "types",
    "numbers",
    "program",
    "program_count",
)
#: `check`: what the node must be; `type` : class of a container, type of a handle, dtype of an
#: array; `size` : items of a container, bytes of an array; `leaf` : entry of the constant.
TRACED_NODE = numbered("fetch", "parent", "key", "check", "type", "size", "nd", "dims", "leaf")
TRACED_NODE_BYTES = 8 * len(TRACED_NODE)
LEAF_KINDS = numbered("tuple", "list", "dict", "handle", "array")
#: The most nodes, results and steps of the program of a signature.
MOST_NODES = 128


def row_number(first: int, second: int, third: int) -> int:
    """Where the table has the row of these keys; or in the other row of the same pair."""
    mixed = (first ^ (second * 3) ^ (third * 7)) * SPREAD % 2**64
    return mixed >> SHIFT


def array_code(shape: tuple[int, ...]) -> int:
    """The number that stands for a shape, or 0, as in `recording_entries.array_code`."""
    code = len(shape)
    for length in shape:
        code = code << ITEM["axis_bits"] | length
    fits = len(shape) <= ITEM["most_axes"] and max(shape, default=0) < 1 << ITEM["axis_bits"]
    return code << 1 | 1 if fits else 0


def axis_code(args: tuple[Any, ...], names: dict[str, Any]) -> int | None:
    """The number that stands for arguments, or None, as in `recording.axis_code`."""
    if len(args) == 1 and not names:
        return 0
    if len(args) + len(names) != 2 or not args:
        return None
    axis = names.get("axis") if names else args[1]
    if axis.__class__ is not int or abs(axis) >= ITEM["none"]:
        return None
    return (axis + ITEM["none"]) << 1 | 1


def item_code(key: Any) -> int:
    """The number that stands for a key, or 0, as in `recording.item_code`."""

    none = ITEM["none"]

    def small(value: Any, otherwise: int) -> int:
        if value is None:
            return otherwise
        return value if value.__class__ is int and abs(value) < none else none + 1

    if key.__class__ is int:
        number = small(key, 0)
        return (number + none) << 1 | 1 if number < none else 0
    if isinstance(key, slice) and key.step is None:
        start, stop = small(key.start, 0) + none, small(key.stop, none) + none
        if start < 2 * none and stop <= 2 * none:
            return (start << ITEM["bits"] | stop) << 1 | 1
    return 0
