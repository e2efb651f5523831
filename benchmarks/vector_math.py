"""The vector math against NumPy's functions: nanoseconds per element, by function and width.

    python benchmarks/vector_math.py

One core, arrays that stay in the nearest cache, both called without allocating. NumPy chooses its
own instructions (AVX-512 where the processor has it); ours are measured at both widths.
"""

from __future__ import annotations

import harness
import numpy as np

from wengert.codegen import math_jit
from wengert.codegen.supported import INTERPRETED
from wengert.ops import TABLE

SIZE = 4096
DOMAINS = {
    "log": (0.1, 9.0),
    "log2": (0.1, 9.0),
    "log10": (0.1, 9.0),
    "log1p": (-0.9, 9.0),
    "sqrt": (0.1, 9.0),
    "arcsin": (-1.0, 1.0),
    "arccos": (-1.0, 1.0),
    "arctanh": (-0.99, 0.99),
    "arccosh": (1.0, 9.0),
    "power": (0.1, 9.0),
    "gcd": (1, 99),
    "lcm": (1, 99),
}
#: Of integers alone (`benchmarks/random_numbers.py` times them).
_INTEGER = frozenset({"threefry", "unit_float"})
#: Memory moves or one instruction each: what is measured is the loop, once, as "positive".
_TRIVIAL = frozenset(
    {
        "stop_gradient",
        "where",
        "cast",
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "invert",
        "left_shift",
        "right_shift",
        "gcd",
        "lcm",
        "integer_power",
        "radians",
        "degrees",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "logical_and",
        "logical_or",
        "logical_xor",
        "logical_not",
        "isinf",
        "isfinite",
        "signbit",
        "ceil",
        "trunc",
        "rint",
        "subtract",
        "negative",
        "minimum",
        "fmin",
        "copysign",
        "ldexp",
    }
)


def ours(name, operands, result, lanes):
    function = math_jit.compiled(name, [x.dtype for x in operands], result.dtype, {}, lanes)
    addresses = [x.ctypes.data for x in (*operands, result)]
    native = function.native

    def call(keep=function):
        native(*addresses, SIZE)
        return result

    return call


def contestants(name, dtype):
    op = TABLE[name]
    rng = np.random.default_rng(0)
    low, high = DOMAINS.get(name, (-9.0, 9.0))
    operands = [rng.uniform(low, high, SIZE).astype(dtype) for _ in range(op.arity)]
    with np.errstate(all="ignore"):
        result = op.evaluate(*operands)
    width = np.dtype(dtype).itemsize

    def numpy():
        if isinstance(op.evaluate, np.ufunc):
            return op.evaluate(*operands, out=result)
        return op.evaluate(*operands)

    found = {"numpy": numpy}
    for size in (256, 512):
        found[f"{size} bits"] = ours(name, operands, np.empty_like(result), size // 8 // width)
    return found


def main():
    emitted = [
        name
        for name, op in TABLE.items()
        if op.family == "elementwise" and name not in {*INTERPRETED, *_TRIVIAL, *_INTEGER}
    ]
    rows, record = [], {}
    for name in sorted(emitted):
        for dtype in ("f4", "f8"):
            calls = contestants(name, dtype)
            with np.errstate(all="ignore"):
                harness.agree(
                    {k: [np.asarray(c())] for k, c in calls.items()},
                    1e-5 if dtype == "f4" else 1e-12,
                )
                timings = harness.compare(
                    calls, rounds=21, seconds=0.002, pause=harness.SHORT_PAUSE
                )
            each = {k: t["median"] / SIZE * 1e9 for k, t in timings.items()}
            best = {k: t["p10"] / SIZE * 1e9 for k, t in timings.items()}
            record[f"{name} {dtype}"] = {"median": each, "p10": best}
            rows.append(
                [
                    name,
                    f"f{8 * np.dtype(dtype).itemsize}",
                    *(f"{each[k]:.2f} ({best[k]:.2f})" for k in calls),
                    f"{best['numpy'] / best['256 bits']:.1f}",
                ]
            )
    table = (
        "Nanoseconds per element: median (10th percentile). The ratio is of the 10th percentiles,\n"
        "which other programs on the machine disturb least.\n\n"
        + harness.markdown(
            [
                "function",
                "dtype",
                "numpy",
                "ours, 256 bits",
                "ours, 512 bits",
                "numpy / ours, 256 bits",
            ],
            rows,
        )
    )
    harness.write(
        "vector_math",
        {"versions": harness.versions("scipy", "llvmlite"), "nanoseconds": record},
        table,
    )


if __name__ == "__main__":
    main()
