"""Loops and branches as native steps, against the interpreter."""

import threading

import numpy as np
import pytest
from tests.plan.test_execution import check, close

import wengert as wg
from wengert.plan import Executable, NativeStep, NumpyStep, make_plan
from wengert.run import run


def native(f, *args):
    """Check a traced function against the interpreter, and that NumPy runs nothing of it."""
    plan = check(wg.trace(f, *args), args)
    assert not [s.what for s in plan.steps if isinstance(s, NumpyStep)]
    return plan


LENGTHS = (0, 1, 2, 5, 8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", LENGTHS)
def test_scans_of_any_length(length, dtype, rng):
    def f(w, c, xs):
        return wg.scan(lambda c, x: (np.tanh(c * w + x), (c * 2.0, x[0])), c, xs)

    xs = rng.normal(size=(length, 3)).astype(dtype)
    native(f, dtype(0.5), np.ones(3, dtype), xs)


@pytest.mark.parametrize("length", LENGTHS)
def test_carries_that_change_places_or_stay(length, rng):
    def f(a, b, c, xs):
        return wg.scan(lambda s, x: ((s[1], s[0] + x, s[2]), (s[0], s[2])), (a, b, c), xs)

    native(f, 1.0, 2.0, np.arange(3.0), rng.normal(size=length))


def test_a_body_that_ignores_elements_and_returns_constants(rng):
    def f(a, xs):
        return wg.scan(lambda c, _: (c * 1.0, (np.float64(3.0), a)), a, xs)

    native(f, np.ones(2), rng.normal(size=(4, 2)))


def test_products_in_a_body(rng):
    def f(w, h, xs):
        return wg.scan(lambda h, x: (np.tanh(h @ w + x), h), h, xs)

    plan = native(f, rng.normal(size=(8, 8)), np.zeros((2, 8)), rng.normal(size=(6, 2, 8)))
    (loop,) = [s for s in plan.steps if isinstance(s, NativeStep) and s.control is not None]
    assert loop.calls_blas()
    (body,) = loop.control.inner
    assert not [s for s in body.steps if s.runtime == "call_with_int"], "BLAS is told once, outside"


@pytest.mark.parametrize("start", [0.5, 3.0, 20.0])
def test_whiles_of_any_length(start):
    def f(x, y):
        return wg.while_loop(lambda s: s[0] < 10.0, lambda s: (s[0] * 1.5 + y, s[1] + s[0]), (x, y))

    native(f, start, 0.1)


@pytest.mark.parametrize("x", [2.0, -2.0])
def test_branches(x):
    native(lambda x, y: wg.cond(x > 0.0, lambda: (x * y, y), lambda: (y, np.exp(x) - y)), x, 3.0)


def nested(x, xs):
    def step(c, x):
        c = wg.while_loop(lambda c: c < 1.0, lambda c: np.abs(c) * 1.3 + 0.1, c)
        c = wg.fori_loop(0, 3, lambda i, c: c * 0.5 + i * x, c)
        return wg.cond(c > x, lambda: (c - x, c), lambda: (c + x, x))

    return wg.scan(step, x, xs)


def test_loops_and_branches_inside_each_other(rng):
    native(nested, 0.3, rng.normal(size=7))


def test_derivatives_of_loops_run_natively(rng):
    def f(w, xs):
        return np.sum(wg.scan(lambda c, x: (np.tanh(w @ c + x), c), xs[0], xs)[1] ** 2)

    w, xs = 0.3 * rng.normal(size=(4, 4)), rng.normal(size=(5, 4))
    for g in (wg.grad(f, argnums=(0, 1)), wg.hessian(f), wg.jacobian(f, mode="forward")):
        compiled, plain = wg.compile(g)(w, xs), g(w, xs)
        assert type(compiled) is type(plain)
        for found, expected in zip(
            compiled if isinstance(plain, tuple) else [compiled],
            plain if isinstance(plain, tuple) else [plain],
            strict=True,
        ):
            close(found, expected)
    native(wg.grad(f, argnums=(0, 1)), w, xs)


def test_batched_loops(rng):
    def f(x, xs):
        return wg.vmap(lambda x, xs: wg.scan(lambda c, t: (c * t, c + t), x, xs))(x, xs)

    native(f, rng.normal(size=3), rng.normal(size=(3, 6)))


def root(a):
    """Newton's steps until they are short."""
    step = lambda s: (0.5 * (s[0] + a / s[0]), s[0])  # noqa: E731
    return wg.while_loop(lambda s: np.abs(s[0] - s[1]) > 1e-12 * s[0], step, (a + 1.0, a))[0]


@pytest.mark.parametrize(
    "f",
    [
        wg.vmap(root),
        wg.vmap(lambda a: wg.cond(a > 2.0, lambda a: np.log(a), lambda a: a * a, a)),
        wg.vmap(wg.grad(lambda a: wg.cond(a > 2.0, lambda a: np.log(a - 2.0), lambda a: a * a, a))),
        wg.vmap(lambda a: wg.jvp(root, (a,), (1.0,))[1]),
        lambda a: wg.jvp(lambda a: root(np.sum(a)), (a,), (a,)),
        lambda a: (np.any(a > 3.0), np.all(a[:, None] > np.array([0.0, 1.0]), axis=0)),
    ],
)
def test_loops_and_branches_of_examples_run_natively(f):
    x = np.array([0.5, 2.0, 2.5, 9.0])
    compiled = wg.compile(f)
    for a, b in zip(wg.capture.flatten(compiled(x))[0], wg.capture.flatten(f(x))[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert not [s for s in compiled.report(x).steps if isinstance(s, NumpyStep)]


def test_what_may_fail_in_a_branch_runs_for_examples_that_take_it_only():
    rows = np.arange(3.0)

    def f(k):
        inside = k < 3
        return wg.cond(inside, lambda k: wg.numpy.take(rows, k), lambda k: -1.0, k)

    for k in (np.array([5, 7]), np.array([0, 2])):
        np.testing.assert_array_equal(wg.compile(wg.vmap(f))(k), wg.vmap(f)(k))


def test_a_body_that_needs_numpy_is_interpreted(rng):
    def f(xs):
        return wg.scan(lambda c, x: (np.sort(c + x), c), np.zeros(3), xs)

    plan = check(wg.trace(f, rng.normal(size=(4, 3))), (rng.normal(size=(4, 3)),))
    assert plan.steps[0].what == "NumPy scan"


def test_calls_from_several_threads_do_not_meet(rng):
    xs = rng.normal(size=200)
    graph = wg.trace(nested, 0.3, xs)
    executable = Executable(make_plan(graph))
    starts = np.linspace(0.1, 2.0, 8)
    expected = [run(graph, [s, xs]) for s in starts]
    found = [None] * len(starts)

    def work(k):
        for _ in range(20):
            found[k] = executable([np.asarray(starts[k]), xs])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(starts))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for one, other in zip(found, expected, strict=True):
        for a, b in zip(one, other, strict=True):
            close(a, b)


def test_a_donated_first_carry_is_not_overwritten_while_it_is_read(rng):
    def f(c, xs):
        return wg.scan(lambda c, x: (c + x, None), c, xs)[0] + c

    step = wg.compile(f, donate=0)
    xs = rng.normal(size=(3, 4))
    for _ in range(2):
        c = np.arange(4.0)
        close(step(c, xs), np.arange(4.0) * 2 + xs.sum(axis=0))


def test_the_report_shows_the_body(rng):
    f = wg.compile(lambda c, xs: wg.scan(lambda c, x: (np.tanh(c) + x, c), c, xs))
    report = f.report(0.1, rng.normal(size=10))
    (step,) = [s for s in report.steps if s.kind == "control"]
    assert step.what == "scan of 10 steps"
    assert step.cost.flops == 10 * sum(s.cost.flops for s in step.inner)
    assert "tanh" in str(report).split("scan of 10 steps")[1]
    assert "define" in report.code()
