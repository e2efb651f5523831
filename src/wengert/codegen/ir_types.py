"""The types of LLVM IR as text (`ir`). Equal types are the same object."""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import Any

__all__ = [
    "ArrayType",
    "DoubleType",
    "FloatType",
    "FunctionType",
    "HalfType",
    "IntType",
    "LiteralStructType",
    "PointerType",
    "Type",
    "VectorType",
    "VoidType",
]


class Type:
    """A type; `str` of it is its text."""

    __slots__ = ("_pointer", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._pointer: PointerType | None = None

    def __str__(self) -> str:
        return self.text

    def as_pointer(self) -> PointerType:
        """The type of its address."""
        if self._pointer is None:
            self._pointer = PointerType(self)
        return self._pointer

    def one(self, value: Any) -> str:
        """A constant of this type, without the type."""
        raise TypeError(f"{self} has no constant {value!r}")


class PointerType(Type):
    """An address; `pointee` is the type of what is there, if that is known."""

    __slots__ = ("pointee",)

    def __init__(self, pointee: Any = None) -> None:
        super().__init__("ptr")
        self.pointee = pointee


class _Int(Type):
    __slots__ = ("width",)

    def __init__(self, bits: int) -> None:
        super().__init__(f"i{bits}")
        self.width = bits

    def one(self, value: Any) -> str:
        return str(int(value))


class _Float(Type):
    __slots__ = ("_half",)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._half = text == "half"

    def one(self, value: Any) -> str:
        # A float's constants are written as the double that equals it.
        if self._half:
            return f"0xH{struct.unpack('<H', struct.pack('<e', value))[0]:04X}"
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


class _Vector(Type):
    __slots__ = ("count", "element")

    def __init__(self, element: Type, count: int) -> None:
        super().__init__(f"<{count} x {element}>")
        self.element = element
        self.count = count

    def one(self, value: Any) -> str:
        return f"<{_listed(self.element, value)}>"


class _Array(Type):
    __slots__ = ("count", "element")

    def __init__(self, element: Type, count: int) -> None:
        super().__init__(f"[{count} x {element}]")
        self.element = element
        self.count = count

    def one(self, value: Any) -> str:
        if isinstance(value, (bytes, bytearray)):
            return 'c"' + "".join(f"\\{byte:02x}" for byte in value) + '"'
        return f"[{_listed(self.element, value)}]"


class _Struct(Type):
    __slots__ = ("elements",)

    def __init__(self, elements: tuple[Type, ...]) -> None:
        super().__init__("{" + ", ".join(map(str, elements)) + "}")
        self.elements = elements


class _FunctionType(Type):
    __slots__ = ("args", "return_type")

    def __init__(self, return_type: Type, args: tuple[Type, ...]) -> None:
        super().__init__(f"{return_type} ({', '.join(map(str, args))})")
        self.return_type = return_type
        self.args = args


def _listed(element: Type, values: Sequence[Any]) -> str:
    texts = [getattr(v, "text", None) or element.one(v) for v in values]
    return ", ".join([f"{element} {text}" for text in texts])


IntType: Any = functools.cache(_Int)
VectorType: Any = functools.cache(_Vector)
ArrayType: Any = functools.cache(_Array)
_struct_type = functools.cache(_Struct)
_function_type = functools.cache(_FunctionType)
_VOID = Type("void")
_HALF, _FLOAT, _DOUBLE = map(_Float, ("half", "float", "double"))


def VoidType() -> Type:
    """No value."""
    return _VOID


def HalfType() -> Type:
    """16 bits."""
    return _HALF


def FloatType() -> Type:
    """32 bits."""
    return _FLOAT


def DoubleType() -> Type:
    """64 bits."""
    return _DOUBLE


def LiteralStructType(elements: Sequence[Type]) -> Type:
    """Several values as one."""
    return _struct_type(tuple(elements))


def FunctionType(result: Type, operands: Sequence[Type]) -> Any:
    """The types of a function's result and operands."""
    return _function_type(result, tuple(operands))
