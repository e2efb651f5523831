"""Instructions that stand for two operators: where they are used, and what they compute."""

import numpy as np
import pytest
from tests.codegen import math_reference as reference

import wengert as wg
from wengert.optimise import optimise
from wengert.plan import make_plan
from wengert.plan.contracting import contracted


def instructions(f, *args):
    plan = make_plan(optimise(wg.trace(f, *args)).graph)
    return [x.name for spec in plan.specs for x in getattr(spec, "body", ())]


X = np.linspace(-3.0, 3.0, 40)


@pytest.mark.parametrize(
    ("f", "wanted"),
    [
        (lambda x, y: x * y + y, "multiply_add"),
        (lambda x, y: y + x * x, "multiply_add"),
        (lambda x, y: x * y - np.sin(x), "multiply_subtract"),
        (lambda x, y: y - x * y, "subtract_multiply"),
        (lambda x, y: y - np.square(x), "subtract_multiply"),
    ],
)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_product_that_one_sum_reads(f, wanted, dtype, rng):
    x, y = rng.normal(size=(2, 37)).astype(dtype)
    assert wanted in instructions(f, x, y)
    assert "multiply" not in instructions(f, x, y)
    found = wg.compile(f)(x, y)
    exact = f(x.astype(np.longdouble), y.astype(np.longdouble))
    # At most the rounding of the result, and of what is no product: never that of the product.
    parts = abs(f(abs(x), -abs(y))) + abs(y) + 1
    assert np.all(abs(found - exact) <= np.finfo(dtype).eps * parts)


def test_a_product_that_is_read_again_stays():
    def f(x, y):
        product = x * y
        return product + x, np.sin(product)

    assert sorted(instructions(f, X, X)) == ["add", "multiply", "sin"]


def test_integers_and_half_precision_stay():
    assert "multiply" in instructions(lambda x: x * x * x + x, np.arange(5))
    half = X.astype("f2")
    assert "multiply_add" not in instructions(lambda x: np.sin(x) * x + x, half)


def test_a_product_before_a_reduction_stays_in_its_loop():
    def f(x):
        product = x * np.sin(x)
        return product + x.sum(axis=1, keepdims=True)

    x = X.reshape(4, 10)
    assert "multiply_add" not in instructions(f, x)
    np.testing.assert_allclose(wg.compile(f)(x), f(x), rtol=1e-14)


def test_sigmoids_of_a_number_and_its_negative_share_their_exponential():
    names = instructions(wg.value_and_grad(lambda x: (1 / (1 + np.exp(-x))).sum()), X)
    assert names.count("sigmoid_pair") == 2
    assert "sigmoid" not in names
    assert "negative" not in names


@pytest.mark.parametrize("minus", [False, True])
@pytest.mark.parametrize("dtype", reference.DTYPES)
def test_a_pair_of_sigmoids_is_as_exact_as_one(dtype, minus, rng):
    params = (("minus", minus),)
    function = reference.compiled("sigmoid_pair", (dtype,), dtype, params=params)
    x = reference.samples(dtype, 400, rng)
    sigmoid = reference.ONE["sigmoid"]
    wanted = (lambda x: sigmoid(-x)) if minus else sigmoid
    error, at = reference.worst(function(x), wanted, x)
    assert error <= reference.BOUNDS["sigmoid"], at
    special = reference.specials(dtype)
    with np.errstate(all="ignore"):
        exact = 1 / (1 + np.exp(special if minus else -special, dtype="f8"))
    assert reference.same(function(special), exact.astype(dtype), ulps=2).all()


def test_nothing_to_join_is_the_same_kernel():
    plan = make_plan(optimise(wg.trace(lambda x: np.sin(x) + x, X)).graph)
    (spec,) = plan.specs
    assert contracted(spec) is spec
