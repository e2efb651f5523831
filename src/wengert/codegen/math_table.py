"""The emitters by operator name; each `math_*` module adds its own.

An emitter takes the operands as `Lanes`, and the operator's static parameters by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wengert.codegen import math_coefficients
from wengert.codegen.vector import Kind, Lanes

__all__ = ["EMITTERS", "JOINED", "Emitter", "coefficients", "emits", "joins"]

Emitter = Callable[..., Lanes]

EMITTERS: dict[str, Emitter] = {}
#: The emitters of instructions that stand for two operators (`plan.contracting`).
JOINED: dict[str, Emitter] = {}


def emits(name: str) -> Callable[[Emitter], Emitter]:
    """Declare the emitter of one operator."""
    return _declares(EMITTERS, name)


def joins(name: str) -> Callable[[Emitter], Emitter]:
    """Declare the emitter of an instruction that stands for two operators."""
    return _declares(JOINED, name)


def _declares(table: dict[str, Emitter], name: str) -> Callable[[Emitter], Emitter]:
    def declare(function: Emitter) -> Emitter:
        if name in table:
            raise ValueError(f"operator {name} has two emitters")
        table[name] = function
        return function

    return declare


def coefficients(name: str, kind: Kind) -> tuple[float, ...]:
    """The polynomial of `math_coefficients` for a float kind."""
    found: Any = getattr(math_coefficients, f"{name}_{kind.name}")
    return tuple(found)
