"""Calls of compiled functions enter native code: what is called, what it returns, what it keeps."""

import functools
import gc
import inspect
import sys
import tracemalloc

import numpy as np
import pytest

import wengert as wg
from wengert.codegen.engine import statistics
from wengert.plan import native


def logistic(x, w, b):
    return 1 / (np.exp(-(w * x + b)) + 1)


@pytest.fixture
def compiled():
    return wg.compile(wg.value_and_grad(logistic, argnums=(0, 1, 2)))


def test_every_way_of_calling_gives_the_same(compiled):
    wanted = wg.value_and_grad(logistic, argnums=(0, 1, 2))(0.7, -1.3, 0.4)
    for _ in range(3):
        np.testing.assert_allclose(np.hstack(compiled(0.7, -1.3, 0.4)), np.hstack(wanted))
        np.testing.assert_allclose(np.hstack(compiled(*[0.7, -1.3, 0.4])), np.hstack(wanted))
        np.testing.assert_allclose(
            np.hstack(next(map(compiled, [0.7], [-1.3], [0.4]))), np.hstack(wanted)
        )
        np.testing.assert_allclose(np.hstack(compiled.__call__(0.7, -1.3, 0.4)), np.hstack(wanted))
    f = wg.compile(lambda x, y: x - y)
    assert [f(3.0, 1.0), f(3.0, y=1.0), f(y=1.0, x=3.0), functools.partial(f, y=1.0)(3.0)] == [
        2.0
    ] * 4


def test_it_is_an_ordinary_object(compiled):
    assert callable(compiled)
    assert type(compiled).__name__ == "CompiledFunction"
    assert list(inspect.signature(compiled).parameters)
    compiled.note = "an attribute"
    assert compiled.note == "an attribute"
    with pytest.raises(TypeError):
        wg.compile(lambda x: x)(1.0, 2.0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int32, np.int8, np.bool_])
def test_scalar_results_are_numpys_scalars(dtype):
    f = wg.compile(lambda x: (x.reshape(()), x.reshape(())))
    x = np.array([1], dtype)
    for _ in range(3):
        for result in f(x):
            assert type(result) is dtype
            assert result == 1
            assert (result + result).dtype == np.add(x, x).dtype


def test_calls_keep_no_reference(compiled):
    point = (0.7, -1.3, 0.4)
    compiled(*point)
    gc.collect()
    before = [sys.getrefcount(p) for p in point], sys.getrefcount(np.float64)
    results = [compiled(*point) for _ in range(1000)]
    # The list and the loop hold each result, beside the argument of the question.
    counts = {(sys.getrefcount(r), sys.getrefcount(r[0])) for r in results}
    assert counts == {(3, 2)}
    del results
    for _ in range(1000):
        compiled(*point)
    assert ([sys.getrefcount(p) for p in point], sys.getrefcount(np.float64)) == before


def test_where_type_objects_are_not_as_expected_calls_take_the_python_way(monkeypatch):
    monkeypatch.setattr(native, "_FLAGS_FIELD", 176)
    f = wg.compile(logistic)
    assert [f(0.0, 1.0, 0.0) for _ in range(3)] == [0.5] * 3


def test_a_new_size_needs_no_kernel(rng):
    def loss(w, x, y):
        return np.mean(np.sum((np.tanh(x @ w) - y) ** 2, axis=1) / x.shape[0])

    step = wg.compile(wg.value_and_grad(loss))
    w = rng.standard_normal((5, 3))
    step(w, np.ones((8, 5)), np.ones((8, 3)))
    before = statistics["compiled"], statistics["from_disk"]
    for n in (7, 16, 12, 64, 33):
        x, y = rng.standard_normal((n, 5)), rng.standard_normal((n, 3))
        found, wanted = step(w, x, y), wg.value_and_grad(loss)(w, x, y)
        np.testing.assert_allclose(found[0], wanted[0], rtol=1e-12)
        np.testing.assert_allclose(found[1], wanted[1], rtol=1e-10)
    assert (statistics["compiled"], statistics["from_disk"]) == before


def counting(f, **options):
    """A compiled function, and how often a call of it took the Python way."""
    compiled = wg.compile(f, **options)
    slow = []
    way = compiled._slow_call
    compiled._site = type(compiled._site)("counted", lambda *a, **k: slow.append(1) or way(*a, **k))
    native.enter_directly(compiled, compiled._site.address)
    return compiled, slow


def test_calls_by_name_are_native_from_the_second_on(rng):
    f, slow = counting(lambda x, *, scale, shift=0.0: x["a"] * scale - shift)
    x = {"a": rng.normal(size=5)}
    for _ in range(3):
        np.testing.assert_array_equal(f(x, scale=2.0, shift=1.0), x["a"] * 2.0 - 1.0)
    assert len(slow) == 1
    for _ in range(3):  # another order is another call
        np.testing.assert_array_equal(f(x, shift=2.0, scale=1.0), x["a"] - 2.0)
        np.testing.assert_array_equal(f(x, scale=3.0), x["a"] * 3.0)
        np.testing.assert_array_equal(f(x=x, scale=3.0), x["a"] * 3.0)
        np.testing.assert_array_equal(f(scale=3.0, x=x), x["a"] * 3.0)
    assert len(slow) == 5
    with pytest.raises(TypeError):
        f(x, scale=1.0, size=2.0)
    with pytest.raises(TypeError):
        f(x, 1.0)


def test_names_that_another_string_spells_take_the_python_way(rng):
    f, slow = counting(lambda x, y: x - y)
    for _ in range(3):
        name = "".join(["y"] * 1)
        other = ("y" + "z" * len(name))[:1]
        assert f(3.0, **{other: 1.0}) == 2.0
    assert f(3.0, y=1.0) == 2.0
    assert len(slow) >= 1


def test_donating_calls_are_native_from_the_second_on(rng):
    f, slow = counting(lambda p, x: ({k: v - x for k, v in p.items()}, np.sum(x)), donate=0)
    x = rng.normal(size=3)
    p = {"w": rng.normal(size=(4, 3)), "b": rng.normal(size=(5, 3))}
    wanted = {k: v - 5 * x for k, v in p.items()}
    kept = dict(p)
    before = {k: sys.getrefcount(v) for k, v in kept.items()}
    for _ in range(5):
        p, _ = f(p, x)
        assert all(p[k] is kept[k] for k in kept)
    assert len(slow) == 1
    for k, v in wanted.items():
        np.testing.assert_allclose(p[k], v)
    assert {k: sys.getrefcount(v) for k, v in kept.items()} == before


def test_what_may_not_be_overwritten_is_not_in_native_calls(rng):
    def f(x, y):
        return x * 2.0, y * 3.0

    compiled, slow = counting(f, donate=(0, 1))
    for _ in range(3):
        compiled(rng.normal(size=6), rng.normal(size=6))
    assert len(slow) == 1
    x, base = rng.normal(size=6), rng.normal(size=9)
    frozen = rng.normal(size=6)
    frozen.flags.writeable = False
    for a, b in [(x, x), (base[:6], base[3:]), (base[3:], base[:6]), (x, frozen), (frozen, x)]:
        wanted = [np.copy(v) for v in f(a, b)]
        for found, expected in zip(compiled(a, b), wanted, strict=True):
            np.testing.assert_allclose(found, expected)
    assert len(slow) == 6
    compiled(base[:3].repeat(2), base[3:])  # side by side is no overlap
    assert len(slow) == 6


def test_scalars_made_by_native_code_are_freed_as_others():
    f = wg.compile(wg.value_and_grad(lambda x, y: x * x * y, argnums=(0, 1)))
    f(1.0, 2.0)
    value, _ = f(3.0, 2.0)
    other = np.float64(9.0)
    assert sys.getrefcount(value) == sys.getrefcount(other)
    tracemalloc.start()
    try:
        kept = [f(float(k), 2.0) for k in range(1000)]
        assert kept[7] == (98.0, (28.0, 49.0))
        held = tracemalloc.get_traced_memory()[0]
        size = len(kept)
        del kept
        assert held - tracemalloc.get_traced_memory()[0] >= 3 * 24 * size
    finally:
        tracemalloc.stop()
