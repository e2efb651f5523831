"""`trace`: the graph of a function, without running it on values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wengert.capture import capture
from wengert.graph import Graph, Traced, type_of

__all__ = ["name_keywords", "trace"]


def name_keywords(
    f: Callable[..., Any], positional: int, names: tuple[str, ...]
) -> Callable[..., Any]:
    """`f` with its keyword arguments given by position, after `positional` others."""

    def call(*values: Any) -> Any:
        return f(*values[:positional], **dict(zip(names, values[positional:], strict=True)))

    return call


def trace(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Graph:
    """The graph that `f` records for arguments of these shapes and dtypes.

    The leaves of all arguments become inputs, named after the parameters; each entry knows the
    user's line. Values are not available while tracing: a Python `if` on one is an error that
    names the line.

    Example
    -------
    >>> import wengert as wg
    >>> graph = wg.trace(lambda x, y: x * y + 1.0, 2.0, 3.0)
    >>> [node.op.name for node in graph.nodes]
    ['input', 'input', 'multiply', 'constant', 'add']
    """
    names = tuple(kwargs)
    target = name_keywords(f, len(args), names) if names else f
    everything = (*args, *kwargs.values())
    captured = capture(
        target,
        everything,
        {},
        traced=range(len(everything)),
        purpose="trace",
        lines=True,
        named=True,
        lift=False,
        types_only=lambda position, number, leaf: (
            leaf._type if isinstance(leaf, Traced) else type_of(leaf)
        ),
    )
    graph = captured.graph
    if not names:
        return graph
    # The wrapper hides the names of keyword arguments.
    renamed = dict(graph.names)
    at = sum(captured.counts[: len(args)])
    for name, count in zip(names, captured.counts[len(args) :], strict=True):
        for i in range(count):
            renamed[graph.inputs[at + i]] = name if count == 1 else f"{name}[{i}]"
        at += count
    return Graph(graph.entries, graph.inputs, graph.outputs, graph.constants, graph.lines, renamed)
