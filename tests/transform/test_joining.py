"""Loops joined: the same numbers, and no history between them."""

import numpy as np
import pytest

import wengert as wg
from wengert.run import run
from wengert.transform.control.joining import joined_loops
from wengert.transform.control.scanning import scan
from wengert.transform.graphs import forward_graph, jvp_graph
from wengert.transform.memory.entries import ordinary_peak

X = np.linspace(0.1, 1.0, 500)


def loop(x, reverse=False):
    def step(c, e):
        return np.sin(c) * np.tanh(c + e), np.sum(c * e)

    final, ys = wg.scan(step, x, np.arange(40.0) / 40.0, reverse=reverse)
    return np.sum(final) + np.sum(ys**2)


def nested(x):
    def step(c, e):
        inner, rows = wg.scan(lambda d, u: (np.cos(d) * u, np.sum(d)), c, np.linspace(e, 1.0, 5))
        return inner + c, np.sum(rows)

    final, ys = wg.scan(step, x, np.linspace(0.0, 0.5, 7))
    return np.sum(final) + np.prod(ys)


def chained(x):
    """Two loops of the program's own; the first one's results are read after both, too."""
    c, ys = wg.scan(lambda c, e: (c + e, c * e), x, np.ones((6, 500)))
    d, zs = wg.scan(lambda d, y: (d * 0.5 + y, d), x, ys)
    return np.sum(c) + np.sum(d * d) + np.sum(zs * ys)


PROGRAMS = [loop, lambda x: loop(x, reverse=True), nested, chained]


def loops(graph):
    return sum(
        entry[0] is scan and live for entry, live in zip(graph.entries, graph.live(), strict=True)
    )


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("derivative", [lambda f: f, wg.grad])
def test_the_same_numbers(program, derivative):
    graph = wg.trace(derivative(program), X)
    plain = jvp_graph(graph, (0,))
    ordered, places = forward_graph(graph, (0,))
    joined = joined_loops(ordered)
    ordered.verify()
    joined.graph.verify()
    assert len(places) == len(graph)
    assert [ordered.type(k) for k in places] == [e[3] for e in plain.entries[: len(graph)]]
    assert loops(joined.graph) < loops(plain)
    expected = run(plain, [X, np.cos(X)])
    for other in (ordered, joined.graph):
        for a, b in zip(expected, run(other, [X, np.cos(X)]), strict=True):
            assert np.array_equal(a, b)


def test_loops_of_a_program_are_joined_where_one_follows_the_other():
    graph = wg.trace(chained, X)
    made = joined_loops(graph)
    assert (loops(graph), loops(made.graph)) == (2, 1)
    assert made.pairs == [tuple(i for i, e in enumerate(graph.entries) if e[0] is scan)]
    assert [graph.entries[k][0] for k in made.origin if k >= 0] == [
        e[0] for e, k in zip(made.graph.entries, made.origin, strict=True) if k >= 0
    ]
    for a, b in zip(run(graph, [X]), run(made.graph, [X]), strict=True):
        assert np.array_equal(a, b)


def test_a_loop_that_needs_the_other_one_whole_is_not_joined():
    def f(x):
        c, ys = wg.scan(lambda c, e: (c + e, c * e), x, np.ones((6, 500)))
        d, _ = wg.scan(lambda d, y: (d * 0.5 + y, None), c, ys)
        e, _ = wg.scan(lambda d, y: (d * 0.5 + y, None), x, ys[::-1])
        g, _ = wg.scan(lambda d, y: (d * 0.5 + y, None), x, ys, reverse=True)
        return np.sum(d) + np.sum(e) + np.sum(g)

    graph = wg.trace(f, X)
    assert joined_loops(graph).graph is graph


def test_forward_mode_holds_no_history():
    graph = wg.trace(loop, X)
    made = joined_loops(forward_graph(graph, (0,)).graph).graph
    assert ordinary_peak(made) < 12 * X.nbytes
    assert ordinary_peak(jvp_graph(graph, (0,))) > 100 * X.nbytes

    def deep(x):
        for _ in range(50):
            x = np.sin(x) * x
        return np.sum(x)

    graph = wg.trace(deep, X)
    assert ordinary_peak(forward_graph(graph, (0,)).graph) <= 8 * X.nbytes
    assert ordinary_peak(jvp_graph(graph, (0,))) > 50 * X.nbytes


@pytest.mark.parametrize("program", PROGRAMS)
def test_compiled(program):
    value, tangent = wg.jvp(program, (X,), (np.cos(X),))
    compiled = wg.compile(lambda x, v: wg.jvp(program, (x,), (v,)))
    for a, b in zip((value, tangent), compiled(X, np.cos(X)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    product = wg.hvp(program, (X,), (np.cos(X),))
    compiled = wg.compile(lambda x, v: wg.hvp(program, (x,), (v,)))
    np.testing.assert_allclose(compiled(X, np.cos(X)), product, rtol=1e-8, atol=1e-12)
