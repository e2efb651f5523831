"""What all tests share: a deterministic hypothesis, seeded random numbers, and a browser."""

import os
import shutil

import hypothesis
import numpy as np
import pytest

# The same examples on every run: a red test is red again when it is run again. To look for new
# counterexamples: HYPOTHESIS_PROFILE=explore make test
hypothesis.settings.register_profile(
    "repeatable", derandomize=True, deadline=None, database=None, print_blob=True
)
hypothesis.settings.register_profile("explore", max_examples=1000, deadline=None, print_blob=True)
# Tests run optimised code; tests/codegen/test_background.py compares it with the first code.
os.environ.setdefault("WENGERT_BACKGROUND", "0")
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture
def rng():
    """A random generator with a fixed seed."""
    return np.random.default_rng(1964)


@pytest.fixture(scope="session")
def chromium():
    """The path of Chromium; skips where there is none, unless WENGERT_REQUIRE_BROWSER=1."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    message = "no chromium on PATH (Debian and Ubuntu: apt-get install chromium)"
    if os.environ.get("WENGERT_REQUIRE_BROWSER") == "1":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def browser_page(chromium):
    """An empty page of a headless Chromium, which may not reach the network."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(offline=True).new_page()
        yield page
        browser.close()
