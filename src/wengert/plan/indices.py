"""Which operands of an operator are indices, and along axes of which length: what must be checked
before native code reads or writes at them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.codegen.kernel import Instruction, KernelSpec, Load, Store
from wengert.graph import CONSTANT, INPUT, Graph, Type

__all__ = ["given", "index_args", "indices_of", "positions_kernel"]


def indices_of(op: Any, types: Sequence[Any], params: dict[str, Any]) -> list[tuple[int, int]]:
    """Pairs (operand number, length of the axis) of an operator's index operands."""
    if op.name == "positions":
        return [(0, params["length"])]
    if op.name == "gather":
        return _along(1, params["axes"], types[0].shape)
    if op.name == "assign":
        part = params["part"]
        return _along(2, part[1], types[0].shape) if part[0] == "gather" else []
    if op.name not in ("scatter_sum", "scatter_add"):
        return []
    at = 1 if op.name == "scatter_add" else 0
    shape = types[0].shape if at else params["shape"]
    found: list[tuple[int, int]] = []
    for part in params["parts"]:
        at += 1
        if part[0] == "gather":
            found += _along(at, part[1], shape)
            at += len(part[1])
    return found


def _along(first: int, axes: Sequence[int], shape: Sequence[int]) -> list[tuple[int, int]]:
    return [(first + k, shape[a]) for k, a in enumerate(axes)]


def given(graph: Graph) -> list[int]:
    """The entries that can run before all others, whose place in a loop nest nothing depends on:
    positions and other shapes of inputs and constants."""
    live = graph.live()
    known: set[int] = set()
    found: list[int] = []
    for i, (op, operands, _, _) in enumerate(graph.entries):
        if op is INPUT or op is CONSTANT:
            known.add(i)
        elif live[i] and op.name in ("positions", "reshape") and operands[0] in known:
            known.add(i)
            found.append(i)
    return found


def positions_kernel(dtype: Any) -> KernelSpec:
    """The kernel that counts indices from 0; it loads them, 0, and the length of the axis."""
    place, truth = np.dtype(np.int32), np.dtype(bool)
    loads = (Load(dtype, (True,)), Load(place, (False,)), Load(place, (False,)))
    body = (
        Instruction("cast", (0,), (("dtype", place),), place),
        Instruction("less", (3, 1), (), truth),
        Instruction("add", (3, 2), (), place),
        Instruction("where", (4, 5, 3), (), place),
    )
    return KernelSpec(1, loads, body, (Store(6, (True,), ""),))


def index_args(slot: int, type_: Type, length: int, status: int, target: int) -> list[int]:
    """The arguments of `check_index` and `positions` (see `codegen.bounds`)."""
    signed = int(type_.dtype.kind == "i")
    return [slot, type_.size, type_.dtype.itemsize, signed, length, status, target]
