"""Values of single uses of a compiled function, asked for while a program records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.replay.state import replay

__all__ = ["results_of_call"]

#: Uses after which native code is made: the user has asked for it already, by compiling the
#: function, and reads what it computes.
_OFTEN = 256


def results_of_call(params: Any, operands: Sequence[Any]) -> tuple[Any, ...] | None:
    """The results of an entry `call`, by native code; None where the interpreter must run it."""
    body = params[0][1]
    uses = body.schedules["uses alone"] = body.schedules.get("uses alone", 0) + 1
    found = replay(body, operands, at_once=uses > _OFTEN)
    return None if found is None else tuple(found)
