"""Derivatives of derivatives: perturbation confusion, any order, any mixture of modes."""

import itertools
import math

import numpy as np
import pytest

import wengert as wg


def forward(f):
    """The derivative of a scalar function, by forward mode."""
    return lambda x: wg.jvp(f, (x,), (np.ones_like(x) if np.ndim(x) else 1.0,))[1]


def reverse(f):
    """The same by reverse mode."""
    return wg.grad(f)


def pullback(f):
    return lambda x: wg.vjp(f, x)[1](1.0)[0]


def pushforward(f):
    return lambda x: wg.linearize(f, x)[1](1.0)


def jacobian_forward(f):
    return wg.jacobian(f, mode="forward")


def jacobian_reverse(f):
    return wg.jacobian(f, mode="reverse")


MODES = [forward, reverse, pullback, pushforward, jacobian_forward, jacobian_reverse]
two_modes = pytest.mark.parametrize(("outer", "inner"), list(itertools.product(MODES, repeat=2)))


# ---------------------------------------------------------------- perturbation confusion
#
# Siskind and Pearlmutter, "Perturbation confusion and referential transparency", 2005: a derivative
# inside a derivative must not mistake the outer variable's perturbation for its own.


@two_modes
def test_the_classic_form(outer, inner):
    """D(x -> x * D(y -> x + y)(1))(1) = 1, not 2."""
    assert outer(lambda x: x * inner(lambda y: x + y)(1.0))(1.0) == 1.0


@two_modes
def test_product_with_the_outer_variable(outer, inner):
    """D(x -> x * D(y -> x * y)(x))(3) = 2 x."""
    assert outer(lambda x: x * inner(lambda y: x * y)(x))(3.0) == 6.0


@two_modes
def test_inner_derivative_at_the_outer_variable(outer, inner):
    """D(x -> D(y -> y * y * x)(x))(2) = D(2 x * x) = 4 x."""
    assert outer(lambda x: inner(lambda y: y * y * x)(x))(2.0) == 8.0


@two_modes
def test_an_inner_derivative_by_a_variable_that_is_not_used(outer, inner):
    assert outer(lambda x: x * inner(lambda y: x * x)(1.0))(3.0) == 0.0


@two_modes
def test_an_inner_function_that_returns_the_outer_variable(outer, inner):
    assert outer(lambda x: x + inner(lambda y: x)(1.0))(3.0) == 1.0


@two_modes
def test_curried_functions_keep_their_variables_apart(outer, inner):
    """The "amazing bug" form: the derivative of a function that returns a closure."""

    def shifted(u):
        return lambda f: lambda x: f(x + u)

    at_zero = outer(lambda u: inner(shifted(u)(np.sin))(0.5))(0.25)
    assert at_zero == pytest.approx(-math.sin(0.75))


@pytest.mark.parametrize("modes", list(itertools.product((forward, reverse), repeat=3)))
def test_three_levels_with_closures_over_all(modes):
    """x -> D(y -> D(z -> x y z + y^2 z^2)(y))(x), whose derivative is known."""
    first, second, third = modes

    def f(x):
        return second(lambda y: third(lambda z: x * y * z + y * y * z * z)(y))(x)

    # third: x y + 2 y^2 z at z = y: x y + 2 y^3; second: x + 6 y^2 at y = x: x + 6 x^2.
    assert first(f)(2.0) == pytest.approx(1.0 + 12.0 * 2.0)


def test_two_inner_derivatives_side_by_side():
    def f(x):
        a = wg.grad(lambda y: x * y * y)(x)
        b = wg.grad(lambda y: x + y * y)(a)
        return a * b

    # a = 2 x^2, b = 2 a: f = 8 x^4.
    assert wg.grad(f)(1.5) == pytest.approx(32 * 1.5**3)


def test_a_closure_over_two_outer_levels_with_arrays(rng):
    a = rng.standard_normal((3, 3))

    def f(x):
        def g(y):
            return np.sum(wg.grad(lambda z: np.sum(z @ a * x * y * z))(y) * x)

        return np.sum(wg.grad(g)(x) * x)

    wg.check_grads(f, (rng.standard_normal(3),), order=2)


# ---------------------------------------------------------------- any order, any mixture


@pytest.mark.parametrize(
    "modes",
    list(itertools.product((forward, reverse), repeat=4)),
    ids=lambda ms: "-".join(m.__name__ for m in ms),
)
def test_fourth_derivatives_in_every_mixture(modes):
    f = lambda x: np.sin(x) * np.exp(0.5 * x)  # noqa: E731
    for mode in modes:
        f = mode(f)
    root = complex(0.5, 1.0) ** 4  # exp(x/2) sin x is the imaginary part of exp((1/2 + i) x)
    x = 0.7
    expected = (root * np.exp(complex(0.5, 1.0) * x)).imag
    assert f(x) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("order", range(8))
def test_high_orders_of_a_monomial(order):
    f = lambda x: x**6  # noqa: E731
    for k in range(order):
        f = (forward, reverse)[k % 2](f)
    expected = math.perm(6, order) * 1.5 ** (6 - order) if order <= 6 else 0.0
    assert f(1.5) == pytest.approx(expected)


@pytest.mark.parametrize("mode", MODES)
def test_high_orders_through_control_flow(mode):
    def f(x):
        while x < 10.0:
            x = x * x
        return x

    assert mode(mode(f))(1.9) == pytest.approx(12 * 1.9**2)  # f is x**4 here


@pytest.mark.parametrize("modes", list(itertools.product((forward, reverse), repeat=2)))
def test_inside_vmap(modes, rng):
    outer, inner = modes
    xs = rng.uniform(0.5, 1.5, 5)
    found = wg.vmap(outer(inner(lambda x: np.sin(x) * x)))(xs)
    assert np.allclose(found, 2 * np.cos(xs) - xs * np.sin(xs), rtol=1e-12)


@pytest.mark.parametrize("mode", [forward, reverse])
def test_vmap_inside_a_derivative(mode, rng):
    xs = rng.uniform(0.5, 1.5, 5)
    f = lambda s: np.sum(wg.vmap(lambda x: np.sin(x * s))(xs))  # noqa: E731
    assert mode(f)(0.7) == pytest.approx(np.sum(xs * np.cos(xs * 0.7)))


def test_vmap_of_vmap_of_a_gradient_with_a_closure(rng):
    a, b = rng.standard_normal(3), rng.standard_normal(4)
    f = wg.vmap(lambda x: wg.vmap(lambda y: wg.grad(lambda z: np.sin(x * z) * y)(x))(b))
    expected = a[:, None] * np.cos(a[:, None] ** 2) * b
    assert np.allclose(f(a), expected, rtol=1e-12)


def test_perturbation_confusion_inside_vmap():
    f = wg.vmap(wg.grad(lambda x: x * wg.grad(lambda y: x + y)(1.0)))
    assert np.array_equal(f(np.arange(4.0)), np.ones(4))


def test_modes_agree_on_a_hessian(rng):
    a = rng.standard_normal((4, 4))
    f = lambda x: np.sum(np.tanh(a @ x) * x)  # noqa: E731
    x = rng.standard_normal(4)
    hessians = [
        wg.jacobian(wg.jacobian(f, mode=first), mode=second)(x)
        for first, second in itertools.product(("forward", "reverse"), repeat=2)
    ]
    hessians.append(wg.hessian(f)(x))
    hessians.append(np.stack([wg.hvp(f, (x,), (v,)) for v in np.eye(4)]))
    for h in hessians:
        assert np.allclose(h, hessians[0], rtol=1e-12, atol=1e-14)
        assert np.allclose(h, h.T, rtol=1e-12, atol=1e-14)


def test_derivatives_of_parts_of_other_transformations(rng):
    x = rng.standard_normal(3)

    def f(x):
        value, pull = wg.vjp(np.sin, x)
        _, push = wg.linearize(np.exp, x)
        return np.sum(pull(value)[0] + push(value))

    expected = lambda x: np.sum(np.sin(x) * np.cos(x) + np.exp(x) * np.sin(x))  # noqa: E731
    assert wg.grad(f)(x) == pytest.approx(wg.grad(expected)(x))
    wg.check_grads(f, (x,), order=3)


def test_a_jvp_whose_tangent_depends_on_an_outer_variable():
    f = lambda x: wg.jvp(lambda y: y**3, (x,), (x * x,))[1]  # noqa: E731
    assert wg.grad(f)(2.0) == pytest.approx(12 * 2.0**3)  # 3 x^4


def test_a_pullback_whose_cotangent_depends_on_an_outer_variable():
    f = lambda x: wg.vjp(lambda y: y**3, x)[1](x * x)[0]  # noqa: E731
    assert wg.grad(f)(2.0) == pytest.approx(12 * 2.0**3)


def test_an_argument_keeps_the_value_it_had_when_the_inner_function_was_called():
    # The inner function changes the outer array that it closes over; its own argument is another.
    def outer(x):
        y = x * 1.0

        def inner(z):
            y[0] = 100.0
            return np.sum(z**3)

        return np.sum(wg.grad(inner)(y))

    np.testing.assert_allclose(wg.grad(outer)(np.array([2.0, 3.0])), [12.0, 18.0])
