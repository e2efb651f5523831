"""Contractions as matrix products, when the operands lie in memory as one needs them: by kernels of
our own (`codegen.product`), or by BLAS.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from wengert.codegen.kernel import FinishSpec, ProductSpec
from wengert.codegen.pool import worker_count
from wengert.codegen.tables import PANEL_ROWS, PRODUCT
from wengert.graph import Graph
from wengert.graph.tuples import NamedTuple
from wengert.plan.blas import blas_threads, gemm_address
from wengert.plan.chunks import own_results, shares_of, work_of
from wengert.plan.lowering import LoweredGroup
from wengert.plan.steps import Cut, NativeStep

__all__ = [
    "Product",
    "as_product",
    "can_finish",
    "finished_step",
    "foreseen",
    "is_own",
    "product_step",
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
#: Floating-point operations of one thread in a nanosecond, roughly; and those of the elements of a
#: nest.
_FLOPS_PER_NS, _NEST_PER_NS = 80, 60

#: Where the kernels of `codegen.product` are mostly as fast as OpenBLAS's on one thread
#: (`benchmarks/products.py` measures both), and can go into strips and sums besides. Results
#: with fewer rows or columns are left to BLAS (which sums along vectors, or keeps what it has
#: turned), and so are large products, for which it copies both operands.
_LEAST_ROWS, _LEAST_COLUMNS = 4, 8
_LEAST_ROWS_TURNED = 32
_MOST_OWN = 1 << 28


def is_own(product: Product) -> bool:
    """Whether our own kernels compute a product."""
    p = product
    rows = _LEAST_ROWS_TURNED if p.transposed[1] else _LEAST_ROWS
    return p.m >= rows and p.n >= _LEAST_COLUMNS and 2 * p.m * p.n * p.k <= _MOST_OWN


def foreseen(
    graph: Graph, is_there: Callable[[ProductSpec], bool] = lambda spec: False
) -> list[ProductSpec]:
    """The kernels of the products of a graph that is not optimised yet, most probably, unless they
    are there: of all kernels they take LLVM longest."""
    dtypes: dict[Any, ProductSpec | None] = {}
    for op, operands, params, type_ in graph.entries:
        if op.name == "contract" and dtypes.get(type_.dtype, True):
            spec = ProductSpec(type_.dtype)
            if type_.dtype.str[1:] not in ("f4", "f8") or is_there(spec):
                dtypes[type_.dtype] = None
                continue
            shapes = [graph.entries[k][3].shape for k in operands]
            product = as_product(dict(params)["spec"], *shapes)
            if product is not None and is_own(product):
                dtypes[type_.dtype] = spec
    return [spec for spec in dtypes.values() if spec is not None]


def product_step(
    product: Product,
    dtype: np.dtype[Any],
    slots: dict[str, int],
    panel_of: Callable[[int], int],
    *,
    negate: bool = False,
) -> NativeStep:
    """The step of a product C = A B of the slots `a`, `b`, `c`; `panel_of(c)` is the
    slot of the panel of chunk c.

    With slots `d` and `alpha`, and `negate`, one that is our own is C = D + alpha A B, or
    C = D - alpha A B.

    A large product is cut along the longer axis of its result. Each chunk runs on one thread:
    BLAS's own threads would wait for ours, and ours for them.
    """
    p = product
    flops = 2 * p.m * p.n * p.k * p.repeats
    what = f"product {p.m}x{p.k}x{p.n}" + (f" ({p.repeats} times)" if p.repeats > 1 else "")
    if "d" in slots:
        what += ", added"
    step = NativeStep([], [s for x, s in slots.items() if x != "c"], [slots["c"]], what, [])
    step.work = flops // 16
    ours = is_own(p)
    threads = worker_count() + 1 if ours or blas_threads() is not None else 1
    chunks = max(1, min(threads, flops // _LEAST_FLOPS, max(p.m, p.n) // 16))
    along = "m" if p.m >= p.n else "n"
    length = max(p.m, p.n)
    bounds = [length * c // chunks // 8 * 8 for c in range(chunks)] + [length]
    if not ours:
        step.runtime = f"gemm_f{8 * dtype.itemsize}"
        step.blocks = [
            _blas_args(p, dtype, slots, begin, end, along == "m")
            for begin, end in itertools.pairwise(bounds)
        ]
        return step

    def apply(step: NativeStep, bounds: list[int], along: str) -> None:
        panels = [panel_of(c) for c in range(len(bounds) - 1)]
        step.scratch = panels
        step.blocks = [
            _own_args(whole, strides[along], panel, along, begin, end)
            for panel, (begin, end) in zip(panels, itertools.pairwise(bounds), strict=True)
        ]

    whole, strides = _whole_args(p, slots, int(negate))
    step.spec = ProductSpec(dtype)
    apply(step, bounds, along)
    step.cut = _cut(p, slots, flops, apply)
    return step


def can_finish(product: Product) -> bool:
    """Whether a product can have a finish: such a one is cut along its rows."""
    p = product
    large = 2 * p.m * p.n * p.k >= 2 * _LEAST_FLOPS
    return p.repeats == 1 and not (large and p.m < 32 and p.n > p.m)


def finished_step(
    product: Product,
    slots: dict[str, int],
    nest: LoweredGroup,
    finish: FinishSpec,
    of_nest: tuple[list[int], list[int]],
    panel_of: Callable[[int], int],
    new_slot: Callable[[int], int],
    *,
    negate: bool = False,
) -> NativeStep:
    """The step of a product whose result only a nest reads, tile by tile.

    slots : as for `product_step`, without `c`
    of_nest : the slots that the nest reads (-1 for the product) and writes
    """
    p, (reads, writes) = product, of_nest
    dtype = finish.nest.loads[finish.source].dtype
    if p.k > PANEL_ROWS:  # sums to go on from
        slots = slots | {"c": new_slot(p.m * p.n * dtype.itemsize)}
    names = " ".join(i.name for i in nest.spec.body) or "copy"
    added = ", added" if "d" in slots else ""
    given = [s for x, s in slots.items() if x != "c"] + [s for s in reads if s >= 0]
    what = f"product {p.m}x{p.k}x{p.n}{added}, then {names}"
    step = NativeStep([], given, list(writes), what, [], ProductSpec(dtype))
    step.finish = finish
    flops = 2 * p.m * p.n * p.k
    step.work = flops // 16

    whole, strides = _whole_args(p, {"c": -1, **slots}, int(negate))

    def apply(step: NativeStep, bounds: list[int]) -> None:
        chunks = len(bounds) - 1
        panels = [panel_of(c) for c in range(chunks)]
        step.scratch = [*panels, *([slots["c"]] if "c" in slots else [])]
        step.blocks = []
        own = own_results(step, nest, writes, new_slot, chunks)
        for panel, targets, (begin, end) in zip(
            panels, own, itertools.pairwise(bounds), strict=True
        ):
            words = _own_args(whole, strides["m"], panel, "m", begin, end)
            words[PRODUCT["row"]] = begin
            step.blocks.append([*words, *reads, *targets, p.n])

    chunks = max(1, min(worker_count() + 1, flops // _LEAST_FLOPS, p.m // 16))
    apply(step, [p.m * c // chunks // 8 * 8 for c in range(chunks)] + [p.m])
    own = _cut(p, slots, flops, apply)
    ns = own.ns + work_of(nest) / _NEST_PER_NS
    shares = shares_of(nest, reads, writes)
    beyond = ({*slots.values()} - own.shares) | ({*reads, *writes} - shares)
    step.cut = Cut(p.m, (own.shares | shares) - beyond, ns, apply)
    return step


def _cut(product: Product, slots: dict[str, int], flops: int, apply: Callable[..., None]) -> Cut:
    """Among its products if it has several, else along the rows of its result."""
    several = product.repeats > 1
    whole = "alpha" if several else "b alpha a" if product.transposed[0] else "b alpha"
    shares = set(slots.values()) - {slots[x] for x in whole.split() if x in slots}
    return Cut(
        product.repeats if several else product.m,
        frozenset(shares),
        flops / _FLOPS_PER_NS,
        functools.partial(apply, along="repeats" if several else "m"),
    )


def _whole_args(
    product: Product, slots: dict[str, int], negate: int
) -> tuple[list[int], dict[str, dict[str, int]]]:
    """The arguments (`tables.PRODUCT`) of a whole product, but for the panel; and how many elements
    from row to row, column to column or product to product of each array."""
    p = product
    ta, tb = p.transposed
    a_row, a_col = (1, p.m) if ta else (p.k, 1)
    b_row, b_col = (1, p.k) if tb else (p.n, 1)
    step_of = {"a": p.m * p.k, "b": p.k * p.n, "c": p.m * p.n, "d": p.m * p.n}
    values = dict.fromkeys(PRODUCT, 0)
    values |= {"d": -1, "alpha": -1, **slots, "negate": negate}
    values |= {"m": p.m, "n": p.n, "k": p.k, "repeats": p.repeats, "c_row": p.n, "d_row": p.n}
    values |= {"a_row": a_row, "a_col": a_col, "b_row": b_row, "b_col": b_col}
    values |= {f"{x}_step": size for x, size in step_of.items()}
    strides = {
        "m": {"a": a_row, "c": p.n, "d": p.n},
        "n": {"b": b_col, "c": 1, "d": 1},
        "repeats": step_of,
    }
    return list(values.values()), strides


def _own_args(
    whole: list[int], strides: dict[str, int], panel: int, along: str, begin: int, end: int
) -> list[int]:
    """The arguments of a part of a product."""
    values = whole.copy()
    values[PRODUCT["panel"]] = panel
    values[PRODUCT[along]] = end - begin
    for x, stride in strides.items():
        values[PRODUCT[f"{x}_at"]] = begin * stride
    return values


def _blas_args(
    product: Product,
    dtype: np.dtype[Any],
    slots: dict[str, int],
    begin: int,
    end: int,
    along_rows: bool,
) -> list[int]:
    # Fortran's order makes of C = A B in C order the product of B and A.
    a, b, c = (slots[x] for x in "abc")
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
