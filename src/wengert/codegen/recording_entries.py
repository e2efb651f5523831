"""What native recording knows about entries and constants (see `recording`).

Facts about CPython's objects: see `pycall` and `recording_objects`; besides, the value of a float
stands at byte 16, start, stop and step of a slice from there on.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from wengert.codegen.recording_objects import (
    RECORDING,
    blank_tuple,
    drop,
    equal,
    hold,
    new_tuple,
    new_variable,
    tuple_of_one,
    value_number,
)
from wengert.codegen.recording_tables import ITEM, ROW, ROW_BYTES, ROWS, SETUP, SHIFT, SPREAD, TAPE
from wengert.codegen.restricted import call, half, scratch, single, words

__all__ = [
    "ARRAY",
    "append",
    "append_entry",
    "append_of_three",
    "array_code",
    "array_constant",
    "constant_of",
    "entry_of",
    "find",
    "is_plain_array",
    "small_int",
]

_CLASS = 1  # the word of every object that holds its type
_SIZE = 2  # of a list or tuple
_ITEMS = 3  # of a tuple; of a list: the address of its items
_ALLOCATED = 4  # of a list: how many items its memory has room for
_FLOAT = 2  # the value of a float
_FEW = 8  # items of `kept` that are looked at
#: Bytes: where an array holds its data, number of axes, lengths, dtype and flags.
ARRAY = {"data": 16, "nd": 24, "dims": 32, "descr": 56, "flags": 64}
_C_CONTIGUOUS, _WRITEABLE = 0x0001, 0x0400
_KEEP_ORDER = 2

# ---------------------------------------------------------------- entries


@words
def append_entry(tape, entry):
    """Append an entry, taking the reference; a new reference to its number."""
    setup = RECORDING[0]
    entries = tape[TAPE["entries"]]
    size = entries[_SIZE]
    if size < entries[_ALLOCATED]:
        entries[_ITEMS][size] = entry
        entries[_SIZE] = size + 1
    else:
        call(setup[SETUP["PyList_Append"]], entries, entry)
        drop(entry)
    return value_number(size)


@words
def find(first, second, third):
    """The row of these keys, in one of its two places, or 0."""
    mixed = (first ^ (second * 3) ^ (third * 7)) * SPREAD
    number = (mixed >> SHIFT) & (ROWS - 1)
    for k in range(2):
        row = RECORDING[0][SETUP["table"]] + (number ^ k) * ROW_BYTES
        if (
            row[ROW["first"]] == first
            and row[ROW["second"]] == second
            and row[ROW["third"]] == third
        ):
            return row
    return 0


@words
def expected_entry(tape, op, left, right, params, type_):
    """The entry expected at this place, if it is this one, or 0."""
    n = tape[TAPE["entries"]][_SIZE]
    expected = tape[TAPE["expected"]]
    if n >= expected[_SIZE]:
        return 0
    entry = expected[_ITEMS + n]
    if entry[_ITEMS] != op or entry[_ITEMS + 2] != params or entry[_ITEMS + 3] != type_:
        return 0
    operands = entry[_ITEMS + 1]
    count = 2
    if right == 0:
        count = 1
    if operands[_SIZE] != count or equal(operands[_ITEMS], left) == 0:
        return 0
    if count == 2 and equal(operands[_ITEMS + 1], right) == 0:
        return 0
    return entry


@words
def entry_of(tape, op, left, right, params, type_):
    """A reference to the entry (op, operands, params, type): the expected one, or a new one.
    `right` is 0 for an operator of one operand."""
    entry = expected_entry(tape, op, left, right, params, type_)
    if entry != 0:
        return hold(entry)
    if right == 0:
        operands = tuple_of_one(left)
        if operands == 0:
            return 0
        return new_tuple(hold(op), operands, hold(params), hold(type_))
    operands = blank_tuple(2)
    if operands == 0:
        return 0
    operands[_ITEMS] = hold(left)
    operands[_ITEMS + 1] = hold(right)
    return new_tuple(hold(op), operands, hold(params), hold(type_))


@words
def append(tape, op, left, right, params, type_):
    """Append an entry; a new variable for it."""
    entry = entry_of(tape, op, left, right, params, type_)
    if entry == 0:
        return 0
    return new_variable(tape, append_entry(tape, entry), type_)


@words
def append_of_three(tape, row, first, second, third):
    """Append the entry of a row with three operands; a new variable for it."""
    operands = blank_tuple(3)
    if operands == 0:
        return 0
    operands[_ITEMS] = hold(first)
    operands[_ITEMS + 1] = hold(second)
    operands[_ITEMS + 2] = hold(third)
    type_ = row[ROW["result"]]
    entry = new_tuple(hold(row[ROW["op"]]), operands, hold(row[ROW["params"]]), hold(type_))
    if entry == 0:
        return 0
    return new_variable(tape, append_entry(tape, entry), type_)


@words
def small_int(value, otherwise):
    """A Python int of less than 30 bits, `otherwise` for None, or a number that is larger."""
    setup = RECORDING[0]
    if value == setup[SETUP["none"]]:
        return otherwise
    if value[_CLASS] != setup[SETUP["int"]]:
        return ITEM["none"] + 1
    number = call(setup[SETUP["PyLong_AsSsize_t"]], value)
    if number == -1:
        call(setup[SETUP["PyErr_Clear"]])  # of a number that is too large
    if number <= -ITEM["none"] or number >= ITEM["none"]:
        return ITEM["none"] + 1
    return number


@words
def float_bits(number):
    """The bits of the float64 that equals a Python float or a small int."""
    if number[_CLASS] == RECORDING[0][SETUP["float"]]:
        return number[_FLOAT]
    value = small_int(number, 0)
    if value == 0:
        return 0
    sign = 0
    if value < 0:
        sign = 1 << 63
        value = -value
    exponent = 0
    while value >> (exponent + 1) != 0:
        exponent += 1
    fraction = (value << (52 - exponent)) & ((1 << 52) - 1)
    return sign | ((1023 + exponent) << 52) | fraction


@words
def constant_of(tape, number, row):
    """A reference to the value number of the constant that a Python number becomes."""
    setup = RECORDING[0]
    numbers = tape[TAPE["numbers"]]
    leaf = row[ROW["leaf"]]
    # The last few first: that takes no object.
    kept = tape[TAPE["kept"]]
    last = kept[_SIZE] - 2
    k = last
    while k >= 0 and k > last - _FEW:
        index = kept[_ITEMS][k + 1]
        if kept[_ITEMS][k] == number:
            at = call(setup[SETUP["PyLong_AsSsize_t"]], index)
            if tape[TAPE["entries"]][_ITEMS][at][_ITEMS + 3] == leaf[_ITEMS + 3]:
                return hold(index)
            break
        k -= 2
    key = call(setup[SETUP["PyLong_FromSsize_t"]], number)
    found = call(setup[SETUP["PyDict_GetItem"]], numbers, key)
    if found != 0:
        at = call(setup[SETUP["PyLong_AsSsize_t"]], found)
        if tape[TAPE["entries"]][_ITEMS][at][_ITEMS + 3] == leaf[_ITEMS + 3]:
            drop(key)
            return hold(found)
    place = scratch(1)
    place[0] = float_bits(number)
    if row[ROW["single"]] != 0:
        place[0] = single(place[0])
    value = call(setup[SETUP["PyArray_Scalar"]], place, row[ROW["dtype"]], 0)
    index = append_entry(tape, hold(leaf))
    call(setup[SETUP["PyDict_SetItem"]], tape[TAPE["constants"]], index, value)
    call(setup[SETUP["PyDict_SetItem"]], numbers, key, index)
    call(setup[SETUP["PyList_Append"]], kept, number)
    call(setup[SETUP["PyList_Append"]], kept, index)
    drop(value)
    drop(key)
    return index


# ---------------------------------------------------------------- arrays


@words
def is_plain_array(value, dtype):
    """Whether an object is a writeable array of this dtype, contiguous in memory."""
    if value[_CLASS] != RECORDING[0][SETUP["PyArray_Type"]]:
        return 0
    if value[ARRAY["descr"] // 8] != dtype:
        return 0
    flags = half(value + ARRAY["flags"])
    if (flags & _WRITEABLE) == 0 or (flags & _C_CONTIGUOUS) == 0:
        return 0
    return 1


@words
def array_code(value):
    """An odd number that stands for the shape of an array, or 0."""
    code = half(value + ARRAY["nd"])
    if code > ITEM["most_axes"]:
        return 0
    for axis in range(half(value + ARRAY["nd"])):
        length = value[ARRAY["dims"] // 8][axis]
        if length >= 1 << ITEM["axis_bits"]:
            return 0
        code = (code << ITEM["axis_bits"]) | length
    return (code << 1) | 1


@words
def same_contents(array, copy, size):
    """Whether two contiguous arrays of one shape hold the same bits; `size` is in bytes."""
    if (half(copy + ARRAY["flags"]) & _C_CONTIGUOUS) == 0:
        return 0
    if half(array + ARRAY["nd"]) != half(copy + ARRAY["nd"]):
        return 0
    for axis in range(half(array + ARRAY["nd"])):
        if array[ARRAY["dims"] // 8][axis] != copy[ARRAY["dims"] // 8][axis]:
            return 0
    a = array[ARRAY["data"] // 8]
    b = copy[ARRAY["data"] // 8]
    for k in range(size // 8):
        if a[k] != b[k]:
            return 0
    if size % 8 != 0 and half(a + size - 4) != half(b + size - 4):
        return 0
    return 1


@words
def array_constant(tape, array, size, leaf):
    """A reference to the value number of the constant that an array becomes, with the entry `leaf`:
    a private copy, or the one that an unchanged array has become before; `size` is in bytes."""
    setup = RECORDING[0]
    snapshots = tape[TAPE["snapshots"]]
    key = call(setup[SETUP["PyLong_FromSsize_t"]], array)
    known = call(setup[SETUP["PyDict_GetItem"]], snapshots, key)
    if known != 0 and known[_ITEMS] == array and same_contents(array, known[_ITEMS + 1], size) != 0:
        drop(key)
        return hold(known[_ITEMS + 2])
    copy = call(setup[SETUP["PyArray_NewCopy"]], array, _KEEP_ORDER)
    index = append_entry(tape, hold(leaf))
    call(setup[SETUP["PyDict_SetItem"]], tape[TAPE["constants"]], index, copy)
    snapshot = blank_tuple(3)
    snapshot[_ITEMS] = hold(array)
    snapshot[_ITEMS + 1] = copy
    snapshot[_ITEMS + 2] = hold(index)
    call(setup[SETUP["PyDict_SetItem"]], snapshots, key, snapshot)
    drop(snapshot)
    drop(key)
    return index
