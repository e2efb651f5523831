"""Graphs whose batch size is open: made for a few sizes, they give the graph of every size.

Batching rules write the batch size into shapes and parameters. Between two sizes only numbers that
are affine in the size differ (n, or 4 n after a reshape); what is found from two and confirmed by a
third is a template. A graph that differs in any other way has no template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from wengert.batching.adding import sum_rows
from wengert.graph import CONSTANT, Graph
from wengert.graph.types import Type
from wengert.ops import TABLE

__all__ = ["PROBES", "Affine", "Sized", "affine", "at_size", "sized"]

#: Sizes that templates are made from. Other extents may happen to equal one of them and lead to a
#: special case: then the next three are tried.
PROBES = ((5, 7, 11), (2, 3, 6), (3, 13, 17))
_SCATTER_SUM = TABLE["scatter_sum"]


class Affine(NamedTuple):
    """The number `base + slope * n`."""

    base: int
    slope: int


class NotAffineError(Exception):
    """Two sizes differ in something else than such a number."""


def affine(values: Sequence[Any], sizes: Sequence[int]) -> Any:
    """What gives `values` at `sizes`: a value, an `Affine`, or a tuple of such."""
    first = values[0]
    if all(v is first for v in values[1:]):
        return first
    if any(type(v) is not type(first) for v in values[1:]):
        raise NotAffineError
    if type(first) is tuple:
        if any(len(v) != len(first) for v in values[1:]):
            raise NotAffineError
        return tuple([affine(parts, sizes) for parts in zip(*values, strict=True)])
    if all(v == first for v in values[1:]):
        return first
    if type(first) is not int:
        raise NotAffineError
    slope, rest = divmod(values[1] - first, sizes[1] - sizes[0])
    base = first - slope * sizes[0]
    if rest or any(v != base + slope * n for v, n in zip(values, sizes, strict=True)):
        raise NotAffineError
    return Affine(base, slope)


def at_size(template: Any, n: int) -> Any:
    """What a template gives for the size n."""
    if type(template) is Affine:
        return template.base + template.slope * n
    if type(template) is tuple:
        return tuple([at_size(part, n) for part in template])
    return template


class Sized:
    """A graph for every batch size.

    Attributes
    ----------
    entries : (op, operands, template of the parameters, template of the shape, dtype)
    carries : for each value whether its shape depends on the size
    rows : for each value whether it is one row per example: the size is the length of its first
        axis and of no other
    """

    def __init__(self, graphs: Sequence[Graph], sizes: Sequence[int]) -> None:
        first = graphs[0]
        if any((g.inputs, g.outputs) != (first.inputs, first.outputs) for g in graphs):
            raise NotAffineError
        if any(len(g) != len(first) for g in graphs):
            raise NotAffineError
        self.inputs, self.outputs = first.inputs, first.outputs
        self.constants = {
            k: _constant([g.constants.get(k) for g in graphs], sizes) for k in first.constants
        }
        self.entries: list[tuple[Any, ...]] = []
        self.carries: list[bool] = []
        self.rows: list[bool] = []
        for versions in zip(*[g.entries for g in graphs], strict=True):
            op, operands, params, type_ = versions[0]
            if any(v[0] is not op or v[1] != operands for v in versions):
                raise NotAffineError
            names = tuple([name for name, _ in params])
            if any(tuple([name for name, _ in v[2]]) != names for v in versions):
                raise NotAffineError
            template = affine([tuple([x for _, x in v[2]]) for v in versions], sizes)
            if not isinstance(type_, Type):
                raise NotAffineError  # several results: no row of one array
            shape = affine([v[3].shape for v in versions], sizes)
            depends = [type(part) is Affine for part in shape]
            self.carries.append(any(depends))
            self.rows.append(bool(shape) and shape[0] == Affine(0, 1) and not any(depends[1:]))
            self.entries.append(
                (op, operands, names, template, _depends(template), shape, type_.dtype)
            )
        self._steps: dict[int, Any] = {}

    def row_type(self, k: int) -> Type:
        """The type of one row of value number k."""
        shape, dtype = self.entries[k][5:]
        return Type(shape[1:], dtype)

    def evaluate(self, wanted: Iterable[int], env: dict[int, Any], n: int) -> None:
        """Fill `env` with the wanted values at size n, by NumPy, from those that it holds."""
        for k in self.needed(wanted, env):
            op, operands, names, template, depends, _, _ = self.entries[k]
            if op is CONSTANT:
                constant = self.constants[k]
                env[k] = constant.of(n) if isinstance(constant, Counting) else constant
                continue
            values = at_size(template, n) if depends else template
            evaluate = sum_rows if op is _SCATTER_SUM else op.evaluate
            env[k] = evaluate(*[env[o] for o in operands], **dict(zip(names, values, strict=True)))

    def needed(self, wanted: Iterable[int], known: Iterable[int]) -> list[int]:
        """The entries that the wanted values need and that are not known, in order."""
        found: set[int] = set()
        known = set(known)
        stack = [k for k in wanted if k not in known]
        while stack:
            k = stack.pop()
            if k in found:
                continue
            found.add(k)
            stack += [o for o in self.entries[k][1] if o not in known and o not in found]
        return sorted(found)


class Counting(NamedTuple):
    """The numbers of the examples, 0 to n - 1, along the first of some axes."""

    dtype: np.dtype[Any]
    ndim: int

    def of(self, n: int) -> Any:
        """The array for the size n."""
        return np.arange(n, dtype=self.dtype).reshape(n, *[1] * (self.ndim - 1))


def _constant(values: Sequence[Any], sizes: Sequence[int]) -> Any:
    """A constant that is the same for all sizes, or counts the examples."""
    first = np.asarray(values[0])
    if all(value is not None and _same(first, value) for value in values):
        return values[0]
    if first.ndim and first.dtype.kind in "iu":
        counting = Counting(first.dtype, first.ndim)
        if all(_same(counting.of(n), value) for n, value in zip(sizes, values, strict=True)):
            return counting
    raise NotAffineError


def _depends(template: Any) -> bool:
    if type(template) is Affine:
        return True
    return type(template) is tuple and any(_depends(part) for part in template)


def _same(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())


def sized(make: Callable[[int], Graph]) -> Sized | None:
    """The template of the graphs that `make` gives for a batch size, or None if there is none."""
    for sizes in PROBES:
        try:
            return Sized([make(n) for n in sizes], sizes)
        except NotAffineError:
            continue
    return None
