"""Donation: which outputs of a plan may be written into the memory of an input.

An output may take an input's memory if all steps that read the input come before the step that
writes the output; or if that step is a kernel of a single phase that reads each element of the
input at the very place, and in the very iteration, at which it writes the output. Of the steps of a
strip, which run chunk by chunk, those that read the input must touch only the chunk's own share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.codegen.kernel import KernelSpec, ProductSpec
from wengert.plan.plan import Plan
from wengert.plan.steps import NativeStep

__all__ = ["reusable"]


def reusable(plan: Plan, donated: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs (number of an output, number of an input) of equal type, each used once.

    `donated` holds numbers of inputs.
    """
    last_read: dict[int, int] = {}
    written: dict[int, list[int]] = {}
    for number, step in enumerate(plan.steps):
        for slot in step.reads:
            last_read[slot] = number
        for slot in step.writes:
            written.setdefault(slot, []).append(number)
    found: list[tuple[int, int]] = []
    free = list(donated)
    for output, slot in enumerate(plan.outputs):
        type_ = plan.types[slot]
        if len(written.get(slot, ())) != 1 or type_ is None or not type_.ndim or not type_.size:
            continue
        (at,) = written[slot]
        fitting = [
            k
            for k in free
            if plan.types[plan.inputs[k]] is type_
            and _may_share(plan.steps[at], at, plan.inputs[k], slot, last_read)
            and _shares_in_strip(plan.steps, at, plan.inputs[k], slot)
        ]
        # Rather the argument that the output is computed from: the one read last.
        best = max(fitting, key=lambda k: last_read.get(plan.inputs[k], -1), default=None)
        if best is not None:
            free.remove(best)
            found.append((output, best))
    return found


def _may_share(step: Any, at: int, source: int, target: int, last_read: dict[int, int]) -> bool:
    last = last_read.get(source, -1)
    if last != at:
        return last < at
    spec = step.spec if isinstance(step, NativeStep) else None
    if isinstance(spec, ProductSpec):  # what is added is read where the sum is written
        return step.finish is None and source not in step.reads[:2]
    if not isinstance(spec, KernelSpec):
        return False
    if any(i.reduces for i in spec.body) or max(spec.phases(), default=0) > 0:
        return False
    loads = [k for k, slot in enumerate(step.reads) if slot == source]
    at_store = step.writes.index(target)
    store = spec.stores[at_store]
    if store.combine or any(spec.loads[k].bits != store.bits or not all(store.bits) for k in loads):
        return False
    # Within an iteration the results are stored in order, and a load may come late.
    return bool(loads) and not any(
        _depends(spec, later.value, set(loads)) for later in spec.stores[at_store + 1 :]
    )


def _shares_in_strip(steps: Sequence[Any], at: int, source: int, target: int) -> bool:
    strip = steps[at].strip if isinstance(steps[at], NativeStep) else -1
    others = [s for s in steps if strip >= 0 and isinstance(s, NativeStep) and s.strip == strip]
    reading = [s for s in others if source in s.reads and s is not steps[at]]
    if not reading:
        return True
    cuts = [s.cut for s in reading]
    return target in steps[at].cut.shares and all(c and source in c.shares for c in cuts)


def _depends(spec: KernelSpec, value: int, loads: set[int]) -> bool:
    reaching = set(loads)
    for number, instruction in enumerate(spec.body, start=len(spec.loads)):
        if reaching.intersection(instruction.operands):
            reaching.add(number)
    return value in reaching
