"""Orders of accumulation: all give the Jacobian, and each costs what it says."""

import itertools
import random

import numpy as np
import optree
import pytest
from benchmarks.jacobian_programs import programs as standard_set
from hypothesis import HealthCheck, given, settings
from tests.ops import checkers
from tests.strategies import programs

import wengert as wg
import wengert.numpy as wnp
from wengert.capture import capture
from wengert.errors import ArgumentError, DerivativeError
from wengert.transform.elimination import (
    ORDERS,
    Chain,
    choose,
    element_counts,
    elements_of,
    has_elements,
)
from wengert.transform.elimination.orders import best_order, markowitz, optimal
from wengert.transform.elimination.skeleton import Skeleton
from wengert.transform.inline import apply_graph

STANDARD = standard_set()
#: Orders that take no exhaustive search.
QUICK = [name for name in ORDERS if name != "optimal"]


def same(found, expected, tolerance=1e-10):
    found, expected = optree.tree_leaves(found), optree.tree_leaves(expected)
    size = checkers.largest([*expected, 1.0])
    for a, b in zip(found, expected, strict=True):
        assert np.shape(a) == np.shape(b)
        assert np.asarray(a).dtype == np.asarray(b).dtype
        checkers.close(a, b, tolerance, "jacobian", scale=size)


def graph_of(f, *args):
    captured = capture(f, args, {}, traced=range(len(args)), purpose="test", floats_only=True)
    return captured.graph, tuple(range(len(args))), tuple(range(captured.out_count))


# ---------------------------------------------------------------- the same Jacobian


@given(programs(most_steps=8))
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_every_order_gives_the_jacobian_of_random_graphs(program):
    graph, args = program
    argnums = checkers.float_inputs(graph)

    def f(*xs):
        return tuple(apply_graph(graph, xs))

    expected = wg.jacobian(f, argnums, mode="forward")(*args)
    same(wg.jacobian(f, argnums, mode="reverse")(*args), expected)
    same(wg.jacobian(f, argnums, mode="chain")(*args), expected)
    same(wg.jacobian(f, argnums)(*args), expected)
    whole, wrt, outs = graph_of(f, *args)
    if has_elements(whole, wrt, outs):
        for order in ("forward", "reverse", "markowitz"):
            found = wg.jacobian(f, argnums, mode="elimination", order=order)(*args)
            same(found, expected)


@pytest.mark.parametrize("name", STANDARD)
def test_every_order_gives_the_jacobian_of_the_standard_set(name):
    f, args, argnums = STANDARD[name]
    expected = wg.jacobian(f, argnums, mode="forward")(*args)
    for order in QUICK:
        same(wg.jacobian(f, argnums, mode="elimination", order=order)(*args), expected)
    same(wg.jacobian(f, argnums, mode="chain")(*args), expected)
    same(wg.compile(wg.jacobian(f, argnums))(*args), expected)


@pytest.mark.parametrize("order", QUICK)
def test_a_branch_that_was_not_taken_does_not_poison_any_order(order):
    def f(x):
        return np.where(x > 0, np.sqrt(np.abs(x)), 0.0) * x[1]

    x = np.array([1.0, 2.0, 0.0])
    found = wg.jacobian(f, mode="elimination", order=order)(x)
    expected = [[1.0, 1.0, 0.0], [0.0, 1.5 * np.sqrt(2.0), 0.0], [0.0, 0.0, 0.0]]
    same(found, np.array(expected))


def test_trees_aux_and_several_arguments():
    def f(p, x):
        return {"a": p["w"] @ x, "b": np.sum(x) * p["s"]}, x

    args = {"w": np.arange(6.0).reshape(2, 3), "s": 2.0}, np.array([1.0, -1.0, 0.5])
    expected, _ = wg.jacobian(f, (0, 1), mode="forward", has_aux=True)(*args)
    for mode in ("auto", "chain", "elimination"):
        found, aux = wg.jacobian(f, (0, 1), mode=mode, has_aux=True)(*args)
        same(found, expected)
        assert np.array_equal(aux, args[1])
        assert found["a"][0]["w"].shape == (2, 2, 3)


@pytest.mark.parametrize("mode", ["auto", "chain", "elimination"])
def test_results_that_do_not_depend_on_the_argument(mode):
    x = np.array([1.0, 2.0])
    same(wg.jacobian(lambda x: np.ones(3), mode=mode)(x), np.zeros((3, 2)))
    same(wg.jacobian(lambda x: (x, x, x[0]), mode=mode)(x), (np.eye(2), np.eye(2), np.eye(2)[0]))
    found = wg.jacobian(lambda x, y: np.sin(x), argnums=(0, 1), mode=mode)(x, np.float64(3.0))
    same(found, (np.diag(np.cos(x)), np.zeros(2)))


@pytest.mark.parametrize("mode", ["auto", "chain", "elimination"])
def test_single_precision_stays_single(mode):
    x = np.array([0.5, 2.0], np.float32)
    f = wg.jacobian(lambda x: np.sin(x) * x[0] + np.where(x > 1, x, 2 * x), mode=mode)
    expected = wg.jacobian(lambda x: np.sin(x) * x[0] + np.where(x > 1, x, 2 * x), mode="forward")
    same(f(x), expected(x), 1e-6)


@pytest.mark.parametrize("mode", ["auto", "chain", "elimination"])
def test_modes_nest_batch_and_compile(mode):
    def f(x):
        return wnp.array([np.sin(x[0]) * x[1], np.exp(x[0] * x[1]), x[1] ** 3])

    x = np.array([0.3, 0.7])
    expected = wg.jacobian(wg.jacobian(f, mode="forward"), mode="forward")(x)
    same(wg.jacobian(wg.jacobian(f, mode=mode), mode=mode)(x), expected)
    same(wg.compile(wg.jacobian(wg.jacobian(f, mode=mode), mode=mode))(x), expected)
    batch = np.stack([x, 2 * x, -x])
    first = wg.jacobian(f, mode="forward")
    many = np.stack([first(row) for row in batch])
    same(wg.vmap(wg.jacobian(f, mode=mode))(batch), many)
    same(wg.compile(wg.vmap(wg.jacobian(f, mode=mode)))(batch), many)
    along = wg.jvp(wg.jacobian(f, mode=mode), (x,), (np.array([1.0, 0.0]),))[1]
    same(along, expected[..., 0])
    gradient = wg.grad(lambda x: np.sum(wg.jacobian(f, mode=mode)(x)))(x)
    same(gradient, np.sum(expected, (0, 1)))


@pytest.mark.parametrize("mode", ["auto", "elimination"])
def test_a_hessian_is_the_jacobian_of_a_gradient(mode):
    def f(x):
        return x[0] ** 2 * np.exp(x[1]) + np.tanh(x[2] * x[0])

    x = np.array([0.4, -0.3, 1.2])
    same(wg.jacobian(wg.grad(f), mode=mode)(x), wg.hessian(f)(x))


def test_python_branches_may_ask_for_values_before_the_order_is_chosen():
    def f(x):
        return x * x if x[0] > 0 else -x

    for mode in ("auto", "chain", "elimination"):
        same(wg.jacobian(f, mode=mode)(np.array([2.0, 3.0])), np.diag([4.0, 6.0]))


# ---------------------------------------------------------------- counts


def layers(*sizes):
    """The graph of a product of dense Jacobians, all partials different from ±1."""
    starts = np.cumsum([0, *sizes])
    edges = [
        (int(a), int(b), False)
        for n in range(len(sizes) - 1)
        for a in range(starts[n], starts[n + 1])
        for b in range(starts[n + 1], starts[n + 2])
    ]
    total = int(starts[-1])
    return Skeleton(total, edges, range(sizes[0]), range(total - sizes[-1], total))


def dense_random(seed, inner):
    rng = random.Random(seed)
    n = inner + 4
    edges = [
        (i, k, rng.random() < 0.3)
        for k in range(2, n)
        for i in range(min(k, n - 2))
        if rng.random() < 0.5
    ]
    return Skeleton(n, edges, [0, 1], [n - 2, n - 1])


def test_a_chain_of_numbers_costs_one_product_per_inner_vertex():
    chain = layers(1, 1, 1, 1, 1)
    for rule in ORDERS.values():
        assert chain.multiplications(rule(chain)) == 3


def test_each_vertex_costs_its_in_degree_times_its_out_degree():
    # Two inputs, one vertex, three outputs: 2 · 3; the second graph adds a vertex below the first.
    assert layers(2, 1, 3).multiplications([2]) == 6
    graph = layers(2, 1, 1, 3)
    assert graph.multiplications([2, 3]) == 2 * 1 + 2 * 3
    assert graph.multiplications([3, 2]) == 1 * 3 + 2 * 3


def test_dense_layers_cost_what_matrix_products_cost():
    a, b, c, d = 3, 5, 2, 4
    graph = layers(a, b, c, d)
    forward = graph.multiplications(ORDERS["forward"](graph))
    reverse = graph.multiplications(ORDERS["reverse"](graph))
    assert forward == a * b * c + a * c * d
    assert reverse == b * c * d + a * b * d
    assert graph.multiplications(best_order(graph)) == min(forward, reverse)


def test_a_bottleneck_is_cut_between():
    # 6-5-1-5-6: both halves first, then the product of a column and a row.
    graph = layers(6, 5, 1, 5, 6)
    assert graph.multiplications(best_order(graph)) == 6 * 5 + 5 * 6 + 6 * 6
    assert graph.multiplications(markowitz(graph)) == 6 * 5 + 5 * 6 + 6 * 6


def test_products_with_units_are_free_unless_all_are_counted():
    # x -> u = 2·x -> v = u + c -> y = v·v
    graph = Skeleton(4, [(0, 1, False), (1, 2, True), (2, 3, False)], [0], [3])
    assert graph.multiplications([1, 2]) == 1
    assert graph.multiplications([1, 2], every=True) == 2
    # Two paths of units join: their sum is no unit any more.
    graph = Skeleton(4, [(0, 1, True), (0, 2, True), (1, 2, True), (2, 3, False)], [0], [3])
    assert graph.multiplications([1, 2]) == 1


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_the_optimum_is_that_of_all_permutations(seed, every):
    graph = dense_random(seed, 5)
    costs = [
        graph.multiplications(order, every=every) for order in itertools.permutations(graph.inner)
    ]
    assert graph.multiplications(optimal(graph, every=every), every=every) == min(costs)


@pytest.mark.parametrize("seed", range(6))
def test_the_search_reaches_the_optimum_of_small_graphs(seed):
    graph = dense_random(seed, 12)
    least = graph.multiplications(optimal(graph))
    greedy = [graph.multiplications(ORDERS[n](graph)) for n in ("forward", "reverse", "markowitz")]
    assert least <= graph.multiplications(best_order(graph)) <= min(greedy)
    assert graph.multiplications(best_order(graph)) <= 1.05 * least
    assert best_order(graph) == best_order(graph)


@pytest.mark.parametrize("name", STANDARD)
def test_best_is_at_most_every_heuristic_and_auto_at_most_forward_and_reverse(name):
    f, args, argnums = STANDARD[name]
    captured = capture(f, args, {}, traced=argnums, purpose="test", floats_only=True)
    wrt, outs = tuple(range(len(argnums))), tuple(range(captured.out_count))
    counts = element_counts(captured.graph, wrt, outs, *QUICK)
    assert counts["best"] == min(counts.values())
    for setting in ("numpy", "compiled", "batched"):
        choice = choose(captured.graph, wrt, outs, setting)
        sweeps = [c for c in choice.candidates if c.mode in ("forward", "reverse")]
        assert choice.chosen.multiplications <= min(c.multiplications for c in sweeps)


def test_counting_all_products_best_is_at_most_every_heuristic():
    f, args, _ = STANDARD["propane combustion"]
    counts = element_counts(*graph_of(f, *args), *QUICK, every=True)
    assert counts["best"] == min(counts.values())


@given(programs(most_steps=8))
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_auto_is_never_worse_than_forward_and_reverse(program):
    graph, _ = program
    wrt, outs = checkers.float_inputs(graph), checkers.float_outputs(graph)
    for setting in ("numpy", "compiled", "batched"):
        choice = choose(graph, wrt, outs, setting)
        sweeps = [c for c in choice.candidates if c.mode in ("forward", "reverse")]
        assert choice.chosen.multiplications <= min(c.multiplications for c in sweeps)


def test_the_counted_multiplications_are_those_of_the_compiled_graph():
    # Partials that need no arithmetic of their own: what remains are the counted products.
    def f(a, b, c, d):
        u = a * b
        v = u * c
        return v * d, v * a

    args = (2.0, 3.0, 5.0, 7.0)
    graph, wrt, outs = graph_of(f, *args)
    counts = element_counts(graph, wrt, outs, "forward", "reverse")
    for order, count in counts.items():
        made = wg.trace(wg.jacobian(f, (0, 1, 2, 3), "elimination", order=order), *args)
        live = made.live()
        products = sum(live[n.number] and n.op.name == "multiply" for n in made.nodes)
        primal = 2
        assert products == count + primal


def test_elements_that_only_move_make_no_vertices():
    def f(x):
        return np.sin(np.concatenate([x[::-1], x.reshape(2, 2).T.ravel()]))

    elements = elements_of(*graph_of(f, np.arange(4.0)))
    assert len(elements.skeleton.inner) == 0
    assert elements.skeleton.edges == 8


# ---------------------------------------------------------------- chains


def wide_narrow_wide(x, a, b):
    return np.tanh(b @ np.tanh(a @ np.tanh(x)))


def test_a_program_is_cut_at_its_bottleneck():
    rng = np.random.default_rng(0)
    x, a, b = rng.standard_normal(40), rng.standard_normal((2, 40)), rng.standard_normal((40, 2))
    captured = capture(
        wide_narrow_wide, (x, a, b), {}, traced=(0,), purpose="test", floats_only=True
    )
    chain = Chain(captured.graph, (0,), (0,))
    sweep = 40 * (40 + 80 + 2 + 80 + 40)
    assert chain.forward == chain.reverse == sweep
    # Down to the bottleneck 2 cotangents, from there 2 tangents, and a product 40 · 2 · 40; or,
    # cheaper, the matrix of the first half is pushed through the second by its 40 columns.
    assert chain.cost <= 2 * (40 + 80) + 2 * (2 + 80 + 40) + 40 * 2 * 40
    assert choose(captured.graph, (0,), (0,), "compiled").chosen.mode == "chain"
    expected = wg.jacobian(wide_narrow_wide, mode="forward")(x, a, b)
    same(wg.jacobian(wide_narrow_wide)(x, a, b), expected)


def test_chains_go_through_loops():
    def f(x):
        h = wg.fori_loop(0, 3, lambda i, h: np.tanh(h * 1.5), x[:3] * x[3:6])
        return np.outer(h[:2], x[:3]).ravel() * h[0]

    x = np.linspace(0.1, 1.0, 6)
    same(wg.jacobian(f, mode="chain")(x), wg.jacobian(f, mode="forward")(x))


def test_a_rule_for_reverse_mode_alone_is_not_pushed_through_unasked():
    @wg.custom_vjp
    def clipped(x):
        return x * 1.0

    # Not linear in the cotangent: there is no forward mode.
    clipped.defvjp(lambda x: (x * 1.0, x), lambda x, ct: (np.clip(ct, -0.5, 0.5) * x,))

    narrow, wide = np.ones((2, 40)), np.ones((30, 2))

    def f(x):
        return clipped(wide @ np.tanh(narrow @ np.sin(x)))

    x = np.linspace(0.1, 1.0, 40)
    with pytest.raises(DerivativeError, match="forward mode needs a custom_vjp rule"):
        wg.jacobian(f, mode="chain")(x)
    same(wg.jacobian(f)(x), wg.jacobian(f, mode="reverse")(x))


# ---------------------------------------------------------------- errors


def test_errors_say_what_may_be_asked_for():
    with pytest.raises(ArgumentError, match=r"mode must be one of .*'elimination'.*not 'sideways'"):
        wg.jacobian(np.sin, mode="sideways")
    with pytest.raises(ArgumentError, match=r"order must be one of .*'markowitz'.*not 'random'"):
        wg.jacobian(np.sin, mode="elimination", order="random")
    with pytest.raises(ArgumentError, match="mode='reverse' takes no order"):
        wg.jacobian(np.sin, mode="reverse", order="markowitz")
    with pytest.raises(ArgumentError, match="takes a program apart into its numbers"):
        wg.jacobian(np.sin, mode="elimination")(np.ones(10_000))
    f, args, argnums = STANDARD["Roe flux, 3 dimensions"]
    with pytest.raises(ArgumentError, match="are too many"):
        wg.jacobian(f, argnums, mode="elimination", order="optimal")(*args)
