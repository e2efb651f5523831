"""The words of the structures that Python fills and the native runtime reads."""

from __future__ import annotations

__all__ = [
    "API",
    "CALL_AT",
    "CARRY",
    "CLOSED",
    "DESCRIPTOR",
    "FINISH",
    "FINISH_BEGIN",
    "FINISH_END",
    "FINISH_TOTALS",
    "LEAST_KEPT",
    "MEMORY",
    "MEMORY_PLACES",
    "MEMORY_WORDS",
    "MOST_KEPT",
    "NODE",
    "NUMBERS",
    "OBJECT",
    "OUT",
    "PANEL_BYTES",
    "PANEL_ROWS",
    "POOL",
    "POOL_WORDS",
    "PRODUCT",
    "SHORT",
    "SITE",
    "SOURCES",
    "TILE_AT",
    "TILE_ROWS",
    "TRIAL",
    "TRIED",
    "numbered",
]


def numbered(*names: str) -> dict[str, int]:
    """The names of the words of a structure with their places."""
    return {name: i for i, name in enumerate(names)}


#: Fields (64-bit words) of the structures that Python fills.
SITE = numbered("first", "fallback", "api", "traced", "record_call")
#: Bytes: where an object that is called itself holds its vectorcall function and its site, and its
#: size.
OBJECT = {"vectorcall": 16, "site": 24, "size": 32}
#: `argument_count` counts the arguments by position; `keywords` is the address of the number of
#: those by name and of the names, in the order of the call, or 0.
DESCRIPTOR = numbered(
    "next",
    "nodes",
    "node_count",
    "outs",
    "out_count",
    "program",
    "program_count",
    "steps",
    "step_count",
    "slots",
    "release",
    "argument_count",
    "numbers",
    "numbers_table",
    "status",
    "handler",
    "keywords",
)
#: What a call of numbers (`numbers`) finds in its table before the constants.
NUMBERS = numbered("type", "other_type", "result_type", "PyObject_Malloc", "PyTuple_New")
#: `fetch`: 0 argument, 1 item of a tuple, 2 of a list, 3 of a dict. `check`: 0 tuple, 1 list,
#: 2 dict (of `size` items), 3 array (of `size` bytes), 4 scalar of one of two types.
NODE = numbered("fetch", "parent", "key", "check", "size", "type", "nd", "dims", "slot", "other")
#: `kind`: 0 an array, 1 a scalar that NumPy makes; 2 and 3 a scalar of 8 or 4 bytes, for which the
#: memory comes from `allocate`, the `tp_alloc` of `type`; 4 an argument's array, overwritten: that
#: of node `nd`.
OUT = numbered("slot", "nd", "dims", "descr", "kind", "type", "allocate")
#: Addresses of functions and types of CPython and NumPy.
API = numbered(
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "PyArray_Empty",
    "PyArray_Scalar",
    "PyTuple_New",
    "PyList_New",
    "PyDict_New",
    "PyDict_SetItem",
    "PyDict_GetItem",
    "Py_IncRef",
    "Py_DecRef",
    "PyObject_Vectorcall",
    "PyArray_Type",
    "PyTuple_Type",
    "PyList_Type",
    "PyDict_Type",
    "PyDict_Size",
    "PyDataMem_SetHandler",
)

#: The arguments of a product C = D + alpha A B of m by k and k by n elements (`product`): slots, -1
#: for no D and for an alpha of one; strides of rows and columns (C and D have their columns side by
#: side); how many products, and how far apart; where the first begins. All in elements. `panel` is
#: memory for `PANEL_BYTES` bytes. `finish` is the address of what is done with the result, or 0
#: where it is just written; then the words of that follow, and `row` is the first of the rows.
PRODUCT = numbered(
    *("a", "b", "c", "d", "alpha", "negate", "panel", "m", "n", "k"),
    *("a_row", "a_col", "b_row", "b_col", "c_row", "d_row", "repeats"),
    *("a_step", "b_step", "c_step", "d_step", "a_at", "b_at", "c_at", "d_at"),
    *("finish", "row"),
)
#: A call of a finish: what for (`FINISH_BEGIN`, `FINISH_END`, else 0: a tile), where the tile is
#: (its rows have two vectors), its place in the whole result, and the addresses of the words of the
#: finish and of two numbers for each sum of all elements.
FINISH = numbered("what", "tile", "row", "rows", "column", "columns", "words", "state")
FINISH_BEGIN, FINISH_END, FINISH_TOTALS = 1, 2, 8
#: Rows of a panel, and the bytes that it takes: two vectors of each row. Behind it there is room
#: for a tile, and for the words of the call for it.
PANEL_ROWS = 128
TILE_ROWS = 32
TILE_AT = PANEL_ROWS * 128
CALL_AT = TILE_AT + TILE_ROWS * 128
PANEL_BYTES = CALL_AT + 8 * (len(FINISH) + 2 * FINISH_TOTALS)

#: Functions of the runtime that only some programs need: they are loaded for themselves.
FURTHER = (*("check_index", "positions", "run_scan", "run_while", "run_cond", "run_revolve"),)

#: Where an address in the table of an inner plan comes from: `number` bytes into the frame, the
#: number itself, or slot `number` of the plan around it.
SOURCES = {"frame": 0, "address": 1, "outer": 2}

#: The words of a carry's row: the inner slots that read and write it (and the one by which the
#: condition of a `while` reads it), the outer slots of its first and last value, where in the frame
#: its other buffer begins, and its bytes.
CARRY = ("read", "write", "condition", "first", "result", "spare", "bytes")

#: The words of a state's row in a loop of which some states are held: the slots of the body that
#: read and write it, the slot by which the way back reads it, the outer slot of the first one,
#: where in the frame the places for the others begin, and how far apart they are.
STATE = ("read", "write", "back", "first", "places", "stride")

#: Words of the memory that results are given again: a lock, the place that the next block is kept
#: at, the bytes that are kept, functions of the C library, then pairs (block, bytes).
MEMORY = {**numbered("lock", "hand", "kept", "allocate", "free", "advise"), "first": 8}
MEMORY_PLACES = 32
MEMORY_WORDS = MEMORY["first"] + 2 * MEMORY_PLACES
#: The least size of a block that is kept, and the most bytes of all together.
LEAST_KEPT = 1 << 15
MOST_KEPT = 128 << 20

#: Words of the pool of threads. A job is `kernel`, `slots`, `blocks`, `count`; `next` is the next
#: chunk to take, `finished` the number of chunks done. The semaphore takes four words.
#: `looking` is how many workers look for work at this moment, `unhelped` how many short jobs
#: found fewer than they could use; while `kept` is 1, workers that look do not fall asleep.
POOL = {
    **numbered(
        "busy",
        "workers",
        "post",
        "wait",
        "try",
        "yield",
        "stop",
        "kernel",
        "slots",
        "blocks",
        "count",
    ),
    "next": 16,
    "finished": 24,
    "work": 32,
    "looking": 40,
    "unhelped": 48,
    "kept": 56,
}
POOL_WORDS = 64
#: Beside the number of chunks of a step: it is short; and the word before the addresses of its
#: argument blocks is that of its plan's trial.
SHORT, TRIED = 1 << 32, 1 << 33
#: Words of a trial (`trials`): how many calls there were, whether its jobs are kept to one
#: thread, when a timed call began, the best times in nanoseconds of both ways; the address of
#: `clock_gettime`, and the number of its clock; whether the next short job wakes those who sleep.
TRIAL = numbered("calls", "is_alone", "began", "alone", "shared", "clock", "which", "wakes")
#: A value of `next` at which there is nothing to take.
CLOSED = 1 << 40
