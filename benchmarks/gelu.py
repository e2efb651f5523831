"""GELU written out and summed: value and gradient, of 1e3, 1e5 and 1e7 float32.

    python benchmarks/gelu.py

Every contestant gives a new array each time. The floor is a copy of the array into memory that
exists already, on one thread or on all, whichever is faster: the bytes that any program must move.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from harness import (
    FLOOR,
    agree,
    attempt,
    compare,
    copying,
    exists,
    timing_table,
    versions,
    write,
)
from models import gelu_sum

import wengert as wg

SIZES = (1_000, 100_000, 10_000_000)


def in_jax(x: Any) -> Any:
    import jax
    import jax.numpy as jnp

    function = jax.jit(jax.value_and_grad(lambda x: gelu_sum(x, jnp)))
    operand = jnp.asarray(x)
    return lambda: jax.block_until_ready(function(operand))


def in_torch(x: Any) -> Any:
    import torch

    class Namespace:
        sum, tanh = torch.sum, torch.tanh

    function = torch.compile(lambda x: gelu_sum(x, Namespace))
    operand = torch.tensor(x, requires_grad=True)

    def call() -> Any:
        value = function(operand)
        (gradient,) = torch.autograd.grad(value, operand)
        return value.item(), gradient

    call()
    return call


def in_tensorflow(x: Any) -> Any:
    import tensorflow as tf

    class Namespace:
        sum, tanh = tf.reduce_sum, tf.tanh

    @tf.function(jit_compile=True)
    def function(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = gelu_sum(x, Namespace)
        return value, tape.gradient(value, x)

    operand = tf.constant(x)
    return lambda: function(operand)


def measured(size: int) -> dict[str, dict[str, float]]:
    x = np.random.default_rng(0).standard_normal(size, np.float32)
    compiled = wg.compile(wg.value_and_grad(gelu_sum))
    timed: dict[str, Any] = {"wengert": lambda: compiled(x)}
    for name, module, make in (
        ("JAX jit", "jax", in_jax),
        ("torch.compile", "torch", in_torch),
        ("TensorFlow XLA", "tensorflow", in_tensorflow),
    ):
        if exists(module):
            attempt(timed, name, lambda make=make: make(x))
    results = {name: call() for name, call in timed.items()}
    agree({name: [r[0]] for name, r in results.items()}, rtol=1e-4)
    agree({name: [r[1]] for name, r in results.items()}, rtol=1e-4, atol=1e-5)
    del results
    target = np.empty_like(x)
    cores = os.cpu_count() or 1
    timed[f"{FLOOR}copy, 1 thread"] = copying(x, target)
    if size > SIZES[1]:
        timed[f"{FLOOR}copy, {cores} threads"] = copying(x, target, cores)
    return compare(timed, rounds=15, seconds=0.02)


def main() -> None:
    timings = {f"{size:.0e}".replace("+0", ""): measured(size) for size in SIZES}
    table = "\n\n".join(
        f"{size} elements\n\n{timing_table(found)}" for size, found in timings.items()
    )
    write(
        "gelu",
        {
            "title": "GELU written out, summed: value and gradient, float32",
            "seconds_per_call": timings,
            "versions": versions("jax", "torch", "tensorflow"),
        },
        table,
    )


if __name__ == "__main__":
    main()
