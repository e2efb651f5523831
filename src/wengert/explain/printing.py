"""Printing formulas in three styles, without recursion and in time linear in what is printed.

`code` is Python that NumPy can evaluate, `pretty` is for tables and drawings, `latex` for print.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from wengert.explain.expression import (
    Call,
    Expression,
    Number,
    Numeric,
    Power,
    Product,
    Sum,
    Symbol,
)
from wengert.explain.spelling import (
    ATOM,
    COMPARISON,
    INFIX,
    OR,
    POWER,
    PRODUCT,
    SUM,
    UNARY_MINUS,
    array_spelling,
)
from wengert.explain.values import number_text
from wengert.graph.tuples import NamedTuple

__all__ = ["Style", "latex_name", "latex_number", "postorder", "print_formula", "tree_sizes"]

Style = str
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
#: How an operand of a `Call` is enclosed in a LaTeX format decides whether it needs parentheses.
_ENCLOSED = re.compile(r"(\{\{|\(|,|\\lvert|\\lfloor|\\lceil)\s*$")
_CLOSED = re.compile(r"^\s*(\}\}|\)|,|\\rvert|\\rfloor|\\rceil)")
_SLOT = re.compile(r"(\{\d+\})")
_BRACKETS = re.compile(r"\{\{[^{}]*\}\}|\{\d+\}|\([^()]*\)")
_RELATION = re.compile(r"[=<>?:]|\\(ne|le|ge|land|lor|oplus|bmod|mid|ll|gg)\b")


class _Open(NamedTuple):
    """A formula still to be printed, inside something of the given precedence."""

    expression: Expression
    precedence: int
    defining: bool = False


def postorder(roots: list[Expression]) -> list[Expression]:
    """Every formula under `roots` once, parts first."""
    seen: set[int] = set()
    stack = list(roots)
    found: list[Expression] = []
    while stack:
        e = stack.pop()
        if e.order not in seen:
            seen.add(e.order)
            found.append(e)
            stack.extend(e.parts)
    return sorted(found, key=lambda e: e.order)


def tree_sizes(root: Expression, limit: int) -> dict[int, int]:
    """How many formulas each part of `root` has when written out, up to `limit`; by `order`."""
    sizes: dict[int, int] = {}
    for e in postorder([root]):
        sizes[e.order] = min(1 + sum([sizes[p.order] for p in e.parts]), limit)
    return sizes


def latex_name(name: str) -> str:
    """A name in LaTeX: h12 becomes h_{12}, several letters become upright, markup is inert."""
    simple = re.fullmatch(r"([A-Za-z])_?(\d*)", name)
    if simple:
        letter, digits = simple.groups()
        return f"{letter}_{{{digits}}}" if digits else letter
    return r"\mathrm{" + latex_text(name) + "}"


def latex_text(text: str) -> str:
    """Any text with LaTeX's special characters made inert."""
    special = {
        "\\": r"\backslash ",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "#": r"\#",
        "^": r"\hat{}",
        "_": r"\_",
        "%": r"\%",
        "~": r"\sim ",
        "<": "<",
        ">": ">",
    }
    return "".join(special.get(c, c) for c in text)


def latex_number(value: Any) -> str:
    """A number in LaTeX."""
    text = number_text(value)
    if text in ("inf", "-inf"):
        return text.replace("inf", r"\infty")
    if text in ("NaN", "True", "False"):
        return rf"\mathrm{{{text}}}"
    mantissa, e, exponent = text.partition("e")
    return rf"{mantissa} \cdot 10^{{{exponent}}}" if e else text


def print_formula(
    root: Expression,
    style: Style = "code",
    names: Mapping[Expression, str] | None = None,
    *,
    define: bool = False,
) -> str:
    """The formula as text.

    Parameters
    ----------
    names : formulas that are written by a name instead
    define : whether `root` itself is written out although it has a name
    """
    names = names or {}
    printer = _PRINTERS[style]
    out: list[str] = []
    stack: list[str | _Open] = [_Open(root, OR, define)]
    while stack:
        top = stack.pop()
        if isinstance(top, str):
            out.append(top)
            continue
        name = None if top.defining else names.get(top.expression)
        if name is not None:
            out.append(latex_name(name) if style == "latex" else name)
            continue
        precedence, pieces = printer(top.expression, names)
        if precedence < top.precedence:
            left, right = (r"\left(", r"\right)") if style == "latex" else ("(", ")")
            pieces = [left, *pieces, right]
        stack.extend(reversed(pieces))
    return "".join(out)


Pieces = list[str | _Open]
Names = Mapping[Expression, str]


def _number_code(value: Numeric) -> str:
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, Fraction) and value.denominator == 1:
        return str(value.numerator)
    text = repr(float(value))
    return {"nan": "nan", "inf": "inf", "-inf": "-inf"}.get(text, text)


def _number_pretty(value: Numeric) -> str:
    return str(value) if isinstance(value, Fraction) else number_text(value)


def _is_negative(value: Numeric) -> bool:
    return not isinstance(value, bool) and value < 0


def _ordered_terms(e: Sum) -> list[tuple[Expression, Numeric]]:
    # A sum begins with a positive term where it has one.
    first = next((i for i, (_, c) in enumerate(e.terms) if not _is_negative(c)), 0)
    return [e.terms[first], *e.terms[:first], *e.terms[first + 1 :]]


class _TextPrinter:
    def __init__(self, pretty: bool) -> None:
        self.times = "·" if pretty else "*"
        self.pretty = pretty
        self.number = _number_pretty if pretty else _number_code

    def __call__(self, e: Expression, names: Names) -> tuple[int, Pieces]:
        if isinstance(e, Number):
            text = self.number(e.value)
            loose = "/" in text or text.startswith("-")
            return (PRODUCT if "/" in text else UNARY_MINUS) if loose else ATOM, [text]
        if isinstance(e, Symbol):
            return ATOM, [e.name]
        if isinstance(e, Sum):
            return SUM, self._sum(e, names)
        if isinstance(e, Product):
            return self._product(e.coefficient, e.factors)
        if isinstance(e, Power):
            return POWER, [_Open(e.base, ATOM), "**", _Open(e.exponent, UNARY_MINUS)]
        assert isinstance(e, Call)
        return self._call(e)

    def _sum(self, e: Sum, names: Names) -> Pieces:
        pieces: Pieces = []
        for i, (term, c) in enumerate(_ordered_terms(e)):
            negative = _is_negative(c)
            if i or negative:
                pieces.append((" - " if negative else " + ") if i else "-")
            pieces += self._term(term, -c if negative else c, names)
        return pieces

    def _term(self, term: Expression, c: Numeric, names: Names) -> Pieces:
        if isinstance(term, Number):
            return [self.number(c)]
        if c == 1:
            return [_Open(term, PRODUCT)]
        if isinstance(term, Product) and term.coefficient == 1 and term not in names:
            return self._product(c, term.factors)[1]
        return self._product(c, ((term, Fraction(1)),))[1]

    def _product(
        self, coefficient: Numeric, factors: tuple[tuple[Expression, Numeric], ...]
    ) -> tuple[int, Pieces]:
        negative = _is_negative(coefficient)
        c = -coefficient if negative else coefficient
        above = [(e, n) for e, n in factors if not _is_negative(n)]
        below = [(e, -n) for e, n in factors if _is_negative(n)]
        if not negative and c == 1 and not below and len(above) == 1:
            return POWER, self._power(*above[0])
        top, bottom = (c.numerator, c.denominator) if isinstance(c, Fraction) else (c, 1)
        pieces: Pieces = ["-"] if negative else []
        numerator: list[Pieces] = [self._power(e, n) for e, n in above]
        if top != 1 or not numerator:
            numerator.insert(0, [self.number(Fraction(top) if isinstance(top, int) else top)])
        pieces += self._joined(numerator)
        denominator: list[Pieces] = [self._power(e, n) for e, n in below]
        if bottom != 1:
            denominator.insert(0, [str(bottom)])
        if denominator:
            joined = self._joined(denominator)
            pieces += ["/", *joined] if len(denominator) == 1 else ["/(", *joined, ")"]
        return UNARY_MINUS if negative and not above and not below else PRODUCT, pieces

    def _joined(self, factors: list[Pieces]) -> Pieces:
        pieces: Pieces = []
        for i, factor in enumerate(factors):
            pieces += [self.times, *factor] if i else factor
        return pieces

    def _power(self, e: Expression, n: Numeric) -> Pieces:
        if n == 1:
            return [_Open(e, POWER)]
        if self.pretty and isinstance(n, Fraction) and n.denominator == 1:
            return [_Open(e, ATOM), str(n).translate(_SUPERSCRIPTS)]
        shown = _number_code(n)
        return [_Open(e, ATOM), "**", shown]

    def _call(self, e: Call) -> tuple[int, Pieces]:
        infix = INFIX.get(e.op.name)
        if infix is not None and len(e.args) == 2:
            sign, precedence = infix
            sign = e.op.symbol if self.pretty and not e.op.symbol.isascii() else sign
            # Comparisons do not associate in Python: both sides are enclosed.
            return precedence, [
                _Open(e.args[0], precedence + 1),
                f" {sign} ",
                _Open(e.args[1], precedence + 1),
            ]
        before, after, precedence = array_spelling(e.op.name, dict(e.params))
        if before == "@":
            return precedence, [
                _Open(e.args[0], precedence),
                " @ ",
                _Open(e.args[1], precedence + 1),
            ]
        inner = ATOM if not before else OR
        pieces: Pieces = [before]
        for i, arg in enumerate(e.args):
            pieces += [", ", _Open(arg, inner)] if i else [_Open(arg, inner)]
        return precedence, [*pieces, after]


class _LatexPrinter(_TextPrinter):
    def __init__(self) -> None:
        super().__init__(pretty=False)
        self.times = r" \, "
        self.number = _latex_numeric

    def __call__(self, e: Expression, names: Names) -> tuple[int, Pieces]:
        if isinstance(e, Symbol):
            return ATOM, [e.latex]
        if isinstance(e, Power):
            return POWER, [_Open(e.base, ATOM), "^{", _Open(e.exponent, OR), "}"]
        return super().__call__(e, names)

    def _product(
        self, coefficient: Numeric, factors: tuple[tuple[Expression, Numeric], ...]
    ) -> tuple[int, Pieces]:
        negative = _is_negative(coefficient)
        c = -coefficient if negative else coefficient
        above = [(e, n) for e, n in factors if not _is_negative(n)]
        below = [(e, -n) for e, n in factors if _is_negative(n)]
        if not negative and c == 1 and not below and len(above) == 1:
            return POWER, self._power(*above[0])
        exact = isinstance(c, Fraction)
        top: Numeric = Fraction(c.numerator) if isinstance(c, Fraction) else c
        bottom = c.denominator if isinstance(c, Fraction) else 1
        numerator = [self._power(e, n) for e, n in above]
        denominator = [self._power(e, n) for e, n in below]
        if not (exact and top == 1) or not numerator:
            numerator.insert(0, [_latex_numeric(top)])
        if bottom != 1:
            denominator.insert(0, [str(bottom)])
        sign: Pieces = ["-"] if negative else []
        if not denominator:
            return PRODUCT, [*sign, *self._joined(numerator)]
        # Whatever a fraction encloses needs no parentheses of its own.
        sides = [_alone(self._joined(side), len(side)) for side in (numerator, denominator)]
        return PRODUCT, [*sign, r"\frac{", *sides[0], "}{", *sides[1], "}"]

    def _joined(self, factors: list[Pieces]) -> Pieces:
        pieces: Pieces = []
        for i, factor in enumerate(factors):
            pieces += (
                [r" \cdot " if _starts_with_digit(factor) else self.times, *factor]
                if (i)
                else factor
            )
        return pieces

    def _power(self, e: Expression, n: Numeric) -> Pieces:
        if n == 1:
            return [_Open(e, POWER)]
        return [_Open(e, ATOM), "^{", _latex_numeric(n), "}"]

    def _call(self, e: Call) -> tuple[int, Pieces]:
        slots = _SLOT.split(e.op.latex) if e.op.latex else []
        named = dict(e.params)
        if not slots or any(
            s and _SLOT.fullmatch(s) and int(s[1:-1]) >= len(e.args) for s in slots
        ):
            pieces: Pieces = [rf"\operatorname{{{latex_text(e.op.name)}}}\left("]
            for i, arg in enumerate(e.args):
                pieces += [", ", _Open(arg, OR)] if i else [_Open(arg, OR)]
            return ATOM, [*pieces, r"\right)"]
        pieces = []
        for i, slot in enumerate(slots):
            if i % 2:
                enclosed = _ENCLOSED.search(slots[i - 1]) and _CLOSED.match(slots[i + 1])
                pieces.append(_Open(e.args[int(slot[1:-1])], OR if enclosed else ATOM))
            else:
                pieces.append(slot.format(**{k: latex_text(str(v)) for k, v in named.items()}))
        return _latex_precedence(e.op.latex), pieces


@functools.cache
def _latex_precedence(latex: str) -> int:
    # What stands outside all brackets decides how tightly a format binds.
    bare, before = latex, ""
    while bare != before:
        before, bare = bare, _BRACKETS.sub("", bare)
    if any(f" {sign} " in bare for sign in "+-"):
        return SUM
    if _RELATION.search(bare):
        return COMPARISON
    return ATOM if latex.endswith(")") or latex.startswith((r"\frac", r"\l")) else POWER


def _starts_with_digit(pieces: Pieces) -> bool:
    first = pieces[0]
    if isinstance(first, str):
        return first[:1].isdigit()
    e = first.expression
    return isinstance(e.base if isinstance(e, Power) else e, Number)


def _alone(pieces: Pieces, count: int) -> Pieces:
    if count == 1 and len(pieces) == 1 and isinstance(pieces[0], _Open):
        return [_Open(pieces[0].expression, OR)]
    return pieces


def _latex_numeric(value: Numeric) -> str:
    if isinstance(value, Fraction) and value.denominator != 1:
        sign = "-" if value < 0 else ""
        return rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"
    return latex_number(value)


_PRINTERS: dict[str, Any] = {
    "code": _TextPrinter(pretty=False),
    "pretty": _TextPrinter(pretty=True),
    "latex": _LatexPrinter(),
}
