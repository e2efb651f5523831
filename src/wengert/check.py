"""`check_grads`: derivatives held against central differences, and the modes against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.capture import flatten, map_tree, unflatten
from wengert.errors import ArgumentError, GradientCheckError
from wengert.transform import jvp, vjp

__all__ = ["check_grads"]

_MODES = ("forward", "reverse")


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 1,
    modes: Sequence[str] = _MODES,
    rtol: float | None = None,
    atol: float | None = None,
    eps: float | None = None,
    seed: int = 0,
) -> float:
    """Check the derivatives of `f` at `args`, up to `order`.

    In a random direction t, and with random weights w of the results: the derivative of `w · f`
    along t by central differences, by forward mode, and by reverse mode must agree. For an order
    above 1 the derivatives themselves are checked in the same way.

    Parameters
    ----------
    args : tuple of arguments with float leaves; f is evaluated near them
    modes : which of "forward" and "reverse" to check
    rtol, atol : tolerances; by default from the precision of the arguments (float64: 1e-5 times
        10 per order; float32: 2e-2)
    eps : step of the differences; by default the cube root of the machine epsilon, times the
        scale of the arguments
    seed : of the random directions

    Returns
    -------
    The largest relative difference found.

    Raises
    ------
    GradientCheckError saying which mode, at which order, by how much.
    """
    if not isinstance(args, (tuple, list)):
        raise ArgumentError(
            "check_grads: args must be a tuple of arguments", hint="write (x,) for one argument"
        )
    if order < 1 or not set(modes) <= set(_MODES) or not modes:
        raise ArgumentError(f"check_grads: order must be at least 1 and modes among {_MODES}")
    rng = np.random.default_rng(seed)
    return _check(f, tuple(args), order, 1, tuple(modes), rtol, atol, eps, rng)


def _check(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    order: int,
    level: int,
    modes: tuple[str, ...],
    rtol: float | None,
    atol: float | None,
    eps: float | None,
    rng: np.random.Generator,
) -> float:
    tangents = map_tree(lambda x: _direction(x, rng), args)
    value, forward = jvp(f, args, tangents)
    weights = map_tree(lambda y: _direction(y, rng), value)
    single = any(np.asarray(x).dtype.itemsize < 8 for x in flatten(args)[0])
    precision = 2e-2 if single else 1e-5 * 10.0 ** (level - 1)
    relative = precision if rtol is None else rtol
    absolute = precision if atol is None else atol
    numeric = _central(f, args, tangents, weights, eps, single)
    worst = 0.0
    found = {
        "forward": lambda: _dot(weights, forward),
        "reverse": lambda: _dot(vjp(f, *args)[1](weights), tangents),
    }
    for mode in modes:
        got = found[mode]()
        scale = max(abs(got), abs(numeric), _scale(weights, forward))
        difference = abs(got - numeric)
        if not difference <= absolute + relative * scale:
            raise GradientCheckError(
                f"{mode} mode, order {level}: the derivative along a random direction is {got!r}, "
                f"but central differences give {numeric!r}",
                hint="is the function smooth here? kinks and steps smaller than eps disturb the "
                "differences",
            )
        worst = max(worst, difference / scale if scale else 0.0)
    if level < order:
        for mode in modes:
            derivative = _derivative(f, mode, tangents, weights)
            worst = max(
                worst, _check(derivative, args, order, level + 1, modes, rtol, atol, eps, rng)
            )
    return worst


def _derivative(
    f: Callable[..., Any], mode: str, tangents: Any, weights: Any
) -> Callable[..., Any]:
    if mode == "forward":
        return lambda *xs: jvp(f, xs, tangents)[1]
    return lambda *xs: vjp(f, *xs)[1](weights)


def _direction(x: Any, rng: np.random.Generator) -> Any:
    array = np.asarray(x)
    if array.dtype.kind != "f":
        return np.zeros(array.shape)[()]
    return rng.standard_normal(array.shape).astype(array.dtype)[()]


def _central(
    f: Callable[..., Any], args: Any, tangents: Any, weights: Any, eps: float | None, single: bool
) -> float:
    leaves, structure = flatten(args)
    largest = max((float(np.max(np.abs(x), initial=1.0)) for x in leaves), default=1.0)
    machine = np.finfo(np.float32 if single else np.float64).eps
    step = float(np.cbrt(machine)) * largest if eps is None else eps
    steps = flatten(tangents)[0]

    def at(sign: float) -> Any:
        moved = [
            np.asarray(x + x.dtype.type(sign * step) * t, x.dtype)[()]
            for x, t in zip(map(np.asarray, leaves), steps, strict=True)
        ]
        return f(*unflatten(structure, moved))

    with np.errstate(all="ignore"):
        ahead, behind = flatten(at(1.0))[0], flatten(at(-1.0))[0]
    total = 0.0
    for w, a, b in zip(flatten(weights)[0], ahead, behind, strict=True):
        difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
        total += float(np.sum(np.asarray(w, np.float64) * difference)) / (2.0 * step)
    return total


def _dot(a: Any, b: Any) -> float:
    return float(
        sum(
            np.sum(np.asarray(x, np.float64) * np.asarray(y, np.float64))
            for x, y in zip(flatten(a)[0], flatten(b)[0], strict=True)
        )
    )


def _scale(a: Any, b: Any) -> float:
    # The sum of absolute terms: a sum that cancels can't be more precise than its terms.
    return float(
        sum(
            np.sum(np.abs(np.asarray(x, np.float64) * np.asarray(y, np.float64)))
            for x, y in zip(flatten(a)[0], flatten(b)[0], strict=True)
        )
    )
