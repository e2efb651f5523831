"""The emitters by operator name; each `math_*` module adds its own.

An emitter takes the operands as `Lanes`, and the operator's static parameters by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wengert.codegen import math_coefficients
from wengert.codegen.vector import Kind, Lanes

__all__ = ["EMITTERS", "Emitter", "coefficients", "emits"]

Emitter = Callable[..., Lanes]

EMITTERS: dict[str, Emitter] = {}


def emits(name: str) -> Callable[[Emitter], Emitter]:
    """Declare the emitter of one operator."""

    def declare(function: Emitter) -> Emitter:
        if name in EMITTERS:
            raise ValueError(f"operator {name} has two emitters")
        EMITTERS[name] = function
        return function

    return declare


def coefficients(name: str, kind: Kind) -> tuple[float, ...]:
    """The polynomial of `math_coefficients` for a float kind."""
    found: Any = getattr(math_coefficients, f"{name}_{kind.name}")
    return tuple(found)
