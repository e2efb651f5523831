"""How the Jacobian of one array operator is filled, found from its rule.

An elementwise operator has a diagonal one. For the others the rule itself is asked: which results
depend on which elements of the operand. Where an operator is linear with coefficients 0 and 1, its
values and transposes for arrays of ones count the entries of each row and column; otherwise, if the
Jacobian is small, dependence is followed element by element.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from wengert.capture import Recorder
from wengert.graph import Type
from wengert.graph.tuples import NamedTuple
from wengert.run import run
from wengert.transform.sweeps import pushforward_sweep, reverse_sweep

__all__ = ["Structure", "structure_of", "type_size"]


class Structure(NamedTuple):
    """`kind`, and `nnz`: how many entries are not zero by structure."""

    kind: str
    nnz: int


SCALAR = Structure("scalar", 1)


def type_size(type_: Any) -> int:
    """How many numbers a value of this type has."""
    return sum(t.size for t in type_) if isinstance(type_, tuple) else type_.size


def structure_of(
    op: Any,
    k: int,
    y_type: Any,
    types: tuple[Any, ...],
    params: tuple[tuple[str, Any], ...],
    values: tuple[Any, ...],
) -> Structure:
    """The structure of the Jacobian of `op` by operand k; integer operands have `values`."""
    if op.family == "elementwise":
        if y_type.size == 1 and types[k].size == 1:
            return SCALAR
        return Structure("diagonal" if types[k].size == y_type.size else "broadcast", y_type.size)
    if isinstance(y_type, tuple) or isinstance(types[k], tuple):
        return Structure("dense block", type_size(y_type) * type_size(types[k]))
    indices = tuple(
        None if t.is_float else np.asarray(v).tobytes() for t, v in zip(types, values, strict=True)
    )
    return _counted(op, k, y_type, types, params, indices)


@functools.lru_cache(maxsize=2048)
def _counted(
    op: Any,
    k: int,
    y_type: Type,
    types: tuple[Type, ...],
    params: tuple[Any, ...],
    indices: tuple[bytes | None, ...],
) -> Structure:
    dense = Structure("dense block", y_type.size * types[k].size)
    if dense.nnz == 1:
        return SCALAR
    if op.family != "linear" or not any(k in g for g in op.groups(len(types), dict(params))):
        return dense
    try:
        rows, columns = _row_and_column_counts(op, k, y_type, types, params, indices)
    except (ArithmeticError, ValueError, TypeError, np.linalg.LinAlgError):
        return dense
    found = _classify(rows, columns, dense)
    if _has_coefficients(op, k, types, params):
        # The entries are numbers of other operands, not ones.
        kind = "diagonal" if found.kind == "permutation" else "dense block"
        return Structure(kind, found.nnz)
    return found


def _has_coefficients(op: Any, k: int, types: tuple[Type, ...], params: tuple[Any, ...]) -> bool:
    group = next(g for g in op.groups(len(types), dict(params)) if k in g)
    return any(t.is_float for j, t in enumerate(types) if j not in group)


def _row_and_column_counts(
    op: Any,
    k: int,
    y_type: Type,
    types: tuple[Type, ...],
    params: tuple[Any, ...],
    indices: tuple[bytes | None, ...],
) -> tuple[Any, Any]:
    tape = Recorder()
    xs = [tape.input(t) for t in types]
    y = tape.record(op, tuple(x._index for x in xs), params)
    tangent, seed = tape.input(types[k]), tape.input(y_type)
    entries = list(tape.entries)
    tangents = {xs[k]._index: tangent}
    handle = [tape.handle(tape, i, e[3]) for i, e in enumerate(entries)]
    active = [i in (xs[k]._index, y._index) for i in range(len(entries))]
    pushforward_sweep(entries, handle.__getitem__, tangents)
    found = reverse_sweep(entries, handle, active, {y._index: [seed]}, [xs[k]._index])
    outputs = [tangents[y._index]._index, found[xs[k]._index]._index]
    graph = tape.graph(outputs)
    args = [
        np.ones(t.shape, t.dtype)[()]
        if raw is None
        else np.frombuffer(raw, t.dtype).reshape(t.shape)[()]
        for t, raw in zip(types, indices, strict=True)
    ]
    ones = [np.ones(t.shape, t.dtype)[()] for t in (types[k], y_type)]
    rows, columns = run(graph, [*args, *ones])
    return np.asarray(rows), np.asarray(columns)


def _classify(rows: Any, columns: Any, dense: Structure) -> Structure:
    nnz = round(float(rows.sum(dtype=np.float64)))
    if nnz > dense.nnz or nnz < 0 or nnz != round(float(columns.sum(dtype=np.float64))):
        return dense
    if nnz == dense.nnz and rows.size > 1 and columns.size > 1:
        return dense
    if np.all(rows == 1):
        if np.all(columns == 1):
            return Structure("permutation", nnz)
        if np.all(columns >= 1):
            return Structure("broadcast", nnz)
    elif np.all(rows >= 1) and np.all(columns == 1):
        return Structure("sum", nnz)
    return Structure("sparse", nnz)
