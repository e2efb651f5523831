"""What is refused in control flow, and what the messages say."""

import numpy as np
import pytest

import wengert as wg
from wengert.errors import ArgumentError, DTypeError, MutationError, NoValueError, ShapeError
from wengert.transform.control import cond, fori_loop, scan, while_loop


def raises(kind, *parts):
    return pytest.raises(kind, match=".*".join(parts))


# ---------------------------------------------------------------- carries


def test_a_carry_of_another_dtype_names_the_leaf_both_types_and_the_line():
    def step(carry, x):
        return {"a": carry["a"] + 1, "b": carry["b"].astype("f4")}, None

    init = {"a": 0, "b": np.zeros(3)}
    with raises(
        DTypeError,
        "scan: the carry must keep its type",
        r"init\['b'\] is f64\[3\]",
        "step",
        "defined at test_control_errors.py",
        r"returned f32\[3\]",
        "At test_control_errors.py",
        "Hint",
        "float32",
    ):
        scan(step, init, length=2)


def test_a_carry_of_another_shape_is_named():
    with raises(DTypeError, "while_loop", r"init is f64\[2\]", r"returned f64\[2,2\]", "shape"):
        while_loop(lambda x: True, lambda x: np.stack([x, x]), np.zeros(2))


def test_a_carry_of_another_structure_shows_both():
    with raises(
        ArgumentError,
        "fori_loop: the carry must keep its structure",
        r"\(\*, \*\)",
        r"returned \[\*, \*\]",
    ):
        fori_loop(0, 3, lambda i, c: [c[0], c[1]], (1.0, 2.0))


def test_python_numbers_take_the_dtype_that_the_body_gives_them():
    total, ys = scan(lambda c, x: (c + x, c), 0, np.ones(3))
    assert total == 3.0
    assert ys.dtype == np.float64
    assert while_loop(lambda c: c < 3.5, lambda c: c + 0.5, 1) == 3.5
    single = np.float32(2.0)
    assert fori_loop(0, 2, lambda i, c: 0.25, single).dtype == np.float32
    assert fori_loop(0, 2, lambda i, c: 0.25, single) == np.float32(0.25)


def test_a_python_number_is_not_rounded_to_an_integer():
    with raises(DTypeError, r"init is i64\[\]", r"returned f64\[\]"):
        fori_loop(0, 2, lambda i, c: 0.25, np.int64(2))


# ---------------------------------------------------------------- scan


def test_scan_needs_a_pair():
    with raises(ArgumentError, "scan: <lambda>", r"must return a pair \(carry, y\), not Variable"):
        scan(lambda c, x: c + x, 0.0, np.ones(3))


def test_scan_needs_one_length():
    with raises(ShapeError, "expected 3 elements", r"xs\['b'\] is f64\[4\]"):
        scan(lambda c, x: (c, None), 0.0, {"a": np.ones(3), "b": np.ones(4)})
    with raises(ShapeError, "expected 2 elements", r"xs is f64\[3\]"):
        scan(lambda c, x: (c, None), 0.0, np.ones(3), length=2)
    with raises(ShapeError, r"xs is f64\[\], which has no axis"):
        scan(lambda c, x: (c, None), 0.0, 1.0)
    with raises(ArgumentError, "number of steps is not known", "length="):
        scan(lambda c, x: (c, None), 0.0)
    with raises(ArgumentError, "must not be negative", "-1"):
        scan(lambda c, x: (c, None), 0.0, length=-1)


def test_leaves_must_be_numbers():
    with raises(DTypeError, "scan: init is 'text'"):
        scan(lambda c, x: (c, None), "text", np.ones(3))
    with raises(DTypeError, "scan: a result of <lambda>", "'text'"):
        scan(lambda c, x: (c, "text"), 0.0, np.ones(3))


# ---------------------------------------------------------------- cond and while_loop


def test_a_predicate_must_be_a_scalar():
    with raises(ShapeError, r"cond: the predicate must be a scalar, not bool\[2\]", "np.where"):
        cond(np.array([True, False]), lambda: 1.0, lambda: 2.0)
    with raises(ShapeError, "while_loop: the condition <lambda>", r"scalar, not bool\[2\]"):
        while_loop(lambda x: x < 3.0, lambda x: x, np.zeros(2))
    with raises(ShapeError, "while_loop: the condition", r"scalar, not \(\*, \*\)"):
        while_loop(lambda x: (x < 3.0, x > 2.0), lambda x: x, 0.0)


def test_numbers_are_taken_as_python_takes_them():
    assert cond(2, lambda: 1.0, lambda: 2.0) == 1.0
    assert cond(0.0, lambda: 1.0, lambda: 2.0) == 2.0
    assert while_loop(lambda n: n, lambda n: n - 1, 5) == 0
    assert wg.grad(lambda x: cond(x, lambda: x * x, lambda: x))(3.0) == 6.0


def test_branches_must_agree():
    with raises(ArgumentError, "both branches must return the same tree", r"\(\*, \*\)"):
        cond(True, lambda x: (x, x), lambda x: x, 1.0)
    with raises(
        DTypeError,
        "both branches must return the same types",
        r"result\['a'\] is f64\[2\]",
        r"f64\[\] from <lambda>",
    ):
        cond(True, lambda x: {"a": x}, lambda x: {"a": x[0]}, np.ones(2))
    # A Python number takes the dtype of the other branch.
    assert cond(False, lambda x: x, lambda x: 0, np.float32(2.0)).dtype == np.float32


def test_bounds_must_be_integers():
    with raises(DTypeError, "fori_loop: upper must be an integer", r"f64\[\]"):
        fori_loop(0, 2.0, lambda i, c: c, 0.0)
    with raises(DTypeError, "fori_loop: lower", r"i64\[2\]"):
        fori_loop(np.zeros(2, int), 2, lambda i, c: c, 0.0)


# ---------------------------------------------------------------- values that are not there


def test_a_number_asked_for_in_a_body_is_an_error_that_names_the_way_out():
    with raises(
        NoValueError,
        "scan runs the function without values",
        "test_control_errors.py",
        "wg.cond",
        "wg.while_loop",
    ):
        scan(lambda c, x: (c if x > 0 else -c, None), 1.0, np.ones(3))
    with raises(NoValueError, "trace", "wg.cond", "wg.scan", "wg.while_loop"):
        wg.trace(lambda x: x if x > 0 else -x, 1.0)
    with raises(NoValueError, "without values", "wengert.numpy.take"):
        fori_loop(0, 3, lambda i, c: c + np.ones(3)[i], 0.0)


def test_values_of_enclosing_transformations_may_be_asked_for():
    def f(x):
        return scan(lambda c, _: (c * x if x > 0 else c, None), 1.0, length=3)[0]

    assert wg.grad(f)(2.0) == 12.0
    assert wg.grad(f)(-2.0) == 0.0


@pytest.mark.parametrize("chosen", [True, False])
def test_a_branch_can_not_assign_into_what_it_closes_over(chosen):
    def f(x):
        y = x * 1.0

        def change():
            y[0] = 5.0
            return y[0]

        return cond(chosen, change, lambda: 0.0) + np.sum(y)

    with raises(MutationError, "inner transformation"):
        wg.grad(f)(np.ones(2))


def test_a_failing_body_leaves_the_enclosing_function_as_it_was():
    def f(x):
        with pytest.raises(ZeroDivisionError):
            scan(lambda c, _: 1 / 0, x, length=3)
        return np.sin(x) * x

    np.testing.assert_allclose(wg.grad(f)(1.0), np.cos(1.0) + np.sin(1.0))
