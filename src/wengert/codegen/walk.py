"""Walks: loop nests that move numbers along strides, and plain contractions.

Where `loops` computes on whole arrays in step, a walk visits a space of indices and reads and
writes at addresses that are linear in them: transposes, slices, joins, gathers, scatters, scans,
and products without BLAS. The function of a walk has a kernel's signature,
`void walk(i64* slots, i64* args)`; `args` holds, in this order: the slots of the target, the
sources and the index arrays; the offset of the target and of each source; the sizes; the strides of
the target, of each source and of each index array, each one per axis; for each index array the
length of the axis that it points along, and that axis's stride.

An index is counted from the end if it is negative, and is moved into range: a walk never leaves an
array, whatever the indices are.
"""

from __future__ import annotations

from typing import Any

from wengert.codegen import ir
from wengert.codegen.blocks import I64, i64, loop, memory_type, splat
from wengert.codegen.kernel import WalkSpec

__all__ = ["build_walk"]


#: Elements along the side of a tile: a line of the cache, of the smaller dtypes.
TILE = 16


class _Walk:
    def __init__(self, module: ir.Module, spec: WalkSpec, name: str, lanes: int) -> None:
        kind = ir.FunctionType(ir.VoidType(), [I64.as_pointer(), I64.as_pointer()])
        self.function = ir.Function(module, kind, name)
        self.slots, self.args = self.function.args
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.spec = spec
        self.lanes = lanes
        self.element = memory_type(spec.dtype)
        self.at = 0
        self.arrays = 1 + spec.sources  # the target comes first
        count = len(spec.indices)
        dtypes = [spec.dtype] * self.arrays + list(spec.indices)
        self.bases = [self._pointer(dtype) for dtype in dtypes]
        self.offsets = [self._next() for _ in range(self.arrays)]
        self.sizes = [self._next() for _ in range(spec.rank)]
        self.strides = [[self._next() for _ in range(spec.rank)] for _ in dtypes]
        self.lengths = [self._next() for _ in range(count)]
        self.along = [self._next() for _ in range(count)]

    def _next(self) -> Any:
        value = self.b.load(self.b.gep(self.args, [i64(self.at)]))
        self.at += 1
        return value

    def _pointer(self, dtype: Any) -> Any:
        address = self.b.load(self.b.gep(self.slots, [self._next()]))
        return self.b.inttoptr(address, memory_type(dtype).as_pointer())

    def build(self) -> None:
        start = self.offsets + [i64(0)] * len(self.spec.indices)
        self._nest(0, start, self._row if self.spec.kind != "dot" else self._products)
        self.b.ret_void()

    def _nest(self, axis: int, at: list[Any], inner: Any) -> None:
        last = self.spec.rank - self.spec.summed
        last -= 1 if self.spec.unit else 0
        if self.spec.tiled and axis == last - 2:
            self._tiles(axis, at, inner)
            return
        if axis >= last:
            inner(at)
            return
        with loop(self.b, i64(0), self.sizes[axis], i64(1)) as step:
            self._nest(axis + 1, self._moved(at, axis, step.index), inner)

    def _tiles(self, axis: int, at: list[Any], inner: Any) -> None:
        b, (rows, columns) = self.b, self.sizes[axis : axis + 2]

        def stop(start: Any, size: Any) -> Any:
            beyond = b.add(start, i64(TILE))
            return b.select(b.icmp_signed("<", beyond, size), beyond, size)

        with (
            loop(b, i64(0), rows, i64(TILE)) as top,
            loop(b, i64(0), columns, i64(TILE)) as left,
            loop(b, top.index, stop(top.index, rows), i64(1)) as i,
        ):
            row = self._moved(at, axis, i.index)
            with loop(b, left.index, stop(left.index, columns), i64(1)) as j:
                inner(self._moved(row, axis + 1, j.index))

    def _moved(self, at: list[Any], axis: int, index: Any) -> list[Any]:
        b = self.b
        return [b.add(a, b.mul(index, s[axis])) for a, s in zip(at, self.strides, strict=True)]

    # ------------------------------------------------------------ moves

    def _row(self, at: list[Any]) -> None:
        if not self.spec.unit:
            self._one(at, 1)
            return
        b, lanes = self.b, self.lanes
        n = self.sizes[-1]
        whole = b.and_(n, i64(-lanes))
        axis = self.spec.rank - 1
        with loop(b, i64(0), whole, i64(lanes)) as step:
            self._one(self._moved(at, axis, step.index), lanes)
        with loop(b, whole, n, i64(1)) as step:
            self._one(self._moved(at, axis, step.index), 1)

    def _one(self, at: list[Any], lanes: int) -> None:
        spec = self.spec
        shift = self._indexed(at)
        target = self.b.add(at[0], shift) if spec.into_target else at[0]
        if spec.kind == "zero":
            zero = ir.Constant(self.element, 0)
            self._store(0, target, splat(self.b, zero, lanes), lanes)
            return
        source = at[1] if spec.into_target else self.b.add(at[1], shift)
        value = self._load(1, source, lanes)
        if spec.kind == "add":
            value = self._sum(self._load(0, target, lanes), value)
        elif spec.kind == "plus":
            value = self._sum(value, self._load(2, at[2], lanes))
        self._store(0, target, value, lanes)

    def _indexed(self, at: list[Any]) -> Any:
        b = self.b
        total: Any = i64(0)
        for k, dtype in enumerate(self.spec.indices):
            index = self._load(self.arrays + k, at[self.arrays + k], 1)
            if dtype.itemsize < 8:
                index = b.sext(index, I64) if dtype.kind == "i" else b.zext(index, I64)
            length = self.lengths[k]
            index = b.select(b.icmp_signed("<", index, i64(0)), b.add(index, length), index)
            index = b.select(b.icmp_signed("<", index, i64(0)), i64(0), index)
            top = b.sub(length, i64(1))
            index = b.select(b.icmp_signed(">", index, top), top, index)
            total = b.add(total, b.mul(index, self.along[k]))
        return total

    # ------------------------------------------------------------ products

    def _products(self, at: list[Any]) -> None:
        if not self.spec.unit:
            self._product(at, 1)
            return
        b, lanes = self.b, self.lanes
        axis = self.spec.rank - self.spec.summed - 1
        n = self.sizes[axis]
        whole = b.and_(n, i64(-lanes))
        with loop(b, i64(0), whole, i64(lanes)) as step:
            self._product(self._moved(at, axis, step.index), lanes)
        with loop(b, whole, n, i64(1)) as step:
            self._product(self._moved(at, axis, step.index), 1)

    def _product(self, at: list[Any], lanes: int) -> None:
        zero = splat(self.b, ir.Constant(self.element, 0), lanes)
        total = self._sums(self.spec.rank - self.spec.summed, at, zero, lanes)
        self._store(0, at[0], total, lanes)

    def _sums(self, axis: int, at: list[Any], total: Any, lanes: int) -> Any:
        if axis == self.spec.rank:
            left = (
                splat(self.b, self._load(1, at[1], 1), lanes)
                if self.spec.unit
                else (self._load(1, at[1], lanes))
            )
            right = self._load(2, at[2], lanes)
            is_float = self.spec.dtype.kind == "f"
            product = (self.b.fmul if is_float else self.b.mul)(left, right)
            return self._sum(total, product)
        with loop(self.b, i64(0), self.sizes[axis], i64(1), [total]) as step:
            moved = self._moved(at, axis, step.index)
            step.next = [self._sums(axis + 1, moved, step.carried[0], lanes)]
        return step.results[0]

    # ------------------------------------------------------------ elements

    def _sum(self, a: Any, b: Any) -> Any:
        return (self.b.fadd if self.spec.dtype.kind == "f" else self.b.add)(a, b)

    def _place(self, array: int, at: Any, lanes: int) -> tuple[Any, int]:
        dtype = self.spec.dtype if array < self.arrays else self.spec.indices[array - self.arrays]
        pointer = self.b.gep(self.bases[array], [at])
        if lanes > 1:
            pointer = self.b.bitcast(pointer, ir.VectorType(self.element, lanes).as_pointer())
        return pointer, dtype.itemsize

    def _load(self, array: int, at: Any, lanes: int) -> Any:
        pointer, align = self._place(array, at, lanes)
        return self.b.load(pointer, align=align)

    def _store(self, array: int, at: Any, value: Any, lanes: int) -> None:
        pointer, align = self._place(array, at, lanes)
        self.b.store(value, pointer, align=align)


def build_walk(module: ir.Module, spec: WalkSpec, name: str, vector_bytes: int) -> None:
    """Add the function of a walk to a module, for vectors of `vector_bytes` bytes."""
    _Walk(module, spec, name, max(1, vector_bytes // spec.dtype.itemsize)).build()
