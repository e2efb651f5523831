"""Code that is made quickly at first, and well in the background."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import wengert as wg
from wengert.codegen import background, engine
from wengert.codegen.supported import supports
from wengert.ops import TABLE


@pytest.fixture
def first_code(monkeypatch):
    """Nothing is compiled yet, and optimised code comes only when it is waited for."""
    background.settle()
    monkeypatch.setenv("WENGERT_BACKGROUND", "1")
    monkeypatch.setenv("WENGERT_CACHE", "")
    monkeypatch.setattr(engine, "_addresses", {})
    monkeypatch.setattr(background, "_PAUSE", 1000.0)
    yield
    background.settle()


def both(f, *args):
    """What the first code gives, and what the optimised code gives."""
    before = engine.statistics["improved"]
    compiled = wg.compile(f)
    compiled(*args)  # by the steps of the plan; then by the native entry
    first = [np.asarray(x) for x in compiled(*args)]
    assert engine.statistics["improved"] == before
    wg.finish_compiling()
    assert engine.statistics["improved"] > before
    return first, [np.asarray(x) for x in compiled(*args)]


def assert_same_bits(first, optimised):
    for a, b in zip(first, optimised, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


UFUNCS = [
    ufunc
    for name, op in TABLE.items()
    if op.family == "elementwise"
    and supports(name, np.dtype("f8"))
    and isinstance(ufunc := getattr(np, name, None), np.ufunc)
    and op.arity in (1, 2)
    and ufunc.nout == 1
    and any(t.startswith("d" * op.arity + "->") for t in ufunc.types)
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("arity", [1, 2])
def test_both_codes_of_every_ufunc_agree_to_the_bit(first_code, rng, arity, dtype):
    x, y = (rng.uniform(-3, 3, 211).astype(dtype) for _ in range(2))
    x[:4], y[:4] = (np.inf, -0.0, np.nan, 1e-40), (-np.inf, 0.0, 1.0, 2.0)
    ufuncs = [ufunc for ufunc in UFUNCS if ufunc.nin == arity]
    assert len(ufuncs) > 10

    def every(x, y):
        return [ufunc(*(x, y)[:arity]) for ufunc in ufuncs]

    assert_same_bits(*both(every, x, y))


def test_both_codes_of_loop_nests_walks_and_loops_agree_to_the_bit(first_code, rng):
    x, rows = rng.standard_normal((33, 65)), rng.integers(0, 33, 20)

    def loss(x):
        z = x - np.max(x, axis=1, keepdims=True)
        p = np.exp(z) / np.sum(np.exp(z), axis=1, keepdims=True)
        carried, _ = wg.scan(lambda c, v: (np.tanh(c + v), None), x[0], x[1:])
        return np.sum(p[rows] * x[rows]) + np.sum(carried) + np.sum(x.T @ x)

    def f(x):
        value, gradient = wg.value_and_grad(loss)(x)
        return value, gradient

    assert_same_bits(*both(f, x))


def test_both_codes_of_numbers_agree_to_the_bit(first_code):
    f = wg.value_and_grad(lambda x, w, b: 1 / (np.exp(-(w * x + b)) + 1), argnums=(0, 1, 2))

    def flat(x, w, b):
        value, gradients = f(x, w, b)
        return value, *gradients

    assert_same_bits(*both(flat, 0.7, -1.3, 0.4))


def test_calls_while_the_code_is_exchanged_are_right(first_code, rng):
    f = wg.compile(lambda x: np.sum(np.exp(x) * np.cos(3.0 * x), axis=0))
    x = rng.standard_normal((300, 40))
    wanted = f(x)
    done = threading.Event()
    wrong = []

    def call():
        while not done.is_set():
            if f(x).tobytes() != wanted.tobytes():
                wrong.append(True)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    wg.finish_compiling()
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_cannot_be_optimised_keeps_its_first_code(first_code, monkeypatch):
    f = wg.compile(lambda x: np.sin(x) * 7.0 - x)
    assert f(1.0) == pytest.approx(np.sin(1.0) * 7.0 - 1.0)
    from wengert.codegen.compiler import Code

    def fail(self):
        raise MemoryError("no memory")

    monkeypatch.setattr(Code, "optimised", fail)
    with pytest.warns(RuntimeWarning, match="no memory"):
        wg.finish_compiling()
    assert f(2.0) == pytest.approx(np.sin(2.0) * 7.0 - 2.0)


def test_work_after_work_and_waiting_for_none():
    background.settle()
    found = []
    background.submit(lambda: (found.append(1), background.submit(lambda: found.append(2))))
    background.settle()
    assert found == [1, 2]
    background.settle()


PROGRAM = """
import json, os, sys
import numpy as np
import wengert as wg
from wengert.codegen import engine
f = wg.compile(lambda x: np.sum(np.exp(x) * np.sin(x)))
f(np.linspace(0.1, 1.0, 7))
if sys.argv[1] == "fork":
    child = os.fork()
    if child == 0:
        g = wg.compile(lambda x: np.sum(np.exp(x) * np.cos(x) - x))
        x = np.linspace(0.1, 1.0, 7)
        wg.finish_compiling()
        os._exit(0 if abs(g(x) - np.sum(np.exp(x) * np.cos(x) - x)) < 1e-12 else 1)
    assert os.waitpid(child, 0)[1] == 0
print(json.dumps(engine.statistics))
"""


def run(folder, mode):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode],
        env={**os.environ, "WENGERT_CACHE": str(folder), "WENGERT_BACKGROUND": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert not done.stderr
    return json.loads(done.stdout)


def test_a_process_that_ends_at_once_leaves_optimised_code_on_disk(tmp_path):
    assert run(tmp_path, "end")["compiled"] > 0
    second = run(tmp_path, "end")
    assert second["compiled"] == second["modules"] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_compiles(tmp_path):
    assert run(tmp_path, "fork")["improved"] > 0


def test_object_files_that_llvm_loads_are_exchanged_too(first_code, monkeypatch):
    monkeypatch.setattr(engine.elf, "load", lambda body, known: None)
    assert_same_bits(*both(lambda x: [np.exp(x) - 3.0 * x], np.linspace(0.1, 1.0, 9)))


@pytest.mark.parametrize("by_llvm", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_codes_of_products_agree_to_the_bit(first_code, monkeypatch, rng, dtype, by_llvm):
    if by_llvm:
        monkeypatch.setattr(engine.elf, "load", lambda body, known: None)
    x, w = (rng.standard_normal(s).astype(dtype) for s in ((21, 30), (30, 43)))

    def f(x, w):
        return x @ w, (x @ w).T @ x, (x @ w) @ w.T

    assert_same_bits(*both(f, x, w))


THREADS = """
import threading
import numpy as np
import wengert as wg
x = np.linspace(0.1, 1.0, 7)
wrong = []

def work(k):
    f = wg.compile(lambda x: np.sum(np.exp(x) * np.sin(x) ** (k % 3 + 2)))
    for _ in range(20):
        if abs(f(x) - np.sum(np.exp(x) * np.sin(x) ** (k % 3 + 2))) > 1e-12:
            wrong.append(k)

threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
for t in threads: t.start()
for t in threads: t.join()
assert not wrong
"""


@pytest.mark.parametrize("mode", ["0", "1"])
def test_the_first_functions_of_a_process_on_many_threads(tmp_path, mode):
    subprocess.run(
        [sys.executable, "-c", THREADS],
        env={**os.environ, "WENGERT_CACHE": str(tmp_path), "WENGERT_BACKGROUND": mode},
        check=True,
        timeout=120,
    )


def test_kernels_that_are_foreseen_are_found_by_whoever_asks(first_code):
    from wengert.codegen.kernel import ProductSpec

    specs = [ProductSpec(np.dtype(np.float32)), ProductSpec(np.dtype(np.float64))]
    before = engine.statistics["compiled"]
    engine.begin(specs)
    found = [k.address for k in engine.compile_kernels(specs)]
    assert all(found)
    engine.begin(specs)  # there is nothing to do
    assert [k.address for k in engine.compile_kernels(specs)] == found
    assert engine.statistics["compiled"] == before + 2


def test_sizes_at_which_a_product_has_no_finish_need_no_further_kernel(first_code, rng):
    step = wg.compile(lambda x, w, b: np.maximum(x @ w + b, 0.0))
    x = rng.standard_normal((256, 784)).astype(np.float32)
    w = rng.standard_normal((784, 512)).astype(np.float32)
    step(x, w, w[0])
    assert any("then" in s.what for s in step.report(x, w, w[0]).steps)
    wg.finish_compiling()
    compiled = engine.statistics["compiled"]
    few = x[:7].copy()
    np.testing.assert_allclose(step(few, w, w[0]), np.maximum(few @ w + w[0], 0), atol=1e-3)
    assert engine.statistics["compiled"] == compiled
