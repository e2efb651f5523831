"""Weights that the way back reads transposed, turned once per sweep.

Small batches of rows are multiplied by the transpose of a matrix that all of them share. A product
that finds it transposed in memory copies it first, or sums along it, each time; of all that a small
batch does, this takes longest. So the plan reads a copy that is turned already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wengert.graph import Graph, Type
from wengert.plan.products import Product, as_product, is_own

__all__ = ["turned_inputs", "with_turned"]

#: Elements of a matrix from which on products take so long that the copy is no matter.
_MOST = 1 << 20


def turned_inputs(graph: Graph, candidates: Iterable[int]) -> list[int]:
    """Which of these inputs (by position) are matrices that serve as the second operand of products
    only, transposed, and would have kernels of our own if they were not."""
    users = graph.users()
    return [
        position
        for position in candidates
        if _is_matrix(graph, graph.inputs[position])
        and graph.inputs[position] not in graph.outputs
        and users[graph.inputs[position]]
        and all(
            _gains(graph, graph.inputs[position], user) for user in users[graph.inputs[position]]
        )
    ]


def _is_matrix(graph: Graph, k: int) -> bool:
    type_ = graph.entries[k][3]
    return isinstance(type_, Type) and type_.ndim == 2 and 0 < type_.size <= _MOST


def _gains(graph: Graph, k: int, user: int) -> bool:
    op, operands, params, _ = graph.entries[user]
    if op.name != "contract" or operands.count(k) != 1:
        return False
    product = as_product(dict(params)["spec"], *[graph.entries[o][3].shape for o in operands])
    if product is None or operands[product.second] != k or not product.transposed[1]:
        return False
    return product.repeats == 1 and is_own(_plain(product))


def _plain(product: Product) -> Product:
    return product._replace(transposed=(product.transposed[0], False))


def with_turned(graph: Graph, positions: Sequence[int]) -> Graph:
    """The graph that takes these inputs transposed."""
    turned = {graph.inputs[position] for position in positions}
    if not turned:
        return graph
    entries = []
    for k, (op, operands, params, type_) in enumerate(graph.entries):
        if k in turned:
            type_ = Type(type_.shape[::-1], type_.dtype)
        elif turned.intersection(operands):
            spec, out = dict(params)["spec"].split("->")
            parts = zip(operands, spec.split(","), strict=True)
            spec = ",".join([s[::-1] if o in turned else s for o, s in parts])
            params = (("spec", f"{spec}->{out}"),)
        entries.append((op, operands, params, type_))
    return Graph(entries, graph.inputs, graph.outputs, graph.constants, graph.lines)
