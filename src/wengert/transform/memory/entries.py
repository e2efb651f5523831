"""A graph as a planning problem, and a schedule as a graph again.

The interpreter runs entries in their order and frees a value after its last use, so that a schedule
*is* an order of entries, some of which occur several times. Views hold the memory of what they
look at: they are no values of their own here, and are recorded anew where they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wengert.errors import BudgetError
from wengert.graph import CONSTANT, INPUT, Entry, Graph
from wengert.graph.tuples import NamedTuple
from wengert.run.budget import VIEWS, shown_bytes
from wengert.transform.memory.costs import entry_cost, scratch_bytes, type_bytes
from wengert.transform.memory.problem import Problem, early_order, profile, reordered

if TYPE_CHECKING:
    from wengert.transform.memory.planner import Schedule

__all__ = ["Planned", "fitted_graph", "graph_problem", "ordinary_peak", "owned_peak", "step_peak"]


class Planned(NamedTuple):
    """A graph that keeps to a budget.

    graph : the given graph itself where it keeps to the budget as it is
    peak, ordinary_peak : predicted bytes beside arguments, of `graph` and of the given graph
    work : what the graph costs, in multiples of the given graph
    """

    graph: Graph
    peak: int
    ordinary_peak: int
    work: float


class _Model(NamedTuple):
    problem: Problem
    entries: list[int]  # the entry of each operation
    roots: list[int]  # per entry the value of the problem that holds its memory, or -1


def _is_view(graph: Graph, i: int, copies: list[bool]) -> bool:
    op, operands, _, _ = graph.entries[i]
    if op.name == "reshape":
        return not copies[operands[0]]
    return op.name in VIEWS


def graph_problem(graph: Graph, owned: frozenset[int] = frozenset()) -> _Model:
    """The planning problem of a graph: its entries that make values, in their order.

    Inputs in `owned` are given up after their last use, and count until then.
    """
    entries, live = graph.entries, graph.live()
    roots: list[int] = []
    first: dict[int, int] = {}  # entry with several results -> value of the first
    uneven: list[bool] = []  # whether a reshape of the value would be a copy
    problem = Problem([], [], [], [], [], [], frozenset())
    numbers: list[int] = []
    for i, (op, operands, params, type_) in enumerate(entries):
        if i in owned and live[i]:
            roots.append(len(problem.size))
            uneven.append(False)
            numbers.append(i)
            problem.writes.append((len(problem.size),))
            problem.reads.append(())
            problem.maker.append(len(problem.cost))
            problem.size.append(type_bytes(type_) if type_.shape else 0)
            problem.cost.append(0.0)
            problem.scratch.append(0)
            continue
        if not live[i] or op is INPUT or op is CONSTANT:
            roots.append(-1)
            uneven.append(False)
            continue
        if _is_view(graph, i, uneven):
            source = operands[0]
            if op.name == "project":
                roots.append(first[source] + dict(params)["number"])
            else:
                roots.append(roots[source])
            uneven.append(op.name not in ("after", "reshape", "stop_gradient", "project"))
            continue
        uneven.append(False)
        at = len(problem.reads)
        numbers.append(i)
        types = tuple([entries[k][3] for k in operands])
        reads = dict.fromkeys(v for k in operands for v in _held(roots[k], entries[k][3], first, k))
        problem.reads.append(tuple(reads))
        parts = type_ if isinstance(type_, tuple) else (type_,)
        begin = len(problem.size)
        roots.append(begin)
        if isinstance(type_, tuple):
            first[i] = begin
        for part in parts:
            problem.size.append(type_bytes(part) if part.shape else 0)
            problem.maker.append(at)
        problem.writes.append(tuple(range(begin, len(problem.size))))
        problem.cost.append(entry_cost(op, types, params, type_))
        problem.scratch.append(scratch_bytes(op, types, params, type_))
    kept = frozenset(roots[k] for k in graph.outputs if roots[k] >= 0)
    return _Model(problem._replace(results=kept), numbers, roots)


def _held(root: int, type_: Any, first: dict[int, int], entry: int) -> list[int]:
    if root < 0:
        return []
    return list(range(root, root + len(type_))) if entry in first else [root]


def ordinary_peak(graph: Graph) -> int:
    """Bytes beside arguments that the interpreter holds at most when it runs a graph."""
    found = graph.schedules.get("peak")
    if found is None:
        problem = graph_problem(graph).problem
        found = int(profile(problem, problem.order).max(initial=0))
        graph.schedules["peak"] = found
    return int(found)


def step_peak(body: Graph, consts: int, carries: int) -> int:
    """Bytes that a step of a loop holds at most, beside the final carries and what is stacked."""
    return owned_peak(body, range(consts, consts + carries), carries)


def owned_peak(body: Graph, owned: Sequence[int], results: int) -> int:
    """Bytes that a graph holds at most beside its first `results` outputs and its inputs, but for
    those number `owned`, which it gives up."""
    key = ("owned", tuple(owned), results)
    found = body.schedules.get(key)
    if found is None:
        problem = graph_problem(body, frozenset([body.inputs[k] for k in owned])).problem
        peak = int(profile(problem, problem.order).max(initial=0))
        final = sum([type_bytes(body.type(k)) for k in body.outputs[:results]])
        found = body.schedules[key] = max(0, peak - final)
    return int(found)


def fitted_graph(graph: Graph, budget: int) -> Planned:
    """A graph with the inputs and outputs of `graph` that holds at most `budget` bytes.

    Raises `BudgetError` if none is found: it states the smallest budget for which one is.
    """
    key = ("budget", budget)
    found = graph.schedules.get(key)
    if found is None:
        found = graph.schedules[key] = _fit(graph, budget)
    return found


def _fit(graph: Graph, budget: int) -> Planned:
    peak = ordinary_peak(graph)
    if peak <= budget:
        return Planned(graph, peak, peak, 1.0)
    # Few programs have a budget that binds.
    from wengert.transform.memory.planner import plan, smallest_budget

    model = graph_problem(graph)
    order = early_order(model.problem)
    model = model._replace(
        problem=reordered(model.problem, order), entries=[model.entries[op] for op in order]
    )
    schedule = plan(model.problem, budget)
    if schedule is None:
        raise infeasible(budget, smallest_budget(model.problem), peak)
    made = _Emitter(graph, model, schedule).emit()
    ratio = schedule.work / max(schedule.ordinary_work, 1e-9)
    return Planned(made, schedule.peak, peak, ratio)


def infeasible(budget: int, smallest: int, ordinary: int) -> BudgetError:
    """The error for a budget that can't be met."""
    return BudgetError(
        f"memory: no plan keeps to a budget of {shown_bytes(budget)}; the smallest that one was "
        f"found for is {shown_bytes(smallest)}",
        hint=f"without a budget the peak is {shown_bytes(ordinary)}; arguments are not counted",
    )


class _Emitter:
    """Writes the entries of a schedule."""

    def __init__(self, graph: Graph, model: _Model, schedule: Schedule) -> None:
        self.graph = graph
        self.model = model
        self.schedule = schedule
        self.entries: list[Entry] = []
        self.lines: dict[int, str] = {}
        self.where: dict[int, int] = {}  # entry -> its latest instance
        self.birth: dict[int, int] = {}  # entry that makes a value -> the step of its instance
        self.made_at: dict[int, int] = {}  # view -> birth of what it looks at

    def emit(self) -> Graph:
        """The graph."""
        graph = self.graph
        constants, names = {}, {}
        for i, entry in enumerate(graph.entries):
            if entry[0] is INPUT or entry[0] is CONSTANT:
                n = self._append(i, ())
                if entry[0] is CONSTANT:
                    constants[n] = graph.constants[i]
                if i in graph.names:
                    names[n] = graph.names[i]
        for step, op in enumerate(self.schedule.order):
            i = self.model.entries[op]
            operands = tuple([self._current(k) for k in graph.entries[i][1]])
            self._append(i, operands)
            self.birth[i] = step
            if isinstance(graph.entries[i][3], tuple):
                self._project(i)
        outputs = [self._current(k) for k in graph.outputs]
        inputs = [self.where[k] for k in graph.inputs]
        return Graph(self.entries, inputs, outputs, constants, self.lines, names)

    def _append(self, i: int, operands: tuple[int, ...]) -> int:
        op, _, params, type_ = self.graph.entries[i]
        n = self.where[i] = len(self.entries)
        self.entries.append((op, operands, params, type_))
        if i in self.graph.lines:
            self.lines[n] = self.graph.lines[i]
        return n

    def _project(self, i: int) -> None:
        # All results are read at once, so that each can be freed by itself.
        for k in self._projections().get(i, ()):
            self.made_at[k] = self.birth[i]
            self._append(k, (self.where[i],))

    def _projections(self) -> dict[int, list[int]]:
        if not hasattr(self, "_found"):
            self._found: dict[int, list[int]] = {}
            live = self.graph.live()
            for k, (op, operands, _, _) in enumerate(self.graph.entries):
                if live[k] and getattr(op, "name", "") == "project":
                    self._found.setdefault(operands[0], []).append(k)
        return self._found

    def _current(self, k: int) -> int:
        """The instance of a value to read now; views are made of the latest of their operand."""
        entries, model = self.graph.entries, self.model
        chain = []
        while k not in self.birth:
            op, operands, _, _ = entries[k]
            if op is INPUT or op is CONSTANT:
                break
            chain.append(k)
            (k, *_) = operands
        birth = self.birth.get(k, -1)
        del model
        for view in reversed(chain):
            if self.made_at.get(view) != birth:
                self.made_at[view] = birth
                operands = entries[view][1]
                self._append(view, tuple([self.where[o] for o in operands]))
        return self.where[chain[0]] if chain else self.where[k]
