"""The whole optimiser: same values, same types, a fixed point, predicates between passes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.ops import checkers
from tests.optimise import programs, sides
from tests.work import calls

import wengert as wg
from wengert.capture import Recorder
from wengert.graph import CONSTANT, Graph, Type
from wengert.ops import TABLE, Structural
from wengert.optimise import PIPELINE, Optimised, optimise, stabilise
from wengert.optimise.builder import Builder
from wengert.optimise.calls import has_calls
from wengert.optimise.chains import order_chains
from wengert.optimise.collecting import collect_terms
from wengert.optimise.cost import graph_cost
from wengert.optimise.pipeline import MOST_ROUNDS, State
from wengert.optimise.record import Example
from wengert.run import run
from wengert.transform.control.joining import joined_loops
from wengert.transform.custom import custom_jvp, custom_vjp
from wengert.transform.graphs import vjp_graph


def graph_of(function, *shapes, dtype="f8"):
    tape = Recorder()
    handles = [tape.input(Type(s, dtype)) for s in shapes]
    out = function(*handles)
    out = out if isinstance(out, tuple) else (out,)
    return tape.graph([tape.index_of(v) for v in out]).verify()


def all_different(graph):
    keys = [e[:3] for e in graph.entries if e[1]]
    return len(set(keys)) == len(keys) and all(
        live or not e[1] for live, e in zip(graph.live(), graph.entries, strict=True)
    )


def in_order(graph):
    return order_chains(graph, list(range(len(graph))), [], "test")[0] is graph


def bodies_are_optimised(graph):
    bodies = [v for e in graph.entries for _, v in e[2] if isinstance(v, Graph)]
    return all(len(optimise(body).graph) == len(body) for body in bodies)


def is_collected(graph):
    return collect_terms(graph, list(range(len(graph))), [], "test")[0] is graph


PREDICATES = {
    "no sum of products has a form with fewer operations": is_collected,
    "the bodies of loops and branches are optimised": bodies_are_optimised,
    "no loop reads another one step by step": lambda g: joined_loops(g).graph is g,
    "no call of a function with a custom derivative": lambda g: not has_calls(g),
    "all entries different and needed": all_different,
    "no chain of contractions has a much cheaper order": in_order,
}


def test_every_pass_names_a_tested_predicate():
    assert {p.gives for p in PIPELINE} <= set(PREDICATES)


@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed):
    rng = np.random.default_rng([seed, 1964])
    graph = programs.random_graph(rng)
    args = programs.inputs(rng, graph)
    expected = run(graph, args)
    state = State(graph, list(range(len(graph))), [], True)
    for step in PIPELINE:
        state = step.run(state, step.name)
        state.graph.verify()
        assert PREDICATES[step.gives](state.graph)
    made = optimise(graph)
    made.graph.verify()
    assert made.graph.input_types == graph.input_types
    assert made.graph.output_types == graph.output_types
    for a, b in zip(expected, run(made.graph, args), strict=True):
        if np.all(np.isfinite(a)):
            scale = float(np.max(np.abs(a), initial=1.0))
            assert np.max(np.abs(a - b), initial=0.0) <= 1e-9 * scale
    again = optimise(made.graph)
    assert str(again.graph) == str(made.graph), again.log


@pytest.mark.parametrize("seed", range(40))
def test_exact_rules_keep_every_bit(seed):
    rng = np.random.default_rng([seed, 1965])
    graph = programs.random_graph(rng, plain=True)
    made = optimise(graph, reassociate=False)
    assert {r.exact_in for r in made.log} <= {"floats"}
    example = Example(lambda *xs: xs, [t.shape for t in graph.input_types])
    for _ in range(3):
        args = sides.draw_edges(rng, example, "f8", sides.SPECIAL + sides.MODERATE)
        for a, b in zip(run(graph, args), run(made.graph.verify(), args), strict=True):
            assert sides.same_bits(np.asarray(a), np.asarray(b)), made
    again = optimise(made.graph, reassociate=False)
    assert str(again.graph) == str(made.graph), again.log


@pytest.mark.parametrize("seed", range(20))
def test_derivatives_of_random_programs(seed):
    rng = np.random.default_rng([seed, 64])
    graph = programs.random_graph(rng, 15)
    derived = vjp_graph(graph, (0, 1, 2, 3), (0,))
    args = programs.inputs(rng, derived)
    made = optimise(derived)
    assert len(made.graph) <= len(derived)
    for a, b in zip(run(derived, args), run(made.graph.verify(), args), strict=True):
        if np.all(np.isfinite(a)) and np.max(np.abs(a), initial=0.0) < 1e6:
            scale = float(np.max(np.abs(a), initial=1.0))
            assert np.max(np.abs(a - b), initial=0.0) <= 1e-6 * scale


def test_inputs_and_outputs_keep_their_order():
    graph = graph_of(lambda a, b, c: (c, b * 1.0, b + 0.0 * 0, c), (2,), (3,), (2,))
    made = optimise(graph).graph
    assert made.input_types == graph.input_types
    assert made.outputs == (2, 1, 1, 2)


def test_names_and_lines_survive():
    tape = Recorder(lines=True)
    x = tape.input(Type((3,), "f8"), "weights")
    made = optimise(tape.graph([(x * 1.0 + 2.0)._index]))
    assert made.graph.names == {0: "weights"}
    assert all("test_pipeline.py" in line for line in made.graph.lines.values())
    assert "test_pipeline.py" in made.log[0].line


def test_one_plus_tanh_keeps_its_digits():
    x = np.linspace(-40.0, 40.0, 81)
    graph = graph_of(lambda x: (TABLE["tanh"](x) + 1.0, 1.0 - TABLE["tanh"](x + 0.0)), x.shape)
    lower, upper = run(optimise(graph).graph, [x])
    np.testing.assert_allclose(lower, 2.0 / (1.0 + np.exp(-2.0 * x)), rtol=1e-13)
    np.testing.assert_allclose(upper, 2.0 / (1.0 + np.exp(2.0 * x)), rtol=1e-13)


def test_the_log_explains():
    graph = graph_of(lambda x: TABLE["log"](TABLE["exp"](x) + 1.0), (3,))
    made = optimise(graph)
    text = str(made)
    assert "log1p: log(add(%1, 1)) -> log1p(%1)" in text
    assert "softplus: log1p(exp(%0)) -> softplus(%0): no overflow of exp" in text
    assert text.splitlines()[0].startswith("5 entries (")
    assert made.counts() == {"log1p": 1, "softplus": 1}
    assert all(r.why and r.before and r.after for r in made.log)


def test_constants_fold_but_do_not_grow():
    def f(x):
        wide = TABLE["broadcast_to"](x._tape.constant(2.0), shape=(1000, 1000))
        return x * (wide * 3.0)

    made = optimise(graph_of(f, (1000, 1000))).graph
    assert [np.size(v) for v in made.constants.values()] == [1]
    assert len(made) == 3


def test_large_constants_are_not_multiplied_out():
    def f(x):
        u = x._tape.constant(np.arange(500.0))
        return x + TABLE["contract"](u, u, spec="i,j->ij")

    made = optimise(graph_of(f, (500, 500))).graph
    assert max(np.size(v) for v in made.constants.values()) == 500


def test_an_error_in_a_constant_is_left_to_the_run():
    def f(x):
        return x + TABLE["gather"](
            x._tape.constant(np.arange(3.0)), x._tape.constant(np.array([7])), axes=(0,)
        )

    graph = graph_of(f, (1,))
    made = optimise(graph).graph
    assert any(e[0] is TABLE["gather"] for e in made.entries)


def test_custom_rules_are_inlined():
    @custom_jvp
    def inner(x):
        return x * 2.0

    inner.defjvp(lambda primals, tangents: (primals[0] * 2.0, tangents[0] * 2.0))

    @custom_vjp
    def outer(x):
        return inner(x) + 1.0, x

    outer.defvjp(lambda x: (outer(x), None), lambda _, cts: (cts[0],))
    graph = graph_of(lambda x: outer(x)[0], (3,))
    made = optimise(graph)
    assert [e[0].name for e in made.graph.entries if e[1]] == ["multiply", "add"]
    assert "inline" in made.counts()
    np.testing.assert_array_equal(run(made.graph, [np.ones(3)])[0], 3.0)


def test_products_of_a_chain_are_ordered():
    mm = TABLE["contract"]
    graph = graph_of(
        lambda a, b, v: mm(mm(a, b, spec="ij,jk->ik"), v, spec="ij,j->i"), (30, 40), (40, 50), (50,)
    )
    made = optimise(graph)
    assert made.counts() == {"order-products": 1}
    assert [e[3].shape for e in made.graph.entries if e[1]] == [(40,), (30,)]
    assert optimise(graph, reassociate=False).graph == graph


def test_an_outer_product_is_not_written_to_be_contracted():
    mm = TABLE["contract"]
    graph = graph_of(
        lambda u, v, w: mm(mm(u, v, spec="i,j->ij"), w, spec="ij,j->i"), (30,), (40,), (40,)
    )
    made = optimise(graph).graph
    assert max(e[3].size for e in made.entries) == 40


@pytest.mark.parametrize("count", [3, 5, 8, 12])
def test_chains_of_any_length(count):
    rng = np.random.default_rng(count)
    sizes = [int(n) for n in rng.integers(2, 9, count + 1)]
    mm = TABLE["contract"]

    def f(*matrices):
        total = matrices[0]
        for m in matrices[1:]:
            total = mm(total, m, spec="ij,jk->ik")
        return total

    graph = graph_of(f, *itertools.pairwise(sizes))
    args = [rng.normal(size=t.shape) for t in graph.input_types]
    made = optimise(graph).graph.verify()
    np.testing.assert_allclose(run(made, args)[0], run(graph, args)[0], rtol=1e-10)


def test_bodies_of_entries_are_optimised():
    body = graph_of(lambda x: x * 1.0 + 0.0 * 3.0, (3,))

    def applied(x, *, body):
        """The body applied once."""

    def declare():
        return Structural(
            applied,
            value=lambda x, body: run(body, [x])[0],
            batch=None,
            type=lambda op, x, body: body.output_types[0],
        )

    with checkers.declared(declare) as op:
        graph = graph_of(lambda x: op(x, body=body), (3,))
        made = optimise(graph)
        inner = dict(made.graph.entries[made.graph.outputs[0]][2])["body"]
        assert len(inner) < len(body)
        assert any(r.stage == "optimise bodies of %1" for r in made.log)
        assert bodies_are_optimised(made.graph)


def unstable_softmax(x):
    powers = TABLE["exp"](x)
    total = TABLE["reduce_sum"](powers, axes=(1,))
    return TABLE["log"](powers / TABLE["reshape"](total, shape=(2, 1)))


def test_stable_forms_before_derivatives():
    graph = graph_of(lambda x: TABLE["reduce_sum"](unstable_softmax(x), axes=(0, 1)), (2, 3))
    x = np.array([[1.0, 2000.0, -3000.0], [1.0, 2.0, 3.0]])
    plain = run(vjp_graph(graph, (0,), (0,), one=True), [x])
    assert np.isnan(plain[0])
    stable = stabilise(graph)
    value, cotangent = run(optimise(vjp_graph(stable.graph, (0,), (0,), one=True)).graph, [x])
    softmax = np.exp(x - x.max(1, keepdims=True))
    softmax /= softmax.sum(1, keepdims=True)
    shifted = x - x.max(1, keepdims=True)
    expected = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    np.testing.assert_allclose(value, expected.sum(), rtol=1e-12)
    np.testing.assert_allclose(cotangent, 1.0 - 3.0 * softmax, atol=1e-12)


def test_a_subtracted_maximum_gets_no_derivative():
    def loss(x):
        largest = TABLE["reshape"](TABLE["reduce_max"](x, axes=(1,)), shape=(2, 1))
        shifted = x - largest
        total = TABLE["reduce_sum"](TABLE["exp"](shifted), axes=(1,))
        log_softmax = shifted - TABLE["log"](TABLE["reshape"](total, shape=(2, 1)))
        return TABLE["reduce_sum"](log_softmax * x, axes=(0, 1))

    graph = graph_of(loss, (2, 3))
    x = np.array([[1.0, 2.0, -3.0], [1.0, 2.0, 3.0]])
    plain = vjp_graph(graph, (0,), (0,), one=True)
    made = stabilise(graph)
    assert made.counts()["shift-of-log-softmax"] == 1
    assert run(made.graph, [x]) == run(graph, [x])
    better = vjp_graph(made.graph, (0,), (0,), one=True)
    assert len(optimise(better).graph) < len(optimise(plain).graph)
    np.testing.assert_allclose(run(better, [x])[1], run(plain, [x])[1], atol=1e-14)


def test_stabilise_keeps_stop_gradient_and_calls():
    graph = graph_of(lambda x: TABLE["stop_gradient"](x) * TABLE["log"](x + 1.0), (3,))
    made = stabilise(graph).graph
    assert [e[0].name for e in made.entries if e[1]] == ["stop_gradient", "log1p", "multiply"]


@pytest.mark.parametrize("seed", range(40))
def test_networks_of_contractions(seed):
    rng = np.random.default_rng([seed, 7])
    graph = programs.random_network(rng, int(rng.integers(3, 10)))
    made = optimise(graph).graph.verify()
    assert in_order(made)
    assert graph_cost(made).flops <= graph_cost(graph).flops
    args = programs.inputs(rng, graph)
    expected, found = run(graph, args)[0], run(made, args)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def chain(count):
    def f(x, y):
        for k in range(count):
            x = TABLE["sin"](x * 2.0 + y) if k % 3 else -(x + y)
        return x

    return graph_of(f, (3,), (3,))


def test_deep_graphs_need_no_recursion_and_linear_time():
    counts = []
    for count in (1_000, 4_000):
        graph = chain(count)
        made = []
        counts.append(calls(lambda graph=graph, made=made: made.append(optimise(graph))))
        assert len(made[0].graph) <= len(graph)
    assert counts[1] < 5 * counts[0]


def test_alternating_moves_along_a_deep_graph():
    def f(x):
        for _ in range(3000):
            x = TABLE["transpose"](TABLE["sin"](x), axes=(1, 0))
        return x

    made = optimise(graph_of(f, (3, 4))).graph
    assert len(made) == 3001


def test_rounds_are_bounded_and_few():
    graph = chain(300)
    first = optimise(graph)
    assert isinstance(first, Optimised)
    assert isinstance(first.graph, Graph)
    assert MOST_ROUNDS <= 10


def test_nothing_is_modified():
    graph = chain(20)
    text, constants = str(graph), dict(graph.constants)
    optimise(graph)
    assert str(graph) == text
    assert dict(graph.constants) == constants
    assert all(e[0] is not CONSTANT or not e[1] for e in graph.entries)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_known_of_settled_entries_changes_nothing(monkeypatch, seed):
    """Every entry is looked at in every pass, or only those of which something may have changed."""
    choices = np.random.default_rng(seed).permutation(7)

    def f(x, w, b):
        y = x
        for choice in choices:
            y = [
                lambda y: np.maximum(y @ w + b, 0.0) * 1.0,
                lambda y: y - np.max(y, axis=1, keepdims=True),
                lambda y: np.exp(y) / np.sum(np.exp(y), axis=1, keepdims=True),
                lambda y: (y + 0.0) * (y * 2.0) / 2.0,
                lambda y: np.log(1.0 + np.exp(y)) + np.reshape(y, y.shape),
                lambda y: (y @ w) @ (w.T @ w),
                lambda y: y.T.T[:, ::-1] + np.broadcast_to(b, y.shape),
            ][choice](y)
        return np.mean(y * y)

    arrays = np.zeros((3, 4)), np.zeros((4, 4)), np.zeros(4)
    graph = wg.compile(wg.value_and_grad(f, argnums=(0, 1, 2))).graph(*arrays)
    found = optimise(graph)
    calls = []
    keep = Builder.keep

    def looked_at(self, op, operands, params, type_, more):
        calls.append(keep)
        return self.emit(op, operands, params)

    monkeypatch.setattr(Builder, "keep", looked_at)
    wanted = optimise(graph)
    assert calls
    assert found.graph == wanted.graph
    assert found.log == wanted.log
