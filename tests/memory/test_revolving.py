"""Loops of which some states are held: the same derivatives, of any order, with optimal counts."""

import numpy as np
import pytest

import wengert as wg
from wengert.graph import Graph
from wengert.run import run
from wengert.run.budget import current_budget
from wengert.transform.batching import batch_graph
from wengert.transform.control.bodies import expanded
from wengert.transform.graphs import forward_graph, jvp_graph, vjp_graph
from wengert.transform.memory import revolving
from wengert.transform.memory.loops import Cut, with_cuts
from wengert.transform.memory.revolving import revolve_back, revolve_scan
from wengert.transform.memory.schedules import advances, moves

X = np.linspace(0.1, 1.0, 6)
W = np.linspace(-0.5, 0.7, 6)


def program(x, w, reverse=False, length=13):
    """Constants read whole and in parts, an integer carry, elements, stacked results."""

    def step(state, e):
        c, n = state
        y = np.sin(c) * np.tanh(c + e) * w + w[n % 6]
        return (y, n + 1), (np.sum(c * e), n)

    elements = np.linspace(0.0, 1.0, length) * np.sum(x)
    (final, _), (ys, _) = wg.scan(step, (x, 0), elements, reverse=reverse)
    return np.sum(final * x) + np.sum(ys**2)


def traced(reverse=False, length=13):
    return wg.trace(lambda x, w: program(x, w, reverse, length), X, W)


def cut(graph, slots):
    return with_cuts(graph, Cut((slots - 1) * (X.nbytes + 8)))


def same(a, b, args):
    for x, y in zip(run(a, args), run(b, args), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-11)


def gradient(graph):
    return vjp_graph(graph, (0, 1), (0,))


def product(graph):
    return jvp_graph(gradient(graph), (0, 1))


def ordered(graph):
    return forward_graph(gradient(graph), (0, 1)).graph


def twice(graph):
    return vjp_graph(gradient(graph), (0, 1, 2), (1, 2))


def thrice(graph):
    return vjp_graph(forward_graph(gradient(graph), (0, 1)).graph, (0, 1), (1, 2, 4, 5))


def four_times(graph):
    return vjp_graph(twice(graph), (0, 1), (3, 4))


DERIVATIVES = [gradient, product, ordered, twice, thrice, four_times]


def arguments(graph):
    rng = np.random.default_rng(0)
    return [X, W, *[rng.standard_normal(t.shape) for t in graph.input_types[2:]]]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("slots", [1, 2, 4, 13])
@pytest.mark.parametrize("derive", DERIVATIVES)
def test_derivatives_are_those_of_the_loop(derive, slots, reverse):
    graph = traced(reverse)
    whole, parts = derive(graph), derive(cut(graph, slots)).verify()
    same(whole, parts, arguments(whole))


@pytest.mark.parametrize("derive", [gradient, ordered, twice])
def test_the_same_as_ordinary_loops(derive):
    made = derive(cut(traced(), 3))
    plain = expanded(made).verify()
    names = {entry[0] for entry in plain.entries}
    assert revolve_back in {entry[0] for entry in made.entries}
    assert not names & {revolve_back, revolve_scan}
    same(made, plain, arguments(made))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("derive", [gradient, ordered, twice])
@pytest.mark.parametrize("which", ["all", "seeds", "first"])
def test_batches(derive, reverse, which):
    made = derive(cut(traced(reverse), 3))
    count = len(made.inputs)
    flags = {
        "all": [True] * count,
        "seeds": [False, False] + [True] * (count - 2),
        "first": [True] + [False] * (count - 1),
    }[which]
    args = arguments(made)
    batched = [
        np.stack([a, a * 0.5, a * 2.0]) if f else a for a, f in zip(args, flags, strict=True)
    ]
    found = run(batch_graph(made, flags, 3, all_outputs=True).graph, batched)
    for k, factor in enumerate((1.0, 0.5, 2.0)):
        each = [a * factor if f else a for a, f in zip(args, flags, strict=True)]
        for a, b in zip(run(made, each), found, strict=True):
            np.testing.assert_allclose(b[k], a, rtol=1e-9, atol=1e-12)


class Counted:
    """Counts the runs of graphs by what they are for."""

    def __init__(self, monkeypatch):
        self.runs = 0
        real = revolving.run

        def counting(graph, args):
            self.runs += 1
            return real(graph, args)

        monkeypatch.setattr(revolving, "run", counting)


@pytest.mark.parametrize(("length", "slots"), [(13, 1), (13, 3), (40, 5), (100, 4), (100, 20)])
def test_the_steps_are_those_of_the_optimal_schedule(length, slots, monkeypatch):
    graph = gradient(cut(traced(length=length), slots))
    counted = Counted(monkeypatch)
    run(graph, [X, W, 1.0])
    # Each step is run once more where it is reversed. The loop itself makes every step and stores
    # states as it passes; a schedule turns before the last one.
    again = counted.runs - length
    assert length + again == advances(length, slots) + 1


@pytest.mark.parametrize("slots", [1, 2, 3, 7])
@pytest.mark.parametrize("steps", [1, 2, 5, 23, 60])
def test_places_hold_what_is_read_from_them(steps, slots):
    known, places = moves(steps, slots)
    held = {-1: 0}
    back = []
    for forward, step, source, target in known:
        assert held[source] == step
        if forward:
            assert target != source
            held[target] = step + 1
        else:
            back.append(step)
    assert back == list(range(steps - 1, -1, -1))
    assert sum(m.forward for m in known) == advances(steps, slots)
    assert places <= slots + 1


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("slots", [1, 3, 13])
@pytest.mark.parametrize("derive", [gradient, ordered, twice])
def test_native(derive, slots, reverse):
    made = derive(cut(traced(reverse), slots))
    args = arguments(made)

    def f(*xs):
        from wengert.transform.inline import apply_graph

        return tuple(apply_graph(made, xs))

    compiled = wg.compile(f)
    for a, b in zip(run(made, args), compiled(*args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
    names = [step.what.split()[0] for step in compiled.report(*args).steps]
    assert "revolve_back" in names
    assert "NumPy" not in names


def nested(x, w):
    """A loop whose steps take derivatives of a loop within a budget."""

    def loss(x, w):
        final, _ = wg.scan(lambda c, e: (np.sin(c) * w + e, None), x, np.linspace(0.0, 1.0, 30))
        return np.sum(final * final)

    def step(c, _):
        return c - 0.1 * wg.grad(loss, memory=BUDGET)(c, w), None

    final, _ = wg.scan(step, x, np.arange(4))
    return np.sum(np.cos(final))


BUDGET = 1000


def test_loops_within_loops_are_differentiated(monkeypatch):
    found = wg.grad(nested, (0, 1))(X, W)
    bodies = [dict(e[2]).get("body") for e in wg.trace(nested, X, W).entries]
    inner = [e[0] for body in bodies if isinstance(body, Graph) for e in body.entries]
    assert revolve_back in inner
    monkeypatch.setattr(f"{__name__}.BUDGET", 1 << 30)
    for a, b in zip(wg.grad(nested, (0, 1))(X, W), found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert current_budget() is None
