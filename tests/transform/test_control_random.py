"""Random loop bodies: the structured loop agrees with the same body run by Python, everywhere."""

import dataclasses

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import wengert as wg
from wengert.transform.control import cond, fori_loop, scan, while_loop

UNARY = {
    "sin": np.sin,
    "tanh": np.tanh,
    "square": np.square,
    "half": lambda a: 0.5 * a,
    "flip": lambda a: a[::-1],
    "sum": lambda a: 0.3 * np.sum(a) + a,
    "first": lambda a: a[0] * np.ones(2),
    "matrix": lambda a: np.array([[0.3, -0.7], [0.2, 0.5]]) @ a,
    "relu": lambda a: np.maximum(a, 0.1),
}
BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "choose": lambda a, b: np.where(a > b, a, b * a),
}

# An expression over carry c, element x and closed-over w: a list of steps on a stack of values.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(sorted(UNARY)), st.integers(0, 20)),
        st.tuples(st.sampled_from(sorted(BINARY)), st.integers(0, 20), st.integers(0, 20)),
    ),
    min_size=2,
    max_size=7,
)


def evaluate(steps, *values):
    values = list(values)
    for name, *at in steps:
        operands = [values[k % len(values)] for k in at]
        values.append((UNARY if len(at) == 1 else BINARY)[name](*operands))
    # Bounded, so that loops don't overflow.
    return np.tanh(values[-1]), values[-2]


def with_scan(steps, reverse):
    def f(c, w, xs):
        carry, ys = scan(lambda c, x: evaluate(steps, c, x, w), c, xs, reverse=reverse)
        return np.sum(carry) + np.sum(np.sin(ys))

    return f


def with_python(steps, reverse):
    def f(c, w, xs):
        total = 0.0
        for x in xs[::-1] if reverse else xs:
            c, y = evaluate(steps, c, x, w)
            total = total + np.sum(np.sin(y))
        return np.sum(c) + total

    return f


def with_while(steps):
    def f(c, w):
        return np.sum(
            while_loop(
                lambda s: s[1] < 3, lambda s: (evaluate(steps, s[0], w)[0], s[1] + 1), (c, 0)
            )[0]
        )

    return f


def with_python_while(steps):
    def f(c, w):
        for _ in range(3):
            c = evaluate(steps, c, w)[0]
        return np.sum(c)

    return f


def draw(*shape):
    return np.random.default_rng(len(shape)).uniform(-1.0, 1.0, shape)


def compare(f, g, args, argnums):
    """Values, gradients, second derivatives in both nestings, batches of each."""

    def close(a, b):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-8, atol=1e-9)

    np.testing.assert_allclose(f(*args), g(*args), rtol=1e-12)
    close(wg.grad(f, argnums)(*args), wg.grad(g, argnums)(*args))
    tangents = tuple(np.cos(a + 1.0) for a in args)
    for both in zip(wg.jvp(f, args, tangents), wg.jvp(g, args, tangents), strict=True):
        np.testing.assert_allclose(*both, rtol=1e-8, atol=1e-10)

    def along(h):
        return lambda *xs: wg.jvp(h, xs, tangents)[1]

    close(wg.grad(along(f), argnums)(*args), wg.grad(along(g), argnums)(*args))

    def slope(h):
        return lambda *xs: sum(
            np.sum(t * d) for t, d in zip(tangents, wg.grad(h, argnums)(*xs), strict=True)
        )

    close(wg.grad(slope(f), argnums)(*args), wg.grad(slope(g), argnums)(*args))
    batch = [np.stack([a, a * 0.5]) for a in args]
    axes = (0, None, *[0] * (len(args) - 2))
    given = [b if axis == 0 else a for a, b, axis in zip(args, batch, axes, strict=True)]
    close(wg.vmap(wg.grad(f, argnums), axes)(*given), wg.vmap(wg.grad(g, argnums), axes)(*given))

    def total(h):
        return lambda *xs: np.sum(wg.vmap(h, axes)(*xs))

    close(wg.grad(total(f), argnums)(*given), wg.grad(total(g), argnums)(*given))


@hypothesis.settings(max_examples=25)
@hypothesis.given(STEPS, st.booleans())
def test_a_scan_is_the_loop_unrolled(steps, reverse):
    args = (draw(2), draw(2) * 0.7, draw(3, 2))
    compare(with_scan(steps, reverse), with_python(steps, reverse), args, (0, 1, 2))


@hypothesis.settings(max_examples=15)
@hypothesis.given(STEPS)
def test_a_while_loop_is_the_loop_unrolled(steps):
    args = (draw(2), draw(2) * 0.7)
    compare(with_while(steps), with_python_while(steps), args, (0, 1))


@hypothesis.settings(max_examples=15)
@hypothesis.given(STEPS, STEPS)
def test_a_cond_is_the_branch_taken(true, false):
    def f(c, w):
        return np.sum(
            cond(c[0] > 0.0, lambda c: evaluate(true, c, w), lambda c: evaluate(false, c, w), c)[0]
        )

    def g(c, w):
        a, b = [np.sum(evaluate(s, c, w)[0]) for s in (true, false)]
        return np.where(c[0] > 0.0, a, b)

    for c in (draw(2), -draw(2)):
        compare(f, g, (c, draw(2) * 0.7), (0, 1))


# ---------------------------------------------------------------- unusual trees


@dataclasses.dataclass(frozen=True)
class State:
    """A carry with fields."""

    position: object
    velocity: object


def test_dataclasses_are_carries():
    def step(s, force):
        velocity = s.velocity + 0.1 * force
        return State(s.position + 0.1 * velocity, velocity), {"x": s.position}

    def f(x, v):
        last, path = scan(step, State(x, v), np.ones(4))
        assert isinstance(last, State)
        return last.position + np.sum(path["x"])

    wg.check_grads(f, (0.2, 0.3))


@pytest.mark.parametrize("nothing", [None, (), {}])
def test_nothing_is_a_carry_a_result_and_an_operand(nothing):
    assert scan(lambda c, x: (c, 2.0 * x), nothing, np.ones(2))[0] == nothing
    np.testing.assert_array_equal(scan(lambda c, x: (c, 2.0 * x), nothing, np.ones(2))[1], [2, 2])
    assert scan(lambda c, x: (c + 1.0, nothing), 0.0, nothing, length=3) == (3.0, nothing)
    assert cond(True, lambda x: x, lambda x: x, nothing) == nothing
    assert fori_loop(0, 3, lambda i, c: c, nothing) == nothing
    assert while_loop(lambda c: False, lambda c: c, nothing) == nothing
    graph = wg.trace(lambda x: scan(lambda c, x: (c, None), nothing, x)[0], np.ones(2))
    assert graph.verify().outputs == ()
