"""Ten thousand distinct structures in a row: does memory stay bounded, does compiling stop?

    python benchmarks/many_structures.py

Each structure is another pair of random trees of 3 to 8 leaves; value and gradient of a small
Tree-LSTM with a compiled cell, and each tenth time with a plain one. Told after each tenth:
resident memory, the kernels compiled so far, and the time of a call. The first tenth fills the
caches; what comes after it may not add kernels, nor more memory than ASKED_MB.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import trees
from harness import QUICK, duration, markdown, versions, write

from wengert.codegen.engine import statistics

STRUCTURES = 100 if QUICK else 10_000
SIZE = 8
ASKED_MB = 50.0


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def shape(tree: object) -> str:
    """The structure of a tree, its words left out."""
    return "." if isinstance(tree, int) else f"({shape(tree[0])}{shape(tree[1])})"


def distinct(rng: np.random.Generator) -> object:
    """A function that gives a minibatch of a structure that it has not given before."""
    seen: set[str] = set()

    def make() -> trees.Minibatch:
        while True:
            pair = [trees.random_tree(int(rng.integers(3, 9)), rng) for _ in range(2)]
            key = " ".join(map(shape, pair))
            if key not in seen:
                seen.add(key)
                return [(tree, int(rng.integers(trees.CLASSES))) for tree in pair]

    return make


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        # Kernels that an earlier process left on disk would hide that one is needed.
        os.environ["WENGERT_CACHE"] = folder
        measure()


def measure() -> None:
    trees.SIZE = SIZE
    params = trees.parameters(SIZE)
    steps = [trees.wengert(params, compiled) for compiled in (True, False)]
    make = distinct(np.random.default_rng(0))
    rows, memory, compiled = [], [], []
    for part in range(10):
        batches = [make() for _ in range(STRUCTURES // 10)]
        start = time.perf_counter()
        for number, batch in enumerate(batches):
            steps[int(number % 10 == 0)](batch)
        taken = (time.perf_counter() - start) / len(batches)
        memory.append(resident_mb())
        compiled.append(statistics["compiled"])
        rows.append(
            [
                str((part + 1) * len(batches)),
                f"{memory[-1]:.0f} MB",
                str(compiled[-1]),
                duration(taken),
            ]
        )
    write(
        "many_structures",
        {
            "title": "Distinct structures in a row",
            "structures": STRUCTURES,
            "resident_mb": memory,
            "kernels_compiled": compiled,
            "grown_mb": memory[-1] - memory[0],
            "asked_mb": ASKED_MB,
            "late_kernels": compiled[-1] - compiled[0],
            "versions": versions(),
        },
        markdown(["structures so far", "resident", "kernels compiled", "a call"], rows),
    )


if __name__ == "__main__":
    main()
