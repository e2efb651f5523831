"""Peak memory of training the 784-512-512-10 perceptron, in a fresh process for each system.

    python benchmarks/peak_memory.py

Resident bytes, as the kernel counts them: at the peak of the whole process, and above what was
resident after the imports and the making of the data, both with the first call (which compiles)
and over twenty more steps. The floor is the parameters, once: 2.7 MB. What a system keeps on disk
(kernels, generated code) is there beforehand, as for a user's second run. Modules that a system
loads when it first compiles (wengert: LLVM and SciPy) count as imports in the last three columns,
but not in the first.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from harness import FOLDER, QUICK, attempt, exists, fresh, markdown, three_digits, write

NAMES = (
    "wengert",
    "wengert, donating",
    "NumPy by hand",
    "JAX jit",
    "PyTorch eager",
    "tf.function",
    "PyTensor C",
    "PyTensor numba",
)
LATE = {"wengert": ("wengert.compiling", "wengert.codegen.compiler", "scipy.linalg.cython_blas")}


def status(field: str) -> int:
    """A field of the process's status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"this system does not tell {field}")


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def child(name: str) -> None:
    import models
    import peers

    module = peers.IMPORTS[name]
    importlib.import_module(module)
    for late in LATE.get(module, ()):
        importlib.import_module(late)
    data = models.mlp_data(models.LARGE, models.LARGE_BATCH)
    overall = status("VmHWM")
    base = status("VmRSS")
    forget_peak()
    step, _ = peers.MAKERS[name](*data)
    step()
    first = status("VmHWM")
    forget_peak()
    for _ in range(20):
        step()
    steady = status("VmHWM")
    print(
        json.dumps(
            {
                "process": max(overall, first, steady),
                "imports": base,
                "first call": first - base,
                "steps": steady - base,
            }
        )
    )


def main() -> None:
    from peers import IMPORTS

    runs: dict[str, list[dict[str, Any]]] = {}
    names = [name for name in NAMES if exists(IMPORTS[name].partition(".")[0])]
    for number in range(2 if QUICK else 3):
        for name in names:
            found: dict[str, Any] = {}
            attempt(found, name, lambda name=name: fresh("peak_memory.py", "--child", name))
            if name in found and number:  # the first one fills the caches
                runs.setdefault(name, []).append(found[name])
    median = {
        name: {key: sorted(r[key] for r in rs)[len(rs) // 2] for key in rs[0]}
        for name, rs in runs.items()
    }
    own = median["wengert"]["first call"]
    rows = [
        [
            name,
            three_digits(m["process"] / 1e6),
            three_digits(m["first call"] / 1e6),
            three_digits(m["steps"] / 1e6),
            three_digits(m["first call"] / own),
        ]
        for name, m in sorted(median.items(), key=lambda item: item[1]["first call"])
    ]
    table = markdown(
        [
            "",
            "whole process, MB",
            "above imports, first call, MB",
            "above imports, steps, MB",
            "first call / wengert's",
        ],
        rows,
    )
    write(
        "peak_memory",
        {"title": "Peak memory of the 784-512-512-10 step", "bytes": median, "runs": runs},
        table,
    )


if __name__ == "__main__":
    sys.path.insert(0, str(FOLDER))
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
    else:
        main()
