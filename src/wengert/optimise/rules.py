"""All rewrite rules, by theme; the order is the order in which they are tried."""

from __future__ import annotations

from collections.abc import Sequence

from wengert.optimise.arithmetic import CONSTANTS, IDENTITIES, SIGNS
from wengert.optimise.choices import CHOICES
from wengert.optimise.contractions import CONTRACTIONS
from wengert.optimise.gathers import GATHERS
from wengert.optimise.indexing import INDEXING
from wengert.optimise.lookups import LOOKUPS
from wengert.optimise.powers import POWERS
from wengert.optimise.record import EDGES, Rule
from wengert.optimise.shapes import ELEMENTWISE, MOVES, REDUCTIONS
from wengert.optimise.shifts import SHIFTS
from wengert.optimise.stable import STABLE
from wengert.optimise.truths import TRUTHS

__all__ = ["BEFORE_DERIVATIVES", "EXACT", "LAST", "RULES", "rules_table"]

RULES: tuple[Rule, ...] = (
    *MOVES,
    *ELEMENTWISE,
    *STABLE,
    *IDENTITIES,
    *SIGNS,
    *CONSTANTS,
    *POWERS,
    *CHOICES,
    *CONTRACTIONS,
    *REDUCTIONS,
    *INDEXING,
    *GATHERS,
)

#: Those that apply when all others have: they hide what others look for.
LAST: tuple[Rule, ...] = (*LOOKUPS, *TRUTHS)

#: Those that give the same bits.
EXACT: tuple[Rule, ...] = tuple(r for r in RULES if r.exact_in == "floats")

#: Those that may run before derivatives are taken, so that derivatives are stable too: the stable
#: forms, and what brings programs into the form that they recognise.
BEFORE_DERIVATIVES: tuple[Rule, ...] = (
    *SHIFTS,
    *STABLE,
    *(r for r in RULES if r.name in ("one-over", "sub-constant", "neg-neg")),
)


def rules_table(rules: Sequence[Rule] = (*RULES, *LAST)) -> str:
    """The rules as a Markdown table: name, left side, what it may change, and why."""
    rows = ["| rule | left side | exact in | special values | why |", "| --- " * 5 + "|"]
    for r in rules:
        left = repr(r.left).replace("|", r"\|")
        edges = "" if r.edges == "kept" else EDGES[r.edges]
        rows.append(f"| {r.name} | `{left}` | {r.exact_in} | {edges} | {r.why} |")
    return "\n".join(rows)
