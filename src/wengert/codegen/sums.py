"""Reductions in registers: how partial results combine, across lanes too."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.codegen import ir
from wengert.codegen.blocks import I32
from wengert.codegen.emit import emit
from wengert.codegen.vector import Kind

__all__ = ["COMBINE", "IDENTITY", "across"]

IDENTITY = {"sum": 0.0, "max": -np.inf, "min": np.inf}
COMBINE = {"sum": "add", "max": "maximum", "min": "minimum"}


def across(b: ir.IRBuilder, vector: Any, how: str, kind: Kind) -> Any:
    """Combine the lanes of a vector, halving it: always in the same order."""
    lanes = kind.lanes
    while lanes > 1:
        lanes //= 2
        halves = [
            b.shuffle_vector(
                vector,
                ir.Constant(vector.type, ir.Undefined),
                ir.Constant(ir.VectorType(I32, lanes), list(range(start, start + lanes))),
            )
            for start in (0, lanes)
        ]
        if lanes == 1:
            halves = [b.extract_element(h, ir.Constant(I32, 0)) for h in halves]
        vector = emit(b, COMBINE[how], halves, {}, Kind(kind.dtype, lanes))
    return vector
