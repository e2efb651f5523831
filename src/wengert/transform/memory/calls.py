"""The operator `checkpoint_call`: a graph as one entry, of which nothing but operands is kept.

Its derivatives are such entries too: the pullback is a call of the graph that computes everything
anew and then goes back. In an interpreted graph the body of an entry is run on its own, and what it
held is gone when it has run. In a compiled graph calls are replaced by their entries
(`optimise.calls`); there the operands of a `delayed` call wait for its cotangents by the operator
`after`, so that the same computation, done before, is not found to be the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.errors import DTypeError
from wengert.graph import Graph
from wengert.run import run
from wengert.transform.batching import batch_graph
from wengert.transform.control.bodies import pulled, pushed, selected, transposed
from wengert.transform.control.results import Control, read, rebundled

__all__ = ["checkpoint_call", "placed"]


class _CheckpointCall(Control):
    """Operands: those of `body`. Results: those of `body`.

    Parameters: `linear`, the operands in which the body is linear; `delayed`, whether the call is
    the part of a reverse sweep that computes something again.
    """

    def result_types(self, types: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, ...]:
        body: Graph = params["body"]
        if body.input_types != tuple(types):
            raise DTypeError(f"{self.name}: the body takes {body.input_types}, not {types}")
        return body.output_types

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        return tuple(run(params["body"], arrays))

    def pushforward(self, y: Any, xs: Sequence[Any], tangents: Sequence[Any], params: Any) -> Any:
        wrt = tuple(k for k, t in enumerate(tangents) if t is not None)
        derived = pushed(params["body"], wrt)
        outs = [k for k, present in enumerate(derived.present) if present]
        if not outs:
            return None
        operands = [*xs, *[tangents[k] for k in wrt]]
        results = read(
            checkpoint_call(
                *operands,
                body=selected(derived.graph, outs),
                linear=tuple(range(len(xs), len(operands))),
                delayed=params["delayed"],
            )
        )
        return placed(len(params["body"].outputs), outs, results)

    def pullback(
        self, y: Any, xs: Sequence[Any], cotangent: Any, needed: Sequence[bool], params: Any
    ) -> Sequence[Any]:
        body, linear = params["body"], params["linear"]
        seeded = tuple(k for k, c in enumerate(cotangent) if c is not None)
        wrt = tuple(k for k, need in enumerate(needed) if need)
        kept = list(range(len(xs)))
        if wrt and all(k in linear for k in wrt):
            wrt = tuple(linear)
            kept = [k for k in kept if k not in linear]
            derived = transposed(body, wrt, seeded)
        else:
            derived = pulled(body, wrt, seeded)
        outs = [k for k, present in enumerate(derived.present) if present and needed[wrt[k]]]
        if not outs:
            return [None] * len(xs)
        operands = [*[xs[k] for k in kept], *[cotangent[k] for k in seeded]]
        results = read(
            checkpoint_call(
                *operands,
                body=selected(derived.graph, outs),
                linear=tuple(range(len(kept), len(operands))),
                delayed=True,
            )
        )
        return placed(len(xs), [wrt[k] for k in outs], results)

    def batch(self, args: Sequence[Any], batched: Sequence[bool], size: int, params: Any) -> Any:
        made = batch_graph(params["body"], batched, size)
        results = read(checkpoint_call(*args, **{**params, "body": made.graph}))
        return rebundled(results, made.batched, size)


def placed(count: int, positions: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """A list of `count` items: the values at their positions, None elsewhere."""
    found: list[Any] = [None] * count
    for k, value in zip(positions, values, strict=True):
        found[k] = value
    return found


def _declare(function: Any) -> _CheckpointCall:
    return _CheckpointCall(
        function,
        can_fail=True,
        symbol="checkpoint",
        latex=r"\operatorname{{checkpoint}}({0}, \dots)",
        samples=lambda rng, dtype: [],
    )


@_declare
def checkpoint_call(*operands: Any, body: Graph, linear: tuple[int, ...], delayed: bool) -> Any:
    """The results of a graph whose values are computed again where a derivative needs them."""
