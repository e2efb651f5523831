"""Layer norm and softmax cross-entropy of a 1024×1024 batch: value and gradients, float32.

    python benchmarks/norm_cross_entropy.py

wengert, JAX and torch.compile are given the formulas written out; PyTorch eager uses its built-in
fused operators. Gradients by the batch, the gain and the bias. The floor is a copy of the batch:
it must be read once, and its gradient written once.
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
from models import norm_cross_entropy, norm_cross_entropy_data

import wengert as wg


def in_jax(data: Any) -> Any:
    import jax
    import jax.numpy as jnp

    function = jax.jit(
        jax.value_and_grad(lambda *args: norm_cross_entropy(*args, jnp), argnums=(0, 1, 2))
    )
    operands = [jnp.asarray(v) for v in data]
    return lambda: jax.block_until_ready(function(*operands))


def in_torch(data: Any, compiled: bool) -> Any:
    import torch
    from torch.nn import functional

    def built_in(x: Any, gain: Any, bias: Any, labels: Any) -> Any:
        z = functional.layer_norm(x, x.shape[1:], gain, bias)
        return functional.cross_entropy(z, labels)

    def written_out(x: Any, gain: Any, bias: Any, labels: Any) -> Any:
        centred = x - x.mean(1, keepdim=True)
        variance = (centred * centred).mean(1, keepdim=True)
        z = centred / torch.sqrt(variance + 1e-5) * gain + bias
        z = z - z.amax(1, keepdim=True)
        rows = torch.arange(x.shape[0])
        return (z.exp().sum(1).log() - z[rows, labels]).mean()

    *floats, labels = (torch.tensor(v) for v in data)
    floats = [v.requires_grad_() for v in floats]
    function = torch.compile(written_out) if compiled else built_in

    def call() -> Any:
        value = function(*floats, labels)
        return value.item(), torch.autograd.grad(value, floats)

    call()
    return call


def main() -> None:
    data = norm_cross_entropy_data()
    compiled = wg.compile(wg.value_and_grad(norm_cross_entropy, argnums=(0, 1, 2)))
    timed: dict[str, Any] = {"wengert": lambda: compiled(*data)}
    if exists("jax"):
        attempt(timed, "JAX jit", lambda: in_jax(data))
    if exists("torch"):
        attempt(timed, "PyTorch, built-in fused operators", lambda: in_torch(data, False))
        attempt(timed, "torch.compile", lambda: in_torch(data, True))
    results = {name: call() for name, call in timed.items()}
    agree({name: [r[0]] for name, r in results.items()}, rtol=1e-5)
    agree({name: list(r[1]) for name, r in results.items()}, rtol=1e-3, atol=1e-6)
    x = data[0]
    cores = os.cpu_count() or 1
    target = np.empty_like(x)
    timed[f"{FLOOR}copy of the batch, 1 thread"] = copying(x, target)
    timed[f"{FLOOR}copy of the batch, {cores} threads"] = copying(x, target, cores)
    timings = compare(timed, rounds=31, seconds=0.05)
    write(
        "norm_cross_entropy",
        {
            "title": "Layer norm + softmax cross-entropy, 1024×1024: value and gradients",
            "seconds_per_call": timings,
            "versions": versions("jax", "torch"),
        },
        timing_table(timings),
    )


if __name__ == "__main__":
    main()
