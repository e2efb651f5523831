"""`wengert.compile`: the same results as the uncompiled function, whatever it is called with."""

import collections
import dataclasses
import functools
import gc
import threading
import weakref

import numpy as np
import pytest

import wengert as wg
from wengert.capture import flatten
from wengert.compiling import function as function_module
from wengert.errors import ArgumentError, DTypeError, NoValueError

Pair = collections.namedtuple("Pair", "first second")


@dataclasses.dataclass(frozen=True)
class Layer:
    """A dataclass of arrays."""

    w: object
    b: object


def assert_same(found, wanted):
    """Equal trees: structure, types, dtypes, shapes, numbers to rounding."""
    if isinstance(wanted, dict):
        assert type(found) is type(wanted)
        assert found.keys() == wanted.keys()
        for k in wanted:
            assert_same(found[k], wanted[k])
    elif isinstance(wanted, (list, tuple)):
        assert type(found) is type(wanted)
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            assert_same(a, b)
    elif dataclasses.is_dataclass(wanted):
        assert type(found) is type(wanted)
        for field in dataclasses.fields(wanted):
            assert_same(getattr(found, field.name), getattr(wanted, field.name))
    elif wanted is None:
        assert found is None
    else:
        wanted = np.asarray(wanted)
        assert isinstance(found, np.ndarray if wanted.ndim else np.generic)
        assert found.dtype == wanted.dtype
        assert found.shape == wanted.shape
        tolerance = 1e-5 if wanted.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def check(f, *args, times=3, **kwargs):
    """The compiled function agrees with `f`, on first and on later calls."""
    compiled = wg.compile(f)
    wanted = f(*args, **kwargs)
    for _ in range(times):
        found = compiled(*args, **kwargs)
        assert_same(found, wanted)
        arrays = [x for x in flatten(found)[0] if isinstance(x, np.ndarray)]
        assert all(x.base is None and x.flags.writeable for x in arrays)
    return compiled


def loss(params, x, y):
    h = np.tanh(x @ params["w"] + params["b"])
    return np.mean((h - y) ** 2)


def problem(rng, dtype=np.float64):
    params = {"w": rng.normal(size=(4, 3)).astype(dtype), "b": rng.normal(size=3).astype(dtype)}
    return params, rng.normal(size=(5, 4)).astype(dtype), rng.normal(size=(5, 3)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_and_their_derivatives_agree(rng, dtype):
    args = problem(rng, dtype)
    check(loss, *args)
    check(wg.grad(loss), *args)
    check(wg.value_and_grad(loss), *args)
    check(wg.value_and_grad(loss, argnums=(0, 1)), *args)


def test_a_hessian_and_a_jacobian(rng):
    x = rng.normal(size=4)
    f = lambda x: np.sum(np.sin(x) * x**2) + np.prod(x)  # noqa: E731
    check(wg.hessian(f), x)
    check(wg.jacobian(lambda x: np.exp(x) * x[0]), x)
    check(lambda x, v: wg.jvp(f, (x,), (v,)), x, np.ones(4))
    check(wg.vmap(f), rng.normal(size=(3, 4)))


def test_the_compiled_function_inside_other_transformations(rng):
    args = problem(rng)
    compiled = wg.compile(loss)
    assert_same(wg.grad(compiled)(*args), wg.grad(loss)(*args))
    assert_same(wg.compile(wg.grad(compiled))(*args), wg.grad(loss)(*args))
    assert_same(wg.compile(wg.compile(loss))(*args), loss(*args))
    xs = rng.normal(size=(6, 5, 4))
    mapped = wg.vmap(compiled, in_axes=(None, 0, None))
    assert_same(
        mapped(args[0], xs, args[2]), wg.vmap(loss, in_axes=(None, 0, None))(args[0], xs, args[2])
    )


def test_a_compiled_closure_over_a_traced_value_is_part_of_the_outer_function():
    def outer(w):
        return wg.compile(lambda x: w * x * x)(3.0)

    assert wg.grad(outer)(2.0) == 9.0
    assert wg.compile(wg.grad(outer))(2.0) == 9.0


def test_on_values_inside_a_transformation_it_runs():
    double = wg.compile(lambda x: 2.0 * x)
    assert wg.grad(lambda w: w * double(np.ones(3))[0])(1.0) == 2.0


# ---------------------------------------------------------------- arguments and results


def test_trees_of_every_kind():
    def f(layer, pair, items, nothing, *, scale):
        y = layer.w * pair.first + layer.b
        return {
            "z": [y, (pair.second * scale, nothing)],
            "a": Layer(y + 1.0, items[1]["k"] * 2.0),
            "p": Pair(y, 3.0),
        }

    layer = Layer(np.arange(3.0), np.float64(2.0))
    args = (layer, Pair(np.ones(3), 4), [1.0, {"k": np.float32(3.0)}], None)
    check(f, *args, scale=0.5)


def test_python_numbers_take_the_dtype_of_the_arrays_they_meet():
    x = np.ones(3, np.float32)
    f = lambda x, rate, n: (x * rate, x * (2.0 * rate + 1.0), x**n, x / n, x - rate * n, -rate * x)  # noqa: E731
    wanted = f(x, 0.1, 2)
    assert all(w.dtype == np.float32 for w in wanted)
    check(f, x, 0.1, 2)
    check(f, x, np.float64(0.1), 2)
    check(lambda x, rate: np.maximum(x, rate) + np.where(x > 0, x, rate), x, 0.1)
    check(lambda p, g, rate: wg.grad(lambda q: np.sum(q * q) * rate)(p) - rate * g, x, x, 0.5)
    check(lambda n: (n + 1, n / 2, n * 0.5), 3)
    compiled = wg.compile(lambda x, rate: x * rate)
    for _ in range(3):  # whichever comes first
        assert compiled(x, 0.1).dtype == np.float32
        assert compiled(x, np.float64(0.1)).dtype == np.float64


def test_bools_and_integers_and_comparisons():
    check(lambda x, flag: (x * 2 + 1, x > 2, np.where(flag, x, -x)), np.arange(6), True)
    check(lambda x: (x.astype(np.float64), x ^ 3, x // 2), np.arange(6, dtype=np.int32))


def test_arrays_that_native_code_cannot_read_as_they_are(rng):
    x = rng.normal(size=(6, 8))
    f = lambda x: np.sin(x) + x * 2.0  # noqa: E731
    compiled = wg.compile(f)
    unaligned = np.frombuffer(b"\0" + x[:3, :4].tobytes(), np.uint8)[1:].view(np.float64)
    variants = [
        x.T,
        x[::2],
        x[:, 1::3],
        x[::-1],
        np.asfortranarray(x),
        x.astype(">f8"),
        unaligned.reshape(3, 4),
        np.broadcast_to(x[0], (3, 8)),
    ]
    for _ in range(2):
        for variant in variants:
            before = variant.copy()
            assert_same(compiled(variant), f(np.array(variant, np.float64)))
            np.testing.assert_array_equal(variant, before)


def test_a_swapped_first_argument_is_not_learnt_as_native(rng):
    x = rng.normal(size=3)
    compiled = wg.compile(lambda x: x + 1.0)
    for _ in range(3):
        np.testing.assert_array_equal(compiled(x.astype(">f8")), x + 1.0)
        np.testing.assert_array_equal(compiled(x), x + 1.0)
    constant = x.astype(">f8")
    np.testing.assert_array_equal(wg.compile(lambda x: x + constant)(x), x + constant)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (1, 1), (1,)])
def test_empty_and_single_arrays(shape):
    x = np.ones(shape)
    check(lambda x: (x * 2.0, np.sum(x), np.sum(x, axis=0), x.T, np.exp(x) + x), x)
    check(lambda x: (np.sum(x.T), np.cumsum(x, axis=0).T, np.concatenate([x, x])[:0], x, x), x)


@pytest.mark.parametrize("dtype", ["f2", "g", "i1", "u2", "i8", "u8"])
def test_other_dtypes(dtype):
    x = np.array([1, 2, 3], dtype)
    check(lambda x: (x + x, np.sum(x), x * x, x @ x, np.max(x)), x)


def test_results_that_are_inputs_constants_or_equal():
    x = np.arange(3.0)
    compiled = check(lambda x: (x, x, x + 1.0, x + 1.0, 3.0, np.ones(2), x.reshape(3, 1)), x)
    first, second, *_ = compiled(x)
    assert first is not x
    first[0] = 7.0
    assert second[0] == x[0] == 0.0
    constant = wg.compile(lambda: np.ones(2))
    constant()[0] = 5.0
    assert_same(constant(), np.ones(2))
    assert wg.compile(lambda x: None)(x) is None
    assert_same(wg.compile(lambda x: [])(x), [])


def test_arguments_are_not_modified(rng):
    params, x, y = problem(rng)
    copies = [params["w"].copy(), params["b"].copy(), x.copy(), y.copy()]
    gradient = wg.grad(loss)
    step = wg.compile(lambda p, x, y: {k: p[k] - 0.1 * g for k, g in gradient(p, x, y).items()})
    for _ in range(3):
        step(params, x, y)
    for a, b in zip([params["w"], params["b"], x, y], copies, strict=True):
        np.testing.assert_array_equal(a, b)


def test_keyword_arguments_in_any_order():
    f = wg.compile(lambda a, b, c=1.0: a - 2.0 * b + c)
    for _ in range(2):
        assert f(b=2.0, a=1.0) == f(a=1.0, b=2.0) == f(1.0, b=2.0) == f(1.0, 2.0) == -2.0
        assert f(1.0, 2.0, c=5.0) == f(c=5.0, b=2.0, a=1.0) == 2.0


def test_entries_with_several_results(rng):
    x = rng.normal(size=(4, 4))
    check(lambda x: np.linalg.eigh(x @ x.T)[0] * 2.0, x)
    check(wg.grad(lambda x: np.sum(np.linalg.eigh(x @ x.T)[0] ** 2)), x)


def test_arrays_of_a_closure_are_read_when_it_is_captured():
    scale = np.array([2.0, 3.0])
    compiled = wg.compile(lambda x: x * scale)
    np.testing.assert_array_equal(compiled(np.ones(2)), [2.0, 3.0])
    scale[0] = 10.0
    np.testing.assert_array_equal(compiled(np.ones(2)), [2.0, 3.0])


# ---------------------------------------------------------------- static arguments, decorators


def test_static_arguments():
    runs = []

    @functools.partial(wg.compile, static_argnums=(1,))
    def power(x, n, y=0.0):
        runs.append(n)
        for _ in range(n):
            x = x * x
        return x + y

    for _ in range(3):
        assert power(2.0, 2) == 16.0
        assert power(2.0, 3, y=1.0) == 257.0
    assert runs == [2, 3]
    f = wg.compile(lambda x, mode: x if mode is True else -x, static_argnums=1)
    assert f(1.0, True) == 1.0
    assert f(1.0, 1) == -1.0  # 1 == True, and yet another argument
    g = wg.compile(lambda x, shape: x * len(shape), static_argnums=1)
    assert g(1.0, (2, 3)) == 2.0
    with pytest.raises(ArgumentError, match="is static, but list is not hashable"):
        g(1.0, [2, 3])


def test_a_decorated_method():
    class Model:
        def __init__(self, scale):
            self.scale = scale

        @functools.partial(wg.compile, static_argnums=0)
        def __call__(self, x):
            return self.scale * x

        @functools.partial(wg.compile, static_argnums=0)
        def twice(self, x):
            return 2.0 * self.scale * x

    assert Model(3.0).twice(1.0) == 6.0
    assert Model(4.0)(1.0) == 4.0


def test_it_keeps_name_and_documentation():
    @wg.compile
    def documented(x):
        """What it says."""
        return x

    assert documented.__name__ == "documented"
    assert documented.__doc__ == "What it says."
    assert repr(documented) == "<compiled documented>"


# ---------------------------------------------------------------- errors


def test_asking_for_a_value_names_the_line_and_the_alternative():
    @wg.compile
    def f(x):
        return x if x > 0 else -x  # this line

    with pytest.raises(NoValueError, match=r"test_function\.py:\d+") as caught:
        f(1.0)
    text = str(caught.value)
    assert "compile runs the function without values" in text
    assert "wg.cond" in text
    assert "static_argnums" in text
    with pytest.raises(NoValueError):  # the second time too
        f(1.0)


def test_wrong_arguments_are_named():
    f = wg.compile(lambda x: x)
    with pytest.raises(DTypeError, match="an argument of <lambda> is 'text' of type str"):
        f("text")
    with pytest.raises(DTypeError, match="complex128"):
        f(np.ones(2, complex))
    with pytest.raises(DTypeError, match="which fits no dtype"):
        f(2**80)
    with pytest.raises(TypeError, match="positional argument"):
        f()
    with pytest.raises(ArgumentError, match="is not a function"):
        wg.compile(3.0)
    with pytest.raises(ArgumentError, match=r"static_argnums=-1 .* counted from 0"):
        wg.compile(lambda x: x, static_argnums=-1)
    with pytest.raises(ArgumentError, match="both static and donated"):
        wg.compile(lambda x: x, static_argnums=0, donate=0)
    with pytest.raises(DTypeError, match="a result of <lambda> is 'text'"):
        wg.compile(lambda x: "text")(1.0)
    with pytest.raises(ArgumentError, match="has no graph of its own here"):
        wg.grad(lambda x: f.graph(x))(1.0)
    with pytest.raises(TypeError, match="can't be pickled"):
        f.__reduce__()


def test_errors_of_operators_reach_the_caller():
    f = wg.compile(lambda a, b: np.linalg.solve(a, b))
    good = np.eye(2)
    for _ in range(2):
        with pytest.raises(np.linalg.LinAlgError):
            f(np.zeros((2, 2)), np.ones(2))
        np.testing.assert_array_equal(f(good, np.ones(2)), np.ones(2))


# ---------------------------------------------------------------- many signatures, threads, memory


def test_the_number_of_signatures_is_bounded(monkeypatch):
    monkeypatch.setattr(function_module, "MOST_SIGNATURES", 4)
    f = wg.compile(lambda x: np.sum(x))
    for _ in range(2):
        for n in range(1, 12):
            assert f(np.ones(n)) == n
    assert len(f._entries) == 4


def test_graphs_are_captured_once():
    runs = []

    def f(x):
        runs.append(1)
        return x * 2.0

    compiled = wg.compile(f)
    x = np.ones(3)
    compiled.graph(x)
    compiled.optimized(x)
    compiled(x)
    compiled(x)
    assert len(runs) == 1
    assert str(compiled.graph(x)).startswith("%0: f64[3] = input x")


def test_many_threads_at_once(rng):
    args = [problem(rng) for _ in range(4)]
    compiled = wg.compile(wg.value_and_grad(loss))
    wanted = [wg.value_and_grad(loss)(*a) for a in args]
    sized = wg.compile(lambda x: np.sum(np.exp(x)) + x)
    failures = []
    barrier = threading.Barrier(8)

    def work(number):
        try:
            barrier.wait()
            for i in range(30):
                k = (i + number) % 4
                assert_same(compiled(*args[k]), wanted[k])
                x = np.full((i + number) % 5 + 1, 0.5)
                assert_same(sized(x), np.sum(np.exp(x)) + x)
        except Exception as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[0]


def test_a_compiled_function_is_freed():
    def make():
        f = wg.compile(lambda x: x + 1.0)
        f(np.ones(3))
        f(np.ones(3))
        return weakref.ref(f)

    reference = make()
    gc.collect()
    assert reference() is None
    call = wg.compile(lambda x: x + 1.0).__call__
    gc.collect()
    assert call(1.0) == 2.0


def test_many_compilations_leak_nothing(rng):
    args = problem(rng)

    def compile_and_call():
        step = wg.compile(wg.value_and_grad(loss))
        step(*args)
        step(*args)
        mixed = wg.compile(lambda x: (np.linalg.solve(np.eye(4), x.T), x * 2.0))
        mixed(args[1])
        mixed(args[1])

    for _ in range(20):
        compile_and_call()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(100):
        compile_and_call()
    gc.collect()
    assert len(gc.get_objects()) <= before + 20
