"""`wg.random`: published vectors, distributions, and the same draws however they are computed."""

import numpy as np
import pytest
from scipy import stats

import wengert as wg
from wengert.errors import ArgumentError, DTypeError, ShapeError
from wengert.ops import TABLE

R = wg.random
KEY = R.key(1964)


def equal(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


# Random123's kat_vectors: counter, key, and what Threefry-2x32 with 20 rounds makes of them.
VECTORS = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize(("counter", "key", "wanted"), VECTORS)
def test_the_published_vectors(counter, key, wanted):
    whole = [np.uint64(low | high << 32) for low, high in (key, counter, wanted)]
    threefry = TABLE["threefry"]
    assert threefry(*whole[:2]) == whole[2]
    compiled = wg.compile(lambda k, c: threefry(k, c))
    assert compiled(*whole[:2]) == whole[2]
    many = compiled(whole[0], np.full(37, whole[1]))
    np.testing.assert_array_equal(many, np.full(37, whole[2]))


def test_bits_are_those_of_the_counter():
    positions = np.arange(12, dtype=np.uint64)
    both = TABLE["threefry"](KEY, positions)
    np.testing.assert_array_equal(R.bits(KEY, (3, 4), np.uint64).ravel(), both)
    np.testing.assert_array_equal(R.bits(KEY, 12), both.astype(np.uint32))
    drawn = R.bits(KEY, (2, 20_000))  # more than are computed at a time
    np.testing.assert_array_equal(R.bits(KEY, 40_000), drawn.ravel())


# ---------------------------------------------------------------- distributions


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_uniform_numbers_are_uniform(dtype):
    x = R.uniform(KEY, (20_000,), dtype)
    assert x.dtype == dtype
    assert x.min() >= 0
    assert x.max() < 1
    if dtype != np.float16:
        assert stats.kstest(x, "uniform").pvalue > 1e-3
    y = R.uniform(KEY, (20_000,), dtype, low=-1.0, high=3.0)
    np.testing.assert_allclose(
        y, 4 * x.astype(float) - 1, atol=4e-3 if dtype == np.float16 else 1e-6
    )
    assert y.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_normal_numbers_are_normal(dtype):
    x = R.normal(KEY, (20_000,), dtype)
    assert x.dtype == dtype
    if dtype != np.float16:
        assert stats.kstest(x, "norm").pvalue > 1e-3
    assert abs(float(x.mean(dtype=float))) < 0.03
    assert abs(np.corrcoef(x[:-1].astype(float), x[1:].astype(float))[0, 1]) < 0.03


def test_integers_are_in_range_and_evenly_spread():
    drawn = R.randint(KEY, -3, 7, (50_000,))
    values, counts = np.unique(drawn, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(-3, 7))
    assert stats.chisquare(counts).pvalue > 1e-3
    assert R.randint(KEY, 5, dtype=np.int8).dtype == np.int8
    wide = R.randint(KEY, 1 << 32, shape=(10_000,))
    assert wide.min() >= 0
    assert wide.max() < 1 << 32
    assert wide.max() > 4_000_000_000


def test_true_with_a_probability():
    assert abs(R.bernoulli(KEY, 0.3, (20_000,)).mean() - 0.3) < 0.01
    assert not R.bernoulli(KEY, 0.0, (1000,)).any()
    assert R.bernoulli(KEY, 1.0, (1000,)).all()
    assert R.bernoulli(KEY, np.array([0.0, 1.0])).tolist() == [False, True]


def test_permutations():
    order = R.permutation(KEY, 100)
    np.testing.assert_array_equal(np.sort(order), np.arange(100))
    assert not np.array_equal(order, np.arange(100))
    rows = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(R.permutation(KEY, rows), rows[R.permutation(KEY, 3)])
    firsts = [int(R.permutation(R.fold_in(KEY, k), 4)[0]) for k in range(400)]
    assert stats.chisquare(np.bincount(firsts)).pvalue > 1e-3


def test_new_keys_are_different_and_their_draws_unrelated():
    keys = [KEY, *R.split(KEY, 20), *[R.fold_in(KEY, k) for k in range(20)], R.fold_in(KEY, -1)]
    assert len({int(k) for k in keys}) == len(keys)
    drawn = np.stack([R.normal(k, (2000,)) for k in keys])
    related = np.corrcoef(drawn) - np.eye(len(keys))
    assert np.abs(related).max() < 0.1
    # What is drawn of a key is not what its new keys are.
    assert not set(R.split(KEY, 20).tolist()) & set(R.bits(KEY, 20, np.uint64).tolist())


def test_seeds():
    assert R.key(7) == 7
    assert R.key(-1) == np.uint64(2**64 - 1)
    assert R.key(np.int32(7)).dtype == np.uint64
    np.testing.assert_array_equal(R.key(np.arange(3)), np.arange(3, dtype=np.uint64))


# ---------------------------------------------------------------- the same, compiled


SHAPES = [(), (1,), (7,), (8,), (1003,), (2, 1, 3), (0, 3), (3, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_compiled_draws_are_the_same_to_the_bit(shape):
    def draws(key):
        a, b = R.split(key)
        return (
            R.bits(a, shape),
            R.bits(b, shape, np.uint64),
            R.uniform(a, shape, np.float32),
            R.uniform(b, shape),
            R.uniform(b, shape, np.float16),
            R.bernoulli(a, 0.4, shape),
            R.randint(b, -5, 1000, shape),
            R.fold_in(a, 3),
        )

    equal(wg.compile(draws)(KEY), draws(KEY))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_compiled_normal_numbers_agree_to_rounding(dtype):
    def draw(key):
        return R.normal(key, (301, 7), dtype)

    found, wanted = wg.compile(draw)(KEY), draw(KEY)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=8 * np.finfo(dtype).eps)


def test_large_draws_in_parallel():
    def draw(key):
        return R.uniform(key, (700, 1100), np.float32), R.bits(key, 1_000_003)

    equal(wg.compile(draw)(KEY), draw(KEY))


def test_positions_in_a_nest_of_other_axes():
    x = np.linspace(-1.0, 1.0, 6).reshape(2, 3)

    def f(key, x):
        rows = R.uniform(key, (2, 1))  # the same for all of a row
        columns = R.uniform(key, (3,))
        noise = R.uniform(key, (4, 2, 3)) + x * rows - columns
        centred = noise - np.max(noise, axis=2, keepdims=True)
        return centred, np.sum(R.uniform(key, (5, 4), np.float32), axis=0), noise.T * 2.0

    for a, b in zip(wg.compile(f)(KEY, x), f(KEY, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-12)


def test_another_size_needs_no_kernel():
    compiled = wg.compile(lambda key, x: x + R.uniform(key, x.shape))
    for n in (5, 6, 16, 100):
        x = np.ones((n, 3))
        np.testing.assert_array_equal(compiled(KEY, x), x + R.uniform(KEY, (n, 3)))
        origins = {s.origin for s in compiled.report(KEY, x).steps if hasattr(s, "origin")}
        assert n == 5 or "llvm" not in origins


# ---------------------------------------------------------------- under transformations


@pytest.mark.parametrize("wrap", [lambda f: f, wg.compile], ids=["interpreted", "compiled"])
def test_a_batch_of_keys_is_a_loop(wrap):
    def draws(key):
        return (
            R.uniform(key, (4, 3)),
            R.normal(key),
            R.split(key, 3),
            R.permutation(key, 6),
            R.fold_in(key, 2),
        )

    keys = R.split(KEY, 5)
    found = wrap(wg.vmap(draws))(keys)
    for k, key in enumerate(keys):
        for a, b in zip(found, draws(key), strict=True):
            np.testing.assert_allclose(a[k], b, rtol=1e-13)


@pytest.mark.parametrize("wrap", [lambda f: f, wg.compile], ids=["interpreted", "compiled"])
def test_derivatives_by_mean_and_deviation(wrap):
    def loss(loc, scale, key):
        return np.sum(R.normal(key, (50,), loc=loc, scale=scale) ** 2)

    loc, scale = wrap(wg.grad(loss, argnums=(0, 1)))(0.5, 2.0, KEY)
    z = R.normal(KEY, (50,))
    np.testing.assert_allclose(loc, np.sum(2 * (0.5 + 2 * z)), rtol=1e-12)
    np.testing.assert_allclose(scale, np.sum(2 * z * (0.5 + 2 * z)), rtol=1e-12)
    low, high = wrap(wg.grad(lambda a, b: np.sum(R.uniform(KEY, 9, low=a, high=b)), (0, 1)))(
        1.0, 2.0
    )
    np.testing.assert_allclose(low + high, 9.0, rtol=1e-12)


def walk(x, key):
    """Steps of a random walk with a key for each step, and a turn at random."""

    def step(x, k):
        own = R.fold_in(key, k)
        moved = x * (1.0 + 0.1 * R.normal(own, x.shape))
        turned = wg.cond(R.bernoulli(R.fold_in(own, 1)), lambda x: -np.sin(x), np.cos, moved)
        return turned, np.sum(turned)

    x, sums = wg.scan(step, x, np.arange(9))
    return np.sum(x * x) + np.sum(sums)


def waited(x, key):
    """Steps until a draw says enough."""

    def step(state):
        x, key, _ = state
        key, own = R.split(key)
        return x * (1.0 + R.uniform(own, x.shape)), key, R.uniform(R.fold_in(own, 1)) < 0.8

    return np.sum(wg.while_loop(lambda s: s[2], step, (x, key, np.True_))[0])


@pytest.mark.parametrize("f", [walk, waited])
def test_draws_in_loops_and_branches(f):
    x = np.linspace(0.5, 1.5, 11)
    value, gradient = wg.value_and_grad(f)(x, KEY)
    found = wg.compile(wg.value_and_grad(f))(x, KEY)
    np.testing.assert_allclose(found[0], value, rtol=1e-12)
    np.testing.assert_allclose(found[1], gradient, rtol=1e-11)
    wg.check_grads(lambda x: f(x, KEY), (x,))
    other = wg.compile(wg.value_and_grad(f))(x, R.fold_in(KEY, 1))
    assert not np.array_equal(other[1], found[1])


def dropped(x, key):
    for k in range(24):
        x = wg.nn.dropout(np.tanh(x * 1.1), 0.2, R.fold_in(key, k))
        x = x + 0.01 * R.uniform(R.fold_in(key, 100 + k), x.shape)
    return np.sum(x * x)


@pytest.mark.parametrize("wrap", [lambda f: f, wg.compile], ids=["interpreted", "compiled"])
def test_what_is_drawn_again_within_a_budget_is_the_same(wrap):
    x = np.linspace(-1.0, 1.0, 4000)
    ordinary = wrap(wg.grad(dropped))(x, KEY)
    within = wrap(wg.grad(dropped, memory=12 * x.nbytes))(x, KEY)
    np.testing.assert_array_equal(within, ordinary)
    again = wrap(wg.grad(wg.checkpoint(dropped)))(x, KEY)
    np.testing.assert_array_equal(again, ordinary)


def test_draws_of_a_recorded_program_take_no_memory_that_a_budget_does_not_know():
    x = np.linspace(-1.0, 1.0, 4000)
    found = wg.explain(lambda x: dropped(x, KEY))(x).memory(14 * x.nbytes)
    assert found.measured <= 1.1 * found.predicted
    assert found.predicted <= 14 * x.nbytes


def test_a_key_from_outside_is_a_constant():
    f = wg.compile(lambda x: x + R.uniform(KEY, x.shape))
    np.testing.assert_array_equal(f(np.zeros(3)), R.uniform(KEY, 3))


# ---------------------------------------------------------------- errors


def test_wrong_arguments_are_named():
    with pytest.raises(DTypeError, match="a key is a number of dtype uint64, not int64"):
        R.normal(7)
    with pytest.raises(ArgumentError, match="one key is expected, not an array of shape"):
        R.normal(R.split(KEY))
    with pytest.raises(DTypeError, match="a seed is an integer"):
        R.key(0.5)
    with pytest.raises(DTypeError, match="dtype is float16, float32 or float64, not int64"):
        R.uniform(KEY, 3, int)
    with pytest.raises(DTypeError, match="dtype is uint32 or uint64"):
        R.bits(KEY, 3, int)
    with pytest.raises(ArgumentError, match="empty or too long range"):
        R.randint(KEY, 3, 3)
    with pytest.raises(ArgumentError, match="no negative lengths"):
        R.normal(KEY, (-1,))
    with pytest.raises(DTypeError, match="data is an integer"):
        R.fold_in(KEY, 0.5)
    with pytest.raises(ShapeError, match=r"2\*\*32 numbers, too few"):
        wg.trace(lambda key: R.bits(key, (1 << 17, 1 << 17)), KEY)
