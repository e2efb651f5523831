"""The picture: well-formed, complete, inert, and nothing lies on top of anything else."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wengert.explain import explain, explain_formula
from wengert.explain.drawing import MOST_OPERATORS, draw
from wengert.explain.layout import Box, Link, lay_out

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "<script>alert(1)</script>",
    '"onload="x',
    "a&b",
    "]]>",
    "\\",
    "\0\x1b[31m",
    "\ud800",
    "日本",
    "$x^{2}$",
    "%",
    "\u202eabc",
]


def texts(svg):
    return ["".join(e.itertext()) for e in ET.fromstring(svg).iter(f"{SVG}text")]


@pytest.fixture
def svg():
    return explain_formula("1/(exp(-(w*x+b))+1)", {"x": 1, "w": 0, "b": 0}).to_svg()


def test_every_operator_value_and_partial_is_drawn(svg):
    found = texts(svg)
    for text in (
        "×",
        "+",
        "×(-1)",
        "exp",
        "÷",
        "x = 1",
        "w = 0",
        "b = 0",
        "f = 0.5",
        "h4",
        "∂h1/∂w = x = 1",
        "∂h4/∂h3 = exp(h3) = 1",
        "∂h6/∂h5 = -1/h5² = -0.25",
    ):
        assert text in found


def test_values_and_partials_differ_by_more_than_colour(svg):
    elements = list(ET.fromstring(svg).iter(f"{SVG}text"))
    values = [e for e in elements if e.get("class") == "wg-value"]
    partials = [e for e in elements if e.get("class") == "wg-partial"]
    assert {e.get("font-weight") for e in values} == {"bold"}
    assert {e.get("font-style") for e in partials} == {"italic"}
    assert len({e.get("fill") for e in values} | {e.get("fill") for e in partials}) == 2


def test_the_legend_explains_the_marks(svg):
    legend = " ".join(texts(svg)[-4:])
    assert all(word in legend for word in ("red", "blue", "dashed", "double border"))


def test_a_description_and_titles_for_screen_readers(svg):
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text == "Computational graph of f"
    assert "6 operators" in root.find(f"{SVG}desc").text


def test_a_subtraction_is_drawn_as_minus():
    assert "−" in texts(explain(lambda x, y: x - y)(1.0, 2.0).to_svg())


def test_without_style_element():
    facts = explain(lambda x: x * x)(1.0).facts
    assert "<style" not in draw(facts, styled=False)
    assert "prefers-color-scheme" in draw(facts)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_inert(name):
    explanation = explain(lambda tree: tree[name] * 2.0)({name: 1.0})
    svg = explanation.to_svg()
    root = ET.fromstring(svg)
    assert not list(root.iter(f"{SVG}script"))
    assert {e.tag.removeprefix(SVG) for e in root.iter()} <= {
        "svg",
        "title",
        "desc",
        "style",
        "defs",
        "marker",
        "path",
        "rect",
        "g",
        "text",
    }
    for text in (explanation.to_html(), explanation._repr_html_()):
        assert "<script>alert" not in text
    dot = explanation.to_dot()
    assert dot.count("digraph") == 1
    assert "\n" not in max(dot.splitlines(), key=len)
    latex = explanation.latex()
    assert "$x^{2}$" not in latex
    str(explanation).encode("utf-8")
    svg.encode("utf-8")


def test_hostile_keyword():
    explanation = explain(lambda **named: sum(named.values()))(**{"a\nb": 1.0, "c<d>": 2.0})
    assert all("\n" not in name for name in explanation.inputs)
    ET.fromstring(explanation.to_svg())


def test_written_to_a_file(tmp_path):
    path = tmp_path / "graph.svg"
    explanation = explain(np.sin)(1.0)
    assert path.write_text("old") == 3
    assert path.read_text(encoding="utf-8") != explanation.to_svg(path)
    assert path.read_text(encoding="utf-8") == explanation.to_svg()


def test_large_graphs_are_drawn_in_part():
    def chain(x):
        for _ in range(500):
            x = np.sin(x)
        return x

    svg = explain(chain)(1.0).to_svg()
    found = texts(svg)
    assert f"{500 - MOST_OPERATORS} operators further up are not drawn." in found
    assert found.count("sin") == MOST_OPERATORS


@st.composite
def graphs(draw_from):
    count = draw_from(st.integers(1, 12))
    sizes = draw_from(st.lists(st.floats(10, 80), min_size=count, max_size=count))
    links = []
    for target in range(1, count):
        sources = draw_from(st.lists(st.integers(0, target - 1), max_size=3))
        links += [Link(k, target, Box(6, draw_from(st.floats(10, 120)), 30)) for k in sources]
    leaves = [all(link.target != n for link in links) for n in range(count)]
    return [Box(s / 2, s, 38.0) for s in sizes], links, leaves


@given(graphs())
def test_boxes_do_not_overlap_and_edges_point_down(graph):
    boxes, links, leaves = graph
    layout = lay_out(boxes, links, leaves)
    placed = [
        (x - b.left, x + b.right, y - b.height / 2, y + b.height / 2)
        for (x, y), b in zip(layout.nodes, boxes, strict=True)
    ]
    placed += [
        (x - k.label.left, x + k.label.right, y - 15, y + 15)
        for (x, y), k in zip(layout.labels, links, strict=True)
    ]
    for n, (left, right, top, bottom) in enumerate(placed):
        assert left >= -1e-6
        assert right <= layout.width + 1e-6
        assert top >= -1e-6
        assert bottom <= layout.height + 1e-6
        for other in placed[:n]:
            apart = left >= other[1] or right <= other[0] or top >= other[3] or bottom <= other[2]
            assert apart
    for link, route in zip(links, layout.routes, strict=True):
        ys = [y for _, y in route]
        assert ys == sorted(ys)
        assert layout.nodes[link.source][1] < layout.nodes[link.target][1]


def test_a_chain_is_straight():
    boxes = [Box(20, 40, 38)] * 5
    links = [Link(k, k + 1, Box(6, 100, 30)) for k in range(4)]
    layout = lay_out(boxes, links, [True, *[False] * 4])
    assert len({round(x, 3) for x, _ in layout.nodes}) == 1
