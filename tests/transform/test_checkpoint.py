"""`checkpoint`, `invertible` and `per_example`: the same derivatives, and what is kept for them."""

import tracemalloc

import numpy as np
import pytest

import wengert as wg
from wengert.errors import ArgumentError, ShapeError
from wengert.transform import inline

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4))
WEIGHTS = [RNG.standard_normal((4, 4)) for _ in range(4)]


def layer(x, w):
    return np.tanh(np.sin(x @ w)) * x


def coupling(x, w):
    a, b = x
    a = a + np.tanh(b @ w)
    b = b + np.sin(a @ w)
    return a, b


def uncoupling(y, w):
    a, b = y
    b = b - np.sin(a @ w)
    a = a - np.tanh(b @ w)
    return a, b


def chain(step):
    def f(x, weights):
        for w in weights:
            x = step(x, w)
        return np.sum(x * x)

    return f


def pairs(step):
    def f(x, weights):
        y = (x, 0.5 * x)
        for w in weights:
            y = step(y, 0.2 * w)
        return np.sum(y[0] ** 2 * y[1])

    return f


PLAIN = [chain(layer), pairs(coupling)]
MARKED = {
    "checkpoint": (chain(layer), chain(wg.checkpoint(layer))),
    "nested": (
        chain(layer),
        chain(wg.checkpoint(lambda x, w: wg.checkpoint(np.tanh)(np.sin(x @ w)) * x)),
    ),
    "whole": (chain(layer), wg.checkpoint(chain(wg.checkpoint(layer)))),
    "pairs": (pairs(coupling), pairs(wg.checkpoint(coupling))),
    "invertible": (pairs(coupling), pairs(wg.invertible(coupling, uncoupling))),
    "invertible in checkpoint": (
        pairs(coupling),
        wg.checkpoint(pairs(wg.invertible(coupling, uncoupling))),
    ),
}
TRANSFORMS = {
    "grad": lambda f: wg.grad(f, (0, 1)),
    "compiled grad": lambda f: wg.compile(wg.grad(f, (0, 1))),
    "jvp": lambda f: lambda x, w: wg.jvp(f, (x, w), (x, w)),
    "compiled jvp": lambda f: wg.compile(lambda x, w: wg.jvp(f, (x, w), (x, w))),
    "vjp": lambda f: lambda x, w: wg.vjp(f, x, w)[1](2.0),
    "linearize": lambda f: lambda x, w: wg.linearize(f, x, w)[1](x, w),
    "hvp": lambda f: lambda x, w: wg.hvp(f, (x, w), (x, w)),
    "hessian": lambda f: lambda x, w: wg.hessian(lambda x: f(x, w))(x),
    "compiled hessian": lambda f: wg.compile(lambda x, w: wg.hessian(lambda x: f(x, w))(x)),
    "grad of grad": lambda f: wg.grad(
        lambda x, w: np.sum(np.sin(wg.grad(lambda x: f(x, w))(x))), (0, 1)
    ),
    "vmap of grad": lambda f: (
        lambda x, w: wg.vmap(wg.grad(f), (0, None))(np.stack([x, 0.5 * x]), w)
    ),
    "compiled vmap of grad": lambda f: wg.compile(
        lambda x, w: wg.vmap(wg.grad(f), (0, None))(np.stack([x, 0.5 * x]), w)
    ),
    "grad of vmap": lambda f: wg.grad(
        lambda x, w: np.sum(wg.vmap(f, (0, None))(np.stack([x, 0.5 * x]), w)), (0, 1)
    ),
}


def leaves(tree):
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in leaves(part)]
    return [np.asarray(tree)]


@pytest.mark.parametrize("marked", MARKED)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_derivatives_are_those_of_the_function(transform, marked):
    plain, other = MARKED[marked]
    expected = leaves(TRANSFORMS[transform](plain)(X, WEIGHTS))
    found = leaves(TRANSFORMS[transform](other)(X, WEIGHTS))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-8, atol=1e-8 * np.abs(a).max())


def test_the_same_kernels_give_the_same_bits():
    plain, other = MARKED["checkpoint"]
    for a, b in zip(
        leaves(wg.grad(plain, (0, 1))(X, WEIGHTS)),
        leaves(wg.grad(other, (0, 1))(X, WEIGHTS)),
        strict=True,
    ):
        assert np.array_equal(a, b)


def test_in_a_scan_and_with_closures():
    weights = np.stack(WEIGHTS)
    scale = 0.7

    def loss(x, w, step):
        final, _ = wg.scan(lambda x, row: (step(x, row), x[0, 0]), x, w)
        return np.sum(final * final)

    def plain(x, row):
        return layer(x, row) * scale

    for transform in (lambda f: wg.grad(f, (0, 1)), lambda f: wg.compile(wg.grad(f, (0, 1)))):
        a = transform(lambda x, w: loss(x, w, plain))(X, weights)
        b = transform(lambda x, w: loss(x, w, wg.checkpoint(plain)))(X, weights)
        for p, q in zip(a, b, strict=True):
            np.testing.assert_allclose(p, q, rtol=1e-12)


def test_a_traced_value_that_the_function_closes_over_has_its_gradient():
    def loss(w, wrap):
        return np.sum(wrap(lambda x: np.sin(x * w))(np.arange(3.0)) ** 2)

    assert np.array_equal(
        wg.grad(lambda w: loss(w, wg.checkpoint))(0.3), wg.grad(lambda w: loss(w, lambda f: f))(0.3)
    )


def test_python_control_flow_on_values_inside():
    @wg.checkpoint
    def f(x):
        return np.sin(x) if x > 0 else x * x

    assert wg.grad(f)(2.0) == np.cos(2.0)
    assert wg.grad(f)(-2.0) == -4.0


def test_outside_of_a_transformation_it_is_the_function():
    assert np.array_equal(wg.checkpoint(layer)(X, WEIGHTS[0]), layer(X, WEIGHTS[0]))
    step = wg.invertible(coupling, uncoupling)
    for a, b in zip(step((X, X), WEIGHTS[0]), coupling((X, X), WEIGHTS[0]), strict=True):
        assert np.array_equal(a, b)


def test_non_array_arguments_and_keywords_pass_through():
    @wg.checkpoint
    def f(x, kind, *, power=None):
        assert kind == "sin"
        return np.sin(x) ** power

    assert wg.grad(lambda x: f(x, "sin", power=2))(1.0) == pytest.approx(np.sin(2.0))


# ---------------------------------------------------------------- what is kept


def held(derivative, *args):
    """Peak bytes beyond the arguments."""
    derivative(*args)
    tracemalloc.start()
    derivative(*args)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def deep(step, depth):
    def f(x):
        y = (x, x)
        for _ in range(depth):
            y = step(y, 0.3)
        return np.sum(y[0] * y[1])

    return f


def elementwise(x, w):
    a, b = x
    for _ in range(3):
        a = a + np.tanh(w * np.sin(b))
        b = b + np.sin(w * np.tanh(a))
    return a, b


def undone(y, w):
    a, b = y
    for _ in range(3):
        b = b - np.sin(w * np.tanh(a))
        a = a - np.tanh(w * np.sin(b))
    return a, b


def test_a_checkpointed_chain_keeps_one_state_per_call(monkeypatch):
    monkeypatch.setattr(inline, "runners", {})
    x = np.linspace(0.1, 1.0, 20_000)
    plain = held(wg.grad(deep(elementwise, 20)), x)
    marked = held(wg.grad(deep(wg.checkpoint(elementwise), 20)), x)
    assert marked < (2 * 20 + 30) * x.nbytes < plain


def test_an_invertible_chain_keeps_nothing_per_step(monkeypatch):
    monkeypatch.setattr(inline, "runners", {})
    x = np.linspace(0.1, 1.0, 20_000)
    step = wg.invertible(elementwise, undone)
    short, long = (held(wg.grad(deep(step, n)), x) for n in (10, 40))
    assert long < short + 4 * x.nbytes


def test_compiled_checkpoints_are_computed_again():
    # Arrays that are large beside what a strip of steps may hold (`plan.strips`).
    x = np.linspace(0.1, 1.0, 64_000).reshape(3200, 20)
    w = 0.2 * RNG.standard_normal((20, 20))
    arenas, tanhs = {}, {}
    for name, step in (
        ("plain", coupling),
        ("checkpoint", wg.checkpoint(coupling)),
        ("invertible", wg.invertible(coupling, uncoupling)),
    ):
        compiled = wg.compile(wg.grad(lambda x, step=step: pairs(step)(x, [w] * 20)))
        arenas[name] = compiled.report(x).memory.arena
        tanhs[name] = [n.op.name for n in compiled.optimized(x).nodes].count("tanh")
    assert tanhs["checkpoint"] > 1.7 * tanhs["plain"]
    assert arenas["invertible"] < 15 * x.nbytes
    assert arenas["invertible"] < arenas["checkpoint"] < arenas["plain"]


# ---------------------------------------------------------------- errors


def test_what_is_no_function_is_refused():
    with pytest.raises(ArgumentError, match=r"checkpoint\(f\)\(x\)"):
        wg.checkpoint(3.0)
    with pytest.raises(ArgumentError, match="is not a function"):
        wg.invertible(np.sin, 1.0)


def test_an_inverse_that_returns_something_else_is_refused():
    step = wg.invertible(coupling, lambda y, w: y[0])
    with pytest.raises(ArgumentError, match="the inverse <lambda> must return"):
        wg.grad(pairs(step))(X, WEIGHTS)


# ---------------------------------------------------------------- per example


def loss(params, x, y, power=2):
    return np.sum((np.tanh(x @ params["w"]) - y) ** power) + params["b"]


def test_per_example_gradients_are_those_of_a_loop():
    params = {"w": RNG.standard_normal((4, 2)), "b": 0.5}
    x, y = RNG.standard_normal((5, 4)), RNG.standard_normal((5, 2))
    derivative = wg.grad(loss, per_example=True)
    for found in (
        derivative(params, x, y),
        wg.compile(derivative)(params, x, y),
        wg.value_and_grad(loss, per_example=True)(params, x, y)[1],
    ):
        for k in range(5):
            one = wg.grad(loss)(params, x[k], y[k])
            np.testing.assert_allclose(found["w"][k], one["w"], rtol=1e-12)
            assert found["b"][k] == one["b"]
    values = wg.value_and_grad(loss, per_example=True)(params, x, y)[0]
    np.testing.assert_allclose(values, [loss(params, a, b) for a, b in zip(x, y, strict=True)])


def test_per_example_with_keywords_several_arguments_and_aux():
    w, x = 0.5, np.arange(3.0)
    gradient, aux = wg.grad(
        lambda w, x, scale=1.0: (w * x * scale, x + 1), has_aux=True, per_example=True
    )(w, x, scale=2.0)
    assert np.array_equal(gradient, 2.0 * x)
    assert np.array_equal(aux, x + 1)
    both = wg.grad(lambda a, x, b: a * x * b, (0, 2), per_example=True)(2.0, x, 3.0)
    assert np.array_equal(both[0], 3.0 * x)
    assert np.array_equal(both[1], 2.0 * x)


def test_per_example_without_examples_is_an_error():
    with pytest.raises(ArgumentError, match="no positional argument of <lambda> carries examples"):
        wg.grad(lambda w: w * w, per_example=True)(1.0)
    with pytest.raises(ArgumentError, match="a leaf without axes"):
        wg.grad(lambda w, x, n: w * x * n, per_example=True)(1.0, np.ones(3), 2.0)
    with pytest.raises(ShapeError, match="one length"):
        wg.grad(lambda w, x, y: w * x * y, per_example=True)(1.0, np.ones(3), np.ones(2))
