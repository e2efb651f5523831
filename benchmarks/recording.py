"""What one operation of a dynamic graph costs: a chain of operations on a 4-element array.

    python benchmarks/recording.py

The value and the gradient of sum(f(x)), where f applies 100 operations (product, product by a
number, sum, sine in turn), so that the arithmetic itself costs next to nothing. The structure of
the graph is the same at each call, and has been seen before. Reported in microseconds per
operation, and where wengert's time goes: recording, look-up, the native run (replay), and both
sweeps operator by operator in NumPy, which is what runs before a structure has been compiled. The
floor is the same chain in NumPy alone, forward only.

Then ten thousand graphs of 60 operations, no two of the same structure: time per operation, memory,
and how many modules LLVM compiled.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import QUICK, agree, compare, fresh, installed, markdown, versions, write

import wengert as wg
from wengert.capture import capture
from wengert.replay import replay
from wengert.transform.graphs import vjp_graph

OPERATIONS = 100
DISTINCT = 200 if QUICK else 10_000
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
    with wg.replaying("always"):  # compiled now, not after the hundreds of calls that it pays for
        wengert(START)
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


def parts() -> dict[str, Callable[[], Any]]:
    """Where wengert's time goes."""
    wengert = wg.value_and_grad(numpy_chain)

    def record() -> Any:
        return capture(numpy_chain, (START,), {}, traced=(0,), purpose="benchmark")

    captured = record()
    derived = vjp_graph(captured.graph, (0,), (0,), one=True)

    def by_numpy() -> Any:
        with wg.replaying("never"):
            return wengert(START)

    return {
        "wengert, recording": record,
        "wengert, look-up": lambda: vjp_graph(captured.graph, (0,), (0,), one=True),
        "wengert, native run": lambda: replay(derived, captured.arguments),
        "wengert, operator by operator": by_numpy,
        "NumPy, forward only": lambda: numpy_chain(START),
    }


def _most_megabytes() -> float:
    # Not by getrusage: it begins with what the parent process had.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def distinct(count: int) -> dict[str, float]:
    """Gradients of `count` graphs of different structure, one after another."""
    import random
    import time

    from wengert.codegen.engine import statistics

    choose = random.Random(1)
    start, modules = time.process_time(), statistics["modules"]
    for _ in range(count):
        choices = [choose.randrange(4) for _ in range(60)]

        def f(x: Any, choices: list[int] = choices) -> Any:
            for k in choices:
                x = x * 0.1 if k == 0 else x * x if k == 1 else np.sin(x) if k == 2 else x + x
            return np.sum(x)

        wg.value_and_grad(f)(START)
    return {
        "seconds": time.process_time() - start,
        "operations": 60 * count,
        "megabytes": _most_megabytes(),
        "modules": statistics["modules"] - modules,
    }


def main() -> None:
    timed = contestants()
    results = {name: call() for name, call in timed.items()}
    agree(results, rtol=1e-4)  # DyNet computes in float32
    timings = compare({**timed, **parts()})
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
    storm = fresh("recording.py", "--distinct")
    table += (
        f"\n\n{DISTINCT} structures in a row: "
        f"{storm['seconds'] / storm['operations'] * 1e6:.2f} µs per operation, "
        f"{storm['megabytes']:.0f} MB at most, {storm['modules']:.0f} modules compiled."
    )
    write(
        "recording",
        {
            "operations": OPERATIONS,
            "seconds_per_call": timings,
            "distinct_structures": storm,
            "versions": versions("autograd", "torch", "dynet"),
        },
        table,
    )


if __name__ == "__main__":
    if "--distinct" in sys.argv:
        print(json.dumps(distinct(DISTINCT)))
    else:
        main()
