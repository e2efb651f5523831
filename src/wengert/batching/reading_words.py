"""What reading values does per entry and per row, as native code.

All of it works on one `CONTEXT`, a block of words that Python fills (`reading.Reader`). An entry of
the tape that is a leaf, a view or a result has a value number, `where`; a value has the `address`
of its elements once it is known, and until then the node, `producer`, that computes it. A view has
the value, `root`, whose elements it has, `shift` bytes further.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from wengert.batching.passes import agenda, count_users
from wengert.batching.scanning import SETUP, native_row_of, python_words
from wengert.codegen.engine import words_addresses
from wengert.codegen.restricted import call, words
from wengert.codegen.tables import numbered

__all__ = ["ALIGNMENT", "BLOCKED", "CONTEXT", "VIEW", "setup_words", "word_functions"]

#: `missing` is where `look` says which value it wants to have a number: one that Python computed.
#: Per entry: `where`, `seen`, `done`. Per value: `address`, `producer`, `root`, `shift`, `is_leaf`,
#: `block`. Per identity (operator, parameters and operand types, by address): an `example`, the
#: `kind_of` its nodes, the `offset_of` views, and whether it `is_row`. Per node, of those that are
#: chosen: the rest, up to `ends`. Per kind: what follows.
CONTEXT = numbered(
    *("entries", "setup", "is_asking", "stamp", "values", "value_room", "nodes", "arg_room"),
    *("identities", "mask", "kinds", "missing"),
    *("where", "seen", "done"),
    *("address", "producer", "root", "shift", "is_leaf", "block"),
    *("table", "example", "kind_of", "offset_of", "is_row"),
    *("node_entries", "node_kinds", "starts", "args", "firsts", "depth", "waiting", "bounds"),
    *("users", "cursor", "following", "order", "chosen", "ends"),
    *("total_depth", "members", "rank", "head", "tail"),
)
_SETUP = {**SETUP, "copy": len(SETUP)}
_CLASS, _LENGTH, _ITEMS = 1, 2, 3
_OP, _OPERANDS, _PARAMS, _TYPE = (_ITEMS + k for k in range(4))
#: Kinds that are none: of nodes that nobody wants in batches, and of views.
BLOCKED, VIEW = -1, -2
ALIGNMENT = 64
_SPREAD, _MIX = 0x1E3779B97F4A7C15, 0x3F58476D1CE4E5B9


@words
def _number(c, item):
    """The value of a Python integer."""
    return call(c[CONTEXT["setup"]][_SETUP["PyLong_AsSsize_t"]], item)


@words
def _row_of(c, items, entry):
    """The number of the row that an entry reads, or -1."""
    operands = entry[_OPERANDS]
    if operands[_LENGTH] == 0:
        return -1
    source = items[_number(c, operands[_ITEMS])]
    return native_row_of(c[CONTEXT["setup"]], entry, source[_TYPE])


@words
def _is_same(c, items, entry, is_row, other):
    """Whether an entry has the identity number `other`."""
    second = items[c[CONTEXT["example"]][other]]
    if entry[_OP] != second[_OP] or c[CONTEXT["is_row"]][other] != is_row:
        return 0
    if is_row == 0 and entry[_PARAMS] != second[_PARAMS]:
        return 0
    operands = entry[_OPERANDS]
    others = second[_OPERANDS]
    if operands[_LENGTH] != others[_LENGTH]:
        return 0
    for k in range(operands[_LENGTH]):
        first = items[_number(c, operands[_ITEMS + k])]
        if first[_TYPE] != items[_number(c, others[_ITEMS + k])][_TYPE]:
            return 0
    return 1


@words
def identify(c, e):
    """The number of an entry's identity, or where in the table a new one goes, as -1 - place."""
    items = c[CONTEXT["entries"]][_ITEMS]
    entry = items[e]
    is_row = _row_of(c, items, entry) >= 0
    hashed = entry[_OP]
    if is_row == 0:
        hashed = hashed ^ (entry[_PARAMS] * _MIX)
    operands = entry[_OPERANDS]
    for k in range(operands[_LENGTH]):
        type_ = items[_number(c, operands[_ITEMS + k])][_TYPE]
        hashed = (hashed ^ (hashed >> 29) ^ type_) * _MIX
    table = c[CONTEXT["table"]]
    mask = c[CONTEXT["mask"]]
    place = (hashed ^ (hashed >> 32)) & mask
    while table[place] >= 0:
        if _is_same(c, items, entry, is_row, table[place]) != 0:
            return table[place]
        place = (place + 1) & mask
    return -1 - place


@words
def remember(c, e, kind, offset):
    """Give an entry's identity a kind: a new identity, or one that is known."""
    found = identify(c, e)
    if found < 0:
        place = -1 - found
        found = c[CONTEXT["identities"]]
        c[CONTEXT["identities"]] = found + 1
        c[CONTEXT["table"]][place] = found
        c[CONTEXT["example"]][found] = e
        items = c[CONTEXT["entries"]][_ITEMS]
        c[CONTEXT["is_row"]][found] = _row_of(c, items, items[e]) >= 0
    c[CONTEXT["kind_of"]][found] = kind
    c[CONTEXT["offset_of"]][found] = offset
    return found


@words
def _is_there(c, v):
    """Whether a value is known, or will be when the chosen nodes have run."""
    if v < 0:
        return 0
    if c[CONTEXT["address"]][v] != 0 or c[CONTEXT["producer"]][v] >= 0:
        return 1
    return 0


@words
def _find(c, e):
    """The number of the value of an entry that is there, or -1."""
    v = c[CONTEXT["where"]][e]
    if _is_there(c, v) != 0:
        return v
    if c[CONTEXT["done"]][e] != 0:
        c[CONTEXT["missing"]] = e
    return -1


@words
def add_value(c, address, producer, root, shift):
    """The number of a new value; `root` is its own number if it is -1."""
    v = c[CONTEXT["values"]]
    c[CONTEXT["values"]] = v + 1
    c[CONTEXT["address"]][v] = address
    c[CONTEXT["producer"]][v] = producer
    c[CONTEXT["shift"]][v] = shift
    c[CONTEXT["block"]][v] = -1
    c[CONTEXT["is_leaf"]][v] = 0
    c[CONTEXT["root"]][v] = v
    if root >= 0:
        c[CONTEXT["root"]][v] = root
        c[CONTEXT["block"]][v] = c[CONTEXT["block"]][root]
        c[CONTEXT["is_leaf"]][v] = c[CONTEXT["is_leaf"]][root]
    return v


@words
def _add_view(c, e, entry, q):
    """Give a view of a value that is there a number of its own."""
    source = _find(c, _number(c, entry[_OPERANDS][_ITEMS]))
    if source < 0:
        return 0
    shift = c[CONTEXT["offset_of"]][q]
    if c[CONTEXT["is_row"]][q] != 0:
        shift = shift * _row_of(c, c[CONTEXT["entries"]][_ITEMS], entry)
    address = c[CONTEXT["address"]][source]
    if address != 0:
        address += shift
    root = c[CONTEXT["root"]][source]
    shift += c[CONTEXT["shift"]][source]
    producer = c[CONTEXT["producer"]][source]
    c[CONTEXT["where"]][e] = add_value(c, address, producer, root, shift)
    return 0


@words
def _add_node(c, e, entry, kind):
    """Choose a node, if its operands are there."""
    operands = entry[_OPERANDS]
    where = c[CONTEXT["where"]]
    node = c[CONTEXT["nodes"]]
    at = c[CONTEXT["starts"]][node]
    deepest = 0
    for k in range(operands[_LENGTH]):
        v = _find(c, _number(c, operands[_ITEMS + k]))
        if v < 0:
            return 0
        producer = c[CONTEXT["producer"]][v]
        if producer >= 0 and c[CONTEXT["depth"]][producer] > deepest:
            deepest = c[CONTEXT["depth"]][producer]
        c[CONTEXT["args"]][at] = v
        at += 1
    c[CONTEXT["starts"]][node + 1] = at
    c[CONTEXT["node_entries"]][node] = e
    c[CONTEXT["node_kinds"]][node] = kind
    c[CONTEXT["depth"]][node] = deepest + 1
    first = add_value(c, 0, node, -1, 0)
    c[CONTEXT["firsts"]][node] = first
    where[e] = first
    type_ = entry[_TYPE]
    if type_[_CLASS] == c[CONTEXT["setup"]][_SETUP["tuple"]]:
        for _ in range(1, type_[_LENGTH]):
            add_value(c, 0, node, -1, 0)
    c[CONTEXT["nodes"]] = node + 1
    return 0


@words
def look(c, which, count):
    """Look at entries in order: choose nodes of known kinds, number values. How many were looked
    at: fewer than all if Python must say of which kind the next one is, or make room."""
    items = c[CONTEXT["entries"]][_ITEMS]
    setup = c[CONTEXT["setup"]]
    where = c[CONTEXT["where"]]
    done = c[CONTEXT["done"]]
    for i in range(count):
        e = which[i]
        # What Python computed gets a number when a node wants it.
        if done[e] != 0 or _is_there(c, where[e]) != 0:
            continue
        entry = items[e]
        op = entry[_OP]
        operands = entry[_OPERANDS]
        if op == setup[_SETUP["input"]] or op == setup[_SETUP["constant"]]:
            continue
        if op == setup[_SETUP["project"]]:
            source = _find(c, _number(c, operands[_ITEMS]))
            if source >= 0:
                number = _number(c, entry[_PARAMS][_ITEMS][_ITEMS + 1])
                where[e] = source + number
            elif c[CONTEXT["missing"]] >= 0:
                return i
            continue
        room = 1
        if entry[_TYPE][_CLASS] == setup[_SETUP["tuple"]]:
            room = entry[_TYPE][_LENGTH]
        if c[CONTEXT["values"]] + room >= c[CONTEXT["value_room"]]:
            return i
        if c[CONTEXT["starts"]][c[CONTEXT["nodes"]]] + operands[_LENGTH] > c[CONTEXT["arg_room"]]:
            return i
        q = identify(c, e)
        if q < 0:
            return i
        kind = c[CONTEXT["kind_of"]][q]
        if kind == BLOCKED:
            if c[CONTEXT["is_asking"]] != 0:
                return i
            continue
        if kind == VIEW:
            _add_view(c, e, entry, q)
        else:
            _add_node(c, e, entry, kind)
        if c[CONTEXT["missing"]] >= 0:
            return i
    return count


@words
def arrange(c):
    """Put the chosen nodes in order, in batches; how many batches there are."""
    count = c[CONTEXT["nodes"]]
    waiting = c[CONTEXT["waiting"]]
    bounds = c[CONTEXT["bounds"]]
    starts = c[CONTEXT["starts"]]
    args = c[CONTEXT["args"]]
    for j in range(count):
        waiting[j] = 0
        bounds[j] = 0
    bounds[count] = 0
    producer = c[CONTEXT["producer"]]
    cursor = c[CONTEXT["cursor"]]
    users = c[CONTEXT["users"]]
    count_users(count, starts, args, producer, waiting, bounds, users, cursor)
    kinds = c[CONTEXT["kinds"]]
    total = c[CONTEXT["total_depth"]]
    members = c[CONTEXT["members"]]
    rank = c[CONTEXT["rank"]]
    for s in range(kinds):
        total[s] = 0
        members[s] = 0
    for j in range(count):
        s = c[CONTEXT["node_kinds"]][j]
        total[s] = total[s] + c[CONTEXT["depth"]][j]
        members[s] = members[s] + 1
    # By average depth; those of one depth by number.
    for s in range(kinds):
        rank[s] = 0
        for t in range(kinds):
            mine = total[s] * members[t]
            other = total[t] * members[s]
            if other < mine or (other == mine and t < s):
                rank[s] = rank[s] + 1
    return agenda(
        count,
        c[CONTEXT["node_kinds"]],
        waiting,
        bounds,
        users,
        kinds,
        rank,
        c[CONTEXT["head"]],
        c[CONTEXT["tail"]],
        c[CONTEXT["following"]],
        c[CONTEXT["order"]],
        c[CONTEXT["chosen"]],
        c[CONTEXT["ends"]],
    )


@words
def common(c, begin, end, found):
    """For each operand of a batch whether all of its nodes have one leaf there."""
    order = c[CONTEXT["order"]]
    starts = c[CONTEXT["starts"]]
    args = c[CONTEXT["args"]]
    first = starts[order[begin]]
    arity = starts[order[begin] + 1] - first
    for p in range(arity):
        v = args[first + p]
        same = c[CONTEXT["is_leaf"]][v]
        k = begin + 1
        while same != 0 and k < end:
            if args[starts[order[k]] + p] != v:
                same = 0
            k += 1
        found[p] = same
    return arity


@words
def address_of(c, v):
    """Where the elements of a value that is known lie."""
    address = c[CONTEXT["address"]]
    if address[v] == 0:
        root = c[CONTEXT["root"]][v]
        address[v] = address[root] + c[CONTEXT["shift"]][v]
        c[CONTEXT["block"]][v] = c[CONTEXT["block"]][root]
    return address[v]


@words
def gather(c, begin, end, sizes, inputs, outputs, addresses):
    """Put the rows of each operand of a batch one after another, from `inputs` on, and fill the
    `addresses` of operands and results.

    sizes : how many operands and results there are, then the bytes of a row of each; 0 for an
        operand that all nodes share
    """
    order = c[CONTEXT["order"]]
    starts = c[CONTEXT["starts"]]
    args = c[CONTEXT["args"]]
    copy = c[CONTEXT["setup"]][_SETUP["copy"]]
    arity = sizes[0]
    at = inputs
    for p in range(arity):
        size = sizes[2 + p]
        if size == 0:
            addresses[p] = address_of(c, args[starts[order[begin]] + p])
            continue
        addresses[p] = at
        for k in range(begin, end):
            call(copy, at, address_of(c, args[starts[order[k]] + p]), size)
            at += size
        at = (at + ALIGNMENT - 1) & -ALIGNMENT
    at = outputs
    for q in range(sizes[1]):
        addresses[arity + q] = at
        at += sizes[2 + arity + q] * (end - begin)
        at = (at + ALIGNMENT - 1) & -ALIGNMENT
    return 0


@words
def settle(c, begin, end, sizes, addresses, block):
    """Note where the results of a batch lie, once it has run."""
    order = c[CONTEXT["order"]]
    arity = sizes[0]
    for q in range(sizes[1]):
        at = addresses[arity + q]
        for k in range(begin, end):
            v = c[CONTEXT["firsts"]][order[k]] + q
            c[CONTEXT["address"]][v] = at
            c[CONTEXT["block"]][v] = block
            at += sizes[2 + arity + q]
    return 0


@words
def finish(c, first):
    """Forget the chosen nodes; `first` is the first value that was numbered for them."""
    address = c[CONTEXT["address"]]
    for v in range(first, c[CONTEXT["values"]]):
        c[CONTEXT["producer"]][v] = -1
        root = c[CONTEXT["root"]][v]
        if address[root] != 0:
            address_of(c, v)
    c[CONTEXT["nodes"]] = 0
    return 0


@words
def need(c, index, found):
    """The entries that one needs and that are not known, itself included, in any order; `found` has
    room for all entries and their operands. How many there are."""
    items = c[CONTEXT["entries"]][_ITEMS]
    seen = c[CONTEXT["seen"]]
    done = c[CONTEXT["done"]]
    where = c[CONTEXT["where"]]
    stamp = c[CONTEXT["stamp"]] + 1
    c[CONTEXT["stamp"]] = stamp
    found[0] = index
    seen[index] = stamp
    count = 1
    at = 0
    while at < count:
        operands = items[found[at]][_OPERANDS]
        at += 1
        for k in range(operands[_LENGTH]):
            e = _number(c, operands[_ITEMS + k])
            if seen[e] == stamp or done[e] != 0:
                continue
            seen[e] = stamp
            if where[e] >= 0 and c[CONTEXT["address"]][where[e]] != 0:
                continue
            found[count] = e
            count += 1
    return count


_FUNCTIONS = (
    *(
        look,
        remember,
        identify,
        arrange,
        common,
        gather,
        settle,
        finish,
        need,
        add_value,
        address_of,
    ),
)


@functools.cache
def word_functions() -> dict[str, Any]:
    """The functions by name, compiled."""
    found = {}
    for function, address in zip(_FUNCTIONS, words_addresses(_FUNCTIONS), strict=True):
        arity = function.__code__.co_argcount
        # `PYFUNCTYPE`: they read Python's objects, so they hold the GIL.
        kind = ctypes.PYFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * arity)
        found[function.__name__] = kind(address)
    return found


@functools.cache
def setup_words() -> Any:
    """What the functions are told of Python and of operators."""
    copy = ctypes.cast(ctypes.memmove, ctypes.c_void_p).value
    return np.array([*python_words().values(), copy], np.int64)
