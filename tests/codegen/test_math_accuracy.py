"""The vector math's promised bounds, measured against mpmath and over float32 as a whole."""

import math

import mpmath as mp
import numpy as np
import pytest
from scipy import special
from tests.codegen import math_reference as reference
from tests.codegen.math_reference import BOUNDS, DOMAINS, DTYPES, ONE, compiled

#: Places where a function's method changes, or its result over- or underflows.
_PLACES = {
    "exp": (
        math.log(2) / 2,
        88.722839,
        -87.33654,
        -103.97208,
        709.782712893384,
        -708.3964185322641,
        -745.1332191019411,
        -744.4400719213812,
    ),
    "exp2": (
        0.5,
        1.5,
        127.999999,
        128.0,
        -126.0,
        -149.0,
        -150.0,
        1023.9999999999999,
        1024.0,
        -1022.0,
        -1074.0,
        -1075.0,
    ),
    "expm1": (
        math.log(2) / 2,
        1e-9,
        1e-18,
        1e-10,
        88.722839,
        709.782712893384,
        -37.4,
        -17.0,
        -50.0,
    ),
    "sinh": (math.log(2) / 2, 1e-9, 1e-5, 89.41599, 710.4758600739439, 88.5, 709.5),
    "cosh": (math.log(2) / 2, 1e-9, 1e-5, 89.41599, 710.4758600739439, 88.5, 709.5),
    "tanh": (math.log(2) / 4, 1e-9, 1e-5, 9.0, 10.0, 19.0, 22.0),
    "sigmoid": (math.log(2) / 2, 17.0, 37.0, 88.7, 103.9, 709.7, 745.1),
    "softplus": (math.log(2) / 2, 17.0, 37.0, 88.7, 103.9, 709.7, 745.1),
    "log": (math.sqrt(0.5), math.sqrt(2), 1.0),
    "log2": (math.sqrt(0.5), math.sqrt(2), 1.0, 8.0),
    "log10": (math.sqrt(0.5), math.sqrt(2), 1.0, 1000.0),
    "log1p": (math.sqrt(0.5) - 1, math.sqrt(2) - 1, 1e-9, 1e-18),
    "arcsinh": (1e-9, 1e-5, 1e9, 1e5, 1.0),
    "arccosh": (1.0, 1e9, 1e5, 2.0),
    "arctanh": (1.0, 1e-9, 1e-5, 0.5),
    "sin": (math.pi / 4, math.pi / 2, math.pi, 2.0**16, 2.0**36, 355.0, 1e5),
    "cos": (math.pi / 4, math.pi / 2, math.pi, 2.0**16, 2.0**36, 355.0, 1e5),
    "tan": (math.pi / 4, math.pi / 2, math.pi, 2.0**16, 2.0**36, 355.0, 1e5),
    "arcsin": (0.5, 1.0),
    "arccos": (0.5, 1.0),
    "arctan": (1.0, 1e16, 1e8),
    "cbrt": (1.0, 2.0, 4.0, 8.0, 27.0, math.sqrt(2)),
    "erf": (1.0, 6.0, 4.0),
    "erfc": (0.25, 1.0, 4.0, 9.19, 10.05, 26.54, 27.22),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ONE)
def test_error_is_within_the_promised_bound(name, dtype, rng):
    function = compiled(name, (dtype,), dtype)
    low, high = interval = DOMAINS.get(name, (-math.inf, math.inf))
    info = np.finfo(dtype)
    near = reference.around(
        dtype,
        1.0,
        0.5,
        2.0,
        float(info.smallest_normal),
        float(info.max),
        float(info.smallest_subnormal),
        *_PLACES.get(name, ()),
    )
    x = np.concatenate(
        [reference.samples(dtype, 300, rng, interval), near[(near > low) & (near < high)]]
    )
    if name in ("radians", "square", "reciprocal"):
        x = x[x != 0]
    error, at = reference.worst(function(x), ONE[name], x)
    assert error <= BOUNDS[name], (error, at)


# Every float32 has its own float64; the float64 functions below are right to far less than an ulp
# of float32.
_IN_DOUBLE = {
    "sigmoid": special.expit,
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "erf": special.erf,
    "erfc": special.erfc,
}


@pytest.mark.parametrize("name", sorted(set(ONE) - {"square"}))
def test_float32_over_all_bit_patterns(name):
    bits = np.arange(0, 2**32, 4999, dtype=np.uint64).astype(np.uint32)
    x = bits.view(np.float32)
    function = compiled(name, ("f4",), "f4")
    with np.errstate(all="ignore"):
        wanted = _IN_DOUBLE.get(name, getattr(np, name, None))(x.astype(np.float64))
        nearest = wanted.astype(np.float32)
        found = function(x)
        assert np.array_equal(np.isnan(found), np.isnan(wanted))
        finite = np.isfinite(wanted) & np.isfinite(found)
        ulp = np.spacing(abs(nearest[finite]))
        # Above the last number the spacing is that of the binade below infinity.
        ulp[~np.isfinite(ulp)] = np.float32(2.0**104)
        error = abs(found[finite] - wanted[finite]) / ulp
    assert np.array_equal(found[~finite & ~np.isnan(found)], nearest[~finite & ~np.isnan(found)])
    # A tenth of an ulp: float64's rounding, and binades' borders, where `spacing` is the greater.
    assert error.max() <= BOUNDS[name] + 0.01, x[finite][error.argmax()]


@np.errstate(all="ignore")
def _pairs(name, dtype, count, rng):
    info = np.finfo(dtype)

    def whole_range():
        return np.exp2(rng.uniform(info.minexp - info.nmant, info.maxexp, count))

    signs = rng.choice([-1.0, 1.0], (2, count))
    if name == "power":
        base = np.concatenate(
            [
                whole_range(),
                np.exp2(rng.uniform(-3, 3, count)),
                1 + rng.normal(size=count) * 10 ** rng.uniform(-7, 0, count),
                rng.uniform(-9, 9, count),
                whole_range(),
            ]
        )
        limit = 2.0 ** rng.uniform(-2, 4, count)
        exponent = np.concatenate(
            [
                rng.uniform(-1, 1, count) * limit,
                rng.uniform(-40, 40, count),
                rng.normal(size=count) * 10 ** rng.uniform(0, 8, count),
                rng.integers(-30, 30, count),
                rng.normal(size=count),
            ]
        )
        base = np.where(exponent == np.rint(exponent), base, abs(base))
        # Powers at the two borders: of overflow, and of subnormal numbers.
        border = rng.choice([info.maxexp, info.minexp, info.minexp - info.nmant / 2], count)
        edge_base = rng.uniform(1.1, 100, count)
        edge = border / np.log2(edge_base) * (1 + rng.normal(size=count) * 1e-3)
        return np.concatenate([base, edge_base]), np.concatenate([exponent, edge])
    a = whole_range() * signs[0]
    close = np.clip(a * rng.uniform(0.1, 10.0, count), -info.max, info.max)
    return np.concatenate([a, a]), np.concatenate([whole_range() * signs[1], close * signs[1]])


_TWO = {"power": mp.power, "hypot": mp.hypot, "arctan2": mp.atan2}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", _TWO)
def test_error_of_functions_of_two_arguments(name, dtype, rng):
    a, b = (x.astype(dtype) for x in _pairs(name, dtype, 250, rng))
    usable = np.isfinite(a) & np.isfinite(b) & (a != 0) & (b != 0)
    a, b = a[usable], b[usable]
    error, at = reference.worst(compiled(name, (dtype, dtype), dtype)(a, b), _TWO[name], a, b)
    assert error <= BOUNDS[name], (error, at)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [-200, -64, -63, -7, -3, -2, -1, 0, 1, 2, 3, 4, 7, 10, 33, 64, 101])
def test_error_of_integer_powers(n, dtype, rng):
    x = reference.samples(dtype, 30, rng)
    with np.errstate(over="ignore"):
        near_borders = np.exp2(rng.uniform(-1, 1, 60) * 1080 / max(2, abs(n))).astype(dtype)
    x = np.concatenate([x, near_borders])
    x = x[(x != 0) & np.isfinite(x)]
    found = compiled("integer_power", (dtype,), dtype, params=(("n", n),))(x)
    error, at = reference.worst(found, lambda v: v**n, x)
    assert error <= BOUNDS["integer_power"], (error, at)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["logaddexp", "logaddexp2"])
def test_logarithm_of_sums_relative_to_the_greater_operand(name, dtype, rng):
    base = mp.e if name == "logaddexp" else mp.mpf(2)
    a, b = rng.uniform(-90, 90, (2, 600)).astype(dtype)
    b[::2] = a[::2] + rng.normal(size=300).astype(dtype)
    found = compiled(name, (dtype, dtype), dtype)(a, b)
    with mp.workprec(200):
        for p, q, value in zip(a, b, found, strict=True):
            true = mp.log(base ** mp.mpf(float(p)) + base ** mp.mpf(float(q))) / mp.log(base)
            scale = max(abs(true), abs(mp.mpf(float(max(p, q)))), mp.mpf("0.7"))
            assert abs(mp.mpf(float(value)) - true) <= 2 * reference.ulp(scale, dtype), (p, q)


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
@pytest.mark.parametrize(
    ("dtype", "x"),
    [
        # Nearest to a multiple of pi/2 among all float64 (W. Kahan), and among float32.
        ("f8", 6381956970095103.0 * 2.0**797),
        ("f8", 5.319372648326541e255),
        ("f8", 2.0**1023),
        ("f8", float(np.finfo("f8").max)),
        ("f8", 1e22),
        ("f4", 16367173.0 * 2.0**72),
        ("f4", float(np.finfo("f4").max)),
        ("f4", 1.0e30),
    ],
)
def test_angles_next_to_multiples_of_a_right_angle(name, dtype, x):
    angles = np.array([x, -x, 1.0], dtype)
    with mp.workprec(1400):
        true = getattr(mp, name)(mp.mpf(float(angles[0])))
    found = compiled(name, (dtype,), dtype)(angles)
    assert abs(mp.mpf(float(found[0])) - true) <= 1.5 * reference.ulp(true, dtype)
    assert found[1] == (found[0] if name == "cos" else -found[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_logarithms_of_exact_powers_are_exact(dtype):
    twos = np.exp2(np.arange(-100, 100)).astype(dtype)
    assert np.array_equal(compiled("log2", (dtype,), dtype)(twos), np.arange(-100, 100))
    tens = 10.0 ** np.arange(0, 11 if dtype == "f4" else 23)
    found = compiled("log10", (dtype,), dtype)(tens.astype(dtype))
    assert np.array_equal(found, np.arange(len(tens)))
