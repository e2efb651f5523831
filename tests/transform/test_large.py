"""Graphs of 100,000 entries: no recursion, and work that grows as the graph does.

Work is counted, not timed: entries, and the bytes that the steps of a run produce.
"""

import sys

import numpy as np
import pytest

import wengert as wg
from wengert.graph import Graph
from wengert.ops import TABLE
from wengert.transform.batching import batch_graph
from wengert.transform.graphs import jvp_graph, linearize_graph, vjp_graph

LARGE = 100_000


def chain(n):
    def f(x):
        for _ in range(n // 2):
            x = x * 0.999 + 0.001
        return x

    return f, 0.5


def fan(n):
    def f(x):
        total = 0.0
        for _ in range(n // 2):
            total = total + x * x
        return total

    return f, 0.5


def reading(n):
    def f(x):
        total = 0.0
        for i in range(n // 3):
            total = total + x[i] * x[i]
        return total

    return f, np.linspace(0.5, 1.5, n // 3)


def writing(n):
    def f(x):
        y = x * 1.0
        for i in range(n // 3):
            y[i] = x[i] * 2.0
        return np.sum(y)

    return f, np.linspace(0.5, 1.5, n // 3)


def recurrence(n):
    def f(x):
        y = x * 1.0
        for i in range(1, n // 4):
            y[i] = y[i - 1] * 0.5 + x[i]
        return np.sum(y * y)

    return f, np.linspace(0.5, 1.5, n // 4)


def in_place(n):
    def f(x):
        y = x * 1.0
        for i in range(n // 3):
            y[i] *= x[i]
        return np.sum(y)

    return f, np.linspace(0.5, 1.5, n // 3)


def parts(n):
    def f(x):
        y = x * 1.0
        for i in range(0, n // 4, 2):
            y[i : i + 2] = y[i : i + 2] * x[i : i + 2]
        return np.sum(y)

    return f, np.linspace(0.5, 1.5, n // 4 * 2)


def stacking(n):
    def f(x):
        return np.sum(np.stack([x[i] * 2.0 for i in range(n // 3)]))

    return f, np.linspace(0.5, 1.5, n // 3)


PROGRAMS = [chain, fan, reading, writing, recurrence, in_place, parts, stacking]


def graphs_of(f, x):
    """The graph of f, and the graphs that are derived from it."""
    graph = wg.trace(f, x)
    reverse = vjp_graph(graph, (0,), (0,), one=True)
    return {
        "graph": graph,
        "jvp": jvp_graph(graph, (0,)),
        "vjp": reverse,
        "jvp of vjp": jvp_graph(reverse, (0,)),
        "vjp of vjp": vjp_graph(reverse, (0,), (1,)),
        "linearize": linearize_graph(graph, (0,)).late,
        "batch": batch_graph(graph, (True,), 3).graph,
        "batch of vjp": batch_graph(reverse, (True,), 3).graph,
    }


class Work:
    """Counts what evaluations produce: steps, and bytes of fresh results."""

    def __init__(self, monkeypatch):
        self.steps = self.bytes = 0
        for op in TABLE.values():
            monkeypatch.setattr(op, "evaluate", self.counted(op.evaluate))

    def counted(self, evaluate):
        def run(*args, **params):
            result = evaluate(*args, **params)
            self.steps += 1
            if isinstance(result, np.ndarray) and result.base is None:
                self.bytes += result.nbytes
            return result

        return run


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_number_of_entries_grows_linearly(program):
    small = {k: len(g) for k, g in graphs_of(*program(400)).items()}
    large = {k: len(g) for k, g in graphs_of(*program(1600)).items()}
    for kind, count in small.items():
        assert large[kind] <= 4.2 * count + 50, kind


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_length_of_parameters_and_operands_grows_linearly(program):
    """One entry may have many operands, but all of them together only so many."""

    def size(graph):
        return sum(len(operands) + len(repr(params)) for _, operands, params, _ in graph.entries)

    small = {k: size(g) for k, g in graphs_of(*program(400)).items()}
    large = {k: size(g) for k, g in graphs_of(*program(1600)).items()}
    for kind, count in small.items():
        assert large[kind] <= 4.8 * count + 500, kind


DERIVATIVES = {
    "value": lambda f, x: wg.vjp(f, x)[0],
    "grad": lambda f, x: wg.grad(f)(x),
    "jvp": lambda f, x: wg.jvp(f, (x,), (x,)),
    "forward over reverse": lambda f, x: wg.jvp(wg.grad(f), (x,), (x,)),
    "reverse over reverse": lambda f, x: wg.grad(lambda x: np.sum(wg.grad(f)(x)))(x),
    "reverse over forward": lambda f, x: wg.grad(lambda v: wg.jvp(f, (v,), (x,))[1])(x),
    "vmap of grad": lambda f, x: wg.vmap(wg.grad(f))(np.stack([x, x])),
    "pullback": lambda f, x: wg.vjp(f, x)[1](1.0),
}


@pytest.mark.parametrize("derivative", DERIVATIVES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_work_of_a_run_grows_linearly(program, derivative, monkeypatch):
    work = Work(monkeypatch)
    counts = []
    for n in (400, 1600):
        work.steps = work.bytes = 0
        DERIVATIVES[derivative](*program(n))
        counts.append((work.steps, work.bytes))
    (steps, size), (more_steps, more_size) = counts
    assert more_steps <= 4.2 * steps + 50
    # A dense array per step would be 16 times as much.
    assert more_size <= 6.0 * size + 50_000


def test_a_chain_of_a_hundred_thousand_entries():
    f, x = chain(LARGE)
    limit = sys.getrecursionlimit()
    graph = wg.trace(f, x)
    assert len(graph) >= LARGE
    assert str(graph).count("\n") == len(graph)
    assert graph.verify() is graph
    assert len(batch_graph(graph, (True,), 2).graph) <= 2 * len(graph)
    assert sys.getrecursionlimit() == limit


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (chain, lambda x: 0.999 ** (LARGE // 2)),
        (fan, lambda x: LARGE * x),
        (reading, lambda x: 2 * x),
        (writing, lambda x: np.full(x.shape, 2.0)),
    ],
)
def test_a_gradient_over_a_hundred_thousand_entries(program, expected):
    f, x = program(LARGE)
    assert np.allclose(wg.grad(f)(x), expected(x), rtol=1e-9)


def test_a_large_graph_is_saved_and_loaded(tmp_path):
    f, x = chain(LARGE // 4)
    graph = wg.trace(f, x)
    graph.save(tmp_path / "large.npz")
    assert Graph.load(tmp_path / "large.npz") == graph


def test_a_deep_graph_dies_without_recursion():
    f, x = chain(LARGE // 2)
    graph = vjp_graph(wg.trace(f, x), (0,), (0,))
    del graph


def test_values_on_demand_do_not_recompute():
    """A loop that looks at its value in each step computes each entry once."""

    def f(x):
        steps = 0
        while x < 2.0 and steps < 3000:
            x = x * 1.0001
            steps += 1
        return x

    assert wg.grad(f)(1.0) == pytest.approx(1.0001**3000)


def test_gathers_in_a_loop_cost_one_dense_array():
    n = 300
    index = np.arange(n)

    def f(x):
        total = 0.0
        for i in range(0, n, 3):
            total = total + np.sum(x[index[i : i + 3]] ** 2)
        return total

    graph = vjp_graph(wg.trace(f, np.ones(n)), (0,), (0,), one=True)
    live = graph.live()
    dense = [
        i
        for i, (op, _, _, t) in enumerate(graph.entries)
        if live[i] and t.shape == (n,) and op.name != "input"
    ]
    assert len(dense) == 1
