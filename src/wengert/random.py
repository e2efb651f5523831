"""Random numbers as functions of a key: `import wengert as wg`, then `wg.random.normal(key, (3,))`.

A *key* is one number of dtype uint64. The same key gives the same numbers, so a program that draws
takes keys as arguments, like any other array, and uses each of them once:

    key, own = wg.random.split(key)             # two new keys for an old one
    noise = wg.random.normal(own, x.shape)
    own = wg.random.fold_in(key, step)          # a key for each step of a loop

Draws are operators: they may be traced, compiled, batched, exported and, within a memory budget,
computed again, always with the same numbers (those of `normal` to rounding). NumPy's generators, in
contrast, draw when the program is traced: a compiled function would draw once and for all.

Draws are constants for derivatives. By `loc`, `scale`, `low` and `high` they are differentiated.

The generator is Threefry-2x32-20 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as
1, 2, 3, 2011). It passes the statistical tests of TestU01; it is not made for cryptography.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wengert.capture.functions.creating import traced_here
from wengert.capture.functions.registry import operand
from wengert.errors import ArgumentError, DTypeError
from wengert.graph import Traced
from wengert.ops import TABLE

__all__ = [
    "bernoulli",
    "bits",
    "fold_in",
    "key",
    "normal",
    "permutation",
    "randint",
    "split",
    "uniform",
]

#: What the numbers of a key are for: each purpose has counters of its own.
_DRAWS, _SECOND, _SPLIT, _FOLD = range(4)

Shape = int | tuple[int, ...] | list[int]


def key(seed: Any) -> Any:
    """The key of a seed: an integer, or an array of them for as many keys.

    >>> key(7)
    np.uint64(7)
    """
    if isinstance(seed, int):
        return np.uint64(seed % (1 << 64))
    seed = operand(seed)
    if seed.dtype.kind not in "iu":
        raise DTypeError(f"random.key: a seed is an integer, not {seed.dtype}")
    return seed if seed.dtype == np.uint64 else seed.astype(np.uint64)


def split(key: Any, num: int = 2) -> Any:
    """An array of `num` new keys; the old one should not be used any more.

    >>> split(key(7))
    array([13571657233574136516, 11379370674907052250], dtype=uint64)
    """
    return _bits(_checked(key), _shape(num), "both", _SPLIT)


def fold_in(key: Any, data: Any) -> Any:
    """A new key for a key and an integer, of which the lowest 32 bits count: the step of a loop,
    the number of a layer. The old key may be folded with other integers."""
    data = operand(data)
    if data.dtype.kind not in "iu":
        raise DTypeError(f"random.fold_in: data is an integer, not {data.dtype}")
    low = data.astype(np.uint32).astype(np.uint64)
    return TABLE["threefry"](_checked(key), low | np.uint64(_FOLD << 32))


def bits(key: Any, shape: Shape = (), dtype: Any = np.uint32) -> Any:
    """Random bits: unsigned integers of dtype uint32 or uint64, all equally likely."""
    part = {np.dtype("u4"): "low", np.dtype("u8"): "both"}.get(np.dtype(dtype))
    if part is None:
        raise DTypeError(f"random.bits: dtype is uint32 or uint64, not {np.dtype(dtype)}")
    return _bits(_checked(key), _shape(shape), part, _DRAWS)


def uniform(
    key: Any, shape: Shape = (), dtype: Any = np.float64, low: Any = 0.0, high: Any = 1.0
) -> Any:
    """Numbers from `low` to below `high`, evenly spread (rounding may give `high` itself if it is
    not 1). There are 2**24 different ones in float32, 2**53 in float64.

    >>> uniform(key(7), (2,), np.float32)
    array([0.9084802, 0.6903172], dtype=float32)
    """
    dtype = _float(dtype, "uniform")
    unit = _unit(_recorded(key), _shape(shape), dtype)
    if isinstance(low, (int, float)) and isinstance(high, (int, float)):
        span = float(high) - float(low)
        scaled = unit if span == 1.0 else unit * span
        return scaled if low == 0 else scaled + float(low)
    return _in(low, dtype) + (_in(high, dtype) - _in(low, dtype)) * unit


def normal(
    key: Any, shape: Shape = (), dtype: Any = np.float64, loc: Any = 0.0, scale: Any = 1.0
) -> Any:
    """Normally distributed numbers of mean `loc` and standard deviation `scale`.

    Formula: sqrt(-2 log u) cos(2 pi v) for two uniform numbers u and v (G. E. P. Box, M. E. Muller,
    "A note on the generation of random normal deviates", 1958). The largest are 6.7 standard
    deviations from the mean in float32, 8.5 in float64.

    >>> float(np.mean(normal(key(7), (100_000,), loc=2.0)).round(2))
    2.0
    """
    dtype = _float(dtype, "normal")
    size, own = _shape(shape), _recorded(key)
    # What is computed of float16 numbers is computed in float32.
    wide = np.dtype(np.float32) if dtype.itemsize < 4 else dtype
    if wide == np.float32:
        first = _bits(own, size, "low", _DRAWS).astype(wide)
        u, v = (
            (first + 0.5) * 2.0**-32,
            TABLE["unit_float"](_bits(own, size, "high", _DRAWS), dtype=wide),
        )
    else:
        # Half a step more: never zero.
        u = _unit(own, size, wide) + 2.0**-54
        v = TABLE["unit_float"](_bits(own, size, "both", _SECOND), dtype=wide)
    drawn = np.sqrt(-2.0 * np.log(u)) * np.cos(v * (2.0 * math.pi))
    if dtype != wide:
        drawn = drawn.astype(dtype)
    if not (isinstance(scale, (int, float)) and scale == 1):
        drawn = drawn * _in(scale, dtype)
    if not (isinstance(loc, (int, float)) and loc == 0):
        drawn = drawn + _in(loc, dtype)
    return drawn


def bernoulli(key: Any, p: Any = 0.5, shape: Shape | None = None) -> Any:
    """True with probability `p` (to 24 binary digits), else False; `shape` is that of `p`, if it is
    left away."""
    p = operand(p)
    size = p.shape if shape is None else _shape(shape)
    return _unit(_recorded(key), size, np.dtype(np.float32)) < p.astype(np.float32)


def randint(key: Any, low: Any, high: Any = None, shape: Shape = (), dtype: Any = np.int64) -> Any:
    """Integers from `low` to below `high` (or, without `high`, from 0 to below `low`), evenly
    spread: the probabilities differ by a part of the range in 2**64. The range is below 2**32.

    >>> randint(key(7), 6, shape=(8,)) + 1
    array([5, 2, 1, 6, 2, 4, 1, 3])
    """
    low, high = (0, low) if high is None else (low, high)
    if isinstance(low, int) and isinstance(high, int) and not 0 < high - low <= 1 << 32:
        raise ArgumentError(f"random.randint: low={low}, high={high} is an empty or too long range")
    first = operand(low).astype(np.int64)
    span = (operand(high).astype(np.int64) - first).astype(np.uint64)
    drawn = _bits(_checked(key), _shape(shape), "both", _DRAWS)
    half, mask = np.uint64(32), np.uint64((1 << 32) - 1)
    # The upper 64 bits of the product of 64 random bits and the length of the range.
    above = TABLE["right_shift"]((drawn & mask) * span, half)
    found = TABLE["right_shift"](TABLE["right_shift"](drawn, half) * span + above, half)
    return (found.astype(np.int64) + first).astype(dtype)


def permutation(key: Any, x: Any) -> Any:
    """The numbers below an integer, or an array along its first axis, in random order.

    >>> permutation(key(7), 5)
    array([2, 4, 1, 0, 3])
    """
    count = x if isinstance(x, (int, np.integer)) else operand(x).shape[0]
    order = TABLE["argsort"](_bits(_checked(key), (int(count),), "both", _DRAWS), axis=0)
    return order if isinstance(x, (int, np.integer)) else operand(x)[order]


# ---------------------------------------------------------------- arguments and parts


def _checked(key: Any) -> Any:
    key = operand(key) if not isinstance(key, Traced) else key
    if key.dtype != np.uint64:
        raise DTypeError(
            f"a key is a number of dtype uint64, not {key.dtype}",
            hint="make one with wg.random.key(seed)",
        )
    if key.ndim:
        raise ArgumentError(
            f"one key is expected, not an array of shape {key.shape}",
            hint="take one of them, as in keys[0]; use wg.vmap to draw for each",
        )
    return key


def _recorded(key: Any) -> Any:
    """A key as a value of the transformation that is running: what is drawn is recorded too, and so
    need not be kept."""
    key = _checked(key)
    return key if isinstance(key, Traced) else traced_here(key)


def _shape(shape: Shape) -> tuple[int, ...]:
    numbers = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if any(int(n) < 0 for n in numbers):
        raise ArgumentError(f"a shape has no negative lengths: {numbers}")
    return tuple([int(n) for n in numbers])


def _float(dtype: Any, name: str) -> np.dtype[Any]:
    found: np.dtype[Any] = np.dtype(dtype)
    if found.kind != "f" or found.itemsize > 8:
        raise DTypeError(f"random.{name}: dtype is float16, float32 or float64, not {found}")
    return found


def _in(x: Any, dtype: np.dtype[Any]) -> Any:
    """An operand in a dtype; Python's numbers take it from their partner."""
    return float(x) if isinstance(x, (int, float)) else operand(x).astype(dtype)


def _bits(key: Any, shape: tuple[int, ...], part: str, stream: int) -> Any:
    return TABLE["random_bits"](key, shape=shape, part=part, stream=stream)


def _unit(key: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    part = "both" if dtype.itemsize == 8 else "low"
    return TABLE["unit_float"](_bits(key, shape, part, _DRAWS), dtype=dtype)
