"""Signatures: what a call's arguments must have in common to run the same plan.

A signature consists of the static arguments, the structure of the other arguments, and the shape
and dtype of each leaf; a Python number counts by its class, since it takes its dtype from the
arrays that it meets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wengert.capture import as_leaf, flatten
from wengert.errors import ArgumentError, DTypeError
from wengert.graph import Traced
from wengert.plan import ready_array

__all__ = ["Signature", "argument_numbers"]

_PYTHON_NUMBERS = (bool, int, float)


class Signature:
    """How one call is recognised: `key`, its `leaves`, and `arrays` that native code can read.

    `traced` tells that a leaf is a traced value: then there is neither key nor arrays.
    """

    __slots__ = ("arrays", "key", "leaves", "traced")

    def __init__(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], static: frozenset[int], name: str
    ) -> None:
        given: Any = tuple(args)
        fixed: tuple[Any, ...] = ()
        if static:
            given = tuple([a for k, a in enumerate(args) if k not in static])
            fixed = tuple([(k, _fixed(a, k, name)) for k, a in enumerate(args) if k in static])
        leaves, structure = flatten((given, dict(kwargs)) if kwargs else given)
        self.leaves: list[Any] = leaves
        self.arrays: list[Any] = []
        self.key: Any = None
        self.traced = any(isinstance(leaf, Traced) for leaf in leaves)
        if self.traced:
            return
        types: list[Any] = []
        for leaf in leaves:
            if leaf.__class__ in _PYTHON_NUMBERS:
                array = _number(leaf, name)
                types.append(leaf.__class__)
            else:
                array = ready_array(_checked(leaf, name))
                types.append((array.shape, array.dtype))
            self.arrays.append(array)
        self.key = (fixed, structure, tuple(types))


def _checked(leaf: Any, name: str) -> Any:
    return (
        leaf
        if leaf.__class__ is np.ndarray and leaf.dtype.kind in "fiub"
        else as_leaf(leaf, f"compile: an argument of {name}")
    )


def _number(leaf: Any, name: str) -> Any:
    array = np.asarray(leaf)
    if array.dtype.kind not in "fiub":
        raise DTypeError(
            f"compile: an argument of {name} is {leaf}, which fits no dtype",
            hint="pass it as a float, or name the argument in static_argnums",
        )
    return array


def _fixed(value: Any, number: int, name: str) -> Any:
    """A static argument as part of a key: equal values of different types differ."""
    if isinstance(value, Traced):
        raise ArgumentError(
            f"compile: argument {number} of {name} is static, but was given a traced value",
            hint="pass a number, or leave the argument out of static_argnums",
        )
    try:
        hash(value)
    except TypeError:
        raise ArgumentError(
            f"compile: argument {number} of {name} is static, but {type(value).__name__} is not "
            "hashable",
            hint="pass a tuple instead of a list, or leave the argument out of static_argnums",
        ) from None
    if type(value) is tuple:
        return tuple([_fixed(v, number, name) for v in value])
    return (type(value), value)


def argument_numbers(numbers: int | Sequence[int], what: str, name: str) -> frozenset[int]:
    """Positions of arguments, given as `what`, checked."""
    found: tuple[Any, ...] = (
        (numbers,) if isinstance(numbers, (int, np.integer)) else tuple(numbers)
    )
    for k in found:
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 0:
            raise ArgumentError(
                f"compile: {what}={numbers!r} of {name} must be numbers of positional arguments, "
                "counted from 0"
            )
    return frozenset(int(k) for k in found)
