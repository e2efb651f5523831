"""Products with a finish: a loop nest that reads a product's result becomes part of the product.

The nest is computed on each tile of the result while it is in the nearest cache (`codegen.finish`),
so that the result is not read again, nor written unless others need it, too. The nest must go
through the result's rows and columns, element by element, and may read what has the same shape, or
is one row, one column or one number; it may reduce over all elements or over rows, but not use that
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.codegen.kernel import FinishSpec, KernelSpec, Load, Store
from wengert.codegen.tables import FINISH_TOTALS
from wengert.graph import Graph
from wengert.graph.tuples import NamedTuple
from wengert.plan.lowering import LoweredGroup
from wengert.plan.products import Product

__all__ = ["Finished", "with_finishes"]

Unit = LoweredGroup | int


class Finished(NamedTuple):
    """The product of an entry, and the nest that finishes it: of rank 2, with the product for one
    of its loads. `alone` is the kernel of the nest where it is a step of its own."""

    entry: int
    nest: LoweredGroup
    spec: FinishSpec
    alone: KernelSpec

    @property
    def members(self) -> list[int]:
        """The entries that have values after it."""
        return [self.entry, *self.nest.members]


def with_finishes(
    graph: Graph,
    units: Sequence[Unit],
    product_of: Callable[[int], Product | None],
    reads_of: Callable[[int], Sequence[int]],
) -> list[Unit | Finished]:
    """The units of a plan; some products, and the nests that finish them, are one unit.

    `product_of` gives the product of an entry that can have a finish, `reads_of` the entries that
    one that runs alone needs.
    """
    readers: dict[int, list[int]] = {}
    for number, unit in enumerate(units):
        loads = unit.loads if isinstance(unit, LoweredGroup) else reads_of(unit)
        for k in dict.fromkeys(loads):
            readers.setdefault(k, []).append(number)
    found: dict[int, Finished] = {}
    gone: set[int] = set()
    outputs = set(graph.outputs)
    # Of several products that a nest reads, the last: the others are there before it.
    for number in range(len(units) - 1, -1, -1):
        i = units[number]
        if isinstance(i, LoweredGroup) or i not in readers:
            continue
        product = product_of(i)
        # The nest that reads it first; if that is not all, the nest writes it, too.
        reader = readers[i][0]
        nest = units[reader]
        if product is None or reader in found or not isinstance(nest, LoweredGroup):
            continue
        is_needed = len(readers[i]) > 1 or i in outputs
        finished = _finished(i, graph.type(i).dtype, product, nest, is_needed)
        if finished is not None:
            found[reader] = finished
            gone.add(number)
    return [found.get(n, unit) for n, unit in enumerate(units) if n not in gone]


def _finished(
    i: int, dtype: np.dtype[Any], product: Product, lowered: LoweredGroup, is_needed: bool
) -> Finished | None:
    """The product of entry i with a nest that reads it, if that can be its finish."""
    spec, sizes = lowered.spec, [product.m, product.n]
    source = lowered.loads.index(i)
    if spec.rank not in (1, 2) or not all(spec.loads[source].bits) or not lowered.stores:
        return None
    if lowered.sizes != (sizes if spec.rank == 2 else [product.m * product.n]):
        return None
    dtypes = [*(load.dtype for load in spec.loads), *(x.dtype for x in spec.body)]
    if any(d not in (dtype, np.bool_) for d in dtypes):
        return None
    loads = tuple(Load(load.dtype, _two(load.bits)) for load in spec.loads)
    n, full = len(loads), spec.is_full()
    reduced = {n + k: x.reduces for k, x in enumerate(spec.body) if x.reduces}
    if any(k in reduced for x in spec.body for k in x.operands):
        return None
    stores: list[Store] = []
    for value, bits, combine in spec.stores:
        if value in reduced:
            whole = not any(bits) and combine == (reduced[value] if spec.rank == 2 else "")
            stores.append(Store(value, (False, False), reduced[value]))
        else:
            bits = _two(bits)
            whole = full[value] and bits[1] and bool(combine) == (not bits[0])
            stores.append(Store(value, bits, combine))
        if not whole:
            return None
    if len(reduced) > FINISH_TOTALS or not any(full[s.value] or s.value in reduced for s in stores):
        return None
    written, counts = list(lowered.stores), list(lowered.counts)
    if is_needed:
        stores.append(Store(source, (True, True), ""))
        written.append(i)
        counts.append(product.m * product.n)
    nest = KernelSpec(2, loads, spec.body, tuple(stores))
    made = LoweredGroup(
        nest,
        lowered.loads,
        written,
        sizes,
        lowered.load_strides,
        lowered.store_strides,
        counts,
        lowered.members,
    )
    return Finished(i, made, FinishSpec(nest, source), spec)


def _two(bits: tuple[bool, ...]) -> tuple[bool, ...]:
    return bits * 2 if len(bits) == 1 else bits
