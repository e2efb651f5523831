"""The family `Elementwise`: operators that act on each element, with NumPy's broadcasting.

The one derivative rule is `partials`: for each operand the local partial derivative of the result,
a function of the result and the operands, written with wengert's own operators. These are the
numbers on the edges of a computational graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.graph.tuples import NamedTuple
from wengert.graph.types import Type
from wengert.ops.record import TABLE, Op, dtype_error, type_error

__all__ = ["MINUS_ONE", "ONE", "Elementwise", "Masked", "elementwise", "unbroadcast"]

Rule = Callable[..., Any]


class _Unit:
    """A partial that is known to be 1 or -1: nothing is computed for it."""

    def __init__(self, sign: int) -> None:
        self.sign = sign

    def __repr__(self) -> str:
        return f"partial {self.sign}"


ONE = _Unit(1)
MINUS_ONE = _Unit(-1)


class Masked(NamedTuple):
    """A partial or cotangent that is zero by structure wherever `mask` is false.

    `value` may be anything there, NaN included: it is discarded by one select at the end
    (`select`). A partial's value may be `ONE` or `MINUS_ONE`.
    """

    value: Any
    mask: Any

    def select(self) -> Any:
        """The plain array: `value` where the mask is true, else 0."""
        return TABLE["where"](self.mask, self.value, 0.0)


def plain(cotangent: Any) -> Any:
    """A cotangent as a plain array."""
    return cotangent.select() if isinstance(cotangent, Masked) else cotangent


def _times(partial: Any, value: Any) -> Any:
    if isinstance(partial, _Unit):
        return value if partial.sign > 0 else -value
    # A handle on the left: NumPy's numbers know nothing of handles.
    return value * partial if isinstance(partial, np.generic) else partial * value


def unbroadcast(cotangent: Any, type_: Type) -> Any:
    """Sum a cotangent over the axes along which an operand of type `type_` was broadcast."""
    shape = cotangent._type.shape
    if shape == type_.shape:
        return cotangent
    cotangent = plain(cotangent)
    extra = len(shape) - len(type_.shape)
    axes = tuple(range(extra)) + tuple(
        i + extra for i, n in enumerate(type_.shape) if n == 1 and shape[i + extra] != 1
    )
    summed = TABLE["reduce_sum"](cotangent, axes=axes)
    if summed._type.shape == type_.shape:
        return summed
    return TABLE["reshape"](summed, shape=type_.shape)


def _unbroadcast_masked(cotangent: Any, type_: Type) -> Any:
    if isinstance(cotangent, Masked):
        mask = cotangent.mask._type.shape
        extra = len(type_.shape) - len(mask)
        if extra >= 0 and all(n in (1, m) for n, m in zip(mask, type_.shape[extra:], strict=True)):
            # The mask is the same for all that is summed, so it holds for the sum.
            return Masked(unbroadcast(cotangent.value, type_), cotangent.mask)
    return unbroadcast(plain(cotangent), type_)


def _in_dtype(value: Any, type_: Type) -> Any:
    # Only `cast` has operands and results of different float dtypes.
    if value is None or value._type.dtype == type_.dtype:
        return value
    return TABLE["cast"](value, dtype=type_.dtype)


def _broadcast(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    # NumPy makes arrays to find this, and most often the shapes are the same, or one is a number's.
    different = {*shapes} - {()}
    if len(different) < 2:
        return different.pop() if different else ()
    rank = max([len(shape) for shape in different])
    found = [1] * rank
    for shape in different:
        for axis, n in enumerate(shape, start=rank - len(shape)):
            if found[axis] == 1:
                found[axis] = n
            elif n not in (1, found[axis]):
                raise ValueError("shapes that do not broadcast")
    return tuple(found)


class Elementwise(Op):
    """An operator on each element.

    Parameters
    ----------
    value : the NumPy function
    partials : per operand a function `(y, *xs, **params)`, `ONE`, `MINUS_ONE`, or None where the
        derivative is zero by structure. A partial may return `Masked`.
    like : the ufunc whose promotion rules hold; by default `value`
    linear_in : groups of operands in which it is linear, as in `Linear`
    result : dtype of the result where it isn't that of `like`
    domain : per operand the interval that test samples are drawn from
    """

    family = "elementwise"

    def __init__(
        self,
        function: Rule,
        *,
        value: Rule,
        partials: Sequence[Any],
        like: Any = None,
        linear_in: tuple[tuple[int, ...], ...] = (),
        promote: Rule | None = None,
        result: Rule | None = None,
        domain: Sequence[tuple[float, float]] = (),
        traits: frozenset[str] = frozenset(),
        **rest: Any,
    ) -> None:
        super().__init__(function, **rest)
        self.evaluate = value  # type: ignore[method-assign]
        self.partials = tuple(partials)
        self.like: Any = value if like is None else like
        self.linear_in = linear_in
        self._promote_rule = promote
        self._result_rule = result
        self.domain = tuple(domain)
        self.traits = traits
        self.differentiable = any(p is not None for p in self.partials)
        self._promoted: dict[Any, Any] = {}
        self._resulting: dict[Any, Any] = {}
        if len(self.partials) != self.arity:
            raise ValueError(f"operator {self.name}: one partial per operand is needed")

    # ------------------------------------------------------------ types and values

    def promote(self, kinds: Sequence[Any], params: dict[str, Any]) -> Sequence[Any]:
        key = tuple(kinds)
        found = self._promoted.get(key)
        if found is None:
            if self._promote_rule is not None:
                found = self._promote_rule(key)
            else:
                found = self._resolve(key)[:-1]
            self._promoted[key] = found
        return found

    def _resolve(self, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
        # NumPy takes the types int and float as weak; a Python bool has a dtype of its own.
        weak = tuple(np.dtype(bool) if k is bool else k for k in kinds)
        if all(isinstance(k, type) for k in weak):
            weak = tuple(np.dtype(k) for k in weak)
        try:
            resolved: tuple[Any, ...] = self.like.resolve_dtypes((*weak, None))
        except TypeError:
            raise dtype_error(self, weak) from None
        return resolved

    def _infer(self, types: tuple[Any, ...], params: dict[str, Any]) -> Any:
        try:
            shape = _broadcast([t.shape for t in types])
        except ValueError:
            raise type_error(
                self,
                "shapes that broadcast together (equal, or 1, from the last axis on)",
                types,
                hint="reshape one of them, for instance with x[:, None]",
            ) from None
        if self._result_rule is not None:
            dtype = self._result_rule(*types, **params)
        else:
            key = tuple([t.dtype for t in types])
            dtype = self._resulting.get(key)
            if dtype is None:
                dtype = self._resulting[key] = self._resolve(key)[-1]
        return Type(shape, dtype)

    # ------------------------------------------------------------ derivatives

    def partial(self, k: int, y: Any, xs: Sequence[Any], params: Any) -> Any:
        """The local partial by operand k: an array, ONE, MINUS_ONE, Masked or None."""
        rule = self.partials[k]
        if rule is None or isinstance(rule, _Unit):
            return rule
        return rule(y, *xs, **params)

    def pushforward(self, y: Any, xs: Sequence[Any], tangents: Sequence[Any], params: Any) -> Any:
        present = [k for k, t in enumerate(tangents) if t is not None]
        for group in self.linear_in:
            if len(group) > 1 and present == list(group):
                pairs = enumerate(zip(xs, tangents, strict=True))
                args = [t if k in group else x for k, (x, t) in pairs]
                return self(*args, **params)
        total = None
        for k in present:
            partial = self.partial(k, y, xs, params)
            if partial is None:
                continue
            if isinstance(partial, Masked):
                term = Masked(_times(partial.value, tangents[k]), partial.mask).select()
            else:
                term = _times(partial, tangents[k])
            total = term if total is None else total + term
        if total is not None and total._type.shape != y._type.shape:
            total = TABLE["broadcast_to"](total, shape=y._type.shape)
        return _in_dtype(total, y._type)

    def pullback(
        self, y: Any, xs: Sequence[Any], cotangent: Any, needed: Sequence[bool], params: Any
    ) -> Sequence[Any]:
        found: list[Any] = []
        for k, need in enumerate(needed):
            partial = self.partial(k, y, xs, params) if need else None
            if partial is None:
                found.append(None)
                continue
            value, mask = cotangent if isinstance(cotangent, Masked) else (cotangent, None)
            if isinstance(partial, Masked):
                mask = partial.mask if mask is None else mask & partial.mask
                partial = partial.value
            value = _times(partial, value)
            result = value if mask is None else Masked(value, mask)
            if value._type.shape != xs[k]._type.shape:
                result = _unbroadcast_masked(result, xs[k]._type)
            if value._type.dtype != xs[k]._type.dtype:
                result = _in_dtype(plain(result), xs[k]._type)
            found.append(result)
        return found

    # ------------------------------------------------------------ batching, tests

    def batch(self, args: Sequence[Any], batched: Sequence[bool], size: int, params: Any) -> Any:
        ranks = [a._type.ndim - b for a, b in zip(args, batched, strict=True)]
        rank = max(ranks)
        aligned = []
        for arg, is_batched, own in zip(args, batched, ranks, strict=True):
            if is_batched and own < rank:
                shape = arg._type.shape
                arg = TABLE["reshape"](arg, shape=(shape[0], *[1] * (rank - own), *shape[1:]))
            aligned.append(arg)
        return self(*aligned, **params)

    def test_samples(self, rng: Any, dtype: Any) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        if self.samples is not None:
            return list(self.samples(rng, dtype))
        domain = self.domain or ((-2.0, 2.0),) * len(self.partials)

        def draw(*shapes: tuple[int, ...]) -> tuple[Any, ...]:
            pairs = zip(shapes, domain, strict=True)
            return tuple(
                np.asarray(rng.uniform(lo, hi, shape).astype(dtype)) for shape, (lo, hi) in pairs
            )

        n = len(self.partials)
        cases = [draw(*[(3, 4)] * n), draw(*[()] * n)]
        if n == 2:
            cases += [draw((3, 1), (4,)), draw((), (2, 3)), draw((2, 3), (3,))]
        return [(case, {}) for case in cases]


def elementwise(**declaration: Any) -> Callable[[Rule], Elementwise]:
    """Declare an `Elementwise` operator; the function gives name, operands and docstring."""
    return lambda function: Elementwise(function, **declaration)
