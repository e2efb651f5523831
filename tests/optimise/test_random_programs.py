"""Random programs of all operators: optimised graphs and their derivatives agree with the given."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings
from tests.ops import checkers
from tests.strategies import programs

from wengert.optimise import optimise, stabilise
from wengert.run import run
from wengert.transform.graphs import jvp_graph, vjp_graph

EFFORT = 30 if os.environ.get("HYPOTHESIS_PROFILE") == "explore" else 1
relaxed = settings(max_examples=60 * EFFORT, suppress_health_check=list(HealthCheck))


def assert_agrees(graph, args, made, what):
    made.verify()
    assert made.input_types == graph.input_types
    assert made.output_types == graph.output_types
    expected, found = run(graph, args), run(made, args)
    scale = max(checkers.largest(expected), 1.0)
    slack = 1e5 * checkers.precision(graph)
    for a, b in zip(found, expected, strict=True):
        checkers.close(a, b, slack, what, scale=scale)


@given(programs(most_steps=20))
@relaxed
def test_values_agree(program):
    graph, args = program
    assert_agrees(graph, args, optimise(graph).graph, "optimised")
    assert_agrees(graph, args, optimise(graph, reassociate=False).graph, "exactly optimised")
    assert_agrees(graph, args, stabilise(graph).graph, "stabilised")


@given(programs())
@relaxed
def test_derivatives_agree(program):
    graph, args = program
    wrt, outs = checkers.float_inputs(graph), checkers.float_outputs(graph)
    if not wrt or not outs:
        return
    rng = checkers.seeded("derivatives", len(graph))
    y_bar = checkers.draw(rng, [graph.output_types[k] for k in outs])
    x_dot = checkers.draw(rng, [graph.input_types[k] for k in wrt])
    reverse, forward = vjp_graph(graph, wrt, outs), jvp_graph(graph, wrt)
    assert_agrees(reverse, [*args, *y_bar], optimise(reverse).graph, "reverse")
    assert_agrees(forward, [*args, *x_dot], optimise(forward).graph, "forward")
    stable = stabilise(graph).graph
    assert_agrees(reverse, [*args, *y_bar], vjp_graph(stable, wrt, outs), "stable, then reverse")


@given(programs())
@relaxed
def test_optimising_twice_changes_nothing(program):
    graph, _ = program
    made = optimise(graph).graph
    assert optimise(made).graph == made
