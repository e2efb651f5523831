"""Rules for contractions: what surrounds one is absorbed into its spec, or moved where it is cheap.

A spec names axes by letters: a letter in both operands and the result is a batch letter, in both
operands only a summed one, in one operand and the result a free one.
"""

from __future__ import annotations

from typing import Any

from wengert.ops.arithmetic import negative
from wengert.ops.contracting import contract
from wengert.ops.structural import broadcast_to, reduce_sum, reshape, transpose
from wengert.optimise.facts import is_moderate
from wengert.optimise.record import Rule, rule
from wengert.optimise.shapes import aligned, moves_units, squeezed, unit_axes
from wengert.optimise.terms import Family, constant, parameter, variable

__all__ = ["CONTRACTIONS", "letter_sizes", "parse"]

Shape = tuple[int, ...]

x, y, a = variable("x"), variable("y"), constant("a")
axes, spec = parameter("axes"), parameter("spec")

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def parse(spec: str) -> tuple[str, str, str]:
    """The letters of both operands and of the result."""
    operands, out = spec.split("->")
    left, right = operands.split(",")
    return left, right, out


def letter_sizes(spec: str, left: Shape, right: Shape) -> dict[str, int]:
    """Length of the axis that each letter stands for."""
    one, two, _ = parse(spec)
    return {**dict(zip(one, left, strict=True)), **dict(zip(two, right, strict=True))}


def _spec_of(match: Any) -> tuple[str, str, str]:
    return parse(dict(match.params)["spec"])


def _contracted(position: int, own: Any, other: Any, letters: tuple[str, str, str]) -> Any:
    # `own` is operand `position`; letters are those of own, other and the result.
    mine, theirs, out = letters
    if position == 0:
        return contract(own, other, spec=f"{mine},{theirs}->{out}")
    return contract(other, own, spec=f"{theirs},{mine}->{out}")


def _sides(match: Any, made_by: Any) -> Any:
    # (position, operand, letters, its source, its parameters) for operands made by an operator.
    one, two, out = _spec_of(match)
    first, second = match.args()
    for position, own, other, letters in (
        (0, first, second, (one, two, out)),
        (1, second, first, (two, one, out)),
    ):
        op, args, params = match.made_by(own)
        if op is made_by:
            yield position, own, other, letters, args, params


# ---------------------------------------------------------------- operands


def _of_transpose(match: Any) -> Any:
    for position, _, other, (mine, theirs, out), (source,), params in _sides(match, transpose):
        before = [""] * len(mine)
        for letter, axis in zip(mine, params["axes"], strict=True):
            before[axis] = letter
        return _contracted(position, source, other, ("".join(before), theirs, out))
    return None


def _of_reshape(match: Any) -> Any:
    for position, own, other, (mine, theirs, out), (source,), _ in _sides(match, reshape):
        if not moves_units(source.shape, own.shape) or source.shape != squeezed(source.shape):
            continue
        kept = unit_axes(source.shape, own.shape)
        dropped = {c for i, c in enumerate(mine) if i not in kept}
        summed = {c for c in dropped if c not in out}
        left = "".join(c for i, c in enumerate(mine) if i in kept)
        other = reshape(
            other,
            shape=tuple(n for c, n in zip(theirs, other.shape, strict=True) if c not in summed),
        )
        theirs = "".join(c for c in theirs if c not in summed)
        out = "".join(c for c in out if c not in dropped or c in theirs)
        made = _contracted(position, source, other, (left, theirs, out))
        return reshape(made, shape=match.type.shape)
    return None


def _of_broadcast(match: Any) -> Any:
    for position, own, other, (mine, theirs, out), (source,), _ in _sides(match, broadcast_to):
        narrow = aligned(source.shape, own.ndim)
        repeated = {c for c, n, m in zip(mine, narrow, own.shape, strict=True) if n != m}
        if not repeated or 0 in own.shape:
            continue
        left = "".join(c for c in mine if c not in repeated)
        source = reshape(
            source, shape=tuple(n for c, n in zip(mine, narrow, strict=True) if c not in repeated)
        )
        gone = tuple(i for i, c in enumerate(theirs) if c in repeated and c not in out)
        if gone:
            other = reduce_sum(other, axes=gone)
            theirs = "".join(c for i, c in enumerate(theirs) if i not in gone)
        wide = tuple(
            1 if c in repeated and c not in theirs else n
            for c, n in zip(out, match.type.shape, strict=True)
        )
        out = "".join(c for c in out if c not in repeated or c in theirs)
        made = _contracted(position, source, other, (left, theirs, out))
        return broadcast_to(reshape(made, shape=wide), shape=match.type.shape)
    return None


def _of_negative(match: Any) -> Any:
    for position, own, other, letters, (source,), _ in _sides(match, negative):
        if match.type.size <= own.size and match.tape.uses.get(own._index, 1) <= 1:
            return -_contracted(position, source, other, letters)
    return None


def _scaled(match: Any) -> Any:
    made = contract(match["x"], match["y"], spec=match.param("spec"))
    return made * match["a"]


def _scaled_right(match: Any) -> Any:
    made = contract(match["y"], match["x"], spec=match.param("spec"))
    return made * match["a"]


def _scaling_is_cheap(match: Any) -> bool:
    return match.type.size <= match.type_of("x").size and is_moderate(match.number("a"))


# ---------------------------------------------------------------- results


def _transposed(match: Any) -> Any:
    left, right, out = parse(match.param("spec"))
    moved = "".join(out[i] for i in match.param("axes"))
    return contract(match["x"], match["y"], spec=f"{left},{right}->{moved}")


def _summed(match: Any) -> Any:
    left, right, out = parse(match.param("spec"))
    gone = {out[i] for i in match.param("axes")}
    one, left = _sum_away(match["x"], left, gone - set(right))
    two, right = _sum_away(match["y"], right, gone - set(left))
    kept = "".join(c for c in out if c not in gone)
    return contract(one, two, spec=f"{left},{right}->{kept}")


def _sum_away(array: Any, letters: str, gone: set[str]) -> tuple[Any, str]:
    positions = tuple(i for i, c in enumerate(letters) if c in gone)
    if not positions:
        return array, letters
    return (
        reduce_sum(array, axes=positions),
        "".join(c for i, c in enumerate(letters) if i not in positions),
    )


# ---------------------------------------------------------------- products with and without sums


def _sums_nothing(match: Any) -> bool:
    left, right, out = parse(match.param("spec"))
    return set(left) | set(right) == set(out)


def _as_product(match: Any) -> Any:
    left, right, out = parse(match.param("spec"))
    sizes = letter_sizes(match.param("spec"), match["x"].shape, match["y"].shape)

    def spread(array: Any, letters: str) -> Any:
        order = [c for c in out if c in letters]
        moved = transpose(array, axes=tuple(letters.index(c) for c in order))
        if not order:
            return array
        lead = out.index(order[0])
        shape = tuple(sizes[c] if c in letters else 1 for c in out)[lead:]
        return reshape(moved, shape=shape)

    return spread(match["x"], left) * spread(match["y"], right)


def _product_letters(match: Any) -> Any:
    # Letters of both factors of a summed product, and which of them are summed.
    whole = match.tape.entries[match.operands[0]][3].shape
    if len(whole) > len(_LETTERS):
        return None
    letters = _LETTERS[: len(whole)]
    found = []
    for name in ("x", "y"):
        own = aligned(match.type_of(name).shape, len(whole))
        found.append("".join(c for c, n in zip(letters, own, strict=True) if n != 1))
    summed = {letters[i] for i in match.param("axes") if whole[i] != 1}
    kept = "".join(
        c for i, c in enumerate(letters) if i not in match.param("axes") and whole[i] != 1
    )
    return found[0], found[1], summed, kept


def _is_matrix_product(match: Any) -> bool:
    # Both factors have an axis of their own that stays, and they share a summed one: the product
    # has more elements than its factors, and a contraction need not write it.
    found = _product_letters(match)
    if found is None:
        return False
    left, right, summed, kept = found
    shared = set(left) & set(right)
    own = (set(left) - shared) & set(kept), (set(right) - shared) & set(kept)
    return bool(own[0] and own[1] and shared & summed)


def _as_contraction(match: Any) -> Any:
    left, right, summed, kept = _product_letters(match)
    one = reshape(match["x"], shape=squeezed(match["x"].shape))
    two = reshape(match["y"], shape=squeezed(match["y"].shape))
    one, left = _sum_away(one, left, summed - set(right))
    two, right = _sum_away(two, right, summed - set(left))
    made = contract(one, two, spec=f"{left},{right}->{kept}")
    return reshape(made, shape=match.type.shape)


def _c(spec: str, *shapes: Shape) -> Any:
    return (lambda x, y: contract(x, y, spec=spec), list(shapes))


CONTRACTIONS: tuple[Rule, ...] = (
    rule(
        "contract-without-sum",
        contract(x, y, spec=spec),
        _as_product,
        exact_in="reals",
        edges="zeros",
        when=_sums_nothing,
        why="nothing is summed: a product that broadcasts",
        examples=[
            _c("i,j->ij", (3,), (4,)),
            _c("i,j->ji", (3,), (4,)),
            _c(",->", (), ()),
            _c("ij,->ij", (3, 4), ()),
            _c("ji,i->ij", (3, 4), (4,)),
            _c("ab,cb->bac", (2, 3), (4, 3)),
        ],
    ),
    rule(
        "contract-of-transpose",
        Family(contract, some=(transpose,))(),
        _of_transpose,
        exact_in="reals",
        why="the spec names the axes in any order",
        examples=[
            (
                lambda x, y: contract(transpose(x, axes=(1, 0)), y, spec="ij,jk->ik"),
                [(4, 3), (4, 5)],
            ),
            (
                lambda x, y: contract(x, transpose(y, axes=(2, 0, 1)), spec="bij,bjk->bik"),
                [(2, 3, 4), (4, 5, 2)],
            ),
        ],
    ),
    rule(
        "contract-of-reshape",
        Family(contract, some=(reshape,))(),
        _of_reshape,
        exact_in="reals",
        why="an axis of length 1 needs no letter",
        examples=[
            (lambda x, y: contract(reshape(x, shape=(3, 1)), y, spec="ij,jk->ik"), [(3,), (1, 4)]),
            (lambda x, y: contract(reshape(x, shape=(1, 3)), y, spec="ij,jk->ik"), [(3,), (3, 4)]),
            (lambda x, y: contract(y, reshape(x, shape=(1, 3)), spec="bi,bi->b"), [(3,), (1, 3)]),
        ],
    ),
    rule(
        "contract-of-broadcast",
        Family(contract, some=(broadcast_to,))(),
        _of_broadcast,
        exact_in="reals",
        edges="range",
        why="repeated elements need not be multiplied again",
        examples=[
            (
                lambda x, y: contract(broadcast_to(x, shape=(3, 4)), y, spec="ij,jk->ik"),
                [(4,), (4, 5)],
            ),
            (
                lambda x, y: contract(broadcast_to(x, shape=(3, 4)), y, spec="ij,jk->ik"),
                [(3, 1), (4, 5)],
            ),
            (
                lambda x, y: contract(y, broadcast_to(x, shape=(3, 4)), spec="ij,ij->i"),
                [(), (3, 4)],
            ),
        ],
    ),
    rule(
        "contract-of-neg",
        Family(contract, some=(negative,))(),
        _of_negative,
        exact_in="reals",
        edges="zeros",
        why="one sign for each result instead of each operand",
        examples=[
            (lambda x, y: contract(-x, y, spec="ij,j->i"), [(3, 4), (4,)]),
            (lambda x, y: contract(y, -x, spec="ij,j->i"), [(4,), (3, 4)]),
        ],
    ),
    rule(
        "contract-of-multiple",
        contract(x * a, y, spec=spec),
        _scaled,
        exact_in="reals",
        edges="range",
        once=True,
        when=_scaling_is_cheap,
        why="one product for each result instead of each operand",
        examples=[(lambda x, y: contract(x * 2.5, y, spec="ij,jk->ik"), [(3, 4), (4, 3)])],
    ),
    rule(
        "contract-by-multiple",
        contract(y, x * a, spec=spec),
        _scaled_right,
        exact_in="reals",
        edges="range",
        once=True,
        when=_scaling_is_cheap,
        why="one product for each result instead of each operand",
        examples=[(lambda x, y: contract(y, 2.5 * x, spec="ij,jk->ik"), [(4, 3), (3, 4)])],
    ),
    rule(
        "transpose-of-contract",
        transpose(contract(x, y, spec=spec), axes=axes),
        _transposed,
        exact_in="reals",
        once=True,
        why="the spec names the axes in any order",
        examples=[
            (
                lambda x, y: transpose(contract(x, y, spec="ij,jk->ik"), axes=(1, 0)),
                [(3, 4), (4, 5)],
            )
        ],
    ),
    rule(
        "sum-of-contract",
        reduce_sum(contract(x, y, spec=spec), axes=axes),
        _summed,
        exact_in="reals",
        edges="range",
        once=True,
        why="what is summed in the end is summed before it is multiplied",
        examples=[
            (
                lambda x, y: reduce_sum(contract(x, y, spec="ij,jk->ik"), axes=(1,)),
                [(3, 4), (4, 5)],
            ),
            (
                lambda x, y: reduce_sum(contract(x, y, spec="bij,bjk->bik"), axes=(0, 1)),
                [(2, 3, 4), (2, 4, 5)],
            ),
        ],
    ),
    rule(
        "contract-of-product",
        reduce_sum(x * y, axes=axes),
        _as_contraction,
        exact_in="reals",
        edges="range",
        once=True,
        when=_is_matrix_product,
        why="a sum of products of which every pair is needed: a matrix product",
        examples=[
            (lambda x, y: reduce_sum(reshape(x, shape=(3, 4, 1)) * y, axes=(1,)), [(3, 4), (4, 5)]),
            (lambda x, y: reduce_sum(x * y, axes=(0, 2)), [(2, 3, 4, 1), (2, 1, 4, 5)]),
        ],
    ),
)
