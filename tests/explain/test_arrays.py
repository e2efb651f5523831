"""Arrays: shapes on nodes, Jacobian structure on edges, derivatives as arrays."""

import numpy as np
import pytest

from wengert.explain import explain
from wengert.transform import grad, jvp


def structures(f, *args):
    explanation = explain(f)(*args)
    return [
        (p.operand, p.structure, p.nnz)
        for op in explanation.operators
        for p in op.partials
        if p is not None
    ]


X = np.arange(1.0, 7.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (np.sin, [("x", "diagonal", 6)]),
        (np.sum, [("x", "sum", 6)]),
        (lambda x: np.sum(x, axis=0), [("x", "sum", 6)]),
        (np.transpose, [("x", "permutation", 6)]),
        (lambda x: np.reshape(x, (6,)), [("x", "permutation", 6)]),
        (lambda x: np.broadcast_to(x, (4, 2, 3)), [("x", "broadcast", 24)]),
        (lambda x: x[0], [("x", "sparse", 3)]),
        (lambda x: x[[1, 0]], [("x", "permutation", 6)]),
        (lambda x: x[[1, 1]], [("x", "sparse", 6)]),
        (lambda x: np.pad(x, 1), [("x", "sparse", 6)]),
        (lambda x: np.cumsum(x, axis=1), [("x", "sparse", 12)]),
        (lambda x: np.max(x), [("x", "dense block", 6)]),
        (lambda x: x @ np.ones((3, 2)), [("x", "dense block", 12)]),
        (lambda x: np.ones(2) @ x, [("x", "dense block", 6)]),
        (lambda x: np.concatenate([x, np.zeros((2, 1))], axis=1), [("x", "sparse", 6)]),
    ],
)
def test_structure(f, expected):
    def named(x):
        return f(x)

    assert structures(named, X) == expected


def test_broadcasting_operands():
    found = structures(lambda x, b: x + b, X, np.ones(3))
    assert found == [("x", "diagonal", 6), ("b", "broadcast", 6)]


def test_nnz_is_that_of_the_jacobian():
    """Every structural count is the number of entries of the operator's own Jacobian."""
    rng = np.random.default_rng(1)
    for f in (
        lambda x: np.cumsum(x, axis=0),
        lambda x: x[:, ::2],
        lambda x: np.sum(x, axis=1),
        lambda x: np.roll(x, 1),
        lambda x: np.tile(x, (2, 1)),
    ):
        explanation = explain(f)(rng.uniform(1.0, 2.0, (3, 4)))
        if len(explanation.operators) == 1:
            (d,) = explanation.derivatives
            assert explanation.operators[0].partials[0].nnz == np.count_nonzero(d.value)


def loss(p, x):
    h = np.tanh(x @ p["W"] + p["b"])
    return np.sum(h * h)


@pytest.fixture
def point(rng):
    return {"W": rng.normal(size=(2, 3)), "b": np.zeros(3)}, rng.normal(size=(4, 2))


def test_derivatives_are_the_gradient(point):
    explanation = explain(loss)(*point)
    gradient = grad(loss)(*point)
    found = {d.input: d for d in explanation.derivatives}
    assert set(found) == {"p['W']", "p['b']", "x"}
    np.testing.assert_allclose(found["p['W']"].value, gradient["W"])
    np.testing.assert_allclose(found["p['b']"].value, gradient["b"])
    for d in explanation.derivatives:
        np.testing.assert_allclose(d.finite_difference, d.value, rtol=1e-6, atol=1e-8)


def test_forward_sweep_is_the_derivative_along_ones(point):
    p, x = point
    sweeps = dict(explain(loss)(p, x).table("forward"))
    _, expected = jvp(lambda x: loss(p, x), (x,), (np.ones_like(x),))
    np.testing.assert_allclose(sweeps["x"][-1].value, expected)


def test_reverse_sweep_ends_in_the_gradient(point):
    p, x = point
    ((_, rows),) = explain(loss)(p, x).table("reverse")
    ends = {row.derivative.split("/")[1]: row.value for row in rows}
    np.testing.assert_allclose(ends["∂p['b']"], grad(loss)(p, x)["b"])


def test_jacobians_of_array_results():
    x = np.array([1.0, 2.0, 3.0])
    (d,) = explain(lambda x: x[1:] * x[:-1])(x).derivatives
    np.testing.assert_array_equal(d.value, [[2.0, 1.0, 0.0], [0.0, 3.0, 2.0]])
    np.testing.assert_allclose(d.finite_difference, d.value, atol=1e-8)
    (d,) = explain(lambda x: np.sum(np.outer(x, x), axis=0))(x).derivatives
    assert d.value.shape == (3, 3)
    np.testing.assert_allclose(d.finite_difference, d.value, atol=1e-6)


def test_tall_jacobians_go_forward():
    x = np.array([0.5])
    (d,) = explain(lambda x: np.broadcast_to(x, (7,)) * np.arange(7.0))(x).derivatives
    np.testing.assert_array_equal(d.value, np.arange(7.0)[:, None])


def test_large_jacobians_are_not_computed():
    (d,) = explain(lambda x: x @ x)(np.eye(12)).derivatives
    assert d.value is None
    assert "too large" in str(explain(lambda x: x @ x)(np.eye(12)))


def test_text_shows_types_and_structure(point):
    text = str(explain(loss)(*point))
    for part in (
        "f64[4,3]",
        "dense block (24 numbers)",
        "diagonal (12 numbers)",
        "x @ p['W']",
        "seeded with ones",
    ):
        assert part in text


def test_svg_shows_shapes(point):
    svg = explain(loss)(*point).to_svg()
    assert "f64[4,3]" in svg
    assert "dense block" in svg


def test_path_products_of_blocks_are_not_numbers(point):
    paths = explain(loss)(*point).paths(None, "p['b']")
    assert paths.count == 2
    assert paths.sum is None
    assert paths.listed[0].product is None


def test_integers_are_passed_on():
    explanation = explain(lambda x, n: x**n)(2.0, 3)
    assert list(explanation.inputs) == ["x"]
    assert explanation.derivatives[0].value == 12.0


def test_arguments_are_not_modified(point):
    p, x = point
    before = p["W"].copy(), x.copy()
    str(explain(loss)(p, x))
    np.testing.assert_array_equal(p["W"], before[0])
    np.testing.assert_array_equal(x, before[1])


def test_assignment_into_an_array():
    def f(x):
        y = x * 2.0
        y[1] = x[0] * x[2]
        return np.sum(y)

    explanation = explain(f)(np.arange(4.0))
    np.testing.assert_allclose(explanation.derivatives[0].value, grad(f)(np.arange(4.0)))
