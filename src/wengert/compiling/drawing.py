"""A graph as an SVG picture: operators, the types on its edges, and what runs together.

Entries of one step have one colour and the step's number, so that colour alone tells nothing.
"""

from __future__ import annotations

import html
from collections.abc import Mapping

from wengert.explain.layout import Box, Layout, Link, lay_out
from wengert.graph import CONSTANT, INPUT, Graph
from wengert.graph.text import params_text

__all__ = ["draw"]

#: Of longer graphs the last entries are drawn, nearest to the results.
MOST_ENTRIES = 160

_CHARACTER = 7.3
_MARGIN = 24.0
_FONT = 'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"'
# Pale fills that black text is readable on; steps take them in turn.
_COLOURS = ("#dbe8fb", "#fde5cf", "#dcf1dc", "#f6dcec", "#fbf3c4", "#ddeef0", "#e9e0f7", "#eeeeda")
_LEAF = "#f4f4f5"


def draw(graph: Graph, step_of: Mapping[int, int] | None = None, title: str = "graph") -> str:
    """The picture as SVG text; `step_of` numbers the step that computes an entry."""
    live = graph.live()
    drawn = [i for i in range(len(graph)) if live[i]][-MOST_ENTRIES:]
    position = {i: n for n, i in enumerate(drawn)}
    steps = step_of or {}
    texts = [_label(graph, i, steps.get(i)) for i in drawn]
    boxes = [Box(w := 0.5 * _CHARACTER * len(t) + 10.0, w, 30.0) for t in texts]
    edges = [(k, i) for i in drawn for k in graph.entries[i][1] if k in position]
    links = [
        Link(
            position[k],
            position[i],
            Box(0.0, 10.0 + _CHARACTER * 0.85 * len(str(graph.type(k))), 20.0),
        )
        for k, i in edges
    ]
    leaf = [graph.entries[i][0] in (INPUT, CONSTANT) for i in drawn]
    layout = lay_out(boxes, links, leaf)
    return _picture(graph, drawn, texts, boxes, edges, layout, steps, title, sum(live))


def _label(graph: Graph, i: int, step: int | None) -> str:
    op, _, params, _ = graph.entries[i]
    if op is INPUT:
        return graph.names.get(i, f"input %{i}")
    if op is CONSTANT:
        value = graph.constants[i]
        return f"{value:.6g}" if getattr(value, "ndim", 1) == 0 else f"constant {graph.type(i)}"
    shown = params_text(params)
    text = op.name + (f" {shown}" if shown and len(shown) < 24 else "")
    return text if step is None else f"{text} [{step}]"


def _picture(
    graph: Graph,
    drawn: list[int],
    texts: list[str],
    boxes: list[Box],
    edges: list[tuple[int, int]],
    layout: Layout,
    steps: Mapping[int, int],
    title: str,
    live: int,
) -> str:
    note = f"{title}: {live} entries"
    if live > len(drawn):
        note += f", of which the last {len(drawn)} are drawn"
    width = max(layout.width, _CHARACTER * len(note)) + 2 * _MARGIN
    height = layout.height + 3 * _MARGIN
    out = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:.0f} '
            f'{height:.0f}" width="{width:.0f}" height="{height:.0f}" {_FONT}>'
        ),
        f"<title>{html.escape(note)}</title>",
        (
            '<defs><marker id="wg-tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
            'markerHeight="7" orient="auto"><path fill="#4a5464" d="M0 1 L10 5 L0 9 z"/></marker>'
            "</defs>"
        ),
        f'<rect fill="#ffffff" width="{width:.0f}" height="{height:.0f}" rx="10"/>',
        (
            f'<text x="{_MARGIN}" y="{_MARGIN}" font-size="13" fill="#1c2330">{html.escape(note)}'
            "</text>"
        ),
        f'<g transform="translate({_MARGIN} {1.5 * _MARGIN})">',
    ]
    for (k, _), route, (x, y) in zip(edges, layout.routes, layout.labels, strict=True):
        path = [
            (route[0][0], route[0][1] + 15.0),
            *route[1:-1],
            (route[-1][0], route[-1][1] - 15.0),
        ]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in path)
        out.append(
            f'<polyline points="{points}" fill="none" stroke="#4a5464" stroke-width="1.2" '
            'marker-end="url(#wg-tip)"/>'
        )
        out.append(
            f'<text x="{x + 6:.1f}" y="{y + 4:.1f}" font-size="10.5" fill="#5b6472">'
            f"{html.escape(str(graph.type(k)))}</text>"
        )
    results = set(graph.outputs)
    for i, text, box, (x, y) in zip(drawn, texts, boxes, layout.nodes, strict=True):
        step = steps.get(i)
        fill = _LEAF if step is None else _COLOURS[step % len(_COLOURS)]
        border = 3 if i in results else 1.3
        tip = html.escape(f"%{i}: {graph.type(i)} {graph.lines.get(i, '')}".rstrip())
        out += [
            (
                f'<g><title>{tip}</title><rect x="{x - box.left:.1f}" y="{y - 15:.1f}" '
                f'width="{2 * box.left:.1f}" height="30" rx="8" fill="{fill}" stroke="#3d4757" '
                f'stroke-width="{border}"/>'
            ),
            (
                f'<text x="{x:.1f}" y="{y + 4.5:.1f}" font-size="12.5" text-anchor="middle" '
                f'fill="#1c2330">{html.escape(text)}</text></g>'
            ),
        ]
    return "\n".join([*out, "</g>", "</svg>"]) + "\n"
