"""What a dynamic run did: nodes recorded, how they were merged, what each batch ran, the time.

`with wengert.autobatching() as reports:` collects the reports of the derivatives in its block.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wengert.graph import Graph

if TYPE_CHECKING:
    from wengert.batching.program import Program
    from wengert.batching.schedule import Schedule

__all__ = ["BatchRecord", "DynamicReport", "report_of"]


@dataclass(frozen=True)
class BatchRecord:
    """One batch: operator, number of nodes, the levels that they stand on, shapes of the stacked
    operands, and whether it ran as native code, as NumPy's operators, or node by node."""

    operator: str
    nodes: int
    levels: tuple[int, int]
    stacked: tuple[str, ...]
    ran: str

    def __str__(self) -> str:
        low, high = self.levels
        level = f"level {low}" if low == high else f"levels {low}-{high}"
        return f"{self.nodes:6} x {self.operator}({', '.join(self.stacked)})  {level}  {self.ran}"


@dataclass
class DynamicReport:
    """One derivative of a program; `str()` prints it.

    entries : recorded entries, leaves included; nodes : operators that the result needs, what is
    the same counted once
    signatures : different ones; batches : in the order in which they ran
    batched : whether batching was chosen; the estimates of its cost and of the other way are in
    seconds, as is the time of each station
    plans : how many signatures found the plan of their batches from an earlier run, and for how
    many it was made
    graph : the recorded graph; batch_of : for each entry the number of its batch

    What takes time, the batches and `batch_of`, is put together when it is asked for.
    """

    entries: int
    nodes: int
    signatures: int
    batched: bool
    estimates: tuple[float, float]
    graph: Graph
    read: Callable[[], tuple[list[BatchRecord], dict[int, int]]] = field(repr=False)
    seconds: dict[str, float] = field(default_factory=dict)
    plans: tuple[int, int] = (0, 0)

    @functools.cached_property
    def _found(self) -> tuple[list[BatchRecord], dict[int, int]]:
        return self.read()

    @property
    def batches(self) -> list[BatchRecord]:
        """The batches, in the order in which they ran."""
        return self._found[0]

    @property
    def batch_of(self) -> dict[int, int]:
        """For each entry that is in a batch the number of that."""
        return self._found[1]

    @property
    def by_operator(self) -> dict[str, tuple[int, int]]:
        """For each operator: how many nodes, in how many batches."""
        nodes: Counter[str] = Counter()
        batches: Counter[str] = Counter()
        for batch in self.batches:
            nodes[batch.operator] += batch.nodes
            batches[batch.operator] += 1
        return {name: (count, batches[name]) for name, count in nodes.most_common()}

    def to_svg(self, path: str | os.PathLike[str] | None = None) -> str:
        """The recorded graph, coloured and numbered by batch; written to `path` if given.

        Of a long graph the last entries are drawn, nearest to the result.
        """
        title = f"{self.nodes} nodes in {len(self.batches)} batches"
        return self.graph.steps_to_svg(self.batch_of, title, path)

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def __str__(self) -> str:
        chosen = "batched" if self.batched else "not batched: it would not have been faster"
        counts = f"{self.signatures} signatures, {len(self.batches)} batches"
        lines = [
            f"{self.entries} entries, {self.nodes} nodes, {counts}; {chosen}",
            "estimated {:.2f} ms in batches, {:.2f} ms one by one".format(
                *(1e3 * s for s in self.estimates)
            ),
        ]
        if self.batched:
            lines.append("plans: {} found again, {} made".format(*self.plans))
        lines += [f"{name}: {1e3 * s:.2f} ms" for name, s in self.seconds.items()]
        for name, (nodes, batches) in self.by_operator.items():
            lines.append(f"{name}: {nodes} nodes in {batches} batches")
        lines += [str(batch) for batch in self.batches]
        return "\n".join(lines)


def report_of(
    program: Program, plan: Schedule, ran: list[str], estimates: tuple[float, float]
) -> DynamicReport:
    """The report of a schedule; `ran` says how each signature runs."""
    return DynamicReport(
        len(program.graph.entries),
        program.node_count,
        len(plan.signatures),
        bool(ran),
        estimates,
        program.graph,
        lambda: _read(program, plan, ran),
    )


def _read(
    program: Program, plan: Schedule, ran: list[str]
) -> tuple[list[BatchRecord], dict[int, int]]:
    """The batches, and for each entry the number of its batch."""
    records = []
    batch_of_node = [0] * program.node_count
    for number, batch in enumerate(plan.batches):
        signature = plan.signatures[batch.signature]
        family = program.families[signature.family]
        depths = program.depth[family.members[batch.places]].tolist()
        pairs: Any = zip(family.graph.input_types, signature.flags, strict=True)
        stacked = tuple([str(t) for t, flag in pairs if flag])
        records.append(
            BatchRecord(
                family.name,
                len(batch.places),
                (min(depths), max(depths)),
                stacked,
                ran[batch.signature] if ran else "",
            )
        )
        for node in family.members[batch.places].tolist():
            batch_of_node[node] = number
    nodes = program.node_of.tolist()
    batch_of = {entry: batch_of_node[node] for entry, node in enumerate(nodes) if node >= 0}
    return records, batch_of
