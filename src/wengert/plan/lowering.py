"""Lowering: from a fused group to a kernel's structure, and to the numbers of one call of it."""

from __future__ import annotations

from typing import Any

from wengert.codegen.kernel import Instruction, KernelSpec, Load, Store
from wengert.graph import Graph
from wengert.graph.sizes import Fields
from wengert.plan.contracting import contracted
from wengert.plan.fusion import REDUCTIONS, Axes, Group

__all__ = ["LoweredGroup", "lower"]

#: Operators that only pass a value on inside a kernel.
_ALIASES = ("reshape", "broadcast_to", "positive", "stop_gradient")


class LoweredGroup(Fields):
    """A kernel and what it is called with.

    spec : its structure
    loads, stores : value numbers
    sizes : length of each merged axis
    load_strides, store_strides : per value the strides, in elements, of the outer merged axes
    counts : per store the number of elements of its target
    members : the entries that it computes
    """

    fields = (
        *("spec", "loads", "stores", "sizes"),
        *("load_strides", "store_strides", "counts", "members"),
    )

    def __init__(
        self,
        spec: KernelSpec,
        loads: list[int],
        stores: list[int],
        sizes: list[int],
        load_strides: list[list[int]],
        store_strides: list[list[int]],
        counts: list[int],
        members: list[int],
    ) -> None:
        self.spec = spec
        self.loads = loads
        self.stores = stores
        self.sizes = sizes
        self.load_strides = load_strides
        self.store_strides = store_strides
        self.counts = counts
        self.members = members


def _merged(group: Group) -> list[list[int]]:
    """The group's axes, merged between cuts."""
    cuts = set(group.cuts)
    if group.row:
        cuts.add(group.row)
    found: list[list[int]] = []
    for a in range(len(group.shape)):
        if a and a not in cuts:
            found[-1].append(a)
        else:
            found.append([a])
    return found


def lower(graph: Graph, group: Group, needed_outside: set[int]) -> LoweredGroup:
    """The kernel of a group that must store the members in `needed_outside`."""
    merged = _merged(group)
    sizes = [_product(group.shape[a] for a in axes) for axes in merged]
    members = set(group.members)

    def bits(axes: Axes) -> tuple[bool, ...]:
        present = set(axes)
        return tuple(parts[0] in present for parts in merged)

    loads: list[int] = []
    for i in group.members:
        loads += [
            k
            for k in graph.entries[i][1]
            if (k not in members or k in group.late) and k not in loads
        ]
    load_specs = tuple(Load(graph.entries[k][3].dtype, bits(group.axes[k])) for k in loads)
    number = {k: position for position, k in enumerate(loads)}
    body: list[Instruction] = []
    stores: list[int] = []
    store_specs: list[Store] = []

    def append(name: str, operands: tuple[int, ...], params: Any, dtype: Any) -> int:
        body.append(Instruction(name, operands, params, dtype))
        return len(loads) + len(body) - 1

    inner = set(merged[-1]) if merged else set()
    for i in group.members:
        op, operands, params, type_ = graph.entries[i]
        source = number[operands[0]] if operands else -1
        combine = ""
        if op.name in _ALIASES:
            number[i] = source
        elif op.name in REDUCTIONS:
            own = group.axes[operands[0]]
            gone = {own[a] for a in dict(params)["axes"]} - {-1}
            number[i] = source
            if gone & inner:
                number[i] = append(f"row_{REDUCTIONS[op.name]}", (source,), (), type_.dtype)
            if gone - inner:
                combine = REDUCTIONS[op.name]
        else:
            if op.name == "random_bits":
                counted = bits(group.counted(i, params))
                params = (*((k, v) for k, v in params if k != "shape"), ("axes", counted))
            number[i] = append(op.name, tuple(number[k] for k in operands), params, type_.dtype)
        if i in needed_outside:
            stores.append(i)
            store_specs.append(Store(number[i], bits(group.axes[i]), combine))
    spec = contracted(KernelSpec(len(merged), load_specs, tuple(body), tuple(store_specs)))
    return LoweredGroup(
        spec,
        loads,
        stores,
        sizes,
        [_strides(load.bits, sizes) for load in load_specs],
        [_strides(store.bits, sizes) for store in store_specs],
        [graph.entries[k][3].size for k in stores],
        list(group.members),
    )


def _strides(bits: tuple[bool, ...], sizes: list[int]) -> list[int]:
    found, stride = [], 1
    for present, n in zip(reversed(bits), reversed(sizes), strict=True):
        found.append(stride if present else 0)
        stride *= n if present else 1
    return found[::-1][:-1] if found else []


def _product(numbers: Any) -> int:
    total = 1
    for n in numbers:
        total *= n
    return total
