"""What the benchmarks of the perceptron share: steps that agree, and their products alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import models
import numpy as np
from harness import FLOOR, agree, attempt, exists
from peers import IMPORTS, MAKERS


def agreeing_steps(
    names: Sequence[str], sizes: Sequence[int], batch: int
) -> dict[str, Callable[[], Any]]:
    """The step of each system that is installed; after three steps all have the same parameters."""
    made: dict[str, Any] = {}
    for name in names:
        if exists(IMPORTS[name].partition(".")[0]):
            attempt(made, name, lambda name=name: _after_three(name, sizes, batch))
    agree({name: state for name, (_, state) in made.items()}, rtol=1e-3, atol=1e-5)
    return {name: step for name, (step, _) in made.items()}


def _after_three(name: str, sizes: Sequence[int], batch: int) -> tuple[Any, Any]:
    step, state = MAKERS[name](*models.mlp_data(sizes, batch))
    for _ in range(3):
        step()
    return step, [np.array(p) for p in state()]


def products_alone(sizes: Sequence[int], batch: int) -> dict[str, Callable[[], None]]:
    """The matrix products of a step and nothing else, into memory that exists."""
    from scipy.linalg import blas

    pairs = models.mlp_products(sizes, batch)
    outs = [np.empty((a.shape[0], b.shape[1]), np.float32) for a, b in pairs]

    def in_numpy() -> None:
        for (a, b), out in zip(pairs, outs, strict=True):
            np.matmul(a, b, out=out)

    # The transpose of a product in C order is a product in Fortran's: no operand is copied.
    fortran = [
        (*_as_fortran(b.T), *_as_fortran(a.T), out.T)
        for (a, b), out in zip(pairs, outs, strict=True)
    ]

    def in_scipy() -> None:
        for a, trans_a, b, trans_b, out in fortran:
            blas.sgemm(1.0, a, b, c=out, trans_a=trans_a, trans_b=trans_b, overwrite_c=1)

    in_numpy()
    wanted = [out.copy() for out in outs]
    in_scipy()
    agree({"NumPy": wanted, "SciPy": outs}, rtol=1e-3, atol=1e-3)
    return {
        f"{FLOOR}its matrix products, NumPy's BLAS": in_numpy,
        f"{FLOOR}its matrix products, SciPy's BLAS": in_scipy,
    }


def _as_fortran(matrix: Any) -> tuple[Any, int]:
    return (matrix, 0) if matrix.flags.f_contiguous else (matrix.T, 1)
