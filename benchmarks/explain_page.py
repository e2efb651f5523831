"""The explainer's page of 2,000 operators: until it can be used, and until a step is drawn.

    python benchmarks/explain_page.py

A function of 2,000 operators is explained once; its page is opened in headless Chromium several
times, each time in a new context. *Ready*: from the request for the file until the page has drawn
itself and hears keys. *A step*: from a key press until the frame after it. Where there is no
Chromium (`CHROMIUM`, or one on the path) or no playwright, it says so and measures nothing.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import QUICK, duration, exists, markdown, summary, write

import wengert as wg

OPERATORS = 2200  # of which somewhat over 2,000 reach the result
STEP = """() => new Promise((done) => {
  const begun = performance.now();
  document.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft", bubbles: true}));
  requestAnimationFrame(() => setTimeout(() => done((performance.now() - begun) / 1000)));
})"""


def many(*xs: Any) -> Any:
    rng = random.Random(1)
    values = list(xs)
    while len(values) < OPERATORS:
        a, b = rng.sample(values[-30:], 2)
        kind = rng.randrange(4)
        values.append((a + b, a * b, np.sin(a), np.tanh(a - b))[kind])
    return sum(values[-30:])


def open_once(browser: Any, address: str) -> tuple[float, float]:
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    begun = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_selector("html.ready", state="attached")
    ready = time.perf_counter() - begun
    page.locator("h1").click()
    step = page.evaluate(STEP)
    context.close()
    return ready, step


def main() -> None:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None or not exists("playwright"):
        print(f"explain_page: no {'Chromium' if found is None else 'playwright'}: not measured")
        return
    from playwright.sync_api import sync_playwright

    explanation = wg.explain(many)(*np.linspace(0.1, 1.0, 20))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        path = Path(folder) / "page.html"
        size = len(explanation.to_html(path).encode())
        options = ["--no-sandbox", "--disable-gpu"]
        browser = started.chromium.launch(executable_path=found, args=options)
        samples = [open_once(browser, path.as_uri()) for _ in range(2 if QUICK else 9)]
        browser.close()
    timings = {
        name: summary(list(numbers))
        for name, numbers in zip(("ready", "a step"), zip(*samples, strict=True), strict=True)
    }
    count = len(explanation.operators)
    rows = [[name, duration(t["median"]), duration(t["p10"])] for name, t in timings.items()]
    table = markdown(["", "median", "10th percentile"], rows)
    table += f"\n\n{count:,} operators, a page of {size / 1e6:.1f} MB."
    record = {"title": f"The explainer's page, {count:,} operators", "seconds": timings}
    write("explain_page", record, table)


if __name__ == "__main__":
    main()
