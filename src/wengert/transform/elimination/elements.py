"""The linearised computational graph of an array program, element by element.

A vertex is an element of a value on the Wengert list; an edge is the partial of an element by an
element of an operand, 0 nowhere. What only moves elements makes no vertices. The partials come
from the operators' one rule: elementwise ones give arrays of partials, a contraction's partials
are elements of its other operand, a linear operator's are the numbers that it maps units to, and
any other operator's local Jacobian is found by pushing the units through it, or pulling them back.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from wengert.graph import CONSTANT, INPUT, Graph, Traced, Type
from wengert.graph.tuples import NamedTuple
from wengert.ops import MINUS_ONE, ONE, TABLE, Linear, Masked
from wengert.transform.elimination.segments import identity, pull, push, rows, transposed
from wengert.transform.elimination.skeleton import Skeleton
from wengert.transform.graphs import extend
from wengert.transform.sweeps import active_entries

__all__ = ["MOST_ELEMENTS", "Elements", "Partial", "has_elements"]

#: Larger programs are not taken apart: their arrays are what makes them fast.
MOST_ELEMENTS = 3_000
_MOST_EDGES = 12_000

Ids = np.ndarray[Any, np.dtype[np.int64]]


class Partial(NamedTuple):
    """A local partial: `sign`, or element `at` of `array`; zero where the mask's element is
    false."""

    sign: int
    array: Any = None
    at: tuple[int, ...] = ()
    mask: Any = None

    @property
    def unit(self) -> bool:
        """Whether it is ±1 (wherever it is not masked)."""
        return self.array is None


def has_elements(
    graph: Graph,
    wrt: Sequence[int],
    outs: Sequence[int],
    most: int = MOST_ELEMENTS,
    most_edges: int = _MOST_EDGES,
) -> bool:
    """Whether a graph can be taken apart: it is small enough, and all its operators allow it."""
    active = active_entries(graph.entries, [graph.inputs[k] for k in wrt])
    results = [graph.outputs[k] for k in outs]
    sizes = [math.prod(graph.entries[k][3].shape) for k in results]
    if not wrt or not outs or sum(sizes) > most:
        return False
    total = edges = 0
    for i, (op, operands, params, type_) in enumerate(graph.entries):
        if not active[i]:
            continue
        if not isinstance(type_, Type) or any(_is_program(value) for _, value in params):
            return False
        total += type_.size
        if not operands:
            continue
        if op.family == "elementwise":
            edges += type_.size * len(operands)
        elif op is TABLE["contract"]:
            edges += _products(graph, operands, params)
        elif not isinstance(op, Linear):
            edges += type_.size * max(graph.entries[k][3].size for k in operands)
        if total > most or edges > most_edges:
            return False
    return True


def _is_program(value: Any) -> bool:
    # Loops, branches and functions with derivatives of their own stay whole.
    return isinstance(value, Graph) or callable(value) or hasattr(value, "graph")


def _products(graph: Graph, operands: Sequence[int], params: Any) -> int:
    sizes = _letter_sizes(dict(params)["spec"], [graph.entries[k][3].shape for k in operands])
    return math.prod(sizes.values())


def _letter_sizes(spec: str, shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    parts = spec.split("->")[0].split(",")
    return {
        c: n
        for part, shape in zip(parts, shapes, strict=True)
        for c, n in zip(part, shape, strict=True)
    }


class Elements:
    """The linearised graph of `graph`, from its inputs `wrt` to its outputs `outs`.

    Attributes
    ----------
    tape : begins with the entries of `graph`, at the same numbers; then those of the partials
    partials : per vertex a list of (vertex before it, partial); several by the same vertex add up
    sources, sinks : per input in `wrt`, per output in `outs`, the vertices of its elements (-1: it
        depends on no input)
    skeleton : the graph without its numbers
    dtype : of the first output
    """

    def __init__(self, graph: Graph, wrt: Sequence[int], outs: Sequence[int]) -> None:
        self.graph = graph
        self.tape = extend(graph)
        self.dtype = graph.output_types[outs[0]].dtype
        self.partials: list[list[tuple[int, Partial]]] = []
        self.ids: dict[int, Ids] = {}
        self._active = active_entries(graph.entries, [graph.inputs[k] for k in wrt])
        self._used = graph.with_outputs([graph.outputs[k] for k in outs]).live()
        for k in wrt:
            index = graph.inputs[k]
            self.ids[index] = self._fresh(graph.entries[index][3].shape)
        for i, (op, *_) in enumerate(graph.entries):
            if self._active[i] and self._used[i] and op is not INPUT and op is not CONSTANT:
                self._add(i)
        self.sources = [self.ids[graph.inputs[k]] for k in wrt]
        self.sinks = self._ends(outs)
        edges = ((i, k, partial.unit) for k, row in enumerate(self.partials) for i, partial in row)
        self.skeleton = Skeleton(
            len(self.partials),
            edges,
            [int(v) for ids in self.sources for v in ids.flat],
            [int(v) for ids in self.sinks for v in ids.flat if v >= 0],
        )

    def __len__(self) -> int:
        return len(self.tape.entries)

    def _fresh(self, shape: tuple[int, ...]) -> Ids:
        first = len(self.partials)
        size = math.prod(shape)
        self.partials += [[] for _ in range(size)]
        return np.arange(first, first + size).reshape(shape)

    def _ends(self, outs: Sequence[int]) -> list[Ids]:
        """The vertices of the outputs: ends of the graph, so that copies stand for those that are
        inputs, are used further, or are given twice."""
        values = [
            self.ids.get(k, np.full(self.graph.entries[k][3].shape, -1))
            for k in (self.graph.outputs[number] for number in outs)
        ]
        busy = Counter(i for row in self.partials for i, _ in row)
        busy.update(int(v) for ids in self.sources for v in ids.flat)
        given = Counter(int(v) for ids in values for v in ids.flat)
        ends: list[Ids] = []
        for ids in values:
            end = np.array(ids)
            for at, v in np.ndenumerate(ids):
                if v >= 0 and (busy[int(v)] or given[int(v)] > 1):
                    end[at] = self._fresh(())[()]
                    self.partials[end[at]].append((int(v), Partial(1)))
            ends.append(end)
        return ends

    # ------------------------------------------------------------ entries

    def _add(self, i: int) -> None:
        op, operands, params, type_ = self.graph.entries[i]
        if not isinstance(type_, Type) or not type_.size:
            return
        known = dict(params)
        if op.family == "elementwise":
            edges = self._elementwise(i, op, operands, known)
        elif op is TABLE["contract"]:
            edges = self._contraction(operands, known["spec"])
        elif self._is_fixed(op, operands, known):
            moved = self._moved(op, operands, known)
            if moved is not None:
                self.ids[i] = moved
                return
            edges = self._fixed(op, operands, known)
        else:
            edges = self._dense(i, operands)
        ids = self._fresh(type_.shape)
        self.ids[i] = ids
        flat = ids.reshape(-1)
        for at, before, partial in edges:
            if before >= 0:
                self.partials[flat[at]].append((before, partial))
        flat[[not self.partials[v] for v in flat]] = -1

    def _handle(self, k: int) -> Any:
        return self.tape.handle(self.tape, k, self.tape.entries[k][3])

    def _ids(self, k: int) -> Ids:
        found = self.ids.get(k)
        return np.full(self.graph.entries[k][3].shape, -1) if found is None else found

    def _elementwise(
        self, i: int, op: Any, operands: Sequence[int], params: dict[str, Any]
    ) -> Iterator[tuple[int, int, Partial]]:
        y, xs = self._handle(i), [self._handle(k) for k in operands]
        shape = y._type.shape
        for number, k in enumerate(operands):
            if k not in self.ids:
                continue
            found = op.partial(number, y, xs, params)
            if found is None:
                continue
            value, mask = found if isinstance(found, Masked) else (found, None)
            sign = 1 if value is ONE else -1 if value is MINUS_ONE else 0
            if not sign and not isinstance(value, Traced):
                value = self.tape.constant(value)
            before = np.broadcast_to(self.ids[k], shape)
            for at, index in enumerate(np.ndindex(shape)):
                partial = Partial(sign or 1, None if sign else value, index, mask)
                yield at, int(before[index]), partial

    def _contraction(
        self, operands: Sequence[int], spec: str
    ) -> Iterator[tuple[int, int, Partial]]:
        (left, right), out = spec.split("->")[0].split(","), spec.split("->")[1]
        shapes = [self.graph.entries[k][3].shape for k in operands]
        sizes = _letter_sizes(spec, shapes)
        strides, step = {}, 1
        for c in reversed(out):
            strides[c], step = step, step * sizes[c]
        letters = list(sizes)
        for numbers in itertools.product(*[range(sizes[c]) for c in letters]):
            place = dict(zip(letters, numbers, strict=True))
            at = sum(place[c] * stride for c, stride in strides.items())
            where = [tuple(place[c] for c in part) for part in (left, right)]
            for own, other in ((0, 1), (1, 0)):
                ids = self.ids.get(operands[own])
                if ids is not None:
                    value = self._handle(operands[other])
                    yield at, int(ids[where[own]]), Partial(1, value, where[other])

    def _is_fixed(self, op: Any, operands: Sequence[int], params: dict[str, Any]) -> bool:
        """Whether the operator is linear in all its operands together: its Jacobian is fixed."""
        return isinstance(op, Linear) and any(
            len(group) == len(operands) for group in op.groups(len(operands), params)
        )

    def _moved(self, op: Any, operands: Sequence[int], params: dict[str, Any]) -> Ids | None:
        """Where the elements of the result come from, if the operator only moves elements."""
        shapes = [self.graph.entries[k][3].shape for k in operands]
        ids = [self._ids(k) for k in operands]
        total, numbers = 1, []
        for shape in shapes:
            size = math.prod(shape)
            numbers.append(np.arange(total, total + size, dtype=float).reshape(shape))
            total += size
        found = np.asarray(op.evaluate(*numbers, **params))
        # What moves numbers also moves their reciprocals; what adds them does not.
        with np.errstate(divide="ignore"):
            again = np.asarray(op.evaluate(*[1.0 / x for x in numbers], **params))
            place = found.astype(int)
            inside = np.all((place == found) & (place >= 0) & (place < total))
            if not inside or not np.array_equal(again[place > 0], 1.0 / found[place > 0]):
                return None
        if np.any(again[place == 0]):
            return None
        sources: Ids = np.concatenate([[-1], *[x.reshape(-1) for x in ids]])[place]
        return sources

    def _fixed(
        self, op: Any, operands: Sequence[int], params: dict[str, Any]
    ) -> Iterator[tuple[int, int, Partial]]:
        types = [self.graph.entries[k][3] for k in operands]
        for number, k in enumerate(operands):
            if k not in self.ids:
                continue
            flat = self.ids[k].reshape(-1)
            for j, before in enumerate(flat):
                units = [np.zeros(t.shape) for t in types]
                units[number].reshape(-1)[j] = 1.0
                column = np.asarray(op.evaluate(*units, **params)).reshape(-1)
                for at in np.flatnonzero(column):
                    value = column[at]
                    unit = abs(value) == 1.0
                    constant = None if unit else self.tape.constant(types[number].dtype.type(value))
                    yield int(at), int(before), Partial(int(value) if unit else 1, constant)

    def _dense(self, i: int, operands: Sequence[int]) -> Iterator[tuple[int, int, Partial]]:
        """The whole local Jacobian, as an array."""
        tape, entries = self.tape, self.graph.entries
        before = [k for k in dict.fromkeys(operands) if k in self.ids]
        types = [entries[k][3] for k in before]
        size, width = entries[i][3].size, sum(t.size for t in types)
        if width <= size:
            pushed = push(tape, entries, i - 1, i, before, [i], identity(tape, before))
            matrix = transposed(rows(tape, pushed, [entries[i][3]], width))
        else:
            pulled = pull(tape, entries, i - 1, i, before, [i], identity(tape, [i]))
            matrix = rows(tape, pulled, types, size)
        flat = np.concatenate([self.ids[k].reshape(-1) for k in before])
        for at in range(size):
            for j, v in enumerate(flat):
                yield at, int(v), Partial(1, matrix, (at, j))
