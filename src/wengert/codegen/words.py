"""Emitting code that treats memory as 64-bit words at integer addresses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wengert.codegen import ir
from wengert.codegen.tables import API

__all__ = ["I32", "I64", "Words", "constant"]

I64 = ir.IntType(64)
I32 = ir.IntType(32)


def constant(value: int) -> Any:
    """A 64-bit integer."""
    return ir.Constant(I64, value)


class Words:
    """Emits code that treats memory as 64-bit words at integer addresses."""

    def __init__(self, function: ir.Function) -> None:
        self.function = function
        self.b = ir.IRBuilder(function.append_basic_block("entry"))
        self.api: Any = None

    def load(self, address: Any, word: Any = 0, kind: Any = I64) -> Any:
        offset = constant(word * 8) if isinstance(word, int) else self.b.shl(word, constant(3))
        return self.at(self.b.add(address, offset), kind)

    def at(self, address: Any, kind: Any = I64) -> Any:
        return self.b.load(self.b.inttoptr(address, kind.as_pointer()))

    def store(self, value: Any, address: Any, word: Any = 0) -> None:
        offset = constant(word * 8) if isinstance(word, int) else self.b.shl(word, constant(3))
        pointer = self.b.inttoptr(self.b.add(address, offset), I64.as_pointer())
        self.b.store(value, pointer)

    def call(self, address: Any, *args: Any, result: Any = I64) -> Any:
        kind = ir.FunctionType(result, [a.type for a in args])
        return self.b.call(self.b.inttoptr(address, kind.as_pointer()), args)

    def py(self, name: str, *args: Any, result: Any = I64) -> Any:
        return self.call(self.load(self.api, API[name]), *args, result=result)

    def variable(self, value: Any) -> Any:
        with self.b.goto_entry_block():
            place = self.b.alloca(I64)
        self.b.store(value, place)
        return place

    def scratch(self, words: Any) -> Any:
        return self.b.ptrtoint(self.b.alloca(I64, words), I64)

    @contextmanager
    def times(self, count: Any) -> Iterator[Any]:
        """`for i in range(count)`."""
        b = self.b
        place = self.variable(constant(0))
        head, body, done = (self.function.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        i = b.load(place)
        b.cbranch(b.icmp_signed("<", i, count), body, done)
        b.position_at_end(body)
        yield i
        b.store(b.add(i, constant(1)), place)
        b.branch(head)
        b.position_at_end(done)

    def unless(self, condition: Any, target: Any) -> None:
        """Go to `target` unless the condition holds."""
        onward = self.function.append_basic_block()
        self.b.cbranch(condition, onward, target)
        self.b.position_at_end(onward)

    def same(self, a: Any, b: Any) -> Any:
        return self.b.icmp_unsigned("==", a, b)
