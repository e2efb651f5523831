"""Numerically stable forms: what a textbook formula means, without overflow and cancellation.

Each gives the finite number where an intermediate result of the left side overflows or loses its
digits. No rule here gives a number where the mathematical expression has none.

Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2002, sections 1.7 and 1.14;
P. Blanchard, D. J. Higham, N. J. Higham, Accurately computing the log-sum-exp and softmax
functions, 2021.
"""

from __future__ import annotations

from typing import Any

from wengert.ops.arithmetic import reciprocal, square, stop_gradient
from wengert.ops.comparing import isfinite, where
from wengert.ops.reducing import reduce_max
from wengert.ops.special import sigmoid, softplus
from wengert.ops.structural import reduce_sum, reshape
from wengert.ops.transcendental import (
    cosh,
    exp,
    expm1,
    log,
    log1p,
    logaddexp,
    sinh,
    sqrt,
    tanh,
)
from wengert.optimise.facts import is_not_negative
from wengert.optimise.record import Rule, rule
from wengert.optimise.shapes import aligned
from wengert.optimise.terms import parameter, variable

__all__ = ["STABLE", "kept"]

x, y, z = variable("x"), variable("y"), variable("z")
axes, shape = parameter("axes"), parameter("shape")

_FINITE = "no overflow of exp"
_DIGITS = "keeps the digits that 1 +- would round away"
_WIDE = (-8.0, 8.0)


def _is_not_negative(match: Any) -> bool:
    # Of a negative number there is no logarithm: the left side is nan.
    return is_not_negative(match.tape, match.env["x"])


def _sigmoid_of_minus(match: Any) -> bool:
    # Whether y is -x: building -x again finds the value number of y.
    return bool((-match["x"])._index == match.env["y"])


def _both_whole(match: Any) -> bool:
    # The sum of two small arrays would have more elements than both.
    return match.type_of("x") is match.type and match.type_of("y") is match.type


def _sigmoid_slope(match: Any) -> Any:
    return match["z"] * (sigmoid(match["x"]) * sigmoid(-match["x"]))


# ---------------------------------------------------------------- log of a sum of exponentials


def _log_sum_exp(match: Any) -> Any:
    # m + log(sum(exp(x - m))) with the largest element m, or 0 where that is not finite.
    largest, _, total = _relative(match)
    return largest + log(total)


def _relative(match: Any) -> tuple[Any, Any, Any]:
    # The largest elements, exp of the differences from them, and their sum.
    source, reduced = match["x"], match.param("axes")
    largest = stop_gradient(reduce_max(source, axes=reduced))  # the result is the same for any
    largest = where(isfinite(largest), largest, largest.dtype.type(0))
    powers = exp(source - reshape(largest, shape=kept(source, reduced)))
    return largest, powers, reduce_sum(powers, axes=reduced)


def kept(source: Any, reduced: Any) -> tuple[int, ...]:
    """The shape that a reduction over the axes `reduced` leaves with length 1 in their place."""
    return tuple(1 if a in reduced else n for a, n in enumerate(source.shape))


def _may_overflow(match: Any) -> bool:
    # Not if the program has subtracted the largest element itself.
    source, reduced = match["x"], match.param("axes")
    if any(source.shape[a] == 0 for a in reduced):
        return False
    return not _is_shifted(match, source, reduced)


def _is_shifted(match: Any, source: Any, reduced: Any) -> bool:
    op, args, _ = match.made_by(source)
    if op.name != "subtract":
        return False
    inner, inner_args, params = match.made_by(args[1])
    while inner.name in ("reshape", "broadcast_to", "where", "stop_gradient"):
        inner, inner_args, params = match.made_by(inner_args[1 if inner.name == "where" else 0])
    return bool(
        inner is reduce_max
        and inner_args[0]._index == args[0]._index
        and set(params["axes"]) <= set(reduced)
    )


def _softmax(match: Any) -> Any:
    # exp(x) / sum(exp(x)): each power is taken relative to the largest.
    _, powers, total = _relative(match)
    return powers / reshape(total, shape=kept(match["x"], match.param("axes")))


def _softmax_times(match: Any) -> Any:
    factor = match["y"]
    if "shape" in match.env:
        factor = reshape(factor, shape=match.param("shape"))
    return _softmax(match) * factor


def _is_softmax(match: Any) -> bool:
    # Whether the sums stand where broadcasting brings them back to their own row.
    source, reduced = match["x"], match.param("axes")
    shape = match.env.get("shape") or tuple(
        n for a, n in enumerate(source.shape) if a not in reduced
    )
    return aligned(shape, source.ndim) == kept(source, reduced) and _may_overflow(match)


def _divides_by_not_negative(match: Any) -> bool:
    # log(exp(x) / -0.0) is nan, but x - log(-0.0) is inf.
    return is_not_negative(match.tape, match.env["y"])


def _softmaxes(back: Any, name: str, sample: Any, over: Any, rest: Any) -> tuple[Rule, ...]:
    # exp(x) over its sums, which `back` brings back to where they are broadcast from.
    why = "exp of differences from the largest element"

    def total() -> Any:
        return reduce_sum(exp(x), axes=axes)

    def sums(x: Any) -> Any:
        return reduce_sum(exp(x), axes=over)

    def declare(kind: str, left: Any, right: Any, example: Any, *shapes: Any) -> Rule:
        return rule(
            f"{kind}-{name}",
            left,
            right,
            exact_in="reals",
            edges="mended",
            when=_is_softmax,
            why=why,
            examples=[(example, list(shapes), _WIDE)],
        )

    return (
        declare(
            "softmax", exp(x) / back(total()), _softmax, lambda x: exp(x) / sample(sums(x)), (3, 4)
        ),
        declare(
            "softmax-times",
            exp(x) * back(y / total()),
            _softmax_times,
            lambda x, y: exp(x) * sample(y / sums(x)),
            (3, 4),
            rest,
        ),
        declare(
            "softmax-by-reciprocal",
            exp(x) * back(reciprocal(total())),
            _softmax,
            lambda x: exp(x) * sample(reciprocal(sums(x))),
            (3, 4),
        ),
        declare(
            "softmax-times-neg",
            exp(x) * back(-(y / total())),
            lambda m: -_softmax_times(m),
            lambda x, y: exp(x) * sample(-(y / sums(x))),
            (3, 4),
            rest,
        ),
    )


STABLE: tuple[Rule, ...] = (
    rule("log1p", log(x + 1.0), log1p(x), exact_in="reals", why=_DIGITS, domain=(-0.9, 2.0)),
    rule("expm1", exp(x) + -1.0, expm1(x), exact_in="reals", once=True, why=_DIGITS),
    rule(
        "expm1-reversed",
        1.0 - exp(x),
        lambda m: -expm1(m["x"]),
        exact_in="reals",
        once=True,
        edges="zeros",
        why=_DIGITS,
    ),
    rule("log-of-exp", log(exp(x)), x, exact_in="reals", edges="mended", why=_FINITE),
    rule("log1p-of-expm1", log1p(expm1(x)), x, exact_in="reals", edges="mended", why=_FINITE),
    rule(
        "exp-of-log",
        exp(log(x)),
        x,
        exact_in="reals",
        why="undone; the number is not negative",
        when=_is_not_negative,
        examples=[(lambda x: exp(log(square(x))), [(3, 4)])],
    ),
    rule(
        "expm1-of-log1p",
        expm1(log1p(x)),
        x,
        exact_in="reals",
        why="undone; the number is not negative",
        when=_is_not_negative,
        examples=[(lambda x: expm1(log1p(square(x))), [(3, 4)])],
    ),
    rule(
        "log-of-sqrt",
        log(sqrt(x)),
        log(x) * 0.5,
        exact_in="reals",
        once=True,
        why="a product instead of a root",
        domain=(0.5, 2.0),
    ),
    rule(
        "softplus",
        log1p(exp(x)),
        softplus(x),
        exact_in="reals",
        edges="mended",
        why=_FINITE,
        domain=_WIDE,
    ),
    rule(
        "logaddexp",
        log(exp(x) + exp(y)),
        logaddexp(x, y),
        exact_in="reals",
        edges="mended",
        why=_FINITE,
        domain=_WIDE,
    ),
    rule(
        "log-of-sigmoid",
        log(sigmoid(x)),
        lambda m: -softplus(-m["x"]),
        exact_in="reals",
        edges="mended",
        why="no logarithm of a number that rounds to 0",
        domain=_WIDE,
    ),
    rule(
        "log-of-quotient",
        log(exp(x) / y),
        lambda m: m["x"] - log(m["y"]),
        exact_in="reals",
        edges="mended",
        when=_divides_by_not_negative,
        why="no logarithm of a number that rounds to 0",
        examples=[(lambda x, y: log(exp(x) / square(y)), [(3, 4), (3, 1)], (0.5, 2.0))],
    ),
    rule(
        "log-of-rows-over-sums",
        log(exp(x) * reshape(reciprocal(y), shape=shape)),
        lambda m: m["x"] - reshape(log(m["y"]), shape=m.param("shape")),
        exact_in="reals",
        edges="mended",
        when=_divides_by_not_negative,
        why="no logarithm of a number that rounds to 0",
        examples=[
            (
                lambda x, y: log(exp(x) * reshape(reciprocal(square(y)), shape=(3, 1))),
                [(3, 4), (3,)],
                (0.5, 2.0),
            )
        ],
    ),
    rule(
        "log-over-sum",
        log(exp(x) * reciprocal(y)),
        lambda m: m["x"] - log(m["y"]),
        exact_in="reals",
        edges="mended",
        when=_divides_by_not_negative,
        why="no logarithm of a number that rounds to 0",
        examples=[(lambda x, y: log(exp(x) * reciprocal(square(y))), [(3, 4), ()], (0.5, 2.0))],
    ),
    rule(
        "sigmoid",
        reciprocal(exp(x) + 1.0),
        lambda m: sigmoid(-m["x"]),
        exact_in="reals",
        edges="mended",
        why="logistic function",
        domain=_WIDE,
    ),
    rule(
        "sigmoid-of-quotient",
        exp(x) / (exp(x) + 1.0),
        sigmoid(x),
        exact_in="reals",
        edges="mended",
        why=_FINITE,
        domain=_WIDE,
    ),
    rule(
        "one-minus-sigmoid",
        1.0 - sigmoid(x),
        lambda m: sigmoid(-m["x"]),
        exact_in="reals",
        once=True,
        why=_DIGITS,
        domain=_WIDE,
    ),
    rule(
        "one-plus-tanh",
        tanh(x) + 1.0,
        lambda m: sigmoid(m["x"] * 2.0) * 2.0,
        exact_in="reals",
        once=True,
        why=_DIGITS,
        domain=_WIDE,
    ),
    rule(
        "one-minus-tanh",
        1.0 - tanh(x),
        lambda m: sigmoid(m["x"] * -2.0) * 2.0,
        exact_in="reals",
        once=True,
        why=_DIGITS,
        domain=_WIDE,
    ),
    rule(
        "exp-times-sigmoid",
        exp(x) * sigmoid(y),
        sigmoid(x),
        exact_in="reals",
        edges="mended",
        when=_sigmoid_of_minus,
        why=_FINITE,
        domain=_WIDE,
        examples=[(lambda x: exp(x) * sigmoid(-x), [(3, 4)], _WIDE)],
    ),
    rule(
        "exp-times-sigmoid-times",
        exp(x) * (sigmoid(y) * z),
        lambda m: m["z"] * sigmoid(m["x"]),
        exact_in="reals",
        edges="mended",
        when=_sigmoid_of_minus,
        why=_FINITE,
        domain=_WIDE,
        examples=[(lambda x, z: exp(x) * (z * sigmoid(-x)), [(3, 4), (3, 4)], _WIDE)],
    ),
    rule(
        "exp-times-over",
        exp(x) * (z / (exp(x) + 1.0)),
        lambda m: m["z"] * sigmoid(m["x"]),
        exact_in="reals",
        edges="mended",
        why=_FINITE,
        domain=_WIDE,
    ),
    rule(
        "slope-of-sigmoid",
        exp(x) * square(sigmoid(y)),
        lambda m: sigmoid(m["x"]) * sigmoid(-m["x"]),
        exact_in="reals",
        edges="mended",
        when=_sigmoid_of_minus,
        why=_FINITE,
        domain=_WIDE,
        examples=[(lambda x: exp(x) * square(sigmoid(-x)), [(3, 4)], _WIDE)],
    ),
    rule(
        "slope-of-sigmoid-times",
        exp(x) * (square(sigmoid(y)) * z),
        _sigmoid_slope,
        exact_in="reals",
        edges="mended",
        when=_sigmoid_of_minus,
        why=_FINITE,
        domain=_WIDE,
        examples=[(lambda x, z: exp(x) * (z * square(sigmoid(-x))), [(3, 4), (3, 4)], _WIDE)],
    ),
    rule(
        "slope-of-sigmoid-as-quotient",
        exp(x) / square(exp(x) + 1.0),
        lambda m: sigmoid(m["x"]) * sigmoid(-m["x"]),
        exact_in="reals",
        edges="mended",
        why=_FINITE,
        domain=_WIDE,
    ),
    rule(
        "slope-over-sigmoid",
        (sigmoid(x) * sigmoid(y)) / sigmoid(x),
        sigmoid(y),
        exact_in="reals",
        edges="mended",
        when=_sigmoid_of_minus,
        why="no division by a number that rounds to 0",
        examples=[(lambda x: (sigmoid(x) * sigmoid(-x)) / sigmoid(x), [(3, 4)], _WIDE)],
    ),
    rule(
        "slope-over-sigmoid-of-minus",
        (sigmoid(x) * sigmoid(y)) / sigmoid(y),
        sigmoid(x),
        exact_in="reals",
        edges="mended",
        when=_sigmoid_of_minus,
        why="no division by a number that rounds to 0",
        examples=[(lambda x: (sigmoid(x) * sigmoid(-x)) / sigmoid(-x), [(3, 4)], _WIDE)],
    ),
    rule(
        "product-of-exps",
        exp(x) * exp(y),
        exp(x + y),
        exact_in="reals",
        edges="mended",
        once=True,
        when=_both_whole,
        why="one exponential instead of two",
        examples=[(lambda x, y: exp(x) * exp(y), [(3, 4), (3, 4)])],
    ),
    rule(
        "quotient-of-exps",
        exp(x) / exp(y),
        exp(x - y),
        exact_in="reals",
        edges="mended",
        once=True,
        when=_both_whole,
        why="one exponential instead of two",
        examples=[(lambda x, y: exp(x) / exp(y), [(3, 4), (3, 4)])],
    ),
    rule(
        "reciprocal-of-exp",
        reciprocal(exp(x)),
        lambda m: exp(-m["x"]),
        exact_in="reals",
        once=True,
        why="a sign instead of a division",
    ),
    rule(
        "tanh-of-exps",
        (exp(x) - exp(-x)) / (exp(x) + exp(-x)),
        tanh(x),
        exact_in="reals",
        edges="mended",
        why=_FINITE,
        domain=_WIDE,
    ),
    rule(
        "tanh-of-quotient",
        sinh(x) / cosh(x),
        tanh(x),
        exact_in="reals",
        edges="mended",
        why=_FINITE,
        domain=_WIDE,
    ),
    rule(
        "log-sum-exp",
        log(reduce_sum(exp(x), axes=axes)),
        _log_sum_exp,
        exact_in="reals",
        edges="mended",
        when=_may_overflow,
        why="exp of differences from the largest element",
        examples=[
            (lambda x: log(reduce_sum(exp(x), axes=(1,))), [(3, 4)], _WIDE),
            (lambda x: log(reduce_sum(exp(x), axes=(0, 1))), [(3, 4)], _WIDE),
        ],
    ),
    *_softmaxes(
        lambda total: reshape(total, shape=shape),
        "rows",
        lambda total: reshape(total, shape=(3, 1)),
        (1,),
        (3,),
    ),
    *_softmaxes(lambda total: total, "whole", lambda total: total, (0, 1), ()),
)
