"""Formulas as data: sums, products and powers in a normal form, everything else as calls.

Equal formulas are one object (`Algebra` interns them), so that a formula is a directed acyclic
graph, linear in the size of what it was made from. The normal form merges numbers, signs, equal
terms and equal factors; it never expands a product of sums. Sums and products beyond a few parts
are not merged with others, or a long chain of additions would take quadratic time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from wengert.explain.spelling import INFIX
from wengert.graph.text import params_text

__all__ = ["Algebra", "Call", "Expression", "Number", "Power", "Product", "Sum", "Symbol"]

_MOST_MERGED = 12
_EXACT = 2**53
_MOST_TRIED = 1_000_000

Numeric = Fraction | float | bool


class Expression:
    """Base of all formulas. `order` counts them in the order of making: operands come first."""

    __slots__ = ("order",)

    order: int

    @property
    def parts(self) -> Sequence[Expression]:
        """The formulas that this one is made of."""
        return ()


class Number(Expression):
    """A number: exact where it is an integer or a simple fraction, else a float."""

    __slots__ = ("value",)

    def __init__(self, value: Numeric) -> None:
        self.value = value


class Symbol(Expression):
    """A name: an input, or an operator's result."""

    __slots__ = ("latex", "name")

    def __init__(self, name: str, latex: str) -> None:
        self.name = name
        self.latex = latex


class Sum(Expression):
    """Terms with numeric coefficients; a number among them is a term times 1."""

    __slots__ = ("terms",)

    def __init__(self, terms: tuple[tuple[Expression, Numeric], ...]) -> None:
        self.terms = terms

    @property
    def parts(self) -> Sequence[Expression]:
        return [e for e, _ in self.terms]


class Product(Expression):
    """A coefficient times factors, each to a numeric power."""

    __slots__ = ("coefficient", "factors")

    def __init__(
        self, coefficient: Numeric, factors: tuple[tuple[Expression, Numeric], ...]
    ) -> None:
        self.coefficient = coefficient
        self.factors = factors

    @property
    def parts(self) -> Sequence[Expression]:
        return [e for e, _ in self.factors]


class Power(Expression):
    """A power whose exponent is not a number."""

    __slots__ = ("base", "exponent")

    def __init__(self, base: Expression, exponent: Expression) -> None:
        self.base = base
        self.exponent = exponent

    @property
    def parts(self) -> Sequence[Expression]:
        return (self.base, self.exponent)


class Call(Expression):
    """An operator of the rule table applied to formulas."""

    __slots__ = ("args", "op", "params")

    def __init__(self, op: Any, args: tuple[Expression, ...], params: tuple[Any, ...]) -> None:
        self.op = op
        self.args = args
        self.params = params

    @property
    def parts(self) -> Sequence[Expression]:
        return self.args

    @property
    def options(self) -> str:
        """The static parameters as text."""
        return params_text(self.params)


def as_number(value: Any) -> Numeric:
    """A plain number from a NumPy or Python one, exact where that is short."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, Fraction):
        return _bounded(value)
    number = float(value)
    if number.is_integer() and abs(number) < _EXACT:
        return Fraction(int(number))
    if np.isfinite(number) and number != 0.0:
        exact = Fraction(number)
        if exact.denominator <= 64:
            return _bounded(exact)
    return number


def _bounded(value: Fraction) -> Numeric:
    if abs(value.numerator) < _EXACT and value.denominator < _EXACT:
        return value
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _times(a: Numeric, b: Numeric) -> Numeric:
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return _bounded(a * b)
    return as_number(float(a) * float(b))


def _plus(a: Numeric, b: Numeric) -> Numeric:
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return _bounded(a + b)
    return as_number(float(a) + float(b))


def _to_power(a: Numeric, n: Numeric) -> Numeric | None:
    # None where the power of numbers is better left as it stands.
    if isinstance(a, Fraction) and isinstance(n, Fraction) and n.denominator == 1:
        if (a == 0 and n < 0) or abs(n) > 64:
            return None
        return _bounded(a ** int(n))
    with np.errstate(all="ignore"):
        return as_number(np.power(np.float64(float(a)), float(n)))


class Algebra:
    """Makes formulas; equal ones are the same object."""

    def __init__(self) -> None:
        self._known: dict[Any, Expression] = {}
        self.zero = self.number(0)
        self.one = self.number(1)

    def _intern(self, key: Any, make: Callable[[], Expression]) -> Expression:
        found = self._known.get(key)
        if found is None:
            found = make()
            found.order = len(self._known)
            self._known[key] = found
        return found

    # ------------------------------------------------------------ leaves

    def number(self, value: Any) -> Expression:
        """A number."""
        exact = as_number(value)
        return self._intern(("number", type(exact), repr(exact)), lambda: Number(exact))

    def symbol(self, name: str, latex: str) -> Expression:
        """A name."""
        return self._intern(("symbol", name), lambda: Symbol(name, latex))

    # ------------------------------------------------------------ sums and products

    def add(self, a: Expression, b: Expression, sign: int = 1) -> Expression:
        """a + b, or a - b."""
        collected: dict[Expression, Numeric] = {}
        for expression, factor in ((a, Fraction(1)), (b, Fraction(sign))):
            for term, coefficient in self._terms(expression, factor):
                collected[term] = _plus(collected.get(term, Fraction(0)), coefficient)
        terms = tuple((e, c) for e, c in collected.items() if c != 0)
        if not terms:
            return self.zero
        if len(terms) == 1:
            return self.scale(terms[0][0], terms[0][1])
        # Equal up to order: the first one made decides how it is written.
        return self._intern(("sum", frozenset(terms)), lambda: Sum(terms))

    def _terms(self, e: Expression, factor: Numeric) -> list[tuple[Expression, Numeric]]:
        if isinstance(e, Number):
            return [(self.one, _times(e.value, factor))]
        if isinstance(e, Sum) and factor == 1 and len(e.terms) <= _MOST_MERGED:
            return list(e.terms)
        if isinstance(e, Product) and e.coefficient != 1:
            return [(self._product(Fraction(1), e.factors), _times(e.coefficient, factor))]
        return [(e, factor)]

    def scale(self, e: Expression, coefficient: Numeric) -> Expression:
        """A number times a formula."""
        return self.multiply(self.number(coefficient), e)

    def multiply(self, a: Expression, b: Expression) -> Expression:
        """a * b."""
        coefficient: Numeric = Fraction(1)
        collected: dict[Expression, Numeric] = {}
        for e in (a, b):
            if isinstance(e, Number):
                coefficient = _times(coefficient, e.value)
            elif isinstance(e, Product) and len(e.factors) <= _MOST_MERGED:
                coefficient = _times(coefficient, e.coefficient)
                for base, n in e.factors:
                    collected[base] = _plus(collected.get(base, Fraction(0)), n)
            else:
                collected[e] = _plus(collected.get(e, Fraction(0)), Fraction(1))
        return self._product(coefficient, tuple((e, n) for e, n in collected.items() if n != 0))

    def _product(
        self, coefficient: Numeric, factors: tuple[tuple[Expression, Numeric], ...]
    ) -> Expression:
        if coefficient == 0:
            return self.zero
        if not factors:
            return self.number(coefficient)
        if coefficient == 1 and len(factors) == 1 and factors[0][1] == 1:
            return factors[0][0]
        ordered = tuple(sorted(factors, key=lambda f: _rank(f[0])))
        return self._intern(
            ("product", repr(coefficient), frozenset(factors)),
            lambda: Product(coefficient, ordered),
        )

    def negate(self, e: Expression) -> Expression:
        """-a."""
        return self.scale(e, Fraction(-1))

    def divide(self, a: Expression, b: Expression) -> Expression:
        """a / b."""
        return self.multiply(a, self.to_power(b, self.number(-1)))

    def to_power(self, base: Expression, exponent: Expression) -> Expression:
        """base ** exponent."""
        if not isinstance(exponent, Number):
            return self._intern(("power", base, exponent), lambda: Power(base, exponent))
        n = exponent.value
        if n == 0:
            return self.one
        if n == 1:
            return base
        whole = isinstance(n, Fraction) and n.denominator == 1
        if isinstance(base, Number):
            folded = _to_power(base.value, n)
            if folded is not None:
                return self.number(folded)
        elif isinstance(base, Product) and whole and len(base.factors) <= _MOST_MERGED:
            folded = _to_power(base.coefficient, n)
            if folded is not None:
                return self._product(folded, tuple((e, _times(m, n)) for e, m in base.factors))
        return self._intern(
            ("product", repr(Fraction(1)), frozenset([(base, n)])),
            lambda: Product(Fraction(1), ((base, n),)),
        )

    # ------------------------------------------------------------ operators

    def apply(
        self,
        op: Any,
        args: Sequence[Expression],
        params: tuple[tuple[str, Any], ...],
        shapes: Sequence[tuple[int, ...]] = (),
        shape: tuple[int, ...] = (),
    ) -> Expression:
        """An operator of the rule table applied to formulas.

        `shapes` and `shape` are those of the operands and of the result.
        """
        build = _ALGEBRA.get(op.name)
        if build is not None:
            return build(self, *args, **dict(params))
        if op.family == "linear" and len(args) == 1 and len(shapes) == 1:
            scaled = self._scaled(op, args[0], params, shapes[0], shape)
            if scaled is not None:
                return scaled
        if not op.differentiable and args and all(isinstance(a, Number) for a in args):
            folded = _evaluated(op, args, params)
            if folded is not None:
                return self.number(folded)
        kept = tuple(args)
        return self._intern(("call", op, kept, params), lambda: Call(op, kept, params))

    def _scaled(
        self,
        op: Any,
        x: Expression,
        params: tuple[tuple[str, Any], ...],
        shape: tuple[int, ...],
        result_shape: tuple[int, ...],
    ) -> Expression | None:
        # A linear function multiplies a single number, or an array of equal ones, by a number.
        if not (isinstance(x, Number) or shape == result_shape == ()):
            return None
        if math.prod(shape) > _MOST_TRIED:
            return None
        tried = np.asarray(op.evaluate(np.ones(shape)[()], **dict(params)))
        if not tried.size or not np.all(tried == tried.flat[0]):
            return None
        return self.scale(x, as_number(tried.flat[0]))

    def select(self, condition: Expression, a: Expression, b: Expression) -> Expression:
        """where(condition, a, b)."""
        from wengert.ops import TABLE

        if isinstance(condition, Number):
            return a if condition.value else b
        if a is b:
            return a
        return self._intern(
            ("call", TABLE["where"], (condition, a, b), ()),
            lambda: Call(TABLE["where"], (condition, a, b), ()),
        )


def _rank(e: Expression) -> int:
    if isinstance(e, Symbol):
        return 0
    return 2 if isinstance(e, Sum) else 1


def _evaluated(op: Any, args: Sequence[Any], params: tuple[tuple[str, Any], ...]) -> Any:
    values = [a.value if isinstance(a.value, bool) else float(a.value) for a in args]
    try:
        with np.errstate(all="ignore"):
            result = op.evaluate(*[np.asarray(v)[()] for v in values], **dict(params))
    except (TypeError, ValueError, IndexError):
        return None
    return result if np.ndim(result) == 0 else None


def _integer_power(algebra: Algebra, x: Expression, n: int) -> Expression:
    return algebra.to_power(x, algebra.number(n))


#: What the normal form knows about; all other operators are printed as calls.
_ALGEBRA: dict[str, Callable[..., Expression]] = {
    "add": lambda a, x, y: a.add(x, y),
    "subtract": lambda a, x, y: a.add(x, y, -1),
    "multiply": lambda a, x, y: a.multiply(x, y),
    "divide": lambda a, x, y: a.divide(x, y),
    "negative": lambda a, x: a.negate(x),
    "positive": lambda a, x: x,
    "reciprocal": lambda a, x: _integer_power(a, x, -1),
    "square": lambda a, x: _integer_power(a, x, 2),
    "integer_power": _integer_power,
    "power": lambda a, x, y: a.to_power(x, y),
    "cast": lambda a, x, dtype: x,
    "where": lambda a, c, x, y: a.select(c, x, y),
}

assert not set(_ALGEBRA) & set(INFIX)
