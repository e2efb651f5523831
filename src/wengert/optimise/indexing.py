"""Rules for slices, joins, padding, gathers and scatters."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from wengert.graph import CONSTANT
from wengert.ops.indexing import assign, gather, scatter_sum, slice_index
from wengert.ops.structural import broadcast_to, concatenate, pad, reshape, transpose
from wengert.optimise.keys import compose, is_whole, whole
from wengert.optimise.record import Rule, rule
from wengert.optimise.shapes import aligned, moves_units, unit_axes
from wengert.optimise.terms import Family, parameter, variable

__all__ = ["INDEXING"]


x, y = variable("x"), variable("y")
shape, inner = parameter("shape"), parameter("inner")
key, own_key = parameter("key"), parameter("own_key")
widths, own_widths = parameter("widths"), parameter("own_widths")
axis, part = parameter("axis"), parameter("part")


def _only_units(match: Any) -> bool:
    own = match.type_of("x").shape
    return all(
        n == 1 if isinstance(k, int) else is_whole(k, n)
        for k, n in zip(match.param("key"), own, strict=True)
    )


# ---------------------------------------------------------------- slices


def _slice_of_broadcast(match: Any) -> Any:
    source, wide = match["x"], match.param("inner")
    own = aligned(source.shape, len(wide))
    chosen: list[Any] = []
    for k, n in zip(match.param("key"), own, strict=True):
        one = 0 if isinstance(k, int) else (0, 1, 1)
        chosen.append(one if n == 1 else k)
    whole = reshape(source, shape=own)
    return broadcast_to(slice_index(whole, key=tuple(chosen)), shape=match.type.shape)


def _slice_of_reshape(match: Any) -> Any:
    source, middle = match["x"], match.param("inner")
    if not moves_units(source.shape, middle):
        return None
    old_axis = unit_axes(source.shape, middle)
    chosen: list[Any] = [whole(n) for n in source.shape]
    for a, (k, n) in enumerate(zip(match.param("key"), middle, strict=True)):
        if a in old_axis:
            chosen[old_axis[a]] = k
        elif not isinstance(k, int) and not is_whole(k, n):
            return None
    return reshape(slice_index(source, key=tuple(chosen)), shape=match.type.shape)


def _slice_of_joined(match: Any) -> Any:
    # A slice that lies within one of the joined arrays.
    joined = match.args()[0]
    op, pieces, params = match.made_by(joined)
    if op is not concatenate:
        return None
    along, chosen = params["axis"], dict(match.params)["key"]
    k, start = chosen[along], 0
    taken = range(k, k + 1) if isinstance(k, int) else range(*k)
    for piece in pieces:
        length = piece.shape[along]
        inside = range(start, start + length)
        if len(taken) and taken[0] in inside and taken[-1] in inside:
            moved: Any = k - start if isinstance(k, int) else _shifted(taken, -start)
            return slice_index(piece, key=(*chosen[:along], moved, *chosen[along + 1 :]))
        start += length
    return None


def _shifted(r: range, by: int) -> tuple[int, int, int]:
    return (r.start + by, r.stop + by if r.stop + by >= 0 else -1, r.step)


def _slice_of_pad(match: Any) -> Any:
    source = match["x"]
    chosen: list[Any] = []
    for k, (before, _), n in zip(
        match.param("key"), match.param("widths"), source.shape, strict=True
    ):
        taken = range(k, k + 1) if isinstance(k, int) else range(*k)
        if len(taken) and not before <= min(taken) <= max(taken) < before + n:
            return None
        if isinstance(k, int):
            chosen.append(k - before)
        else:
            chosen.append(_shifted(taken, -before) if len(taken) else (0, 0, 1))
    return slice_index(source, key=tuple(chosen))


# ---------------------------------------------------------------- joins and padding


def _flattened(match: Any) -> Any:
    along = dict(match.params)["axis"]
    pieces: list[Any] = []
    changed = False
    for arg in match.args():
        op, own, params = match.made_by(arg)
        if op is concatenate and params["axis"] == along:
            pieces += own
            changed = True
        else:
            pieces.append(arg)
    return concatenate(*pieces, axis=along) if changed else None


def _rejoined(match: Any) -> Any:
    # Neighbouring slices of one array, joined again.
    along = dict(match.params)["axis"]
    pieces: list[Any] = []
    for arg in match.args():
        if pieces:
            whole = _union(match, pieces[-1], arg, along)
            if whole is not None:
                pieces[-1] = whole
                continue
        pieces.append(arg)
    if len(pieces) == len(match.operands):
        return None
    return pieces[0] if len(pieces) == 1 else concatenate(*pieces, axis=along)


def _union(match: Any, first: Any, second: Any, along: int) -> Any:
    (op1, of1, params1), (op2, of2, params2) = match.made_by(first), match.made_by(second)
    if op1 is not slice_index or op2 is not slice_index or of1[0]._index != of2[0]._index:
        return None
    one, two = params1["key"], params2["key"]
    if any(isinstance(k, int) for k in (*one, *two)):
        return None
    if one[:along] + one[along + 1 :] != two[:along] + two[along + 1 :]:
        return None
    (start, middle, step), (start2, stop, step2) = one[along], two[along]
    if step != 1 or step2 != 1 or middle != start2:
        return None
    return slice_index(of1[0], key=(*one[:along], (start, stop, 1), *one[along + 1 :]))


# ---------------------------------------------------------------- scatters, gathers, assignments


def _slice_parts(match: Any) -> Any:
    # The keys of a scatter_sum that consists of slices with step 1; None if it has others.
    keys = []
    for part in dict(match.params)["parts"]:
        if part[0] != "slice" or any(k[2] != 1 for k in part[1] if not isinstance(k, int)):
            return None
        keys.append(tuple((k, k + 1, 1) if isinstance(k, int) else k for k in part[1]))
    return keys


def _as_pad(match: Any) -> Any:
    keys = _slice_parts(match)
    if keys is None or len(keys) != 1:
        return None
    whole = match.type.shape
    block = reshape(match.args()[0], shape=tuple(stop - start for start, stop, _ in keys[0]))
    around = tuple((start, n - stop) for (start, stop, _), n in zip(keys[0], whole, strict=True))
    return pad(block, widths=around)


def _as_join(match: Any) -> Any:
    # Slices that lie side by side along one axis and fill the array.
    keys = _slice_parts(match)
    if keys is None or len(keys) < 2:
        return None
    whole = match.type.shape
    along = [a for a, n in enumerate(whole) if any(not is_whole(k[a], n) for k in keys)]
    if len(along) != 1:
        return None
    (a,) = along
    order = sorted(range(len(keys)), key=lambda i: keys[i][a][0])
    ends = [0, *(keys[i][a][1] for i in order)]
    if [keys[i][a][0] for i in order] != ends[:-1] or ends[-1] != whole[a]:
        return None
    args = match.args()
    blocks = [
        reshape(args[i], shape=tuple(stop - start for start, stop, _ in keys[i])) for i in order
    ]
    return concatenate(*blocks, axis=a)


def _gather_as_slice(match: Any) -> Any:
    entries = match.tape.entries
    if len(match.operands) != 2 or entries[match.operands[1]][0] is not CONSTANT:
        return None
    source = match.args()[0]
    index = np.asarray(match.tape.constants[match.operands[1]])
    (a,) = dict(match.params)["axes"]
    n = source.shape[a]
    if index.ndim > 1 or not index.size or index.min() < -n or index.max() >= n:
        return None
    places = [int(i) % n for i in index.reshape(-1)]
    step = places[1] - places[0] if len(places) > 1 else 1
    if step == 0 or any(q - p != step for p, q in pairwise(places)):
        return None
    chosen: list[Any] = [whole(m) for m in source.shape]
    if index.ndim == 0:
        chosen[a] = places[0]
        return slice_index(source, key=tuple(chosen))
    chosen[a] = (places[0], max(places[-1] + step, -1) if step < 0 else places[-1] + 1, step)
    taken = slice_index(source, key=tuple(chosen))
    order = (a, *(b for b in range(source.ndim) if b != a))
    return transpose(taken, axes=order)


def _covers(match: Any) -> bool:
    kind, chosen, *_ = match.param("part")
    shapes = match.type.shape
    return kind == "slice" and all(is_whole(k, n) for k, n in zip(chosen, shapes, strict=True))


def _reads_what_was_written(match: Any) -> bool:
    written = match.param("part")
    return bool(written[0] == "slice" and written[1] == match.param("key"))


def _overwrites(match: Any) -> bool:
    return bool(match.param("part")[0] == "slice")


INDEXING: tuple[Rule, ...] = (
    rule(
        "slice-of-units",
        slice_index(x, key=key),
        lambda m: reshape(m["x"], shape=m.type.shape),
        exact_in="floats",
        kinds="fiub",
        when=_only_units,
        why="all elements are taken in order",
        examples=[
            (lambda x: slice_index(x, key=((0, 3, 1), (0, 4, 1))), [(3, 4)]),
            (lambda x: slice_index(x, key=(0, (0, 4, 1))), [(1, 4)]),
        ],
    ),
    rule(
        "slice-of-slice",
        slice_index(slice_index(x, key=own_key), key=key),
        lambda m: slice_index(m["x"], key=compose(m.param("own_key"), m.param("key"))),
        exact_in="floats",
        kinds="fiub",
        why="one slice instead of two",
        examples=[
            (lambda x: slice_index(slice_index(x, key=((1, 8, 2), 2)), key=((0, 3, 2),)), [(9, 4)]),
            (lambda x: slice_index(slice_index(x, key=((8, -1, -1),)), key=(2,)), [(9,)]),
            (lambda x: slice_index(slice_index(x, key=((1, 8, 1),)), key=((6, -1, -3),)), [(9,)]),
        ],
    ),
    rule(
        "slice-of-broadcast",
        slice_index(broadcast_to(x, shape=inner), key=key),
        _slice_of_broadcast,
        exact_in="floats",
        kinds="fiub",
        why="elements are repeated as late as possible",
        examples=[
            (
                lambda x: slice_index(broadcast_to(x, shape=(3, 4)), key=((0, 2, 1), (0, 4, 2))),
                [(4,)],
            ),
            (lambda x: slice_index(broadcast_to(x, shape=(3, 4)), key=(1, (0, 2, 1))), [(3, 1)]),
        ],
    ),
    rule(
        "slice-of-reshape",
        slice_index(reshape(x, shape=inner), key=key),
        _slice_of_reshape,
        exact_in="floats",
        kinds="fiub",
        why="reshapes move towards the result",
        examples=[
            (lambda x: slice_index(reshape(x, shape=(3, 1, 4)), key=((0, 2, 1), 0, 3)), [(3, 4)])
        ],
    ),
    rule(
        "slice-of-concatenate",
        Family(slice_index, some=(concatenate,))(),
        _slice_of_joined,
        exact_in="floats",
        kinds="fiub",
        why="it lies within one of the joined arrays",
        examples=[
            (
                lambda x, y: slice_index(concatenate(x, y, axis=0), key=((3, 5, 1), 1)),
                [(3, 2), (4, 2)],
            ),
            (lambda x, y: slice_index(concatenate(x, y, axis=0), key=((2, -1, -1),)), [(3,), (4,)]),
            (lambda x, y: slice_index(concatenate(x, y, axis=0), key=(4,)), [(3,), (4,)]),
        ],
    ),
    rule(
        "slice-of-pad",
        slice_index(pad(x, widths=widths), key=key),
        _slice_of_pad,
        exact_in="floats",
        kinds="fiub",
        why="it reads none of the zeros",
        examples=[
            (
                lambda x: slice_index(pad(x, widths=((1, 2), (0, 3))), key=((1, 4, 1), (1, 3, 1))),
                [(3, 4)],
            ),
            (lambda x: slice_index(pad(x, widths=((2, 2),)), key=((4, 1, -1),)), [(3,)]),
        ],
    ),
    rule(
        "concatenate-one",
        concatenate(x, axis=axis),
        x,
        exact_in="floats",
        kinds="fiub",
        why="nothing is joined",
        examples=[(lambda x: concatenate(x, axis=0), [(3, 4)])],
    ),
    rule(
        "concatenate-of-concatenate",
        Family(concatenate, some=(concatenate,))(),
        _flattened,
        exact_in="floats",
        kinds="fiub",
        why="one copy instead of two",
        examples=[(lambda x, y: concatenate(x, concatenate(y, x, axis=0), axis=0), [(3,), (4,)])],
    ),
    rule(
        "concatenate-of-slices",
        Family(concatenate, some=(slice_index,))(),
        _rejoined,
        exact_in="floats",
        kinds="fiub",
        why="they lie side by side in one array",
        examples=[
            (
                lambda x: concatenate(
                    slice_index(x, key=((0, 2, 1),)), slice_index(x, key=((2, 5, 1),)), axis=0
                ),
                [(6,)],
            )
        ],
    ),
    rule(
        "pad-nothing",
        pad(x, widths=widths),
        x,
        exact_in="floats",
        kinds="fiub",
        when=lambda m: m.type_of("x") is m.type,
        why="no zeros are added",
        examples=[(lambda x: pad(x, widths=((0, 0), (0, 0))), [(3, 4)])],
    ),
    rule(
        "pad-of-pad",
        pad(pad(x, widths=own_widths), widths=widths),
        lambda m: pad(
            m["x"],
            widths=tuple(
                (a + c, b + d)
                for (a, b), (c, d) in zip(m.param("own_widths"), m.param("widths"), strict=True)
            ),
        ),
        exact_in="floats",
        kinds="fiub",
        why="one copy instead of two",
        examples=[(lambda x: pad(pad(x, widths=((1, 0),)), widths=((2, 3),)), [(3,)])],
    ),
    rule(
        "pad-of-zeros",
        pad(broadcast_to(x, shape=inner), widths=widths),
        lambda m: broadcast_to(m["x"], shape=m.type.shape),
        exact_in="floats",
        kinds="fiub",
        when=lambda m: m.env["x"] in m.tape.constants and _is_zero(m.number("x")),
        why="zeros among zeros",
        examples=[
            (lambda x: pad(x._tape.constant(np.zeros(90, x.dtype)), widths=((1, 1),)) + x, [()])
        ],
    ),
    rule(
        "scatter-of-slice",
        Family(scatter_sum)(),
        _as_pad,
        exact_in="reals",
        edges="zeros",
        why="one part: a copy with zeros around it",
        examples=[
            (lambda x: scatter_sum(x, shape=(5, 4), parts=(("slice", ((1, 4, 1), 2)),)), [(3,)]),
            (lambda x: scatter_sum(x, shape=(3,), parts=(("slice", ((0, 3, 1),)),)), [(3,)]),
        ],
    ),
    rule(
        "scatter-of-neighbours",
        Family(scatter_sum)(),
        _as_join,
        exact_in="reals",
        edges="zeros",
        why="the parts lie side by side and fill the array",
        examples=[
            (
                lambda x, y: scatter_sum(
                    y,
                    x,
                    shape=(5, 2),
                    parts=(("slice", ((3, 5, 1), (0, 2, 1))), ("slice", ((0, 3, 1), (0, 2, 1)))),
                ),
                [(3, 2), (2, 2)],
            ),
            (
                lambda x, y: scatter_sum(
                    x, y, shape=(2, 3), parts=(("slice", (0, (0, 3, 1))), ("slice", (1, (0, 3, 1))))
                ),
                [(3,), (3,)],
            ),
        ],
    ),
    rule(
        "gather-in-steps",
        Family(gather)(),
        _gather_as_slice,
        exact_in="floats",
        kinds="fiub",
        why="the indices are known and evenly spaced: a slice",
        examples=[
            (lambda x: gather(x, np.array([1, 3, 5]), axes=(0,)), [(7, 2)]),
            (lambda x: gather(x, np.array([2, 1, 0]), axes=(1,)), [(2, 3)]),
            (lambda x: gather(x, np.array(-1), axes=(1,)), [(2, 3)]),
        ],
    ),
    rule(
        "assign-all",
        assign(x, y, part=part),
        y,
        exact_in="floats",
        kinds="fiub",
        when=_covers,
        why="every element is replaced",
        examples=[(lambda x, y: assign(x, y, part=("slice", ((0, 3, 1),))), [(3,), (3,)])],
    ),
    rule(
        "read-of-assign",
        slice_index(assign(x, y, part=part), key=key),
        y,
        exact_in="floats",
        kinds="fiub",
        when=_reads_what_was_written,
        why="this part was just written",
        examples=[
            (
                lambda x, y: slice_index(
                    assign(x, y, part=("slice", ((1, 3, 1),))), key=((1, 3, 1),)
                ),
                [(4,), (2,)],
            )
        ],
    ),
    rule(
        "assign-twice",
        assign(assign(x, variable("z"), part=part), y, part=part),
        lambda m: assign(m["x"], m["y"], part=m.param("part")),
        exact_in="floats",
        kinds="fiub",
        when=_overwrites,
        why="the first value is overwritten",
        examples=[
            (
                lambda x, y, z: assign(
                    assign(x, z, part=("slice", ((1, 3, 1),))), y, part=("slice", ((1, 3, 1),))
                ),
                [(4,), (2,), (2,)],
            )
        ],
    ),
)


def _is_zero(value: Any) -> bool:
    return bool(value == 0) and not np.signbit(value)
