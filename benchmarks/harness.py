"""Timing contestants fairly on a noisy machine: interleaved rounds, medians, one run.

Every contestant's result is checked against the first one's before anything is timed. Each round
times every contestant once, in an order that changes from round to round, so that a slow moment of
the machine hits all of them alike. Before each timing the threads of the contestant before have
time to go to sleep, and its own caches and threads are made as warm as its user's would be.
"""

from __future__ import annotations

import compileall
import concurrent.futures
import functools
import importlib
import importlib.util
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
#: Set by `run_all.py --quick`: few rounds, to see whether everything works.
QUICK = bool(os.environ.get("WENGERT_BENCH_QUICK"))
#: Contestants that are a physical limit, not a program, have names that begin so.
FLOOR = "floor: "

Timings = dict[str, dict[str, float]]
#: A call without arguments; or a Timer, whose statement is run in place: for the shortest calls.
Contestant = Callable[[], Any] | timeit.Timer

#: Seconds before each timing. Idle threads look for work before they sleep, and take a core from
#: who comes next: those of NumPy's OpenBLAS for 2**28 cycles, a tenth of a second here.
PAUSE = 0.13
#: Where no contestant has such threads.
SHORT_PAUSE = 0.04

_left_out: dict[str, str] = {}


# ---------------------------------------------------------------- contestants


def installed(module: str) -> Any:
    """The module, or None where it is not installed or can't be imported."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        left_out(module, str(error))
        return None


def exists(module: str) -> bool:
    """Whether the module is installed, without importing it."""
    found = importlib.util.find_spec(module) is not None
    if not found:
        left_out(module, "not installed")
    return found


def left_out(name: str, reason: str) -> None:
    """Note a peer that can't take part; the table says so."""
    reason = reason.strip().splitlines()[0] if reason.strip() else "no reason given"
    _left_out[name] = reason
    print(f"{name}: left out ({reason})", file=sys.stderr)


def attempt(found: dict[str, Any], name: str, make: Callable[[], Any]) -> None:
    """Add a contestant; a peer that can't be made is left out, with the reason."""
    if name.startswith("wengert"):
        found[name] = make()
        return
    try:
        found[name] = make()
    except Exception as error:  # noqa: BLE001  peers fail in ways of their own
        left_out(name, f"{type(error).__name__}: {error}")


def agree(results: Mapping[str, Any], rtol: float, atol: float = 0.0) -> None:
    """Raise AssertionError unless all results equal the first to a tolerance."""
    first, *others = results.items()
    for name, found in others:
        for a, b in zip(first[1], found, strict=True):
            np.testing.assert_allclose(
                np.asarray(b), np.asarray(a), rtol=rtol, atol=atol, err_msg=f"{name} - {first[0]}"
            )


# ---------------------------------------------------------------- timing


def _timer(contestant: Contestant) -> timeit.Timer:
    if isinstance(contestant, timeit.Timer):
        return contestant
    return timeit.Timer(contestant, setup="import gc; gc.enable()")


def _calls_per_timing(timer: timeit.Timer, seconds: float) -> int:
    timer.timeit(2)
    count = 1
    while (taken := timer.timeit(count)) < seconds / 4:
        count = max(2 * count, int(count * seconds / 2 / (taken + 1e-9)))
    return max(1, int(count * seconds / taken))


def compare(
    contestants: Mapping[str, Contestant],
    *,
    rounds: int = 25,
    seconds: float = 0.02,
    pause: float = PAUSE,
) -> Timings:
    """Seconds per call of each contestant: median and 10th percentile over interleaved rounds."""
    if QUICK:
        rounds, seconds = 3, 0.002
    for name in contestants:
        if name.startswith("wengert"):
            importlib.import_module("wengert").finish_compiling()
    timers = {name: _timer(found) for name, found in contestants.items()}
    counts = {name: _calls_per_timing(timer, seconds) for name, timer in timers.items()}
    samples: dict[str, list[float]] = {name: [] for name in timers}
    order = list(timers)
    shuffle = random.Random(0)
    for _ in range(rounds):
        shuffle.shuffle(order)
        for name in order:
            time.sleep(pause)
            timers[name].timeit(1 + counts[name] // 10)
            samples[name].append(timers[name].timeit(counts[name]) / counts[name])
    return {name: summary(found) for name, found in samples.items()}


def summary(samples: Sequence[float]) -> dict[str, float]:
    """Median and 10th percentile."""
    return {"median": statistics.median(samples), "p10": float(np.quantile(samples, 0.1))}


# ---------------------------------------------------------------- floors


def copying(
    source: np.ndarray[Any, Any], target: np.ndarray[Any, Any], threads: int = 1
) -> Callable[[], None]:
    """Copy one array into another, in parts on several threads: what moving the bytes costs."""
    if threads == 1:
        return functools.partial(np.copyto, target, source)
    pool = concurrent.futures.ThreadPoolExecutor(threads)
    parts = list(
        zip(
            np.array_split(target.reshape(-1), threads),
            np.array_split(source.reshape(-1), threads),
            strict=True,
        )
    )

    def copy() -> None:
        for future in [pool.submit(np.copyto, t, s) for t, s in parts]:
            future.result()

    return copy


def sgemm_peak(n: int = 1024, rounds: int = 15) -> float:
    """The best flop per second of a float32 matrix product, in NumPy's BLAS and in SciPy's."""
    from scipy.linalg import blas

    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, n, n), np.float32)
    c = np.empty_like(a)
    best = float("inf")
    for _ in range(3 if QUICK else rounds):
        for product in (
            lambda: np.matmul(a, b, out=c),
            lambda: blas.sgemm(1.0, b.T, a.T, c=c.T, overwrite_c=1),
        ):
            start = time.perf_counter()
            product()
            best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best


def as_floor(seconds: float) -> dict[str, float]:
    """A computed floor in the form of a measured one."""
    return {"median": seconds, "p10": seconds}


# ---------------------------------------------------------------- fresh processes


@functools.cache
def byte_compile() -> None:
    """Write Python's bytecode of wengert, as installing a package does (the peers are installed).

    A checkout has none where the environment forbids Python to write it.
    """
    found = importlib.util.find_spec("wengert")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        compileall.compile_dir(folder, quiet=2)


def fresh(program: str, *args: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run a program of this folder in a process of its own; the JSON of its last line.

    Raises RuntimeError with the program's last words if it fails.
    """
    byte_compile()
    done = subprocess.run(
        [sys.executable, str(FOLDER / program), *args],
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        check=False,
        timeout=300,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RuntimeError(lines[-1])
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


# ---------------------------------------------------------------- results


def versions(*modules: str) -> dict[str, str]:
    """What was measured: Python, processor, and the versions of the modules that are loaded."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("numpy", *modules):
        if name in sys.modules:
            found[name] = str(getattr(sys.modules[name], "__version__", "?"))
    return found


_UNITS = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))


def duration(seconds: float) -> str:
    """A time in three digits and a fitting unit."""
    unit, scale = next(((u, s) for u, s in _UNITS if seconds >= s), _UNITS[-1])
    return f"{three_digits(seconds / scale)} {unit}"


def three_digits(number: float) -> str:
    """A number in three significant digits, without an exponent."""
    if number == int(number) and abs(number) < 1000:
        return str(int(number))
    digits = max(0, 2 - int(np.floor(np.log10(abs(number)))))
    return f"{number:.{digits}f}"


def timing_table(timings: Timings, own: str = "wengert") -> str:
    """Contestants from fast to slow, with floors below them."""
    base = timings[own]["median"]
    ranked = sorted(timings.items(), key=lambda item: item[1]["median"])
    ordered = [r for r in ranked if not r[0].startswith(FLOOR)]
    ordered += [r for r in ranked if r[0].startswith(FLOOR)]
    rows = [
        [
            f"**{name}**" if name == own else name,
            duration(t["median"]),
            duration(t["p10"]),
            three_digits(t["median"] / base),
        ]
        for name, t in ordered
    ]
    return markdown(["", "median", "10th percentile", f"time / {own}'s"], rows)


def markdown(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    header = list(header)
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def write(name: str, record: Mapping[str, Any], table: str) -> None:
    """Write `results/NAME.json` and `results/NAME.md`, and print the table.

    In a quick run, whose numbers mean nothing, it only prints.
    """
    if _left_out:
        record = {**record, "left out": dict(_left_out)}
        reasons = "; ".join(f"{name} ({reason})" for name, reason in _left_out.items())
        table += f"\n\nLeft out: {reasons}."
    if not QUICK:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
        (RESULTS / f"{name}.md").write_text(table + "\n")
    print(table)
