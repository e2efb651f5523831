"""Writes reference.json: operators at ordinary and at edge values.

Ordinary values come from mpmath at 50 digits, rounded once; edge values (zeros of both signs,
infinities, NaN, ties) from NumPy and SciPy, whose conventions the page follows.

    python web/tests/make_reference.py
"""

import itertools
import json
import math
import warnings
from pathlib import Path

import mpmath as mp
import numpy as np
from scipy import special

mp.mp.dps = 50
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 2.5, 3.0, math.inf, -math.inf, math.nan]
REALS = [-30.25, -7.5, -2.2, -1.0, -0.7, -1e-9, 1e-300, 1e-9, 0.1, 0.3, 0.5, 0.99, 1.0, 1.5, 2.0, 3.7, 12.0, 26.0, 700.5]
SMALL = [x for x in REALS if abs(x) <= 1]
POSITIVE = [x for x in REALS if x > 0]


def wire(x):
    x = float(x)
    if math.isnan(x):
        return "nan"
    if math.isinf(x):
        return "inf" if x > 0 else "-inf"
    return "-0" if x == 0 and math.copysign(1, x) < 0 else x


UNARY = {
    "reciprocal": (lambda x: 1 / x, REALS), "exp": (mp.exp, REALS), "exp2": (lambda x: mp.mpf(2) ** x, REALS),
    "expm1": (mp.expm1, REALS), "log": (mp.log, POSITIVE), "log2": (lambda x: mp.log(x, 2), POSITIVE),
    "log10": (mp.log10, POSITIVE), "log1p": (lambda x: mp.log1p(x), [x for x in REALS if x > -1]),
    "sqrt": (mp.sqrt, POSITIVE), "square": (lambda x: x * x, REALS), "cbrt": (lambda x: mp.sign(x) * mp.cbrt(abs(x)), REALS),
    "sin": (mp.sin, REALS), "cos": (mp.cos, REALS), "tan": (mp.tan, REALS), "arcsin": (mp.asin, SMALL),
    "arccos": (mp.acos, [x for x in SMALL if x != 1]), "arctan": (mp.atan, REALS), "sinh": (mp.sinh, REALS),
    "cosh": (mp.cosh, REALS), "tanh": (mp.tanh, REALS), "arcsinh": (mp.asinh, REALS),
    "arccosh": (mp.acosh, [x for x in REALS if x > 1]), "arctanh": (mp.atanh, [x for x in SMALL if abs(x) < 1]),
    "erf": (mp.erf, REALS), "erfc": (mp.erfc, [x for x in REALS if x < 26]),
    "sigmoid": (lambda x: 1 / (1 + mp.exp(-x)), REALS), "softplus": (lambda x: mp.log1p(mp.exp(x)), REALS),
}
BINARY = {
    "power": (lambda x, y: x**y, [(x, y) for x in (0.3, 1.7, 12.0) for y in (-2.5, -1.0, 0.5, 3.0, 7.25)]),
    "hypot": (mp.hypot, [(3.0, 4.0), (1e-200, 1e-200), (1.3, -0.2), (1e200, 1e200)]),
    "arctan2": (mp.atan2, [(1.0, 2.0), (-1.0, -2.0), (0.3, -5.0), (-7.0, 0.1)]),
    "logaddexp": (lambda x, y: mp.log(mp.exp(x) + mp.exp(y)), [(1.0, 2.0), (0.0, 0.0), (-3.0, 40.0), (800.0, 799.5)]),
    "logaddexp2": (lambda x, y: mp.log(mp.mpf(2) ** x + mp.mpf(2) ** y, 2), [(1.0, 2.0), (0.0, 0.0), (-3.0, 40.0)]),
}
EDGE_UNARY = {name: getattr(np, name) for name in (
    "negative reciprocal exp exp2 expm1 log log2 log10 log1p sqrt square cbrt sin cos tan arcsin arccos arctan sinh cosh "
    "tanh arcsinh arccosh arctanh absolute sign floor ceil rint trunc signbit isnan isinf isfinite logical_not").split()}
EDGE_UNARY |= {"erf": special.erf, "erfc": special.erfc, "sigmoid": special.expit}
EDGE_BINARY = {name: getattr(np, name) for name in (
    "add subtract multiply divide power maximum minimum fmax fmin hypot arctan2 logaddexp logaddexp2 copysign remainder fmod "
    "floor_divide heaviside equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor").split()}


def main():
    rows = []
    for name, (f, points) in UNARY.items():
        rows += [[name, [wire(x)], wire(f(mp.mpf(x)))] for x in points]
    for name, (f, points) in BINARY.items():
        rows += [[name, [wire(x), wire(y)], wire(f(mp.mpf(x), mp.mpf(y)))] for x, y in points]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for name, f in EDGE_UNARY.items():
            rows += [[name, [wire(x)], wire(f(x))] for x in EDGES]
        for name, f in EDGE_BINARY.items():
            pairs = itertools.product(EDGES, EDGES)
            # NumPy answers x ** 0.5 by sqrt in some of its loops and by pow in others.
            rows += [[name, [wire(x), wire(y)], wire(f(x, y))] for x, y in pairs if name != "power" or y != 0.5 or x > 0]
    text = ",\n".join(json.dumps(row) for row in rows)
    Path(__file__).with_name("reference.json").write_text(f"[\n{text}\n]\n")


main()
