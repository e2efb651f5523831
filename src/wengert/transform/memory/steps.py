"""A step back of a loop of which few states are held: from a state to the cotangents before it."""

from __future__ import annotations

from typing import Any

from wengert.capture import Recorder
from wengert.graph import Graph
from wengert.graph.tuples import NamedTuple
from wengert.transform.control.bodies import active_outputs, pulled, rearranged
from wengert.transform.control.scanning import Reversal
from wengert.transform.control.staging import Layout, staged
from wengert.transform.inline import inline
from wengert.transform.memo import remembered

__all__ = ["Step", "step_back"]


class Step(NamedTuple):
    """A step of the reversal of a loop: it makes what the way back needs of a step, and goes back.

    graph : inputs: constants of the loop, values computed once; state; elements; carries of the
        loop back; cotangents of `ys`
    """

    graph: Graph
    parts: Any
    reversal: Reversal

    def __len__(self) -> int:
        return len(self.graph)


def step_back(
    body: Graph,
    layout: Layout,
    flags: tuple[bool, ...],
    present: tuple[bool, ...],
    wanted: tuple[bool, ...],
) -> Step:
    """The step back of a loop by the operands in `flags` (closed, see `active_carries`): `present`
    says which of its further results have cotangents, `wanted` which of the flagged operands get
    one."""

    def make() -> Step:
        if any(hasattr(entry[0], "expand") for entry in body.entries):
            return _whole_step_back(body, layout, flags, present, wanted)
        parts = staged(body, layout, flags, present)
        asked = [False] * len(parts.late.inputs)
        for at, want in zip(parts.linear, wanted, strict=True):
            asked[at] = want
        back = Reversal.of(parts.late, parts.layout, parts.linear, asked, [True] * len(parts.ys))
        tape = Recorder()
        types = body.input_types
        consts = [tape.input(t) for t in types[: layout.consts]]
        once = [tape.input(t) for t in parts.once.output_types]
        state = [tape.input(t) for t in types[layout.consts :][: layout.carries]]
        elements = [tape.input(t) for t in types[layout.consts + layout.carries :]]
        kept = inline(tape, parts.early, [*consts, *state, *elements])[len(body.outputs) :]
        own = len(parts.consts) + len(parts.once.outputs)
        read_ = len(parts.elements) + len(kept)
        rest = back.body.input_types[own:]
        carried = [tape.input(t) for t in rest[: back.layout.carries]]
        seeds = [tape.input(t) for t in rest[back.layout.carries + read_ :]]
        found = inline(
            tape,
            back.body,
            [
                *[consts[k] for k in parts.consts],
                *once,
                *carried,
                *[elements[k] for k in parts.elements],
                *kept,
                *seeds,
            ],
        )
        graph = tape.graph([h._index for h in found])
        return Step(rearranged(graph, range(len(graph.inputs))), parts, back)

    return remembered("step back", body, layout, flags, present, wanted, make=make)  # type: ignore[no-any-return]


class _Whole(NamedTuple):
    """What is said of a step back that is not split: nothing is computed once; the carries and
    results of the loop with cotangents; and where the cotangents of its operands are."""

    once: Graph
    carries: tuple[int, ...]
    carry_types: tuple[Any, ...]
    ys: tuple[int, ...]
    linear: tuple[int, ...]


def _whole_step_back(
    body: Graph,
    layout: Layout,
    flags: tuple[bool, ...],
    present: tuple[bool, ...],
    wanted: tuple[bool, ...],
) -> Step:
    """A step back as the reverse mode of the whole step: loops inside that hold few states are
    reversed as what they are, where splitting the step would make ordinary loops of them."""
    first = layout.consts
    marked = [k for k, flag in enumerate(flags) if flag]
    active = active_outputs(body, marked)
    carries = tuple([k for k in range(layout.carries) if flags[first + k]])
    ys = tuple([k for k, has in enumerate(present) if has and active[layout.carries + k]])
    back = pulled(body, tuple(marked), (*carries, *[layout.carries + k for k in ys]))
    # Seen as a loop over cotangents: constants and theirs; theirs of carries; states, elements, and
    # theirs of elements.
    types = body.input_types
    ours = [[k for k in marked if low <= k < high] for low, high in _spans(layout)]
    linear = [first + k for k in range(len(ours[0]))]
    linear += [first + len(linear) + k for k in range(len(carries))]
    read_ = first + len(linear) + layout.total - first
    linear += [read_ + k for k in range(len(ours[2]))]
    wide = Layout(first + len(ours[0]), len(carries), layout.total - first + len(ours[2]))
    operand_types = [
        *types[:first],
        *[types[k] for k in (*ours[0], *ours[1])],
        *types[first:],
        *[types[k] for k in ours[2]],
    ]
    asked = [False] * wide.total
    for at, want in zip(linear, wanted, strict=True):
        asked[at] = want
    made = Reversal(back, operand_types, wide, linear, asked, len(ys))
    # The loop back takes constants, carries, states, elements, seeds; states come first here.
    count = made.layout.carries
    order = [
        *range(first),
        *range(first + count, first + count + layout.total - first),
        *range(first, first + count),
        *range(first + count + layout.total - first, made.layout.total),
    ]
    graph = rearranged(made.body, order)
    once = rearranged(body, range(first), [])
    carry_types = tuple([types[first + k] for k in carries])
    return Step(graph, _Whole(once, carries, carry_types, ys, tuple(linear)), made)


def _spans(layout: Layout) -> tuple[tuple[int, int], ...]:
    first, last = layout.consts, layout.consts + layout.carries
    return (0, first), (first, last), (last, layout.total)
