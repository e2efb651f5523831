"""`custom_jvp`, `custom_vjp`, `stop_gradient`: derivatives given by the user.

A call becomes one entry whose parameters are graphs: of the function, and of its rule, captured at
the call. From then on everything is a graph: such an entry is batched, differentiated again,
printed and saved like any other.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.capture import Captured, Recorder, capture, flatten, function_name, map_tree, unflatten
from wengert.capture.function import as_leaf
from wengert.errors import ArgumentError, DerivativeError, DTypeError
from wengert.graph import Graph, Traced, Type, current_tape, innermost, recording, type_of
from wengert.ops import TABLE, General, Structural, zeros
from wengert.run import run
from wengert.transform.batching import batch_graph
from wengert.transform.graphs import transpose_graph
from wengert.transform.inline import apply_graph

__all__ = ["custom_jvp", "custom_vjp", "stop_gradient"]


def stop_gradient(tree: Any) -> Any:
    """The same values, taken as constants by every derivative.

    Accepts a tree of arrays, numbers and traced values. `float(wg.stop_gradient(x))` is how a
    program reads a number out of a traced value on purpose.
    """
    return map_tree(
        lambda leaf: TABLE["stop_gradient"](leaf) if isinstance(leaf, Traced) else leaf, tree
    )


# ---------------------------------------------------------------- the two operators


class LazyRule:
    """A rule that is captured when it is first needed.

    A rule may call the function that it belongs to; the rule of that inner call is needed only by
    a higher derivative, and capturing it at once would never end. Equal only to itself.
    """

    def __init__(self, make: Callable[[], tuple[Any, ...]]) -> None:
        self._make = make
        self._made: tuple[Any, ...] | None = None

    def resolve(self) -> tuple[Any, ...]:
        """The graphs of the rule."""
        if self._made is None:
            self._made = self._make()
        return self._made


def _resolved(rule: Any) -> tuple[Any, ...]:
    return rule.resolve() if isinstance(rule, LazyRule) else rule


def _call_type(op: Any, *types: Type, function: Graph, **_: Any) -> Any:
    if types != function.input_types:
        raise DTypeError(f"{op.name}: expected operands {function.input_types}, not {types}")
    return function.output_types


def _call_value(*arrays: Any, function: Graph, **_: Any) -> Any:
    return tuple(run(function, arrays))


def _whole(args: Sequence[Any], batched: Sequence[bool], size: int) -> list[Any]:
    return [
        a if b else TABLE["broadcast_to"](a, shape=(size, *a._type.shape))
        for a, b in zip(args, batched, strict=True)
    ]


def _batched(graph: Graph, size: int) -> Graph:
    return batch_graph(graph, [True] * len(graph.inputs), size, all_outputs=True).graph


def _batched_rule(rule: Any, size: int) -> Any:
    if isinstance(rule, LazyRule):
        return LazyRule(lambda: _batched_rule(rule.resolve(), size))
    return tuple(_batched(part, size) if isinstance(part, Graph) else part for part in rule)


def _jvp_rule(y: Any, xs: Any, tangents: Any, function: Graph, rule: Any) -> Any:
    tape = innermost([t for t in tangents if t is not None])
    given = [
        zeros(tape, _tangent_type(x._type)) if t is None else t
        for x, t in zip(xs, tangents, strict=True)
    ]
    results = apply_graph(_resolved(rule)[0], [*xs, *given])
    return results[len(function.outputs) :]


def _tangent_type(type_: Type) -> Type:
    # Integers have no tangents; rules see zeros of a float type in their place.
    return type_ if type_.is_float else type_.with_dtype(float)


def _call_batch(name: str) -> Callable[..., Any]:
    def batch(args: Any, batched: Any, size: int, function: Graph, rule: Any) -> Any:
        return TABLE[name](
            *_whole(args, batched, size),
            function=_batched(function, size),
            rule=_batched_rule(rule, size),
        )

    return batch


def _declare_jvp_call(f: Any) -> General:
    return General(
        f,
        jvp=_jvp_rule,
        value=_call_value,
        can_fail=True,
        type=_call_type,
        batch=_call_batch("custom_jvp_call"),
        symbol="call",
        latex=r"\operatorname{{call}}({0})",
        samples=lambda rng, dtype: [],
    )


@_declare_jvp_call
def custom_jvp_call(*operands: Any, function: Graph, rule: Any) -> Any:
    """A function with a forward rule.

    `rule` is `(graph,)`, which maps operands and tangents to results and tangents, or a
    `LazyRule`.
    """


class _CustomVjpCall(Structural):
    """A function with a reverse rule; forward mode transposes that rule."""

    family = "custom"

    def pullback(
        self, y: Any, xs: Sequence[Any], cotangent: Any, needed: Sequence[bool], params: Any
    ) -> Sequence[Any]:
        function = params["function"]
        forward, backward, present = _resolved(params["rule"])
        tape = innermost([c for c in cotangent if c is not None])
        seeds = [
            zeros(tape, t) if c is None else c
            for c, t in zip(cotangent, function.output_types, strict=True)
        ]
        residuals = apply_graph(forward, xs)[len(function.outputs) :]
        found = iter(apply_graph(backward, [*residuals, *seeds]))
        given = [next(found) if here else None for here in present]
        return [c if need else None for c, need in zip(given, needed, strict=True)]

    def pushforward(self, y: Any, xs: Sequence[Any], tangents: Sequence[Any], params: Any) -> Any:
        function = params["function"]
        forward, backward, present = _resolved(params["rule"])
        tape = innermost([t for t in tangents if t is not None])
        residuals = apply_graph(forward, xs)[len(function.outputs) :]
        try:
            forward_rule = transpose_graph(backward, range(len(residuals), len(backward.inputs)))
        except DerivativeError as error:
            raise DerivativeError(
                "forward mode needs a custom_vjp rule that is linear in the cotangent, and this "
                f"one is not: {error}",
                hint="use reverse mode, or give the function a custom_jvp",
                location="",
            ) from None
        given = [
            zeros(tape, x._type) if t is None else t
            for x, t, here in zip(xs, tangents, present, strict=True)
            if here
        ]
        return apply_graph(forward_rule, [*residuals, *given])


def _declare_vjp_call(f: Any) -> _CustomVjpCall:
    return _CustomVjpCall(
        f,
        value=_call_value,
        can_fail=True,
        type=_call_type,
        batch=_call_batch("custom_vjp_call"),
        symbol="call",
        latex=r"\operatorname{{call}}({0})",
        samples=lambda rng, dtype: [],
    )


@_declare_vjp_call
def custom_vjp_call(*operands: Any, function: Graph, rule: Any) -> Any:
    """A function with a reverse rule.

    `rule` is `(forward, backward, present)`, or a `LazyRule`: `forward` maps operands to results
    and residuals, `backward` maps residuals and cotangents of the results to cotangents of the
    operands marked in `present`.
    """


# ---------------------------------------------------------------- the decorators


class _Custom:
    """What both decorators share: telling traced calls from plain ones, and static arguments."""

    purpose = ""
    op: Any = None

    def __init__(self, f: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        functools.update_wrapper(self, f)
        self.f = f
        self.nondiff_argnums = tuple(nondiff_argnums)
        self._capturing = threading.local()

    def _split(self, args: tuple[Any, ...]) -> tuple[list[Any], list[int]]:
        static = [args[k] for k in self.nondiff_argnums]
        return static, [k for k in range(len(args)) if k not in self.nondiff_argnums]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            raise ArgumentError(
                f"{self.purpose}: {function_name(self.f)} was called with keyword arguments "
                f"{sorted(kwargs)}",
                hint="pass them by position; list static ones in nondiff_argnums",
            )
        _, positions = self._split(args)
        if not any(isinstance(leaf, Traced) for k in positions for leaf in flatten(args[k])[0]):
            return self.f(*args)
        return self._record(args, positions)

    def _record(self, args: tuple[Any, ...], positions: list[int]) -> Any:
        captured = self._capture(self.f, args, positions)
        if not getattr(self._capturing, "rule", False):
            rule: Any = self._capture_rule(args, positions, captured, with_values=True)
        else:
            typed = list(args)
            for k in positions:
                typed[k] = map_tree(_stand_in, args[k])
            rule = LazyRule(
                lambda: self._capture_rule(tuple(typed), positions, captured, with_values=False)
            )
        leaves = [leaf for k in positions for leaf in flatten(args[k])[0]]
        results = self.op(*leaves, function=captured.graph, rule=rule)
        count = captured.out_count
        parts = [TABLE["project"](results, number=i) for i in range(count)]
        return unflatten(captured.out_structure, parts)

    def _capture_rule(
        self, args: tuple[Any, ...], positions: list[int], captured: Captured, *, with_values: bool
    ) -> tuple[Any, ...]:
        """The rule as graphs. Without values, the leaves of `args` only tell types."""
        previous = getattr(self._capturing, "rule", False)
        self._capturing.rule = True
        try:
            return self._rule_graphs(args, positions, captured, with_values)
        finally:
            self._capturing.rule = previous

    def _rule_graphs(
        self, args: tuple[Any, ...], positions: list[int], captured: Captured, with_values: bool
    ) -> tuple[Any, ...]:
        raise NotImplementedError

    def _capture(
        self, f: Callable[..., Any], args: Sequence[Any], positions: Sequence[int], **options: Any
    ) -> Any:
        captured = capture(
            f, args, {}, traced=positions, purpose=self.purpose, lift=False, **options
        )
        self._check_closed(captured.graph, sum(captured.counts), f)
        return captured

    def _check_closed(self, graph: Graph, count: int, f: Any) -> None:
        if len(graph.inputs) != count:
            raise DerivativeError(
                f"{self.purpose}: {function_name(f)} uses a traced value that is not among its "
                "arguments, for which its rule gives no derivative",
                hint="pass the value as an argument",
            )


def _stand_in(leaf: Any) -> Any:
    type_ = _type_of_leaf(leaf)
    return np.broadcast_to(np.zeros((), type_.dtype), type_.shape)


def _type_of_leaf(leaf: Any) -> Type:
    return leaf._type if isinstance(leaf, Traced) else type_of(leaf)


def _types_of(with_values: bool) -> Any:
    """For `capture`: take the types of all leaves instead of their values, or neither."""
    return None if with_values else lambda position, number, leaf: _type_of_leaf(leaf)


class custom_jvp(_Custom):
    """Decorator: a function whose derivative is given by a JVP rule.

    `@f.defjvp` takes `rule(primals, tangents) -> (result, tangent of the result)`, where both are
    tuples with one entry per argument. Reverse mode is derived from it. Arguments in
    `nondiff_argnums` are static: they come first in `rule(*static, primals, tangents)`.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> @wg.custom_jvp
    ... def log1pexp(x):
    ...     return np.log1p(np.exp(x))
    >>> @log1pexp.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), t / (1.0 + np.exp(-x))
    >>> print(wg.grad(log1pexp)(0.0))
    0.5
    """

    purpose = "custom_jvp"
    rule: Callable[..., Any] | None = None

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule; returns it."""
        self.rule = rule
        return rule

    op = custom_jvp_call

    def _rule_graphs(
        self, args: tuple[Any, ...], positions: list[int], captured: Captured, with_values: bool
    ) -> tuple[Any, ...]:
        if self.rule is None:
            raise DerivativeError(
                f"custom_jvp: {function_name(self.f)} has no rule yet",
                hint="define one with @f.defjvp",
            )
        static, _ = self._split(args)
        primals = tuple(args[k] for k in positions)

        def typed(position: int, number: int, leaf: Any) -> Type | None:
            if position == 1:
                return _tangent_type(_type_of_leaf(leaf))
            return None if with_values else _type_of_leaf(leaf)

        rule = functools.partial(self.rule, *static) if static else self.rule
        ruled = self._capture(rule, (primals, primals), (0, 1), types_only=typed)
        count = captured.out_count
        types = captured.graph.output_types
        found = ruled.graph.output_types
        if len(found) != 2 * count or found[:count] != types or found[count:] != types:
            raise ArgumentError(
                f"custom_jvp: the rule of {function_name(self.f)} must return a result and its "
                f"tangent, both {types}, but it returned {found}"
            )
        return (ruled.graph,)


class custom_vjp(_Custom):
    """Decorator: a function whose derivative is given by a reverse rule.

    `f.defvjp(fwd, bwd)` takes `fwd(*args) -> (result, residuals)` and `bwd(residuals, cotangent)
    -> cotangents`, a tuple with one entry per argument (None for zero). Forward mode is derived
    from it where `bwd` is linear in the cotangent. Arguments in `nondiff_argnums` are static: they
    come first in `bwd(*static, residuals, cotangent)`.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> @wg.custom_vjp
    ... def clipped(x):
    ...     return x
    >>> clipped.defvjp(lambda x: (x, None), lambda _, ct: (np.clip(ct, -1.0, 1.0),))
    >>> print(wg.grad(lambda x: 5.0 * clipped(x))(2.0))
    1.0
    """

    purpose = "custom_vjp"
    fwd: Callable[..., Any] | None = None
    bwd: Callable[..., Any] | None = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the two halves of the rule."""
        self.fwd, self.bwd = fwd, bwd

    op = custom_vjp_call

    def _rule_graphs(
        self, args: tuple[Any, ...], positions: list[int], captured: Captured, with_values: bool
    ) -> tuple[Any, ...]:
        if self.fwd is None or self.bwd is None:
            raise DerivativeError(
                f"custom_vjp: {function_name(self.f)} has no rule yet",
                hint="define one with f.defvjp(fwd, bwd)",
            )
        static, _ = self._split(args)
        types = captured.graph.output_types
        if not all(t.is_float for t in types):
            raise DTypeError(
                f"custom_vjp: {function_name(self.f)} must return float values, not {types}"
            )
        forward, residuals, structure = self._forward(args, positions, captured, with_values)
        bwd = functools.partial(self.bwd, *static) if static else self.bwd
        backward, present = self._backward(bwd, residuals, structure, captured, args, positions)
        return forward, backward, present

    def _forward(
        self, args: tuple[Any, ...], positions: list[int], captured: Captured, with_values: bool
    ) -> tuple[Graph, list[Any], Any]:
        fwd: Any = self.fwd
        forward = self._capture(fwd, args, positions, types_only=_types_of(with_values))
        found = forward.graph.output_types
        count = captured.out_count
        if found[:count] != captured.graph.output_types:
            raise ArgumentError(
                f"custom_vjp: fwd of {function_name(self.f)} must return (result, residuals) with "
                f"a result {captured.graph.output_types}, but it returned {found}"
            )
        # The residuals as handles whose values can be asked for while bwd is captured.
        tape = forward.tape
        handles = [
            Recorder.handle(tape, k, forward.graph.entries[k][3])
            for k in forward.graph.outputs[count:]
        ]
        result = unflatten(forward.out_structure, list(range(forward.out_count)))
        if not isinstance(result, tuple) or len(result) != 2:
            raise ArgumentError(
                f"custom_vjp: fwd of {function_name(self.f)} must return a pair (result, residuals)"
            )
        return forward.graph, handles, flatten(result[1])[1]

    def _backward(
        self,
        bwd: Callable[..., Any],
        residuals: list[Any],
        structure: Any,
        captured: Any,
        args: tuple[Any, ...],
        positions: list[int],
    ) -> tuple[Graph, tuple[bool, ...]]:
        tape = Recorder(
            current_tape(),
            why_no_values="a cotangent has no value yet while the rule of a custom_vjp is captured",
        )
        tape.purpose = self.purpose
        inputs = [tape.bound_input(h._type, h) for h in residuals]
        cotangents = [tape.input(t) for t in captured.graph.output_types]
        with recording(tape):
            found = bwd(unflatten(structure, inputs), unflatten(captured.out_structure, cotangents))
            if not isinstance(found, (tuple, list)) or len(found) != len(positions):
                raise ArgumentError(
                    f"custom_vjp: bwd of {function_name(self.f)} must return a tuple with one "
                    f"cotangent for each of {len(positions)} arguments"
                )
            outputs, present = [], []
            for k, cotangent in zip(positions, found, strict=True):
                leaves, expected = flatten(args[k])
                own, got = flatten(cotangent)
                if cotangent is None:
                    present += [False] * len(leaves)
                    continue
                if got != expected:
                    raise ArgumentError(
                        f"custom_vjp: bwd of {function_name(self.f)} returned {got} for argument "
                        f"{k}, whose structure is {expected}"
                    )
                for leaf, ct in zip(leaves, own, strict=True):
                    outputs.append(_checked(tape, leaf, ct, self.f))
                    present.append(True)
        graph = tape.graph(outputs)
        self._check_closed(graph, len(inputs) + len(cotangents), bwd)
        return graph, tuple(present)


def _checked(tape: Recorder, leaf: Any, cotangent: Any, f: Any) -> int:
    type_ = _type_of_leaf(as_leaf(leaf, "custom_vjp: an argument"))
    index = tape.index_of(cotangent)
    found = tape.entries[index][3]
    if found.shape == type_.shape and found.dtype != type_.dtype:
        index = TABLE["cast"](Recorder.handle(tape, index, found), dtype=type_.dtype)._index
        found = tape.entries[index][3]
    if found is not type_:
        raise ArgumentError(
            f"custom_vjp: bwd of {function_name(f)} returned a cotangent {found} for an argument "
            f"{type_}"
        )
    return index
