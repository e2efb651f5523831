"""Structural zeros, masks and ties: what is zero by structure never meets an infinity."""

import numpy as np
import pytest

import wengert as wg
from wengert.ops import TABLE


def safe_sqrt(x):
    return np.where(x > 0, np.sqrt(np.abs(x)), 0.0)


TRAPS = {
    "sqrt": safe_sqrt,
    "sqrt on the other side": lambda x: np.where(x <= 0, 0.0, np.sqrt(np.abs(x))),
    "log": lambda x: np.where(x > 0, np.log(x), 0.0),
    "division": lambda x: np.where(x != 0, np.sin(x) / x, 1.0),
    "reciprocal": lambda x: np.where(x != 0, 1.0 / x, 0.0),
    "chain": lambda x: np.where(x > 0, np.exp(np.sqrt(np.abs(x))) * 3.0 - 1.0, 0.0),
    "used twice": lambda x: np.where(x > 0, np.sqrt(np.abs(x)) * (1.0 + np.sqrt(np.abs(x))), 0.0),
    "shared before the mask": lambda x: (lambda r: np.where(x > 0, r + r * r, 0.0))(
        np.sqrt(np.abs(x))
    ),
    "two masks": lambda x: (lambda r: np.where(x > 0, r, 0.0) + np.where(x >= 1, r * r, 0.0))(
        np.sqrt(np.abs(x))
    ),
    "mask of a mask": lambda x: np.where(x > 0, np.where(x < 5, np.sqrt(np.abs(x)), 1.0), 0.0),
    "power": lambda x: np.where(x > 0, x**0.5, 0.0),
    "arcsin": lambda x: np.where(np.abs(x) < 1, np.arcsin(x), 0.0) * (x != 0) + 0.0 * x,
}
AT_ZERO = [name for name in TRAPS if name != "arcsin"]


@pytest.mark.parametrize("name", AT_ZERO)
def test_the_nan_trap_in_reverse_mode(name):
    assert np.isfinite(wg.grad(TRAPS[name])(0.0))


@pytest.mark.parametrize("name", AT_ZERO)
def test_the_nan_trap_in_forward_mode(name):
    assert np.isfinite(wg.jvp(TRAPS[name], (0.0,), (1.0,))[1])


@pytest.mark.parametrize("name", AT_ZERO)
def test_the_nan_trap_for_arrays(name, rng):
    x = np.array([0.0, 0.5, 2.0, 0.0])
    gradient = wg.grad(lambda x: np.sum(TRAPS[name](x)))(x)
    assert np.all(np.isfinite(gradient))
    inside = x[1:3]
    assert np.allclose(gradient[1:3], [wg.grad(TRAPS[name])(v) for v in inside])


@pytest.mark.parametrize("name", AT_ZERO)
@pytest.mark.parametrize("outer", ["forward", "reverse"])
@pytest.mark.parametrize("inner", ["forward", "reverse"])
def test_the_nan_trap_in_second_derivatives(name, outer, inner):
    derivative = wg.jacobian(wg.jacobian(TRAPS[name], mode=inner), mode=outer)
    assert np.isfinite(derivative(0.0))
    assert np.isfinite(derivative(0.5))


@pytest.mark.parametrize("name", AT_ZERO)
def test_the_nan_trap_under_vmap(name):
    x = np.array([0.0, 0.5, 0.0, 2.0])
    gradient = wg.vmap(wg.grad(TRAPS[name]))(x)
    assert np.all(np.isfinite(gradient))
    assert np.allclose(gradient, [wg.grad(TRAPS[name])(v) for v in x])


def test_masked_values_at_the_trap_are_exactly_zero():
    assert wg.grad(safe_sqrt)(0.0) == 0.0
    assert wg.jvp(safe_sqrt, (0.0,), (1.0,))[1] == 0.0
    assert wg.grad(wg.grad(safe_sqrt))(0.0) == 0.0


def test_a_norm_behind_a_mask():
    def norm(v):
        squares = np.sum(v * v)
        return np.where(squares > 0, np.sqrt(squares), 0.0)

    assert np.array_equal(wg.grad(norm)(np.zeros(3)), np.zeros(3))
    assert np.allclose(wg.grad(norm)(np.array([3.0, 4.0])), [0.6, 0.8])


def test_a_branch_that_was_not_taken_has_no_influence():
    f = lambda x: np.sum(np.where(np.array([True, False]), x, x / 0.0 * x))  # noqa: E731
    assert np.array_equal(wg.grad(f)(np.array([1.0, 1.0]))[:1], [1.0])
    g = lambda x: x * x if x > 0 else np.log(x)  # noqa: E731
    assert wg.grad(g)(2.0) == 4.0


def test_a_result_that_does_not_depend_has_zero_gradient():
    assert wg.grad(lambda x: 3.0)(2.0) == 0.0
    assert wg.grad(lambda x: np.floor(x) * 2.0)(2.5) == 0.0
    assert np.array_equal(
        wg.grad(lambda x, y: np.sum(y), argnums=(0, 1))(np.ones(2), np.ones(3))[0], np.zeros(2)
    )
    assert wg.jvp(lambda x: 3.0, (2.0,), (1.0,)) == (3.0, 0.0)


def test_structural_zeros_are_absent_from_the_graph():
    """An input that the result does not depend on costs no work at all in the reverse sweep."""
    from wengert.transform.graphs import vjp_graph

    graph = wg.trace(lambda x, y: np.sin(x) * np.floor(y), 1.0, 2.5)
    extra = vjp_graph(graph, (1,), (0,)).entries[len(graph) :]
    names = {op.name for op, *_ in extra}
    assert names <= {"input", "constant"}


@pytest.mark.parametrize(
    ("op", "operands", "expected"),
    [
        ("maximum", (1.0, 1.0), (0.5, 0.5)),
        ("maximum", (2.0, 1.0), (1.0, 0.0)),
        ("minimum", (1.0, 1.0), (0.5, 0.5)),
        ("minimum", (2.0, 1.0), (0.0, 1.0)),
        ("fmax", (1.0, 1.0), (0.5, 0.5)),
        ("fmax", (np.nan, 1.0), (0.0, 1.0)),
        ("fmin", (1.0, 1.0), (0.5, 0.5)),
        ("fmin", (1.0, np.nan), (1.0, 0.0)),
        ("absolute", (0.0,), (0.0,)),
        ("absolute", (-0.0,), (0.0,)),
        ("relu", (0.0,), (0.0,)),
        ("relu", (-1.0,), (0.0,)),
        ("hypot", (0.0, 0.0), (0.0, 0.0)),
        ("arctan2", (0.0, 0.0), (0.0, 0.0)),
        ("sqrt", (0.0,), (np.inf,)),
        ("power", (0.0, 0.0), (0.0, 0.0)),
        ("power", (0.0, 2.0), (0.0, 0.0)),
        ("power", (0.0, 1.0), (1.0, 0.0)),
        ("sigmoid", (1000.0,), (0.0,)),
        ("sigmoid", (-1000.0,), (0.0,)),
        ("softplus", (1000.0,), (1.0,)),
        ("softplus", (-1000.0,), (0.0,)),
        ("tanh", (400.0,), (0.0,)),
        ("logaddexp", (-np.inf, -np.inf), (0.0, 0.0)),
        ("logaddexp", (1000.0, 1000.0), (0.5, 0.5)),
        ("logaddexp", (1000.0, -1000.0), (1.0, 0.0)),
        ("stop_gradient", (3.0,), (0.0,)),
        ("floor", (2.0,), (0.0,)),
        ("sign", (0.0,), (0.0,)),
    ],
)
def test_derivatives_at_edges_follow_the_stated_conventions(op, operands, expected):
    f = TABLE[op]
    assert wg.grad(f, argnums=tuple(range(len(operands))))(*operands) == expected
    for k, slope in enumerate(expected):
        tangents = tuple(float(i == k) for i in range(len(operands)))
        assert wg.jvp(f, operands, tangents)[1] == slope


@pytest.mark.parametrize("reduce", [np.max, np.min])
def test_ties_of_reductions_share_the_derivative(reduce):
    x = np.array([2.0, 1.0, 2.0, 1.0])
    gradient = wg.grad(reduce)(x)
    assert np.array_equal(gradient, np.where(x == reduce(x), 0.5, 0.0))
    assert wg.jvp(reduce, (x,), (np.array([1.0, 2.0, 3.0, 4.0]),))[1] == np.dot(
        gradient, [1.0, 2.0, 3.0, 4.0]
    )


def test_products_with_zeros_have_exact_derivatives():
    assert np.array_equal(wg.grad(np.prod)(np.array([0.0, 2.0, 3.0])), [6.0, 0.0, 0.0])
    assert np.array_equal(wg.grad(np.prod)(np.array([0.0, 0.0, 3.0])), [0.0, 0.0, 0.0])
    x = np.array([0.0, 2.0, 0.0])
    assert np.array_equal(wg.hessian(np.prod)(x), [[0, 0, 2], [0, 0, 0], [2, 0, 0]])


def test_zero_to_the_power_zero():
    assert wg.value_and_grad(lambda x: x**0)(0.0) == (1.0, 0.0)
    assert wg.value_and_grad(lambda x: x**0.0)(0.0) == (1.0, 0.0)
    assert wg.value_and_grad(lambda x: x**2)(0.0) == (0.0, 0.0)
