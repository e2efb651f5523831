"""The families `Linear` (one rule: transpose), `General` (one rule: JVP) and `Discrete` (none)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.ops.record import TABLE, Op

__all__ = ["Discrete", "General", "Linear", "Structural", "discrete", "general", "linear"]

Rule = Callable[..., Any]


class Structural(Op):
    """What the families of this module share: every fact is a function of the declaration.

    Parameters
    ----------
    value : (*arrays, **params) -> array
    type : (*types, **params) -> Type; raises ShapeError or DTypeError
    batch_rule : (args, batched, size, **params) -> result with the batch axis first
    promote_rule : (kinds) -> dtypes, where operands need one dtype
    """

    def __init__(
        self,
        function: Rule,
        *,
        value: Rule,
        type: Rule,
        batch: Rule,
        promote: Rule | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(function, **rest)
        self.evaluate = value  # type: ignore[method-assign]
        self._type_rule = type
        self._batch_rule = batch
        self._promote_rule = promote

    def promote(self, kinds: Sequence[Any], params: dict[str, Any]) -> Sequence[Any]:
        if self._promote_rule is None:
            return super().promote(kinds, params)
        promoted: Sequence[Any] = self._promote_rule(self, kinds)
        return promoted

    def _infer(self, types: tuple[Any, ...], params: dict[str, Any]) -> Any:
        return self._type_rule(self, *types, **params)

    def batch(self, args: Sequence[Any], batched: Sequence[bool], size: int, params: Any) -> Any:
        return self._batch_rule(args, batched, size, **params)


class Linear(Structural):
    """An operator that is linear in some operands.

    `linear_in` groups the operands: jointly linear ones stand in one group (`concatenate`),
    operands in which it is linear one at a time stand in groups of their own (`contract`).
    `transpose(k, ct, *xs, **params)` is the cotangent of operand k; operand k arrives as its
    type. A `linear_in` of None means: jointly linear in all operands, however many; such operators
    give `transpose_all(ct, needed, xs, **params)`, the cotangents of all operands at once, so that
    the cost stays linear in their number.

    `jvp(k, y, xs, tangent, **params)`, where given, is the tangent by an operand k in which the
    operator is not linear, as in a linear solve.
    """

    family = "linear"

    def __init__(
        self,
        function: Rule,
        *,
        linear_in: tuple[tuple[int, ...], ...] | None,
        transpose: Rule | None = None,
        transpose_all: Rule | None = None,
        jvp: Rule | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(function, **rest)
        if (transpose is None) == (transpose_all is None):
            raise ValueError(f"operator {self.name}: one transpose rule is needed")
        self.linear_in = linear_in
        self.transpose = transpose
        self.transpose_all = transpose_all
        self.jvp = jvp

    def groups(self, count: int, params: dict[str, Any]) -> tuple[tuple[int, ...], ...]:
        """The groups of linear operands for a call with `count` operands."""
        del params
        return (tuple(range(count)),) if self.linear_in is None else self.linear_in

    def pushforward(self, y: Any, xs: Sequence[Any], tangents: Sequence[Any], params: Any) -> Any:
        total = None
        groups = self.groups(len(xs), params)
        for group in groups:
            if all(tangents[k] is None for k in group):
                continue
            args = list(xs)
            for k in group:
                t = tangents[k]
                args[k] = zeros(y._tape, xs[k]._type) if t is None else t
            term = self(*args, **params)
            total = term if total is None else total + term
        for k in self.nonlinear(tangents, params):
            term = self.jvp(k, y, xs, tangents[k], **params)  # type: ignore[misc]
            total = term if total is None else total + term
        return total

    def nonlinear(self, tangents: Sequence[Any], params: dict[str, Any]) -> list[int]:
        """The operands with a tangent (or, for flags, that are needed) that only `jvp` covers."""
        if self.jvp is None:
            return []
        linear = {k for group in self.groups(len(tangents), params) for k in group}
        return [
            k
            for k, t in enumerate(tangents)
            if t is not None and t is not False and k not in linear
        ]

    def pullback(
        self, y: Any, xs: Sequence[Any], cotangent: Any, needed: Sequence[bool], params: Any
    ) -> Sequence[Any]:
        if self.transpose_all is not None:
            return self.transpose_all(cotangent, needed, xs, **params)  # type: ignore[no-any-return]
        linear = {k for group in self.groups(len(xs), params) for k in group}
        return [
            self.transpose(k, cotangent, *xs, **params)  # type: ignore[misc]
            if need and k in linear
            else None
            for k, need in enumerate(needed)
        ]


class General(Structural):
    """An operator whose derivative rule is a JVP written with other operators.

    `jvp(y, xs, tangents, **params)` is the tangent of the result; it must be linear in the
    tangents (None: zero by structure). The pullback is obtained by transposing it.
    """

    family = "general"

    def __init__(self, function: Rule, *, jvp: Rule, **rest: Any) -> None:
        super().__init__(function, **rest)
        self._jvp = jvp

    def pushforward(self, y: Any, xs: Sequence[Any], tangents: Sequence[Any], params: Any) -> Any:
        return self._jvp(y, xs, tangents, **params)


class Discrete(Structural):
    """An operator that is locally constant: results are integers, booleans or steps."""

    family = "discrete"
    differentiable = False

    def pushforward(self, y: Any, xs: Sequence[Any], tangents: Sequence[Any], params: Any) -> Any:
        return None

    def pullback(
        self, y: Any, xs: Sequence[Any], cotangent: Any, needed: Sequence[bool], params: Any
    ) -> Sequence[Any]:
        return [None] * len(xs)


def zeros(tape: Any, type_: Any) -> Any:
    """Zeros of a type: one number, broadcast."""
    zero = tape.constant(type_.dtype.type(0))
    if not type_.shape:
        return zero
    return tape.apply(TABLE["broadcast_to"], (zero,), (("shape", type_.shape),))


def linear(**declaration: Any) -> Callable[[Rule], Linear]:
    """Declare a `Linear` operator; the decorated function gives name, operands and docstring."""
    return lambda function: Linear(function, **declaration)


def general(**declaration: Any) -> Callable[[Rule], General]:
    """Declare a `General` operator."""
    return lambda function: General(function, **declaration)


def discrete(**declaration: Any) -> Callable[[Rule], Discrete]:
    """Declare a `Discrete` operator."""
    return lambda function: Discrete(function, **declaration)


def as_scalar(value: Any) -> Any:
    """NumPy's convention: arrays without axes are scalars."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
