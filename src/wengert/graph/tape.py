"""The tape: the one way in which graphs are built.

A tape is a growing Wengert list. Handles (`Traced`, whose subclass with NumPy's protocols is
`Variable`) stand for its values; applying an operator to handles appends an entry to the innermost
tape among them. Values that come from an outer tape, and arrays and numbers of the program, become
further inputs and constants: this closure conversion is all that nesting needs, and it is why
derivatives of different levels can't be confused.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from wengert.errors import ArgumentError, DTypeError, EscapedError, user_location
from wengert.graph.graph import CONSTANT, INPUT, Entry, Graph
from wengert.graph.types import Type, type_of

__all__ = ["Tape", "Traced", "current_tape", "innermost", "recording", "staying_inside"]


class Traced:
    """A handle on one value of a tape: where it is (`_tape`, `_index`) and its `_type`."""

    __slots__ = ("_index", "_tape", "_type")

    _tape: Any
    _index: Any
    _type: Any
    #: bool, int or float for a handle that stands for a Python number (see `Op.promote`).
    _python_kind: Any = None

    def __init__(self, tape: Any, index: int, type_: Any) -> None:
        self._tape = tape
        self._index = index
        self._type = type_


_SCALARS = (bool, int, float)


class _Fields:
    """What recording reads and writes at every operation, in slots: native code knows their places
    (`codegen.recording`)."""

    __slots__ = (
        "constants",
        "entries",
        "expected",
        "fast",
        "keeps_calls",
        "kept",
        "numbers",
        "snapshots",
    )

    entries: list[Entry]
    constants: dict[int, Any]
    fast: bool
    expected: tuple[Entry, ...]
    numbers: dict[int, int]
    kept: list[Any]
    keeps_calls: bool
    snapshots: dict[int, tuple[Any, Any, int]]


class Tape(_Fields):
    """A Wengert list under construction.

    Attributes
    ----------
    entries : list of (op, operands, params, type)
    inputs : value numbers of the declared inputs, in order
    constants : value number -> number or (a private copy of an) array
    captured : value number -> handle of an outer tape that this input stands for
    lines : value number -> the user's `file.py:31`, or None where lines are not recorded
    origins : the same, of operators that can fail on operands of the right types; None on tapes
        that no user's function runs on
    fast : whether the short path of recording may be taken
    expected : entries of a tape that this one may turn out to repeat: equal entries are shared, so
        that comparing both compares addresses
    numbers : the identity of a Python number -> the constant that it became
    kept : these numbers, each followed by its constant
    keeps_calls : whether a compiled function is recorded as one node
    snapshots : the identity of an array -> the array, its copy, and the constant that it became
    parent : the tape that was recording when this one began
    """

    #: The class of handles; `capture` puts its `Variable` here by subclassing.
    handle: Any = Traced

    def __init__(self, parent: Tape | None = None, *, lines: bool = False) -> None:
        self.entries = []
        self.inputs: list[int] = []
        self.constants = {}
        self.fast = False
        self.expected = ()
        self.numbers = {}
        self.kept = []
        self.captured: dict[int, Traced] = {}
        self.lines: dict[int, str] | None = {} if lines else None
        self.origins: dict[int, str] | None = None
        self.names: dict[int, str] = {}
        self.parent = parent
        self.level: int = 0 if parent is None else parent.level + 1
        self.closed = False
        self.purpose = "this transformation"
        self._captured_at: dict[tuple[int, int], int] = {}
        self.keeps_calls = False
        self.snapshots = {}

    # ---------------------------------------------------------------- leaves

    def input(self, type_: Any, name: str | None = None) -> Any:
        """Append an input and return its handle."""
        index = self._append_leaf(INPUT, type_)
        self.inputs.append(index)
        if name is not None:
            self.names[index] = name
        return self.handle(self, index, type_)

    def _append_leaf(self, leaf: Any, type_: Any) -> int:
        index = len(self.entries)
        self.entries.append((leaf, (), (), type_))
        return index

    def constant(self, value: Any, dtype: Any = None) -> Any:
        """Append a constant (a Python number, NumPy scalar or array) and return its handle.

        An array is copied, since the program may change it before the tape runs; an array met
        again and unchanged is the same constant.
        """
        index = self._constant(value, dtype)
        return self.handle(self, index, self.entries[index][3])

    def _constant(self, value: Any, dtype: Any) -> int:
        if isinstance(value, np.ndarray) and value.ndim:
            return self._array_constant(value)
        is_kept = value.__class__ is float or (
            value.__class__ is int and -_MOST_INT < value < _MOST_INT
        )
        if is_kept and self.fast:
            known = self.numbers.get(id(value))
            own = dtype
            if own is None:
                own = np.float64 if value.__class__ is float else np.int64
            if known is not None and self.entries[known][3].dtype == own:
                return known
            self.numbers[id(value)] = len(self.entries)
            self.kept += (value, len(self.entries))
        if dtype is not None:
            value = dtype.type(value)
        elif not isinstance(value, np.generic):
            value = np.asarray(value)[()]
        index = self._append_leaf(CONSTANT, Type((), value.dtype))
        self.constants[index] = value
        return index

    def _array_constant(self, value: Any) -> int:
        known = self.snapshots.get(id(value))
        if known is not None and known[0] is value and _unchanged(value, known[1]):
            return known[2]
        if not value.dtype.isnative:  # graphs hold numbers in this machine's byte order
            value = value.astype(value.dtype.newbyteorder("="))
        index = self._append_leaf(CONSTANT, type_of(value))
        copy = value if _is_frozen(value) else np.array(value, order="K", copy=True, subok=False)
        self.constants[index] = copy
        self.snapshots[id(value)] = (value, copy, index)
        return index

    def capture(self, outer: Traced) -> Any:
        """The handle of the input that stands for a value of an enclosing tape."""
        key = (id(outer._tape), outer._index)
        index = self._captured_at.get(key)
        if index is None:
            self._check_encloses(outer._tape)
            index = self._append_leaf(INPUT, outer._type)
            self.inputs.append(index)
            # A handle of its own: the program may rebind the original by assigning into it.
            self.captured[index] = outer._tape.handle(outer._tape, outer._index, outer._type)
            self._captured_at[key] = index
        return self.handle(self, index, outer._type)

    def _check_encloses(self, outer: Tape) -> None:
        tape: Tape | None = self
        while tape is not None and tape is not outer:
            tape = tape.parent
        if tape is None or outer.closed:
            raise EscapedError(
                f"a traced value was used after {outer.purpose} had ended, or in another thread",
                hint="return it from the function instead of storing it in a variable outside it",
            )

    # ---------------------------------------------------------------- operators

    def apply(self, op: Any, args: Sequence[Any], params: tuple[tuple[str, Any], ...] = ()) -> Any:
        """Append one application of `op`; return the handle of its result.

        `args` are handles (of this tape or of an enclosing one), arrays or numbers. Operands are
        promoted to the dtypes that the operator computes in, as NumPy 2 does.
        """
        key = _own_types(self, args) if self.fast else None
        if key is not None:
            known = op.direct.get((key, params))
            if known is not None:  # seen before, and no operand was converted
                params, result = known
                operands = tuple([a._index for a in args])  # may record a view anew
                index = len(self.entries)
                self.entries.append((op, operands, params, result))
                if op.can_fail and self.origins is not None:
                    self.origins[index] = user_location()
                return self.handle(self, index, result)
        self.check_open()
        args = [a if isinstance(a, (Traced, *_SCALARS)) else _as_array(op, a) for a in args]
        kinds = [_kind(a) for a in args]
        dtypes = op.promote(kinds, dict(params))
        before = len(self.entries)
        numbers = [self._lift(a, dtype) for a, dtype in zip(args, dtypes, strict=True)]
        unconverted = len(self.entries) == before
        made = self.record(op, tuple(numbers), params)
        # Bodies of loops, which may hold large arrays, are not kept alive.
        is_plain = key is not None and not any(isinstance(value, Graph) for _, value in params)
        if is_plain and unconverted and self.entries[made._index][3] is made._type:
            if len(op.direct) >= _MOST_DIRECT:
                op.direct.clear()
            op.direct[key, params] = (params, made._type)
        return made

    def apply_each(self, op: Any, args: Sequence[Any], params: Any = ()) -> list[Any]:
        """`apply` for an operator of one operand, once for each of several."""
        made = [self.apply(op, args[:1], params)]
        type_ = args[0]._type
        known = op.direct.get(((type_,), params)) if self.fast and not op.can_fail else None
        for a in args[1:]:
            if known is None or a._tape is not self or a._type is not type_:
                made.append(self.apply(op, (a,), params))
                continue
            operands = (a._index,)  # may record a view anew
            made.append(self.handle(self, len(self.entries), known[1]))
            self.entries.append((op, operands, *known))
        return made

    def check_open(self) -> None:
        """Raise `EscapedError` if the transformation that made this tape has ended."""
        if self.closed:
            raise EscapedError(
                f"a traced value was used after {self.purpose} had ended",
                hint="return it from the function instead of storing it in a variable outside it",
            )

    def _lift(self, arg: Any, dtype: Any) -> int:
        if isinstance(arg, Traced):
            index: int = arg._index if arg._tape is self else self.capture(arg)._index
        elif isinstance(arg, np.ndarray) and arg.ndim:
            index = self._array_constant(arg)
        else:
            return self._constant(arg, dtype)
        if dtype is not None and self.entries[index][3].dtype != dtype:
            return self.record(self.cast, (index,), (("dtype", dtype),))._index  # type: ignore[no-any-return]
        return index

    #: The record of the operator that converts dtypes; set by `capture`, since the rule table
    #: comes after the graph in the order of imports.
    cast: Any = None

    def record(self, op: Any, operands: tuple[int, ...], params: Any = ()) -> Any:
        """Append an entry whose operands are value numbers of this tape; return its handle."""
        entries = self.entries
        type_ = op.infer(tuple([entries[k][3] for k in operands]), params)
        index = len(entries)
        entries.append((op, operands, params, type_))
        if self.lines is not None:
            self.lines[index] = user_location()
        if op.can_fail and self.origins is not None:
            self.origins[index] = user_location()
        return self.handle(self, index, type_)

    def record_graph(self, graph: Graph, env: list[int], live: Sequence[bool]) -> None:
        """Append the live entries of a graph, whose types are known; `env` holds the value numbers
        of its inputs, and afterwards those of all live entries."""
        entries, lines, origins = self.entries, self.lines, self.origins
        line = user_location() if lines is not None else ""
        for i, (op, operands, params, type_) in enumerate(graph.entries):
            if not live[i] or op is INPUT:
                continue
            if op is CONSTANT:
                env[i] = self.index_of(graph.constants[i])
                continue
            index = env[i] = len(entries)
            entries.append((op, tuple([env[k] for k in operands]), params, type_))
            if lines is not None:
                lines[index] = line
            if op.can_fail and origins is not None:
                origins[index] = line or user_location()

    # ---------------------------------------------------------------- results

    def index_of(self, value: Any) -> int:
        """The value number of a handle, outer handle, array or number on this tape."""
        return self._lift(value if isinstance(value, Traced) else _as_array(None, value), None)

    def graph(self, outputs: Sequence[int], inputs: Sequence[int] | None = None) -> Graph:
        """The finished graph with the given outputs; `inputs` puts its inputs in another order."""
        return Graph(
            self.entries,
            self.inputs if inputs is None else inputs,
            outputs,
            self.constants,
            self.lines or {},
            self.names,
        )


#: Uses of a Python int of less than this are one constant, as those of a float are.
_MOST_INT = 1 << 29
#: Types of operands, and parameters, for which an operator knows that it converts nothing.
_MOST_DIRECT = 8192


def _own_types(tape: Tape, args: Sequence[Any]) -> Any:
    """The types of operands that are all values of this tape, else None."""
    for a in args:
        if not isinstance(a, Traced) or a._tape is not tape or a._python_kind is not None:
            return None
    return tuple([a._type for a in args])


def _kind(arg: Any) -> Any:
    # What `Op.promote` wants to know of an operand; an entry with several results has no dtype.
    if isinstance(arg, Traced):
        return arg._python_kind or getattr(arg._type, "dtype", None)
    return type(arg) if type(arg) in _SCALARS else arg.dtype


def _as_array(op: Any, value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        what = f"{op.name}: " if op is not None else ""
        raise DTypeError(
            f"{what}an operand is {value!r} of type {type(value).__name__}, which is not a number "
            "or an array of numbers",
        )
    return array


def _is_frozen(array: Any) -> bool:
    # A read-only view of a writable array can still change through its base.
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None


def _unchanged(array: Any, copy: Any) -> bool:
    if array.shape != copy.shape or array.dtype != copy.dtype:
        return False
    if array is copy:
        return True
    bits = f"i{array.itemsize}"
    if array.itemsize not in (1, 2, 4, 8):
        return False
    return bool(np.array_equal(array.view(bits), copy.view(bits)))


def innermost(args: Sequence[Any]) -> Any:
    """The innermost tape among the handles in `args`, or None if there is none."""
    tape = None
    for a in args:
        if isinstance(a, Traced) and (tape is None or a._tape.level > tape.level):
            tape = a._tape
    if tape is not None:
        inside = _active.inside
        if inside is not None and tape in inside[1]:
            return inside[0]
    return tape


class _Active(threading.local):
    """tape : the one that is recording; inside : what `staying_inside` says"""

    tape: Any = None
    inside: Any = None


_active = _Active()


@contextmanager
def staying_inside(tape: Any) -> Iterator[None]:
    """While `tape` records a branch or a loop's body: what is computed of values of enclosing tapes
    is recorded on it.

    What a branch computes of values that it closes over would else be computed whether the branch
    is taken or not, and an assignment into such a value would take place once and always.
    """
    previous = _active.inside
    outer, fast = tape.parent, []
    while outer is not None:
        fast.append((outer, outer.fast))
        outer.fast = False
        outer = outer.parent
    _active.inside = (tape, {outer for outer, _ in fast})
    try:
        yield
    finally:
        _active.inside = previous
        for outer, was_fast in fast:
            outer.fast = was_fast


def current_tape() -> Any:
    """The tape that is recording in this thread, or None."""
    return _active.tape


class recording:
    """Context that makes a tape the current one of this thread, and closes it at the end."""

    __slots__ = ("_tape",)

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def __enter__(self) -> Tape:
        tape = self._tape
        if tape.parent is not current_tape():
            raise ArgumentError("a tape must begin inside the tape that is its parent")
        _active.tape = tape
        return tape

    def __exit__(self, *_: object) -> None:
        self._tape.closed = True
        _active.tape = self._tape.parent
