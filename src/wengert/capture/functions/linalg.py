"""`numpy.linalg`, apart from the products, which stand with the contractions."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from wengert.capture.functions import reducing
from wengert.capture.functions.contracting import matmul
from wengert.capture.functions.registry import (
    axes_of,
    axis_of,
    fresh,
    implements,
    kept_shape,
    operand,
    reshaped,
)
from wengert.capture.functions.selecting import known
from wengert.capture.functions.selecting import trace as _trace
from wengert.capture.functions.shaping import moveaxis, swapaxes
from wengert.errors import ArgumentError, ShapeError
from wengert.graph.tuples import NamedTuple
from wengert.ops import TABLE

__all__: list[str] = []

_project = TABLE["project"]


def _results(name: str, x: Any, count: int, **params: Any) -> list[Any]:
    whole = TABLE[name](x, **params)
    if isinstance(whole, tuple):  # computed at once: x is not traced, another operand was
        return list(whole)
    return [_project(whole, number=i) for i in range(count)]


# ---------------------------------------------------------------- systems and determinants


@implements(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """The solution x of a x = b; leading axes broadcast."""
    matrix, right = operand(a), operand(b)
    if matrix.ndim < 2 or not right.ndim:
        raise ShapeError(f"linalg.solve: shapes {matrix.shape} and {right.shape} are no system")
    vector = right.ndim == 1
    if vector:
        right = reshaped(right, (right.size, 1))
    lead = np.broadcast_shapes(matrix.shape[:-2], right.shape[:-2])
    solved = TABLE["solve"](_led(matrix, lead), _led(right, lead))
    return reshaped(solved, solved.shape[:-1]) if vector else solved


def _floating(x: Any) -> Any:
    a = operand(x)
    return a if a.dtype.kind == "f" else TABLE["cast"](a, dtype=np.dtype(float))


def _check_square(x: Any, name: str) -> None:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"linalg.{name}: needs square matrices, not shape {x.shape}")


def _led(x: Any, lead: tuple[int, ...]) -> Any:
    shape = (*lead, *x.shape[-2:])
    return x if x.shape == shape else TABLE["broadcast_to"](x, shape=shape)


@implements(np.linalg.inv)
def inv(a: Any) -> Any:
    """Inverse matrices."""
    x = operand(a)
    _check_square(x, "inv")
    one = np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape)
    return TABLE["solve"](x, one)


@implements(np.linalg.det)
def det(a: Any) -> Any:
    """Determinants."""
    return TABLE["det"](operand(a))


class SlogdetResult(NamedTuple):
    """What `slogdet` returns."""

    sign: Any
    logabsdet: Any


@implements(np.linalg.slogdet)
def slogdet(a: Any) -> SlogdetResult:
    """Sign and logarithm of the absolute value of determinants."""
    x = operand(a)
    return SlogdetResult(TABLE["sign_of_det"](x), TABLE["logabsdet"](x))


@implements(np.linalg.matrix_power)
def matrix_power(a: Any, n: Any) -> Any:
    """Matrices multiplied with themselves, or their inverses if n is negative."""
    x = operand(a)
    count = operator.index(n)
    _check_square(x, "matrix_power")
    if count < 0:
        x, count = inv(x), -count
    result = None
    while count:  # by squaring
        if count & 1:
            result = x if result is None else matmul(result, x)
        count >>= 1
        if count:
            x = matmul(x, x)
    if result is None:
        return np.array(np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape))
    return fresh(result)


# ---------------------------------------------------------------- factorisations


@implements(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """Lower (or upper) triangular factors of positive definite matrices."""
    x = operand(a)
    if upper:
        return swapaxes(TABLE["cholesky"](swapaxes(x, -1, -2)), -1, -2)
    return TABLE["cholesky"](x)


class EighResult(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Any
    eigenvectors: Any


@implements(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> EighResult:
    """Eigenvalues and eigenvectors of symmetric matrices, of which one triangle is read."""
    if UPLO.upper() not in ("L", "U"):
        raise ArgumentError(f"linalg.eigh: UPLO must be 'L' or 'U', not {UPLO!r}")
    return EighResult(*_results("eigh", operand(a), 2, lower=UPLO.upper() == "L"))


@implements(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues of symmetric matrices, of which one triangle is read."""
    return eigh(a, UPLO).eigenvalues


class SVDResult(NamedTuple):
    """What `svd` returns."""

    U: Any
    S: Any
    Vh: Any


@implements(np.linalg.svd)
def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """Singular value decomposition, reduced unless the matrices are square."""
    x = operand(a)
    if hermitian:
        raise ArgumentError(
            "linalg.svd: hermitian=True is not available for traced values",
            hint="use np.linalg.eigh",
        )
    if compute_uv and full_matrices and x.shape[-1] != x.shape[-2]:
        raise ArgumentError(
            "linalg.svd: with full_matrices=True the vectors beyond the rank have no derivative",
            hint="pass full_matrices=False",
        )
    results = _results("svd", x, 3)
    return SVDResult(*results) if compute_uv else results[1]


@implements(getattr(np.linalg, "svdvals", None))
def svdvals(x: Any, /) -> Any:
    """Singular values."""
    return svd(x, False, False)


class QRResult(NamedTuple):
    """What `qr` returns."""

    Q: Any
    R: Any


@implements(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """QR decomposition of matrices with at least as many rows as columns."""
    if mode not in ("reduced", "r"):
        raise ArgumentError(
            f"linalg.qr: mode={mode!r} is not available for traced values",
            hint="use mode='reduced'",
        )
    q, r = _results("qr", operand(a), 2)
    return r if mode == "r" else QRResult(q, r)


@implements(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, *, rtol: Any = None) -> Any:
    """Pseudoinverses; their derivative is that at constant rank."""
    x = _floating(a)
    if rcond is not None and rtol is not None:
        raise ArgumentError("linalg.pinv: rcond and rtol can't be given both")
    limit = rcond if rtol is None else rtol
    if limit is None:
        limit = 1e-15 if rtol is None else max(x.shape[-2:]) * np.finfo(x.dtype).eps
    return TABLE["pinv"](x, rcond=float(limit))


@implements(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Any, Any, Any, Any]:
    """Least squares; the derivative is that at constant rank."""
    x, y = _floating(a), operand(b)
    if x.ndim != 2 or y.ndim not in (1, 2):
        raise ShapeError(f"linalg.lstsq: shapes {x.shape} and {y.shape} are no system")
    limit = max(x.shape) * np.finfo(x.dtype).eps if rcond is None else float(rcond)
    solution = matmul(TABLE["pinv"](x, rcond=float(limit)), y)
    values = svdvals(x)
    numbers = known(values)
    rank = np.int32(np.sum(numbers > limit * numbers.max(initial=0.0)))
    if rank == x.shape[1] < x.shape[0]:
        rest = TABLE["square"](matmul(x, solution) - y)
        residuals = reducing.sum(rest, 0)
        residuals = reshaped(residuals, (residuals.size,))
    else:
        residuals = np.zeros(0, x.dtype)
    return solution, residuals, rank, values


@implements(np.linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False) -> Any:
    """Rank, as a number or NumPy array: it is locally constant."""
    return np.linalg.matrix_rank(known(operand(A)), tol, hermitian)


# ---------------------------------------------------------------- norms


def _vector_norm(x: Any, order: Any, axes: tuple[int, ...]) -> Any:
    if order in (None, 2):
        return reducing.nonzero_root(TABLE["reduce_sum"](TABLE["square"](x), axes=axes))
    size = TABLE["absolute"](x)
    if order == np.inf:
        return TABLE["reduce_max"](size, axes=axes)
    if order == -np.inf:
        return TABLE["reduce_min"](size, axes=axes)
    if order == 0:
        return reducing.sum(x != 0, axes, x.dtype)
    if order == 1:
        return TABLE["reduce_sum"](size, axes=axes)
    if isinstance(order, str):
        raise ArgumentError(f"linalg.norm: ord={order!r} is for matrices")
    total = TABLE["reduce_sum"](size**order, axes=axes)
    root = total ** (1.0 / order)
    return TABLE["where"](total != 0, root, root.dtype.type(0)) if order > 0 else root


def _matrix_norm(x: Any, order: Any, axes: tuple[int, int]) -> Any:
    rows, columns = axes
    if order in (None, "fro", "f"):
        return _vector_norm(x, 2, tuple(sorted(axes)))
    if order in ("nuc", 2, -2):
        values = svdvals(moveaxis(x, axes, (-2, -1)))
        name = {"nuc": "sum", 2: "max", -2: "min"}[order]
        return TABLE[f"reduce_{name}"](values, axes=(values.ndim - 1,))
    if order in (1, -1, np.inf, -np.inf):
        summed, other = (rows, columns) if abs(order) == 1 else (columns, rows)
        sums = TABLE["reduce_sum"](TABLE["absolute"](x), axes=(summed,))
        left = other - (summed < other)
        return TABLE["reduce_max" if order > 0 else "reduce_min"](sums, axes=(left,))
    raise ArgumentError(f"linalg.norm: ord={order!r} is no norm of matrices")


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Norms of vectors and matrices; where a norm is 0 its derivative is taken as 0."""
    a = _floating(x)
    if axis is None:
        axes: Any = tuple(range(a.ndim))
        if ord is None:
            result = _vector_norm(a, 2, axes)
            return reshaped(result, (1,) * a.ndim) if keepdims else result
        if a.ndim not in (1, 2):
            raise ShapeError(f"linalg.norm: ord={ord!r} needs one or two axes, not {a.shape}")
    else:
        axes = axis if isinstance(axis, (tuple, list)) else (axis,)
        axes = tuple(axis_of(i, a.ndim, "linalg.norm") for i in axes)
    if len(axes) == 1:
        result = _vector_norm(a, ord, axes)
    elif len(axes) == 2 and axes[0] != axes[1]:
        result = _matrix_norm(a, ord, axes)
    else:
        raise ArgumentError(f"linalg.norm: axis={axis!r} must be one axis or two different ones")
    return reshaped(result, kept_shape(a.shape, axes)) if keepdims else result


@implements(getattr(np.linalg, "vector_norm", None))
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """Norms of vectors, over any axes."""
    a = _floating(x)
    axes = axes_of(axis, a.ndim, "linalg.vector_norm")
    result = _vector_norm(a, ord, axes)
    return reshaped(result, kept_shape(a.shape, axes)) if keepdims else result


@implements(getattr(np.linalg, "matrix_norm", None))
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """Norms of matrices in the last two axes."""
    return norm(x, ord, (-2, -1), keepdims)


@implements(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """Condition numbers."""
    a = operand(x)
    if p in (None, 2, -2):
        values = svdvals(a)
        n = values.ndim - 1
        large = TABLE["reduce_max"](values, axes=(n,))
        small = TABLE["reduce_min"](values, axes=(n,))
        return small / large if p == -2 else large / small
    return norm(a, p, (-2, -1)) * norm(inv(a), p, (-2, -1))


@implements(getattr(np.linalg, "trace", None))
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """Sums along the diagonals of the last two axes."""
    return _trace(x, offset, -2, -1, dtype)
