"""What a schedule costs beside running the entries one by one; in seconds, from the graph alone."""

from __future__ import annotations

from wengert.batching.program import Program
from wengert.batching.schedule import Schedule

__all__ = ["batched_seconds", "estimates", "pays", "unbatched_seconds"]

#: An operator, forward and backward, by the interpreter; a derived entry costs as much as an own
#: one, and each operator leads to about two.
_ENTRY = 4e-6
#: A batch, forward and backward, beside the work on its rows; and more for one run by NumPy.
_BATCH, _NUMPY_ENTRY = 25e-6, 8e-6
#: Scheduling, gathering and scattering one node.
_NODE = 1.5e-6


def unbatched_seconds(program: Program) -> float:
    """Dispatching all operators singly."""
    total = 0
    for family in program.families:
        size = sum(1 for entry in family.graph.entries if entry[1])
        total += size * len(family.members)
    return total * _ENTRY


def batched_seconds(program: Program, plan: Schedule) -> float:
    """Scheduling the nodes and dispatching the batches."""
    total = program.node_count * _NODE
    for batch in plan.batches:
        family = program.families[plan.signatures[batch.signature].family]
        total += _BATCH if family.is_native else _BATCH + _NUMPY_ENTRY
    return total


def estimates(program: Program, plan: Schedule) -> tuple[float, float]:
    """What the batches cost, and what the operators cost one by one."""
    return batched_seconds(program, plan), unbatched_seconds(program)


def pays(program: Program, plan: Schedule) -> bool:
    """Whether batching is estimated to be faster."""
    return batched_seconds(program, plan) < unbatched_seconds(program)
