"""Control flow under every transformation: closures, NaN of branches not taken, and costs."""

import numpy as np
import pytest
from tests.ops import checkers
from tests.work import calls

import wengert as wg
import wengert.numpy as wnp
from wengert.graph import Graph
from wengert.ops import TABLE
from wengert.transform.control import cond, fori_loop, scan, while_loop
from wengert.transform.graphs import pullback_graph, vjp_graph

# ---------------------------------------------------------------- closures


def loops(x, w):
    """Reads x and w by closure in every kind of body."""
    c, ys = scan(lambda c, t: (np.tanh(c * w + x * t), c), x, np.arange(3.0))
    c = fori_loop(0, 2, lambda i, c: c + i * w * x, c)
    c = while_loop(lambda c: c < 2.0 + 0.0 * x, lambda c: c * 1.5 + w * w, c + 0.5)
    return cond(x > 0.0, lambda: c * np.sin(x), lambda: c * w) + np.sum(ys)


@pytest.mark.parametrize("x", [0.4, -0.4])
def test_derivatives_by_what_bodies_close_over(x):
    wg.check_grads(loops, (x, 0.7), order=2)
    # Third order costs as many times more; one mixture of modes is enough.
    third = wg.grad(wg.grad(wg.grad(loops)))(x, 0.7)
    second = [wg.hessian(loops)(x + h, 0.7) for h in (1e-5, -1e-5)]
    np.testing.assert_allclose(third, (second[0] - second[1]) / 2e-5, rtol=1e-6)


def test_modes_mix_in_every_order():
    def along(f):
        return lambda x: wg.jvp(f, (x,), (1.0,))[1]

    def f(x):
        return loops(x, 0.7)

    values = [outer(inner(f))(0.4) for outer in (wg.grad, along) for inner in (wg.grad, along)]
    np.testing.assert_allclose(values, values[0], rtol=1e-12)
    batched = [
        wg.vmap(outer(inner(f)))(np.array([0.4, -0.4]))[0]
        for outer in (wg.grad, along)
        for inner in (wg.grad, along)
    ]
    np.testing.assert_allclose(batched, values[0], rtol=1e-12)


def test_linearize_and_vjp():
    value, push = wg.linearize(loops, 0.4, 0.7)
    other, pull = wg.vjp(loops, 0.4, 0.7)
    assert value == other
    np.testing.assert_allclose(push(1.0, 2.0), np.dot(pull(1.0), (1.0, 2.0)), rtol=1e-12)
    # Both can be called again.
    np.testing.assert_allclose(push(2.0, 4.0), 2.0 * push(1.0, 2.0), rtol=1e-12)
    np.testing.assert_allclose(pull(3.0), 3.0 * np.array(pull(1.0)), rtol=1e-12)


def test_jacobian_of_a_scan():
    def running(x):
        return scan(lambda c, x: (c * x, c * x), 1.0, x)[1]

    x = np.array([1.5, 2.0, 3.0])
    expected = np.tril(np.cumprod(x)[:, None] / x)
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(wg.jacobian(running, mode=mode)(x), expected)


def test_derivatives_taken_inside_a_body():
    def descend(x, rate):
        return fori_loop(0, 5, lambda i, v: v - rate * wg.grad(lambda u: (u - x) ** 2)(v), 0.0)

    shrunk = (1 - 2 * 0.1) ** 5
    np.testing.assert_allclose(descend(3.0, 0.1), 3.0 * (1 - shrunk))
    np.testing.assert_allclose(wg.grad(descend)(3.0, 0.1), 1 - shrunk)
    np.testing.assert_allclose(wg.grad(descend, argnums=1)(3.0, 0.1), 3.0 * 10 * (1 - 0.2) ** 4)


def test_custom_derivatives_inside_a_body():
    @wg.custom_jvp
    def twice(x):
        return 2.0 * x

    @twice.defjvp
    def _(primals, tangents):
        return twice(*primals), 3.0 * tangents[0]

    def f(x):
        return scan(lambda c, _: (twice(c), None), x, length=3)[0]

    assert f(1.0) == 8.0
    assert wg.grad(f)(1.0) == 27.0
    assert wg.jvp(f, (1.0,), (1.0,)) == (8.0, 27.0)


def test_vmap_inside_a_body():
    def f(w, xs):
        step = wg.vmap(lambda h, x: np.tanh(w * h + x))
        return np.sum(scan(lambda h, x: (step(h, x), None), np.zeros(2), xs)[0])

    xs = np.random.default_rng(0).normal(size=(3, 2))
    wg.check_grads(f, (0.7, xs), order=2)


def test_large_arrays_of_the_program_are_operands_not_constants_of_the_body():
    data = np.arange(1000.0)

    def f(x):
        return fori_loop(0, 3, lambda i, c: c + x * wnp.take(data, i), 0.0)

    (entry,) = [n for n in wg.trace(f, 1.0).nodes if n.op.name == "scan"]
    body = dict(entry.params)["body"]
    assert not body.constants
    assert any(t.shape == (1000,) for t in body.input_types)


def test_a_new_number_in_the_program_is_no_new_structure():
    def trained(rate):
        return wg.trace(lambda x: fori_loop(0, 3, lambda i, c: c - rate * c, x), 1.0)

    a, b = trained(0.1), trained(0.2)
    assert a.structure == b.structure
    assert hash(a) == hash(b)
    assert a != b


def test_lines_are_recorded_inside_bodies():
    graph = wg.trace(lambda x: fori_loop(0, 3, lambda i, c: np.sin(c), x), 1.0)
    (entry,) = [n for n in graph.nodes if n.op.name == "scan"]
    assert entry.line.startswith("test_control_modes.py:")
    assert set(dict(entry.params)["body"].lines.values()) == {entry.line}


# ---------------------------------------------------------------- branches that are not taken


def poisoned(x):
    # Safe at 0 only by the condition; a matrix product, so that no elementwise mask can help.
    def safe(x):
        return np.sum(np.array([[2.0, 1.0], [1.0, 3.0]]) @ np.log(np.stack([x, 2.0 * x])))

    return cond(x > 0.0, safe, lambda x: 0.5 * x, x)


def expected_derivative(x):
    return 7.0 / x if x > 0 else 0.5


POINTS = np.array([0.0, 2.0, -1.0, 0.5])


def test_only_the_chosen_branch_runs():
    def forever(x):
        return while_loop(lambda v: v < np.inf, lambda v: 0.0 * v, x)

    assert cond(True, lambda x: x, forever, 2.0) == 2.0
    assert wg.grad(lambda x: cond(x > 0.0, lambda: x * x, lambda: forever(x)))(2.0) == 4.0
    found = wg.vmap(lambda x: cond(x > 0.0, lambda: x * x, lambda: forever(x)))(
        np.array([1.0, 2.0])
    )
    np.testing.assert_array_equal(found, [1.0, 4.0])


@pytest.mark.parametrize("way", ["vmap of grad", "grad of vmap", "jvp of vmap", "vmap of jvp"])
def test_the_branch_not_taken_does_not_poison_a_batch(way):
    expected = [expected_derivative(x) for x in POINTS]
    ones = np.ones(len(POINTS))
    with np.errstate(all="raise"):
        if way == "vmap of grad":
            found = wg.vmap(wg.grad(poisoned))(POINTS)
        elif way == "grad of vmap":
            found = wg.grad(lambda x: np.sum(wg.vmap(poisoned)(x)))(POINTS)
        elif way == "jvp of vmap":
            found = wg.jvp(wg.vmap(poisoned), (POINTS,), (ones,))[1]
        else:
            found = wg.vmap(lambda x: wg.jvp(poisoned, (x,), (1.0,))[1])(POINTS)
    np.testing.assert_allclose(found, expected)


def test_nor_a_second_derivative_nor_what_the_examples_share():
    found = wg.vmap(wg.grad(wg.grad(poisoned)))(POINTS)
    np.testing.assert_allclose(found, [-7.0 / x**2 if x > 0 else 0.0 for x in POINTS])

    def total(w):
        return np.sum(wg.vmap(lambda x: poisoned(x * w))(POINTS))

    expected = sum(x * expected_derivative(x) for x in POINTS)
    np.testing.assert_allclose(wg.grad(total)(1.0), expected)
    wg.check_grads(total, (1.0,), order=2)


def test_finished_examples_of_a_loop_are_frozen():
    # At x = 0 another step would divide by zero; each example stops in time.
    def f(x):
        return while_loop(
            lambda s: s[0] > 0.5, lambda s: (s[0] - 1.0, s[1] + 1.0 / s[0]), (x, 0.0)
        )[1]

    x = np.array([1.0, 3.0, 0.25])
    np.testing.assert_allclose(wg.vmap(f)(x), [f(v) for v in x])
    expected = [-1.0, -(1 + 1 / 4 + 1 / 9), 0.0]
    np.testing.assert_allclose(wg.vmap(wg.grad(f))(x), expected)
    np.testing.assert_allclose(wg.grad(lambda x: np.sum(wg.vmap(f)(x)))(x), expected)


def test_a_loop_that_takes_no_step_reads_nothing():
    def f(w):
        return while_loop(lambda v: v > 1.0, lambda v: v * np.log(w), 0.5 + w)

    assert wg.grad(f)(0.0) == 1.0
    assert (
        wg.grad(lambda w: scan(lambda c, x: (c * np.log(w), None), w, np.zeros(0))[0])(0.0) == 1.0
    )


# ---------------------------------------------------------------- costs, by counting


def entries_named(graph, name):
    found, stack = [], [graph]
    while stack:
        for op, operands, params, type_ in (graph := stack.pop()).entries:
            if op.name == name:
                found.append((graph, operands, params, type_))
            stack += [v for _, v in params if isinstance(v, Graph)]
    return found


def test_reverse_mode_is_a_reverse_scan_over_stacked_residuals():
    def f(w, xs):
        return scan(lambda c, x: (np.tanh(c * w + x), None), 0.1, xs)[0]

    reverse = vjp_graph(wg.trace(f, 0.5, np.ones(50)), (0, 1), (0,))
    scans = [dict(params) for _, _, params, _ in entries_named(reverse, "scan")]
    assert [s["reverse"] for s in scans] == [False, False, True]
    assert scans[-1]["linear"]


def test_what_is_the_same_in_every_step_is_computed_and_kept_once():
    def f(w, xs):
        return scan(lambda c, x: (c * np.exp(w) + x, None), 0.0, xs)[0]

    graph = vjp_graph(wg.trace(f, 0.5, np.ones(50)), (1,), (0,))
    # The loop is linear in what is asked for: nothing is kept of its steps, and exp(w), which its
    # reverse needs, is computed outside it.
    scans = entries_named(graph, "scan")
    assert len(scans) == 2
    stacked = [
        t
        for _, operands, params, _ in scans[1:]
        if dict(params)["reverse"]
        for t in (graph.type(k) for k in operands)
        if t.shape[:1] == (50,)
    ]
    assert stacked == []
    assert "exp" in [n.op.name for n in graph.nodes]


def test_a_part_of_a_constant_costs_no_dense_array_per_step():
    def f(table, n):
        return scan(
            lambda c, i: (c * wnp.take(table, i) + wnp.take(table, i + 1), None), 1.0, np.arange(n)
        )[0]

    table = np.random.default_rng(0).normal(size=100)
    graph = vjp_graph(wg.trace(lambda t: f(t, 99), table), (0,), (0,))
    for name in ("scatter_sum", "scatter_add"):
        for where, *_ in entries_named(graph, name):
            assert where is graph, "scattered once, after the loop"
    for _, _, params, _ in entries_named(graph, "scan"):
        body = dict(params)["body"]
        written = [t for op, _, _, t in body.entries if op.name not in ("input", "constant")]
        assert max(t.size for t in written) == 1
    wg.check_grads(lambda t: f(t, 5), (table[:6],), order=2)


def test_slices_of_constants_are_summed_before_they_are_scattered():
    def f(table):
        return scan(
            lambda c, _: (c * np.sum(table[1:3]) + table[0] * np.sum(table**2), None), 0.5, length=3
        )[0]

    wg.check_grads(f, (np.array([0.3, 0.5, 0.7, 0.2]),), order=2)


def test_forward_mode_of_a_while_loop_keeps_no_history():
    import tracemalloc

    def f(x):
        return while_loop(
            lambda s: s[1] < 2000, lambda s: (np.sin(s[0]) + x, s[1] + 1), (np.zeros(100), 0)
        )[0]

    wg.jvp(f, (0.3,), (1.0,))
    tracemalloc.start()
    _, tangent = wg.jvp(f, (0.3,), (1.0,))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000 * 100 * 8 / 4
    second = wg.jvp(lambda x: wg.jvp(f, (x,), (1.0,))[1], (0.3,), (1.0,))[1]
    numeric = (wg.jvp(f, (0.3 + 1e-6,), (1.0,))[1] - wg.jvp(f, (0.3 - 1e-6,), (1.0,))[1]) / 2e-6
    np.testing.assert_allclose(second, numeric, rtol=1e-5)
    np.testing.assert_allclose(np.sum(tangent), wg.grad(lambda x: np.sum(f(x)))(0.3))


def with_for(x, n):
    def body(i, m):
        m[i] = m[i - 1] * 0.5
        return m

    return fori_loop(1, n, body, x)


def with_while(x, n):
    def body(state):
        m, i = state
        m[i] = m[i - 1] * 0.5
        return m, i + 1

    return while_loop(lambda state: state[1] < n, body, (x, 1))[0]


@pytest.mark.parametrize("f", [with_for, with_while])
def test_an_assignment_into_a_carry_copies_it_once(f):
    import tracemalloc

    x = np.ones(100_000)
    f(x, 3)
    copies = []
    evaluate = TABLE["assign"].evaluate

    def counting(*operands, **params):
        copies.append(operands)
        return evaluate(*operands, **params)

    tracemalloc.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TABLE["assign"], "evaluate", counting)
        found = f(x, 50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(copies) == 1
    assert peak < 4 * x.nbytes
    np.testing.assert_array_equal(found[:50], 0.5 ** np.arange(50))
    assert np.all(x == 1.0), "the argument is not modified"


@pytest.mark.slow
def test_a_hundred_thousand_steps_take_linear_time():
    def f(w, xs):
        return scan(lambda c, x: (np.tanh(c * w + x), None), 0.1, xs)[0]

    def work(n):
        xs = np.random.default_rng(0).normal(size=n)
        gradient = []
        count = calls(lambda: gradient.extend(wg.grad(f, argnums=(0, 1))(0.5, xs)))
        assert gradient[1].shape == (n,)
        return count

    work(100)
    assert work(100_000) < 110 * work(1000)


def test_vjp_keeps_the_loop_early_and_the_reverse_late():
    def f(xs):
        return scan(lambda c, x: (np.tanh(c + x), None), 0.1, xs)[0]

    parts = pullback_graph(wg.trace(f, np.ones(5)), (0,), (0,))
    (late,) = entries_named(parts.late, "scan")
    assert dict(late[2])["reverse"]
    assert "tanh" not in [op.name for op, *_ in dict(late[2])["body"].entries]


def test_an_unbatched_counter_stays_unbatched():
    def f(x):
        return while_loop(lambda s: s[1] < 3, lambda s: (s[0] * x, s[1] + 1), (1.0, 0))

    graph = wg.trace(wg.vmap(f), np.ones(4))
    (loop,) = entries_named(graph, "while_loop")
    assert [str(t) for t in dict(loop[2])["body"].output_types] == ["f64[4]", "i64[]"]
    value, count = wg.vmap(f)(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(value, [1.0, 8.0])
    np.testing.assert_array_equal(count, [3, 3])


def test_results_are_the_callers_own():
    x = np.ones(3)
    for y in (
        cond(True, lambda x: x, lambda x: -x, x),
        while_loop(lambda x: False, lambda x: x, x),
        scan(lambda c, _: (c, None), x, length=2)[0],
    ):
        assert not np.shares_memory(x, y)
        y[0] = 5.0
    assert x[0] == 1.0


def test_a_wrong_graph_file_is_refused(tmp_path):
    graph = wg.trace(lambda x: fori_loop(0, 3, lambda i, c: c * x, x), 1.0)
    entries = [
        (op, operands, tuple((k, 4 if k == "length" else v) for k, v in params), type_)
        for op, operands, params, type_ in graph.entries
    ]
    wrong = Graph(entries, graph.inputs, graph.outputs, graph.constants)
    with pytest.raises(wg.errors.GraphError, match="expected 4 elements"):
        wrong.verify()
    wrong.save(tmp_path / "wrong.npz")
    with pytest.raises(wg.errors.GraphFileError, match="expected 4 elements"):
        Graph.load(tmp_path / "wrong.npz")


def test_derivatives_in_single_precision():
    def f(x):
        return scan(lambda c, x: (np.tanh(c * x), c), x[0], x)

    single = wg.trace(f, np.ones(3, "f4"))
    double = wg.trace(f, np.ones(3))
    x = np.random.default_rng(3).uniform(0.5, 1.5, 3).astype("f4")
    checkers.single_precision(single, double, [x], checkers.seeded("single"), "scan")


def test_a_derivative_taken_inside_a_branch_stays_inside_it():
    # At 0 the derivative of y * sqrt(y) is not finite; that branch is not taken there.
    def f(x):
        return cond(x > 0.0, lambda: wg.grad(lambda y: y * np.sqrt(y))(x), lambda: 2.0 * x)

    assert wg.grad(f)(0.0) == 2.0
    assert wg.grad(f)(4.0) == 0.375
    assert "sqrt" not in [n.op.name for n in wg.trace(f, 1.0).nodes]


def test_reverse_mode_runs_the_loop_forward_once():
    def f(w, xs):
        return scan(lambda c, x: (np.arctan(c * w + x), None), 0.1, xs)[0]

    calls = []
    evaluate = TABLE["arctan"].evaluate

    def counting(x):
        calls.append(x)
        return evaluate(x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TABLE["arctan"], "evaluate", counting)
        wg.grad(f, argnums=(0, 1))(0.5, np.ones(7))
    assert len(calls) == 7


def test_a_value_asked_for_between_keeps_its_loop():
    def f(x):
        y = scan(lambda c, _: (np.sin(c) * x, c), x, length=3)
        return y[0] * 2.0 if y[0] > 0 else np.sum(y[1])

    wg.check_grads(f, (0.7,), order=2)
    wg.check_grads(f, (-0.7,), order=2)
