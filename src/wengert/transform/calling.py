"""The operator `call`: a graph as one entry of another, recorded where a compiled function is used.

A dynamic graph then holds one node per use instead of the function's entries, and all that are
ready run as one batch. Where derivatives are taken of the graph itself, the entry expands into the
derivative of its body.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.errors import DTypeError
from wengert.ops import TABLE
from wengert.run import run
from wengert.transform.batching import batch_graph
from wengert.transform.control.bodies import pulled, pushed
from wengert.transform.control.results import Control, rebundled
from wengert.transform.inline import inline

__all__ = ["call"]


class _Call(Control):
    """Parameter `body`: the graph. Operands: its inputs. Result: the tuple of its outputs."""

    def result_types(self, types: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, ...]:
        body = params["body"]
        if body.input_types != tuple(types):
            raise DTypeError(f"call: the function takes {body.input_types}, not {tuple(types)}")
        return tuple(body.output_types)

    def linear_operands(self, params: dict[str, Any]) -> tuple[int, ...]:
        return ()

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        return tuple(run(params["body"], arrays))

    def pushforward(self, y: Any, xs: Sequence[Any], tangents: Sequence[Any], params: Any) -> Any:
        wrt = tuple(k for k, t in enumerate(tangents) if t is not None)
        derived = pushed(params["body"], wrt)
        found = inline(y._tape, derived.graph, [*xs, *[tangents[k] for k in wrt]])
        return [t if p else None for t, p in zip(found, derived.present, strict=True)]

    def pullback(
        self, y: Any, xs: Sequence[Any], cotangent: Any, needed: Sequence[bool], params: Any
    ) -> Sequence[Any]:
        seeded = tuple(k for k, c in enumerate(cotangent) if c is not None)
        wrt = tuple(k for k, need in enumerate(needed) if need)
        derived = pulled(params["body"], wrt, seeded)
        found = inline(y._tape, derived.graph, [*xs, *[cotangent[k] for k in seeded]])
        results: list[Any] = [None] * len(xs)
        for k, value, present in zip(wrt, found, derived.present, strict=True):
            results[k] = value if present else None
        return results

    def batch(self, args: Sequence[Any], batched: Sequence[bool], size: int, params: Any) -> Any:
        made = batch_graph(params["body"], batched, size)
        tape = next(a._tape for a in args)
        return rebundled(inline(tape, made.graph, args), list(made.batched), size)


def _declare(function: Any) -> _Call:
    return _Call(
        function,
        symbol="call",
        latex=r"\operatorname{{call}}({0}, \dots)",
        samples=lambda rng, dtype: [],
    )


@_declare
def call(*operands: Any, body: Any) -> Any:
    """The results of a graph."""


assert TABLE["call"] is call
