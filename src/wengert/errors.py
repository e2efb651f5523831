"""Every exception that wengert raises on purpose.

    WengertError
    ├── ShapeError          (ValueError)  operand shapes don't fit the operator
    │   └── BoundsError     (IndexError)  an index is outside its axis
    ├── DTypeError          (TypeError)   an operand has a dtype the operator can't take
    ├── ArgumentError       (ValueError)  an argument of a wengert function is not what it must be
    ├── ConversionError     (TypeError)   a traced value was asked to become a plain number or array
    ├── NoValueError        (TypeError)   a value was asked for where only a type is known
    ├── EscapedError        (ValueError)  a traced value was used after its transformation ended
    ├── MutationError       (ValueError)  an assignment whose meaning could not be kept
    ├── DerivativeError     (TypeError)   a derivative that does not exist was asked for
    ├── GradientCheckError  (AssertionError)  `check_grads` found a difference
    ├── GraphError          (ValueError)  a graph is malformed
    │   └── GraphFileError                a graph file is malformed
    ├── FormulaError        (ValueError)  a formula can't be parsed
    └── DataError           (ValueError)  a data file can't be used

Messages follow one pattern: which operator, what was expected, what arrived, where the user wrote
it, what to do.
"""

from __future__ import annotations

import functools
import os
import sys
from types import FrameType

__all__ = [
    "ArgumentError",
    "BoundsError",
    "ConversionError",
    "DTypeError",
    "DataError",
    "DerivativeError",
    "EscapedError",
    "FormulaError",
    "GradientCheckError",
    "GraphError",
    "GraphFileError",
    "MutationError",
    "NoValueError",
    "ShapeError",
    "WengertError",
    "located",
    "user_frame",
    "user_location",
]


class WengertError(Exception):
    """Base class of all errors that wengert raises on purpose.

    Parameters: `message` says what was expected and what arrived; `hint` says what to do. The
    user's file and line are looked up when the error is made and become part of the text.
    """

    def __init__(self, message: str, *, hint: str = "", location: str | None = None) -> None:
        where = user_location() if location is None else location
        text = message.rstrip(".") + "."
        if where:
            text += f" At {where}."
        if hint:
            text += f" Hint: {hint.rstrip('.')}."
        super().__init__(text)
        self.message = message
        self.location = where
        self.hint = hint


class ShapeError(WengertError, ValueError):
    """The shapes of the operands do not fit the operator."""


class BoundsError(ShapeError, IndexError):
    """An index is outside its axis."""


class DTypeError(WengertError, TypeError):
    """An operand has a dtype that the operator cannot take."""


class ArgumentError(WengertError, ValueError):
    """An argument of a wengert function is not what it must be."""


class ConversionError(WengertError, TypeError):
    """A traced value was asked to become a plain number or array, which would lose its gradient."""


class NoValueError(WengertError, TypeError):
    """A number was asked for where only its type is known (`vmap`, `trace`, derivative rules)."""


class EscapedError(WengertError, ValueError):
    """A traced value was used after the transformation that made it had ended."""


class MutationError(WengertError, ValueError):
    """An assignment into a traced array whose meaning could not be kept."""


class DerivativeError(WengertError, TypeError):
    """A derivative was asked for that does not exist."""


class BudgetError(WengertError, MemoryError):
    """No plan was found that keeps to a memory budget: the message states the smallest feasible."""


class GradientCheckError(WengertError, AssertionError):
    """A derivative disagrees with central differences or with the other mode."""


class GraphError(WengertError, ValueError):
    """A graph is malformed: the message names the entry."""


class GraphFileError(GraphError):
    """A graph file is malformed."""


class FormulaError(WengertError, ValueError):
    """A formula has unknown names, or is not arithmetic."""


class DataError(WengertError, ValueError):
    """A data file cannot be used."""


def located(error: Exception, operator: str, line: str) -> Exception:
    """An error of running an operator, told of the line that recorded it, if that is known."""
    if not line:
        return error
    if isinstance(error, WengertError):
        return type(error)(error.message, hint=error.hint, location=line)
    error.add_note(f"raised by {operator}, recorded at {line}")
    return error


_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_STANDARD = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_INSTALLED = tuple(os.sep + name + os.sep for name in ("site-packages", "dist-packages"))
_LIBRARIES = tuple(folder + name + os.sep for folder in _INSTALLED for name in ("numpy", "optree"))


@functools.cache
def _is_user_file(filename: str) -> bool:
    if filename.startswith(("<frozen", _PACKAGE)) or any(p in filename for p in _LIBRARIES):
        return False
    # Installed packages lie within the folder of the standard library.
    return not filename.startswith(_STANDARD) or any(p in filename for p in _INSTALLED)


def user_frame() -> FrameType | None:
    """The innermost frame outside wengert, NumPy, optree and the standard library, or None."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not _is_user_file(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def user_location() -> str:
    """`file.py:31` of the innermost user frame, or an empty string."""
    frame = user_frame()
    if frame is None:
        return ""
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
