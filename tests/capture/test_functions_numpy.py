"""The public module `wengert.numpy`, the registry behind it, and the errors of the functions."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
from scipy import special

import wengert.numpy as wnp
from wengert.capture import FUNCTIONS, Variable
from wengert.capture.functions import PUBLIC
from wengert.capture.functions.registry import contains_traced
from wengert.errors import (
    ArgumentError,
    ConversionError,
    DerivativeError,
    DTypeError,
    ShapeError,
)
from wengert.transform.gradient import grad

X = np.array([[0.3, -1.2, 2.0], [0.7, 0.1, -0.4]])


# ---------------------------------------------------------------- the registry


def implementations():
    return [
        pytest.param(f, g, id=f"{f.__module__}.{f.__name__}")
        for f, g in FUNCTIONS.items()
        if callable(f) and not isinstance(f, np.ufunc)
    ]


@pytest.mark.parametrize(("function", "implementation"), implementations())
def test_parameters_are_numpys_in_numpys_order(function, implementation):
    try:
        theirs = inspect.signature(function).parameters
    except ValueError:
        pytest.skip("NumPy tells no signature")
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    numpys = [p.name for p in theirs.values() if p.kind in positional]
    variadic = any(p.kind is p.VAR_POSITIONAL for p in theirs.values())
    wrapped = implementation.__wrapped__
    for number, p in enumerate(inspect.signature(wrapped).parameters.values()):
        if p.kind in positional and not variadic:
            assert numpys[number] == p.name
        elif p.kind is inspect.Parameter.KEYWORD_ONLY:
            assert p.name in theirs or "kwargs" in theirs
            assert p.name not in numpys[: wrapped.__code__.co_argcount]
    assert wrapped.__doc__, "a docstring"


@pytest.mark.parametrize(("function", "implementation"), implementations())
def test_defaults_are_numpys(function, implementation):
    try:
        theirs = inspect.signature(function).parameters
    except ValueError:
        return
    for name, p in inspect.signature(implementation.__wrapped__).parameters.items():
        if p.default is p.empty or name not in theirs:
            continue
        default = theirs[name].default
        missing = (np._NoValue, None, inspect.Parameter.empty)
        if default not in missing or p.default not in missing:
            same = p.default == default or (p.default is np._NoValue and default in (True, False))
            assert same or name in ("optimize", "rcond", "keepdims", "where"), name


def test_what_the_module_exports():
    assert set(wnp.__all__) >= {name for (module, name) in PUBLIC if not module}
    assert set(wnp.__all__) >= {"exp", "sum", "array", "erf", "pi", "newaxis", "float32", "linalg"}
    for name in wnp.__all__:
        value = getattr(wnp, name)
        if name in PUBLIC or not callable(value) or isinstance(value, type):
            continue
        assert value.__doc__, name
    assert wnp.pi == np.pi
    assert wnp.newaxis is None


def test_importing_does_not_import_scipy():
    code = "import sys, wengert.numpy; print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---------------------------------------------------------------- plain arrays


@pytest.mark.parametrize(
    "form",
    [
        "sum(X)",
        "sum(X, axis=0, keepdims=True)",
        "mean([1, 2])",
        "array([1, 2])",
        "zeros((2, 3))",
        "ones(3, dtype=np.float32)",
        "full((2, 2), 7)",
        "eye(3, k=1)",
        "arange(5)",
        "arange(0, 1, 0.2)",
        "linspace(0, 1, 5)",
        "asarray(X)",
        "concatenate([X, X])",
        "stack([X, X], axis=-1)",
        "where(X > 0, X, 0)",
        "einsum('ij->ji', X)",
        "linalg.norm(X)",
        "linalg.inv(X @ X.T)",
        "sort(X, axis=0)",
        "exp(X)",
        "zeros_like(X, dtype=int)",
        "array(X, order='F')",
        "tri(3)",
        "round(X, 1)",
        "matmul(X, X.T)",
        "unique([1, 1, 2])",
        "ptp(X)",
    ],
)
def test_plain_arrays_get_numpys_answer(form):
    found = eval(f"wnp.{form}", {"wnp": wnp, "np": np, "X": X})
    expected = eval(f"np.{form}", {"np": np, "X": X})
    assert type(found) is type(expected)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_functions_of_its_own_on_plain_arrays():
    for name in ("erf", "erfc", "gammaln", "digamma"):
        np.testing.assert_array_equal(getattr(wnp, name)(abs(X)), getattr(special, name)(abs(X)))
    np.testing.assert_array_equal(wnp.sigmoid(X), special.expit(X))
    np.testing.assert_array_equal(wnp.relu(X), np.maximum(X, 0))
    np.testing.assert_allclose(wnp.softplus(X), np.log1p(np.exp(X)))
    np.testing.assert_allclose(wnp.logsumexp(X, axis=1), special.logsumexp(X, axis=1))
    np.testing.assert_allclose(wnp.logsumexp(X, b=X), special.logsumexp(X, b=X))
    np.testing.assert_allclose(wnp.softmax(X), special.softmax(X, axis=-1))
    np.testing.assert_allclose(wnp.softmax(X, axis=None), special.softmax(X))
    np.testing.assert_allclose(wnp.log_softmax(X), special.log_softmax(X, axis=-1))
    assert type(wnp.softmax([1.0, 2.0])) is np.ndarray
    assert wnp.softmax([1, 2]).dtype == float


def test_functions_of_scipy_on_traced_values():
    np.testing.assert_allclose(
        grad(lambda x: np.sum(wnp.erf(x) + special.erf(x)))(X), 4 / np.sqrt(np.pi) * np.exp(-X * X)
    )


# ---------------------------------------------------------------- traced values in lists


def test_lists_with_traced_values():
    def f(x):
        y = wnp.array([[x, 1.0], [x * x, 2]])
        assert isinstance(y, Variable)
        assert y.shape == (2, 2)
        assert wnp.array([x, 1], dtype=np.float32).dtype == np.float32
        assert wnp.array(x, ndmin=2).shape == (1, 1)
        total = wnp.sum([x, x]) + wnp.max([x, x * x]) + wnp.dot([x, x], [1.0, 2.0])
        return total + y.sum() + wnp.linalg.norm([x, x * 0.0]) + wnp.mean(([x], [x]))

    # 2x, x², 3x, x + x², |x|, x at 3
    assert grad(f)(3.0) == 2 + 6 + 3 + 1 + 6 + 1 + 1


def test_array_copies_and_asarray_does_not():
    def f(x):
        y = wnp.array(x)
        y[0] = 5.0
        z = wnp.asarray(x)
        z[1] = 7.0 * x[1]
        return np.sum(x * np.array([1.0, 2.0])) + 0.0 * np.sum(y)

    np.testing.assert_allclose(grad(f)(np.ones(2)), [1.0, 14.0])


def test_ragged_lists_are_refused():
    with pytest.raises(ShapeError, match="one shape"):
        grad(lambda x: wnp.array([[x, x], [x]]).sum())(1.0)


def test_integer_ranges_stay_plain():
    def f(x):
        assert isinstance(wnp.arange(3), np.ndarray)
        assert isinstance(wnp.arange(3.0), Variable)
        return sum(x[i] for i in wnp.arange(3))

    assert (grad(f)(np.ones(3)) == 1.0).all()


def test_a_nest_is_searched_for_traced_values():
    assert not contains_traced(([1, 2], (X, [3])))


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("f", "error", "match"),
    [
        (lambda x: np.sum(x, axis=2), ShapeError, "sum: axis 2 is out of bounds"),
        (lambda x: np.sum(x, axis=(0, 0)), ArgumentError, "sum: an axis occurs twice"),
        (lambda x: np.sum(x, axis=0.5), ArgumentError, "sum: an axis must be an integer"),
        (lambda x: np.reshape(x, (4, 2)), ShapeError, "reshape: 6 elements of shape"),
        (lambda x: np.reshape(x, (-1, -1)), ShapeError, "at most one length"),
        (lambda x: np.reshape(x, 2.5), ArgumentError, "a shape must be integers"),
        (lambda x: np.reshape(x, (3, 2), order="Z"), ArgumentError, "order must be"),
        (lambda x: np.transpose(x, (0, 0)), ArgumentError, "transpose: axes"),
        (lambda x: np.squeeze(x, 0), ShapeError, "squeeze: an axis"),
        (lambda x: np.moveaxis(x, [0, 1], 0), ArgumentError, "moveaxis"),
        (lambda x: np.max(x, where=x > 0), ArgumentError, "max: where= needs initial="),
        (lambda x: np.max(x[:0]), ShapeError, "reduce_max: expected at least one element"),
        (lambda x: np.concatenate([x, x[0]]), ShapeError, "concatenate: expected equal shapes"),
        (lambda x: np.concatenate([x[0, 0], x[0, 0]]), ShapeError, "without axes"),
        (lambda x: np.stack([x, x[0]]), ShapeError, "stack: needs arrays of one shape"),
        (lambda x: np.split(x, 2, axis=1), ShapeError, "split: 3 elements do not make 2"),
        (lambda x: x @ x, ShapeError, "contract"),
        (lambda x: np.matmul(x, x[0][:2]), ShapeError, "matmul: shapes"),
        (lambda x: np.matmul(x, 2.0), ShapeError, "matmul: operands need one axis"),
        (lambda x: np.dot(x, x), ShapeError, "contract"),
        (lambda x: np.vdot(x, x[0]), ShapeError, "vdot: shapes"),
        (lambda x: np.tensordot(x, x, 1), ShapeError, "tensordot: shapes"),
        (lambda x: np.einsum("ij,jk->ik", x, x), ShapeError, "einsum.*axis j has lengths"),
        (lambda x: np.einsum("ijk->k", x), ShapeError, "einsum"),
        (lambda x: np.einsum("ij->ik", x), ArgumentError, "each index of the result"),
        (lambda x: np.einsum("ij,ij", x), ArgumentError, "has 2 operands, but 1 came"),
        (lambda x: np.einsum("i1->i", x), ArgumentError, "must be letters"),
        (lambda x: np.einsum("...j->j", x), ArgumentError, 'must name "..."'),
        (lambda x: np.cross(x[:, :2], x[:, :2]), ShapeError, "3 components"),
        (lambda x: np.pad(x, 1, mode="mean"), ArgumentError, "mode='mean'"),
        (lambda x: np.pad(x, -1), ArgumentError, "widths must be"),
        (lambda x: np.pad(x, 1, mode="reflect", reflect_type="odd"), ArgumentError, "reflect_type"),
        (lambda x: np.pad(x, 1, stat_length=3), ArgumentError, "stat_length="),
        (lambda x: np.repeat(x, -1), ArgumentError, "repeat"),
        (lambda x: np.repeat(x, [1, 2], axis=1), ShapeError, "2 repeats for an axis of length 3"),
        (lambda x: np.take(x, [7]), ShapeError, "index 7 is out of bounds"),
        (lambda x: np.take(x, [0.5]), ArgumentError, "take: indices must be integers"),
        (lambda x: np.take(x, [1], mode="?"), ArgumentError, "mode"),
        (lambda x: np.unique(x), DerivativeError, "unique"),
        (lambda x: np.quantile(x, 1.5), ArgumentError, "quantile: q is out"),
        (lambda x: np.quantile(x, x[0, 0]), ArgumentError, "q must be known"),
        (lambda x: np.quantile(x, 0.5, method="hazen"), ArgumentError, "method='hazen'"),
        (lambda x: np.average(x, weights=[1.0, 2.0]), ArgumentError, "average: weights of shape"),
        (lambda x: np.histogram(x), DTypeError, "numpy.histogram is not available"),
        (lambda x: np.fft.fft(x), DTypeError, "fft is not available"),
        (lambda x: np.sort(x, order="f"), ArgumentError, "order="),
        (lambda x: np.cov(x, fweights=[1, 2, 3]), ArgumentError, "fweights="),
        (lambda x: np.nan_to_num(x, out=x), TypeError, "out"),
        (lambda x: np.clip(x, 0, 1, dtype=np.float32), ArgumentError, "dtype="),
        (lambda x: np.linspace(x, 1.0, -1), ArgumentError, "number of points"),
        (lambda x: np.choose([5], [x, x]), ArgumentError, "choose: the numbers"),
        (lambda x: np.interp(x, [0.0, 1.0], [1.0]), ShapeError, "interp"),
        (lambda x: np.convolve(x, x), ShapeError, "convolve: needs two sequences"),
        (lambda x: np.diff(x, n=-1), ArgumentError, "diff: n must not be negative"),
        (lambda x: np.copyto(np.zeros((2, 3)), x), ConversionError, "wengert.numpy"),
        (lambda x: np.full_like(np.ones(3), x[0, 0]), ConversionError, "wnp.full_like"),
        (lambda x: np.copyto(x.astype(int), x), DTypeError, "copyto: float64 is not cast"),
        (lambda x: np.put_along_axis(x, np.array([[0]]), 1.0, None), ArgumentError, "axis=None"),
        (lambda x: np.select([x > 0], [x, x]), ArgumentError, "select"),
        (lambda x: np.array([x, x]), ConversionError, "wengert.numpy"),
    ],
)
def test_errors_name_the_function_and_the_argument(f, error, match):
    with pytest.raises(error, match=match):
        grad(lambda x: np.sum(f(x)))(X)


def test_errors_name_the_users_line():
    with pytest.raises(ShapeError, match=r"At test_functions_numpy\.py:\d+\."):
        grad(lambda x: np.sum(x, axis=5))(X)


# ---------------------------------------------------------------- conventions of derivatives


def test_conventions_at_points_without_a_derivative():
    assert (grad(lambda x: np.std(x))(np.ones(3)) == 0.0).all()
    assert (grad(lambda x: np.linalg.norm(x))(np.zeros(3)) == 0.0).all()
    np.testing.assert_allclose(grad(lambda x: np.max(x))(np.array([1.0, 3.0, 3.0])), [0, 0.5, 0.5])
    np.testing.assert_allclose(
        grad(lambda x: np.sum(np.clip(x, 0.0, 1.0)))(np.array([-1.0, 0.0, 0.5, 1.0, 2.0])),
        [0.0, 0.5, 1.0, 0.5, 0.0],
    )


def test_logsumexp_neither_overflows_nor_loses_its_gradient():
    big = np.array([1000.0, 1000.0, -1000.0])
    np.testing.assert_allclose(grad(wnp.logsumexp)(big), [0.5, 0.5, 0.0])
    np.testing.assert_allclose(grad(wnp.logsumexp)(np.full(2, -np.inf)), [0.0, 0.0])
    np.testing.assert_allclose(grad(wnp.logsumexp)(np.array([-np.inf, 0.0])), [0.0, 1.0])
    second = grad(lambda x: grad(wnp.logsumexp)(x)[0])(np.array([0.0, 0.0]))
    np.testing.assert_allclose(second, [0.25, -0.25])


def test_where_masks_the_branch_not_taken():
    f = lambda x: np.sum(np.where(x > 0, np.sqrt(np.abs(x)), 0.0))  # noqa: E731
    np.testing.assert_allclose(grad(f)(np.array([0.0, 4.0])), [0.0, 0.25])
    np.testing.assert_allclose(
        grad(lambda x: np.nanmean(x))(np.array([np.nan, 2.0, 3.0])), [0.0, 0.5, 0.5]
    )
    np.testing.assert_allclose(
        grad(lambda x: np.sum(np.log(x), where=x > 0))(np.array([0.0, 2.0])), [0.0, 0.5]
    )


def test_integers_carry_no_derivative():
    assert grad(lambda x: x * x.astype(int))(2.5) == 2.0
    assert grad(lambda x: x * np.floor(x))(2.5) == 2.0


def test_a_mean_in_half_precision_does_not_overflow():
    x = np.full(100, 1000.0, np.float16)
    gradient = grad(lambda x: np.mean(x))(x)
    assert gradient.dtype == np.float16
    np.testing.assert_allclose(gradient, 0.01, rtol=1e-3)
    assert grad(lambda x: (np.mean(x), np.mean(x)), has_aux=True)(x)[1] == np.mean(x) == 1000.0
