"""Plans within a memory budget: units run again where keeping their results would take too much.

A unit that runs again is the same kernel on the same numbers, so that results stay the same to the
bit and nothing is compiled for it. Its results get new slots, and what is read later is the latest
of them; the layout of the arena follows from where slots are used, as always.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.errors import BudgetError
from wengert.graph import Graph
from wengert.graph.tuples import NamedTuple
from wengert.plan.lowering import LoweredGroup
from wengert.plan.plan import Plan, Planner
from wengert.plan.storage import ALIGNMENT
from wengert.transform.memory.costs import entry_cost, type_bytes
from wengert.transform.memory.entries import infeasible
from wengert.transform.memory.planner import plan as plan_schedule
from wengert.transform.memory.planner import smallest_budget
from wengert.transform.memory.problem import Problem, early_order, reordered

__all__ = ["Fitted", "fitted_plan"]

#: Operators that only name memory again.
_ALIASES = frozenset({"reshape", "after", "project", "bundle"})
#: How often a plan is made for less, when values don't fit without gaps.
_TRIES = 5


class Fitted(NamedTuple):
    """How a plan keeps to its budget: bytes beside the arguments, results included.

    predicted : by the schedule; measured : of the arena and the results as they are laid out
    ordinary : what the plan of the same graph takes without a budget; loops that the budget cut
        into stretches are cut in it too
    work : estimated work in multiples of that plan's
    """

    budget: int
    predicted: int
    measured: int
    ordinary: int
    work: float


def fitted_plan(graph: Graph, budget: int) -> Plan:
    """A plan that holds at most `budget` bytes beside the arguments; the ordinary one if that does.

    Raises `BudgetError`, which states the smallest budget that a plan was found for.
    """
    ordinary = Planner(graph).plan()
    taken = ordinary.arena_bytes + sum([type_bytes(graph.type(k)) for k in graph.outputs])
    if taken <= budget:
        ordinary.fitted = Fitted(budget, taken, taken, taken, 1.0)
        return ordinary
    return _Fitter(graph, budget, taken).fit()


class _Fitter:
    def __init__(self, graph: Graph, budget: int, ordinary: int) -> None:
        self.graph = graph
        self.budget = budget
        self.taken = ordinary
        self.results = sum([type_bytes(graph.type(k)) for k in graph.outputs])
        self.scratch: list[int] = []
        planner = Planner(graph)
        inputs = planner.begin()
        self.units = planner.units(accumulating=True)
        self.sums, self.products = planner.sums, planner.products
        for unit in self.units:
            self.scratch.append(self._run_once(planner, unit))
        self.shared = sum([_aligned(planner.bytes[s]) for s in planner.panels])
        # Without strips, in which what many steps make is held at once.
        self.plain = planner.finished(inputs)

    def _run_once(self, planner: Planner, unit: LoweredGroup | int) -> int:
        """Append a unit's steps; the bytes of slots that hold no value of the graph."""
        before = len(planner.types)
        planner.run_unit(unit)
        named = set(planner.slot.values()) | set(planner.panels)
        named.update(s for parts in planner.parts.values() for s in parts)
        return sum(
            [
                _aligned(planner.bytes[s])
                for s in range(before, len(planner.types))
                if s not in named
            ]
        )

    # ------------------------------------------------------------ the problem

    def problem(self) -> None:
        """Units as operations. Results of the graph have memory of their own, and no size here."""
        graph = self.graph
        problem = Problem([], [], [], [], [], [], frozenset())
        self.value: dict[tuple[int, int], int] = {}  # (entry, which result) -> value
        self.root: dict[int, tuple[int, int]] = {}  # alias -> what it names
        self.aliases: dict[int, list[int]] = {}  # entry -> entries that name its memory, in order
        self.operation: list[int] = []  # unit of each operation
        own = set(graph.outputs)
        for number, unit in enumerate(self.units):
            if not isinstance(unit, LoweredGroup) and self._alias(unit):
                continue
            at = len(problem.reads)
            self.operation.append(number)
            reads, writes = self._reads_and_writes(unit)
            found = dict.fromkeys(v for k in reads for v in self._values(k))
            problem.reads.append(tuple(found))
            begin = len(problem.size)
            for k in writes:
                type_ = graph.type(k)
                for n, part in enumerate(type_ if isinstance(type_, tuple) else (type_,)):
                    self.value[k, n] = len(problem.size)
                    problem.size.append(0 if k in own else _aligned(type_bytes(part)))
                    problem.maker.append(at)
            problem.writes.append(tuple(range(begin, len(problem.size))))
            members: Sequence[int] = [unit] if isinstance(unit, int) else unit.members
            if isinstance(unit, int) and unit in self.sums:
                members = self.sums[unit].members
            problem.cost.append(sum([self._cost(k) for k in members]))
            problem.scratch.append(self.scratch[number])
        results = frozenset(v for k in graph.outputs for v in self._values(k))
        problem = problem._replace(results=results)
        order = early_order(problem)
        self.operation = [self.operation[op] for op in order]
        self.given = reordered(problem, order)

    def _alias(self, k: int) -> bool:
        op, operands, params, _ = self.graph.entries[k]
        if op.name not in _ALIASES:
            return False
        for operand in operands if op.name == "bundle" else operands[:1]:
            self.aliases.setdefault(operand, []).append(k)
        if op.name == "project":
            source, number = operands[0], dict(params)["number"]
            inner = self.graph.entries[source]
            if inner[0].name == "bundle":
                self.root[k] = self.root.get(inner[1][number], (inner[1][number], 0))
            else:
                self.root[k] = (source, number)
        elif op.name != "bundle":
            self.root[k] = self.root.get(operands[0], (operands[0], 0))
        return True

    def _values(self, k: int) -> list[int]:
        """The values that hold the memory of an entry; none for inputs and constants."""
        if k in self.root:
            key = self.root[k]
            return [self.value[key]] if key in self.value else []
        op, operands, _, type_ = self.graph.entries[k]
        if getattr(op, "name", "") == "bundle":
            return [v for operand in operands for v in self._values(operand)]
        count = len(type_) if isinstance(type_, tuple) else 1
        return [self.value[k, n] for n in range(count) if (k, n) in self.value]

    def _reads_and_writes(self, unit: LoweredGroup | int) -> tuple[list[int], list[int]]:
        if isinstance(unit, LoweredGroup):
            return list(unit.loads), list(unit.stores)
        if unit in self.sums:
            return self.sums[unit].reads, [unit]
        return list(self.graph.entries[unit][1]), [unit]

    def _cost(self, k: int) -> float:
        op, operands, params, type_ = self.graph.entries[k]
        return entry_cost(op, tuple([self.graph.type(o) for o in operands]), params, type_)

    # ------------------------------------------------------------ the plan

    def fit(self) -> Plan:
        """The plan."""
        plain = self.plain.arena_bytes + self.results
        if plain <= self.budget:
            self.plain.fitted = Fitted(self.budget, plain, plain, self.taken, 1.0)
            return self.plain
        self.problem()
        room = self.budget - self.results
        target = room - self.shared
        for number in range(_TRIES):
            made = self._made(target)
            if made is None:
                break
            excess = made.arena_bytes - room
            if excess <= 0:
                return made
            # A schedule that held less than it was allowed to would be found again for a bit less.
            held = made.fitted.predicted - self.shared - self.results
            target = min(target, held) - (excess << number)
        least = smallest_budget(self.given)
        made = self._made(least)
        if made is not None and made.arena_bytes <= room:
            return made
        raise self._refusal(made, least)

    def _refusal(self, made: Plan | None, least: int) -> BudgetError:
        arena = made.arena_bytes if made is not None else least + self.shared
        return infeasible(self.budget, arena + self.results, self.taken)

    def _made(self, target: int) -> Plan | None:
        """The plan of a schedule whose values take `target` bytes, if they fit without gaps."""
        schedule = plan_schedule(self.given, target)
        if schedule is None:
            return None
        planner = Planner(self.graph)
        planner.sums, planner.products = self.sums, self.products
        inputs = planner.begin()
        own = set(self.graph.outputs)
        for k in (*self.graph.inputs, *self.graph.constants):
            self._name_again(planner, k)
        for op in schedule.order:
            unit = self.units[self.operation[op]]
            _, writes = self._reads_and_writes(unit)
            for k in writes:
                if k not in own:
                    planner.slot.pop(k, None)
            planner.run_unit(unit)
            for k in writes:
                self._name_again(planner, k)
        plan = planner.finished(inputs)
        plan.fitted = Fitted(
            self.budget,
            schedule.peak + self.shared + self.results,
            plan.arena_bytes + self.results,
            self.taken,
            schedule.work / max(schedule.ordinary_work, 1e-9),
        )
        return plan

    def _name_again(self, planner: Planner, k: int) -> None:
        """Let what names the memory of an entry name its latest slot."""
        stack = [k]
        while stack:
            for alias in self.aliases.get(stack.pop(), ()):
                op, operands, _, _ = self.graph.entries[alias]
                if op.name == "bundle" and not all(self._has_slot(planner, o) for o in operands):
                    continue
                if alias not in self.graph.outputs:
                    planner.slot.pop(alias, None)
                planner.run_unit(alias)
                stack.append(alias)

    def _has_slot(self, planner: Planner, k: int) -> bool:
        return k in planner.slot or k in planner.parts


def _aligned(size: Any) -> int:
    return -(-int(size) // ALIGNMENT) * ALIGNMENT if size else 0
