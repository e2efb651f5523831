"""NumPy's ufuncs, their keyword arguments and methods, and SciPy's ufuncs."""

import numpy as np
import pytest
from scipy import special
from tests.capture import forms
from tests.capture.forms import ARRAYS, check

import wengert.numpy as wnp
from wengert.capture.variable import UFUNCS
from wengert.errors import ArgumentError, ConversionError, DTypeError
from wengert.transform.gradient import grad

# Ufuncs without a derivative at all, for which nothing is to be done: dates, objects.
ELSEWHERE = {"isnat", "bitwise_count"}


def ufuncs():
    found = {getattr(np, k) for k in dir(np) if isinstance(getattr(np, k), np.ufunc)}
    return sorted((f for f in found if f.__name__ not in ELSEWHERE), key=lambda f: f.__name__)


def _form(ufunc):
    integers = ("bitwise", "gcd", "lcm", "shift", "invert")
    name = f"np.{ufunc.__name__}"
    if any(k in name for k in integers):
        return f"{name}({', '.join(['np.argsort(u)', 'np.argsort(p)'][: ufunc.nin])})"
    if ufunc.__name__ == "ldexp":
        return "np.ldexp(u, [1, -2, 0, 3])"
    if ufunc.signature:
        return (
            f"{name}({'t, t' if ufunc.signature.count('n') > 3 else 'v, v'})"
            if (ufunc.__name__ in ("matmul", "vecdot"))
            else f"{name}({'t, v' if ufunc.__name__ == 'matvec' else 'v, t'})"
        )
    if ufunc.__name__ in ("arcsin", "arccos", "arctanh"):
        return f"{name}(u * 0.7)"
    if ufunc.__name__ == "arccosh":
        return f"{name}(p + 1.0)"
    if ufunc.__name__ in ("power", "float_power", "fmod", "remainder", "divmod", "floor_divide"):
        return f"{name}(p, p[::-1] * 0.83)"
    return f"{name}({', '.join(['p' if ufunc.nin == 1 else 'u', 'p'][: ufunc.nin])})"


@pytest.mark.parametrize("ufunc", ufuncs(), ids=lambda f: f.__name__)
def test_every_ufunc_of_numpy(ufunc):
    # nextafter moves by one rounding, which central differences can't see.
    check(_form(ufunc), derivative=ufunc.__name__ not in ("spacing", "nextafter"))


@pytest.mark.parametrize(
    "form",
    [
        "np.abs(u)",
        "np.conj(u)",
        "np.degrees(u)",
        "np.rad2deg(u)",
        "np.deg2rad(u)",
        "np.mod(p, 0.7)",
        "np.true_divide(u, p)",
        "np.power(u, 3)",
        "np.power(u, 2)",
        "np.power(u, -1)",
        "np.power(u, 0)",
        "u ** 2",
        "u ** 3",
        "u ** -2",
        "p ** 0.5",
        "p ** u",
        "2.0 ** u",
        "np.power(2.0, u)",
        "np.power(p, 2.0)",
        "np.float_power(p, 2)",
        "divmod(p, 0.7)",
        "divmod(2.0, p)",
        "np.modf(u)",
        "np.modf(-p)",
        "np.frexp(u)",
        "np.heaviside(u, 0.5)",
        "np.heaviside(u, p)",
        "np.fabs(u)",
        "np.sinc(u)",
        "np.sinc(z)",
        "np.sinc(u * 0.02)",
        "np.sinc(u * 0.01)",
        "np.angle(u)",
        "np.angle(u, deg=True)",
        "np.hypot(u, p)",
        "np.add(u, 1, dtype=np.float64)",
        "np.multiply(u, p, casting='same_kind')",
        "np.sqrt(p, dtype='f8')",
        "np.equal(u, u)",
        "np.logaddexp(u, p)",
        "np.exp(u[:, None] + v)",
        "u / 3",
        "3 - u",
        "u // 1",
        "np.uint8(3) * u",
        "np.vecdot(c, c, axis=1)",
        "-u",
        "+u",
        "abs(u)",
        "(u > 0) & (p > 1)",
        "~(u > 0)",
    ],
)
def test_value_and_derivative_are_numpys(form):
    check(form)


SCIPY = {
    "erf": "u",
    "erfc": "u",
    "erfinv": "u * 0.5",
    "expit": "u",
    "gammaln": "p",
    "digamma": "p",
    "psi": "p",
    "logit": "1 / (1 + np.exp(u))",
    "log_expit": "u * 100",
    "xlogy": "u, p",
    "xlog1py": "u, p",
    "entr": "p",
    "ndtr": "u",
    "exp10": "u",
    "betaln": "p, p[::-1]",
    "log1p": "p",
    "expm1": "u",
    "cbrt": "p",
    "exp2": "u",
}


@pytest.mark.parametrize("name", SCIPY)
def test_scipys_ufuncs(name, monkeypatch):
    monkeypatch.setattr(forms, "wnp", special)  # `wnp` in the form is scipy.special here
    check(f"wnp.{name}({SCIPY[name]})", rtol=1e-6)


def test_scipys_conventions_at_zero():
    for f in (special.xlogy, special.xlog1py):
        assert grad(lambda x, f=f: f(0.0 * x, 0.0 * x + (f is special.xlogy) * 0.0))(1.0) == 0.0
    assert grad(lambda x: special.entr(x))(0.5) == pytest.approx(-np.log(0.5) - 1)


def test_a_ufunc_without_a_rule_says_so():
    with pytest.raises(DTypeError, match="jv has no derivative rule"):
        grad(lambda x: special.jv(0.5, x))(1.0)
    with pytest.raises(DTypeError, match=r"np\.add\.reduceat has no derivative rule"):
        grad(lambda x: np.add.reduceat(x, [0, 1]).sum())(np.ones(3))


# ---------------------------------------------------------------- out= and where=


def test_out_and_where_assign():
    def f(x):
        out = np.zeros_like(x)
        np.exp(x, out=out)
        np.multiply(out, 3.0, out=out, where=x > 0)
        np.add.reduce(np.stack([x, x * x]), out=out)
        return np.sum(out * np.arange(1.0, 4.0))

    x = np.array([0.5, -1.0, 2.0])
    np.testing.assert_allclose(grad(f)(x), np.arange(1.0, 4.0) * (1 + 2 * x))


def test_masked_out():
    def f(x):
        out = np.zeros_like(x)
        np.sqrt(x, out=out, where=x > 0)
        return np.sum(out)

    np.testing.assert_allclose(grad(f)(np.array([4.0, 0.0, -1.0])), [0.25, 0.0, 0.0])


def test_out_of_functions_and_of_plain_arrays():
    def f(x):
        out = np.zeros_like(x)
        np.cumsum(x, out=out)
        np.sum(x, out=out[0])
        return np.sum(out)

    # out[0] is a scalar, as in NumPy: nothing is shared with it.
    np.testing.assert_allclose(grad(f)(np.ones(3)), [3.0, 2.0, 1.0])
    plain = np.zeros(3)
    with pytest.raises(ConversionError, match="out="):
        grad(lambda x: np.exp(x, out=plain).sum())(np.ones(3))
    with pytest.raises(ConversionError, match="out="):
        grad(lambda x: np.cumsum(x, out=plain).sum())(np.ones(3))
    with pytest.raises(ConversionError, match="out="):
        grad(lambda x: np.matmul(x, x, out=np.zeros(())))(np.ones(3))


# ---------------------------------------------------------------- at


@pytest.mark.parametrize(
    "key",
    [
        [0, 2, 0],
        (slice(1, 3),),
        np.array([[1], [1]]),
        [True, False, True, True],
        2,
        -1,
        slice(None, None, -2),
    ],
)
def test_add_at_is_numpys(key):
    key = np.array(key) if isinstance(key, list) else key
    base = np.arange(4.0)

    def f(x, values):
        y = x * 2.0
        np.add.at(y, key, values)
        np.subtract.at(y, key, values * 3.0)
        return y

    values = np.cos(np.arange(base[key].size)).reshape(base[key].shape)
    weights = np.array([1.0, -2.0, 3.0, 0.5])
    (dx, dv) = grad(lambda x, v: np.sum(f(x, v) * weights), argnums=(0, 1))(base, values)
    np.testing.assert_allclose(dx, 2.0 * weights)
    np.testing.assert_allclose(dv, -2.0 * weights[key])
    expected = f(base, values)
    _, found = grad(lambda x: (np.sum(f(x, values)), f(x, values)), has_aux=True)(base)
    np.testing.assert_allclose(found, expected)


def test_add_at_of_a_matrix_and_of_views():
    def f(x):
        y = wnp.zeros((3, 4))
        np.add.at(y, (np.array([0, 2, 0]), slice(1, 3)), x[:, None])
        return np.sum(y * np.arange(12.0).reshape(3, 4))

    np.testing.assert_allclose(grad(f)(np.ones(3)), [3.0, 19.0, 3.0])


def test_add_at_into_a_plain_array_is_refused():
    plain = np.zeros(3)
    with pytest.raises(ConversionError, match=r"np\.add\.at"):
        grad(lambda x: np.add.at(plain, [0], x) or x)(1.0)
    assert (plain == 0).all()


def test_unknown_arguments_are_named():
    with pytest.raises(ArgumentError, match="dtype="):
        grad(lambda x: np.modf(x, dtype=np.float32)[0])(1.0)
    with pytest.raises(DTypeError, match="where= without out="):
        grad(lambda x: np.sum(np.exp(x, where=x > 0)))(np.ones(2))
    with pytest.raises(DTypeError, match="signature"):
        grad(lambda x: np.exp(x, signature="d->d"))(1.0)


def test_the_table_serves_numpys_names():
    assert UFUNCS["exp"].name == "exp"
    assert wnp.exp is np.exp
    assert ARRAYS["u"].shape == (4,)
