"""What a plan does, in numbers: bytes moved and operations of each step, and memory.

Bytes are those of the arrays that a step reads and writes, each once; rows that a kernel keeps
between its phases stay in the cache and are not counted. Operations are counted as
`optimise.cost` does: one per element for what is one instruction, 20 for functions like `exp`.
"""

from __future__ import annotations

from typing import Any

from wengert.codegen.kernel import ProductSpec
from wengert.graph import CONSTANT, INPUT, Graph, Type
from wengert.graph.tuples import NamedTuple
from wengert.optimise.cost import Cost, entry_cost
from wengert.plan.plan import Plan
from wengert.plan.steps import NativeStep, NumpyStep
from wengert.plan.storage import Lifetime, layout

__all__ = ["Memory", "StepReport", "memory_of", "step_reports"]


class StepReport(NamedTuple):
    """One step of a plan.

    kind : "kernel" (a fused loop nest), "product", "control" (a loop or branch), "runtime"
        or "NumPy"
    what : in words
    entries : the entries of the optimised graph that it computes
    operators : their operators, in order
    lines : the user's lines they come from
    cost : operations and bytes
    chunks : how many parts may run in parallel
    origin : where a kernel came from: "memory", "disk" or "llvm"
    spec : the structure of a kernel, or None
    inner : for a loop or branch, the steps of its bodies; their entries are those of the bodies
    strip : steps of one number, not -1, follow each other chunk by chunk, without waiting
    """

    kind: str
    what: str
    entries: list[int]
    operators: list[str]
    lines: list[str]
    cost: Cost
    chunks: int
    origin: str
    spec: Any
    inner: tuple[StepReport, ...] = ()
    strip: int = -1


class Memory(NamedTuple):
    """Bytes of intermediate values; inputs, constants and results are not counted.

    arena : what one running call takes
    unshared : what the plan would take if no two values shared memory
    unoptimised : the peak of the captured graph, run entry by entry and freed as early as possible
    everything : what keeping every value of the captured graph takes
    results : the results themselves
    """

    arena: int
    unshared: int
    unoptimised: int
    everything: int
    results: int


def step_reports(plan: Plan) -> list[StepReport]:
    """One record per step, in order."""
    return [_report(plan, step) for step in plan.steps]


def _report(plan: Plan, step: NativeStep | NumpyStep) -> StepReport:
    graph = plan.graph
    flops = 0
    operators = []
    for i in step.entries:
        op, operands, params, type_ = graph.entries[i]
        if op is INPUT or op is CONSTANT:
            continue
        operators.append(op.name)
        flops += entry_cost(op, tuple([graph.type(k) for k in operands]), params, type_).flops
    lines = [graph.lines[i] for i in step.entries if i in graph.lines]
    slots = [plan.types[s] for s in (*dict.fromkeys(step.reads), *dict.fromkeys(step.writes))]
    moved = sum(_bytes(t) for t in slots if t is not None)
    chunks, origin, spec = 1, "", None
    inner: list[StepReport] = []
    if isinstance(step, NativeStep):
        chunks, origin, spec = len(step.blocks), step.origin, step.spec
        if step.control is not None:
            inner = [found for body in step.control.inner for found in step_reports(body)]
    return StepReport(
        _kind(step),
        step.what,
        list(step.entries),
        operators,
        list(dict.fromkeys(lines)),
        Cost(flops, moved),
        chunks,
        origin,
        spec,
        tuple(inner),
        step.strip if isinstance(step, NativeStep) else -1,
    )


def _kind(step: NativeStep | NumpyStep) -> str:
    if isinstance(step, NumpyStep):
        return "NumPy"
    if step.spec is not None:
        return "product" if isinstance(step.spec, ProductSpec) else "kernel"
    if step.control is not None:
        return "control"
    return "product" if step.runtime.startswith("gemm") else "runtime"


def _bytes(type_: Any) -> int:
    if isinstance(type_, tuple):
        return sum(_bytes(t) for t in type_)
    return int(type_.size * type_.dtype.itemsize)


def memory_of(plan: Plan, captured: Graph) -> Memory:
    """The memory of a plan, beside that of the graph it was made from."""
    peak, everything = graph_memory(captured)
    results = sum(_bytes(t) for s in plan.outputs if isinstance(t := plan.types[s], Type))
    return Memory(plan.arena_bytes, plan.unshared_bytes, peak, everything, results)


def graph_memory(graph: Graph) -> tuple[int, int]:
    """Bytes that running a graph entry by entry takes: at the peak, and if nothing is freed."""
    live = graph.live()
    outputs = set(graph.outputs)
    last = {k: i for i, entry in enumerate(graph.entries) if live[i] for k in entry[1]}
    lifetimes = [
        Lifetime(i, _bytes(type_), i, last.get(i, i))
        for i, (op, _, _, type_) in enumerate(graph.entries)
        if live[i] and op is not INPUT and op is not CONSTANT and i not in outputs
    ]
    _, peak = layout(lifetimes)
    return peak, sum(item.bytes for item in lifetimes)
