"""Local partials as programs that the page runs again after an input was edited.

The rule table's partial, recorded once on symbolic operands, is turned into instructions over the
same operator names. The page has the operators' values only, and no table of derivatives.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

import numpy as np

from wengert.explain.local import LocalPartial
from wengert.explain.page.numbers import wire_number
from wengert.graph import CONSTANT, INPUT

__all__ = ["Program", "page_name", "param_value", "to_program"]


class Program(TypedDict):
    """Straight-line code for one number.

    `code`: [operator, operands, params] each; operands are x0, x1, … (operands of the node), y (its
    value), t0, t1, … (earlier results) or numbers. `mask`: where it comes out 0, the partial is
    zero by structure.
    """

    code: list[list[Any]]
    result: str | float
    mask: NotRequired[str | float]


def to_program(local: LocalPartial) -> Program | None:
    """The program of a partial; None if it holds something a page cannot write down."""
    if local.unit is not None and not local.is_masked:
        return {"code": [], "result": local.unit}
    graph = local.graph
    refs: dict[int, Any] = {i: "y" if k == 0 else f"x{k - 1}" for k, i in enumerate(graph.inputs)}
    live = graph.live()
    code: list[list[Any]] = []
    for i, (op, operands, params, type_) in enumerate(graph.entries):
        if op is INPUT or not live[i]:
            continue
        if op is CONSTANT:
            constant = np.asarray(graph.constants[i])
            if constant.ndim != 0 or constant.dtype.kind not in "biuf":
                return None
            refs[i] = wire_number(constant[()])
            continue
        settings = {key: param_value(value) for key, value in params}
        refs[i] = f"t{len(code)}"
        name = page_name(op, type_)
        code.append([name, [refs[k] for k in operands], *([settings] if settings else [])])
    outputs = [refs[i] for i in graph.outputs]
    program: Program = {"code": code, "result": outputs[0]}
    if local.is_masked:
        program["mask"] = outputs[1]
    return program


#: On the page truth values are the numbers 0 and 1, whose bits are not theirs.
_ON_TRUTH_VALUES = {
    "invert": "logical_not",
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor",
}


def page_name(op: Any, type_: Any) -> str:
    """The operator by which the page computes this one: itself, or its namesake on truth values."""
    is_bool = not isinstance(type_, tuple) and type_.dtype.kind == "b"
    name: str = op.name
    return _ON_TRUTH_VALUES.get(name, name) if is_bool else name


def param_value(value: Any) -> Any:
    """A static parameter as JSON: tuples (shapes, axes, keys) as lists, dtypes by name.

    What the page can do nothing with (the graph of a loop's body) is null.
    """
    if isinstance(value, (tuple, list)):
        return [param_value(each) for each in value]
    if isinstance(value, np.dtype):
        return str(value)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float, np.integer, np.floating)):
        return wire_number(value)
    return None
