"""Checks one expression on traced values against NumPy's own answer on arrays.

A form is the text of an expression over `np`, `wnp` and the arrays of `ARRAYS`; the arrays that it
names are its arguments. Its value must be NumPy's, its derivative in a random direction that of
central differences of NumPy's value, and reverse mode must agree with forward mode.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import wengert.numpy as wnp
from wengert.errors import ConversionError, NoValueError
from wengert.transform.gradient import jvp, value_and_grad
from wengert.transform.vmap import vmap

__all__ = ["ARRAYS", "check", "evaluate"]

# Functions whose results have a shape or a number that depends on the elements' values.
_NEEDS_VALUES = re.compile(
    r"(?<!count_)nonzero\(|argwhere|extract|unique|trim_zeros|lstsq|matrix_rank|polymul"
    r"|np\.where\(a > 0\)"
)

# Arguments that NumPy hands to nobody when they alone are traced, and methods of NumPy's arrays:
# wengert hears of them only when NumPy reads the numbers.
_UNSEEN = {
    "a.dot(b)": "b",
    "o.searchsorted(u)": "u",
    "np.select([a > 1, a < 0], [a, 2.0], default=r)": "r",
    "np.interp(a, o, u, left=-1.0, right=s)": "s",
    "np.full_like(a, u)": "u",
    "np.full_like(a, s, shape=(2, 2))": "s",
}


def _arrays() -> dict[str, Any]:
    rng = np.random.default_rng(1964)

    def distinct(*shape: int) -> Any:
        # Away from integers and zero, where some functions have no derivative; no equal sums.
        count = int(np.prod(shape, dtype=int))
        k = np.arange(count)
        numbers = (k - count / 2 + 0.37) * 0.213 + 0.02 * np.sin(k * k)
        return rng.permutation(numbers).reshape(shape)

    square = distinct(3, 3)
    return {
        "a": distinct(3, 4),  # a matrix
        "b": distinct(4, 2),
        "c": distinct(2, 3, 4),
        "m": square + 3 * np.eye(3),  # regular
        "d": square @ square.T + 3 * np.eye(3),  # positive definite
        "s": np.array(0.7),  # a scalar
        "t": np.stack([square + 3 * np.eye(3), square.T - 3 * np.eye(3)]),
        "u": distinct(4),  # vectors
        "v": distinct(3),
        "w": distinct(5),
        "p": np.abs(distinct(4)) + 0.5,  # positive
        "o": np.array([0.3, 1.1, 2.4, 3.0]),  # in order
        "z": np.array([[1.3, 0.0, 2.0], [0.0, 0.0, -1.0]]),  # with zeros
        "n": np.array([[1.3, np.nan, 2.0, 0.4], [0.5, 0.1, -1.0, np.nan]]),  # with NaN
        "e": np.zeros((0, 3)),  # empty
        "r": distinct(1, 4),
    }


ARRAYS = _arrays()


def _names(form: str) -> list[str]:
    return [k for k in ARRAYS if re.search(rf"(?<![\w.\"']){k}(?![\w\"'=(])", form)]


def evaluate(form: str, values: dict[str, Any]) -> Any:
    """The value of a form for given arrays."""
    return eval(form, {"np": np, "wnp": wnp, **values})


def _leaves(result: Any) -> list[Any]:
    if isinstance(result, (tuple, list)):
        return [leaf for r in result for leaf in _leaves(r)]
    return [result]


def _weighted(leaves: list[Any]) -> Any:
    # A scalar in which no derivative can hide; the same numbers for arrays and traced values.
    total = 0.0
    for number, leaf in enumerate(leaves):
        shape, dtype = np.shape(leaf), getattr(leaf, "dtype", None)
        if dtype is not None and dtype.kind == "f":
            weights = np.cos(1.0 + number + np.arange(np.prod(shape, dtype=int))).reshape(shape)
            finite = np.where(np.isfinite(leaf), leaf, 0.0)
            total = total + np.sum(finite * weights)
    return total


def check(form: str, *, derivative: bool = True, batched: bool = True, rtol: float = 2e-7) -> None:
    """Assert that a form has NumPy's value, its derivative, and the same values under `vmap`."""
    names = _names(form)
    assert names, f"{form} names no array"
    given = [ARRAYS[k].copy() for k in names]

    def values(*args: Any) -> list[Any]:
        return _leaves(evaluate(form, dict(zip(names, args, strict=True))))

    def scalar(*args: Any) -> Any:
        leaves = values(*args)
        zero = 0.0 * np.sum(np.where(np.isnan(args[0]), 0.0, args[0]))
        return _weighted(leaves) + zero, leaves

    with np.errstate(all="ignore"):
        expected = values(*given)
        (_, found), gradients = value_and_grad(
            scalar, argnums=tuple(range(len(given))), has_aux=True
        )(*given)
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert np.shape(mine) == np.shape(theirs), f"{form}: shape"
        assert np.asarray(mine).dtype == np.asarray(theirs).dtype, f"{form}: dtype"
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-13, err_msg=form)
    for array, k in zip(given, names, strict=True):
        np.testing.assert_array_equal(array, ARRAYS[k], err_msg=f"{form}: modified its argument")
    _check_single(form, values, given)
    if len(given) > 1:
        _check_one_traced(form, scalar, given, gradients, names)
    if derivative:
        _check_derivative(form, scalar, given, gradients, rtol)
    if batched:
        _check_batched(form, values, given)


def _check_derivative(form: str, scalar: Any, given: Any, gradients: Any, rtol: float) -> None:
    rng = np.random.default_rng(7)
    directions = [rng.normal(size=x.shape) for x in given]
    _, forward = jvp(lambda *args: scalar(*args)[0], tuple(given), tuple(directions))
    reverse = sum(np.nansum(g * v) for g, v in zip(gradients, directions, strict=True))
    np.testing.assert_allclose(forward, reverse, rtol=1e-9, atol=1e-11, err_msg=f"{form}: modes")
    step = 6e-6
    with np.errstate(all="ignore"):
        above, below = (
            scalar(*[x + sign * step * v for x, v in zip(given, directions, strict=True)])[0]
            for sign in (1, -1)
        )
    expected = (above - below) / (2 * step)
    np.testing.assert_allclose(reverse, expected, rtol=rtol, atol=1e-7, err_msg=form)


def _check_single(form: str, values: Any, given: list[Any]) -> None:
    """In single precision: NumPy's dtypes, about the same numbers, and a gradient."""
    singles = [x.astype(np.float32) for x in given]

    def scalar(*args: Any) -> Any:
        leaves = values(*args)
        return _weighted(leaves) + 0.0 * np.sum(args[0]), leaves

    with np.errstate(all="ignore"):
        expected = values(*singles)
        (_, found), gradients = value_and_grad(
            scalar, argnums=tuple(range(len(given))), has_aux=True
        )(*singles)
    for mine, theirs in zip(found, expected, strict=True):
        assert np.asarray(mine).dtype == np.asarray(theirs).dtype, f"{form}: dtype"
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4, err_msg=form)
    assert all(g.dtype == np.float32 for g in gradients)


def _check_one_traced(
    form: str, scalar: Any, given: list[Any], gradients: Any, names: list[str]
) -> None:
    """Each argument by itself, the others plain arrays: the same part of the gradient."""
    for argnum, whole in enumerate(gradients):
        derivative = value_and_grad(scalar, argnums=argnum, has_aux=True)
        if _UNSEEN.get(form) == names[argnum]:
            with pytest.raises(ConversionError, match=r"wengert\.numpy"):
                derivative(*given)
            continue
        with np.errstate(all="ignore"):
            _, alone = derivative(*given)
        np.testing.assert_allclose(
            alone, whole, rtol=1e-9, atol=1e-11, err_msg=f"{form}: argument {argnum} alone"
        )


def _check_batched(form: str, values: Any, given: list[Any]) -> None:
    def arrays(*args: Any) -> list[Any]:
        found = [np.bool_(v) if isinstance(v, bool) else v for v in values(*args)]
        return [v for v in found if not isinstance(v, int)]

    size = 2
    rows = [[x * (1.0 + i / 64.0) for x in given] for i in range(size)]
    columns = [np.stack(column) for column in zip(*rows, strict=True)]
    if _NEEDS_VALUES.search(form):
        with pytest.raises(NoValueError, match="vmap"):
            vmap(arrays)(*columns)
        return
    found = vmap(arrays)(*columns)
    with np.errstate(all="ignore"):
        expected = [arrays(*row) for row in rows]
    for mine, *theirs in zip(found, *expected, strict=True):
        np.testing.assert_allclose(
            mine, np.stack(theirs), rtol=1e-10, atol=1e-12, err_msg=f"{form}: vmap"
        )
