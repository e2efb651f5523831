"""Loop nests: from a `KernelSpec` to LLVM IR. Operators supply scalar or vector instructions
(`emit`); loops, addresses and reductions are written once, here.

The function of a kernel is `void kernel(i64* slots, i64* args)`. `slots` holds addresses. `args`
holds, in this order: the slot of each load, store and temporary row; the length of each merged
axis; for each load and store its stride, in elements, along each merged axis but the last; for
each combining store the range of its target that this call sets to the identity first; and the
range of the first axis that this call computes.

Row reductions sum blocks of `BLOCK` elements in vector registers, and add the blocks' sums in
float64 with Neumaier's compensation, so that the error does not grow with the length.

The last elements of a row, fewer than a vector has lanes, are one vector too, of which the other
lanes are neither read nor written, if the processor can do that, all arrays are of floats, and it
is worth it; else they are computed one at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.codegen import ir
from wengert.codegen.blocks import (
    F64,
    I32,
    I64,
    finished_sum,
    first_lanes,
    i64,
    loop,
    masked_load,
    masked_store,
    memory_type,
    neumaier,
    splat,
)
from wengert.codegen.emit import emit
from wengert.codegen.kernel import Bits, KernelSpec, Store, is_cheap
from wengert.codegen.math_random import random_bits
from wengert.codegen.rows import store_phase, temporaries
from wengert.codegen.sums import COMBINE, IDENTITY, across
from wengert.codegen.vector import Kind, Lanes

__all__ = ["BLOCK", "build_kernel"]

#: Elements of a row that are summed in registers before they join the compensated sum.
BLOCK = 4096

#: Accumulators of a reduction: an addition takes about four cycles, and starts every cycle.
_UNROLL = 4


class _Builder:
    """Emits one kernel."""

    def __init__(
        self, module: ir.Module, spec: KernelSpec, name: str, lanes: int, masks: bool
    ) -> None:
        self.spec = spec
        self.masks = masks and lanes > 1 and _has_only_floats(spec)
        #: The lanes that are in use, in the last vector of a row; None is all.
        self.mask: Any = None
        self.full = spec.is_full()
        self.phase = spec.phases()
        self.lanes = lanes
        self.temporary = {k: i for i, k in enumerate(temporaries(spec))}
        kind = ir.FunctionType(ir.VoidType(), [I64.as_pointer(), I64.as_pointer()])
        self.function = ir.Function(module, kind, name)
        self.slots, self.args = self.function.args
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.at = 0
        #: The numbers of the loops around a row.
        self.outer: list[Any] = []
        self._read_arguments()

    # ------------------------------------------------------------ arguments

    def _argument(self) -> Any:
        pointer = self.b.gep(self.args, [i64(self.at)])
        self.at += 1
        return self.b.load(pointer)

    def _pointer(self, dtype: np.dtype[Any]) -> Any:
        address = self.b.load(self.b.gep(self.slots, [self._argument()]))
        return self.b.inttoptr(address, memory_type(dtype).as_pointer())

    def _read_arguments(self) -> None:
        spec = self.spec
        self.loads = [self._pointer(load.dtype) for load in spec.loads]
        self.stores = [self._pointer(spec.dtype(store.value)) for store in spec.stores]
        self.rows = {k: self._pointer(spec.dtype(k)) for k in self.temporary}
        self.sizes = [self._argument() for _ in range(spec.rank)]
        outer = max(0, spec.rank - 1)
        self.load_strides = [[self._argument() for _ in range(outer)] for _ in spec.loads]
        self.store_strides = [[self._argument() for _ in range(outer)] for _ in spec.stores]
        # The elements of a combining target that this call begins at its identity.
        self.targets = [
            (self._argument(), self._argument()) if s.combine else None for s in spec.stores
        ]
        # The part of the first axis that this call computes.
        self.begin: Any = self._argument() if spec.rank else None
        self.end: Any = self._argument() if spec.rank else None

    # ------------------------------------------------------------ structure

    def build(self) -> None:
        self._initialise_targets()
        self._outer(0, [i64(0)] * len(self.loads), [i64(0)] * len(self.stores))
        self.b.ret_void()

    def _initialise_targets(self) -> None:
        for store, pointer, part in zip(self.spec.stores, self.stores, self.targets, strict=True):
            if part is not None:
                element = memory_type(self.spec.dtype(store.value))
                with loop(self.b, *part, i64(1)) as step:
                    value = ir.Constant(element, IDENTITY[store.combine])
                    self.b.store(value, self.b.gep(pointer, [step.index]))

    def _outer(self, axis: int, load_at: list[Any], store_at: list[Any]) -> None:
        if axis >= self.spec.rank - 1:
            self._row(load_at, store_at)
            return
        b = self.b
        first, last = (self.begin, self.end) if axis == 0 else (i64(0), self.sizes[axis])
        with loop(b, first, last, i64(1)) as step:
            self.outer = [*self.outer[:axis], step.index]

            def moved(at: list[Any], strides: list[list[Any]]) -> list[Any]:
                return [
                    b.add(a, b.mul(step.index, s[axis])) for a, s in zip(at, strides, strict=True)
                ]

            self._outer(
                axis + 1, moved(load_at, self.load_strides), moved(store_at, self.store_strides)
            )

    # ------------------------------------------------------------ one row

    def _row(self, load_at: list[Any], store_at: list[Any]) -> None:
        self.load_base = [self.b.gep(p, [a]) for p, a in zip(self.loads, load_at, strict=True)]
        self.store_base = [self.b.gep(p, [a]) for p, a in zip(self.stores, store_at, strict=True)]
        self.row_values: dict[int, Any] = {}
        for k, load in enumerate(self.spec.loads):
            if not self.full[k]:
                self.row_values[k] = self._load(self.load_base[k], load.dtype, 1)
        self._row_instructions(-1)
        last = max(self.phase, default=-1)
        last = max([last, *(store_phase(self.spec, s) for s in self.spec.stores)])
        if self.spec.rank:
            for phase in range(last + 1):
                self._inner(phase)
                self._row_instructions(phase)
        for number, store in enumerate(self.spec.stores):
            if not self._stored_in_loop(store):
                self._put(number, self.row_values[store.value], i64(0), 1)

    def _stored_in_loop(self, store: Store) -> bool:
        return self.full[store.value] or (bool(store.bits) and store.bits[-1])

    def _row_instructions(self, phase: int) -> None:
        for number, instruction in enumerate(self.spec.body, start=len(self.loads)):
            if self.full[number] or instruction.reduces or self.phase[number] != phase:
                continue
            args = [self.row_values[k] for k in instruction.operands]
            self.row_values[number] = self._emit(instruction, args, i64(0), 1)

    def _emit(self, instruction: Any, args: list[Any], index: Any, lanes: int) -> Any:
        dtypes = [self.spec.dtype(k) for k in instruction.operands]
        kind = Kind(dtypes[-1] if instruction.name == "where" else dtypes[0], lanes)
        params = dict(instruction.params)
        if instruction.counted is None:
            return emit(self.b, instruction.name, args, params, kind)
        position = self._position(params.pop("axes"), index, lanes)
        return random_bits(Lanes(self.b, args[0], kind), position, **params).value

    def _position(self, axes: Bits, index: Any, lanes: int) -> Any:
        """Which elements of the array that varies along some merged axes stand at `index`."""
        b, stride = self.b, i64(1)
        total = index if axes and axes[-1] else i64(0)
        for axis in reversed(range(len(axes) - 1)):
            if axes[axis + 1]:
                stride = b.mul(stride, self.sizes[axis + 1])
            if axes[axis]:
                total = b.add(total, b.mul(self.outer[axis], stride))
        first = splat(b, b.trunc(total, I32), lanes)
        numbers = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))
        return b.add(first, numbers) if lanes > 1 else first

    # ------------------------------------------------------------ inner loops

    def _inner(self, phase: int) -> None:
        reductions = [
            number
            for number, instruction in enumerate(self.spec.body, start=len(self.loads))
            if instruction.reduces and self.phase[number] == phase
        ]
        stores = [
            number
            for number, store in enumerate(self.spec.stores)
            if self._stored_in_loop(store) and store_phase(self.spec, store) == phase
        ]
        kept = [k for k in self.temporary if self.phase[k] == phase]
        if not (reductions or stores or kept):
            return
        if reductions:
            self._reducing_loop(phase, reductions, stores, kept)
        else:
            self._span(*self._inner_range(), phase, [], stores, kept)

    def _inner_range(self) -> tuple[Any, Any]:
        if self.spec.rank == 1:
            return self.begin, self.end
        return i64(0), self.sizes[-1]

    def _reducing_loop(
        self, phase: int, reductions: list[int], stores: list[int], kept: list[int]
    ) -> None:
        b = self.b
        first, n = self._inner_range()
        totals: list[Any] = []
        for r in reductions:
            how = self._instruction(r).reduces
            wide = ir.Constant(F64, IDENTITY[how])
            totals += [wide, ir.Constant(F64, 0.0)]
        with loop(b, first, n, i64(BLOCK), totals) as block:
            beyond = b.add(block.index, i64(BLOCK))
            stop = b.select(b.icmp_signed("<", beyond, n), beyond, n)
            parts = self._span(block.index, stop, phase, reductions, stores, kept)
            for position, (r, part) in enumerate(zip(reductions, parts, strict=True)):
                how = self._instruction(r).reduces
                total, compensation = block.carried[2 * position : 2 * position + 2]
                wide = part if part.type == F64 else b.fpext(part, F64)
                if how == "sum":
                    block.next[2 * position : 2 * position + 2] = neumaier(
                        b, total, compensation, wide
                    )
                else:
                    block.next[2 * position] = emit(
                        b, COMBINE[how], [total, wide], {}, Kind(np.dtype("f8"), 1)
                    )
        for position, r in enumerate(reductions):
            total, compensation = block.results[2 * position : 2 * position + 2]
            if self._instruction(r).reduces == "sum":
                total = finished_sum(b, total, compensation)
            element = memory_type(self._instruction(r).dtype)
            self.row_values[r] = total if element == F64 else b.fptrunc(total, element)

    def _instruction(self, number: int) -> Any:
        return self.spec.body[number - len(self.loads)]

    def _span(
        self,
        start: Any,
        stop: Any,
        phase: int,
        reductions: list[int],
        stores: list[int],
        kept: list[int],
    ) -> list[Any]:
        """The inner loop over [start, stop): several vectors at a time where a reduction would wait
        for itself, then vectors, then single elements."""
        b, lanes = self.b, self.lanes
        length = b.sub(stop, start)
        # Before the loop: where registers are short, LLVM reads them from memory in it, which costs
        # less than to repeat a number in all lanes again and again.
        self.splats = {k: splat(b, self.row_values[k], lanes) for k in self._of_rows()}
        first = [
            splat(
                b,
                ir.Constant(
                    memory_type(self._instruction(r).dtype), IDENTITY[self._instruction(r).reduces]
                ),
                lanes,
            )
            for r in reductions
        ]
        many = _UNROLL if lanes > 1 and reductions and not self._is_heavy(phase) else 1
        if many > 1:
            far = b.add(start, b.and_(length, i64(-lanes * many)))
            with loop(b, start, far, i64(lanes * many), first * many) as step:
                step.next = []
                for k in range(many):
                    at = b.add(step.index, i64(k * lanes))
                    own = step.carried[k * len(first) : (k + 1) * len(first)]
                    step.next += self._elements(at, phase, lanes, reductions, stores, kept, own)
            first = step.results[: len(first)]
            for k in range(1, many):
                own = step.results[k * len(first) : (k + 1) * len(first)]
                first = [
                    self._combined(r, pair, lanes)
                    for r, *pair in zip(reductions, first, own, strict=True)
                ]
            start = far
        whole = b.add(start, b.and_(b.sub(stop, start), i64(-lanes)))
        with loop(b, start, whole, i64(lanes), first) as step:
            step.next = self._elements(
                step.index, phase, lanes, reductions, stores, kept, step.carried
            )
        if lanes == 1:
            return step.results
        if self.masks:
            # Few elements of cheap operations are done sooner one at a time.
            enough = b.icmp_signed(">=", b.sub(stop, whole), i64(lanes // 2))
            last = stop if self._is_heavy(phase) else b.select(enough, stop, whole)
            with loop(b, whole, last, i64(lanes), step.results) as step:
                self.mask = first_lanes(b, b.sub(stop, step.index), lanes)
                step.next = self._elements(
                    step.index, phase, lanes, reductions, stores, kept, step.carried
                )
                self.mask = None
            whole = last
        partial = [
            across(b, value, self._instruction(r).reduces, Kind(self._instruction(r).dtype, lanes))
            for r, value in zip(reductions, step.results, strict=True)
        ]
        if self.masks and self._is_heavy(phase):
            return partial
        with loop(b, whole, stop, i64(1), partial) as step:
            step.next = self._elements(step.index, phase, 1, reductions, stores, kept, step.carried)
        return step.results

    def _of_rows(self) -> set[int]:
        """The row values that inner loops read, as far as they are known yet."""
        if self.lanes == 1:
            return set()
        n = len(self.loads)
        found = {s.value for s in self.spec.stores if self._stored_in_loop(s)}
        for number, instruction in enumerate(self.spec.body, start=n):
            if self.full[number] or instruction.reduces:
                found.update(instruction.operands)
        return {k for k in found if k in self.row_values and not self.full[k]}

    def _is_heavy(self, phase: int) -> bool:
        # A transcendental function keeps the processor busy enough; copies of it cost code. (Two
        # vectors at a time, instruction by instruction, gained 3 to 5 percent.)
        return any(
            self.full[number] and self.phase[number] == phase and not is_cheap(instruction.name)
            for number, instruction in enumerate(self.spec.body, start=len(self.loads))
        )

    def _combined(self, reduction: int, pair: Sequence[Any], lanes: int) -> Any:
        instruction = self._instruction(reduction)
        kind = Kind(instruction.dtype, lanes)
        return emit(self.b, COMBINE[instruction.reduces], list(pair), {}, kind)

    def _elements(
        self,
        index: Any,
        phase: int,
        lanes: int,
        reductions: list[int],
        stores: list[int],
        kept: list[int],
        accumulators: list[Any],
    ) -> list[Any]:
        values: dict[int, Any] = {}
        for k in kept:
            self._store_row(k, index, self._value(k, index, phase, lanes, values), lanes)
        for number in stores:
            store = self.spec.stores[number]
            value = self._value(store.value, index, phase, lanes, values)
            self._put(number, value, index if store.bits and store.bits[-1] else i64(0), lanes)
        combined = []
        for r, accumulator in zip(reductions, accumulators, strict=True):
            instruction = self._instruction(r)
            value = self._value(instruction.operands[0], index, phase, lanes, values)
            if self.mask is not None:
                identity = ir.Constant(
                    memory_type(instruction.dtype), IDENTITY[instruction.reduces]
                )
                value = self.b.select(self.mask, value, splat(self.b, identity, lanes))
            combined.append(self._combined(r, (accumulator, value), lanes))
        return combined

    def _value(self, k: int, index: Any, phase: int, lanes: int, values: dict[int, Any]) -> Any:
        """Value k for the elements at `index`; what it needs is computed first, without recursion
        deeper than the chain of values of one phase that were not asked for yet."""
        stack = [k]
        while stack:
            top = stack[-1]
            if top in values:
                stack.pop()
                continue
            if not self.full[top]:
                values[top] = self.splats[top] if lanes > 1 else self.row_values[top]
            elif top < len(self.loads):
                values[top] = self._load(
                    self.b.gep(self.load_base[top], [index]), self.spec.dtype(top), lanes
                )
            elif self.phase[top] < phase and top in self.temporary:
                values[top] = self._load_row(top, index, lanes)
            else:
                instruction = self._instruction(top)
                missing = [o for o in instruction.operands if o not in values]
                if missing:
                    stack += missing
                    continue
                args = [values[o] for o in instruction.operands]
                values[top] = self._emit(instruction, args, index, lanes)
            stack.pop()
        return values[k]

    # ------------------------------------------------------------ memory

    def _load_row(self, k: int, index: Any, lanes: int) -> Any:
        """Elements of a temporary row. There is room for whole vectors in its memory; and a load
        waits long for a store of which it needs a part only, as one under a mask is."""
        mask, self.mask = self.mask, None
        value = self._load(self.b.gep(self.rows[k], [index]), self.spec.dtype(k), lanes)
        self.mask = mask
        return value

    def _store_row(self, k: int, index: Any, value: Any, lanes: int) -> None:
        mask, self.mask = self.mask, None
        self._write(self.rows[k], index, value, self.spec.dtype(k), lanes)
        self.mask = mask

    def _load(self, pointer: Any, dtype: np.dtype[Any], lanes: int) -> Any:
        element = memory_type(dtype)
        if lanes > 1 and self.mask is not None:
            # One is in the domain of every function: the lanes beyond take no rare path.
            one = splat(self.b, ir.Constant(element, 1.0), lanes)
            return masked_load(self.b, pointer, self.mask, one, dtype.itemsize)
        if lanes > 1:
            pointer = self.b.bitcast(pointer, ir.VectorType(element, lanes).as_pointer())
        value = self.b.load(pointer, align=dtype.itemsize)
        if dtype.kind == "b":
            return self.b.icmp_unsigned("!=", value, ir.Constant(value.type, None))
        return value

    def _write(self, base: Any, index: Any, value: Any, dtype: np.dtype[Any], lanes: int) -> None:
        element = memory_type(dtype)
        pointer = self.b.gep(base, [index])
        if lanes > 1 and self.mask is not None:
            masked_store(self.b, value, pointer, self.mask, dtype.itemsize)
            return
        target = element if lanes == 1 else ir.VectorType(element, lanes)
        if dtype.kind == "b":
            value = self.b.zext(value, target)
        if lanes > 1:
            pointer = self.b.bitcast(pointer, target.as_pointer())
        self.b.store(value, pointer, align=dtype.itemsize)

    def _put(self, number: int, value: Any, index: Any, lanes: int) -> None:
        store = self.spec.stores[number]
        dtype = self.spec.dtype(store.value)
        if store.combine:
            old = self._load(self.b.gep(self.store_base[number], [index]), dtype, lanes)
            value = emit(self.b, COMBINE[store.combine], [old, value], {}, Kind(dtype, lanes))
        self._write(self.store_base[number], index, value, dtype, lanes)


def _has_only_floats(spec: KernelSpec) -> bool:
    """Whether arrays are of floats throughout, and nothing divides integers."""
    full = spec.is_full()
    arrays = [load.dtype for load, is_full in zip(spec.loads, full, strict=False) if is_full]
    arrays += [spec.dtype(k) for k in temporaries(spec)]
    arrays += [spec.dtype(s.value) for s in spec.stores if full[s.value] or (s.bits and s.bits[-1])]
    inside = [x.dtype for x in spec.body]
    return all(d.kind == "f" for d in arrays) and all(d.kind in "fb" for d in inside)


def build_kernel(module: ir.Module, spec: KernelSpec, name: str, vector_bytes: int) -> None:
    """Add the function of a kernel to a module, for vectors of `vector_bytes` bytes."""
    full = spec.is_full()
    reduced = {k for k, x in enumerate(spec.body, start=len(spec.loads)) if x.reduces}
    widths = [
        spec.dtype(k).itemsize
        for k in range(len(spec.loads) + len(spec.body))
        if spec.dtype(k).kind != "b" and (full[k] or k in reduced)
    ]
    lanes = max(1, vector_bytes // max(widths, default=8)) if spec.rank else 1
    # Shorter vectors are those of processors without masks.
    _Builder(module, spec, name, lanes, masks=vector_bytes >= 32).build()
