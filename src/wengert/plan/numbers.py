"""Which plans are calls of numbers (`codegen.numbers`), and what those need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.codegen.kernel import CallSpec, KernelSpec
from wengert.plan.plan import Plan
from wengert.plan.steps import NativeStep

__all__ = ["call_of_numbers"]

#: Arguments beyond which reading them one by one is no gain.
_MOST_ARGUMENTS = 32

_DOUBLE = np.dtype(np.float64)


def call_of_numbers(
    args: Sequence[Any], plan: Plan, program: Sequence[Sequence[int]]
) -> tuple[CallSpec, list[int]] | None:
    """The call and the bits of its constants, if a plan is one.

    `program` builds the result: pairs of an operation (0: push leaf number n, 1: a tuple of the n
    topmost) and n.
    """
    step = plan.steps[0] if len(plan.steps) == 1 else None
    if not isinstance(step, NativeStep) or not isinstance(step.spec, KernelSpec):
        return None
    spec, block = step.spec, step.blocks[0]
    if spec.rank or len(step.blocks) > 1 or not 0 < len(args) <= _MOST_ARGUMENTS:
        return None
    stored = [spec.dtype(store.value) for store in spec.stores]
    dtypes = {*(load.dtype for load in spec.loads), *stored}
    if dtypes != {_DOUBLE} or any(type(a) not in (float, np.float64) for a in args):
        return None
    if any(operation > 1 for operation, _ in program) or any(s.combine for s in spec.stores):
        return None
    places = block[: len(spec.loads) + len(spec.stores)]
    loads, stores = places[: len(spec.loads)], places[len(spec.loads) :]
    constants: list[int] = []
    sources: list[int] = []
    for slot in loads:
        if slot in plan.constants:
            constants.append(int(np.asarray(plan.constants[slot], _DOUBLE).view(np.int64)))
            sources.append(-len(constants))
        elif slot in plan.inputs:
            sources.append(plan.inputs.index(slot))
        else:
            return None
    leaves = [number for operation, number in program if operation == 0]
    if any(plan.outputs[k] not in stores for k in leaves):
        return None
    spec_of_call = CallSpec(
        spec,
        len(args),
        tuple(sources),
        tuple(stores.index(plan.outputs[k]) for k in leaves),
        tuple(-1 if operation == 0 else n for operation, n in program),
    )
    return spec_of_call, constants
