"""Elements of arrays, edited on the page: every number is what Python computes for those inputs."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from tests.explain.test_page_support import (
    AXE,
    IMAGES,
    ROOT,
    browser,
    lacking,
    network,
    plain,
    show,
    text,
)

import wengert.ops as ops
from wengert.explain import explain
from wengert.explain.page import make_payload

__all__ = ["browser", "show"]  # fixtures
RNG = np.random.default_rng(7)


def classify(W, x):
    """Softmax cross-entropy with labels by advanced indexing."""
    z = x @ W
    z = z - np.max(z, axis=1, keepdims=True)
    logp = z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))
    return -np.mean(logp[np.arange(4), np.array([0, 2, 1, 2])])


def pieces(x, y):
    """Slices, joins, conditions, orders, scans, padding and repeated places."""
    a = np.concatenate([x[::-1], y[:, 1:]], axis=1)
    b = np.where(a > 0, np.log(np.abs(a) + 1), a**3)
    c = np.cumsum(b, axis=0) + np.sort(b, axis=1)
    d = np.pad(c, ((1, 0), (0, 2)))[np.array([0, 1, 1, 2])]
    d[1:4, 0] = np.prod(x, axis=1)
    return np.sum(d * d[::-1].T[: d.shape[1]].T) + np.max(c)


def linear(A, b):
    """A linear system and a determinant, and an array as result."""
    return {"x": np.linalg.solve(A, b), "d": np.linalg.det(A) * np.maximum(b, 0.1)}


def single(x, w):
    """In single precision."""
    return np.mean(np.tanh(np.einsum("ij,kj->ik", x, w)) ** 2)


CASES = [
    (classify, (RNG.normal(size=(5, 3)), RNG.normal(size=(4, 5))), 0, (2, 1), 1.75),
    (pieces, (RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3))), 0, (1, 2), -0.8),
    (pieces, (RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3))), 1, (2, 2), 1.25),
    (linear, (RNG.normal(size=(3, 3)) + 3 * np.eye(3), RNG.normal(size=3)), 0, (0, 2), 0.5),
    (single, tuple(RNG.normal(size=(2, 3)).astype(np.float32) for _ in "xw"), 1, (1, 0), -2.0),
]


def shown(page):
    """All that the page says of a state, but for how the numbers came there."""
    panels = (".node", ".table", ".paths", ".story", ".own")
    parts = [page.locator(part).first.text_content() for part in panels]
    rows = page.locator(".inputs > .scroll tbody tr").all_text_contents()
    # In single precision the last digits depend on the order of the sums.
    digits = re.compile(r"−?\d+\.\d+(e−?\d+)?")
    return [digits.sub(lambda m: f"{plain(m[0]):.4g}", part) for part in (*parts, *rows)]


@pytest.mark.browser
@pytest.mark.parametrize(("f", "args", "which", "index", "x"), CASES)
def test_an_edited_element_gives_what_python_gives_there(show, f, args, which, index, x):
    there = [a.copy() for a in args]
    there[which][index] = x
    graph = explain(f)(*args).graph
    node = graph.inputs[which]
    position = int(np.ravel_multi_index(index, args[which].shape))
    state = f"mode=reverse&node={len(graph) - 2}&in={node}"
    python = show(explain(f)(*there), state)
    page = show(explain(f)(*args), f"{state}&edit={node}.{position}:{x}")
    assert shown(page) == shown(python)
    for each in (python, page):
        each.locator(".modes").get_by_text("Forward mode").click()
        each.keyboard.press("End")
    assert shown(page) == shown(python)
    for number, heat in enumerate(page.locator(".canvas .miniature").all()):
        colours = "e => [...e.querySelectorAll('rect')].map(r => r.getAttribute('fill'))"
        other = python.locator(".canvas .miniature").nth(number)
        assert heat.evaluate(colours) == other.evaluate(colours)


@pytest.mark.browser
def test_back_to_the_given_elements(show):
    page = show(network(), "mode=reverse")
    before = shown(page)
    page.get_by_role("button", name="W: f64[6, 3] · elements").click()
    page.locator("#edit-element").fill("7")
    assert shown(page) != before
    page.get_by_role("button", name="Back to the given inputs").click()
    assert shown(page) == before
    assert page.locator("#edit-element").input_value() == str(network().inputs["W"][0, 0])


@pytest.mark.browser
def test_every_element_is_checked_by_a_finite_difference(show):
    page = show(network(), "element=1.4&edit=1.4:2.5")
    page.locator(".elements summary").click()
    rows = page.locator(".elements details tbody tr")
    rows.nth(17).wait_for()
    assert rows.count() == 18
    assert page.locator(".elements .yes").count() == 19
    cells = rows.nth(4).locator("td").all_inner_texts()
    W = explain_at(4, 2.5)
    assert [plain(c) for c in cells[:3]] == pytest.approx([W.flat[4]] * 3, rel=1e-5)
    page.locator(".inputs").screenshot(path=IMAGES / "explain-elements.png")


def explain_at(position, x):
    """The derivative by W of the network, with an element of W changed."""
    example = network()
    X, W, b = example.facts.arguments
    W = np.array(W)
    W.flat[position] = x
    z = np.tanh(X @ W + b)
    return X.T @ (2 * z * (1 - z**2)) / z.size


@pytest.mark.browser
def test_elements_by_keyboard_alone(show):
    page = show(network())
    button = page.get_by_role("button", name="W: f64[6, 3] · elements")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    grid = page.get_by_role("grid", name="Elements of W, f64[6, 3]")
    assert grid.get_by_role("gridcell").count() == 18
    page.keyboard.press("Tab")  # the button of b
    page.keyboard.press("Tab")
    for key in ["ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowUp", "Home", "End"]:
        page.keyboard.press(key)
    here = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(here).startswith("W[0, 2] = ")
    page.keyboard.press("ArrowLeft")
    page.keyboard.type("-0.75")  # begins in the grid, goes on in the box
    assert page.locator("#edit-element").input_value() == "-0.75"
    assert "edit=1.1%3A-0.75" in page.url
    page.keyboard.press("ArrowDown")  # the next element of the column
    assert "element=1.4" in page.url
    page.keyboard.type("1/4")
    page.keyboard.press("Enter")
    assert page.evaluate(here) == "W[1, 1] = 0.25*, changed"
    assert page.locator(".elements-grid td[role]").all_inner_texts()[1] == "−0.75*"
    assert text(page, ".count") == "6 / 6", "no step was taken meanwhile"
    page.keyboard.press("Escape")
    assert not page.locator(".elements").is_visible()
    assert page.evaluate("document.activeElement.textContent").startswith("W: f64[6, 3]")


@pytest.mark.browser
def test_elements_in_the_address_and_what_is_no_number(show):
    page = show(network(), "element=1.4&edit=1.4:2.5_2.0:NaN&theme=dark&lang=zh")
    assert page.locator("#edit-element").input_value() == "2.5"
    assert "NaN" in text(page, ".inputs"), "one element reaches the sum"
    page.locator("#edit-element").fill("2.5.")
    assert page.locator("#edit-element").get_attribute("aria-invalid") == "true"
    assert page.locator(".elements-grid td[role]").nth(4).inner_text() == "2.5*"
    for strange in ("element=1.99&edit=1.99:3", "element=99.0&edit=99.7:1", "element=3.0"):
        page = show(network(), strange)
        assert not page.locator(".elements").is_visible()


@pytest.mark.browser
def test_edited_elements_reach_the_other_graph(show):
    plain_one = network()
    both = plain_one.compare(plain_one.optimised())
    page = show(make_payload(both.left, both.right, names=both.names), "view=1&edit=1.4:2.5")
    edited = page.locator(".canvas").all_inner_texts()
    page.get_by_role("button", name="before optimisation").click()
    assert "edit=1.4" in page.url
    assert edited


@pytest.mark.browser
@pytest.mark.parametrize(
    ("f", "args", "reason"),
    [
        (lambda A: np.sum(np.linalg.eigh(A)[0] ** 2), (np.eye(2),), "the operator eigh"),
        (lambda x: np.sum(ops.TABLE["gammaln"](x)), (np.ones(3),), "the operator gammaln"),
        (lambda x: np.sum(x * x), (np.ones((150, 150)),), "up to 20000 elements"),
    ],
)
def test_what_the_page_cannot_compute_is_named(show, f, args, reason):
    page = show(explain(f)(*args))
    assert reason in text(page, ".inputs")
    assert page.get_by_role("button", name="elements").count() == 0


@pytest.mark.browser
def test_large_arrays_are_computed_with_but_have_no_table(show):
    example = explain(lambda x, s: np.sum(s * x))(np.ones((30, 20)), 2.0)
    page = show(example, "mode=reverse")
    assert "The elements of x can't be edited: a table has at most 400." in text(page, ".inputs")
    page.locator("#edit-1").fill("3")
    assert "1800" in text(page, ".table")


OPERATOR_TABLES = ("operators", "array-operators", "linear-algebra")
AXE_STATES = [
    "element=1.4&edit=1.4:2.5&mode=reverse",
    "element=1.4&edit=1.4:2.5&theme=dark&lang=zh",
    "element=0.0&edit=0.0:NaN_0.1:-40&lang=zh&theme=light&mode=forward",
    "element=2.1&theme=dark&quiz=1&step=2",
]


@pytest.mark.browser
@pytest.mark.parametrize("fragment", AXE_STATES)
def test_axe_finds_no_violation_in_the_elements(show, fragment):
    if not AXE.exists():
        lacking("axe-core (run npm ci in web/)")
    page = show(network(), fragment, bypass_csp=True)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for summary in page.locator(".elements summary:visible").all():
        summary.click()
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    assert [(v["id"], v["help"], v["nodes"][0]["html"][:150]) for v in found] == []


@pytest.mark.browser
def test_hostile_names_of_arrays_are_inert(show):
    evil = "</script><img src=x onerror=alert(2)><b>&amp;"
    payload = make_payload(network())
    for node in payload["views"][0]["nodes"]:
        node |= {"name": evil + str(node["id"]), "label": evil, "dtype": evil}
    page = show(payload, "element=1.4&edit=1.4:2.5")
    assert page.locator("img, b").count() == 0
    assert page.locator(".elements h3").inner_text().startswith(f"Elements of {evil}")


@pytest.mark.browser
def test_a_schedule_colours_drawing_node_and_legend(show, tmp_path):
    example = explain(lambda x, y: np.exp(x) * np.exp(y))(0.5, 0.25)
    first, second, product = (op.index for op in example.operators)
    schedule = {"batch": {first: 0, second: 0, product: 1}, "names": ["both exp", "the product"]}
    text_of = example.to_html(tmp_path / "batches.html", schedule=schedule)
    assert "both exp" in text_of
    page = show(make_payload(example, schedules=[schedule]), f"node={product}")
    assert page.locator(".canvas .box.batch-0").count() == 2
    assert page.locator(".canvas .box.batch-1").count() == 1
    assert sorted(page.locator(".canvas text.batch").all_text_contents()) == ["B1", "B1", "B2"]
    assert "the product" in text(page, ".node")
    assert "The batch of the schedule that runs the operator." in text(page, ".legend")


@pytest.mark.browser
def test_arrays_do_not_scroll_a_phone_sideways(show):
    phone = {"width": 360, "height": 740}
    page = show(network(), "mode=reverse&element=1.4&edit=1.4:2.5", viewport=phone)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


# ---------------------------------------------------------------- without a browser


def test_every_operator_that_the_page_evaluates_is_compared():
    sources = [ROOT / "web" / "src" / f"{name}.ts" for name in OPERATOR_TABLES]
    text_of = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    known = set(re.findall(r"^  (\w+)[:,]", text_of, re.MULTILINE)) & set(ops.TABLE)
    reference = json.loads((ROOT / "web" / "tests" / "array_reference.json").read_text())
    compared = {row["of"] for row in reference["rows"]}
    assert known == compared, "run web/tests/make_array_reference.py"
    assert len(known) > 110
    assert not known & set(reference["notEvaluated"])


def test_the_reference_is_what_its_program_writes():
    tests = ROOT / "web" / "tests"
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import make_array_reference as m; "
        "print(json.dumps(m.make()))"
    )
    made = subprocess.run(
        [sys.executable, "-c", script, str(tests)], capture_output=True, text=True, check=True
    )
    found = json.loads(made.stdout)
    kept = json.loads((tests / "array_reference.json").read_text())
    names = [(row["op"], row["params"], row["args"]) for row in found["rows"]]
    assert names == [(row["op"], row["params"], row["args"]) for row in kept["rows"]]
    for new, old in zip(found["rows"], kept["rows"], strict=True):
        assert new["result"]["shape"] == old["result"]["shape"]
        numbers = [[float(v) for v in row["result"]["data"]] for row in (new, old)]
        np.testing.assert_allclose(*numbers, rtol=1e-12, atol=1e-12)  # libraries differ
