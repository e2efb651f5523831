"""What kernels and walks compute, as data: structure and dtypes, without any size.

A kernel iterates over merged axes, of which the last is the *inner* one (contiguous, vectorised).
Its values are *full* (one per element of the inner axis), or *row* values (one per row). A row
reduction turns a full value into a row value; what uses it runs in a later *phase*, a further
inner loop over the same row.

Equal specs are one kernel, compiled once, whatever the sizes.
"""

from __future__ import annotations

import functools
import hashlib
import marshal
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from wengert.graph.tuples import NamedTuple

__all__ = [
    "CallSpec",
    "FinishSpec",
    "Instruction",
    "KernelSpec",
    "Load",
    "ProductSpec",
    "Spec",
    "Store",
    "WalkSpec",
    "is_cheap",
    "per_spec",
]

Bits = tuple[bool, ...]
_T = TypeVar("_T")

#: Operators that cost no more than loading a value: recomputed in a later phase, not stored.
_CHEAP = frozenset(
    {
        "add",
        "subtract",
        "multiply",
        "multiply_add",
        "multiply_subtract",
        "subtract_multiply",
        "negative",
        "where",
        "maximum",
        "minimum",
        "relu",
        "absolute",
        "square",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "equal",
        "not_equal",
        "logical_not",
        "logical_and",
        "logical_or",
        "invert",
        "bitwise_and",
        "bitwise_or",
    }
)


def is_cheap(name: str) -> bool:
    """Whether an operator is recomputed rather than kept between phases."""
    return name in _CHEAP


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple([_plain(part) for part in value])
    return value.str if isinstance(value, np.dtype) else value


def _key(name: str, *parts: Any) -> str:
    """A name that is the same in every process, from a whole structure."""
    # Version 2 of the format has no references, which depend on what else holds an object.
    return name + hashlib.sha256(marshal.dumps((name, parts), 2)).hexdigest()[:32]


class Load(NamedTuple):
    """A value read from memory: its dtype, and along which merged axes it varies."""

    dtype: np.dtype[Any]
    bits: Bits


class Instruction(NamedTuple):
    """One operation on values; `name` is an operator's, "row_sum", "row_max", "row_min", or one of
    those that stand for two operators (`plan.contracting`).

    Operands number the loads first, then the instructions. "random_bits" has, besides its own
    parameters, the `axes` whose elements its counter numbers: along which merged axes they vary.
    """

    name: str
    operands: tuple[int, ...]
    params: tuple[tuple[str, Any], ...]
    dtype: np.dtype[Any]

    @property
    def reduces(self) -> str:
        """How a row reduction combines elements; empty for other instructions."""
        return self.name[4:] if self.name.startswith("row_") else ""

    @property
    def counted(self) -> Bits | None:
        """Along which merged axes the position varies that it reads; None if it reads none."""
        return dict(self.params)["axes"] if self.name == "random_bits" else None


class Store(NamedTuple):
    """A value written to memory.

    `bits` tells along which merged axes the target varies; over the others it is combined by
    `combine`: "sum", "max" or "min" ("" where nothing is combined).
    """

    value: int
    bits: Bits
    combine: str


class _Nest(NamedTuple):
    rank: int
    loads: tuple[Load, ...]
    body: tuple[Instruction, ...]
    stores: tuple[Store, ...]


class KernelSpec(_Nest):
    """The structure of a kernel. `rank` is the number of merged axes; 0 for scalars only."""

    def dtype(self, value: int) -> np.dtype[Any]:
        """The dtype of a value."""
        n = len(self.loads)
        return self.loads[value].dtype if value < n else self.body[value - n].dtype

    def is_full(self) -> list[bool]:
        """For each value, whether it varies along the inner axis."""
        return self._full

    @functools.cached_property
    def _full(self) -> list[bool]:
        found = [bool(load.bits) and load.bits[-1] for load in self.loads]
        for instruction in self.body:
            varies = any(found[k] for k in instruction.operands)
            counted = instruction.counted
            found.append(not instruction.reduces and (varies or bool(counted and counted[-1])))
        return found

    def phases(self) -> list[int]:
        """For each value the phase that computes it.

        For a row value: the phase after whose inner loop it is known, -1 if before the first. A
        full value that reads a row value runs in the phase after it.
        """
        return self._phases

    @functools.cached_property
    def _phases(self) -> list[int]:
        full = self.is_full()
        found = [0 if full[k] else -1 for k in range(len(self.loads))]
        for number, instruction in enumerate(self.body, start=len(self.loads)):
            in_loop = full[number] or bool(instruction.reduces)
            phase = 0 if in_loop else -1
            for k in instruction.operands:
                phase = max(phase, found[k] + (in_loop and not full[k]))
            found.append(phase)
        return found

    def key(self) -> str:
        """A name that is the same in every process, from the whole structure."""
        return self._name

    @functools.cached_property
    def _name(self) -> str:
        return _key(
            "kernel",
            self.rank,
            [(load.dtype.str, load.bits) for load in self.loads],
            [(i.name, i.operands, _plain(i.params), i.dtype.str) for i in self.body],
            [tuple(store) for store in self.stores],
        )


def per_spec(function: Callable[[KernelSpec], _T]) -> Callable[[KernelSpec], _T]:
    """A function of a kernel's structure, whose value is kept with it. (Looking up a structure that
    is equal takes longer than most of what is asked of one.)"""
    name = f"{function.__module__}.{function.__qualname__}"

    @functools.wraps(function)
    def kept(spec: KernelSpec) -> _T:
        known = spec.__dict__
        if name not in known:
            known[name] = function(spec)
        return known[name]  # type: ignore[no-any-return]

    return kept


class WalkSpec(NamedTuple):
    """The structure of a walk.

    kind : "zero", "copy", "add" (to the target), "plus" (target = source 0 + source 1, in order),
        "dot" (target = sum over the last `summed` axes of source 0 times source 1)
    dtype : of target and sources
    rank : number of axes
    indices : dtype of each index array
    into_target : whether indices address the target; else the source
    unit : whether target and source 0 (for "dot": source 1) have stride 1 along the last axis (for
        "dot": the last that is not summed, along which source 0 does not vary)
    tiled : go through the last two axes in squares, since target and source are contiguous along
        different ones (a transpose)
    """

    kind: str
    dtype: np.dtype[Any]
    rank: int
    indices: tuple[np.dtype[Any], ...] = ()
    into_target: bool = False
    summed: int = 0
    unit: bool = False
    tiled: bool = False

    @property
    def sources(self) -> int:
        """How many arrays are read, index arrays left out."""
        return {"zero": 0, "copy": 1, "add": 1, "plus": 2, "dot": 2}[self.kind]

    def key(self) -> str:
        """A name that is the same in every process, from the whole structure."""
        return _key("walk", _plain(self))


class CallSpec(NamedTuple):
    """The structure of a call of numbers (`numbers`): a kernel of rank 0, and how Python calls it.

    kernel : loads and stores double precision only
    arguments : how many arguments the function has, each a float
    loads : for each load of the kernel its argument, or -1 - k for word k of the constants
    leaves : for each leaf of the result the store of the kernel
    program : how the result is built from its leaves: -1 for the next leaf, else a tuple of so many
    """

    kernel: KernelSpec
    arguments: int
    loads: tuple[int, ...]
    leaves: tuple[int, ...]
    program: tuple[int, ...]

    def key(self) -> str:
        """A name that is the same in every process, from the whole structure."""
        return _key("call", self.kernel.key(), *self[1:])


@functools.cache
def _product_key(dtype: np.dtype[Any]) -> str:
    return _key("product", dtype.str)


class ProductSpec(NamedTuple):
    """The structure of a matrix product (`product`): the dtype of all its arrays."""

    dtype: np.dtype[Any]

    def key(self) -> str:
        """A name that is the same in every process, from the whole structure."""
        return _product_key(self.dtype)


class FinishSpec(NamedTuple):
    """The structure of what is done with a product's result tile by tile (`finish`).

    nest : a kernel of rank 2, of rows and columns, without phases; what it reduces are sums (or
        maxima, minima) over rows, or over all elements
    source : which of its loads is the product
    """

    nest: KernelSpec
    source: int

    def key(self) -> str:
        """A name that is the same in every process, from the whole structure."""
        return _key("finish", self.nest.key(), self.source)


Spec = KernelSpec | WalkSpec | CallSpec | ProductSpec | FinishSpec
