"""What the tests of the explainer page share: opening a page in Chromium, and the examples."""

import atexit
import os
import random
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

import wengert as wg
from wengert.explain import explain
from wengert.explain.page import fill_template, make_payload

ROOT = Path(__file__).parents[2]
#: Where the screenshots of the documentation go. They are made anew only when that is asked for,
#: with WENGERT_UPDATE_SCREENSHOTS=1; otherwise a test run leaves the working tree as it is.
IMAGES = (
    ROOT / "docs" / "images"
    if os.environ.get("WENGERT_UPDATE_SCREENSHOTS") == "1"
    else Path(tempfile.mkdtemp(prefix="wengert-screenshots-"))
)
atexit.register(lambda: IMAGES.name == "images" or shutil.rmtree(IMAGES, ignore_errors=True))
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def lacking(what):
    """Skips and says so, or fails where the browser is required."""
    if os.environ.get("WENGERT_REQUIRE_BROWSER") == "1":
        pytest.fail(f"WENGERT_REQUIRE_BROWSER=1, but there is no {what}")
    pytest.skip(f"no {what}: the page was NOT tested")


@pytest.fixture(scope="module")
def browser(chromium):
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("playwright package")
    with sync_playwright() as started:
        launched = started.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield launched
        launched.close()


class Opened:
    """A page on the screen and what went wrong on it."""

    def __init__(self, context, path, fragment):
        self.requests, self.errors = [], []
        self.page = context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: m.type == "error" and self.errors.append(m.text))
        self.url = path.as_uri()
        self.page.goto(self.url + (f"#{fragment}" if fragment else ""))

    def finish(self):
        """No request left the page and no script failed."""
        inside = (self.url, "data:", "blob:")
        assert [u for u in self.requests if not u.startswith(inside)] == []
        assert self.errors == []


@pytest.fixture
def show(browser, tmp_path):
    """show(explanation or payload, fragment) opens a page as a user would, from disk.

    At the end nothing may have gone wrong on it and no request may have left it.
    """
    opened, contexts = [], []

    def open_page(what, fragment="", *, ready=True, static=None, **options):
        path = tmp_path / f"page{len(opened)}.html"
        if static is not None or isinstance(what, dict):
            payload = what if isinstance(what, dict) else make_payload(what)
            path.write_text(fill_template(payload, static or ""), encoding="utf-8")
        else:
            what.to_html(path)
        defaults = {"viewport": {"width": 1440, "height": 1000}, "locale": "en-US"}
        context = browser.new_context(**{**defaults, **options})
        contexts.append(context)
        opened.append(Opened(context, path, fragment))
        if ready:
            opened[-1].page.wait_for_selector("html.ready", state="attached")
        return opened[-1].page

    yield open_page
    for each in opened:
        each.finish()
    for context in contexts:
        context.close()


# ---------------------------------------------------------------- reading a page


def text(page, selector):
    """What a person reads in the first element, once it is in sight."""
    element = page.locator(selector).first
    element.scroll_into_view_if_needed()
    return element.inner_text()


def drawn(page, selector):
    """The non-empty texts of the drawing."""
    found = page.locator(f".canvas {selector}").all_text_contents()
    return [each for each in found if each]


def step_of(page):
    """`3 / 6`."""
    return text(page, ".count")


def box(page, node):
    """The box of a node in the drawing."""
    return page.locator(f'.canvas [data-box="n{node}"]').first


def plain(shown):
    """A shown number as a float; zero by structure is 0."""
    if shown.startswith("∅"):
        return 0.0
    return float(shown.replace("−", "-").replace("\u202f", ""))


def derivative(page, row, column):
    """A cell of the table of derivatives: forward, reverse, finite difference, check."""
    return page.locator(".inputs tbody tr").nth(row).locator("td").nth(column).inner_text()


def rows_of(page, mode, part=".own"):
    """The meter of one mode: [most, now] by row."""
    rows = page.locator(f"{part} .meter.{mode} tbody tr")
    cells = rows.evaluate_all("rows => rows.map(row => [...row.cells].map(c => c.textContent))")
    return [[cell.replace("\u202f", "") for cell in row[2:4]] for row in cells]


def count_in(pattern, shown):
    """The integer that a pattern finds, with its digit groups joined."""
    return int(re.search(pattern, shown.replace("\u202f", "")).group(1))


# ---------------------------------------------------------------- examples


def f(x, w, b):
    h = x * w
    z = h + b
    e = np.exp(-z)
    return 1 / (e + 1)


def layer(X, W, b):
    z = X @ W + b
    a = np.tanh(z)
    return np.mean(a**2)


def rounds(x, w):
    for _ in range(12):
        x = np.tanh(w * x + 0.1)
        x = x * w
    return x


def branches(x):
    if x > 0:
        return np.log(x) * x
    return np.exp(x) + x * x


def choices(x, y):
    return np.maximum(x, y) * np.where(x > 0, np.log(x), y) + np.abs(x)


def doubled(x):
    for _ in range(100):
        x = x + x
    return x


def diamond(x):
    return (x + 1) * np.exp(x)


def sum_and_product(a, b):
    return {"s": a + b, "p": a * b}


def large(*xs):
    rng = random.Random(1)
    values = list(xs)
    while len(values) < 2000:
        a, b = rng.sample(values[-30:], 2)
        kind = rng.randrange(4)
        if kind == 0:
            values.append(a + b)
        elif kind == 1:
            values.append(a * b)
        else:
            values.append(np.sin(a) if kind == 2 else np.tanh(a - b))
    return sum(values[-30:])


@wg.custom_vjp
def clipped(x):
    return x


clipped.defvjp(lambda x: (x, None), lambda _, ct: (np.clip(ct, -1.0, 1.0),))


def one_layer(p, x):
    z = x @ p["w"]
    return np.tanh(z + p["b"])


def deep(ps, x):
    for p in ps:
        x = one_layer(p, x)
    return np.mean(x**2)


def four_layers():
    rng = np.random.default_rng(0)
    ps = [{"w": rng.normal(size=(3, 3)), "b": np.zeros(3)} for _ in range(4)]
    return explain(deep)(ps, np.ones(3))


def repeated(x, y):
    return (x + y) * (x + y) + (x + y) * 1.0


def logistic():
    """The example of the course notes at its point."""
    return explain(f)(1.0, 0.0, 0.0)


def network():
    """One layer on arrays."""
    rng = np.random.default_rng(5)
    return explain(layer)(rng.normal(size=(4, 6)), rng.normal(size=(6, 3)), np.zeros(3))


def two_graphs():
    """A loop and a short graph coloured by batch, side by side."""
    schedule = {"batch": {1: 0, 2: 1}, "names": ["first batch", "second batch"]}
    short = explain(branches)(2.0)
    return make_payload(
        explain(rounds)(0.3, 0.7), short, names=["before", "after"], schedules=[None, schedule]
    )


def many_nodes():
    """Two thousand operators and more."""
    return explain(large)(*np.linspace(0.1, 1.0, 20))
