"""Sharing: assignments are seen wherever NumPy's own arrays would show them.

Each program runs on NumPy arrays and on traced values; both must end with the same numbers, and the
derivative must be that of the numbers that NumPy computes.
"""

import copy
import textwrap

import numpy as np
import pytest

import wengert.numpy as wnp
from wengert.errors import MutationError
from wengert.transform.gradient import grad, value_and_grad

PROGRAMS = """
y = x.copy(); v = y.T; v[0] = x[:, 1]
y = x.copy(); v = np.transpose(y, (1, 0)); v[1, 2] = x[0, 0] * x[0, 0]
y = x.copy(); v = np.swapaxes(y, 0, 1); y[0] = 5.0; z = v * x.T
y = x.copy(); v = np.moveaxis(y, 0, 1)[1]; v += x[:, 0]
y = x.copy(); v = np.expand_dims(y, 1); v[:, 0, 1] = x[:, 0]
y = x.copy(); v = np.squeeze(np.expand_dims(y, 0)); v[1] = v[1] * v[0]
y = x[0].copy(); v = y.reshape(2, 2); v[0, 1] = x[1, 1]; y[3] = x[0, 0]
y = x[0].copy(); v = y.ravel(); v[1] = x[2, 2] ** 2
y = x[0].copy(); v = np.flip(y); v[0] = x[1, 0]; y[0] = x[1, 1]
y = x.copy(); v = np.fliplr(y); v[:, 0] = 1.0; w = v * 2.0
y = x.copy(); v = np.flipud(y)[0]; v[:] = x[0] * x[0]
y = x.copy(); v = np.rot90(y); v[0] = x[:, 0]
y = x.copy(); v, w = np.split(y, 2, axis=1); v[:] = w * 2.0; w[0] = 3.0
y = x.copy(); parts = np.array_split(y, 2); parts[1][:] = x[0]; parts[0][0, 0] = x[2, 3]
y = x.copy(); v = np.hsplit(y, 2)[1]; v *= x[:, :2]
y = x.copy(); v = np.diagonal(y); y[1, 1] = x[0, 3]; z = v * v
y = x.copy(); v = np.broadcast_to(y[0], (2, 4)); y[0, 1] = x[2, 2]; z = v * v
y = x.copy(); v = np.atleast_3d(y); v[0, 1, 0] = x[1, 1]
y = x[0].copy(); v = np.atleast_2d(y); v[0, 2] = x[1, 1]
y = x.copy(); v = y[1:][:, ::2].T; v[0, 1] = x[0, 0]; v[1] *= x[0, 1]
y = x.copy(); v = y.flatten(); v[0] = 9.0
y = x[0].copy(); v = np.roll(y, 1); v[0] = 9.0; y[1] = x[2, 2]
y = x[0].copy(); v = np.tile(y, 1); v[0] = 9.0
y = x[0].copy(); v = np.repeat(y, 1); v[0] = 9.0; y[0] = 7.0
y = x[0].copy(); v = np.pad(y, 0); v[0] = 9.0
y = x[0].copy(); v = np.concatenate([y]); y[0] = x[1, 1]; z = v * v
y = x[0].copy(); v = np.clip(y, None, 1e9); v[0] = 9.0
y = x[0].copy(); v = y.astype(float); v[0] = 9.0
y = x[0].copy(); v = wnp.array(y); v[0] = 9.0
y = x[0].copy(); v = np.sum(y[None], axis=0); v[0] = 9.0
y = x[0].copy(); v = np.take(y, [0, 1]); v[0] = 9.0
y = x[0].copy(); v = np.sort(y); v[0] = 9.0
y = x[0].copy(); v = np.where(y > -99, y, 0.0); v[0] = 9.0
y = x[0].copy(); v = np.real(y); v[0] = x[1, 1]
y = x[0].copy(); v = np.nan_to_num(y); v[0] = 9.0
y = x[0].copy(); v = np.diff(y, n=0); v[0] = x[1, 1]
y = x[0].copy(); y.sort(); z = y * y
y = x.copy(); y.sort(axis=0); y[0] *= 2.0
y = x.copy(); y.fill(2.0); y[1] = x[0]
y = x.copy(); y[1].sort(); y.T[0].fill(1.0)
y = x[0].copy(); y.put([0, 2], x[1, :2])
y = x.copy(); np.fill_diagonal(y[:, :3], x[0, :3])
y = x.copy(); np.copyto(y, x[0] * 2.0, where=y > 0)
y = x.copy(); np.put_along_axis(y, np.array([[0], [2], [1]]), x[:, :1] * 3.0, axis=1)
y = x.copy(); np.multiply(y[0], x[1], out=y[0]); np.exp(y[1:], out=y[1:])
y = x.copy(); np.sum(x, axis=0, out=y[2])
y = x.copy(); v = np.unstack(y)[1] if hasattr(np, 'unstack') else y[1]; v[0] = x[2, 2]
y = x.copy(); v = np.broadcast_arrays(y, x)[0]; z = v * 2.0; y[0] = 1.0
y = np.zeros_like(x); y[0] = x[1]; v = np.ones_like(x)[0]; v[1] = x[0, 0]
y = np.full_like(x, 2.0); y[0, 0] = x[1, 1]; v = np.empty_like(x); v[:] = x * x
y = x.copy(); v = np.reshape(y, (3, 4)); v[0] = x[1]
y = x[:, :1].copy(); v = y.squeeze(); v[1] = x[0, 0]; y[2, 0] = x[0, 1]
y = x.copy(); v = np.einsum('ij->ji', y); y[0, 1] = x[2, 2]; z = v * v
y = x.copy(); np.nan_to_num(y, copy=False); y[0] *= 2.0
y = x[0].copy(); v = np.trim_zeros(y); v = v * 1.0; y[0] = 3.0
y = x.copy(); v = y[:3, :3]; v @= x[:3, :3]
b = x > 0; c = b[0]; c &= x[1] > 0; c |= x[2] > 0.5; c ^= x[0] > 0.9; z = np.where(b, x, 0.0)
y = x.copy(); v = copy.copy(y[0]); v[0] = 9.0; w = copy.deepcopy(y.T); w[0] = 1.0
y = x.copy(); np.put(y, [0, 5, -1], x[0, :2]); np.place(y, x > 0.9, [x[0, 0]])
y = x.copy(); np.putmask(y, x > 0.5, x * x)
y = x[0].copy(); v = np.delete(y, [], 0); v[0] = 9.0
""".strip().splitlines()


def _run(program, x):
    names = {"np": np, "wnp": wnp, "copy": copy, "x": x}
    exec(textwrap.dedent(program.replace("; ", "\n")), names)
    return [names[k] for k in ("y", "v", "w", "z") if k in names]


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_that_assign(program):
    x = np.cos(np.arange(12.0) ** 2).reshape(3, 4) + 0.1

    def f(x):
        found = _run(program, x)
        total = 0.0 * np.sum(x)
        for number, y in enumerate(found):
            weights = np.cos(number + np.arange(float(np.size(y)))).reshape(np.shape(y))
            total = total + np.sum(weights * y)
        return total, found

    (value, found), gradient = value_and_grad(f, has_aux=True)(x)
    expected_value, expected = f(x.copy())
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-13, err_msg=program)
    np.testing.assert_allclose(value, expected_value, rtol=1e-12)
    direction = np.sin(np.arange(12.0)).reshape(3, 4)
    step = 1e-6
    difference = (f(x + step * direction)[0] - f(x - step * direction)[0]) / (2 * step)
    np.testing.assert_allclose(np.sum(gradient * direction), difference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "change",
    [
        lambda y: np.diagonal(y).__setitem__(0, 1.0),
        lambda y: np.broadcast_to(y, (2, 2, 2)).__setitem__((0, 0, 0), 1.0),
        lambda y: np.einsum("ii->i", y).__setitem__(0, 1.0),
        lambda y: y.reshape(-1).__setitem__(0, 1.0),
    ],
)
def test_what_cannot_be_assigned_is_refused(change):
    def f(x):
        change(x * 2.0)
        return x.sum()

    with pytest.raises(MutationError):
        grad(f)(np.ones((2, 2)))


def test_creation_inside_a_transformation_can_be_assigned_to():
    def f(x):
        out = wnp.zeros(3)
        out[0] = x
        grid = wnp.empty((2, 2))
        grid[...] = wnp.array([[x, 1.0], [2.0, x * x]])
        line = wnp.arange(3.0)
        line[1] = x * 3.0
        eye = wnp.eye(2)
        eye[0, 1] = x
        filled = wnp.full(2, x)
        filled[0] = 0.0
        return out.sum() + grid.sum() + line.sum() + eye.sum() + filled.sum() + wnp.ones(2).sum()

    assert grad(f)(2.0) == 1 + 1 + 4 + 3 + 1 + 1


def test_the_argument_is_not_modified():
    x = np.ones(3)

    def f(x):
        x[0] = 5.0
        x.sort()
        return np.sum(x * x)

    np.testing.assert_allclose(grad(f)(x), [0.0, 2.0, 2.0])
    assert (x == 1.0).all()
