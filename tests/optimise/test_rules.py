"""Every rule of the list: it fires on its own left side, and both sides have the same value."""

from __future__ import annotations

import numpy as np
import pytest
from tests.optimise import sides

from wengert.ops.transcendental import exp, log
from wengert.optimise import RULES, optimise
from wengert.optimise.record import EDGES, rule
from wengert.optimise.rules import LAST
from wengert.optimise.shifts import SHIFTS
from wengert.optimise.terms import variable

CASES = [
    pytest.param(r, example, id=f"{r.name}-{i}")
    for r in (*RULES, *LAST, *SHIFTS)
    for i, example in enumerate(sides.examples_of(r))
]


def seeded(name):
    return np.random.default_rng([sum(i * b for i, b in enumerate(name.encode(), 1)), 1964])


def test_names_are_unique_and_reasons_given():
    names = [r.name for r in (*RULES, *LAST, *SHIFTS)]
    assert len(set(names)) == len(names)
    assert all(r.why and r.edges in EDGES for r in RULES)


@pytest.mark.parametrize(("tested", "example"), CASES)
def test_rule(tested, example):
    rng = seeded(tested.name)
    for dtype in ("f8", "f4"):
        left = sides.left_graph(example, dtype)
        right, applied = sides.right_graph(tested, left)
        assert tested.name in applied, f"does not fire on\n{left}"
        assert right.input_types == left.input_types
        assert right.output_types == left.output_types
        for _ in range(3):
            check_ordinary(tested, left, right, sides.draw(rng, example, dtype), dtype)
        for _ in range(20):
            special = sides.draw_edges(rng, example, dtype, sides.EDGES[tested.edges])
            check_special(tested, left, right, special, example, dtype)


def check_ordinary(tested, left, right, args, dtype):
    expected, found = sides.value(left, args), sides.value(right, args)
    if tested.exact_in == "floats":
        assert sides.same_bits(expected, found), f"{expected} {found}\n{left}\n{right}"
    elif expected.dtype.kind == "f":
        allowed = 64 * np.finfo(dtype).eps * max(1.0, float(np.max(np.abs(expected), initial=0.0)))
        assert np.all(np.abs(expected - found) <= allowed), f"{expected} {found}\n{left}\n{right}"


def check_special(tested, left, right, args, example, dtype):
    expected, found = sides.value(left, args), sides.value(right, args)
    if tested.exact_in == "floats":
        assert sides.same_bits(expected, found), f"{args}\n{expected}\n{found}\n{left}\n{right}"
        return
    allowed = 1e-4 if dtype == "f4" else 1e-9
    good = sides.agree(expected, found, allowed)
    if tested.edges in ("range", "mended"):
        good = good | (~np.isfinite(expected) & ~np.isfinite(found))
    if tested.edges == "mended":
        # What the formula means, where rounding has spoiled the left side.
        with np.errstate(all="ignore"):
            truth = sides.in_high_precision(left, args).astype(dtype)
            good = good | (~np.isnan(found) & sides.agree(truth, found, allowed))
    assert np.all(good), f"{args}\n{expected}\n{found}\n{left}\n{right}"


@pytest.mark.parametrize(("tested", "example"), CASES)
def test_all_rules_together_agree(tested, example):
    rng = seeded(tested.name)
    left = sides.left_graph(example, "f8")
    args = sides.draw(rng, example, "f8")
    expected = sides.value(left, args)
    found = sides.value(optimise(left).graph.verify(), args)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    exact = sides.value(optimise(left, reassociate=False).graph.verify(), args)
    assert sides.same_bits(expected, exact)


def test_a_wrong_rule_is_caught():
    x = variable("x")
    wrong = rule("wrong", exp(log(x)), x, exact_in="reals", why="loses nan")
    (example, *_) = sides.examples_of(wrong)
    with pytest.raises(AssertionError):
        test_rule.__wrapped__(wrong, example) if hasattr(test_rule, "__wrapped__") else test_rule(
            wrong, example
        )
