"""Where the memory of arrays begins, for native code."""

from __future__ import annotations

from ctypes import addressof, c_char
from typing import Any

__all__ = ["address"]

_at = c_char.from_buffer


def address(array: Any) -> int:
    """Where the memory of an array begins: `array.ctypes.data`, in a quarter of its time."""
    try:
        return addressof(_at(array))
    except (ValueError, TypeError, BufferError):
        # Empty, or one that may not be written to, or has gaps.
        return int(array.ctypes.data)
