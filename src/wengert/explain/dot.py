"""The graph in Graphviz's language, for those who have Graphviz."""

from __future__ import annotations

from wengert.explain.facts import Facts
from wengert.explain.values import value_text
from wengert.graph import CONSTANT, INPUT

__all__ = ["to_dot"]


def _quoted(text: str) -> str:
    inert = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("\0", " ")
    return f'"{inert}"'


def to_dot(facts: Facts) -> str:
    """One node per value, one edge per operand; values in red, partials in blue."""
    lines = ["digraph wengert {", "  node [shape=box, style=rounded];"]
    results = {o.index: o.name for o in facts.outputs}
    for i, (op, operands, _, _) in enumerate(facts.graph.entries):
        value = value_text(facts.values[i])
        if op is INPUT or op is CONSTANT:
            label = facts.names[i] if op is CONSTANT else f"{facts.names[i]} = {value}"
        else:
            label = f"{facts.label(i)}  {facts.names[i]}"
        if i in results:
            label += f"  {results[i]} = {value}"
        border = ", peripheries=2" if i in results else ""
        lines.append(f"  n{i} [label={_quoted(label)}{border}];")
        for k, edge in zip(operands, facts.edges[i], strict=True):
            text, look = value_text(facts.values[k]), "style=dashed"
            if edge is not None and not edge.is_masked:
                partial = f"∂{facts.names[i]}/∂{facts.names[k]} = {edge.formula()}"
                number = value_text(edge.value) if edge.is_scalar else ""
                if number and number != edge.formula():
                    partial += f" = {number}"
                text, look = f"{text}  |  {partial}", 'fontcolor="#1b4fb0"'
            lines.append(f"  n{k} -> n{i} [label={_quoted(text)}, {look}];")
    return "\n".join([*lines, "}"]) + "\n"
