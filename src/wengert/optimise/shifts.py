"""Shifts that cancel: what softmax and log-softmax subtract has no influence on derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.graph import CONSTANT
from wengert.ops.arithmetic import stop_gradient
from wengert.ops.reducing import reduce_max
from wengert.ops.structural import reduce_sum, reshape
from wengert.ops.transcendental import (
    exp,
    log,
)
from wengert.optimise.record import Rule, rule
from wengert.optimise.shapes import aligned
from wengert.optimise.stable import kept
from wengert.optimise.terms import parameter, variable

x, y, z = variable("x"), variable("y"), variable("z")
axes, shape = parameter("axes"), parameter("shape")

_WIDE = (-8.0, 8.0)

__all__ = ["SHIFTS"]


def _does_not_vary(match: Any) -> bool:
    # Whether the shift y is the same along the axes of the sum, and may have a derivative.
    source, reduced = match["x"], match.param("axes")
    if match.made_by(match["y"])[0] in (stop_gradient, CONSTANT):
        return False
    own = aligned(match["y"].shape, source.ndim)
    return all(own[a] == 1 for a in reduced) and match.type_of("x").shape == _shifted_shape(match)


def _shifted_shape(match: Any) -> tuple[int, ...]:
    return np.broadcast_shapes(match["x"].shape, match["y"].shape)


def _sums_stand_apart(match: Any) -> bool:
    shape = match.env.get("shape")
    source, reduced = match["x"], match.param("axes")
    rest = tuple(n for a, n in enumerate(source.shape) if a not in reduced)
    return aligned(shape or rest, source.ndim) == kept(source, reduced) and _does_not_vary(match)


def _log_softmax_of_shifted(match: Any) -> Any:
    shifted = match["x"] - stop_gradient(match["y"])
    total = log(reduce_sum(exp(shifted), axes=match.param("axes")))
    return shifted - reshape(total, shape=kept(match["x"], match.param("axes")))


def _softmax_of_shifted(match: Any) -> Any:
    powers = exp(match["x"] - stop_gradient(match["y"]))
    total = reduce_sum(powers, axes=match.param("axes"))
    return powers / reshape(total, shape=kept(match["x"], match.param("axes")))


def _shift_rules() -> tuple[Rule, ...]:
    why = "the shift cancels: it has no influence, and no derivative need go through it"
    shifted = x - y
    total = reduce_sum(exp(shifted), axes=axes)

    def sample(form: Any) -> Any:
        def function(x: Any) -> Any:
            largest = reshape(reduce_max(x, axes=(1,)), shape=(3, 1))
            return form(x - largest, reshape(reduce_sum(exp(x - largest), axes=(1,)), shape=(3, 1)))

        return [(function, [(3, 4)], _WIDE)]

    return (
        rule(
            "shift-of-log-softmax",
            shifted - log(reshape(total, shape=shape)),
            _log_softmax_of_shifted,
            exact_in="floats",
            when=_sums_stand_apart,
            why=why,
            examples=sample(lambda z, s: z - log(s)),
        ),
        rule(
            "shift-of-softmax",
            exp(shifted) / reshape(total, shape=shape),
            _softmax_of_shifted,
            exact_in="floats",
            when=_sums_stand_apart,
            why=why,
            examples=sample(lambda z, s: exp(z) / s),
        ),
    )


#: For graphs that derivatives will be taken of: where a subtracted maximum has no derivative.
SHIFTS: tuple[Rule, ...] = _shift_rules()
