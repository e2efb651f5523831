"""Reverse mode of the way back of a loop: what goes back there goes forward here.

The way back of `revolve_back` is linear in its carries λ and seeds e. With s the state before a
step, its step is λ, o ← back(s, x, λ, e). The cotangents μ of λ need s and x alone, and run
forward along with the states:

    μ, e_bar ← transpose of back(s, x, ·, ·), at (μ, o_bar)

The cotangents of states and elements need λ as well, and run back along with it:

    s_bar, x_bar ← pullback of back by s, x at (μ, o_bar) + pullback of body at s_bar
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.capture import Recorder
from wengert.graph import Graph, innermost
from wengert.graph.tuples import NamedTuple
from wengert.ops import zeros
from wengert.transform.control.bodies import pulled, selected, transposed
from wengert.transform.control.results import read
from wengert.transform.control.staging import Layout, active_carries
from wengert.transform.inline import inline
from wengert.transform.memo import remembered
from wengert.transform.memory.revolving import parts_of, revolve_back, revolve_scan

__all__ = ["back_pullback"]


class _Again(NamedTuple):
    """The graphs of the two loops.

    forward : constants, state and μ, elements and o_bar -> state and μ; e_bar
    back : constants, state and μ, elements and o_bar, carries and cotangents of state and sums of
        cotangents of constants, seeds -> the same; cotangents of elements
    """

    forward: Graph
    back: Graph

    def __len__(self) -> int:
        return len(self.forward) + len(self.back)


def back_pullback(
    xs: Sequence[Any], cotangent: Any, needed: Sequence[bool], params: Any
) -> list[Any]:
    """The cotangents of the operands of a `revolve_back`."""
    body, back = params["body"], params["back"]
    parts = parts_of(xs, params)
    count = len(xs) - len(parts.backs) - len(parts.seeds)
    layout = Layout(len(parts.consts), len(parts.carries), len(parts.elements))
    active = active_carries(body, layout, needed[:count])
    outs = tuple([k for k, c in enumerate(cotangent) if c is not None and k >= len(parts.backs)])
    made = _again(body, back, layout, len(parts.backs), tuple(active), outs)
    tape = innermost([c for c in cotangent if c is not None])
    mu = [
        zeros(tape, t) if c is None else c
        for c, t in zip(cotangent, back.output_types[: len(parts.backs)], strict=False)
    ]
    given = [cotangent[k] for k in outs]
    known = {name: params[name] for name in ("length", "reverse", "slots")}
    carries, elements = [*parts.carries, *mu], [*parts.elements, *given]
    wide = {"consts": layout.consts, "carries": len(carries)}
    found = read(
        revolve_scan(
            *parts.consts, *carries, *elements, body=made.forward, linear=(), **wide, **known
        )
    )
    result: list[Any] = [None] * len(xs)
    result[count : count + len(mu)] = found[layout.carries : len(carries)]
    result[count + len(mu) :] = found[len(carries) :]
    if any(needed[:count]):
        types = body.input_types
        marked = [k for k in range(layout.total) if active[k]]
        states = [k for k in marked if layout.consts <= k < layout.consts + layout.carries]
        fixed = [k for k in marked if k < layout.consts]
        moving = [k for k in marked if k >= layout.consts + layout.carries]
        begin = [zeros(tape, types[k]) for k in (*states, *fixed)]
        only_states = selected(made.forward, range(len(carries)))
        results = read(
            revolve_back(
                *parts.consts,
                *carries,
                *elements,
                *parts.backs,
                *begin,
                *parts.seeds,
                body=only_states,
                back=made.back,
                elements=len(elements),
                backs=len(parts.backs) + len(begin),
                **wide,
                **known,
            )
        )[len(parts.backs) :]
        for k, value in zip((*states, *fixed, *moving), results, strict=True):
            result[k] = value
    return [value if need else None for value, need in zip(result, needed, strict=True)]


def _again(
    body: Graph,
    back: Graph,
    layout: Layout,
    backs: int,
    active: tuple[bool, ...],
    outs: tuple[int, ...],
) -> _Again:
    count, total = layout.total, len(back.inputs)
    seeded = (*range(backs), *outs)
    marked = tuple([k for k in range(count) if active[k]])
    first = layout.consts
    states = [k for k in marked if first <= k < first + layout.carries]
    types = [back.output_types[k] for k in seeded]

    def inputs(tape: Recorder) -> tuple[list[Any], list[Any], list[Any]]:
        """Constants, state and elements; μ; o_bar."""
        consts = [tape.input(t) for t in body.input_types[:first]]
        state = [tape.input(t) for t in body.input_types[first : first + layout.carries]]
        mu = [tape.input(t) for t in types[:backs]]
        elements = [tape.input(t) for t in body.input_types[first + layout.carries :]]
        given = [tape.input(t) for t in types[backs:]]
        return [*consts, *state, *elements], mu, given

    def make() -> _Again:
        tape = Recorder()
        own, mu, given = inputs(tape)
        moved = transposed(back, tuple(range(count, total)), seeded)
        found = inline(tape, moved.graph, [*own, *mu, *given])
        after = inline(tape, body, own)
        forward = tape.graph([h._index for h in (*after, *found)])

        tape = Recorder()
        own, mu, given = inputs(tape)
        lam = [tape.input(t) for t in types[:backs]]
        fixed = [k for k in marked if k < first]
        bars = [tape.input(body.input_types[k]) for k in states]
        sums = [tape.input(body.input_types[k]) for k in fixed]
        seeds = [tape.input(t) for t in back.input_types[count + backs :]]
        everything = [*own, *lam, *seeds]
        before = inline(tape, back, everything)[:backs]
        local = inline(tape, pulled(back, marked, seeded).graph, [*everything, *mu, *given])
        carried = tuple([k - first for k in states])
        through = inline(tape, pulled(body, marked, carried).graph, [*own, *bars])
        cts = {k: a + b for k, a, b in zip(marked, local, through, strict=True)}
        moving = [k for k in marked if k >= first + layout.carries]
        results = [*before, *[cts[k] for k in states]]
        results += [total + cts[k] for k, total in zip(fixed, sums, strict=True)]
        results += [cts[k] for k in moving]
        return _Again(forward, tape.graph([h._index for h in results]))

    return remembered("back twice", body, back, layout, backs, active, outs, make=make)  # type: ignore[no-any-return]
