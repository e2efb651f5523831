"""Formulas for the command line: parsed by Python's grammar, and never evaluated as code.

The vocabulary is closed: numbers, `pi` and `e`, names with given values, + - * / // % **, the
elementwise functions of the rule table by NumPy's names (with or without `np.`), and comparisons.
Whatever else Python's grammar knows is refused, with a message that says what to write.
"""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from wengert.errors import FormulaError
from wengert.explain.spelling import COMPARISONS
from wengert.graph import Traced
from wengert.ops import TABLE, Elementwise

__all__ = ["functions", "parse_assignment", "parse_formula"]

CONSTANTS = {"pi": math.pi, "e": math.e}
_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.FloorDiv: "floor_divide",
    ast.Mod: "remainder",
}
_LONGEST = 100_000
_DEEPEST = 200
#: NumPy's second names for what the rule table calls otherwise.
_ALIASES = {
    "abs": "absolute",
    "fabs": "absolute",
    "pow": "power",
    "acos": "arccos",
    "asin": "arcsin",
    "atan": "arctan",
    "atan2": "arctan2",
    "acosh": "arccosh",
    "asinh": "arcsinh",
    "atanh": "arctanh",
    "round": "rint",
    "max": "maximum",
    "min": "minimum",
}
_WHAT = {
    ast.Lambda: "a lambda",
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.List: "a list",
    ast.Tuple: "a tuple",
    ast.Dict: "a dict",
    ast.Set: "a set",
    ast.Subscript: "an index",
    ast.BoolOp: "`and` or `or`",
    ast.IfExp: "an if expression",
    ast.NamedExpr: "an assignment",
    ast.Await: "an await",
    ast.Yield: "a yield",
    ast.YieldFrom: "a yield",
    ast.JoinedStr: "a string",
    ast.Starred: "a starred expression",
    ast.Slice: "a slice",
    ast.Attribute: "an attribute",
}
_HINTS = {
    ast.IfExp: "write where(condition, a, b)",
    ast.BoolOp: "write logical_and(a, b) or logical_or(a, b)",
    ast.Attribute: "of modules only np.name is known, such as np.exp",
}

Evaluator = Callable[[Mapping[str, Any]], Any]


@functools.cache
def functions() -> dict[str, Any]:
    """The functions that a formula may call: name -> operator of the rule table."""
    found = {
        name: op
        for name, op in TABLE.items()
        if isinstance(op, Elementwise) and op.arity is not None and not _takes_options(op)
    }
    return found | {alias: TABLE[name] for alias, name in _ALIASES.items()}


def _takes_options(op: Any) -> bool:
    # Operators with static parameters, such as integer_power, have another spelling here.
    if isinstance(op.evaluate, np.ufunc) or op.evaluate is np.where:
        return False
    parameters = inspect.signature(op.evaluate).parameters.values()
    count = sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
    return count > int(op.arity)


def parse_formula(text: str, values: Mapping[str, Any]) -> Evaluator:
    """The formula as a function of a mapping from names to (traced) values.

    Raises `FormulaError` for whatever is not arithmetic, for names without a value and for values
    without a use.
    """
    parser = _Parser(text, set(values))
    evaluator = parser.parse()
    unused = [name for name in values if name not in parser.used]
    if unused:
        raise FormulaError(
            f"the formula does not use {_listed(unused)}",
            hint=f"it uses {_listed(sorted(parser.used))}"
            if parser.used
            else "it uses no names at all",
            location="",
        )
    if not parser.used:
        raise FormulaError(
            "the formula has no variable to differentiate by",
            hint='for example "x**2" x=3',
            location="",
        )
    return evaluator


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)


class _Parser:
    def __init__(self, text: str, known: set[str], kind: str = "a formula") -> None:
        self.text = text.strip()
        self.kind = kind
        self.known = known
        self.used: set[str] = set()
        self.missing: list[str] = []
        self.functions = functions()

    def parse(self) -> Evaluator:
        tree = _parse(self.text, "the formula")
        _check_depth(tree, self.text)
        evaluator = self._expression(tree.body)
        if self.missing:
            names = list(dict.fromkeys(self.missing))
            noun = "value" if len(names) == 1 else "values"
            raise FormulaError(
                f"the {noun} of {_listed(names)} {'is' if len(names) == 1 else 'are'} missing",
                hint="give " + " ".join(f"{name}=1" for name in names) + " after the formula",
                location="",
            )
        return evaluator

    def _fail(self, node: ast.AST, message: str, hint: str = "") -> NoReturn:
        column = getattr(node, "col_offset", None)
        raise _error(message.replace("a formula", self.kind), hint, self.text, column)

    def _sign_column(self, node: ast.BinOp, sign: str) -> int:
        # Of the sign between two operands, in UTF-8 bytes; the grammar keeps the operands' only.
        return self.text.encode().find(sign.encode(), node.left.end_col_offset or 0)

    def _expression(self, node: ast.expr) -> Evaluator:  # noqa: RET503 - _fail raises
        if isinstance(node, ast.Constant):
            return self._constant(node)
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.BinOp):
            return self._binary(node)
        if isinstance(node, ast.UnaryOp):
            return self._unary(node)
        if isinstance(node, ast.Compare):
            return self._compare(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        what = _WHAT.get(type(node), "this")
        self._fail(node, f"{what} can't be part of a formula", _HINTS.get(type(node), ""))

    def _constant(self, node: ast.Constant) -> Evaluator:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            kind = {
                str: "a string",
                bytes: "a string",
                bool: "True or False",
                complex: "a complex number",
                type(None): "None",
            }.get(type(value), "this")
            self._fail(node, f"{kind} can't be part of a formula", "only real numbers can")
        try:
            number = float(value)
        except OverflowError:
            self._fail(node, "a number is too large")
        whole = int(value) if number.is_integer() and isinstance(value, int) else number
        return lambda values: whole

    def _name(self, node: ast.Name) -> Evaluator:
        name = node.id
        if name in self.known:
            self.used.add(name)
            return lambda values: values[name]
        if name in CONSTANTS:
            number = CONSTANTS[name]
            return lambda values: number
        if name in self.functions:
            self._fail(node, f"{name} is a function", f"write {name}(...)")
        close = difflib.get_close_matches(name, [*self.known, *CONSTANTS], 1, 0.7)
        if close and len(name) > 1:
            self._fail(
                node,
                f"unknown name {name!r}",
                f"did you mean {close[0]!r}? Otherwise give it a value: {name}=1",
            )
        self.missing.append(name)
        return lambda values: values[name]

    def _binary(self, node: ast.BinOp) -> Evaluator:
        if isinstance(node.op, ast.BitXor):
            raise _error(
                "^ is not a power in Python",
                "write ** for powers: x**2",
                self.text,
                self._sign_column(node, "^"),
            )
        if isinstance(node.op, ast.MatMult):
            self._fail(node, "@ can't be part of a formula", "explain a Python function instead")
        left, right = self._expression(node.left), self._expression(node.right)
        if isinstance(node.op, ast.Pow):
            return lambda values: _power(left(values), right(values))
        name = _BINARY.get(type(node.op))
        if name is None:
            self._fail(node, "bit operations can't be part of a formula")
        return _applied(TABLE[name], [left, right])

    def _unary(self, node: ast.UnaryOp) -> Evaluator:  # noqa: RET503 - _fail raises
        operand = self._expression(node.operand)
        if isinstance(node.op, ast.UAdd):
            return operand
        if isinstance(node.op, ast.USub):
            if isinstance(node.operand, ast.Constant):
                return lambda values: -operand(values)
            return _applied(TABLE["negative"], [operand])
        if isinstance(node.op, ast.Not):
            return _applied(TABLE["logical_not"], [operand])
        self._fail(node, "~ can't be part of a formula", "write logical_not(condition)")

    def _compare(self, node: ast.Compare) -> Evaluator:
        if len(node.ops) > 1:
            self._fail(
                node,
                "chained comparisons can't be part of a formula",
                "write logical_and(a < b, b < c)",
            )
        name = COMPARISONS.get(type(node.ops[0]))
        if name is None:
            self._fail(node, "`in` and `is` can't be part of a formula")
        sides = [self._expression(node.left), self._expression(node.comparators[0])]
        return _applied(TABLE[name], sides)

    def _call(self, node: ast.Call) -> Evaluator:
        name = self._function_name(node.func)
        op = self.functions.get(name)
        if op is None:
            close = difflib.get_close_matches(name, self.functions, 1, 0.6)
            hint = (
                f"did you mean {close[0]!r}?"
                if close
                else ("the elementwise functions of NumPy are known, such as exp, sin, where")
            )
            if name in self.known:
                hint = f"{name!r} is a value; write {name}*(...) for a product"
            self._fail(node, f"unknown function {name!r}", hint)
        if node.keywords:
            self._fail(node, f"{name} takes no keyword arguments here")
        if len(node.args) != op.arity:
            noun = "argument" if op.arity == 1 else "arguments"
            self._fail(
                node,
                f"{name} takes {op.arity} {noun}, not {len(node.args)}",
                f"write {name}({', '.join(op.operand_names)})",
            )
        return _applied(op, [self._expression(arg) for arg in node.args])

    def _function_name(self, node: ast.expr) -> str:  # noqa: RET503 - _fail raises
        if isinstance(node, ast.Name):
            return node.id
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and (node.value.id in ("np", "numpy", "math"))
        ):
            return node.attr
        if isinstance(node, ast.Attribute):
            self._fail(node, "an attribute can't be part of a formula", _HINTS[ast.Attribute])
        self._fail(node, "only functions can be called", "write * for a product: 2*(x + 1)")


def _applied(op: Any, operands: list[Evaluator]) -> Evaluator:
    def evaluate(values: Mapping[str, Any]) -> Any:
        args = [operand(values) for operand in operands]
        if any(isinstance(a, Traced) for a in args):
            return op(*args)
        # Numbers alone are folded: they are one constant of the graph.
        with np.errstate(all="ignore"):
            return op.evaluate(
                *[np.asarray(a, np.float64)[()] if not isinstance(a, np.bool_) else a for a in args]
            )

    return evaluate


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, Traced) or isinstance(exponent, Traced):
        if isinstance(exponent, float) and exponent.is_integer() and abs(exponent) < 1e6:
            exponent = int(exponent)
        return base**exponent
    with np.errstate(all="ignore"):
        return np.power(np.float64(base), np.float64(exponent))


# ---------------------------------------------------------------- values


def parse_assignment(text: str) -> tuple[str, Any]:
    """A name and its value from `x=1`, `x=pi/2` or `x=[1, 2, 3]`."""
    name, sign, value = text.partition("=")
    name = name.strip()
    if not sign:
        raise FormulaError(f"{text!r} gives no value", hint="write values as x=1", location="")
    if not name.isidentifier():
        raise FormulaError(f"{name!r} is not a name", hint="write values as x=1", location="")
    if name in CONSTANTS or name in functions() or name in ("np", "numpy", "math"):
        raise FormulaError(
            f"{name!r} already has a meaning in formulas", hint="choose another name", location=""
        )
    what = f"the value of {name!r}"
    tree = _parse(value, what)
    _check_depth(tree, value)
    found = _value(tree.body, value, what)
    lengths_fit = True
    try:
        array = np.asarray(found, np.float64)
    except ValueError:
        lengths_fit = False
    if not lengths_fit:
        raise FormulaError(f"{what} has rows of different lengths", location="")
    return name, array[()]


def _value(node: ast.expr, text: str, what: str) -> Any:
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item, text, what) for item in node.elts]
    parser = _Parser(text, set(), what)
    evaluator = parser._expression(node)
    if parser.missing:
        raise FormulaError(
            f"{what} is {text.strip()!r}, which is not a number",
            hint="write a number, such as 0.5, 1e-3 or pi/2, or [1, 2, 3]",
            location="",
        )
    found = evaluator({})
    return float(found)


# ---------------------------------------------------------------- Python's grammar


def _parse(text: str, what: str) -> ast.Expression:
    if not text.strip():
        raise FormulaError(f"{what} is empty", hint='for example "x**2" x=3', location="")
    if len(text) > _LONGEST:
        raise FormulaError(f"{what} has {len(text)} characters, more than {_LONGEST}", location="")
    stripped = text.strip()
    _check_brackets(stripped, what)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.parse(stripped, mode="eval")
    except SyntaxError as error:
        column = (error.offset or 1) - 1
        hint = ""
        if "=" in stripped and "==" not in stripped:
            hint = "write == to compare; values stand after the formula, as x=1"
        raise _error(f"{what} can't be parsed: {error.msg}", hint, stripped, column) from None
    except (ValueError, UnicodeError):
        raise FormulaError(
            f"{what} can't be parsed: it holds a character that Python does not allow", location=""
        ) from None
    except (MemoryError, RecursionError):
        raise FormulaError(
            f"{what} is nested too deeply", hint="explain a Python function instead", location=""
        ) from None


def _check_brackets(text: str, what: str) -> None:
    # Python's own parser fails on deep nesting in ways that depend on its version.
    depth = 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        if depth > _DEEPEST // 2:
            raise FormulaError(
                f"{what} is nested too deeply (more than {_DEEPEST // 2} brackets)",
                hint="explain a Python function instead",
                location="",
            )


def _check_depth(tree: ast.AST, text: str) -> None:
    stack = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > _DEEPEST:
            raise FormulaError(
                f"the formula is nested too deeply (more than {_DEEPEST} levels; a sum or product "
                "of many parts is one level per part)",
                hint="explain a Python function instead",
                location="",
            )
        stack.extend((child, depth + 1) for child in ast.iter_child_nodes(node))


def _error(message: str, hint: str, text: str, column: int | None) -> FormulaError:
    """An error about one place of a text, which a caret marks in a last line."""
    error = FormulaError(message, hint=hint, location="")
    if column is not None and "\n" not in text:
        # Python counts columns in UTF-8 bytes.
        at = len(text.encode()[: max(column, 0)].decode(errors="ignore"))
        start = max(0, at - 50)
        error.args = (f"{error}\n    {text[start : at + 30]}\n    {' ' * (at - start)}^",)
    return error
