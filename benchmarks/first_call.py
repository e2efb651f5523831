"""The first call of the 784-512-512-10 step, in a fresh process each time.

    python benchmarks/first_call.py

Seconds from the end of the imports to the first result: trace, differentiate, optimise, compile,
run; the imports apart. Cold: no kernel of wengert's, no generated code of PyTensor's or PyTorch's
exists on disk. Warm: a process before did the same. What a system loads only when it is needed
(wengert: LLVM and SciPy) counts as first call. wengert's cold first calls run code that is
optimised meanwhile; how long that takes stands below the table.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import time
from typing import Any

from harness import FOLDER, QUICK, attempt, exists, fresh, markdown, summary, three_digits, write

#: Processes per contestant: what takes half a minute is not repeated.
ROUNDS = {
    "wengert": 7,
    "JAX jit": 4,
    "tf.function": 3,
    "PyTorch eager": 2,
    "torch.compile": 1,
    "PyTensor C": 1,
    "PyTensor numba": 1,
}


def child(name: str) -> None:
    import models
    import numpy as np
    import peers

    data = models.mlp_data(models.LARGE, models.LARGE_BATCH)
    start = time.perf_counter()
    importlib.import_module(peers.IMPORTS[name])
    imported = time.perf_counter()
    step, state = peers.MAKERS[name](*data)
    step()
    found = {"import": imported - start, "first call": time.perf_counter() - imported}
    start = time.perf_counter()
    step()
    found["second call"] = time.perf_counter() - start
    # Adding doubles in one order: the same parameters give the same number, to rounding.
    found["checksum"] = float(sum(np.sum(np.abs(p), dtype=np.float64) for p in state()))
    if name == "wengert":
        from wengert import finish_compiling
        from wengert.codegen.engine import statistics

        finish_compiling()
        found["optimised"] = time.perf_counter() - imported
        found["kernels compiled"] = statistics["compiled"]
        found["seconds in LLVM"] = statistics["seconds"]
    print(json.dumps(found))


def caches(folder: str) -> dict[str, str]:
    """The environment in which every system keeps its generated code in one folder."""
    return {
        "WENGERT_CACHE": os.path.join(folder, "wengert"),
        "PYTENSOR_FLAGS": f"base_compiledir={os.path.join(folder, 'pytensor')}",
        "TORCHINDUCTOR_CACHE_DIR": os.path.join(folder, "inductor"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def run(name: str, folder: str) -> dict[str, Any]:
    return fresh("first_call.py", "--child", name, env=caches(folder))


def main() -> None:
    from peers import IMPORTS

    names = [name for name in ROUNDS if exists(IMPORTS[name].partition(".")[0])]
    samples: dict[str, list[dict[str, Any]]] = {}
    warm = "wengert, disk cache warm"
    with tempfile.TemporaryDirectory() as folder:
        run("wengert", folder)  # so that the system has read the files
    for number in range(1 if QUICK else max(ROUNDS.values())):
        for name in names:
            if number >= ROUNDS[name]:
                continue
            with tempfile.TemporaryDirectory() as folder:
                found: dict[str, Any] = {}
                attempt(found, name, lambda name=name, folder=folder: run(name, folder))
                if name in found:
                    samples.setdefault(name, []).append(found[name])
                if name == "wengert":
                    again = run(name, folder)
                    assert again["kernels compiled"] == 0, "the warm process compiled kernels"
                    samples.setdefault(warm, []).append(again)
    checks = {name: runs[0]["checksum"] for name, runs in samples.items()}
    assert max(checks.values()) - min(checks.values()) < 1e-5 * max(checks.values()), checks
    keys = ("first call", "import", "second call")
    timings = {
        key: {name: summary([r[key] for r in runs]) for name, runs in samples.items()}
        for key in keys
    }
    own = timings["first call"]["wengert"]["median"]
    rows = [
        [
            name,
            str(len(samples[name])),
            three_digits(t["median"]),
            three_digits(t["p10"]),
            three_digits(t["median"] / own),
            three_digits(timings["import"][name]["median"]),
        ]
        for name, t in sorted(timings["first call"].items(), key=lambda item: item[1]["median"])
    ]
    table = markdown(
        [
            "",
            "processes",
            "first call, s: median",
            "10th percentile",
            "time / wengert's",
            "import, s",
        ],
        rows,
    )
    kernels = samples["wengert"][0]
    table += (
        f"\n\nOf wengert's cold first call LLVM takes {kernels['seconds in LLVM']:.2f} s, for "
        f"{kernels['kernels compiled']} kernels; {kernels['optimised']:.2f} s after its beginning "
        "all code is optimised."
    )
    write(
        "first_call",
        {
            "title": "First call of the 784-512-512-10 step, fresh processes",
            "seconds": timings,
            "runs": samples,
        },
        table,
    )


if __name__ == "__main__":
    sys.path.insert(0, str(FOLDER))
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
    else:
        main()
