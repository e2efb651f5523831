"""Terms are collected where that saves work, and sums that programs order on purpose stay."""

from __future__ import annotations

import numpy as np
import pytest
from tests.optimise.test_pipeline import graph_of

from wengert.ops import TABLE
from wengert.ops.arithmetic import square
from wengert.optimise import optimise
from wengert.optimise.collecting import collect_terms
from wengert.run import run
from wengert.transform.graphs import vjp_graph


def collected(graph):
    log = []
    made, _ = collect_terms(graph, list(range(len(graph))), log, "test")
    return made.verify(), log


def operators(graph):
    return [e[0].name for e in graph.entries if e[1]]


def check_same(left, right, rng, *shapes):
    args = [rng.uniform(-2, 2, s) for s in shapes]
    for a, b in zip(run(left, args), run(right, args), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12)


def test_a_cubic_and_its_derivative_have_horners_form(rng):
    def gelu(x):
        inner = 0.8 * (x + 0.045 * x * x * x)
        return 0.5 * x * (1.0 + TABLE["tanh"](inner))

    graph = graph_of(gelu, (5,))
    derived = optimise(vjp_graph(graph, (0,), (0,)))
    args = [rng.uniform(-2, 2, t.shape) for t in derived.graph.input_types]
    for a, b in zip(run(derived.given, args), run(derived.graph, args), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12)
    assert "collect-terms" in derived.counts()


def test_like_terms_are_one(rng):
    graph = graph_of(lambda x, y: x * y * 2.0 + (y * 3.0) * x + x * y, (4,), (4,))
    made, log = collected(graph)
    assert operators(made) == ["multiply", "multiply"]
    assert [r.rule for r in log][-1] == "collect-terms"
    check_same(graph, made, rng, (4,), (4,))


def test_common_factors_are_taken_out(rng):
    graph = graph_of(lambda a, b, x, y: a * x * y + b * x * y, *[(4,)] * 4)
    made, _ = collected(graph)
    assert sorted(operators(made)) == ["add", "multiply", "multiply"]
    check_same(graph, made, rng, *[(4,)] * 4)


def test_powers_are_shared(rng):
    def f(x):
        return x * x * x + x * 2.0, square(x) * 3.0 + 2.0

    graph = graph_of(f, (4,))
    made, _ = collected(graph)
    assert operators(made).count("square") == 1
    assert len(made) < len(graph)
    check_same(graph, made, rng, (4,))


def two_sum(a, b):
    total = a + b
    other = total - a
    return total, (a - (total - other)) + (b - other)


def exact_product(a, b):
    # T. J. Dekker, A floating-point technique for extending the available precision, 1971.
    def split(x):
        c = 4097.0 * x
        high = c - (c - x)
        return high, x - high

    (a1, a2), (b1, b2) = split(a), split(b)
    product = a * b
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


@pytest.mark.parametrize(
    "program",
    [
        two_sum,
        exact_product,
        lambda x, y: ((x * y + 1e16) - 1e16, x * y),
        lambda x, y: (x * y - x * y) * x,
        lambda x, y: (x * 1e-30) * (y * 1e-30) * x,
        lambda x, y: (x * y + y * y) - x * y,
    ],
)
def test_what_programs_do_on_purpose_stays(program):
    graph = graph_of(program, (4,), (4,))
    made, log = collected(graph)
    assert str(made) == str(graph)
    assert not log


def test_values_that_others_need_are_still_there(rng):
    def f(x, y):
        product = x * y
        return product, TABLE["sin"](product), product * x + product * y, x * y * 0.5

    graph = graph_of(f, (4,), (4,))
    made, _ = collected(graph)
    check_same(graph, made, rng, (4,), (4,))


def test_numbers_beside_arrays_are_multiplied_first(rng):
    graph = graph_of(lambda a, b, x: (x * a) * x + (x * b) * x, (), (), (4,))
    made, _ = collected(graph)
    check_same(graph, made, rng, (), (), (4,))
    arrays = [e for e in made.entries if e[1] and e[3].shape == (4,)]
    assert len(arrays) <= 2


def test_rounding_is_kept_where_it_must_be():
    graph = graph_of(lambda x, y: x * y * 2.0 + (y * 3.0) * x, (4,), (4,))
    assert "collect-terms" not in optimise(graph, reassociate=False).counts()


@pytest.mark.parametrize("seed", range(60))
def test_random_polynomials(seed):
    rng = np.random.default_rng([seed, 1971])

    def f(x, y, a):
        values = [x, y, a, x * y]
        for _ in range(25):
            p, q = (values[k] for k in rng.integers(max(0, len(values) - 8), len(values), 2))
            kind = rng.integers(8)
            if kind < 3:
                values.append(p * q)
            elif kind < 6:
                values.append(p + q)
            elif kind == 6:
                values.append(p * float(rng.choice([0.5, -1.5, 2.0])))
            else:
                values.append(-p if rng.integers(2) else p - q)
        return tuple(values[k] for k in rng.integers(4, len(values), 3))

    graph = graph_of(f, (3,), (3,), ())
    made, _ = collected(graph)
    again, _ = collected(made)
    assert str(again) == str(made)
    args = [rng.uniform(-1, 1, s) for s in ((3,), (3,), ())]
    for a, b in zip(run(graph, args), run(made, args), strict=True):
        scale = max(1.0, float(np.max(np.abs(a))))
        if np.all(np.isfinite(a)):
            np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-9 * scale)
