"""What `import wengert` costs beyond `import numpy`, in fresh processes.

    python benchmarks/import_time.py

NumPy is imported first, then the clock starts. All modules have their bytecode, as installed ones
do. Each round starts every process once.
"""

from __future__ import annotations

import random
import subprocess
import sys

from harness import QUICK, byte_compile, exists, summary, timing_table, write

MODULES = {
    "wengert": "wengert",
    "autograd": "autograd",
    "JAX": "jax",
    "PyTorch": "torch",
    "TensorFlow": "tensorflow",
    "PyTensor": "pytensor.tensor",
    "CasADi": "casadi",
    "nothing": "sys",
}
TEXT = "import time, numpy; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
#: What a program that only imports must not have loaded.
LAZY = ("llvmlite", "scipy", "matplotlib", "sklearn")


def seconds(module: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", TEXT.format(module)], capture_output=True, text=True, check=True
    )
    return float(done.stdout.strip().splitlines()[-1])


def loaded() -> list[str]:
    text = f"import sys, wengert; print(*[m for m in {LAZY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return done.stdout.split()


def main() -> None:
    modules = {name: m for name, m in MODULES.items() if exists(m.partition(".")[0])}
    samples: dict[str, list[float]] = {name: [] for name in modules}
    byte_compile()
    for module in modules.values():
        seconds(module)
    shuffle, order = random.Random(0), list(modules)
    for _ in range(2 if QUICK else 9):
        shuffle.shuffle(order)
        for name in order:
            samples[name].append(seconds(modules[name]))
    timings = {name: summary(found) for name, found in samples.items()}
    table = timing_table(timings)
    lazy = loaded()
    table += f"\n\nHeavy modules that `import wengert` loads: {', '.join(lazy) or 'none'}."
    write(
        "import_time",
        {"title": "Import beyond `import numpy`", "seconds": timings, "heavy_modules": lazy},
        table,
    )


if __name__ == "__main__":
    main()
