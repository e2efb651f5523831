"""The checkers are checked: each must fail on a rule that is wrong, if only by 0.1 %."""

import numpy as np
import pytest
from tests.ops import checkers

from wengert.errors import WengertError
from wengert.graph import Type
from wengert.ops import ONE, TABLE, Elementwise, General, Linear, Masked

LATEX = {"symbol": "?", "latex": "{0}"}
X = np.linspace(0.3, 1.2, 6).reshape(2, 3)


def graph_and_rng(op, *operands, **params):
    operands = operands or (X,)
    return checkers.record(op, operands, params), list(operands), checkers.seeded(op.name)


def rejects(check, graph, operands, rng):
    with pytest.raises((AssertionError, WengertError)) as caught:
        check(graph, operands, rng)
    return str(caught.value)


def unary(**rules):
    def wrong_operator(x):
        """Declared by a test."""

    return Elementwise(wrong_operator, **LATEX, **{"value": np.sin, **rules})


def right():
    return unary(partials=[lambda y, x: TABLE["cos"](x)])


def test_a_right_rule_passes_all_checks():
    with checkers.declared(right) as op:
        graph, operands, rng = graph_and_rng(op)
        checkers.types(graph, operands)
        checkers.first_order(graph, operands, rng)
        checkers.second_order(graph, operands, rng)
        checkers.batching(graph, operands)
        checkers.layouts(graph, operands)


def test_declared_operators_leave_the_table():
    with checkers.declared(right):
        assert "wrong_operator" in TABLE
    assert "wrong_operator" not in TABLE


@pytest.mark.parametrize("error", [1e-3, -1e-3])
def test_a_partial_that_is_off_by_a_thousandth_is_caught(error):
    def make():
        return unary(partials=[lambda y, x: TABLE["cos"](x) * (1.0 + error)])

    with checkers.declared(make) as op:
        graph, operands, rng = graph_and_rng(op)
        checkers.adjoint(graph, operands, rng)  # both modes agree on the wrong number
        rejects(checkers.central_differences, graph, operands, rng)


@pytest.mark.parametrize(
    "partials",
    [[None], [ONE], [lambda y, x: Masked(TABLE["cos"](x), x < 1.0)]],
    ids=["absent", "unit", "masked"],
)
def test_a_partial_of_the_wrong_kind_is_caught(partials):
    with checkers.declared(lambda: unary(partials=partials)) as op:
        rejects(checkers.central_differences, *graph_and_rng(op))


def test_a_partial_of_the_wrong_operand_is_caught():
    def wrong_operator(x1, x2):
        """Declared by a test."""

    def make():
        partials = [lambda y, a, b: a, lambda y, a, b: b]
        return Elementwise(
            wrong_operator, value=np.multiply, partials=partials, symbol="?", latex="{0}{1}"
        )

    with checkers.declared(make) as op:
        rejects(checkers.central_differences, *graph_and_rng(op, X, X[::-1] + 1.0))


def test_a_wrong_second_derivative_is_caught():
    def make():
        return unary(partials=[lambda y, x: TABLE["stop_gradient"](TABLE["cos"](x))])

    with checkers.declared(make) as op:
        graph, operands, rng = graph_and_rng(op)
        checkers.first_order(graph, operands, rng)
        rejects(checkers.second_order, graph, operands, rng)


def test_a_second_derivative_that_is_off_by_a_thousandth_is_caught():
    def partial(y, x):
        held = TABLE["stop_gradient"](x)
        return TABLE["cos"](x) + (x - held) * 1e-3 * TABLE["sin"](held)

    with checkers.declared(lambda: unary(partials=[partial])) as op:
        graph, operands, rng = graph_and_rng(op)
        checkers.first_order(graph, operands, rng)
        rejects(checkers.second_order, graph, operands, rng)


def test_a_rule_that_is_wrong_in_single_precision_is_caught():
    def partial(y, x):
        return TABLE["cast"](TABLE["cast"](TABLE["cos"](x), dtype=np.dtype("f2")), dtype=x.dtype)

    with checkers.declared(lambda: unary(partials=[partial])) as op:
        single = checkers.record(op, (X.astype("f4"),), {})
        with pytest.raises(AssertionError, match="float32"):
            checkers.single_precision(
                single,
                checkers.record(TABLE["sin"], (X,), {}),
                [X.astype("f4")],
                checkers.seeded("single"),
            )


# ---------------------------------------------------------------- linear operators


def linear(transpose=None, batch=None, value=None, **rules):
    def wrong_operator(x):
        """Declared by a test."""

    flip = TABLE["slice_index"]

    def reverse(x, axis):
        return flip(
            x, key=tuple((n - 1, -1, -1) if a == axis else (0, n, 1) for a, n in enumerate(x.shape))
        )

    rules = {"linear_in": ((0,),), "type": lambda op, x: x, **rules}
    return Linear(
        wrong_operator,
        **LATEX,
        **rules,
        value=value or (lambda x: np.flip(x, -1)),
        transpose=transpose or (lambda k, ct, x: reverse(ct, ct.ndim - 1)),
        batch=batch or (lambda args, batched, size: TABLE["wrong_operator"](args[0])),
    )


def test_a_right_linear_operator_passes_all_checks():
    with checkers.declared(linear) as op:
        graph, operands, rng = graph_and_rng(op)
        checkers.types(graph, operands)
        checkers.first_order(graph, operands, rng)
        checkers.second_order(graph, operands, rng)
        checkers.batching(graph, operands)
        checkers.layouts(graph, operands)


@pytest.mark.parametrize(
    "transpose",
    [
        lambda k, ct, x: ct,
        lambda k, ct, x: TABLE["wrong_operator"](ct) * 1.001,
        lambda k, ct, x: -TABLE["wrong_operator"](ct),
        lambda k, ct, x: None,
    ],
    ids=["identity", "scaled", "sign", "absent"],
)
def test_a_wrong_transpose_is_caught(transpose):
    with checkers.declared(lambda: linear(transpose)) as op:
        graph, operands, rng = graph_and_rng(op)
        checkers.central_differences(graph, operands, rng)  # forward mode doesn't use it
        rejects(checkers.adjoint, graph, operands, rng)


def test_a_transpose_of_the_wrong_shape_or_dtype_names_the_operator():
    for transpose in (
        lambda k, ct, x: TABLE["reduce_sum"](ct, axes=(0,)),
        lambda k, ct, x: TABLE["cast"](ct, dtype=np.dtype("f4")),
    ):
        with checkers.declared(lambda rule=transpose: linear(rule)) as op:
            assert "wrong_operator" in rejects(checkers.adjoint, *graph_and_rng(op))


def test_a_transpose_that_reads_its_linear_operand_is_caught():
    with checkers.declared(lambda: linear(lambda k, ct, x: ct * x)) as op:
        graph, operands, rng = graph_and_rng(op)
        rejects(checkers.adjoint, graph, operands, rng)
        rejects(checkers.second_order, graph, operands, rng)


def test_an_operator_declared_linear_that_is_not_is_caught():
    def make():
        return linear(lambda k, ct, x: 2.0 * ct, value=np.square)

    with checkers.declared(make) as op:
        rejects(checkers.central_differences, *graph_and_rng(op))


@pytest.mark.parametrize(
    "batch",
    [
        lambda args, batched, size: args[0],
        lambda args, batched, size: TABLE["slice_index"](
            TABLE["wrong_operator"](args[0]),
            key=((size - 1, -1, -1), *((0, n, 1) for n in args[0].shape[1:])),
        ),
        lambda args, batched, size: TABLE["reduce_sum"](args[0], axes=(0,)),
    ],
    ids=["nothing", "order", "sum"],
)
def test_a_wrong_batch_rule_is_caught(batch):
    with checkers.declared(lambda: linear(batch=batch)) as op:
        graph, operands, _ = graph_and_rng(op)
        with pytest.raises((AssertionError, WengertError)):
            checkers.batching(graph, operands)


# ---------------------------------------------------------------- general operators


def general(jvp):
    def wrong_operator(x):
        """Declared by a test."""

    return General(
        wrong_operator,
        **LATEX,
        jvp=jvp,
        value=lambda x: np.sum(x * x, axis=-1),
        type=lambda op, x: x.with_shape(x.shape[:-1]),
        batch=lambda args, batched, size: TABLE["wrong_operator"](args[0]),
    )


def sum_of_products(a, b):
    return TABLE["reduce_sum"](a * b, axes=(a.ndim - 1,))


def test_a_right_jvp_passes_all_checks():
    with checkers.declared(
        lambda: general(lambda y, xs, ts: 2.0 * sum_of_products(xs[0], ts[0]))
    ) as op:
        graph, operands, rng = graph_and_rng(op)
        checkers.first_order(graph, operands, rng)
        checkers.second_order(graph, operands, rng)
        checkers.batching(graph, operands)


@pytest.mark.parametrize(
    "jvp",
    [
        lambda y, xs, ts: 2.002 * sum_of_products(xs[0], ts[0]),
        lambda y, xs, ts: sum_of_products(xs[0], ts[0]),
        lambda y, xs, ts: None,
        lambda y, xs, ts: 2.0 * sum_of_products(xs[0], TABLE["sin"](ts[0])),
    ],
    ids=["scaled", "half", "absent", "not linear"],
)
def test_a_wrong_jvp_is_caught(jvp):
    with checkers.declared(lambda: general(jvp)) as op:
        rejects(checkers.central_differences, *graph_and_rng(op))


def test_a_jvp_that_is_not_linear_is_caught_by_the_transposition():
    def jvp(y, xs, ts):
        return 2.0 * sum_of_products(xs[0], TABLE["sin"](ts[0]))

    with checkers.declared(lambda: general(jvp)) as op:
        rejects(checkers.adjoint, *graph_and_rng(op))


# ---------------------------------------------------------------- values and types


def test_a_wrong_type_is_caught():
    for type_ in (lambda op, x: Type(x.shape, "f4"), lambda op, x: Type((*x.shape, 1), x.dtype)):
        with checkers.declared(lambda rule=type_: linear(type=rule)) as op:
            graph, operands, _ = graph_and_rng(op)
            with pytest.raises(AssertionError, match="wrong_operator: computed"):
                checkers.types(graph, operands)


def test_a_value_that_modifies_its_operand_is_caught():
    def value(x):
        x *= 2.0
        return x / 2.0

    with checkers.declared(lambda: linear(value=value)) as op:
        graph, _, _ = graph_and_rng(op)
        with pytest.raises(AssertionError):
            checkers.layouts(graph, [X.copy()])


def test_a_value_that_depends_on_the_layout_is_caught():
    def value(x):
        return x.ravel(order="K").reshape(x.shape)

    with checkers.declared(lambda: linear(value=value)) as op:
        graph, operands, _ = graph_and_rng(op)
        with pytest.raises(AssertionError, match="layout"):
            checkers.layouts(graph, operands)
