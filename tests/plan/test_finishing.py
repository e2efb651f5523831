"""Products and the loop nests that read them as one step: what the interpreter computes."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import wengert as wg
from wengert.optimise import optimise
from wengert.plan import Executable, NativeStep, chunks, make_plan, plan, products
from wengert.plan.donation import reusable
from wengert.run import run

TOLERANCE = {np.float64: 1e-11, np.float32: 1e-4}


@pytest.fixture(params=[0, 1, 3])
def _workers(request, monkeypatch):
    for module in (chunks, plan, products):
        monkeypatch.setattr(module, "worker_count", lambda: request.param)


def planned(f, *args):
    """The plan of a function, whose results are checked, on memory that was used before."""
    graph = optimise(wg.trace(f, *args)).graph
    executable = Executable(make_plan(graph))
    wanted = run(graph, args)
    tolerance = TOLERANCE[args[0].dtype.type]
    for _ in range(2):
        for found, expected in zip(executable(args), wanted, strict=True):
            assert found.dtype == expected.dtype
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    return executable.plan


def finishes(made):
    return [s for s in made.steps if isinstance(s, NativeStep) and s.finish is not None]


NESTS = {
    "bias and relu": lambda p, y, row, column: np.maximum(p + row, 0.0),
    "a column": lambda p, y, row, column: (p - column) * (column * column),
    "a row, a column and all": lambda p, y, row, column: np.tanh(p * y + row) * column,
    "numbers": lambda p, y, row, column: 2.0 * p + row[0],
    "a mask": lambda p, y, row, column: np.where(y > 0.0, p, 0.0),
    "masks as results": lambda p, y, row, column: (p > y, np.isfinite(p)),
    "several results": lambda p, y, row, column: (np.exp(-abs(p)), p * p, p),
    "sum of squares": lambda p, y, row, column: np.sum((y - p) ** 2),
    "sums over rows": lambda p, y, row, column: (np.sum(p, axis=0), np.sum(p * y, axis=0)),
    "extremes": lambda p, y, row, column: (np.max(p + y, axis=0), np.min(p * y), np.max(p)),
    "all of them": lambda p, y, row, column: (
        p + row,
        np.sum(np.tanh(p + row), axis=0),
        np.sum((p + row) ** 2),
    ),
    "operators with rare branches": lambda p, y, row, column: np.sin(p) + np.log(abs(p + row)),
}

SIZES = [(4, 3, 8), (5, 1, 9), (33, 20, 20), (16, 128, 64), (37, 129, 41), (70, 300, 50)]


@pytest.mark.usefixtures("_workers")
@pytest.mark.parametrize("name", NESTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nests(name, dtype, rng):
    nest = NESTS[name]
    for (m, k, n), turned_a, turned_b in zip(
        SIZES, itertools.cycle((False, True)), itertools.cycle((False, False, True)), strict=False
    ):
        shapes = ((k, m) if turned_a else (m, k), (n, k) if turned_b else (k, n), (m, n), (n,))
        a, b, y, row, column = (
            (rng.normal(size=s) / np.sqrt(k)).astype(dtype) for s in (*shapes, (m, 1))
        )

        def f(a, b, y, row, column, turned_a=turned_a, turned_b=turned_b):
            return nest((a.T if turned_a else a) @ (b.T if turned_b else b), y, row, column)

        made = planned(f, a, b, y, row, column)
        if not turned_b or m >= 32:
            (step,) = finishes(made)
            assert ", then " in step.what
            assert [s for s in made.steps if s.what.startswith("product")] == [step]


@pytest.mark.usefixtures("_workers")
def test_what_is_added_is_part_of_it(rng):
    x, w, d = rng.normal(size=(40, 24)), rng.normal(size=(24, 40)), rng.normal(size=(40, 40))

    def several(x, w, d):
        total = d
        for k in range(4):
            total = total + (x + k) @ w
        return np.tanh(total)

    (step,) = finishes(planned(several, x, w, d))
    assert "added, then" in step.what


def test_what_others_read_is_written(rng):
    x, w = rng.normal(size=(24, 24)), rng.normal(size=(24, 24))
    for f in (
        lambda x, w: (x @ w, np.tanh(x @ w)),
        lambda x, w: np.tanh(x @ w) @ (x @ w),
        lambda x, w: np.tanh(x @ w) + (x @ w).T,
        lambda x, w: np.tanh((x @ w)[::-1]),
        lambda x, w: np.tanh(x @ w) / np.sum(x @ w),
        lambda x, w: np.sum(x @ w, axis=1),
        lambda x, w: (x @ w) / np.max(x @ w, axis=1, keepdims=True),
        lambda x, w: np.tanh(x @ w).astype(np.float32),
        lambda x, w: (x @ w)[:, :, None] * x[:, None, :],
    ):
        planned(f, x, w)
    two = planned(lambda x, w: np.tanh(x @ w + w @ x), x, w)
    assert len(finishes(two)) == 1
    assert sum(s.what.startswith("product") for s in two.steps) == 2


@pytest.mark.usefixtures("_workers")
def test_not_finite_and_signed_zeros(rng):
    x, w = rng.normal(size=(16, 8)), rng.normal(size=(8, 40))
    x[3], x[5, 0], w[:, 7] = np.nan, np.inf, 0.0
    with np.errstate(all="ignore"):
        for f in (
            lambda x, w: np.maximum(x @ w, 0.0),
            lambda x, w: np.minimum(x @ w, 0.0) * -1.0,
            lambda x, w: np.max(x @ w, axis=0),
            lambda x, w: np.sum(np.minimum(x @ w, 1.0)),
            lambda x, w: np.sum(np.where(np.isfinite(x @ w), x @ w, 0.0)),
        ):
            assert finishes(planned(f, x, w))


def test_sums_do_not_lose_what_is_small():
    """As in loop nests: sums of all elements are compensated, tile after tile."""
    x = np.ones((2000, 1), np.float32)
    w = np.ones((1, 2000), np.float32)
    w[0, 0] = 1e8
    graph = optimise(wg.trace(lambda x, w: np.sum((x @ w) * 1.0), x, w)).graph
    (found,) = Executable(make_plan(graph))([x, w])
    exact = 2000 * (1e8 + 1999.0)
    assert abs(float(found) - exact) / exact < 1e-6


def test_donated_memory(rng):
    x, w, y = rng.normal(size=(32, 24)), rng.normal(size=(24, 32)), rng.normal(size=(32, 32))
    for f in (lambda x, w, y: np.tanh(x @ w) + y, lambda x, w, y: np.tanh(x @ w) @ y):
        made = planned(f, x, w, y)
        for pairs in (reusable(made, [0, 1, 2]), []):
            arrays = [x.copy(), w.copy(), y.copy()]
            expected = run(made.graph, arrays)
            for a, b in zip(Executable(made)(arrays, pairs), expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_the_result_takes_no_memory(rng):
    x, w = rng.normal(size=(256, 64)), rng.normal(size=(64, 512))
    made = planned(lambda x, w: np.sum((x @ w) ** 2), x, w)
    assert made.arena_bytes < 256 * 512 * 8 // 8


def test_reports_tell_it(rng):
    x, w, b = rng.normal(size=(16, 8)), rng.normal(size=(8, 16)), rng.normal(size=16)
    (step,) = wg.compile(lambda x, w, b: np.maximum(x @ w + b, 0.0)).report(x, w, b).steps
    assert step.kind == "product"
    assert step.operators == ["contract", "add", "maximum"]
    assert step.what == "product 16x8x16, then add maximum"


UNARY = (np.tanh, np.exp, abs, np.sqrt, lambda v: v * v, lambda v: np.maximum(v, 0.1), np.negative)
BINARY = (np.add, np.subtract, np.multiply, np.maximum, lambda a, b: np.where(a > b, a, b * 0.5))
ENDS = (
    lambda v: v,
    lambda v: np.sum(v),
    lambda v: np.sum(v, axis=0),
    lambda v: (v, np.max(v), np.sum(v * v, axis=0)),
    lambda v: np.sum(v, axis=1),
)


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_nests(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    m, k, n = (data.draw(st.sampled_from(s)) for s in ((4, 7, 33), (2, 31, 140), (8, 19, 36, 65)))
    steps = data.draw(
        st.lists(
            st.one_of(
                st.sampled_from(UNARY).map(lambda f: (f, None)),
                st.tuples(st.sampled_from(BINARY), st.integers(0, 3)),
            ),
            min_size=1,
            max_size=6,
        )
    )
    end = data.draw(st.sampled_from(ENDS))

    def f(x, w, *others):
        value = x @ w
        for op, other in steps:
            value = op(np.abs(value)) if other is None else op(value, others[other])
            value = value / (1.0 + np.abs(value))
        return end(value)

    shapes = ((m, k), (k, n), (m, n), (n,), (m, 1), ())
    planned(f, *[np.asarray(rng.normal(size=s) / np.sqrt(k), dtype) for s in shapes])
