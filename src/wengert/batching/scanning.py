"""Reading the entries of a recorded graph into arrays: by native code, or by Python.

A graph's entries are Python tuples. Reading thousands of them is most of what scheduling a dynamic
graph costs, so native code does it, with what it needs to know about CPython's objects: the type of
an object is its word 1, the length of a tuple word 2, its items begin at word 3.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Any, NamedTuple

import numpy as np

from wengert.codegen.addresses import address
from wengert.codegen.engine import is_started, words_addresses
from wengert.codegen.restricted import call, words
from wengert.codegen.tables import numbered
from wengert.graph import CONSTANT, INPUT, Graph, Type
from wengert.ops import TABLE

__all__ = [
    "SETUP",
    "Scanned",
    "is_layout_known",
    "native_row_of",
    "python_words",
    "row_of",
    "scan",
    "scan_by_python",
]

_PROJECT, _SLICE = TABLE["project"], TABLE["slice_index"]
_MANY = 1000


class Scanned(NamedTuple):
    """The nodes that the outputs of a graph need, as arrays.

    entries : entry of each node; kinds : nodes of one kind agree in operator, parameters and types
    of the operands (nodes of different kinds may agree too); rows : for nodes that read one row of
    an array the number of that row, which is no part of their kind, and -1 for others
    starts, args : operands of node j are the values args[starts[j]:starts[j + 1]]; the number r of
    a row is one operand more, -1 - r
    firsts : its first result; a single result has the number of its entry, those of an entry with
    several come after all entries
    where : value number of each entry; node_of : the node of each entry, or -1
    values : how many values there are; types : the identity of the type of each, 0 for entries that
    are none
    """

    entries: Any
    kinds: Any
    rows: Any
    starts: Any
    args: Any
    firsts: Any
    where: Any
    node_of: Any
    values: int
    types: Any


def scan(graph: Graph) -> Scanned:
    """Read a graph; cost: linear in its entries."""
    is_native = (is_started() or len(graph) >= _MANY) and is_layout_known()
    found = _scan_natively(graph) if is_native else scan_by_python(graph)
    need = np.zeros(found.values, np.int64)
    need[found.where[list(graph.outputs)]] = 1
    live = np.empty(len(found.kinds), np.int64)
    given = (len(live), len(graph), found.values, found.starts, found.args, found.firsts)
    mark = _compiled()[1] if is_native else mark_live
    dead = mark(
        *[address(x) if is_native and x.__class__ is not int else x for x in (*given, need, live)]
    )
    return _without(found, live == 0) if dead else found


def _without(found: Scanned, dead: Any) -> Scanned:
    """What is left without some nodes."""
    left = ~dead
    counts = np.diff(found.starts)
    numbers = np.where(left, np.cumsum(left) - 1, -1)
    return found._replace(
        entries=found.entries[left],
        kinds=found.kinds[left],
        rows=found.rows[left],
        starts=np.append(0, np.cumsum(counts[left])),
        args=found.args[np.repeat(left, counts)],
        firsts=found.firsts[left],
        node_of=np.where(found.node_of >= 0, numbers[found.node_of], -1),
    )


def scan_by_python(graph: Graph) -> Scanned:
    """All nodes, without native code."""
    where, node_of = np.full((2, len(graph)), -1, np.int64)
    types: list[Any] = [entry[3] for entry in graph.entries]
    entries: list[int] = []
    firsts: list[int] = []
    kinds, starts, args, rows = [], [0], [], []
    known: dict[Any, int] = {}
    for i, (op, operands, params, type_) in enumerate(graph.entries):
        if op is _PROJECT:
            where[i] = where[operands[0]] + params[0][1]
            continue
        where[i] = i
        if op is INPUT or op is CONSTANT:
            continue
        own = [int(where[k]) for k in operands]
        row = row_of(params, types[own[0]]) if op is _SLICE else -1
        key = (id(op), id(params) if row < 0 else 0, tuple([types[v] for v in own]))
        kinds.append(known.setdefault(key, len(known)))
        node_of[i] = len(entries)
        rows.append(row)
        entries.append(i)
        args += own if row < 0 else [*own, -1 - row]
        starts.append(len(args))
        if type_.__class__ is tuple:
            where[i] = len(types)
            types += type_
        firsts.append(int(where[i]))
    made = tuple([np.array(x, np.int64) for x in (entries, kinds, rows, starts, args, firsts)])
    own = [0 if k < len(graph) and where[k] != k else id(t) for k, t in enumerate(types)]
    return Scanned._make((*made, where, node_of, len(types), np.array(own, np.int64)))


def row_of(params: Any, type_: Any) -> int:
    """The number of the row of an array that a slice of it is, or -1."""
    key = params[0][1]
    whole = all(part == (0, n, 1) for part, n in zip(key[1:], type_.shape[1:], strict=True))
    return int(key[0]) if key and whole and key[0].__class__ is int else -1


# ---------------------------------------------------------------- native

#: What the native functions are told: operators, classes, Python's function, and which word of a
#: type is its shape.
SETUP = numbered(
    *("project", "input", "constant", "slice_index", "tuple", "int", "PyLong_AsSsize_t", "shape")
)
_CLASS, _LENGTH, _ITEMS = 1, 2, 3
_OP, _OPERANDS, _PARAMS, _TYPE = (_ITEMS + k for k in range(4))
#: Odd numbers that spread the bits of addresses.
_SPREAD, _MIX = 0x1E3779B97F4A7C15, 0x3F58476D1CE4E5B9


@words
def _number(setup, item):
    """The value of a Python integer."""
    return call(setup[SETUP["PyLong_AsSsize_t"]], item)


@words
def native_row_of(setup, entry, type_):
    """As `row_of`, for an entry and the type of its first operand; -1 for other operators too."""
    if entry[_OP] != setup[SETUP["slice_index"]]:
        return -1
    key = entry[_PARAMS][_ITEMS][_ITEMS + 1]
    length = key[_LENGTH]
    if length == 0:
        return -1
    if key[_ITEMS][_CLASS] != setup[SETUP["int"]]:
        return -1
    shape = type_[setup[SETUP["shape"]]]
    for axis in range(1, length):
        part = key[_ITEMS + axis]
        if part[_CLASS] == setup[SETUP["int"]]:
            return -1
        if _number(setup, part[_ITEMS]) != 0 or _number(setup, part[_ITEMS + 2]) != 1:
            return -1
        if _number(setup, part[_ITEMS + 1]) != _number(setup, shape[_ITEMS + axis]):
            return -1
    return _number(setup, key[_ITEMS])


@words
def mark_live(nodes, count, values, starts, args, firsts, need, live):
    """Fill `live`: which nodes compute what is needed; `need` says which values are, at first those
    of outputs. How many nodes do not."""
    dead = 0
    end = values
    j = nodes - 1
    while j >= 0:
        last = firsts[j] + 1
        if firsts[j] >= count:  # several results, which come before those of later nodes
            last = end
            end = firsts[j]
        live[j] = 0
        for value in range(firsts[j], last):
            if need[value] != 0:
                live[j] = 1
        if live[j] == 0:
            dead += 1
        else:
            for k in range(starts[j], starts[j + 1]):
                if args[k] >= 0:
                    need[args[k]] = 1
        j -= 1
    return dead


@words
def _same_kind(entries, entry, node, other, node_entries, rows, starts, args, types):
    """Whether two nodes agree in operator, parameters (or reading one row) and types of the
    operands."""
    second = entries[_ITEMS + node_entries[other]]
    if entry[_OP] != second[_OP]:
        return 0
    if (rows[node] < 0 or rows[other] < 0) and entry[_PARAMS] != second[_PARAMS]:
        return 0
    length = starts[node + 1] - starts[node]
    if length != starts[other + 1] - starts[other]:
        return 0
    for k in range(length):
        value = args[starts[node] + k]
        if value >= 0 and types[value] != types[args[starts[other] + k]]:
            return 0
    return 1


@words
def _read(
    entries,
    count,
    setup,
    room,
    mask,
    table,
    node_entries,
    kinds,
    rows,
    starts,
    args,
    firsts,
    where,
    node_of,
    types,
    sizes,
):
    """Fill the arrays of `Scanned`. `types` gets the addresses of the values' types; `table` has
    `mask + 1` places, all -1, for the first node of each kind. There is room for as many operands,
    and for as many results of nodes with several: -1 if it does not suffice, or the table does not.
    `sizes` gets the numbers of nodes, of their operands and of values.
    """
    nodes = 0
    known = 0
    total = 0
    values = count
    starts[0] = 0
    for i in range(count):
        node_of[i] = -1
        entry = entries[_ITEMS + i]
        op = entry[_OP]
        type_ = entry[_TYPE]
        operands = entry[_OPERANDS]
        if op == setup[SETUP["project"]]:
            number = _number(setup, entry[_PARAMS][_ITEMS][_ITEMS + 1])
            where[i] = where[_number(setup, operands[_ITEMS])] + number
            types[i] = 0
            continue
        where[i] = i
        types[i] = type_
        if op == setup[SETUP["input"]] or op == setup[SETUP["constant"]]:
            continue
        row = -1
        if op == setup[SETUP["slice_index"]]:
            row = native_row_of(setup, entry, types[where[_number(setup, operands[_ITEMS])]])
        rows[nodes] = row
        hashed = op * _SPREAD
        if row < 0:
            hashed = (op ^ (entry[_PARAMS] * _MIX)) * _SPREAD
        total = starts[nodes]
        if total + operands[_LENGTH] >= room or 2 * known > mask:
            return -1
        for k in range(operands[_LENGTH]):
            value = where[_number(setup, operands[_ITEMS + k])]
            args[total] = value
            total += 1
            hashed = (hashed ^ (hashed >> 29) ^ types[value]) * _MIX
        if row >= 0:
            args[total] = -1 - row
            total += 1
        node_entries[nodes] = i
        starts[nodes + 1] = total
        place = (hashed ^ (hashed >> 32)) & mask
        while (
            table[place] >= 0
            and _same_kind(
                entries, entry, nodes, table[place], node_entries, rows, starts, args, types
            )
            == 0
        ):
            place = (place + 1) & mask
        if table[place] < 0:
            table[place] = nodes
            kinds[nodes] = known
            known += 1
        else:
            kinds[nodes] = kinds[table[place]]
        node_of[i] = nodes
        firsts[nodes] = i
        if type_[_CLASS] == setup[SETUP["tuple"]]:
            types[i] = 0
            where[i] = values
            firsts[nodes] = values
            if values + type_[_LENGTH] > count + room:
                return -1
            for k in range(type_[_LENGTH]):
                types[values] = type_[_ITEMS + k]
                values += 1
        nodes += 1
    sizes[0] = nodes
    sizes[1] = starts[nodes]
    sizes[2] = values
    return known


@functools.cache
def _compiled() -> tuple[Any, Any, Any]:
    functions = (_read, mark_live)
    made = []
    for function, at in zip(functions, words_addresses(functions), strict=True):
        arity = function.__code__.co_argcount
        # `PYFUNCTYPE`: they read Python's objects, so they hold the GIL.
        made.append(ctypes.PYFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * arity)(at))
    return made[0], made[1], np.array(list(python_words().values()), np.int64)


@functools.cache
def python_words() -> dict[str, int]:
    """What native functions are told of Python and of operators, by name."""
    number = ctypes.cast(ctypes.pythonapi.PyLong_AsSsize_t, ctypes.c_void_p).value
    named = (_PROJECT, INPUT, CONSTANT, _SLICE, tuple, int)
    return dict(zip(SETUP, [*map(id, named), number or 0, _shape_word()], strict=True))


def _shape_word() -> int:
    """Which word of a `Type` is its shape, or -1."""
    types = [Type((5, n), np.dtype(np.float64)) for n in (6, 7)]
    for word in range(2, 8):
        if all(_words_at(id(t), word + 1)[word] == id(t.shape) for t in types):
            return word
    return -1


@functools.cache
def is_layout_known() -> bool:
    """Whether objects of this Python are laid out as the native functions take them to be."""
    if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False
    pair, row = (INPUT, CONSTANT), [INPUT, CONSTANT]
    wanted = [id(INPUT), id(CONSTANT)]
    items = _words_at(id(row), _ITEMS + 1)[_ITEMS]
    is_tuple = _words_at(id(pair), _ITEMS + 2)[_CLASS:] == [id(tuple), 2, *wanted]
    return is_tuple and _words_at(items, 2) == wanted and _shape_word() >= 0


def _words_at(address: int, count: int) -> list[int]:
    return [ctypes.c_int64.from_address(address + 8 * k).value for k in range(count)]


def _scan_natively(graph: Graph) -> Scanned:
    read, _, setup = _compiled()
    entries, count = graph.entries, len(graph.entries)
    sizes = np.zeros(3, np.int64)
    room, places = 3 * count + 64, 1024
    while True:
        node_entries, kinds, rows, firsts, node_of, where = np.empty((6, count), np.int64)
        starts, args = np.empty(count + 1, np.int64), np.empty(room, np.int64)
        types, table = np.empty(count + room, np.int64), np.full(places, -1, np.int64)
        arrays = (table, node_entries, kinds, rows, starts, args, firsts, where, node_of, types)
        told = (id(entries), count, address(setup), room, places - 1)
        if read(*told, *map(address, arrays), address(sizes)) >= 0:
            break
        room, places = 4 * room, 4 * places
    nodes, operands, values = sizes.tolist()
    return Scanned(
        node_entries[:nodes],
        kinds[:nodes],
        rows[:nodes],
        starts[: nodes + 1],
        args[:operands],
        firsts[:nodes],
        where,
        node_of,
        values,
        types[:values],
    )
