"""Printing a graph: one line per entry, its type always shown.

%7: f64[3,4] = contract(%2, %5; spec="ij,jk->ik")    # loss.py:31
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.graph.graph import CONSTANT, INPUT, Graph

__all__ = ["graph_dot", "graph_text", "params_text"]


def params_text(params: tuple[tuple[str, Any], ...]) -> str:
    """`axis=0, keepdims=True`; graphs among the parameters are shown by their size."""
    return ", ".join(f"{name}={_param(value)}" for name, value in params)


def _param(value: Any) -> str:
    if isinstance(value, Graph):
        return f"<graph of {len(value)}>"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, np.dtype):
        return value.name
    return repr(value)


def _constant(value: Any) -> str:
    array = np.asarray(value)
    if array.ndim == 0:
        return repr(array.item())
    if array.size <= 6:
        return np.array2string(array.ravel(), separator=",", max_line_width=10**6) + (
            f" as {array.shape}" if array.ndim > 1 else ""
        )
    return f"<{array.size} numbers>"


def graph_text(graph: Graph) -> str:
    """The whole graph as text, linear in its size."""
    out = []
    for i, (op, operands, params, type_) in enumerate(graph.entries):
        if op is INPUT:
            name = graph.names.get(i)
            body = "input" + (f" {name}" if name else "")
        elif op is CONSTANT:
            body = _constant(graph.constants[i])
        else:
            inner = ", ".join(f"%{k}" for k in operands)
            shown = params_text(params)
            body = f"{op.name}({inner}{'; ' + shown if shown else ''})"
        text = f"%{i}: {type_} = {body}"
        line = graph.lines.get(i)
        out.append(f"{text}    # {line}" if line else text)
    out.append("return " + ", ".join(f"%{k}" for k in graph.outputs))
    return "\n".join(out)


def graph_dot(graph: Graph) -> str:
    """The graph in Graphviz's language: a node per entry that an output needs, types on edges."""
    import json  # by programs that draw only

    live = graph.live()
    lines = ["digraph wengert {", "  node [shape=box];"]
    for i, (op, operands, params, _) in enumerate(graph.entries):
        if not live[i]:
            continue
        if op is INPUT:
            label = graph.names.get(i, f"input %{i}")
        elif op is CONSTANT:
            label = _constant(graph.constants[i])
        else:
            label = op.name + (f" {params_text(params)}" if params else "")
        lines.append(f"  n{i} [label={json.dumps(label)}];")
        lines += [
            f"  n{k} -> n{i} [label={json.dumps(str(graph.entries[k][3]))}];" for k in operands
        ]
    for number, k in enumerate(graph.outputs):
        lines.append(
            f'  out{number} [label="output {number}", shape=plaintext]; n{k} -> out{number};'
        )
    return "\n".join([*lines, "}"])
