"""`checkpoint`: mark by hand what the reverse sweep computes again instead of keeping it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from wengert.capture import capture, flatten, function_name, unflatten
from wengert.errors import ArgumentError
from wengert.graph import Traced, current_tape
from wengert.graph.tape import staying_inside
from wengert.transform.control.bodies import live_inputs, rearranged
from wengert.transform.control.closures import keep_copies
from wengert.transform.control.results import read
from wengert.transform.memory.calls import checkpoint_call

__all__ = ["checkpoint"]


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function that computes what `f` computes, and of which derivatives keep only arguments.

    Reverse mode keeps the values that it needs of every operation until it comes back to it. Of a
    call of a checkpointed function it keeps the arguments (and what the function closes over)
    and runs the function again when it comes back. That costs one more run of `f`. Calls may stand
    inside each other, in loops and under any transformation; a compiled function keeps to it.

    Parameters
    ----------
    f : any function of trees of arrays. It may run more than once, so that it should have no side
        effects.

    Returns
    -------
    A function with the signature of `f`. Outside of a transformation it is `f` itself.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> layer = wg.checkpoint(lambda x: np.tanh(np.sin(x)))
    >>> print(wg.grad(lambda x: np.sum(layer(layer(x))))(np.zeros(2)))
    [1. 1.]
    """
    if not callable(f):
        raise ArgumentError(
            f"checkpoint: {f!r} is not a function",
            hint="write wg.checkpoint(f)(x), not wg.checkpoint(f(x))",
        )

    @functools.wraps(f, assigned=("__name__", "__doc__", "__module__"))
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        tape = current_tape()
        if tape is None:
            return f(*args, **kwargs)
        return _record(f, args, kwargs, tape)

    return checkpointed


def _record(f: Callable[..., Any], args: Any, kwargs: Any, tape: Any) -> Any:
    traced = [k for k, a in enumerate(args) if any(isinstance(x, Traced) for x in flatten(a)[0])]

    @functools.wraps(f, assigned=("__name__", "__doc__", "__module__"))
    def body(*values: Any, **named: Any) -> Any:
        # What the function closes over is used inside, too: it becomes an operand of the call.
        with staying_inside(current_tape()):
            return f(*values, **named)

    captured = capture(
        body, args, kwargs, traced=traced, purpose="checkpoint", lines=tape.lines is not None
    )
    live = live_inputs(captured.graph)
    used = [k for k, alive in enumerate(live) if alive]
    operands = [captured.arguments[k] for k in used]
    first = sum(captured.counts)
    keep_copies([captured.arguments[k] for k in used if k >= first])
    graph = rearranged(captured.graph, used)
    if not any(isinstance(x, Traced) for x in operands):
        return f(*args, **kwargs)
    if not captured.out_count:
        raise ArgumentError(f"checkpoint: {function_name(f)} returned no array")
    results = checkpoint_call(*operands, body=graph, linear=(), delayed=False)
    return unflatten(captured.out_structure, read(results))
