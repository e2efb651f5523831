"""Templates: what is done for all sizes at once is, for each, what would have been done for it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.optimise.programs import random_graph

import wengert as wg
import wengert.transform.templates as templates
from wengert.capture import Recorder
from wengert.graph import Graph, Type, sizes
from wengert.nn import log_softmax
from wengert.ops import TABLE
from wengert.optimise import optimise, stabilise
from wengert.plan.units import _accumulating, _separate
from wengert.run import run
from wengert.transform.graphs import vjp_graph
from wengert.transform.templates import equal, for_all_sizes


def optimised(graph):
    return optimise(graph).graph


def stabilised(graph):
    return stabilise(graph).graph


def gradient(graph):
    wrt = tuple(k for k, t in enumerate(graph.input_types) if t.is_float)
    outs = tuple(k for k, t in enumerate(graph.output_types) if t.is_float)
    return vjp_graph(graph, wrt, outs)


FUNCTIONS = {
    "optimise": optimised,
    "stabilise": stabilised,
    "gradient": gradient,
    "optimised gradient": lambda graph: optimised(gradient(graph)),
    "units": _separate,
    "accumulating units": _accumulating,
}


@pytest.fixture(autouse=True)
def fresh():
    """No structure is known when a test begins."""
    templates._families.clear()
    templates._held = 0
    yield
    templates._families.clear()
    templates._held = 0


def both_ways(kind, function, graph):
    """Whether the result came from a template; in any case it is that of the function."""
    calls = []

    def counted(graph):
        calls.append(sizes.is_watched())
        return function(graph)

    found = for_all_sizes(kind, graph, counted)
    expected = function(graph)
    assert equal(found, expected)
    if isinstance(found, Graph):
        found.verify()
    return not calls


def pairs_of_sizes(rng):
    drawn = [(int(rng.integers(2, 9)), int(rng.integers(2, 9))) for _ in range(10)]
    return [*drawn, (1, 4), (5, 1), (1, 1), (0, 3), (4, 4), (2, 0), (64, 3), (7, 500), (900, 800)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_random_programs(name):
    """Of every kind of operator; sizes that are equal, 1, 0, and beyond what rules ask for."""
    quick = 0
    for seed in range(24):
        rng = np.random.default_rng(seed)
        for shape in pairs_of_sizes(rng):
            try:
                graph = random_graph(np.random.default_rng(seed), 14, "f4", sizes=shape)
            except wg.errors.ShapeError:
                continue  # the smallest of no elements
            quick += both_ways(name, FUNCTIONS[name], graph)
    assert quick > 40, "hardly any program has a template"


def record(types, f):
    """The graph of a function of handles."""
    tape = Recorder()
    outputs = f(*[tape.input(t) for t in types])
    return tape.graph([h._index for h in outputs]).verify()


def mean_graph(n, dtype="f8", width=3):
    def f(x):
        total = TABLE["reduce_sum"](x, axes=(0, 1))
        return [total / (1.0 * n), x * (2.0 / n)]

    return record([Type((n, width), dtype)], f)


def test_constants_that_depend_on_sizes_are_made_again():
    quick = [both_ways("optimise", optimised, mean_graph(n)) for n in (5, 6, 7, 9, 11)]
    assert quick == [False, False, False, True, True]
    # 1 and powers of two are what rules ask for.
    for n in (1, 2, 8, 64, 3, 1000003):
        both_ways("optimise", optimised, mean_graph(n))


def test_a_constant_that_equals_another():
    def graph(n):
        return record([Type((n, 3), "f8")], lambda x: [x / (1.0 * n) + 10.0 * x.sum()])

    assert [both_ways("optimise", optimised, graph(n)) for n in (5, 6, 7, 9)][-1]
    assert not both_ways("optimise", optimised, graph(10))


def test_a_size_that_equals_another():
    """x + y is a sum of equal shapes only where n is 4."""

    def graph(n):
        def f(x, y):
            twice = TABLE["broadcast_to"](x, shape=(n, 4))
            return [TABLE["reduce_sum"](twice + y, axes=(0,)), twice * twice]

        return record([Type((1, 4), "f8"), Type((n, 1), "f8")], f)

    assert [both_ways("optimise", optimised, graph(n)) for n in (5, 6, 7, 9)][-1]
    for n in (4, 1, 0, 2):
        both_ways("optimise", optimised, graph(n))


def test_answers_that_change_with_sizes_make_other_templates():
    def by_half(graph):
        tape = Recorder()
        n = graph.type(0).shape[0]
        x = tape.input(graph.type(0))
        made = x * 2.0 if n < 100 else x + x if n % 2 == 0 else TABLE["exp"](x)
        return tape.graph([made._index])

    def graph(n):
        return record([Type((n, 3), "f8")], lambda x: [x])

    asked = [both_ways("half", by_half, graph(n)) for n in (5, 6, 7, 8, 99, 100, 102, 103, 105, 6)]
    assert asked == [False, False, False, True, True, False, True, False, True, True]


def by_bound(graph):
    """Another program beyond 99 rows, and where there are no more than 20."""
    tape = Recorder()
    n = graph.type(0).shape[0]
    x = tape.input(graph.type(0))
    made = x * 2.0 if n < 100 and 2 * n + 1 > 41 else TABLE["exp"](x)
    return tape.graph([made._index])


def rows(n):
    return record([Type((n, 3), "f8")], lambda x: [x])


def test_in_the_background_the_second_size_gives_a_template(monkeypatch):
    work = []

    def later(item):
        work.append(item)
        return True

    monkeypatch.setattr(templates, "later", later)
    assert not both_ways("bound", by_bound, rows(50))
    assert not both_ways("bound", by_bound, rows(50))
    assert not work, "a size that came twice is one size"
    assert not both_ways("bound", by_bound, rows(60))
    assert len(work) == 1
    assert not both_ways("bound", by_bound, rows(70)), "there is none yet"
    for item in work:
        item()
    assert [len(family.templates) for family in templates._families.values()] == [3]
    # Also for sizes beyond the bounds, of which none has come.
    for n in (21, 99, 80, 20, 5, 100, 500):
        assert both_ways("bound", by_bound, rows(n))


def test_what_fails_in_the_background_does_no_harm(monkeypatch):
    work = []
    monkeypatch.setattr(templates, "later", lambda item: work.append(item) or True)

    def fails(graph):
        if graph.type(0).shape[0] > 99:
            raise ValueError("no such sizes")
        return graph.with_outputs([0])

    for n in (50, 60):
        both_ways("fails", fails, rows(n))
    for item in work:
        item()
    assert both_ways("fails", fails, rows(70))
    with pytest.raises(ValueError, match="no such sizes"):
        for_all_sizes("fails", rows(100), fails)


def test_sizes_read_as_numbers_leave_nothing_out():
    ways = (
        lambda n: float(n),
        lambda n: len(range(n)),
        lambda n: np.zeros(n).size,
        lambda n: int(str(n)),
        lambda n: 7 / n,
        lambda n: [1] * n,
        lambda n: np.float32(n),
        lambda n: np.int64(2) * n,
        lambda n: f"{n}",
        lambda n: np.asarray(n),
        lambda n: n**2,
    )
    for at, way in enumerate(ways):

        def function(graph, way=way):
            way(graph.type(0).shape[0])
            return graph.with_outputs([0])

        for n in (4, 5, 6, 7, 8):
            graph = record([Type((n, 3), "f8")], lambda x: [x * 2.0])
            assert not both_ways(("reads", at), function, graph)


def test_differing_programs_of_one_structure():
    for n in (4, 5, 6, 7):
        for axis, number in ((0, 2.0), (1, 3.0)):

            def f(x, axis=axis, number=number):
                return [TABLE["reduce_sum"](x, axes=(axis,)) * number]

            graph = record([Type((n, 9), "f8")], f)
            both_ways("optimise", optimised, graph)


def test_loops_and_large_constants_have_none():
    def loop(n):
        return wg.trace(lambda x: wg.fori_loop(0, 3, lambda i, c: c * 2.0, x), np.ones(n))

    def large(n):
        return wg.trace(lambda x: x[:, None] * np.arange(300.0), np.ones(n))

    for make in (loop, large):
        assert not any(both_ways("optimise", optimised, make(n)) for n in (4, 5, 6, 7, 8))


def perceptron(layers, x, one_hot):
    for w, b in layers[:-1]:
        x = np.maximum(x @ w + b, 0.0)
    w, b = layers[-1]
    return -np.mean(np.sum(one_hot * log_softmax(x @ w + b), axis=1))


def branching(x):
    """Reads sizes as any program may."""
    n = x.shape[0]
    if n > 6:
        return np.sum(x[: n // 2] ** 2) / n
    if len(x) % 2:
        return np.mean(x.reshape(-1) * np.arange(x.size))
    return np.var(x) + np.sum(x[::2])


def layer_norm(x):
    centred = x - x.mean(axis=-1, keepdims=True)
    return np.sum(centred / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + 1e-5) * x)


@pytest.mark.parametrize("n_first", [17, 1, 8])
def test_compiled_functions(n_first):
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(6, 8)), np.zeros(8)), (rng.normal(size=(8, 3)), np.zeros(3))]
    programs = {
        perceptron: lambda n: (layers, rng.normal(size=(n, 6)), np.eye(3)[np.arange(n) % 3]),
        branching: lambda n: (rng.normal(size=(n, 4)),),
        layer_norm: lambda n: (rng.normal(size=(5, n)),),
    }
    for f, arguments in programs.items():
        step = wg.compile(wg.value_and_grad(f))
        for n in (n_first, 5, 7, 9, 12, 4, 6, 3, 8, 1, 2, 64):
            args = arguments(n)
            value, grads = called(step, args)
            expected, wanted = wg.value_and_grad(f)(*args)
            np.testing.assert_allclose(value, expected, rtol=1e-10)
            for a, b in zip(_leaves(grads), _leaves(wanted), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12)
            templates._families, kept = type(templates._families)(), templates._families
            try:
                full = wg.compile(wg.value_and_grad(f))
                called(full, args)
                assert equal(step.graph(*args), full.graph(*args))
                assert equal(step.optimized(*args), full.optimized(*args))
                again = step._asked(args, {}).optimised()
                assert again.log == full._asked(args, {}).optimised().log
                assert _steps(step, args) == _steps(full, args)
            finally:
                templates._families = kept


def called(f, args):
    # On one line: graphs know the line that recorded them.
    return f(*args)


def _leaves(tree):
    if isinstance(tree, (list, tuple)):
        return [leaf for part in tree for leaf in _leaves(part)]
    return [tree]


def _steps(step, args):
    plan = step._asked(args, {}).executable().plan
    return [
        (s.what, s.blocks, s.reads, s.writes, s.spec, s.strip) for s in plan.steps
    ], plan.offsets


def test_what_is_held_is_bounded(monkeypatch):
    monkeypatch.setattr(templates, "_MOST_HELD", 40)
    for length in range(1, 30):

        def f(x, length=length):
            for _ in range(length):
                x = TABLE["sin"](x)
            return [x]

        both_ways("optimise", optimised, record([Type((3,), "f8")], f))
        held = sum(len(entries) for _, entries, _ in templates._families)
        assert held == templates._held <= 40


def test_results_of_a_template_compute_the_same():
    rng = np.random.default_rng(3)
    for n in (5, 6, 7, 8, 9):
        graph = mean_graph(n)
        x = rng.normal(size=(n, 3))
        found = for_all_sizes("optimise", graph, optimised)
        for a, b in zip(run(found, [x]), run(graph, [x]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)


def test_sums_of_products_with_numbers_that_depend_on_sizes():
    def graph(n, how):
        def f(x, y):
            return [how(x, y, 1.0 / (3 * n))]

        return record([Type((n, 3), "f8")] * 2, f)

    def by(how):
        name = "optimise" + how.__name__
        return [both_ways(name, optimised, graph(n, how)) for n in (5, 6, 7, 9, 11)]

    def stays(x, y, c):
        return x * y * c + x

    def changes(x, y, c):
        return x * y * c + y * x * 2.0 + x * y * x * c

    def has_no_size(x, y, c):
        return (x * y * 0.3 + y * x * 2.0).sum() + c

    assert by(stays)[-1]
    assert by(has_no_size)[-1]
    assert not any(by(changes))
