"""How a NumPy function gets its implementation for traced values.

An implementation is an ordinary function whose parameters are NumPy's, in NumPy's order, as far as
they mean something here: `@implements(np.sum)` is its whole registration. What it lacks is refused
with an error that names the argument, except `out=`, which is served for all functions alike.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from wengert.capture.variable import FUNCTIONS, Variable
from wengert.capture.view import view
from wengert.errors import ArgumentError, ConversionError, DTypeError, ShapeError
from wengert.graph import Traced, current_tape
from wengert.ops import TABLE

__all__ = [
    "PUBLIC",
    "all_reshaped",
    "axes_of",
    "axis_of",
    "checked",
    "contains_traced",
    "fresh",
    "implements",
    "into",
    "kept_shape",
    "operand",
    "reshaped",
    "result_dtype",
    "view_of",
]

Function = Callable[..., Any]

#: What `wengert.numpy` exports: (module, name) -> function; the module is "" or "linalg".
PUBLIC: dict[tuple[str, str], Any] = {}


def implements(*functions: Any) -> Callable[[Function], Function]:
    """Register an implementation for NumPy functions (None: absent from this NumPy version).

    A function that NumPy lacks is given by its name; `wengert.numpy` exports it.
    """

    def register(implementation: Function) -> Function:
        for function in functions:
            if isinstance(function, str):
                PUBLIC["", function] = implementation
            elif function is not None:
                served = checked(function, implementation)
                FUNCTIONS[function] = served
                module = "linalg" if function.__module__ == "numpy.linalg" else ""
                PUBLIC[module, function.__name__] = _public(function, served)
        return implementation

    return register


def checked(function: Any, implementation: Function) -> Function:
    """The implementation, with arguments that it lacks refused or, at NumPy's default, dropped."""
    code = implementation.__code__  # quicker than inspect.signature, for hundreds of functions
    count = code.co_argcount
    accepted = frozenset(code.co_varnames[: count + code.co_kwonlyargcount])
    limit = 10**6 if code.co_flags & inspect.CO_VARARGS else count

    @functools.wraps(implementation)
    def call(*args: Any, **kwargs: Any) -> Any:
        if len(args) <= limit and (not kwargs or kwargs.keys() <= accepted):
            return implementation(*args, **kwargs)
        out = None
        if len(args) > limit:
            args, extra = args[:limit], _by_name(function, args)[limit:]
            kwargs = {**dict(extra), **kwargs}
        for name in [k for k in kwargs if k not in accepted]:
            value = kwargs.pop(name)
            if name == "out":
                out = value
            elif not _is_default(function, name, value):
                raise ArgumentError(
                    f"np.{function.__name__}: the argument {name}= is not available for traced "
                    "values",
                    hint="leave it away, or write the function with others",
                )
        result = implementation(*args, **kwargs)
        return result if out is None else into(out, result, function.__name__)

    return call


def _by_name(function: Any, args: tuple[Any, ...]) -> list[tuple[str, Any]]:
    names = list(inspect.signature(function).parameters)
    if len(args) > len(names):
        raise ArgumentError(
            f"np.{function.__name__}: takes {len(names)} positional arguments, not {len(args)}"
        )
    return list(zip(names, args, strict=False))


def _is_default(function: Any, name: str, value: Any) -> bool:
    try:
        parameter = inspect.signature(function).parameters.get(name)
    except ValueError:
        parameter = None
    if parameter is None:
        return False
    default = parameter.default
    return value is default or (isinstance(value, (str, bool, int)) and value == default)


def _public(function: Any, served: Function) -> Function:
    @functools.wraps(function)
    def public(*args: Any, **kwargs: Any) -> Any:
        if current_tape() is not None and contains_traced((args, tuple(kwargs.values()))):
            return served(*args, **kwargs)
        return function(*args, **kwargs)

    return public


def contains_traced(values: Any) -> bool:
    """Whether a traced value stands in a nest of lists and tuples."""
    stack = [values]
    while stack:
        for value in stack.pop():
            if isinstance(value, Traced):
                return True
            if isinstance(value, (list, tuple)):
                stack.append(value)
    return False


# ---------------------------------------------------------------- arguments


def operand(x: Any) -> Any:
    """An argument as a traced value or an array; nested lists may contain traced values."""
    if isinstance(x, (Traced, np.ndarray, np.generic)):
        return x
    if isinstance(x, (list, tuple)) and contains_traced(x):
        return _nested(x)
    return np.asarray(x)


def _nested(values: Any) -> Any:
    parts = [operand(v) for v in values]
    shapes = {p.shape for p in parts}
    if len(shapes) != 1:
        raise ShapeError(
            f"array: the elements of a nested list must have one shape, not {sorted(shapes)}"
        )
    rows = all_reshaped(parts, (1, *parts[0].shape))
    return TABLE["concatenate"](*rows, axis=0)


def axis_of(axis: Any, ndim: int, name: str) -> int:
    """One axis as a number from 0 on."""
    try:
        number = operator.index(axis)
    except TypeError:
        raise ArgumentError(f"{name}: an axis must be an integer, not {axis!r}") from None
    if not -ndim <= number < ndim:
        raise ShapeError(f"{name}: axis {number} is out of bounds for an array with {ndim} axes")
    return number % ndim


def axes_of(axis: Any, ndim: int, name: str) -> tuple[int, ...]:
    """Axes as ascending numbers; None means all."""
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, (tuple, list)):
        return (axis_of(axis, ndim, name),)
    axes = sorted(axis_of(a, ndim, name) for a in axis)
    if len(set(axes)) != len(axes):
        raise ArgumentError(f"{name}: an axis occurs twice in axis={axis!r}")
    return tuple(axes)


def kept_shape(shape: tuple[int, ...], axes: Iterable[int]) -> tuple[int, ...]:
    """A shape with the given axes made 1, as keepdims=True leaves it."""
    gone = set(axes)
    return tuple(1 if a in gone else n for a, n in enumerate(shape))


def result_dtype(*values: Any) -> np.dtype[Any]:
    """NumPy's common dtype of arrays, traced values and Python numbers."""
    kinds = [v.dtype if isinstance(v, Variable) else v for v in values]
    return np.result_type(*kinds)


# ---------------------------------------------------------------- results


def reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    """New values with another shape (no view); nothing is recorded where the shape is the same."""
    return x if x.shape == shape else TABLE["reshape"](x, shape=shape)


def all_reshaped(parts: Sequence[Any], shape: tuple[int, ...]) -> list[Any]:
    """Each of several arrays of one shape with another shape."""
    tape = parts[0]._tape if parts[0].__class__ is Variable else None
    is_one = all(p.__class__ is Variable and p._tape is tape for p in parts)
    if tape is None or not is_one or parts[0].shape == shape:
        return [reshaped(p, shape) for p in parts]
    found: list[Any] = tape.apply_each(TABLE["reshape"], parts, (("shape", shape),))
    return found


def view_of(x: Any, name: str, **params: Any) -> Any:
    """The view by a shape operator if x is a variable, its NumPy value if x is an array."""
    return view(x, name, **params) if isinstance(x, Variable) else TABLE[name](x, **params)


def fresh(x: Any) -> Any:
    """A copy: the same value under a handle of its own."""
    if isinstance(x, Traced):
        return x._tape.handle(x._tape, x._index, x._type)
    return np.array(x, copy=True)


def into(out: Any, result: Any, name: str) -> Any:
    """Store a result into the `out=` argument of function `name`."""
    target = out[0] if isinstance(out, tuple) and len(out) == 1 else out
    if not isinstance(target, Variable):
        raise ConversionError(
            f"np.{name}: out= is no traced array, so it can't hold a traced value",
            hint="leave out= away and use the result, or make the array with wengert.numpy",
        )
    if target.shape != result.shape:
        raise ShapeError(f"np.{name}: out= has shape {target.shape}, the result {result.shape}")
    if not np.can_cast(result.dtype, target.dtype, "same_kind"):
        raise DTypeError(f"np.{name}: out= has dtype {target.dtype}, the result {result.dtype}")
    target[...] = result
    return target
