"""Functions of Python floats: one native function from the arguments to the result."""

import gc
import math
import sys
import threading

import numpy as np
import pytest

import wengert as wg
from wengert.errors import ArgumentError
from wengert.plan import site


@pytest.fixture
def found(monkeypatch):
    """What became calls of numbers, one entry per learnt signature."""
    seen = []

    def noted(*args):
        seen.append(original(*args))
        return seen[-1]

    original = site.call_of_numbers
    monkeypatch.setattr(site, "call_of_numbers", noted)
    return seen


PROGRAMS = {
    "logistic": lambda x, w, b: 1 / (np.exp(-(w * x + b)) + 1),
    "constants": lambda x, w, b: (x * 3.0 + 0.1, (w - 2.5, np.sin(b) * 0.5)),
    "branches": lambda x, w, b: np.where(x < w, np.maximum(x, b), np.tanh(w)),
    "nested": lambda x, w, b: ((x + w, (x - w,)), ((b * 2.0,), x * b)),
    "unused": lambda x, w, b: w * w,
    "special": lambda x, w, b: (np.log(x), np.sqrt(w), b / (x - x)),
}


def flat(tree):
    return [leaf for t in tree for leaf in flat(t)] if isinstance(tree, tuple) else [tree]


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_agrees_with_numpy(name, found, rng):
    program = PROGRAMS[name]
    f = wg.compile(program)
    f(0.5, 0.25, 2.0)
    assert found[0] is not None
    with np.errstate(all="ignore"):
        for x, w, b in [
            *rng.standard_normal((20, 3)),
            (0.0, -0.0, math.inf),
            (math.nan, 1.0, -1.0),
        ]:
            given = f(float(x), float(w), float(b))
            wanted = program(np.float64(x), np.float64(w), np.float64(b))
            assert isinstance(given, tuple) == isinstance(wanted, tuple)
            for a, c in zip(flat(given), flat(wanted), strict=True):
                assert type(a) is np.float64
                np.testing.assert_allclose(a, c, rtol=1e-14)


def test_gradients(found, rng):
    f = wg.value_and_grad(PROGRAMS["logistic"], argnums=(0, 1, 2))
    compiled = wg.compile(f)
    for point in rng.standard_normal((5, 3)).tolist():
        np.testing.assert_allclose(np.hstack(compiled(*point)), np.hstack(f(*point)), rtol=1e-13)
    assert found[0] is not None


def test_other_arguments_take_another_way(found):
    f = wg.compile(lambda x, y: x * y + 1.0)
    assert f(2.0, 3.0) == 7.0
    assert len(found) == 1
    assert type(f(np.float64(2.0), 3.0)) is np.float64
    assert f(2, 3.0) == 7.0
    assert type(f(np.float32(2.0), np.float32(3.0))) is np.float32
    np.testing.assert_array_equal(f(np.ones(3), 3.0), [4.0] * 3)
    assert f(2.0, y=3.0) == 7.0
    assert f(2.0, 3.0) == 7.0
    with pytest.raises((TypeError, ArgumentError)):
        f(2.0)
    with pytest.raises((TypeError, ArgumentError)):
        f("2.0", 3.0)


def test_what_is_no_call_of_numbers_stays_as_it_was(found):
    for program in (
        lambda x: {"y": x * 2.0},
        lambda x: [x * 2.0],
        lambda x: (x, x * 2.0),
        lambda x: x > 1.0,
    ):
        f = wg.compile(program)
        assert [str(f(1.5)) for _ in range(3)] == [str(f(1.5))] * 3
    assert found == [None] * len(found)


def test_it_leaks_nothing():
    f = wg.compile(lambda x, y: (x + y, (x - y, x * y)))
    x, y = 0.7, -1.3
    f(x, y)
    gc.collect()
    before = sys.getrefcount(x), sys.getrefcount(y), sys.getrefcount(np.float64)
    objects = len(gc.get_objects())
    for _ in range(2000):
        f(x, y)
        f(x, np.float64(1.0))
    assert (sys.getrefcount(x), sys.getrefcount(y), sys.getrefcount(np.float64)) == before
    gc.collect()
    assert len(gc.get_objects()) <= objects + 5


def test_many_threads():
    f = wg.compile(wg.value_and_grad(PROGRAMS["logistic"]))
    wrong = []

    def run(k):
        x = 0.1 * k
        wanted = f(x, 1.0, 0.0)
        wrong.extend(1 for _ in range(2000) if f(x, 1.0, 0.0) != wanted)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
