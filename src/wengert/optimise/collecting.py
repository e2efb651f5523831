"""Sums of products: like terms are one, common factors are taken out, products are made once.

A derivative of x + k*x*x*x is a sum of three products of the same factors. A sum is read as a list
of *terms*, each a number times a product of *atoms*: values that are no sums or products of this
kind, or sums of terms. Terms that share atoms become one product with a sum of what differs. Sums
and products that hang together (a *part* of the graph) are written again, with each product made
once; the new form of a part is taken where it has fewer instructions.

What programs do on purpose stays: nothing is multiplied out; a sum whose terms have different signs
keeps its order, since it may be one that cancels (in compensated sums and exact products); and
numbers that would matter for overflow stay where they are.

Source: A. Hosangadi, F. Fallah, R. Kastner, Optimizing polynomial expressions by algebraic
factorization and common subexpression elimination, 2006.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from wengert.graph import CONSTANT, Graph
from wengert.graph.sizes import NotSymbolicError, Number, decides
from wengert.ops import TABLE
from wengert.optimise.builder import Builder, RuleIndex
from wengert.optimise.facts import is_moderate
from wengert.optimise.polynomials import Program, Term, degree
from wengert.optimise.record import Record
from wengert.optimise.rewriting import Emit, rewrite

__all__ = ["collect_terms"]

#: Sums of more terms, and products of more atoms, are not looked into.
_MOST_TERMS = 12
_MOST_ATOMS = 12
#: Terms of a sum with those of the sums inside it.
_LARGEST = 48
#: Members of a part that hangs together only by what they read.
_MOST_SHARING = 128
_NO_RULES = RuleIndex(())
_SUMS, _PRODUCTS = ("add", "subtract"), ("multiply", "square")
_KNOWN = frozenset(TABLE[name] for name in (*_SUMS, *_PRODUCTS, "negative"))


def collect_terms(
    graph: Graph, origin: list[int], log: list[Record], stage: str
) -> tuple[Graph, list[int]]:
    """The graph with collected terms."""
    # It ends: the number of operations falls each time.
    while instead := _instead(graph):
        graph, origin, _ = rewrite(graph, origin, _NO_RULES, log, stage, instead)
    return graph, origin


def _instead(graph: Graph) -> dict[int, Emit]:
    """How to emit values of the parts that have a better form."""
    parts = list(_parts(graph))
    count, wanted = _uses(graph, parts) if parts else ([], set())
    found: dict[int, Emit] = {}
    for members in parts:
        read = {k for i in members for k in graph.entries[i][1]}
        of_sizes = [k for k in read if type(graph.constants.get(k)) is Number]
        if of_sizes:
            _ask_for_all_sizes(graph, members, count, wanted, of_sizes)
        else:
            found.update(_Part(graph, members, count, wanted, graph.constants).rewritten())
    return found


def _ask_for_all_sizes(
    graph: Graph, members: list[int], count: Sequence[int], wanted: set[int], of_sizes: list[int]
) -> None:
    """Note that a part stays as it is, which depends on numbers that depend on sizes; a part that
    doesn't is written again for each size."""

    def stays(*numbers: Any) -> bool:
        constants = {**graph.constants, **dict(zip(of_sizes, numbers, strict=True))}
        return not _Part(graph, members, count, wanted, constants).rewritten()

    given = [graph.constants[k] for k in of_sizes]
    if not decides(stays)(*given):
        raise NotSymbolicError


def _parts(graph: Graph) -> Iterator[list[int]]:
    """The parts in which there may be something to collect: entries in order.

    Members that read the same value are in one part too, up to a size: they may share products.
    """
    entries, live = graph.entries, graph.live()
    parent: dict[int, int] = {}
    size: dict[int, int] = {}
    reader: dict[int, int] = {}

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    def join(i: int, k: int, most: int) -> None:
        one, other = root(i), root(k)
        if one != other and size[one] + size[other] <= most:
            if size[one] < size[other]:
                one, other = other, one
            parent[other] = one
            size[one] += size[other]

    for i, (op, operands, _, type_) in enumerate(entries):
        if op not in _KNOWN or not live[i] or not _is_simple(entries, operands, type_):
            continue
        parent[i], size[i] = i, 1
        for k in operands:
            if entries[k][3] is not type_:
                continue
            if k in parent:
                join(i, k, len(entries))
            elif entries[k][0] is not CONSTANT:
                join(i, reader.get(k, i), _MOST_SHARING)
                reader[k] = i
    parts: dict[int, list[int]] = {}
    for i in parent:
        parts.setdefault(root(i), []).append(i)
    for members in parts.values():
        if len(members) > 2 and _may_share(entries, members):
            yield members


def _may_share(entries: Sequence[Any], members: Sequence[int]) -> bool:
    """Whether there are two products, and a value that is read twice, or two numbers."""
    products, read, numbers = 0, set(), 0
    is_twice = False
    for i in members:
        op, operands = entries[i][:2]
        products += op.name in _PRODUCTS
        is_twice |= op.name == "square"
        for k in operands:
            is_twice |= k in read
            read.add(k)
            numbers += entries[k][0] is CONSTANT
    return products > 1 and (is_twice or numbers > 1)


def _uses(graph: Graph, parts: Sequence[Sequence[int]]) -> tuple[list[int], set[int]]:
    """How often each value is used, and which are outputs or used in another part or none."""
    part = {i: number for number, members in enumerate(parts) for i in members}
    count = [0] * len(graph.entries)
    wanted = set(graph.outputs)
    for i, (_, operands, _, _) in enumerate(graph.entries):
        for k in operands:
            count[k] += 1
            if k in part and part.get(i) != part[k]:
                wanted.add(k)
    for k in graph.outputs:
        count[k] += 1
    return count, wanted


def _is_simple(entries: Sequence[Any], operands: Sequence[int], type_: Any) -> bool:
    """Whether operands have the type of the result, or are numbers of its dtype."""
    dtype = type_.dtype
    if dtype.kind != "f" or dtype.itemsize < 4:
        return False
    for k in operands:
        own = entries[k][3]
        if own is not type_ and (own.shape or own.dtype is not dtype):
            return False
    return True


class _Part:
    """Sums and products that hang together.

    Atoms are value numbers, or (negative) sums of the program.
    """

    def __init__(
        self,
        graph: Graph,
        members: list[int],
        count: Sequence[int],
        wanted: set[int],
        constants: Mapping[int, Any],
    ) -> None:
        self.entries, self.constants = graph.entries, constants
        self.members = members
        self.type = graph.entries[members[0]][3]
        self.inside = set(members)
        self.count = count
        self.wanted = self.inside.intersection(wanted)
        self.program = Program()
        #: Each member as a term; sums also as their terms, if these may be moved.
        self.form: dict[int, Term] = {}
        self.terms: dict[int, list[Term]] = {}
        #: Members that are made from the same two operands as before.
        self.kept: set[int] = set()

    def rewritten(self) -> dict[int, Emit]:
        """How to emit the members that others need, if that takes fewer instructions."""
        for i in self.members:
            self._read(i)
        nodes = self._emitted()
        before, after = self._old_cost(), self.program.cost(nodes.values())
        if after >= before:
            return {}
        return _emitters(self.program, nodes, self.type.dtype, f"{before} operations", after)

    # ------------------------------------------------------------ reading

    def _as_term(self, k: int) -> Term:
        """An operand as a term. A sum that is used again is an atom, made once."""
        if self.entries[k][0] is CONSTANT and not self.entries[k][3].shape:
            return Term(float(self.constants[k]), ())
        if k not in self.inside or (self._name(k) in _SUMS and self._is_again(k)):
            return Term(1.0, (k,))
        form = self._form(k)
        return Term(1.0, (k,)) if self.program.size(form.atoms) > _LARGEST else form

    def _name(self, k: int) -> str:
        return str(self.entries[k][0].name)

    def _is_again(self, k: int) -> bool:
        return k in self.inside and (self.count[k] > 1 or k in self.wanted)

    def _form(self, i: int) -> Term:
        """A member as a term; that of a sum is looked for when somebody asks."""
        if i not in self.form:
            given = self.terms[i]
            made = self._collected(given)
            if len(made) == len(given):
                self._keep(i)
            else:
                self.form[i] = self.program.as_term(made)
        return self.form[i]

    def _keep(self, i: int) -> None:
        self.kept.add(i)
        self.form[i] = Term(1.0, (i,))

    def _read(self, i: int) -> None:
        name, operands = self._name(i), self.entries[i][1]
        if name in _SUMS:
            self._read_sum(i, operands, -1.0 if name == "subtract" else 1.0)
        elif name == "negative":
            (k,) = operands
            inner = Term(1.0, (k,)) if self._is_again(k) else self._as_term(k)
            self.form[i] = inner.times(-1.0)
        else:
            first, second = (self._as_term(k) for k in (operands[0], operands[-1]))
            number = first.number * second.number
            atoms = tuple(sorted(first.atoms + second.atoms))
            numbers = (first.number, second.number, number)
            if len(atoms) > _MOST_ATOMS or not all(is_moderate(c) for c in numbers):
                self._keep(i)
            else:
                self.form[i] = Term(number, atoms)

    def _read_sum(self, i: int, operands: Sequence[int], sign: float) -> None:
        found: list[Term] = []
        for k, s in zip(operands, (1.0, sign), strict=True):
            is_inner = self.count[k] == 1 and k in self.terms
            own = self.terms[k] if is_inner else [self.program.spread(self._as_term(k))]
            found += [t.times(s) for t in own]
        signs = {t.number > 0 for t in found}
        if len(signs) > 1 or len(found) > _MOST_TERMS or any(t.number == 0 for t in found):
            self._keep(i)
        else:
            self.terms[i] = found

    def _collected(self, given: Sequence[Term]) -> list[Term]:
        """A sum in fewer terms; as many as given if there are no fewer."""
        terms = _alike(given)
        while len(terms) > 1:
            gains = [(_gain(terms, c), c) for c in _common_atoms(terms)]
            gain, common = max(gains, default=(0, ()))
            if gain < 1:
                break
            parts = [t.without(common) for t in terms]
            rest = self.program.as_term(self._collected([p for p in parts if p is not None]))
            joined = Term(rest.number, tuple(sorted(common + rest.atoms)))
            first = next(k for k, p in enumerate(parts) if p is not None)
            terms[first] = self.program.spread(joined)
            terms = [t for k, t in enumerate(terms) if parts[k] is None or k == first]
        return terms

    # ------------------------------------------------------------ writing

    def _emitted(self) -> dict[int, int]:
        """A node of the program for every member that others need."""
        needed = set(self.wanted)
        for i in reversed(self.members):
            if i in needed:
                form = self._form(i)
                atoms = self.entries[i][1] if i in self.kept else form.atoms
                needed |= self.inside.intersection(self.program.values_in(atoms))
        program = self.program
        for i in self.members:
            if i not in needed:
                continue
            if i in self.kept:
                operands = [program.value(k, self._is_small(k)) for k in self.entries[i][1]]
                program.made[i] = program.apply(self._name(i), *operands)
            else:
                for k in program.values_in(self.form[i].atoms):
                    program.value(k, self._is_small(k))
                program.made[i] = program.product(program.spread(self.form[i]))
        return {i: program.made[i] for i in self.wanted}

    def _is_small(self, k: int) -> bool:
        return self.entries[k][3] is not self.type

    def _old_cost(self) -> int:
        fused = 0
        for i in self.members:
            if self._name(i) in _SUMS:
                fused += any(
                    k in self.inside and self._name(k) in _PRODUCTS and self.count[k] == 1
                    for k in self.entries[i][1]
                )
        return len(self.members) - fused


def _alike(terms: Iterable[Term]) -> list[Term]:
    numbers: dict[tuple[int, ...], float] = {}
    for t in terms:
        numbers[t.atoms] = numbers.get(t.atoms, 0.0) + t.number
    return [Term(number, atoms) for atoms, number in numbers.items()]


def _common_atoms(terms: Sequence[Term]) -> set[tuple[int, ...]]:
    found = set()
    often = {a for a, n in Counter(a for t in terms for a in set(t.atoms)).items() if n > 1}
    for first, second in combinations([t for t in terms if not often.isdisjoint(t.atoms)], 2):
        shared = Counter(first.atoms) & Counter(second.atoms)
        if shared:
            found.add(tuple(sorted(shared.elements())))
    return found


def _gain(terms: Sequence[Term], common: tuple[int, ...]) -> int:
    """The instructions that it saves to take out some atoms. Horner's form of a polynomial counts
    as one less: it uses the powers that others do, and has room for a number."""
    parts = [(t, t.without(common)) for t in terms]
    inner = [p for _, p in parts if p is not None]
    outside = [t for t, p in parts if p is None]
    joined = Term(1.0, (*common, 0))  # 0 stands for the inner sum
    is_power = any(set(p.atoms) & set(common) for p in inner)
    saved = _cost_of_sum(terms) - _cost_of_sum(inner) - _cost_of_sum([*outside, joined])
    return saved + is_power


def _cost_of_sum(terms: Sequence[Term]) -> int:
    """Instructions: of each term one multiplies and adds; the first need not be added."""
    degrees = [degree(t) for t in terms]
    return sum(max(1, d - 1) for d in degrees) - any(d < 2 for d in degrees)


def _emitters(
    program: Program, nodes: dict[int, int], dtype: Any, before: str, after: int
) -> dict[int, Emit]:
    built: dict[int, int] = {}

    def emitter(node: int) -> Emit:
        def emit(builder: Builder, where: list[int]) -> int:
            is_first = not built
            made = program.build(node, builder, where, dtype, built)
            if is_first:
                why = f"{before} become {after}"
                builder.note("collect-terms", why, "reals", "range", "sums of products", made)
            return made

        return emit

    return {i: emitter(node) for i, node in nodes.items()}
