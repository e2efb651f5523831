"""Rewrite rules of extrema, choices and casts."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.ops.arithmetic import (
    cast,
    fmax,
    fmin,
    maximum,
    minimum,
)
from wengert.ops.comparing import (
    bitwise_and,
    bitwise_or,
    equal,
    invert,
    logical_not,
    not_equal,
    where,
)
from wengert.ops.special import relu
from wengert.optimise.record import Rule, rule
from wengert.optimise.terms import constant, parameter, variable

__all__ = ["CHOICES"]


x, y, z = variable("x"), variable("y"), variable("z")
a, c, d = constant("a"), variable("c"), variable("d")
to, middle = parameter("to"), parameter("middle")


def _truth(match: Any, name: str) -> bool:
    return bool(match.number(name))


def _chosen(match: Any) -> Any:
    return match["x"] if _truth(match, "a") else match["y"]


def _casts_meet(match: Any) -> bool:
    # Each value of the first dtype is a value of the middle one.
    return np.can_cast(match.type_of("x").dtype, match.param("middle"), "safe")


CHOICES: tuple[Rule, ...] = (
    *(
        rule(f"{op.name}-of-same", op(x, x), x, exact_in="floats", kinds="fiu", why="idempotent")
        for op in (maximum, minimum, fmax, fmin)
    ),
    *(
        rule(
            f"{op.name}-twice",
            op(op(x, y), y),
            op(x, y),
            exact_in="floats",
            kinds="fiu",
            why="idempotent",
        )
        for op in (maximum, minimum, fmax, fmin)
    ),
    rule("relu-of-relu", relu(relu(x)), relu(x), exact_in="floats", why="idempotent"),
    rule(
        "where-same",
        where(c, x, x),
        x,
        exact_in="floats",
        kinds="fiub",
        why="no choice",
        examples=[(lambda c, x: where(c, x, x), [(3, 4), (4,)], (-2.0, 2.0), "bf")],
    ),
    rule(
        "where-constant",
        where(a, x, y),
        _chosen,
        exact_in="floats",
        kinds="fiub",
        why="the condition is known",
        examples=[
            (lambda x, y: where(np.True_, x, y), [(3, 4), ()]),
            (lambda x, y: where(np.False_, x, y), [(3, 1), (4,)]),
        ],
    ),
    rule(
        "where-not",
        where(invert(c), x, y),
        where(c, y, x),
        exact_in="floats",
        kinds="fiub",
        why="one operation less",
        examples=[(lambda c, x, y: where(~c, x, y), [(3, 4)] * 3, (-2.0, 2.0), "bff")],
    ),
    rule(
        "where-logical-not",
        where(logical_not(c), x, y),
        where(c, y, x),
        exact_in="floats",
        kinds="fiub",
        when=lambda m: m.type_of("c").dtype.kind == "b",
        why="one operation less",
        examples=[(lambda c, x, y: where(logical_not(c), x, y), [(3, 4)] * 3, (-2.0, 2.0), "bff")],
    ),
    rule(
        "where-in-where",
        where(c, where(c, x, y), z),
        where(c, x, z),
        exact_in="floats",
        kinds="fiub",
        why="the condition is known to hold there",
        examples=[
            (lambda c, x, y, z: where(c, where(c, x, y), z), [(3, 4)] * 4, (-2.0, 2.0), "bfff")
        ],
    ),
    rule(
        "where-in-else",
        where(c, x, where(c, y, z)),
        where(c, x, z),
        exact_in="floats",
        kinds="fiub",
        why="the condition is known not to hold there",
        examples=[
            (lambda c, x, y, z: where(c, x, where(c, y, z)), [(3, 4)] * 4, (-2.0, 2.0), "bfff")
        ],
    ),
    rule(
        "where-nested-same-else",
        where(c, where(d, x, y), y),
        where(bitwise_and(c, d), x, y),
        exact_in="floats",
        kinds="fiub",
        once=True,
        why="one select instead of two",
        examples=[
            (lambda c, d, x, y: where(c, where(d, x, y), y), [(3, 4)] * 4, (-2.0, 2.0), "bbff")
        ],
    ),
    rule("invert-twice", invert(invert(x)), x, exact_in="floats", kinds="iub", why="undone"),
    rule(
        "not-equal",
        invert(equal(x, y)),
        not_equal(x, y),
        exact_in="floats",
        kinds="b",
        why="one operation less",
    ),
    rule(
        "not-not-equal",
        invert(not_equal(x, y)),
        equal(x, y),
        exact_in="floats",
        kinds="b",
        why="one operation less",
    ),
    rule("and-same", bitwise_and(x, x), x, exact_in="floats", kinds="iub", why="idempotent"),
    rule("or-same", bitwise_or(x, x), x, exact_in="floats", kinds="iub", why="idempotent"),
    rule(
        "cast-to-own",
        cast(x, dtype=to),
        x,
        exact_in="floats",
        kinds="fiub",
        when=lambda m: m.type_of("x").dtype == m.param("to"),
        why="it has this dtype",
        examples=[(lambda x: cast(x, dtype=x.dtype), [(3, 4)])],
    ),
    rule(
        "cast-of-cast",
        cast(cast(x, dtype=middle), dtype=to),
        lambda m: cast(m["x"], dtype=m.param("to")),
        exact_in="floats",
        kinds="fiub",
        when=_casts_meet,
        why="the dtype between holds every value exactly",
        examples=[
            (lambda x: cast(cast(x, dtype=np.dtype("f8")), dtype=x.dtype), [(3, 4)]),
            (
                lambda x: cast(cast(x, dtype=np.dtype("i4")), dtype=np.dtype("f8")),
                [(3, 4)],
                (-2.0, 2.0),
                "i",
            ),
        ],
    ),
)
