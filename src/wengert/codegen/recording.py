"""Recording in native code: the number slots of `Variable`, built as LLVM IR.

An operation on variables appends an entry to their tape and makes a new variable. The functions
here do that for operands that need no conversion: they find the type of the result in a table of
what Python recorded before. Whatever they don't recognise they give to a Python function, the
*miss*, so that the meaning of every operation stands in Python alone (`capture.variable`).

The word `wengert_recording` of `state` says where the words are that `recording_tables` describes.

An entry that equals the one at its place in `tape.expected` is not made anew but shared. Facts
about CPython's objects: see `pycall`; besides, the value of a float stands at byte 16, the address
of the items of a list at 24.
"""

from __future__ import annotations

from typing import Any

from wengert.codegen import ir
from wengert.codegen.pycall import I32, I64, Words, constant
from wengert.codegen.recording_tables import BINARY, ROW, SETUP, SPREAD, TAPE, VARIABLE

__all__ = ["build_recording"]

_TYPE = 1  # the word of every object that holds its type
_SIZE = 2  # of a list or tuple
_ITEMS = 3  # of a tuple; of a list: the address of its items


def build_recording(module: ir.Module) -> list[str]:
    """Add the functions to a module; return the names of those that Python needs."""
    place = ir.GlobalVariable(module, I64, "wengert_recording")
    shared = _Shared(module, place)
    binary = [shared.binary(name) for name in BINARY]
    return [*binary, shared.negative(), shared.ufunc()]


class _Code(Words):
    """Emits code that reads the set-up."""

    def __init__(self, function: ir.Function, place: Any) -> None:
        super().__init__(function)
        self.setup = self.b.load(place)

    def word(self, name: str) -> Any:
        return self.load(self.setup, SETUP[name])

    def py(self, name: str, *args: Any, result: Any = I64) -> Any:
        return self.call(self.word(name), *args, result=result)

    def hold(self, value: Any) -> Any:
        """A reference more."""
        self.py("Py_IncRef", value, result=ir.VoidType())
        return value

    def drop(self, value: Any) -> None:
        """A reference less."""
        self.py("Py_DecRef", value, result=ir.VoidType())

    def is_variable(self, value: Any) -> Any:
        return self.same(self.load(value, _TYPE), self.word("variable"))

    def item(self, items: Any, k: Any) -> Any:
        return self.load(self.load(items, _ITEMS), k)


class _Shared:
    """The functions that the slots share, and the slots."""

    def __init__(self, module: ir.Module, place: Any) -> None:
        self.module = module
        self.place = place
        self.find = self._function("record_find", 3, self._find)
        self.equal = self._function("record_equal", 2, self._equal)
        self.entry = self._function("record_entry", 5, self._entry)
        self.append = self._function("record_append", 5, self._append)
        self.number = self._function("record_number", 3, self._number)

    def _function(self, name: str, arguments: int, build: Any, linkage: str = "internal") -> Any:
        function = ir.Function(self.module, ir.FunctionType(I64, [I64] * arguments), name)
        function.linkage = linkage
        build(_Code(function, self.place), *function.args)
        return function

    # ---------------------------------------------------------------- parts

    def _find(self, w: _Code, first: Any, second: Any, third: Any) -> None:
        """The row of these keys, or 0."""
        b = w.b
        mixed = b.xor(first, b.xor(b.mul(second, constant(3)), b.mul(third, constant(7))))
        number = b.lshr(b.mul(mixed, constant(SPREAD)), constant(52))
        row = b.add(w.word("table"), b.mul(number, constant(8 * len(ROW))))
        same = constant(1)
        for name, key in (("first", first), ("second", second), ("third", third)):
            found = b.zext(w.same(w.load(row, ROW[name]), key), I64)
            same = b.and_(same, found)
        b.ret(b.mul(row, same))

    def _equal(self, w: _Code, a: Any, other: Any) -> None:
        """Whether two value numbers, as Python objects, are equal."""
        b = w.b
        with b.if_then(w.same(a, other)):
            b.ret(constant(1))
        left, right = (w.py("PyLong_AsSsize_t", x) for x in (a, other))
        b.ret(b.zext(w.same(left, right), I64))

    def _entry(self, w: _Code, tape: Any, op: Any, left: Any, right: Any, type_: Any) -> None:
        """A reference to the entry (op, operands, (), type): the expected one, or a new one.

        `right` is 0 for an operator of one operand.
        """
        b = w.b
        anew = w.function.append_basic_block("anew")
        count = b.select(w.same(right, constant(0)), constant(1), constant(2))
        n = w.load(w.load(tape, TAPE["entries"]), _SIZE)
        expected = w.load(tape, TAPE["expected"])
        w.unless(b.icmp_signed("<", n, w.load(expected, _SIZE)), anew)
        entry = w.load(expected, b.add(n, constant(_ITEMS)))
        w.unless(w.same(w.load(entry, _ITEMS), op), anew)
        w.unless(w.same(w.load(entry, _ITEMS + 2), w.word("no_params")), anew)
        w.unless(w.same(w.load(entry, _ITEMS + 3), type_), anew)
        operands = w.load(entry, _ITEMS + 1)
        w.unless(w.same(w.load(operands, _SIZE), count), anew)
        for k, index in enumerate((left, right)):
            if k == 1:
                with b.if_then(w.same(count, constant(1))):
                    b.ret(w.hold(entry))
            equal = b.call(self.equal, [w.load(operands, _ITEMS + k), index])
            w.unless(w.same(equal, constant(1)), anew)
        b.ret(w.hold(entry))

        b.position_at_end(anew)
        failed = w.function.append_basic_block("failed")
        operands = w.py("PyTuple_New", count)
        w.unless(b.icmp_unsigned("!=", operands, constant(0)), failed)
        w.store(w.hold(left), operands, _ITEMS)
        with b.if_then(w.same(count, constant(2))):
            w.store(w.hold(right), operands, _ITEMS + 1)
        entry = w.py("PyTuple_New", constant(4))
        w.unless(b.icmp_unsigned("!=", entry, constant(0)), failed)
        for k, value in enumerate((w.hold(op), operands, w.hold(w.word("no_params")))):
            w.store(value, entry, _ITEMS + k)
        w.store(w.hold(type_), entry, _ITEMS + 3)
        b.ret(entry)
        b.position_at_end(failed)
        b.ret(constant(0))

    def _append(self, w: _Code, tape: Any, op: Any, left: Any, right: Any, type_: Any) -> None:
        """Append an entry; a new variable for it."""
        b = w.b
        failed = w.function.append_basic_block("failed")
        entries = w.load(tape, TAPE["entries"])
        index = w.py("PyLong_FromSsize_t", w.load(entries, _SIZE))
        entry = b.call(self.entry, [tape, op, left, right, type_])
        w.unless(b.icmp_unsigned("!=", entry, constant(0)), failed)
        w.py("PyList_Append", entries, entry, result=I32)
        w.drop(entry)
        made = w.py("PyType_GenericAlloc", w.word("variable"), constant(0))
        w.unless(b.icmp_unsigned("!=", made, constant(0)), failed)
        w.store(index, made, VARIABLE["_index"])
        w.store(w.hold(tape), made, VARIABLE["_tape"])
        w.store(w.hold(type_), made, VARIABLE["_type"])
        b.ret(made)
        b.position_at_end(failed)
        b.ret(constant(0))

    def _number(self, w: _Code, tape: Any, number: Any, row: Any) -> None:
        """A reference to the value number of the constant that a Python float becomes."""
        b = w.b
        anew = w.function.append_basic_block("anew")
        entries, numbers = (w.load(tape, TAPE[name]) for name in ("entries", "numbers"))
        leaf = w.load(row, ROW["leaf"])
        key = w.py("PyLong_FromSsize_t", number)
        found = w.py("PyDict_GetItem", numbers, key)
        w.unless(b.icmp_unsigned("!=", found, constant(0)), anew)
        at = w.py("PyLong_AsSsize_t", found)
        same_type = w.same(w.load(w.item(entries, at), _ITEMS + 3), w.load(leaf, _ITEMS + 3))
        w.unless(same_type, anew)
        w.drop(key)
        b.ret(w.hold(found))

        b.position_at_end(anew)
        index = w.py("PyLong_FromSsize_t", w.load(entries, _SIZE))
        address = b.add(number, constant(16))
        double = w.at(address, ir.DoubleType())
        place = w.variable(w.at(address))
        with b.if_then(b.icmp_unsigned("!=", w.load(row, ROW["single"]), constant(0))):
            b.store(
                b.fptrunc(double, ir.FloatType()),
                b.bitcast(place, ir.FloatType().as_pointer()),
            )
        data = b.ptrtoint(place, I64)
        value = w.py("PyArray_Scalar", data, w.load(row, ROW["dtype"]), constant(0))
        w.py("PyList_Append", entries, leaf, result=I32)
        w.py("PyDict_SetItem", w.load(tape, TAPE["constants"]), index, value, result=I32)
        w.py("PyDict_SetItem", numbers, key, index, result=I32)
        w.py("PyList_Append", w.load(tape, TAPE["kept"]), number, result=I32)
        w.drop(value)
        w.drop(key)
        b.ret(index)

    # ---------------------------------------------------------------- slots

    def binary(self, name: str) -> str:
        """`PyObject* record_add(left, right)`, the slot of a binary operator."""
        full = f"record_{name}"
        self._function(
            full, 2, lambda w, left, right: self._binary(w, name, left, right), "external"
        )
        return full

    def _binary(self, w: _Code, name: str, left: Any, right: Any) -> None:
        b = w.b
        miss = w.function.append_basic_block("miss")
        op = w.word(f"{name}_op")
        is_left, is_right = w.is_variable(left), w.is_variable(right)
        w.unless(b.or_(is_left, is_right), miss)
        self_ = b.select(is_left, left, right)
        tape = w.load(self_, VARIABLE["_tape"])
        w.unless(w.same(w.load(tape, TAPE["fast"]), w.word("true")), miss)
        with b.if_then(b.and_(is_left, is_right)):
            w.unless(w.same(w.load(right, VARIABLE["_tape"]), tape), miss)
            types = [w.load(x, VARIABLE["_type"]) for x in (left, right)]
            row = b.call(self.find, [op, *types])
            w.unless(b.icmp_unsigned("!=", row, constant(0)), miss)
            operands = [w.load(x, VARIABLE["_index"]) for x in (left, right)]
            b.ret(b.call(self.append, [tape, op, *operands, w.load(row, ROW["result"])]))
        other = b.select(is_left, right, left)
        kind = w.load(other, _TYPE)
        w.unless(w.same(kind, w.word("float")), miss)
        own = w.load(self_, VARIABLE["_type"])
        row = b.call(self.find, [op, b.select(is_left, own, kind), b.select(is_left, kind, own)])
        w.unless(b.icmp_unsigned("!=", row, constant(0)), miss)
        number = b.call(self.number, [tape, other, row])
        at = w.load(self_, VARIABLE["_index"])
        operands = [b.select(is_left, at, number), b.select(is_left, number, at)]
        made = b.call(self.append, [tape, op, *operands, w.load(row, ROW["result"])])
        w.drop(number)
        b.ret(made)
        b.position_at_end(miss)
        self._miss(w, name, [left, right])

    def _miss(self, w: _Code, name: str, args: list[Any]) -> None:
        place = w.scratch(constant(len(args)))
        for k, value in enumerate(args):
            w.store(value, place, k)
        count, none = constant(len(args)), constant(0)
        w.b.ret(w.py("PyObject_Vectorcall", w.word(f"{name}_miss"), place, count, none))

    def negative(self) -> str:
        """`PyObject* record_negative(x)`."""

        def build(w: _Code, x: Any) -> None:
            miss = w.function.append_basic_block("miss")
            w.unless(w.is_variable(x), miss)
            self._unary(w, w.word("negative_op"), x, miss)
            w.b.position_at_end(miss)
            self._miss(w, "negative", [x])

        self._function("record_negative", 1, build, "external")
        return "record_negative"

    def _unary(self, w: _Code, key: Any, x: Any, miss: Any) -> None:
        tape, type_ = (w.load(x, VARIABLE[name]) for name in ("_tape", "_type"))
        w.unless(w.same(w.load(tape, TAPE["fast"]), w.word("true")), miss)
        row = w.b.call(self.find, [key, type_, constant(0)])
        w.unless(w.b.icmp_unsigned("!=", row, constant(0)), miss)
        index = w.load(x, VARIABLE["_index"])
        op, result = w.load(row, ROW["op"]), w.load(row, ROW["result"])
        w.b.ret(w.b.call(self.append, [tape, op, index, constant(0), result]))

    def ufunc(self) -> str:
        """`record_ufunc`, `Variable.__array_ufunc__` by NumPy's calling convention for functions:
        the arguments (variable, ufunc, method, operand) at an address, their number, names."""

        def build(w: _Code, _: Any, args: Any, count: Any, names: Any) -> None:
            b = w.b
            miss = w.function.append_basic_block("miss")
            w.unless(b.and_(w.same(count, constant(4)), w.same(names, constant(0))), miss)
            # NumPy makes the method's name anew for each call.
            differs = w.py("PyUnicode_Compare", w.load(args, 2), w.word("call"), result=I32)
            w.unless(w.same(differs, ir.Constant(I32, 0)), miss)
            x = w.load(args, 3)
            w.unless(w.is_variable(x), miss)
            self._unary(w, w.load(args, 1), x, miss)
            b.position_at_end(miss)
            b.ret(w.py("PyObject_Vectorcall", w.word("ufunc_miss"), args, count, names))

        self._function("record_ufunc", 4, build, "external")
        return "record_ufunc"
