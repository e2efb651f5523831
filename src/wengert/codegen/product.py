"""Matrix products: blocks of the result that stay in registers while they are summed.

The function of a product has a kernel's signature, `void product(i64* slots, i64* args)`, and
computes C = alpha A B, or C = D + alpha A B, for arrays of any size; its arguments are
`tables.PRODUCT`. Where sizes are small, a library spends much of its time beside the sums.

A *micro-kernel* computes a few rows and one or two vectors of columns of C: for each k it loads the
vectors of B, and multiplies them by an element of A for each row. So A is read element by element,
along any strides; B must have its columns side by side. A *panel* is as many columns of B as a
micro-kernel takes, and at most `PANEL_ROWS` of its rows. What does not lie so in memory (B
transposed, the last columns) is copied into a panel first.

Each element is summed in the order of k by fused multiply-adds: the error is bounded by k units in
the last place of the sum of the terms' magnitudes, as for a BLAS, and the result depends on nothing
but the operands.
"""

from __future__ import annotations

from typing import Any

from wengert.codegen import ir
from wengert.codegen.blocks import (
    I32,
    I64,
    first_lanes,
    i64,
    loop,
    masked_load,
    masked_store,
    memory_type,
    splat,
)
from wengert.codegen.kernel import ProductSpec
from wengert.codegen.tables import PANEL_ROWS, PRODUCT
from wengert.codegen.vector import Kind, intrinsic

__all__ = ["build_product"]

#: The side of a square that is transposed in registers: larger ones take LLVM long.
_SQUARE = 8

#: Rows of B that are more vectors apart than this fall on few lines of the cache: a copy pays, if
#: there are rows of A enough to use it.
_NEAR = 8


class _Product:
    def __init__(self, module: ir.Module, spec: ProductSpec, name: str, vector_bytes: int) -> None:
        self.module = module
        self.name = name
        self.dtype = spec.dtype
        self.element = memory_type(spec.dtype)
        self.pointer = self.element.as_pointer()
        self.lanes = max(2, vector_bytes // spec.dtype.itemsize)
        self.vector = ir.VectorType(self.element, self.lanes)
        # Of 32 registers 16 hold sums, of 16 there are 8: enough to hide the latency of each.
        self.rows = 8 if vector_bytes == 64 else 4

    # ------------------------------------------------------------ elements

    def _at(self, b: ir.IRBuilder, pointer: Any, index: Any) -> Any:
        return b.gep(pointer, [index])

    def _load(self, b: ir.IRBuilder, pointer: Any) -> Any:
        place = b.bitcast(pointer, self.vector.as_pointer())
        return b.load(place, align=self.dtype.itemsize)

    def _store(self, b: ir.IRBuilder, value: Any, pointer: Any) -> None:
        place = b.bitcast(pointer, value.type.as_pointer())
        b.store(value, place, align=self.dtype.itemsize)

    def _masked(self, b: ir.IRBuilder, pointer: Any, mask: Any) -> Any:
        otherwise = ir.Constant(ir.VectorType(self.element, mask.type.count), None)
        return masked_load(b, pointer, mask, otherwise, self.dtype.itemsize)

    # ------------------------------------------------------------ micro-kernels

    def _micro(self, rows: int, vectors: int) -> Any:
        """`void micro(a, a_row, a_col, b, b_row, k, c, c_row, d, d_row, alpha, last)`: `last` is
        how many columns the last vector has; `d` may be null."""
        p, lanes = self.pointer, self.lanes
        kind = ir.FunctionType(
            ir.VoidType(), [p, I64, I64, p, I64, I64, p, I64, p, I64, self.element, I64]
        )
        function = ir.Function(self.module, kind, f"{self.name}_{rows}_{vectors}")
        function.linkage = "internal"
        a, a_row, a_col, panel, b_row, k, c, c_row, d, d_row, alpha, last = function.args
        b = ir.IRBuilder(function.append_basic_block("entry"))
        fma = intrinsic(self.module, "fma", Kind(self.dtype, lanes), 3)
        row_starts = [self._at(b, a, b.mul(a_row, i64(r))) for r in range(rows)]
        zero = ir.Constant(self.vector, None)
        with loop(b, i64(0), k, i64(1), [i64(0), panel] + [zero] * (rows * vectors)) as step:
            offset, from_b, *sums = step.carried
            columns = [self._load(b, self._at(b, from_b, i64(v * lanes))) for v in range(vectors)]
            added = []
            for r in range(rows):
                factor = splat(b, b.load(self._at(b, row_starts[r], offset)), lanes)
                own = sums[r * vectors : (r + 1) * vectors]
                added += [b.call(fma, [factor, *pair]) for pair in zip(columns, own, strict=True)]
            step.next = [b.add(offset, a_col), self._at(b, from_b, b_row), *added]
        sums = step.results[2:]
        mask = first_lanes(b, last, self.lanes)
        factor = splat(b, alpha, lanes)
        with b.if_else(b.icmp_unsigned("!=", b.ptrtoint(d, I64), i64(0))) as (beside, alone):
            for branch, is_beside in ((beside, True), (alone, False)):
                with branch:
                    for r in range(rows):
                        for v in range(vectors):
                            at = i64(v * lanes)
                            value = sums[r * vectors + v]
                            if is_beside:
                                other = self._at(b, d, b.add(b.mul(d_row, i64(r)), at))
                                old = (
                                    self._masked(b, other, mask)
                                    if v == vectors - 1
                                    else self._load(b, other)
                                )
                                value = b.call(fma, [factor, value, old])
                            else:
                                value = b.fmul(factor, value)
                            place = self._at(b, c, b.add(b.mul(c_row, i64(r)), at))
                            if v == vectors - 1:
                                masked_store(b, value, place, mask, self.dtype.itemsize)
                            else:
                                self._store(b, value, place)
        b.ret_void()
        return function

    # ------------------------------------------------------------ panels

    def _copy_panel(self) -> Any:
        """`void copy(b, b_row, k, last, vectors, panel)`: columns that lie side by side."""
        p = self.pointer
        kind = ir.FunctionType(ir.VoidType(), [p, I64, I64, I64, I64, p])
        function = ir.Function(self.module, kind, f"{self.name}_copy")
        function.linkage = "internal"
        source, b_row, k, last, vectors, panel = function.args
        b = ir.IRBuilder(function.append_basic_block("entry"))
        mask = first_lanes(b, last, self.lanes)
        width = b.mul(vectors, i64(self.lanes))
        at_last = b.sub(width, i64(self.lanes))
        with loop(b, i64(0), k, i64(1)) as step:
            row = self._at(b, source, b.mul(step.index, b_row))
            target = self._at(b, panel, b.mul(step.index, width))
            with b.if_then(b.icmp_signed(">", vectors, i64(1))):
                self._store(b, self._load(b, row), target)
            value = self._masked(b, self._at(b, row, at_last), mask)
            self._store(b, value, self._at(b, target, at_last))
        b.ret_void()
        return function

    def _turn_panel(self) -> Any:
        """`void turn(b, b_col, k, columns, vectors, panel)`: B transposed, in squares.

        Columns beyond the last are copies of it, rows beyond the last zero.
        """
        p, lanes = self.pointer, min(self.lanes, _SQUARE)
        kind = ir.FunctionType(ir.VoidType(), [p, I64, I64, I64, I64, p])
        function = ir.Function(self.module, kind, f"{self.name}_turn")
        function.linkage = "internal"
        source, b_col, k, columns, vectors, panel = function.args
        b = ir.IRBuilder(function.append_basic_block("entry"))
        width = b.mul(vectors, i64(self.lanes))
        with (
            loop(b, i64(0), width, i64(lanes)) as across,
            loop(b, i64(0), k, i64(lanes)) as down,
        ):
            mask = first_lanes(b, b.sub(k, down.index), lanes)
            square = []
            for number in range(lanes):
                column = b.add(across.index, i64(number))
                final = b.sub(columns, i64(1))
                column = b.select(b.icmp_signed("<", column, final), column, final)
                at = b.add(b.mul(column, b_col), down.index)
                square.append(self._masked(b, self._at(b, source, at), mask))
            for number, value in enumerate(self._turned(b, square)):
                row = b.add(down.index, i64(number))
                at = b.add(b.mul(row, width), across.index)
                self._store(b, value, self._at(b, panel, at))
        b.ret_void()
        return function

    def _turned(self, b: ir.IRBuilder, square: list[Any]) -> list[Any]:
        """The transpose of a square: for each bit of the numbers of rows and lanes, pairs of rows
        exchange the lanes in which that bit differs from their own."""
        lanes, bit = len(square), 1
        while bit < lanes:
            low = [n + lanes - bit if n & bit else n for n in range(lanes)]
            high = [n + lanes if n & bit else n + bit for n in range(lanes)]
            made = list(square)
            for n in range(lanes):
                if not n & bit:
                    pair = square[n], square[n + bit]
                    for at, order in ((n, low), (n + bit, high)):
                        numbers = ir.Constant(ir.VectorType(I32, lanes), order)
                        made[at] = b.shuffle_vector(*pair, numbers)
            square, bit = made, 2 * bit
        return square

    # ------------------------------------------------------------ the whole

    def build(self) -> None:
        sizes = [r for r in (8, 4, 1) if r <= self.rows]
        self.micros = {(r, v): self._micro(r, v) for r in sizes for v in (1, 2)}
        self.micros[sizes[0], 2].is_hot = True
        self.copy, self.turn = self._copy_panel(), self._turn_panel()
        kind = ir.FunctionType(ir.VoidType(), [I64.as_pointer(), I64.as_pointer()])
        function = ir.Function(self.module, kind, self.name)
        slots, args = function.args
        b = ir.IRBuilder(function.append_basic_block("entry"))
        arg = {name: b.load(b.gep(args, [i64(at)])) for name, at in PRODUCT.items()}
        arg["panel"] = self._address(b, slots, arg["panel"])
        arg["factor"] = self._factor(b, slots, arg)
        starts = {x: self._at(b, self._address(b, slots, arg[x]), arg[f"{x}_at"]) for x in "abcd"}
        width = i64(2 * self.lanes)
        with (
            loop(b, i64(0), arg["repeats"], i64(1)) as again,
            loop(b, i64(0), arg["n"], width) as right,
        ):
            bases = {x: self._at(b, starts[x], b.mul(again.index, arg[f"{x}_step"])) for x in "abc"}
            moved = self._at(b, starts["d"], b.mul(again.index, arg["d_step"]))
            given = b.icmp_signed(">=", arg["d"], i64(0))
            bases["d"] = b.select(given, moved, ir.Constant(self.pointer, None))
            left = b.sub(arg["n"], right.index)
            columns = b.select(b.icmp_signed("<", left, width), left, width)
            with loop(b, i64(0), arg["k"], i64(PANEL_ROWS)) as deep:
                self._panel(b, arg, bases, right.index, columns, deep.index)
        b.ret_void()

    def _address(self, b: ir.IRBuilder, slots: Any, slot: Any) -> Any:
        """What a slot holds; of no slot, which is -1, anything that is there."""
        slot = b.select(b.icmp_signed("<", slot, i64(0)), i64(0), slot)
        return b.inttoptr(b.load(b.gep(slots, [slot])), self.pointer)

    def _factor(self, b: ir.IRBuilder, slots: Any, arg: Any) -> Any:
        one = ir.Constant(self.element, 1.0)
        place = b.alloca(self.element)
        b.store(one, place)
        given = b.icmp_signed(">=", arg["alpha"], i64(0))
        value = b.load(b.select(given, self._address(b, slots, arg["alpha"]), place))
        return b.select(b.icmp_signed("!=", arg["negate"], i64(0)), b.fneg(value), value)

    def _panel(
        self, b: ir.IRBuilder, arg: Any, bases: Any, right: Any, columns: Any, deep: Any
    ) -> None:
        """All rows of C, for the columns from `right` and the rows of B from `deep` on."""
        lanes = i64(self.lanes)
        rest = b.sub(arg["k"], deep)
        depth = b.select(b.icmp_signed("<", rest, i64(PANEL_ROWS)), rest, i64(PANEL_ROWS))
        wide = b.icmp_signed(">", columns, lanes)
        last = b.select(wide, b.sub(columns, lanes), columns)
        vectors = b.select(wide, i64(2), i64(1))
        source = self._at(
            b, bases["b"], b.add(b.mul(deep, arg["b_row"]), b.mul(right, arg["b_col"]))
        )
        width = b.mul(vectors, lanes)
        in_rows = b.icmp_signed("==", arg["b_col"], i64(1))
        near = b.or_(
            b.icmp_signed("<=", arg["b_row"], i64(_NEAR * self.lanes)),
            b.icmp_signed("<=", arg["m"], i64(2 * self.rows)),
        )
        as_it_lies = b.and_(b.and_(in_rows, near), b.icmp_signed("==", columns, width))
        with b.if_then(b.not_(as_it_lies)), b.if_else(in_rows) as (copied, turned):
            with copied:
                b.call(self.copy, [source, arg["b_row"], depth, last, vectors, arg["panel"]])
            with turned:
                b.call(self.turn, [source, arg["b_col"], depth, columns, vectors, arg["panel"]])
        first = b.icmp_signed("==", deep, i64(0))
        values = {
            "b": b.select(as_it_lies, source, arg["panel"]),
            "b_row": b.select(as_it_lies, arg["b_row"], width),
            # What further rows of B give is added to what is there.
            "d": b.select(first, bases["d"], bases["c"]),
            "d_row": b.select(first, arg["d_row"], arg["c_row"]),
        }
        is_null = b.icmp_unsigned("==", b.ptrtoint(values["d"], I64), i64(0))
        start: Any = i64(0)
        for rows in sorted({r for r, _ in self.micros}, reverse=True):
            stop = b.and_(arg["m"], i64(-rows))
            with loop(b, start, stop, i64(rows)) as down:
                at_a = b.add(b.mul(down.index, arg["a_row"]), b.mul(deep, arg["a_col"]))
                at_c = b.add(b.mul(down.index, arg["c_row"]), right)
                at_d = b.add(b.mul(down.index, values["d_row"]), right)
                operands = [
                    self._at(b, bases["a"], at_a),
                    arg["a_row"],
                    arg["a_col"],
                    values["b"],
                    values["b_row"],
                    depth,
                    self._at(b, bases["c"], at_c),
                    arg["c_row"],
                    self._at(b, values["d"], b.select(is_null, i64(0), at_d)),
                    values["d_row"],
                    arg["factor"],
                    last,
                ]
                b.call(b.select(wide, self.micros[rows, 2], self.micros[rows, 1]), operands)
            start = stop


def build_product(module: ir.Module, spec: ProductSpec, name: str, vector_bytes: int) -> None:
    """Add the function of a product to a module, for vectors of `vector_bytes` bytes."""
    _Product(module, spec, name, vector_bytes).build()
