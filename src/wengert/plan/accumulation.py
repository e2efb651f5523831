"""Sums with a product, D + alpha A B, as one step: the product is added where it is computed.

`w - rate * (x.T @ g)` is three entries of a graph; run one by one, the product would be written,
and read again with w. Only what lies in memory anyway is added to, and only if no loop nest reads
the sum: else the entries belong into that nest. Three products or more are added up in place
whoever reads the sum: then no more than one of them has memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wengert.graph import CONSTANT, INPUT, Graph, Type
from wengert.graph.tuples import NamedTuple

__all__ = ["Accumulation", "accumulations"]


class Accumulation(NamedTuple):
    """The entries of one sum, whose value is that of the last.

    members : the contraction, and those that only this sum uses
    operands : of the contraction
    added, factor : entries D and alpha, or -1
    negate : whether alpha is taken with the other sign
    """

    members: tuple[int, ...]
    operands: tuple[int, ...]
    added: int
    factor: int
    negate: bool

    @property
    def reads(self) -> list[int]:
        """The entries that must be known before."""
        return [*self.operands, *(k for k in (self.added, self.factor) if k >= 0)]


def accumulations(
    graph: Graph, is_product: Callable[[int], Any], fusible: Any
) -> dict[int, Accumulation]:
    """The sums of a graph by their last entry. `is_product` says which contractions can be part of
    one, `fusible` what a loop nest computes."""
    live = graph.live()
    users: dict[int, list[int]] = {}
    for i, (_, operands, _, _) in enumerate(graph.entries):
        if live[i]:
            for k in operands:
                users.setdefault(k, []).append(i)
    outputs = set(graph.outputs)
    found: dict[int, Accumulation] = {}
    for i, (op, operands, _, _) in enumerate(graph.entries):
        if not (live[i] and op.name == "contract" and is_product(i)):
            continue
        made = _followed(graph, i, operands, users, outputs, found)
        last = made.members[-1]

        def adds_another(user: int, last: int = last) -> bool:
            own = graph.entries[user][1]
            other = own[0] if own[-1] == last else own[-1]
            return (
                graph.entries[user][0].name == "add"
                and other != last
                and graph.entries[other][0] not in (INPUT, CONSTANT)
                and graph.entries[other][0].name == "contract"
                and is_product(other)
                and users[other] == [user]
                and other not in outputs
            )

        # Of several products in a row each is added to the same memory, whoever reads the sum.
        pays = made.added in found or all(
            adds_another(u) or not _is_in_nest(graph, u, fusible) for u in users.get(last, ())
        )
        if len(made.members) > 1 and pays:
            found[last] = made
    return found


def _followed(
    graph: Graph,
    i: int,
    operands: Any,
    users: dict[int, list[int]],
    outputs: set[int],
    found: dict[int, Accumulation],
) -> Accumulation:
    """The longest sum that begins with contraction i."""
    members, factor, negate = [i], -1, False
    while members[-1] not in outputs and len(users.get(members[-1], ())) == 1:
        last = members[-1]
        (user,) = users[last]
        op, own, _, type_ = graph.entries[user]
        if type_ != graph.entries[last][3]:
            break
        other = own[0] if own[-1] == last else own[-1]
        if op.name == "negative":
            negate = not negate
        elif op.name == "multiply" and factor < 0 and graph.entries[other][3].shape == ():
            factor = other
        elif op.name == "add" or (op.name == "subtract" and own[1] == last):
            source, _, _, added = graph.entries[other]
            in_memory = source in (INPUT, CONSTANT) or source.name == "contract" or other in found
            if added != type_ or not in_memory:
                break
            negate ^= op.name == "subtract"
            return Accumulation((*members, user), operands, other, factor, negate)
        else:
            break
        members.append(user)
    return Accumulation(tuple(members), operands, -1, factor, negate)


def _is_in_nest(graph: Graph, user: int, fusible: Any) -> bool:
    op, operands, _, type_ = graph.entries[user]
    types = [graph.entries[k][3] for k in operands]
    return (
        isinstance(type_, Type)
        and all(isinstance(t, Type) for t in types)
        and bool(fusible(op, types, type_))
    )
