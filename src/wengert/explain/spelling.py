"""How Python writes operators: what the formula parser reads and what formulas are printed with."""

from __future__ import annotations

import ast
from typing import Any

__all__ = ["COMPARISONS", "INFIX", "PRODUCT", "SUM", "UNARY_MINUS", "array_spelling"]

# Precedences, loosest first, as in Python's grammar.
OR, AND, NOT, COMPARISON, BITS, SUM, PRODUCT, UNARY_MINUS, POWER, ATOM = range(10)

#: Python's comparison -> operator of the rule table.
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
}

#: Operator of the rule table -> (Python's sign, precedence), for those that formulas write infix
#: and that are not sums, products or powers.
INFIX: dict[str, tuple[str, int]] = {
    "less": ("<", COMPARISON),
    "less_equal": ("<=", COMPARISON),
    "greater": (">", COMPARISON),
    "greater_equal": (">=", COMPARISON),
    "equal": ("==", COMPARISON),
    "not_equal": ("!=", COMPARISON),
    "bitwise_and": ("&", BITS),
    "bitwise_or": ("|", BITS),
    "remainder": ("%", PRODUCT),
    "floor_divide": ("//", PRODUCT),
}


def array_spelling(name: str, params: dict[str, Any]) -> tuple[str, str, int]:
    """How NumPy writes an operator with parameters: text before its operands, text after them, and
    how tightly it binds. A text before of "@" stands between them.
    """
    if name == "contract":
        spec = params["spec"]
        return ("@", "", PRODUCT) if spec == "ij,jk->ik" else (f'einsum("{spec}", ', ")", ATOM)
    if name == "invert":
        return "logical_not(", ")", ATOM  # of truth values; Python's ~True is -2
    if name == "slice_index":
        key = ", ".join(_key_text(k) for k in params["key"])
        return "", f"[{key}]", ATOM
    shown = ", ".join(f"{k}={v}" for k, v in params.items() if k != "axes")
    axes = params.get("axes")
    if axes is not None and name.startswith("reduce_"):
        shown = f"axis={axes[0] if len(axes) == 1 else axes}" + (f", {shown}" if shown else "")
    elif axes is not None:
        shown = f"axes={axes}" + (f", {shown}" if shown else "")
    return f"{name.removeprefix('reduce_')}(", f", {shown})" if shown else ")", ATOM


def _key_text(key: Any) -> str:
    if isinstance(key, int):
        return str(key)
    start, stop, step = key
    return f"{start or ''}:{stop if stop >= 0 else ''}" + (f":{step}" if step != 1 else "")
