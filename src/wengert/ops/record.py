"""The record of an operator, and the table of all records.

An operator is declared in one place. Its *family* (a subclass of `Op`) derives from the
declaration everything that the system asks of it:

    promote     the dtypes that its operands are converted to before it computes
    infer       the type of its result, or an error that says what doesn't fit
    evaluate    its value, by NumPy
    pushforward the tangent of its result from the tangents of its operands
    pullback    the cotangents of its operands from the cotangent of its result
    batch       itself over a further, first axis

`pushforward` and `pullback` follow from the one derivative rule of the declaration: `partials`
(`Elementwise`), `transpose` (`Linear`) or `jvp` (`General`); `Discrete` operators are locally
constant and have no derivative.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from wengert.errors import ArgumentError, DTypeError, NoValueError, ShapeError
from wengert.graph import innermost, sizes
from wengert.graph.types import Type

__all__ = ["TABLE", "Op", "Unread", "type_error"]

#: Every operator by its name.
TABLE: dict[str, Op] = {}

_CACHE_LIMIT = 8192


class Unread:
    """Stands for a linear operand in a transpose rule: its type is known, its value is not."""

    __slots__ = ("_type",)

    def __init__(self, type_: Type) -> None:
        self._type = type_

    shape = property(lambda self: self._type.shape)
    dtype = property(lambda self: self._type.dtype)
    ndim = property(lambda self: self._type.ndim)
    size = property(lambda self: self._type.size)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise NoValueError("a transpose rule read the operand in which its operator is linear")

    __array_ufunc__ = __array_function__ = __array__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __truediv__ = __rtruediv__ = __neg__ = __pow__ = __getitem__ = _refuse


class Op:
    """An operator: abstract; each family is a final subclass.

    Attributes
    ----------
    name : its name, NumPy's wherever NumPy has one
    arity : number of operands; None where it varies
    parameters : names of its static parameters
    symbol : how a drawing labels it, such as ×
    latex : format string of the operands, such as ``\\tanh {0}``
    samples : (rng, dtype) -> list of (operands, params): inputs for the generated tests, inside
        the domain and away from points without a derivative
    edges : operand tuples at special values, for the tests of values
    can_fail : whether there are operands of the right types for which it has no value: an index
        outside its axis, a singular matrix. Tapes note the user's line for such an operator
    source : where the formula or algorithm comes from
    """

    family = "operator"
    #: Whether derivatives flow through it at all.
    differentiable = True
    #: The form of `evaluate` that writes into its first operand, for operators that replace a part
    #: of it; the interpreter uses it when nothing else refers to that array.
    in_place: Callable[..., Any] | None = None
    #: Whether the reverse sweep gets its operands back from its results: such an operator has
    #: `recovering_pullback(ys, xs, cotangent, needed, params)` in place of `pullback`.
    recovers = False

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        symbol: str = "",
        latex: str = "",
        source: str = "",
        samples: Callable[..., Any] | None = None,
        edges: Sequence[tuple[float, ...]] = (),
        can_fail: bool = False,
    ) -> None:
        self.name = function.__name__
        code = function.__code__  # quicker than inspect.signature, for a hundred operators
        count, names = code.co_argcount, code.co_varnames
        self.arity: int | None = None if code.co_flags & inspect.CO_VARARGS else count
        self.operand_names = names[:count]
        self.parameters = set(names[count : count + code.co_kwonlyargcount])
        self.symbol = symbol or self.name
        self.latex = latex
        self.source = source
        self.samples = samples
        self.edges = tuple(edges)
        self.can_fail = can_fail
        self.__doc__ = function.__doc__
        self._inferred: dict[Any, Any] = {}
        #: What `Tape.apply` knows: (operand types, parameters) -> (these parameters, type), where
        #: nothing is converted. Entries with equal parameters share one object.
        self.direct: dict[Any, Any] = {}
        if self.name in TABLE:
            raise ValueError(f"operator {self.name} is declared twice")
        TABLE[self.name] = self

    @property
    def doc(self) -> str:
        """The docstring of the declaration."""
        return inspect.cleandoc(self.__doc__ or "")

    def __repr__(self) -> str:
        return f"<operator {self.name}>"

    def __reduce__(self) -> str:
        return self.name

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Apply: record on the innermost tape of `args`, or compute if none of them is traced."""
        tape = innermost(args)
        if tape is None:
            return self.evaluate(
                *[a if isinstance(a, np.generic) else np.asarray(a) for a in args], **params
            )
        return tape.apply(self, args, tuple(sorted(params.items())) if params else ())

    # ------------------------------------------------------------ asked by the system

    def promote(self, kinds: Sequence[Any], params: dict[str, Any]) -> Sequence[Any]:
        """The dtype to convert each operand to (None: as it is).

        `kinds` holds a NumPy dtype per operand, or `bool`, `int`, `float` for a Python number,
        which takes its dtype from the others. Unless a family says otherwise, operands stay as
        they are and Python numbers become NumPy's default dtypes.
        """
        del params
        return [np.dtype(k) if isinstance(k, type) else None for k in kinds]

    def infer(self, types: tuple[Any, ...], params: tuple[tuple[str, Any], ...]) -> Any:
        """The type of the result for operands of these types. Cached."""
        key = (types, params)
        found = self._inferred.get(key)
        if sizes.watching:
            sizes.note(params, found)
        if found is None:
            self._check_call(len(types), {name for name, _ in params})
            found = self._infer(types, dict(params))
            if len(self._inferred) >= _CACHE_LIMIT:
                self._inferred.clear()
            if sizes.watching:  # perhaps on sizes that come once
                sizes.note(found)
            else:
                self._inferred[key] = found
        return found

    def _check_call(self, count: int, names: set[str]) -> None:
        if self.arity is not None and count != self.arity:
            raise ArgumentError(f"{self.name}: expected {self.arity} operands, not {count}")
        if names != self.parameters:
            raise ArgumentError(
                f"{self.name}: expected the parameters {sorted(self.parameters)}, not "
                f"{sorted(names)}"
            )

    def _infer(self, types: tuple[Any, ...], params: dict[str, Any]) -> Any:
        raise NotImplementedError

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """The value, by NumPy. Never modifies its operands."""
        raise NotImplementedError

    def pushforward(self, y: Any, xs: Sequence[Any], tangents: Sequence[Any], params: Any) -> Any:
        """The tangent of the result, or None if it is zero by structure.

        `y` is the result, `xs` the operands, `tangents` theirs (None: zero by structure).
        """
        raise NotImplementedError

    def pullback(
        self, y: Any, xs: Sequence[Any], cotangent: Any, needed: Sequence[bool], params: Any
    ) -> Sequence[Any]:
        """The cotangent of each needed operand (None: zero by structure, or not needed)."""
        raise NotImplementedError

    def batch(self, args: Sequence[Any], batched: Sequence[bool], size: int, params: Any) -> Any:
        """The operator over a batch axis, which comes first in batched operands and the result."""
        raise NotImplementedError

    def label(self, params: dict[str, Any]) -> str:
        """What a drawing writes into the node."""
        del params
        return self.symbol

    def test_samples(self, rng: Any, dtype: Any) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        """Operands and parameters to test the operator on."""
        if self.samples is None:
            raise ValueError(f"operator {self.name} declares no samples")
        return list(self.samples(rng, dtype))


def type_error(op: Op, expected: str, types: Sequence[Any], hint: str = "") -> ShapeError:
    """A `ShapeError` in the project's form."""
    shown = ", ".join(f"operand {i} is {t}" for i, t in enumerate(types))
    return ShapeError(f"{op.name}: expected {expected}, but {shown}", hint=hint)


def dtype_error(op: Op, kinds: Sequence[Any]) -> DTypeError:
    """A `DTypeError` in the project's form."""
    shown = ", ".join(str(np.dtype(k)) for k in kinds)
    return DTypeError(f"{op.name}: is not defined for operands of dtype {shown}")
