"""numpy.linalg, over NumPy's argument forms, and where derivatives do not exist."""

import numpy as np
import pytest
from tests.capture.forms import check
from tests.ops import checkers

from wengert.errors import ArgumentError, ShapeError
from wengert.graph import type_of
from wengert.ops import TABLE
from wengert.transform.gradient import grad

SYMMETRIC = "(m + m.T)"

FORMS = [
    "np.linalg.solve(m, v)",
    "np.linalg.solve(m, a)",
    "np.linalg.solve(t, m)",
    "np.linalg.solve(m, t)",
    "np.linalg.solve(t, v)",
    "np.linalg.solve(t[:, None], t)",
    "np.linalg.inv(m)",
    "np.linalg.inv(t)",
    "np.linalg.det(m)",
    "np.linalg.det(t)",
    "np.linalg.slogdet(m)",
    "np.linalg.slogdet(t)",
    "np.linalg.slogdet(t).logabsdet",
    "np.linalg.matrix_power(m, 3)",
    "np.linalg.matrix_power(m, -2)",
    "np.linalg.matrix_power(m, 0)",
    "np.linalg.matrix_power(t, 5)",
    "np.linalg.matrix_power(m, 1)",
    "np.linalg.cholesky(d)",
    "np.linalg.cholesky(d, upper=True)",
    "np.linalg.cholesky(np.stack([d, d @ d]))",
    f"np.linalg.eigh({SYMMETRIC})",
    f"np.linalg.eigh({SYMMETRIC}, 'U')",
    "np.linalg.eigh(m)",
    "np.linalg.eigvalsh(t)",
    f"np.linalg.eigh({SYMMETRIC}).eigenvalues",
    "np.linalg.svd(a, full_matrices=False)",
    "np.linalg.svd(m)",
    "np.linalg.svd(c, full_matrices=False)",
    "np.linalg.svd(b, compute_uv=False)",
    "np.linalg.svd(b, False).S",
    "np.linalg.svdvals(a)",
    "np.linalg.qr(b)",
    "np.linalg.qr(m)",
    "np.linalg.qr(b, 'r')",
    "np.linalg.qr(np.swapaxes(c, 1, 2)).R",
    "np.linalg.pinv(a)",
    "np.linalg.pinv(b)",
    "np.linalg.pinv(c)",
    "np.linalg.pinv(m, rcond=1e-9)",
    "np.linalg.lstsq(b, u)[:2]",
    "np.linalg.lstsq(b, np.stack([u, p], 1))",
    "np.linalg.lstsq(a, v)",
    "np.linalg.lstsq(m, v)[3]",
    "np.linalg.matrix_rank(a) * 1.0 * s",
    *[
        f"np.linalg.norm(u, {o})"
        for o in ("None", "2", "1", "np.inf", "-np.inf", "3", "2.5", "0.5", "-1", "0")
    ],
    *[f"np.linalg.norm(a, {o!r})" for o in (None, "fro", "nuc", 1, -1, 2, -2)],
    "np.linalg.norm(m, np.inf)",
    "np.linalg.norm(m, -np.inf)",
    "np.linalg.norm(c)",
    "np.linalg.norm(a, axis=1)",
    "np.linalg.norm(a, axis=0, keepdims=True)",
    "np.linalg.norm(a, 1, axis=1)",
    "np.linalg.norm(c, axis=(0, 2))",
    "np.linalg.norm(c, 'nuc', axis=(2, 0))",
    "np.linalg.norm(c, 1, (2, 0))",
    "np.linalg.norm(c, np.inf, (0, 1), keepdims=True)",
    "np.linalg.norm(c, keepdims=True)",
    "np.linalg.norm(c, 2, axis=(-1, -3))",
    "np.linalg.norm(u, keepdims=True)",
    "np.linalg.vector_norm(a)",
    "np.linalg.vector_norm(c, axis=(0, 2), ord=3, keepdims=True)",
    "np.linalg.matrix_norm(c)",
    "np.linalg.matrix_norm(c, ord=1, keepdims=True)",
    "np.linalg.cond(m)",
    "np.linalg.cond(m, 1)",
    "np.linalg.cond(m, 'fro')",
    "np.linalg.cond(m, -2)",
    "np.linalg.matrix_transpose(c)",
]


@pytest.mark.parametrize("form", FORMS)
def test_value_and_derivative_are_numpys(form):
    check(form, rtol=1e-6)


def test_a_norm_of_zero_has_derivative_zero():
    zero = np.zeros((2, 2))
    for order in (None, "fro"):
        assert (grad(lambda x, o=order: np.linalg.norm(x, o))(zero) == 0.0).all()
    for order in (2, 1, np.inf, 3, 1.5):
        gradient = grad(lambda x, o=order: np.linalg.norm(x, o))(zero[0])
        assert (gradient == 0.0).all(), order
    gradient = grad(lambda x: np.sum(np.linalg.norm(x, axis=1)))(np.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(gradient, [[0.0, 0.0], [0.6, 0.8]])


def test_the_determinant_of_a_singular_matrix_has_a_derivative():
    a = np.array([[1.0, 2.0], [2.0, 4.0]])
    np.testing.assert_allclose(grad(np.linalg.det)(a), [[4.0, -2.0], [-2.0, 1.0]], atol=1e-14)
    assert (grad(np.linalg.det)(np.zeros((3, 3))) == 0.0).all()


def test_only_one_triangle_is_read():
    a = np.array([[4.0, 1.0], [1.0, 3.0]])
    assert grad(lambda x: np.sum(np.linalg.cholesky(x)))(a)[0, 1] == 0.0
    assert grad(lambda x: np.sum(np.linalg.eigvalsh(x) ** 3))(a)[0, 1] == 0.0
    assert grad(lambda x: np.sum(np.linalg.eigvalsh(x, "U") ** 3))(a)[1, 0] == 0.0


def test_vectors_of_equal_eigenvalues_have_no_derivative():
    gradient = grad(lambda x: np.sum(np.linalg.eigh(x)[1][0] * np.array([1.0, 2.0])))(np.eye(2))
    assert not np.isfinite(gradient).all()
    np.testing.assert_allclose(grad(lambda x: np.sum(np.linalg.eigvalsh(x)))(np.eye(2)), np.eye(2))


@pytest.mark.parametrize(
    ("f", "shape", "error", "match"),
    [
        (lambda x: np.linalg.svd(x)[1].sum(), (2, 3), ArgumentError, "full_matrices=False"),
        (lambda x: np.linalg.svd(x, hermitian=True)[1].sum(), (2, 2), ArgumentError, "eigh"),
        (lambda x: np.linalg.qr(x)[1].sum(), (2, 3), ShapeError, "as many rows"),
        (lambda x: np.linalg.qr(x, "complete")[1].sum(), (3, 2), ArgumentError, "mode='complete'"),
        (lambda x: np.linalg.inv(x).sum(), (2, 3), ShapeError, "square"),
        (lambda x: np.linalg.solve(x, np.ones(4)).sum(), (3, 3), ShapeError, "solve"),
        (lambda x: np.linalg.norm(x, 5), (3, 3), ArgumentError, "ord=5"),
        (lambda x: np.linalg.norm(x, "fro"), (3,), ArgumentError, "ord='fro'"),
        (lambda x: np.linalg.norm(x, 2), (2, 2, 2), ShapeError, "one or two axes"),
        (lambda x: np.linalg.matrix_power(x, 2).sum(), (2, 3), ShapeError, "square"),
        (lambda x: np.linalg.eigh(x, "X")[0].sum(), (2, 2), ArgumentError, "UPLO"),
    ],
)
def test_errors_name_the_function(f, shape, error, match):
    with pytest.raises(error, match=match):
        grad(f)(np.eye(4)[: shape[0], : shape[1]] if len(shape) == 2 else np.ones(shape))


# ---------------------------------------------------------------- operators with several results

FACTORISATIONS = [
    ("eigh", {"lower": True}, (4, 4), 2),
    ("eigh", {"lower": False}, (2, 3, 3), 2),
    ("svd", {}, (4, 2), 3),
    ("svd", {}, (3, 3), 3),
    ("svd", {}, (2, 2, 4), 3),
    ("qr", {}, (4, 2), 2),
    ("qr", {}, (3, 3), 2),
    ("qr", {}, (2, 3, 2), 2),
]


@pytest.mark.parametrize(("name", "params", "shape", "count"), FACTORISATIONS)
def test_factorisations_in_every_mode(name, params, shape, count):
    rng = checkers.seeded(name, shape)
    a = rng.normal(size=shape)
    if name == "eigh":
        a = a + np.swapaxes(a, -1, -2)

    def results(x):
        whole = TABLE[name](x, **params)
        return tuple(TABLE["project"](whole, number=i) for i in range(count))

    graph = checkers.graph_of(results, [type_of(a)])
    checkers.types(graph, [a])
    checkers.first_order(graph, [a], rng, name)
    checkers.second_order(graph, [a], rng, name)
    checkers.batching(graph, [a], name)
