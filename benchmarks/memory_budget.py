"""Gradients within a memory budget: time over memory, for deep chains of equal layers.

    python benchmarks/memory_budget.py

A layer is tanh(x @ w). Budgets are numbers of states: all, about 3 sqrt(n), and about 3 log2(n).
The peak that NumPy allocated (tracemalloc), and the time beside the ordinary gradient, interpreted;
the arena and results of the compiled gradient; the time to plan a program of 10,000 operations; and
for one budget the resident bytes of a fresh
process above those before the derivative, as the kernel counts them.
"""

from __future__ import annotations

import json
import math
import random
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
from harness import QUICK, compare, duration, fresh, markdown, three_digits, versions, write

import wengert as wg
from wengert.transform.inline import runners
from wengert.transform.memory.planner import plan
from wengert.transform.memory.problem import Problem, profile

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


def reversal(steps: int) -> Problem:
    """A long program and its way back: a fifth of the steps read an earlier value too."""
    draw = random.Random(0)
    parents = [
        {i - 1, max(0, i - draw.choice([2, 5, 20, 200]))} if draw.random() < 0.2 else {i - 1}
        for i in range(1, steps)
    ]
    reads: list[tuple[int, ...]] = [(), *(tuple(sorted(p)) for p in parents)]
    readers: list[list[int]] = [[] for _ in range(steps)]
    for i, values in enumerate(reads):
        for value in values:
            readers[value].append(i)
    for i in range(steps - 1, -1, -1):
        # The cotangent of a step reads its operands, and the cotangents of what reads it.
        back = [2 * steps - 1 - j for j in readers[i]] or [steps - 1]
        reads.append(tuple(dict.fromkeys([*reads[i], *back])))
    count = len(reads)
    size = [draw.choice([1, 2, 4]) for _ in range(steps)]
    cost = [float(draw.choice([1, 3, 10])) for _ in range(steps)]
    return Problem(
        reads,
        [(i,) for i in range(count)],
        list(range(count)),
        [*size, *reversed(size)],
        [*cost, *(2 * c for c in reversed(cost))],
        [0] * count,
        frozenset([count - 1]),
    )


def planning(operations: int) -> dict[str, Any]:
    """Seconds to plan a program, for several shares of the memory that it takes."""
    problem = reversal(operations // 2)
    peak = int(profile(problem, problem.order).max())
    found = {}
    for share in (0.4, 0.2, 0.1):
        budget = int(share * peak)
        seconds = []
        for _ in range(1 if QUICK else 3):
            begin = time.perf_counter()
            made = plan(problem, budget)
            seconds.append(time.perf_counter() - begin)
        assert made is not None
        found[str(share)] = {"seconds": min(seconds), "work": made.work / made.ordinary_work}
    return found


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
    record["planning"] = {"operations": 10_000, "shares": planning(10_000)}
    for share, values in record["planning"]["shares"].items():
        what = f"planning, {share} of the memory"
        rows.append(["10,000", what, "", "", duration(values["seconds"]), "", ""])
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
