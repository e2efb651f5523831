"""`vmap`: a function of one example becomes a function of a batch of examples."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import optree

from wengert.capture import capture, flatten, function_name, unflatten
from wengert.capture.function import as_leaf
from wengert.errors import ArgumentError, ShapeError
from wengert.graph import Traced, Type, type_of
from wengert.ops import TABLE
from wengert.transform.batching import batch_graph
from wengert.transform.inline import apply_graph

__all__ = ["move_axis", "vmap"]


def move_axis(x: Any, source: int, target: int) -> Any:
    """`numpy.moveaxis` for arrays and traced values; both axes counted from the front."""
    if source == target:
        return x
    if not isinstance(x, Traced):
        return np.moveaxis(x, source, target)
    order = [a for a in range(x._type.ndim) if a != source]
    order.insert(target, source)
    return TABLE["transpose"](x, axes=tuple(order))


def _axes_per_leaf(axes: Any, tree: Any, what: str) -> list[int | None]:
    """The batch axis of each leaf of `tree`, from a spec that is a prefix of the tree."""
    leaves, _ = flatten(tree)
    if axes is None or isinstance(axes, int):
        return [axes] * len(leaves)
    try:
        found = optree.broadcast_prefix(axes, tree, none_is_leaf=True, namespace="wengert")
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"vmap: {what}={axes!r} does not fit the argument ({error})") from None
    if len(found) != len(leaves) or not all(a is None or isinstance(a, int) for a in found):
        raise ArgumentError(
            f"vmap: {what} must give an integer or None for each leaf, not {axes!r}"
        )
    return list(found)


def vmap(f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """A function that applies `f` to each example of a batch, all at once.

    Parameters
    ----------
    f : function of one example
    in_axes : the axis that counts the examples: one integer for all arguments, or a tuple with an
        entry per argument: an integer, None (the same value for all examples), or a tree of them
    out_axes : where that axis goes in the result: an integer, or a tree of them

    `f` runs once, without values: a Python `if` on an element is an error that says so.

    Raises
    ------
    ArgumentError if no argument is batched or the specs do not fit, ShapeError if the lengths of
    the batch axes differ.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> per_example = wg.vmap(wg.grad(lambda w, x: (w * x) ** 2), in_axes=(None, 0))
    >>> print(per_example(1.0, np.array([1.0, 2.0])))
    [2. 8.]
    """

    @functools.wraps(f, assigned=("__name__", "__doc__", "__module__"))
    def batched(*args: Any, **kwargs: Any) -> Any:
        specs = in_axes if isinstance(in_axes, (tuple, list)) else (in_axes,) * len(args)
        if len(specs) != len(args):
            raise ArgumentError(
                f"vmap: in_axes={in_axes!r} has {len(specs)} entries, but {function_name(f)} was "
                f"called with {len(args)} positional arguments"
            )
        positions = [k for k, spec in enumerate(specs) if spec is not None]
        axes: list[int | None] = []
        leaves: list[Any] = []
        per_argument: dict[int, list[int | None]] = {}
        for k in positions:
            per_argument[k] = _axes_per_leaf(specs[k], args[k], f"in_axes[{k}]")
            axes += per_argument[k]
            leaves += [as_leaf(x, f"vmap: argument {k}") for x in flatten(args[k])[0]]
        size, moved = _move_to_front(leaves, axes, f)

        def one_example(position: int, number: int, leaf: Any) -> Type | None:
            axis = per_argument[position][number]
            if axis is None:
                return None
            own = leaf._type if isinstance(leaf, Traced) else type_of(leaf)
            shape = list(own.shape)
            del shape[axis]
            return Type(tuple(shape), own.dtype)

        captured = capture(
            f, args, kwargs, traced=positions, purpose="vmap", types_only=one_example
        )
        arguments = list(captured.arguments)
        arguments[: len(moved)] = moved
        flags = [a is not None for a in axes]
        flags += [False] * (len(arguments) - len(moved))
        made = batch_graph(captured.graph, flags, size)
        results = apply_graph(made.graph, arguments)
        return _place(results, made.batched, out_axes, captured, size)

    return batched


def _move_to_front(leaves: list[Any], axes: list[int | None], f: Any) -> tuple[int, list[Any]]:
    size: int | None = None
    moved = []
    for x, axis in zip(leaves, axes, strict=True):
        if axis is None:
            moved.append(x)
            continue
        shape = x.shape
        if not -len(shape) <= axis < len(shape):
            raise ArgumentError(f"vmap: axis {axis} does not exist in an argument of shape {shape}")
        if size is not None and shape[axis] != size:
            raise ShapeError(
                f"vmap: the batch axes of the arguments of {function_name(f)} must have one "
                f"length, but {size} and {shape[axis]} were found",
                hint="pass in_axes=None for an argument that is the same for all examples",
            )
        size = shape[axis]
        moved.append(move_axis(x, axis % len(shape), 0))
    if size is None:
        raise ArgumentError(
            "vmap: no argument has a batch axis",
            hint="at least one entry of in_axes must be an integer",
        )
    return size, moved


def _place(
    results: list[Any], batched: tuple[bool, ...], out_axes: Any, captured: Any, size: int
) -> Any:
    tree = unflatten(captured.out_structure, list(range(len(results))))
    axes = _axes_per_leaf(out_axes, tree, "out_axes")
    placed = []
    for x, is_batched, axis in zip(results, batched, axes, strict=True):
        if axis is None:
            if is_batched:
                raise ArgumentError("vmap: out_axes=None for a result that depends on the batch")
            placed.append(x)
            continue
        if not is_batched:
            shape = (size, *x.shape)
            x = (
                TABLE["broadcast_to"](x, shape=shape)
                if isinstance(x, Traced)
                else np.broadcast_to(x, shape).copy()
            )
        if not -x.ndim <= axis < x.ndim:
            raise ArgumentError(
                f"vmap: out_axes={axis} does not exist in a result with {x.ndim} axes"
            )
        placed.append(move_axis(x, 0, axis % x.ndim))
    return unflatten(captured.out_structure, placed)
