"""Zero by structure, zero behind a mask, a computed zero and NaN are told apart."""

import numpy as np

from wengert.explain import explain


def statuses(f, *args):
    explanation = explain(f)(*args)
    return {d.input: (d.status, d.text) for d in explanation.derivatives}


def test_no_path():
    found = statuses(lambda x, y: x * 2.0, 1.0, 1.0)
    assert found == {"x": ("path", "2"), "y": ("no path", "0 (no path)")}


def test_a_branch_that_was_not_taken_is_no_path():
    assert statuses(lambda x, y: x * 2.0 if x > 0 else y, 1.0, 1.0)["y"] == (
        "no path",
        "0 (no path)",
    )


def test_locally_constant_is_no_path():
    assert statuses(lambda x: np.floor(x), 1.5) == {"x": ("no path", "0 (no path)")}


def test_masked_by_where():
    found = statuses(lambda x, y: np.where(x > 0, x, np.sqrt(y)), 1.0, -1.0)
    assert found == {"x": ("path", "1"), "y": ("masked", "0 (masked)")}


def test_masked_by_maximum_and_its_edge():
    explanation = explain(lambda x, y: np.maximum(x, y))(1.0, 2.0)
    lost, won = explanation.operators[0].partials
    assert lost.is_masked
    assert not won.is_masked
    assert "masked" in str(explanation)
    assert "stroke-dasharray" in explanation.to_svg()


def test_computed_zero():
    assert statuses(lambda x, w: x * w, 1.0, 0.0)["x"] == ("path", "0")


def test_nan_is_shown():
    found = statuses(lambda x: np.sqrt(x) * 0.0, -1.0)
    assert found == {"x": ("path", "NaN")}


def test_a_mask_stops_nan():
    found = statuses(lambda x: np.where(x > 0, np.sqrt(np.abs(x)), 0.0), 0.0)
    assert found["x"][0] == "masked"


def test_paths_say_why_there_are_none():
    explanation = explain(lambda x, y: np.where(x > 0, x, y))(1.0, 1.0)
    paths = explanation.paths(None, "y")
    assert not paths
    assert paths.count == 0
    assert paths.sum == 0.0
    assert "masked" in str(paths)
    explanation = explain(lambda x, y: x * 1.0)(1.0, 1.0)
    assert "no path" in str(explanation.paths(None, "y"))
