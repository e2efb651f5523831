"""Finding fragments in a program: the straight parts of the code that recorded it.

What a program records is a sequence of symbols, one per node. A symbol that is followed by the same
one wherever it occurs stands in the middle of a straight part: both are joined to a new symbol, and
so on, until what comes next is open everywhere. This is the end of a cell, where the program goes
on in several ways. Only the nodes' families count for this, and which weights they read, so that it
does not depend on where operands come from; that is compared afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.batching.fragments import LEAST_USES, Fragment, Nodes
from wengert.batching.kinds import Kind

__all__ = ["find_parts", "learn_fragments"]

#: The most nodes of a fragment.
_LONGEST = 64
_MOST_ROUNDS = 32
#: Occurrences of a symbol from which on what follows it is no accident.
_OFTEN = 4


def find_parts(symbols: Any, joins: Any) -> tuple[Any, Any]:
    """Where the straight parts of a sequence begin, and for each a number that says which it is.

    joins : for each place whether it may be joined with its neighbours
    """
    begins = np.arange(len(symbols))
    for _ in range(_MOST_ROUNDS):
        count = int(symbols.max(initial=-1)) + 1
        own, other = symbols[:-1], symbols[1:]
        follower = np.full(count, -1, np.int64)
        follower[own] = other
        is_certain = np.bincount(symbols, minlength=count) >= _OFTEN
        is_certain[own[follower[own] != other]] = False
        is_certain[symbols[-1:]] = False  # what comes after the end is open
        is_certain[own[~(joins[:-1] & joins[1:])]] = False
        first = np.append(True, ~is_certain[own])
        if first.all():
            break
        # What follows a symbol for certain is known from it, so a part is known from its first one.
        begins, joins = begins[first], joins[first]
        symbols = np.unique(symbols[first], return_inverse=True)[1].reshape(-1)
    return begins, symbols


def learn_fragments(nodes: Nodes, kinds: Sequence[Kind], weights: Any) -> list[Fragment]:
    """The fragments that occur often in a program; `weights` says which values are weights."""
    family = nodes.family
    count = len(family)
    joins = np.array([kind.joins for kind in kinds], bool)[family]
    weight = np.full(count, -1, np.int64)
    for k in range(2):  # the operands of a product
        has = nodes.starts[1:] - nodes.starts[:-1] > k
        value = nodes.args[nodes.starts[:-1][has] + k]
        weight[has] = np.where(weights[value], value, weight[has])
    symbols = np.unique((weight + 1) * len(kinds) + family, return_inverse=True)[1].reshape(-1)
    begins, parts = find_parts(symbols, joins)
    lengths = np.diff(begins, append=count)
    found: list[Fragment] = []
    uses = np.bincount(parts)
    for part in np.flatnonzero(uses >= LEAST_USES).tolist():
        own = begins[parts == part]
        length = int(lengths[parts == part].min())
        for start in range(0, length, _LONGEST):
            size = min(_LONGEST, length - start)
            if size > 1:
                found += _variants(nodes, kinds, own + start, size)
    return found


def _variants(nodes: Nodes, kinds: Sequence[Kind], begins: Any, size: int) -> list[Fragment]:
    """The fragments of `size` nodes that begin there; they differ in where operands come from."""
    places = begins[:, None] + np.arange(size)
    own = nodes.family[places[0]]
    arity = nodes.starts[places[0] + 1] - nodes.starts[places[0]]
    columns = [
        nodes.args[nodes.starts[places[:, k]] + slot]
        for k, count in enumerate(arity.tolist())
        for slot in range(count)
    ]
    values = np.stack(columns, axis=1)
    inside = nodes.producer[values] - begins[:, None]
    inside[inside < 0] = -1
    ways, which = np.unique(inside, axis=0, return_inverse=True)
    used = nodes.last[nodes.firsts[places]] >= (begins + size)[:, None]
    found = []
    for number, way in enumerate(ways.tolist()):
        members = which.reshape(-1) == number
        results = np.flatnonzero(used[members].any(axis=0)).tolist()
        if members.sum() < LEAST_USES or not results:
            continue
        specs = _specs(way, values[members])
        found.append(Fragment([kinds[f] for f in own.tolist()], specs, results))
    return found


def _specs(way: list[int], values: Any) -> list[int]:
    """The specs of operands (see `Fragment`): those that are the same value everywhere are one."""
    specs: list[int] = []
    met: list[Any] = []
    for k, inside in enumerate(way):
        if inside >= 0:
            specs.append(inside)
            continue
        number = next((e for e, c in enumerate(met) if (c == values[:, k]).all()), len(met))
        if number == len(met):
            met.append(values[:, k])
        specs.append(-1 - number)
    return specs
