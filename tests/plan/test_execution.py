"""Plans against the interpreter: every operator, fused groups, sizes, chunks, random programs."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from tests.ops.checkers import record
from tests.strategies import programs

import wengert as wg
from wengert.graph import type_of
from wengert.ops import TABLE
from wengert.plan import Executable, NativeStep, NumpyStep, make_plan
from wengert.plan.storage import Lifetime, alive_at_most, layout
from wengert.run import run

#: Relative difference allowed, by the size of the float: vector math is within 2 ulp or a stated
#: bound, and sums may be added up in another order.
TOLERANCE = {2: 1e-2, 4: 2e-5, 8: 1e-12}


def close(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    if expected.dtype.kind == "f":
        rtol = TOLERANCE[expected.dtype.itemsize]
        scale = np.max(np.abs(expected[np.isfinite(expected)]), initial=1.0)
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * scale)
    else:
        np.testing.assert_array_equal(found, expected)


def check(graph, arrays):
    """Run a graph both ways, twice by the plan: an arena that was used before must not matter."""
    arrays = [np.array(a, order="C") for a in arrays]
    kept = [a.copy() for a in arrays]
    executable = Executable(make_plan(graph))
    expected = run(graph, arrays)
    for _ in range(2):
        for found, wanted in zip(executable(arrays), expected, strict=True):
            close(found, wanted)
    for a, b in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(a, b)
    return executable.plan


def traced(f, *args):
    return check(wg.trace(f, *args), args)


ELEMENTWISE = [op for op in TABLE.values() if op.family == "elementwise"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", TABLE.values(), ids=lambda op: op.name)
def test_every_operator(op, dtype, rng):
    for operands, params in op.test_samples(rng, dtype):
        check(record(op, operands, params), operands)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", [op for op in ELEMENTWISE if op.edges], ids=lambda op: op.name)
def test_edge_values(op, dtype):
    with np.errstate(all="ignore"):
        columns = [np.array(column).astype(dtype) for column in zip(*op.edges, strict=True)]
        check(record(op, columns, {}), columns)


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 9, 31, 4095, 4097, 40_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sizes(size, dtype, rng):
    x = rng.uniform(-1.0, 1.0, size).astype(dtype)
    traced(lambda x: np.exp(x) * 2.0 - x, x)
    traced(lambda x: (np.sum(np.sin(x)), np.sum(x * x)), x)


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 5), (17, 33), (2, 3, 5), (300, 257)])
def test_row_and_column_reductions(shape, rng):
    x = rng.normal(size=shape)

    def softmax(x):
        e = np.exp(x - np.max(x, axis=-1, keepdims=True))
        return e / np.sum(e, axis=-1, keepdims=True)

    traced(softmax, x)
    for axis in range(len(shape)):
        traced(lambda x, axis=axis: (np.sum(x, axis=axis), np.max(x, axis=axis)), x)
    traced(lambda x: np.var(x) + np.min(x), x)


def test_broadcasting_in_every_direction(rng):
    a, row, column = rng.normal(size=(13, 21)), rng.normal(size=21), rng.normal(size=(13, 1))
    traced(lambda a, r, c: (a * r + c, r * c, np.sum(a * r, axis=0), np.sum(a - c)), a, row, column)
    traced(lambda a, r: a[:, None, :] * r, a, row)


def test_softmax_and_layer_norm_are_one_kernel_each(rng):
    def layer_norm(x, gain, bias):
        centred = x - np.mean(x, axis=-1, keepdims=True)
        variance = np.mean(centred * centred, axis=-1, keepdims=True)
        return centred / np.sqrt(variance + 1e-5) * gain + bias

    plan = traced(layer_norm, rng.normal(size=(6, 40)), rng.normal(size=40), rng.normal(size=40))
    assert len(plan.steps) == 1


def test_the_compensated_sum_of_a_long_row(rng):
    x = rng.uniform(0.0, 1.0, 3_000_000).astype(np.float32)
    (found,) = Executable(make_plan(wg.trace(np.sum, x)))([x])
    exact = np.sum(x, dtype=np.float64)
    assert abs(found - exact) <= 2 * np.spacing(np.float32(exact))


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
def test_reductions_of_special_values(special, rng):
    x = rng.normal(size=(5, 19))
    x[2, 3] = special
    traced(lambda x: (np.sum(x), np.sum(x, axis=1), np.max(x, axis=1), np.min(x, axis=0)), x)


def test_chunks_give_what_one_chunk_gives(rng, monkeypatch):
    x = rng.normal(size=(700, 900))

    def f(x):
        y = np.tanh(x) * np.exp(-x * x)
        return np.sum(y), np.sum(y, axis=0), np.max(y), y

    graph = wg.trace(f, x)
    monkeypatch.setattr("wengert.plan.chunks.worker_count", lambda: 3)
    split = make_plan(graph)
    assert any(isinstance(s, NativeStep) and len(s.blocks) > 1 for s in split.steps)
    for module in ("chunks", "plan"):
        monkeypatch.setattr(f"wengert.plan.{module}.worker_count", lambda: 0)
    whole = make_plan(graph)
    assert all(len(s.blocks) == 1 for s in whole.steps if isinstance(s, NativeStep))
    for a, b in zip(Executable(split)([x]), Executable(whole)([x]), strict=True):
        close(a, b)
    first, second = Executable(split)([x]), Executable(split)([x])
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("axis", [0, 1, 2, (0, 2), (0, 1), (1, 2)])
def test_chunks_of_every_reduction_of_a_cube(axis, rng, monkeypatch):
    # A target that varies along the first axis belongs to several chunks, each its own part.
    x = rng.normal(size=(90, 80, 70))
    monkeypatch.setattr("wengert.plan.chunks.worker_count", lambda: 3)
    plan = traced(lambda x: (np.sum(np.sin(x), axis=axis), np.max(x, axis=axis)), x)
    assert any(isinstance(s, NativeStep) and len(s.blocks) > 1 for s in plan.steps)


def test_many_threads_call_one_executable(rng):
    inputs = [rng.normal(size=(64, 48)) for _ in range(8)]
    weights = rng.normal(size=(48, 32))
    graph = wg.trace(lambda x, w: np.tanh(x @ w), inputs[0], weights)
    executable = Executable(make_plan(graph))
    expected = [run(graph, [x, weights])[0] for x in inputs]
    wrong = []

    def work(k):
        results = (executable([inputs[k], weights])[0] for _ in range(50))
        wrong.extend(k for found in results if not np.allclose(found, expected[k]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(inputs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


@pytest.mark.parametrize(
    "spec",
    [
        "ij,jk->ik",
        "ij,kj->ik",
        "ji,jk->ik",
        "ji,kj->ik",
        "ij,jk->ki",
        "bij,bjk->bik",
        "bij,bkj->bik",
        "i,i->",
        "i,j->ij",
        "ij,j->i",
        "ijk,kl->ijl",
        "ij,ij->",
        "ib,bj->bij",
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products(spec, dtype, rng):
    sizes = {"i": 5, "j": 7, "k": 3, "b": 2, "l": 4}
    left, right = spec.split("->")[0].split(",")
    operands = [rng.normal(size=[sizes[c] for c in part]).astype(dtype) for part in (left, right)]
    check(record(TABLE["contract"], operands, {"spec": spec}), operands)


def test_a_large_product_is_cut_along_either_axis(rng):
    tall, wide = rng.normal(size=(515, 130)), rng.normal(size=(130, 90))
    for f in (lambda a, b: a @ b, lambda a, b: b.T @ a.T):
        traced(f, tall, wide)


def test_outputs_that_are_inputs_constants_or_equal(rng):
    x = rng.normal(size=(3, 4))
    graph = wg.trace(lambda x: (x, x, x.reshape(12), np.ones(2), 2.0), x)
    found = Executable(make_plan(graph))([x])
    for a, b in zip(found, run(graph, [x]), strict=True):
        np.testing.assert_array_equal(a, b)
    arrays = [a for a in found if isinstance(a, np.ndarray)]
    for k, a in enumerate(arrays):
        assert not np.shares_memory(a, x)
        assert not any(np.shares_memory(a, b) for b in arrays[:k])


@settings(max_examples=60)
@given(programs())
def test_random_programs(program):
    check(program.graph, program.args)


@settings(max_examples=30)
@given(programs())
def test_gradients_of_random_programs(program):
    from wengert.transform.graphs import vjp_graph

    graph = program.graph
    seeded = tuple(k for k, t in enumerate(graph.output_types) if t.is_float)
    wrt = tuple(k for k, t in enumerate(graph.input_types) if t.is_float)
    reverse = vjp_graph(graph, wrt, seeded)
    seeds = [np.ones(graph.output_types[k].shape, graph.output_types[k].dtype) for k in seeded]
    check(reverse, [*program.args, *seeds])


def test_an_operator_without_a_kernel_runs_in_numpy(rng):
    plan = traced(lambda x: np.sort(np.exp(x)) * 2.0, rng.normal(size=20))
    assert any(isinstance(s, NumpyStep) for s in plan.steps)
    assert any(isinstance(s, NativeStep) for s in plan.steps)


def test_overlapping_lifetimes_never_share_memory(rng):
    for _ in range(50):
        items = []
        for slot in range(40):
            first = int(rng.integers(0, 30))
            items.append(
                Lifetime(slot, int(rng.integers(1, 1000)), first, first + int(rng.integers(0, 10)))
            )
        offsets, total = layout(items)
        assert total <= sum(i.bytes for i in items)
        for a in items:
            assert offsets[a.slot] + a.bytes <= total
            for b in items:
                if a.slot < b.slot and a.first <= b.last and b.first <= a.last:
                    low, high = sorted((a, b), key=lambda i: offsets[i.slot])
                    assert offsets[low.slot] + low.bytes <= offsets[high.slot]


def test_types_are_those_of_the_graph(rng):
    x = rng.normal(size=(4, 5)).astype(np.float32)
    graph = wg.trace(lambda x: (x > 0, x.astype(np.float64), np.argmax(x), np.sum(x > 0)), x)
    for found, type_ in zip(Executable(make_plan(graph))([x]), graph.output_types, strict=True):
        assert type_of(found) is type_


@pytest.mark.parametrize("columns", [1, 3, 10, 17, 31, 70])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_short_rows(columns, dtype, rng):
    """The lanes beyond the end of a row count for nothing, and what lies there is not touched."""
    x = rng.normal(size=(9, columns)).astype(dtype)
    x[4] = -np.inf
    x[5, 0] = np.nan

    def f(x):
        top = np.max(x, axis=1, keepdims=True)
        low = np.min(x * 2.0 - 7.0, axis=1)
        e = np.exp(x - np.where(np.isfinite(top), top, 0.0))
        total = np.sum(e, axis=1, keepdims=True)
        return e / total, np.log(total), low, np.sum(e / total, axis=0), np.max(-x, axis=0)

    with np.errstate(all="ignore"):
        traced(f, x)
        traced(lambda x: (np.sum(x > 0.5, axis=1), np.where(x > 0.0, x, -x), np.sqrt(x * x)), x)


def test_slots_of_many_sizes_are_laid_out_with_few_gaps(rng):
    taken = least = 0
    for _ in range(40):
        starts = np.sort(rng.integers(0, 30, 40))
        items = [
            Lifetime(
                slot, int(rng.choice([64, 640, 1024, 6400])), int(a), int(a + rng.integers(1, 9))
            )
            for slot, a in enumerate(starts)
        ]
        least += alive_at_most(items)
        taken += layout(items)[1]
    assert taken <= 1.03 * least
