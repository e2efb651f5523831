"""The graph: a Wengert list, i.e. a flat, typed, immutable sequence of operator applications.

Entry number i has value number i. An entry is the plain tuple `(op, operands, params, type)`:
the operator's record, the numbers of the operands (all smaller than i), the static parameters as a
tuple of `(name, value)` pairs sorted by name, and the type of the result. Two leaf records, `INPUT`
and `CONSTANT`, stand for values that come from outside; the numbers of constants are kept beside
the list, so that the *structure* of a graph does not depend on them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from wengert.errors import GraphError, WengertError
from wengert.graph.tuples import NamedTuple
from wengert.graph.types import Type, type_of

__all__ = ["CONSTANT", "INPUT", "Entry", "Graph", "Leaf", "Node"]

Params = tuple[tuple[str, Any], ...]
Entry = tuple[Any, tuple[int, ...], Params, Any]


class Leaf:
    """The record of an entry that no operator computes: an input or a constant."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


INPUT = Leaf("input")
CONSTANT = Leaf("constant")


class Node(NamedTuple):
    """One entry of a graph, for reading: what `Graph.nodes` yields.

    `number` is its value number, `line` the user's `file.py:31` where it is known, else ''.
    """

    number: int
    op: Any
    operands: tuple[int, ...]
    params: Params
    type: Any
    line: str


class Graph:
    """An immutable Wengert list with inputs and outputs.

    Parameters
    ----------
    entries : sequence of (op, operands, params, type), in evaluation order
    inputs, outputs : value numbers; inputs are `INPUT` entries, outputs are any values
    constants : value number -> number or array, for each `CONSTANT` entry
    lines : value number -> `file.py:31`, as far as known
    names : value number -> name given by the user (inputs)

    Two graphs are equal if their structure and their constants are equal; the hash depends on the
    structure alone (`structure`: entries, inputs and outputs). Lines and names are not compared.
    """

    __slots__ = (
        "__weakref__",
        "_hash",
        "constants",
        "entries",
        "inputs",
        "lines",
        "names",
        "outputs",
        "schedules",
    )

    def __init__(
        self,
        entries: Sequence[Entry],
        inputs: Sequence[int],
        outputs: Sequence[int],
        constants: Mapping[int, Any] | None = None,
        lines: Mapping[int, str] | None = None,
        names: Mapping[int, str] | None = None,
    ) -> None:
        self.entries: tuple[Entry, ...] = tuple(entries)
        self.inputs: tuple[int, ...] = tuple(inputs)
        self.outputs: tuple[int, ...] = tuple(outputs)
        self.constants: Mapping[int, Any] = dict(constants or {})
        self.lines: Mapping[int, str] = dict(lines or {})
        self.names: Mapping[int, str] = dict(names or {})
        # Filled by whoever prepares the graph for running; derived from the fields above alone.
        self.schedules: dict[Any, Any] = {}
        self._hash: int | None = None

    @property
    def structure(self) -> tuple[Any, ...]:
        """What the graph computes, the numbers of its constants left out."""
        return (self.entries, self.inputs, self.outputs)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self.structure)
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Graph):
            return NotImplemented
        if hash(self) != hash(other) or self.structure != other.structure:
            return False
        return all(_same_bits(v, other.constants[k]) for k, v in self.constants.items())

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    @property
    def nodes(self) -> list[Node]:
        """The entries as readable records, in evaluation order."""
        lines = self.lines
        return [Node(i, *entry, lines.get(i, "")) for i, entry in enumerate(self.entries)]

    def type(self, index: int) -> Any:
        """The type of value number `index`."""
        return self.entries[index][3]

    @property
    def input_types(self) -> tuple[Any, ...]:
        """The types of the inputs, in order."""
        return tuple(self.entries[i][3] for i in self.inputs)

    @property
    def output_types(self) -> tuple[Any, ...]:
        """The types of the outputs, in order."""
        return tuple(self.entries[i][3] for i in self.outputs)

    def with_outputs(self, outputs: Sequence[int]) -> Graph:
        """The same entries with other outputs."""
        return Graph(self.entries, self.inputs, outputs, self.constants, self.lines, self.names)

    def users(self) -> list[list[int]]:
        """For each value, the numbers of the entries that use it (once per use)."""
        found: list[list[int]] = [[] for _ in self.entries]
        for i, (_, operands, _, _) in enumerate(self.entries):
            for k in operands:
                found[k].append(i)
        return found

    def live(self) -> list[bool]:
        """For each value, whether an output depends on it."""
        needed = [False] * len(self.entries)
        for k in self.outputs:
            needed[k] = True
        for i in range(len(self.entries) - 1, -1, -1):
            if needed[i]:
                for k in self.entries[i][1]:
                    needed[k] = True
        return needed

    def verify(self) -> Graph:
        """Check every entry; return the graph itself, or raise `GraphError` naming the entry.

        Checks that operands come before their use, that each recorded type is the one the
        operator's own rule infers, that each constant has its recorded type, and that inputs and
        outputs exist. Cost: linear in the number of entries.
        """
        n = len(self.entries)
        for i, (op, operands, params, type_) in enumerate(self.entries):
            for k in operands:
                if not 0 <= k < i:
                    raise GraphError(f"entry %{i} ({op.name}): operand %{k} is not before it")
            if op is CONSTANT or op is INPUT:
                if operands or params:
                    raise GraphError(f"entry %{i}: {op.name} with operands or parameters")
                if op is CONSTANT:
                    self._verify_constant(i, type_)
            else:
                inferred = self._inferred(i)
                if inferred != type_:
                    raise GraphError(
                        f"entry %{i} ({op.name}): recorded as {type_}, but its rule gives "
                        f"{inferred}"
                    )
        for k in self.constants:
            if not 0 <= k < n or self.entries[k][0] is not CONSTANT:
                raise GraphError(f"a constant for entry %{k}, which is none")
        for what, numbers in (("input", self.inputs), ("output", self.outputs)):
            for k in numbers:
                if not 0 <= k < n:
                    raise GraphError(f"{what} %{k} does not exist: the graph has {n} entries")
        declared = set(self.inputs)
        if len(declared) != len(self.inputs):
            twice = next(k for k in self.inputs if self.inputs.count(k) > 1)
            raise GraphError(f"input %{twice} is declared twice")
        for k, entry in enumerate(self.entries):
            if (entry[0] is INPUT) != (k in declared):
                raise GraphError(f"entry %{k} ({entry[0].name}): inputs and entries disagree")
        return self

    def _inferred(self, index: int) -> Any:
        op, operands, params, _ = self.entries[index]
        try:
            return op.infer(tuple([self.entries[k][3] for k in operands]), params)
        except WengertError as error:
            why = error.message
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            why = str(error)
        raise GraphError(f"entry %{index} ({op.name}): {why}")

    def _verify_constant(self, index: int, type_: Type) -> None:
        if index not in self.constants:
            raise GraphError(f"entry %{index}: a constant without a value")
        found = type_of(self.constants[index])
        if found is not type_:
            raise GraphError(f"entry %{index}: recorded as {type_}, but the constant is {found}")

    #: Operators by name, for `load`; the rule table puts itself here.
    operators: ClassVar[Mapping[str, Any]] = {}

    #: How to draw a graph, by format; `api` puts the drawing functions here, which come later in
    #: the order of imports.
    renderers: ClassVar[dict[str, Callable[..., str]]] = {}

    def to_dot(self, path: str | os.PathLike[str] | None = None) -> str:
        """The graph in Graphviz's language; written to `path` if one is given."""
        from wengert.graph.text import graph_dot

        return _written(graph_dot(self), path)

    def to_svg(self, path: str | os.PathLike[str] | None = None) -> str:
        """A drawing of the operators and the types between them; written to `path` if given."""
        return _written(self.renderers["svg"](self), path)

    def steps_to_svg(
        self, step_of: Mapping[int, int], title: str, path: str | os.PathLike[str] | None = None
    ) -> str:
        """The drawing with entries coloured and numbered by what runs together."""
        return _written(self.renderers["svg"](self, step_of, title), path)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """One page with the drawing and the text; written to `path` if given."""
        return _written(self.renderers["html"](self), path)

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the graph to a file (a NumPy archive; nothing is pickled)."""
        from wengert.graph.files import save_graph

        save_graph(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Graph:
        """Read a graph that `save` wrote; raises `GraphFileError` if the file is malformed."""
        from wengert.graph.files import load_graph

        return load_graph(path, cls.operators)

    def __str__(self) -> str:
        from wengert.graph.text import graph_text

        return graph_text(self)

    def __repr__(self) -> str:
        return (
            f"<Graph: {len(self.inputs)} inputs, {len(self)} entries, {len(self.outputs)} outputs>"
        )


def _written(text: str, path: str | os.PathLike[str] | None) -> str:
    if path is not None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    return text


def _same_bits(a: Any, b: Any) -> bool:
    # By bytes, not by ==: NaN equals itself and 0.0 differs from -0.0, as for a compiler.
    a, b = np.asarray(a), np.asarray(b)
    return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
