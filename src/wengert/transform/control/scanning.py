"""The operator `scan`: a loop of known length, whose carries go from step to step.

Its derivative is a scan too (`staging`): tangents run along, linear in themselves, over what the
loop kept of each step. Reverse mode is the transpose of that scan, a scan in the other direction,
whose carries are the cotangents of the carries and the sums of the cotangents of the constants.
A constant of which each step reads a part gets its cotangent by one `scatter_sum` after the loop:
a dense array is added to per loop, not per step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.errors import DTypeError, ShapeError
from wengert.graph import Graph, innermost
from wengert.graph.tuples import NamedTuple
from wengert.ops import TABLE, zeros
from wengert.run import run
from wengert.transform.batching import batch_graph
from wengert.transform.control.bodies import Derived, batched_body, rearranged, transposed
from wengert.transform.control.results import Control, read, rebundled, repeated, zeros_like
from wengert.transform.control.staging import Layout, Staged, active_carries, staged
from wengert.transform.control.sums import Sum, sums
from wengert.transform.control.undoing import Undone, undone_step
from wengert.transform.inline import apply_graph

__all__ = [
    "Reversal",
    "Scan",
    "batched_carries",
    "given_up",
    "layout_of",
    "scan",
    "scan_params",
    "steps_first",
]


def layout_of(params: Any, count: int) -> Layout:
    """How the `count` operands of a loop divide."""
    consts, carries = params["consts"], params["carries"]
    return Layout(consts, carries, count - consts - carries)


def scan_params(
    body: Graph, layout: Layout, length: int, *, reverse: bool = False, linear: Sequence[int] = ()
) -> dict[str, Any]:
    """The parameters of a scan."""
    return {
        "body": body,
        "consts": layout.consts,
        "carries": layout.carries,
        "length": length,
        "reverse": reverse,
        "linear": tuple(linear),
    }


class Scan(Control):
    """Operands: constants, initial carries, stacked elements. Results: final carries, and the
    other outputs of the body, stacked."""

    def result_types(self, types: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, ...]:
        body, length = params["body"], params["length"]
        layout = layout_of(params, len(types))
        consts, carries, stacks = layout.parts(types)
        for t in stacks:
            if not t.shape or t.shape[0] != length:
                raise ShapeError(f"scan: expected {length} elements along the first axis, not {t}")
        elements = [t.with_shape(t.shape[1:]) for t in stacks]
        if body.input_types != (*consts, *carries, *elements):
            raise DTypeError(
                f"scan: the body takes {body.input_types}, but the operands are {types}"
            )
        if body.output_types[: layout.carries] != tuple(carries):
            raise DTypeError(
                f"scan: the carries are {tuple(carries)}, but the body gives "
                f"{body.output_types[: layout.carries]}"
            )
        ys = body.output_types[layout.carries :]
        return (*carries, *[t.with_shape((length, *t.shape)) for t in ys])

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        body, length = params["body"], params["length"]
        layout = layout_of(params, len(arrays))
        consts, carries, stacks = layout.parts(arrays)
        types = body.output_types[layout.carries :]
        ys = [np.empty((length, *t.shape), t.dtype) for t in types]
        steps = range(length - 1, -1, -1) if params["reverse"] else range(length)
        for t in steps:
            results = run(body, given_up([*consts], carries, [x[t] for x in stacks]))
            carries = results[: layout.carries]
            # The loop's variable would hold the last one while the next step runs.
            for y in reversed(ys):
                y[t] = results.pop()
            del results
        return (*carries, *ys)

    # ------------------------------------------------------------ derivatives

    def pushforward(self, y: Any, xs: Sequence[Any], tangents: Sequence[Any], params: Any) -> Any:
        layout = layout_of(params, len(xs))
        flags = active_carries(params["body"], layout, [t is not None for t in tangents])
        count = len(y._type) - layout.carries
        parts = staged(params["body"], layout, tuple(flags), (True,) * count)
        tape = innermost([t for t in tangents if t is not None])
        dots = layout.parts(
            [
                zeros(tape, x._type) if flag and t is None else t
                for x, t, flag in zip(xs, tangents, flags, strict=True)
            ]
        )
        given = [[t for t in part if t is not None] for part in dots]
        late = _late_operands(parts, xs, layout, params)
        results = read(
            self(
                *late.consts,
                *given[0],
                *given[1],
                *late.elements,
                *given[2],
                **scan_params(
                    parts.late,
                    parts.layout,
                    params["length"],
                    reverse=params["reverse"],
                    linear=parts.linear,
                ),
            )
        )
        found: list[Any] = [None] * len(y._type)
        for k, value in zip(
            (*parts.carries, *[layout.carries + k for k in parts.ys]), results, strict=True
        ):
            found[k] = value
        return found

    def pullback(
        self, y: Any, xs: Sequence[Any], cotangent: Any, needed: Sequence[bool], params: Any
    ) -> Sequence[Any]:
        layout = layout_of(params, len(xs))
        linear = params["linear"]
        tape = innermost([c for c in cotangent if c is not None])
        if all(k in linear for k, need in enumerate(needed) if need):
            carry_types = params["body"].input_types[layout.consts :][: layout.carries]
            return _transpose(
                params["body"],
                layout,
                linear,
                xs,
                needed,
                params,
                zeros_like(cotangent[: layout.carries], carry_types, tape),
                cotangent[layout.carries :],
            )
        flags = active_carries(params["body"], layout, needed)
        ys = cotangent[layout.carries :]
        step = undone_step(params["body"], layout, tuple(flags), tuple([c is not None for c in ys]))
        if step.graph is not None:
            found = self._undo(step, step.graph, y, xs, cotangent, params)
            return [value if want else None for value, want in zip(found, needed, strict=True)]
        parts = staged(params["body"], layout, tuple(flags), tuple(c is not None for c in ys))
        late = _late_operands(parts, xs, layout, params)
        # The operands of the linear scan: those that are not linear have values.
        body_types = parts.late.input_types
        operands: list[Any] = [None] * len(body_types)
        values = iter([*late.consts, *late.elements])
        for k in range(len(operands)):
            if k not in parts.linear:
                operands[k] = next(values)
        carry_cts = [cotangent[k] for k in parts.carries]
        carry_types = parts.late.output_types[: len(parts.carries)]
        marked = [k for k, flag in enumerate(flags) if flag]
        wanted = [False] * len(operands)
        for at, k in zip(parts.linear, marked, strict=True):
            wanted[at] = needed[k]
        found = _transpose(
            parts.late,
            parts.layout,
            parts.linear,
            operands,
            wanted,
            params,
            zeros_like(carry_cts, carry_types, tape),
            [ys[k] for k in parts.ys],
        )
        result: list[Any] = [None] * len(xs)
        for at, k in zip(parts.linear, marked, strict=True):
            result[k] = found[at]
        return result

    def _undo(
        self, step: Undone, graph: Graph, y: Any, xs: Sequence[Any], cotangent: Any, params: Any
    ) -> list[Any]:
        """The cotangents of a loop whose steps can be undone."""
        layout = layout_of(params, len(xs))
        consts, _, stacks = layout.parts(xs)
        tape = innermost([c for c in cotangent if c is not None])
        types = params["body"].input_types
        final = read(y, layout.carries)
        cts = [
            zeros(tape, types[layout.consts + k]) if cotangent[k] is None else cotangent[k]
            for k in step.carries
        ]
        carries = [*final, *cts, *[zeros(tape, types[k]) for k in step.consts]]
        elements = [*stacks, *[c for c in cotangent[layout.carries :] if c is not None]]
        wide = Layout(layout.consts, len(carries), len(elements))
        known = scan_params(graph, wide, params["length"], reverse=not params["reverse"])
        found = read(scan(*consts, *carries, *elements, **known))[layout.carries :]
        result: list[Any] = [None] * len(xs)
        places = [layout.consts + k for k in step.carries] + list(step.consts)
        places += [layout.consts + layout.carries + k for k in step.elements]
        for k, value in zip(places, found, strict=True):
            result[k] = value
        return result

    # ------------------------------------------------------------ batching

    def batch(self, args: Sequence[Any], batched: Sequence[bool], size: int, params: Any) -> Any:
        body = params["body"]
        layout = layout_of(params, len(args))
        flags = batched_carries(body, layout, batched, size)
        last = layout.consts + layout.carries
        made, carries = batched_body(
            body, flags, size, lambda k, _: k < layout.carries and flags[layout.consts + k]
        )
        operands = [
            steps_first(x) if own and k >= last else repeated(x, size) if flag and not own else x
            for k, (x, own, flag) in enumerate(zip(args, batched, flags, strict=True))
        ]
        found = read(self(*operands, **{**params, "body": made}))
        results = [
            steps_first(y) if carries[k] and k >= layout.carries else y for k, y in enumerate(found)
        ]
        return rebundled(results, carries, size)


def batched_carries(body: Graph, layout: Layout, batched: Sequence[bool], size: int) -> list[bool]:
    """`batched` (which inputs carry the batch axis) with every carry added that comes to."""
    flags = list(batched)
    while True:
        made = batch_graph(body, flags, size).batched
        new = list(flags)
        for k in range(layout.carries):
            new[layout.consts + k] = flags[layout.consts + k] or made[k]
        if new == flags:
            return new
        flags = new


def steps_first(x: Any) -> Any:
    """A handle with its first two axes, batch and steps, exchanged."""
    return TABLE["transpose"](x, axes=(1, 0, *range(2, x._type.ndim)))


def given_up(*lists: list[Any]) -> Any:
    """The items of the lists, which are emptied: the body may write into a carry that nobody else
    refers to."""
    for items in lists:
        items.reverse()
        while items:
            yield items.pop()


class _Operands(NamedTuple):
    consts: list[Any]
    elements: list[Any]


def _late_operands(parts: Staged, xs: Sequence[Any], layout: Layout, params: Any) -> _Operands:
    """What the linear scan reads, computed by running the loop once more, with residuals."""
    consts, _, stacks = layout.parts(xs)
    once = apply_graph(parts.once, consts) if parts.once.outputs else []
    kept = []
    count = len(params["body"].outputs)
    if len(parts.early.outputs) > count:
        early = scan(*xs, **{**params, "body": parts.early})
        kept = read(early)[count:]
    return _Operands(
        [*[consts[k] for k in parts.consts], *once], [*[stacks[k] for k in parts.elements], *kept]
    )


# ---------------------------------------------------------------- transposition


class Reversal:
    """The transpose of a loop that is linear in some operands, as a loop in the other direction.

    body, layout : of the loop back. Its carries begin with the cotangents of the carries, then
        zeros of the types `begin`; its elements end with the cotangents of `ys`
    consts, elements : operands of the loop that the loop back reads, by position
    linear : operands of the loop back in which it is linear

    `types` are those of the operands of a step; `back` maps the operands in which it is not linear,
    cotangents of the carries, and of the `seeds` further results, to the cotangents of the others.
    """

    def __init__(
        self,
        back: Derived,
        types: Sequence[Any],
        layout: Layout,
        linear: Sequence[int],
        wanted: Sequence[bool],
        seeds: int,
    ) -> None:
        own = [k for k in range(layout.total) if k not in linear]
        first, last = layout.consts, layout.consts + layout.carries
        at = {k: i for i, k in enumerate(linear)}
        self._first, self._carries, self._total = first, layout.carries, layout.total
        self._wanted = wanted
        self._summed = [k for k in linear if k < first and wanted[k] and back.present[at[k]]]
        self._stacked = [k for k in linear if k >= last and wanted[k] and back.present[at[k]]]
        self._plan = sums(
            back.graph,
            [back.graph.outputs[at[k]] for k in self._summed],
            [types[k] for k in self._summed],
        )
        self.body = _reverse_body(back, self._plan, layout, own, at, self._stacked)
        self.begin = self._plan.types
        self.consts = [k for k in own if k < first]
        self.elements = [k for k in own if k >= last]
        self.layout = new = Layout(
            len(self.consts), layout.carries + len(self.begin), len(self.elements) + seeds
        )
        self.linear = [
            *range(new.consts, new.consts + new.carries),
            *range(new.total - seeds, new.total),
        ]

    @classmethod
    def of(
        cls,
        body: Graph,
        layout: Layout,
        linear: Sequence[int],
        wanted: Sequence[bool],
        given: Sequence[bool],
    ) -> Reversal:
        """That of a step that is linear in some operands; `given` says of which further results
        there are cotangents."""
        seeds = [layout.carries + k for k, present in enumerate(given) if present]
        back = transposed(body, tuple(linear), (*range(layout.carries), *seeds))
        return cls(back, body.input_types, layout, linear, wanted, len(seeds))

    def __len__(self) -> int:
        return len(self.body)

    def cotangents(self, found: Sequence[Any]) -> list[Any]:
        """The cotangents of the wanted linear operands, by position, from the loop's results."""
        result: list[Any] = [None] * self._total
        result[self._first : self._first + self._carries] = found[: self._carries]
        rest = found[self.layout.carries :]
        for k, value in zip(self._stacked, rest, strict=False):
            result[k] = value
        totals = self._plan.finish(
            found[self._carries : self.layout.carries], rest[len(self._stacked) :]
        )
        for k, total in zip(self._summed, totals, strict=True):
            result[k] = total
        return [value if want else None for value, want in zip(result, self._wanted, strict=True)]


def _transpose(
    body: Graph,
    layout: Layout,
    linear: Sequence[int],
    xs: Sequence[Any],
    wanted: Sequence[bool],
    params: Any,
    carry_cts: Sequence[Any],
    y_cts: Sequence[Any],
) -> list[Any]:
    """The cotangents of the wanted linear operands of a linear scan, by position."""
    back = Reversal.of(body, layout, linear, wanted, [c is not None for c in y_cts])
    tape = innermost([c for c in (*carry_cts, *y_cts) if c is not None])
    found = read(
        scan(
            *[xs[k] for k in back.consts],
            *carry_cts,
            *[zeros(tape, t) for t in back.begin],
            *[xs[k] for k in back.elements],
            *[c for c in y_cts if c is not None],
            **scan_params(
                back.body,
                back.layout,
                params["length"],
                reverse=not params["reverse"],
                linear=back.linear,
            ),
        )
    )
    return back.cotangents(found)


def _reverse_body(
    back: Derived,
    plan: Sum,
    layout: Layout,
    own: Sequence[int],
    at: dict[int, int],
    stacked: Sequence[int],
) -> Graph:
    """One step back: constants; cotangents of carries, sums; elements, cotangents of `ys`."""
    graph = plan.graph
    first, last = layout.consts, layout.consts + layout.carries
    consts = [i for i, k in enumerate(own) if k < first]
    elements = [i for i, k in enumerate(own) if k >= last]
    seeds = range(len(own), len(back.graph.inputs))
    sums_at = range(len(back.graph.inputs), len(graph.inputs))
    order = [*consts, *seeds[: layout.carries], *sums_at, *elements, *seeds[layout.carries :]]
    outputs = [back.graph.outputs[at[first + k]] for k in range(layout.carries)]
    outputs += plan.totals
    outputs += [back.graph.outputs[at[k]] for k in stacked]
    outputs += plan.pieces
    return rearranged(graph, order, outputs)


# ---------------------------------------------------------------- the declaration


def _declare(function: Any) -> Scan:
    return Scan(
        function,
        can_fail=True,
        symbol="scan",
        latex=r"\operatorname{{scan}}({0}, \dots)",
        samples=lambda rng, dtype: [],
    )


@_declare
def scan(
    *operands: Any,
    body: Graph,
    consts: int,
    carries: int,
    length: int,
    reverse: bool,
    linear: tuple[int, ...],
) -> Any:
    """A loop over the first axis of its last operands: `body` maps constants, carries and elements
    to new carries and further results, which are stacked."""
