"""The order of products in chains of contractions, by cost.

(A B) v multiplies matrices, A (B v) only vectors. A chain is a tree of contractions each of whose
inner results is used once; products with broadcasting belong to it. Its cost is what its steps
multiply and write; up to `_EXHAUSTIVE` factors every order is tried, up to `_LONGEST` every order
that keeps the factors in sequence.

Source: the matrix-chain problem, e.g. T. H. Cormen, C. E. Leiserson, R. L. Rivest, C. Stein,
Introduction to Algorithms, chapter "Dynamic programming"; for general indices R. N. C. Pfeifer,
J. Haegeman, F. Verstraete, Faster identification of optimal contraction sequences, 2014.
"""

from __future__ import annotations

import math
from typing import Any

from wengert.graph import Graph
from wengert.graph.tuples import NamedTuple
from wengert.ops.arithmetic import multiply
from wengert.ops.contracting import contract
from wengert.ops.structural import reshape
from wengert.optimise.builder import Builder, RuleIndex
from wengert.optimise.contractions import parse
from wengert.optimise.record import Record
from wengert.optimise.rewriting import Emit, rewrite
from wengert.optimise.shapes import aligned, squeezed

__all__ = ["order_chains"]

_EXHAUSTIVE = 6
_LONGEST = 24
#: A new order must be cheaper than this part of the old one.
_WORTHWHILE = 0.9
#: Writing one number costs about as much as this many products.
_WRITING = 4
_NO_RULES = RuleIndex(())
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class _Leaf(NamedTuple):
    """A factor: its value number, and its indices (numbers, one per axis longer than 1)."""

    value: int
    indices: tuple[int, ...]
    whole: bool  # False: axes of length 1 must be dropped first


class _Chain(NamedTuple):
    """Factors in sequence, the length of each index, those of the result, and the old cost."""

    leaves: list[_Leaf]
    sizes: list[int]
    out: tuple[int, ...]
    cost: int


#: A binary tree over leaf numbers.
_Tree = Any


def order_chains(
    graph: Graph, origin: list[int], log: list[Record], stage: str
) -> tuple[Graph, list[int]]:
    """The graph with the products of every chain in their cheapest order."""
    instead: dict[int, Emit] = {}
    uses = graph.users()
    for k in graph.outputs:
        uses[k].append(-1)
    inner: set[int] = set()
    for i in range(len(graph.entries) - 1, -1, -1):
        if _is_inner(graph, uses, i, inner):
            inner.add(i)
    for i, entry in enumerate(graph.entries):
        if entry[0] is not contract or i in inner or not inner.intersection(entry[1]):
            continue
        chain = _collect(graph, i, inner)
        found = None if chain is None else _best(chain)
        if chain is not None and found is not None:
            instead[i] = _emitter(chain, found[0], found[1])
    if not instead:
        return graph, origin
    graph, origin, _ = rewrite(graph, origin, _NO_RULES, log, stage, instead)
    return graph, origin


def _is_inner(graph: Graph, uses: list[list[int]], i: int, inner: set[int]) -> bool:
    # Whether an entry can be a step of the chain that its only user belongs to. A product is one
    # only in the middle: the last step is a contraction.
    op, operands, _, type_ = graph.entries[i]
    if len(uses[i]) != 1 or uses[i][0] < 0:
        return False
    user = graph.entries[uses[i][0]][0]
    if op is contract:
        return user is contract or uses[i][0] in inner
    if op is not multiply or user is not contract or not type_.is_float or 1 in type_.shape:
        return False
    return any(graph.entries[k][3].size < type_.size for k in operands)


def _collect(graph: Graph, root: int, inner: set[int]) -> _Chain | None:
    sizes: list[int] = []

    def fresh(length: int) -> int:
        sizes.append(length)
        return len(sizes) - 1

    out = tuple([fresh(n) for n in graph.entries[root][3].shape])
    leaves: list[_Leaf] = []
    cost = 0
    stack = [_Leaf(root, out, True)]
    while stack:
        leaf = stack.pop()
        op, operands, params, type_ = graph.entries[leaf.value]
        if not leaf.whole or (leaf.value != root and leaf.value not in inner):
            leaves.append(leaf)
            if len(leaves) > _LONGEST:
                return None
            continue
        parts: list[_Leaf] = []
        if op is contract:
            left, right, result = parse(dict(params)["spec"])
            known = dict(zip(result, leaf.indices, strict=True))
            for letters, k in zip((left, right), operands, strict=True):
                for c, n in zip(letters, graph.entries[k][3].shape, strict=True):
                    if c not in known:
                        known[c] = fresh(n)
                parts.append(_Leaf(k, tuple([known[c] for c in letters]), True))
            cost += _cost(set(known.values()), set(leaf.indices), sizes)
        else:
            for k in operands:
                shape = graph.entries[k][3].shape
                own = aligned(shape, type_.ndim)
                kept = [c for c, n in zip(leaf.indices, own, strict=True) if n != 1]
                parts.append(_Leaf(k, tuple(kept), 1 not in shape))
            cost += _cost(set(leaf.indices), set(leaf.indices), sizes)
        stack += reversed(parts)
    return _Chain(leaves, sizes, out, cost) if len(leaves) > 2 else None


def _cost(indices: set[int], out: set[int], sizes: list[int]) -> int:
    return math.prod([sizes[i] for i in indices]) + _WRITING * math.prod([sizes[i] for i in out])


def _best(chain: _Chain) -> tuple[_Tree, int] | None:
    count = len(chain.leaves)
    found = _any_order(chain) if count <= _EXHAUSTIVE else _in_sequence(chain)
    if found[1] >= _WORTHWHILE * chain.cost:
        return None
    return found


def _kept(chain: _Chain, members: int) -> frozenset[int]:
    # Indices of the product of the member leaves (a bit mask): those needed outside.
    own: set[int] = set()
    outside = set(chain.out)
    for n, leaf in enumerate(chain.leaves):
        (own if members >> n & 1 else outside).update(leaf.indices)
    return frozenset(own & outside)


def _any_order(chain: _Chain) -> tuple[_Tree, int]:
    """The cheapest tree over all ways to split every subset of the factors."""
    count = len(chain.leaves)
    best: dict[int, tuple[int, _Tree]] = {1 << n: (0, n) for n in range(count)}
    kept = {m: _kept(chain, m) for m in range(1, 1 << count)}
    for members in range(1, 1 << count):
        if members in best:
            continue
        part = (members - 1) & members
        while part:
            rest = members ^ part
            if part > rest:
                step = _cost(set(kept[part] | kept[rest]), set(kept[members]), chain.sizes)
                total = best[part][0] + best[rest][0] + step
                if members not in best or total < best[members][0]:
                    best[members] = (total, (best[rest][1], best[part][1]))
            part = (part - 1) & members
    cost, tree = best[(1 << count) - 1]
    return tree, cost


def _in_sequence(chain: _Chain) -> tuple[_Tree, int]:
    """The cheapest tree that joins neighbours only."""
    count = len(chain.leaves)
    best: dict[tuple[int, int], tuple[int, _Tree]] = {(n, n + 1): (0, n) for n in range(count)}
    kept = {
        (i, j): _kept(chain, (1 << j) - (1 << i))
        for i in range(count)
        for j in range(i + 1, count + 1)
    }
    for length in range(2, count + 1):
        for i in range(count - length + 1):
            j = i + length
            for k in range(i + 1, j):
                step = _cost(set(kept[i, k] | kept[k, j]), set(kept[i, j]), chain.sizes)
                total = best[i, k][0] + best[k, j][0] + step
                if (i, j) not in best or total < best[i, j][0]:
                    best[i, j] = (total, (best[i, k][1], best[k, j][1]))
    cost, tree = best[0, count]
    return tree, cost


def _emitter(chain: _Chain, tree: _Tree, cost: int) -> Emit:
    def emit(builder: Builder, where: list[int]) -> int:
        made, _, _ = _product(builder, chain, tree, where, whole=True)
        if builder.is_silent:
            return made
        names = [
            f"%{builder.origin[where[leaf.value]]}" if where[leaf.value] in builder.origin else "…"
            for leaf in chain.leaves
        ]
        builder.note(
            "order-products",
            f"{_short(chain.cost)} products and writes become {_short(cost)}",
            "reals",
            "range",
            f"products of {', '.join(names)}",
            made,
        )
        return made

    return emit


def _short(count: int) -> str:
    return f"{count:.3g}" if count >= 1000 else str(count)


def _product(
    builder: Builder, chain: _Chain, tree: _Tree, where: list[int], *, whole: bool = False
) -> tuple[int, tuple[int, ...], int]:
    """Emit a tree: its value number, its indices, its leaves as a bit mask.

    The recursion is as deep as the tree, at most `_LONGEST`.
    """
    if isinstance(tree, int):
        leaf = chain.leaves[tree]
        value = where[leaf.value]
        if not leaf.whole:
            shape = squeezed(builder.entries[value][3].shape)
            value = reshape(builder.handle_of(value), shape=shape)._index
        return value, leaf.indices, 1 << tree
    one, left, first = _product(builder, chain, tree[0], where)
    two, right, second = _product(builder, chain, tree[1], where)
    members = first | second
    kept = _kept(chain, members)
    if whole:
        out = chain.out
    else:
        shared = [i for i in left if i in right and i in kept]
        out = tuple(shared + [i for i in (*left, *right) if i in kept and i not in shared])
    letter: dict[int, str] = {}
    for i in (*left, *right):
        letter.setdefault(i, _LETTERS[len(letter)])

    def spell(indices: tuple[int, ...]) -> str:
        return "".join([letter[i] for i in indices])

    spec = f"{spell(left)},{spell(right)}->{spell(out)}"
    made = builder.emit(contract, (one, two), (("spec", spec),))
    return made, out, members
