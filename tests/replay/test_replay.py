"""Replay: native code gives what the interpreter gives, and is made only when it pays."""

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from tests.ops import checkers
from tests.strategies import programs, sources

import wengert as wg
from wengert import replay as package
from wengert.codegen.engine import statistics as engine
from wengert.errors import ArgumentError, WengertError
from wengert.graph import Graph
from wengert.replay import state as module
from wengert.replay import statistics
from wengert.replay.cut import cut
from wengert.run import run
from wengert.transform.graphs import jvp_graph, vjp_graph

relaxed = settings(max_examples=25, suppress_health_check=list(HealthCheck))


@pytest.fixture
def counts():
    """What the counters grow by: `counts("native")`."""
    before = dict(statistics)
    return lambda name: statistics[name] - before[name]


@pytest.fixture
def cheap(monkeypatch):
    """Compiling pays at the second call of a structure."""
    monkeypatch.setattr(module, "PATIENCE", 0.0)


def both(function, *args):
    """The results by NumPy alone, and by native code alone."""
    with wg.replaying("never"):
        expected = function(*args)
    with wg.replaying("always"):
        found = function(*args)
    return expected, found


def loss(x):
    y = np.tanh(x) * 0.5 + x
    return np.sum(y * y)


# ---------------------------------------------------------------- the same numbers


@given(programs(most_steps=7))
@relaxed
def test_derivatives_of_random_graphs_agree_with_the_interpreter(program):
    graph, args = program
    wrt, outs = checkers.float_inputs(graph), checkers.float_outputs(graph)
    rng = checkers.seeded("replay", len(graph))
    y_bar = checkers.draw(rng, [graph.output_types[k] for k in outs])
    x_dot = checkers.draw(rng, [graph.input_types[k] for k in wrt])
    for derived, given_ in (
        (vjp_graph(graph, wrt, outs), [*args, *y_bar]),
        (jvp_graph(graph, wrt), [*args, *x_dot]),
    ):
        expected = run(derived, given_)
        with wg.replaying("always"):
            found = package.replay(derived, given_)
        for a, b in zip(found, expected, strict=True):
            assert (np.shape(a), np.asarray(a).dtype) == (np.shape(b), np.asarray(b).dtype)
            checkers.close(a, b, 1e-9, "replay", scale=checkers.largest([*expected, 1.0]))


@given(sources(most=5))
@relaxed
def test_python_programs_agree_with_the_interpreter(source):
    f = wg.value_and_grad(source.function(), argnums=(0, 1))
    try:
        with wg.replaying("never"):
            expected = f(source.x, source.m)
    except (WengertError, ValueError, IndexError, TypeError) as error:
        with wg.replaying("always"), pytest.raises(type(error)):
            f(source.x, source.m)
        return
    with wg.replaying("always"):
        found = f(source.x, source.m)
    for a, b in zip((found[0], *found[1]), (expected[0], *expected[1]), strict=True):
        assert np.allclose(a, b, rtol=1e-9, atol=1e-9 * checkers.largest([*expected[1], 1.0]))


@pytest.mark.parametrize(
    ("function", "x"),
    [
        (lambda x: np.sum(np.log(x)), np.array([0.0, 1.0, -1.0])),
        (lambda x: np.sum(np.exp(x)), np.array([800.0, -800.0, np.nan])),
        (lambda x: np.log(np.sum(np.exp(x))), np.array([800.0, 1.0])),
        (lambda x: np.sum(np.sqrt(x)), np.array([0.0, np.inf, -0.0])),
        (lambda x: np.sum(x / x), np.array([0.0, np.inf, 2.0])),
        (lambda x: np.sum(np.where(x > 0, np.log(x), x)), np.array([-1.0, 0.0, 2.0, np.nan])),
        (lambda x: np.max(x) - np.min(x), np.array([np.nan, 1.0])),
        (lambda x: np.sum(np.maximum(x, 0.0) * np.inf), np.array([-1.0, 0.0, 2.0])),
        (lambda x: np.sum(x) * 0.0 + np.sum(x - x), np.array([np.inf, 1.0])),
        (lambda x: np.sum(x * x), np.zeros((0,))),
        (lambda x: np.sum(np.sum(x, axis=0) ** 2), np.zeros((0, 3))),
        (lambda x: np.sum(np.exp(x.T) @ x), np.zeros((0, 2))),
        (lambda x: np.sum(np.arctan2(x, x[::-1])), np.array([0.0, -0.0, 1.0])),
        (lambda x: np.sum(x**3 / np.abs(x)), np.array([0.0, 1e200, -2.0])),
    ],
)
def test_infinities_nans_and_empty_arrays_are_numpys(function, x):
    (value, gradient), found = both(wg.value_and_grad(function), x)
    assert np.allclose(found[0], value, rtol=1e-12, equal_nan=True)
    assert np.allclose(found[1], gradient, rtol=1e-12, equal_nan=True)
    assert found[1].shape == gradient.shape


def test_all_derivatives_agree(rng):
    x, v = rng.standard_normal(3), rng.standard_normal(3)
    functions = (
        lambda: wg.jvp(loss, (x,), (v,)),
        lambda: (lambda value, pullback: (value, *pullback(1.0)))(*wg.vjp(loss, x)),
        lambda: (lambda value, push: (value, push(v)))(*wg.linearize(loss, x)),
        lambda: (wg.jacobian(np.sin)(x), wg.hessian(loss)(x), wg.hvp(loss, (x,), (v,))),
        lambda: (wg.vmap(np.tanh)(x), wg.grad(lambda y: np.sum(wg.grad(loss)(y) ** 2))(x)),
    )
    for function in functions:
        for a, b in zip(*both(function), strict=True):
            assert np.allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize(
    "x",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.arange(12.0)[::2].reshape(3, 2),
        np.arange(6, dtype=">f8").reshape(3, 2),
        np.broadcast_to(np.float32(2.0), (3, 2)),
        np.frombuffer(b"\0" + bytes(48), np.uint8)[1:].view(np.float64).reshape(3, 2),
    ],
    ids=["columns", "strided", "big-endian", "broadcast", "unaligned"],
)
def test_arrays_in_any_layout(x):
    (value, gradient), found = both(wg.value_and_grad(loss), x)
    assert np.allclose(found[0], value)
    assert np.allclose(found[1], gradient)
    assert found[1].dtype == gradient.dtype


def test_integer_and_bool_constants_are_arguments_too(rng):
    x = rng.standard_normal(4)

    def f(x, n, mask):
        return np.sum(np.where(mask, x * n, x // 1.0))

    for n in (np.int64(3), np.int32(4), np.uint8(5), np.float32(0.5)):
        expected, found = both(wg.grad(f), x, n, np.array([True, False, True, False]))
        assert np.allclose(expected, found)


# ---------------------------------------------------------------- values known already


def test_values_that_python_asked_for_are_not_computed_again(rng, counts):
    x = rng.standard_normal((3, 3))

    def f(x):
        y = np.sin(x) @ x
        if np.sum(y) > 1e9:  # false
            y = y * 2.0
        return np.sum(y * y)

    expected, found = both(wg.value_and_grad(f), x)
    assert counts("native") == 1
    assert np.allclose(expected[1], found[1])
    graph = wg.trace(lambda x: np.sum(np.sin(np.cos(x)) + x), x)
    names = [node.op.name for node in graph.nodes]
    shorter, taken = cut(graph, [names.index("cos"), names.index("sin"), 0])
    assert taken == [names.index("sin")]
    shorter.verify()


def test_a_result_that_is_known_already_is_an_array_of_its_own(rng):
    x = rng.standard_normal(3)
    seen = []

    def f(x):
        y = np.exp(x)
        seen.append(wg.stop_gradient(y))
        seen.append(np.asarray(seen.pop()))
        return np.sum(y), y

    with wg.replaying("always"):
        (_, y), _ = wg.value_and_grad(f, has_aux=True)(x)
    y += 1.0
    assert np.array_equal(seen[0], np.exp(x))


def test_a_graph_with_other_known_values_is_another_plan(rng):
    x = rng.standard_normal(3)

    def f(x, ask):
        y = np.exp(x)
        z = np.sin(y)
        _ = [bool(np.sum(v) > 0) for v, wanted in ((y, ask & 1), (z, ask & 2)) if wanted]
        return np.sum(z * y)

    for ask in (0, 1, 2, 3, 1, 0, 3):
        expected, found = both(wg.grad(f), x, ask)
        assert np.allclose(expected, found)


# ---------------------------------------------------------------- results and arguments


def test_results_are_the_callers_own(rng):
    x = rng.standard_normal(3)
    f = wg.value_and_grad(lambda x: (np.sum(x * x), x), has_aux=True)
    with wg.replaying("always"):
        (_, first), a = f(x)
        (_, second), b = f(x)
    first += 1.0
    a += 1.0
    assert np.array_equal(second, x)
    assert np.array_equal(b, 2 * x)
    assert a.flags.owndata or a.base is None


def test_constants_and_captured_arrays_are_no_part_of_the_structure(rng, cheap, counts):
    x = rng.standard_normal(3)
    data = rng.standard_normal(3)

    def f(x, rate):
        y = x * data * rate
        data[0] = 7.0  # after its use: the tape has a copy
        return np.sum(y * y)

    for k in range(8):
        data[:] = k
        rate = 0.1 * k + 0.05
        assert np.allclose(wg.grad(f)(x, rate), 2 * x * (k * rate) ** 2, rtol=1e-12)
    assert counts("compiled") == 1
    assert counts("native") >= 6


def test_what_shapes_the_graph_is_part_of_the_structure(cheap, rng):
    x = rng.uniform(0.5, 1.5, 3)
    for n in (2, 3, 5, 3, 2, 5, 2):
        for axis in (0, -1):
            f = wg.grad(lambda x, n=n, axis=axis: np.sum(np.sum(x**n, axis=axis) * 1.0))
            assert np.allclose(f(x), n * x ** (n - 1), rtol=1e-12)


# ---------------------------------------------------------------- when it is compiled


def test_a_structure_that_keeps_coming_is_compiled_once_and_one_that_comes_once_is_not(counts):
    f = wg.grad(loss)
    x = np.linspace(0.0, 1.0, 5)
    expected = f(x)
    assert counts("planned") == 0
    for _ in range(40_000):
        if counts("native"):
            break
        f(x)
    assert (counts("planned"), counts("compiled")) == (1, 1)
    assert np.allclose(f(x), expected, rtol=1e-12)


def chain(choices, x):
    for k in choices:
        x = x + 0.1 if k == 0 else x * x if k == 1 else np.sin(x) if k == 2 else x - np.max(x)
    return np.sum(x)


def structures(count):
    """Lists of choices, all different, each of six steps."""
    return [[(k // 4**j) % 4 for j in range(6)] for k in range(count)]


def test_many_distinct_structures_compile_nothing(counts):
    before = engine["modules"]
    x = np.array([0.1, 0.2])
    for choices in structures(1500):
        wg.grad(lambda x, c=choices: chain(c, x))(x)
    assert engine["modules"] == before
    assert counts("planned") == 0


def test_native_forms_not_used_for_longest_are_forgotten(cheap, counts, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 40_000)
    x = np.array([0.1, 0.2])
    expected = {}
    for _ in range(2):
        for number, choices in enumerate(structures(12)):
            f = wg.grad(lambda x, c=choices: chain(c, x))
            for _ in range(3):
                found = f(x)
                assert np.allclose(found, expected.setdefault(number, found), rtol=1e-12)
    assert counts("forgotten") > 0
    assert sum(s.bytes for s in module._alive) <= 40_000 + max(s.bytes for s in module._alive)


def test_no_machine_code_beyond_the_limit(counts, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    monkeypatch.setattr(module, "MOST_SECONDS_IN_ALL", 0.0)
    monkeypatch.setenv("WENGERT_CACHE", "")
    f = wg.grad(lambda x: np.sum(np.sin(x) * np.cbrt(x) - np.tan(x) * np.arctan(x)))
    for _ in range(5):
        f(np.ones(3))
    assert (counts("planned"), counts("compiled"), counts("native")) == (1, 0, 0)


def test_what_is_kept_goes_with_the_graph(rng):
    import gc
    import weakref

    def forms():
        graph = wg.trace(lambda x: np.sin(x) + 1.0, rng.standard_normal(3))
        graph = Graph(graph.entries, graph.inputs, graph.outputs, graph.constants)
        with wg.replaying("always"):
            package.replay(graph, [np.zeros(3)])
        (kept,) = graph.schedules["replay"].values()
        return weakref.ref(kept)

    found = forms()
    gc.collect()
    assert found() is None


def test_the_mode_holds_within_its_block_and_thread(counts):
    with pytest.raises(ArgumentError, match="'sometimes' is none of"), wg.replaying("sometimes"):
        pass
    seen = []
    x = np.ones(7)
    with wg.replaying("always"):
        thread = threading.Thread(target=lambda: seen.append(wg.grad(loss)(x)))
        thread.start()
        thread.join()
        assert counts("native") == 0
        with wg.replaying("never"):
            wg.grad(loss)(x)
        assert counts("native") == 0
        wg.grad(loss)(x)
    assert counts("native") == 1
    wg.grad(loss)(x)
    assert counts("native") == 2  # it exists now
    assert np.allclose(seen[0], wg.grad(loss)(x))


# ---------------------------------------------------------------- errors and threads


def test_an_error_names_the_users_line_whether_or_not_the_structure_is_known(cheap):
    x = np.ones(3)
    for n in (3, 3, 3, 4):
        other = np.ones(n)

        def f(x, other=other):
            return np.sum(x * other)

        if n == 3:
            wg.grad(f)(x)
        else:
            with pytest.raises(WengertError, match=r"test_replay\.py:\d+"):
                wg.grad(f)(x)


def test_an_error_of_numpy_while_running_is_the_interpreters():
    def f(x):
        return np.sum(np.linalg.inv(x))

    with wg.replaying("never"), pytest.raises(Exception, match="ingular") as expected:
        wg.grad(f)(np.zeros((2, 2)))
    with wg.replaying("always"), pytest.raises(expected.type, match="ingular"):
        wg.grad(f)(np.zeros((2, 2)))


def test_threads_build_and_replay_at_once(cheap):
    failures = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for k in range(60):
            choices = structures(40)[(seed + k) % 10 + 20]
            x = rng.uniform(0.1, 0.9, 4)

            def f(x, c=choices):
                return chain(c, x)

            found = wg.grad(f)(x)
            with wg.replaying("never"):
                expected = wg.grad(f)(x)
            if not np.allclose(found, expected, rtol=1e-10):
                failures.append((choices, found, expected))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
