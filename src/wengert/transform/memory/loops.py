"""Loops within a budget: stretches of steps whose history is not kept, but made again.

The derivative of a `scan` keeps what it needs of each step. Cut into stretches, each a checkpoint,
it keeps the carries at the cuts, and the history of one stretch at a time: about 2 sqrt(n) in place
of n, for one more run. Stretches are cut in turn where that is not enough: with each further level
the memory falls, to the order of log n, for one more run each. Where only a part of the loop has
to be cut for the budget, the last steps are run as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from wengert.capture import Captured, Recorder
from wengert.graph import CONSTANT, INPUT, Graph, Traced
from wengert.ops import TABLE
from wengert.run.budget import current_budget
from wengert.transform.control.joining import joined_loops
from wengert.transform.control.results import bundle, read
from wengert.transform.control.scanning import layout_of, scan, scan_params
from wengert.transform.control.staging import Layout
from wengert.transform.graphs import forward_graph, vjp_graph
from wengert.transform.memory.calls import checkpoint_call
from wengert.transform.memory.entries import ordinary_peak

__all__ = ["cut_loops", "loops_within"]

#: What captures a function for forward and for reverse mode.
_FORWARD, _REVERSE = ("jvp", "linearize", "jacobian"), ("grad", "vjp")

#: Loops shorter than this are left as they are.
_SHORT = 4
#: Halving a share this often finds the steps that need not be cut.
_HALVINGS = 4


class Cut(NamedTuple):
    """How a loop is cut: stretches of `length` steps, each cut again `levels - 1` times, over the
    first `share` of the loop."""

    levels: int
    factor: float
    share: float


def cut_loops(
    captured: Captured, derive: Callable[[Graph], Graph]
) -> tuple[Graph, Mapping[int, Any]]:
    """The graph of a captured function and its known values, with loops cut for the budget.

    `derive` makes the graph that will run. If it is recorded for a derivative in its turn, that one
    has to fit.
    """
    budget = current_budget()
    if budget is None or not any(_is_loop(entry) for entry in captured.graph.entries):
        return captured.graph, captured.known
    cut = loops_within(captured.graph, budget, lambda g: _derived_again(captured, derive(g)))
    return (cut, captured.known) if cut is captured.graph else (cut, {})


def _derived_again(captured: Captured, graph: Graph) -> Graph:
    """`graph` as the derivatives around it will make it, as far as that is known here."""
    types = graph.input_types
    inner = [isinstance(x, Traced) for x in captured.arguments]
    wrt = tuple([k for k, is_inner in enumerate(inner) if is_inner and types[k].is_float])
    tape = captured.tape.parent
    while tape is not None:
        if tape.purpose in _FORWARD:
            graph = joined_loops(forward_graph(graph, wrt).graph).graph
        elif tape.purpose in _REVERSE:
            seeded = tuple([k for k, t in enumerate(graph.output_types) if t.is_float])
            graph = vjp_graph(graph, wrt, seeded)
        tape = tape.parent
    return graph


def loops_within(graph: Graph, budget: int, derive: Callable[[Graph], Graph]) -> Graph:
    """`graph` with its loops cut so that the graph that `derive` makes of it fits a budget.

    The graph itself, if that fits, or if it has no loops; the one whose derivative holds least, if
    none fits.
    """
    if not any(_is_loop(entry) for entry in graph.entries):
        return graph
    best, least = graph, ordinary_peak(derive(graph))
    if least <= budget:
        return graph
    longest = max(dict(e[2])["length"] for e in graph.entries if _is_loop(e))
    for levels in range(1, max(2, longest.bit_length())):
        before = least
        for factor in (1.0, 0.5, 2.0, 0.25, 4.0):
            made = _with_cuts(graph, Cut(levels, factor, 1.0))
            peak = ordinary_peak(derive(made))
            if peak < least:
                best, least = made, peak
            if peak <= budget:
                return _less_cut(graph, budget, derive, Cut(levels, factor, 1.0), made)
        if least >= before:
            break
    return best


def _less_cut(
    graph: Graph, budget: int, derive: Callable[[Graph], Graph], cut: Cut, made: Graph
) -> Graph:
    """The same with as many of the last steps uncut as the budget allows."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        other = _with_cuts(graph, cut._replace(share=middle))
        if ordinary_peak(derive(other)) <= budget:
            made, high = other, middle
        else:
            low = middle
    return made


def _is_loop(entry: Any) -> bool:
    op, _, params, _ = entry
    if op is not scan:
        return False
    known = dict(params)
    return not known["linear"] and known["length"] >= _SHORT


def _with_cuts(graph: Graph, cut: Cut) -> Graph:
    tape = Recorder()
    tape.lines = None
    env: list[Any] = []
    for i, entry in enumerate(graph.entries):
        op, operands, params, type_ = entry
        if op is INPUT:
            env.append(tape.input(type_, graph.names.get(i)))
        elif op is CONSTANT:
            index = tape._append_leaf(CONSTANT, type_)
            tape.constants[index] = graph.constants[i]
            env.append(tape.handle(tape, index, type_))
        elif _is_loop(entry):
            env.append(bundle(*_loop([env[k] for k in operands], dict(params), cut)))
        else:
            env.append(tape.record(op, tuple([env[k]._index for k in operands]), params))
    inputs = [env[k]._index for k in graph.inputs]
    return tape.graph([env[k]._index for k in graph.outputs], inputs)


def _loop(operands: Sequence[Any], params: Any, cut: Cut) -> list[Any]:
    """The results of a loop, cut."""
    layout, length = layout_of(params, len(operands)), params["length"]
    if length < _SHORT or cut.levels < 1:
        return read(_run(operands, layout, params, length))
    stretch = _stretch(length, cut)
    count = int(length * cut.share) // stretch
    first = count * stretch
    consts, carries, stacks = layout.parts(operands)
    reverse = params["reverse"]
    # A reversed loop begins at the end of its elements.
    begin = length - first if reverse else 0
    results: list[list[Any]] = []
    if count:
        parts = [_part(x, begin, begin + first) for x in stacks]
        found = _stretches([*consts, *carries, *parts], layout, params, count, stretch, cut)
        carries = found[: layout.carries]
        results.append(found[layout.carries :])
    if first < length:
        low, high = (0, length - first) if reverse else (first, length)
        rest = [_part(x, low, high) for x in stacks]
        # What a cut of the whole loop leaves over is like a stretch.
        deeper = cut._replace(levels=cut.levels - 1 if cut.share == 1.0 else 0)
        found = _loop([*consts, *carries, *rest], {**params, "length": length - first}, deeper)
        carries = found[: layout.carries]
        results.append(found[layout.carries :])
    if reverse:
        results.reverse()
    joined = [
        ys[0] if len(ys) == 1 else TABLE["concatenate"](*ys, axis=0)
        for ys in zip(*results, strict=True)
    ]
    return [*carries, *joined]


def _stretch(length: int, cut: Cut) -> int:
    """Steps of a stretch: the root of the length for one level, more where it is cut again."""
    steps = length ** (cut.levels / (cut.levels + 1)) * cut.factor
    return int(min(max(2, round(steps)), length // 2))


def _run(operands: Sequence[Any], layout: Layout, params: Any, length: int) -> Any:
    return scan(*operands, **scan_params(params["body"], layout, length, reverse=params["reverse"]))


def _part(x: Any, begin: int, end: int) -> Any:
    if begin == 0 and end == x._type.shape[0]:
        return x
    key = ((begin, end, 1), *((0, n, 1) for n in x._type.shape[1:]))
    return TABLE["slice_index"](x, key=key)


def _stretches(
    operands: Sequence[Any], layout: Layout, params: Any, count: int, stretch: int, cut: Cut
) -> list[Any]:
    """A loop over stretches, each a checkpoint around a loop over its steps."""
    consts, carries, stacks = layout.parts(operands)
    grouped = [TABLE["reshape"](x, shape=(count, stretch, *x._type.shape[1:])) for x in stacks]
    inner, outer = Recorder(), Recorder()
    types = [x._type for x in (*consts, *carries)]
    types += [x._type.with_shape(x._type.shape[1:]) for x in grouped]
    deeper = cut._replace(levels=cut.levels - 1, share=1.0)
    found = _loop([inner.input(t) for t in types], {**params, "length": stretch}, deeper)
    body = inner.graph([h._index for h in found])
    entry = checkpoint_call(*[outer.input(t) for t in types], body=body, linear=(), delayed=False)
    made = outer.graph([h._index for h in read(entry)])
    results = read(
        scan(
            *consts,
            *carries,
            *grouped,
            **scan_params(made, layout, count, reverse=params["reverse"]),
        )
    )
    ys = results[layout.carries :]
    return [
        *results[: layout.carries],
        *[TABLE["reshape"](y, shape=(count * stretch, *y._type.shape[2:])) for y in ys],
    ]
