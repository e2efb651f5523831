"""The graph as an SVG picture: values and local partials on its edges.

Values are red and bold, partials blue, in italics and written ∂; what no derivative flows along is
dashed: nothing is told by colour alone. The picture brings its own background, and is dark where
the reader's system is.
"""

from __future__ import annotations

import html
import re

from wengert.explain.facts import Edge, Facts
from wengert.explain.layout import Box, Layout, Link, lay_out
from wengert.explain.values import number_text, value_text
from wengert.explain.words import ENGLISH, Words
from wengert.graph import CONSTANT, INPUT
from wengert.graph.tuples import NamedTuple

__all__ = ["draw"]

MOST_OPERATORS = 120
_CHARACTER = 7.3
_LINE = 17.0
_MARGIN = 28.0
_MOST_CHARACTERS = 44
_FONTS = 'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"'
_MARKER = """<defs><marker id="wg-arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" \
markerHeight="7" orient="auto"><path class="wg-head" {look} d="M0 1 L10 5 L0 9 z"/>\
</marker></defs>"""
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

#: class -> (SVG attributes, what changes in the dark)
_LOOKS = {
    "paper": ('fill="#ffffff"', "fill:#15181e"),
    "ink": ('fill="#1c2330"', "fill:#e8ebf0"),
    "quiet": ('fill="#5b6472"', "fill:#a4adba"),
    "value": ('fill="#b3231a" font-weight="bold"', "fill:#ff9a8f"),
    "partial": ('fill="#1b4fb0" font-style="italic"', "fill:#93b9ff"),
    "line": ('fill="none" stroke="#4a5464" stroke-width="1.4"', "stroke:#98a2b1"),
    "dashed": (
        'fill="none" stroke="#8a93a1" stroke-width="1.3" stroke-dasharray="5 4"',
        "stroke:#79828f",
    ),
    "head": ('fill="#4a5464"', "fill:#98a2b1"),
    "operator": (
        'fill="#eef2f8" stroke="#3d4757" stroke-width="1.5"',
        "fill:#252b36;stroke:#b6bfcc",
    ),
    "input": ('fill="#fdf6e3" stroke="#8a6d1f" stroke-width="1.5"', "fill:#322b16;stroke:#d9bb68"),
    "constant": ('fill="#f4f4f5" stroke="#a2a8b1" stroke-width="1"', "fill:#23262c;stroke:#6d7580"),
    "frame": ('fill="none" stroke="#3d4757" stroke-width="1.2"', "stroke:#b6bfcc"),
    "rule": ('fill="none" stroke="#d4d9e0" stroke-width="1"', "stroke:#39414d"),
}


class _Node(NamedTuple):
    """What is drawn for an entry: its kind, the text inside and the text beside it."""

    entry: int
    kind: str
    inside: str
    beside: str
    box: Box


def draw(facts: Facts, *, styled: bool = True, words: Words = ENGLISH) -> str:
    """The picture as SVG text.

    Of more than 120 operators the last ones are drawn, nearest to the result, and the legend says
    how many are not. With `styled=False` there is no style element, and no dark form.
    """
    operators = facts.operators[-MOST_OPERATORS:]
    nodes, links, edges = _collect(facts, operators, words)
    position = {node.entry: n for n, node in enumerate(nodes)}
    layout = lay_out(
        [node.box for node in nodes],
        [Link(position[e.operand], position[e.into], box) for e, box in links],
        [node.kind != "operator" for node in nodes],
    )
    hidden = len(facts.operators) - len(operators)
    return _Picture(facts, nodes, edges, layout, hidden, styled, words).text()


def escape(text: str) -> str:
    """Any text as inert XML."""
    return html.escape(_NO_XML.sub("\ufffd", text))


def _cut(text: str, most: int = _MOST_CHARACTERS) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


class _EdgeText(NamedTuple):
    """An edge of the drawing: operand and operator, its lines of text, and whether it is dashed."""

    operand: int
    into: int
    value: str
    partial: str
    dashed: bool


def _collect(
    facts: Facts, operators: list[int], words: Words
) -> tuple[list[_Node], list[tuple[_EdgeText, Box]], list[_EdgeText]]:
    shown = set(operators)
    used: dict[int, None] = dict.fromkeys(facts.inputs) if len(facts.inputs) < 60 else {}
    links = []
    for i in operators:
        for k, edge in zip(facts.graph.entries[i][1], facts.edges[i], strict=True):
            if k not in shown:
                used[k] = None
            text = _edge_text(facts, k, i, edge, words)
            links.append((text, _label_box(text)))
    for output in facts.outputs:
        used.setdefault(output.index)
    numbers = sorted(shown.union(used))
    return [_node(facts, i, i in shown) for i in numbers], links, [text for text, _ in links]


def _edge_text(facts: Facts, operand: int, into: int, edge: Edge | None, words: Words) -> _EdgeText:
    is_constant = facts.graph.entries[operand][0] is CONSTANT
    value = "" if is_constant else _short_value(facts, operand)
    if edge is None:
        return _EdgeText(operand, into, value, "", True)
    name = f"∂{facts.names[into]}/∂{facts.names[operand]}"
    if edge.is_masked:
        return _EdgeText(operand, into, value, f"{name} = {words('0 (masked)')}", True)
    formula = _cut(edge.formula() if edge.local is not None else words(edge.structure.kind))
    shown = f"{name} = {formula}"
    if edge.is_scalar:
        number = _cut(value_text(edge.value), 28)
        shown += f" = {number}" if number != formula else ""
    elif edge.local is not None:
        shown += f", {words(edge.structure.kind)}"
    return _EdgeText(operand, into, value, shown, False)


def _short_value(facts: Facts, i: int) -> str:
    type_ = facts.graph.type(i)
    if isinstance(type_, tuple):
        return f"{len(type_)} values"
    if type_.shape:
        return str(type_)
    return number_text(facts.values[i], 6)


def _label_box(text: _EdgeText) -> Box:
    widest = max(len(text.value), len(text.partial))
    lines = bool(text.value) + bool(text.partial)
    return Box(6.0, 10.0 + widest * _CHARACTER, max(lines, 1) * _LINE + 6.0)


def _node(facts: Facts, i: int, shown: bool) -> _Node:
    op = facts.graph.entries[i][0]
    outputs = [o.name for o in facts.outputs if o.index == i]
    result = "".join(f"{_cut(name, 24)} = {_short_value(facts, i)}" for name in outputs[:1])
    name = _cut(facts.names[i], 30)
    if op is CONSTANT:
        kind, inside, beside = "constant", name, result
    elif op is INPUT:
        kind, inside, beside = "input", f"{name} = {_short_value(facts, i)}", ""
    elif not shown:
        kind, inside, beside = "constant", f"… {name}", ""
    else:
        kind, inside, beside = "operator", _cut(facts.label(i), 24), name
        if result:
            beside = f"{name}   {result}"
    half = max(19.0, len(inside) * _CHARACTER / 2 + 11.0)
    return _Node(
        i,
        kind,
        inside,
        beside,
        Box(half, half + (8.0 + len(beside) * _CHARACTER if beside else 0.0), 38.0),
    )


class _Picture:
    def __init__(
        self,
        facts: Facts,
        nodes: list[_Node],
        edges: list[_EdgeText],
        layout: Layout,
        hidden: int,
        styled: bool,
        words: Words,
    ) -> None:
        self.facts = facts
        self.nodes = nodes
        self.edges = edges
        self.layout = layout
        self.hidden = hidden
        self.styled = styled
        self.words = words
        self.out: list[str] = []

    def shape(self, tag: str, kind: str, **attributes: object) -> str:
        """One element with the attributes of its class."""
        given = " ".join(f'{k.replace("_", "-")}="{v}"' for k, v in attributes.items())
        return f'<{tag} class="wg-{kind}" {_LOOKS[kind][0]} {given}/>'

    def write(
        self, kind: str, x: float, y: float, text: str, anchor: str = "start", size: float = 12.5
    ) -> str:
        """One line of text."""
        return (
            f'<text class="wg-{kind}" {_LOOKS[kind][0]} x="{x:.1f}" y="{y:.1f}" '
            f'text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
        )

    def text(self) -> str:
        """The whole picture."""
        legend, legend_width, legend_height = self._legend()
        width = max(self.layout.width, legend_width) + 2 * _MARGIN
        height = self.layout.height + legend_height + 3 * _MARGIN
        left = (width - self.layout.width) / 2
        title = escape(self.words("Computational graph of {0}", self.facts.function))
        size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
        body = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="wengert" role="img" {size} {_FONTS}>',
            f"<title>{title}</title>",
            f"<desc>{escape(self._description())}</desc>",
            self._style(),
            _MARKER.format(look=_LOOKS["head"][0]),
            self.shape(
                "rect", "paper", x=0, y=0, width=f"{width:.0f}", height=f"{height:.0f}", rx=10
            ),
            f'<g transform="translate({left:.1f} {_MARGIN:.1f})">',
            *self._edges(),
            *self._labels(),
            *self._nodes(),
            "</g>",
            f'<g transform="translate({_MARGIN:.1f} {self.layout.height + 2 * _MARGIN:.1f})">',
            *legend,
            "</g>",
            "</svg>",
        ]
        return "\n".join(line for line in body if line) + "\n"

    def _description(self) -> str:
        inputs = ", ".join(self.facts.names[i] for i in self.facts.inputs[:20])
        return self.words(
            "{0} operators lead from the inputs {1} down to the result. Each edge shows the value "
            "that flows along it and the local partial derivative of the operator it enters.",
            len(self.facts.operators),
            inputs,
        )

    def _style(self) -> str:
        if not self.styled:
            return ""
        rules = "".join(f"svg.wengert .wg-{kind}{{{dark}}}" for kind, (_, dark) in _LOOKS.items())
        return f"<style>@media (prefers-color-scheme:dark){{{rules}}}</style>"

    # ------------------------------------------------------------ parts

    def _edges(self) -> list[str]:
        found = []
        results = {o.index for o in self.facts.outputs}
        for edge, route, (_, label_y) in zip(
            self.edges, self.layout.routes, self.layout.labels, strict=True
        ):
            box = _label_box(edge)
            points = [(route[0][0], route[0][1] + 19.0)]
            for x, y in route[1:-1]:
                half = box.height / 2 if y == label_y else 0.0
                points += [(x, y - half), (x, y + half)] if half else [(x, y)]
            border = 23.5 if edge.into in results else 19.5
            points.append((route[-1][0], route[-1][1] - border))
            found.append(
                self.shape(
                    "path",
                    "dashed" if edge.dashed else "line",
                    d=_curve(points),
                    marker_end="url(#wg-arrow)",
                )
            )
        return found

    def _labels(self) -> list[str]:
        found = []
        for edge, (x, y) in zip(self.edges, self.layout.labels, strict=True):
            lines = [(k, t) for k, t in (("value", edge.value), ("partial", edge.partial)) if t]
            for n, (kind, text) in enumerate(lines):
                at = y + (n - (len(lines) - 1) / 2) * _LINE + 4.5
                found.append(self.write(kind, x + 9.0, at, text))
        return found

    def _nodes(self) -> list[str]:
        found = []
        results = {o.index for o in self.facts.outputs}
        for node, (x, y) in zip(self.nodes, self.layout.nodes, strict=True):
            half = node.box.left
            radius = 19 if node.kind == "operator" else 6
            group = [
                f"<g><title>{escape(self._tooltip(node))}</title>",
                self.shape(
                    "rect",
                    node.kind,
                    x=f"{x - half:.1f}",
                    y=f"{y - 19:.1f}",
                    width=f"{2 * half:.1f}",
                    height=38,
                    rx=radius,
                ),
            ]
            if node.entry in results:
                group.append(
                    self.shape(
                        "rect",
                        "frame",
                        x=f"{x - half - 4:.1f}",
                        y=f"{y - 23:.1f}",
                        width=f"{2 * half + 8:.1f}",
                        height=46,
                        rx=radius + 4,
                    )
                )
            symbol = node.kind == "operator" and len(node.inside) == 1
            group.append(
                self.write(
                    "ink" if node.kind != "constant" else "quiet",
                    x,
                    y + (6.5 if symbol else 4.5),
                    node.inside,
                    "middle",
                    20.0 if symbol else 12.5,
                )
            )
            if node.beside:
                name, _, result = node.beside.partition("   ")
                group.append(self.write("quiet", x + half + 8.0, y + 4.5, name))
                if result:
                    group.append(
                        self.write(
                            "value", x + half + 8.0 + (len(name) + 2) * _CHARACTER, y + 4.5, result
                        )
                    )
            found += [*group, "</g>"]
        return found

    def _tooltip(self, node: _Node) -> str:
        facts = self.facts
        value = self.words.value(value_text(facts.values[node.entry]))
        if node.kind == "operator":
            line = facts.graph.lines.get(node.entry, "")
            computed = f"{facts.names[node.entry]} = {facts.computes(node.entry)} = {value}"
            return computed + (f"  ({line})" if line else "")
        return f"{facts.names[node.entry]} = {value}"

    def _legend(self) -> tuple[list[str], float, float]:
        say = self.words
        rows = [
            ("line", "value", "bold, red: the value that flows along the edge"),
            ("line", "partial", "italic, blue, ∂: local partial of the operator, formula = number"),
            ("dashed", "quiet", "dashed: no derivative flows along this edge"),
            ("frame", "quiet", "double border: the result"),
        ]
        found = [self.shape("path", "rule", d=f"M0 -14 H{_MARGIN * 18:.0f}")]
        y = 4.0
        for mark, kind, text in rows:
            if mark == "frame":
                found.append(
                    self.shape("rect", "frame", x=4, y=f"{y - 7:.1f}", width=26, height=14, rx=7)
                )
                found.append(
                    self.shape("rect", "frame", x=7, y=f"{y - 4:.1f}", width=20, height=8, rx=4)
                )
            else:
                found.append(
                    self.shape("path", mark, d=f"M0 {y:.1f} H34", marker_end="url(#wg-arrow)")
                )
            found.append(self.write(kind, 44.0, y + 4.5, say(text)))
            y += _LINE + 3
        if self.hidden:
            text = say("{0} operators further up are not drawn.", self.hidden)
            found.append(self.write("ink", 0.0, y + 4.5, text))
            y += _LINE + 3
        widest = max(len(text) for _, _, text in rows)
        return found, 44.0 + widest * _CHARACTER, y


def _curve(points: list[tuple[float, float]]) -> str:
    # A monotone cubic: x as a function of y, vertical where it starts, ends or turns back.
    slopes = [0.0] * len(points)
    for n in range(1, len(points) - 1):
        (x0, y0), (x1, y1), (x2, y2) = points[n - 1 : n + 2]
        before, after = (x1 - x0) / max(y1 - y0, 1e-9), (x2 - x1) / max(y2 - y1, 1e-9)
        if before * after > 0.0:
            slopes[n] = min(before, after, key=abs)
    pieces = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for n in range(1, len(points)):
        (x0, y0), (x1, y1) = points[n - 1], points[n]
        if abs(x0 - x1) < 0.5:
            pieces.append(f"L{x1:.1f} {y1:.1f}")
            continue
        # A steeper start and end than a cubic's keeps short bends round.
        reach = (y1 - y0) * (0.5 if slopes[n - 1] == slopes[n] == 0.0 else 1 / 3)
        a, b = x0 + slopes[n - 1] * reach, x1 - slopes[n] * reach
        pieces.append(f"C{a:.1f} {y0 + reach:.1f} {b:.1f} {y1 - reach:.1f} {x1:.1f} {y1:.1f}")
    return " ".join(pieces)
