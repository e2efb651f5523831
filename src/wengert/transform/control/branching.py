"""The operators `cond` and `cond_each`: one of two graphs, for a program or for each of a batch.

`cond` runs only the branch that its predicate chooses. Its derivative is another `cond` between the
derivatives of the branches, which computes anew what it needs of them: nothing is handed from one
to the other, and the branch that was not taken contributes neither numbers nor zeros.

`cond_each` is what batching makes of a `cond` whose predicate differs between examples. It keeps
the branches as graphs of one example. Both run on the whole batch and a select follows, for values
as for derivatives: since the derivative of the entry is again such an entry, a select stands last
in every mode and order, and a NaN of the branch not taken can't get past it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.capture import Recorder
from wengert.errors import DTypeError
from wengert.graph import Graph, Type
from wengert.ops import TABLE
from wengert.run import run
from wengert.transform.batching import batch_graph
from wengert.transform.control.bodies import batched_body, pulled, pushed, selected, transposed
from wengert.transform.control.results import Control, read, rebundled, repeated
from wengert.transform.inline import inline
from wengert.transform.memo import remembered

__all__ = ["chosen_graph", "cond", "cond_each"]

_BRANCHES = ("true", "false")
_BOOL = np.dtype(bool)


class _Choice(Control):
    """What both operators share: their derivatives are choices between derivatives.

    Operands: the predicate, then those of the branches. Parameters: `true` and `false`, two graphs
    of one type; `linear`, the operands in which both are linear. `rows` says which operands of
    the branches carry the batch axis (`cond_each` only).
    """

    def pushforward(self, y: Any, xs: Sequence[Any], tangents: Sequence[Any], params: Any) -> Any:
        wrt = tuple(k for k, t in enumerate(tangents[1:]) if t is not None)
        derived = [pushed(params[b], wrt) for b in _BRANCHES]
        outs = _either(derived)
        if not outs:
            return None
        operands = [*xs, *[tangents[1 + k] for k in wrt]]
        more = self._more(params, [*range(len(xs) - 1), *wrt], [])
        results = read(
            self(
                *operands,
                **_graphs([selected(d.graph, outs) for d in derived]),
                **more,
                linear=tuple(range(len(xs), len(operands))),
            )
        )
        return _placed(len(params["true"].outputs), outs, results)

    def pullback(
        self, y: Any, xs: Sequence[Any], cotangent: Any, needed: Sequence[bool], params: Any
    ) -> Sequence[Any]:
        seeded = tuple(k for k, c in enumerate(cotangent) if c is not None)
        seeds = [cotangent[k] for k in seeded]
        linear = params["linear"]
        wrt = tuple(k - 1 for k, need in enumerate(needed) if need)
        if all(k + 1 in linear for k in wrt):
            wrt = tuple(k - 1 for k in linear)
            derived = [transposed(params[b], wrt, seeded) for b in _BRANCHES]
            kept = [k for k in range(len(xs) - 1) if k + 1 not in linear]
        else:
            derived = [pulled(params[b], wrt, seeded) for b in _BRANCHES]
            kept = list(range(len(xs) - 1))
        outs = [k for k in _either(derived) if needed[1 + wrt[k]]]
        if not outs:
            return [None] * len(xs)
        operands = [xs[0], *[xs[1 + k] for k in kept], *seeds]
        results = read(
            self(
                *operands,
                **_graphs([selected(d.graph, outs) for d in derived]),
                **self._more(params, kept, seeds),
                linear=tuple(range(1 + len(kept), len(operands))),
            )
        )
        found = _placed(len(wrt), outs, results)
        by_operand = dict(zip(wrt, found, strict=True))
        return [None] + [self._summed(by_operand.get(k), params, k) for k in range(len(xs) - 1)]

    def _more(self, params: Any, kept: Sequence[int], seeds: Sequence[Any]) -> dict[str, Any]:
        """Further parameters of an entry with the operands `kept` and cotangents `seeds`."""
        return {}

    def _summed(self, cotangent: Any, params: Any, k: int) -> Any:
        return cotangent


def _either(derived: Sequence[Any]) -> list[int]:
    pairs = zip(*[d.present for d in derived], strict=True)
    return [k for k, present in enumerate(pairs) if any(present)]


def _graphs(graphs: Sequence[Graph]) -> dict[str, Graph]:
    return dict(zip(_BRANCHES, graphs, strict=True))


def _placed(count: int, positions: Sequence[int], values: Sequence[Any]) -> list[Any]:
    found: list[Any] = [None] * count
    for k, value in zip(positions, values, strict=True):
        found[k] = value
    return found


def _check(op: Any, types: Sequence[Any], true: Graph, false: Graph) -> None:
    for graph in (true, false):
        if graph.input_types != tuple(types):
            raise DTypeError(f"{op.name}: a branch takes {graph.input_types}, not {tuple(types)}")
    if true.output_types != false.output_types:
        raise DTypeError(
            f"{op.name}: one branch gives {true.output_types}, the other {false.output_types}"
        )


# ---------------------------------------------------------------- one predicate


class _Cond(_Choice):
    """One predicate."""

    def result_types(self, types: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, ...]:
        if types[0] is not Type((), _BOOL):
            raise DTypeError(f"cond: the predicate must be bool[], not {types[0]}")
        _check(self, types[1:], params["true"], params["false"])
        return tuple(params["true"].output_types)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        return tuple(run(params["true" if arrays[0] else "false"], arrays[1:]))

    def batch(self, args: Sequence[Any], batched: Sequence[bool], size: int, params: Any) -> Any:
        if batched[0]:
            return cond_each(*args, rows=tuple(batched[1:]), **params)
        made = [batch_graph(params[b], batched[1:], size) for b in _BRANCHES]
        carries = [any(flags) for flags in zip(*[m.batched for m in made], strict=True)]
        branches = [
            batched_body(params[b], batched[1:], size, lambda k, _: carries[k])[0]
            for b in _BRANCHES
        ]
        results = read(cond(*args, **_graphs(branches), linear=params["linear"]))
        return rebundled(results, carries, size)


def _declare(function: Any) -> _Cond:
    return _Cond(
        function,
        can_fail=True,
        symbol="cond",
        latex=r"\operatorname{{cond}}({0}, \dots)",
        samples=lambda rng, dtype: [],
    )


@_declare
def cond(*operands: Any, true: Graph, false: Graph, linear: tuple[int, ...]) -> Any:
    """The results of one of two graphs: operand 0 chooses, the others are theirs."""


# ---------------------------------------------------------------- a predicate per example


class _CondEach(_Choice):
    """A predicate per example; every result carries the batch axis."""

    def result_types(self, types: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, ...]:
        if types[0].ndim != 1 or types[0].dtype != _BOOL:
            raise DTypeError(f"cond_each: the predicate must be bool[n], not {types[0]}")
        size = types[0].shape[0]
        own = [
            t.with_shape(t.shape[1:]) if row and t.shape[:1] == (size,) else t
            for t, row in zip(types[1:], params["rows"], strict=True)
        ]
        _check(self, own, params["true"], params["false"])
        return tuple(t.with_shape((size, *t.shape)) for t in params["true"].output_types)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        mask = np.asarray(arrays[0])
        size = mask.shape[0]
        # A branch that no example takes is not run.
        runs = {
            b: run(batch_graph(params[b], params["rows"], size, all_outputs=True).graph, arrays[1:])
            for b, chosen in zip(_BRANCHES, (mask, ~mask), strict=True)
            if chosen.any() or (b == "false" and not size)
        }
        if len(runs) == 1:
            return tuple(*runs.values())
        return tuple(
            np.where(mask.reshape(size, *[1] * (np.ndim(a) - 1)), a, b)
            for a, b in zip(runs["true"], runs["false"], strict=True)
        )

    def _more(self, params: Any, kept: Sequence[int], seeds: Sequence[Any]) -> dict[str, Any]:
        rows = params["rows"]
        return {"rows": (*[rows[k] for k in kept], *[True] * len(seeds))}

    def _summed(self, cotangent: Any, params: Any, k: int) -> Any:
        # An operand that all examples share gets the sum of their cotangents, each selected.
        if cotangent is None or params["rows"][k]:
            return cotangent
        return TABLE["reduce_sum"](cotangent, axes=(0,))

    def batch(self, args: Sequence[Any], batched: Sequence[bool], size: int, params: Any) -> Any:
        shape = args[0]._type.shape
        inner = shape[1] if batched[0] else shape[0]
        rows = (True, *params["rows"])
        operands, flags = [], []
        for x, is_batched, row in zip(args, batched, rows, strict=True):
            flags.append(is_batched or row)
            if flags[-1]:
                x = _both_axes(x, is_batched, row, size, inner)
                x = TABLE["reshape"](x, shape=(size * inner, *x._type.shape[2:]))
            operands.append(x)
        found = read(cond_each(*operands, **{**params, "rows": tuple(flags[1:])}))
        return bundle_of(
            [TABLE["reshape"](y, shape=(size, inner, *y._type.shape[1:])) for y in found]
        )


def chosen_graph(types: Sequence[Any], params: dict[str, Any]) -> Graph | None:
    """The graph of a `cond_each` that computes both branches and chooses: for those in which
    nothing can fail or go on for ever, so that it is no matter that a branch runs in vain."""

    def make() -> Graph | tuple[()]:
        size = types[0].shape[0]
        branches = [
            batch_graph(params[b], params["rows"], size, all_outputs=True).graph for b in _BRANCHES
        ]
        if any(getattr(op, "can_fail", False) for g in branches for op, *_ in g.entries):
            return ()
        tape = Recorder()
        mask, *inputs = (tape.input(t) for t in types)
        chosen = []
        for a, b in zip(*[inline(tape, g, inputs) for g in branches], strict=True):
            wide = TABLE["reshape"](mask, shape=(size, *[1] * (a._type.ndim - 1)))
            chosen.append(TABLE["where"](wide, a, b)._index)
        return tape.graph(chosen)

    key = (params["true"], params["false"], params["rows"], tuple(types))
    return remembered("chosen", *key, make=make) or None


def bundle_of(values: Sequence[Any]) -> Any:
    """The values as results of one entry."""
    return rebundled(values, [True] * len(values), 0)


def _both_axes(x: Any, is_batched: bool, row: bool, size: int, inner: int) -> Any:
    if is_batched and row:
        return x
    if row:
        return repeated(x, size)
    rest = x._type.shape[1:]
    apart = TABLE["reshape"](x, shape=(size, 1, *rest))
    return TABLE["broadcast_to"](apart, shape=(size, inner, *rest))


def _declare_each(function: Any) -> _CondEach:
    return _CondEach(
        function,
        can_fail=True,
        symbol="cond",
        latex=r"\operatorname{{cond}}({0}, \dots)",
        samples=lambda rng, dtype: [],
    )


@_declare_each
def cond_each(
    *operands: Any, true: Graph, false: Graph, linear: tuple[int, ...], rows: tuple[bool, ...]
) -> Any:
    """For each element of operand 0 the results of one of two graphs."""
