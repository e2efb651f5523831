"""Random programs: all ways to run and to differentiate them must agree.

`HYPOTHESIS_PROFILE=explore` looks for new counterexamples; the usual run repeats the same ones.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, event, given, settings
from tests.ops import checkers
from tests.strategies import programs, sources

import wengert as wg
from wengert.errors import WengertError
from wengert.graph import CONSTANT, INPUT, Graph
from wengert.run import evaluate_entry, run
from wengert.transform.graphs import jvp_graph, linearize_graph, pullback_graph, vjp_graph

SLACK = 1e3
# How many times the examples of the usual run.
EFFORT = 30 if os.environ.get("HYPOTHESIS_PROFILE") == "explore" else 1

relaxed = settings(max_examples=60 * EFFORT, suppress_health_check=list(HealthCheck))


def wrt_and_outs(graph):
    return checkers.float_inputs(graph), checkers.float_outputs(graph)


# ---------------------------------------------------------------- graphs


@given(programs())
@relaxed
def test_the_interpreter_equals_evaluation_entry_by_entry(program):
    graph, args = program
    checkers.types(graph, args)
    env = dict(zip(graph.inputs, args, strict=True))
    with np.errstate(all="ignore"):
        for i, (op, operands, params, _) in enumerate(graph.entries):
            if op is CONSTANT:
                env[i] = graph.constants[i]
            elif op is not INPUT:
                env[i] = evaluate_entry(op, [env[k] for k in operands], params)
    before = [np.copy(a) for a in args]
    for found, k in zip(run(graph, args), graph.outputs, strict=True):
        checkers.close(found, env[k], 0.0, "interpreter")
    for a, b in zip(args, before, strict=True):
        checkers.close(a, b, 0.0, "an argument was modified")


@given(programs())
@relaxed
def test_forward_and_reverse_mode_agree_with_central_differences(program):
    graph, args = program
    rng = checkers.seeded("first", len(graph))
    checkers.central_differences(graph, args, rng, "jvp", slack=SLACK)
    checkers.adjoint(graph, args, rng, "vjp", slack=SLACK)


@given(programs())
@relaxed
def test_the_two_part_forms_equal_the_whole_ones(program):
    graph, args = program
    wrt, outs = wrt_and_outs(graph)
    rng = checkers.seeded("parts", len(graph))
    x_dot = checkers.draw(rng, [graph.input_types[k] for k in wrt])
    y_bar = checkers.draw(rng, [graph.output_types[k] for k in outs])
    n = len(graph.outputs)
    for parts, whole, seeds in (
        (linearize_graph(graph, wrt), jvp_graph(graph, wrt), x_dot),
        (pullback_graph(graph, wrt, outs), vjp_graph(graph, wrt, outs), y_bar),
    ):
        parts.early.verify()
        parts.late.verify()
        early = run(parts.early, args)
        found = [*early[:n], *run(parts.late, [*early[n:], *seeds])]
        for a, b in zip(found, run(whole, [*args, *seeds]), strict=True):
            checkers.close(a, b, 1e-12, "two parts", scale=checkers.largest([b]))


@given(programs(most_steps=7))
@relaxed
def test_batching_equals_a_loop(program):
    graph, args = program
    checkers.batching(graph, args)


@given(programs(most_steps=7))
@relaxed
def test_batching_derivatives_equals_a_loop(program):
    graph, args = program
    wrt, outs = wrt_and_outs(graph)
    rng = checkers.seeded("batched derivatives", len(graph))
    y_bar = checkers.draw(rng, [graph.output_types[k] for k in outs])
    if len(args) + len(y_bar) <= 4:
        checkers.batching(vjp_graph(graph, wrt, outs), [*args, *y_bar], "vjp")
    x_dot = checkers.draw(rng, [graph.input_types[k] for k in wrt])
    if len(args) + len(x_dot) <= 4:
        checkers.batching(jvp_graph(graph, wrt), [*args, *x_dot], "jvp")


@given(programs())
@relaxed
def test_saving_and_loading_keeps_graph_and_gradient(program):
    graph, args = program
    wrt, outs = wrt_and_outs(graph)
    derivative = vjp_graph(graph, wrt, outs)
    seeds = [np.ones(graph.output_types[k].shape) for k in outs]
    with tempfile.TemporaryDirectory() as folder:
        for g, given_ in ((graph, args), (derivative, [*args, *seeds])):
            path = Path(folder) / "graph.npz"
            g.save(path)
            loaded = Graph.load(path)
            assert loaded == g
            assert str(loaded) == str(g)
            for a, b in zip(run(loaded, given_), run(g, given_), strict=True):
                checkers.close(a, b, 0.0, "from a file")


@given(programs(most_steps=8))
@relaxed
def test_the_nestings_of_two_modes_give_one_hessian(program):
    """H v by forward over reverse, reverse over forward and reverse over reverse; u'Hv = v'Hu."""
    graph, args = program
    wrt, outs = wrt_and_outs(graph)
    types = [graph.input_types[k] for k in wrt]
    rng = checkers.seeded("hessian", len(graph))
    weights = checkers.draw(rng, [graph.output_types[k] for k in outs])
    v, u = checkers.draw(rng, types), checkers.draw(rng, types)
    n, m, outputs = len(args), len(wrt), len(graph.outputs)

    reverse = vjp_graph(graph, wrt, outs)  # inputs: args, weights
    over = jvp_graph(reverse, wrt)
    forward_reverse = run(over, [*args, *weights, *v])[outputs + m :]
    # Tangents of the float outputs of `reverse`: of the values, then of the gradients.
    forward_reverse = forward_reverse[len(forward_reverse) - m :]

    forward = jvp_graph(graph, wrt)  # inputs: args, v
    tangents = tuple(range(outputs, len(forward.outputs)))
    reverse_forward = run(vjp_graph(forward, wrt, tangents), [*args, *v, *weights])
    reverse_forward = reverse_forward[len(forward.outputs) :]

    gradients = tuple(range(outputs, outputs + m))
    twice = vjp_graph(reverse, wrt, gradients)
    reverse_reverse = run(twice, [*args, *weights, *v])[outputs + m :]
    assert n == len(graph.inputs)
    size = checkers.largest([*forward_reverse, *reverse_forward, *reverse_reverse, 1.0])
    for a, b, c in zip(forward_reverse, reverse_forward, reverse_reverse, strict=True):
        checkers.close(b, a, 1e-9, "reverse over forward", scale=size)
        checkers.close(c, a, 1e-9, "reverse over reverse", scale=size)
    other = run(over, [*args, *weights, *u])[-m:]
    left = sum(float(np.sum(a * b)) for a, b in zip(u, forward_reverse, strict=True))
    right = sum(float(np.sum(a * b)) for a, b in zip(v, other, strict=True))
    assert abs(left - right) <= 1e-8 * max(size, abs(left)) * 60


@given(programs(most_steps=6))
@settings(relaxed, max_examples=40 * EFFORT)
def test_second_derivatives_agree_with_central_differences(program):
    graph, args = program
    wrt, outs = wrt_and_outs(graph)
    rng = checkers.seeded("second", len(graph))
    y_bar = checkers.draw(rng, [graph.output_types[k] for k in outs])
    reverse = vjp_graph(graph, wrt, outs)
    checkers.central_differences(reverse, [*args, *y_bar], rng, "jvp of vjp", slack=1e4)
    checkers.adjoint(reverse, [*args, *y_bar], rng, "vjp of vjp", slack=1e4)


@given(programs(most_steps=8))
@relaxed
def test_tracing_a_graph_again_through_the_public_functions_gives_its_derivatives(program):
    graph, args = program
    wrt, outs = wrt_and_outs(graph)
    from wengert.transform.inline import apply_graph

    def f(*xs):
        return tuple(apply_graph(graph, xs))

    y_bar = checkers.draw(checkers.seeded("public"), [graph.output_types[k] for k in outs])
    value, pullback = wg.vjp(f, *args)
    expected = run(vjp_graph(graph, wrt, outs), [*args, *y_bar])
    for a, b in zip([*value, *pullback(tuple(y_bar))], expected, strict=True):
        checkers.close(a, b, 1e-12, "vjp", scale=checkers.largest([b]))


# ---------------------------------------------------------------- Python programs


def on_numpy(source):
    """What NumPy makes of the program, or the exception."""
    try:
        with np.errstate(all="ignore"):
            return source.function()(source.x.copy(), source.m.copy())
    except (ValueError, IndexError, TypeError) as error:
        return error


def differences(source, direction):
    """Central differences along a direction with two steps; None where they disagree (a kink)."""
    x_dot, m_dot = direction
    found = []
    for step in (1e-5, 2.5e-6):
        with np.errstate(all="ignore"):
            above = source.function()(source.x + step * x_dot, source.m + step * m_dot)
            below = source.function()(source.x - step * x_dot, source.m - step * m_dot)
        found.append((above - below) / (2 * step))
    coarse, fine = found
    close = abs(coarse - fine) <= 1e-5 * max(1.0, abs(coarse))
    return fine if np.isfinite(fine) and close else None


@given(sources())
@settings(relaxed, max_examples=300 * EFFORT)
def test_a_python_program_has_numpys_value_and_the_right_gradient_or_an_error(source):
    expected = on_numpy(source)
    before = source.x.copy(), source.m.copy()
    try:
        value, (x_bar, m_bar) = wg.value_and_grad(source.function(), argnums=(0, 1))(
            source.x, source.m
        )
    except (WengertError, ValueError, IndexError, TypeError) as error:
        # What NumPy allows and we don't: assignments whose meaning is uncertain, missing functions.
        refused = isinstance(error, wg.errors.MutationError) or "is not available" in str(error)
        event(f"error: {type(error).__name__}")
        if refused or isinstance(expected, Exception):
            return
        raise
    assert not isinstance(expected, Exception), f"NumPy raises {expected!r}"
    event("gradient")
    assert np.array_equal(source.x, before[0]), "an argument was modified"
    assert np.array_equal(source.m, before[1]), "an argument was modified"
    assert np.array_equal(value, expected, equal_nan=True)
    rng = checkers.seeded(source.text)
    direction = rng.standard_normal(5), rng.standard_normal((2, 3))
    slope = differences(source, direction)
    if slope is None:
        event("not smooth")
        return
    along = np.sum(x_bar * direction[0]) + np.sum(m_bar * direction[1])
    scale = np.abs(x_bar * direction[0]).sum() + np.abs(m_bar * direction[1]).sum()
    assert abs(along - slope) <= 1e-4 * max(1.0, scale, abs(expected) * 1e-2)
    _, tangent = wg.jvp(source.function(), (source.x, source.m), direction)
    assert abs(tangent - along) <= 1e-9 * max(1.0, scale)


@given(sources(most=6))
@relaxed
def test_second_derivatives_of_python_programs_agree_in_all_nestings(source):
    if isinstance(on_numpy(source), Exception):
        return
    f = source.function()
    primals = source.x, source.m
    rng = checkers.seeded(source.text)
    direction = rng.standard_normal(5), rng.standard_normal((2, 3))

    def gradient(x, m):
        return wg.grad(f, argnums=(0, 1))(x, m)

    def along(x, m):
        return wg.jvp(f, (x, m), direction)[1]

    def slope(x, m):
        x_bar, m_bar = gradient(x, m)
        return np.sum(x_bar * direction[0]) + np.sum(m_bar * direction[1])

    try:
        _, forward_reverse = wg.jvp(gradient, primals, direction)
    except wg.errors.WengertError:
        return
    reverse_forward = wg.grad(along, argnums=(0, 1))(*primals)
    reverse_reverse = wg.grad(slope, argnums=(0, 1))(*primals)
    size = checkers.largest([*forward_reverse, 1.0])
    for a, b, c in zip(forward_reverse, reverse_forward, reverse_reverse, strict=True):
        checkers.close(b, a, 1e-9, "reverse over forward", scale=size)
        checkers.close(c, a, 1e-9, "reverse over reverse", scale=size)
