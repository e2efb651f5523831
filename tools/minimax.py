"""Derive the polynomial coefficients of wengert's vector math, with mpmath.

Each fit is a minimax problem: find the polynomial P that makes the greatest relative error of a
whole function as small as possible, where the function is `base + factor * P(t)`. The exchange
algorithm of E. Ya. Remez ("Sur la détermination des polynômes d'approximation de degré donnée",
1934) finds it; the coefficients are rounded one at a time, lowest first, and the rest is fitted
again each time, so that later coefficients make up for the rounding of earlier ones.

    python tools/minimax.py            # print the errors
    python tools/minimax.py --write    # and write src/wengert/codegen/math_coefficients.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np

mp.mp.dps = 60
TARGET = Path(__file__).parents[1] / "src" / "wengert" / "codegen" / "math_coefficients.py"
Function = Callable[[Any], Any]


@dataclass
class Fit:
    """P of degree `count - 1` for `wanted(t) = P(t)` on `interval`, errors weighted by `weight`."""

    wanted: Function
    weight: Function
    interval: tuple[Any, Any]
    count: dict[str, int]


def _solve(fit: Fit, lowest: list[Any], points: list[Any]) -> list[Any]:
    """Coefficients above `lowest`, and the levelled error, at the reference points."""
    n, known = len(points) - 1, len(lowest)
    a, b = mp.matrix(n + 1, n + 1), mp.matrix(n + 1, 1)
    for i, t in enumerate(points):
        w = fit.weight(t)
        for j in range(n):
            a[i, j] = w * t ** (known + j)
        a[i, n] = (-1) ** i
        b[i] = w * (fit.wanted(t) - mp.polyval(lowest[::-1], t) if lowest else fit.wanted(t))
    return list(mp.lu_solve(a, b))


def remez(fit: Fit, lowest: list[Any], count: int) -> tuple[list[Any], Any]:
    """All coefficients, lowest first, of which `lowest` are given, and the greatest error."""
    lo, hi = mp.mpf(fit.interval[0]), mp.mpf(fit.interval[1])
    n = count - len(lowest)
    half, middle = (hi - lo) / 2, (hi + lo) / 2
    points = [middle - half * mp.cos(mp.pi * (i + mp.mpf("0.5")) / (n + 1)) for i in range(n + 1)]
    grid = [middle - half * mp.cos(mp.pi * (i + mp.mpf("0.5")) / (16 * n)) for i in range(16 * n)]
    values = [(t, fit.wanted(t), fit.weight(t)) for t in grid]
    worst = mp.inf
    coefficients = lowest
    for _ in range(12):
        coefficients = lowest + _solve(fit, lowest, points)[:-1]
        high_first = coefficients[::-1]
        errors = [w * (f - mp.polyval(high_first, t)) for t, f, w in values]
        worst = max(abs(e) for e in errors)
        # One extremum per run of equal sign; the runs of greatest error where there are too many.
        runs: list[list[int]] = []
        for i, e in enumerate(errors):
            if runs and (errors[runs[-1][0]] > 0) == (e > 0):
                runs[-1].append(i)
            else:
                runs.append([i])
        tops = [max(run, key=lambda i: abs(errors[i])) for run in runs]
        while len(tops) > n + 1:
            tops.pop(0 if abs(errors[tops[0]]) < abs(errors[tops[-1]]) else -1)
        if len(tops) < n + 1:
            break
        points = [grid[i] for i in tops]
        if worst < min(abs(errors[i]) for i in tops) * mp.mpf("1.01"):
            break
    return coefficients, worst


def _worst(fit: Fit, coefficients: list[Any]) -> Any:
    lo, hi = map(mp.mpf, fit.interval)
    high_first = [mp.mpf(c) for c in coefficients[::-1]]
    grid = [lo + (hi - lo) * (i + mp.mpf("0.5")) / 500 for i in range(500)]
    return max(abs(fit.weight(t) * (fit.wanted(t) - mp.polyval(high_first, t))) for t in grid)


def rounded(fit: Fit, dtype: str) -> tuple[list[float], float]:
    """Coefficients representable in the dtype, lowest first, and the greatest weighted error."""
    kind = np.float32 if dtype == "f32" else np.float64
    count = fit.count[dtype]

    def nearest(c: Any) -> float:
        return float(kind(float(c)))

    first, _ = remez(fit, [], count)
    at_once = [nearest(c) for c in first]
    one_by_one: list[float] = [at_once[0]]
    # Where t = 0 is inside, the powers above the rounded ones all vanish there and no exchange
    # works; rounding all of them at once is then nearly as good.
    if fit.interval[0] * fit.interval[1] >= 0:
        while len(one_by_one) < count:
            known = [mp.mpf(c) for c in one_by_one]
            one_by_one.append(nearest(remez(fit, known, count)[0][len(known)]))
    else:
        one_by_one = at_once
    best = min(at_once, one_by_one, key=lambda c: _worst(fit, c))
    return best, float(_worst(fit, best))


def _erfcx(x: Any) -> Any:
    return mp.erfc(x) * mp.exp(x * x)


LN2_HALF = mp.log(2) / 2 * mp.mpf("1.001")
QUARTER = (mp.pi / 4 * mp.mpf("1.01")) ** 2
LOG_Z = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mp.mpf("1.001")


def _log_tail(z: Any) -> Any:
    # log((1+s)/(1-s)) = 2 s + s z P(z), z = s**2
    if z < mp.mpf("1e-25"):
        return mp.mpf(2) / 3 + 2 * z / 5
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) - 2 * s) / (s * z)


def _log_third_on(z: Any) -> Any:
    # log((1+s)/(1-s)) = 2 s (1 + z/3 + z**2 P(z)), z = s**2
    if z < mp.mpf("1e-10"):
        return mp.mpf(1) / 5 + z / 7 + z * z / 9
    s = mp.sqrt(z)
    return (mp.atanh(s) / s - 1 - z / 3) / z**2


def _odd(function: Function) -> Function:
    """P of function(x) = x + x z P(z), z = x**2."""
    return lambda z: (function(mp.sqrt(z)) / mp.sqrt(z) - 1) / z


def _odd_weight(function: Function) -> Function:
    return lambda z: z * mp.sqrt(z) / function(mp.sqrt(z))


def _erfcx_of(t: Any) -> Any:
    x = ERFCX_MIDDLE * (1 + t) / (1 - t)
    return (1 + 2 * x) * _erfcx(x)


ERFCX_MIDDLE = mp.mpf(4)
SMALL = mp.mpf("1e-20")
FITS: dict[str, Fit] = {
    # exp(r) = 1 + r + r**2 P(r)
    "EXP": Fit(
        lambda r: (mp.exp(r) - 1 - r) / r**2,
        lambda r: r**2 / mp.exp(r),
        (-LN2_HALF, LN2_HALF),
        {"f32": 5, "f64": 10},
    ),
    # expm1(r) = r + r**2 P(r)
    "EXPM1": Fit(
        lambda r: (mp.expm1(r) - r) / r**2,
        lambda r: abs(r**2 / mp.expm1(r)),
        (-LN2_HALF, LN2_HALF),
        {"f32": 6, "f64": 11},
    ),
    # 2**r = 1 + r P(r)
    "EXP2": Fit(
        lambda r: mp.expm1(r * mp.log(2)) / r,
        lambda r: abs(r) / mp.exp(r * mp.log(2)),
        (-0.5, 0.5),
        {"f32": 6, "f64": 11},
    ),
    # log((1+s)/(1-s)) = 2 s + s z P(z), z = s**2
    "LOG": Fit(
        _log_tail,
        lambda z: mp.sqrt(z) * z / (2 * mp.atanh(mp.sqrt(z))),
        (mp.mpf("1e-20"), LOG_Z),
        {"f32": 3, "f64": 7},
    ),
    # cosh(r) = 1 + z P(z), z = r**2
    "COSH": Fit(
        lambda z: (mp.cosh(mp.sqrt(z)) - 1) / z,
        lambda z: z / mp.cosh(mp.sqrt(z)),
        (mp.mpf("1e-12"), LN2_HALF**2),
        {"f32": 3, "f64": 5},
    ),
    # sinh(r) = r + r z P(z), z = r**2
    "SINH": Fit(
        lambda z: (mp.sinh(mp.sqrt(z)) - mp.sqrt(z)) / (z * mp.sqrt(z)),
        lambda z: z * mp.sqrt(z) / mp.sinh(mp.sqrt(z)),
        (mp.mpf("1e-20"), LN2_HALF**2),
        {"f32": 2, "f64": 5},
    ),
    # sin(r) = r + r z P(z), z = r**2
    "SIN": Fit(
        lambda z: (mp.sin(mp.sqrt(z)) - mp.sqrt(z)) / (z * mp.sqrt(z)),
        lambda z: z * mp.sqrt(z) / mp.sin(mp.sqrt(z)),
        (mp.mpf("1e-20"), QUARTER),
        {"f32": 3, "f64": 6},
    ),
    # cos(r) = 1 - z / 2 + z**2 P(z), z = r**2
    "COS": Fit(
        lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2,
        lambda z: z**2 / mp.cos(mp.sqrt(z)),
        (mp.mpf("1e-12"), QUARTER),
        {"f32": 3, "f64": 6},
    ),
    # log((1+s)/(1-s)) = 2 s (1 + z/3 + z**2 P(z)), z = s**2
    "LOG_LONG": Fit(
        _log_third_on,
        lambda z: z**2,
        (mp.mpf("1e-9"), LOG_Z),
        {"f64": 10},
    ),
    # As LOG and EXP2, for float32 results by way of float64.
    "LOG_SHORT": Fit(
        _log_tail,
        lambda z: mp.sqrt(z) * z / (2 * mp.atanh(mp.sqrt(z))),
        (SMALL, LOG_Z),
        {"f64": 4},
    ),
    "EXP2_SHORT": Fit(
        lambda r: mp.expm1(r * mp.log(2)) / r,
        lambda r: abs(r) / mp.exp(r * mp.log(2)),
        (-0.5, 0.5),
        {"f64": 7},
    ),
    # m**(-1/3) = P(m)
    "CBRT": Fit(
        lambda m: m ** (-mp.mpf(1) / 3),
        lambda m: m ** (mp.mpf(1) / 3),
        (mp.sqrt(mp.mpf(1) / 2), mp.sqrt(2)),
        {"f32": 5, "f64": 6},
    ),
    # tan(h) = h + h z P(z), z = h**2
    "TAN": Fit(
        _odd(mp.tan),
        _odd_weight(mp.tan),
        (SMALL, QUARTER / 4),
        {"f32": 4, "f64": 9},
    ),
    # arctan(t) = t + t z P(z), z = t**2
    "ATAN": Fit(_odd(mp.atan), _odd_weight(mp.atan), (SMALL, 1), {"f32": 9, "f64": 20}),
    # arcsin(t) = t + t z P(z), z = t**2
    "ASIN": Fit(_odd(mp.asin), _odd_weight(mp.asin), (SMALL, 0.25), {"f32": 5, "f64": 12}),
    # erf(x) = x + x P(z), z = x**2
    "ERF": Fit(
        lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1,
        lambda z: mp.sqrt(z) / mp.erf(mp.sqrt(z)),
        (SMALL, 1),
        {"f32": 7, "f64": 12},
    ),
    # log(erfc(x)) = P(x - 1)
    "ERFC_LOG": Fit(
        lambda x: mp.log(mp.erfc(1 + x)),
        lambda x: mp.erfc(1 + x) / mp.erf(1 + x),
        (0, 5),
        {"f32": 7, "f64": 18},
    ),
    # (1 + 2 x) exp(x**2) erfc(x) = P(t), t = (x - 4) / (x + 4)
    "ERFCX": Fit(
        _erfcx_of,
        lambda t: 1 / _erfcx_of(t),
        (-1, (mp.mpf(28) - ERFCX_MIDDLE) / (28 + ERFCX_MIDDLE)),
        {"f32": 12, "f64": 24},
    ),
}


def two_over_pi(words: int) -> list[int]:
    """The bits of 2/pi after 64 zeros, as 64-bit words."""
    with mp.workprec(64 * words + 64):
        value = int(mp.floor(2 / mp.pi * mp.mpf(2) ** (64 * (words - 1))))
    return [(value >> (64 * (words - 1 - i))) & (2**64 - 1) for i in range(words)]


HEADER = '''"""Polynomial coefficients of the vector math, lowest first, from tools/minimax.py.

Each entry: the form that the polynomial P completes, and per dtype the coefficients with the
greatest relative error of the form in exact arithmetic.
"""

'''


def main() -> None:
    """Print the errors of all fits; write the module where asked to."""
    lines = [HEADER]
    for name, fit in FITS.items():
        for dtype in ("f32", "f64"):
            if dtype not in fit.count:
                continue
            found, worst = rounded(fit, dtype)
            bits = float(mp.log(worst, 2))
            print(f"{name}_{dtype}: {len(found)} coefficients, error 2**{bits:.1f}", flush=True)
            lines.append(f"# {name} {dtype}: error 2**{bits:.1f}\n{name}_{dtype.upper()} = (\n")
            lines += [f"    {c!r},\n" for c in found]
            lines.append(")\n")
    lines.append("# 2/pi after 64 zero bits, in words of 64 bits, greatest first.\n")
    lines.append("TWO_OVER_PI = (\n")
    lines += [f"    0x{word:016X},\n" for word in two_over_pi(22)]
    lines.append(")\n")
    if "--write" in sys.argv:
        TARGET.write_text("".join(lines))


if __name__ == "__main__":
    main()
