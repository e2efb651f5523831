"""Objects of Python as native recording makes, counts and keeps them (see `recording`).

Facts about CPython's objects: see `pycall`; besides, the number of references stands at byte 0, and
a list holds at byte 32 how many items its memory has room for.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from wengert.codegen.recording_tables import MOST_FREE, MOST_NUMBERS, SETUP, VARIABLE, VIEW
from wengert.codegen.restricted import Static, call, half, words

__all__ = [
    "RECORDING",
    "blank_tuple",
    "drop",
    "equal",
    "hold",
    "index_of",
    "is_handle",
    "new_tuple",
    "new_variable",
    "new_view",
    "release_variable",
    "release_view",
    "tuple_of_one",
    "value_number",
]

RECORDING = Static("wengert_recording")

_COUNT = 0  # the word of every object that counts references to it
_CLASS = 1  # the one that holds its type
_SIZE = 2  # of a list or tuple
_ITEMS = 3  # of a tuple; of a list: the address of its items
_HEADER = 16  # bytes before an object that the search for cycles can look at


@words
def hold(value):
    """A reference more; the value. The lower half of an immortal object's count is negative."""
    if half(value) >= 0:
        value[_COUNT] = value[_COUNT] + 1
    return value


@words
def drop(value):
    """A reference less."""
    if half(value) > 1:
        value[_COUNT] = value[_COUNT] - 1
        return 0
    return call(RECORDING[0][SETUP["Py_DecRef"]], value)


@words
def is_handle(value):
    """Whether it is a `Variable` or a `View`, and nothing derived from them."""
    setup = RECORDING[0]
    if value[_CLASS] == setup[SETUP["variable"]] or value[_CLASS] == setup[SETUP["view"]]:
        return 1
    return 0


@words
def equal(a, b):
    """Whether two value numbers, as Python objects, are equal."""
    if a == b:
        return 1
    number = RECORDING[0][SETUP["PyLong_AsSsize_t"]]
    if call(number, a) == call(number, b):
        return 1
    return 0


@words
def index_of(x):
    """The value number of a handle, or 0 for a view whose base has been assigned to; borrowed."""
    setup = RECORDING[0]
    if x[_CLASS] == setup[SETUP["variable"]]:
        return x[VARIABLE["_index"]]
    if x[_CLASS] == setup[SETUP["view"]]:
        index = index_of(x[VIEW["_base"]])
        if index != 0 and equal(index, x[VIEW["_seen"]]) != 0:
            return x[VIEW["_at"]]
    return 0


@words
def blank_tuple(count):
    """A tuple without its items, or 0. What it is for is in no cycle, so Python's search for cycles
    need not look at it, nor count it among the objects that make it begin."""
    setup = RECORDING[0]
    block = call(setup[SETUP["PyObject_Malloc"]], _HEADER + 8 * (_ITEMS + count))
    if block == 0:
        return call(setup[SETUP["PyErr_NoMemory"]])
    for k in range(_HEADER // 8):
        block[k] = 0
    made = block + _HEADER
    made[_COUNT] = 1
    made[_CLASS] = setup[SETUP["tuple"]]
    made[_SIZE] = count
    return made


@words
def new_tuple(a, b, c, d):
    """A tuple of four, which takes the references."""
    made = blank_tuple(4)
    if made != 0:
        made[_ITEMS] = a
        made[_ITEMS + 1] = b
        made[_ITEMS + 2] = c
        made[_ITEMS + 3] = d
    return made


@words
def new_variable(tape, index, type_):
    """A variable; takes the reference to its index."""
    setup = RECORDING[0]
    made = setup[SETUP["free"]]
    if made != 0:
        setup[SETUP["free"]] = made[VARIABLE["_index"]]
        setup[SETUP["free_count"]] = setup[SETUP["free_count"]] - 1
        made[_COUNT] = 1
        made[VARIABLE["_index"]] = index
        made[VARIABLE["_tape"]] = hold(tape)
        made[VARIABLE["_type"]] = hold(type_)
        call(setup[SETUP["PyObject_GC_Track"]], made)
        return made
    made = call(setup[SETUP["PyType_GenericAlloc"]], setup[SETUP["variable"]], 0)
    if made != 0:
        made[VARIABLE["_index"]] = index
        made[VARIABLE["_tape"]] = hold(tape)
        made[VARIABLE["_type"]] = hold(type_)
    return made


@words
def release_variable(x):
    """`void tp_dealloc(x)` of variables: they are kept for `new_variable`, with the reference to
    their class. Instances of derived classes come here too, when what these added is gone."""
    setup = RECORDING[0]
    call(setup[SETUP["PyObject_GC_UnTrack"]], x)
    for k in range(VARIABLE["_index"], VARIABLE["_index"] + 3):
        value = x[k]
        x[k] = 0
        if value != 0:
            drop(value)
    if x[_CLASS] == setup[SETUP["variable"]] and setup[SETUP["free_count"]] < MOST_FREE:
        x[VARIABLE["_index"]] = setup[SETUP["free"]]
        setup[SETUP["free"]] = x
        setup[SETUP["free_count"]] = setup[SETUP["free_count"]] + 1
        return 0
    class_ = x[_CLASS]
    call(setup[SETUP["PyObject_GC_Del"]], x)
    drop(class_)
    return 0


@words
def new_view(tape, at, type_, base, seen, op, params):
    """A view; takes the reference to its index."""
    setup = RECORDING[0]
    made = setup[SETUP["free_views"]]
    if made != 0:
        setup[SETUP["free_views"]] = made[VARIABLE["_index"]]
        setup[SETUP["free_view_count"]] = setup[SETUP["free_view_count"]] - 1
        made[_COUNT] = 1
        made[VARIABLE["_index"]] = 0
    else:
        made = call(setup[SETUP["PyType_GenericAlloc"]], setup[SETUP["view"]], 0)
        if made == 0:
            return 0
        call(setup[SETUP["PyObject_GC_UnTrack"]], made)
    made[VARIABLE["_tape"]] = hold(tape)
    made[VARIABLE["_type"]] = hold(type_)
    made[VIEW["_at"]] = at
    made[VIEW["_base"]] = hold(base)
    made[VIEW["_seen"]] = hold(seen)
    made[VIEW["_op"]] = hold(op)
    made[VIEW["_params"]] = hold(params)
    made[VIEW["_certain"]] = hold(setup[SETUP["true"]])
    call(setup[SETUP["PyObject_GC_Track"]], made)
    return made


@words
def release_view(x):
    """`void tp_dealloc(x)` of views, which are kept likewise."""
    setup = RECORDING[0]
    call(setup[SETUP["PyObject_GC_UnTrack"]], x)
    for k in range(VARIABLE["_index"], VIEW["_seen"] + 1):
        value = x[k]
        x[k] = 0
        if value != 0:
            drop(value)
    if x[_CLASS] == setup[SETUP["view"]] and setup[SETUP["free_view_count"]] < MOST_FREE:
        x[VARIABLE["_index"]] = setup[SETUP["free_views"]]
        setup[SETUP["free_views"]] = x
        setup[SETUP["free_view_count"]] = setup[SETUP["free_view_count"]] + 1
        return 0
    class_ = x[_CLASS]
    call(setup[SETUP["PyObject_GC_Del"]], x)
    drop(class_)
    return 0


@words
def value_number(n):
    """A new reference to the Python integer n: those of most tapes are made once, with tuples of
    one each, which most operands are."""
    setup = RECORDING[0]
    numbers = setup[SETUP["value_numbers"]]
    if n >= MOST_NUMBERS:
        return call(setup[SETUP["PyLong_FromSsize_t"]], n)
    while numbers[_SIZE] <= n:
        made = call(setup[SETUP["PyLong_FromSsize_t"]], numbers[_SIZE])
        alone = blank_tuple(1)
        alone[_ITEMS] = made
        call(setup[SETUP["PyList_Append"]], numbers, made)
        call(setup[SETUP["PyList_Append"]], setup[SETUP["tuples_of_one"]], alone)
        drop(alone)
    return hold(numbers[_ITEMS][n])


@words
def tuple_of_one(number):
    """A new reference to the tuple of a value number."""
    setup = RECORDING[0]
    n = call(setup[SETUP["PyLong_AsSsize_t"]], number)
    if n < setup[SETUP["value_numbers"]][_SIZE]:
        return hold(setup[SETUP["tuples_of_one"]][_ITEMS][n])
    made = blank_tuple(1)
    if made != 0:
        made[_ITEMS] = hold(number)
    return made
