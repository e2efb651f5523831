"""Gradients within a memory budget: time over memory, for deep chains of equal layers.

    python benchmarks/memory_budget.py

A layer is tanh(x @ w). Budgets are numbers of states: all, about 3 sqrt(n), and about 3 log2(n).
The peak that NumPy allocated (tracemalloc), and the time beside the ordinary gradient, interpreted;
the arena and results of the compiled gradient; and for one budget the resident bytes of a fresh
process above those before the derivative, as the kernel counts them.
"""

from __future__ import annotations

import json
import math
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
from harness import QUICK, compare, duration, fresh, markdown, three_digits, versions, write

import wengert as wg
from wengert.transform.inline import runners

SIZE, WIDTH = 2000, 32
DEPTHS = (64,) if QUICK else (64, 256)
#: Floats of the states in the process that is watched from outside.
LARGE = 1_000_000


def deep(n: int) -> Any:
    def f(x: Any, w: Any) -> Any:
        for _ in range(n):
            x = np.tanh(x @ w)
        return np.sum(x * x)

    return f


def elementwise(x: Any) -> Any:
    for _ in range(60):
        x = np.sin(x)
    return np.sum(x)


def budgets(n: int, state: int) -> dict[str, int | None]:
    return {
        "none": None,
        "3 sqrt(n) + 6": int(3 * math.sqrt(n) + 6) * state,
        "3 log2(n) + 6": int(3 * math.log2(n) + 6) * state,
    }


def measured(call: Any) -> int:
    call()
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def child(memory: str) -> None:
    """Resident bytes that a gradient takes, in this process."""
    runners.clear()
    x = np.linspace(0.0, 1.0, LARGE)
    gradient = wg.grad(elementwise, memory=None if memory == "none" else int(memory))
    gradient(x[:100]) if memory == "none" else None
    before = resident_at_most()
    gradient(x)
    print(json.dumps({"bytes": resident_at_most() - before}))


def resident_at_most() -> int:
    """The most bytes of memory that this process has had; getrusage would count its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def main() -> None:
    # The interpreter's memory is what the plan predicts: no replay as native code.
    runners.clear()
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((SIZE, WIDTH)), rng.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5
    record: dict[str, Any] = {"depths": {}}
    rows = []
    for n in DEPTHS:
        f = deep(n)
        calls, found = {}, {}
        for name, memory in budgets(n, x.nbytes).items():
            gradient = wg.grad(f, (0, 1), memory=memory)
            calls[name] = lambda gradient=gradient: gradient(x, w)
            explained = None
            if memory is not None:
                compiled = wg.compile(wg.grad(f, (0, 1), memory=memory))
                explained = compiled.report(x, w).fitted._asdict()
            found[name] = {
                "budget": memory,
                "measured": measured(calls[name]),
                "compiled": explained,
            }
        times = compare(calls, rounds=7, seconds=0.05)
        base = times["none"]["p10"]
        for name, values in found.items():
            values["time ratio"] = times[name]["p10"] / base
            compiled = values["compiled"]
            rows.append(
                [
                    str(n),
                    name,
                    "" if values["budget"] is None else f"{values['budget'] / x.nbytes:.0f}",
                    f"{values['measured'] / x.nbytes:.1f}",
                    duration(times[name]["p10"]),
                    three_digits(values["time ratio"]),
                    "" if compiled is None else f"{compiled['measured'] / x.nbytes:.1f}",
                ]
            )
        record["depths"][n] = found
    state = 8 * LARGE
    process = {}
    for name, memory in (("none", "none"), ("20 states", str(20 * state))):
        process[name] = fresh("memory_budget.py", "child", memory)["bytes"]
        rows.append(["60", f"process, {name}", "", f"{process[name] / state:.1f}", "", "", ""])
    record["process"] = {"state": state, "budget": 20 * state, "bytes": process}
    table = markdown(
        ["depth", "budget", "states", "states measured", "time", "time ratio", "compiled: states"],
        rows,
    )
    title = "Gradients within a memory budget"
    write("memory_budget", {"title": title, **record, "versions": versions()}, table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2])
    else:
        main()
