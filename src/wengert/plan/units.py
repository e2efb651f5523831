"""What runs as one: groups of entries as kernels, accumulations, and entries that run alone.

All of it depends on the graph alone, not on the number of cores, so that it can be remembered for
all sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.codegen.supported import supports
from wengert.graph import Graph, Type
from wengert.graph.tuples import NamedTuple
from wengert.plan.accumulation import Accumulation, accumulations
from wengert.plan.fusion import REDUCTIONS, Group, fuse
from wengert.plan.lowering import LoweredGroup, lower
from wengert.plan.products import Product, as_product, is_own
from wengert.transform.templates import for_all_sizes

__all__ = ["Units", "fusible", "units_of"]

#: Dtypes that loop nests handle; a half or extended float is NumPy's.
_LOWERED = frozenset({"f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})


def fusible(op: Any, types: Sequence[Any], result: Type) -> bool:
    """Whether a loop nest computes an operator on operands of these types."""
    if any(t.dtype.str[1:] not in _LOWERED for t in (*types, result)):
        return False
    if op.name in REDUCTIONS:
        return result.is_float and types[0].dtype == result.dtype
    if op.name == "broadcast_to":
        return supports("positive", result.dtype) or result.dtype.kind == "b"
    if op.name == "random_bits":
        return True
    return op.family == "elementwise" and supports(op.name, types[op.name == "where"].dtype)


class Units(NamedTuple):
    """What runs as one.

    order : lowered groups, and entries that run alone, in their order
    sums : the accumulations, by their last entry
    products : the contractions that are matrix products
    """

    order: list[LoweredGroup | int]
    sums: dict[int, Accumulation]
    products: dict[int, Product]


def units_of(graph: Graph, *, accumulating: bool) -> Units:
    """The units of a graph. With `accumulating` an entry that runs alone may be the last of an
    accumulation."""
    function = _accumulating if accumulating else _separate
    return for_all_sizes(function, graph, function)  # type: ignore[no-any-return]


def _separate(graph: Graph) -> Units:
    return _with_sums(graph, {}, _products(graph))


def _accumulating(graph: Graph) -> Units:
    products = _products(graph)
    own = {i for i, product in products.items() if is_own(product)}
    return _with_sums(graph, accumulations(graph, own.__contains__, fusible), products)


def _products(graph: Graph) -> dict[int, Product]:
    found: dict[int, Product] = {}
    live = graph.live()
    for i, (op, operands, params, type_) in enumerate(graph.entries):
        if live[i] and op.name == "contract" and type_.dtype.str[1:] in ("f4", "f8"):
            shapes = [graph.entries[k][3].shape for k in operands]
            product = as_product(dict(params)["spec"], *shapes)
            if product is not None:
                found[i] = product
    return found


def _with_sums(graph: Graph, sums: dict[int, Accumulation], products: dict[int, Product]) -> Units:
    groups = fuse(graph, fusible, {i: s.members for i, s in sums.items()})
    needed = _needed_outside(graph, groups, sums)
    order = [lower(graph, g, needed) if g.fused else g.members[0] for g in groups]
    return Units(order, sums, products)


def _needed_outside(graph: Graph, groups: list[Group], sums: dict[int, Accumulation]) -> set[int]:
    of = {i: g.order for g in groups for i in g.members}
    needed = set(graph.outputs)
    for made in sums.values():
        needed.update(made.reads)
    for g in groups:
        for i in g.members:
            for k in graph.entries[i][1]:
                if of.get(k) != g.order:
                    needed.add(k)
    return needed
