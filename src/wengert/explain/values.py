"""How numbers and arrays are written: short, bounded, and the same in every output."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

__all__ = ["count_text", "number_text", "value_text"]

_MOST_LISTED = 6
_MOST_DIGITS = 60


def number_text(value: Any, digits: int = 7) -> str:
    """One number with at most `digits` significant digits; a negative zero is written 0."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return count_text(int(value))
    number = float(value)
    if number != number:
        return "NaN"
    if number == 0.0:
        return "0"
    return re.sub(r"e(-?)\+?0*", r"e\1", format(number, f".{digits}g"))


def count_text(count: int) -> str:
    """An integer; beyond about 60 digits its order of magnitude, since Python limits digits."""
    if count.bit_length() < 3 * _MOST_DIGITS:
        return str(count)
    shift = count.bit_length() - 60
    exponent = math.log10(count >> shift) + shift * math.log10(2.0)
    return f"about 10^{math.floor(exponent + 1e-9)}"


def value_text(value: Any, digits: int = 5, most: int = _MOST_LISTED) -> str:
    """A value for a table cell: a number, a small array in full, a large one summarised."""
    if value is None:
        return "not computed"
    if isinstance(value, tuple):
        return (
            "("
            + ", ".join(value_text(v, digits) for v in value[:4])
            + (", …)" if len(value) > 4 else ")")
        )
    array = np.asarray(value)
    if array.ndim == 0:
        return number_text(array[()], max(digits, 7))
    if array.size <= most and array.ndim <= 3:
        return _listed(array, digits)
    shape = "×".join(str(n) for n in array.shape)
    if array.dtype.kind == "b":
        return f"{shape} bools, {int(array.sum())} true"
    finite = array[np.isfinite(array)]
    odd = array.size - finite.size
    if not finite.size:
        return f"{shape} numbers, none finite"
    low, high = number_text(finite.min(), digits), number_text(finite.max(), digits)
    note = f", {odd} not finite" if odd else ""
    return f"{shape} numbers, {low} to {high}{note}"


def _listed(array: Any, digits: int) -> str:
    if array.ndim == 1:
        return "[" + ", ".join(number_text(v, digits) for v in array) + "]"
    return "[" + ", ".join(_listed(part, digits) for part in array) + "]"
