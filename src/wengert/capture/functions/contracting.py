"""Products that sum: spellings of the one primitive `contract`."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from wengert.capture.functions.registry import (
    axis_of,
    implements,
    operand,
    reshaped,
    view_of,
)
from wengert.capture.functions.shaping import moveaxis
from wengert.errors import ArgumentError, ShapeError
from wengert.ops import TABLE

__all__ = ["matmul", "vecdot"]

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _contract(a: Any, b: Any, spec: str) -> Any:
    return TABLE["contract"](a, b, spec=spec)


def _mismatch(name: str, a: Any, b: Any) -> ShapeError:
    return ShapeError(
        f"{name}: shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit: the axes that are "
        "summed over must have equal lengths",
        hint="transpose or reshape an operand",
    )


def _stacked(a: Any, b: Any, left: str, right: str, out: str, name: str) -> Any:
    """Contract the last axes by letters, the axes before them broadcast against each other."""
    rows, columns = a.shape[: a.ndim - len(left)], b.shape[: b.ndim - len(right)]
    core = dict(zip(left, a.shape[len(rows) :], strict=True))
    for c, n in zip(right, b.shape[len(columns) :], strict=True):
        if core.setdefault(c, n) != n:
            raise _mismatch(name, a, b)
    try:
        lead = np.broadcast_shapes(rows, columns)
    except ValueError:
        raise _mismatch(name, a, b) from None
    letters = _LETTERS[: len(lead)].upper() if len(lead) <= 26 else ""
    a, first = _lead_letters(a, rows, lead, letters, left)
    b, second = _lead_letters(b, columns, lead, letters, right)
    kept = "".join(c for c in letters if c in first or c in second)
    result = _contract(a, b, f"{first},{second}->{kept}{out}")
    return reshaped(result, (*lead, *(core[c] for c in out)))


def _lead_letters(
    x: Any, own: tuple[int, ...], lead: tuple[int, ...], letters: str, rest: str
) -> tuple[Any, str]:
    # An axis that is repeated by broadcasting has no letter; its length 1 is dropped.
    offset = len(lead) - len(own)
    kept = [i for i, n in enumerate(own) if n == lead[i + offset]]
    shape = tuple(own[i] for i in kept) + tuple(x.shape[len(own) :])
    return reshaped(x, shape), "".join(letters[i + offset] for i in kept) + rest


@implements(np.matmul, getattr(np.linalg, "matmul", None))
def matmul(x1: Any, x2: Any, /) -> Any:
    """Matrix product over the last two axes; the axes before them broadcast."""
    a, b = operand(x1), operand(x2)
    if a.ndim == 2 and b.ndim == 2:
        return _contract(a, b, "ij,jk->ik")
    if not a.ndim or not b.ndim:
        raise ShapeError("matmul: operands need one axis at least", hint="use x * y")
    left = "j" if a.ndim == 1 else "ij"
    right = "j" if b.ndim == 1 else "jk"
    out = left[:-1] + right[1:]
    return _stacked(a, b, left, right, out, "matmul")


@implements(np.vecdot, getattr(np.linalg, "vecdot", None))
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Scalar product along an axis; the others broadcast."""
    a, b = (moveaxis(x, axis, -1) for x in (operand(x1), operand(x2)))
    return _stacked(a, b, "j", "j", "", "vecdot")


@implements(getattr(np, "matvec", None))
def matvec(x1: Any, x2: Any, /) -> Any:
    """Matrix times vector over the last axes."""
    return _stacked(operand(x1), operand(x2), "ij", "j", "i", "matvec")


@implements(getattr(np, "vecmat", None))
def vecmat(x1: Any, x2: Any, /) -> Any:
    """Vector times matrix over the last axes."""
    return _stacked(operand(x1), operand(x2), "i", "ij", "j", "vecmat")


@implements(np.dot)
def dot(a: Any, b: Any) -> Any:
    """Sum of products over the last axis of a and the last but one of b."""
    x, y = operand(a), operand(b)
    if not x.ndim or not y.ndim:
        return x * y
    if x.ndim == 2 and y.ndim == 2:
        return _contract(x, y, "ij,jk->ik")
    return tensordot(x, y, ([x.ndim - 1], [max(y.ndim - 2, 0)]))


@implements(np.vdot)
def vdot(a: Any, b: Any, /) -> Any:
    """Scalar product of all elements."""
    x, y = operand(a), operand(b)
    if x.size != y.size:
        raise _mismatch("vdot", x, y)
    return _contract(reshaped(x, (x.size,)), reshaped(y, (y.size,)), "i,i->")


@implements(np.inner)
def inner(a: Any, b: Any, /) -> Any:
    """Sum of products over the last axes."""
    x, y = operand(a), operand(b)
    if not x.ndim or not y.ndim:
        return x * y
    return tensordot(x, y, ([x.ndim - 1], [y.ndim - 1]))


@implements(np.outer)
def outer(a: Any, b: Any) -> Any:
    """Products of all pairs of elements."""
    x, y = operand(a), operand(b)
    return _contract(reshaped(x, (x.size,)), reshaped(y, (y.size,)), "i,j->ij")


@implements(getattr(np.linalg, "outer", None))
def vector_outer(x1: Any, x2: Any, /) -> Any:
    """Products of all pairs of elements of two vectors."""
    if operand(x1).ndim != 1 or operand(x2).ndim != 1:
        raise ShapeError("linalg.outer: both operands must have one axis")
    return outer(x1, x2)


@implements(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Sum of products over given axes of both, or over the last of a and the first of b."""
    x, y = operand(a), operand(b)
    if isinstance(axes, (tuple, list)):
        first, second = (
            [axis_of(i, v.ndim, "tensordot") for i in (g if np.ndim(g) else [g])]
            for g, v in zip(axes, (x, y), strict=True)
        )
    else:
        count = operator.index(axes)
        if not 0 <= count <= min(x.ndim, y.ndim):
            raise ShapeError(f"tensordot: axes={axes} for shapes {x.shape} and {y.shape}")
        first, second = list(range(x.ndim - count, x.ndim)), list(range(count))
    if (
        len(first) != len(second)
        or len(set(first)) != len(first)
        or len(set(second)) != len(second)
    ):
        raise ArgumentError(f"tensordot: axes={axes!r} must name as many different axes of both")
    if any(x.shape[i] != y.shape[k] for i, k in zip(first, second, strict=True)):
        raise _mismatch("tensordot", x, y)
    if x.ndim + y.ndim > len(_LETTERS):
        raise ShapeError("tensordot: too many axes")
    left = list(_LETTERS[: x.ndim])
    right = list(_LETTERS[x.ndim : x.ndim + y.ndim])
    for i, k in zip(first, second, strict=True):
        right[k] = left[i]
    out = [c for i, c in enumerate(left) if i not in first]
    out += [c for k, c in enumerate(right) if k not in second]
    return _contract(x, y, f"{''.join(left)},{''.join(right)}->{''.join(out)}")


@implements(getattr(np.linalg, "tensordot", None))
def linalg_tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """As `tensordot`."""
    return tensordot(x1, x2, axes)


@implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    """Kronecker product."""
    x, y = operand(a), operand(b)
    rank = max(x.ndim, y.ndim)
    first, second = ((1,) * (rank - v.ndim) + tuple(v.shape) for v in (x, y))
    apart = reshaped(x, tuple(m for n in first for m in (n, 1)))
    other = reshaped(y, tuple(m for n in second for m in (1, n)))
    return reshaped(apart * other, tuple(m * n for m, n in zip(first, second, strict=True)))


@implements(np.cross)
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Any:
    """Vector product of vectors with three components."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if x.shape[-1] != 3 or y.shape[-1] != 3:
        raise ShapeError(
            f"cross: vectors must have 3 components, not {x.shape[-1]} and {y.shape[-1]}"
        )
    first = [x[..., i] for i in range(3)]
    second = [y[..., i] for i in range(3)]
    parts = [
        first[(i + 1) % 3] * second[(i + 2) % 3] - first[(i + 2) % 3] * second[(i + 1) % 3]
        for i in range(3)
    ]
    rows = [reshaped(p, (*p.shape, 1)) for p in parts]
    joined = TABLE["concatenate"](*rows, axis=len(rows[0].shape) - 1)
    return moveaxis(joined, -1, axisc)


@implements(getattr(np.linalg, "cross", None))
def linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """As `cross`, along one axis of both."""
    return cross(x1, x2, axis=axis)


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Any) -> Any:
    """Product of several matrices in the cheapest order; the first and last may be vectors."""
    parts = [operand(a) for a in arrays]
    if len(parts) < 2:
        raise ArgumentError("multi_dot: needs two arrays at least")
    letters = iter(_LETTERS)
    names, previous = [], ""
    for number, p in enumerate(parts):
        if p.ndim != 2 and not (p.ndim == 1 and number in (0, len(parts) - 1)):
            raise ShapeError(f"multi_dot: array {number} must be a matrix, not of shape {p.shape}")
        start = previous or (next(letters) if p.ndim == 2 else "")
        previous = next(letters) if p.ndim == 2 or not number else ""
        names.append(start + previous)
    out = (names[0][:1] if parts[0].ndim == 2 else "") + previous
    return einsum(",".join(names) + "->" + out, *parts)


# ---------------------------------------------------------------- einsum


@implements(np.einsum)
def einsum(*operands: Any, optimize: Any = "greedy") -> Any:
    """Sum of products by Einstein's convention, for any number of operands."""
    if operands and not isinstance(operands[0], str):
        operands = _from_lists(operands)
    spec, *arrays = operands
    parts = [operand(a) for a in arrays]
    names, out = _parsed(spec, parts)
    parts, names = _without_ones(parts, names, spec)
    prepared = [
        _prepared(x, own, out, names[:i] + names[i + 1 :])
        for i, (x, own) in enumerate(zip(parts, names, strict=True))
    ]
    while len(prepared) > 1:
        i, k = _next_pair(prepared, out)
        (x, left), (y, right) = prepared[i], prepared[k]
        prepared = [p for j, p in enumerate(prepared) if j not in (i, k)]
        others = out + "".join(own for _, own in prepared)
        kept = "".join(dict.fromkeys(c for c in left + right if c in others)) if prepared else out
        result = _contract(x, y, f"{left},{right}->{kept}")
        prepared.append((result, kept))
    x, own = prepared[0]
    if own == out:
        return x
    return view_of(x, "transpose", axes=tuple(own.index(c) for c in out))


@implements(np.einsum_path)
def einsum_path(*operands: Any, optimize: Any = "greedy") -> Any:
    """NumPy's order of contractions; `einsum` chooses its own, by the same rule."""
    spec, *arrays = operands
    shapes = [operand(a).shape for a in arrays]
    return np.einsum_path(spec, *[np.broadcast_to(0.0, s) for s in shapes], optimize=optimize)


def _from_lists(operands: Any) -> Any:
    # The other calling form of np.einsum: operand, list of axis numbers, …, list for the result.
    pairs = list(zip(operands[::2], operands[1::2], strict=False))
    lists = [indices for _, indices in pairs]
    out = operands[-1] if len(operands) % 2 else None

    def text(indices: Any) -> str:
        return "".join("..." if i is Ellipsis else _LETTERS[operator.index(i)] for i in indices)

    spec = ",".join(text(i) for i in lists)
    return (spec + ("" if out is None else "->" + text(out)), *(x for x, _ in pairs))


def _parsed(spec: str, parts: list[Any]) -> tuple[list[str], str]:
    """The indices of each operand and of the result, with letters in place of the ellipsis."""
    spec = spec.replace(" ", "")
    inputs, arrow, output = spec.partition("->")
    names = inputs.split(",")
    if len(names) != len(parts):
        raise ArgumentError(f'einsum: "{spec}" has {len(names)} operands, but {len(parts)} came')
    extra = 0
    for x, own in zip(parts, names, strict=True):
        written = own.replace("...", "")
        if not all(c in _LETTERS for c in written):
            raise ArgumentError(f'einsum: "{spec}" must be letters, commas, "..." and "->"')
        missing = x.ndim - len(written)
        if missing < 0 or ("..." not in own and missing):
            raise ShapeError(f'einsum: "{own}" for an operand of shape {tuple(x.shape)}')
        extra = max(extra, missing)
    letters = [c for c in reversed(_LETTERS) if c not in spec][:extra]
    dots = "".join(reversed(letters))
    full = [
        own.replace("...", dots[extra - (x.ndim - len(own.replace("...", ""))) :])
        for x, own in zip(parts, names, strict=True)
    ]
    if arrow:
        if extra and "..." not in output:
            raise ArgumentError(f'einsum: "{spec}" must name "..." in the result too')
        out = output.replace("...", dots)
    else:
        every = "".join(names).replace("...", "")
        out = dots + "".join(sorted(c for c in set(every) if every.count(c) == 1))
    if len(set(out)) != len(out) or any(c not in "".join(full) for c in out):
        raise ArgumentError(
            f'einsum: "{spec}": each index of the result must be one of the operands\', once'
        )
    return full, out


def _without_ones(parts: list[Any], names: list[str], spec: str) -> tuple[list[Any], list[str]]:
    # An axis of length 1 against a longer one is repeated: it needs no letter of its own.
    sizes: dict[str, int] = {}
    for x, own in zip(parts, names, strict=True):
        for c, n in zip(own, x.shape, strict=True):
            if sizes.get(c, 1) == 1:
                sizes[c] = n
            elif n not in (1, sizes[c]):
                raise ShapeError(f'einsum: "{spec}": axis {c} has lengths {sizes[c]} and {n}')
    shrunk, left = [], []
    for x, own in zip(parts, names, strict=True):
        kept = [i for i, c in enumerate(own) if x.shape[i] == sizes[c]]
        shrunk.append(reshaped(x, tuple(x.shape[i] for i in kept)))
        left.append("".join(own[i] for i in kept))
    return shrunk, left


def _prepared(x: Any, own: str, out: str, others: list[str]) -> tuple[Any, str]:
    """Take the diagonal of indices that occur twice, and sum over those that occur nowhere else."""
    for c in dict.fromkeys(own):
        while own.count(c) > 1:
            first = own.index(c)
            second = own.index(c, first + 1)
            if x.shape[first] != x.shape[second]:
                raise ShapeError(
                    f"einsum: index {c} for axes of lengths {x.shape[first]} and {x.shape[second]}"
                )
            x = view_of(x, "diagonal", offset=0, axis1=first, axis2=second)
            own = own[:first] + own[first + 1 : second] + own[second + 1 :] + c
    elsewhere = out + "".join(others)
    alone = tuple(i for i, c in enumerate(own) if c not in elsewhere)
    if alone:
        x = _summed(x, alone)
        own = "".join(c for c in own if c in elsewhere)
    return x, own


def _summed(x: Any, axes: tuple[int, ...]) -> Any:
    # einsum keeps the dtype: bools are added by "or", small integers stay small.
    if x.dtype.kind == "b":
        return TABLE["reduce_any"](x, axes=axes)
    total = TABLE["reduce_sum"](x, axes=axes)
    return total if total.dtype == x.dtype else TABLE["cast"](total, dtype=x.dtype)


def _next_pair(prepared: list[tuple[Any, str]], out: str) -> tuple[int, int]:
    """The two operands to contract next: those whose result is smallest against them.

    The greedy order of `np.einsum_path`, with products of operands that share no index last.
    """
    best: tuple[bool, int] | None = None
    found = (0, 1)
    for i, (x, left) in enumerate(prepared):
        for k in range(i + 1, len(prepared)):
            y, right = prepared[k]
            others = out + "".join(own for j, (_, own) in enumerate(prepared) if j not in (i, k))
            size = 1
            sizes = dict(zip(left + right, (*x.shape, *y.shape), strict=True))
            for c, n in sizes.items():
                size *= n if c in others else 1
            score = (not set(left) & set(right), size - x.size - y.size)
            if best is None or score < best:
                best, found = score, (i, k)
    return found
