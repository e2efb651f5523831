"""Every elementwise operator of the table against its NumPy value, on scalars and vectors."""

import numpy as np
import pytest
from tests.codegen import math_reference as reference

from wengert.codegen import math_jit
from wengert.codegen.math_table import EMITTERS
from wengert.codegen.supported import INTERPRETED, supports
from wengert.errors import WengertError
from wengert.ops import TABLE

ELEMENTWISE = sorted(name for name, op in TABLE.items() if op.family == "elementwise")
EMITTED = sorted(set(ELEMENTWISE) - set(INTERPRETED))
INTEGERS = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")


def test_each_elementwise_operator_is_emitted_or_listed_with_a_reason():
    assert set(EMITTERS) | set(INTERPRETED) == set(ELEMENTWISE)
    assert not set(EMITTERS) & set(INTERPRETED)
    assert all(len(reason) > 10 for reason in INTERPRETED.values())


def _operands(name, dtype):
    """Samples of the record and its edge values, flat and of one length each."""
    op = TABLE[name]
    rng = np.random.default_rng(1964)
    cases = list(op.test_samples(rng, np.dtype(dtype)))
    is_typed = all(isinstance(v, np.ndarray) and v.dtype == dtype for v in cases[0][0])
    for edge in op.edges if is_typed else ():
        with np.errstate(over="ignore"):
            cases.append((tuple(np.full(3, v, dtype) for v in edge), {}))
    for operands, params in cases:
        arrays = np.broadcast_arrays(*operands)
        yield [np.ascontiguousarray(a).ravel() for a in arrays], params


def _check(name, operands, params, lanes, ulps):
    with np.errstate(all="ignore"):
        wanted = np.asarray(TABLE[name].evaluate(*operands, **params))
    function = reference.compiled(
        name,
        tuple(a.dtype.str for a in operands),
        wanted.dtype.str,
        lanes,
        tuple(sorted(params.items())),
    )
    found = function(*operands)
    if name in ("maximum", "minimum"):  # NumPy's own loops differ on signed zeros
        found, wanted = found + 0, wanted + 0
    if name.startswith("logaddexp"):  # near zero only its absolute error is small
        found, wanted = found + 4, wanted + 4
    assert reference.same(found, wanted, ulps).all(), (found, wanted)


_IN_HALF = (
    "add",
    "exp",
    "nextafter",
    "cast",
    "where",
    "less",
    "frexp_exponent",
    "ldexp",
    "maximum",
    "isnan",
)
_CASES = [(name, *how) for name in EMITTED for how in (("f8", 1), ("f8", 4), ("f4", 8))]


# float16 goes by way of float32; a few operators stand for all.
@pytest.mark.parametrize(("name", "dtype", "lanes"), _CASES + [(n, "f2", 8) for n in _IN_HALF])
def test_samples_of_the_table_have_numpys_values(name, dtype, lanes):
    for operands, params in _operands(name, dtype):
        assert all(supports(name, a.dtype) for a in operands)
        _check(name, operands, params, lanes, ulps=4)


def _computes_on(name, dtype):
    """Whether an operator without parameters takes operands of a dtype without converting them."""
    op = TABLE[name]
    try:
        kinds = op.promote((np.dtype(dtype),) * op.arity, {})
        with np.errstate(all="ignore"):
            op.evaluate(*[np.ones(1, dtype)] * op.arity)
    except (TypeError, WengertError):
        return False
    return all(kind is None or kind == dtype for kind in kinds)


_OF_FLOATS = [name for name in EMITTED if TABLE[name].arity < 3 and _computes_on(name, "f8")]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", _OF_FLOATS)
def test_special_values(name, dtype):
    x = reference.specials(dtype)
    operands = [x] if TABLE[name].arity == 1 else [g.ravel() for g in np.meshgrid(x, x)]
    with np.errstate(all="ignore"):
        wanted = np.asarray(TABLE[name].evaluate(*operands))
        if name == "sigmoid":  # SciPy's float32 function is 0 where it should be subnormal
            wanted = np.asarray(TABLE[name].evaluate(x.astype("f8"))).astype(dtype)
    found = reference.compiled(name, (dtype,) * len(operands), wanted.dtype.str)(*operands)
    if name in ("maximum", "minimum", "fmax", "fmin"):  # NumPy's own loops differ on signed zeros
        found, wanted = found + 0, wanted + 0
    # NumPy's functions are themselves right to 4 ulp only.
    ulps = 5 if reference.BOUNDS.get(name, 0) > 0.5 else 0
    if name.startswith("logaddexp"):  # near zero only its absolute error is small
        found, wanted, ulps = found + 4, wanted + 4, 5
    good = reference.same(found, wanted, ulps)
    assert good.all(), [
        (*(o[i] for o in operands), found[i], wanted[i]) for i in np.flatnonzero(~good)[:5]
    ]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", ["fmod", "remainder", "floor_divide"])
def test_remainders_are_exact_whatever_the_quotient(name, dtype, rng):
    a, b = (reference.samples(dtype, 300, rng) for _ in range(2))
    rng.shuffle(b)
    with np.errstate(all="ignore"):
        wanted = getattr(np, name)(a, b)
    good = reference.same(reference.compiled(name, (dtype, dtype), dtype)(a, b), wanted)
    assert good.all(), list(zip(a[~good], b[~good], wanted[~good], strict=True))[:5]


@pytest.mark.parametrize("count", ["i4", "i8"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_scaling_by_powers_of_two_rounds_once(dtype, count, rng):
    x = np.concatenate([reference.samples(dtype, 400, rng), reference.specials(dtype)])
    n = rng.integers(-2300, 2300, x.size).astype(count)
    n[::3] = rng.integers(-60, 60, n[::3].size)
    n[:4] = [np.iinfo(count).max, np.iinfo(count).min, 0, 1]
    with np.errstate(all="ignore"):
        wanted = np.ldexp(x, n)
    assert reference.same(reference.compiled("ldexp", (dtype, count), dtype)(x, n), wanted).all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_neighbours_and_parts_of_floats(dtype, rng):
    x = np.concatenate([reference.samples(dtype, 300, rng), reference.specials(dtype)])
    y = np.concatenate([rng.permutation(x), x])
    x = np.concatenate([x, x])
    with np.errstate(all="ignore"):
        stepped, spaced, exponents = np.nextafter(x, y), np.spacing(x), np.frexp(x)[1]
    run = reference.compiled
    assert reference.same(run("nextafter", (dtype, dtype), dtype)(x, y), stepped).all()
    assert reference.same(run("spacing", (dtype,), dtype)(x), spaced).all()
    usable = np.isfinite(x)
    found = run("frexp_exponent", (dtype,), "i4")(x)
    assert np.array_equal(found[usable], exponents[usable])


def _integers(dtype, rng, count=400):
    info = np.iinfo(dtype)
    ends = [info.min, info.min + 1, info.max, info.max - 1, 0, 1, 2, 3, 7]
    values = np.concatenate(
        [
            rng.integers(info.min, info.max, count, dtype, endpoint=True),
            rng.integers(max(info.min, -9), 9, count).astype(dtype),
            np.array(ends, dtype),
        ]
    )
    return values, np.concatenate([rng.permutation(values)])


@pytest.mark.parametrize("dtype", INTEGERS)
def test_operators_on_integers(dtype, rng):
    names = [name for name in EMITTED if TABLE[name].arity < 3 and _computes_on(name, dtype)]
    assert len(names) > 30
    for name in set(names) - {"power"}:  # NumPy refuses negative exponents
        a, b = _integers(dtype, rng)
        if name == "lcm":  # whether an overflown one is negative, NumPy leaves to the compiler
            a, b = (v % 10 for v in (a, b))
        if name == "reciprocal":  # of zero: the compiler's choice too
            a = a[a != 0]
        operands = [a] if TABLE[name].arity == 1 else [a, b]
        with np.errstate(all="ignore"):
            wanted = np.asarray(TABLE[name].evaluate(*operands))
        operand_dtypes = (dtype,) * len(operands)
        found = reference.compiled(name, operand_dtypes, wanted.dtype.str, 8)(*operands)
        bad = np.flatnonzero(found != wanted)
        assert not bad.size, (
            name,
            [(*(o[i] for o in operands), found[i], wanted[i]) for i in bad[:4]],
        )


@pytest.mark.parametrize("dtype", INTEGERS)
def test_powers_of_integers_wrap_around(dtype, rng):
    a, _ = _integers(dtype, rng)
    b = rng.integers(0, 70, a.size).astype(dtype)
    found = reference.compiled("power", (dtype, dtype), dtype, 4)(a, b)
    assert np.array_equal(found, np.power(a, b))
    for n in (0, 1, 2, 5, 64):
        found = reference.compiled("integer_power", (dtype,), dtype, 4, (("n", n),))(a)
        assert np.array_equal(found, a**n)


def test_operators_on_bools():
    names = [name for name in EMITTED if TABLE[name].arity < 3 and _computes_on(name, "?")]
    assert len(names) > 15
    a, b = np.array([False, False, True, True] * 5), np.array([False, True] * 10)
    for name in names:
        operands = [a] if TABLE[name].arity == 1 else [a, b]
        wanted = np.asarray(TABLE[name].evaluate(*operands))
        found = reference.compiled(name, ("?",) * len(operands), wanted.dtype.str, 16)(*operands)
        assert np.array_equal(found, wanted), name


@pytest.mark.parametrize("source", ["?", "f2", "f4", "f8", *INTEGERS])
def test_conversions(source, rng):
    if source == "?":
        x = np.array([True, False, True])
    elif source[0] == "f":
        x = np.concatenate([rng.uniform(-300.0, 300.0, 50), [0.0, -0.0, 0.5, -0.5]]).astype(source)
    else:
        x, _ = _integers(source, rng, 50)
    for target in ("?", "f2", "f4", "f8", *INTEGERS):
        given = x
        if source not in ("?", "f2") and target == "f2":
            given = x[abs(x.astype("f8")) < 6e4]
        if source[0] == "f" and target[0] in "iu":  # inside its range, or C leaves it open
            info = np.iinfo(target)
            given = x[(x.astype("f8") > info.min) & (x.astype("f8") < info.max)]
        wanted = given.astype(target)
        found = reference.compiled("cast", (source,), target, 8, (("dtype", target),))(given)
        assert np.array_equal(found, wanted), (source, target)


def test_floats_outside_an_integer_dtype_saturate():
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 200.0, -200.0, 3.9])
    found = reference.compiled("cast", ("f8",), "i1", 8, (("dtype", "i1"),))(x)
    assert found.tolist() == [0, 127, -128, 127, -128, 127, -128, 3]


def test_no_operator_of_floats_becomes_a_call_per_lane():
    # What LLVM has vector instructions for on every processor with fused multiply-add.
    cheap = {"fma", "fabs", "sqrt", "copysign", "floor", "ceil", "trunc", "rint", "fshl"}
    for name in _OF_FLOATS:
        op = TABLE[name]
        with np.errstate(all="ignore"):
            result = np.asarray(op.evaluate(*[np.ones(2, "f4")] * op.arity)).dtype
        module = math_jit.build(name, ["f4"] * op.arity, result, lanes=8)
        declared = [
            line.split("@")[1] for line in str(module).splitlines() if line.startswith("declare")
        ]
        called = {text.split("(")[0].strip('"').split(".")[1] for text in declared}
        assert called <= cheap, name


@pytest.mark.parametrize("name", ["exp", "exp2", "sigmoid", "tanh", "log", "sin", "fmod"])
def test_wider_vectors_and_scalars_give_the_same_bits(name, rng):
    for dtype in ("f4", "f8"):
        x = reference.samples(dtype, 100, rng)
        operands = [x] * TABLE[name].arity
        if len(operands) == 2:
            operands[1] = rng.permutation(x)
        first, *others = (
            reference.compiled(name, (dtype,) * len(operands), dtype, lanes)(*operands)
            for lanes in (1, 4, 8, 16)
        )
        assert all(reference.same(first, other).all() for other in others)
