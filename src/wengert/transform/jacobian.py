"""`jacobian`, `hessian`, `hvp`: matrices of derivatives, and products with them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.capture import Captured, capture, check_argnums, unflatten
from wengert.errors import ArgumentError, DTypeError
from wengert.graph import Graph, Traced
from wengert.ops import TABLE
from wengert.run.budget import Budget, current_budget, limited
from wengert.transform.control.joining import joined_loops
from wengert.transform.directions import (
    Directions,
    directions_within,
    late_batched,
    pushed_or_pulled,
)
from wengert.transform.gradient import grad, jvp, split
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
from wengert.transform.vmap import move_axis

__all__ = ["hessian", "hvp", "jacobian"]

_MODES = ("auto", "forward", "reverse", "chain", "elimination")


def jacobian(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    mode: str = "auto",
    has_aux: bool = False,
    order: str | None = None,
    *,
    memory: Budget | None = None,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `f`.

    Parameters
    ----------
    argnums : the positional argument, or arguments, to differentiate by
    mode : the order in which the partials are multiplied

        - "auto": the cheapest of all that follow, by an estimate
        - "forward": one tangent per input, all in one batched sweep
        - "reverse": one cotangent per output, in one batched sweep
        - "chain": the program is cut where few numbers pass, and the Jacobians of its stretches are
          accumulated and joined in the cheapest way
        - "elimination": number by number, in the given `order`; for small programs

    order : how "elimination" orders the vertices of the graph: "forward", "reverse", "markowitz",
        "relative markowitz", "optimal" (by exhaustion: for very few) or "best" (the default: at
        most the multiplications of any other that is feasible)

    memory : a budget for what is held beside the arguments, as in `value_and_grad`

    Returns
    -------
    A function returning, for each leaf of the result and each leaf of the argument, an array of
    shape `result.shape + argument.shape`: a tree of the result's structure whose leaves are trees
    of the argument's structure (a tuple of them for several `argnums`). With `has_aux` a pair of
    it and the auxiliary data.

    Cost: at most min(inputs, outputs) times that of `f`, with the batch of directions run as
    arrays. `explain(f)(*args).elimination()` shows what each order costs.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> print(wg.jacobian(lambda x: x[:2] * x[2])(np.array([1.0, 2.0, 3.0])))
    [[3. 0. 1.]
     [0. 3. 2.]]
    """
    if mode not in _MODES:
        raise ArgumentError(f"jacobian: mode must be one of {_MODES}, not {mode!r}")
    if order is not None and mode != "elimination":
        raise ArgumentError(f"jacobian: mode={mode!r} takes no order; mode='elimination' does")
    if order is not None:
        _check_order(order)

    @functools.wraps(f, assigned=("__name__", "__doc__", "__module__"))
    def derived(*args: Any, **kwargs: Any) -> Any:
        numbers = check_argnums(argnums, len(args), "jacobian")
        captured = capture(
            f, args, kwargs, traced=numbers, purpose="jacobian", has_aux=has_aux, floats_only=True
        )
        results = captured.graph.output_types[: captured.out_count]
        if not all(t.is_float for t in results):
            raise DTypeError(f"jacobian: the results must be float, not {results}")
        with locating(captured):
            blocks, aux = _accumulated(captured, mode, order)
        count = sum(captured.counts)
        trees = [
            split([blocks[j][i] for j in range(count)], captured) for i in range(captured.out_count)
        ]
        single = isinstance(argnums, (int, np.integer))
        rows = [row[0] if single else tuple(row) for row in trees]
        found = unflatten(captured.out_structure, rows)
        return (found, aux) if captured.aux is not None else found

    return limited(derived, memory)


def _check_order(order: str) -> None:
    from wengert.transform.elimination import ORDERS

    if order not in ORDERS:
        raise ArgumentError(f"jacobian: order must be one of {tuple(ORDERS)}, not {order!r}")


def _accumulated(captured: Captured, mode: str, order: str | None) -> tuple[list[list[Any]], Any]:
    """Per argument leaf and result leaf the block of the Jacobian, and the auxiliary result."""
    # Loaded by programs that ask for a Jacobian, not by `import wengert`.
    from wengert.transform import elimination

    graph = captured.graph
    count = sum(captured.counts)
    wrt, outs = tuple(range(count)), tuple(range(captured.out_count))
    if mode == "auto":
        chosen = elimination.choose(graph, wrt, outs, _setting(captured.tape)).chosen
        mode, order = chosen.mode, chosen.order
    if mode == "forward":
        parts = linearize_graph(graph, wrt)
        return _blocks(captured, parts, graph.input_types[:count], True)
    if mode == "reverse":
        parts = pullback_graph(graph, wrt, outs)
        return _blocks(captured, parts, graph.output_types[: captured.out_count], False)
    if mode == "chain":
        whole = elimination.chained(graph, wrt, outs)
    else:
        if not elimination.has_elements(graph, wrt, outs):
            raise ArgumentError(
                "jacobian: mode='elimination' takes a program apart into its numbers, and this one "
                "has too many, or has loops, branches or functions with derivatives of their own",
                hint="use mode='auto'",
            )
        vertices = elimination.order_of(graph, wrt, outs, order or "best")
        whole = elimination.eliminated(graph, wrt, outs, vertices)
    found = apply_graph(whole, captured.arguments, known=captured.known)
    values = len(graph.outputs)
    aux = captured.aux(found[captured.out_count : values]) if captured.aux else None
    flat = found[values:]
    return [flat[j::count] for j in range(count)], aux


def _setting(tape: Any) -> str:
    """Where what is recorded inside this tape will run; see `choose`."""
    # Within a function that is being compiled, tapes know how to prepare graphs for that.
    if tape.prepare is None:
        return "numpy"
    while tape is not None:
        if tape.purpose == "vmap":
            return "batched"
        tape = tape.parent
    return "compiled"


def _blocks(
    captured: Captured, parts: Split, seeds: Sequence[Any], forward: bool
) -> tuple[list[list[Any]], Any]:
    """Per argument leaf and result leaf the block of the Jacobian."""
    graph, known = captured.graph, captured.known
    run = _directions(captured, parts, seeds, forward)
    early = run.early
    if early is None:
        early = graph.with_outputs(graph.outputs if captured.aux else ())
        residuals = captured.arguments
    elif early is not parts.early:
        known = {}
    count = len(graph.outputs)
    found = apply_graph(early, captured.arguments, known=known) if early.outputs else []
    aux = captured.aux(found[captured.out_count : count]) if captured.aux else None
    if run.early is not None:
        residuals = found[count:]
    del found
    # The tangent graph has outputs for the auxiliary results too: they follow and are not used.
    found = pushed_or_pulled(run.late, residuals, seeds, run.held)
    del residuals
    blocks: list[list[Any]] = []
    for x in found[: captured.out_count] if forward else found:
        # The directions come first: cut them up by the leaf they belong to.
        row, at = [], 0
        for seed in seeds:
            piece = _rows(x, at, at + seed.size, seed.shape)
            at += seed.size
            if forward:  # axes: directions of the argument, result -> result, argument
                for _ in seed.shape:
                    piece = move_axis(piece, 0, piece.ndim - 1)
            row.append(piece)
        blocks.append(row)
    return (_transposed(blocks) if forward else blocks), aux


def _directions(
    captured: Captured, parts: Split, seeds: Sequence[Any], forward: bool
) -> Directions:
    graph = captured.graph
    wrt = tuple(range(sum(captured.counts)))
    outs = tuple(range(captured.out_count))
    if current_budget() is None:
        return directions_within(parts, graph, graph, seeds)
    if forward:
        whole = joined_loops(forward_graph(graph, wrt).graph).graph
        return directions_within(parts, graph, whole, seeds)

    def derive(graph: Graph) -> Graph:
        found = vjp_graph(graph, wrt, outs)
        return late_batched(found.with_outputs(found.outputs[len(graph.outputs) :]), seeds)

    cut, _ = cut_loops(captured, derive)
    if cut is not graph:
        parts = pullback_graph(cut, wrt, outs)
    return directions_within(parts, cut, vjp_graph(cut, wrt, outs), seeds)


def _transposed(blocks: list[list[Any]]) -> list[list[Any]]:
    return [list(row) for row in zip(*blocks, strict=True)]


def _rows(x: Any, start: int, stop: int, shape: tuple[int, ...]) -> Any:
    rest = x.shape[1:]
    if not isinstance(x, Traced):
        block = x[start:stop].reshape((*shape, *rest))
        if stop - start == x.shape[0] and block.ndim:
            return block  # all of an array that nobody else has
        return block[()] if block.ndim == 0 else np.array(block)
    key = ((start, stop, 1), *((0, n, 1) for n in rest))
    return TABLE["reshape"](TABLE["slice_index"](x, key=key), shape=(*shape, *rest))


def hessian(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, *, memory: Budget | None = None
) -> Callable[..., Any]:
    """A function that returns the Hessian of `f`: the Jacobian of its Jacobian.

    The inner one is taken in reverse mode, the outer one in the cheapest order.

    For a scalar `f` of an array of shape s the result has shape `s + s`; trees nest as in
    `jacobian`. `memory` is a budget, as there.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> print(wg.hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0])))
    [[4. 2.]
     [2. 0.]]
    """
    return jacobian(jacobian(f, argnums, mode="reverse"), argnums, mode="auto", memory=memory)


def hvp(
    f: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    memory: Budget | None = None,
) -> Any:
    """The product of the Hessian of a scalar `f` at `primals` with `tangents`.

    Both are tuples with one entry per argument, as in `jvp`. The result has the structure of the
    argument (a tuple for several). Cost: a small multiple of `f`, whatever the number of inputs
    (forward mode over reverse mode). `memory` is a budget, as in `value_and_grad`.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> print(wg.hvp(lambda x: np.sum(x**3), (np.array([1.0, 2.0]),), (np.array([1.0, 0.0]),)))
    [6. 0.]
    """
    if not isinstance(primals, (tuple, list)):
        raise ArgumentError(
            "hvp: primals must be a tuple with one entry per argument",
            hint="write (x,) for one argument",
        )
    argnums = 0 if len(primals) == 1 else tuple(range(len(primals)))
    return jvp(grad(f, argnums), primals, tangents, memory=memory)[1]
