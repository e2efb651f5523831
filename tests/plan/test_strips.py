"""Strips: steps that run chunk by chunk give what the same steps give one after the other."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import wengert as wg
from wengert.codegen.kernel import KernelSpec, WalkSpec
from wengert.optimise import optimise
from wengert.plan import Executable, NativeStep, chunks, make_plan, plan, products, strips
from wengert.plan.donation import reusable
from wengert.plan.steps import Cut
from wengert.run import run


@pytest.fixture(params=[1, 3])
def _workers(request, monkeypatch):
    for module in (chunks, plan, products):
        monkeypatch.setattr(module, "worker_count", lambda: request.param)


def strips_of(made):
    native = [s for s in made.steps if isinstance(s, NativeStep) and s.strip >= 0]
    return [list(group) for _, group in itertools.groupby(native, key=lambda s: s.strip)]


def compiled(f, *args):
    """The plan of a function, which is checked against the interpreter."""
    graph = optimise(wg.trace(f, *args)).graph
    leaves = list(args)
    executable = Executable(make_plan(graph))
    for _ in range(2):
        for found, wanted in zip(executable(leaves), run(graph, leaves), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
    return executable.plan


def loss(w, v, b, x):
    h = np.maximum(x @ w + b, 0.0)
    z = np.exp(-np.abs(np.tanh(h @ v)))
    return np.mean(np.sum(z, axis=1) ** 2)


def arguments(rng, batch, features=64):
    shapes = [(features, features), (features, features), (features,), (batch, features)]
    return [rng.normal(size=shape) / 8.0 for shape in shapes]


@pytest.mark.usefixtures("_workers")
@pytest.mark.parametrize("batch", [16, 31, 32, 48, 100, 256])
def test_a_gradient_is_two_strips(batch, rng):
    def step(w, v, b, x):
        value, grads = wg.value_and_grad(loss, argnums=(0, 1, 2))(w, v, b, x)
        return value, *(p - 0.1 * g for p, g in zip((w, v, b), grads, strict=True))

    made = compiled(step, *arguments(rng, batch))
    found = strips_of(made)
    assert found
    if batch in (32, 48):
        assert len(found) == 2
        products_in = [[s.what for s in strip if s.what.startswith("product")] for strip in found]
        assert [len(p) for p in products_in] == [3, 2]
    for strip in found:
        assert len({len(s.blocks) for s in strip}) == 1


@pytest.mark.usefixtures("_workers")
def test_products_of_a_batch_of_matrices(rng):
    a, b = rng.normal(size=(32, 24, 24)), rng.normal(size=(32, 24, 24))
    made = compiled(lambda a, b: np.tanh(np.tanh(a @ b) @ b), a, b)
    assert [len(s) for s in strips_of(made)] == [4]


@pytest.mark.usefixtures("_workers")
def test_what_needs_all_rows_ends_a_strip(rng):
    x, w = rng.normal(size=(64, 64)), rng.normal(size=(64, 64))
    for f in (
        lambda x, w: np.tanh(x @ w).T @ np.tanh(x @ w),
        lambda x, w: w @ np.tanh(x @ w),
        lambda x, w: np.tanh((x @ w) - np.sum(x @ w, axis=0)) @ w,
        lambda x, w: (np.tanh(x @ w)[::-1] + x) @ w,
        lambda x, w: np.tanh(x @ w) @ (np.tanh(x @ w) @ w),
        lambda x, w: (np.tanh(x @ w).T + x) @ w,
        lambda x, w: np.tanh(np.tanh(x @ w)[16:48] @ w) @ w,
        lambda x, w: np.concatenate([np.tanh(x @ w), x])[32:96] @ w,
        lambda x, w: np.cumsum(np.tanh(x @ w), axis=0) @ w,
        lambda x, w: np.diagonal(np.tanh(x @ w)) + x @ w,
        lambda x, w: np.tanh(x @ w)[np.arange(64)[::-1]] @ w,
    ):
        compiled(f, x, w)


@pytest.mark.usefixtures("_workers")
@pytest.mark.parametrize("batch", [16, 24, 31, 32, 64, 100])
def test_slices_and_joins_of_columns_are_part_of_a_strip(batch, rng):
    n = 16

    def cell(x, w, u):
        h = x[0]
        for one in x:
            z = one @ w + h @ u
            h = np.concatenate([np.tanh(z[:, :n]), np.exp(-np.abs(z[:, n:]))], axis=1)
            h = np.pad(h[:, 1:], ((0, 0), (0, 1)))
        return h

    args = [rng.normal(size=shape) / 4.0 for shape in ((3, batch, 2 * n), *[(2 * n, 2 * n)] * 2)]
    made = compiled(cell, *args)
    if batch in (16, 32, 64):
        (strip,) = strips_of(made)
        assert sum(isinstance(s.spec, WalkSpec) for s in strip) >= 12
    compiled(wg.grad(lambda *args: np.sum(cell(*args) ** 2), argnums=(0, 1, 2)), *args)


@pytest.mark.usefixtures("_workers")
def test_a_step_of_some_length_is_a_strip_by_itself(rng):
    x, w = rng.normal(size=(64, 32)), rng.normal(size=(32, 256))
    (strip,) = strips_of(compiled(lambda x, w: x @ w, x, w))
    (step,) = strip
    assert len(step.blocks) > 1
    assert step.is_tried
    assert not strips_of(compiled(lambda x, w: x[:, :8] @ w[:8], x, w))


def test_steps_that_keep_much_in_memory_are_not_put_off(rng, monkeypatch):
    for module in (chunks, plan, products):
        monkeypatch.setattr(module, "worker_count", lambda: 1)
    args = arguments(rng, 512, 128)
    grad = wg.grad(loss, argnums=(0, 1))
    ordinary = compiled(grad, *args).arena_bytes
    monkeypatch.setattr(strips, "_MOST_PUT_OFF", 1 << 30)
    assert compiled(grad, *args).arena_bytes >= ordinary


@pytest.mark.usefixtures("_workers")
def test_a_donated_argument_is_not_overwritten_while_others_need_it(rng):
    x, w = rng.normal(size=(64, 64)), rng.normal(size=(64, 64))

    def whole(x, w):  # the product needs all of w, the sum a share
        return np.tanh(x @ w) @ w, w + 1.0

    def share(x, w):
        return np.tanh(np.tanh(x @ w) + x) @ w

    for f, donated in ((whole, 1), (share, 0)):
        made = compiled(f, x, w)
        for pairs in (reusable(made, [donated]), []):
            arrays = [x.copy(), w.copy()]
            expected = run(made.graph, arrays)
            for a, b in zip(Executable(made)(arrays, pairs), expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_short_jobs_are_whole_whoever_helps(rng):
    """Calls that follow each other, calls after which the workers sleep, calls at the same time."""
    args = arguments(rng, 32)
    step = wg.compile(wg.value_and_grad(loss, argnums=(0, 1, 2)))
    value, grads = step(*args)
    wanted = [value, *grads]

    def work(pause):
        for _ in range(200):
            if pause:
                time.sleep(pause)
            value, grads = step(*args)
            for found, expected in zip([value, *grads], wanted, strict=True):
                assert np.array_equal(found, expected)

    work(0.0)
    work(0.0005)
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, pause) for pause in (0.0, 0.0, 0.0002, 0.0)]:
            done.result()


def test_long_lists_of_steps_take_linear_time(monkeypatch):
    """Steps look at few of those that follow."""
    looked = []
    take = strips._Strip.take
    monkeypatch.setattr(strips._Strip, "take", lambda own, s: looked.append(s) or take(own, s))

    def step(k, ns):
        made = NativeStep([[]], [k], [k + 1], "", [], spec=KernelSpec(0, (), (), ()))
        made.cut = Cut(64, frozenset(), ns, lambda *_: None)
        return made

    for ns, most in ((10.0, 0), (1000.0, 20)):
        listed = [step(k, ns) for k in range(2000)]
        looked.clear()
        assert strips.with_strips(listed, 2, [8] * 2001) == listed
        assert len(looked) <= most * len(listed)
