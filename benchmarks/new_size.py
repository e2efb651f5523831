"""A batch size that a compiled step has not seen: the 784-512-512-10 step, first call of each size.

    python benchmarks/new_size.py

wengert makes a new plan and no kernel: the program fails if LLVM did any work. The floor is the
step itself, once its plan is there.
"""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

import models
import numpy as np
import peers
from harness import (
    FLOOR,
    QUICK,
    agree,
    attempt,
    exists,
    summary,
    timing_table,
    versions,
    write,
)

import wengert as wg
from wengert.codegen.engine import statistics

SIZES = (96, 64, 160, 100, 33, 192, 7, 250, 128 + 1, 80)


def in_wengert(layers: Any) -> Any:
    step = wg.compile(peers.wengert_functions())
    return lambda x, y: step(layers, x, y)[1]


def in_jax(layers: Any) -> Any:
    import jax
    import jax.numpy as jnp

    def update(layers: Any, x: Any, one_hot: Any) -> Any:
        value, grads = jax.value_and_grad(models.mlp_loss)(
            layers, x, one_hot, jnp, jax.nn.log_softmax
        )
        return jax.tree.map(lambda p, g: p - peers.RATE * g, layers, grads), value

    step = jax.jit(update)
    layers = jax.tree.map(jnp.asarray, layers)
    return lambda x, y: step(layers, x, y)[1].block_until_ready()


def in_tensorflow(layers: Any) -> Any:
    import tensorflow as tf

    flat = [tf.constant(p) for layer in layers for p in layer]

    @tf.function(reduce_retracing=False)
    def update(x: Any, one_hot: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(flat)
            for w, b in zip(flat[:-2:2], flat[1:-2:2], strict=True):
                x = tf.nn.relu(x @ w + b)
            logits = x @ flat[-2] + flat[-1]
            value = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(one_hot, logits))
        grads = tape.gradient(value, flat)
        return value, [p - peers.RATE * g for p, g in zip(flat, grads, strict=True)]

    return lambda x, y: update(tf.constant(x), tf.constant(y))[0].numpy()


def seconds(call: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        # Kernels that an earlier process left on disk would hide that one is needed.
        os.environ["WENGERT_CACHE"] = folder
        measure()


def measure() -> None:
    layers, x, one_hot = models.mlp_data(models.LARGE, 256)
    steps: dict[str, Any] = {}
    attempt(steps, "wengert", lambda: in_wengert(layers))
    if exists("jax"):
        attempt(steps, "JAX jit", lambda: in_jax(layers))
    if exists("tensorflow"):
        attempt(steps, "tf.function", lambda: in_tensorflow(layers))
    n = models.LARGE_BATCH
    for step in steps.values():
        step(x[:n], one_hot[:n])
    wg.finish_compiling()
    before = statistics["compiled"], statistics["from_disk"]
    first: dict[str, list[float]] = {name: [] for name in steps}
    again: list[float] = []
    for n in SIZES[:2] if QUICK else SIZES:
        values = {}
        for name, step in steps.items():
            x_n, y_n = x[:n].copy(), one_hot[:n].copy()
            taken, values[name] = seconds(lambda: step(x_n, y_n))  # noqa: B023  called at once
            first[name].append(taken)
            if name == "wengert":
                again.append(seconds(lambda: step(x_n, y_n))[0])  # noqa: B023
        agree({name: [np.asarray(v)] for name, v in values.items()}, rtol=1e-4)
    work = statistics["compiled"] - before[0], statistics["from_disk"] - before[1]
    timings = {name: summary(found) for name, found in first.items()}
    timings[f"{FLOOR}wengert's second call"] = summary(again)
    table = timing_table(timings)
    table += (
        f"\n\nKernels that wengert compiled for the new sizes: {work[0]}; "
        f"read from disk: {work[1]}."
    )
    write(
        "new_size",
        {
            "title": "A new batch size on a compiled step: its first call",
            "seconds_per_call": timings,
            "kernels": {"compiled": work[0], "from disk": work[1]},
            "versions": versions("jax", "tensorflow"),
        },
        table,
    )
    assert work[0] == 0, f"LLVM compiled {work[0]} kernels for new sizes"


if __name__ == "__main__":
    main()
