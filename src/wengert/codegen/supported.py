"""Which elementwise operators LLVM code is emitted for (`emit`)."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["INTERPRETED", "supports"]

#: Operators left to the interpreter, and why.
INTERPRETED: dict[str, str] = {
    "erfinv": "rare; its tails need several intervals of their own",
    "gammaln": "rare; reflection and zeros at 1 and 2 need several intervals",
    "digamma": "rare; reflection and the zero at 1.46 need several intervals",
    "polygamma": "rare; its order is a parameter, so there is no one polynomial",
}

_DTYPES = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})


def supports(op_name: str, dtype: Any) -> bool:
    """Whether `emit` can emit an elementwise operator on operands of a dtype."""
    dtype = np.dtype(dtype)
    return op_name not in INTERPRETED and dtype.isnative and dtype.str[1:] in _DTYPES
