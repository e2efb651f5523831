"""The plan: a graph as a flat list of steps over slots, ready to run.

Steps are native (a fused kernel, or a matrix product) or NumPy's (an operator that no kernel
computes yet). Consecutive native steps run in one call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from wengert.codegen.kernel import Spec
from wengert.codegen.pool import worker_count
from wengert.codegen.tables import PANEL_BYTES
from wengert.graph import CONSTANT, INPUT, Graph, Type
from wengert.plan.accumulation import Accumulation
from wengert.plan.blas import blas_threads
from wengert.plan.chunks import kernel_step, walk_step
from wengert.plan.control import CONTROL, Around, lower_control
from wengert.plan.finishing import Finished, with_finishes
from wengert.plan.indices import given, index_args, indices_of
from wengert.plan.interpreted import numpy_function, reshaped
from wengert.plan.linking import link
from wengert.plan.lowering import LoweredGroup
from wengert.plan.moves import TARGET, Walk, safe_walks, turned_copy, whole_copy
from wengert.plan.products import (
    Product,
    can_finish,
    finished_step,
    is_own,
    product_step,
)
from wengert.plan.steps import NativeStep, NumpyStep, moments
from wengert.plan.storage import Lifetime, layout
from wengert.plan.strips import with_strips
from wengert.plan.units import units_of

__all__ = [
    "Plan",
    "Planner",
    "make_plan",
    "unlinked_plan",
]


class Plan:
    """Everything that running needs, and that does not change from call to call.

    types : type of each slot; None for temporary rows
    inputs, outputs : slots; constants : slot -> array
    offsets : slot -> offset in the arena of `arena_bytes` bytes
    status : the slot of the word that a check of indices sets, or -1
    work : operations of a call, roughly
    is_long : whether a call takes so long that other Python threads should run meanwhile
    is_brief : whether it surely takes less than some tenths of a second
    slot_bytes : size of each slot
    segments : for native steps (address of the table, count), for NumPy's the step
    fitted : how the plan keeps to a budget (`budgets.Fitted`), if there is one
    other_kernels : kernels that plans of the same graph for other sizes may need
    """

    def __init__(
        self,
        graph: Graph,
        steps: list[NativeStep | NumpyStep],
        types: list[Type | None],
        inputs: list[int],
        outputs: list[int],
        constants: dict[int, Any],
        offsets: dict[int, int],
        arena_bytes: int,
        unshared_bytes: int,
        status: int = -1,
    ) -> None:
        self.graph = graph
        self.steps = steps
        self.types = types
        self.inputs = inputs
        self.outputs = outputs
        self.constants = constants
        self.offsets = offsets
        self.arena_bytes = arena_bytes
        self.unshared_bytes = unshared_bytes
        self.status = status
        self.work = 0
        self.is_long = False
        self.is_brief = False
        self.segments: list[Any] = []
        self.tables: list[Any] = []
        self.fitted: Any = None
        self.slot_bytes: list[int] = []
        self.other_kernels: list[Spec] = []

    @property
    def specs(self) -> list[Spec]:
        """The kernels of the native steps, in order."""
        native = [s for s in self.steps if isinstance(s, NativeStep)]
        return [spec for s in native for spec in (s.spec, s.finish) if spec is not None]


#: Operations beyond which a call releases the GIL: some tens of microseconds.
_LONG = 200_000
#: Operations up to which Python need not look for garbage during a call.
_BRIEF = 1_000_000_000


#: Products with more rows than this turn an operand with little work beside their own, and of more
#: elements a copy is too much to hold.
_FEW_ROWS, _MOST_TURNED = 128, 1 << 17


class Planner:
    """Turns the units of a graph into steps over slots."""

    def __init__(self, graph: Graph, *, is_body: bool = False, is_parallel: bool = True) -> None:
        self.graph = graph
        self.is_body = is_body
        self.is_parallel = is_parallel
        self.slot: dict[int, int] = {}
        #: The slots of the results of an entry that has several.
        self.parts: dict[int, list[int]] = {}
        self.types: list[Type | None] = []
        self.bytes: list[int] = []
        self.steps: list[NativeStep | NumpyStep] = []
        self.constants: dict[int, Any] = {}
        self.status = -1
        self.sums: dict[int, Accumulation] = {}
        self.products: dict[int, Product] = {}
        #: The kernels of nests that finish products here, and at other sizes may not.
        self.alone: list[Spec] = []
        #: For (entry, columns) of a matrix that is read transposed the slot of a turned copy.
        self.turned: dict[tuple[int, int], int] = {}
        #: Slots that products share, whichever runs.
        self.panels: list[int] = []
        self._checked: set[tuple[int, int]] = set()

    def _new_slot(self, type_: Type | None, size: int) -> int:
        self.types.append(type_)
        self.bytes.append(size)
        return len(self.types) - 1

    def _slot_for(self, k: int) -> int:
        if k not in self.slot:
            type_ = self.graph.entries[k][3]
            if isinstance(type_, Type):
                self.slot[k] = self._new_slot(type_, type_.size * type_.dtype.itemsize)
            else:  # several results: a tuple, which lives among the views
                self.slot[k] = self._new_slot(None, 0)
        return self.slot[k]

    def plan(self) -> Plan:
        """Every unit once, in its order."""
        inputs = self.begin()
        units: list[Any] = self.units(accumulating=True)
        if self.is_parallel:
            units = with_finishes(self.graph, units, self._finishable, self._reads)
        shared = self._often_turned()
        self._turn(shared, (*self.graph.inputs, *self.graph.constants))
        for unit in units:
            self.run_unit(unit)
            self._turn(shared, [unit] if isinstance(unit, int) else unit.members)
        if self.is_parallel and worker_count():
            self.steps = with_strips(self.steps, worker_count() + 1, self.bytes)
        return self.finished(inputs)

    def begin(self) -> list[int]:
        """Slots for inputs, which it returns, and for constants; what can run before all others."""
        graph = self.graph
        live = graph.live()
        inputs = [self._slot_for(k) for k in graph.inputs]
        for k, (op, _, _, type_) in enumerate(graph.entries):
            if op is CONSTANT and live[k]:
                self.constants[self._slot_for(k)] = np.asarray(
                    graph.constants[k], type_.dtype, order="C"
                )
        for i in given(graph):
            self._alone(i)
        return inputs

    def units(self, *, accumulating: bool = False) -> list[LoweredGroup | int]:
        """What runs as one: lowered groups, and entries that run alone, in their order.

        With `accumulating` an entry that runs alone may be the last of an accumulation.
        """
        found = units_of(self.graph, accumulating=accumulating)
        self.sums, self.products = found.sums, found.products
        return found.order

    def _reads(self, i: int) -> Sequence[int]:
        """The entries that one that runs alone needs."""
        return self.sums[i].reads if i in self.sums else self.graph.entries[i][1]

    def _finishable(self, i: int) -> Product | None:
        """The product of an entry that runs alone, if it can have a finish."""
        product = self.products.get(self.sums[i].members[0] if i in self.sums else i)
        can = product is not None and is_own(product) and can_finish(product)
        return product if can else None

    def run_unit(self, unit: LoweredGroup | Finished | int) -> None:
        """Append the steps of a unit. If it has run before, its results get new slots."""
        if isinstance(unit, LoweredGroup):
            self._kernel(unit)
        elif isinstance(unit, Finished):
            self._finished(unit)
        else:
            self._alone(unit)

    def finished(self, inputs: list[int]) -> Plan:
        """The plan of the steps so far."""
        outputs = self._outputs(set(inputs))
        if not self.is_body:
            self._quiet_blas()
        return self._finish(inputs, outputs)

    # ------------------------------------------------------------ steps

    def _kernel(self, lowered: LoweredGroup) -> None:
        if not lowered.stores:
            return
        reads = [self._slot_for(k) for k in lowered.loads]
        writes = [self._slot_for(k) for k in lowered.stores]
        step = kernel_step(lowered, reads, writes, lambda n: self._new_slot(None, n))
        self.steps += [step, *step.combining]

    def _alone(self, i: int) -> None:
        op, operands, params, type_ = self.graph.entries[i]
        if op.name in ("reshape", "after"):  # the same memory, under another shape or later
            self.slot[i] = self._slot_for(operands[0])
            return
        if op.name == "project" and operands[0] in self.parts:
            self.slot[i] = self.parts[operands[0]][dict(params)["number"]]
            return
        if i in self.sums:
            self._product(self.sums[i])
            return
        reads = [self._slot_for(k) for k in operands]
        if op.name == "bundle":
            self.parts[i] = reads
            return
        if op.name == "positions":
            self._positions(i)
            return
        if op.name in CONTROL and self._control(i, reads):
            return
        if i in self.products:
            self._product(self._alone_product(i))
            return
        write = self._slot_for(i)
        types: list[Any] = [self.graph.entries[k][3] for k in operands]
        moves = safe_walks(op, types, dict(params), type_)
        if moves is not None:
            self._check(i)
            self._walks(moves, reads, write, f"walk {op.name}", i)
            return
        self.steps.append(
            NumpyStep(numpy_function(op, params, types), reads, [write], f"NumPy {op.name}", [i])
        )

    def _alone_product(self, i: int) -> Accumulation:
        """A product to which nothing is added."""
        return Accumulation((i,), self.graph.entries[i][1], -1, -1, False)

    def _operands(self, made: Accumulation) -> tuple[Product, dict[str, int]]:
        """The product of a sum, and the slots that it reads."""
        product = self.products[made.members[0]]
        first, second = (made.operands[k] for k in (product.first, product.second))
        entries = {"a": first, "b": second, "d": made.added, "alpha": made.factor}
        slots = {name: self._slot_for(k) for name, k in entries.items() if k >= 0}
        if product.transposed[1] and (second, product.n) in self.turned:
            slots["b"] = self.turned[second, product.n]
            product = product._replace(transposed=(product.transposed[0], False))
        return product, slots

    def _product(self, made: Accumulation) -> None:
        product, slots = self._operands(made)
        slots["c"] = self._slot_for(made.members[-1])
        dtype = self.graph.type(made.members[0]).dtype
        step = product_step(product, dtype, slots, self._panel, negate=made.negate)
        step.entries = list(made.members)
        self.steps.append(step)

    def _finished(self, unit: Finished) -> None:
        """The step of a product with its finish."""
        made = self.sums.get(unit.entry) or self._alone_product(unit.entry)
        product, slots = self._operands(made)
        reads = [-1 if k == unit.entry else self._slot_for(k) for k in unit.nest.loads]
        writes = [self._slot_for(k) for k in unit.nest.stores]
        step = finished_step(
            product,
            slots,
            unit.nest,
            unit.spec,
            (reads, writes),
            self._panel,
            lambda n: self._new_slot(None, n),
            negate=made.negate,
        )
        step.entries = [*made.members, *unit.nest.members]
        self.steps += [step, *step.combining]
        self.alone.append(unit.alone)

    def _often_turned(self) -> dict[int, Product]:
        """The entries that several products with few rows would turn each for itself."""
        found: dict[tuple[int, int], list[Product]] = {}
        for i, p in self.products.items():
            if p.transposed[1] and p.repeats == 1 and p.m <= _FEW_ROWS and is_own(p):
                operands = self.graph.entries[i][1]
                found.setdefault((operands[p.second], p.n), []).append(p)
        return {
            k: products[0]
            for (k, _), products in found.items()
            if len(products) > 1 and self.graph.type(k).size <= _MOST_TURNED
        }

    def _turn(self, shared: dict[int, Product], entries: Iterable[int]) -> None:
        """Turned copies of those entries that products share."""
        for k in entries:
            if k in shared:
                p, type_ = shared[k], self.graph.type(k)
                slot = self._new_slot(Type((p.k, p.n), type_.dtype), self.bytes[self._slot_for(k)])
                self.turned[k, p.n] = slot
                found = turned_copy((p.n, p.k), type_.dtype)
                self._walks(found, [self._slot_for(k)], slot, "turned copy", k)

    def _panel(self, chunk: int) -> int:
        """The slot of memory that products use, one for the chunks of each number."""
        while len(self.panels) <= chunk:
            self.panels.append(self._new_slot(None, PANEL_BYTES))
        return self.panels[chunk]

    def _check(self, i: int) -> None:
        """A step for each index array of an entry that was not checked yet."""
        op, operands, params, _ = self.graph.entries[i]
        types = [self.graph.entries[k][3] for k in operands]
        for at, length in indices_of(op, types, dict(params)):
            slot = self._slot_for(operands[at])
            if (slot, length) in self._checked:
                continue
            self._checked.add((slot, length))
            args = index_args(slot, types[at], length, self._status_slot(), slot)
            step = NativeStep([args], [slot], [], "check of indices", [i], runtime="check_index")
            self.steps.append(step)

    def _positions(self, i: int) -> None:
        (k,), params = self.graph.entries[i][1], dict(self.graph.entries[i][2])
        slot, target = self._slot_for(k), self._slot_for(i)
        type_ = self.graph.type(k)
        args = index_args(slot, type_, params["length"], self._status_slot(), target)
        self.steps.append(
            NativeStep([args], [slot], [target], "positions", [i], runtime="positions")
        )

    def _status_slot(self) -> int:
        if self.status < 0:
            self.status = self._new_slot(None, 0)
        return self.status

    def _control(self, i: int, reads: list[int]) -> bool:
        """A step that runs other plans, if native code can run them."""
        op, _, params, types = self.graph.entries[i]
        writes = [self._new_slot(t, t.size * t.dtype.itemsize) for t in types]
        frame = self._new_slot(None, 0)
        found = lower_control(
            op, dict(params), reads, writes, frame, Around(_plan_body, self._status_slot)
        )
        if found is None:
            return False
        self.parts[i] = writes
        self.bytes[frame] = found.frame_bytes
        runs = f" of {found.runs} steps" if found.runs > 1 else ""
        step = NativeStep([found.words()], reads, [*writes, frame], f"{op.name}{runs}", [i])
        step.runtime, step.control = found.runtime, found
        # How often a `while_loop` runs is not known: other threads may run meanwhile.
        inner = sum(p.work for p in found.inner)
        step.work = _LONG + 1 if op.name == "while_loop" else found.runs * inner
        self.steps.append(step)
        return True

    def _walks(
        self, found: Sequence[Walk], reads: list[int], write: int, what: str, i: int
    ) -> None:
        for walk in found:
            slots = [write if k == TARGET else reads[k] for k in walk.arrays]
            size = walk.spec.dtype.itemsize
            counts = [self.bytes[slot] // size for slot in slots]
            self.steps.append(walk_step(walk, slots, counts, what, i))

    def _outputs(self, inputs: set[int]) -> list[int]:
        """A slot of its own for each output: what is an input, a constant, an alias of another
        value, or an output already, is copied."""
        found: list[int] = []
        for k in self.graph.outputs:
            slot = self._slot_for(k)
            type_ = self.graph.entries[k][3]
            shared = self.types[slot] is not type_
            if slot in inputs or slot in self.constants or slot in found or shared:
                copy = self._new_slot(type_, type_.size * type_.dtype.itemsize)
                moves = whole_copy(type_)
                if moves is None:
                    self.steps.append(
                        NumpyStep(reshaped(type_.shape), [slot], [copy], "NumPy copy", [k])
                    )
                else:
                    self._walks(moves, [slot], copy, "copy", k)
                slot = copy
            found.append(slot)
        return found

    def _quiet_blas(self) -> None:
        """Around the products: BLAS's own threads would wait for ours, and ours for them."""
        products = [
            k
            for k, step in enumerate(self.steps)
            if isinstance(step, NativeStep) and step.calls_blas()
        ]
        found = blas_threads() if products else None
        if found is None or found[1] == 1:
            return
        setter, count = found
        for at, number in ((products[-1] + 1, count), (products[0], 1)):
            self.steps.insert(
                at,
                NativeStep(
                    [[setter, number]],
                    [],
                    [],
                    f"BLAS threads: {number}",
                    [],
                    runtime="call_with_int",
                ),
            )

    # ------------------------------------------------------------ finish

    def _finish(self, inputs: list[int], outputs: list[int]) -> Plan:
        own = set(inputs) | set(outputs) | set(self.constants)
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for number, step in zip(moments(self.steps), self.steps, strict=True):
            for slot in step.uses:
                first.setdefault(slot, number)
                last[slot] = number
        lifetimes = [Lifetime(s, self.bytes[s], first[s], last[s]) for s in first if s not in own]
        offsets, total = layout(lifetimes)
        plan = Plan(
            self.graph,
            self.steps,
            self.types,
            inputs,
            outputs,
            self.constants,
            offsets,
            total,
            sum(x.bytes for x in lifetimes),
            self.status,
        )
        plan.slot_bytes = self.bytes
        plan.other_kernels = self.alone
        plan.work = sum(self._work(step) for step in self.steps)
        plan.is_long = plan.work > _LONG
        controls = any(isinstance(s, NativeStep) and s.control is not None for s in self.steps)
        plan.is_brief = plan.work < _BRIEF and not controls
        return plan

    def _work(self, step: NativeStep | NumpyStep) -> int:
        """A rough count of the operations of a step."""
        moved = sum(self.bytes[s] // 4 for s in (*step.reads, *step.writes))
        return moved + (step.work if isinstance(step, NativeStep) else 0)


def _plan_body(graph: Graph) -> Plan:
    plan = Planner(graph, is_body=True).plan()
    link(plan)
    return plan


def unlinked_plan(graph: Graph, budget: int | None = None, *, is_parallel: bool = True) -> Plan:
    """Plan a graph; `link` makes it ready to run. Bodies of loops and branches are compiled here.

    `budget` is how many bytes may be held beside the arguments, if that is limited; `is_parallel`
    allows strips, which depend on the sizes. `INPUT` entries that nothing needs are read but not
    used.
    """
    assert all(op is not INPUT or k in graph.inputs for k, (op, *_) in enumerate(graph.entries))
    if budget is None:
        return Planner(graph, is_parallel=is_parallel).plan()
    from wengert.plan.budgets import fitted_plan

    return fitted_plan(graph, budget)


def make_plan(graph: Graph, budget: int | None = None, *, is_parallel: bool = True) -> Plan:
    """Plan and compile a graph; see `unlinked_plan`."""
    plan = unlinked_plan(graph, budget, is_parallel=is_parallel)
    link(plan)
    return plan
