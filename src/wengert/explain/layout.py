"""Layered layout of a directed acyclic graph whose edges carry labels.

The method of Sugiyama: ranks by the longest path, order within a rank by barycentres, positions by
least squares that keep the order. An edge is a chain of points, one per rank that it crosses; its
label is one of them, so that labels get space like nodes. Nothing recurses.

Source: K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of hierarchical system
structures", 1981; positions by the pool-adjacent-violators algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from wengert.graph.tuples import NamedTuple

__all__ = ["Box", "Layout", "Link", "lay_out"]

_GAP = 26.0
_SWEEPS = 12
_RELAXATIONS = 60


class Box(NamedTuple):
    """How far a node, or a label, extends from its anchor."""

    left: float
    right: float
    height: float


class Link(NamedTuple):
    """An edge between nodes, with the box of its label."""

    source: int
    target: int
    label: Box


class Layout(NamedTuple):
    """Where everything is.

    nodes : centre (anchor, middle) of each node
    labels : anchor and middle of each edge's label
    routes : per edge the points it goes through, from node to node
    width, height : of the whole picture
    """

    nodes: list[tuple[float, float]]
    labels: list[tuple[float, float]]
    routes: list[list[tuple[float, float]]]
    width: float
    height: float


def lay_out(
    boxes: Sequence[Box], links: Sequence[Link], is_leaf: Sequence[bool], gap: float = 18.0
) -> Layout:
    """Place nodes, from the top to the bottom along the links.

    Parameters
    ----------
    boxes : per node; every link leads from a node to a later one
    is_leaf : which nodes are inputs or constants: they stand just above their first use
    gap : vertical distance between ranks
    """
    ranks = _ranks(len(boxes), links, is_leaf)
    items, chains, rank_of = _with_points(boxes, links, ranks)
    layers = _layers(rank_of)
    above, below = _neighbours(len(items), chains)
    _order(layers, above, below)
    xs = _positions(layers, items, above, below)
    ys, height = _heights(layers, items, gap)
    tops = [
        ys[rank_of[i]] - max(items[j].height for j in layers[rank_of[i]]) / 2
        for i in range(len(items))
    ]
    places = [(xs[i], ys[rank_of[i]]) for i in range(len(items))]
    shift = min((x - items[i].left for i, (x, _) in enumerate(places)), default=0.0)
    places = [(x - shift, y) for x, y in places]
    width = max((x + items[i].right for i, (x, _) in enumerate(places)), default=0.0)
    return Layout(
        places[: len(boxes)],
        [places[chain[-2]] for chain in chains],
        [_route(chain, places, tops) for chain in chains],
        width,
        height,
    )


def _route(
    chain: list[int], places: list[tuple[float, float]], tops: list[float]
) -> list[tuple[float, float]]:
    points = [places[i] for i in chain]
    if len(chain) > 3:
        # A long edge finds its column before it meets the labels beside it.
        points.insert(1, (points[1][0], tops[chain[1]]))
    return points


def _ranks(count: int, links: Sequence[Link], is_leaf: Sequence[bool]) -> list[int]:
    # Even numbers for nodes; the odd ones between them are for labels.
    ranks = [0] * count
    for link in sorted(links, key=lambda k: k.target):
        ranks[link.target] = max(ranks[link.target], ranks[link.source] + 2)
    first_use: dict[int, int] = {}
    for link in links:
        use = ranks[link.target]
        first_use[link.source] = min(first_use.get(link.source, use), use)
    for node, use in first_use.items():
        if is_leaf[node]:
            ranks[node] = use - 2
    return ranks


def _with_points(
    boxes: Sequence[Box], links: Sequence[Link], ranks: Sequence[int]
) -> tuple[list[Box], list[list[int]], list[int]]:
    items = list(boxes)
    rank_of = list(ranks)
    chains = []
    for link in links:
        chain = [link.source]
        for rank in range(ranks[link.source] + 1, ranks[link.target]):
            chain.append(len(items))
            is_label = rank == ranks[link.target] - 1
            items.append(link.label if is_label else Box(4.0, 4.0, 0.0))
            rank_of.append(rank)
        chains.append([*chain, link.target])
    return items, chains, rank_of


def _layers(rank_of: Sequence[int]) -> list[list[int]]:
    layers: list[list[int]] = [[] for _ in range(max(rank_of, default=-1) + 1)]
    for i, rank in enumerate(rank_of):
        layers[rank].append(i)
    return layers


def _neighbours(count: int, chains: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for chain in chains:
        for a, b in pairwise(chain):
            above[b].append(a)
            below[a].append(b)
    return above, below


# ---------------------------------------------------------------- order


def _order(layers: list[list[int]], above: list[list[int]], below: list[list[int]]) -> None:
    best = [list(layer) for layer in layers]
    fewest = _crossings(layers, below)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            _sort_by_barycentre(layer, layers, above if down else below)
        crossings = _crossings(layers, below)
        if crossings < fewest:
            fewest, best = crossings, [list(layer) for layer in layers]
    for layer, kept in zip(layers, best, strict=True):
        layer[:] = kept


def _sort_by_barycentre(
    layer: list[int], layers: list[list[int]], neighbours: list[list[int]]
) -> None:
    near = {j for i in layer for j in neighbours[i]}
    place = {
        i: n
        for other in layers
        if other and not near.isdisjoint(other)
        for n, i in enumerate(other)
    }
    own = {i: n for n, i in enumerate(layer)}
    keys = {}
    for i in layer:
        found = [place[j] for j in neighbours[i]]
        keys[i] = sum(found) / len(found) if found else float(own[i])
    layer.sort(key=lambda i: (keys[i], own[i]))


def _crossings(layers: list[list[int]], below: list[list[int]]) -> int:
    total = 0
    for upper, lower in pairwise(layers):
        place = {i: n for n, i in enumerate(lower)}
        ends = [n for i in upper for n in sorted(place[j] for j in below[i])]
        total += _inversions(ends, len(lower))
    return total


def _inversions(ends: list[int], size: int) -> int:
    # A binary indexed tree counts, for each end, the earlier ones to its right.
    tree = [0] * (size + 1)
    total = 0
    for seen, end in enumerate(ends):
        k, smaller = end + 1, 0
        while k:
            smaller += tree[k]
            k &= k - 1
        total += seen - smaller
        k = end + 1
        while k <= size:
            tree[k] += 1
            k += k & -k
    return total


# ---------------------------------------------------------------- positions


def _positions(
    layers: list[list[int]], items: list[Box], above: list[list[int]], below: list[list[int]]
) -> list[float]:
    xs = [0.0] * len(items)
    for layer in layers:
        at = 0.0
        for i in layer:
            xs[i] = at + items[i].left
            at = xs[i] + items[i].right + _GAP
    for turn in range(_RELAXATIONS):
        last = turn == _RELAXATIONS - 1
        order = layers if turn % 2 == 0 else list(reversed(layers))
        for layer in order:
            wanted = []
            for i in layer:
                near = (
                    above[i] + below[i]
                    if last or turn > 3
                    else (above[i] if turn % 2 == 0 else below[i])
                )
                wanted.append(sum(xs[j] for j in near) / len(near) if near else xs[i])
            _spread(layer, wanted, items, xs)
    return xs


def _spread(layer: list[int], wanted: list[float], items: list[Box], xs: list[float]) -> None:
    # Least squares under the distances that the boxes need: pool adjacent violators.
    offsets, at = [], 0.0
    for n, i in enumerate(layer):
        if n:
            at += items[layer[n - 1]].right + _GAP + items[i].left
        offsets.append(at)
    blocks: list[tuple[float, int]] = []  # mean, count
    for n in range(len(layer)):
        mean, count = wanted[n] - offsets[n], 1
        while blocks and blocks[-1][0] > mean:
            other, size = blocks.pop()
            mean = (mean * count + other * size) / (count + size)
            count += size
        blocks.append((mean, count))
    n = 0
    for mean, count in blocks:
        for _ in range(count):
            xs[layer[n]] = mean + offsets[n]
            n += 1


def _heights(layers: list[list[int]], items: list[Box], gap: float) -> tuple[list[float], float]:
    ys, at = [], 0.0
    for layer in layers:
        height = max((items[i].height for i in layer), default=0.0)
        ys.append(at + height / 2)
        at += height + gap
    return ys, at - gap if layers else 0.0
