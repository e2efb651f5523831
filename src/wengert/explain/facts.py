"""What every explanation is made from: a graph with the values of its entries, and its edges.

An *edge* leads from an operand into an operator and carries the local partial. An operand on which
the result does not depend differentiably has no edge; an edge whose partial a condition discards
(the side that `where` did not choose) is *masked*: no derivative flows along it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wengert.explain.calls import Calls
from wengert.explain.expression import Algebra, Expression
from wengert.explain.local import LocalPartial, constant_expression, local_partial, shape_of
from wengert.explain.printing import latex_name, print_formula
from wengert.explain.source import OwnSource
from wengert.explain.structure import SCALAR, Structure, structure_of
from wengert.explain.values import number_text
from wengert.graph import CONSTANT, INPUT, Entry, Graph
from wengert.run import evaluate_entry
from wengert.transform.sweeps import carries_derivatives

__all__ = ["Edge", "Facts", "Output", "prune"]


@dataclass(frozen=True, slots=True)
class Output:
    """One result of the function: its name and the number of its value."""

    name: str
    index: int


class Edge:
    """The edge from operand number `position` into entry `into`.

    Attributes
    ----------
    operand : value number of the operand
    local : the partial as a program; None where it is a block of numbers described by `structure`
    structure : how the local Jacobian is filled
    needs : value numbers that the partial is computed from
    """

    __slots__ = ("_facts", "_found", "into", "local", "operand", "position", "structure")

    def __init__(
        self,
        facts: Facts,
        into: int,
        position: int,
        local: LocalPartial | None,
        structure: Structure,
    ) -> None:
        self._facts = facts
        self.into = into
        self.position = position
        self.operand: int = facts.graph.entries[into][1][position]
        self.local = local
        self.structure = structure
        self._found: Any = None

    @property
    def is_scalar(self) -> bool:
        """Whether the local Jacobian is one number."""
        return self.structure is SCALAR and self.local is not None

    def _evaluated(self) -> tuple[Any, Any]:
        if self._found is None:
            if self.local is None:
                self._found = (None, None)
            else:
                values = self._facts.values
                operands = self._facts.graph.entries[self.into][1]
                self._found = self.local.evaluate(values[self.into], [values[k] for k in operands])
        return self._found  # type: ignore[no-any-return]

    @property
    def is_masked(self) -> bool:
        """Whether a condition discards the partial everywhere."""
        mask = self._evaluated()[1] if self.local is not None and self.local.is_masked else None
        return mask is not None and not np.any(mask)

    @property
    def value(self) -> Any:
        """The partial: a number, or for an elementwise operator the array on the diagonal."""
        value, mask = self._evaluated()
        return value if mask is None else np.where(mask, value, 0.0)[()]

    @property
    def needs(self) -> tuple[int, ...]:
        operands = self._facts.graph.entries[self.into][1]
        if self.local is not None:
            return tuple(self.into if k == 0 else operands[k - 1] for k in self.local.needs)
        return self._facts.block_needs(self.into, self.position)

    def expression(self) -> Expression | None:
        """The partial's formula in the names of the operands."""
        if self.local is None:
            return None
        facts = self._facts
        op, operands, params, type_ = facts.graph.entries[self.into]
        names = [facts.symbol(k) for k in operands]
        result = facts.algebra.apply(
            op, names, params, [shape_of(facts.graph.type(k)) for k in operands], shape_of(type_)
        )
        # Of a number the side that counts here is written, not the condition that chose it.
        return self.local.expression(facts.algebra, result, names, masked=not self.is_scalar)

    def formula(self, style: str = "pretty") -> str:
        """The formula as text or LaTeX; for a block of numbers its structure."""
        e = self.expression()
        if e is None:
            text = self.structure.kind
            return rf"\text{{{text}}}" if style == "latex" else text
        return print_formula(e, style)


def prune(graph: Graph) -> tuple[Graph, dict[int, int]]:
    """The graph without entries that no output needs (inputs stay), and old -> new numbers."""
    live = graph.live()
    where: dict[int, int] = {}
    entries: list[Entry] = []
    constants: dict[int, Any] = {}
    lines: dict[int, str] = {}
    names: dict[int, str] = {}
    for i, (op, operands, params, type_) in enumerate(graph.entries):
        if not live[i] and op is not INPUT:
            continue
        new = where[i] = len(entries)
        entries.append((op, tuple([where[k] for k in operands]), params, type_))
        if op is CONSTANT:
            constants[new] = graph.constants[i]
        if i in graph.lines:
            lines[new] = graph.lines[i]
        if i in graph.names:
            names[new] = graph.names[i]
    pruned = Graph(
        entries,
        [where[i] for i in graph.inputs],
        [where[i] for i in graph.outputs],
        constants,
        lines,
        names,
    )
    return pruned, where


class Facts:
    """A graph without dead entries, its values, its names and its edges.

    Parameters
    ----------
    graph : the pruned graph
    arguments : the arrays of its inputs
    known : values computed already, by value number
    output_names : one name per output
    function : name of the function
    source : where its text is, if that is known
    calls : the calls of functions that recorded the entries, if they are known
    """

    def __init__(
        self,
        graph: Graph,
        arguments: Sequence[Any],
        known: dict[int, Any],
        output_names: Sequence[str],
        function: str,
        source: OwnSource | None = None,
        calls: Calls | None = None,
    ) -> None:
        self.graph = graph
        self.arguments = list(arguments)
        self.function = function
        self.source = source
        self.calls = calls
        self.inputs = tuple(i for i in graph.inputs if graph.type(i).is_float)
        self.outputs = tuple(
            Output(name, i) for name, i in zip(output_names, graph.outputs, strict=True)
        )
        self.algebra = Algebra()
        self.values = self._run(known)
        self.names = self._name_entries()
        self.operators = [
            i for i, entry in enumerate(graph.entries) if entry[0] not in (INPUT, CONSTANT)
        ]
        self._symbols: dict[int, Expression] = {}
        self._edges: list[tuple[Edge | None, ...]] = []
        self._depends: dict[int, list[bool]] = {}

    def _run(self, known: dict[int, Any]) -> list[Any]:
        values: list[Any] = []
        arguments = dict(zip(self.graph.inputs, self.arguments, strict=True))
        with np.errstate(all="ignore"):
            for i, (op, operands, params, _) in enumerate(self.graph.entries):
                if op is INPUT:
                    values.append(arguments[i])
                elif op is CONSTANT:
                    values.append(self.graph.constants[i])
                elif i in known:
                    values.append(known[i])
                else:
                    values.append(evaluate_entry(op, [values[k] for k in operands], params))
        return values

    def _name_entries(self) -> list[str]:
        taken = set(self.graph.names.values())
        letters = ("h", "v", "u", "t", "node")
        letter = next(
            (c for c in letters if not any(re.fullmatch(rf"{c}\d+", n) for n in taken)), "result"
        )
        names, count = [], 0
        for i, (op, _, _, _) in enumerate(self.graph.entries):
            if op is INPUT:
                names.append(self.graph.names.get(i, f"x{i}"))
            elif op is CONSTANT:
                value = np.asarray(self.graph.constants[i])
                names.append(f"c{i}" if value.ndim else number_text(value[()]))
            else:
                count += 1
                names.append(f"{letter}{count}")
        return names

    # ------------------------------------------------------------ formulas

    def symbol(self, i: int) -> Expression:
        """The name of an entry as a formula; for a constant its number."""
        found = self._symbols.get(i)
        if found is None:
            if self.graph.entries[i][0] is CONSTANT:
                found = constant_expression(self.algebra, self.graph.constants[i], i)
            else:
                found = self.algebra.symbol(self.names[i], latex_name(self.names[i]))
            self._symbols[i] = found
        return found

    def computes(self, i: int, style: str = "pretty") -> str:
        """What an operator computes, in the names of its operands."""
        op, operands, params, type_ = self.graph.entries[i]
        shapes = [shape_of(self.graph.type(k)) for k in operands]
        e = self.algebra.apply(
            op, [self.symbol(k) for k in operands], params, shapes, shape_of(type_)
        )
        return print_formula(e, style)

    @functools.cached_property
    def expressions(self) -> list[Expression]:
        """The formula of every entry in the names of the inputs, sharing common parts."""
        found: list[Expression] = []
        for i, (op, operands, params, type_) in enumerate(self.graph.entries):
            if op is INPUT or op is CONSTANT:
                found.append(self.symbol(i))
            else:
                shapes = [shape_of(self.graph.type(k)) for k in operands]
                found.append(
                    self.algebra.apply(
                        op, [found[k] for k in operands], params, shapes, shape_of(type_)
                    )
                )
        return found

    def label(self, i: int) -> str:
        """What a drawing writes into the node: the operator's symbol; a name for a leaf."""
        op, _, params, _ = self.graph.entries[i]
        if op is INPUT or op is CONSTANT:
            return self.names[i]
        symbol = op.label(dict(params))
        if op.family == "elementwise" and params:
            symbol += " " + " ".join(str(v) for _, v in params)
        return "−" if symbol == "-" else str(symbol)

    # ------------------------------------------------------------ edges

    @property
    def edges(self) -> list[tuple[Edge | None, ...]]:
        """For each entry one edge per operand, or None where it is zero by structure."""
        if not self._edges:
            self._edges = [self._edges_into(i) for i in range(len(self.graph))]
        return self._edges

    def _edges_into(self, i: int) -> tuple[Edge | None, ...]:
        op, operands, params, type_ = self.graph.entries[i]
        if not operands or not carries_derivatives(op, type_):
            return (None,) * len(operands)
        types = tuple([self.graph.type(k) for k in operands])
        return tuple([self._edge(i, k, op, params, type_, types) for k in range(len(operands))])

    def _edge(
        self, i: int, k: int, op: Any, params: Any, type_: Any, types: tuple[Any, ...]
    ) -> Edge | None:
        entries = self.graph.entries
        operands = entries[i][1]
        operand = operands[k]
        if entries[operand][0] is CONSTANT or not _is_float(types[k]):
            return None
        scalar = shape_of(type_) == shape_of(types[k]) == () and not (
            isinstance(type_, tuple) or isinstance(types[k], tuple)
        )
        local = None
        if op.family == "elementwise" or scalar:
            local = local_partial(op, k, type_, types, params)
            if local is None:
                return None
        if scalar:
            return Edge(self, i, k, local, SCALAR)
        values = tuple(
            [
                self.values[o] if not _is_float(t) else None
                for o, t in zip(operands, types, strict=True)
            ]
        )
        return Edge(self, i, k, local, structure_of(op, k, type_, types, params, values))

    def flowing(self, i: int) -> list[Edge]:
        """The edges into entry i along which derivatives flow."""
        return [e for e in self.edges[i] if e is not None and not e.is_masked]

    def block_needs(self, i: int, position: int) -> tuple[int, ...]:
        """The operands that a block of partials is computed from: see `Linear.groups`."""
        op, operands, params, _ = self.graph.entries[i]
        if op.family == "linear":
            for group in op.groups(len(operands), dict(params)):
                if position in group:
                    others = [k for j, k in enumerate(operands) if j not in group]
                    return tuple(dict.fromkeys(others))
        if op.family == "project":
            return ()
        return (i, *dict.fromkeys(operands))

    # ------------------------------------------------------------ reachability

    @functools.cached_property
    def upward(self) -> list[bool]:
        """Which entries some input reaches along flowing edges."""
        reached = [False] * len(self.graph)
        for i in self.inputs:
            reached[i] = True
        for i in self.operators:
            reached[i] = any(reached[e.operand] for e in self.flowing(i))
        return reached

    @functools.cached_property
    def is_scalar(self) -> bool:
        """Whether every partial that counts is a single number."""
        return all(
            e.is_scalar for i in self.operators for e in self.flowing(i) if self.upward[e.operand]
        )

    def depends(self, output: int) -> list[bool]:
        """On which entries an output depends along flowing edges."""
        found = self._depends.get(output)
        if found is None:
            found = [False] * len(self.graph)
            found[output] = True
            for i in reversed(self.operators):
                if found[i]:
                    for e in self.flowing(i):
                        found[e.operand] = True
            self._depends[output] = found
        return found

    def reaches(self, source: int, *, masked: bool = False) -> list[bool]:
        """Which entries `source` reaches along flowing edges (with `masked`, along all)."""
        reached = [False] * len(self.graph)
        reached[source] = True
        for i in self.operators:
            if i > source:
                edges = self.edges[i] if masked else self.flowing(i)
                reached[i] = any(e is not None and reached[e.operand] for e in edges)
        return reached


def _is_float(type_: Any) -> bool:
    return isinstance(type_, tuple) or bool(type_.is_float)
