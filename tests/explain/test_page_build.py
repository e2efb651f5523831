"""The page without a browser: the template is what the sources build to, and how it is filled."""

import html.parser
import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from tests.explain.test_page_support import (
    ROOT,
    choices,
    lacking,
    large,
    logistic,
    network,
    rounds,
    two_graphs,
)

import wengert.ops as ops
from wengert.explain import explain
from wengert.explain.local import local_partial
from wengert.explain.page import fill_template, make_payload
from wengert.explain.page.numbers import Budget, wire_value
from wengert.explain.page.programs import to_program
from wengert.explain.page.template import to_script_text
from wengert.graph import type_of

WEB = ROOT / "web"
#: Graphs with these are shown, but their inputs cannot be edited on the page, which says why.
FEW = {"gammaln", "digamma", "polygamma", "erfinv", "nextafter", "frexp_exponent"}
TEMPLATE = ROOT / "src" / "wengert" / "explain" / "page" / "template.html"


def node_modules():
    """Skips, or fails where the browser tests are required, unless the page can be built."""
    if shutil.which("node") is None:
        lacking("node")
    if not (WEB / "node_modules" / "esbuild").exists():
        lacking("web/node_modules (run npm ci in web/)")


def run_in_web(*command):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("npm_")}
    done = subprocess.run(
        command, cwd=WEB, env=clean, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_the_committed_template_is_what_the_sources_build_to(tmp_path):
    node_modules()
    built = tmp_path / "template.html"
    run_in_web("node", "build.mjs", str(built))
    assert built.read_bytes() == TEMPLATE.read_bytes(), "run npm run build in web/ and commit"


def test_the_sources_pass_the_type_checker_and_their_unit_tests():
    node_modules()
    run_in_web("node", "node_modules/typescript/bin/tsc", "--noEmit")
    run_in_web("node", "test.mjs")


def test_the_template_asks_for_nothing_from_outside():
    text = TEMPLATE.read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text).group(1)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", text))
    spaces = {a for a in addresses if a.startswith("http://www.w3.org/")}
    assert addresses - spaces <= {"https://github.com/dagrejs/dagre"}, "only names of formats"
    assert not re.search(
        r"<(link|img|iframe|object|embed)\b|@import|url\(", text.split("<body>")[0]
    )


class Scripts(html.parser.HTMLParser):
    """Collects what an HTML parser takes for scripts."""

    def __init__(self):
        super().__init__()
        self.tags, self.data, self.inside = [], [], False

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.inside = tag == "script"
        if self.inside:
            self.data.append("")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.data[-1] += data


@pytest.mark.parametrize(
    "evil",
    ["</script><script>alert(1)</script>", "<!--<script>", "&lt;/script>", "@@WENGERT-PAYLOAD@@"],
)
def test_a_payload_cannot_leave_its_element(evil):
    payload = {"title": evil, "format": evil, "views": [evil + "\u2028"]}
    parser = Scripts()
    parser.feed(fill_template(payload))
    assert parser.tags.count("script") == 2
    assert json.loads(parser.data[0]) == payload


def test_json_that_browsers_cannot_read_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        to_script_text({"x": float("nan")})


@pytest.mark.parametrize("make", [logistic, network, lambda: explain(rounds)(0.3, 0.7)])
def test_payloads_are_plain_json_in_evaluation_order(make):
    payload = make_payload(make())
    again = json.loads(to_script_text(payload))
    assert again == payload
    for position, node in enumerate(again["views"][0]["nodes"]):
        assert node["id"] == position
        assert all(k < position for k in node["operands"])
        if node["kind"] == "op":
            assert len(node["partials"]) == len(node["operands"])


def run_program(program, xs, y):
    """What the page does, with the rule table's own values."""
    special = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "-0": -0.0}
    env = {f"x{k}": x for k, x in enumerate(xs)} | {"y": y} | special
    for k, (name, operands, *params) in enumerate(program["code"]):
        values = [np.float64(env[ref]) if isinstance(ref, str) else ref for ref in operands]
        if name == "where":
            values[0] = bool(values[0])
        env[f"t{k}"] = ops.TABLE[name].evaluate(*values, **(params[0] if params else {}))
    look = lambda ref: env[ref] if isinstance(ref, str) else ref  # noqa: E731
    if "mask" in program and not look(program["mask"]):
        return None
    return float(look(program["result"]))


@pytest.mark.parametrize("point", [(-1.0, 2.0), (1.5, 0.5), (2.0, 3.0), (1.0, 1.0)])
def test_programs_compute_the_partials(point):
    nodes = make_payload(explain(choices)(*point))["views"][0]["nodes"]
    checked = 0
    for node in nodes:
        xs = [nodes[k]["value"] for k in node["operands"]]
        for partial in filter(None, node["partials"]):
            found = run_program(partial["program"], xs, node["value"])
            assert found == (None if partial["value"] is None else pytest.approx(partial["value"]))
            checked += 1
    assert checked >= 8


def test_the_page_knows_the_operators_of_nearly_all_partials():
    known = set(re.findall(r"^  (\w+):? ?", (WEB / "src" / "operators.ts").read_text(), re.M))
    number = type_of(np.float64(1.0))
    unknown = {}
    for name, op in ops.TABLE.items():
        if op.family != "elementwise" or not op.differentiable or name in FEW:
            continue
        params = (("n", 3),) if name == "integer_power" else ()
        params = (("dtype", np.dtype("float64")),) if name == "cast" else params
        condition = type_of(np.bool_(True)) if name == "where" else number
        exponent = type_of(np.int64(1)) if name == "ldexp" else number
        types = (condition, number, number)[: op.arity]
        types = (number, exponent) if name == "ldexp" else types
        for k in range(op.arity):
            local = local_partial(op, k, number, types, params)
            program = None if local is None else to_program(local)
            used = {name} | {code[0] for code in (program or {"code": ()})["code"]}
            if used - known:
                unknown[name] = used - known
    assert unknown == {}


def test_source_lines_come_with_the_graph():
    view = make_payload(logistic())["views"][0]
    source = view["source"]
    assert source["file"] == "test_page_support.py"
    assert source["lines"][0].startswith("def f(x, w, b):")
    line_of = {node["name"]: node["line"] for node in view["nodes"] if node["kind"] == "op"}
    shown = source["lines"][line_of["h4"] - source["first"]]
    assert shown.strip() == "e = np.exp(-z)"


def test_repeats_become_groups_of_one_family():
    view = make_payload(explain(rounds)(0.3, 0.7))["views"][0]
    assert {group["family"] for group in view["groups"]} == {"[× + tanh]"}
    sizes = [sum(node["group"] == k for node in view["nodes"]) for k in range(12)]
    assert sizes == [4] * 12


def test_batches_colour_the_operators_of_a_schedule():
    view = two_graphs()["views"][1]
    assert view["batches"] == ["first batch", "second batch"]
    assert [node["batch"] for node in view["nodes"]][:3] == [None, 0, 1]


def test_arrays_are_summarised_within_bounds():
    array = np.arange(100_000.0).reshape(100, 1000)
    array[0, 0], array[5, 5] = np.nan, np.inf
    summary = wire_value(array, Budget(arrays=10))
    assert (summary["nans"], summary["infs"], summary["max"]) == (1, 1, 99_999.0)
    assert len(summary["grid"]) == len(summary["grid"][0]) == 32
    assert not summary["exact"]
    small = wire_value(np.eye(2), Budget(arrays=10_000))
    assert small["exact"]
    assert small["grid"] == [[1.0, 0.0], [0.0, 1.0]]
    assert wire_value(np.float64(-0.0), Budget(1)) == "-0"
    assert wire_value(np.zeros((0, 3)), Budget(1))["grid"] == []


def test_large_pages_stay_small():
    text = fill_template(make_payload(explain(large)(*np.linspace(0.1, 1.0, 20))))
    assert len(text) < 2_000_000
