"""Rules for `any` and `all`: as extrema of numbers, which loop nests reduce.

They apply last: what other rules look for is the operator itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.ops import TABLE
from wengert.ops.reducing import reduce_all, reduce_any, reduce_max, reduce_min
from wengert.optimise.record import Rule, rule
from wengert.optimise.terms import Family

__all__ = ["TRUTHS"]


def _as_numbers(match: Any) -> Any:
    (x,) = match.args()
    if x.dtype != np.bool_ or not x.size:
        return None
    numbers = TABLE["cast"](x, dtype=np.dtype(np.float32))
    extremum = reduce_max if match.op is reduce_any else reduce_min
    return TABLE["greater"](extremum(numbers, axes=dict(match.params)["axes"]), np.float32(0.5))


def _truth(op: Any, name: str) -> Rule:
    return rule(
        f"{name}-as-extremum",
        Family(op)(),
        _as_numbers,
        exact_in="floats",
        kinds="b",
        why="a loop nest reduces numbers",
        examples=[
            (lambda x: op(x, axes=(1,)), [(3, 4)], (-2.0, 2.0), "b"),
            (lambda x: op(x, axes=(0, 1)), [(2, 3)], (-2.0, 2.0), "b"),
        ],
    )


TRUTHS: tuple[Rule, ...] = (_truth(reduce_any, "any"), _truth(reduce_all, "all"))
