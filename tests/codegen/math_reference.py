"""What the vector math is measured against: mpmath, and samples over a float's whole range."""

import functools
import math

import mpmath as mp
import numpy as np

from wengert.codegen import math_jit

DTYPES = ("f4", "f8")
LANES = {"f4": 8, "f8": 4}
_PRECISION = 160


def _tail(function, limit):
    return lambda x: function(x) if x < limit else mp.mpf(0)


#: The functions of one argument, and the open interval on which they are sampled.
ONE = {
    "exp": mp.exp,
    "exp2": lambda x: mp.power(2, x),
    "expm1": mp.expm1,
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "tanh": mp.tanh,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "log": mp.log,
    "log2": lambda x: mp.log(x) / mp.log(2),
    "log10": lambda x: mp.log(x) / mp.log(10),
    "log1p": mp.log1p,
    "arcsinh": mp.asinh,
    "arccosh": mp.acosh,
    "arctanh": mp.atanh,
    "sin": mp.sin,
    "cos": mp.cos,
    "tan": mp.tan,
    "arcsin": mp.asin,
    "arccos": mp.acos,
    "arctan": mp.atan,
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    "sqrt": mp.sqrt,
    "reciprocal": lambda x: 1 / x,
    "square": lambda x: x * x,
    "erf": mp.erf,
    "erfc": _tail(mp.erfc, 40),
    "radians": mp.radians,
    "degrees": mp.degrees,
}
DOMAINS = {
    "log": (0, math.inf),
    "log2": (0, math.inf),
    "log10": (0, math.inf),
    "sqrt": (0, math.inf),
    "log1p": (-1, math.inf),
    "arccosh": (1, math.inf),
    "arctanh": (-1, 1),
    "arcsin": (-1, 1),
    "arccos": (-1, 1),
}

#: The greatest error in ulp that each function's docstring promises.
BOUNDS = {
    "sqrt": 0.5,
    "reciprocal": 0.5,
    "square": 0.5,
    "exp": 1.0,
    "exp2": 1.0,
    "log": 1.0,
    "log1p": 1.0,
    "cbrt": 1.0,
    "expm1": 1.5,
    "arccos": 1.5,
    "arctan": 1.5,
    "erf": 1.5,
    "power": 1.5,
    "hypot": 1.5,
    "radians": 1.5,
    "degrees": 1.5,
    "sinh": 2.0,
    "cosh": 2.0,
    "tanh": 2.0,
    "sigmoid": 2.0,
    "softplus": 2.0,
    "log2": 2.0,
    "log10": 2.0,
    "sin": 2.0,
    "cos": 2.0,
    "tan": 2.0,
    "arcsin": 2.0,
    "arctan2": 2.0,
    "integer_power": 2.0,
    "arcsinh": 3.0,
    "arccosh": 3.0,
    "arctanh": 3.0,
    "erfc": 5.0,
}


@functools.cache
def compiled(name, operands, result, lanes=0, params=()):
    """`math_jit.compiled`, kept; on vectors of the usual width unless told otherwise."""
    if not lanes:
        lanes = 32 // max(1, np.dtype(operands[0]).itemsize)
    return math_jit.compiled(name, operands, result, dict(params), lanes)


def nearest(value, dtype):
    """A number of mpmath rounded once to the dtype, infinite beyond its range."""
    info = np.finfo(dtype)
    if mp.isnan(value):
        return dtype_of(dtype)(math.nan)
    limit = mp.mpf(float(info.max)) * (1 + mp.mpf(2) ** (-info.nmant - 2))
    if abs(value) >= limit:
        return dtype_of(dtype)(math.copysign(math.inf, value))
    # Twice rounding (through float64) can't matter: what is compared is an error of half an ulp.
    with np.errstate(under="ignore"):
        return dtype_of(dtype)(float(value))


def dtype_of(dtype):
    return np.dtype(dtype).type


def ulp(value, dtype):
    """Distance of neighbouring numbers of the dtype around a number of mpmath."""
    info = np.finfo(dtype)
    exponent = info.minexp if value == 0 else max(mp.frexp(value)[1] - 1, info.minexp)
    return mp.ldexp(1, int(exponent) - info.nmant)


def worst(found, function, *operands):
    """The greatest error in ulp of `found`, with the operands where it occurs.

    Where the true value rounds to infinity or NaN, or the found one isn't finite, they must agree,
    but for one ulp at the border of overflow; otherwise the error is infinite.
    """
    dtype = found.dtype
    record = (0.0, ())
    with mp.workprec(_PRECISION):
        for value, *at in zip(found, *operands, strict=True):
            true = function(*(mp.mpf(float(a)) for a in at))
            if np.isfinite(value):
                error = float(abs(mp.mpf(float(value)) - true) / ulp(true, dtype))
            else:
                error = (
                    0.0
                    if nearest(true * (1 + mp.mpf(2) ** -np.finfo(dtype).nmant), dtype) == value
                    else math.inf
                )
            if not error <= record[0]:
                record = (error, tuple(float(a) for a in at))
    return record


@np.errstate(all="ignore")
def samples(dtype, count, rng, interval=(-math.inf, math.inf)):
    """Numbers over the whole exponent range, and denser ones where functions change."""
    info = np.finfo(dtype)
    exponents = rng.uniform(info.minexp - info.nmant, info.maxexp, count)
    whole_range = np.exp2(exponents) * rng.choice([-1.0, 1.0], count)
    edge = 110.0 if info.bits == 32 else 760.0
    groups = [
        whole_range,
        rng.normal(size=count),
        rng.uniform(-2.0, 2.0, count),
        rng.uniform(-30.0, 30.0, count),
        rng.uniform(-edge, edge, count),
        1.0 + rng.normal(size=count) * 10.0 ** rng.uniform(-14.0, 0.0, count),
        -1.0 + rng.normal(size=count) * 10.0 ** rng.uniform(-14.0, 0.0, count),
    ]
    x = np.concatenate(groups).astype(dtype)
    low, high = interval
    if low == 0:
        x = abs(x)
    return x[np.isfinite(x) & (x > low) & (x < high)]


@np.errstate(all="ignore")
def around(dtype, *places, steps=4):
    """The numbers within a few steps of each place, on both sides, both signs."""
    found = []
    for place in places:
        x = dtype_of(dtype)(place)
        for towards in (-math.inf, math.inf):
            y = x
            for _ in range(steps):
                found.append(y)
                y = np.nextafter(y, dtype_of(dtype)(towards))
    whole = np.array([*found, *(-y for y in found)], dtype)
    return np.unique(whole[np.isfinite(whole)])


def specials(dtype):
    """Zeros, infinities, NaN, the ends of the normal and subnormal numbers, and small integers."""
    info = np.finfo(dtype)
    positive = [
        0.0,
        float(info.smallest_subnormal),
        float(info.smallest_normal) / 2,
        float(info.smallest_normal),
        float(info.eps),
        0.25,
        1 / 3,
        0.5,
        1.0,
        1.5,
        2.0,
        2.5,
        3.0,
        7.0,
        100.0,
        float(info.max) / 4,
        float(info.max),
        math.inf,
    ]
    return np.array([*positive, *(-p for p in positive), math.nan], dtype)


def same(found, wanted, ulps=0):
    """Whether arrays agree to some ulps, with equal signs of zeros, and NaN where NaN is."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    if found.dtype != wanted.dtype:
        return np.zeros(found.shape, bool)
    if found.dtype.kind != "f":
        return found == wanted
    with np.errstate(all="ignore"):
        near = abs(found - wanted) <= ulps * np.spacing(abs(wanted))
    equal = (found == wanted) & (np.signbit(found) == np.signbit(wanted))
    return equal | (np.isnan(found) & np.isnan(wanted)) | (near & (found != 0))
