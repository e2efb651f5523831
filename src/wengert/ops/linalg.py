"""Dense linear algebra over the last two axes; axes before them are a batch.

Sources of the derivatives: M. Giles, "An extended collection of matrix derivative results for
forward and reverse mode algorithmic differentiation" (2008); I. Murray, "Differentiation of the
Cholesky decomposition" (2016); J. Townsend, "Differentiating the singular value decomposition"
(2016); G. Golub and V. Pereyra (1973) for the pseudoinverse.

Conventions: `cholesky` and `eigh` read one triangle only, as NumPy does, and their derivative is
that of the function which reads it: the other triangle has derivative 0. Where eigenvalues or
singular values coincide, the vectors have no derivative: it is inf or NaN, never a finite number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.graph.types import Type
from wengert.ops.calling import project
from wengert.ops.contracting import contract
from wengert.ops.linear import discrete, general, linear
from wengert.ops.record import TABLE, Op, dtype_error, type_error
from wengert.ops.structural import broadcast_to, draw, reduce_sum, reshape, transpose

__all__ = ["swapped"]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _lapack_dtype(op: Op, kinds: Sequence[Any]) -> Sequence[Any]:
    """Single or double precision; integers become double."""
    common = np.result_type(*[np.dtype(k) for k in kinds])
    if common.kind in "iub":
        common = np.dtype(float)
    if common.kind != "f" or common.itemsize not in (4, 8):
        raise dtype_error(op, kinds)
    return (common,) * len(kinds)


def _check_square(op: Any, types: Sequence[Type]) -> Type:
    a = types[0]
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise type_error(op, "square matrices in the last two axes of operand 0", types)
    return a


def _square_type(op: Any, a: Type, **_: Any) -> Type:
    return _check_square(op, [a])


def _over_batch(name: str) -> Callable[..., Any]:
    """The batch rule of an operator of one operand that takes leading axes by itself."""
    return lambda args, batched, size, **params: TABLE[name](args[0], **params)


# ---------------------------------------------------------------- helpers for the rules


def swapped(x: Any) -> Any:
    """The last two axes exchanged."""
    n = x.ndim
    return transpose(x, axes=(*range(n - 2), n - 1, n - 2))


def _times(a: Any, b: Any) -> Any:
    """Product of stacks of matrices with equal leading axes."""
    lead = _LETTERS[: a.ndim - 2]
    return contract(a, b, spec=f"{lead}ij,{lead}jk->{lead}ik")


def _diagonal(x: Any) -> Any:
    return TABLE["diagonal"](x, offset=0, axis1=x.ndim - 2, axis2=x.ndim - 1)


def _column(x: Any) -> Any:
    return reshape(x, shape=(*x.shape, 1))


def _row(x: Any) -> Any:
    return reshape(x, shape=(*x.shape[:-1], 1, x.shape[-1]))


def _below(n: int, m: int, dtype: Any, k: int = 0) -> Any:
    return np.tri(n, m, k, dtype=dtype)


def _half_below(x: Any) -> Any:
    """The lower triangle, with half of the diagonal."""
    n = x.shape[-1]
    mask = (np.tri(n) + np.tri(n, k=-1)) / 2
    return x * mask.astype(x.dtype)


def _mirrored(t: Any, lower: bool = True) -> Any:
    """The symmetric matrix of which one triangle is given."""
    n = t.shape[-1]
    mask = np.tri(n, dtype=t.dtype)
    strict = np.tri(n, k=-1, dtype=t.dtype)
    if lower:
        return t * mask + swapped(t * strict)
    return t * mask.T + swapped(t * strict.T)


# ---------------------------------------------------------------- linear systems


def _solve_type(op: Any, a: Type, b: Type) -> Type:
    _check_square(op, [a, b])
    if b.shape[:-1] != a.shape[:-1]:
        raise type_error(op, "right-hand sides with as many rows, and equal leading axes", [a, b])
    return b


def _solve_transpose(k: int, ct: Any, a: Any, b: Any) -> Any:
    return solve(swapped(a), ct)


def _solve_jvp(k: int, y: Any, xs: Any, a_dot: Any) -> Any:
    return -solve(xs[0], _times(a_dot, y))


def _solve_batch(args: Any, batched: Any, size: int) -> Any:
    a, b = args
    if not batched[0] and a._type.ndim == 2:  # one factorisation serves the whole batch
        n, columns = b._type.shape[1:]
        wide = reshape(transpose(b, axes=(1, 0, 2)), shape=(n, size * columns))
        solved = reshape(solve(a, wide), shape=(n, size, columns))
        return transpose(solved, axes=(1, 0, 2))
    a, b = (
        x if is_batched else broadcast_to(x, shape=(size, *x._type.shape))
        for x, is_batched in zip(args, batched, strict=True)
    )
    return solve(a, b)


def _regular(rng: Any, dtype: Any, *shape: int) -> Any:
    n = shape[-1]
    return draw(rng, dtype, *shape) * dtype.type(0.3) + (2 * np.eye(n)).astype(dtype)


def _solve_samples(rng: Any, dtype: Any) -> Any:
    dtype = np.dtype(dtype)
    return [
        ((_regular(rng, dtype, 3, 3), draw(rng, dtype, 3, 2)), {}),
        ((_regular(rng, dtype, 2, 3, 3), draw(rng, dtype, 2, 3, 1)), {}),
    ]


@linear(
    linear_in=((1,),),
    transpose=_solve_transpose,
    jvp=_solve_jvp,
    value=np.linalg.solve,
    type=_solve_type,
    batch=_solve_batch,
    promote=_lapack_dtype,
    symbol="solve",
    latex=r"{0}^{{-1}} {1}",
    samples=_solve_samples,
    source="Giles 2008, section 2.3.1",
    can_fail=True,
)
def solve(a: Any, b: Any) -> Any:
    """The solution x of a x = b, for stacks of square matrices and of right-hand sides."""


# ---------------------------------------------------------------- determinants


def _scalar_type(op: Any, a: Type) -> Type:
    return _check_square(op, [a]).with_shape(a.shape[:-2])


def _cofactors(a: Any) -> Any:
    # det(a) a^-T from the singular values, so that it is right for singular matrices too.
    u, s, vh = np.linalg.svd(a)
    n = a.shape[-1]
    others = np.ones((*s.shape, n), a.dtype) * s[..., None, :]
    others[..., np.arange(n), np.arange(n)] = 1
    sign = (np.linalg.det(u) * np.linalg.det(vh))[..., None, None]
    return (sign * (u * np.prod(others, axis=-1)[..., None, :]) @ vh).astype(a.dtype)


def _cofactor_jvp(y: Any, xs: Any, tangents: Any) -> Any:
    # From det(a) a^-T by the product rule; this one needs a regular matrix.
    (a,), (t,) = xs, tangents
    ratio = solve(swapped(a), swapped(t))
    trace = _column(_column(reduce_sum(_diagonal(ratio), axes=(ratio.ndim - 2,))))
    return y * trace - _times(ratio, y)


def _matrix_samples(rng: Any, dtype: Any) -> Any:
    dtype = np.dtype(dtype)
    return [((_regular(rng, dtype, 3, 3),), {}), ((_regular(rng, dtype, 2, 2, 2),), {})]


@general(
    value=_cofactors,
    type=_square_type,
    jvp=_cofactor_jvp,
    promote=_lapack_dtype,
    batch=_over_batch("cofactors"),
    symbol="cofactors",
    latex=r"\operatorname{{cof}} {0}",
    samples=_matrix_samples,
    can_fail=True,
)
def cofactors(a: Any) -> Any:
    """The cofactors, det(a) times the transposed inverse, defined for singular matrices too."""


def _det_jvp(y: Any, xs: Any, tangents: Any) -> Any:
    (a,), (t,) = xs, tangents
    return reduce_sum(cofactors(a) * t, axes=(a.ndim - 2, a.ndim - 1))


@general(
    value=lambda a: np.linalg.det(a),
    type=_scalar_type,
    jvp=_det_jvp,
    promote=_lapack_dtype,
    batch=_over_batch("det"),
    symbol="det",
    latex=r"\det {0}",
    samples=_matrix_samples,
    source="Giles 2008, section 2.2.4",
)
def det(a: Any) -> Any:
    """Determinant; its derivative is right for singular matrices too."""


def _logdet_jvp(y: Any, xs: Any, tangents: Any) -> Any:
    ratio = solve(xs[0], tangents[0])
    return reduce_sum(_diagonal(ratio), axes=(ratio.ndim - 2,))


@general(
    value=lambda a: np.linalg.slogdet(a)[1],
    type=_scalar_type,
    jvp=_logdet_jvp,
    promote=_lapack_dtype,
    batch=_over_batch("logabsdet"),
    symbol="ln|det|",
    latex=r"\ln \lvert \det {0} \rvert",
    samples=_matrix_samples,
)
def logabsdet(a: Any) -> Any:
    """Logarithm of the absolute value of the determinant, without overflow."""


@discrete(
    value=lambda a: np.linalg.slogdet(a)[0],
    type=_scalar_type,
    promote=_lapack_dtype,
    batch=_over_batch("sign_of_det"),
    symbol="sign det",
    latex=r"\operatorname{{sign}} \det {0}",
    samples=_matrix_samples,
)
def sign_of_det(a: Any) -> Any:
    """Sign of the determinant: -1, 0 or 1."""


# ---------------------------------------------------------------- factorisations


def _cholesky_jvp(y: Any, xs: Any, tangents: Any) -> Any:
    inner = solve(y, swapped(solve(y, _mirrored(tangents[0]))))
    return _times(y, _half_below(inner))


def _definite_samples(rng: Any, dtype: Any) -> Any:
    dtype = np.dtype(dtype)
    roots = _regular(rng, dtype, 3, 3), _regular(rng, dtype, 2, 2, 2)
    return [((r @ np.swapaxes(r, -1, -2),), {}) for r in roots]


@general(
    value=lambda a: np.linalg.cholesky(a),
    type=_square_type,
    jvp=_cholesky_jvp,
    promote=_lapack_dtype,
    batch=_over_batch("cholesky"),
    symbol="cholesky",
    latex=r"\operatorname{{chol}} {0}",
    samples=_definite_samples,
    source="Murray 2016",
    can_fail=True,
)
def cholesky(a: Any) -> Any:
    """The lower triangular L with L L' = a, read from the lower triangle of a."""


def _differences(w: Any) -> Any:
    """1 / (w_j - w_i), and 0 on the diagonal; infinite where two coincide."""
    n = w.shape[-1]
    eye = np.eye(n, dtype=w.dtype)
    return (1.0 - eye) / (_row(w) - _column(w) + eye)


def _eigh_type(op: Any, a: Type, lower: bool) -> Any:
    _check_square(op, [a])
    return (a.with_shape(a.shape[:-1]), a)


def _eigh_jvp(y: Any, xs: Any, tangents: Any, lower: bool) -> Any:
    w, v = project(y, number=0), project(y, number=1)
    inner = _times(swapped(v), _times(_mirrored(tangents[0], lower), v))
    return [_diagonal(inner), _times(v, inner * _differences(w))]


@general(
    value=lambda a, lower: tuple(np.linalg.eigh(a, "L" if lower else "U")),
    type=_eigh_type,
    jvp=_eigh_jvp,
    promote=_lapack_dtype,
    batch=_over_batch("eigh"),
    symbol="eigh",
    latex=r"\operatorname{{eigh}} {0}",
    samples=lambda rng, dtype: [],
    source="Giles 2008, section 3.1",
    can_fail=True,
)
def eigh(a: Any, *, lower: bool) -> Any:
    """Eigenvalues and eigenvectors of symmetric matrices, of which one triangle is read."""


def _svd_type(op: Any, a: Type) -> Any:
    if a.ndim < 2:
        raise type_error(op, "two axes at least", [a])
    *lead, m, n = a.shape
    k = min(m, n)
    return (a.with_shape((*lead, m, k)), a.with_shape((*lead, k)), a.with_shape((*lead, k, n)))


def _svd_jvp(y: Any, xs: Any, tangents: Any) -> Any:
    u, s, vh = (project(y, number=i) for i in range(3))
    t, v = tangents[0], swapped(vh)
    m, n = t.shape[-2:]
    k = s.shape[-1]
    inner = _times(swapped(u), _times(t, v))
    turned = swapped(inner)
    f = _differences(s * s)
    u_dot = _times(u, f * (inner * _row(s) + _column(s) * turned))
    v_dot = _times(v, f * (_column(s) * inner + turned * _row(s)))
    if m > k:
        outside = _times(t, v) / _row(s)
        u_dot = u_dot + outside - _times(u, _times(swapped(u), outside))
    if n > k:
        outside = _times(swapped(t), u) / _row(s)
        v_dot = v_dot + outside - _times(v, _times(vh, outside))
    return [u_dot, _diagonal(inner), swapped(v_dot)]


@general(
    value=lambda a: tuple(np.linalg.svd(a, full_matrices=False)),
    type=_svd_type,
    jvp=_svd_jvp,
    promote=_lapack_dtype,
    batch=_over_batch("svd"),
    symbol="svd",
    latex=r"\operatorname{{svd}} {0}",
    samples=lambda rng, dtype: [],
    source="Townsend 2016",
    can_fail=True,
)
def svd(a: Any) -> Any:
    """Reduced singular value decomposition: u, s and v' with a = u s v'."""


def _qr_type(op: Any, a: Type) -> Any:
    if a.ndim < 2 or a.shape[-2] < a.shape[-1]:
        raise type_error(op, "at least as many rows as columns", [a])
    *lead, _, n = a.shape
    return (a, a.with_shape((*lead, n, n)))


def _qr_jvp(y: Any, xs: Any, tangents: Any) -> Any:
    q, r = project(y, number=0), project(y, number=1)
    ratio = swapped(solve(swapped(r), swapped(tangents[0])))  # t r^-1
    inner = _times(swapped(q), ratio)
    n = inner.shape[-1]
    low = inner * _below(n, n, inner.dtype, -1)
    turn = low - swapped(low)
    q_dot = _times(q, turn - inner) + ratio
    return [q_dot, _times(inner - turn, r)]


@general(
    value=lambda a: tuple(np.linalg.qr(a)),
    type=_qr_type,
    jvp=_qr_jvp,
    promote=_lapack_dtype,
    batch=_over_batch("qr"),
    symbol="qr",
    latex=r"\operatorname{{qr}} {0}",
    samples=lambda rng, dtype: [],
    source="S. Walter, L. Lehmann, Algorithmic differentiation of linear algebra (2010)",
    can_fail=True,
)
def qr(a: Any) -> Any:
    """Reduced QR decomposition of matrices with at least as many rows as columns."""


# ---------------------------------------------------------------- pseudoinverse


def _pinv_type(op: Any, a: Type, rcond: float) -> Type:
    if a.ndim < 2:
        raise type_error(op, "two axes at least", [a])
    return a.with_shape((*a.shape[:-2], a.shape[-1], a.shape[-2]))


def _pinv_jvp(y: Any, xs: Any, tangents: Any, rcond: float) -> Any:
    (a,), (t,) = xs, tangents
    turned = swapped(t)
    first = _times(y, _times(t, y))
    left = _times(y, _times(swapped(y), turned))
    right = _times(turned, _times(swapped(y), y))
    return left - _times(_times(left, a), y) + right - _times(y, _times(a, right)) - first


def _pinv_samples(rng: Any, dtype: Any) -> Any:
    tall = draw(rng, dtype, 4, 2)
    tall[:2] += 2 * np.eye(2, dtype=dtype)
    return [((tall,), {"rcond": 1e-5}), ((tall.T.copy(),), {"rcond": 1e-5})]


@general(
    value=lambda a, rcond: np.linalg.pinv(a, rcond),
    type=_pinv_type,
    jvp=_pinv_jvp,
    promote=_lapack_dtype,
    batch=_over_batch("pinv"),
    symbol="pinv",
    latex=r"{0}^{{+}}",
    samples=_pinv_samples,
    source="Golub and Pereyra 1973",
    can_fail=True,
)
def pinv(a: Any, *, rcond: float) -> Any:
    """Pseudoinverse; its derivative is that at constant rank."""
