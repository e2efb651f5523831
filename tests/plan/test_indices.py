"""Indices in native code: out of range is an error, and one element per row stays in its nest."""

import sys

import numpy as np
import pytest
from tests.plan.test_execution import check, traced

import wengert as wg
from wengert.errors import BoundsError
from wengert.optimise import optimise
from wengert.plan import Executable, NativeStep, make_plan
from wengert.run import run


def is_native(plan):
    return all(isinstance(step, NativeStep) for step in plan.steps)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
def test_gather_of_every_index_dtype(dtype, rng):
    x = rng.normal(size=(7, 5))
    index = np.array([0, 6, 3], dtype)
    assert is_native(traced(lambda x, i: x[i], x, index))
    assert is_native(traced(lambda x, i: x[:, i[:1]] * 2.0, x, index))


@pytest.mark.parametrize("wrong", [7, -8, 10**12])
def test_an_index_out_of_range_is_an_error(wrong, rng):
    x = rng.normal(size=7)
    index = np.array([0, wrong, 3])
    step = wg.compile(lambda x, i: x[i] * 2.0)
    np.testing.assert_array_equal(step(x, index * 0), 2.0 * x[[0, 0, 0]])
    for _ in range(3):
        with pytest.raises(IndexError, match=str(wrong)):
            step(x, index)
        with pytest.raises(BoundsError):
            step(x, index)
        np.testing.assert_array_equal(step(x, index % 7), 2.0 * x[index % 7])


def test_nothing_is_lost_by_refused_calls(rng):
    x, index = rng.normal(size=(5, 4)), np.array([0, 9])
    step = wg.compile(lambda x, i: (x[i], x + 1.0))
    step(x, index * 0)
    before = sys.getrefcount(x), sys.getrefcount(index)
    for _ in range(100):
        with pytest.raises(IndexError):
            step(x, index)
    assert (sys.getrefcount(x), sys.getrefcount(index)) == before


def test_an_index_out_of_range_inside_a_loop(rng):
    x = rng.normal(size=5)

    def total(x, rows):
        return wg.scan(lambda carry, row: (carry + x[row], carry), np.float64(0.0), rows)[0]

    step = wg.compile(total)
    rows = np.array([0, 4, 4])
    np.testing.assert_allclose(step(x, rows), x[rows].sum())
    with pytest.raises(IndexError):
        step(x, rows + 1)
    np.testing.assert_allclose(step(x, rows), x[rows].sum())


def cross_entropy(z, labels):
    shifted = z - np.max(z, axis=-1, keepdims=True)
    total = np.log(np.sum(np.exp(shifted), axis=-1))
    rows = np.indices(labels.shape, sparse=True)
    return np.sum(total - shifted[(*rows, labels)])


def by_positions(graph, arrays):
    """The plan of the optimised graph, which must be native and agree with NumPy."""
    made = optimise(graph).graph
    for a, b in zip(run(graph, arrays), run(made, arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9 if a.dtype == np.float64 else 1e-4)
    return check(made, arrays), made


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 3), (7, 1), (1, 9), (33, 130), (5, 4, 17)])
@pytest.mark.parametrize("index", ["i8", "i4", "u1"])
def test_cross_entropy_by_labels(shape, dtype, index, rng):
    z = rng.normal(size=shape).astype(dtype)
    labels = rng.integers(0, shape[-1], shape[:-1])
    if index[0] == "i":
        labels -= shape[-1] * (rng.uniform(size=labels.shape) < 0.3)
    labels = labels.astype(index)
    graph = wg.trace(wg.value_and_grad(cross_entropy), z, labels)
    plan, _ = by_positions(graph, [z, labels])
    assert is_native(plan)


def test_one_element_per_row_is_read_and_added_in_one_nest(rng):
    z = rng.normal(size=(24, 10)).astype(np.float32)
    labels = rng.integers(0, 10, 24)
    graph = wg.trace(wg.value_and_grad(cross_entropy), z, labels)
    plan, made = by_positions(graph, [z, labels])
    names = [node.op.name for node in made.nodes]
    assert not {"gather", "scatter_sum", "scatter_add"}.intersection(names)
    assert sum(step.spec is not None for step in plan.steps) <= 2
    with pytest.raises(IndexError, match="index 10 is out of bounds"):
        Executable(make_plan(made))([z, np.full(24, 10)])


def test_rows_that_may_repeat_are_left_alone(rng):
    x, labels = rng.normal(size=(3, 4)), np.array([1, 2, 2])

    def picked(x, rows, labels):
        return np.sum((x * x)[rows, labels])

    for rows in (np.array([0, 1, 1]), np.array([2, 1, 0])):
        graph = wg.trace(wg.grad(lambda x, labels, rows=rows: picked(x, rows, labels)), x, labels)
        by_positions(graph, [x, labels])
    graph = wg.trace(wg.grad(picked), x, np.array([0, 1, 1]), labels)
    by_positions(graph, [x, np.array([0, 1, 1]), labels])


def test_what_is_not_read_may_be_anything(rng):
    x = rng.normal(size=(3, 4)) ** 2
    x[0, 1], x[1, 2] = np.nan, np.inf
    labels = np.array([0, 3, -1])
    graph = wg.trace(lambda x, labels: np.sqrt(x)[np.arange(3), labels], x, labels)
    by_positions(graph, [x, labels])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_take_along_axis(axis, rng):
    x = rng.normal(size=(4, 6))
    index = np.argsort(x, axis=axis)[: 2 if axis == 0 else 4, : 6 if axis == 0 else 1]

    def f(x, index):
        return np.sum(np.take_along_axis(np.sin(x), index, axis=axis))

    by_positions(wg.trace(wg.value_and_grad(f), x, index), [x, index])
