"""The two orders of accumulation, over the entries of a graph.

Forward: tangents are multiplied along the order of evaluation. Reverse: cotangents are multiplied
from the result back. Both ask each operator for the step that follows from its one rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from wengert.capture import Recorder
from wengert.errors import GraphError
from wengert.graph import CONSTANT, INPUT, Entry
from wengert.ops import TABLE, Component, General, Linear, Masked, Unread, plain

__all__ = ["active_entries", "pushforward_sweep", "reverse_sweep", "transpose_onto"]


def carries_derivatives(op: Any, type_: Any) -> bool:
    """Whether derivatives can flow through an entry: by its operator and by its type."""
    if not op.differentiable:
        return False
    if isinstance(type_, tuple):
        return any(t.is_float for t in type_)
    return bool(type_.is_float)


def active_entries(entries: Sequence[Entry], inputs: Iterable[int]) -> list[bool]:
    """Which values depend differentiably on the given inputs."""
    active = [False] * len(entries)
    for k in inputs:
        active[k] = True
    for i, (op, operands, _, type_) in enumerate(entries):
        if operands and any(active[k] for k in operands) and carries_derivatives(op, type_):
            active[i] = True
    return active


def pushforward_sweep(
    entries: Sequence[Entry],
    handle: Callable[[int], Any],
    tangents: dict[int, Any],
    before: Callable[[int], None] = lambda i: None,
) -> None:
    """Forward mode: fill `tangents` for all entries from those given for inputs.

    `handle(i)` is the value of entry i where the rules may read it. A missing tangent is zero by
    structure. `before(i)` is called before the rule of entry i runs.
    """
    for i, (op, operands, params, type_) in enumerate(entries):
        before(i)
        if not operands:
            continue
        given = [tangents.get(k) for k in operands]
        if all(t is None for t in given) or not carries_derivatives(op, type_):
            continue
        tangent = op.pushforward(handle(i), [handle(k) for k in operands], given, dict(params))
        if tangent is not None:
            _check(op, tangent, type_, "tangent")
            tangents[i] = tangent


def _check(op: Any, value: Any, type_: Any, what: str) -> None:
    if isinstance(value, Masked):
        value = value.value
    if not isinstance(type_, tuple) and value._type is not type_:
        raise GraphError(f"rule of {op.name}: its {what} is {value._type} instead of {type_}")


def reverse_sweep(
    entries: Sequence[Entry],
    env: list[Any],
    active: Sequence[bool],
    contributions: dict[int, list[Any]],
    wanted: Iterable[int],
    recovered: dict[tuple[int, int], Any] | None = None,
) -> dict[int, Any]:
    """Reverse mode: the cotangents of the `wanted` inputs; zero by structure where missing.

    Parameters
    ----------
    env : the value of each entry, where the rules may read it; `Unread` for linear ones. Values
        that an operator recovers take the place of those that were kept.
    active : which entries depend on the wanted inputs
    contributions : cotangents seeded at outputs, by entry; emptied
    recovered : values of results (entry, number) that are not kept but recovered; is filled. If it
        is given, inputs are recovered too, as number -1
    """
    wanted = set(wanted)
    found: dict[int, Any] = {}
    with_inputs = recovered is not None
    recovered = {} if recovered is None else recovered
    for i in range(len(entries) - 1, -1, -1):
        given = contributions.pop(i, None)
        if given is None:
            continue
        op, operands, params, type_ = entries[i]
        cotangent = _combine(given, type_)
        if i in wanted:
            found[i] = plain(cotangent)
        if not operands:
            continue
        needed = [active[k] for k in operands]
        xs = [env[k] for k in operands]
        if op.recovers:
            ys = [recovered.get((i, n)) for n in range(len(type_))]
            ys = [TABLE["project"](env[i], number=n) if y is None else y for n, y in enumerate(ys)]
            results, values = op.recovering_pullback(ys, xs, cotangent, needed, dict(params))
            _recover(entries, operands, values, env, recovered, with_inputs)
        else:
            results = _pullback(op, env[i], xs, cotangent, needed, dict(params))
        for k, result in zip(operands, results, strict=True):
            if result is not None and active[k]:
                if not isinstance(result, Component):
                    _check(op, result, entries[k][3], "cotangent")
                contributions.setdefault(k, []).append(result)
    return found


def _recover(
    entries: Sequence[Entry],
    operands: Sequence[int],
    values: Sequence[Any],
    env: list[Any],
    recovered: dict[tuple[int, int], Any],
    with_inputs: bool,
) -> None:
    """Let the rest of the sweep read the recovered values of the first operands."""
    for k, value in zip(operands, values, strict=False):
        op, parents, params, _ = entries[k]
        if op is CONSTANT or isinstance(env[k], Unread) or (op is INPUT and not with_inputs):
            continue
        env[k] = value
        if op is INPUT:
            recovered[k, -1] = value
        if op is TABLE["project"]:
            recovered[parents[0], dict(params)["number"]] = value


def _combine(given: list[Any], type_: Any) -> Any:
    if isinstance(type_, tuple):
        parts: list[list[Any]] = [[] for _ in type_]
        for component in given:
            parts[component.number].append(component.cotangent)
        return [_combine(p, t) if p else None for p, t in zip(parts, type_, strict=True)]
    if len(given) == 1:
        return given[0]
    scatter = TABLE["scatter_sum"]
    scattered: list[Any] = []
    total: Any = None
    for c in given:
        if not isinstance(c, Masked) and c._tape.entries[c._index][0] is scatter:
            scattered.append(c)
        else:
            total = c if total is None else _sum(total, c)
    return _with_scattered(plain(total), scattered) if scattered else total


def _sum(a: Any, b: Any) -> Any:
    """The sum of two cotangents; where both are masked, it is zero where both are zero."""
    if not (isinstance(a, Masked) and isinstance(b, Masked)):
        return plain(a) + plain(b)
    if a.mask._index == b.mask._index:
        return Masked(a.value + b.value, a.mask)
    return Masked(a.select() + b.select(), a.mask | b.mask)


def _with_scattered(total: Any, scattered: list[Any]) -> Any:
    # One dense array for all parts that were read from one value, instead of one for each.
    if total is None and len(scattered) == 1:
        return scattered[0]
    tape = scattered[0]._tape
    operands: list[int] = []
    parts: list[Any] = []
    shape = None
    for c in scattered:
        _, own, params, _ = tape.entries[c._index]
        own_params = dict(params)
        operands += own
        parts += own_params["parts"]
        shape = own_params["shape"]
    if total is None:
        return tape.record(
            TABLE["scatter_sum"], tuple(operands), (("parts", tuple(parts)), ("shape", shape))
        )
    return tape.record(TABLE["scatter_add"], (total._index, *operands), (("parts", tuple(parts)),))


def _pullback(
    op: Any, y: Any, xs: list[Any], cotangent: Any, needed: list[bool], params: dict[str, Any]
) -> Sequence[Any]:
    if op.family == "elementwise":
        return op.pullback(y, xs, cotangent, needed, params)  # type: ignore[no-any-return]
    cotangent = plain(cotangent)
    if isinstance(op, General) or (isinstance(op, Linear) and op.nonlinear(needed, params)):
        return _transposed_jvp(op, y, xs, cotangent, needed, params)
    return op.pullback(y, xs, cotangent, needed, params)  # type: ignore[no-any-return]


def _transposed_jvp(
    op: Any, y: Any, xs: list[Any], cotangent: Any, needed: list[bool], params: dict[str, Any]
) -> Sequence[Any]:
    tape = cotangent._tape if not isinstance(cotangent, list) else _tape_of(cotangent)
    local = Recorder(tape)
    tangents = [local.input(x._type) if need else None for x, need in zip(xs, needed, strict=True)]
    inputs = [None if t is None else t._index for t in tangents]
    out = op.pushforward(y, xs, tangents, params)
    seeds: dict[int, list[Any]] = {}
    pairs = (
        [(out, cotangent)]
        if not isinstance(cotangent, list)
        else list(zip(out, cotangent, strict=True))
        if out is not None
        else []
    )
    for tangent, seed in pairs:
        # A tangent that does not depend on the local inputs is not linear in them: it is zero.
        if tangent is not None and seed is not None and tangent._tape is local:
            seeds.setdefault(tangent._index, []).append(seed)
    found = transpose_onto(tape, local, [k for k in inputs if k is not None], seeds)
    return [None if k is None else found.get(k) for k in inputs]


def _tape_of(cotangents: list[Any]) -> Any:
    return next(c._tape for c in cotangents if c is not None)


def transpose_onto(
    tape: Any, local: Recorder, linear_inputs: Sequence[int], seeds: dict[int, list[Any]]
) -> dict[int, Any]:
    """Transpose what `local` recorded, linear in `linear_inputs`, emitting entries on `tape`.

    `local` is a tape inside `tape`: its other inputs stand for values of `tape`. `seeds` are the
    cotangents of its results. Returns the cotangents of the linear inputs.
    """
    entries = local.entries
    linear = active_entries(entries, linear_inputs)
    env: list[Any] = []
    for i, (op, operands, params, type_) in enumerate(entries):
        if linear[i]:
            env.append(Unread(type_))
        elif op is INPUT:
            env.append(local.captured[i])
        elif op is CONSTANT:
            env.append(tape.constant(local.constants[i]))
        else:
            env.append(tape.apply(op, [env[k] for k in operands], params))
    return reverse_sweep(entries, env, linear, dict(seeds), linear_inputs)
