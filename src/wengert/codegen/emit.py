"""Elementwise operators as LLVM instructions, for scalars and explicit vectors alike.

`emit` is the one entry. Every elementwise operator of the rule table is either emitted or listed in
`supported.INTERPRETED` with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import wengert.codegen.math_basic
import wengert.codegen.math_bits
import wengert.codegen.math_division
import wengert.codegen.math_error
import wengert.codegen.math_exp
import wengert.codegen.math_inverse
import wengert.codegen.math_log
import wengert.codegen.math_power
import wengert.codegen.math_random
import wengert.codegen.math_trig  # noqa: F401
from wengert.codegen import ir
from wengert.codegen.math_table import EMITTERS, JOINED
from wengert.codegen.vector import Kind, Lanes

__all__ = ["emit"]

#: Operators whose result depends on the float type itself, not only on its numbers.
_OF_THE_TYPE = frozenset({"nextafter", "spacing", "cast", "where"})


def _operand_kind(op_name: str, position: int, value: ir.Value, kind: Kind) -> Kind:
    if op_name == "where" and position == 0:
        return kind.mask
    if op_name == "ldexp" and position == 1:
        element = value.type.element if kind.lanes > 1 else value.type
        return kind.of(f"i{element.width // 8}")
    return kind


def emit(
    builder: ir.IRBuilder,
    op_name: str,
    args: Sequence[ir.Value],
    params: Mapping[str, Any],
    kind: Kind,
) -> ir.Value:
    """Append the instructions of one elementwise operator and return its result.

    Parameters
    ----------
    builder : where to append; it may stand in another block afterwards (rare cases branch)
    op_name : the operator's name in the rule table, or that of an instruction for two of them
    args : the operands, already converted to the dtypes that `Op.promote` asks for
    params : the operator's static parameters
    kind : dtype and lanes of the operands; of `where`, those of its two values; of `ldexp`, those
        of its first operand

    Returns
    -------
    The result, of the operator's result dtype; booleans are `i1`.
    """
    lanes = [
        Lanes(builder, value, _operand_kind(op_name, i, value, kind))
        for i, value in enumerate(args)
    ]
    emitter = EMITTERS.get(op_name) or JOINED[op_name]
    if kind.dtype == np.float16 and op_name not in _OF_THE_TYPE:
        # Computed in float32, as NumPy does: twice rounding is harmless to sums, products,
        # quotients and roots, whose float32 has more than twice the digits.
        wide = [x.to("f4") if x.kind == kind else x for x in lanes]
        result = emitter(*wide, **params)
        return (result.to("f2") if result.kind.is_float else result).value
    return emitter(*lanes, **params).value
