"""What is done with a product's result while a part of it lies in the nearest cache: the loop nest
that reads it, computed tile by tile (`kernel.FinishSpec`).

A product (`product`) computes a *tile*, some rows and at most two vectors of columns, into memory
of its own, and calls the function of a finish, `void finish(i64* slots, i64* call)`, for it; the
words of `call` are `tables.FINISH`. It also calls it before the first tile, to begin sums, and
after the last, to write those of all elements. `words` holds, for each load and each store of the
nest, its slot, and then the length of a row of the whole result.

Values are computed as seldom as they vary: once a tile, once a row, once a column, or for each
element. Sums over all elements join a compensated sum in float64, tile after tile; sums over rows
are added up in the memory of their result. (A tile costs no more than writing the result; computing
in the registers of the product's kernel, before there is a tile, could save two moves of a vector,
at the price of a product's kernel for each nest. To fetch ahead what a tile reads saved nothing.)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.codegen import ir
from wengert.codegen.blocks import (
    F64,
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
from wengert.codegen.kernel import FinishSpec
from wengert.codegen.sums import COMBINE, IDENTITY, across
from wengert.codegen.tables import FINISH, FINISH_BEGIN, FINISH_END
from wengert.codegen.vector import Kind

__all__ = ["build_finish"]


class _Finish:
    def __init__(self, module: ir.Module, spec: FinishSpec, name: str, vector_bytes: int) -> None:
        nest = spec.nest
        self.nest, self.source = nest, spec.source
        self.dtype = nest.loads[spec.source].dtype
        self.lanes = max(2, vector_bytes // self.dtype.itemsize)
        #: For each value whether it varies from row to row, and from column to column.
        self.varies = [load.bits for load in nest.loads]
        for x in nest.body:
            self.varies.append(
                (
                    any(self.varies[k][0] for k in x.operands),
                    any(self.varies[k][1] for k in x.operands),
                )
            )
        #: (value, how it combines, number of the store): over all elements, and over rows.
        self.totals: list[tuple[int, str, int]] = []
        self.columns: list[tuple[int, str, int]] = []
        self.whole: list[tuple[int, int]] = []
        for number, store in enumerate(nest.stores):
            if all(store.bits):
                self.whole.append((store.value, number))
            elif store.bits[1]:
                self.columns.append((store.value, store.combine, number))
            else:
                reduction = nest.body[store.value - len(nest.loads)]
                self.totals.append((reduction.operands[0], store.combine, number))
        self.used = self._used()
        kind = ir.FunctionType(ir.VoidType(), [I64.as_pointer(), I64.as_pointer()])
        self.function = ir.Function(module, kind, name)
        self.slots, self.call = self.function.args
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))

    def _used(self) -> set[int]:
        n = len(self.nest.loads)
        found = {k for k, _ in self.whole}
        found |= {k for k, _, _ in (*self.totals, *self.columns)}
        for number in range(n + len(self.nest.body) - 1, n - 1, -1):
            if number in found:
                found.update(self.nest.body[number - n].operands)
        return found

    # ------------------------------------------------------------ the whole

    def build(self) -> None:
        b = self.b
        arg = {name: b.load(b.gep(self.call, [i64(at)])) for name, at in FINISH.items()}
        words = b.inttoptr(arg["words"], I64.as_pointer())
        listed = [load.dtype for load in self.nest.loads]
        listed += [self.nest.dtype(store.value) for store in self.nest.stores]
        pointers = []
        for k, dtype in enumerate(listed):
            pointer_type = memory_type(dtype).as_pointer()
            if k == self.source:
                pointers.append(b.inttoptr(arg["tile"], pointer_type))
                continue
            slot = b.load(b.gep(words, [i64(k)]))
            pointers.append(b.inttoptr(b.load(b.gep(self.slots, [slot])), pointer_type))
        self.loads, self.stores = pointers[: len(self.nest.loads)], pointers[len(self.nest.loads) :]
        self.row_length = b.load(b.gep(words, [i64(len(listed))]))
        self.state = b.inttoptr(arg["state"], F64.as_pointer())
        self.row, self.column = arg["row"], arg["column"]
        begins, ends = (
            b.icmp_signed("==", arg["what"], i64(what)) for what in (FINISH_BEGIN, FINISH_END)
        )
        with b.if_else(begins) as (yes, no):
            with yes:
                self._begin()
            with no, b.if_else(ends) as (yes, no):
                with yes:
                    self._end()
                with no:
                    self._tile(arg["rows"], arg["columns"])
        b.ret_void()

    def _begin(self) -> None:
        b = self.b
        for number, (_, how, _) in enumerate(self.totals):
            for at, value in ((2 * number, IDENTITY[how]), (2 * number + 1, 0.0)):
                b.store(ir.Constant(F64, value), b.gep(self.state, [i64(at)]))
        for _, how, number in self.columns:
            element = memory_type(self.nest.dtype(self.nest.stores[number].value))
            with loop(b, i64(0), self.row_length, i64(1)) as step:
                place = b.gep(self.stores[number], [step.index])
                b.store(ir.Constant(element, IDENTITY[how]), place)

    def _end(self) -> None:
        b = self.b
        for position, (_, how, number) in enumerate(self.totals):
            total, rest = (b.load(b.gep(self.state, [i64(2 * position + k)])) for k in range(2))
            if how == "sum":
                total = finished_sum(b, total, rest)
            element = memory_type(self.nest.dtype(self.nest.stores[number].value))
            b.store(total if element == F64 else b.fptrunc(total, element), self.stores[number])

    # ------------------------------------------------------------ a tile

    def _tile(self, rows: Any, columns: Any) -> None:
        b, lanes = self.b, self.lanes
        fixed: dict[int, Any] = {}
        self._compute((False, False), fixed, i64(0), i64(0), None)
        with b.if_else(b.icmp_signed("==", columns, i64(2 * lanes))) as (full, part):
            with full:
                self._vectors(rows, [i64(0), i64(lanes)], None, fixed)
            with part, loop(b, i64(0), columns, i64(lanes)) as step:
                mask = first_lanes(b, b.sub(columns, step.index), lanes)
                self._vectors(rows, [step.index], mask, fixed)

    def _vectors(self, rows: Any, offsets: list[Any], mask: Any, fixed: dict[int, Any]) -> None:
        """All rows of vectors of columns that begin at `offsets`."""
        b, lanes = self.b, self.lanes
        of_columns = [dict(fixed) for _ in offsets]
        for own, offset in zip(of_columns, offsets, strict=True):
            self._compute((False, True), own, i64(0), offset, mask)
        sums = [(k, how) for k, how, _ in (*self.totals, *self.columns)]
        first = [self._identity(k, how) for _ in offsets for k, how in sums]
        with loop(b, i64(0), rows, i64(1), first) as step:
            of_row: dict[int, Any] = dict(fixed)
            self._compute((True, False), of_row, step.index, i64(0), None)
            step.next = []
            for position, offset in enumerate(offsets):
                known = {**of_row, **of_columns[position]}
                self._compute((True, True), known, step.index, offset, mask)
                for k, number in self.whole:
                    place = self._place(self.stores[number], (True, True), step.index, offset)
                    self._write(place, self._wide(known, k), self.nest.dtype(k), mask)
                old = step.carried[position * len(sums) : (position + 1) * len(sums)]
                for (k, how), before in zip(sums, old, strict=True):
                    value = self._wide(known, k)
                    if mask is not None:
                        value = b.select(mask, value, self._identity(k, how))
                    step.next.append(self._combined(how, before, value, k, lanes))
        results = [step.results[p * len(sums) : (p + 1) * len(sums)] for p in range(len(offsets))]
        for position, (k, how, _) in enumerate(self.totals):
            vector = results[0][position]
            for other in results[1:]:
                vector = self._combined(how, vector, other[position], k, lanes)
            self._join(position, k, how, vector)
        for position, (k, how, number) in enumerate(self.columns, start=len(self.totals)):
            for offset, sums_there in zip(offsets, results, strict=True):
                dtype = self.nest.dtype(k)
                place = self._place(self.stores[number], (False, True), i64(0), offset)
                old = self._read(place, dtype, mask)
                self._write(
                    place, self._combined(how, old, sums_there[position], k, lanes), dtype, mask
                )

    def _join(self, position: int, k: int, how: str, vector: Any) -> None:
        """Add what the lanes of a vector hold to the sum of all elements."""
        b = self.b
        part = across(b, vector, how, Kind(self.nest.dtype(k), self.lanes))
        wide = part if part.type == F64 else b.fpext(part, F64)
        places = [b.gep(self.state, [i64(2 * position + j)]) for j in range(2)]
        total, rest = (b.load(place) for place in places)
        if how == "sum":
            total, rest = neumaier(b, total, rest, wide)
            b.store(rest, places[1])
        else:
            total = emit(b, COMBINE[how], [total, wide], {}, Kind(np.dtype("f8"), 1))
        b.store(total, places[0])

    # ------------------------------------------------------------ values

    def _identity(self, k: int, how: str) -> Any:
        element = memory_type(self.nest.dtype(k))
        return splat(self.b, ir.Constant(element, IDENTITY[how]), self.lanes)

    def _combined(self, how: str, a: Any, b: Any, k: int, lanes: int) -> Any:
        return emit(self.b, COMBINE[how], [a, b], {}, Kind(self.nest.dtype(k), lanes))

    def _wide(self, known: dict[int, Any], k: int) -> Any:
        return known[k] if self.varies[k][1] else splat(self.b, known[k], self.lanes)

    def _compute(
        self, varies: tuple[bool, bool], known: dict[int, Any], row: Any, column: Any, mask: Any
    ) -> None:
        """The values that are used and vary so, at a row and a column of the tile."""
        n = len(self.nest.loads)
        lanes = self.lanes if varies[1] else 1
        for k, own in enumerate(self.varies):
            if own != varies or k not in self.used:
                continue
            if k < n:
                dtype = self.nest.loads[k].dtype
                place = self._place(self.loads[k], own, row, column, in_tile=k == self.source)
                known[k] = self._read(place, dtype, mask, lanes)
                continue
            x = self.nest.body[k - n]
            args = [self._wide(known, o) if lanes > 1 else known[o] for o in x.operands]
            dtypes = [self.nest.dtype(o) for o in x.operands]
            kind = Kind(dtypes[-1] if x.name == "where" else dtypes[0], lanes)
            known[k] = emit(self.b, x.name, args, dict(x.params), kind)

    # ------------------------------------------------------------ memory

    def _place(
        self, base: Any, bits: tuple[bool, ...], row: Any, column: Any, in_tile: bool = False
    ) -> Any:
        b = self.b
        if in_tile:
            return b.gep(base, [b.add(b.mul(row, i64(2 * self.lanes)), column)])
        at: Any = i64(0)
        if bits[0]:
            stride = self.row_length if bits[1] else i64(1)
            at = b.mul(b.add(self.row, row), stride)
        if bits[1]:
            at = b.add(at, b.add(self.column, column))
        return b.gep(base, [at])

    def _read(self, place: Any, dtype: np.dtype[Any], mask: Any, lanes: int = 0) -> Any:
        b, element, lanes = self.b, memory_type(dtype), lanes or self.lanes
        if lanes > 1 and mask is not None:
            # One is in the domain of every function: the lanes beyond take no rare path.
            one = splat(b, ir.Constant(element, 1 if dtype.kind == "b" else 1.0), lanes)
            value = masked_load(b, place, mask, one, dtype.itemsize)
        else:
            if lanes > 1:
                place = b.bitcast(place, ir.VectorType(element, lanes).as_pointer())
            value = b.load(place, align=dtype.itemsize)
        if dtype.kind == "b":
            return b.icmp_unsigned("!=", value, ir.Constant(value.type, None))
        return value

    def _write(self, place: Any, value: Any, dtype: np.dtype[Any], mask: Any) -> None:
        b = self.b
        wide = ir.VectorType(memory_type(dtype), self.lanes)
        if dtype.kind == "b":
            value = b.zext(value, wide)
        if mask is not None:
            masked_store(b, value, place, mask, dtype.itemsize)
        else:
            b.store(value, b.bitcast(place, wide.as_pointer()), align=dtype.itemsize)


def build_finish(module: ir.Module, spec: FinishSpec, name: str, vector_bytes: int) -> None:
    """Add the function of a finish to a module, for vectors of `vector_bytes` bytes."""
    _Finish(module, spec, name, vector_bytes).build()
