"""Native code records uses of a compiled function as Python does, and keeps no references."""

import gc
import sys

import numpy as np
import pytest

import wengert as wg
from wengert.capture import capture
from wengert.compiling.calls import Calls
from wengert.graph import CONSTANT

D = 4


def cell(p, state, x):
    h, c = state
    z = np.tanh(p["w"] @ h + p["u"][0] * x)
    return {"h": z * c, "more": [c + z, (h,)]}


def program(step):
    def loss(p, xs):
        state = (np.zeros(D), np.ones(D))
        total = 0.0
        for x in xs:
            found = step(p, state, x)
            state = (found["h"], found["more"][0][:])
            total = total + np.sum(found["more"][1][0])
        return total

    return loss


def arguments(rng, count=5):
    p = {"u": [rng.standard_normal(D)], "w": rng.standard_normal((D, D))}
    return p, rng.standard_normal((count, D))


def recorded(step, p, xs):
    return capture(
        program(step), (p, xs), {}, traced=(0,), purpose="grad", floats_only=True, calls=True
    )


def slow_calls(monkeypatch):
    """How often Python records a use, from now on."""
    seen = []
    plain = Calls.record
    monkeypatch.setattr(
        Calls, "record", lambda self, args: (seen.append(args), plain(self, args))[1]
    )
    return seen


def test_native_and_python_record_the_same(rng, monkeypatch):
    p, xs = arguments(rng)
    step = wg.compile(cell)
    first = recorded(step, p, xs)  # partly by Python, which sees each kind of arguments once
    seen = slow_calls(monkeypatch)
    again = recorded(step, p, xs)
    assert not seen
    assert again.graph.entries == first.graph.entries
    assert again.graph.inputs == first.graph.inputs
    again.graph.verify()
    for one, other in zip(again.arguments, first.arguments, strict=True):
        np.testing.assert_array_equal(one, other)
    plain = wg.value_and_grad(program(cell))(p, xs)
    found = wg.value_and_grad(program(step))(p, xs)
    np.testing.assert_allclose(found[0], plain[0])
    np.testing.assert_allclose(found[1]["w"], plain[1]["w"])
    np.testing.assert_allclose(found[1]["u"][0], plain[1]["u"][0])


def test_an_array_is_copied_and_met_again_is_the_same_constant(rng):
    p, _ = arguments(rng)
    step = wg.compile(cell)
    x = rng.standard_normal(D)
    frozen = rng.standard_normal(D)
    frozen.flags.writeable = False

    def loss(p):
        state = (np.zeros(D), np.ones(D))
        total = 0.0
        for value in (x, x, None, x, frozen, frozen, np.ones((D, 2))[:, 0]):
            if value is None:
                x[:] += 1.0  # the program goes on with its array: what was recorded does not change
                continue
            found = step(p, state, value)
            total = total + np.sum(found["h"])
        return total

    for _ in range(3):
        start = x.copy()
        found = capture(loss, (p,), {}, traced=(0,), purpose="grad", floats_only=True, calls=True)
        constants = [a for a in found.arguments[2:] if np.ndim(a)]
        kept = [a for a in constants if any(np.array_equal(a, b) for b in (start, start + 1.0))]
        assert len(kept) == 2
        np.testing.assert_array_equal(kept[0], start)
        np.testing.assert_array_equal(kept[1], start + 1.0)


@pytest.mark.parametrize("change", ["dtype", "shape", "keys", "length", "number", "kind"])
def test_other_arguments_are_pythons(rng, monkeypatch, change):
    p, xs = arguments(rng)
    step = wg.compile(lambda p, x: np.sum(p["w"] * x))
    ordinary = lambda p: step(p, xs[0])  # noqa: E731
    for _ in range(2):
        wg.grad(ordinary)({"w": p["w"]})
    other = {
        "dtype": lambda p: step(p, xs[0].astype(np.float32)),
        "shape": lambda p: step(p, np.ones((D, 1))),
        "keys": lambda p: step({"w": p["w"], "v": p["w"]}, xs[0]),
        "length": lambda p: step({"w": p["w"]}, [xs[0]][0][None]),
        "number": lambda p: step(p, 2.0),
        "kind": lambda p: step(p, p["w"][0]),
    }[change]
    seen = slow_calls(monkeypatch)
    value, gradient = wg.value_and_grad(other)({"w": p["w"]})
    assert len(seen) == 1
    with wg.autobatching("never"):
        wanted, expected = wg.value_and_grad(other)({"w": p["w"]})
    np.testing.assert_allclose(value, wanted)
    np.testing.assert_allclose(gradient["w"], expected["w"])


def test_references_are_given_back(rng):
    p, xs = arguments(rng, 20)
    step = wg.compile(cell)
    leaf = CONSTANT

    def once():
        recorded(step, p, xs)

    once()
    gc.collect()
    held = (xs, p["w"], leaf, step, dict, tuple, list)
    before = [sys.getrefcount(o) for o in held]
    for _ in range(10):
        once()
    gc.collect()
    after = [sys.getrefcount(o) for o in held]
    assert [b - a for a, b in zip(before, after, strict=True)] == [0] * len(held)
