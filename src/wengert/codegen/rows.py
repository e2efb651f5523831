"""Which values of a kernel are kept from one phase to a later one."""

from __future__ import annotations

from collections.abc import Sequence

from wengert.codegen.kernel import KernelSpec, Store, is_cheap, per_spec

__all__ = ["recomputed", "store_phase", "temporaries"]


@per_spec
def temporaries(spec: KernelSpec) -> list[int]:
    """The full values that are kept in a temporary row for a later phase."""
    full, phases = spec.is_full(), spec.phases()
    n = len(spec.loads)
    kept: set[int] = set()
    for number, instruction in enumerate(spec.body, start=n):
        if not (full[number] or instruction.reduces):
            continue
        for k in _leaves(spec, instruction.operands, phases[number], full, phases):
            kept.add(k)
    for store in spec.stores:
        if full[store.value] or (store.bits and store.bits[-1]):
            for k in _leaves(spec, (store.value,), store_phase(spec, store), full, phases):
                kept.add(k)
    return sorted(kept)


def recomputed(spec: KernelSpec, k: int, full: list[bool]) -> bool:
    """Whether a later phase computes a value again: one cheap operation on loads and row values."""
    n = len(spec.loads)
    if k < n:
        return True
    instruction = spec.body[k - n]
    return is_cheap(instruction.name) and all(o < n or not full[o] for o in instruction.operands)


def _leaves(
    spec: KernelSpec, operands: Sequence[int], phase: int, full: list[bool], phases: list[int]
) -> list[int]:
    """Which operands are read from a temporary row in a phase."""
    return [k for k in operands if full[k] and phases[k] < phase and not recomputed(spec, k, full)]


def store_phase(spec: KernelSpec, store: Store) -> int:
    """The phase in which a value is stored."""
    full, phases = spec.is_full(), spec.phases()
    phase = phases[store.value]
    spread = not full[store.value] and bool(store.bits) and store.bits[-1]
    return phase + 1 if spread else phase
