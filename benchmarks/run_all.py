"""Run the benchmarks one after another, each in a process of its own, and gather their tables.

    python benchmarks/run_all.py            # all of them, about ten minutes
    python benchmarks/run_all.py gelu       # some of them; the other tables stay as they are
    python benchmarks/run_all.py --quick    # few rounds: whether they work; writes nothing

The tables are gathered in `results/README.md`, with what is needed to judge them: the machine, the
versions, the load at the start, and the floor beside the numbers.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from harness import FOLDER, RESULTS
from reach import table as reach_table

#: In the order of the tables. The first line of each program's docstring says what it measures.
PROGRAMS = (
    "logistic",
    "gelu",
    "random_numbers",
    "norm_cross_entropy",
    "mlp_large",
    "mlp_small",
    "first_call",
    "new_size",
    "import_time",
    "peak_memory",
    "memory_budget",
    "gradient_ratio",
    "elimination",
    "recording",
    "tree_lstm",
    "sequence_lstm",
    "bilstm_tagger",
    "transition",
    "many_structures",
    "products",
    "vector_math",
    "explain_page",
)
PACKAGES = (
    "numpy",
    "scipy",
    "llvmlite",
    "torch",
    "jax",
    "jaxlib",
    "tensorflow-cpu",
    "pytensor",
    "numba",
    "casadi",
    "autograd",
    "dynet38",
)
#: Vector instructions that tell classes of processors apart.
FLAGS = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_bf16", "asimd", "sve")


_HOW = """Every ratio comes from one interleaved run on one machine: each round times every
contestant once, in changing order. Medians; the 10th percentile is what a quiet machine gives.
Results are checked to agree before they are timed. A *floor* is what the bytes, the operations or
the calls alone would cost, measured in the same run."""
_REPEAT = """Repeat with `make bench`, or one table with `python benchmarks/NAME.py` in the
environment that `make bench` sets up."""


def environment(quick: bool) -> dict[str, str]:
    """Every system decides for itself how many threads it takes."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.endswith("_NUM_THREADS") and name != "WENGERT_BENCH_QUICK"
    }
    kept["TF_CPP_MIN_LOG_LEVEL"] = "3"
    return kept | ({"WENGERT_BENCH_QUICK": "1"} if quick else {})


def machine() -> list[str]:
    """The facts that decide about speed; nothing that names the machine."""
    facts = [f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"]
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return facts
    fields = dict(
        [part.strip() for part in line.split(":", 1)] for line in text.splitlines() if ":" in line
    )
    flags = fields.get("flags", fields.get("Features", "")).split()
    facts.append(
        f"processor: {fields.get('model name', 'unknown')}, "
        f"{', '.join(f for f in FLAGS if f in flags)}"
    )
    return facts


def package_versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def load() -> str:
    return ", ".join(f"{x:.2f}" for x in os.getloadavg())


def run(name: str, quick: bool) -> tuple[bool, dict[str, str]]:
    """Run one program; whether it succeeded, and when and under which load it began."""
    facts = {"load at its start": load(), "at": time.strftime("%Y-%m-%d %H:%M", time.gmtime())}
    print(f"\n== {name} (load {facts['load at its start']})", flush=True)
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py")], env=environment(quick), check=False
    )
    facts["seconds"] = f"{time.perf_counter() - start:.0f}"
    print(f"== {name}: {facts['seconds']} s, {'ok' if done.returncode == 0 else 'FAILED'}")
    if done.returncode:
        facts["failed"] = f"exit status {done.returncode}"
    return done.returncode == 0, facts


def summary_of(name: str) -> str:
    """The first paragraph of a program's docstring."""
    text = (FOLDER / f"{name}.py").read_text().split('"""')[1]
    return " ".join(text.split("\n\n")[0].split())


def gather(runs: dict[str, dict[str, str]]) -> None:
    """Write `results/README.md` from the tables that exist."""
    parts = [
        "# Measured",
        _HOW,
        "\n".join(f"- {fact}" for fact in [*machine(), package_versions()]),
        _REPEAT,
        "## What was to be reached",
        reach_table(),
    ]
    for name in PROGRAMS:
        table = RESULTS / f"{name}.md"
        if not table.exists():
            continue
        facts = runs.get(name, {})
        how = f"`python benchmarks/{name}.py`"
        if facts:
            how += f", {facts['at']} UTC, load average at its start {facts['load at its start']}"
        if "failed" in facts:
            how += f"; it failed ({facts['failed']})"
        parts += [f"## {name}", summary_of(name), table.read_text().strip(), f"_{how}_"]
    (RESULTS / "README.md").write_text("\n\n".join(parts) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(PROGRAMS)}")
    parser.add_argument("--quick", action="store_true", help="few rounds; write nothing")
    arguments = parser.parse_args()
    names = arguments.names or list(PROGRAMS)
    if unknown := set(names) - set(PROGRAMS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    kept = RESULTS / "runs.json"
    runs = json.loads(kept.read_text()) if kept.exists() else {}
    failed = []
    for name in names:
        succeeded, facts = run(name, arguments.quick)
        if not succeeded:
            failed.append(name)
        if not arguments.quick:
            RESULTS.mkdir(exist_ok=True)
            runs[name] = facts
            kept.write_text(json.dumps(runs, indent=2) + "\n")
            gather(runs)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
