"""One SGD step of a 64-64-64-10 perceptron, batch 32, float32.

    python benchmarks/mlp_small.py

Overheads count here: the arithmetic is 1.3 Mflop. Beside it the eight matrix products alone, and
the operations at the speed of the best large product.
"""

from __future__ import annotations

import models
from harness import FLOOR, as_floor, compare, sgemm_peak, timing_table, versions, write
from steps import agreeing_steps, products_alone

NAMES = (
    "wengert",
    "wengert, donating",
    "NumPy by hand",
    "PyTensor C",
    "PyTensor numba",
    "JAX jit",
    "PyTorch eager",
    "tf.function",
)


def main() -> None:
    sizes, batch = models.SMALL, models.SMALL_BATCH
    timed = agreeing_steps(NAMES, sizes, batch) | products_alone(sizes, batch)
    timings = compare(timed, rounds=31, seconds=0.02)
    flops, peak = models.mlp_flops(sizes, batch), sgemm_peak()
    timings[f"{FLOOR}{flops / 1e6:.2f} Mflop at {peak / 1e9:.0f} Gflop/s"] = as_floor(flops / peak)
    write(
        "mlp_small",
        {
            "title": "Perceptron 64-64-64-10, batch 32: one SGD step",
            "seconds_per_call": timings,
            "gflops_of_best_sgemm": peak / 1e9,
            "versions": versions("scipy", "pytensor", "jax", "torch", "tensorflow"),
        },
        timing_table(timings),
    )


if __name__ == "__main__":
    main()
