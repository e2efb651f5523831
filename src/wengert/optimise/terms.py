"""Patterns: expressions over pattern variables, written with wengert's own operators.

    x = variable("x")
    log1p(expm1(x))        # a Term: applying an operator of the rule table to a term gives a term
    x * 1.0                # 1.0 matches a constant all of whose elements are 1.0 (and not -1.0)
    reduce_sum(x, axes=parameter("axes"))

A term is matched against a list of entries by `match_operands`. Variables that occur twice must
stand for the same value number, which is enough since equal entries have equal numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

from wengert.graph import CONSTANT, Traced
from wengert.ops import TABLE

__all__ = [
    "Family",
    "Term",
    "constant",
    "match_operands",
    "parameter",
    "same_number",
    "variable",
    "variants",
]


class _Patterns:
    """What a tape is for variables: operators applied to terms are recorded as terms."""

    level = 0
    closed = False

    def apply(self, op: Any, args: Sequence[Any], params: tuple[tuple[str, Any], ...] = ()) -> Term:
        """The term of an operator applied to terms and numbers."""
        return Term("apply", op=op, args=tuple([_lift(a) for a in args]), params=params)


_PATTERNS = _Patterns()


def _binary(name: str, *, reflected: bool = False) -> Any:
    def method(self: Term, other: Any) -> Any:
        args = (other, self) if reflected else (self, other)
        return _PATTERNS.apply(TABLE[name], args)

    return method


class Term(Traced):
    """A pattern.

    Attributes
    ----------
    kind : "variable", "constant" (a variable for a constant without axes), "number", or "apply"
    name : of a variable
    value : of a number
    op, args, params : of an application; `op` may be a `Family`, a parameter may be a `Parameter`
    """

    __slots__ = ("args", "kind", "name", "op", "params", "value")

    def __init__(
        self,
        kind: str,
        *,
        name: str = "",
        value: Any = None,
        op: Any = None,
        args: tuple[Term, ...] = (),
        params: tuple[tuple[str, Any], ...] = (),
    ) -> None:
        super().__init__(_PATTERNS, 0, None)
        self.kind = kind
        self.name = name
        self.value = value
        self.op = op
        self.args = args
        self.params = params

    __add__ = _binary("add")
    __radd__ = _binary("add", reflected=True)
    __sub__ = _binary("subtract")
    __rsub__ = _binary("subtract", reflected=True)
    __mul__ = _binary("multiply")
    __rmul__ = _binary("multiply", reflected=True)
    __truediv__ = _binary("divide")
    __rtruediv__ = _binary("divide", reflected=True)

    def __neg__(self) -> Any:
        return _PATTERNS.apply(TABLE["negative"], (self,))

    def __repr__(self) -> str:
        if self.kind == "apply":
            shown = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.params]
            return f"{self.op.name}({', '.join(shown)})"
        return self.name if self.kind != "number" else repr(self.value)


class Parameter:
    """Matches any value of a static parameter."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


class Family:
    """Stands for any operator of a family (or for one operator, whatever its number of operands).

    `Family("elementwise", some=(broadcast_to,))()` is a term that matches any elementwise entry
    one of whose operands is made by `broadcast_to`; without `some`, operands may be anything.
    """

    def __init__(self, of: Any, *, some: tuple[Any, ...] = ()) -> None:
        self.of = of
        self.some = some
        own = f"any {of} operator" if isinstance(of, str) else of.name
        self.name = own + (f" of {' or '.join(op.name for op in some)}" if some else "")

    def __call__(self) -> Term:
        return Term("apply", op=self)

    def covers(self, op: Any, heads: Sequence[Any]) -> bool:
        """Whether an application of `op` to operands made by `heads` belongs to it."""
        if op is not self.of and op.family != self.of:
            return False
        return not self.some or any(h in self.some for h in heads)


def variable(name: str) -> Any:
    """A pattern variable: it matches any value."""
    return Term("variable", name=name)


def constant(name: str) -> Any:
    """A pattern variable that matches a constant number (one without axes)."""
    return Term("constant", name=name)


def parameter(name: str) -> Any:
    """A variable for a static parameter."""
    return Parameter(name)


def _lift(value: Any) -> Term:
    return value if isinstance(value, Term) else Term("number", value=value)


def same_number(a: Any, b: Any) -> bool:
    """Whether two numbers are equal, with equal signs if they are zero."""
    return bool(a == b and (a != 0 or math.copysign(1.0, a) == math.copysign(1.0, b)))


def variants(term: Term) -> list[Term]:
    """The term with the operands of commutative operators in every order."""
    if term.kind != "apply":
        return [term]
    choices = [variants(a) for a in term.args]
    found = []
    for args in product(*choices):
        orders = [args]
        commutes = "commutative" in getattr(term.op, "traits", ())
        if commutes and repr(args[0]) != repr(args[1]):
            orders.append(args[::-1])
        found += [Term("apply", op=term.op, args=tuple(o), params=term.params) for o in orders]
    return found


def match_operands(
    term: Term, operands: Sequence[int], params: Any, tape: Any, env: dict[str, Any]
) -> bool:
    """Match the operands and parameters of an application whose operator is that of `term`.

    Fills `env`: variable name -> value number, parameter name -> value, and under `""` the list
    of value numbers of the inner applications.
    """
    if isinstance(term.op, Family):
        return True
    if term.params != params:
        if len(term.params) != len(params):
            return False
        for (name, wanted), (own, value) in zip(term.params, params, strict=True):
            if name != own:
                return False
            if isinstance(wanted, Parameter):
                if env.setdefault(wanted.name, value) != value:
                    return False
            elif wanted != value:
                return False
    if len(term.args) != len(operands):
        return False
    for arg, k in zip(term.args, operands, strict=True):
        if arg.kind == "variable":
            if env.setdefault(arg.name, k) != k:
                return False
        elif not _match(arg, k, tape, env):
            return False
    return True


def _match(term: Term, k: int, tape: Any, env: dict[str, Any]) -> bool:
    kind = term.kind
    op, operands, params, type_ = tape.entries[k]
    if kind == "apply":
        if op is not term.op:
            return False
        env[""].append(k)
        return match_operands(term, operands, params, tape, env)
    if op is not CONSTANT or type_.shape:
        return False
    if kind == "constant":
        return bool(env.setdefault(term.name, k) == k)
    return same_number(tape.constants[k], term.value)
