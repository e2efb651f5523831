"""The interpreter: values, liveness, in-place steps."""

import numpy as np
import pytest

import wengert as wg
from wengert.graph import CONSTANT, INPUT, Graph, Type
from wengert.ops import TABLE
from wengert.run import run


def loop(n):
    """y[i] = 2 x[i], one assignment per step."""

    def f(x):
        y = x * 0.0
        for i in range(n):
            y[i] = x[i] * 2.0
        return y

    return wg.trace(f, np.zeros(n))


def counting(monkeypatch, name):
    op, calls = TABLE[name], []
    evaluate = op.evaluate

    def counted(*args, **params):
        calls.append(name)
        return evaluate(*args, **params)

    monkeypatch.setattr(op, "evaluate", counted)
    return calls


def test_entries_that_no_output_needs_are_not_run(monkeypatch):
    calls = counting(monkeypatch, "exp")
    graph = wg.trace(lambda x: (np.exp(x), np.sin(x))[1], 1.0)
    assert run(graph, [1.0]) == [np.sin(1.0)]
    assert calls == []


def test_known_values_are_used(monkeypatch):
    graph = wg.trace(lambda x: np.sin(np.exp(x)), 1.0)
    calls = counting(monkeypatch, "exp")
    at = next(n.number for n in graph if n.op.name == "exp")
    assert run(graph, [1.0], known={at: np.float64(2.0)}) == [np.sin(2.0)]
    assert calls == []


def test_a_loop_of_assignments_is_in_place(monkeypatch):
    calls = counting(monkeypatch, "assign")
    graph = loop(50)
    x = np.arange(50.0)
    assert np.array_equal(run(graph, [x])[0], 2 * x)
    assert calls == []
    assert np.array_equal(x, np.arange(50.0))


def test_assignment_into_an_argument_is_not_in_place():
    def f(x):
        x[0] = 7.0
        return x

    x = np.zeros(3)
    graph = wg.trace(f, x)
    assert np.array_equal(run(graph, [x])[0], [7.0, 0.0, 0.0])
    assert np.array_equal(x, np.zeros(3))


def test_assignment_into_a_constant_is_not_in_place():
    from wengert.capture import Recorder

    tape = Recorder()
    c = tape.constant(np.zeros(3))
    out = TABLE["assign"](c, np.float64(5.0), part=("slice", (0,)))
    graph = tape.graph([out._index])
    for _ in range(2):
        assert np.array_equal(run(graph, [])[0], [5.0, 0.0, 0.0])
    assert np.array_equal(graph.constants[c._index], np.zeros(3))


def test_assignment_into_a_known_value_is_not_in_place():
    def f(x):
        y = np.exp(x)
        y[0] = 7.0
        return y

    graph = wg.trace(f, np.zeros(3))
    at = next(n.number for n in graph if n.op.name == "exp")
    known = np.ones(3)
    run(graph, [np.zeros(3)], known={at: known})
    assert np.array_equal(known, np.ones(3))


@pytest.mark.parametrize(
    "view",
    [
        lambda y: y[1:],
        lambda y: y.T,
        lambda y: y.reshape(4),
        lambda y: y[None],
        lambda y: np.broadcast_to(y, (2, 4)),
        lambda y: wg.stop_gradient(y),
        lambda y: y * 1.0,
        lambda y: np.real(y) if hasattr(np, "real") else y,
    ],
)
def test_a_value_read_before_an_assignment_keeps_its_numbers(view):
    """Copies are computed late; the graph, not the order of runs, decides."""

    def f(x):
        y = x * 1.0
        before = view(y) * 1.0
        late = y * 1.0
        y[0] = 100.0
        return before, y, late

    x = np.arange(4.0)
    before, y, late = run(wg.trace(f, x), [x])
    assert np.array_equal(before, view(x) * 1.0)
    assert np.array_equal(late, x)
    assert y[0] == 100.0


def test_an_output_that_is_also_assigned_later_is_kept():
    from wengert.capture import Recorder

    tape = Recorder()
    x = tape.input(Type((3,), "f8"))
    y = x * 2.0
    z = TABLE["assign"](y, np.float64(9.0), part=("slice", (0,)))
    found = run(tape.graph([y._index, z._index]), [np.ones(3)])
    assert np.array_equal(found[0], [2.0, 2.0, 2.0])
    assert np.array_equal(found[1], [9.0, 2.0, 2.0])


def test_the_same_output_twice():
    from wengert.capture import Recorder

    tape = Recorder()
    x = tape.input(Type((), "f8"))
    y = np.sin(x)
    assert run(tape.graph([y._index, y._index, x._index]), [1.0]) == [np.sin(1.0), np.sin(1.0), 1.0]


def test_floating_point_warnings_are_off_inside_and_restored_outside():
    graph = wg.trace(lambda x: np.log(x) / x, 1.0)
    before = np.geterr()
    assert run(graph, [np.float64(0.0)]) == [-np.inf]
    assert np.geterr() == before


def test_a_graph_without_operators():
    graph = Graph(
        [(INPUT, (), (), Type((), "f8")), (CONSTANT, (), (), Type((), "f8"))],
        [0],
        [1, 0],
        {1: np.float64(4.0)},
    )
    assert run(graph, [2.0]) == [4.0, 2.0]


def test_a_missing_argument_is_not_silent():
    graph = wg.trace(lambda x, y: x + y, 1.0, 2.0)
    with pytest.raises(ValueError, match="zip"):
        run(graph, [1.0])


def test_memory_of_a_chain_is_that_of_a_few_arrays():
    import tracemalloc

    def f(x):
        for _ in range(60):
            x = np.sin(x)
        return x

    x = np.zeros(100_000)
    graph = wg.trace(f, x)
    run(graph, [x])
    tracemalloc.start()
    run(graph, [x])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * x.nbytes
