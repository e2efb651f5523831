"""Random numbers: a million of them, and dropout with its gradient, beside the peers' generators.

    python benchmarks/random_numbers.py

The peers draw other numbers: what is compared before timing is the mean and the deviation. NumPy's
and PyTorch's generators have a state; JAX's and wengert's draw from a key, with the same cipher.
Every contestant gives a new array each time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import attempt, compare, exists, timing_table, versions, write

import wengert as wg

COUNT = 1_000_000
KINDS = ("uniform float32", "normal float32", "normal float64", "dropout and gradient, float32")
RATE = 0.25


def _dropped(x: Any, key: Any) -> Any:
    return np.sum(np.square(wg.nn.dropout(x, RATE, key)))


def own(kind: str, x: Any) -> Any:
    key = wg.random.key(0)
    dtype = np.float64 if kind.endswith("64") else np.float32
    if kind.startswith("dropout"):
        step = wg.compile(wg.grad(_dropped))
        return lambda: step(x, key)
    draw = wg.random.uniform if kind.startswith("uniform") else wg.random.normal
    compiled = wg.compile(lambda key: draw(key, (COUNT,), dtype))
    return lambda: compiled(key)


def in_numpy(kind: str, x: Any) -> Any:
    rng = np.random.default_rng(0)
    dtype: Any = np.float64 if kind.endswith("64") else np.float32
    if kind.startswith("uniform"):
        return lambda: rng.random(COUNT, dtype)
    if kind.startswith("normal"):
        return lambda: rng.standard_normal(COUNT, dtype)

    def by_hand() -> Any:
        factor = (rng.random(COUNT, np.float32) >= RATE) * np.float32(1 / (1 - RATE))
        return 2 * (x * factor) * factor

    return by_hand


def in_jax(kind: str, x: Any) -> Any:
    import jax
    import jax.numpy as jnp

    key = jax.random.key(0)
    if kind.endswith("64"):
        jax.config.update("jax_enable_x64", True)

    def dropped(x: Any, key: Any) -> Any:
        kept = jax.random.bernoulli(key, 1 - RATE, x.shape)
        return jnp.sum(jnp.square(jnp.where(kept, x / (1 - RATE), 0)))

    if kind.startswith("dropout"):
        step, operand = jax.jit(jax.grad(dropped)), jnp.asarray(x)
        return lambda: jax.block_until_ready(step(operand, key))
    dtype = jnp.float64 if kind.endswith("64") else jnp.float32
    draw = jax.random.uniform if kind.startswith("uniform") else jax.random.normal
    function = jax.jit(lambda key: draw(key, (COUNT,), dtype))
    return lambda: jax.block_until_ready(function(key))


def in_torch(kind: str, x: Any) -> Any:
    import torch

    dtype = torch.float64 if kind.endswith("64") else torch.float32
    if kind.startswith("uniform"):
        return lambda: torch.rand(COUNT, dtype=dtype)
    if kind.startswith("normal"):
        return lambda: torch.randn(COUNT, dtype=dtype)
    operand = torch.tensor(x, requires_grad=True)

    def step() -> Any:
        value = torch.sum(torch.square(torch.nn.functional.dropout(operand, RATE)))
        return torch.autograd.grad(value, operand)[0]

    return step


def measured(kind: str) -> dict[str, dict[str, float]]:
    x = np.random.default_rng(1).standard_normal(COUNT, np.float32)
    timed: dict[str, Any] = {"wengert": own(kind, x), "NumPy": in_numpy(kind, x)}
    for name, module, make in (("JAX jit", "jax", in_jax), ("PyTorch", "torch", in_torch)):
        if exists(module):
            attempt(timed, name, lambda make=make: make(kind, x))
    first = None
    for name, call in timed.items():
        drawn = np.asarray(call(), np.float64)
        moments = np.array([drawn.mean(), drawn.std()])
        first = moments if first is None else first
        assert np.allclose(moments, first, atol=0.02), (kind, name, moments, first)
    wg.finish_compiling()
    return compare(timed, rounds=15, seconds=0.02)


def main() -> None:
    timings = {kind: measured(kind) for kind in KINDS}
    table = "\n\n".join(f"{kind}\n\n{timing_table(found)}" for kind, found in timings.items())
    write(
        "random_numbers",
        {
            "title": "A million random numbers, and dropout of as many with its gradient",
            "seconds_per_call": timings,
            "versions": versions("jax", "torch"),
        },
        table,
    )


if __name__ == "__main__":
    main()
