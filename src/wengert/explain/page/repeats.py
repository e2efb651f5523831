"""Repeats in a Wengert list: the turns of a loop, layers of one kind. The page folds them.

Operators count as alike when they are the same primitive with the same parameters and type, from
the same source line. A run of such sequences, three or more of them, becomes groups of one family.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from wengert.explain.facts import Facts
from wengert.graph import Graph
from wengert.graph.tuples import NamedTuple

__all__ = ["Repeat", "Repeats", "find_repeats"]

_LONGEST = 64  # operators in one turn
_FEWEST_TURNS = 3
_FEWEST_OPERATORS = 12
_MOST_NODES = 50_000


class Repeat(NamedTuple):
    """One turn: its label and the family it folds with."""

    label: str
    family: str


class Repeats(NamedTuple):
    """All turns in order, and the turn that each operator belongs to."""

    groups: list[Repeat]
    group_of: dict[int, int]


def find_repeats(graph: Graph, facts: Facts, grouped: Container[int] = ()) -> Repeats:
    """The repeats of a graph, found from left to right; each takes the longest run there is.

    `grouped`: operators that belong to a group already; no repeat takes them in.
    """
    operators = facts.operators
    found = Repeats([], {})
    if len(operators) > _MOST_NODES:
        return found
    marks = [(i,) if i in grouped else _mark(graph, i) for i in operators]
    alike = {p: _runs(marks, p) for p in range(1, min(_LONGEST, len(marks) // _FEWEST_TURNS) + 1)}
    k = 0
    while k < len(marks):
        period, turns = _best(alike, k)
        if turns == 0:
            k += 1
            continue
        symbols = list(dict.fromkeys(facts.label(operators[j]) for j in range(k, k + period)))
        family = f"[{' '.join(symbols[:4])}{' …' if len(symbols) > 4 else ''}]"
        for turn in range(turns):
            for j in range(period):
                found.group_of[operators[k + turn * period + j]] = len(found.groups)
            found.groups.append(Repeat(f"{family} {turn + 1}", f"{family}"))
        k += period * turns
        if k < len(marks):  # keep two different runs with the same symbols apart
            found.groups.append(Repeat("", ""))
    return found


def _mark(graph: Graph, i: int) -> tuple[Any, ...]:
    op, _, params, type_ = graph.entries[i]
    return (op, params, type_, graph.lines.get(i, ""))


def _runs(marks: Sequence[Any], period: int) -> list[int]:
    """For each position, how many places from there on equal the one a period later."""
    lengths = [0] * (len(marks) + 1)
    for k in range(len(marks) - period - 1, -1, -1):
        lengths[k] = lengths[k + 1] + 1 if marks[k] == marks[k + period] else 0
    return lengths


def _best(alike: dict[int, list[int]], k: int) -> tuple[int, int]:
    """Period and number of turns of the longest run from k on; of ties the shortest period."""
    best = (0, 0)
    for period, lengths in alike.items():
        turns = lengths[k] // period + 1 if lengths[k] >= period else 0
        covered = period * turns
        if turns >= _FEWEST_TURNS and covered >= _FEWEST_OPERATORS and covered > best[0] * best[1]:
            best = (period, turns)
    return best
