"""The paths from an input to an output: each a product of partials, their sum the derivative."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from wengert.explain.facts import Edge, Facts
from wengert.explain.values import count_text, number_text
from wengert.explain.words import ENGLISH, Words
from wengert.graph.tuples import NamedTuple
from wengert.transform.elimination.orders import best_greedy, best_order
from wengert.transform.elimination.skeleton import Skeleton

__all__ = ["Factor", "Path", "PathCounts", "Paths", "path_text", "product_text"]


class Factor(NamedTuple):
    """One partial along a path: `∂h4/∂h3`, its formula and its value (None for a block)."""

    operator: str
    operand: str
    formula: str
    value: Any

    @property
    def name(self) -> str:
        """The partial as a fraction of names."""
        return f"∂{self.operator}/∂{self.operand}"


class PathCounts(NamedTuple):
    """Multiplications that the derivative along all paths takes, products with ±1 included.

    separate : every path multiplied out
    folded : common factors taken out, operator by operator along the order of evaluation
    fewest : operators eliminated in the cheapest order that is found
    """

    separate: int
    folded: int
    fewest: int


class Path:
    """One path, from the input to the output.

    Attributes
    ----------
    edges : the edges in the order of evaluation
    """

    __slots__ = ("_facts", "edges")

    def __init__(self, facts: Facts, edges: tuple[Edge, ...]) -> None:
        self._facts = facts
        self.edges = edges

    def __len__(self) -> int:
        return len(self.edges)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the values along the path: the input, operators, the output."""
        names = self._facts.names
        if not self.edges:
            return ()
        return (names[self.edges[0].operand], *(names[e.into] for e in self.edges))

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The partials along the path, from the input on."""
        names = self._facts.names
        return tuple(
            Factor(names[e.into], names[e.operand], e.formula(), e.value if e.is_scalar else None)
            for e in self.edges
        )

    @property
    def product(self) -> Any:
        """The product of the partials; None where one is a block of numbers."""
        product = np.float64(1.0)
        with np.errstate(all="ignore"):
            for e in self.edges:
                if not e.is_scalar:
                    return None
                product = product * e.value
        return product

    def __str__(self) -> str:
        return " → ".join(self.nodes)


class Paths:
    """All paths from an input to an output.

    Iterating yields them one at a time, without end of memory; `listed` holds the first ones.

    Attributes
    ----------
    output, input : names
    count : how many there are, exactly, however many
    limit : how many `listed` and the text show at most, and `sum` adds up one by one
    """

    def __init__(self, facts: Facts, output: int, source: int, limit: int = 20) -> None:
        self._facts = facts
        self._output = output
        self._source = source
        self.limit = limit
        self.output = facts.names[output]
        self.input = facts.names[source]
        self._into = self._find_edges()
        self.count = self._count()

    def _find_edges(self) -> dict[int, list[Edge]]:
        # The edges that lie on a path, by the operator they enter.
        facts = self._facts
        up = facts.reaches(self._source)
        down = {self._output}
        into: dict[int, list[Edge]] = {}
        for i in reversed(facts.operators):
            if i in down:
                edges = [e for e in facts.flowing(i) if up[e.operand]]
                if edges:
                    into[i] = edges
                    down.update(e.operand for e in edges)
        return dict(reversed(into.items()))

    def _count(self) -> int:
        uses: dict[int, int] = {}
        for edges in self._into.values():
            for e in edges:
                uses[e.operand] = uses.get(e.operand, 0) + 1
        found = {self._source: 1}
        for i, edges in self._into.items():
            total = 0
            for e in edges:
                total += found.get(e.operand, 0)
                uses[e.operand] -= 1
                if not uses[e.operand] and e.operand != self._output:
                    found.pop(e.operand, None)  # counts of long graphs have many digits
            found[i] = total
        return found.get(self._output, 0)

    def __bool__(self) -> bool:
        return self.count > 0

    def __iter__(self) -> Iterator[Path]:
        """All paths, walked back from the output, depth first."""
        if self._output == self._source:
            yield Path(self._facts, ())
            return
        chosen: list[Edge] = []
        stack: list[Iterator[Edge]] = [iter(self._into.get(self._output, ()))]
        while stack:
            edge = next(stack[-1], None)
            if edge is None:
                stack.pop()
                if chosen:
                    chosen.pop()
                continue
            chosen.append(edge)
            if edge.operand == self._source:
                yield Path(self._facts, tuple(reversed(chosen)))
                chosen.pop()
            else:
                stack.append(iter(self._into[edge.operand]))

    @property
    def multiplications(self) -> PathCounts:
        """What the sum over the paths costs, in three ways."""
        number: dict[int, int] = {self._source: 0}
        edges = []
        paths, length, folded = {self._source: 1}, {self._source: 0}, 0
        for i, into in self._into.items():
            number[i] = len(number)
            edges += [(number[e.operand], number[i], False) for e in into]
            folded += sum(e.operand != self._source for e in into)
            paths[i] = sum(paths[e.operand] for e in into)
            length[i] = sum(length[e.operand] + paths[e.operand] for e in into)
        if not self.count or self._output == self._source:
            return PathCounts(0, 0, 0)
        skeleton = Skeleton(len(number), edges, [0], [number[self._output]])
        search = best_order if len(number) <= _MOST_SEARCHED else best_greedy
        fewest = skeleton.multiplications(search(skeleton, every=True), every=True)
        return PathCounts(length[self._output] - self.count, folded, min(fewest, folded))

    @property
    def listed(self) -> list[Path]:
        """The first `limit` paths."""
        return [path for path, _ in zip(self, range(self.limit), strict=False)]

    @property
    def is_masked(self) -> bool:
        """Whether paths exist, but conditions discard every one of them."""
        return not self.count and self._facts.reaches(self._source, masked=True)[self._output]

    @property
    def sum(self) -> Any:
        """The sum of the products, which is the derivative; None where blocks are on the way.

        Beyond `limit` paths it is computed in factored form, operator by operator.
        """
        if any(not e.is_scalar for edges in self._into.values() for e in edges):
            return None
        with np.errstate(all="ignore"):
            if self.count <= self.limit:
                return (
                    np.float64(np.sum([path.product for path in self]))
                    if self
                    else (np.float64(0.0))
                )
            found: dict[int, Any] = {self._source: np.float64(1.0)}
            for i, edges in self._into.items():
                found[i] = sum(
                    [e.value * found[e.operand] for e in edges[1:]],
                    edges[0].value * found[edges[0].operand],
                )
            return found[self._output]

    def __str__(self) -> str:
        if not self.count:
            why = "masked: conditions discard them all" if self.is_masked else "no path"
            return f"from {self.input} to {self.output}: 0 ({why})"
        noun = "path" if self.count == 1 else "paths"
        lines = [f"from {self.input} to {self.output}: {count_text(self.count)} {noun}"]
        listed = self.listed
        for path in listed:
            lines.append(f"  {path_text(path)}")
            lines.append(f"    {product_text(path)}")
        if self.count > len(listed):
            lines.append(f"  … and {count_text(self.count - len(listed))} more")
        total = self.sum
        if total is not None and self.count > 1:
            terms = [number_text(path.product) for path in listed] if self.count <= 8 else []
            written = " + ".join(f"({t})" if t.startswith("-") else t for t in terms)
            lines.append(f"  sum = {written + ' = ' if written else ''}{number_text(total)}")
        if total is not None and self.count > 1:
            separate, folded, fewest = self.multiplications
            lines.append(
                f"  multiplications: {count_text(separate)} path by path, {folded} with common "
                f"factors taken out, {fewest} in the cheapest order"
            )
        return "\n".join(lines)


_MOST_FACTORS = 24
#: Operators on the paths up to which the cheapest order is searched for.
_MOST_SEARCHED = 60


def path_text(path: Path, words: Words = ENGLISH) -> str:
    """`w → h1 → f`; the middle of a long path is left out."""
    nodes = path.nodes
    if len(nodes) <= _MOST_FACTORS + 1:
        return " → ".join(nodes)
    more = words("{0} more", len(nodes) - 9)
    return " → ".join([*nodes[:6], f"… {more} …", *nodes[-3:]])


def product_text(path: Path, words: Words = ENGLISH) -> str:
    """The product of the partials along a path: in names, as formulas, in numbers."""
    if not path.edges:
        return f"{words('the output is the input itself')}: 1"
    if len(path) > _MOST_FACTORS:
        product = path.product
        count = words("{0} partials", len(path))
        return count + (f" = {number_text(product)}" if product is not None else "")
    factors = path.factors
    names = " · ".join(f.name for f in factors)
    formulas = " · ".join(
        _enclosed(words(e.structure.kind) if e.local is None else f.formula)
        for e, f in zip(path.edges, factors, strict=True)
    )
    if path.product is None:
        return f"{names} = {formulas}"
    numbers = " · ".join(_enclosed(number_text(f.value)) for f in factors)
    # A formula that is its own number is written once.
    parts = dict.fromkeys([names, formulas, numbers, number_text(path.product)])
    return " = ".join(parts)


def _enclosed(text: str) -> str:
    return f"({text})" if text.startswith("-") or " " in text else text
