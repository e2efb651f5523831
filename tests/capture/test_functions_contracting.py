"""Products that sum, over NumPy's argument forms."""

import numpy as np
import pytest
from tests.capture.forms import check

NEW = {"matvec": "2.2.0", "vecmat": "2.2.0"}

FORMS = [
    "np.matmul(a, b)",
    "a @ b",
    "np.matmul(u, b)",
    "np.matmul(a, u)",
    "u @ u",
    "np.matmul(c, b)",
    "c @ u",
    "v @ c",
    "np.matmul(c, np.swapaxes(c, 1, 2))",
    "np.matmul(t, m)",
    "m @ t",
    "np.matmul(t[:, None], t[None])",
    "np.matmul(t[:1], t)",
    "np.ones((2, 3)) @ a",
    "a @ np.ones((4, 2))",
    "[1.0, 2.0, 3.0] @ a",
    "np.vecdot(a, r)",
    "np.vecdot(c, u)",
    "np.vecdot(a, a, axis=0)",
    "np.linalg.vecdot(a, u)",
    "np.dot(a, b)",
    "np.dot(u, p)",
    "np.dot(a, u)",
    "np.dot(v, a)",
    "np.dot(c, b)",
    "np.dot(a, 2.0)",
    "np.dot(s, a)",
    "np.dot(c, np.ones((5, 4, 2)))",
    "a.dot(b)",
    "np.vdot(a, 2 * a)",
    "np.vdot(u, p)",
    "np.inner(u, p)",
    "np.inner(a, r)",
    "np.inner(c, a)",
    "np.inner(s, a)",
    "np.outer(u, v)",
    "np.outer(a, b)",
    "np.outer(s, u)",
    "np.linalg.outer(u, v)",
    "np.kron(a, b)",
    "np.kron(u, v)",
    "np.kron(u, a)",
    "np.kron(s, a)",
    "np.kron(c, b)",
    "np.tensordot(a, b, 1)",
    "np.tensordot(a, a)",
    "np.tensordot(a, b, axes=0)",
    "np.tensordot(c, a, axes=([1, 2], [0, 1]))",
    "np.tensordot(c, a, axes=((2, 1), (1, 0)))",
    "np.tensordot(c, a, axes=(1, 0))",
    "np.tensordot(c, b, axes=(-1, 0))",
    "np.cross(v, m)",
    "np.cross(m, v[::-1])",
    "np.cross(m, m + 1, axis=0)",
    "np.cross(a, a * a, axisa=0, axisb=0, axisc=0)",
    "np.cross(c, c * c + 1, axis=1)",
    "np.linalg.cross(v, 2 * v[::-1])",
    "np.linalg.multi_dot([a, b, b.T])",
    "np.linalg.multi_dot([v, a, b])",
    "np.linalg.multi_dot([v, a, u])",
    "np.linalg.multi_dot([a, u])",
    "np.linalg.matmul(a, b)",
    "np.linalg.tensordot(a, b, axes=1)",
    "np.trace(m)",
    "np.trace(a, 1)",
    "np.trace(c, 0, 1, 2)",
    "np.trace(c, offset=-1, axis1=2, axis2=0)",
    "np.linalg.trace(t)",
    "np.linalg.trace(c, offset=1)",
    "np.matvec(t, v)",
    "np.matvec(a, p)",
    "np.vecmat(v, t)",
    "np.add.outer(a, u)",
    "np.multiply.outer(u, v)",
    "np.subtract.outer(s, a)",
    "np.maximum.outer(u, w)",
    "np.power.outer(p, u)",
    "np.convolve(u, w)",
    "np.convolve(w, u, 'same')",
    "np.convolve(u, w, 'valid')",
    *[
        f"np.{f}({x}, {y}, {m!r})"
        for f in ("correlate", "convolve")
        for x, y in (("w", "u"), ("u", "w"), ("w", "v"), ("v", "w"), ("u", "u"))
        for m in ("full", "same", "valid")
    ],
    "np.correlate(w, [1.0, 2.0])",
    "np.polymul(u, v)",
    "np.polyadd(u, v)",
    "np.polyval(u, a)",
    "np.polyval(u, 2.0)",
    "np.polyval([1.0, 2.0], s)",
    "np.polyder(u)",
    "np.vander(u)",
    "np.vander(u, 3, increasing=True)",
]

EINSUM = [
    ("ij,jk->ik", "a, b"),
    ("ij,jk", "a, b"),
    ("ij,jk->", "a, b"),
    ("ij->ji", "a"),
    ("ji", "a"),
    ("ij->", "a"),
    ("ij->i", "a"),
    ("ij->j", "a"),
    ("ii->i", "m"),
    ("ii", "m"),
    ("ii->", "m"),
    ("i,i->", "u, p"),
    ("i,i", "u, p"),
    ("i,j->ij", "u, v"),
    ("i,j->ji", "u, v"),
    ("i,j->j", "u, v"),
    ("ijk,kl->ijl", "c, b"),
    ("ijk,kl->jl", "c, b"),
    ("ijk,k->", "c, u"),
    ("ijk->kij", "c"),
    ("...k,kl->...l", "c, b"),
    ("...k,kl", "c, b"),
    ("i...->...", "c"),
    ("...->...", "a"),
    ("...ij->...ji", "c"),
    ("...ij,...jk->...ik", "t, m"),
    ("bij,bjk->bik", "t, t"),
    ("bij,bjk,bkl->bil", "t, t, t"),
    ("ij,jk,kl->il", "a, b, b.T"),
    ("ij,ij->ij", "a, a"),
    ("ij,ij", "a, a"),
    ("ij,kl->", "a, b"),
    ("i,ij,j->", "v, a, u"),
    ("i,ij,j", "v, a, u"),
    ("ijk,ijk->i", "c, c"),
    ("iij->j", "np.ones((2, 2, 3)) * s"),
    ("iji->j", "np.stack([m, m, m])"),
    ("ii,i->i", "m, v"),
    ("ij,j->ij", "r, u"),
    ("ij,ij->ij", "a, r"),
    ("ij,jk->ik", "np.ones((3, 1)) * s, np.ones((4, 2)) * s"),
    (",->", "s, s"),
    (",i->i", "s, u"),
    ("i->", "u"),
    ("i->i", "u"),
    (" ij , jk -> ik ", "a, b"),
    ("ij,j", "a, p"),
    ("ba", "a"),
    ("ijj->i", "np.stack([m, m])"),
    ("i,i,i->i", "u, u, p"),
    ("ab,ac->bc", "a, a"),
]


@pytest.mark.parametrize("form", FORMS)
def test_value_and_derivative_are_numpys(form):
    for name, version in NEW.items():
        if name in form and np.lib.NumpyVersion(np.__version__) < version:
            pytest.skip(f"needs NumPy {version}")
    check(form)


@pytest.mark.parametrize(("spec", "operands"), EINSUM)
def test_einsum_is_numpys(spec, operands):
    check(f"np.einsum({spec!r}, {operands})")


@pytest.mark.parametrize(
    "form",
    [
        "np.einsum(a, [0, 1], b, [1, 2], [0, 2])",
        "np.einsum(a, [0, 1], b, [1, 2])",
        "np.einsum(c, [..., 5], u, [5], [...])",
        "np.einsum('ij,jk->ik', a, b, optimize=True)",
    ],
)
def test_the_other_calling_forms_of_einsum(form):
    check(form)
