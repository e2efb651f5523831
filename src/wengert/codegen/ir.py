"""LLVM IR as text, written as it is built.

The builder has the interface of llvmlite's `ir`, as far as it is needed here, but keeps no graph of
objects: an instruction is a line of text, and a value is its name and its type. That is several
times as fast, and it needs no LLVM. Types of pointers say what they point to, for the builder's
use; in the text they are all `ptr`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from wengert.codegen.ir_types import (
    ArrayType,
    DoubleType,
    FloatType,
    FunctionType,
    HalfType,
    IntType,
    LiteralStructType,
    PointerType,
    Type,
    VectorType,
    VoidType,
)

__all__ = [
    "ArrayType",
    "Block",
    "Constant",
    "DoubleType",
    "FloatType",
    "Function",
    "FunctionType",
    "GlobalVariable",
    "HalfType",
    "IRBuilder",
    "IntType",
    "LiteralStructType",
    "Module",
    "PointerType",
    "Type",
    "Undefined",
    "Value",
    "VectorType",
    "VoidType",
    "splat",
]

# ---------------------------------------------------------------- values


class Value:
    """Something with a type; `text` is how instructions name it."""

    __slots__ = ("text", "type")

    def __init__(self, type_: Any, text: str) -> None:
        self.type = type_
        self.text = text

    def __str__(self) -> str:
        return f"{self.type} {self.text}"


class _Undefined:
    pass


Undefined = _Undefined()


class Constant(Value):
    """A number, a list of them for a vector or array, `Undefined`, or None for zeros."""

    __slots__ = ()

    def __init__(self, type_: Any, value: Any) -> None:
        if value is Undefined:
            text = "undef"
        elif value is None:
            text = "zeroinitializer"
        else:
            text = type_.one(value)
        super().__init__(type_, text)


def splat(type_: Any, one: Constant) -> Value:
    """One constant in every lane of a vector."""
    return Value(type_, f"splat ({one.type.text} {one.text})")


class _Phi(Value):
    """A value that depends on the block before."""

    __slots__ = ("_incoming",)

    def __init__(self, type_: Any, text: str) -> None:
        super().__init__(type_, text)
        self._incoming: list[str] = []

    def add_incoming(self, value: Value, block: Block) -> None:
        """The value, where that block was the one before."""
        self._incoming.append(f"[ {value.text}, %{block.name} ]")

    def line(self) -> str:
        return f"  {self.text} = phi {self.type.text} {', '.join(self._incoming)}"


class _Switch:
    """A jump that depends on a number."""

    def __init__(self, value: Value, default: Block) -> None:
        self._value = value
        self._default = default
        self._cases: list[str] = []

    def add_case(self, value: Value, block: Block) -> None:
        """Where to go if the number is this constant."""
        self._cases.append(f"{value.type.text} {value.text}, label %{block.name}")

    def line(self) -> str:
        cases = " ".join(self._cases)
        value = self._value
        return f"  switch {value.type.text} {value.text}, label %{self._default.name} [ {cases} ]"


class Block:
    """A basic block: lines, of which the last is where it goes on once it is `terminated`.

    `made` remembers values that were computed in it, by what they are made of.
    """

    __slots__ = ("function", "lines", "made", "name", "terminated")

    def __init__(self, function: Function, name: str) -> None:
        self.function = function
        self.name = name
        self.lines: list[Any] = []
        self.terminated = False
        self.made: dict[Any, Any] = {}


class Function(Value):
    """A function of a module; without blocks it is a declaration.

    `is_hot` : so much of the time is spent in it that it is optimised even in the first code of the
    module (`compiler.Code`)
    """

    __slots__ = (
        "_count",
        "args",
        "attributes",
        "blocks",
        "function_type",
        "is_hot",
        "linkage",
        "module",
    )

    def __init__(self, module: Module, type_: Any, name: str) -> None:
        super().__init__(type_.as_pointer(), f'@"{name}"')
        self.module = module
        self.function_type = type_
        self.args = tuple(Value(t, f"%a{k}") for k, t in enumerate(type_.args))
        self.blocks: list[Block] = []
        self.linkage = ""
        self.attributes: set[str] = set()
        self.is_hot = False
        self._count = 0
        module.globals[name] = self

    def number(self) -> int:
        """A number that no value and no block of the function has yet."""
        self._count += 1
        return self._count

    def append_basic_block(self, name: str = "block") -> Block:
        """A new block, after those that exist."""
        block = Block(self, f"{name}.{self.number()}")
        self.blocks.append(block)
        return block

    def declaration(self) -> str:
        kind = self.function_type
        return f"declare {kind.return_type} {self.text}({', '.join(map(str, kind.args))})"

    def definition(self) -> str:
        kind = self.function_type
        if not self.blocks:
            return self.declaration()
        operands = f"({', '.join(map(str, self.args))})"
        words = ["define", self.linkage, str(kind.return_type), self.text + operands]
        lines = [" ".join([w for w in (*words, *sorted(self.attributes), "{") if w])]
        for block in self.blocks:
            lines.append(f"{block.name}:")
            lines += [line if line.__class__ is str else line.line() for line in block.lines]
        lines.append("}")
        return "\n".join(lines)


class GlobalVariable(Value):
    """Memory of a module; without an initial value it is somebody else's."""

    __slots__ = ("align", "global_constant", "initializer", "linkage", "value_type")

    def __init__(self, module: Module, type_: Any, name: str) -> None:
        super().__init__(type_.as_pointer(), f'@"{name}"')
        self.value_type = type_
        self.linkage = ""
        self.initializer: Constant | None = None
        self.global_constant = False
        self.align = 0
        module.globals[name] = self

    def definition(self) -> str:
        linkage = self.linkage or ("external" if self.initializer is None else "")
        kind = "constant" if self.global_constant else "global"
        value = "" if self.initializer is None else self.initializer.text
        align = f", align {self.align}" if self.align else ""
        return f"{self.text} = {linkage} {kind} {self.value_type} {value}{align}"


class Module:
    """Functions and variables by name; `str` of it is the text."""

    def __init__(self) -> None:
        self.triple = ""
        #: Whether the processor has AVX-512, with instructions that no other one has.
        self.has_avx512 = False
        self.data_layout = ""
        self.globals: dict[str, Any] = {}

    def __str__(self) -> str:
        return self._text([g.definition() for g in self.globals.values()])

    def hot(self) -> list[str]:
        """The names of the functions that are marked so."""
        return [n for n, g in self.globals.items() if isinstance(g, Function) and g.is_hot]

    def parts(self) -> tuple[str, str]:
        """The module as two: its hot functions, which call no others of it, and the rest."""
        hot = [self.globals[name] for name in self.hot()]
        for function in hot:
            function.linkage = ""
        known = self.globals.values()
        outside = [g.declaration() for g in known if isinstance(g, Function) and not g.blocks]
        rest = [g.declaration() if g in hot else g.definition() for g in known]
        return self._text([*outside, *[f.definition() for f in hot]]), self._text(rest)

    def _text(self, definitions: Sequence[str]) -> str:
        head = [f'target triple = "{self.triple}"'] if self.triple else []
        head += [f'target datalayout = "{self.data_layout}"'] if self.data_layout else []
        return "\n".join([*head, *definitions, *_WEIGHTS, ""])


#: How often a branch is taken, for `if_then`.
_WEIGHTS = ('!0 = !{!"branch_weights", i32 99, i32 1}', '!1 = !{!"branch_weights", i32 1, i32 99}')

# ---------------------------------------------------------------- instructions

_BIT, _VOID = IntType(1), VoidType()
_COMPARISONS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


def _binary(how: str) -> Any:
    def instruction(self: IRBuilder, a: Value, b: Value) -> Value:
        return self._value(a.type, f"{how} {a.type.text} {a.text}, {b.text}")

    return instruction


def _conversion(how: str) -> Any:
    def instruction(self: IRBuilder, value: Value, type_: Any) -> Value:
        return self._convert(how, value, type_)

    return instruction


class IRBuilder:
    """Appends instructions to a block."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.function = block.function
        self.module = block.function.module

    # ------------------------------------------------------------ places

    def append_basic_block(self, name: str = "block") -> Block:
        """A new block of the function."""
        return self.function.append_basic_block(name)

    def position_at_end(self, block: Block) -> None:
        """Go on in another block."""
        self.block = block

    @contextmanager
    def goto_entry_block(self) -> Iterator[None]:
        """For a while append to the first block, before where it ends."""
        before = self.block
        self.block = entry = self.function.blocks[0]
        last = [entry.lines.pop()] if entry.terminated else []
        yield
        entry.lines += last
        self.block = before

    @contextmanager
    def if_then(self, condition: Value, likely: bool | None = None) -> Iterator[None]:
        """What follows only where the condition holds."""
        then, after = self.append_basic_block("then"), self.append_basic_block("after")
        weights = "" if likely is None else f", !prof !{0 if likely else 1}"
        self.cbranch(condition, then, after, weights)
        self.block = then
        yield
        self._leave(after)
        self.block = after

    @contextmanager
    def if_else(
        self, condition: Value
    ) -> Iterator[tuple[AbstractContextManager[None], AbstractContextManager[None]]]:
        """Two contexts: for where the condition holds, and for where it does not."""
        then, other, after = map(self.append_basic_block, ("then", "else", "after"))
        self.cbranch(condition, then, other)
        yield self._branch(then, after), self._branch(other, after)
        self.block = after

    @contextmanager
    def _branch(self, block: Block, after: Block) -> Iterator[None]:
        self.block = block
        yield
        self._leave(after)

    def _leave(self, after: Block) -> None:
        if not self.block.terminated:
            self.branch(after)

    # ------------------------------------------------------------ lines

    def _value(self, type_: Any, line: str) -> Value:
        function = self.function
        function._count += 1
        text = f"%v{function._count}"
        self.block.lines.append(f"  {text} = {line}")
        return Value(type_, text)

    def _end(self, line: Any) -> None:
        self.block.lines.append(line)
        self.block.terminated = True

    def branch(self, block: Block) -> None:
        self._end(f"  br label %{block.name}")

    def cbranch(self, condition: Value, then: Block, other: Block, weights: str = "") -> None:
        where = f"label %{then.name}, label %{other.name}"
        self._end(f"  br i1 {condition.text}, {where}{weights}")

    def switch(self, value: Value, default: Block) -> _Switch:
        made = _Switch(value, default)
        self._end(made)
        return made

    def ret(self, value: Value) -> None:
        self._end(f"  ret {value.type.text} {value.text}")

    def ret_void(self) -> None:
        self._end("  ret void")

    def phi(self, type_: Any) -> _Phi:
        made = _Phi(type_, f"%v{self.function.number()}")
        self.block.lines.append(made)
        return made

    # ------------------------------------------------------------ memory

    def alloca(self, type_: Any, count: Value | None = None) -> Value:
        many = "" if count is None else f", {count.type.text} {count.text}"
        return self._value(type_.as_pointer(), f"alloca {type_.text}{many}")

    def load(self, pointer: Value, typ: Any = None, align: int = 0) -> Value:
        kind = pointer.type.pointee if typ is None else typ
        end = f", align {align}" if align else ""
        return self._value(kind, f"load {kind.text}, ptr {pointer.text}{end}")

    def store(self, value: Value, pointer: Value, align: int = 0) -> None:
        end = f", align {align}" if align else ""
        self.block.lines.append(f"  store {value.type.text} {value.text}, ptr {pointer.text}{end}")

    def load_atomic(self, pointer: Value, ordering: str, align: int) -> Value:
        kind = pointer.type.pointee
        return self._value(
            kind, f"load atomic {kind.text}, ptr {pointer.text} {ordering}, align {align}"
        )

    def store_atomic(self, value: Value, pointer: Value, ordering: str, align: int) -> None:
        self.block.lines.append(
            f"  store atomic {value.type.text} {value.text}, ptr {pointer.text} {ordering}, "
            f"align {align}"
        )

    def atomic_rmw(self, how: str, pointer: Value, value: Value, ordering: str) -> Value:
        what = f"{value.type.text} {value.text} {ordering}"
        return self._value(value.type, f"atomicrmw {how} ptr {pointer.text}, {what}")

    def gep(self, pointer: Value, indices: Sequence[Value], source_etype: Any = None) -> Value:
        """The address of an element."""
        kind = pointer.type.pointee if source_etype is None else source_etype
        (index,) = indices
        text = f"getelementptr {kind.text}, ptr {pointer.text}, {index.type.text} {index.text}"
        return self._value(kind.as_pointer(), text)

    # ------------------------------------------------------------ the rest

    def call(self, function: Value, args: Sequence[Value], tail: bool = False) -> Value:
        kind = function.type.pointee.return_type
        listed = ", ".join([f"{a.type.text} {a.text}" for a in args])
        text = f"{'tail ' if tail else ''}call {kind.text} {function.text}({listed})"
        if kind is _VOID:
            self.block.lines.append(f"  {text}")
            return Value(kind, "")
        return self._value(kind, text)

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        return self._value(a.type, f"select {condition}, {a}, {b}")

    def fneg(self, a: Value) -> Value:
        return self._value(a.type, f"fneg {a.type.text} {a.text}")

    def neg(self, a: Value) -> Value:
        return self._value(a.type, f"sub {a.type.text} 0, {a.text}")

    def not_(self, a: Value) -> Value:
        return self._value(a.type, f"xor {a.type.text} {a.text}, -1")

    def _compare(self, how: str, a: Value, b: Value) -> Value:
        kind = a.type
        result = VectorType(_BIT, kind.count) if hasattr(kind, "count") else _BIT
        return self._value(result, f"{how} {kind.text} {a.text}, {b.text}")

    def icmp_signed(self, how: str, a: Value, b: Value) -> Value:
        sign = "" if how in ("==", "!=") else "s"
        return self._compare(f"icmp {sign}{_COMPARISONS[how]}", a, b)

    def icmp_unsigned(self, how: str, a: Value, b: Value) -> Value:
        sign = "" if how in ("==", "!=") else "u"
        return self._compare(f"icmp {sign}{_COMPARISONS[how]}", a, b)

    def fcmp_ordered(self, how: str, a: Value, b: Value) -> Value:
        return self._compare(f"fcmp o{_COMPARISONS[how]}", a, b)

    def fcmp_unordered(self, how: str, a: Value, b: Value) -> Value:
        return self._compare(f"fcmp u{_COMPARISONS[how]}", a, b)

    def bitcast(self, value: Value, type_: Any) -> Value:
        if isinstance(type_, PointerType):
            return Value(type_, value.text)
        return self._convert("bitcast", value, type_)

    def _convert(self, how: str, value: Value, type_: Any) -> Value:
        if value.type is type_:
            return value
        return self._value(type_, f"{how} {value.type.text} {value.text} to {type_.text}")

    def extract_element(self, vector: Value, index: Value) -> Value:
        return self._value(vector.type.element, f"extractelement {vector}, {index}")

    def insert_element(self, vector: Value, value: Value, index: Value) -> Value:
        return self._value(vector.type, f"insertelement {vector}, {value}, {index}")

    def shuffle_vector(self, a: Value, b: Value, mask: Value) -> Value:
        kind = VectorType(a.type.element, mask.type.count)
        return self._value(kind, f"shufflevector {a}, {b}, {mask}")

    def extract_value(self, whole: Value, index: int) -> Value:
        return self._value(whole.type.elements[index], f"extractvalue {whole}, {index}")

    def insert_value(self, whole: Value, value: Value, index: int) -> Value:
        return self._value(whole.type, f"insertvalue {whole}, {value}, {index}")

    add, sub, mul, shl = map(_binary, ("add", "sub", "mul", "shl"))
    lshr, ashr, and_, or_, xor = map(_binary, ("lshr", "ashr", "and", "or", "xor"))
    sdiv, udiv, srem, urem = map(_binary, ("sdiv", "udiv", "srem", "urem"))
    fadd, fsub, fmul, fdiv = map(_binary, ("fadd", "fsub", "fmul", "fdiv"))
    trunc, zext, sext = map(_conversion, ("trunc", "zext", "sext"))
    fptrunc, fpext = map(_conversion, ("fptrunc", "fpext"))
    sitofp, uitofp = map(_conversion, ("sitofp", "uitofp"))
    inttoptr, ptrtoint = map(_conversion, ("inttoptr", "ptrtoint"))
