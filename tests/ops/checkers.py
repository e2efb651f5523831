"""The checks that every operator must pass; each raises `AssertionError` on what it finds.

They take a graph and values for its inputs, so that derivative graphs are checked like any other.
`test_table.py` runs them over the rule table, `test_wrong_rules.py` over rules that are wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from wengert.capture import Recorder
from wengert.graph import Graph, Type, type_of
from wengert.ops import TABLE
from wengert.run import run
from wengert.transform.batching import batch_graph
from wengert.transform.graphs import jvp_graph, vjp_graph

__all__ = [
    "adjoint",
    "apply_op",
    "batching",
    "central_differences",
    "close",
    "declared",
    "first_order",
    "graph_of",
    "layouts",
    "record",
    "second_order",
    "seeded",
    "single_precision",
    "types",
]


def seeded(*parts: Any) -> np.random.Generator:
    """A generator whose seed follows from a name, the same in every process."""
    return np.random.default_rng([sum(i * b for i, b in enumerate(str(parts).encode(), 1)), 1964])


# ---------------------------------------------------------------- graphs to check


def graph_of(function: Callable[..., Any], types_: Sequence[Type]) -> Graph:
    """The graph that a function of variables records."""
    tape = Recorder()
    handles = [tape.input(t) for t in types_]
    results = function(*handles)
    results = results if isinstance(results, tuple) else (results,)
    return tape.graph([tape.index_of(r) for r in results]).verify()


def record(op: Any, operands: Sequence[Any], params: dict[str, Any]) -> Graph:
    """One application of an operator, all of whose operands are inputs."""
    return graph_of(lambda *xs: op(*xs, **params), [type_of(x) for x in operands])


def apply_op(op: Any, operands: Sequence[Any], params: dict[str, Any]) -> Any:
    """The value that the graph of one application computes."""
    (value,) = run(record(op, operands, params), list(operands))
    return value


@contextmanager
def declared(make: Callable[[], Any]) -> Any:
    """An operator that exists for the time of one test."""
    op = make()
    try:
        yield op
    finally:
        del TABLE[op.name]


def float_inputs(graph: Graph) -> tuple[int, ...]:
    """Positions of the inputs that derivatives are taken by."""
    return tuple(k for k, t in enumerate(graph.input_types) if t.is_float)


def float_outputs(graph: Graph) -> tuple[int, ...]:
    """Positions of the outputs that have derivatives."""
    return tuple(k for k, t in enumerate(graph.output_types) if t.is_float)


def draw(rng: Any, types_: Sequence[Type]) -> list[Any]:
    """Directions of about unit length per element, never near zero."""
    drawn = []
    for t in types_:
        size = rng.uniform(0.5, 1.5, t.shape) * rng.choice([-1.0, 1.0], t.shape)
        drawn.append(np.asarray(size).astype(t.dtype))
    return drawn


def precision(graph: Graph) -> float:
    """The largest machine epsilon among the float values of a graph."""
    kinds = {t.dtype for *_, t in graph.entries if isinstance(t, Type) and t.is_float}
    return max([float(np.finfo(d).eps) for d in kinds], default=0.0)


# ---------------------------------------------------------------- comparing


def close(found: Any, expected: Any, rtol: float, what: str, *, scale: float = 0.0) -> None:
    """Assert that two arrays agree to `rtol` of the larger of each element and `scale`."""
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        raise AssertionError(f"{what}: shape {found.shape} instead of {expected.shape}")
    if found.dtype.kind != "f":
        if not np.array_equal(found, expected):
            raise AssertionError(f"{what}: {found} instead of {expected}")
        return
    with np.errstate(all="ignore"):
        same = (found == expected) | (np.isnan(found) & np.isnan(expected))
        error = np.abs(found.astype(float) - expected.astype(float))
        allowed = rtol * np.maximum(np.abs(expected.astype(float)), scale)
        wrong = ~(same | (error <= allowed))
    if np.any(wrong):
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise AssertionError(
            f"{what}: at {at} {found[at]!r} instead of {expected[at]!r}, "
            f"{error[at]:.3g} apart where {allowed[at]:.3g} is allowed"
        )


def same_type(value: Any, type_: Type, what: str) -> None:
    """Assert that a value has a type."""
    if type_of(value) is not type_:
        raise AssertionError(f"{what}: computed {type_of(value)}, inferred {type_}")


def largest(arrays: Sequence[Any]) -> float:
    """The largest finite magnitude."""
    sizes = [np.abs(a[np.isfinite(a)]) for a in map(np.asarray, arrays) if a.dtype.kind == "f"]
    return max([float(s.max()) for s in sizes if s.size], default=0.0)


# ---------------------------------------------------------------- the checks


def types(graph: Graph, args: Sequence[Any], what: str = "type") -> None:
    """Inferred types are those of the computed values, for every entry."""
    graph = graph.with_outputs(range(len(graph)))
    for entry, value in zip(graph.entries, run(graph, list(args)), strict=True):
        if isinstance(entry[3], Type):
            same_type(value, entry[3], f"{what}: {entry[0].name}")


def central_differences(
    graph: Graph, args: Sequence[Any], rng: Any, what: str = "jvp", *, slack: float = 1.0
) -> None:
    """The JVP in a random direction, against central differences of the graph.

    `slack` allows for the conditioning of long programs.
    """
    wrt, outs = float_inputs(graph), float_outputs(graph)
    if not wrt or not outs:
        return
    eps = precision(graph)
    directions = draw(rng, [graph.input_types[k] for k in wrt])
    tangents = run(jvp_graph(graph, wrt), [*args, *directions])[len(graph.outputs) :]
    step = eps ** (1 / 3)

    def moved(sign: float) -> list[Any]:
        shifted = list(args)
        for k, v in zip(wrt, directions, strict=True):
            x = np.asarray(args[k], np.longdouble)
            shifted[k] = (x + sign * step * v).astype(np.asarray(args[k]).dtype)
        return run(graph, shifted)

    above, below = moved(1.0), moved(-1.0)
    values = run(graph, list(args))
    for k, tangent in zip(outs, tangents, strict=True):
        same_type(tangent, graph.output_types[k], f"{what}: tangent")
        expected = (np.asarray(above[k]) - np.asarray(below[k])) / (2 * step)
        # Rounding of the values themselves divided by the step, and the third derivative.
        scale = max(largest([expected]), largest([values[k]]), 1.0)
        rtol = slack * 50 * eps ** (2 / 3)
        close(tangent, expected.astype(tangent.dtype), rtol, what, scale=scale)


def adjoint(
    graph: Graph, args: Sequence[Any], rng: Any, what: str = "vjp", *, slack: float = 1.0
) -> None:
    """<y_bar, J x_dot> = <J' y_bar, x_dot>, and the same values in both modes."""
    wrt, outs = float_inputs(graph), float_outputs(graph)
    if not wrt or not outs:
        return
    n = len(graph.outputs)
    x_dot = draw(rng, [graph.input_types[k] for k in wrt])
    y_bar = draw(rng, [graph.output_types[k] for k in outs])
    forward = run(jvp_graph(graph, wrt).verify(), [*args, *x_dot])
    reverse = run(vjp_graph(graph, wrt, outs).verify(), [*args, *y_bar])
    for a, b in zip(forward[:n], reverse[:n], strict=True):
        close(a, b, 0.0, f"{what}: the value")
    for k, x_bar in zip(wrt, reverse[n:], strict=True):
        same_type(x_bar, graph.input_types[k], f"{what}: cotangent")

    def terms(a: Sequence[Any], b: Sequence[Any]) -> Any:
        parts = [
            np.ravel(np.asarray(x, float) * np.asarray(y, float)) for x, y in zip(a, b, strict=True)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    left, right = terms(y_bar, forward[n:]), terms(reverse[n:], x_dot)
    size = max(float(np.abs(left).sum()), float(np.abs(right).sum()))
    error = abs(float(left.sum()) - float(right.sum()))
    if not error <= slack * 100 * precision(graph) * max(size, slack * 1e-6):
        raise AssertionError(
            f"{what}: <y_bar, J x_dot> = {left.sum()!r}, but <J' y_bar, x_dot> = {right.sum()!r}"
        )


def first_order(graph: Graph, args: Sequence[Any], rng: Any, what: str = "") -> None:
    """Both modes."""
    central_differences(graph, args, rng, f"{what} jvp")
    adjoint(graph, args, rng, f"{what} vjp")


def second_order(graph: Graph, args: Sequence[Any], rng: Any, what: str = "") -> None:
    """Both modes, of the graphs of both modes."""
    wrt, outs = float_inputs(graph), float_outputs(graph)
    if not wrt or not outs:
        return
    forward = jvp_graph(graph, wrt)
    x_dot = draw(rng, [graph.input_types[k] for k in wrt])
    first_order(forward, [*args, *x_dot], rng, f"{what} jvp,")
    reverse = vjp_graph(graph, wrt, outs)
    y_bar = draw(rng, [graph.output_types[k] for k in outs])
    first_order(reverse, [*args, *y_bar], rng, f"{what} vjp,")


def single_precision(
    graph: Graph, double: Graph, args: Sequence[Any], rng: Any, what: str = ""
) -> None:
    """Derivatives in float32 against those of the same program in float64."""
    wrt, outs = float_inputs(graph), float_outputs(graph)
    if not wrt or not outs:
        return
    up = [a.astype(float) if np.asarray(a).dtype.kind == "f" else a for a in map(np.asarray, args)]
    x_dot = draw(rng, [graph.input_types[k] for k in wrt])
    y_bar = draw(rng, [graph.output_types[k] for k in outs])
    n = len(graph.outputs)
    pairs = (
        (jvp_graph(graph, wrt), jvp_graph(double, wrt), x_dot),
        (vjp_graph(graph, wrt, outs), vjp_graph(double, wrt, outs), y_bar),
    )
    for low, high, seeds in pairs:
        types(low, [*args, *seeds], f"{what} in float32")
        found = run(low, [*args, *seeds])[n:]
        expected = run(high, [*up, *[s.astype(float) for s in seeds]])[n:]
        for a, b in zip(found, expected, strict=True):
            close(a, np.asarray(b), 2e-5, f"{what} in float32", scale=max(largest([b]), 1e-3))


def example(value: Any, number: int) -> Any:
    """A further element of a batch, close to `value` and in the same domain."""
    value = np.asarray(value)
    if value.dtype.kind == "f":
        return value * value.dtype.type(1.0 + number / 64.0)
    return np.roll(value.ravel(), number).reshape(value.shape)


def batching(graph: Graph, args: Sequence[Any], what: str = "batch", *, size: int = 3) -> None:
    """The batched graph against a Python loop, for each non-empty subset of batched inputs."""
    n = len(args)
    for flags in itertools.product((False, True), repeat=n):
        if not any(flags):
            continue
        rows = [
            [example(a, i) if b else a for a, b in zip(args, flags, strict=True)]
            for i in range(size)
        ]
        given = [np.stack([row[k] for row in rows]) if b else args[k] for k, b in enumerate(flags)]
        whole = batch_graph(graph, flags, size)
        whole.graph.verify()
        found = run(whole.graph, given)
        looped = [run(graph, row) for row in rows]
        for k, (value, carries) in enumerate(zip(found, whole.batched, strict=True)):
            column = [row[k] for row in looped]
            expected = np.stack(column) if carries else column[0]
            label = f"{what} with inputs {flags} batched"
            same_type(value, type_of(expected), label)
            close(value, expected, 64 * precision(graph), label, scale=largest([expected]))


def layouts(graph: Graph, args: Sequence[Any], what: str = "layout") -> None:
    """The same numbers from operands laid out otherwise in memory, none of which is written to."""

    def reversed_(x: Any) -> Any:
        flipped = (slice(None, None, -1),) * x.ndim
        return x[flipped].copy()[flipped]

    def spread(x: Any) -> Any:
        room = np.zeros([2 * n for n in x.shape], x.dtype)
        room[(slice(None, None, 2),) * x.ndim] = x
        return room[(slice(None, None, 2),) * x.ndim]

    expected = run(graph, list(args))
    arrays = [np.asarray(a) for a in args]
    for change in (np.copy, np.asfortranarray, reversed_, spread):
        changed = [np.asarray(change(a)) if a.ndim else a.copy() for a in arrays]
        for a in changed:
            a.flags.writeable = False
        label = f"{what} of operands by {change.__name__}"
        try:
            found = run(graph, changed)
        except ValueError as error:
            raise AssertionError(f"{label}: {error}") from None
        for a, b in zip(found, expected, strict=True):
            close(a, b, 16 * precision(graph), label, scale=largest([b]))
        for a, b in zip(changed, arrays, strict=True):
            close(a, b, 0.0, f"{label}: an operand was modified")
