"""Rules for operators that move, repeat or sum numbers.

Two directions make the rules end: reshapes, transposes and broadcasts move towards the results,
where they meet and cancel, and disappear into operators that take them in.
"""

from __future__ import annotations

import math
from typing import Any

from wengert.ops.reducing import reduce_all, reduce_any, reduce_max, reduce_min
from wengert.ops.structural import broadcast_to, reduce_sum, reshape, transpose
from wengert.optimise.facts import is_moderate
from wengert.optimise.record import Rule, rule
from wengert.optimise.terms import Family, constant, parameter, variable

__all__ = ["ELEMENTWISE", "MOVES", "REDUCTIONS", "inserts_leading", "moves_units", "unit_axes"]

Shape = tuple[int, ...]

x, a = variable("x"), constant("a")
shape, inner = parameter("shape"), parameter("inner")
axes, own_axes = parameter("axes"), parameter("own_axes")


# ---------------------------------------------------------------- facts about shapes


def squeezed(shape: Shape) -> Shape:
    """The shape without axes of length 1."""
    return tuple(n for n in shape if n != 1)


def moves_units(old: Shape, new: Shape) -> bool:
    """Whether a reshape only inserts or drops axes of length 1."""
    return squeezed(old) == squeezed(new)


def inserts_leading(old: Shape, new: Shape) -> bool:
    """Whether a reshape only puts axes of length 1 in front, as broadcasting does by itself."""
    extra = len(new) - len(old)
    return extra >= 0 and new[extra:] == old and all(n == 1 for n in new[:extra])


def aligned(shape: Shape, rank: int) -> Shape:
    """The shape with axes of length 1 in front, as broadcasting aligns it."""
    return (1,) * (rank - len(shape)) + shape


def unit_axes(old: Shape, new: Shape) -> dict[int, int]:
    """For a reshape that only moves unit axes: old axis of each new axis that is not a unit."""
    source = [a for a, n in enumerate(old) if n != 1]
    target = [a for a, n in enumerate(new) if n != 1]
    return dict(zip(target, source, strict=True))


# ---------------------------------------------------------------- reshape, transpose, broadcast


def _reshape_of_broadcast(match: Any) -> Any:
    source, wide, new = match["x"], match.param("inner"), match.param("shape")
    if math.prod(source.shape) == 1:
        return broadcast_to(reshape(source, shape=()), shape=new)
    if not moves_units(wide, new):
        return None
    own = aligned(source.shape, len(wide))
    old_axis = unit_axes(wide, new)
    narrow = tuple(own[old_axis[a]] if a in old_axis else 1 for a in range(len(new)))
    return broadcast_to(reshape(source, shape=narrow), shape=new)


def _keeps_order(match: Any) -> bool:
    own = match.type_of("x").shape
    moved = [a for a in match.param("axes") if own[a] != 1]
    return moved == sorted(moved)


def _transpose_of_broadcast(match: Any) -> Any:
    source, wide = match["x"], match.param("inner")
    order = match.param("axes")
    whole = reshape(source, shape=aligned(source.shape, len(wide)))
    return broadcast_to(transpose(whole, axes=order), shape=match.type.shape)


def _composed(match: Any) -> Any:
    first, second = match.param("own_axes"), match.param("axes")
    return transpose(match["x"], axes=tuple(first[a] for a in second))


MOVES: tuple[Rule, ...] = (
    rule(
        "reshape-to-own",
        reshape(x, shape=shape),
        x,
        exact_in="floats",
        kinds="fiub",
        when=lambda m: m.type_of("x").shape == m.param("shape"),
        why="it has this shape",
        examples=[(lambda x: reshape(x, shape=(3, 4)), [(3, 4)])],
    ),
    rule(
        "reshape-of-reshape",
        reshape(reshape(x, shape=inner), shape=shape),
        lambda m: reshape(m["x"], shape=m.param("shape")),
        exact_in="floats",
        kinds="fiub",
        why="the last shape counts",
        examples=[(lambda x: reshape(reshape(x, shape=(4, 3)), shape=(2, 6)), [(12,)])],
    ),
    rule(
        "reshape-of-number",
        reshape(x, shape=shape),
        lambda m: broadcast_to(m["x"], shape=m.param("shape")),
        exact_in="floats",
        kinds="fiub",
        when=lambda m: m.type_of("x").shape == () != m.param("shape"),
        why="numbers become arrays by broadcasting",
        examples=[(lambda x: reshape(x, shape=(1, 1)), [()])],
    ),
    rule(
        "reshape-of-broadcast",
        reshape(broadcast_to(x, shape=inner), shape=shape),
        _reshape_of_broadcast,
        exact_in="floats",
        kinds="fiub",
        why="elements are repeated as late as possible",
        examples=[
            (lambda x: reshape(broadcast_to(x, shape=(3, 4)), shape=(12,)), [()]),
            (lambda x: reshape(broadcast_to(x, shape=(3, 1, 4)), shape=(3, 4)), [(3, 1, 1)]),
            (lambda x: reshape(broadcast_to(x, shape=(3, 4)), shape=(3, 1, 4)), [(4,)]),
        ],
    ),
    rule(
        "transpose-identity",
        transpose(x, axes=axes),
        x,
        exact_in="floats",
        kinds="fiub",
        when=lambda m: m.param("axes") == tuple(range(len(m.param("axes")))),
        why="no axis moves",
        examples=[(lambda x: transpose(x, axes=(0, 1)), [(3, 4)])],
    ),
    rule(
        "transpose-of-transpose",
        transpose(transpose(x, axes=own_axes), axes=axes),
        _composed,
        exact_in="floats",
        kinds="fiub",
        why="one order of axes instead of two",
        examples=[
            (lambda x: transpose(transpose(x, axes=(2, 0, 1)), axes=(1, 0, 2)), [(2, 3, 4)]),
            (lambda x: transpose(transpose(x, axes=(1, 0)), axes=(1, 0)), [(3, 4)]),
        ],
    ),
    rule(
        "transpose-as-reshape",
        transpose(x, axes=axes),
        lambda m: reshape(m["x"], shape=m.type.shape),
        exact_in="floats",
        kinds="fiub",
        when=_keeps_order,
        why="only axes of length 1 move",
        examples=[
            (lambda x: transpose(x, axes=(1, 0)), [(1, 4)]),
            (lambda x: transpose(x, axes=(0, 2, 1)), [(3, 1, 4)]),
        ],
    ),
    rule(
        "transpose-of-broadcast",
        transpose(broadcast_to(x, shape=inner), axes=axes),
        _transpose_of_broadcast,
        exact_in="floats",
        kinds="fiub",
        why="elements are repeated as late as possible",
        examples=[(lambda x: transpose(broadcast_to(x, shape=(3, 4)), axes=(1, 0)), [(4,)])],
    ),
    rule(
        "broadcast-to-own",
        broadcast_to(x, shape=shape),
        x,
        exact_in="floats",
        kinds="fiub",
        when=lambda m: m.type_of("x").shape == m.param("shape"),
        why="it has this shape",
        examples=[(lambda x: broadcast_to(x, shape=(3, 4)), [(3, 4)])],
    ),
    rule(
        "broadcast-of-broadcast",
        broadcast_to(broadcast_to(x, shape=inner), shape=shape),
        lambda m: broadcast_to(m["x"], shape=m.param("shape")),
        exact_in="floats",
        kinds="fiub",
        why="the last shape counts",
        examples=[(lambda x: broadcast_to(broadcast_to(x, shape=(1, 4)), shape=(3, 4)), [(4,)])],
    ),
    rule(
        "broadcast-of-reshape",
        broadcast_to(reshape(x, shape=inner), shape=shape),
        lambda m: broadcast_to(m["x"], shape=m.param("shape")),
        exact_in="floats",
        kinds="fiub",
        when=lambda m: inserts_leading(m.type_of("x").shape, m.param("inner")),
        why="broadcasting puts axes in front by itself",
        examples=[(lambda x: broadcast_to(reshape(x, shape=(1, 4)), shape=(3, 4)), [(4,)])],
    ),
    rule(
        "broadcast-as-reshape",
        broadcast_to(x, shape=shape),
        lambda m: reshape(m["x"], shape=m.param("shape")),
        exact_in="floats",
        kinds="fiub",
        when=lambda m: m.type_of("x").size == m.type.size and m.type_of("x").ndim > 0,
        why="no element is repeated",
        examples=[(lambda x: broadcast_to(x, shape=(1, 4)), [(4,)])],
    ),
)

# ---------------------------------------------------------------- into elementwise operators


def _before_repeating(match: Any) -> Any:
    # Operands before they were broadcast; the operator broadcasts what still needs it.
    stripped = []
    for arg in match.args():
        op, args, _ = match.made_by(arg)
        if op is broadcast_to or (op is reshape and inserts_leading(args[0].shape, arg.shape)):
            arg = args[0]
        stripped.append(arg)
    made = match.again(stripped)
    return None if made._type.dtype != match.type.dtype else made


def _has_broadcast(match: Any) -> bool:
    entries = match.tape.entries
    for k in match.operands:
        op, operands, _, type_ = entries[k]
        if op is broadcast_to:
            return True
        if op is reshape and inserts_leading(entries[operands[0]][3].shape, type_.shape):
            return True
    return False


def _moved_operands(match: Any, mover: Any) -> Any:
    # (sources, params) if all operands with axes are made by `mover` in the same way.
    sources, how = [], None
    for arg in match.args():
        if not arg.shape:
            sources.append(arg)
            continue
        op, args, params = match.made_by(arg)
        if op is not mover:
            return None
        if how is not None and how != (args[0].shape, params):
            return None
        how = (args[0].shape, params)
        sources.append(args[0])
    return None if how is None else (sources, how[1])


def _reshape_later(match: Any) -> Any:
    found = _moved_operands(match, reshape)
    return None if found is None else reshape(match.again(found[0]), shape=match.type.shape)


def _transpose_later(match: Any) -> Any:
    found = _moved_operands(match, transpose)
    return None if found is None else transpose(match.again(found[0]), axes=found[1]["axes"])


ELEMENTWISE: tuple[Rule, ...] = (
    rule(
        "broadcast-later",
        Family("elementwise", some=(broadcast_to, reshape))(),
        _before_repeating,
        exact_in="floats",
        kinds="fiub",
        when=_has_broadcast,
        why="the operator repeats elements itself, and computes before they are repeated",
        examples=[
            (lambda x, y: x * broadcast_to(y, shape=(3, 4)), [(3, 4), (4,)]),
            (lambda x, y: x - broadcast_to(y, shape=(3, 4)), [(3, 1), (1, 1)]),
            (lambda x, y: x / reshape(y, shape=(1, 4)), [(3, 4), (4,)], (0.5, 2.0)),
            (lambda x: -broadcast_to(x, shape=(3, 4)), [(4,)]),
        ],
    ),
    rule(
        "reshape-later",
        Family("elementwise", some=(reshape,))(),
        _reshape_later,
        exact_in="floats",
        kinds="fiub",
        why="reshapes move towards the result, and cancel there",
        examples=[
            (lambda x, y: reshape(x, shape=(4, 1)) * reshape(y, shape=(4, 1)), [(4,), (4,)]),
            (lambda x, y: reshape(x, shape=(4, 3)) + y, [(12,), ()]),
        ],
    ),
    rule(
        "transpose-later",
        Family("elementwise", some=(transpose,))(),
        _transpose_later,
        exact_in="floats",
        kinds="fiub",
        why="transposes move towards the result, and cancel or are absorbed there",
        examples=[
            (lambda x, y: transpose(x, axes=(1, 0)) * transpose(y, axes=(1, 0)), [(3, 4), (3, 4)]),
            (lambda x: -transpose(x, axes=(1, 0)), [(3, 4)]),
        ],
    ),
)

# ---------------------------------------------------------------- reductions


def _merged(outer: Shape, inner: Shape, rank: int) -> Shape:
    left = [a for a in range(rank) if a not in inner]
    return tuple(sorted((*inner, *(left[a] for a in outer))))


def _nested(match: Any) -> Any:
    rank = match["x"].ndim
    return match.op(match["x"], axes=_merged(match.param("axes"), match.param("own_axes"), rank))


def _without_units(match: Any) -> Any:
    source = match["x"]
    kept = tuple(a for a in match.param("axes") if source.shape[a] != 1)
    reduced = match.op(source, axes=kept) if kept else source
    return reshape(reduced, shape=match.type.shape)


def _reduces_unit(match: Any) -> bool:
    own = match.type_of("x")
    same = own.dtype == match.type.dtype
    return same and any(own.shape[a] == 1 for a in match.param("axes"))


def _of_reshape(match: Any) -> Any:
    source, middle = match["x"], match.param("inner")
    reduced = match.param("axes")
    if moves_units(source.shape, middle):
        old_axis = unit_axes(source.shape, middle)
        own = tuple(sorted(old_axis[a] for a in reduced if a in old_axis))
    elif len(reduced) == len(middle):
        own = tuple(range(source.ndim))
    else:
        return None
    if not own:
        return None
    return reshape(match.op(source, axes=own), shape=match.type.shape)


def _of_transpose(match: Any) -> Any:
    source, order = match["x"], match.param("own_axes")
    reduced = match.param("axes")
    gone = tuple(sorted(order[a] for a in reduced))
    kept = [order[a] for a in range(len(order)) if a not in reduced]
    made = match.op(source, axes=gone)
    if kept == sorted(kept):
        return made
    position = {a: i for i, a in enumerate(sorted(kept))}
    return transpose(made, axes=tuple(position[a] for a in kept))


def _of_broadcast(match: Any) -> Any:
    source, wide = match["x"], match.param("inner")
    reduced = match.param("axes")
    own = aligned(source.shape, len(wide))
    repeated = [a for a in reduced if own[a] == 1 != wide[a]]
    if not repeated or any(wide[a] == 0 for a in reduced):
        return None
    count = math.prod(wide[a] for a in repeated)
    whole = reshape(source, shape=own)
    rest = tuple(a for a in reduced if own[a] != 1)
    made = match.op(whole, axes=rest) if rest else whole
    narrow = tuple(own[a] for a in range(len(wide)) if a not in reduced)
    made = reshape(made, shape=narrow)
    if match.op is reduce_sum:
        made = made * made.dtype.type(count)
    return broadcast_to(made, shape=match.type.shape)


def _reduction(op: Any, exact_in: str, kinds: str) -> tuple[Rule, ...]:
    edges = "range" if exact_in == "reals" else "kept"
    name = op.name.replace("reduce_", "")
    given = "bb" if op in (reduce_all, reduce_any) else "ff"

    def example(function: Any, *shapes: Shape) -> Any:
        return (function, list(shapes), (-2.0, 2.0), given[: len(shapes)])

    return (
        rule(
            f"{name}-of-{name}",
            op(op(x, axes=own_axes), axes=axes),
            _nested,
            exact_in=exact_in,
            kinds=kinds,
            edges=edges,
            why="one reduction instead of two",
            examples=[example(lambda x: op(op(x, axes=(1,)), axes=(1,)), (2, 3, 4))],
        ),
        rule(
            f"{name}-over-unit-axes",
            op(x, axes=axes),
            _without_units,
            exact_in=exact_in,
            kinds=kinds,
            edges=edges,
            when=_reduces_unit,
            why="one element needs no reduction",
            examples=[
                example(lambda x: op(x, axes=(1,)), (3, 1)),
                example(lambda x: op(x, axes=(0, 1)), (1, 4)),
            ],
        ),
        rule(
            f"{name}-over-nothing",
            op(x, axes=()),
            x,
            exact_in=exact_in,
            kinds=kinds,
            edges=edges,
            why="no axis is reduced",
            examples=[example(lambda x: op(x, axes=()), (3, 4))],
        ),
        rule(
            f"{name}-of-reshape",
            op(reshape(x, shape=inner), axes=axes),
            _of_reshape,
            exact_in=exact_in,
            kinds=kinds,
            edges=edges,
            why="the reduction can read the array as it is",
            examples=[
                example(lambda x: op(reshape(x, shape=(3, 1, 4)), axes=(2,)), (3, 4)),
                example(lambda x: op(reshape(x, shape=(6, 2)), axes=(0, 1)), (3, 4)),
            ],
        ),
        rule(
            f"{name}-of-transpose",
            op(transpose(x, axes=own_axes), axes=axes),
            _of_transpose,
            exact_in=exact_in,
            kinds=kinds,
            edges=edges,
            why="the reduction can read the array as it is",
            examples=[
                example(lambda x: op(transpose(x, axes=(2, 0, 1)), axes=(0,)), (2, 3, 4)),
                example(lambda x: op(transpose(x, axes=(2, 1, 0)), axes=(0,)), (2, 3, 4)),
            ],
        ),
        rule(
            f"{name}-of-broadcast",
            op(broadcast_to(x, shape=inner), axes=axes),
            _of_broadcast,
            exact_in=exact_in,
            kinds=kinds,
            edges=edges,
            why="repeated elements need not be read again",
            examples=[
                example(lambda x: op(broadcast_to(x, shape=(3, 4)), axes=(0,)), (4,)),
                example(lambda x: op(broadcast_to(x, shape=(2, 3, 4)), axes=(0, 2)), (3, 1)),
            ],
        ),
    )


REDUCTIONS: tuple[Rule, ...] = (
    *_reduction(reduce_sum, "reals", "f"),
    *_reduction(reduce_max, "floats", "fiu"),
    *_reduction(reduce_min, "floats", "fiu"),
    *_reduction(reduce_all, "floats", "b"),
    *_reduction(reduce_any, "floats", "b"),
    rule(
        "sum-of-neg",
        reduce_sum(-x, axes=axes),
        lambda m: -reduce_sum(m["x"], axes=m.param("axes")),
        exact_in="reals",
        edges="zeros",
        once=True,
        why="one sign instead of many",
        examples=[(lambda x: reduce_sum(-x, axes=(0,)), [(3, 4)])],
    ),
    rule(
        "sum-of-multiple",
        reduce_sum(x * a, axes=axes),
        lambda m: reduce_sum(m["x"], axes=m.param("axes")) * m["a"],
        exact_in="reals",
        edges="range",
        once=True,
        when=lambda m: is_moderate(m.number("a")),
        why="one product instead of many",
        examples=[
            (lambda x: reduce_sum(x * 2.5, axes=(0,)), [(3, 4)]),
            (lambda x: reduce_sum(0.1 * x, axes=(0, 1)), [(3, 4)]),
        ],
    ),
)
