"""Accumulating a Jacobian in a given order, as entries on a tape."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from wengert.graph import Graph
from wengert.graph.tuples import NamedTuple
from wengert.ops import TABLE, zeros
from wengert.transform.elimination.elements import Elements, Partial
from wengert.transform.elimination.orders import ORDERS
from wengert.transform.graphs import extend
from wengert.transform.memo import remembered

__all__ = ["elements_of", "eliminated", "order_of"]


class _Value(NamedTuple):
    """A partial on the tape: a scalar `number`, or `sign` where it is None; zero where the scalar
    `mask` is false."""

    sign: int
    number: Any = None
    mask: Any = None


def elements_of(graph: Graph, wrt: tuple[int, ...], outs: tuple[int, ...]) -> Elements:
    """The linearised graph, remembered by structure."""
    return remembered(  # type: ignore[no-any-return]
        "elements", graph, wrt, outs, make=lambda: Elements(graph, wrt, outs)
    )


def order_of(
    graph: Graph, wrt: tuple[int, ...], outs: tuple[int, ...], name: str, *, every: bool = False
) -> tuple[int, ...]:
    """The order of that name for this graph, remembered by structure."""

    def make() -> tuple[int, ...]:
        # One entry more, since what is remembered must not be empty.
        return (*ORDERS[name](elements_of(graph, wrt, outs).skeleton, every=every), -1)

    found: tuple[int, ...] = remembered("order", graph, wrt, outs, name, every, make=make)
    return found[:-1]


def eliminated(
    graph: Graph, wrt: tuple[int, ...], outs: tuple[int, ...], order: tuple[int, ...]
) -> Graph:
    """The Jacobian by elimination of the vertices in this order.

    Inputs: those of `graph`. Outputs: those of `graph`, then for each output in `outs` and each
    input in `wrt` its block, of shape `output.shape + input.shape`.
    """

    def make() -> Graph:
        return _Accumulation(elements_of(graph, wrt, outs)).run(wrt, outs, order)

    return remembered("eliminated", graph, wrt, outs, order, make=make)  # type: ignore[no-any-return]


class _Accumulation:
    def __init__(self, elements: Elements) -> None:
        self.elements = elements
        source = elements.tape
        # The entries of the partials stay as they are, so that other orders can follow.
        self.tape = extend(source.graph([]))
        self._taken: dict[Any, Any] = {}
        self._dtype = elements.dtype
        n = len(elements.partials)
        self.into: list[dict[int, _Value]] = [{} for _ in range(n)]
        self.out: list[set[int]] = [set() for _ in range(n)]
        used = elements.skeleton.into
        for k, row in enumerate(elements.partials):
            for i, partial in row:
                if i in used[k]:
                    self._join(i, k, self._value(partial))

    def run(self, wrt: Sequence[int], outs: Sequence[int], order: Sequence[int]) -> Graph:
        for v in order:
            self._eliminate(v)
        graph, elements = self.elements.graph, self.elements
        blocks = []
        for number, k in enumerate(outs):
            y = graph.output_types[k]
            for source, j in enumerate(wrt):
                x = graph.input_types[j]
                block = self._block(elements.sinks[number], elements.sources[source], y)
                blocks.append(TABLE["reshape"](block, shape=(*y.shape, *x.shape))._index)
        return self.tape.graph([*graph.outputs, *blocks])

    # ------------------------------------------------------------ numbers

    def _value(self, partial: Partial) -> _Value:
        number = None if partial.array is None else self._element(partial.array, partial.at)
        mask = None if partial.mask is None else self._element(partial.mask, partial.at)
        if number is not None and partial.sign < 0:
            number = -number
        return _Value(partial.sign, number, mask)

    def _element(self, array: Any, index: tuple[int, ...]) -> Any:
        """An element of an array that may have fewer axes than the index, or axes of length 1."""
        shape = array._type.shape
        at = index[len(index) - len(shape) :] if shape else ()
        key = tuple(0 if n == 1 else j for n, j in zip(shape, at, strict=True))
        found = self._taken.get((array._index, key))
        if found is None:
            found = self.tape.handle(self.tape, array._index, array._type)
            if shape:
                found = TABLE["slice_index"](found, key=key)
            self._taken[(array._index, key)] = found
        return found

    def _eliminate(self, v: int) -> None:
        ins, outs = self.into[v], self.out[v]
        for k in sorted(outs):
            after = self.into[k].pop(v)
            for i, before in ins.items():
                self._join(i, k, _product(after, before))
        for i in ins:
            self.out[i].discard(v)
        self.into[v], self.out[v] = {}, set()

    def _join(self, i: int, k: int, value: _Value) -> None:
        known = self.into[k].get(i)
        self.into[k][i] = value if known is None else self._sum(known, value)
        self.out[i].add(k)

    def _sum(self, a: _Value, b: _Value) -> _Value:
        if a.mask is not None and b.mask is not None and a.mask._index == b.mask._index:
            total = self._sum(a._replace(mask=None), b._replace(mask=None))
            return total._replace(mask=a.mask)
        mask = None if a.mask is None or b.mask is None else a.mask | b.mask
        return _Value(1, self._plain(a) + self._plain(b), mask)

    def _plain(self, value: _Value) -> Any:
        """The number itself: 0 where it is masked."""
        number = value.number
        if number is None:
            number = self.tape.constant(self._dtype.type(value.sign))
        return number if value.mask is None else TABLE["where"](value.mask, number, 0.0)

    # ------------------------------------------------------------ results

    def _block(self, sinks: Any, sources: Any, y: Any) -> Any:
        """The derivatives of some sinks by some sources, as an array with one axis."""
        pieces: list[Any] = []
        absent = 0
        for sink in sinks.flat:
            for source in sources.flat:
                found = self.into[sink].get(source) if sink >= 0 else None
                if found is None:
                    absent += 1
                    continue
                if absent:
                    pieces.append(zeros(self.tape, y.with_shape((absent,))))
                    absent = 0
                number = self._plain(found)
                if number._type.dtype != y.dtype:
                    number = TABLE["cast"](number, dtype=y.dtype)
                pieces.append(TABLE["reshape"](number, shape=(1,)))
        if absent or not pieces:
            pieces.append(zeros(self.tape, y.with_shape((absent,))))
        return pieces[0] if len(pieces) == 1 else TABLE["concatenate"](*pieces, axis=0)


def _product(a: _Value, b: _Value) -> _Value:
    mask = a.mask if b.mask is None else b.mask if a.mask is None else a.mask & b.mask
    if a.number is None:
        return _Value(a.sign * b.sign, _signed(a.sign, b.number), mask)
    if b.number is None:
        return _Value(1, _signed(b.sign, a.number), mask)
    return _Value(1, operator.mul(a.number, b.number), mask)


def _signed(sign: int, number: Any) -> Any:
    return number if number is None or sign > 0 else -number
