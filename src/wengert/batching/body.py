"""What a batch runs: one operator, or one compiled function, over a batch axis, in both sweeps.

Made once per signature and for every batch size. The forward part gives results and residuals, one
row per example. The backward part gives the cotangents of the stacked operands, one row per
example. For the cotangents of operands that all examples share, it gives the rows that they are
sums over: the sum is taken once, over all batches of the sweep. So the gradient of a weight matrix
is one large product, however many batches there were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from wengert.batching.sized import sized
from wengert.graph import CONSTANT, INPUT, Graph
from wengert.replay.cut import cut
from wengert.transform.batching import batch_graph
from wengert.transform.graphs import Split, pullback_graph
from wengert.transform.memo import remembered

if TYPE_CHECKING:
    from wengert.batching.native import SizedPlan

__all__ = ["Body", "Source", "body_of"]


class Source(NamedTuple):
    """Where a value of the backward part comes from: `kind` is "operand", "output" or "cotangent"
    (numbered), "residual" (a stored row) or "whole" (a residual of all examples)."""

    kind: str
    number: int


class Body:
    """The two parts of a signature.

    Attributes
    ----------
    flags : which operands are stacked; the others are shared
    needed : which operands get a cotangent
    residuals : types of the rows that forward keeps for backward
    wholes : how many residuals do not depend on the batch
    sources : of the backward part's inputs
    rows_out : stacked operands, in the order of the backward part's first outputs
    deferred : value numbers in the backward graph whose rows are kept for the sums
    late_rows : those of `deferred` that the backward part computes, in order
    summed : (operand, value number) of each shared operand's cotangent
    turned : which inputs of the backward part native code takes transposed
    runs : how many signatures of programs it has served
    """

    def __init__(
        self,
        graph: Graph,
        flags: tuple[bool, ...],
        needed: tuple[bool, ...],
        native: bool,
        exact: bool,
    ) -> None:
        self.flags, self.needed = flags, needed
        self.runs = 0
        seeded = tuple(k for k, t in enumerate(graph.output_types) if t.is_float)
        self.seeded = seeded if any(needed) else ()
        wrt = tuple(k for k, need in enumerate(needed) if need)
        self.output_types = graph.output_types
        self._input_types = graph.input_types
        self.turned: list[int] | None = None
        self._early: SizedPlan | None = None
        self._late: SizedPlan | None = None
        self._sums: SizedPlan | None = None

        def split(n: int) -> Split:
            whole = batch_graph(graph, flags, n, all_outputs=True).graph
            return pullback_graph(whole, wrt, self.seeded)

        early = sized(lambda n: split(n).early)
        late = sized(lambda n: split(n).late)
        self.usable = early is not None and late is not None
        if early is None or late is None:
            return
        self.early, self.late = early, late
        self._read_residuals(len(graph.outputs))
        self._cut(wrt)
        if not native:
            return
        self._early = _native(lambda n: split(n).early, self.early_outputs, exact)
        self._late = _native(lambda n: split(n).late, self.late_outputs, exact, self._turned)
        if self.summed:
            values = [v for _, v in self.summed]
            self._sums = _native(
                lambda n: cut(split(n).late.with_outputs(values), self.late_rows)[0], None, exact
            )

    @property
    def is_native(self) -> bool:
        """Whether both parts run as native code."""
        return self._early is not None and (self._late is not None or not self.late_outputs)

    @property
    def kernels(self) -> list[str]:
        """What the native parts run, for reports."""
        return [w for p in (self._early, self._late) if p is not None for w in p.kernels]

    # ------------------------------------------------------------ making

    def _read_residuals(self, outputs: int) -> None:
        early = self.early
        own = {k: i for i, k in reversed(list(enumerate(early.inputs)))}
        results = {k: i for i, k in reversed(list(enumerate(early.outputs[:outputs])))}
        self.sources: list[Source] = []
        stored: list[int] = []
        wholes: list[int] = []
        for k in early.outputs[outputs:]:
            if k in own:
                self.sources.append(Source("operand", own[k]))
            elif k in results and early.rows[k]:
                self.sources.append(Source("output", results[k]))
            elif early.rows[k]:
                self.sources.append(Source("residual", len(stored)))
                stored.append(k)
            else:
                self.sources.append(Source("whole", len(wholes)))
                wholes.append(k)
        self.sources += [Source("cotangent", k) for k in self.seeded]
        self.residuals = [early.row_type(k) for k in stored]
        self.wholes = len(wholes)
        self.early_outputs = [*early.outputs[:outputs], *stored, *wholes]
        if any(early.carries[k] for k in wholes):
            self.usable = False  # a residual that is neither one row per example nor shared

    def _cut(self, wrt: tuple[int, ...]) -> None:
        late = self.late
        found = dict(zip(wrt, late.outputs, strict=True))
        self.rows_out = [k for k in wrt if self.flags[k]]
        if not all(late.rows[found[k]] for k in self.rows_out):
            self.usable = False
        self.summed = [(k, found[k]) for k in wrt if not self.flags[k]]
        self.deferred = self._frontier([v for _, v in self.summed])
        inputs = set(late.inputs)
        self.late_rows = [k for k in self.deferred if k not in inputs]
        self.late_outputs = [found[k] for k in self.rows_out] + self.late_rows

    def _frontier(self, wanted: Sequence[int]) -> list[int]:
        """The rows that shared cotangents are sums over: the last values with a batch axis."""
        late = self.late
        found: set[int] = set()
        seen: set[int] = set()
        stack = list(wanted)
        while stack:
            k = stack.pop()
            if k in seen:
                continue
            seen.add(k)
            if late.entries[k][0] is CONSTANT:
                continue  # counts all examples, not those of a batch
            if late.rows[k]:
                found.add(k)
            elif late.entries[k][0] is not INPUT:
                stack += late.entries[k][1]
        return sorted(found)

    def _turned(self, graph: Graph) -> Graph:
        """The backward part as native code has it, with `turned` operands."""
        from wengert.batching.turning import turned_inputs, with_turned

        if self.turned is None:
            self.turned = turned_inputs(
                graph,
                [
                    k
                    for k, (kind, number) in enumerate(self.sources)
                    if kind == "operand" and not self.flags[number]
                ],
            )
        return with_turned(graph, self.turned)

    # ------------------------------------------------------------ running

    @property
    def early_plan(self) -> SizedPlan | None:
        """What runs `forward` natively: from words at addresses, for each operand, result and
        residual where its rows begin, and how far apart they are."""
        return None if self.wholes else self._early

    @property
    def late_plan(self) -> SizedPlan | None:
        """What runs `backward` natively, likewise, for what is given and for the results."""
        return None if self.wholes else self._late

    def forward(self, n: int, operands: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
        """Write results and residuals into `outputs`; return the residuals that have no rows."""
        early = self.early
        env = dict(zip(early.inputs, operands, strict=True))
        early.evaluate(self.early_outputs, env, n)
        for k, out in zip(self.early_outputs, outputs, strict=False):
            out[...] = env[k]
        return [env[k] for k in self.early_outputs[len(outputs) :]]

    def backward(self, n: int, given: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Write the cotangents of stacked operands, then the deferred rows, into `outputs`."""
        if not outputs:
            return
        env = dict(zip(self.late.inputs, given, strict=True))
        self.late.evaluate(self.late_outputs, env, n)
        for k, out in zip(self.late_outputs, outputs, strict=True):
            out[...] = env[k]

    def sums(self, total: int, env: dict[int, Any]) -> list[tuple[int, Any]]:
        """(operand, cotangent) of the shared operands, from the rows of `total` examples."""
        if self._sums is not None:
            late = self.late
            inputs = [(env.get(k), late.rows[k]) for k in (*late.inputs, *self.late_rows)]
            types = [self._input_types[k] for k, _ in self.summed]
            found = self._sums.run_sums(total, inputs, types)
            return [(k, x) for (k, _), x in zip(self.summed, found, strict=True)]
        self.late.evaluate([v for _, v in self.summed], env, total)
        return [(k, env[v]) for k, v in self.summed]


def _native(
    make: Any,
    outputs: Sequence[int] | None,
    exact: bool,
    turn: Callable[[Graph], Graph] = lambda graph: graph,
) -> SizedPlan | None:
    """The plan of these outputs of a graph (None: of its own); `exact`: without rewriting what
    holds in real arithmetic only; `turn` is applied to what is planned."""
    if outputs is not None and not outputs:
        return None
    # LLVM is loaded by the first program that needs it.
    from wengert.batching.native import sized_plan
    from wengert.optimise import optimise

    def made(n: int) -> Graph:
        graph: Graph = make(n)
        wanted = graph if outputs is None else graph.with_outputs(outputs)
        return turn(optimise(wanted, reassociate=not exact).graph)

    return sized_plan(made)


def body_of(
    graph: Graph,
    flags: tuple[bool, ...],
    needed: tuple[bool, ...],
    *,
    native: bool,
    exact: bool,
) -> Body:
    """The body for a signature, remembered by structure."""
    return remembered(  # type: ignore[no-any-return]
        "body",
        graph,
        flags,
        needed,
        native,
        exact,
        make=lambda: _Kept(Body(graph, flags, needed, native, exact), len(graph) * 4),
    ).body


class _Kept:
    def __init__(self, body: Body, size: int) -> None:
        self.body = body
        self._size = size

    def __len__(self) -> int:
        return self._size
