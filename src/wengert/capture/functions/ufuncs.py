"""NumPy's universal functions, their methods, and those of SciPy that are ufuncs too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from wengert.capture import indexing
from wengert.capture.functions import contracting, reducing
from wengert.capture.functions.registry import fresh, implements, into, operand, reshaped
from wengert.capture.variable import UFUNC_METHODS, UFUNCS, Variable, raise_to
from wengert.errors import ArgumentError, ConversionError
from wengert.graph import Traced
from wengert.ops import TABLE

__all__ = ["Spelling"]


class Spelling:
    """A ufunc made of operators, with the `name` and the call of one."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.function = function
        # The types that a variable looks up for its short way of recording: a spelling has none.
        self._inferred: dict[Any, Any] = {}

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


def spelled(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function of the operands as the ufuncs with these names."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            UFUNCS[name] = Spelling(name, function)
        return function

    return register


def method(kind: str, *names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the implementation of a ufunc's method, such as ("reduce", "add")."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            UFUNC_METHODS[kind, name] = function
        return function

    return register


# An operator that has a ufunc's name serves it; the names of others are no ufunc's.
UFUNCS.update({name: op for name, op in TABLE.items() if op.family == "elementwise"})
#: Ufuncs by which operator serves them under another name.
_ALIASES = {
    "deg2rad": "radians",
    "rad2deg": "degrees",
    "expit": "sigmoid",
    "psi": "digamma",
}
UFUNCS.update({name: TABLE[target] for name, target in _ALIASES.items()})


def _floating(x: Any) -> Any:
    # In the float dtype that NumPy's ufuncs choose: float16 for bools and int8, ….
    if isinstance(x, (int, float)):
        return float(x)
    x = operand(x)
    return (
        x
        if x.dtype.kind == "f"
        else TABLE["cast"](x, dtype=np.sqrt.resolve_dtypes((x.dtype, None))[0])
    )


@spelled("conjugate")
def conjugate(x: Any) -> Any:
    """The value itself: traced values are real."""
    return fresh(operand(x))


@spelled("power")
def power(x1: Any, x2: Any) -> Any:
    """x1 to the power x2."""
    return raise_to(x1, x2) if isinstance(x1, Traced) else TABLE["power"](x1, x2)


@spelled("float_power")
def float_power(x1: Any, x2: Any) -> Any:
    """x1 to the power x2, in double precision at least."""
    wide = np.result_type(operand(x1).dtype, float)
    return TABLE["power"](TABLE["cast"](operand(x1), dtype=wide), x2)


@spelled("fabs")
def fabs(x: Any) -> Any:
    """Absolute value, as a float."""
    return TABLE["absolute"](_floating(x))


@spelled("heaviside")
def heaviside(x1: Any, x2: Any) -> Any:
    """0 below 0, 1 above 0, and x2 at 0."""
    x1, x2 = _floating(x1), _floating(x2)
    return TABLE["where"](TABLE["equal"](x1, 0.0), x2, (TABLE["sign"](x1) + 1.0) / 2.0)


UFUNCS["matmul"] = Spelling("matmul", contracting.matmul)
UFUNCS["matvec"] = Spelling("matvec", contracting.matvec)
UFUNCS["vecmat"] = Spelling("vecmat", contracting.vecmat)


@method("__call__", "vecdot")
def vecdot(x1: Any, x2: Any, axis: int = -1, out: Any = None, **kwargs: Any) -> Any:
    """Scalar product along an axis."""
    _refuse("vecdot", kwargs)
    result = contracting.vecdot(x1, x2, axis=axis)
    return result if out is None else into(out, result, "vecdot")


# ---------------------------------------------------------------- several results


@method("__call__", "divmod")
def divmod_(x1: Any, x2: Any, **kwargs: Any) -> tuple[Any, Any]:
    """Quotient of floor division, and remainder."""
    _refuse("divmod", kwargs)
    return TABLE["floor_divide"](x1, x2), TABLE["remainder"](x1, x2)


@method("__call__", "modf")
def modf(x: Any, **kwargs: Any) -> tuple[Any, Any]:
    """Fraction and whole part, both with the sign of x."""
    _refuse("modf", kwargs)
    x = _floating(x)
    whole = TABLE["trunc"](x)
    rest = TABLE["where"](TABLE["isinf"](x), x.dtype.type(0), x - whole)
    return TABLE["copysign"](TABLE["absolute"](rest), x), whole


@method("__call__", "frexp")
def frexp(x: Any, **kwargs: Any) -> tuple[Any, Any]:
    """Mantissa and integer exponent."""
    _refuse("frexp", kwargs)
    x = _floating(x)
    exponent = TABLE["frexp_exponent"](x)
    return TABLE["ldexp"](x, -exponent), exponent


def _refuse(name: str, kwargs: dict[str, Any]) -> None:
    neutral = {
        "where": True,
        "casting": "same_kind",
        "order": "K",
        "subok": True,
        "out": None,
        "dtype": None,
    }
    for key, value in kwargs.items():
        if key not in neutral or (value is not neutral[key] and value != neutral[key]):
            raise ArgumentError(
                f"np.{name}: the argument {key}= is not available for traced values"
            )


# ---------------------------------------------------------------- SciPy's


@spelled("logit")
def logit(x: Any) -> Any:
    """log(x / (1 - x))."""
    x = _floating(x)
    return TABLE["log"](x) - TABLE["log1p"](-x)


@spelled("log_expit")
def log_expit(x: Any) -> Any:
    """Logarithm of the logistic function, without overflow."""
    return -TABLE["softplus"](-_floating(x))


@spelled("xlogy")
def xlogy(x: Any, y: Any) -> Any:
    """x * log(y), and 0 where x is 0 (unless y is NaN)."""
    return _product_or_zero(x, TABLE["log"](y), y)


@spelled("xlog1py")
def xlog1py(x: Any, y: Any) -> Any:
    """x * log(1 + y), and 0 where x is 0 (unless y is NaN)."""
    return _product_or_zero(x, TABLE["log1p"](y), y)


def _product_or_zero(x: Any, factor: Any, y: Any) -> Any:
    x = _floating(x)
    return TABLE["where"](TABLE["equal"](x, 0.0) & ~TABLE["isnan"](y), 0.0, x * factor)


@spelled("entr")
def entr(x: Any) -> Any:
    """-x * log(x), 0 at 0, -inf below."""
    x = _floating(x)
    value = TABLE["where"](x == 0, x.dtype.type(0), -x * TABLE["log"](x))
    return TABLE["where"](x < 0, x.dtype.type(-np.inf), value)


@spelled("ndtr")
def ndtr(x: Any) -> Any:
    """Distribution function of the standard normal distribution."""
    return 0.5 * TABLE["erfc"](_floating(x) * -math.sqrt(0.5))


@spelled("exp10")
def exp10(x: Any) -> Any:
    """10 to the power x."""
    return TABLE["power"](10.0, _floating(x))


@spelled("betaln")
def betaln(a: Any, b: Any) -> Any:
    """Logarithm of the absolute value of the beta function."""
    a, b = _floating(a), _floating(b)
    return TABLE["gammaln"](a) + TABLE["gammaln"](b) - TABLE["gammaln"](a + b)


# ---------------------------------------------------------------- methods


def _reduction(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def reduce(array: Any, axis: Any = 0, out: Any = None, **kwargs: Any) -> Any:
        x = operand(array)
        if kwargs.get("dtype", 0) is None or name in _UNTYPED:
            kwargs.pop("dtype", None)
        axis = None if not x.ndim else axis
        result = function(x, axis, **kwargs)
        return result if out is None else into(out, result, f"{name}.reduce")

    return reduce


def _logaddexp(a: Any, axis: Any, keepdims: bool = False, **kwargs: Any) -> Any:
    _refuse("logaddexp.reduce", kwargs)
    return reducing.logsumexp(a, axis, keepdims=keepdims)


_REDUCTIONS = {
    "add": reducing.sum,
    "multiply": reducing.prod,
    "maximum": reducing.max,
    "minimum": reducing.min,
    "logaddexp": _logaddexp,
    "logical_and": reducing.all,
    "logical_or": reducing.any_,
}
_UNTYPED = ("maximum", "minimum", "logaddexp", "logical_and", "logical_or")
for _name, _function in _REDUCTIONS.items():
    UFUNC_METHODS["reduce", _name] = _reduction(_function, _name)


def _accumulation(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def accumulate(array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        result = function(array, axis, dtype)
        return result if out is None else into(out, result, f"{name}.accumulate")

    return accumulate


UFUNC_METHODS["accumulate", "add"] = _accumulation(reducing.cumsum, "add")
UFUNC_METHODS["accumulate", "multiply"] = _accumulation(reducing.cumprod, "multiply")


def _outer(op: Any) -> Callable[..., Any]:
    def outer(a: Any, b: Any, **kwargs: Any) -> Any:
        _refuse(f"{op.name}.outer", kwargs)
        x, y = operand(a), operand(b)
        return op(reshaped(x, tuple(x.shape) + (1,) * y.ndim), y)

    return outer


for _name, _op in list(UFUNCS.items()):
    _ufunc = getattr(np, _name, None)
    if isinstance(_ufunc, np.ufunc) and _ufunc.nin == 2 and _ufunc.signature is None:
        UFUNC_METHODS["outer", _name] = _outer(_op)


@method("at", "add")
def add_at(target: Any, indices: Any, values: Any) -> None:
    """x[indices] += values, with values at the same place added up."""
    if not isinstance(target, Variable):
        raise ConversionError(
            "np.add.at: a traced value can't be added into a NumPy array",
            hint="make the array with wengert.numpy, for instance wnp.zeros(n)",
        )
    target[...] = target + indexing.scattered(target, indices, values)


@method("at", "subtract")
def subtract_at(target: Any, indices: Any, values: Any) -> None:
    """x[indices] -= values, with values at the same place added up."""
    add_at(target, indices, -operand(values))


# ---------------------------------------------------------------- functions that act on elements


@implements(np.round, getattr(np, "around", None))
def round(a: Any, decimals: int = 0) -> Any:
    """Rounded to a number of decimals; locally constant."""
    x = operand(a)
    if decimals == 0 or x.dtype.kind != "f":
        return TABLE["rint"](x) if x.dtype.kind == "f" or decimals < 0 else fresh(x)
    scale = x.dtype.type(10.0 ** abs(decimals))
    if decimals > 0:
        return TABLE["rint"](x * scale) / scale
    return TABLE["rint"](x / scale) * scale


@implements(np.fix)
def fix(x: Any) -> Any:
    """Rounded towards zero; locally constant."""
    return TABLE["trunc"](operand(x))


@implements(np.sinc)
def sinc(x: Any) -> Any:
    """sin(pi x) / (pi x), and 1 at 0; every derivative at 0 is right up to the second."""
    angle = math.pi * _floating(x)
    small = TABLE["absolute"](angle) < _SERIES
    safe = TABLE["where"](small, angle.dtype.type(1), angle)
    square = angle * angle
    series = 1.0 - square / 6.0 * (
        1.0 - square / 20.0 * (1.0 - square / 42.0 * (1.0 - square / 72.0))
    )
    return TABLE["where"](small, series, TABLE["sin"](safe) / safe)


# Where the series stops at angle**8/9!: the next term is below 1e-16 of the result.
_SERIES = 0.05


@implements(np.real)
def real(val: Any) -> Any:
    """The value itself: traced values are real."""
    return operand(val)


@implements(np.real_if_close)
def real_if_close(a: Any, tol: float = 100) -> Any:
    """The value itself: traced values are real."""
    return operand(a)


@implements(np.imag)
def imag(val: Any) -> Any:
    """Zeros: traced values are real."""
    x = operand(val)
    return np.zeros(x.shape, x.dtype)


@implements(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """0 for positive numbers, pi (180 degrees) for negative ones; locally constant."""
    x = _floating(z)
    half = x.dtype.type(180.0 if deg else math.pi)
    return TABLE["where"](TABLE["signbit"](x), half, x.dtype.type(0))


@implements(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """Whether elements are equal within a tolerance."""
    x, y = operand(a), _floating(b)
    finite = TABLE["isfinite"](y)
    near = TABLE["absolute"](x - y) <= atol + rtol * TABLE["absolute"](y)
    result = (near & finite) | (x == y)
    return result | (TABLE["isnan"](x) & TABLE["isnan"](y)) if equal_nan else result


@implements(np.allclose)
def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """Whether all elements are equal within a tolerance."""
    return reducing.all(isclose(a, b, rtol, atol, equal_nan))


@implements(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Whether shapes and all elements are equal."""
    x, y = operand(a1), operand(a2)
    if x.shape != y.shape:
        return False
    same = x == y
    if equal_nan:
        same = same | ((x != x) & (y != y))
    return reducing.all(same)


@implements(np.array_equiv)
def array_equiv(a1: Any, a2: Any) -> Any:
    """Whether shapes broadcast and all elements are equal."""
    x, y = operand(a1), operand(a2)
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return False
    return reducing.all(x == y)


@implements(np.isposinf)
def isposinf(x: Any) -> Any:
    """Whether elements are +inf."""
    return operand(x) == np.inf


@implements(np.isneginf)
def isneginf(x: Any) -> Any:
    """Whether elements are -inf."""
    return operand(x) == -np.inf
