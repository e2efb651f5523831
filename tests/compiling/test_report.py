"""`CompiledFunction.report`: text, numbers and drawings of what happened."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

import wengert as wg
from wengert.errors import ArgumentError


def softmax_loss(w, x, y):
    o = x @ w
    o = o - np.max(o, axis=1, keepdims=True)
    return -np.sum(y * (o - np.log(np.sum(np.exp(o), axis=1, keepdims=True)))) * 1.0


@pytest.fixture
def report(rng):
    args = (rng.normal(size=(4, 3)), rng.normal(size=(5, 4)), np.eye(3)[[0, 1, 2, 0, 1]])
    return wg.compile(wg.value_and_grad(softmax_loss)).report(*args)


def test_the_text_says_what_was_done(report):
    text = str(report)
    assert text.startswith("softmax_loss(w: f64[4,3], x: f64[5,4], y: f64[5,3]) -> f64[], f64[4,3]")
    for part in (
        "mul-by-one",
        "1 is neutral",
        "fuses",
        "product 5x4x3",
        "arena of one call",
        "ms  capture",
        "ms  optimise",
        "ms  plan",
        "ms  LLVM",
        "kernels: ",
        "test_report.py:",
    ):
        assert part in text
    assert repr(report).startswith("<Report of softmax_loss")


def test_the_fields_are_data(report):
    assert len(report.optimised) < len(report.captured)
    assert {"mul-by-one"} <= {r.rule for r in report.rewrites}
    assert report.cost.flops == sum(s.cost.flops for s in report.steps)
    assert set(report.seconds) == {"capture", "optimise", "plan", "LLVM"}
    assert report.memory.arena < report.memory.everything


def test_generated_code(report):
    kernels = [n for n, s in enumerate(report.steps) if s.kind == "kernel"]
    assert "define void @" in report.code(kernels[0])
    assert len(report.code()) >= len(report.code(kernels[0]))
    assert ".text" in report.code(assembly=True)
    products = [n for n, s in enumerate(report.steps) if s.kind == "product"]
    with pytest.raises(ArgumentError, match="is not a generated kernel"):
        report.code(products[0])
    with pytest.raises(ArgumentError, match="step 99"):
        report.code(99)


def test_drawings_before_and_after(report, tmp_path):
    before = report.to_svg(before=True)
    after = report.to_svg(tmp_path / "after.svg")
    assert (tmp_path / "after.svg").read_text(encoding="utf-8") == after
    for picture in (before, after):
        root = ET.fromstring(picture)
        assert root.tag.endswith("svg")
    assert before.count("<rect") > after.count("<rect")
    page = report.to_html(tmp_path / "page.html")
    assert page.count("<svg") == 2
    assert "&lt;" not in before or "<title>" in before


def test_a_long_graph_is_drawn_from_its_end():
    def chain(x):
        for _ in range(400):
            x = np.cumsum(x)
        return x

    picture = wg.compile(chain).report(np.ones(3)).to_svg(before=True)
    assert "401 entries, of which the last 160 are drawn" in picture


def test_it_tells_which_steps_run_in_chunks(rng, monkeypatch):
    for module in ("chunks", "plan", "products"):
        monkeypatch.setattr(f"wengert.plan.{module}.worker_count", lambda: 1)
    f = wg.compile(lambda x, w: np.tanh(np.tanh(x @ w) @ w))
    text = str(f.report(rng.normal(size=(64, 64)), rng.normal(size=(64, 64))))
    assert text.count("2 chunks of strip 0") == 2
    monkeypatch.setattr("wengert.plan.products.worker_count", lambda: 0)
    monkeypatch.setattr("wengert.plan.plan.worker_count", lambda: 0)
    text = str(wg.compile(np.tanh).report(rng.normal(size=(500, 500))))
    assert "chunks\n" in text
