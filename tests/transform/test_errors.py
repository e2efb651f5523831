"""Errors name the operator, what was expected and what arrived, the user's line, and what to do."""

import math
import re

import numpy as np
import pytest

import wengert as wg
from wengert import errors
from wengert.errors import (
    ArgumentError,
    ConversionError,
    DTypeError,
    EscapedError,
    MutationError,
    NoValueError,
    ShapeError,
    WengertError,
)

HERE = "test_errors.py"
W = np.ones((3, 4))


def line_of(f):
    """The line of a one-line function of this file."""
    return f"{HERE}:{f.__code__.co_firstlineno}"


def raised(kind, function, *args):
    with pytest.raises(kind) as caught:
        function(*args)
    return str(caught.value)


# ---------------------------------------------------------------- shapes

SHAPE_ERRORS = {
    "add": (lambda x: x + np.ones(3), ["add", "f64[4]", "f64[3]", "broadcast"]),
    "ufunc": (lambda x: np.multiply(x, np.ones((2, 3))), ["multiply", "f64[4]", "f64[2,3]"]),
    "reflected": (lambda x: np.ones(3) - x, ["subtract", "f64[3]", "f64[4]"]),
    "where": (lambda x: np.where(np.ones(3) > 0, x, 0.0), ["where", "bool[3]", "f64[4]"]),
    "matmul": (lambda x: W.T @ x, ["matmul", "(4, 3)", "(4,)"]),
    "matmul of a variable": (lambda x: x @ W, ["matmul", "(4,)", "(3, 4)"]),
    "reshape": (lambda x: x.reshape(3, 2), ["reshape", "4", "(3, 2)"]),
    "broadcast_to": (lambda x: np.broadcast_to(x, (3, 3)), ["broadcast", "f64[4]", "(3, 3)"]),
    "concatenate": (lambda x: np.concatenate([x, W]), ["f64[4]", "f64[3,4]"]),
    "index": (lambda x: x[7], ["index 7", "axis 0", "size 4"]),
    "too many indices": (lambda x: x[0, 1], ["2 indices", "1 axes"]),
    "index array": (lambda x: x[np.array([0, 9])], ["index 9", "axis 0", "size 4"]),
    "mask": (lambda x: x[np.array([True, False])], ["(2,)", "(4,)"]),
    "in place": (lambda x: x.__iadd__(np.ones((2, 4))), ["add", "(2, 4)", "(4,)"]),
    "assignment": (lambda x: x.__setitem__(slice(0, 2), np.ones(3)), ["(3,)", "(2,)"]),
    "axis": (lambda x: np.sum(x, axis=2), ["2"]),
}


@pytest.mark.parametrize("kind", SHAPE_ERRORS)
def test_a_shape_error_names_operator_shapes_and_line(kind):
    f, words = SHAPE_ERRORS[kind]
    message = raised(
        (ShapeError, ArgumentError, np.exceptions.AxisError),
        wg.grad(lambda x: np.sum(f(x))),
        np.ones(4),
    )
    for word in words:
        assert word in message
    if "At " in message:
        assert line_of(f) in message
    else:
        assert kind == "axis"


def test_a_shape_error_is_a_value_error_with_a_hint():
    with pytest.raises(ValueError, match="Hint: reshape one of them"):
        wg.grad(lambda x: np.sum(x + np.ones(3)))(np.ones(4))


def test_numpy_raises_where_we_raise():
    for f, _ in SHAPE_ERRORS.values():
        with pytest.raises((ValueError, IndexError)):
            f(np.ones(4))


# ---------------------------------------------------------------- what is differentiated


def test_a_gradient_needs_a_scalar():
    message = raised(ShapeError, wg.grad(np.sin), np.ones(3))
    assert "grad: sin must return a scalar, but it returned f64[3]" in message
    assert "wg.jacobian" in message
    assert HERE in message


def test_a_gradient_needs_one_result():
    message = raised(ArgumentError, wg.grad(lambda x: (x, x)), 1.0)
    assert "one scalar, but it returned 2 values" in message
    assert "has_aux=True" in message
    assert "0 values" in raised(ArgumentError, wg.grad(lambda x: None), 1.0)


def test_a_gradient_needs_a_float_result():
    assert "float scalar, but it returned i64[]" in raised(
        DTypeError, wg.grad(lambda x: np.argmax(x)), np.ones(3)
    )
    assert "bool[]" in raised(DTypeError, wg.grad(lambda x: x > 0), 1.0)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1, "i64[]"),
        (True, "bool[]"),
        (np.arange(3), "i64[3]"),
        ([1, 2.0], "i64[]"),
        ({"n": np.ones(2, bool)}, "bool[2]"),
    ],
)
def test_integers_cannot_be_differentiated(value, shown):
    for derived in (
        wg.grad(lambda x: 1.0),
        lambda v: wg.vjp(lambda x: 1.0, v),
        lambda v: wg.linearize(lambda x: 1.0, v),
    ):
        message = raised(DTypeError, derived, value)
        assert "argument 0" in message
        assert f"must be float to be differentiated, but a leaf is {shown}" in message
        assert "pass 1.0 instead of 1" in message


@pytest.mark.parametrize(
    "value", ["text", 1j, object(), np.array(["a"]), np.array([1j]), np.array([None])]
)
def test_what_is_no_number_cannot_be_differentiated(value):
    message = raised(DTypeError, wg.grad(lambda x: 1.0), value)
    assert "argument 0" in message or "dtype" in message


def test_a_result_that_is_no_number():
    message = raised(DTypeError, wg.grad(lambda x: "text"), 1.0)
    assert "a result of <lambda> is 'text' of type str" in message


@pytest.mark.parametrize(
    ("f", "primals", "tangents", "words"),
    [
        (np.sin, (1.0,), (np.ones(2),), ["tangent", "f64[]", "f64[2]"]),
        (np.sin, (np.ones(2),), (1.0,), ["tangent", "f64[2]", "f64[]"]),
        (np.sin, (1.0,), (1.0, 2.0), ["structure"]),
        (np.sin, 1.0, (1.0,), ["primals must be a tuple"]),
        (np.sin, (1.0,), 1.0, ["tangents must be a tuple"]),
        (np.sin, (np.ones(2, "f4"),), (np.ones(2),), ["f32[2]", "f64[2]", "astype"]),
    ],
)
def test_tangents_that_do_not_fit(f, primals, tangents, words):
    message = raised(WengertError, wg.jvp, f, primals, tangents)
    for word in words:
        assert word in message


def test_cotangents_that_do_not_fit():
    _, pull = wg.vjp(np.sin, np.ones(2))
    assert "f64[2], but it is f64[3]" in raised(ShapeError, pull, np.ones(3))
    assert "structure" in raised(ArgumentError, pull, (np.ones(2),))


# ---------------------------------------------------------------- what would lose a gradient

LOSSES = {
    "float": (float, "float(x)"),
    "math.sin": (math.sin, "np.sin instead of math.sin"),
    "math.pow": (lambda x: math.pow(2.0, x), "math"),
    "complex": (complex, "float(x)"),
    "np.asarray": (np.asarray, "np.asarray(x)"),
    "np.array": (np.array, "np.asarray(x)"),
    "np.array of a list": (lambda x: np.array([x, x]), "x"),
    "item": (lambda x: x.item(), "float(x)"),
    "tolist": (lambda x: x.tolist(), "np.asarray(x)"),
    "np.float64": (np.float64, "x"),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_a_conversion_that_would_lose_the_gradient_is_a_clear_error(kind):
    f, word = LOSSES[kind]
    message = raised(ConversionError, wg.grad(lambda x: f(x) * x), 2.0)
    assert word in message
    assert f"At {HERE}:" in message
    assert "wg.stop_gradient(x)" in message


def assign_element(x):
    a = np.zeros(3)
    a[0] = x
    return np.sum(a)


def assign_slice(x):
    a = np.zeros(3)
    a[:] = x
    return np.sum(a)


def assign_element_of_variable(x):
    a = np.zeros(3)
    a[0] = (x * np.ones(2))[0]
    return np.sum(a)


def add_in_place(x):
    a = np.zeros(3)
    a += x
    return np.sum(a)


def out_argument(x):
    a = np.zeros(())
    np.add(x, 1.0, out=a)
    return a * x


WRITING = [assign_element, assign_element_of_variable, assign_slice, add_in_place, out_argument]


@pytest.mark.parametrize("f", WRITING)
def test_writing_a_variable_into_a_numpy_array_is_a_clear_error(f):
    with pytest.raises(ConversionError, match="NumPy array") as caught:
        wg.grad(f)(2.0)
    line = int(re.search(rf"{HERE}:(\d+)", str(caught.value)).group(1))
    assert 0 < line - f.__code__.co_firstlineno <= 3


def test_stopped_gradients_may_be_converted():
    assert wg.grad(lambda x: x * float(wg.stop_gradient(x)))(3.0) == 3.0
    assert wg.grad(lambda x: x * math.sin(wg.stop_gradient(x)))(3.0) == math.sin(3.0)
    assert wg.grad(lambda x: np.sum(x * np.asarray(wg.stop_gradient(x))))(np.ones(2)).tolist() == [
        1.0,
        1.0,
    ]
    assert wg.grad(lambda x: x * int(x))(3.7) == 3.0
    assert wg.grad(lambda x: x * math.floor(x))(3.7) == 3.0


# ---------------------------------------------------------------- values that are not there


@pytest.mark.parametrize(
    "derived",
    [
        lambda f: wg.vmap(f)(np.ones(3)),
        lambda f: wg.trace(f, 1.0),
    ],
)
def test_a_branch_without_a_value_names_the_line_and_where(derived):
    def f(x):
        return x if x > 0 else -x

    message = raised(NoValueError, derived, f)
    assert f"At {HERE}:{f.__code__.co_firstlineno + 1}" in message
    assert "np.where(condition, a, b)" in message


# ---------------------------------------------------------------- assignment, indexing


def test_indices_of_the_wrong_kind():
    for key in ("a", 1.5, np.array([0.5]), {1}, 1j):
        message = raised(WengertError, wg.grad(lambda x, key=key: np.sum(x[key])), np.ones(3))
        assert "index" in message


def test_a_float_variable_is_no_index():
    with pytest.raises((TypeError, WengertError)):
        wg.grad(lambda x: np.ones(3)[x])(1.0)
    with pytest.raises((TypeError, WengertError)):
        wg.grad(lambda x: sum(range(x)) * x)(1.0)


def test_an_uncertain_view_is_an_error_that_says_what_to_do():
    def f(m):
        v = m.reshape(-1)
        m[0, 0] = 5.0
        return np.sum(v)

    message = raised(MutationError, wg.grad(f), np.ones((2, 3)))
    assert ".copy()" in message
    assert HERE in message


def test_read_only_views_stay_read_only():
    def f(x):
        wide = np.broadcast_to(x, (2, 3))
        wide[0] = 1.0
        return np.sum(wide)

    assert "read-only" in raised(MutationError, wg.grad(f), np.ones(3))


# ---------------------------------------------------------------- functions without a rule


def test_an_unknown_ufunc_is_a_clear_error():
    message = raised(DTypeError, wg.grad(lambda x: np.sum(np.frompyfunc(abs, 1, 1)(x))), np.ones(2))
    assert "derivative" in message
    assert "custom_jvp" in message


def test_an_unknown_function_is_a_clear_error():
    message = raised(DTypeError, wg.grad(lambda x: np.sum(np.fft.fft(x))), np.ones(2))
    assert "numpy.fft.fft is not available" in message
    assert HERE in message


def test_foreign_operands_are_pythons_type_error():
    for f in (lambda x: x + "a", lambda x: "a" - x, lambda x: x * {}, lambda x: x @ None):
        with pytest.raises((TypeError, WengertError)):
            wg.grad(f)(1.0)


# ---------------------------------------------------------------- the errors themselves


def test_escaped_values_say_what_to_do():
    kept = []
    wg.grad(lambda x: kept.append(x) or x)(1.0)
    message = raised(EscapedError, lambda: kept[0] * 2.0)
    assert "after grad had ended" in message
    assert "return it from the function" in message


def test_every_error_is_a_wengert_error_and_documented():
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type):
            assert issubclass(kind, WengertError)
            assert kind.__doc__
            assert name in errors.__doc__


def test_the_location_is_the_users_file():
    error = ShapeError("what was wrong", hint="what to do")
    assert str(error).startswith("what was wrong. At test_errors.py:")
    assert str(error).endswith("Hint: what to do.")


def test_an_error_of_the_users_own_passes_unchanged():
    class OwnError(Exception):
        pass

    def f(x):
        raise OwnError("mine")

    for derived in (
        wg.grad(f),
        wg.vmap(f),
        lambda x: wg.jvp(f, (x,), (x,)),
        lambda x: wg.trace(f, x),
    ):
        with pytest.raises(OwnError, match="mine"):
            derived(np.ones(2))


# ---------------------------------------------------------------- while the recorded graph runs

TABLE = np.arange(20.0).reshape(5, 4)


def read(table, number):
    index = np.sum(table * 0.0).astype(np.int64) + number
    return np.sum(np.take(table, index, axis=0))  # the line that reads


def divide(table, number):
    matrix = np.outer(table[0], table[0]) * 0.0 + np.eye(4) * number
    return np.sum(np.linalg.solve(matrix, table[1]))  # the line that solves


def factor(table, number):
    return np.sum(np.linalg.cholesky(np.eye(4) * (np.sum(table) * 0.0 + number)))


@wg.compile
def cell(table, index):
    row = table[index]  # the line of the cell
    return np.sum(row * row)


def call(table, number):
    return cell(table, np.array(int(number)))


WHILE_RUNNING = {
    "index": (read, (1, 2, 40, 3), errors.BoundsError, "the line that reads"),
    "matrix": (divide, (1.0, 2.0, 0.0, 3.0), np.linalg.LinAlgError, "the line that solves"),
    "factor": (factor, (1.0, 2.0, -1.0, 3.0), np.linalg.LinAlgError, "cholesky(np.eye(4)"),
    "cell": (call, (1, 2, -6, 3), errors.BoundsError, "the line of the cell"),
}

DERIVATIVES = {
    "value_and_grad": lambda f: wg.value_and_grad(f)(TABLE),
    "jvp": lambda f: wg.jvp(f, (TABLE,), (TABLE,)),
    "vjp": lambda f: wg.vjp(f, TABLE),
    "linearize": lambda f: wg.linearize(f, TABLE),
    "jacobian": lambda f: wg.jacobian(f)(TABLE),
}


def line_with(text):
    """The line of this file that holds a text first."""
    with open(__file__, encoding="utf-8") as file:
        return next(f"{HERE}:{n}" for n, line in enumerate(file, 1) if text in line)


def told(error):
    """All that a user reads of an error."""
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


@pytest.mark.parametrize("replaying", ["never", "always"])
@pytest.mark.parametrize("batching", ["never", "always"])
@pytest.mark.parametrize("kind", WHILE_RUNNING)
def test_an_error_inside_one_example_names_its_line(kind, batching, replaying):
    one, numbers, error, text = WHILE_RUNNING[kind]
    with (
        wg.autobatching(batching),
        wg.replaying(replaying),
        pytest.raises(error) as caught,
    ):
        wg.value_and_grad(lambda t: sum(one(t, k) for k in numbers * 4))(TABLE)
    assert line_with(text) in told(caught.value)
    with wg.autobatching(batching), wg.replaying(replaying):
        wg.value_and_grad(lambda t: sum(one(t, k) for k in numbers[:2] * 4))(TABLE)


@pytest.mark.parametrize("derivative", DERIVATIVES)
@pytest.mark.parametrize("kind", ["index", "matrix", "factor"])
def test_an_error_of_any_derivative_names_the_line(kind, derivative):
    one, numbers, error, text = WHILE_RUNNING[kind]
    with pytest.raises(error) as caught:
        DERIVATIVES[derivative](lambda t: one(t, numbers[2]))
    assert line_with(text) in told(caught.value)


def test_an_error_of_a_value_that_was_asked_for_names_the_line_that_recorded_it():
    def loss(x):
        inverse = np.linalg.inv(np.eye(2) * np.sum(x))  # the line that inverts
        if inverse[0, 0] > 0:
            return np.sum(inverse)
        return np.sum(x)

    with pytest.raises(np.linalg.LinAlgError) as caught:
        wg.grad(loss)(np.zeros(3))
    assert line_with("the line that inverts") in told(caught.value)


def test_an_error_calls_the_function_once_and_leaves_arguments_alone():
    calls = []
    x = TABLE.copy()

    def loss(table):
        calls.append(1)
        return sum(read(table, k) for k in (1, 40))

    with wg.autobatching("always"), pytest.raises(errors.BoundsError):
        wg.grad(loss)(x)
    assert calls == [1]
    np.testing.assert_array_equal(x, TABLE)


def test_an_error_in_the_rule_of_a_custom_function_is_raised_in_its_line():
    @wg.custom_vjp
    def square(x):
        return x * x

    def backward(x, ct):
        if x > 10.0:
            raise ValueError("too large")  # the line of the rule
        return (2.0 * x * ct,)

    square.defvjp(lambda x: (x * x, x), backward)
    with wg.autobatching("always"), pytest.raises(ValueError, match="too large") as caught:
        wg.grad(lambda x: sum(square(x * k) for k in (1.0, 20.0, 2.0)))(1.0)
    last = caught.traceback[-1]
    assert f"{HERE}:{last.lineno + 1}" == line_with("the line of the rule")
