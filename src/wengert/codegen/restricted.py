"""Functions on 64-bit words, written in Python and compiled by LLVM.

What recording, reading and scheduling of dynamic graphs do per operation is too often done for
Python, and too much of it to build instruction by instruction. `@words` marks a function whose
parameters and variables are all 64-bit integers and which uses a small part of Python: assignments,
`if`, `while`, `for i in range(n)`, `break`, `continue`, `return`, integer arithmetic and comparison
(`and`, `or` and `not` on conditions), subscripts, and calls of other such functions.

`a[k]` is word number k of the memory at address a. Where all memory that a function touches is that
of arrays of integers, it also runs as plain Python on NumPy arrays: that is its oracle in the tests
and the fallback where there is no native code.

Names that are not variables are read when the function is compiled; they must be integers, other
such functions, or one of these: `call(address, ...)` calls a C function of words that returns one,
`scratch(n)` is memory for n words until the function returns (n is a number known at compilation),
`half(a)` is the signed 32-bit number at address a, `single(x)` is the float32, in the lower half of
a word, that is nearest to the float64 x; a `Static` is the address of a word of `state`.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from wengert.codegen import ir

__all__ = ["Static", "build_words", "call", "half", "scratch", "single", "words", "words_name"]


def words(function: Callable[..., Any]) -> Any:
    """Mark a function as one that `build_words` compiles."""
    function.is_words = True  # type: ignore[attr-defined]
    return function


def call(address: int, *arguments: int) -> Any:
    """The result of the C function of words at an address; in compiled code only."""
    raise NotImplementedError


def half(address: int) -> Any:
    """The signed 32-bit number at an address; in compiled code only."""
    raise NotImplementedError


def single(bits: int) -> Any:
    """The bits of a float64, rounded to a float32; in compiled code only."""
    raise NotImplementedError


class Static:
    """A word of `state`: `name[0]` in functions of words."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, word: int) -> Any:
        """In compiled code only."""
        raise NotImplementedError


def scratch(count: int) -> Any:
    """The address of memory for so many words; in compiled code only."""
    raise NotImplementedError


def words_name(function: Any) -> str:
    """The name that a function has in a module."""
    return f"words_{function.__module__.rsplit('.', 1)[-1]}_{function.__name__.lstrip('_')}"


def build_words(module: ir.Module, functions: Sequence[Callable[..., Any]]) -> list[str]:
    """Add functions, and those that they call, to a module; the names of the former."""
    for function in functions:
        _declared(module, function)
    return [words_name(function) for function in functions]


def _declared(module: ir.Module, function: Any) -> Any:
    """The LLVM function of a Python function, built when it is first asked for."""
    name = words_name(function)
    found = module.globals.get(name)
    if found is None:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        assert isinstance(tree, ast.FunctionDef)
        word = ir.IntType(64)
        found = ir.Function(module, ir.FunctionType(word, [word] * len(tree.args.args)), name)
        _Body(module, found, function).build(tree)
    return found


_BINARY = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.FloorDiv: "sdiv",
    ast.Mod: "srem",
    ast.BitAnd: "and_",
    ast.BitOr: "or_",
    ast.BitXor: "xor",
    ast.LShift: "shl",
    ast.RShift: "ashr",
}
_COMPARE = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "==",
    ast.IsNot: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}


class _Body:
    """Emits the code of one function. `//` and `%` are for numbers that are not negative."""

    def __init__(self, module: Any, target: Any, function: Any) -> None:
        self.module = module
        self.target = target
        self.function = function
        self.word = ir.IntType(64)
        self.places: dict[str, Any] = {}
        self.loops: list[tuple[Any, Any]] = []  # where `continue` and `break` go
        self.b = ir.IRBuilder(target.append_basic_block("entry"))
        closure = inspect.getclosurevars(function)
        self.outside = {**vars(builtins), **function.__globals__, **closure.nonlocals}

    def build(self, tree: ast.FunctionDef) -> None:
        """Emit everything."""
        assigned = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and _is_store(n)}
        parameters = [argument.arg for argument in tree.args.args]
        for name in [*parameters, *sorted(assigned - set(parameters))]:
            self.places[name] = self.b.alloca(self.word)
        for name, value in zip(parameters, self.target.args, strict=True):
            self.b.store(value, self.places[name])
        self._statements(tree.body)
        if not self.b.block.terminated:
            self.b.ret(self._constant(0))

    def _constant(self, value: int) -> Any:
        return ir.Constant(self.word, value)

    def _refused(self, node: ast.AST) -> TypeError:
        what = ast.unparse(node)
        return TypeError(f"{self.function.__qualname__}: can't compile {what!r}")

    # ---------------------------------------------------------------- statements

    def _statements(self, body: list[ast.stmt]) -> None:
        for statement in body:
            if self.b.block.terminated:
                return
            method = getattr(self, f"_{type(statement).__name__}", None)
            if method is None:
                raise self._refused(statement)
            method(statement)

    def _Pass(self, node: ast.Pass) -> None:
        del node

    def _Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self._value(node.value)

    def _Return(self, node: ast.Return) -> None:
        self.b.ret(self._constant(0) if node.value is None else self._value(node.value))

    def _Assign(self, node: ast.Assign) -> None:
        (target,) = node.targets
        if isinstance(target, ast.Tuple):
            if not isinstance(node.value, ast.Tuple):
                raise self._refused(node)
            values = [self._value(v) for v in node.value.elts]
            for one, value in zip(target.elts, values, strict=True):
                self._store(one, value)
        else:
            self._store(target, self._value(node.value))

    def _AnnAssign(self, node: ast.AnnAssign) -> None:
        assert node.value is not None
        self._store(node.target, self._value(node.value))

    def _AugAssign(self, node: ast.AugAssign) -> None:
        old = self._value(node.target)
        emit = getattr(self.b, _BINARY[type(node.op)])
        self._store(node.target, emit(old, self._value(node.value)))

    def _store(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self.b.store(value, self.places[target.id])
        elif isinstance(target, ast.Subscript):
            self.b.store(value, self._pointer(target))
        else:
            raise self._refused(target)

    def _If(self, node: ast.If) -> None:
        then, otherwise, after = (self.target.append_basic_block() for _ in range(3))
        self._branch(node.test, then, otherwise)
        for block, body in ((then, node.body), (otherwise, node.orelse)):
            self.b.position_at_end(block)
            self._statements(body)
            if not self.b.block.terminated:
                self.b.branch(after)
        self.b.position_at_end(after)

    def _While(self, node: ast.While) -> None:
        head, body, after = (self.target.append_basic_block() for _ in range(3))
        self.b.branch(head)
        self.b.position_at_end(head)
        self._branch(node.test, body, after)
        self._loop(node.body, body, head, after)

    def _loop(self, statements: list[ast.stmt], body: Any, onward: Any, after: Any) -> None:
        self.b.position_at_end(body)
        self.loops.append((onward, after))
        self._statements(statements)
        self.loops.pop()
        if not self.b.block.terminated:
            self.b.branch(onward)
        self.b.position_at_end(after)

    def _For(self, node: ast.For) -> None:
        assert isinstance(node.iter, ast.Call)
        assert isinstance(node.target, ast.Name)
        bounds = [self._value(argument) for argument in node.iter.args]
        start, stop = bounds if len(bounds) == 2 else (self._constant(0), bounds[0])
        # As in Python, the variable keeps its last value after the loop.
        place = self.places[node.target.id]
        entry = self.b.block
        head, body, onward, after = (self.target.append_basic_block() for _ in range(4))
        self.b.branch(head)
        self.b.position_at_end(head)
        i = self.b.phi(self.word)
        i.add_incoming(start, entry)
        self.b.cbranch(self.b.icmp_signed("<", i, stop), body, after)
        self.b.position_at_end(body)
        self.b.store(i, place)
        self._loop(node.body, self.b.block, onward, after)
        self.b.position_at_end(onward)
        i.add_incoming(self.b.add(i, self._constant(1)), onward)
        self.b.branch(head)
        self.b.position_at_end(after)

    def _Break(self, node: ast.Break) -> None:
        del node
        self.b.branch(self.loops[-1][1])

    def _Continue(self, node: ast.Continue) -> None:
        del node
        self.b.branch(self.loops[-1][0])

    # ---------------------------------------------------------------- conditions

    def _branch(self, test: ast.expr, then: Any, otherwise: Any) -> None:
        """Go to one of two blocks; `and`, `or` and `not` as in Python."""
        if isinstance(test, ast.BoolOp):
            for part in test.values[:-1]:
                onward = self.target.append_basic_block()
                if isinstance(test.op, ast.And):
                    self._branch(part, onward, otherwise)
                else:
                    self._branch(part, then, onward)
                self.b.position_at_end(onward)
            self._branch(test.values[-1], then, otherwise)
        elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            self._branch(test.operand, otherwise, then)
        else:
            self.b.cbranch(self._condition(test), then, otherwise)

    def _condition(self, test: ast.expr) -> Any:
        if isinstance(test, ast.Compare):
            ((operator, other),) = zip(test.ops, test.comparators, strict=True)
            left, right = self._value(test.left), self._value(other)
            return self.b.icmp_signed(_COMPARE[type(operator)], left, right)
        return self.b.icmp_unsigned("!=", self._value(test), self._constant(0))

    # ---------------------------------------------------------------- expressions

    def _value(self, node: ast.expr) -> Any:
        known = self._known(node)
        if known is not None:
            return self._constant(known)
        if isinstance(node, ast.Name):
            if node.id in self.places:
                return self.b.load(self.places[node.id])
            static = self.outside.get(node.id)
            if not isinstance(static, Static):
                raise self._refused(node)
            return self._static(static)
        if isinstance(node, ast.Subscript):
            return self.b.load(self._pointer(node))
        if isinstance(node, ast.BinOp):
            emit = getattr(self.b, _BINARY[type(node.op)])
            return emit(self._value(node.left), self._value(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return self.b.neg(self._value(node.operand))
        if isinstance(node, ast.Compare):
            return self.b.zext(self._condition(node), self.word)
        if isinstance(node, ast.Call):
            return self._call(node)
        raise self._refused(node)

    def _static(self, static: Static) -> Any:
        found = self.module.globals.get(static.name)
        if found is None:
            found = ir.GlobalVariable(self.module, self.word, static.name)
        return self.b.ptrtoint(found, self.word)

    def _known(self, node: ast.expr) -> int | None:
        """The value of an expression without variables and calls, if it is an integer."""
        for part in ast.walk(node):
            if isinstance(part, ast.Call):
                return None
            if isinstance(part, ast.Name) and (
                part.id in self.places or isinstance(self.outside.get(part.id), Static)
            ):
                return None
        found = eval(compile(ast.Expression(node), "words", "eval"), dict(self.outside))
        return int(found) if isinstance(found, int) else None

    def _pointer(self, node: ast.Subscript) -> Any:
        base = self._value(node.value)
        pointer = self.b.inttoptr(base, self.word.as_pointer())
        return self.b.gep(pointer, [self._value(node.slice)])

    def _call(self, node: ast.Call) -> Any:
        assert isinstance(node.func, ast.Name)
        function = self.outside.get(node.func.id)
        if function is scratch:
            (count,) = node.args
            with self.b.goto_entry_block():
                place = self.b.alloca(self.word, self._constant(self._known(count) or 1))
            return self.b.ptrtoint(place, self.word)
        arguments = [self._value(argument) for argument in node.args]
        if function is call:
            kind = ir.FunctionType(self.word, [self.word] * (len(arguments) - 1))
            return self.b.call(self.b.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        if function is half:
            narrow = ir.IntType(32).as_pointer()
            return self.b.sext(self.b.load(self.b.inttoptr(arguments[0], narrow)), self.word)
        if function is single:
            wide = self.b.bitcast(arguments[0], ir.DoubleType())
            bits = self.b.bitcast(self.b.fptrunc(wide, ir.FloatType()), ir.IntType(32))
            return self.b.zext(bits, self.word)
        if getattr(function, "is_words", False):
            return self.b.call(_declared(self.module, function), arguments)
        raise self._refused(node)


def _is_store(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)
