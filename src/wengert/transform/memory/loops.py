"""Loops within a budget: of how many of their states are held, and how they are divided.

The derivative of a `scan` keeps what it needs of each step. Within a budget, states are kept in its
place, as many as there is room for, and the others are made again from them by the optimal schedule
(`schedules`): a loop becomes a row of loops that begin where the schedule stores a state when it
first passes, each of which is reversed with the slots that are left then (`revolving`). What is
kept between them is the plan's to free. Where only a part of a loop has to be cut for the budget,
its last steps are run as they are. Loops inside the bodies of loops are cut where cutting the outer
ones is not enough: a step back then holds states of them only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wengert.capture import Captured, Recorder
from wengert.graph import CONSTANT, INPUT, Graph, Tape, Traced
from wengert.graph.tuples import NamedTuple
from wengert.ops import TABLE
from wengert.run.budget import current_budget
from wengert.transform.control.joining import joined_loops
from wengert.transform.control.results import bundle, read
from wengert.transform.control.scanning import layout_of, scan, scan_params
from wengert.transform.graphs import forward_graph, vjp_graph
from wengert.transform.memory.costs import type_bytes
from wengert.transform.memory.entries import ordinary_peak
from wengert.transform.memory.problem import MOST_WORK
from wengert.transform.memory.revolving import revolve_scan
from wengert.transform.memory.schedules import advances, first_stretch

__all__ = ["Cut", "cut_loops", "loops_within", "with_cuts"]

#: What captures a function for forward and for reverse mode.
_FORWARD, _REVERSE = ("jvp", "linearize", "jacobian"), ("grad", "vjp")

#: Loops shorter than this are left as they are.
_SHORT = 4
#: A loop is divided into at most this many; further states are kept within the last one.
_MOST_PARTS = 64
#: Shares of a loop that are tried with the rest run as it is.
_SHARES = (0.875, 0.75, 0.5, 0.25, 0.125)
#: How many of the shares are made, those first that promise the fewest steps, and how often the
#: room for states is corrected by what the derivative turns out to hold.
_TRIED, _TRIES = 2, 5


class Cut(NamedTuple):
    """How loops are cut: `room` bytes of states are held of each, over the first `share` of its
    steps; those in the bodies of loops only if they are `inner` ones too."""

    room: int
    share: float = 1.0
    inner: bool = False


def cut_loops(
    captured: Captured, derive: Callable[[Graph], Graph]
) -> tuple[Graph, Mapping[int, Any]]:
    """The graph of a captured function and its known values, with loops cut for the budget.

    `derive` makes the graph that will run. If it is recorded for a derivative in its turn, that one
    has to fit.
    """
    budget = current_budget()
    if budget is None or not _has_loops(captured.graph):
        return captured.graph, captured.known
    # Native code keeps other values of a step than the interpreter, which is what is counted here:
    # a loop of which only the states are kept takes the same in both.
    outermost: Tape = captured.tape
    while outermost.parent is not None:
        outermost = outermost.parent
    shares = () if outermost.purpose == "compile" else _SHARES
    cut = loops_within(
        captured.graph, budget, lambda g: _derived_again(captured, derive(g)), shares
    )
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


def loops_within(
    graph: Graph, budget: int, derive: Callable[[Graph], Graph], shares: Sequence[float] = _SHARES
) -> Graph:
    """`graph` with its loops cut so that the graph that `derive` makes of it fits a budget.

    The graph itself, if that fits, or if it has no loops; the one whose derivative holds least, if
    none fits. Of those that fit it is the one with the fewest steps. `shares` are those of a loop
    that may be cut alone.
    """
    if not _has_loops(graph):
        return graph
    whole = ordinary_peak(derive(graph))
    if whole <= budget:
        return graph
    least = ordinary_peak(derive(with_cuts(graph, Cut(0))))
    if least > budget:
        return _with_inner_cuts(graph, budget, derive, min(least, whole)) or (
            with_cuts(graph, Cut(0)) if least < whole else graph
        )
    # What a derivative holds is nearly linear in the room for states and in the share.
    cuts = [Cut(budget - least)]
    for share in shares:
        room = budget - int(least + (1.0 - share) * (whole - least))
        if room >= 0:
            cuts.append(Cut(room, share))
    cuts.sort(key=lambda cut: _steps(graph, cut))
    for cut in cuts[:_TRIED]:
        found = _widest(graph, budget, derive, cut)
        if found is not None:
            return found
    return _widest(graph, budget, derive, Cut(budget - least)) or with_cuts(graph, Cut(0))


def _with_inner_cuts(
    graph: Graph, budget: int, derive: Callable[[Graph], Graph], before: int
) -> Graph | None:
    """The graph with loops inside of loops cut too; None where that holds no less than `before`."""
    if not any(_has_loops(body) for body in _bodies(graph)):
        return None
    cut = Cut(0, inner=True)
    least = ordinary_peak(derive(with_cuts(graph, cut)))
    if least > budget:
        return with_cuts(graph, cut) if least < before else None
    return _widest(graph, budget, derive, cut._replace(room=budget - least))


def _widest(graph: Graph, budget: int, derive: Callable[[Graph], Graph], cut: Cut) -> Graph | None:
    """The graph cut over a share, with as much room for states as the budget leaves; None if it
    leaves none."""

    def made(room: int) -> tuple[Graph, int]:
        found = with_cuts(graph, cut._replace(room=room))
        return found, ordinary_peak(derive(found))

    state = min(_states(graph, cut.inner))
    low, high = 0, cut.room
    best, least = made(0)
    if least > budget:
        return None
    room, most = high, 0
    for _ in range(_TRIES):
        if _steps(graph, cut._replace(room=room)) >= _steps(graph, cut._replace(room=low)):
            break
        found, peak = made(room)
        if peak <= budget:
            best, low, least = found, room, peak
            if room == cut.room:
                break
        else:
            high, most = room, peak
        room = low + (budget - least) * (high - low) // max(1, most - least)
        room = max(low, min(room, high - state))
    return best


def _steps(graph: Graph, cut: Cut) -> int:
    """The steps that are made again, of all loops."""
    total = 0
    for entry in graph.entries:
        params = dict(entry[2]) if entry[2] else {}
        again = 0
        if _is_loop(entry):
            first = _cut_steps(params["length"], cut)
            again = advances(first, _slots(params, first, cut)) if first else 0
        if cut.inner and entry[0] is scan:
            again += (params["length"] + again) * _steps(params["body"], cut)
        total += again
    return total


def _bodies(graph: Graph) -> list[Graph]:
    known = [dict(params) for op, _, params, _ in graph.entries if op is scan]
    return [params["body"] for params in known if not params["linear"]]


def _has_loops(graph: Graph) -> bool:
    """Whether there are loops that can be cut, in the bodies of loops too."""
    return any(_is_loop(e) or _is_around_loops(e) for e in graph.entries)


def _states(graph: Graph, inner: bool) -> list[int]:
    """The bytes of a state of each loop."""
    found = [state_bytes(dict(e[2])) for e in graph.entries if _is_loop(e)]
    return found + [n for body in _bodies(graph) if inner for n in _states(body, inner)]


def _is_loop(entry: Any) -> bool:
    op, _, params, _ = entry
    if op is not scan:
        return False
    known = dict(params)
    return not known["linear"] and known["length"] >= _SHORT


def _is_around_loops(entry: Any) -> bool:
    """Whether it is a loop, however short, with loops inside that can be cut."""
    op, _, params, _ = entry
    return op is scan and not dict(params)["linear"] and _has_loops(dict(params)["body"])


def _cut_steps(length: int, cut: Cut) -> int:
    """How many steps of a loop are cut: the first ones."""
    steps = int(length * cut.share)
    return steps if steps >= _SHORT or cut.inner else 0


def _slots(params: Any, length: int, cut: Cut) -> int:
    """How many states of a loop are held, the first one included."""
    state = state_bytes(params)
    least = 1
    while advances(length, least) > MOST_WORK * length:
        least += 1
    return int(min(max(least, 1 + cut.room // max(1, state)), length))


def state_bytes(params: Any) -> int:
    """The bytes of a state of a loop."""
    consts, carries = params["consts"], params["carries"]
    return sum([type_bytes(t) for t in params["body"].input_types[consts : consts + carries]])


def with_cuts(graph: Graph, cut: Cut) -> Graph:
    """The graph with each of its loops cut."""
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
        elif _is_loop(entry) or (cut.inner and _is_around_loops(entry)):
            known = _with_body(dict(params), cut)
            env.append(bundle(*_loop([env[k] for k in operands], known, cut)))
        else:
            env.append(tape.record(op, tuple([env[k]._index for k in operands]), params))
    inputs = [env[k]._index for k in graph.inputs]
    return tape.graph([env[k]._index for k in graph.outputs], inputs)


def _with_body(params: dict[str, Any], cut: Cut) -> dict[str, Any]:
    body = params["body"]
    return {**params, "body": with_cuts(body, cut)} if cut.inner and _has_loops(body) else params


def _loop(operands: Sequence[Any], params: Any, cut: Cut) -> list[Any]:
    """The results of a loop, cut."""
    layout, length = layout_of(params, len(operands)), params["length"]
    consts, carries, stacks = layout.parts(operands)
    reverse = params["reverse"]
    pieces: list[list[Any]] = []
    for begin, end, slots in _pieces(params, length, cut):
        # A reversed loop begins at the end of its elements.
        low, high = (length - end, length - begin) if reverse else (begin, end)
        parts = [_part(x, low, high) for x in stacks]
        known = scan_params(params["body"], layout, end - begin, reverse=reverse)
        if slots:
            found = read(revolve_scan(*consts, *carries, *parts, **known, slots=slots))
        else:
            found = read(scan(*consts, *carries, *parts, **known))
        carries = found[: layout.carries]
        pieces.append(found[layout.carries :])
    if reverse:
        pieces.reverse()
    joined = [
        ys[0] if len(ys) == 1 else TABLE["concatenate"](*ys, axis=0)
        for ys in zip(*pieces, strict=True)
    ]
    return [*carries, *joined]


def _pieces(params: Any, length: int, cut: Cut) -> list[tuple[int, int, int]]:
    """The stretches of a loop: begin, end, and the states that are held in it; 0 where it is run as
    it is. Together they are the schedule of the whole, up to where it first turns back."""
    found: list[tuple[int, int, int]] = []
    begin, end = 0, _cut_steps(length, cut)
    slots = _slots(params, end, cut) if end else 0
    while slots > 1 and end - begin > 1 and len(found) < _MOST_PARTS - 1:
        middle = begin + first_stretch(end - begin, slots)
        found.append((begin, middle, slots))
        begin, slots = middle, slots - 1
    if end == length and end - begin > 1:
        # The schedule turns before the last step, with the state there at hand.
        found.append((begin, end - 1, slots))
        begin = end - 1
    if begin < end:
        found.append((begin, end, slots))
    if end < length:
        found.append((end, length, 0))
    return found


def _part(x: Any, begin: int, end: int) -> Any:
    if begin == 0 and end == x._type.shape[0]:
        return x
    key = ((begin, end, 1), *((0, n, 1) for n in x._type.shape[1:]))
    return TABLE["slice_index"](x, key=key)
