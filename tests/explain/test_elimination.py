"""What `Explanation.elimination()` reports."""

import numpy as np
import pytest

import wengert as wg
from wengert.errors import ArgumentError


def single_file(a, b):
    w = np.exp(np.sin(a * b))
    return 3.0 * w, np.sqrt(w)


def test_the_ways_stand_beside_forward_and_reverse_with_their_counts():
    found = wg.explain(single_file)(0.5, 2.0).elimination(measure=False)
    counts = {way.name: way.multiplications for way in found.ways}
    assert list(counts)[:2] == ["forward", "reverse"]
    assert counts["elimination, forward"] == counts["elimination, reverse"] == 8
    assert counts["elimination, best"] == 7
    assert found.chosen.name == "elimination, best"
    assert all(way.seconds is None for way in found.ways)
    assert "<- chosen" in str(found)
    assert repr(found) == "<Elimination: 7 ways, chosen elimination, best>"


def test_times_are_measured_for_every_way():
    found = wg.explain(single_file)(0.5, 2.0).elimination()
    assert all(way.seconds > 0 for way in found.ways)
    assert found.batch > 1
    text = str(found)
    assert text.count(" ns") + text.count(" µs") + text.count(" ms") == len(found.ways)


def test_arrays_and_integers_among_the_arguments():
    def f(x, n):
        return x[:n] * x[-1]

    found = wg.explain(f)(np.array([1.0, 2.0, 3.0]), 2).elimination()
    assert str(found).startswith("Jacobian of f: 2 by 3 numbers")
    assert found.chosen.multiplications <= min(w.multiplications for w in found.ways[:2])


def test_a_chosen_way_can_be_asked_for():
    way = wg.explain(single_file)(0.5, 2.0).elimination(measure=False).chosen
    made = wg.jacobian(single_file, (0, 1), way.mode, order=way.order)(0.5, 2.0)
    expected = wg.jacobian(single_file, (0, 1), "forward")(0.5, 2.0)
    np.testing.assert_allclose(made, expected)


def test_paths_say_what_their_sum_costs():
    def f(x):
        a = np.sin(x)
        b = a * a
        return b * b

    paths = wg.explain(f)(0.5).paths()
    # Four paths of three partials; two partials from each operator into the next.
    assert paths.count == 4
    assert paths.multiplications == (8, 4, 2)
    assert "8 path by path, 4 with common factors taken out, 2 in the cheapest order" in str(paths)
    assert wg.explain(lambda x: x)(1.0).paths().multiplications == (0, 0, 0)


def test_counts_of_very_many_paths_are_exact():
    def doubling(x):
        for _ in range(100):
            x = x + x
        return x

    paths = wg.explain(doubling)(1.0).paths()
    assert paths.multiplications == (99 * 2**100, 2 * 99, 99)


def test_unknown_orders_are_refused():
    with pytest.raises(ArgumentError, match="order must be one of"):
        wg.jacobian(single_file, mode="elimination", order="")
