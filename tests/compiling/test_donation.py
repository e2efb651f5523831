"""`donate=`: results in the memory of arguments, where that is safe."""

import numpy as np
import pytest

import wengert as wg


def donating(f, *args, donate=0):
    """Call the compiled function with copies; return the arguments used and the results."""
    compiled = wg.compile(f, donate=donate)
    for _ in range(2):
        own = [a.copy() for a in args]
        found = compiled(*own)
        wanted = f(*args)
        for a, b in zip(
            np.atleast_1d(found) if isinstance(found, np.ndarray) else found, wanted, strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-12)
    return own, found


def test_parameters_are_updated_in_place(rng):
    def step(params, x, y):
        def loss(p):
            return np.mean((np.tanh(x @ p["w"] + p["b"]) - y) ** 2)

        value, grads = wg.value_and_grad(loss)(params)
        return value, {k: params[k] - 0.5 * grads[k] for k in params}

    x, y = rng.normal(size=(8, 4)), rng.normal(size=(8, 3))
    params = {"w": rng.normal(size=(4, 3)), "b": np.zeros(3)}
    plain = {k: v.copy() for k, v in params.items()}
    compiled = wg.compile(step, donate=0)
    for _ in range(5):
        before = dict(params)
        value, params = compiled(params, x, y)
        wanted, plain = step(plain, x, y)
        assert params["w"] is before["w"]
        assert params["b"] is before["b"]
        np.testing.assert_allclose(value, wanted, rtol=1e-10)
    np.testing.assert_allclose(params["w"], plain["w"], rtol=1e-10)
    assert "is written into the memory of input" in str(compiled.report(params, x, y))


def test_an_argument_that_is_still_needed_is_not_overwritten_before(rng):
    x, y = rng.normal(size=(4, 4)), rng.normal(size=(4, 4))
    donating(lambda x, y: (x + 1.0, x @ y), x, y)
    donating(lambda x, y: (x.T + y, x), x, y)
    donating(lambda x, y: (x - np.sum(x, axis=0), y * x), x, y, donate=(0, 1))
    donating(lambda x, y: (x / np.sum(np.exp(x), axis=1, keepdims=True), y), x, y)
    donating(lambda x, y: (np.cumsum(x, axis=0) + x, x[::-1] * y), x, y, donate=(0, 1))
    donating(lambda x, y: (x @ x, y + x), x, y, donate=(0, 1))
    donating(lambda x, y: (x, x), x, y)
    donating(lambda x, y: (y, x), x, y, donate=(0, 1))
    donating(lambda x, y: (y + 1.0, x + 1.0, x + y), x, y, donate=(0, 1))
    donating(lambda x, v: (x + v, x * v), x, y[0], donate=(0, 1))
    donating(lambda v, x: (v[0] + x[0], v), y, x, donate=0)


def test_random_programs(rng):
    unary = [
        np.sin,
        np.exp,
        lambda a: a.T,
        lambda a: a[::-1],
        lambda a: a * 2.0,
        lambda a: np.sum(a, axis=0) + a,
        lambda a: a @ a / 4.0,
        lambda a: np.cumsum(a, 1) / 4,
    ]
    for _ in range(30):
        chosen = rng.integers(len(unary), size=6)
        picks = rng.integers(3, size=(6, 2))

        def f(x, y, chosen=chosen, picks=picks):
            values = [x, y, x + y]
            for c, (i, j) in zip(chosen, picks, strict=True):
                values[j] = np.tanh(unary[c](values[i])) + values[j]
            return tuple(values)

        donating(f, rng.normal(size=(3, 3)), rng.normal(size=(3, 3)), donate=(0, 1))


def test_what_must_not_be_overwritten_is_not():
    f = wg.compile(lambda x, y: x + y, donate=0)
    shared = np.ones((2, 3))
    for x, y in [
        (shared, shared),
        (shared[:, :], shared[::-1]),
        (shared.T.copy().T, np.ones((2, 3))),
        (np.broadcast_to(1.0, (2, 3)), shared),
        (np.ones((2, 3), np.float32), shared),
    ]:
        before_x, before_y = x.copy(), y.copy()
        for _ in range(2):
            np.testing.assert_array_equal(f(x, y), before_x + before_y)
            np.testing.assert_array_equal(x, before_x)
            np.testing.assert_array_equal(y, before_y)
    frozen = np.ones((2, 3))
    frozen.flags.writeable = False
    assert f(frozen, shared) is not frozen


def test_only_what_is_donated_is_overwritten(rng):
    f = wg.compile(lambda x, y: (x + 1.0, y + 1.0), donate=1)
    x, y = rng.normal(size=3), rng.normal(size=3)
    kept = x.copy()
    a, b = f(x, y)
    np.testing.assert_array_equal(x, kept)
    assert (b is y) + (a is y) == 1


@pytest.mark.parametrize("f", [lambda x: 1.0, lambda x: np.sum(x), lambda x: x[:1], lambda x: None])
def test_a_donated_array_that_is_not_used_is_no_error(f):
    x = np.ones(3)
    compiled = wg.compile(f, donate=0)
    compiled(x)
    compiled(x)


def test_large_arrays_in_chunks(rng):
    x, g = rng.normal(size=300_000), rng.normal(size=300_000)
    f = wg.compile(lambda x, g: x - 0.1 * np.tanh(g) * np.exp(-x * x), donate=0)
    wanted = x - 0.1 * np.tanh(g) * np.exp(-x * x)
    found = f(x, g)
    assert found is x
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
