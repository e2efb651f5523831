"""Matrix products on one core: the generated kernels against NumPy's BLAS, in Gflop/s, by shape.

    python benchmarks/products.py

Both are called as a compiled function calls them, on operands that were there before. What
`plan.products.is_own` leaves to BLAS is marked with a star.
"""

from __future__ import annotations

import ctypes
from typing import Any
from unittest import mock

import harness
import numpy as np

import wengert as wg
from wengert.codegen.engine import compile_kernels, runtime_address
from wengert.codegen.tables import PANEL_BYTES
from wengert.plan import products
from wengert.plan.blas import blas_threads

#: m, k, n, and whether A and B lie in memory transposed.
SHAPES = (
    (32, 64, 64, False, False),
    (64, 32, 64, True, False),
    (32, 64, 64, False, True),
    (32, 64, 10, False, False),
    (64, 32, 10, True, False),
    (32, 10, 64, False, True),
    (128, 784, 512, False, False),
    (784, 128, 512, True, False),
    (128, 512, 512, False, True),
    (128, 512, 10, False, False),
    (512, 512, 512, True, True),
    (2048, 32, 2048, True, False),
    (16, 4096, 16, False, False),
    (4, 512, 512, False, False),
    (2, 512, 512, False, False),
    (512, 512, 4, False, False),
    (1024, 1024, 1024, False, False),
)
_KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


def contestant(product: Any, arrays: Any, *, own: bool) -> Any:
    """A call that computes the product by our kernel, or by BLAS."""
    dtype = arrays[0].dtype
    with (
        mock.patch.object(products, "is_own", return_value=own),
        mock.patch.object(products, "worker_count", return_value=0),
    ):
        step = products.product_step(product, dtype, {"a": 0, "b": 1, "c": 2}, lambda _: 3)
    if step.spec is not None:
        (compiled,) = compile_kernels([step.spec])
        address = compiled.address
    else:
        address = runtime_address(step.runtime)
    function = _KERNEL(address)
    panel = np.empty(PANEL_BYTES + 64, np.uint8)
    start = panel.ctypes.data
    slots = np.array([*(x.ctypes.data for x in arrays), start + -start % 64], np.int64)
    words = np.array(step.blocks[0], np.int64)
    places = slots.ctypes.data, words.ctypes.data

    def call(keep: Any = (arrays, panel, slots, words)) -> None:
        function(*places)

    return call


def measured(shape: Any, dtype: Any) -> dict[str, float]:
    """Gflop/s of both, which are checked to agree first."""
    m, k, n, ta, tb = shape
    rng = np.random.default_rng(0)
    a = rng.standard_normal((k, m) if ta else (m, k)).astype(dtype)
    b = rng.standard_normal((n, k) if tb else (k, n)).astype(dtype)
    product = products.Product(0, 1, (ta, tb), m, n, k, 1)
    results = {name: np.empty((m, n), dtype) for name in ("kernels", "BLAS")}
    calls = {
        name: contestant(product, (a, b, c), own=name == "kernels") for name, c in results.items()
    }
    for call in calls.values():
        call()
    wg.finish_compiling()
    tolerance = 10 * k * np.finfo(dtype).eps
    harness.agree({name: [c] for name, c in results.items()}, rtol=tolerance, atol=tolerance)
    timings = harness.compare(calls, rounds=9, seconds=0.01, pause=harness.SHORT_PAUSE)
    return {name: 2e-9 * m * n * k / t["median"] for name, t in timings.items()}


def main() -> None:
    threads = blas_threads()
    if threads is not None:
        ctypes.CFUNCTYPE(None, ctypes.c_int)(threads[0])(1)
    record: dict[str, Any] = {}
    rows = []
    for shape in SHAPES:
        m, k, n, ta, tb = shape
        name = f"{m}×{k}{'ᵀ' if ta else ''} · {k}×{n}{'ᵀ' if tb else ''}"
        if not products.is_own(products.Product(0, 1, (ta, tb), m, n, k, 1)):
            name += " *"
        row = [name]
        for dtype in (np.float32, np.float64):
            found = measured(shape, dtype)
            record[f"{name} {np.dtype(dtype).name}"] = found
            ratio = found["kernels"] / found["BLAS"]
            row += [harness.three_digits(x) for x in (found["kernels"], found["BLAS"], ratio)]
        rows.append(row)
    header = ["product", "f32: kernels", "BLAS", "ratio", "f64: kernels", "BLAS", "ratio"]
    harness.write(
        "products",
        {"title": "Matrix products on one core", "gflops": record},
        harness.markdown(header, rows),
    )


if __name__ == "__main__":
    main()
