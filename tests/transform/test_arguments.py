"""How functions are called: argnums, keywords, trees, auxiliary results; what belongs to whom."""

import threading
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import wengert as wg
from wengert.errors import ArgumentError, DTypeError


@dataclass
class Layer:
    """Parameters of a layer."""

    w: Any
    b: Any


@dataclass(frozen=True)
class Frozen:
    """A model that can't be changed."""

    layers: Any
    name: None = None


Point = namedtuple("Point", "x y")


# ---------------------------------------------------------------- argnums and keywords


def f(a, b, c=2.0):
    return a * b * b * c


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (0, 18.0),
        (1, 12.0),
        (-1, 12.0),
        (-2, 18.0),
        ((0,), (18.0,)),
        ((0, 1), (18.0, 12.0)),
        ((1, 0), (12.0, 18.0)),
        ((-1, -2), (12.0, 18.0)),
        ([0, 1], (18.0, 12.0)),
        (np.int64(1), 12.0),
    ],
)
def test_argnums(argnums, expected):
    assert wg.grad(f, argnums=argnums)(1.0, 3.0) == expected


@pytest.mark.parametrize("argnums", [2, -3, (0, 5)])
def test_argnums_that_do_not_exist(argnums):
    with pytest.raises(ArgumentError, match=r"argnums=.*2 positional"):
        wg.grad(f, argnums=argnums)(1.0, 3.0)


def test_keyword_arguments_are_passed_on():
    assert wg.grad(f)(1.0, 3.0, c=1.0) == 9.0
    assert wg.grad(f)(1.0, b=3.0, c=1.0) == 9.0
    value, gradient = wg.value_and_grad(f, argnums=1)(1.0, 3.0, c=10.0)
    assert (value, gradient) == (90.0, 60.0)


def test_arguments_that_are_not_differentiated_may_be_anything():
    def g(x, mode, table):
        return x * table[mode]["k"]

    assert wg.grad(g)(2.0, "a", {"a": {"k": 3}}) == 3.0


def test_the_same_array_may_be_passed_twice():
    x = np.array([1.0, 2.0])
    a, b = wg.grad(lambda a, b: np.sum(a * b * b), argnums=(0, 1))(x, x)
    assert np.array_equal(a, x * x)
    assert np.array_equal(b, 2 * x * x)


# ---------------------------------------------------------------- trees

TREES = {
    "dict": {"w": np.array([1.0, 2.0]), "b": 3.0},
    "list": [np.array([1.0, 2.0]), 3.0],
    "tuple": (np.array([1.0, 2.0]), 3.0),
    "named tuple": Point(np.array([1.0, 2.0]), 3.0),
    "dataclass": Layer(np.array([1.0, 2.0]), 3.0),
    "frozen dataclass of dataclasses": Frozen([Layer(1.0, 2.0), Layer(np.ones(2), 3.0)]),
    "none": {"a": None, "b": 3.0},
    "nested": {"a": [1.0, (2.0, {"c": np.ones((2, 2))})], "b": Layer(None, [3.0])},
    "empty": {},
}


def squares(tree):
    from wengert.capture import flatten

    total = 0.0
    for leaf in flatten(tree)[0]:
        total = total + np.sum(leaf * leaf)
    return total


def same(a, b):
    assert type(a) is type(b) or not isinstance(b, (dict, list, tuple, Layer, Frozen))
    if isinstance(b, dict):
        assert list(a) == list(b)
        for k in b:
            same(a[k], b[k])
    elif isinstance(b, (Layer, Frozen)):
        same(vars(a), vars(b))
    elif isinstance(b, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif b is None:
        assert a is None
    else:
        assert np.shape(a) == np.shape(b)
        assert np.array_equal(a, 2.0 * np.asarray(b))


@pytest.mark.parametrize("kind", TREES)
def test_a_gradient_has_the_structure_of_its_argument(kind):
    same(wg.grad(squares)(TREES[kind]) if kind != "empty" else {}, TREES[kind])


@pytest.mark.parametrize("kind", [k for k in TREES if k != "empty"])
def test_pullbacks_and_tangents_have_the_structure_too(kind):
    tree = TREES[kind]
    value, pull = wg.vjp(squares, tree)
    same(pull(1.0)[0], tree)
    value_again, tangent = wg.jvp(squares, (tree,), (tree,))
    assert value == value_again
    assert tangent == pytest.approx(2 * value)
    assert wg.linearize(squares, tree)[1](tree) == pytest.approx(2 * value)


def test_a_tree_as_the_result():
    def g(x):
        return {"a": x * 2.0, "b": (x, None), "c": Layer(np.sin(x), 1.0)}

    value, pull = wg.vjp(g, 1.0)
    assert isinstance(value["c"], Layer)
    assert value["b"] == (1.0, None)
    cotangent = {"a": 1.0, "b": (3.0, None), "c": Layer(0.0, 7.0)}
    assert pull(cotangent) == (5.0,)
    _, tangent = wg.jvp(g, (1.0,), (1.0,))
    assert tangent["a"] == 2.0
    assert tangent["c"].b == 0.0


def test_a_tree_of_another_structure_is_an_error():
    with pytest.raises(ArgumentError, match="structure"):
        wg.jvp(squares, ({"a": 1.0},), ({"b": 1.0},))
    _, pull = wg.vjp(lambda x: {"a": x}, 1.0)
    with pytest.raises(ArgumentError, match="structure"):
        pull([1.0])


# ---------------------------------------------------------------- auxiliary results


def test_has_aux():
    def g(x):
        return x * x, {"double": 2.0 * x, "text": "kept", "number": 7}

    (value, aux), gradient = wg.value_and_grad(g, has_aux=True)(3.0)
    assert (value, gradient) == (9.0, 6.0)
    assert aux == {"double": 6.0, "text": "kept", "number": 7}
    gradient, aux = wg.grad(g, has_aux=True)(3.0)
    assert gradient == 6.0
    value, tangent, aux = wg.jvp(g, (3.0,), (1.0,), has_aux=True)
    assert (value, tangent, aux["double"]) == (9.0, 6.0, 6.0)
    value, pull, aux = wg.vjp(g, 3.0, has_aux=True)
    assert (value, pull(1.0), aux["double"]) == (9.0, (6.0,), 6.0)


def test_auxiliary_results_are_differentiable_outside():
    def g(x):
        gradient, aux = wg.grad(lambda y: (y * y * x, y * x), has_aux=True)(x)
        return gradient + aux

    assert wg.grad(g)(3.0) == 18.0  # 2 x^2 + x^2


@pytest.mark.parametrize("result", [1.0, (1.0,), (1.0, 2.0, 3.0), [1.0, 2.0]])
def test_has_aux_needs_a_pair(result):
    with pytest.raises(ArgumentError, match="pair"):
        wg.grad(lambda x: result, has_aux=True)(1.0)


# ---------------------------------------------------------------- ownership


def test_nothing_passed_in_is_modified():
    x, y = np.arange(6.0).reshape(2, 3), np.ones(3)
    x.flags.writeable = y.flags.writeable = False
    constant = np.full(3, 2.0)

    def g(x, y):
        x[0] = 5.0
        x += 1.0
        y *= 2.0
        x[:, 1] = y[0]
        z = x[1]
        z -= 3.0
        return np.sum(x * y * constant)

    before = constant.copy()
    wg.grad(g, argnums=(0, 1))(x, y)
    wg.jvp(g, (x, y), (x, y))
    wg.vjp(g, x, y)[1](1.0)
    wg.linearize(g, x, y)[1](x, y)
    assert np.array_equal(x, np.arange(6.0).reshape(2, 3))
    assert np.array_equal(y, np.ones(3))
    assert np.array_equal(constant, before)


IDENTITIES = {
    "itself": lambda x: x,
    "reshaped": lambda x: x.reshape(3, 2),
    "transposed": lambda x: x.T,
    "part": lambda x: x[0],
    "twice": lambda x: (x, x),
    "broadcast": lambda x: np.broadcast_to(x, (2, 2, 3)),
    "sum": np.sum,
    "constant": lambda x: np.zeros(3),
}


@pytest.mark.parametrize("kind", IDENTITIES)
def test_results_are_writable_and_own_their_memory(kind):
    g, x = IDENTITIES[kind], np.arange(6.0).reshape(2, 3)
    from wengert.capture import flatten

    value, pull = wg.vjp(g, x)
    ones = wg.vmap(lambda v: v)(np.ones((1, 2, 3)))
    cotangent = np.ones(np.shape(value)) if not isinstance(value, tuple) else (ones[0], ones[0])
    derived = [
        value,
        pull(cotangent),
        wg.jvp(g, (x,), (x,)),
        wg.linearize(g, x)[0],
        wg.linearize(g, x)[1](x),
        wg.jacobian(g)(x),
    ]
    arrays = [a for tree in derived for a in flatten(tree)[0] if isinstance(a, np.ndarray)]
    for i, a in enumerate(arrays):
        assert a.flags.writeable
        assert not np.shares_memory(a, x)
        assert not any(np.shares_memory(a, b) for b in arrays[:i])
        a[...] = -7.0
    assert np.array_equal(x, np.arange(6.0).reshape(2, 3))


def test_a_pullback_does_not_follow_arrays_that_change_later():
    x, c = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    _, pull = wg.vjp(lambda x: np.sum(x * x * c), x)
    _, push = wg.linearize(lambda x: np.sum(x * x * c), x)
    x[:] = 100.0
    c[:] = 100.0
    assert np.array_equal(pull(1.0)[0], [6.0, 16.0])
    assert push(np.array([1.0, 1.0])) == 22.0


def test_a_pullback_can_be_called_many_times():
    _, pull = wg.vjp(lambda x: np.sin(x) * x, np.array([1.0, 2.0]))
    first = pull(np.ones(2))[0].copy()
    pull(np.full(2, 5.0))[0][:] = 0.0
    assert np.array_equal(pull(np.ones(2))[0], first)


def test_calling_twice_gives_the_same_answer():
    calls = []

    def g(x):
        calls.append(1)
        return np.sum(np.sin(x) ** 2)

    x = np.arange(5.0)
    derived = wg.grad(g)
    assert np.array_equal(derived(x), derived(x))
    assert len(calls) == 2


def test_a_second_call_with_another_branch_or_shape_is_right():
    g = wg.grad(lambda x: np.sum(x * x) if np.sum(x) > 0 else np.sum(x))
    assert np.array_equal(g(np.array([1.0, 2.0])), [2.0, 4.0])
    assert np.array_equal(g(np.array([-1.0, -2.0])), [1.0, 1.0])
    assert np.array_equal(g(np.array([1.0, 2.0, 3.0])), [2.0, 4.0, 6.0])
    assert np.array_equal(g(np.array([1.0, 2.0], "f4")), [2.0, 4.0])


def test_constants_of_a_structure_met_before_are_not_mixed_up():
    def scaled(c):
        return wg.grad(lambda x: np.sum(x * c) * c[0])(np.ones(2))

    assert np.array_equal(scaled(np.array([1.0, 2.0])), [1.0, 2.0])
    assert np.array_equal(scaled(np.array([3.0, 5.0])), [9.0, 15.0])
    for rate in (0.1, 0.2, 0.3):
        assert wg.grad(lambda x, r=rate: x * x * r)(1.0) == 2.0 * rate


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", ">f8"])
def test_gradients_have_the_dtype_of_the_argument(dtype):
    x = np.array([1.0, 2.0], dtype)
    _, gradient = wg.value_and_grad(lambda x: np.sum(x * x * 0.5))(x)
    assert gradient.dtype == x.dtype.newbyteorder("=")  # as NumPy's results: native
    assert np.array_equal(gradient, [1.0, 2.0])
    assert wg.jvp(np.sin, (x,), (x,))[1].dtype.itemsize == x.dtype.itemsize


def test_mixed_precision_gives_each_argument_its_own_dtype():
    a, b = wg.grad(lambda a, b: np.sum(a * b), argnums=(0, 1))(np.ones(2, "f4"), np.ones(2, "f8"))
    assert (a.dtype, b.dtype) == (np.dtype("f4"), np.dtype("f8"))


def test_integer_arrays_may_be_used_but_not_differentiated():
    n = np.array([1, 2, 3])
    assert np.array_equal(wg.grad(lambda x: np.sum(x * n))(np.ones(3)), n)
    with pytest.raises(DTypeError, match="must be float"):
        wg.grad(np.sum)(n)


def test_two_threads_differentiate_at_once():
    failures, start = [], threading.Barrier(4)

    def work(k):
        try:
            start.wait()
            for n in range(30):
                x = np.arange(1.0, 3.0 + (n + k) % 3)
                g = wg.grad(
                    lambda x, n=n: (
                        np.sum(x**3) * (k + 1.0)
                        + np.sum(wg.grad(lambda y: np.sum(y * x * x))(x)) * n
                    )
                )
                expected = 3 * x * x * (k + 1.0) + 2 * x * n
                assert np.allclose(g(x), expected, rtol=1e-12)
                h = wg.jvp(wg.grad(lambda x: np.sum(np.sin(x))), (x,), (x,))[1]
                assert np.allclose(h, -np.sin(x) * x)
        except BaseException as error:  # noqa: BLE001 - reported by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
