"""The public interface: every name that `import wengert as wg` offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wengert.batching import autobatching, compute_together, run_gradient
from wengert.capture import Recorder
from wengert.check import check_grads
from wengert.graph import Graph
from wengert.graph.collecting import importing
from wengert.replay import replay, replaying, results_of_call
from wengert.transform import (
    checkpoint,
    cond,
    custom_jvp,
    custom_vjp,
    fori_loop,
    grad,
    hessian,
    hvp,
    invertible,
    jacobian,
    jvp,
    linearize,
    scan,
    stop_gradient,
    trace,
    value_and_grad,
    vjp,
    vmap,
    while_loop,
)
from wengert.transform.gradient import gradient_runners
from wengert.transform.inline import runners

if TYPE_CHECKING:
    import os

    from wengert.compiling.files import LoadedFunction
    from wengert.explain import Explanation

__all__ = [
    "Graph",
    "autobatching",
    "check_grads",
    "checkpoint",
    "compile",
    "cond",
    "custom_jvp",
    "custom_vjp",
    "explain",
    "finish_compiling",
    "fori_loop",
    "grad",
    "hessian",
    "hvp",
    "invertible",
    "jacobian",
    "jvp",
    "linearize",
    "load_compiled",
    "replaying",
    "scan",
    "stop_gradient",
    "trace",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]


def _svg(graph: Graph, step_of: Mapping[int, int] | None = None, title: str = "graph") -> str:
    from wengert.compiling.drawing import draw

    return draw(graph, step_of, title)


def _html(graph: Graph) -> str:
    import html

    text = html.escape(str(graph))
    return (
        f'<!doctype html><meta charset="utf-8"><title>graph</title>{_svg(graph)}<pre>{text}</pre>'
    )


Graph.renderers.update(svg=_svg, html=_html)
runners["replay"] = replay
gradient_runners["batching"] = run_gradient
Recorder.together.append(compute_together)
Recorder.alone["call"] = results_of_call


def explain(f: Callable[..., Any]) -> Callable[..., Explanation]:
    """A function that explains how the derivatives of `f` are computed at given arguments.

    `wg.explain(f)(x=1.0, w=0.0)` runs `f` and returns an `Explanation`: its operators with values
    and local partials, both sweeps step by step, every path from an input to the output, formulas,
    drawings. Printing it prints all of it; in Jupyter it draws itself.
    """
    # The explainer is needed by few programs: it is imported when first used.
    from wengert.explain import explain as explaining

    return explaining(f)


def compile(
    f: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Sequence[int] = (),
    donate: int | Sequence[int] = (),
) -> Any:
    """A function that computes what `f` computes, as native code.

    Per *signature* (structure of the arguments, shape and dtype of every leaf) `f` is run once,
    with variables that have no values; the graph that it records is optimised, planned, compiled
    and from then on run. A new size needs a new plan, but no compilation. Use it on any function
    of trees of arrays and numbers, also on derivatives: `wg.compile(wg.value_and_grad(loss))`, or
    as a decorator, with or without arguments.

    Parameters
    ----------
    f : the function. What it reads from outside (globals, closures) is read once per signature:
        arrays that may change must be arguments. It should have no side effects.
    static_argnums : positions of arguments that are passed on as they are, and on whose value the
        graph may depend; each value (hashable) has a graph of its own. A Python `if` or `range` on
        any other argument is an error that names the line; see `cond`, `scan`, `while_loop`.
    donate : positions of arguments that the caller gives up: a result of the same type as one of
        their arrays may be computed in its memory, and is then that very array. Where that is not
        possible (the array is still needed, read-only, or shared) the result is a new array.

    Returns
    -------
    A `CompiledFunction`: its `graph(*args)`, `optimized(*args)`, `report(*args)` show what is run;
    `save(path, *args)` and `export(path, *args)` write it to files. It may be called from many
    threads at once. Inside another transformation the operations of `f` become part of what that
    transformation captures.

    Raises
    ------
    NoValueError : if `f` asks for the value of a traced argument
    ArgumentError : if a static argument is not hashable
    DTypeError : if a leaf is neither a number nor an array of numbers

    Example
    -------
    >>> import numpy as np
    >>> import wengert as wg
    >>> @wg.compile
    ... def loss(w, x):
    ...     return np.sum((x @ w) ** 2)
    >>> step = wg.compile(wg.value_and_grad(loss))
    >>> step(np.array([1.0, 2.0]), np.eye(2))
    (np.float64(5.0), array([2., 4.]))
    """
    # What compiling needs is loaded by programs that compile, not by `import wengert`.
    with importing():
        from wengert.codegen.engine import prepare

        prepare()
        from wengert.compiling import compile_function

    return compile_function(f, static_argnums=static_argnums, donate=donate)


def finish_compiling() -> None:
    """Return when all compiled code is optimised, and what is made for further sizes is there.

    A function that no process compiled before runs code that LLVM made quickly, and goes over to
    optimised code when that is there, a fraction of a second later; results are the same, to the
    bit. Call this before measuring. With `WENGERT_BACKGROUND=0` in the environment there is nothing
    to wait for: the first call takes until its code is optimised.

    >>> import wengert as wg
    >>> square = wg.compile(lambda x: x * x)
    >>> float(square(3.0))
    9.0
    >>> wg.finish_compiling()
    """
    from wengert.codegen.background import settle

    settle()


def load_compiled(path: str | os.PathLike[str]) -> LoadedFunction:
    """A function that `CompiledFunction.save` wrote: callable, without its Python source.

    It takes arguments of the types that it was saved for. Loading runs no code of the file; a
    malformed file is a `GraphFileError`.
    """
    from wengert.compiling.files import load_compiled as load

    return load(path)
