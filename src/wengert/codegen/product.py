"""Matrix products: blocks of the result that stay in registers while they are summed.

The function of a product has a kernel's signature, `void product(i64* slots, i64* args)`, and
computes C = alpha A B, or C = D + alpha A B, for arrays of any size; its arguments are
`tables.PRODUCT`. Where sizes are small, a library spends much of its time beside the sums.

A *micro-kernel* computes a few rows and one or two vectors of columns of C: for each k it loads the
vectors of B, and multiplies them by an element of A for each row. So A is read element by element,
along any strides; B must have its columns side by side. A *panel* is as many columns of B as a
micro-kernel takes, and at most `PANEL_ROWS` of its rows. What does not lie so in memory (B
transposed, the last columns) is copied into a panel first.

A product may have a *finish* (`finish`), the loop nest that reads its result: then some rows of a
panel's columns, a *tile*, are summed into memory that stays in the nearest cache, and the nest is
computed on it. The result is written only as far as B has more rows than a panel: sums to go on
from.

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
from wengert.codegen.tables import (
    CALL_AT,
    FINISH,
    FINISH_BEGIN,
    FINISH_END,
    PANEL_ROWS,
    PRODUCT,
    TILE_AT,
    TILE_ROWS,
)
from wengert.codegen.vector import Kind, intrinsic

__all__ = ["build_product"]

#: The side of a square that is transposed in registers: larger ones take LLVM long.
_SQUARE = 8

#: Rows of B that are more vectors apart than this fall on few lines of the cache: a copy pays, if
#: there are rows of A enough to use it.
_NEAR = 8


class _Product:
    """`brief` products have a full micro-kernel for whole blocks only: others call that of one row
    for each, so that LLVM has half as much to do."""

    def __init__(
        self, module: ir.Module, spec: ProductSpec, name: str, vector_bytes: int, brief: bool
    ) -> None:
        self.module = module
        self.brief = brief
        self.name = name
        self.dtype = spec.dtype
        self.element = memory_type(spec.dtype)
        self.pointer = self.element.as_pointer()
        self.lanes = max(2, vector_bytes // spec.dtype.itemsize)
        self.vector = ir.VectorType(self.element, self.lanes)
        # Of 32 registers 16 hold sums, of 16 there are 8: enough to hide the latency of each.
        self.rows = 8 if vector_bytes == 64 else 4
        #: The lanes for a few last columns: half a long vector can cost half its time.
        self.narrow = self.lanes // 2 if vector_bytes == 64 else self.lanes

    # ------------------------------------------------------------ elements

    def _at(self, b: ir.IRBuilder, pointer: Any, index: Any) -> Any:
        return b.gep(pointer, [index])

    def _load(self, b: ir.IRBuilder, pointer: Any, kind: Any = None) -> Any:
        place = b.bitcast(pointer, (kind or self.vector).as_pointer())
        return b.load(place, align=self.dtype.itemsize)

    def _store(self, b: ir.IRBuilder, value: Any, pointer: Any) -> None:
        place = b.bitcast(pointer, value.type.as_pointer())
        b.store(value, place, align=self.dtype.itemsize)

    def _masked(self, b: ir.IRBuilder, pointer: Any, mask: Any) -> Any:
        otherwise = ir.Constant(ir.VectorType(self.element, mask.type.count), None)
        return masked_load(b, pointer, mask, otherwise, self.dtype.itemsize)

    # ------------------------------------------------------------ micro-kernels

    def _micro(self, rows: int, vectors: int, lanes: int) -> Any:
        """`void micro(a, a_row, a_col, b, b_row, k, c, c_row, d, d_row, alpha, last)`: `last` is
        how many columns the last vector has; `d` may be null."""
        vector = ir.VectorType(self.element, lanes)
        function = self._micro_function(rows, vectors, lanes)
        a, a_row, a_col, panel, b_row, k, c, c_row, d, d_row, alpha, last = function.args
        b = ir.IRBuilder(function.append_basic_block("entry"))
        fma = intrinsic(self.module, "fma", Kind(self.dtype, lanes), 3)
        row_starts = [self._at(b, a, b.mul(a_row, i64(r))) for r in range(rows)]
        zero = ir.Constant(vector, None)
        with loop(b, i64(0), k, i64(1), [i64(0), panel] + [zero] * (rows * vectors)) as step:
            offset, from_b, *sums = step.carried
            places = [self._at(b, from_b, i64(v * lanes)) for v in range(vectors)]
            columns = [self._load(b, place, vector) for place in places]
            added = []
            for r in range(rows):
                factor = splat(b, b.load(self._at(b, row_starts[r], offset)), lanes)
                own = sums[r * vectors : (r + 1) * vectors]
                added += [b.call(fma, [factor, *pair]) for pair in zip(columns, own, strict=True)]
            step.next = [b.add(offset, a_col), self._at(b, from_b, b_row), *added]
        sums = step.results[2:]
        mask = first_lanes(b, last, lanes)
        factor = splat(b, alpha, lanes)
        spots = [(r, v) for r in range(rows) for v in range(vectors)]
        given = b.icmp_unsigned("!=", b.ptrtoint(d, I64), i64(0))
        made, blocks = [], []
        with b.if_else(given) as (beside, alone):
            with beside:
                values = []
                for (r, v), value in zip(spots, sums, strict=True):
                    place = self._at(b, d, b.add(b.mul(d_row, i64(r)), i64(v * lanes)))
                    is_last = v == vectors - 1
                    old = self._masked(b, place, mask) if is_last else self._load(b, place, vector)
                    values.append(b.call(fma, [factor, value, old]))
                made.append(values)
                blocks.append(b.block)
            with alone:
                made.append([b.fmul(factor, value) for value in sums])
                blocks.append(b.block)
        final = []
        for (r, v), *pair in zip(spots, *made, strict=True):
            final.append((r, v, value := b.phi(vector)))
            for one, block in zip(pair, blocks, strict=True):
                value.add_incoming(one, block)

        def place_of(r: int, v: int) -> Any:
            return self._at(b, c, b.add(b.mul(c_row, i64(r)), i64(v * lanes)))

        for r, v, value in final:
            if v < vectors - 1:
                self._store(b, value, place_of(r, v))
        # What is read again at once waits long for a store under a mask.
        with b.if_else(b.icmp_signed(">=", last, i64(lanes))) as (full, part):
            for branch, is_whole in ((full, True), (part, False)):
                with branch:
                    for r, v, value in final[vectors - 1 :: vectors]:
                        if is_whole:
                            self._store(b, value, place_of(r, v))
                        else:
                            masked_store(b, value, place_of(r, v), mask, self.dtype.itemsize)
        b.ret_void()
        return function

    def _micro_function(self, rows: int, vectors: int, lanes: int) -> Any:
        p = self.pointer
        kind = ir.FunctionType(
            ir.VoidType(), [p, I64, I64, p, I64, I64, p, I64, p, I64, self.element, I64]
        )
        function = ir.Function(self.module, kind, f"{self.name}_{rows}_{vectors}x{lanes}")
        function.linkage = "internal"
        return function

    def _row_by_row(self, rows: int, vectors: int, lanes: int, one: Any) -> Any:
        """A micro-kernel that calls that of one row: each element is summed in the same order."""
        function = self._micro_function(rows, vectors, lanes)
        a, a_row, a_col, panel, b_row, k, c, c_row, d, d_row, alpha, last = function.args
        b = ir.IRBuilder(function.append_basic_block("entry"))
        with loop(b, i64(0), i64(rows), i64(1)) as step:
            at_a, at_c, at_d = (b.mul(step.index, x) for x in (a_row, c_row, d_row))
            own_d = self._at(b, d, self._unless_null(b, d, at_d))
            own_a, own_c = self._at(b, a, at_a), self._at(b, c, at_c)
            b.call(
                one,
                [own_a, a_row, a_col, panel, b_row, k, own_c, c_row, own_d, d_row, alpha, last],
            )
        b.ret_void()
        return function

    def _micros(self, lanes: int, vectors: int, sizes: list[int]) -> dict[int, Any]:
        """The micro-kernels of some numbers of rows."""
        made: dict[int, Any] = {}
        for rows in sorted(sizes):
            is_hot = vectors == 2 and rows == sizes[0]
            if self.brief and rows > 1 and not is_hot:
                made[rows] = self._row_by_row(rows, vectors, lanes, made[1])
            else:
                made[rows] = self._micro(rows, vectors, lanes)
            made[rows].is_hot = is_hot
        return made

    # ------------------------------------------------------------ panels

    def _copy_panel(self) -> Any:
        """`void copy(b, b_row, k, last, width, panel)`: columns that lie side by side."""
        p = self.pointer
        kind = ir.FunctionType(ir.VoidType(), [p, I64, I64, I64, I64, p])
        function = ir.Function(self.module, kind, f"{self.name}_copy")
        function.linkage = "internal"
        source, b_row, k, last, width, panel = function.args
        b = ir.IRBuilder(function.append_basic_block("entry"))
        mask = first_lanes(b, last, self.lanes)
        # Of rows of half a vector each is written over the end of the one before.
        wide = b.icmp_signed(">", width, i64(self.lanes))
        at_last = b.select(wide, i64(self.lanes), i64(0))
        with loop(b, i64(0), k, i64(1)) as step:
            row = self._at(b, source, b.mul(step.index, b_row))
            target = self._at(b, panel, b.mul(step.index, width))
            with b.if_then(wide):
                self._store(b, self._load(b, row), target)
            value = self._masked(b, self._at(b, row, at_last), mask)
            self._store(b, value, self._at(b, target, at_last))
        b.ret_void()
        return function

    def _turn_panel(self) -> Any:
        """`void turn(b, b_col, k, columns, width, panel)`: B transposed, in squares.

        Columns beyond the last are copies of it, rows beyond the last zero.
        """
        p, lanes = self.pointer, min(self.lanes, _SQUARE)
        kind = ir.FunctionType(ir.VoidType(), [p, I64, I64, I64, I64, p])
        function = ir.Function(self.module, kind, f"{self.name}_turn")
        function.linkage = "internal"
        source, b_col, k, columns, width, panel = function.args
        b = ir.IRBuilder(function.append_basic_block("entry"))
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
        lanes = self.lanes
        narrow, two = self._micros(self.narrow, 1, sizes), self._micros(lanes, 2, sizes)
        one = self._micros(lanes, 1, sizes) if lanes > self.narrow else {}
        self.micros = {r: (narrow[r], one.get(r), two[r]) for r in sizes}
        self.copy, self.turn = self._copy_panel(), self._turn_panel()
        self.kind = ir.FunctionType(ir.VoidType(), [I64.as_pointer(), I64.as_pointer()])
        function = ir.Function(self.module, self.kind, self.name)
        slots, args = function.args
        b = ir.IRBuilder(function.append_basic_block("entry"))
        arg = {name: b.load(b.gep(args, [i64(at)])) for name, at in PRODUCT.items()}
        arg["slots"] = slots
        panel = b.load(b.gep(slots, [arg["panel"]]))
        arg["panel"], arg["tile"] = (
            b.inttoptr(b.add(panel, i64(at)), self.pointer) for at in (0, TILE_AT)
        )
        arg["call"] = b.add(panel, i64(CALL_AT))
        arg["finishes"] = b.icmp_signed("!=", arg["finish"], i64(0))
        arg["factor"] = self._factor(b, slots, arg)
        with b.if_then(arg["finishes"]):
            words = b.add(b.ptrtoint(args, I64), i64(8 * len(PRODUCT)))
            state = b.add(arg["call"], i64(8 * len(FINISH)))
            where = {"tile": b.ptrtoint(arg["tile"], I64), "words": words, "state": state}
            self._finish(b, arg, {"what": i64(FINISH_BEGIN), **where})
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
        with b.if_then(arg["finishes"]):
            self._finish(b, arg, {"what": i64(FINISH_END)})
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
        lanes, narrow = i64(self.lanes), i64(self.narrow)
        rest = b.sub(arg["k"], deep)
        depth = b.select(b.icmp_signed("<", rest, i64(PANEL_ROWS)), rest, i64(PANEL_ROWS))
        wide = b.icmp_signed(">", columns, lanes)
        few = b.icmp_signed("<=", columns, narrow)
        last = b.select(wide, b.sub(columns, lanes), columns)
        width = b.select(wide, i64(2 * self.lanes), b.select(few, narrow, lanes))
        source = self._at(
            b, bases["b"], b.add(b.mul(deep, arg["b_row"]), b.mul(right, arg["b_col"]))
        )
        in_rows = b.icmp_signed("==", arg["b_col"], i64(1))
        near = b.or_(
            b.icmp_signed("<=", arg["b_row"], i64(_NEAR * self.lanes)),
            b.icmp_signed("<=", arg["m"], i64(2 * self.rows)),
        )
        as_it_lies = b.and_(b.and_(in_rows, near), b.icmp_signed("==", columns, width))
        with b.if_then(b.not_(as_it_lies)), b.if_else(in_rows) as (copied, turned):
            with copied:
                b.call(self.copy, [source, arg["b_row"], depth, last, width, arg["panel"]])
            with turned:
                b.call(self.turn, [source, arg["b_col"], depth, columns, width, arg["panel"]])
        first = b.icmp_signed("==", deep, i64(0))
        finishes = b.and_(arg["finishes"], b.icmp_signed("<=", rest, i64(PANEL_ROWS)))
        values = {
            "b": b.select(as_it_lies, source, arg["panel"]),
            "b_row": b.select(as_it_lies, arg["b_row"], width),
            # What further rows of B give is added to what is there.
            "d": b.select(first, bases["d"], bases["c"]),
            "d_row": b.select(first, arg["d_row"], arg["c_row"]),
            "depth": depth,
            "deep": deep,
            "last": last,
            "right": right,
            "c": b.select(finishes, arg["tile"], self._at(b, bases["c"], right)),
            "c_row": b.select(finishes, i64(2 * self.lanes), arg["c_row"]),
        }
        values["d"] = self._at(b, values["d"], self._unless_null(b, values["d"], right))
        which = (few, wide)
        with loop(b, i64(0), arg["m"], b.select(finishes, i64(TILE_ROWS), arg["m"])) as block:
            beyond = b.add(block.index, i64(TILE_ROWS))
            within = b.and_(finishes, b.icmp_signed("<", beyond, arg["m"]))
            below = b.select(within, beyond, arg["m"])
            tile = {
                "row": b.add(arg["row"], block.index),
                "rows": b.sub(below, block.index),
                "column": right,
                "columns": columns,
            }
            self._rows(b, arg, bases["a"], values, which, block.index, below, finishes)
            with b.if_then(finishes):
                self._finish(b, arg, {"what": i64(0), **tile})

    def _rows(
        self,
        b: ir.IRBuilder,
        arg: Any,
        a: Any,
        values: Any,
        which: Any,
        begin: Any,
        end: Any,
        finishes: Any,
    ) -> None:
        """Rows of C from `begin` on, by the micro-kernels of the largest sizes that fit."""
        few, wide = which
        start: Any = begin
        for rows, (narrow, one, two) in sorted(self.micros.items(), reverse=True):
            stop = b.add(begin, b.and_(b.sub(end, begin), i64(-rows)))
            with loop(b, start, stop, i64(rows)) as down:
                at_a = b.add(b.mul(down.index, arg["a_row"]), b.mul(values["deep"], arg["a_col"]))
                row = b.select(finishes, b.sub(down.index, begin), down.index)
                at_d = b.mul(down.index, values["d_row"])
                operands = [
                    self._at(b, a, at_a),
                    arg["a_row"],
                    arg["a_col"],
                    values["b"],
                    values["b_row"],
                    values["depth"],
                    self._at(b, values["c"], b.mul(row, values["c_row"])),
                    values["c_row"],
                    self._at(b, values["d"], self._unless_null(b, values["d"], at_d)),
                    values["d_row"],
                    arg["factor"],
                    values["last"],
                ]
                single = narrow if one is None else b.select(few, narrow, one)
                b.call(b.select(wide, two, single), operands)
            start = stop

    def _unless_null(self, b: ir.IRBuilder, pointer: Any, offset: Any) -> Any:
        is_null = b.icmp_unsigned("==", b.ptrtoint(pointer, I64), i64(0))
        return b.select(is_null, i64(0), offset)

    def _finish(self, b: ir.IRBuilder, arg: Any, words: dict[str, Any]) -> None:
        """Call what is done with the result."""
        call = b.inttoptr(arg["call"], I64.as_pointer())
        for name, value in words.items():
            b.store(value, b.gep(call, [i64(FINISH[name])]))
        b.call(b.inttoptr(arg["finish"], self.kind.as_pointer()), [arg["slots"], call])


def build_product(
    module: ir.Module, spec: ProductSpec, name: str, vector_bytes: int, *, brief: bool = False
) -> None:
    """Add the function of a product to a module, for vectors of `vector_bytes` bytes. A `brief` one
    computes the same, to the bit, and takes LLVM half as long."""
    _Product(module, spec, name, vector_bytes, brief).build()
