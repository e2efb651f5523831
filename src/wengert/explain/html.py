"""The explanation as plain HTML: what a notebook shows, and what a page shows without scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from wengert.errors import DerivativeError
from wengert.explain.drawing import draw, escape
from wengert.explain.paths import path_text, product_text
from wengert.explain.tables import shortened
from wengert.explain.text import partial_text
from wengert.explain.values import count_text, number_text, value_text
from wengert.explain.words import ENGLISH, Words

if TYPE_CHECKING:
    from wengert.explain.explanation import Explanation

__all__ = ["fragment", "side_by_side", "static_body"]

_MOST_INPUTS = 40
_MOST_STEPS = 20_000
_MOST_PATHS = 8
#: Formulas of derivatives are long where there are more operators than these.
_MOST_FORMULA_OPERATORS = 300


def fragment(explanation: Explanation) -> str:
    """What a notebook shows: the picture, the derivatives, and the rest folded away."""
    picture = draw(explanation.facts)
    folded = "".join(
        f"<details><summary>{title}</summary>{body}</details>"
        for title, body in _sections(explanation, ENGLISH)[1:]
    )
    return f"<div>{picture}{_derivatives(explanation, ENGLISH)}{folded}</div>"


def side_by_side(names: Sequence[str], explanations: Iterable[Explanation]) -> str:
    """What a notebook shows of two explanations."""
    panes = "".join(
        f'<div style="flex:1 1 24em;overflow-x:auto"><h3>{escape(name)}</h3>{fragment(each)}</div>'
        for name, each in zip(names, explanations, strict=True)
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:1em">{panes}</div>'


def static_body(explanation: Explanation, words: Words = ENGLISH) -> str:
    """The whole explanation as plain markup: picture and tables, without script or style."""
    parts = [f'<div class="wide">{draw(explanation.facts, styled=False, words=words)}</div>']
    parts += [f"<h2>{title}</h2>\n{body}" for title, body in _sections(explanation, words)]
    body = "\n".join(parts)
    return body if words is ENGLISH else f'<div lang="zh-Hans">{body}</div>'


def _sections(explanation: Explanation, say: Words) -> list[tuple[str, str]]:
    found = [
        (say("Derivatives"), _derivatives(explanation, say)),
        (say("Operators, in the order of evaluation"), _operators(explanation, say)),
    ]
    count = len(explanation.operators) * max(len(explanation.inputs), len(explanation.outputs))
    if count <= _MOST_STEPS:
        found += [
            (say("Forward mode"), _sweeps(explanation, "forward", say)),
            (say("Reverse mode"), _sweeps(explanation, "reverse", say)),
            (say("Paths"), _paths(explanation, say)),
        ]
    return [*found, (say("Memory"), _memory(explanation, say))]


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in heads)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>'
        "</table></div>"
    )


def _operators(explanation: Explanation, say: Words) -> str:
    rows = []
    for op in shortened(explanation.operators):
        partials = [partial_text(p, say) for p in op.partials if p is not None]
        rows.append(
            (
                op.name,
                op.symbol,
                op.formula,
                say.value(value_text(op.value)),
                str(op.type),
                "; ".join(partials) or say("none"),
                op.line,
            )
        )
    note = ""
    if len(rows) < len(explanation.operators):
        text = say("The first and the last of {0} operators.", len(explanation.operators))
        note = f"<p>{text}</p>"
    heads = ("name", "operator", "computes", "value", "type", "local partials", "line")
    return note + _table(map(say, heads), rows)


def _sweeps(explanation: Explanation, mode: Any, say: Words) -> str:
    table = explanation.table(mode)
    found = []
    try:
        for number, (seed, rows) in enumerate(table):
            if number == _MOST_INPUTS:
                break
            found.append(f"<h3>{escape(table.title(seed, say))}</h3>")
            if not rows:
                text = say("No operator is reached: the derivative is zero by structure.")
                found.append(f"<p>{text}</p>")
                continue
            shown = [
                (r.derivative, say.known(r.formula), r.numbers, say.value(value_text(r.value)))
                for r in shortened(rows)
            ]
            if len(shown) < len(rows):
                text = say("The first and the last of {0} steps.", len(rows))
                found.append(f"<p>{text}</p>")
            found.append(_table(map(say, ("derivative", "products", "numbers", "value")), shown))
    except DerivativeError as error:  # a custom_vjp that only reverse mode can use
        return f"<p>{escape(say('Not available: {0}', str(error)))}</p>"
    return "\n".join(found)


def _derivatives(explanation: Explanation, say: Words) -> str:
    rows = []
    long = len(explanation.operators) > _MOST_FORMULA_OPERATORS
    for d in explanation.derivatives[:_MOST_INPUTS]:
        text = say("(long)") if long else _formula(explanation, d.input, d.output, say)
        check = "not computed" if d.finite_difference is None else value_text(d.finite_difference)
        value = say(d.text) if d.status != "path" else say.value(d.text)
        rows.append((f"∂{d.output}/∂{d.input}", value, say.value(check), text))
    return _table(map(say, ("derivative", "value", "central difference", "formula")), rows)


def _formula(explanation: Explanation, source: str, output: str, say: Words) -> str:
    formula = explanation.formula_of(source, output, "pretty")
    text = formula.text if len(formula.text) < 400 else say("(long)")
    if not formula.definitions:
        return text
    parts = ", ".join(f"{k} = {v}" for k, v in formula.definitions[:12])
    more = ", …" if len(formula.definitions) > 12 else ""
    return say("{0}, where {1}", text, parts + more)


def _paths(explanation: Explanation, say: Words) -> str:
    found = []
    for number in range(len(explanation.outputs)):
        for position in range(min(len(explanation.inputs), _MOST_INPUTS)):
            paths = explanation.paths(number, position, limit=_MOST_PATHS)
            ends = (paths.input, paths.output)
            if not paths:
                why = say("0 (masked)" if paths.is_masked else "0 (no path)")
                found.append(f"<p>{escape(say('From {0} to {1}: {2}', *ends, why))}</p>")
                continue
            listed = paths.listed
            title = say("From {0} to {1}: {2}", *ends, count_text(paths.count))
            if paths.count > len(listed):
                title = say(
                    "From {0} to {1}: {2} in all, of which {3} are listed",
                    *ends,
                    count_text(paths.count),
                    len(listed),
                )
            rows = [(path_text(p, say), product_text(p, say)) for p in listed]
            total = paths.sum
            if total is not None and paths.count > 1:
                rows.append((say("sum"), number_text(total)))
            heads = map(say, ("path", "product of the partials"))
            found.append(f"<h3>{escape(title)}</h3>{_table(heads, rows)}")
    return "\n".join(found)


def _memory(explanation: Explanation, say: Words) -> str:
    forward, reverse = explanation.memory()
    labels = (
        ("accumulation", "running products held"),
        ("tape", "tape"),
        ("total", "total"),
        ("multiplications", "multiplications"),
        ("total_bytes", "total, in bytes"),
    )
    return _table(
        ("", say("forward"), say("reverse")),
        [
            (say(label), str(getattr(forward, name)), str(getattr(reverse, name)))
            for name, label in labels
        ],
    )
