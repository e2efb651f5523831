"""The contraction of two arrays: the one primitive behind `matmul`, `dot`, `einsum`, `outer`, ….

An index of the spec is a batch index (in both operands and in the result), contracted (in both
operands only) or free (in one operand and in the result). The set is closed: the derivative by an
operand and the batched form are again contractions. Whoever builds one first sums away an index
that occurs in one operand only, and takes the diagonal of one that occurs twice.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from wengert.graph.types import Type
from wengert.ops.linear import linear
from wengert.ops.record import type_error
from wengert.ops.structural import draw, same_dtype

__all__ = ["contract"]

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@functools.lru_cache(maxsize=4096)
def _plan(spec: str) -> tuple[Any, ...]:
    """How to compute a spec by one matrix product: axis orders before it and after it."""
    left, right, out = _parse(spec)
    batch = [c for c in left if c in right and c in out]
    summed = [c for c in left if c in right and c not in out]
    rows = [c for c in left if c not in right]
    columns = [c for c in right if c not in left]
    order1 = tuple(left.index(c) for c in batch + rows + summed)
    order2 = tuple(right.index(c) for c in batch + summed + columns)
    produced = batch + rows + columns
    order3 = tuple(produced.index(c) for c in out)
    return order1, order2, order3, len(batch), len(rows), len(summed)


def _parse(spec: str) -> tuple[str, str, str]:
    operands, out = spec.split("->")
    left, right = operands.split(",")
    return left, right, out


def _evaluate(x1: Any, x2: Any, spec: str) -> Any:
    order1, order2, order3, batch, rows, summed = _plan(spec)
    a = np.transpose(x1, order1)
    b = np.transpose(x2, order2)
    m = a.shape[batch : batch + rows]
    k = a.shape[batch + rows :]
    n = b.shape[batch + summed :]
    lead = a.shape[:batch]
    size = _size(k)
    product = np.matmul(a.reshape((*lead, _size(m), size)), b.reshape((*lead, size, _size(n))))
    return np.transpose(product.reshape((*lead, *m, *n)), order3)[()]


def _size(shape: tuple[int, ...]) -> int:
    total = 1
    for extent in shape:
        total *= extent
    return total


def _type(op: Any, x1: Type, x2: Type, spec: str) -> Type:
    left, right, out = _parse(spec)
    sizes: dict[str, int] = {}
    for number, (indices, x) in enumerate(((left, x1), (right, x2))):
        if len(indices) != x.ndim:
            raise type_error(op, f'"{spec}": {len(indices)} axes in operand {number}', [x1, x2])
        for c, n in zip(indices, x.shape, strict=True):
            if sizes.setdefault(c, n) != n:
                raise type_error(
                    op,
                    f'"{spec}": equal lengths of axis {c}, not {sizes[c]} and {n}',
                    [x1, x2],
                    hint="transpose or reshape an operand so that the summed axes match",
                )
    return Type(tuple(sizes[c] for c in out), x1.dtype)


def _transpose(k: int, ct: Any, x1: Any, x2: Any, spec: str) -> Any:
    left, right, out = _parse(spec)
    if k == 0:
        return contract(ct, x2, spec=f"{out},{right}->{left}")
    return contract(x1, ct, spec=f"{left},{out}->{right}")


def _batch(args: Any, batched: Any, size: int, spec: str) -> Any:
    left, right, out = _parse(spec)
    new = next(c for c in _LETTERS if c not in spec)
    left = new + left if batched[0] else left
    right = new + right if batched[1] else right
    return contract(*args, spec=f"{left},{right}->{new}{out}")


def _samples(rng: Any, dtype: Any) -> Any:
    sizes = {"i": 2, "j": 3, "k": 4, "b": 2}
    specs = (
        "ij,jk->ik",
        "ij,kj->ki",
        "bij,bjk->bik",
        "i,i->",
        "i,j->ij",
        "b,b->b",
        ",->",
        "ij,->ij",
        "bi,jb->ijb",
    )
    return [
        (
            tuple(draw(rng, dtype, *[sizes[c] for c in part]) for part in _parse(spec)[:2]),
            {"spec": spec},
        )
        for spec in specs
    ]


@linear(
    linear_in=((0,), (1,)),
    symbol="·",
    latex=r"{0} \, {1}",
    value=_evaluate,
    type=_type,
    transpose=_transpose,
    batch=_batch,
    promote=same_dtype,
    samples=_samples,
)
def contract(x1: Any, x2: Any, *, spec: str) -> Any:
    """Sum of products over the indices that `spec`, an einsum string, leaves out of the result."""
