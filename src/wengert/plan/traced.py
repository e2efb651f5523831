"""Teaching a site what traced arguments look like whose use is recorded (see `codegen.calls`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.capture import Variable
from wengert.capture.view import View
from wengert.codegen.recording_tables import LEAF_KINDS, MOST_NODES, TRACED, TRACED_NODE
from wengert.codegen.tables import SITE
from wengert.graph import CONSTANT, type_of
from wengert.plan.site import Site, tree_program

__all__ = ["learn_traced"]

#: Traced signatures that one site keeps; further ones are recorded by Python.
MOST_TRACED = 16

_CONTAINERS: dict[type, str] = {tuple: "tuple", list: "list", dict: "dict"}
_FETCH = {"argument": 0, "tuple": 1, "list": 2, "dict": 3}


def learn_traced(
    site: Site,
    args: Sequence[Any],
    params: Any,
    types: tuple[Any, ...],
    numbers: tuple[Any, ...],
    out_structure: Callable[[list[Any]], Any],
) -> bool:
    """Record uses with arguments like `args` in native code from now on, if that is possible.

    Parameters
    ----------
    params : parameters of the entry of a use
    types : types of its results; numbers : parameters of the entries of the results
    out_structure : builds the result from its leaves
    """
    from wengert.codegen.calls import record_call
    from wengert.codegen.engine import words_addresses

    if site.traced_count >= MOST_TRACED:
        return False
    nodes = _nodes(args)
    program = tree_program(out_structure(list(range(len(types)))))
    if nodes is None or program is None:
        return False
    rows, leaves, kept = nodes
    words, program_kept = program
    if max(len(rows), len(words), len(types)) > MOST_NODES:
        return False
    table = np.array(rows, np.int64)
    values = {
        "next": site.words[SITE["traced"]],
        "argument_count": len(args),
        "node_count": len(rows),
        "nodes": table.ctypes.data,
        "leaf_count": leaves,
        "result_count": len(types),
        "params": id(params),
        "types": id(types),
        "numbers": id(numbers),
        "program": words.ctypes.data,
        "program_count": len(words),
    }
    signature = np.zeros(len(TRACED), np.int64)
    for name, value in values.items():
        signature[TRACED[name]] = value
    (address,) = words_addresses([record_call])
    site.keep(table, signature, params, types, numbers, kept, words, program_kept)
    site.words[SITE["record_call"]] = address
    site.words[SITE["traced"]] = signature.ctypes.data
    site.traced_count += 1
    site.open()
    return True


def _nodes(args: Sequence[Any]) -> tuple[list[list[int]], int, list[Any]] | None:
    """The nodes that fetch and check what is in `args`, in the order of optree's flattening; the
    number of leaves among them; what they refer to."""
    rows: list[list[int]] = []
    kept: list[Any] = []
    leaves = 0

    def node(fields: dict[str, int]) -> int:
        row = [0] * len(TRACED_NODE)
        for name, value in fields.items():
            row[TRACED_NODE[name]] = value
        rows.append(row)
        return len(rows) - 1

    # Depth first, children in order: a stack of (value, how to fetch it).
    stack: list[tuple[Any, dict[str, int]]] = [
        (value, {"fetch": _FETCH["argument"], "key": k}) for k, value in enumerate(args)
    ][::-1]
    while stack:
        value, fields = stack.pop()
        kind = type(value)
        if kind in _CONTAINERS:
            name = _CONTAINERS[kind]
            fields.update(check=LEAF_KINDS[name], type=id(kind), size=len(value))
            at = node(fields)
            children = list(enumerate(value))
            if kind is dict:
                try:
                    children = [(id(key), value[key]) for key in sorted(value)]
                except TypeError:
                    return None
                kept.append(sorted(value))
            stack += [
                (child, {"fetch": _FETCH[name], "parent": at, "key": key})
                for key, child in children
            ][::-1]
            continue
        leaves += 1
        if kind in (Variable, View):
            fields.update(check=LEAF_KINDS["handle"], type=id(value._type))
            kept.append(value._type)
        elif kind is np.ndarray and value.ndim and value.nbytes % 4 == 0:
            type_ = type_of(value)
            dims = np.array(value.shape, np.int64)
            leaf = (CONSTANT, (), (), type_)
            kept += [dims, leaf, type_.dtype]
            fields.update(check=LEAF_KINDS["array"], type=id(type_.dtype), size=value.nbytes)
            fields.update(nd=value.ndim, dims=dims.ctypes.data, leaf=id(leaf))
        else:
            return None
        node(fields)
    return rows, leaves, kept
