"""Random bits, and floats from them: Threefry as in `ops.random`, the same to the bit."""

from __future__ import annotations

from typing import Any

from wengert.codegen import ir
from wengert.codegen.math_table import emits
from wengert.codegen.vector import Lanes
from wengert.ops.random import PARITY, PARTS, ROTATIONS, ROUNDS, UNIT_BITS

__all__ = ["random_bits"]


def _halves(x: Lanes) -> tuple[Lanes, Lanes]:
    return x.to("u4"), x.shifted_right(32).to("u4")


def _both(low: Lanes, high: Lanes) -> Lanes:
    return low.to("u8") | (high.to("u8") << 32)


def _words(key: Lanes, x: Lanes, y: Any) -> tuple[Lanes, Lanes]:
    """Both words for a counter of words x and y, of which y may be a number."""
    first, second = _halves(key)
    keys = (first, second, first ^ second ^ PARITY)
    x, y = first + x, second + y
    for number in range(ROUNDS):
        x = x + y
        turn = y.full(ROTATIONS[number % len(ROTATIONS)])
        y = y.call("fshl", y, turn) ^ x
        if number % 4 == 3:
            step = number // 4 + 1
            # Sums of words of the key do not change from element to element.
            x, y = x + keys[step % 3], y + (keys[(step + 1) % 3] + step)
    return x, y


@emits("threefry")
def threefry(key: Lanes, counter: Lanes) -> Lanes:
    """Both words, the first in the lower half."""
    return _both(*_words(key, *_halves(counter)))


def random_bits(key: Lanes, position: ir.Value, part: str, stream: int) -> Lanes:
    """The bits of an element; its position is a 32-bit integer."""
    place = Lanes(key.builder, position, key.kind.of("u4"))
    low, high = _words(key, place, stream)
    return _both(low, high) if PARTS[part].itemsize == 8 else low if part == "low" else high


@emits("unit_float")
def unit_float(x: Lanes, *, dtype: Any) -> Lanes:
    """The first digits of an integer as those after the point: exact."""
    kind = x.kind.of(dtype)
    digits = UNIT_BITS[kind.dtype.str[1:]]
    kept = x.shifted_right(x.kind.bits - digits)
    # What is left is less than half of the range: as a signed number it is the same.
    whole = Lanes(x.builder, kept.value, kept.kind.integer).to(kind.dtype)
    return whole * 2.0**-digits
