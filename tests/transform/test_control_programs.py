"""Programs with control flow: values against plain Python, and every derivative and batching."""

import numpy as np
import pytest
from tests.ops import checkers

import wengert as wg
import wengert.numpy as wnp
from wengert.graph import Graph
from wengert.run import run
from wengert.transform.control import cond, fori_loop, scan, while_loop

# ---------------------------------------------------------------- programs, and the same in Python


def recurrence(w, h, xs):
    def step(h, x):
        h = np.tanh(w @ h + x)
        return h, np.sum(h * h)

    return scan(step, h, xs)


def recurrence_in_python(w, h, xs):
    ys = []
    for x in xs:
        h = np.tanh(w @ h + x)
        ys.append(np.sum(h * h))
    return h, np.array(ys)


def backwards(c, xs):
    return scan(lambda c, x: (c * x + 1.0, c), c, xs, reverse=True)


def backwards_in_python(c, xs):
    ys = []
    for x in xs[::-1]:
        ys.append(c)
        c = c * x + 1.0
    return c, np.array(ys[::-1])


def trees(params, xs):
    def step(carry, x):
        total, count = carry["total"], carry["count"]
        total = total + params["scale"] * x["a"] * np.sin(x["b"])
        return {"total": total, "count": count + 1}, (total, None, count)

    carry, (ys, _, counts) = scan(step, {"total": 0.0, "count": 0}, xs)
    return carry["total"], carry["count"], ys, counts


def trees_in_python(params, xs):
    total, ys = 0.0, []
    for a, b in zip(xs["a"], xs["b"], strict=True):
        total = total + params["scale"] * a * np.sin(b)
        ys.append(total)
    return total, np.int64(len(ys)), np.array(ys), np.arange(len(ys))


def flags(c, xs):
    def step(carry, x):
        value, seen = carry
        seen = seen | (x > 0.5)
        return (np.where(seen, value * x, value), seen), seen

    return scan(step, (c, np.bool_(False)), xs)


def flags_in_python(c, xs):
    seen, every = False, []
    for x in xs:
        seen = seen or bool(x > 0.5)
        c = c * x if seen else c
        every.append(seen)
    return c, np.bool_(seen), np.array(every)


def nested(a, xs):
    def outer(c, row):
        inner, ys = scan(lambda d, x: (d * a + np.sin(x) * c, d), 0.5, row)
        return c + inner, np.sum(ys)

    return scan(outer, 1.0, xs)


def nested_in_python(a, xs):
    c, ys = 1.0, []
    for row in xs:
        d, total = 0.5, 0.0
        for x in row:
            total += d
            d = d * a + np.sin(x) * c
        c = c + d
        ys.append(total)
    return c, np.array(ys)


def cond_in_scan(w, xs):
    def step(c, x):
        return cond(x > 0.0, lambda: np.log(x) * w + c, lambda: c * w), None

    return scan(step, 0.3, xs)[0]


def cond_in_scan_in_python(w, xs):
    c = 0.3
    for x in xs:
        c = np.log(x) * w + c if x > 0 else c * w
    return c


def while_in_cond(x, y):
    def grow(x):
        return while_loop(lambda v: v < 10.0, lambda v: v * y, x)

    return cond(x > 1.0, grow, lambda x: x * x * y, x)


def while_in_cond_in_python(x, y):
    if x > 1.0:
        while x < 10.0:
            x = x * y
        return x
    return x * x * y


def collatz_like(x, limit):
    def body(state):
        v, n = state
        v = cond(v > 2.0, lambda: v / 2.0 + 0.1 * x, lambda: 1.5 * v * v)
        return v, n + 1

    return while_loop(lambda s: (s[1] < limit) & (s[0] < 50.0), body, (x, 0))


def collatz_like_in_python(x, limit):
    v, n = x, 0
    while n < limit and v < 50.0:
        v = v / 2.0 + 0.1 * x if v > 2.0 else 1.5 * v * v
        n += 1
    return v, np.int64(n)


def scan_in_while(x, w):
    def body(s):
        v, n = s
        return scan(lambda c, t: (c + np.sin(c * t), None), v, w)[0], n + 1

    return while_loop(lambda s: s[1] < 3, body, (x, 0))[0]


def scan_in_while_in_python(x, w):
    for _ in range(3):
        for t in w:
            x = x + np.sin(x * t)
    return x


def table(entries, c):
    def body(i, c):
        # A NumPy array can't be indexed by a traced number.
        return c + wnp.take(entries, i) * wnp.take(entries, (i + 1) % 4) * c

    return fori_loop(0, 3, body, c)


def table_in_python(entries, c):
    for i in range(3):
        c = c + entries[i] * entries[(i + 1) % 4] * c
    return c


def traced_bounds(n, x):
    return fori_loop(1, n, lambda i, c: c * x + i, 1.0)


def traced_bounds_in_python(n, x):
    c = 1.0
    for i in range(1, int(n)):
        c = c * x + i
    return c


def no_steps(c, xs):
    return scan(lambda c, x: (c * x, c + x), c, xs)


def no_steps_in_python(c, xs):
    return c, np.zeros(0)


def never(x):
    return while_loop(lambda v: v < 0.0, lambda v: v * v, x)


def not_differentiable_branch(x):
    return cond(x > 0.0, lambda x: x * 3.0, lambda x: 1.0, x)


def matrices(a, h):
    # The carry is a matrix that is assigned into, the constant is read whole and in parts.
    def body(i, m):
        m = m.copy()
        m[i] = np.tanh(a @ m[i]) + wnp.take(a, i, axis=0)[0]
        return m

    return fori_loop(0, 2, body, h)


def matrices_in_python(a, h):
    h = h.copy()
    for i in range(2):
        h[i] = np.tanh(a @ h[i]) + a[i, 0]
    return h


def draw(*shape, low=-1.0, high=1.0, seed=1964):
    return np.random.default_rng(seed).uniform(low, high, shape)


PROGRAMS = {
    "recurrence": (recurrence, recurrence_in_python, (draw(2, 2), draw(2), draw(4, 2, seed=1))),
    "backwards": (backwards, backwards_in_python, (np.float64(0.7), draw(4))),
    "trees": (
        trees,
        trees_in_python,
        ({"scale": np.float64(1.3)}, {"a": draw(3), "b": draw(3, seed=2)}),
    ),
    "flags": (flags, flags_in_python, (np.float64(0.9), np.array([0.1, 0.7, 0.2, 0.4]))),
    "nested": (nested, nested_in_python, (np.float64(0.8), draw(2, 3))),
    "cond_in_scan": (
        cond_in_scan,
        cond_in_scan_in_python,
        (np.float64(0.8), np.array([0.5, -0.2, 2.0, -1.0])),
    ),
    "while_in_cond": (while_in_cond, while_in_cond_in_python, (np.float64(1.3), np.float64(1.7))),
    "while_not_taken": (while_in_cond, while_in_cond_in_python, (np.float64(0.3), np.float64(1.7))),
    "collatz_like": (collatz_like, collatz_like_in_python, (np.float64(1.9), np.int64(4))),
    "scan_in_while": (scan_in_while, scan_in_while_in_python, (np.float64(0.4), draw(3))),
    "table": (table, table_in_python, (draw(4), np.float64(0.6))),
    "traced_bounds": (traced_bounds, traced_bounds_in_python, (np.int64(4), np.float64(0.6))),
    "no_steps": (no_steps, no_steps_in_python, (np.float64(0.6), np.zeros(0))),
    "never": (never, lambda x: x, (np.float64(0.6),)),
    "not_differentiable_branch": (not_differentiable_branch, lambda x: 3.0 * x, (np.float64(2.0),)),
    "matrices": (matrices, matrices_in_python, (draw(2, 2), draw(2, 2, seed=3))),
}


@pytest.fixture(params=PROGRAMS, ids=str)
def program(request):
    """(function, graph, leaves of the arguments, leaves of what plain Python computes)."""
    import optree

    f, reference, args = PROGRAMS[request.param]
    leaves = optree.tree_leaves(args)
    expected = optree.tree_leaves(reference(*args))
    return request.param, f, wg.trace(f, *args).verify(), leaves, args, expected


def test_values_are_those_of_plain_python(program):
    import optree

    name, f, graph, leaves, args, expected = program
    for found in (optree.tree_leaves(f(*args)), run(graph, leaves)):
        for a, b in zip(found, expected, strict=True):
            assert np.asarray(a).dtype == np.asarray(b).dtype
            checkers.close(a, b, 1e-14, name)


def test_the_inferred_types_are_the_computed_ones(program):
    name, _, graph, leaves, _, _ = program
    checkers.types(graph, leaves, name)


def test_first_derivatives(program):
    name, _, graph, leaves, _, _ = program
    checkers.first_order(graph, leaves, checkers.seeded(name), name)


def test_second_derivatives(program):
    name, _, graph, leaves, _, _ = program
    checkers.second_order(graph, leaves, checkers.seeded(name), name)


def test_batching_equals_a_loop_for_every_subset_of_inputs(program):
    name, _, graph, leaves, _, _ = program
    checkers.batching(graph, leaves, name)
    checkers.batching(graph, leaves, name, size=1)


def test_batching_the_derivatives_equals_a_loop(program):
    name, _, graph, leaves, _, _ = program
    wrt, outs = checkers.float_inputs(graph), checkers.float_outputs(graph)
    rng = checkers.seeded(name)
    forward = checkers.jvp_graph(graph, wrt)
    reverse = checkers.vjp_graph(graph, wrt, outs)
    x_dot = checkers.draw(rng, [graph.input_types[k] for k in wrt])
    y_bar = checkers.draw(rng, [graph.output_types[k] for k in outs])
    checkers.batching(forward, [*leaves, *x_dot], f"jvp of {name}", size=2)
    checkers.batching(reverse, [*leaves, *y_bar], f"vjp of {name}", size=2)


def test_the_derivatives_of_a_batch_are_those_of_its_examples(program):
    name, _, graph, leaves, _, _ = program
    size = 2
    rows = [[checkers.example(x, i) for x in leaves] for i in range(size)]
    for flags in (tuple([True] * len(leaves)), tuple(k == 0 for k in range(len(leaves)))):
        whole = checkers.batch_graph(graph, flags, size).graph
        given = [
            np.stack([row[k] for row in rows]) if b else leaves[k] for k, b in enumerate(flags)
        ]
        rng = checkers.seeded(name)
        checkers.first_order(whole, given, rng, f"batch of {name}")


def test_a_batch_of_batches(program):
    name, _, graph, leaves, _, _ = program
    flags = tuple(k == 0 for k in range(len(leaves)))
    once = checkers.batch_graph(graph, flags, 2, all_outputs=True).graph
    rows = [checkers.example(leaves[0], i) for i in range(2)]
    checkers.batching(once, [np.stack(rows), *leaves[1:]], f"batches of {name}", size=2)


def test_printing_saving_and_loading(program, tmp_path):
    name, _, graph, leaves, _, expected = program
    graph.save(tmp_path / "graph.npz")
    loaded = Graph.load(tmp_path / "graph.npz")
    assert loaded == graph
    assert hash(loaded) == hash(graph)
    assert str(loaded) == str(graph)
    for a, b in zip(run(loaded, leaves), expected, strict=True):
        checkers.close(a, b, 1e-14, name)
    wrt, outs = checkers.float_inputs(graph), checkers.float_outputs(graph)
    reverse = checkers.vjp_graph(graph, wrt, outs).verify()
    reverse.save(tmp_path / "reverse.npz")
    assert Graph.load(tmp_path / "reverse.npz") == reverse


def test_equal_programs_have_equal_structure(program):
    _, f, graph, _, args, _ = program
    again = wg.trace(f, *args)
    assert again == graph
    assert hash(again) == hash(graph)


def test_operands_are_not_modified(program):
    name, _, graph, leaves, _, _ = program
    checkers.layouts(graph, leaves, name)
