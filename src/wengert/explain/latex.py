"""The derivation in LaTeX (amsmath), as a person would write it on paper."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from wengert.explain.derivatives import Derivative, Formula
from wengert.explain.paths import Paths
from wengert.explain.printing import latex_name, latex_number
from wengert.explain.tables import shortened
from wengert.explain.values import value_text

if TYPE_CHECKING:
    from wengert.explain.explanation import Explanation, Operator, Partial

__all__ = ["derivation", "short_derivation"]

_MOST_INPUTS = 20
_MOST_PATHS = 4
_MOST_FACTORS = 12
_MOST_NUMBERS = 16
_MOST_OPERATORS = 1000
_MOST_DEFINITIONS = 40


def derivation(explanation: Explanation) -> str:
    """The function, its operators with their local partials, and each derivative."""
    parts = [
        _align(_function(explanation)),
        "Operators and local partials:",
        _align(_operators(explanation)),
    ]
    derivatives = explanation.derivatives[:_MOST_INPUTS]
    if derivatives:
        parts.append("By the chain rule:")
    parts += [_align(_derivative(explanation, d)) for d in derivatives]
    return "\n\n".join(parts) + "\n"


def short_derivation(explanation: Explanation) -> str:
    """The function and its derivatives as formulas, for a notebook."""
    rows = _function(explanation)
    for d in explanation.derivatives[:_MOST_INPUTS]:
        formula = _derivative_formula(explanation, d)
        left = _fraction(latex_name(d.output), latex_name(d.input))
        if formula is None:
            rows.append(f"{left} &{_equals(d)}")
            continue
        rows.append(f"{left} &= {formula.text} {_equals(d)}")
        rows += [f"{name} &= {text}" for name, text in formula.definitions]
    return "$$\n\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}\n$$"


def _align(rows: list[str]) -> str:
    return "\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}"


def _fraction(above: str, below: str) -> str:
    return rf"\frac{{\partial {above}}}{{\partial {below}}}"


def _bounded(explanation: Explanation, make: Callable[[], Formula]) -> Formula | None:
    # A formula that nobody would read is left out; that of a large graph is not even made.
    if len(explanation.operators) > _MOST_OPERATORS:
        return None
    formula = make()
    return formula if len(formula.definitions) <= _MOST_DEFINITIONS else None


def _derivative_formula(explanation: Explanation, d: Derivative) -> Formula | None:
    return _bounded(explanation, lambda: explanation.formula_of(d.input, d.output, "latex"))


def _value(value: Any) -> str:
    if value is None:
        return r"\text{(not computed)}"
    if np.ndim(value) == 0 and not isinstance(value, tuple):
        return latex_number(value)
    array = np.asarray(value) if not isinstance(value, tuple) else np.empty(0)
    if array.ndim <= 2 and 0 < array.size <= _MOST_NUMBERS:
        rows = np.atleast_2d(array)
        body = r" \\ ".join(" & ".join(latex_number(v) for v in row) for row in rows)
        return rf"\begin{{pmatrix}} {body} \end{{pmatrix}}"
    return rf"\text{{{value_text(value)}}}"


def _function(explanation: Explanation) -> list[str]:
    names = [latex_name(name) for name in list(explanation.inputs)[:_MOST_INPUTS]]
    if len(explanation.inputs) > _MOST_INPUTS:
        names.append(r"\dots")
    rows = []
    for number, (name, value) in enumerate(explanation.outputs.items()):
        left = f"{latex_name(name)}({', '.join(names)})"
        formula = _bounded(
            explanation, functools.partial(explanation.function_formula, number, "latex")
        )
        if formula is None:
            rows.append(f"{left} &= {_value(value)}")
            continue
        rows.append(f"{left} &= {formula.text} = {_value(value)}")
        rows += [f"{name} &= {text}" for name, text in formula.definitions]
    given = [
        f"{latex_name(k)} = {_value(v)}" for k, v in list(explanation.inputs.items())[:_MOST_INPUTS]
    ]
    rows.append(r"\text{at}\quad & " + r",\quad ".join(given))
    return rows


def _operators(explanation: Explanation) -> list[str]:
    rows = [_operator(op) for op in shortened(explanation.operators)]
    left_out = len(explanation.operators) - len(rows)
    if left_out:
        rows.insert(len(rows) // 2, rf"& \vdots \quad \text{{({left_out} more operators)}}")
    return rows or [r"& \text{none}"]


def _operator(op: Operator) -> str:
    cells = [f"{latex_name(op.name)} &= {op.latex} = {_value(op.value)}"]
    cells += [_partial(p) for p in op.partials if p is not None]
    return " & ".join(cells)


def _partial(p: Partial) -> str:
    name = _fraction(latex_name(p.operator), latex_name(p.operand))
    if p.is_masked:
        return rf"{name} &= 0 \;\text{{(masked)}}"
    if p.structure != "scalar":
        return rf"{name} &= \text{{{p.structure}}}" + (
            f" \\; {p.latex}" if p.value is not None else ""
        )
    number = _value(p.value)
    return f"{name} &= {p.latex}" + ("" if number == p.latex else f" = {number}")


def _equals(d: Derivative) -> str:
    return f"= {_value(d.value)}" if d.status == "path" else rf"= 0 \;\text{{({d.status})}}"


def _derivative(explanation: Explanation, d: Derivative) -> list[str]:
    left = _fraction(latex_name(d.output), latex_name(d.input))
    if d.status != "path":
        return [rf"{left} &= 0 \quad\text{{({d.status})}}"]
    paths = explanation.paths(d.output, d.input, limit=_MOST_PATHS)
    rows = []
    if paths.count <= _MOST_PATHS and all(len(p) <= _MOST_FACTORS for p in paths):
        rows += _chain_rule(explanation, paths)
    formula = _derivative_formula(explanation, d)
    if formula is not None:
        rows.append(formula.text)
    found = (
        [f"{left} &= {rows[0]}", *(f"&= {row}" for row in rows[1:]), f"&{_equals(d)}"]
        if (rows)
        else [f"{left} &{_equals(d)}"]
    )
    if formula is not None and formula.definitions:
        found.append(
            r"\text{where}\quad & " + r",\quad ".join(f"{k} = {v}" for k, v in formula.definitions)
        )
    return found


def _chain_rule(explanation: Explanation, paths: Paths) -> list[str]:
    names = explanation.facts.names
    symbolic, local = [], []
    for path in paths:
        edges = path.edges[::-1]
        if not edges:
            return []
        symbolic.append(
            r" \, ".join(
                _fraction(latex_name(names[e.into]), latex_name(names[e.operand])) for e in edges
            )
        )
        factors = [e.formula("latex") for e in edges]
        local.append(r" \cdot ".join(_enclosed(f) for f in factors))
    scalar = all(e.is_scalar for path in paths for e in path.edges)
    return [" + ".join(symbolic), *([" + ".join(local)] if scalar else [])]


def _enclosed(text: str) -> str:
    loose = text.startswith("-") or " + " in text or " - " in text
    return rf"\left({text}\right)" if loose else text
