"""Variables that stand for Python numbers.

NumPy lets a Python number take the dtype of the array that it meets: `x * 0.1` is float32 if `x`
is. A traced Python number must do so too, or passing a learning rate would turn float32 parameters
into float64 ones. What Python's operators make of such numbers are such numbers again; what NumPy's
functions make of them are NumPy scalars, hence ordinary variables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wengert.capture.variable import Variable

__all__ = ["PythonNumber"]

_KINDS: dict[str, type] = {"f": float, "i": int, "b": bool}
_NUMBERS = (bool, int, float)
_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")
_OTHERS = ("neg", "pos", "abs", "eq", "ne", "lt", "le", "gt", "ge")


class PythonNumber(Variable):
    """A traced bool, int or float, which takes its dtype from the arrays that it meets."""

    __slots__ = ()

    @property
    def _python_kind(self) -> type:
        return _KINDS[self._type.dtype.kind]


def _is_python_number(value: Any) -> bool:
    # np.float64 is a subclass of float.
    return isinstance(value, PythonNumber) or (
        isinstance(value, _NUMBERS) and not isinstance(value, np.generic)
    )


def _operator(plain: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *others: Any) -> Any:
        made = plain(self, *others)
        if isinstance(made, Variable) and all(map(_is_python_number, others)):
            return PythonNumber(made._tape, made._index, made._type)
        return made

    return method


for _name in [*_OTHERS, *_BINARY, *(f"r{name}" for name in _BINARY)]:
    setattr(PythonNumber, f"__{_name}__", _operator(getattr(Variable, f"__{_name}__")))
