"""Derivatives for each example of a batch: what `per_example=True` means."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from wengert.capture import check_argnums, flatten, function_name
from wengert.errors import ArgumentError
from wengert.graph import Traced
from wengert.transform.vmap import vmap

__all__ = ["for_each_example"]


def for_each_example(
    derived: Callable[..., Any], f: Any, argnums: int | Sequence[int], name: str
) -> Callable[..., Any]:
    """`derived`, a derivative of `f` by `argnums`, for a batch of examples at once.

    The arguments at `argnums`, and keyword arguments, are shared by all examples; every leaf of the
    other positional arguments counts the examples along its first axis, and so does every leaf
    of the result.
    """

    @functools.wraps(derived)
    def batched(*args: Any, **kwargs: Any) -> Any:
        shared = check_argnums(argnums, len(args), name)
        axes = tuple(None if k in shared else 0 for k in range(len(args)))
        if all(axis is None for axis in axes):
            raise ArgumentError(
                f"{name}: per_example=True, but no positional argument of {function_name(f)} "
                "carries examples",
                hint="pass the examples by position; arguments in argnums are the same for all",
            )
        for k, (axis, argument) in enumerate(zip(axes, args, strict=True)):
            if axis is not None:
                _check_leaves(argument, f"{name}: argument {k} of {function_name(f)}")
        return vmap(derived, axes)(*args, **kwargs)

    return batched


def _check_leaves(argument: Any, what: str) -> None:
    for leaf in flatten(argument)[0]:
        shape = leaf._type.shape if isinstance(leaf, Traced) else getattr(leaf, "shape", ())
        if not shape:
            raise ArgumentError(
                f"{what} has a leaf without axes, {leaf!r}, but with per_example=True every leaf "
                "counts the examples along its first axis",
                hint="pass what all examples share by keyword",
            )
