"""The record of a rewrite rule, and of one application of a rule: what the log consists of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from wengert.graph.tuples import NamedTuple
from wengert.optimise.terms import Term, variants

__all__ = ["EDGES", "Example", "Record", "Rule", "rule"]

#: What a rule may do to special values. "kept" is required of rules that are exact in floats.
EDGES = {
    "kept": "inf and nan come out where they came out before",
    "zeros": "a sum that cancels exactly may be 0.0 instead of -0.0, or the reverse",
    "mended": "the formula's value (or limit at infinity) comes out where overflow, underflow or "
    "cancellation of intermediate results spoiled it",
    "range": "sums or products in another order: overflow may come or go; what was inf or nan "
    "stays one of the two",
}


#: Made when they are first needed: a program meets few of the rules. Terms compare by identity.
_patterns = functools.cache(variants)


class Example(NamedTuple):
    """Inputs for which a rule fires: a function of variables, and their shapes."""

    function: Callable[..., Any]
    shapes: Sequence[tuple[int, ...]]
    #: Interval that the inputs are drawn from.
    domain: tuple[float, float] = (-2.0, 2.0)
    #: Per input a dtype kind: "f" as the test wants it, "i" for integers below 3, "b".
    kinds: str = ""


class Rule(NamedTuple):
    """A rewrite rule as data.

    Attributes
    ----------
    name : unique
    left : the pattern
    right : a pattern over the same variables, or a function from a `Match` to a handle or None
    exact_in : "floats": the same bits, always allowed; "reals": rounding may change
    edges : what may change at special values: a key of `EDGES`
    why : the reason, for the log
    when : condition on the `Match`
    once : only where inner values of the pattern have no other use, so that no work is done twice
    kinds : dtype kinds of the result it holds for
    examples : left sides to test it on; derived from `left` where that has no parameters
    domain : interval in which both sides are defined, for derived examples
    """

    name: str
    left: Term
    right: Any
    exact_in: str
    edges: str
    why: str
    when: Callable[[Any], bool] | None
    once: bool
    kinds: str
    examples: tuple[Example, ...]
    domain: tuple[float, float]

    @property
    def patterns(self) -> list[Term]:
        """The left side with commutative operands in every order."""
        return _patterns(self.left)


def rule(
    name: str,
    left: Any,
    right: Any,
    *,
    exact_in: str,
    why: str,
    edges: str = "kept",
    when: Callable[[Any], bool] | None = None,
    once: bool = False,
    kinds: str = "f",
    examples: Sequence[tuple[Any, ...]] = (),
    domain: tuple[float, float] = (-2.0, 2.0),
) -> Rule:
    """Declare a rule; see `Rule`."""
    if exact_in not in ("floats", "reals") or edges not in EDGES:
        raise ValueError(f"rule {name}: exact_in={exact_in!r}, edges={edges!r}")
    if exact_in == "floats" and edges != "kept":
        raise ValueError(f"rule {name}: a rule that is exact in floats keeps special values")
    made = tuple(Example(*e) for e in examples)
    return Rule(name, left, right, exact_in, edges, why, when, once, kinds, made, domain)


class Record(NamedTuple):
    """One thing that the optimiser did. Value numbers are those of the graph it was given.

    `line` is the user's `file.py:31` where it is known; `before` and `after` are printed entries.
    """

    stage: str
    rule: str
    why: str
    exact_in: str
    edges: str
    line: str
    before: str
    after: str

    def __str__(self) -> str:
        where = f" ({self.line})" if self.line else ""
        note = f" [{EDGES[self.edges]}]" if self.edges != "kept" else ""
        return f"{self.rule}: {self.before} -> {self.after}{where}: {self.why}{note}"
