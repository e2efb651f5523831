"""Batched equals unbatched, whatever the structure, the cell, the strategy and the order."""

import threading

import numpy as np
import pytest
from tests.batching.models import D, compiled_step, head, minibatches, parameters, step, tree_loss

import wengert as wg


def close(found, wanted, tolerance=1e-10):
    for key in wanted:
        scale = np.abs(wanted[key]).max() + 1.0
        np.testing.assert_allclose(found[key], wanted[key], atol=tolerance * scale, rtol=0)


def total(loss, examples, compiled):
    return lambda p: sum(loss(p, example, compiled) for example in examples)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("strategy", ["agenda", "depth"])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", ["trees", "sequences", "lattices"])
def test_batched_equals_unbatched(kind, compiled, strategy, dtype):
    rng = np.random.default_rng(3)
    p = parameters(rng, dtype)
    loss, examples = minibatches(rng, dtype)[kind]
    with wg.autobatching("never"):
        value, gradient = wg.value_and_grad(total(loss, examples, False))(p)
    with wg.autobatching("always", strategy):
        found, batched = wg.value_and_grad(total(loss, examples, compiled))(p)
    tolerance = 1e-10 if dtype is np.float64 else 1e-5
    assert abs(found - value) <= tolerance * 50
    assert found.dtype == dtype
    close(batched, gradient, tolerance)
    for key, x in batched.items():
        assert x.shape == p[key].shape
        assert x.dtype == dtype
        assert x.flags.writeable


@pytest.mark.parametrize("compiled", [False, True])
def test_second_order(compiled):
    rng = np.random.default_rng(5)
    p = parameters(rng)
    loss, examples = minibatches(rng)["trees"]
    f = total(loss, examples, compiled)

    def size(q):
        return sum(np.sum(x * x) for x in wg.grad(f)(q).values())

    with wg.autobatching("never"):
        wanted = wg.grad(size)(p)
    with wg.autobatching("always"):
        found = wg.grad(size)(p)
    close(found, wanted, 1e-8)


def test_other_modes_of_a_function_with_compiled_cells():
    rng = np.random.default_rng(6)
    p = parameters(rng)
    loss, examples = minibatches(rng)["trees"]
    plain, compiled = (total(loss, examples, c) for c in (False, True))
    close(wg.vjp(compiled, p)[1](1.0)[0], wg.grad(plain)(p))
    tangent = {k: np.ones_like(x) for k, x in p.items()}
    found, wanted = (wg.jvp(f, (p,), (tangent,))[1] for f in (compiled, plain))
    np.testing.assert_allclose(found, wanted)


def test_equal_structures_with_other_constants():
    x = np.linspace(0.1, 1.0, D)

    def loss(scale):
        return lambda w: sum(np.sum(np.tanh(w * x * (scale + k))) for k in range(30))

    for scale in (1.0, 2.0):
        with wg.autobatching("never"):
            wanted = wg.grad(loss(scale))(x)
        with wg.autobatching("always"):
            np.testing.assert_allclose(wg.grad(loss(scale))(x), wanted)


def test_a_cell_with_several_sets_of_parameters():
    rng = np.random.default_rng(7)
    layers = [parameters(rng), parameters(rng)]
    xs = [rng.standard_normal((n, D)) for n in (4, 6, 5)]

    def loss(layers, cell):
        result = 0.0
        for sequence in xs:
            line = list(sequence)
            for p in layers:
                h = c = np.zeros(D)
                for t, x in enumerate(line):
                    h, c = cell(p, h, c, x)
                    line[t] = h
            result = result + head(layers[0], h, 1)
        return result

    with wg.autobatching("never"):
        value, wanted = wg.value_and_grad(lambda p: loss(p, step))(layers)
    with wg.autobatching("always"):
        found, gradient = wg.value_and_grad(lambda p: loss(p, compiled_step))(layers)
    np.testing.assert_allclose(found, value)
    for one, other in zip(gradient, wanted, strict=True):
        close(one, other)


def test_values_read_in_the_middle():
    rng = np.random.default_rng(8)
    p = parameters(rng)
    _, examples = minibatches(rng)["sequences"]

    def loss(p, cell):
        result = 0.0
        for xs in examples:
            h = c = np.zeros(D)
            for x in xs:
                h, c = cell(p, h, c, x)
                if h[0] > 0:
                    h = h * 0.5
            result = result + head(p, h, int(np.argmax(h)) % 3)
        return result

    with wg.autobatching("never"):
        wanted = wg.grad(lambda p: loss(p, step))(p)
    for cell in (step, compiled_step):
        with wg.autobatching("always"):
            close(wg.grad(lambda p, cell=cell: loss(p, cell))(p), wanted)


def test_rows_whose_number_is_known_and_rows_whose_number_is_computed():
    table = np.random.default_rng(7).standard_normal((9, D))

    def loss(t):
        total = 0.0
        for k in range(6):
            number = (np.sum(t[0]) * 0.0 + k).astype(np.int64)
            total += np.sum(np.tanh(t[k + 1]) * np.take(t, number, axis=0))
        return total

    with wg.autobatching("never"):
        wanted = wg.grad(loss)(table)
    with wg.autobatching("always"):
        found = wg.grad(loss)(table)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_operators_that_cannot_be_merged_run_singly():
    rng = np.random.default_rng(9)
    w = rng.standard_normal((3, 3)) + 4 * np.eye(3)

    def loss(w):
        result = 0.0
        for k in range(8):
            _, s, _ = np.linalg.svd(w * (1.0 + k))
            result = (
                result
                + np.sum(np.log(s))
                + wg.cond(True, lambda x: np.sum(np.sin(x)), lambda x: np.sum(x), w * k)
            )
        return result

    with wg.autobatching("never"):
        wanted = wg.grad(loss)(w)
    with wg.autobatching("always"):
        np.testing.assert_allclose(wg.grad(loss)(w), wanted, rtol=1e-8, atol=1e-10)


def test_auxiliary_results_and_results_of_parameters_alone():
    rng = np.random.default_rng(10)
    p = parameters(rng)
    loss, examples = minibatches(rng)["trees"]

    def f(p):
        q = {**p, "W": p["W"] * 2.0}  # computed once, shared by all examples
        parts = [loss(q, e, True) for e in examples]
        return sum(parts), (parts, p["b"])

    with wg.autobatching("never"):
        (_, (parts, b)), wanted = wg.value_and_grad(f, has_aux=True)(p)
    with wg.autobatching("always"):
        (_, (found, c)), gradient = wg.value_and_grad(f, has_aux=True)(p)
    np.testing.assert_allclose(found, parts)
    np.testing.assert_array_equal(b, c)
    assert not np.shares_memory(c, p["b"])
    close(gradient, wanted)


def test_threads_build_graphs_at_once():
    rng = np.random.default_rng(11)
    p = parameters(rng)
    loss, examples = minibatches(rng)["trees"]
    with wg.autobatching("never"):
        wanted = wg.grad(total(loss, examples, False))(p)
    failures = []

    def work(compiled):
        try:
            with wg.autobatching("always"):
                for _ in range(5):
                    close(wg.grad(total(loss, examples, compiled))(p), wanted)
        except AssertionError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(c,)) for c in (True, False, True)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


def test_arguments_are_not_modified_and_calls_repeat():
    rng = np.random.default_rng(12)
    p = parameters(rng)
    before = {k: x.copy() for k, x in p.items()}
    f = wg.value_and_grad(lambda p: sum(tree_loss(p, ((1, 2), 3), True) for _ in range(8)))
    with wg.autobatching("always"):
        first, second = f(p), f(p)
    assert first[0] == second[0]
    for key in p:
        np.testing.assert_array_equal(first[1][key], second[1][key])
        np.testing.assert_array_equal(p[key], before[key])
