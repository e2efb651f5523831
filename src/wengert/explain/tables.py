"""The sweeps as tables: the steps as data, and as lines of text."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

from wengert.explain.facts import Facts
from wengert.explain.sweeps import Step, Sweep, Term, forward_sweep, reverse_sweeps
from wengert.explain.values import number_text, value_text
from wengert.explain.words import ENGLISH, Words
from wengert.graph.tuples import NamedTuple

__all__ = ["Row", "Table", "columns", "make_table", "shortened"]

#: How many steps of a sweep a text shows; the middle of longer ones is left out.
MOST_ROWS = 60
MOST_SWEEPS = 40

_MOST_TERMS = 12

T = TypeVar("T")


class Row(NamedTuple):
    """One step of a sweep.

    Attributes
    ----------
    derivative : what is computed, such as `∂h4/∂w`
    formula : the sum of products, in names
    numbers : the same in numbers ('' where blocks of partials are multiplied)
    value : the result
    """

    derivative: str
    formula: str
    numbers: str
    value: Any


class _Rows(Sequence[Row]):
    """The rows of a sweep, each made when it is asked for."""

    def __init__(self, facts: Facts, sweep: Sweep) -> None:
        self._facts = facts
        self._sweep = sweep

    def __len__(self) -> int:
        return len(self._sweep.steps)

    @overload
    def __getitem__(self, k: int) -> Row: ...
    @overload
    def __getitem__(self, k: slice) -> list[Row]: ...
    def __getitem__(self, k: int | slice) -> Row | list[Row]:
        steps = self._sweep.steps
        if isinstance(k, slice):
            return [_row(self._facts, self._sweep, step) for step in steps[k]]
        return _row(self._facts, self._sweep, steps[k])


class Table:
    """A mode's sweeps, one after another.

    Iterating yields `(seed, rows)` for each sweep, one at a time: the name of the input or output
    whose own derivative is 1, and the steps.

    Attributes
    ----------
    mode : "forward" or "reverse"
    """

    def __init__(self, facts: Facts, mode: str) -> None:
        self.mode = mode
        self._facts = facts

    @functools.cached_property
    def sweeps(self) -> list[tuple[str, Sequence[Row]]]:
        """All sweeps with their rows."""
        return list(self)

    def title(self, seed: str, words: Words = ENGLISH) -> str:
        """What a sweep computes, and from which seed."""
        facts = self._facts
        ends = (*facts.inputs, *(o.index for o in facts.outputs))
        array = any(facts.graph.type(i).shape for i in ends if facts.names[i] == seed)
        if self.mode == "forward":
            text = "Forward sweep for {0}, " + (
                "seeded with ones: all its elements grow alike" if array else "from ∂{0}/∂{0} = 1"
            )
        else:
            text = "Reverse sweep from {0}, " + (
                "seeded with ones: derivatives of the sum of its elements"
                if array
                else "where ∂{0}/∂{0} = 1"
            )
        return words(text, seed)

    def __iter__(self) -> Iterator[tuple[str, Sequence[Row]]]:
        for sweep in _sweeps(self._facts, self.mode):
            yield self._facts.names[sweep.seed], _Rows(self._facts, sweep)

    def __str__(self) -> str:
        out = []
        for number, (seed, rows) in enumerate(self):
            if number == MOST_SWEEPS:
                out.append("… and a sweep for each further input or output")
                break
            out.append(self.title(seed))
            if not rows:
                out.append("  no operator is reached: the derivative is zero by structure")
            lines = [
                (
                    r.derivative,
                    "= " + r.formula,
                    "= " + r.numbers if r.numbers else "",
                    "= " + value_text(r.value),
                )
                for r in shortened(rows)
            ]
            out += columns(lines, indent=2)
            if len(rows) > MOST_ROWS:
                left_out = f"  … {len(rows) - MOST_ROWS} steps left out …"
                out.insert(len(out) - MOST_ROWS // 2, left_out)
            out.append("")
        return "\n".join(out).rstrip("\n")


def make_table(facts: Facts, mode: str) -> Table:
    """The table of a mode."""
    return Table(facts, mode)


def _sweeps(facts: Facts, mode: str) -> Iterator[Sweep]:
    if mode == "forward":
        for i in facts.inputs:
            yield forward_sweep(facts, i)
    else:
        for i in dict.fromkeys(o.index for o in facts.outputs):
            if facts.graph.type(i).is_float:
                yield reverse_sweeps(facts, i)


def _row(facts: Facts, sweep: Sweep, step: Step) -> Row:
    names = facts.names
    seed = names[sweep.seed]
    forward = sweep.mode == "forward"

    def derivative(i: int) -> str:
        return f"∂{names[i]}/∂{seed}" if forward else f"∂{seed}/∂{names[i]}"

    def product(term: Term) -> str:
        edge = term.edge
        local = f"∂{names[edge.into]}/∂{names[edge.operand]}"
        if forward:
            return local if edge.operand == sweep.seed else f"{local}·{derivative(edge.operand)}"
        return local if edge.into == sweep.seed else f"{derivative(edge.into)}·{local}"

    def number(term: Term) -> str:
        local, carried = _number(term.edge.value), _number(term.carried)
        if forward:
            return local if term.edge.operand == sweep.seed else f"{local}·{carried}"
        return local if term.edge.into == sweep.seed else f"{carried}·{local}"

    terms = step.terms[:_MOST_TERMS]
    left_out = len(step.terms) - len(terms)
    more = f" + … {left_out} more" if left_out else ""

    def joined(write: Callable[[Term], str]) -> str:
        return " + ".join([write(t) for t in terms]) + more

    # A single factor is the value itself.
    numeric = all(t.product is not None for t in step.terms) and (
        len(step.terms) > 1 or "·" in number(step.terms[0])
    )
    return Row(
        derivative(step.node),
        joined(product)
        if "·" in product(terms[0]) or len(terms) > 1
        else (terms[0].edge.formula()),
        joined(number) if numeric else "",
        step.result,
    )


def _number(value: Any) -> str:
    text = number_text(value, 5)
    return f"({text})" if text.startswith("-") else text


# ---------------------------------------------------------------- text


def shortened(rows: Sequence[T]) -> list[T]:
    """The rows, or the first and last of them where there are too many to read."""
    if len(rows) <= MOST_ROWS:
        return list(rows)
    half = MOST_ROWS // 2
    return [*rows[:half], *rows[-half:]]


def columns(rows: Sequence[tuple[str, ...]], indent: int = 0, *, widest: int = 60) -> list[str]:
    """Rows of cells as aligned lines; a cell wider than `widest` does not widen its column."""
    if not rows:
        return []
    widths = [
        max((len(row[k]) for row in rows if len(row[k]) <= widest), default=0)
        for k in range(len(rows[0]))
    ]
    pad = " " * indent
    return [
        (pad + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]
