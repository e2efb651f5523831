"""`grad`, `value_and_grad`, `jvp`, `vjp`, `linearize`: derivatives of functions.

Each runs the function on variables (`capture`), derives a graph, and applies it: on arrays that
runs it, on variables of an enclosing transformation it records it, which is how they nest.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from wengert.capture import Captured, capture, check_argnums, flatten, function_name, unflatten
from wengert.capture.function import as_leaf
from wengert.errors import ArgumentError, DTypeError, ShapeError
from wengert.graph import Graph, Traced, innermost, type_of
from wengert.run.budget import Budget, current_budget, limited, parse_memory, within
from wengert.transform.control.joining import joined_loops
from wengert.transform.examples import for_each_example
from wengert.transform.graphs import (
    Split,
    forward_graph,
    linearize_graph,
    pullback_graph,
    vjp_graph,
)
from wengert.transform.inline import apply_graph
from wengert.transform.locating import locating
from wengert.transform.memory.loops import cut_loops
from wengert.transform.memory.splits import split_within
from wengert.transform.templates import for_all_sizes

__all__ = ["grad", "gradient_runners", "jvp", "linearize", "value_and_grad", "vjp"]

#: Other ways to run value and gradient of a recorded graph on arrays, by name: functions of (graph,
#: arguments, numbers of the inputs to differentiate by) that return the outputs and the gradient as
#: arrays of their own, or None. `api` puts batching here, later in the order of imports.
gradient_runners: dict[str, Callable[..., list[Any] | None]] = {}


def split(leaves: Sequence[Any], captured: Captured) -> list[Any]:
    """The leaves as one tree per traced argument."""
    trees, at = [], 0
    for count, structure in zip(captured.counts, captured.structures, strict=True):
        trees.append(unflatten(structure, leaves[at : at + count]))
        at += count
    return trees


def value_and_grad(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    per_example: bool = False,
    memory: Budget | None = None,
) -> Callable[..., Any]:
    """A function that returns the value of `f` and its gradient, in two sweeps.

    Parameters
    ----------
    f : function of arrays, numbers or trees of them, returning a float scalar (with `has_aux`: a
        pair of it and any data)
    argnums : the positional argument, or arguments, to differentiate by; their leaves must be float
    per_example : one value and gradient for each example of a batch, without a loop: every leaf of
        the other positional arguments counts the examples along its first axis, and so does every
        leaf of the result; arguments in `argnums` and keyword arguments are shared
    memory : a budget for what is held beside the arguments while the derivative runs: bytes, or a
        string such as "200MB" or "1.5GiB". Values are computed again where keeping them would take
        more. A budget that is not binding changes nothing

    Returns
    -------
    A function `(*args, **kwargs) -> (value, gradient)`; with `has_aux` `((value, aux), gradient)`.
    The gradient has the structure, shapes and dtypes of the argument; for several `argnums` it is
    a tuple.

    Raises
    ------
    ShapeError if the result is no scalar, DTypeError if an argument or the result is not float,
    ArgumentError if `argnums` names an argument that was not passed by position, BudgetError if no
    plan within the budget is found: it states the smallest feasible one.

    Example
    -------
    >>> import wengert as wg
    >>> value, gradient = wg.value_and_grad(lambda x: x**3)(2.0)
    >>> print(value, gradient)
    8.0 12.0
    """

    @functools.wraps(f, assigned=("__name__", "__doc__", "__module__"))
    def derived(*args: Any, **kwargs: Any) -> Any:
        numbers = check_argnums(argnums, len(args), "grad")
        captured = capture(
            f,
            args,
            kwargs,
            traced=numbers,
            purpose="grad",
            has_aux=has_aux,
            floats_only=True,
            calls=bool(gradient_runners),
        )
        _check_scalar(captured, f)
        with locating(captured):
            results = _by_runner(captured)
            if results is None:
                results = _one_by_one(captured)
        outputs = len(captured.graph.outputs)
        value = unflatten(captured.out_structure, results[: captured.out_count])
        if captured.aux is not None:
            value = (value, captured.aux(results[captured.out_count : outputs]))
        trees = split(results[outputs:], captured)
        return value, trees[0] if isinstance(argnums, (int, np.integer)) else tuple(trees)

    each = for_each_example(derived, f, argnums, "grad") if per_example else derived
    return limited(each, memory)


def _by_runner(captured: Captured) -> list[Any] | None:
    tape = captured.tape
    if not tape.keeps_calls or tape.budget is not None or current_budget() is not None:
        return None
    wrt = range(sum(captured.counts))
    for runner in gradient_runners.values():
        found = runner(captured.graph, captured.arguments, wrt)
        if found is not None:
            return found
    return None


def _one_by_one(captured: Captured) -> list[Any]:
    wrt = tuple(range(sum(captured.counts)))
    if current_budget() is None:
        derived = _derived(captured, wrt)
        return apply_graph(derived, captured.arguments, known=captured.known)

    def derive(graph: Graph) -> Graph:
        return vjp_graph(graph, wrt, (0,), one=True)

    graph, known = cut_loops(captured, derive)
    return apply_graph(derive(graph), captured.arguments, known=known)


def _derived(captured: Captured, wrt: tuple[int, ...]) -> Graph:
    """The graph of value and gradient."""

    def derive(graph: Graph) -> Graph:
        return vjp_graph(graph, wrt, (0,), one=True)

    if captured.tape.prepare is None:
        return derive(captured.graph)
    # Within a function that is being compiled, perhaps for other sizes than before.
    return for_all_sizes(("vjp", wrt), captured.graph, derive)  # type: ignore[no-any-return]


def _check_scalar(captured: Captured, f: Any) -> None:
    graph = captured.graph
    type_: Any = graph.entries[graph.outputs[0]][3] if graph.outputs else None
    if captured.out_count == 1 and type_.shape == () and type_.is_float:
        return
    name = function_name(f)
    if captured.out_count != 1:
        raise ArgumentError(
            f"grad: {name} must return one scalar, but it returned {captured.out_count} values",
            hint="return (scalar, others) and pass has_aux=True, or use wg.jacobian",
        )
    if type_.shape != ():
        raise ShapeError(
            f"grad: {name} must return a scalar, but it returned {type_}",
            hint="sum it, or use wg.jacobian for the derivative of every element, or wg.vjp",
        )
    raise DTypeError(f"grad: {name} must return a float scalar, but it returned {type_}")


def grad(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    per_example: bool = False,
    memory: Budget | None = None,
) -> Callable[..., Any]:
    """A function that returns the gradient of `f`, by reverse mode.

    As `value_and_grad`, without the value; with `has_aux` it returns `(gradient, aux)`.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> print(wg.grad(lambda x: np.sum(np.sin(x)))(np.array([0.0, np.pi])))
    [ 1. -1.]
    >>> print(wg.grad(lambda w, x: (w * x) ** 2, per_example=True)(1.0, np.array([1.0, 2.0])))
    [2. 8.]
    """
    both = value_and_grad(f, argnums, has_aux, per_example=per_example, memory=memory)

    @functools.wraps(f, assigned=("__name__", "__doc__", "__module__"))
    def derived(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return derived


def _tangent_leaves(primals: Any, tangents: Any, purpose: str) -> list[Any]:
    """The leaves of `tangents`, checked to fit those of `primals`."""
    leaves, structure = flatten(primals)
    found, other = flatten(tangents)
    if structure != other:
        raise ArgumentError(
            f"{purpose}: the tangents must have the structure of the primals, {structure}, "
            f"not {other}"
        )
    checked = []
    for primal, tangent in zip(leaves, found, strict=True):
        x = as_leaf(primal, f"{purpose}: a primal")
        type_ = x._type if isinstance(x, Traced) else type_of(x)
        checked.append(_fit(tangent, type_, f"{purpose}: a tangent"))
    return checked


def _fit(value: Any, type_: Any, what: str) -> Any:
    """A tangent or cotangent in the type it must have."""
    value = as_leaf(value, what)
    own = value._type if isinstance(value, Traced) else type_of(value)
    if own.shape != type_.shape:
        raise ShapeError(f"{what} must be {type_}, but it is {own}")
    if own is type_ or not type_.is_float:
        return value
    if own.is_float and own.dtype.itemsize > type_.dtype.itemsize and own.shape:
        raise DTypeError(f"{what} must be {type_}, but it is {own}", hint="convert it with .astype")
    return value.astype(type_.dtype)


def jvp(
    f: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    has_aux: bool = False,
    *,
    memory: Budget | None = None,
) -> tuple[Any, ...]:
    """Forward mode: the value of `f` at `primals`, and its derivative in the direction `tangents`.

    Parameters
    ----------
    primals : tuple of the positional arguments, with float leaves
    tangents : tuple of the same structure, shapes and dtypes
    memory : a budget for what is held beside the arguments, as in `value_and_grad`. Each value is
        computed with its tangent, so that little is held in any case

    Returns
    -------
    `(value, tangent)`; with `has_aux` `(value, tangent, aux)`. The tangent of an integer or bool
    leaf of the result is zero.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> value, tangent = wg.jvp(np.square, (3.0,), (1.0,))
    >>> print(value, tangent)
    9.0 6.0
    """
    primals = _as_tuple(primals, "jvp: primals")
    tangents = _as_tuple(tangents, "jvp: tangents")
    leaves = _tangent_leaves(primals, tangents, "jvp")
    with within(None if memory is None else parse_memory(memory)):
        captured = capture(
            f,
            primals,
            {},
            traced=range(len(primals)),
            purpose="jvp",
            has_aux=has_aux,
            floats_only=True,
        )
        with locating(captured):
            results = _pushed(captured, leaves)
    outputs = len(captured.graph.outputs)
    value = unflatten(captured.out_structure, results[: captured.out_count])
    tangent = unflatten(captured.out_structure, _with_zeros(captured, results[outputs:]))
    if captured.aux is not None:
        return value, tangent, captured.aux(results[captured.out_count : outputs])
    return value, tangent


def _pushed(captured: Captured, leaves: Sequence[Any]) -> list[Any]:
    """The outputs of the captured graph, and the tangents of its float outputs."""
    graph, places = forward_graph(captured.graph, tuple(range(len(leaves))))
    arguments = [*captured.arguments, *leaves]
    known = {places[k]: value for k, value in captured.known.items()}
    if innermost(arguments) is None:
        joined = joined_loops(graph).graph
        known = known if joined is graph else {}
        graph = joined
    return apply_graph(graph, arguments, known=known)


def _as_tuple(value: Any, what: str) -> tuple[Any, ...]:
    if not isinstance(value, (tuple, list)):
        raise ArgumentError(
            f"{what} must be a tuple with one entry per argument, not {type(value).__name__}",
            hint="write (x,) for one argument",
        )
    return tuple(value)


def _with_zeros(captured: Captured, tangents: Sequence[Any]) -> list[Any]:
    # Derived graphs give tangents of float outputs only.
    given = iter(tangents)
    types = captured.graph.output_types[: captured.out_count]
    return [next(given) if t.is_float else np.zeros(t.shape)[()] for t in types]


def linearize(
    f: Callable[..., Any], *primals: Any, memory: Budget | None = None
) -> tuple[Any, Callable[..., Any]]:
    """The value of `f` at `primals`, and its derivative there as a linear function of tangents.

    What depends on the primals alone is computed once; each call of the linear function costs a
    forward sweep.

    Parameters
    ----------
    memory : a budget for what each of the two holds beside the primals, as in `value_and_grad`; if
        it is binding, the linear function keeps the primals and runs `f` again

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> value, pushforward = wg.linearize(np.sin, 0.0)
    >>> print(value, pushforward(2.0))
    0.0 2.0
    """
    budget = None if memory is None else parse_memory(memory)
    with within(budget):
        captured = capture(
            f, primals, {}, traced=range(len(primals)), purpose="linearize", floats_only=True
        )
        wrt = tuple(range(sum(captured.counts)))
        parts = linearize_graph(captured.graph, wrt)
        if current_budget() is not None:
            whole = joined_loops(forward_graph(captured.graph, wrt).graph).graph
            parts = split_within(parts, captured.graph, whole)
        with locating(captured):
            value, residuals, _ = _early(parts, captured, captured.known)
    given, structure = flatten(primals)
    types = unflatten(structure, [_zero(as_leaf(x, "linearize: a primal")) for x in given])

    def pushforward(*tangents: Any) -> Any:
        """The directional derivative; takes one tangent per primal."""
        leaves = _tangent_leaves(types, tangents, "linearize")
        with within(budget):
            results = apply_graph(parts.late, [*residuals, *leaves])
        return unflatten(captured.out_structure, _with_zeros(captured, results))

    return value, pushforward


def _zero(x: Any) -> Any:
    # Stands for a primal, of which only shape and dtype are still needed.
    return x if x.shape == () else np.broadcast_to(x.dtype.type(0), x.shape)


def _early(
    parts: Split, captured: Captured, known: Mapping[int, Any]
) -> tuple[Any, list[Any], list[Any]]:
    """The value, the residuals and the auxiliary outputs."""
    # The linear part may run long after: what it needs must not change with the caller's arrays.
    arguments = [a.copy() if isinstance(a, np.ndarray) else a for a in captured.arguments]
    outputs = len(captured.graph.outputs)
    results = apply_graph(parts.early, arguments, known=known)
    value = unflatten(captured.out_structure, results[: captured.out_count])
    return value, results[outputs:], results[captured.out_count : outputs]


def vjp(
    f: Callable[..., Any], *primals: Any, has_aux: bool = False, memory: Budget | None = None
) -> tuple[Any, ...]:
    """Reverse mode: the value of `f` at `primals`, and its pullback.

    Parameters
    ----------
    memory : a budget for what each of the two holds beside the primals, as in `value_and_grad`; if
        it is binding, the pullback keeps the primals and runs `f` again

    Returns
    -------
    `(value, pullback)`; with `has_aux` `(value, pullback, aux)`. `pullback(cotangent)` takes a tree
    like the value and returns a tuple with one cotangent per primal; it can be called many times.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> value, pullback = wg.vjp(np.multiply, 3.0, 4.0)
    >>> x_bar, y_bar = pullback(1.0)
    >>> print(value, x_bar, y_bar)
    12.0 4.0 3.0
    """
    budget = None if memory is None else parse_memory(memory)
    with within(budget):
        captured = capture(
            f,
            primals,
            {},
            traced=range(len(primals)),
            purpose="vjp",
            has_aux=has_aux,
            floats_only=True,
        )
        wrt = tuple(range(sum(captured.counts)))
        types = captured.graph.output_types[: captured.out_count]
        seeded = tuple(k for k, t in enumerate(types) if t.is_float)
        graph, known = cut_loops(captured, lambda g: vjp_graph(g, wrt, seeded))
        parts = pullback_graph(graph, wrt, seeded)
        if current_budget() is not None:
            parts = split_within(parts, graph, vjp_graph(graph, wrt, seeded))
        with locating(captured):
            value, residuals, aux = _early(parts, captured, known)

    def pullback(cotangents: Any) -> tuple[Any, ...]:
        """The cotangents of the primals, from a cotangent shaped like the value."""
        leaves, structure = flatten(cotangents)
        if structure != captured.out_structure:
            raise ArgumentError(
                f"vjp: the cotangent must have the structure of the value, "
                f"{captured.out_structure}, not {structure}"
            )
        seeds = [_fit(leaves[k], types[k], "vjp: a cotangent") for k in seeded]
        with within(budget):
            return tuple(split(apply_graph(parts.late, [*residuals, *seeds]), captured))

    if captured.aux is not None:
        return value, pullback, captured.aux(aux)
    return value, pullback
