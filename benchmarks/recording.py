"""What one recorded operation costs: a chain of operations on a 4-element array.

    python benchmarks/recording.py

The value and the gradient of sum(f(x)), where f applies 100 operations (product, product by a
number, sum, sine in turn), so that the arithmetic itself costs next to nothing. Reported in
microseconds per operation. The floor is the same chain in NumPy alone, forward only: wengert's
interpreter calls NumPy for each operation, forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from harness import agree, compare, installed, markdown, versions, write

import wengert as wg
from wengert.capture import capture

OPERATIONS = 100
START = np.array([0.1, 0.2, 0.3, 0.4])


def chain(x: Any, sin: Callable[[Any], Any]) -> Any:
    for _ in range(OPERATIONS // 4):
        y = x * x
        y = y * 0.1
        x = x + y
        x = sin(x)
    return x


def numpy_chain(x: Any) -> Any:
    return np.sum(chain(x, np.sin))


def contestants() -> dict[str, Callable[[], Any]]:
    wengert = wg.value_and_grad(numpy_chain)
    found: dict[str, Callable[[], Any]] = {"wengert": lambda: wengert(START)}
    autograd = installed("autograd")
    if autograd is not None:
        import autograd.numpy as anp

        autograd_chain = autograd.value_and_grad(lambda x: anp.sum(chain(x, anp.sin)))
        found["autograd"] = lambda: autograd_chain(START)
    torch = installed("torch")
    if torch is not None:
        torch.set_num_threads(1)

        def in_torch() -> Any:
            x = torch.tensor(START, requires_grad=True)
            y = chain(x, torch.sin).sum()
            y.backward()
            return y.item(), x.grad.numpy()

        found["PyTorch eager"] = in_torch
    dynet = installed("dynet")
    if dynet is not None:
        # The collection must stay referenced: its parameters die with it.
        collection = dynet.ParameterCollection()
        parameter = collection.add_parameters(4, init=dynet.NumpyInitializer(START))
        found["DyNet (float32)"] = lambda: _in_dynet(dynet, collection, parameter)
    return found


def _in_dynet(dynet: Any, collection: Any, parameter: Any) -> Any:
    del collection
    dynet.renew_cg()
    x = parameter
    for _ in range(OPERATIONS // 4):
        y = dynet.cmult(x, x)
        y = y * 0.1
        x = x + y
        x = dynet.sin(x)
    out = dynet.sum_elems(x)
    value = out.value()
    out.backward()
    return value, parameter.grad_as_array()


def main() -> None:
    timed = contestants()
    results = {name: call() for name, call in timed.items()}
    agree(results, rtol=1e-4)  # DyNet computes in float32
    timed["wengert, recording only"] = lambda: capture(
        numpy_chain, (START,), {}, traced=(0,), purpose="benchmark"
    )
    timed["NumPy, forward only"] = lambda: numpy_chain(START)
    timings = compare(timed)
    own = timings["wengert"]["median"]
    rows = [
        [
            name,
            f"{t['median'] / OPERATIONS * 1e6:.2f}",
            f"{t['p10'] / OPERATIONS * 1e6:.2f}",
            f"{t['median'] / own:.2f}",
        ]
        for name, t in sorted(timings.items(), key=lambda item: item[1]["median"])
    ]
    table = markdown(
        ["value and gradient", "µs per operation, median", "10th percentile", "time / wengert's"],
        rows,
    )
    write(
        "recording",
        {
            "operations": OPERATIONS,
            "seconds_per_call": timings,
            "versions": versions("autograd", "torch", "dynet"),
        },
        table,
    )


if __name__ == "__main__":
    main()
