"""One SGD step of a 784-512-512-10 perceptron, batch 128, float32.

    python benchmarks/mlp_large.py

Beside it the step's eight matrix products alone, in NumPy's BLAS and in SciPy's (each with the
threads it takes by itself), and the floor: its operations at the speed of the best large product.
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
    "JAX jit",
    "PyTorch eager",
    "tf.function",
)


def main() -> None:
    sizes, batch = models.LARGE, models.LARGE_BATCH
    timed = agreeing_steps(NAMES, sizes, batch)
    products = products_alone(sizes, batch)
    timed |= products
    timings = compare(timed, rounds=31, seconds=0.05)
    flops, peak = models.mlp_flops(sizes, batch), sgemm_peak()
    timings[f"{FLOOR}{flops / 1e6:.0f} Mflop at {peak / 1e9:.0f} Gflop/s"] = as_floor(flops / peak)
    best = min(timings[name]["median"] for name in products)
    share = {name: best / timings[name]["median"] for name in ("wengert", "wengert, donating")}
    shares = "; ".join(f"{name} {100 * part:.0f} %" for name, part in share.items())
    write(
        "mlp_large",
        {
            "title": "Perceptron 784-512-512-10, batch 128: one SGD step",
            "seconds_per_call": timings,
            "share_of_products": share,
            "gflops_of_best_sgemm": peak / 1e9,
            "versions": versions("scipy", "pytensor", "jax", "torch", "tensorflow"),
        },
        f"{timing_table(timings)}\n\nShare of the speed of its products alone: {shares}.",
    )


if __name__ == "__main__":
    main()
