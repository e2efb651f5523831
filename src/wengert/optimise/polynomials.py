"""Sums of products as data, and the straight-line program that computes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from wengert.graph.tuples import NamedTuple
from wengert.ops import TABLE
from wengert.optimise.builder import Builder
from wengert.optimise.facts import is_moderate

__all__ = ["Program", "Term", "degree"]


class Term(NamedTuple):
    """A number times a product of atoms, in order, repeated for powers.

    Atoms from 0 on are value numbers, those below are sums of a program.
    """

    number: float
    atoms: tuple[int, ...]

    def times(self, number: float) -> Term:
        """The term with another number."""
        return Term(self.number * number, self.atoms)

    def without(self, common: tuple[int, ...]) -> Term | None:
        """The term divided by some of its atoms; None if it has not all of them."""
        left = list(self.atoms)
        for atom in common:
            if atom not in left:
                return None
            left.remove(atom)
        return Term(self.number, tuple(left))


def degree(term: Term) -> int:
    """How many factors a term has, its number included unless that is only a sign."""
    return len(term.atoms) + (abs(term.number) != 1.0 or not term.atoms)


class Program:
    """Sums, and the nodes that compute them: equal ones are one.

    Attributes
    ----------
    made : for a value number that the program computes itself, the node
    """

    def __init__(self) -> None:
        self._sums: list[tuple[Term, ...]] = []
        self._sum_of: dict[tuple[Term, ...], int] = {}
        self._sizes: list[int] = []
        self._nodes: list[tuple[Any, ...]] = []
        self._node_of: dict[tuple[Any, ...], int] = {}
        #: Nodes that are single numbers where others are arrays.
        self._small: set[int] = set()
        self._products: dict[tuple[int, ...], int] = {}
        #: Products by the factor that was made last.
        self._products_with: dict[int, list[tuple[int, ...]]] = {}
        self._sum_nodes: dict[int, int] = {}
        self.made: dict[int, int] = {}

    # ------------------------------------------------------------ sums

    def as_term(self, terms: Sequence[Term]) -> Term:
        """The sum of some terms as one term."""
        if len(terms) == 1:
            return terms[0]
        key = tuple(terms)
        if key not in self._sum_of:
            self._sums.append(key)
            self._sizes.append(len(key) + sum(self.size(t.atoms) for t in key))
            self._sum_of[key] = -len(self._sums)
        return Term(1.0, (self._sum_of[key],))

    def size(self, atoms: Iterable[int]) -> int:
        """How many terms the sums among some atoms have, with those of the sums inside them."""
        return sum(self._sizes[-1 - a] for a in atoms if a < 0)

    def spread(self, term: Term) -> Term:
        """The term with its number inside one of its sums, where that costs nothing."""
        if term.number == 1.0:
            return term
        for position, atom in enumerate(term.atoms):
            if atom >= 0:
                continue
            inner = [t.times(term.number) for t in self._sums[-1 - atom]]
            given = self._sums[-1 - atom]
            if all(abs(t.number) != 1.0 or not t.atoms for t in given) and all(
                is_moderate(t.number) for t in inner
            ):
                (own,) = self.as_term(inner).atoms
                others = term.atoms[:position] + term.atoms[position + 1 :]
                return Term(1.0, tuple(sorted((*others, own))))
        return term

    def _sums_in(self, atoms: Iterable[int]) -> list[int]:
        """The sums that a product is made of, and those that these are made of, inner ones
        first."""
        found: set[int] = set()
        stack = [a for a in atoms if a < 0]
        while stack:
            atom = stack.pop()
            if atom not in found:
                found.add(atom)
                stack += [a for t in self._sums[-1 - atom] for a in t.atoms if a < 0]
        # A sum is made after those in it.
        return sorted(found, reverse=True)

    def values_in(self, atoms: Sequence[int]) -> set[int]:
        """The value numbers that a product is made of."""
        inner = [t.atoms for s in self._sums_in(atoms) for t in self._sums[-1 - s]]
        return {a for part in (atoms, *inner) for a in part if a >= 0}

    # ------------------------------------------------------------ nodes

    def value(self, k: int, small: bool) -> int:
        """The node of a value."""
        if k in self.made:
            return self.made[k]
        node = self._node("value", k)
        if small:
            self._small.add(node)
        return node

    def apply(self, name: str, *operands: int) -> int:
        """The node of an operator applied to nodes."""
        node = self._node(name, *operands)
        if self._small.issuperset(operands):
            self._small.add(node)
        return node

    def _node(self, *key: Any) -> int:
        if key not in self._node_of:
            self._node_of[key] = len(self._nodes)
            self._nodes.append(key)
        return self._node_of[key]

    def _number(self, number: float) -> int:
        node = self._node("number", number)
        self._small.add(node)
        return node

    def _times(self, a: int, b: int) -> int:
        return self.apply("square", a) if a == b else self.apply("multiply", *sorted((a, b)))

    def product(self, term: Term) -> int:
        """The node of a term."""
        for atom in self._sums_in(term.atoms):
            if atom not in self._sum_nodes:
                self._sum_nodes[atom] = self._total(self._sums[-1 - atom])
        return self._signed(term)

    def _signed(self, term: Term) -> int:
        if term.number == -1.0 and term.atoms:
            return self.apply("negative", self._unsigned(term.times(-1.0)))
        return self._unsigned(term)

    def _unsigned(self, term: Term) -> int:
        nodes = [self._sum_nodes[a] if a < 0 else self.value(a, False) for a in term.atoms]
        small = [n for n in nodes if n in self._small]
        large = [n for n in nodes if n not in self._small]
        if term.number != 1.0 or not nodes:
            small.append(self._number(term.number))
        made = [self._shared(group) for group in (large, small) if group]
        return made[0] if len(made) == 1 else self._times(*made)

    def _shared(self, factors: list[int]) -> int:
        """A product, made of products that exist already as far as possible."""
        left = Counter(factors)
        result, so_far = -1, Counter[int]()
        while left:
            best: tuple[int, ...] = (min(left),)
            for known in [p for f in left for p in self._products_with.get(f, ())]:
                if len(known) > len(best) and not Counter(known) - left:
                    best = known
            if len(best) == 1 and left[best[0]] > 1 and left.total() > 2:
                best *= 2  # a square, which may be used again
            node = best[0] if len(best) == 1 else self._products.get(best, -1)
            if node < 0:
                node = self._note(best, self._times(best[0], best[1]))
            left -= Counter(best)
            so_far.update(best)
            result = node if result < 0 else self._times(result, node)
            if so_far.total() > 1:
                self._note(tuple(sorted(so_far.elements())), result)
        return result

    def _note(self, factors: tuple[int, ...], node: int) -> int:
        if factors not in self._products:
            self._products[factors] = node
            self._products_with.setdefault(factors[-1], []).append(factors)
        return node

    def _total(self, terms: Sequence[Term]) -> int:
        # A sum begins with a term that needs no sign.
        first = next((k for k, t in enumerate(terms) if t.number != -1.0), 0)
        is_negative = terms[first].number == -1.0
        total = self._unsigned(terms[first].times(-1.0) if is_negative else terms[first])
        for k, t in enumerate(terms):
            if k == first:
                continue
            if t.number == -1.0 and not is_negative:
                total = self.apply("subtract", total, self._unsigned(t.times(-1.0)))
            else:
                sign = -1.0 if is_negative else 1.0
                total = self.apply("add", total, self._unsigned(t.times(sign)))
        return self.apply("negative", total) if is_negative else total

    # ------------------------------------------------------------ the program

    def _needed(self, nodes: Iterable[int]) -> list[int]:
        found: set[int] = set()
        stack = list(nodes)
        while stack:
            node = stack.pop()
            if node not in found:
                found.add(node)
                if self._nodes[node][0] not in ("value", "number"):
                    stack += self._nodes[node][1:]
        return sorted(found)

    def cost(self, nodes: Iterable[int]) -> int:
        """How many instructions compute some nodes; a product that only one sum reads has none of
        its own."""
        wanted = list(nodes)
        needed = self._needed(wanted)
        uses = Counter(wanted)
        for node in needed:
            if self._nodes[node][0] not in ("value", "number"):
                uses.update(self._nodes[node][1:])
        count = 0
        for node in needed:
            name, *operands = self._nodes[node]
            if name in ("value", "number") or node in self._small:
                continue
            fused = name in ("add", "subtract") and any(
                uses[k] == 1
                and k not in self._small
                and self._nodes[k][0] in ("multiply", "square")
                for k in operands
            )
            count += 1 - fused
        return count

    def build(
        self, node: int, builder: Builder, where: Sequence[int], dtype: Any, built: dict[int, int]
    ) -> int:
        """Emit a node, given the new numbers of values; `built` are those that are there."""
        for k in self._needed([node]):
            if k in built:
                continue
            name, *operands = self._nodes[k]
            if name == "value":
                built[k] = where[operands[0]]
            elif name == "number":
                built[k] = builder.add_constant(dtype.type(operands[0]))
            else:
                built[k] = builder.emit(TABLE[name], tuple([built[o] for o in operands]))
        return built[node]
