"""The full explanation as text, for terminals: aligned tables, no colour needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wengert.errors import DerivativeError
from wengert.explain.derivatives import Derivative, Formula
from wengert.explain.tables import MOST_ROWS, columns, shortened
from wengert.explain.values import value_text
from wengert.explain.words import ENGLISH, Words

if TYPE_CHECKING:
    from wengert.explain.explanation import Explanation, Partial

__all__ = ["ascii_only", "full_text", "partial_text"]

_MOST_INPUTS = 40
_LONGEST_FORMULA = 4000
#: Formulas of larger graphs are only made when they are asked for.
_MOST_OPERATORS = 5000

#: For terminals that know ASCII only.
_ASCII = {
    "∂": "d",
    "·": "*",
    "×": "*",
    "÷": "/",
    "−": "-",
    "→": "->",
    "…": "...",
    "Σ": "sum",
    "⁻": "^-",
    "²": "^2",
    "³": "^3",
    "≠": "!=",
    "≤": "<=",
    "≥": ">=",
    "─": "-",
    "√": "sqrt",
    **{c: f"^{n}" for n, c in enumerate("⁰¹⁰⁰⁴⁵⁶⁷⁸⁹") if c != "⁰" or n == 0},
}


def ascii_only(text: str) -> str:
    """The text in ASCII, for output streams that know no other characters."""
    return "".join(_ASCII.get(c, c if c.isascii() else "?") for c in text)


def full_text(explanation: Explanation) -> str:
    """Everything: function, operators, sweeps, derivatives, paths, formulas, memory."""
    parts = [
        _heading(explanation),
        _operators(explanation),
        _title("Forward mode: along the order of evaluation, one sweep per input"),
        _sweeps(explanation, "forward"),
        _title("Reverse mode: from the result back, one sweep for all inputs"),
        _sweeps(explanation, "reverse"),
        _derivatives(explanation),
        _paths(explanation),
        _formulas(explanation),
        _memory(explanation),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(text: str) -> str:
    return f"{text}\n{'─' * len(text)}"


def _heading(explanation: Explanation) -> str:
    names = list(explanation.inputs)
    shown = ", ".join(names[:_MOST_INPUTS]) + (", …" if len(names) > _MOST_INPUTS else "")
    lines = []
    for number, (name, value) in enumerate(explanation.outputs.items()):
        lines.append(f"{name}({shown}) = {_function_text(explanation, number)}")
        lines.append(f"  = {value_text(value)}")
    where = [f"{k} = {value_text(v)}" for k, v in list(explanation.inputs.items())[:_MOST_INPUTS]]
    return "\n".join([*lines, "at " + ", ".join(where)])


def _function_text(explanation: Explanation, number: int) -> str:
    if len(explanation.operators) > _MOST_OPERATORS:
        return f"(a formula of {len(explanation.operators)} operators)"
    return _bounded(explanation.function_formula(number, "pretty"))


def _bounded(formula: Formula) -> str:
    text = str(formula)
    if len(text) <= _LONGEST_FORMULA:
        return text
    return f"(a formula of {len(text)} characters, with {len(formula.definitions)} definitions)"


def _operators(explanation: Explanation) -> str:
    title = _title("Operators, in the order of evaluation")
    operators = explanation.operators
    if not operators:
        return f"{title}\n  none: the function returns its input"
    arrays = any(op.type.shape for op in operators if not isinstance(op.type, tuple))
    lined = any(op.line for op in operators)
    rows: list[tuple[str, ...]] = [
        _row(
            ("name", "operator", "computes", "value"),
            "type" * arrays,
            "line" * lined,
            "local partials",
            arrays,
            lined,
        )
    ]
    for op in shortened(operators):
        partials = [partial_text(p) for p in op.partials if p is not None] or ["none"]
        first = (op.name, op.symbol, op.formula, value_text(op.value))
        rows.append(_row(first, str(op.type), op.line, partials[0], arrays, lined))
        rows += [_row(("", "", "", ""), "", "", p, arrays, lined) for p in partials[1:]]
    lines = columns(rows, indent=2)
    if len(operators) > MOST_ROWS:
        lines.append(
            f"  ({len(operators)} operators; the first and the last {MOST_ROWS // 2} are shown)"
        )
    return "\n".join([title, *lines])


def _row(
    first: tuple[str, ...], type_: str, line: str, partial: str, arrays: bool, lined: bool
) -> tuple[str, ...]:
    return (*first, *([type_] if arrays else []), partial, *([line] if lined else []))


def partial_text(partial: Partial, words: Words = ENGLISH) -> str:
    """`∂h4/∂h3 = exp(h3) = 1`, or the structure of a block."""
    value = words.value(value_text(partial.value)) if partial.value is not None else ""
    if partial.is_masked:
        return f"{partial.name} = {words('0 (masked)')}"
    if partial.structure == "scalar":
        same = value == partial.formula
        return f"{partial.name} = {partial.formula}" + ("" if same else f" = {value}")
    formula = f"{partial.formula}, " if value else ""
    structure = words("{0} ({1} numbers)", words(partial.structure), partial.nnz)
    return f"{partial.name} = {formula}{structure}"


def _sweeps(explanation: Explanation, mode: Any) -> str:
    inputs, outputs = explanation.inputs, explanation.outputs
    count = len(inputs) if mode == "forward" else len(outputs)
    work = count * len(explanation.operators)
    if work > _MOST_STEPS:
        return (
            f"  {count} sweeps over {len(explanation.operators)} operators are not listed; "
            f'explanation.table("{mode}") holds them'
        )
    try:
        return str(explanation.table(mode))
    except DerivativeError as error:  # a custom_vjp that only reverse mode can use
        return f"  not available: {error}"


_MOST_STEPS = 400_000


def _derivatives(explanation: Explanation) -> str:
    rows: list[tuple[str, ...]] = [("derivative", "value", "central difference")]
    for d in explanation.derivatives[:_MOST_INPUTS]:
        value = (
            _derivative_value(d)
            if d.value is not None or d.status != "path"
            else ("too large to list; see wg.jacobian")
        )
        checked = "not computed"
        if d.finite_difference is not None:
            checked = value_text(d.finite_difference, most=_MOST_NUMBERS)
        rows.append((f"∂{d.output}/∂{d.input}", value, checked))
    more = len(explanation.derivatives) - _MOST_INPUTS
    lines = columns(rows, indent=2)
    if more > 0:
        lines.append(f"  … and {more} more")
    return "\n".join([_title("Derivatives"), *lines])


_MOST_NUMBERS = 12


def _derivative_value(d: Derivative) -> str:
    return value_text(d.value, most=_MOST_NUMBERS) if d.status == "path" else d.text


def _paths(explanation: Explanation) -> str:
    found: list[str] = []
    for number in range(len(explanation.outputs)):
        for position in range(min(len(explanation.inputs), _MOST_INPUTS)):
            if len(found) * len(explanation.operators) > _MOST_STEPS:
                break
            found.append(str(explanation.paths(number, position, limit=8)))
    return "\n".join(
        [
            _title("Paths: the derivative is the sum of the products along them"),
            *("  " + line for text in found for line in text.splitlines()),
        ]
    )


def _formulas(explanation: Explanation) -> str:
    if len(explanation.operators) > _MOST_OPERATORS:
        return ""
    lines = []
    for output in _float_outputs(explanation):
        for name in list(explanation.inputs)[:_MOST_INPUTS]:
            formula = _bounded(explanation.formula_of(name, output))
            lines += f"∂{output}/∂{name} = {formula}".splitlines()
    return "\n".join([_title("Formulas"), *("  " + line for line in lines)])


def _float_outputs(explanation: Explanation) -> list[str]:
    types = explanation.graph.output_types
    return [name for name, t in zip(explanation.outputs, types, strict=True) if t.is_float]


def _memory(explanation: Explanation) -> str:
    memory = explanation.memory()
    forward, reverse = memory
    rows: list[tuple[str, ...]] = [("", "forward", "reverse")]
    for name, label in (
        ("accumulation", "running products held"),
        ("tape", "tape: values kept for the partials"),
        ("total", "both, at the worst moment"),
        ("multiplications", "multiplications"),
    ):
        rows.append((label, str(getattr(forward, name)), str(getattr(reverse, name))))
    rows.append(("bytes, at the worst moment", str(forward.total_bytes), str(reverse.total_bytes)))
    return "\n".join([_title("What each mode holds at most, in numbers"), *columns(rows, indent=2)])
