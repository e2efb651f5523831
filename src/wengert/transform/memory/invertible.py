"""`invertible`: steps that can be undone, so that the reverse sweep needs to keep none of them.

The reverse sweep takes the result of the last step, computes the argument from it by the inverse,
and hands that on as the result of the step before (`sweeps.reverse_sweep`). The forward values so
die as soon as the next step has run (Gomez et al., "The reversible residual network", 2017).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.capture import flatten, function_name, unflatten
from wengert.capture.function import as_leaf
from wengert.capture.recorder import Recorder
from wengert.errors import ArgumentError, DTypeError
from wengert.graph import Graph, Traced, current_tape
from wengert.transform.batching import batch_graph
from wengert.transform.control.bodies import pulled, pushed, rearranged, selected
from wengert.transform.control.closures import closed
from wengert.transform.control.results import Control, read, rebundled, type_of_leaf
from wengert.transform.inline import apply_graph, inline
from wengert.transform.memo import remembered
from wengert.transform.memory.calls import checkpoint_call, placed

__all__ = ["invertible"]


class _InvertibleCall(Control):
    """Operands: the `count` values that are recovered, then all others. Results: those of `body`.

    `inverse` maps the results and the other operands to the first `count` operands.
    """

    recovers = True

    def linear_operands(self, params: dict[str, Any]) -> tuple[int, ...]:
        return ()

    def result_types(self, types: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, ...]:
        body, inverse, count = params["body"], params["inverse"], params["count"]
        if body.input_types != tuple(types):
            raise DTypeError(f"{self.name}: the body takes {body.input_types}, not {types}")
        if inverse.input_types != (*body.output_types, *types[count:]) or (
            inverse.output_types != tuple(types[:count])
        ):
            raise DTypeError(
                f"{self.name}: the inverse must map {(*body.output_types, *types[count:])} to "
                f"{tuple(types[:count])}, not {inverse.input_types} to {inverse.output_types}"
            )
        return tuple(body.output_types)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        return tuple(apply_graph(params["body"], arrays))

    def pushforward(self, y: Any, xs: Sequence[Any], tangents: Sequence[Any], params: Any) -> Any:
        wrt = tuple(k for k, t in enumerate(tangents) if t is not None)
        derived = pushed(params["body"], wrt)
        outs = [k for k, present in enumerate(derived.present) if present]
        given = [*xs, *[tangents[k] for k in wrt]]
        results = apply_graph(selected(derived.graph, outs), given) if outs else []
        return placed(len(params["body"].outputs), outs, results)

    def recovering_pullback(
        self, ys: Sequence[Any], xs: Sequence[Any], cotangent: Any, needed: Any, params: Any
    ) -> tuple[list[Any], list[Any]]:
        """The cotangents of the operands, and the first operands, recovered from the results."""
        count = params["count"]
        seeded = tuple(k for k, c in enumerate(cotangent) if c is not None)
        wrt = tuple(k for k, need in enumerate(needed) if need)
        graph, present = _backward(params["body"], params["inverse"], count, wrt, seeded)
        operands = [*ys, *xs[count:], *[cotangent[k] for k in seeded]]
        results = read(
            checkpoint_call(
                *operands,
                body=graph,
                linear=tuple(range(len(operands) - len(seeded), len(operands))),
                delayed=True,
            )
        )
        found: list[Any] = [None] * len(xs)
        for k, here, value in zip(wrt, present, results[count:], strict=True):
            found[k] = value if here else None
        return found, results[:count]

    def batch(self, args: Sequence[Any], batched: Sequence[bool], size: int, params: Any) -> Any:
        # The recovered operands must have the types of the given ones: all carry the batch axis.
        whole = [True] * len(args)
        made = batch_graph(params["body"], whole, size, all_outputs=True)
        inverse = params["inverse"]
        back = batch_graph(inverse, [True] * len(inverse.inputs), size, all_outputs=True)
        operands = rebundled(args, batched, size)
        results = invertible_call(
            *read(operands), body=made.graph, inverse=back.graph, count=params["count"]
        )
        return rebundled(read(results), made.batched, size)


def _backward(
    body: Graph, inverse: Graph, count: int, wrt: tuple[int, ...], seeded: tuple[int, ...]
) -> tuple[Graph, tuple[bool, ...]]:
    """One step back. Inputs: results, operands but the first, cotangents; outputs: the first
    operands, cotangents of the operands `wrt`."""

    def make() -> Any:
        derived = pulled(body, wrt, seeded)
        tape = Recorder()
        ys = [tape.input(t) for t in body.output_types]
        rest = [tape.input(t) for t in body.input_types[count:]]
        seeds = [tape.input(body.output_types[k]) for k in seeded]
        xs = inline(tape, inverse, [*ys, *rest])
        cotangents = inline(tape, derived.graph, [*xs, *rest, *seeds])
        return _Step(tape.graph([h._index for h in (*xs, *cotangents)]), derived.present)

    step = remembered("step back", body, inverse, count, wrt, seeded, make=make)
    return step.graph, step.present


class _Step:
    def __init__(self, graph: Graph, present: tuple[bool, ...]) -> None:
        self.graph = graph
        self.present = present

    def __len__(self) -> int:
        return len(self.graph)


def _declare(function: Any) -> _InvertibleCall:
    return _InvertibleCall(
        function,
        can_fail=True,
        symbol="invertible",
        latex=r"\operatorname{{invertible}}({0}, \dots)",
        samples=lambda rng, dtype: [],
    )


@_declare
def invertible_call(*operands: Any, body: Graph, inverse: Graph, count: int) -> Any:
    """The results of a graph that has an inverse."""


# ---------------------------------------------------------------- the function users call


def invertible(f: Callable[..., Any], inverse: Callable[..., Any]) -> Callable[..., Any]:
    """A function that computes what `f` computes, and of which reverse mode keeps nothing.

    Reverse mode recovers the first argument of a call from its result, by `inverse`, and runs the
    derivative of `f` from there. In a chain of invertible steps only the last result is kept. Each
    step costs one run of `inverse` and one of `f` more. The recovered values differ from the
    original ones by what `inverse` rounds.

    Parameters
    ----------
    f : `f(x, *others)`, a function of trees of arrays, captured without values
    inverse : `inverse(y, *others)` gives back `x`: the same tree, shapes and dtypes. It is not
        checked to be the inverse: `wg.check_grads` tells.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> step = wg.invertible(lambda x, w: x * np.exp(w), lambda y, w: y * np.exp(-w))
    >>> print(wg.grad(lambda x: np.sum(step(step(x, 1.0), -1.0)))(np.ones(2)))
    [1. 1.]
    """
    for g in (f, inverse):
        if not callable(g):
            raise ArgumentError(f"invertible: {g!r} is not a function")

    @functools.wraps(f, assigned=("__name__", "__doc__", "__module__"))
    def stepped(x: Any, *others: Any) -> Any:
        if current_tape() is None:
            return f(x, *others)
        return _record(f, inverse, x, others)

    return stepped


def _record(f: Any, inverse: Any, x: Any, others: tuple[Any, ...]) -> Any:
    leaves, structure = flatten(x)
    leaves = [as_leaf(leaf, f"invertible: an argument of {function_name(f)}") for leaf in leaves]
    rest = [
        as_leaf(leaf, f"invertible: an argument of {function_name(f)}")
        for leaf in flatten(list(others))[0]
    ]
    body = closed(f, (x, *others), "invertible")
    results = unflatten(body.structure, [_blank(t) for t in body.graph.output_types])
    back = closed(inverse, (results, *others), "invertible")
    _check(f, inverse, leaves, structure, back)
    count, given, ys = len(leaves), len(leaves) + len(rest), len(body.graph.outputs)
    operands = [*leaves, *rest, *body.extras, *back.extras]
    if not any(isinstance(a, Traced) for a in operands):
        return f(x, *others)
    more = [type_of_leaf(a) for a in back.extras]
    function = rearranged(body.graph, [*range(len(body.graph.inputs)), *more])
    skipped = [type_of_leaf(a) for a in body.extras]
    own = back.own
    undo = rearranged(back.graph, [*range(own), *skipped, *range(own, len(back.graph.inputs))])
    assert own == ys + given - count
    entry = invertible_call(*operands, body=function, inverse=undo, count=count)
    return unflatten(body.structure, read(entry))


def _blank(type_: Any) -> Any:
    return np.broadcast_to(np.zeros((), type_.dtype), type_.shape)


def _check(f: Any, inverse: Any, leaves: Sequence[Any], structure: Any, back: Any) -> None:
    types = tuple(type_of_leaf(a) for a in leaves)
    if back.structure != structure or back.graph.output_types != types:
        raise ArgumentError(
            f"invertible: the inverse {function_name(inverse)} must return what the first argument "
            f"of {function_name(f)} is, {_shown(structure, types)}, but it returned "
            f"{_shown(back.structure, back.graph.output_types)}"
        )


def _shown(structure: Any, types: Sequence[Any]) -> str:
    return str(unflatten(structure, [str(t) for t in types])).replace("'", "")
