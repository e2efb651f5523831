"""Recycled memory of large results: they are ordinary arrays, and blocks come back."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import wengert as wg
from wengert.codegen.tables import MOST_KEPT
from wengert.graph import Type
from wengert.plan.memory import empty, handler_for


def array(n, dtype="f4"):
    handler = handler_for([Type((n,), np.dtype(dtype))])
    assert handler is not None
    return empty((n,), np.dtype(dtype), handler)


def address(x):
    return x.ctypes.data


def test_results_are_ordinary_arrays():
    x = np.arange(100_000, dtype=np.float32)
    step = wg.compile(lambda x: x + 1.0)
    for _ in range(3):
        y = step(x)
        assert y.flags.owndata
        assert y.flags.writeable
        assert y.base is None
        assert address(y) % 64 == 0
        np.testing.assert_array_equal(y, x + 1.0)


def test_memory_comes_back():
    x = np.ones(100_000, np.float32)
    step = wg.compile(lambda x: x * 2.0)
    places = set()
    for _ in range(20):
        y = step(x)
        places.add(address(y))
        del y
    assert len(places) <= 4
    kept = [step(x) for _ in range(10)]
    assert len({address(y) for y in kept}) == 10
    for k, y in enumerate(kept):
        y[:] = k
    for k, y in enumerate(kept):
        assert np.all(y == k)


def test_small_results_use_numpys_memory():
    assert handler_for([Type((100,), np.dtype("f4")), Type((), np.dtype("f8"))]) is None


@pytest.mark.parametrize("n", [20_000, 50_001, 3_000_000])
def test_resize_and_views(n):
    x = array(n)
    x[:] = np.arange(n)
    x.resize(2 * n, refcheck=False)
    np.testing.assert_array_equal(x[:n], np.arange(n, dtype=np.float32))
    assert not x[n:].any()
    x.resize(10, refcheck=False)
    np.testing.assert_array_equal(x, np.arange(10))
    y = array(n)
    view = y[1:].view(np.int32)
    del y
    view[:] = 7
    assert np.all(view == 7)


def test_kept_memory_is_bounded():
    size = MOST_KEPT // 8 // 4
    first = [array(size) for _ in range(12)]  # more than is kept
    for x in first:
        x[::1024] = 1.0
    first.clear()
    large = [array(MOST_KEPT // 4 + 100_000) for _ in range(2)]  # never kept
    large.clear()
    x = array(size)
    x[:] = 3.0
    assert np.all(x == 3.0)


def test_many_sizes_and_threads():
    def work(seed):
        rng = np.random.default_rng(seed)
        held = []
        for _ in range(200):
            n = int(rng.integers(9_000, 90_000))
            x = array(n)
            x[:] = seed
            held.append(x)
            if len(held) > 5:
                y = held.pop(int(rng.integers(len(held))))
                right.append(bool(np.all(y == seed)))

    right = []
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(right) == 4 * 195
    assert all(right)


def test_results_outlive_everything():
    program = """
import builtins, sys
import numpy as np
import wengert as wg
x = np.ones(100_000, np.float32)
step = wg.compile(lambda x: x + 1.0)
builtins.kept = [step(x) for _ in range(3)]
sys.kept = step(x)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_plans_for_many_sizes_share_memory():
    def f(x):
        return np.sin(x[:, None] * x) @ np.exp(x) + np.sum(x)

    compiled = wg.compile(f)
    rng = np.random.default_rng(0)
    xs = [rng.uniform(-1.0, 1.0, n) for n in (*range(3, 40), 90, 20, 5)]
    for x in xs:
        np.testing.assert_allclose(compiled(x), f(x), rtol=1e-10)
    blocks = compiled._spare._blocks
    assert 1 <= len(blocks) <= 2
    held = [e.run for e in compiled._entries.values() if e.run._arenas]
    assert len(held) <= 3, "every size holds memory of its own"

    def work(seed):
        for k in np.random.default_rng(seed).permutation(len(xs)):
            np.testing.assert_allclose(compiled(xs[k]), f(xs[k]), rtol=1e-10)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert len(compiled._spare._blocks) <= 2
