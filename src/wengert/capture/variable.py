"""`Variable`: what a function sees instead of an array while it is differentiated or traced.

It implements NumPy's protocols and operators by recording. Reading part of a variable gives a
`View` (`capture.view`), which shares its elements as NumPy's views do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from wengert.capture import indexing
from wengert.capture.recorder import Recorder
from wengert.errors import (
    ConversionError,
    DTypeError,
    MutationError,
    ShapeError,
    WengertError,
)
from wengert.graph import CONSTANT, Traced, Type
from wengert.ops import TABLE

__all__ = ["FUNCTIONS", "UFUNCS", "UFUNC_METHODS", "Variable"]

#: np.ufunc name -> operator; filled from the rule table, see `_ufuncs`.
UFUNCS: dict[str, Any] = {}
#: NumPy function -> implementation for variables; filled by `capture.functions`.
FUNCTIONS: dict[Any, Callable[..., Any]] = {}
#: (ufunc method, ufunc name) -> implementation; filled by `capture.functions`.
UFUNC_METHODS: dict[tuple[str, str], Callable[..., Any]] = {}

_FLOAT = float
#: The classes of handles that the short path of recording takes: `Variable` and `View`.
HANDLES: set[type] = set()


def _binary(name: str, *, reflected: bool = False) -> Callable[[Any, Any], Any]:
    op = TABLE[name]
    # (type, type) or (type, float) -> type of the result, for operands that need no conversion.
    known: dict[Any, Any] = {}

    def method(self: Any, other: Any) -> Any:
        tape = self._tape
        if tape.fast:
            own = self._type
            kind = other.__class__
            entries = tape.entries
            if kind in HANDLES and other._tape is tape:
                theirs = other._type
                result = known.get((own, theirs))
                if result is not None:
                    if reflected:
                        operands = (other._index, self._index)
                    else:
                        operands = (self._index, other._index)
                    index = len(entries)
                    entries.append((op, operands, (), result))
                    return Variable(tape, index, result)
            elif kind is _FLOAT:
                result = known.get(own)
                if result is not None:
                    at = self._index
                    # One constant for all uses of one number: a literal in a loop, a learning rate.
                    number = tape.numbers.get(id(other))
                    if number is None or entries[number][3] is not result[0]:
                        number = len(entries)
                        entries.append((CONSTANT, (), (), result[0]))
                        tape.constants[number] = own.dtype.type(other)
                        tape.numbers[id(other)] = number
                        tape.kept += (other, number)
                    operands = (number, at) if reflected else (at, number)
                    index = len(entries)
                    entries.append((op, operands, (), result[1]))
                    return Variable(tape, index, result[1])
        return slow(self, other)

    def slow(self: Any, other: Any) -> Any:
        if not isinstance(other, _NUMBERS):
            return NotImplemented
        made = op(other, self) if reflected else op(self, other)
        own = self._type
        if own.is_float and made._tape is self._tape:
            if isinstance(other, Traced) and other._type.dtype == own.dtype:
                if len(known) > 8192:
                    known.clear()
                known[own, other._type] = made._type
            elif other.__class__ is _FLOAT:
                known[own] = (Type((), own.dtype), made._type)
        return made

    return method


def _unary(name: str) -> Callable[[Any], Any]:
    op = TABLE[name]

    def method(self: Any) -> Any:
        return _apply_unary(op, self)

    return method


def _in_place(name: str) -> Callable[[Any, Any], Any]:
    op = TABLE[name]

    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, _NUMBERS):
            return NotImplemented
        value = op(self, other)
        if not self._type.shape and type(self) is Variable:
            return value  # NumPy's scalars are immutable: the name is bound anew
        if value._type.shape != self._type.shape:
            raise ShapeError(
                f"{name}: an in-place result of shape {value._type.shape} does not fit the array "
                f"of shape {self._type.shape}",
                hint="write x = x + y instead of x += y",
            )
        if not np.can_cast(value._type.dtype, self._type.dtype, "same_kind"):
            raise DTypeError(
                f"{name}: an in-place result of dtype {value._type.dtype} does not fit the array "
                f"of dtype {self._type.dtype}"
            )
        self[...] = value
        return self

    return method


class Variable(Traced):
    """A traced array: its shape and dtype are known, its value is computed when asked for."""

    __slots__ = ()
    __array_priority__ = 1000.0
    __hash__ = None  # type: ignore[assignment]

    # NumPy's methods, which `capture.functions` puts here from its table.
    transpose: Callable[..., Any]
    reshape: Callable[..., Any]
    round: Callable[..., Any]

    # ------------------------------------------------------------ facts

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self._type.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind and width of the numbers."""
        return self._type.dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._type.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._type.size  # type: ignore[no-any-return]

    @property
    def T(self) -> Any:
        """The axes in reverse order."""
        return self.transpose()

    @property
    def real(self) -> Any:
        """The variable itself: traced values are real."""
        return self

    @property
    def flat(self) -> Iterator[Any]:
        """Iterate over the elements in C order."""
        return iter(self.reshape(-1))

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    # ------------------------------------------------------------ values

    def _value(self) -> Any:
        return self._tape.value(self._index)

    def __bool__(self) -> bool:
        return bool(self._value())

    def __int__(self) -> int:
        return int(self._value())

    def __index__(self) -> int:
        if self.dtype.kind not in "iub":
            raise TypeError(f"a traced {self._type} can't be used as an index")
        return int(self._value())

    __trunc__ = __int__

    def __floor__(self) -> int:
        return int(np.floor(self._value()))

    def __ceil__(self) -> int:
        return int(np.ceil(self._value()))

    def __round__(self, digits: int | None = None) -> Any:
        return int(np.rint(self._value())) if digits is None else self.round(digits)

    def _gradient_is_lost(self) -> bool:
        op = self._tape.entries[self._index][0]
        return self._type.is_float and getattr(op, "name", "") != "stop_gradient"

    def __float__(self) -> float:
        if self._gradient_is_lost():
            raise ConversionError(
                "float(x), a function of the math module or an assignment a[i] = x into a NumPy "
                "array was applied to a traced value, which would lose its gradient",
                hint="use NumPy's function (np.sin instead of math.sin), make the array with "
                "np.zeros_like(x) or wengert.numpy; where the number itself is wanted, "
                "float(wg.stop_gradient(x))",
            )
        return float(self._value())

    def item(self, *args: Any) -> Any:
        """Not available: it would lose the gradient (see `float`)."""
        return float(self) if self._type.is_float else self._value().item(*args)

    def tolist(self) -> Any:
        """Not available: it would lose the gradient (see `numpy.asarray`)."""
        return self.__array__().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if self._gradient_is_lost():
            raise ConversionError(
                "np.asarray(x), or an assignment into a NumPy array, was applied to a traced "
                "value, which would lose its gradient",
                hint="make the array with wengert.numpy (wnp.array([x, y]), wnp.zeros(n)) or "
                "np.zeros_like(x); where the numbers themselves are wanted, "
                "np.asarray(wg.stop_gradient(x))",
            )
        return np.array(self._value(), dtype=dtype, copy=True)

    def __repr__(self) -> str:
        try:
            return f"Variable({self._value()!r}: {self._type})"
        except WengertError:  # without a value the type is shown
            return f"Variable({self._type})"

    def __str__(self) -> str:
        try:
            return str(self._value())
        except WengertError:  # as in __repr__
            return f"<traced {self._type}>"

    def __format__(self, spec: str) -> str:
        return format(self._value(), spec) if spec else str(self)

    # ------------------------------------------------------------ NumPy's protocols

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        op = UFUNCS.get(ufunc.__name__)
        if method == "__call__":
            if op is not None and len(inputs) == 1 and not kwargs:
                return _apply_unary(op, self)
            if op is None and ("__call__", ufunc.__name__) in UFUNC_METHODS:
                return UFUNC_METHODS["__call__", ufunc.__name__](*inputs, **kwargs)
            if op is not None:
                return _call_ufunc(op, inputs, kwargs) if kwargs else op(*inputs)
        found = UFUNC_METHODS.get((method, ufunc.__name__))
        if found is None:
            what = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
            raise DTypeError(
                f"np.{what} has no derivative rule",
                hint="write it with other functions, or give it one with wg.custom_jvp",
            )
        return found(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        found = FUNCTIONS.get(func)
        if found is None:
            name = f"{func.__module__}.{func.__name__}"
            raise DTypeError(
                f"{name} is not available for traced values",
                hint="write it with other functions, or give it a derivative with wg.custom_jvp",
            )
        return found(*args, **kwargs)

    # ------------------------------------------------------------ operators

    __add__ = _binary("add")
    __radd__ = _binary("add", reflected=True)
    __sub__ = _binary("subtract")
    __rsub__ = _binary("subtract", reflected=True)
    __mul__ = _binary("multiply")
    __rmul__ = _binary("multiply", reflected=True)
    __truediv__ = _binary("divide")
    __rtruediv__ = _binary("divide", reflected=True)
    __floordiv__ = _binary("floor_divide")
    __rfloordiv__ = _binary("floor_divide", reflected=True)
    __mod__ = _binary("remainder")
    __rmod__ = _binary("remainder", reflected=True)
    __eq__ = _binary("equal")
    __ne__ = _binary("not_equal")
    __lt__ = _binary("less")
    __le__ = _binary("less_equal")
    __gt__ = _binary("greater")
    __ge__ = _binary("greater_equal")
    __and__ = _binary("bitwise_and")
    __rand__ = _binary("bitwise_and", reflected=True)
    __or__ = _binary("bitwise_or")
    __ror__ = _binary("bitwise_or", reflected=True)
    __xor__ = _binary("bitwise_xor")
    __rxor__ = _binary("bitwise_xor", reflected=True)
    __lshift__ = _binary("left_shift")
    __rshift__ = _binary("right_shift")
    __neg__ = _unary("negative")
    __pos__ = _unary("positive")
    __abs__ = _unary("absolute")
    __invert__ = _unary("invert")
    __iadd__ = _in_place("add")
    __isub__ = _in_place("subtract")
    __imul__ = _in_place("multiply")
    __itruediv__ = _in_place("divide")
    __ifloordiv__ = _in_place("floor_divide")
    __imod__ = _in_place("remainder")

    def __pow__(self, exponent: Any) -> Any:
        return raise_to(self, exponent)

    def __rpow__(self, base: Any) -> Any:
        return TABLE["power"](base, self) if isinstance(base, _NUMBERS) else NotImplemented

    def __ipow__(self, exponent: Any) -> Any:
        value = raise_to(self, exponent)
        if value is NotImplemented or not (self.shape or type(self) is not Variable):
            return value
        self[...] = value
        return self

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __matmul__(self, other: Any) -> Any:
        return FUNCTIONS[np.matmul](self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return FUNCTIONS[np.matmul](other, self)

    # ------------------------------------------------------------ parts

    def __getitem__(self, key: Any) -> Any:
        return indexing.read(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._assign(indexing.write(self, key, value))

    def _assign(self, new: Any) -> None:
        # `new` is this array with a part replaced; from now on the handle stands for it.
        if new._tape is not self._tape:
            raise MutationError(
                "a value of an inner transformation was assigned into an array that was made "
                "outside it",
                hint="make the array inside the inner function and return it",
            )
        self._index = new._index


_NUMBERS = (Traced, int, float, np.ndarray, np.generic, list, tuple)


def raise_to(base: Any, exponent: Any) -> Any:
    """`base ** exponent`; an integer exponent becomes part of the graph's structure."""
    if isinstance(exponent, (int, np.integer)) and not isinstance(exponent, bool):
        n = int(exponent)
        if n == 2:
            return TABLE["square"](base)
        if base._type.is_float or n >= 0:
            return TABLE["integer_power"](base, n=n)
    if not isinstance(exponent, _NUMBERS):
        return NotImplemented
    return TABLE["power"](base, exponent)


def _apply_unary(op: Any, x: Any) -> Any:
    # The short path of recording: a float operand of an open tape needs no promotion.
    tape = x._tape
    type_ = x._type
    if tape.fast and type_.is_float:
        result = op._inferred.get(((type_,), ()))
        if result is not None:
            entries = tape.entries
            operands = (x._index,)
            index = len(entries)
            entries.append((op, operands, (), result))
            return Variable(tape, index, result)
    return op(x)


def _call_ufunc(op: Any, inputs: Any, kwargs: dict[str, Any]) -> Any:
    out = kwargs.pop("out", None)
    where = kwargs.pop("where", True)
    dtype = kwargs.pop("dtype", None)
    kwargs.pop("casting", None)
    kwargs.pop("order", None)
    kwargs.pop("subok", None)
    if kwargs:
        raise DTypeError(
            f"{op.name}: the arguments {sorted(kwargs)} are not available for traced values"
        )
    if dtype is not None:
        inputs = [FUNCTIONS["astype"](x, dtype) for x in inputs]
    result = op(*inputs)
    if out is None:
        if where is not True:
            raise DTypeError(
                f"{op.name}: where= without out= leaves elements undefined",
                hint="use np.where(condition, result, other)",
            )
        return result
    (target,) = out
    if not isinstance(target, Variable):
        raise ConversionError(
            f"{op.name}: out= is a NumPy array, which can't hold a traced value",
            hint="leave out= away and use the result",
        )
    target[...] = result if where is True else TABLE["where"](where, result, target)
    return target


Recorder.handle = Variable
HANDLES.add(Variable)
