"""Recording in native code: what `Variable`'s slots do, as functions of words (see `restricted`).

An operation on variables appends an entry to their tape and makes a new variable. The functions
here do that for operands that need no conversion: they find the type of the result in a table of
what Python recorded before. Whatever they don't recognise they give to a Python function, the
*miss*, so that the meaning of every operation stands in Python alone (`capture.variable`).

The word `wengert_recording` of `state` says where the words are that `recording_tables` describes.

An entry that equals the one at its place in `tape.expected` is not made anew but shared
(`recording_entries`).
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from wengert.codegen.recording_entries import (
    append,
    append_entry,
    append_of_three,
    array_code,
    array_constant,
    constant_of,
    entry_of,
    find,
    is_plain_array,
    small_int,
)
from wengert.codegen.recording_objects import (
    RECORDING,
    drop,
    index_of,
    is_handle,
    new_variable,
    new_view,
    release_variable,
    release_view,
)
from wengert.codegen.recording_tables import ITEM, ROW, SETUP, TAPE, VARIABLE
from wengert.codegen.restricted import call, scratch, words

__all__ = ["SLOTS"]

_CLASS = 1  # the word of every object that holds its type
_SIZE = 2  # of a list or tuple
_ITEMS = 3  # of a tuple; of a list: the address of its items
_OPERANDS = 2**63 - 1  # the bits of a vectorcall's count that are the number of operands
_START, _STOP, _STEP = 2, 3, 4  # of a slice

# ---------------------------------------------------------------- slots


@words
def _binary(left, right, op, miss):
    """The slot of a binary operator: its record and its miss."""
    setup = RECORDING[0]
    made = _two(left, right, op)
    if made != 0:
        return made
    place = scratch(2)
    place[0] = left
    place[1] = right
    return call(setup[SETUP["PyObject_Vectorcall"]], miss, place, 2, 0)


@words
def _of_two(tape, left, right, op):
    row = find(op, left[VARIABLE["_type"]], right[VARIABLE["_type"]])
    if row == 0:
        return 0
    first = index_of(left)
    second = index_of(right)
    if first == 0 or second == 0:
        return 0
    return append(tape, row[ROW["op"]], first, second, row[ROW["params"]], row[ROW["result"]])


@words
def _with_number(tape, own, number, is_left, op):
    left = own[VARIABLE["_type"]]
    right = number[_CLASS]
    if is_left == 0:
        left = number[_CLASS]
        right = own[VARIABLE["_type"]]
    row = find(op, left, right)
    index = index_of(own)
    if row == 0 or index == 0:
        return 0
    constant = constant_of(tape, number, row)
    first = index
    second = constant
    if is_left == 0:
        first = constant
        second = index
    made = append(tape, row[ROW["op"]], first, second, row[ROW["params"]], row[ROW["result"]])
    drop(constant)
    return made


@words
def _with_array(tape, own, array, is_left, op):
    code = array_code(array)
    if code == 0:
        return 0
    left = own[VARIABLE["_type"]]
    right = code
    if is_left == 0:
        left = code
        right = own[VARIABLE["_type"]]
    row = find(op, left, right)
    index = index_of(own)
    if row == 0 or index == 0 or is_plain_array(array, row[ROW["dtype"]]) == 0:
        return 0
    constant = array_constant(tape, array, row[ROW["size"]], row[ROW["leaf"]])
    first = index
    second = constant
    if is_left == 0:
        first = constant
        second = index
    made = append(tape, row[ROW["op"]], first, second, row[ROW["params"]], row[ROW["result"]])
    drop(constant)
    return made


@words
def record_add(left, right):
    """`PyObject* nb_add(left, right)`; so do the next ones."""
    setup = RECORDING[0]
    return _binary(left, right, setup[SETUP["add_op"]], setup[SETUP["add_miss"]])


@words
def record_subtract(left, right):
    setup = RECORDING[0]
    return _binary(left, right, setup[SETUP["subtract_op"]], setup[SETUP["subtract_miss"]])


@words
def record_multiply(left, right):
    setup = RECORDING[0]
    return _binary(left, right, setup[SETUP["multiply_op"]], setup[SETUP["multiply_miss"]])


@words
def record_divide(left, right):
    setup = RECORDING[0]
    return _binary(left, right, setup[SETUP["divide_op"]], setup[SETUP["divide_miss"]])


@words
def record_matmul(left, right):
    setup = RECORDING[0]
    return _binary(left, right, setup[SETUP["matmul_op"]], setup[SETUP["matmul_miss"]])


@words
def _unary(x, key, code):
    """What an operator of one operand makes of a handle, or 0; `code` stands for its parameters."""
    setup = RECORDING[0]
    tape = x[VARIABLE["_tape"]]
    if tape[TAPE["fast"]] != setup[SETUP["true"]]:
        return 0
    row = find(key, x[VARIABLE["_type"]], code)
    index = index_of(x)
    if row == 0 or index == 0:
        return 0
    return append(tape, row[ROW["op"]], index, 0, row[ROW["params"]], row[ROW["result"]])


@words
def record_negative(x):
    """`PyObject* nb_negative(x)`."""
    setup = RECORDING[0]
    made = 0
    if is_handle(x) != 0:
        made = _unary(x, setup[SETUP["negative_op"]], 0)
    if made != 0:
        return made
    place = scratch(1)
    place[0] = x
    return call(setup[SETUP["PyObject_Vectorcall"]], setup[SETUP["negative_miss"]], place, 1, 0)


@words
def _two(left, right, key):
    """What an operator of two operands makes of them, or 0."""
    setup = RECORDING[0]
    is_left = is_handle(left)
    is_right = is_handle(right)
    own = left
    other = right
    if is_left == 0:
        own = right
        other = left
    if is_left + is_right == 0:
        return 0
    tape = own[VARIABLE["_tape"]]
    if tape[TAPE["fast"]] != setup[SETUP["true"]]:
        return 0
    if is_left + is_right == 2:
        if other[VARIABLE["_tape"]] != tape:
            return 0
        return _of_two(tape, left, right, key)
    if other[_CLASS] == setup[SETUP["float"]]:
        return _with_number(tape, own, other, is_left, key)
    if other[_CLASS] == setup[SETUP["int"]] and small_int(other, 0) < ITEM["none"]:
        return _with_number(tape, own, other, is_left, key)
    if other[_CLASS] == setup[SETUP["PyArray_Type"]]:
        return _with_array(tape, own, other, is_left, key)
    return 0


@words
def record_operator(op, args, names):
    """`PyObject* tp_call(op, args, names)` of an operator's record, for one or two operands; `args`
    is a tuple."""
    setup = RECORDING[0]
    count = args[_SIZE]
    if names == 0 and (count == 1 or count == 2):
        made = 0
        handles = is_handle(args[_ITEMS])
        if count == 2:
            handles += is_handle(args[_ITEMS + 1])
        if handles != 0:
            if count == 1:
                made = _unary(args[_ITEMS], op, 0)
            else:
                made = _two(args[_ITEMS], args[_ITEMS + 1], op)
            if made != 0:
                return made
            place = scratch(2)
            place[0] = op
            place[1] = args
            return call(
                setup[SETUP["PyObject_Vectorcall"]], setup[SETUP["operator_miss"]], place, 2, 0
            )
    return call(setup[SETUP["operator_call"]], op, args, names)


@words
def record_ufunc(own, args, count, names):
    """`Variable.__array_ufunc__` by NumPy's calling convention for functions: the arguments
    (variable, ufunc, method, operands) at an address, their number, names."""
    setup = RECORDING[0]
    made = 0
    # NumPy makes the method's name anew for each call.
    if (
        names == 0
        and (count == 4 or count == 5)
        and (call(setup[SETUP["PyUnicode_Compare"]], args[2], setup[SETUP["call_name"]]) << 32) == 0
    ):
        if count == 5:
            made = _two(args[3], args[4], args[1])
        elif is_handle(args[3]) != 0:
            made = _unary(args[3], args[1], 0)
        if made != 0:
            return made
    return call(setup[SETUP["PyObject_Vectorcall"]], setup[SETUP["ufunc_miss"]], args, count, names)


@words
def call_ufunc(ufunc, args, count, names):
    """The vectorcall function of a ufunc: the operands at an address, their number, names."""
    setup = RECORDING[0]
    made = 0
    if names == 0:
        operands = count & _OPERANDS
        if operands == 2:
            made = _two(args[0], args[1], ufunc)
        elif operands == 1 and is_handle(args[0]) != 0:
            made = _unary(args[0], ufunc, 0)
        if made != 0:
            return made
    return call(setup[SETUP["ufunc_call"]], ufunc, args, count, names)


@words
def axis_code(args, names):
    """An odd number that stands for the axis of a function, after its first argument or named; 0
    where there is none, -1 for other arguments."""
    setup = RECORDING[0]
    named = call(setup[SETUP["PyDict_Size"]], names)
    if args[_SIZE] + named == 1:
        return 0
    if args[_SIZE] + named > 2:
        return -1
    if named == 0:
        axis = args[_ITEMS + 1]
    else:
        axis = call(setup[SETUP["PyDict_GetItem"]], names, setup[SETUP["axis"]])
    if axis == 0 or args[_SIZE] == 0:
        return -1
    number = ITEM["none"]
    if axis[_CLASS] == setup[SETUP["int"]]:
        number = small_int(axis, 0)
    if number >= ITEM["none"]:
        return -1
    return ((number + ITEM["none"]) << 1) | 1


@words
def _choice(condition, x, y):
    """What `np.where` makes of three handles, or 0: no other key begins with a type."""
    setup = RECORDING[0]
    if is_handle(condition) == 0 or is_handle(x) == 0 or is_handle(y) == 0:
        return 0
    tape = condition[VARIABLE["_tape"]]
    if tape[TAPE["fast"]] != setup[SETUP["true"]]:
        return 0
    if x[VARIABLE["_tape"]] != tape or y[VARIABLE["_tape"]] != tape:
        return 0
    row = find(condition[VARIABLE["_type"]], x[VARIABLE["_type"]], y[VARIABLE["_type"]])
    first = index_of(condition)
    second = index_of(x)
    third = index_of(y)
    if row == 0 or first == 0 or second == 0 or third == 0:
        return 0
    return append_of_three(tape, row, first, second, third)


@words
def record_function(own, args, count, names):
    """`Variable.__array_function__`, likewise, for functions of one variable and an axis, of a list
    or tuple of two, and `np.where`: the arguments are (variable, function, types, arguments, named
    arguments)."""
    setup = RECORDING[0]
    made = 0
    if count == 5 and names == 0 and args[3][_SIZE] != 0:
        operand = args[3][_ITEMS]
        if args[1] == setup[SETUP["where"]]:
            if args[3][_SIZE] == 3:
                made = _choice(operand, args[3][_ITEMS + 1], args[3][_ITEMS + 2])
        else:
            code = axis_code(args[3], args[4])
            if is_handle(operand) != 0:
                if code != -1:
                    made = _unary(operand, args[1], code)
            elif code == 0:
                if operand[_CLASS] == setup[SETUP["list"]] and operand[_SIZE] == 2:
                    made = _two(operand[_ITEMS][0], operand[_ITEMS][1], args[1])
                elif operand[_CLASS] == setup[SETUP["tuple"]] and operand[_SIZE] == 2:
                    made = _two(operand[_ITEMS], operand[_ITEMS + 1], args[1])
        if made != 0:
            return made
    return call(
        setup[SETUP["PyObject_Vectorcall"]], setup[SETUP["function_miss"]], args, count, names
    )


# ---------------------------------------------------------------- parts


@words
def item_code(key):
    """An odd number that stands for an index or a slice without a step, or 0."""
    setup = RECORDING[0]
    if key[_CLASS] == setup[SETUP["int"]]:
        number = small_int(key, 0)
        if number < ITEM["none"]:
            return ((number + ITEM["none"]) << 1) | 1
    elif key[_CLASS] == setup[SETUP["slice"]] and key[_STEP] == setup[SETUP["none"]]:
        start = small_int(key[_START], 0) + ITEM["none"]
        stop = small_int(key[_STOP], ITEM["none"]) + ITEM["none"]
        if start < 2 * ITEM["none"] and stop <= 2 * ITEM["none"]:
            return (((start << ITEM["bits"]) | stop) << 1) | 1
    return 0


@words
def record_item(x, key):
    """`PyObject* mp_subscript(x, key)`."""
    setup = RECORDING[0]
    made = 0
    if is_handle(x) != 0 and x[VARIABLE["_tape"]][TAPE["fast"]] == setup[SETUP["true"]]:
        code = item_code(key)
        if code != 0:
            row = find(key[_CLASS], x[VARIABLE["_type"]], code)
            index = index_of(x)
            if row != 0 and index != 0:
                made = _part(x, index, row)
    if made != 0:
        return made
    place = scratch(2)
    place[0] = x
    place[1] = key
    return call(setup[SETUP["PyObject_Vectorcall"]], setup[SETUP["item_miss"]], place, 2, 0)


@words
def _part(x, index, row):
    """The part of a handle that a row describes: a number, or a view."""
    tape = x[VARIABLE["_tape"]]
    op = row[ROW["op"]]
    params = row[ROW["params"]]
    type_ = row[ROW["result"]]
    entry = entry_of(tape, op, index, 0, params, type_)
    if entry == 0:
        return 0
    at = append_entry(tape, entry)
    if row[ROW["single"]] != 0:
        return new_variable(tape, at, type_)
    return new_view(tape, at, type_, x, index, op, params)


#: By the name of what it records: the functions that Python puts into slots.
SLOTS = {
    "add": record_add,
    "subtract": record_subtract,
    "multiply": record_multiply,
    "divide": record_divide,
    "matmul": record_matmul,
    "negative": record_negative,
    "ufunc": record_ufunc,
    "ufunc_call": call_ufunc,
    "function": record_function,
    "item": record_item,
    "release": release_variable,
    "release_view": release_view,
    "operator": record_operator,
}
