"""Random numbers as functions of a key: the same key gives the same numbers, wherever it is used.

The generator is Threefry-2x32 with 20 rounds: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw,
"Parallel random numbers: as easy as 1, 2, 3", 2011. It has no state. It turns a key and a counter,
64 bits each, into 64 bits that look random, and the counter of an element is its position. So
elements are computed in any order, in parallel, or twice.

The upper half of a counter, the *stream*, tells what numbers are for (`wengert.random`); the lower
half counts elements.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wengert.errors import DTypeError, ShapeError
from wengert.graph.types import Type
from wengert.ops.elementwise import elementwise
from wengert.ops.linear import discrete
from wengert.ops.record import TABLE, type_error

__all__ = ["BLOCK", "PARITY", "PARTS", "ROTATIONS", "ROUNDS", "UNIT_BITS"]

#: By how much the rounds rotate a word, in turn; and what the third word of the key begins with.
ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
PARITY = 0x1BD11BDA
ROUNDS = 20

#: The parts of the 64 bits of a position: what they are called, and their dtype.
PARTS: dict[str, np.dtype[Any]] = {
    "low": np.dtype("u4"),
    "high": np.dtype("u4"),
    "both": np.dtype("u8"),
}

#: For a float dtype: the digits of a random number below 1.
UNIT_BITS = {"f2": 11, "f4": 24, "f8": 53}

_KEY = np.dtype("u8")
_MOST = 1 << 32
#: How many elements NumPy computes at a time.
BLOCK = 1 << 14


def _words(key: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """Both words of Threefry-2x32-20; `low` and `high` are those of the counter."""
    first = np.asarray(key, "u8").astype("u4")
    second = (np.asarray(key, "u8") >> np.uint64(32)).astype("u4")
    keys = (first, second, first ^ second ^ np.uint32(PARITY))
    x, y = np.atleast_1d(low + first), np.atleast_1d(high + second)
    x, y = (a if a.base is None else a.copy() for a in np.broadcast_arrays(x, y))
    rest = np.empty_like(y)
    for number in range(ROUNDS):
        turn = ROTATIONS[number % len(ROTATIONS)]
        x += y
        np.right_shift(y, np.uint32(32 - turn), out=rest)
        y <<= np.uint32(turn)
        y |= rest
        y ^= x
        if number % 4 == 3:
            step = number // 4 + 1
            x += keys[step % 3]
            y += keys[(step + 1) % 3] + np.uint32(step)
    return x, y


def _both(x: Any, y: Any) -> Any:
    made = y.astype("u8")
    made <<= np.uint64(32)
    made |= x
    return made


def _threefry(key: Any, counter: Any) -> Any:
    counter = np.asarray(counter, "u8")
    shape = np.broadcast_shapes(np.shape(key), counter.shape)
    with np.errstate(over="ignore"):
        low, high = counter.astype("u4"), (counter >> np.uint64(32)).astype("u4")
        return _both(*_words(key, low, high)).reshape(shape)[()]


def _bits(key: Any, shape: tuple[int, ...], part: str, stream: int) -> Any:
    key = np.asarray(key)
    lead = key.shape[: max(0, key.ndim - len(shape))]
    keys, count = key.reshape(-1, 1), math.prod(shape)
    found: Any = np.empty((keys.size, count), PARTS[part])
    # A part at a time: what is between stays in the cache.
    most = max(1, BLOCK // max(1, keys.size))
    for begin in range(0, count, most):
        places = np.arange(begin, min(begin + most, count), dtype="u4")
        with np.errstate(over="ignore"):
            x, y = _words(keys, places, np.uint32(stream))
        made = _both(x, y) if part == "both" else x if part == "low" else y
        found[:, begin : begin + most] = made
    return found.reshape((*lead, *shape))[()]


# ---------------------------------------------------------------- operators


def _integer_keys(kinds: Any) -> Any:
    if any(np.dtype(k).kind not in "iu" for k in kinds):
        shown = ", ".join(str(np.dtype(k)) for k in kinds)
        raise DTypeError(f"threefry: keys and counters are integers, not {shown}")
    return (_KEY,) * len(kinds)


def _key_samples(rng: Any, dtype: Any) -> Any:
    del dtype

    def draw(*shape: int) -> Any:
        return rng.integers(0, 1 << 63, shape, dtype="u8")

    return [((draw(3, 4), draw(4)), {}), ((draw(), draw()), {}), ((draw(), draw(5)), {})]


@elementwise(
    value=_threefry,
    partials=[None, None],
    promote=_integer_keys,
    result=lambda key, counter: _KEY,
    symbol="threefry",
    latex=r"\operatorname{{threefry}}({0}, {1})",
    samples=_key_samples,
    source="Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (2011)",
)
def threefry(key: Any, counter: Any) -> Any:
    """64 bits that look random, from 64 bits of a key and 64 of a counter."""


def _bits_type(op: Any, key: Type, shape: tuple[int, ...], part: str, stream: int) -> Type:
    del stream
    if key.dtype != _KEY:
        raise DTypeError(
            f"{op.name}: expected a key, which is a number of dtype uint64, not {key}",
            hint="make one with wg.random.key(seed)",
        )
    lead = key.shape[: max(0, key.ndim - len(shape))]
    if key.ndim and key.shape != (*lead, *[1] * len(shape)):
        raise type_error(op, f"one number, or an axis of length 1 for each of {shape}", [key])
    if math.prod(shape) > _MOST:
        raise ShapeError(f"{op.name}: a key has 2**32 numbers, too few for shape {shape}")
    return Type((*lead, *shape), PARTS[part])


def _bits_batch(args: Any, batched: Any, size: int, **params: Any) -> Any:
    (key,) = args
    if key._type.ndim == 1:
        key = TABLE["reshape"](key, shape=(size, *[1] * len(params["shape"])))
    return random_bits(key, **params)


@discrete(
    value=_bits,
    type=_bits_type,
    batch=_bits_batch,
    symbol="bits",
    latex=r"\operatorname{{bits}}({0})",
    samples=lambda rng, dtype: (
        [
            ((_key_samples(rng, dtype)[1][0][0],), {"shape": shape, "part": part, "stream": stream})
            for shape, part, stream in (((3, 4), "low", 0), ((5,), "high", 1), ((), "both", 2))
        ]
        + [
            (
                (rng.integers(0, 9, (2, 1)).astype("u8"),),
                {"shape": (3,), "part": "both", "stream": 0},
            )
        ]
    ),
    source="Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (2011)",
)
def random_bits(key: Any, *, shape: tuple[int, ...], part: str, stream: int) -> Any:
    """For each element of an array of this shape, bits of Threefry at the counter `stream * 2**32 +
    position`: the "low" or "high" word, or "both". An array of keys, with an axis of length 1 for
    each axis of the shape at its end, has as many such arrays."""


def _unit_dtype(x: Type, dtype: Any) -> Any:
    digits = UNIT_BITS.get(np.dtype(dtype).str[1:])
    if x.dtype.kind != "u" or digits is None or digits > 8 * x.dtype.itemsize:
        raise DTypeError(f"unit_float: {x} is no unsigned integer with the digits of {dtype}")
    return np.dtype(dtype)


def _unit(x: Any, dtype: Any) -> Any:
    digits = UNIT_BITS[np.dtype(dtype).str[1:]]
    kept = x >> x.dtype.type(8 * x.dtype.itemsize - digits)
    return kept.astype(dtype) * np.dtype(dtype).type(2.0**-digits)


def _unit_samples(rng: Any, dtype: Any) -> Any:
    del dtype
    words = rng.integers(0, 1 << 32, (3, 4), dtype="u4")
    pairs = rng.integers(0, 1 << 63, (5,), dtype="u8") << np.uint64(1)
    return [
        ((words,), {"dtype": np.dtype("f4")}),
        ((words,), {"dtype": np.dtype("f2")}),
        ((pairs,), {"dtype": np.dtype("f8")}),
    ]


@elementwise(
    value=_unit,
    partials=[None],
    promote=lambda kinds: (None,),
    result=_unit_dtype,
    symbol="unit",
    latex=r"\operatorname{{unit}} {0}",
    samples=_unit_samples,
)
def unit_float(x: Any, *, dtype: Any) -> Any:
    """The first digits of an unsigned integer, as many as the float dtype holds exactly, as those
    after the point: a number from 0 to below 1."""
