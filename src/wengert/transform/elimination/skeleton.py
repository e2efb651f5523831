"""The linearised computational graph without its numbers: the edges, and which partials are ±1.

Eliminating a vertex multiplies every partial into it with every partial out of it and adds the
product to the edge past it (A. Griewank and A. Walther, "Evaluating Derivatives", second edition,
SIAM 2008, chapter 9). When no inner vertex is left, the edges from sources to sinks are the
Jacobian. What an order costs depends on the edges alone, so that orders are compared here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["Skeleton", "State"]

Rows = list[dict[int, bool]]


class State:
    """A skeleton in the course of elimination.

    into, out : per vertex its predecessors and its successors; the value says whether the partial
        is ±1, with which nothing needs to be multiplied. A row is replaced, never changed, so that
        states share them.
    count : multiplications so far
    every : whether products with ±1 are counted too, as the literature does
    """

    __slots__ = ("count", "every", "into", "out")

    def __init__(self, into: Rows, out: Rows, every: bool, count: int = 0) -> None:
        self.into = into[:]
        self.out = out[:]
        self.every = every
        self.count = count

    def copy(self) -> State:
        """A state that goes on by itself."""
        return State(self.into, self.out, self.every, self.count)

    def degree(self, v: int) -> int:
        """The multiplications that eliminating v now takes: its Markowitz degree."""
        ins, outs = self.into[v], self.out[v]
        if self.every:
            return len(ins) * len(outs)
        return (len(ins) - sum(ins.values())) * (len(outs) - sum(outs.values()))

    def eliminate(self, v: int) -> None:
        """Eliminate an inner vertex."""
        self.count += self.degree(v)
        into, out = self.into, self.out
        ins, outs = into[v], out[v]
        for k in outs:
            row = into[k] = into[k].copy()
            del row[v]
        for i, left in ins.items():
            row = out[i] = out[i].copy()
            del row[v]
            for k, right in outs.items():
                # A sum of two partials is taken to be no unit.
                unit = left and right and k not in row
                row[k] = unit
                into[k][i] = unit
        into[v] = {}
        out[v] = {}


class Skeleton:
    """Vertices, numbered in the order of evaluation, and the edges between them.

    Attributes
    ----------
    sources, sinks : the vertices that stay
    inner : the vertices to eliminate, in the order of evaluation
    into, out : per vertex {neighbour: whether the partial is ±1}

    Edges that lie on no path from a source to a sink are dropped.
    """

    def __init__(
        self,
        vertices: int,
        edges: Iterable[tuple[int, int, bool]],
        sources: Iterable[int],
        sinks: Iterable[int],
    ) -> None:
        self.sources = tuple(dict.fromkeys(sources))
        self.sinks = tuple(dict.fromkeys(sinks))
        into: Rows = [{} for _ in range(vertices)]
        out: Rows = [{} for _ in range(vertices)]
        for i, k, unit in edges:
            into[k][i] = unit and i not in into[k]
        used = self._used(into)
        for k, row in enumerate(into):
            into[k] = {i: unit for i, unit in row.items() if used[i] and used[k]}
            for i, unit in into[k].items():
                out[i][k] = unit
        self.into, self.out = into, out
        ends = {*self.sources, *self.sinks}
        self.inner = tuple(v for v in range(vertices) if v not in ends and into[v])

    def _used(self, into: Rows) -> list[bool]:
        """Which vertices lie on a path from a source to a sink."""
        down = [False] * len(into)
        for v in self.sources:
            down[v] = True
        for v, row in enumerate(into):
            down[v] = down[v] or any(down[i] for i in row)
        up = [False] * len(into)
        for v in self.sinks:
            up[v] = True
        for v in range(len(into) - 1, -1, -1):
            if up[v]:
                for i in into[v]:
                    up[i] = True
        return [a and b for a, b in zip(down, up, strict=True)]

    @property
    def edges(self) -> int:
        """The number of edges."""
        return sum(len(row) for row in self.into)

    def state(self, *, every: bool = False) -> State:
        """Where elimination begins."""
        return State(self.into, self.out, every)

    def multiplications(self, order: Sequence[int], *, every: bool = False) -> int:
        """What accumulating the Jacobian costs if the inner vertices are eliminated in this order.

        Exact. Products with a partial of ±1 are no multiplications; with `every` they count too,
        so that each vertex costs its in-degree times its out-degree at the moment it goes.
        """
        state = self.state(every=every)
        for v in order:
            state.eliminate(v)
        return state.count
