"""Rules for reading few elements of a computed array, and for sums over scattered ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.graph import CONSTANT
from wengert.ops.indexing import gather, scatter_sum, slice_index
from wengert.ops.structural import reduce_sum, reshape, transpose
from wengert.ops.transcendental import exp
from wengert.optimise.record import Rule, rule
from wengert.optimise.shapes import aligned
from wengert.optimise.terms import Family

__all__ = ["GATHERS"]

#: Elements are read before they are computed where at most this share of them is read.
_SHARE = 0.5


# ---------------------------------------------------------------- reading before computing


def _inner(match: Any) -> Any:
    # The elementwise entry that is read from, if nothing else uses it and little of it is read.
    k = match.operands[0]
    op, operands, params, type_ = match.tape.entries[k]
    if not operands or op.family != "elementwise" or match.tape.uses.get(k, 1) > 1:
        return None
    if match.type.size > _SHARE * type_.size:
        return None
    return op, [match.tape.handle_of(j) for j in operands], params, type_


def _again(match: Any, op: Any, args: list[Any], params: Any) -> Any:
    return match.tape.record(op, tuple([a._index for a in args]), params)


def _slice_before(match: Any) -> Any:
    found = _inner(match)
    if found is None:
        return None
    op, args, params, type_ = found
    chosen = dict(match.params)["key"]
    read = []
    for arg in args:
        if not arg.shape:
            read.append(arg)
            continue
        own = aligned(arg.shape, type_.ndim)
        narrow = tuple(
            (0 if isinstance(k, int) else (0, 1, 1)) if n == 1 else k
            for k, n in zip(chosen, own, strict=True)
        )
        read.append(slice_index(reshape(arg, shape=own), key=narrow))
    return _again(match, op, read, params)


def _gather_before(match: Any) -> Any:
    found = _inner(match)
    if found is None:
        return None
    op, args, params, type_ = found
    indices = match.args()[1:]
    along = dict(match.params)["axes"]
    lead = max(i.ndim for i in indices)
    return _again(match, op, [_read(a, indices, along, type_.ndim, lead) for a in args], params)


def _read(arg: Any, indices: list[Any], along: Any, rank: int, lead: int) -> Any:
    # What `gather` reads of an operand that is broadcast along some of the axes.
    if not arg.shape:
        return arg
    own = aligned(arg.shape, rank)
    kept = [(a, i) for a, i in zip(along, indices, strict=True) if own[a] != 1]
    gone = [a for a in along if own[a] == 1]
    rest = tuple(n for a, n in enumerate(own) if a not in along)
    if not kept:
        return reshape(arg, shape=(*(1,) * lead, *rest))
    narrow = reshape(arg, shape=tuple(n for a, n in enumerate(own) if a not in gone))
    moved = tuple(a - sum(g < a for g in gone) for a, _ in kept)
    made = gather(narrow, *[i for _, i in kept], axes=moved)
    missing = lead - max(i.ndim for _, i in kept)
    return reshape(made, shape=(*(1,) * missing, *made.shape))


# ---------------------------------------------------------------- sums of scattered elements


def _gathered_axes(params: dict[str, Any]) -> Any:
    parts = params["parts"]
    return parts[0][1] if len(parts) == 1 and parts[0][0] == "gather" else None


def _sum_of_scatter(match: Any) -> Any:
    # Along a summed axis it does not matter where an element stands.
    op, args, params = match.made_by(match.args()[0])
    along = _gathered_axes(params) if op is scatter_sum else None
    if along is None:
        return None
    value, indices, shape = args[0], args[1:], params["shape"]
    reduced = dict(match.params)["axes"]
    summed = [a for a in reduced if a in along]
    lead = value.ndim - (len(shape) - len(along))
    kept = [(a, i) for a, i in zip(along, indices, strict=True) if a not in summed]
    if not summed or not kept or any(i.shape != value.shape[:lead] for _, i in kept):
        return None
    rest = [a for a in range(len(shape)) if a not in along]
    over = tuple(lead + rest.index(a) for a in reduced if a in rest)
    value = reduce_sum(value, axes=over) if over else value
    left = [a for a in range(len(shape)) if a not in reduced]
    return scatter_sum(
        value,
        *[i for _, i in kept],
        shape=tuple(shape[a] for a in left),
        parts=(("gather", tuple(left.index(a) for a, _ in kept)),),
    )


def _scatter_as_slice(match: Any) -> Any:
    # Evenly spaced known places, each named once: a slice.
    along = _gathered_axes(dict(match.params))
    value, *indices = match.args()
    if along is None or len(along) != 1 or indices[0].ndim != 1:
        return None
    if match.tape.entries[indices[0]._index][0] is not CONSTANT:
        return None
    (a,), shape = along, match.type.shape
    places = [int(k) for k in match.tape.constants[indices[0]._index]]
    step = places[1] - places[0] if len(places) > 1 else 1
    if not places or step < 1 or places[0] < 0 or places[-1] >= shape[a]:
        return None
    if places != list(range(places[0], places[-1] + 1, step)):
        return None
    order = (*range(1, a + 1), 0, *range(a + 1, len(shape)))
    key = [(0, n, 1) for n in shape]
    key[a] = (places[0], places[-1] + 1, step)
    if key[a] == (0, shape[a], 1):
        return transpose(value, axes=order)
    return scatter_sum(transpose(value, axes=order), shape=shape, parts=(("slice", tuple(key)),))


GATHERS: tuple[Rule, ...] = (
    rule(
        "gather-before",
        Family(gather)(),
        _gather_before,
        exact_in="floats",
        kinds="fiub",
        why="only the elements that are read need be computed",
        examples=[
            (lambda x: gather(exp(x), np.array([2, 0]), axes=(0,)), [(6, 4)]),
            (
                lambda x, y: gather(x - y, np.array([0, 1, 2]), np.array([3, 1, 0]), axes=(0, 1)),
                [(3, 8), (3, 1)],
            ),
            (lambda x, y: gather(x - y, np.array([3, 1]), axes=(1,)), [(3, 8), (3, 1)]),
            (
                lambda x, y: gather(x * y, np.array([[2, 0]]), np.array([[1], [0]]), axes=(2, 0)),
                [(6, 1, 4), (5, 4)],
            ),
        ],
    ),
    rule(
        "slice-before",
        Family(slice_index)(),
        _slice_before,
        exact_in="floats",
        kinds="fiub",
        why="only the elements that are read need be computed",
        examples=[
            (lambda x, y: slice_index(x * y, key=((0, 2, 1), 3)), [(6, 4), (4,)]),
            (lambda x, y: slice_index(x - y, key=(2, (0, 3, 2))), [(6, 4), (6, 1)]),
        ],
    ),
    rule(
        "sum-of-scatter",
        Family(reduce_sum, some=(scatter_sum,))(),
        _sum_of_scatter,
        exact_in="reals",
        edges="range",
        why="along a summed axis it does not matter where an element stands",
        examples=[
            (
                lambda x: reduce_sum(
                    scatter_sum(
                        x,
                        np.array([0, 2, 1]),
                        np.array([3, 1, 1]),
                        shape=(3, 4),
                        parts=(("gather", (0, 1)),),
                    ),
                    axes=(1,),
                ),
                [(3,)],
            ),
            (
                lambda x: reduce_sum(
                    scatter_sum(
                        x,
                        np.array([0, 2]),
                        np.array([3, 1]),
                        shape=(3, 5, 4),
                        parts=(("gather", (0, 2)),),
                    ),
                    axes=(1, 2),
                ),
                [(2, 5)],
            ),
        ],
    ),
    rule(
        "scatter-in-steps",
        Family(scatter_sum)(),
        _scatter_as_slice,
        exact_in="reals",
        edges="zeros",
        why="the indices are known and evenly spaced: a slice",
        examples=[
            (
                lambda x: scatter_sum(
                    x, np.array([0, 1, 2]), shape=(3, 2), parts=(("gather", (0,)),)
                ),
                [(3, 2)],
            ),
            (
                lambda x: scatter_sum(
                    x, np.array([1, 3]), shape=(2, 5, 3), parts=(("gather", (1,)),)
                ),
                [(2, 2, 3)],
            ),
            (
                lambda x: scatter_sum(x, np.array([1, 2]), shape=(2, 4), parts=(("gather", (1,)),)),
                [(2, 2)],
            ),
        ],
    ),
)
