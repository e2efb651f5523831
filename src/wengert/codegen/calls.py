"""Recording a use of a compiled function in native code, as functions of words (see `restricted`).

A *traced signature* says what the arguments of a use look like: the same nodes as those of a
descriptor (`pycall`), with handles and arrays as leaves. Where the arguments match, the entry of
the use and those of its results are appended, and the tree of results is built.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

from wengert.codegen.recording_entries import ARRAY, append_entry, array_constant, is_plain_array
from wengert.codegen.recording_objects import (
    RECORDING,
    blank_tuple,
    drop,
    hold,
    index_of,
    is_handle,
    new_tuple,
    new_variable,
    tuple_of_one,
)
from wengert.codegen.recording_tables import (
    LEAF_KINDS,
    MOST_NODES,
    SETUP,
    TAPE,
    TRACED,
    TRACED_NODE,
    TRACED_NODE_BYTES,
    VARIABLE,
)
from wengert.codegen.restricted import call, half, scratch, words

__all__ = ["record_call"]

_CLASS, _SIZE, _ITEMS = 1, 2, 3
_FETCH = {"argument": 0, "tuple": 1, "list": 2, "dict": 3}


@words
def record_call(signature, args, count):
    """Record a use by the first traced signature that matches; its results, or 0."""
    while signature != 0:
        if signature[TRACED["argument_count"]] == count:
            objects = scratch(MOST_NODES)
            tape = _match(signature, args, objects)
            if tape != 0:
                return _record(signature, tape, objects)
        signature = signature[TRACED["next"]]
    return 0


@words
def _match(signature, args, objects):
    """Fetch all nodes; the tape that may record the use, or 0."""
    setup = RECORDING[0]
    tape: Any = 0
    for i in range(signature[TRACED["node_count"]]):
        node = signature[TRACED["nodes"]] + i * TRACED_NODE_BYTES
        fetch = node[TRACED_NODE["fetch"]]
        key = node[TRACED_NODE["key"]]
        if fetch == _FETCH["argument"]:
            value = args[key]
        else:
            parent = objects[node[TRACED_NODE["parent"]]]
            if fetch == _FETCH["tuple"]:
                value = parent[_ITEMS + key]
            elif fetch == _FETCH["list"]:
                value = parent[_ITEMS][key]
            else:
                value = call(setup[SETUP["PyDict_GetItem"]], parent, key)
        if value == 0:
            return 0
        objects[i] = value
        check = node[TRACED_NODE["check"]]
        if check == LEAF_KINDS["handle"]:
            if is_handle(value) == 0 or index_of(value) == 0:
                return 0
            if value[VARIABLE["_type"]] != node[TRACED_NODE["type"]]:
                return 0
            if tape == 0:
                tape = value[VARIABLE["_tape"]]
            if value[VARIABLE["_tape"]] != tape:
                return 0
        elif check == LEAF_KINDS["array"]:
            if _is_array(value, node) == 0:
                return 0
        else:
            if value[_CLASS] != node[TRACED_NODE["type"]]:
                return 0
            size = value[_SIZE]
            if check == LEAF_KINDS["dict"]:
                size = call(setup[SETUP["PyDict_Size"]], value)
            if size != node[TRACED_NODE["size"]]:
                return 0
    if tape == 0 or tape[TAPE["fast"]] != setup[SETUP["true"]]:
        return 0
    if tape[TAPE["keeps_calls"]] != setup[SETUP["true"]]:
        return 0
    return tape


@words
def _is_array(value, node):
    """Whether an object is a plain array of the node's type."""
    if is_plain_array(value, node[TRACED_NODE["type"]]) == 0:
        return 0
    if half(value + ARRAY["nd"]) != node[TRACED_NODE["nd"]]:
        return 0
    for axis in range(node[TRACED_NODE["nd"]]):
        if value[ARRAY["dims"] // 8][axis] != node[TRACED_NODE["dims"]][axis]:
            return 0
    return 1


@words
def _record(signature, tape, objects):
    """Append the entries; the tree of results."""
    setup = RECORDING[0]
    operands = blank_tuple(signature[TRACED["leaf_count"]])
    k = 0
    for i in range(signature[TRACED["node_count"]]):
        node = signature[TRACED["nodes"]] + i * TRACED_NODE_BYTES
        if node[TRACED_NODE["check"]] == LEAF_KINDS["handle"]:
            operands[_ITEMS + k] = hold(index_of(objects[i]))
            k += 1
        elif node[TRACED_NODE["check"]] == LEAF_KINDS["array"]:
            operands[_ITEMS + k] = array_constant(
                tape, objects[i], node[TRACED_NODE["size"]], node[TRACED_NODE["leaf"]]
            )
            k += 1
    params = hold(signature[TRACED["params"]])
    types = hold(signature[TRACED["types"]])
    entry = new_tuple(hold(setup[SETUP["call_op"]]), operands, params, types)
    at = append_entry(tape, entry)
    source = tuple_of_one(at)
    drop(at)
    made = scratch(MOST_NODES)
    for number in range(signature[TRACED["result_count"]]):
        type_ = types[_ITEMS + number]
        params = hold(signature[TRACED["numbers"]][_ITEMS + number])
        op = hold(setup[SETUP["project_op"]])
        entry = new_tuple(op, hold(source), params, hold(type_))
        made[number] = new_variable(tape, append_entry(tape, entry), type_)
    drop(source)
    return _assemble(signature, made)


@words
def _assemble(signature, made):
    """The tree of results, by a program for a stack (see `pycall`)."""
    setup = RECORDING[0]
    program = signature[TRACED["program"]]
    stack = scratch(MOST_NODES)
    top = 0
    for i in range(signature[TRACED["program_count"]]):
        operation = program[2 * i]
        argument = program[2 * i + 1]
        if operation == 0:
            stack[top] = made[argument]
            top += 1
            continue
        if operation == 3:
            size = argument[0]
            tree = call(setup[SETUP["PyDict_New"]])
            for k in range(size):
                value = stack[top - size + k]
                call(setup[SETUP["PyDict_SetItem"]], tree, argument[k + 1], value)
                drop(value)
            top -= size
        else:
            size = argument
            if operation == 1:
                tree = call(setup[SETUP["PyTuple_New"]], size)
                items = tree + 8 * _ITEMS
            else:
                tree = call(setup[SETUP["PyList_New"]], size)
                items = tree[_ITEMS]
            for k in range(size):
                items[k] = stack[top - size + k]
            top -= size
        stack[top] = tree
        top += 1
    return stack[0]
