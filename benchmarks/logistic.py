"""The logistic function 1/(exp(-(w*x+b))+1) and its three derivatives, on Python floats.

    python benchmarks/logistic.py

One call takes three floats and gives the value and the derivatives by x, w and b. CasADi's raw
buffer call neither takes nor gives anything: it reads and writes memory fixed before. The floor is
the call of a C function of Python that does nothing (`operator.is_`).
"""

from __future__ import annotations

import math
import operator
import timeit
from typing import Any

import numpy as np
from harness import FLOOR, agree, attempt, compare, exists, timing_table, versions, write

import wengert as wg

POINT = (0.7, -1.3, 0.4)


def logistic(x: Any, w: Any, b: Any, exp: Any = np.exp) -> Any:
    return 1 / (exp(-(w * x + b)) + 1)


def by_hand(x: float, w: float, b: float) -> tuple[float, tuple[float, float, float]]:
    y = 1 / (math.exp(-(w * x + b)) + 1)
    z_bar = y * (1 - y)
    return y, (z_bar * w, z_bar * x, z_bar)


def in_casadi() -> Any:
    import casadi

    x, w, b = (casadi.SX.sym(name) for name in "xwb")
    y = logistic(x, w, b, casadi.exp)
    gradient = casadi.gradient(y, casadi.vertcat(x, w, b))
    return casadi.Function("logistic", [x, w, b], [y, gradient])


def casadi_buffer() -> tuple[Any, Any]:
    function = in_casadi()
    buffer, evaluate = function.buffer()
    operands = [np.array([v]) for v in POINT]
    value, gradient = np.zeros(1), np.zeros(3)
    for k, operand in enumerate(operands):
        buffer.set_arg(k, memoryview(operand))
    buffer.set_res(0, memoryview(value))
    buffer.set_res(1, memoryview(gradient))

    def results() -> Any:
        evaluate()
        return value[0], gradient

    # The function, its memory and its operands live as long as the timer that holds them.
    keep = (function, buffer, operands)
    return timeit.Timer("f()", globals={"f": evaluate, "keep": keep}), results


def in_pytensor() -> Any:
    import pytensor
    import pytensor.tensor as pt
    from pytensor.compile.mode import get_mode

    x, w, b = pt.dscalar("x"), pt.dscalar("w"), pt.dscalar("b")
    y = logistic(x, w, b, pt.exp)
    function = pytensor.function([x, w, b], [y, *pytensor.grad(y, [x, w, b])], mode=get_mode("CVM"))
    function.trust_input = True
    operands = [np.asarray(v) for v in POINT]
    return lambda: function(*operands)


def in_jax() -> Any:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    function = jax.jit(
        jax.value_and_grad(lambda x, w, b: logistic(x, w, b, jnp.exp), argnums=(0, 1, 2))
    )
    return lambda: jax.block_until_ready(function(*POINT))


def in_torch() -> Any:
    import torch

    def function(x: Any, w: Any, b: Any) -> Any:
        y = logistic(x, w, b, torch.exp)
        return y, *torch.autograd.grad(y, (x, w, b))

    compiled = torch.compile(lambda x, w, b: logistic(x, w, b, torch.exp))

    def call() -> Any:
        operands = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in POINT]
        y = compiled(*operands)
        return y.item(), *torch.autograd.grad(y, operands)

    call()
    return call


def in_tensorflow() -> Any:
    import tensorflow as tf

    @tf.function
    def function(x: Any, w: Any, b: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch((x, w, b))
            y = logistic(x, w, b, tf.exp)
        return y, tape.gradient(y, (x, w, b))

    return lambda: function(*[tf.constant(v, tf.float64) for v in POINT])


def timer_of(function: Any) -> timeit.Timer:
    names = dict(zip("xwb", POINT, strict=True))
    return timeit.Timer("f(x, w, b)", globals={"f": function, **names})


def flat(result: Any) -> list[float]:
    found: list[float] = []
    for part in result:
        found += flat(part) if isinstance(part, (tuple, list)) else np.ravel(part).tolist()
    return found


def main() -> None:
    compiled = wg.compile(wg.value_and_grad(logistic, argnums=(0, 1, 2)))
    results: dict[str, Any] = {"wengert": compiled(*POINT), "Python by hand": by_hand(*POINT)}
    timed: dict[str, Any] = {"wengert": timer_of(compiled), "Python by hand": timer_of(by_hand)}
    peers: dict[str, Any] = {}
    if exists("casadi"):
        timed["CasADi, raw buffer call"], buffered = casadi_buffer()
        results["CasADi, raw buffer call"] = buffered()
        function = in_casadi()
        peers["CasADi"] = lambda: function(*POINT)
    for name, module, make in (
        ("PyTensor C", "pytensor", in_pytensor),
        ("JAX jit", "jax", in_jax),
        ("torch.compile", "torch", in_torch),
        ("tf.function", "tensorflow", in_tensorflow),
    ):
        if exists(module):
            attempt(peers, name, make)
    results |= {name: call() for name, call in peers.items()}
    agree({name: flat(_plain(result)) for name, result in results.items()}, rtol=1e-12)
    timed |= peers
    timed[f"{FLOOR}call of a C function"] = timeit.Timer(
        "f(x, w)", globals={"f": operator.is_, "x": POINT[0], "w": POINT[1]}
    )
    timings = compare(timed, rounds=31)
    write(
        "logistic",
        {
            "title": "Logistic function on Python floats: value and gradient",
            "seconds_per_call": timings,
            "versions": versions("casadi", "pytensor", "jax", "torch", "tensorflow"),
        },
        timing_table(timings),
    )


def _plain(result: Any) -> list[Any]:
    """Tensors of any kind as nested lists of arrays."""
    return [
        _plain(part) if isinstance(part, (tuple, list)) else np.asarray(part) for part in result
    ]


if __name__ == "__main__":
    main()
