"""The operator `while_loop`: a loop whose length is known only when it runs.

How often a loop runs is locally constant, so that its derivatives are those of a scan of the length
that it turns out to have. An entry keeps the loop itself and the `steps` by which it is derived,
each "jvp" or "vjp"; to run it the length is counted, and the steps are applied to the scan of
that length (remembered by length). The history of the carries so lives within one entry, the
types of all entries stay fixed, and one rule gives derivatives of any order and mixture: append a
step. An entry is linear in the operands of its last step; its transpose exchanges "jvp" and "vjp".

Forward mode needs no history: tangents run along with the carries, in constant memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.capture import Recorder
from wengert.errors import DTypeError, ShapeError
from wengert.graph import Graph, Type
from wengert.graph.tuples import NamedTuple
from wengert.ops import TABLE
from wengert.run import run
from wengert.run.budget import current_budget
from wengert.transform.batching import batch_graph
from wengert.transform.control.bodies import batched_body, pulled, pushed, rearranged, selected
from wengert.transform.control.branching import cond_each
from wengert.transform.control.results import Control, read, rebundled, repeated, zeros_like
from wengert.transform.control.scanning import batched_carries, given_up, scan, scan_params
from wengert.transform.control.staging import Layout, active_carries
from wengert.transform.inline import inline
from wengert.transform.memo import remembered

__all__ = ["forward_graph", "while_loop"]

Step = tuple[str, tuple[int, ...], tuple[int, ...]]

_BOOL = Type((), np.dtype(bool))


class Loop(NamedTuple):
    """A loop: both graphs take constants and carries; `cond` says whether to go on."""

    cond: Graph
    body: Graph
    consts: int

    @property
    def layout(self) -> Layout:
        """How the operands divide."""
        return Layout(self.consts, len(self.body.outputs), 0)

    def run(
        self, operands: Sequence[Any], passing: Callable[[int, list[Any]], None] | None = None
    ) -> tuple[list[Any], int]:
        """The final carries, and how many steps it took. `passing` is called before each step."""
        consts, carries = list(operands[: self.consts]), list(operands[self.consts :])
        count = 0
        while run(self.cond, [*consts, *carries])[0]:
            if passing is not None:
                passing(count, carries)
            carries = run(self.body, given_up([*consts], carries))
            count += 1
        return carries, count


def _loop(params: Any) -> Loop:
    return Loop(params["cond"], params["body"], params["consts"])


def _scan_graph(loop: Loop, length: int) -> Graph:
    """The graph of the loop with a fixed number of steps."""
    layout = loop.layout
    tape = Recorder()
    inputs = [tape.input(t) for t in loop.body.input_types]
    params = scan_params(loop.body, layout, length)
    entry = tape.apply(scan, inputs, tuple(sorted(params.items())))
    return tape.graph([part._index for part in read(entry)])


def _apply_step(graph: Graph, step: Step) -> tuple[Graph, tuple[bool, ...]]:
    """The derived graph, and which of its outputs may differ from zero."""
    kind, wrt, outs = step
    if kind == "jvp":
        made = pushed(graph, wrt)
        return selected(made.graph, outs), tuple(made.present[k] for k in outs)
    found = pulled(graph, wrt, outs)
    return found.graph, found.present


def _derived(loop: Loop, length: int, steps: tuple[Step, ...], budget: int | None = None) -> Graph:
    def derive(graph: Graph) -> Graph:
        for step in steps:
            graph, _ = _apply_step(graph, step)
        return graph

    def make() -> Graph:
        graph = _scan_graph(loop, length)
        if budget is not None:
            from wengert.transform.memory.loops import loops_within

            graph = loops_within(graph, budget, derive)
        return derive(graph)

    return remembered(  # type: ignore[no-any-return]
        "while", loop.body, loop.consts, length, steps, budget, make=make
    )


def _present(loop: Loop, steps: tuple[Step, ...]) -> tuple[bool, ...]:
    # Which results are zero by structure does not depend on the length.
    return _apply_step(_derived(loop, 1, steps[:-1]), steps[-1])[1]


def _result_types(inputs: Sequence[Any], outputs: Sequence[Any], steps: Sequence[Step]) -> Any:
    """The types that operands must have and results get, step by step."""
    inputs, outputs = list(inputs), list(outputs)
    for kind, wrt, outs in steps:
        if kind == "jvp":
            inputs += [inputs[k] for k in wrt]
            outputs = [outputs[k] for k in outs]
        else:
            found = [inputs[k] for k in wrt]
            inputs += [outputs[k] for k in outs]
            outputs = found
    return tuple(inputs), tuple(outputs)


class _While(Control):
    """Operands: constants and initial carries, then those of each step of derivation."""

    def result_types(self, types: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, ...]:
        loop = _loop(params)
        carries = loop.body.input_types[loop.consts :]
        expected, results = _result_types(
            loop.body.input_types, loop.body.output_types, params["steps"]
        )
        if loop.body.output_types != carries:
            raise DTypeError(
                f"while_loop: the carries are {carries}, but the body gives "
                f"{loop.body.output_types}"
            )
        if loop.cond.input_types != loop.body.input_types or loop.cond.output_types != (_BOOL,):
            raise ShapeError(
                f"while_loop: the condition must map {loop.body.input_types} to "
                f"bool[], not {loop.cond.input_types} to {loop.cond.output_types}"
            )
        if types != expected:
            raise DTypeError(f"while_loop: expected operands {expected}, not {types}")
        return tuple(results)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        loop, steps = _loop(params), params["steps"]
        if not steps:
            return tuple(loop.run(arrays)[0])
        if all(kind == "jvp" for kind, _, _ in steps):
            return _run_forward(loop, steps, arrays)
        budget = current_budget()
        operands = arrays[: len(loop.body.inputs)]
        if budget is None or len(steps) > 1 or steps[0][0] != "vjp":
            _, count = loop.run(operands)
            return tuple(run(_derived(loop, count, steps, budget), arrays))
        return _run_back(loop, steps[0], arrays, budget)

    # ------------------------------------------------------------ derivatives

    def linear_operands(self, params: dict[str, Any]) -> tuple[int, ...]:
        if not params["steps"]:
            return ()
        loop, steps = _loop(params), params["steps"]
        types, outputs = loop.body.input_types, loop.body.output_types
        before, _ = _result_types(types, outputs, steps[:-1])
        total, _ = _result_types(types, outputs, steps)
        return tuple(range(len(before), len(total)))

    def pushforward(self, y: Any, xs: Sequence[Any], tangents: Sequence[Any], params: Any) -> Any:
        wrt = tuple(k for k, t in enumerate(tangents) if t is not None)
        every: Step = ("jvp", wrt, tuple(range(len(y._type))))
        present = _present(_loop(params), (*params["steps"], every))
        outs = tuple(k for k, here in enumerate(present) if here)
        if not outs:
            return None
        return self._record(
            [*xs, *[tangents[k] for k in wrt]],
            params,
            (*params["steps"], ("jvp", wrt, outs)),
            outs,
            len(y._type),
        )

    def pullback(
        self, y: Any, xs: Sequence[Any], cotangent: Any, needed: Sequence[bool], params: Any
    ) -> Sequence[Any]:
        steps = params["steps"]
        linear = self.linear_operands(params)
        seeded = tuple(k for k, c in enumerate(cotangent) if c is not None)
        wrt = tuple(k for k, need in enumerate(needed) if need)
        seeds = [cotangent[k] for k in seeded]
        step: Step
        if wrt and all(k in linear for k in wrt):
            kind, by, outs = steps[-1]
            chosen = [k - linear[0] for k in wrt]
            if kind == "jvp":
                step = ("vjp", tuple(by[k] for k in chosen), tuple(outs[k] for k in seeded))
            else:
                step = ("jvp", tuple(by[k] for k in seeded), tuple(outs[k] for k in chosen))
            operands, steps = [*xs[: linear[0]], *seeds], (*steps[:-1], step)
        else:
            step = ("vjp", wrt, seeded)
            operands, steps = [*xs, *seeds], (*steps, step)
        present = _present(_loop(params), steps)
        found = self._record(operands, params, steps, range(len(wrt)), len(wrt))
        result: list[Any] = [None] * len(xs)
        for k, value, here in zip(wrt, found, present, strict=True):
            result[k] = value if here else None
        return result

    def _record(
        self,
        operands: Sequence[Any],
        params: Any,
        steps: tuple[Step, ...],
        places: Sequence[int],
        count: int,
    ) -> list[Any]:
        found: list[Any] = [None] * count
        results = read(self(*operands, **{**params, "steps": steps}))
        for k, value in zip(places, results, strict=True):
            found[k] = value
        return found

    # ------------------------------------------------------------ batching

    def batch(self, args: Sequence[Any], batched: Sequence[bool], size: int, params: Any) -> Any:
        loop, steps = _loop(params), params["steps"]
        layout = loop.layout
        if not steps:
            flags = batched_carries(loop.body, layout, batched, size)
            if not batch_graph(loop.cond, flags, size).batched[0]:
                return _batch_body(loop, args, batched, flags, size)
        flags = [b or k >= layout.consts for k, b in enumerate(batched[: layout.total])]
        for _, wrt, _ in steps:
            for k in wrt:
                if k < layout.total:
                    flags[k] = True
        made = _masked(loop, flags, size)
        flags += [True] * (len(args) - layout.total)
        operands = [
            repeated(x, size) if flag and not own else x
            for x, own, flag in zip(args, batched, flags, strict=True)
        ]
        return while_loop(
            *operands, cond=made.cond, body=made.body, consts=loop.consts, steps=steps
        )


def _batch_body(
    loop: Loop, args: Sequence[Any], batched: Sequence[bool], flags: Sequence[bool], size: int
) -> Any:
    """One length for all examples: only the body is batched, and only what differs."""
    body, carries = batched_body(loop.body, flags, size, lambda k, _: flags[loop.consts + k])
    operands = [
        repeated(x, size) if flag and not own else x
        for x, own, flag in zip(args, batched, flags, strict=True)
    ]
    found = read(
        while_loop(
            *operands,
            cond=batch_graph(loop.cond, flags, size).graph,
            body=body,
            consts=loop.consts,
            steps=(),
        )
    )
    return rebundled(found, carries, size)


def _masked(loop: Loop, flags: Sequence[bool], size: int) -> Loop:
    """The loop over a batch that runs until all examples are done; the finished are frozen."""

    def make() -> Loop:
        layout = loop.layout
        going, _ = batched_body(loop.cond, flags, size, lambda k, _: True)
        types = going.input_types
        tape = Recorder()
        (mask,) = inline(tape, going, [tape.input(t) for t in types])
        cond = tape.graph([TABLE["reduce_any"](mask, axes=(0,))._index])
        tape = Recorder()
        inputs = [tape.input(t) for t in types]
        (mask,) = inline(tape, going, inputs)
        frozen = Recorder()
        kept = [frozen.input(t)._index for t in loop.body.input_types][layout.consts :]
        entry = cond_each(
            mask, *inputs, true=loop.body, false=frozen.graph(kept), rows=tuple(flags), linear=()
        )
        return Loop(cond, tape.graph([part._index for part in read(entry)]), loop.consts)

    return remembered(  # type: ignore[no-any-return]
        "masked", loop.body, loop.cond, loop.consts, tuple(flags), size, make=make
    )


def _run_back(loop: Loop, step: Step, arrays: Sequence[Any], budget: int) -> tuple[Any, ...]:
    """Reverse mode within a budget: states are kept while the loop runs for the first time."""
    from wengert.transform.memory.entries import ordinary_peak
    from wengert.transform.memory.online import States, reversed_pieces, states_within

    _, wrt, outs = step
    slots = states_within(loop, wrt, budget)
    states = States(max(1, slots // 2))
    passing = states.pass_by if slots > 1 else None
    _, count = loop.run(arrays[: len(loop.body.inputs)], passing)
    whole = _derived(loop, count, (step,))
    if passing is None or count < 2 or ordinary_peak(whole) <= budget:
        states.held.clear()
        return tuple(run(_derived(loop, count, (step,), budget), arrays))
    return reversed_pieces(loop, states, count, slots, wrt, outs, arrays)


# ---------------------------------------------------------------- forward mode


class _Joint(NamedTuple):
    """A loop whose carries hold tangents too.

    operands : for each operand of `loop` the operand of the entry that begins it, or None for
        zeros
    places : for each operand of the entry the operand of `loop` that it begins
    outs : for each result of the entry the carry that holds it, or None for zeros
    """

    loop: Loop
    operands: tuple[int | None, ...]
    places: tuple[int, ...]
    outs: tuple[int | None, ...]


def _run_forward(loop: Loop, steps: tuple[Step, ...], arrays: Sequence[Any]) -> tuple[Any, ...]:
    joint = _joint(loop, steps)
    types = joint.loop.body.input_types
    found, _ = joint.loop.run(
        [
            np.zeros(t.shape, t.dtype) if k is None else arrays[k]
            for k, t in zip(joint.operands, types, strict=True)
        ]
    )
    _, results = _result_types(loop.body.input_types, loop.body.output_types, steps)
    return tuple(
        np.zeros(t.shape, t.dtype)[()] if k is None else found[k]
        for k, t in zip(joint.outs, results, strict=True)
    )


def forward_graph(types: Sequence[Any], params: dict[str, Any]) -> Graph | None:
    """The graph of an entry that only forward mode derived: one loop, tangents among its carries;
    None for other entries."""
    loop, steps = _loop(params), params["steps"]
    if not steps or any(kind != "jvp" for kind, _, _ in steps):
        return None
    joint = _joint(loop, steps)
    tape = Recorder()
    inputs = [tape.input(t) for t in types]
    chosen = [None if k is None else inputs[k] for k in joint.operands]
    operands = zeros_like(chosen, joint.loop.body.input_types, tape)
    found = read(while_loop(*operands, **joint.loop._asdict(), steps=()))
    _, results = _result_types(loop.body.input_types, loop.body.output_types, steps)
    outs = zeros_like([None if k is None else found[k] for k in joint.outs], results, tape)
    return tape.graph([x._index for x in outs])


def _joint(loop: Loop, steps: tuple[Step, ...]) -> _Joint:
    def make() -> _Joint:
        count = loop.layout.total
        own = tuple(range(count))
        made = _Joint(loop, own, own, tuple(range(len(loop.body.outputs))))
        for _, wrt, outs in steps:
            made = _with_tangents(made, wrt, outs)
        return made

    return remembered("joint", loop.body, loop.cond, loop.consts, steps, make=make)  # type: ignore[no-any-return]


def _with_tangents(joint: _Joint, wrt: tuple[int, ...], outs: tuple[int, ...]) -> _Joint:
    loop = joint.loop
    layout = loop.layout
    given = {joint.places[k]: len(joint.places) + i for i, k in enumerate(wrt)}
    flags = active_carries(loop.body, layout, [k in given for k in range(layout.total)])
    active = [k for k, flag in enumerate(flags) if flag]
    consts = [k for k in active if k < layout.consts]
    carries = [k - layout.consts for k in active if k >= layout.consts]
    # Inputs of the new graphs: constants, their tangents, carries, their tangents.
    dots = pushed(loop.body, tuple(active)).graph
    first, last = layout.consts, layout.total
    order = [
        *range(first),
        *range(last, last + len(consts)),
        *range(first, last),
        *range(last + len(consts), last + len(active)),
    ]
    both = _beside(loop.body, dots, carries)
    types = dots.input_types
    cond = rearranged(loop.cond, [k if k < last else types[k] for k in order])
    made = Loop(cond, rearranged(both, order), first + len(consts))
    where = {old: new for new, old in enumerate(order)}
    slot = {k: where[last + i] for i, k in enumerate(active)}
    beginnings: list[int | None] = [None] * len(order)
    for k, begin in enumerate(joint.operands):
        beginnings[where[k]] = begin
    for k, begin in given.items():
        beginnings[slot[k]] = begin
    places = [where[k] for k in joint.places] + [slot[joint.places[k]] for k in wrt]
    number = {k: layout.carries + i for i, k in enumerate(carries)}
    found = [joint.outs[k] for k in outs]
    return _Joint(
        made,
        tuple(beginnings),
        tuple(places),
        tuple(None if k is None else number.get(k) for k in found),
    )


def _beside(body: Graph, dots: Graph, carries: Sequence[int]) -> Graph:
    """The body and its tangents in one graph: new carries, then the tangents of `carries`."""
    tape = Recorder()
    inputs = [tape.input(t) for t in dots.input_types]
    results = inline(tape, body, inputs[: len(body.inputs)])
    tangents = inline(tape, dots, inputs)
    return tape.graph([r._index for r in (*results, *[tangents[k] for k in carries])])


def _declare(function: Any) -> _While:
    return _While(
        function,
        can_fail=True,
        symbol="while",
        latex=r"\operatorname{{while}}({0}, \dots)",
        samples=lambda rng, dtype: [],
    )


@_declare
def while_loop(
    *operands: Any, cond: Graph, body: Graph, consts: int, steps: tuple[Step, ...]
) -> Any:
    """A loop that goes on while `cond` holds; or, with `steps`, a derivative of it."""
