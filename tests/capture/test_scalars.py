"""Arrays without axes: NumPy's scalars share nothing, its views without axes share an element."""

import numpy as np
import pytest

import wengert as wg


def both(f, *args):
    """The same program by NumPy and captured."""
    expected = f(*[np.copy(a) if np.ndim(a) else np.float64(a) for a in args])
    value, _ = wg.value_and_grad(f)(*args)
    assert value == expected
    return value


@pytest.mark.parametrize(
    "widen",
    [
        np.atleast_1d,
        lambda s: s.reshape(1),
        lambda s: s.reshape(-1),
        lambda s: s[None],
        lambda s: np.expand_dims(s, 0),
        lambda s: np.ravel(s),
        lambda s: np.reshape(s, (1,)),
        lambda s: np.atleast_2d(s)[0],
    ],
)
def test_an_array_made_of_a_scalar_does_not_share_it(widen):
    def f(x):
        s = x[0] * 2.0
        y = widen(s)
        y[0] = 50.0
        y += 1.0
        return s + y[0] * x[1]

    both(f, np.array([1.0, 3.0]))


def test_a_scalar_changed_in_place_is_bound_anew():
    def f(x):
        s = x[0]
        t = s
        s += 1.0
        s *= 2.0
        return s * 10.0 + t + x[0]

    both(f, np.array([1.0, 3.0]))


@pytest.mark.parametrize(
    "narrow",
    [
        lambda y: y[0, ...],
        lambda y: y[..., 0],
        lambda y: y[:1].reshape(()),
        lambda y: np.squeeze(y[:1]),
    ],
)
@pytest.mark.parametrize("change", ["assign", "add", "power", "base"])
def test_a_view_without_axes_shares_its_element(narrow, change):
    def f(x):
        y = x * 1.0
        v = narrow(y)
        if change == "assign":
            v[...] = x[1] * 5.0
        elif change == "add":
            v += x[1]
        elif change == "power":
            v **= 2
        else:
            y[0] = x[1] * 7.0
        return np.sum(y * y) + v * 3.0

    both(f, np.array([1.5, 3.0]))


def test_a_number_read_by_an_integer_does_not_follow_its_array():
    def f(x):
        y = x * 1.0
        v = y[0]
        y[0] = 9.0
        return v + np.sum(y)

    both(f, np.array([1.5, 3.0]))


def test_a_broadcast_scalar_is_read_only():
    with pytest.raises(wg.errors.MutationError, match="read-only"):
        wg.grad(lambda x: np.broadcast_to(x, (3,)).__setitem__(0, 1.0))(1.0)
