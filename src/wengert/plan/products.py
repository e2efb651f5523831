"""Contractions as BLAS calls: when the operands lie in memory as a matrix product needs them."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from wengert.plan.blas import gemm_address

__all__ = [
    "Product",
    "as_product",
    "product_blocks",
]


class Product(NamedTuple):
    """The numbers of a matrix product C = A B in C order, `repeats` times.

    first, second : which operand is A and which is B; repeats : how many products
    transposed : whether A and B lie in memory transposed
    """

    first: int
    second: int
    transposed: tuple[bool, bool]
    m: int
    n: int
    k: int
    repeats: int


def as_product(spec: str, left_shape: Any, right_shape: Any) -> Product | None:
    """The product that computes a contraction of contiguous arrays, or None if none does."""
    operands, out = spec.split("->")
    left, right = operands.split(",")
    size = dict(zip(left + right, (*left_shape, *right_shape), strict=True))
    if any(n == 0 for n in size.values()):
        return None
    batch = "".join(c for c in left if c in right and c in out)
    for first, a, second, b in ((0, left, 1, right), (1, right, 0, left)):
        rows = "".join(c for c in a if c not in b)
        summed = "".join(c for c in a if c in b and c not in out)
        columns = "".join(c for c in b if c not in a)
        if out != batch + rows + columns:
            continue
        if a not in (batch + rows + summed, batch + summed + rows):
            continue
        if b not in (batch + summed + columns, batch + columns + summed):
            continue
        transposed = (a != batch + rows + summed, b != batch + summed + columns)
        return Product(
            first,
            second,
            transposed,
            _size(rows, size),
            _size(columns, size),
            _size(summed, size),
            _size(batch, size),
        )
    return None


def _size(letters: str, size: dict[str, int]) -> int:
    total = 1
    for c in letters:
        total *= size[c]
    return total


#: Floating-point operations of a chunk of a product that is worth a thread.
_LEAST_FLOPS = 2_000_000


def product_blocks(
    product: Product, dtype: np.dtype[Any], slots: tuple[int, int, int], threads: int
) -> list[list[int]]:
    """The arguments of `gemm_f32` or `gemm_f64` (see `codegen.native`), one block per chunk.

    A large product is cut along the longer axis of its result. Each chunk runs on one thread:
    BLAS's own threads would wait for ours, and ours for them.
    """
    p = product
    flops = 2 * p.m * p.n * p.k * p.repeats
    chunks = max(1, min(threads, flops // _LEAST_FLOPS, max(p.m, p.n) // 16))
    along_rows = p.m >= p.n
    length = p.m if along_rows else p.n
    bounds = [length * c // chunks // 8 * 8 for c in range(chunks)] + [length]
    return [
        _product_args(p, dtype, slots, begin, end, along_rows)
        for begin, end in itertools.pairwise(bounds)
    ]


def _product_args(
    product: Product,
    dtype: np.dtype[Any],
    slots: tuple[int, int, int],
    begin: int,
    end: int,
    along_rows: bool,
) -> list[int]:
    # Fortran's order makes of C = A B in C order the product of B and A.
    a, b, c = slots
    ta, tb = product.transposed
    m, n, k = product.m, product.n, product.k
    lda, ldb, ldc = m if ta else k, k if tb else n, n
    at_a = at_b = at_c = 0
    strides = (k * n, m * k, m * n)
    if along_rows:
        at_a, at_c, m = begin * (1 if ta else lda), begin * ldc, end - begin
    else:
        at_b, at_c, n = begin * (ldb if tb else 1), begin, end - begin
    return [
        gemm_address(dtype.str[1:]),
        b,
        a,
        c,
        ord("T" if tb else "N"),
        ord("T" if ta else "N"),
        n,
        m,
        k,
        ldb,
        lda,
        ldc,
        product.repeats,
        *strides,
        at_b,
        at_a,
        at_c,
    ]
