"""Loops of which s states are held, not all: the operators `revolve_scan` and `revolve_back`.

`revolve_scan` is a scan. Its pullback is a `revolve_back`: a loop in the other direction that reads
the states of the scan, which are made again from s of them by an optimal schedule (`schedules`).
Both are closed under derivatives. Forward mode runs the same two loops on pairs of a value and its
tangent. The pullback of `revolve_back` is linear in what goes back, so that its cotangents go
*forward*, along with the states: it is a `revolve_scan` and a `revolve_back` again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.errors import DTypeError
from wengert.graph import Graph, innermost
from wengert.graph.tuples import NamedTuple
from wengert.ops import zeros
from wengert.run import run
from wengert.transform.control.bodies import (
    active_outputs,
    batched_body,
    rearranged,
)
from wengert.transform.control.joining import joined_loops
from wengert.transform.control.results import Control, bundle, read, rebundled, repeated
from wengert.transform.control.scanning import (
    Scan,
    batched_carries,
    given_up,
    layout_of,
    scan,
    scan_params,
    steps_first,
)
from wengert.transform.control.staging import Layout, active_carries
from wengert.transform.graphs import forward_graph
from wengert.transform.inline import apply_graph
from wengert.transform.memo import remembered
from wengert.transform.memory.schedules import revolve
from wengert.transform.memory.steps import step_back

__all__ = ["parts_of", "revolve_back", "revolve_scan"]


class Parts(NamedTuple):
    """One item per operand of a `revolve_back`, in five parts."""

    consts: list[Any]
    carries: list[Any]
    elements: list[Any]
    backs: list[Any]
    seeds: list[Any]


def parts_of(operands: Sequence[Any], params: Any) -> Parts:
    """The operands by what they are: constants, the first state and elements of the loop forward;
    carries and further elements of the loop back."""
    ends, at = [], 0
    for name in ("consts", "carries", "elements", "backs"):
        at += params[name]
        ends.append(at)
    a, b, c, d = ends
    return Parts(
        list(operands[:a]),
        list(operands[a:b]),
        list(operands[b:c]),
        list(operands[c:d]),
        list(operands[d:]),
    )


class _RevolveScan(Scan):
    """As `scan`, with the number of states that its reversal holds: `slots`."""

    def pushforward(self, y: Any, xs: Sequence[Any], tangents: Sequence[Any], params: Any) -> Any:
        body, layout = params["body"], layout_of(params, len(xs))
        flags = active_carries(body, layout, [t is not None for t in tangents])
        active = active_outputs(body, [k for k, flag in enumerate(flags) if flag])
        carries = [k for k in range(layout.carries) if flags[layout.consts + k]]
        ys = [k for k in range(layout.carries, len(body.outputs)) if active[k]]
        positions = layout.parts(range(layout.total))
        made = _with_tangents(
            body,
            positions,
            flags,
            [(range(layout.carries), carries), (range(layout.carries, len(body.outputs)), ys)],
        )
        dots = _filled(tangents, xs, flags)
        operands = [
            x
            for part in positions
            for x in (*[xs[k] for k in part], *[dots[k] for k in part if flags[k]])
        ]
        wide = Layout(*[len(p) + sum(flags[k] for k in p) for p in positions])
        found = read(self(*operands, **_scan_params(params, made, wide)))
        result: list[Any] = [None] * len(y._type)
        for at, k in enumerate(carries, layout.carries):
            result[k] = found[at]
        for at, k in enumerate(ys, wide.carries + len(y._type) - layout.carries):
            result[k] = found[at]
        return result

    def primal_results(self, params: Any, joint: Any) -> list[int]:
        """Where the entry that `pushforward` records has the results of the given one."""
        count, wide = params["carries"], joint["carries"]
        ys = len(params["body"].outputs) - count
        return [*range(count), *range(wide, wide + ys)]

    def pullback(
        self, y: Any, xs: Sequence[Any], cotangent: Any, needed: Sequence[bool], params: Any
    ) -> Sequence[Any]:
        body, layout = params["body"], layout_of(params, len(xs))
        flags = tuple(active_carries(body, layout, needed))
        ys = cotangent[layout.carries :]
        present = tuple(c is not None for c in ys)
        marked = [k for k, flag in enumerate(flags) if flag]
        wanted = tuple(needed[k] for k in marked)
        step = step_back(body, layout, flags, present, wanted)
        parts = step.parts
        tape = innermost([c for c in cotangent if c is not None])
        consts, carries, stacks = layout.parts(xs)
        once = apply_graph(parts.once, consts) if parts.once.outputs else []
        types = parts.carry_types
        cts = [
            zeros(tape, types[i]) if cotangent[k] is None else cotangent[k]
            for i, k in enumerate(parts.carries)
        ]
        backs = [*cts, *[zeros(tape, t) for t in step.reversal.begin]]
        operands = [*consts, *once, *carries, *stacks, *backs, *[ys[k] for k in parts.ys]]
        found = read(
            revolve_back(
                *operands,
                **_back_params(
                    params,
                    _states(body, layout, parts.once.output_types),
                    step.graph,
                    layout._replace(consts=layout.consts + len(once)),
                    len(backs),
                ),
            )
        )
        cotangents = step.reversal.cotangents(found)
        result: list[Any] = [None] * len(xs)
        for at, k in zip(parts.linear, marked, strict=True):
            result[k] = cotangents[at]
        return result

    def expand(self, operands: Sequence[Any], params: Any) -> Any:
        """The same as an ordinary loop."""
        known = {k: v for k, v in params.items() if k != "slots"}
        return scan(*operands, **known)


def _scan_params(params: Any, body: Graph, layout: Layout) -> dict[str, Any]:
    made = scan_params(body, layout, params["length"], reverse=params["reverse"])
    return {**made, "slots": params["slots"]}


def _back_params(
    params: Any, body: Graph, back: Graph, layout: Layout, backs: int
) -> dict[str, Any]:
    return {
        "body": body,
        "back": back,
        **layout._asdict(),
        "backs": backs,
        **{name: params[name] for name in ("length", "reverse", "slots")},
    }


def _states(body: Graph, layout: Layout, more: Sequence[Any]) -> Graph:
    """The body of a loop that makes its states alone, with further constants, which it ignores."""
    order = [*range(layout.consts), *more, *range(layout.consts, layout.total)]
    return rearranged(body, order, body.outputs[: layout.carries])


def _with_tangents(
    graph: Graph,
    inputs: Sequence[Sequence[int]],
    flags: Sequence[bool],
    outputs: Sequence[tuple[Sequence[int], Sequence[int]]],
) -> Graph:
    """A graph and its derivative in one.

    Inputs: each part of `inputs`, followed by the tangents of those marked in `flags`. Outputs:
    each part of `outputs`, followed by the tangents of the outputs that it names.
    """
    wrt = tuple([k for k, flag in enumerate(flags) if flag])

    def make() -> Graph:
        made = joined_loops(forward_graph(graph, wrt).graph).graph
        place = {k: len(graph.inputs) + i for i, k in enumerate(wrt)}
        order = [k for part in inputs for k in (*part, *[place[i] for i in part if flags[i]])]
        floats = [k for k, t in enumerate(graph.output_types) if t.is_float]
        dot = {k: len(graph.outputs) + i for i, k in enumerate(floats)}
        wanted = [k for part, own in outputs for k in (*part, *[dot[i] for i in own])]
        return rearranged(made, order, [made.outputs[k] for k in wanted])

    key = tuple(tuple(p) for p in inputs), tuple((tuple(p), tuple(o)) for p, o in outputs)
    return remembered("with tangents", graph, wrt, key, make=make)  # type: ignore[no-any-return]


def _filled(tangents: Sequence[Any], xs: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """The tangents, with zeros for those that are marked but missing."""
    tape = innermost([t for t in tangents if t is not None])
    return [
        zeros(tape, x._type) if flag and t is None else t
        for t, x, flag in zip(tangents, xs, flags, strict=True)
    ]


class _RevolveBack(Control):
    """Operands: see `Parts`. Results: the final carries of the loop back, and its other results,
    stacked.

    Parameters: `body` maps constants, state and elements to the next state; `back` maps them,
    carries and seeds to new carries and further results, and is linear in carries and seeds.
    """

    def linear_operands(self, params: dict[str, Any]) -> tuple[int, ...]:
        return ()

    def result_types(self, types: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, ...]:
        parts = parts_of(types, params)
        elements = [t.with_shape(t.shape[1:]) for t in parts.elements]
        seeds = [t.with_shape(t.shape[1:]) for t in parts.seeds]
        forward = (*parts.consts, *parts.carries, *elements)
        body, back = params["body"], params["back"]
        if body.input_types != forward or body.output_types != tuple(parts.carries):
            raise DTypeError(f"{self.name}: the body takes {body.input_types}, not {forward}")
        everything = (*forward, *parts.backs, *seeds)
        if back.input_types != everything:
            raise DTypeError(
                f"{self.name}: the way back takes {back.input_types}, not {everything}"
            )
        if back.output_types[: len(parts.backs)] != tuple(parts.backs):
            raise DTypeError(f"{self.name}: the carries are {parts.backs}")
        ys = back.output_types[len(parts.backs) :]
        return (*parts.backs, *[t.with_shape((params["length"], *t.shape)) for t in ys])

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        consts, carries, elements, backs, seeds = parts_of(arrays, params)
        body, back, last = params["body"], params["back"], params["length"] - 1
        outs = [np.empty((last + 1, *t.shape), t.dtype) for t in back.output_types[len(backs) :]]
        kept = {0: carries}
        state, now = list(carries), 0
        for what, step in revolve(last + 1, params["slots"]):
            if what == "advance":
                for s in range(now, step):
                    t = last - s if params["reverse"] else s
                    state = run(body, given_up([*consts], state, [x[t] for x in elements]))
                now = step
            elif what == "store":
                kept[step] = list(state)
            elif what == "restore":
                state, now = list(kept[step]), step
            elif what == "free":
                del kept[step]
            else:
                t = last - step if params["reverse"] else step
                x, e = [x[t] for x in elements], [x[t] for x in seeds]
                backs = run(back, given_up([*consts], state, x, backs, e))
                for y in reversed(outs):
                    y[t] = backs.pop()
        return (*backs, *outs)

    # ------------------------------------------------------------ derivatives

    def _flags(self, params: Any, given: Sequence[bool]) -> tuple[list[bool], list[bool]]:
        """Which operands have a tangent, with what comes to it in the loops: of the body and of
        the way back."""
        parts = parts_of(given, params)
        count = len(given) - len(parts.backs) - len(parts.seeds)
        layout = Layout(len(parts.consts), len(parts.carries), len(parts.elements))
        forward = active_carries(params["body"], layout, given[:count])
        back = active_carries(
            params["back"],
            Layout(count, len(parts.backs), len(parts.seeds)),
            [*forward, *given[count:]],
        )
        return forward, back

    def pushforward(self, y: Any, xs: Sequence[Any], tangents: Sequence[Any], params: Any) -> Any:
        body, back = params["body"], params["back"]
        forward, flags = self._flags(params, [t is not None for t in tangents])
        positions = parts_of(range(len(xs)), params)
        consts, carries, elements, backs, _ = positions
        first = len(consts)
        states = [k for k in range(len(carries)) if forward[first + k]]
        body = _with_tangents(
            body, [consts, carries, elements], forward, [(range(len(carries)), states)]
        )
        active = active_outputs(back, [k for k, flag in enumerate(flags) if flag])
        own = [k for k in range(len(backs)) if flags[backs[0] + k]]
        rest = range(len(backs), len(back.outputs))
        outs = [k for k in rest if active[k]]
        back = _with_tangents(back, positions, flags, [(range(len(backs)), own), (rest, outs)])
        dots = _filled(tangents, xs, flags)
        wide = [[*[xs[k] for k in p], *[dots[k] for k in p if flags[k]]] for p in positions]
        layout = Layout(*[len(p) for p in wide[:3]])
        found = read(
            self(
                *[x for part in wide for x in part],
                **_back_params(params, body, back, layout, len(wide[3])),
            )
        )
        result: list[Any] = [None] * len(y._type)
        for at, k in enumerate(own, len(backs)):
            result[k] = found[at]
        for at, k in enumerate(outs, len(wide[3]) + len(rest)):
            result[k] = found[at]
        return result

    def primal_results(self, params: Any, joint: Any) -> list[int]:
        """Where the entry that `pushforward` records has the results of the given one."""
        count, wide = params["backs"], joint["backs"]
        outs = len(params["back"].outputs) - count
        return [*range(count), *range(wide, wide + outs)]

    def pullback(
        self, y: Any, xs: Sequence[Any], cotangent: Any, needed: Sequence[bool], params: Any
    ) -> Sequence[Any]:
        from wengert.transform.memory.twice import back_pullback

        return back_pullback(xs, cotangent, needed, params)

    # ------------------------------------------------------------ batching

    def batch(self, args: Sequence[Any], batched: Sequence[bool], size: int, params: Any) -> Any:
        parts = parts_of(batched, params)
        count = len(args) - len(parts.backs) - len(parts.seeds)
        layout = Layout(len(parts.consts), len(parts.carries), len(parts.elements))
        flags = batched_carries(params["body"], layout, batched[:count], size)
        behind = Layout(count, len(parts.backs), len(parts.seeds))
        flags = batched_carries(params["back"], behind, [*flags, *batched[count:]], size)
        first = layout.consts
        body, _ = batched_body(params["body"], flags[:count], size, lambda k, _: flags[first + k])
        back, carries = batched_body(
            params["back"],
            flags,
            size,
            lambda k, _: k < behind.carries and flags[count + k],
        )
        moving = set(range(first + layout.carries, count))
        moving |= set(range(count + behind.carries, len(args)))
        operands = [
            steps_first(x) if own and k in moving else repeated(x, size) if flag and not own else x
            for k, (x, own, flag) in enumerate(zip(args, batched, flags, strict=True))
        ]
        found = read(self(*operands, **{**params, "body": body, "back": back}))
        results = [
            steps_first(r) if carries[k] and k >= behind.carries else r for k, r in enumerate(found)
        ]
        return rebundled(results, carries, size)

    def expand(self, operands: Sequence[Any], params: Any) -> Any:
        """The same as two ordinary loops: the first stacks its states."""
        consts, carries, elements, backs, seeds = parts_of(operands, params)
        body, length, reverse = params["body"], params["length"], params["reverse"]
        layout = Layout(len(consts), len(carries), len(elements))
        first = layout.consts
        states = body.inputs[first : first + layout.carries]
        stacking = rearranged(body, range(layout.total), [*body.outputs, *states])
        found = read(
            scan(
                *consts,
                *carries,
                *elements,
                **scan_params(stacking, layout, length, reverse=reverse),
            )
        )
        positions = parts_of(range(len(operands)), params)
        order = [*positions.consts, *positions.backs, *positions.carries]
        order += [*positions.elements, *positions.seeds]
        fixed = layout.carries + layout.elements
        behind = Layout(first, len(backs), fixed + len(seeds))
        linear = [
            *range(first, first + len(backs)),
            *range(behind.total - len(seeds), behind.total),
        ]
        made = rearranged(params["back"], order)
        found = read(
            scan(
                *consts,
                *backs,
                *found[layout.carries :],
                *elements,
                *seeds,
                **scan_params(made, behind, length, reverse=not reverse, linear=linear),
            )
        )
        return bundle(*found)


def _declare(kind: Any, name: str) -> Callable[[Any], Any]:
    latex = rf"\operatorname{{{{{name}}}}}({{0}}, \dots)"
    return lambda function: kind(function, symbol=name, latex=latex, samples=lambda rng, dtype: [])


@_declare(_RevolveScan, "scan")
def revolve_scan(
    *operands: Any,
    body: Graph,
    consts: int,
    carries: int,
    length: int,
    reverse: bool,
    linear: tuple[int, ...],
    slots: int,
) -> Any:
    """A `scan` whose reversal holds `slots` states and makes the others again."""


@_declare(_RevolveBack, "revolve")
def revolve_back(
    *operands: Any,
    body: Graph,
    back: Graph,
    consts: int,
    carries: int,
    elements: int,
    backs: int,
    length: int,
    reverse: bool,
    slots: int,
) -> Any:
    """A loop back over the states of a loop, of which `slots` are held at once."""
