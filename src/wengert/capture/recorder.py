"""The recorder: the tape that users' functions run on, lazily.

An operation only appends to the tape. A value is computed when Python asks for one (`if x > 0`,
`print(x)`), and then only what that value needs; at the end the whole graph runs at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np

from wengert.errors import NoValueError, WengertError, located
from wengert.graph import CONSTANT, INPUT, Graph, Tape, Traced, Type, sizes
from wengert.ops import TABLE
from wengert.run import evaluate_entry
from wengert.run.budget import VIEWS, current_budget

__all__ = ["Recorder"]

#: Entries since values were last computed together, from which it is tried again. After it was in
#: vain, four times as many: all tries together look at fewer entries than there are, and a third.
_MANY = 32


class Recorder(Tape):
    """A tape whose values can be asked for, if its inputs have values.

    Attributes
    ----------
    bindings : value number of an input -> its array; captured inputs ask the outer tape
    values : value number -> array, for the values computed so far
    why_no_values : what to tell a user who asks for the value of an input that has none
    prepare : what to do to a graph before derivatives are taken of it, if anything: a compiling
        caller brings it into numerically stable forms; inherited by tapes inside
    budget : bytes that running the recorded graph may hold; None: as many as it needs
    keeps_calls : whether a compiled function is recorded as one node: on the outermost tape of a
        derivative, if all that it uses has a value
    fast : whether the short path of recording may be taken (open, and no lines wanted)
    reader : what has computed values together, if anything has: it knows values besides `values`
    """

    cast = TABLE["cast"]

    #: Ways to compute several values at once: functions of a tape, the value numbers that are
    #: needed, and the number of entries at the last time; they fill `values`, or return False,
    #: or None if they did not look. `api` puts batching here, later in the order of imports.
    together: ClassVar[list[Callable[[Any, Sequence[int], int], bool | None]]] = []

    #: Other ways than the interpreter's to compute one entry: by operator's name, functions of
    #: parameters and operands, which return None where they can't. `api` puts replay here.
    alone: ClassVar[dict[str, Callable[[Any, Sequence[Any]], Any]]] = {}

    def __init__(
        self, parent: Tape | None = None, *, lines: bool = False, why_no_values: str = ""
    ) -> None:
        super().__init__(parent, lines=lines)
        self.bindings: dict[int, Any] = {}
        self.values: dict[int, Any] = {}
        self.why_no_values = why_no_values
        self.prepare: Callable[[Graph], Graph] | None = getattr(parent, "prepare", None)
        self.fast = not lines
        if sizes.watching:
            sizes.note_tape(self)
        self.budget: int | None = None
        self._read, self._patience = 0, _MANY
        self.reader: Any = None

    def limit(self, budget: int) -> None:
        """Note a memory budget on the outermost tape: for the graph that it records."""
        tape: Any = self
        while tape.parent is not None:
            tape = tape.parent
        tape.budget = budget if tape.budget is None else min(budget, tape.budget)

    @property
    def closed(self) -> bool:
        """Whether the transformation that made this tape has ended."""
        return self._closed

    @closed.setter
    def closed(self, value: bool) -> None:
        self._closed = value
        self.fast = not value and self.lines is None

    def bound_input(self, type_: Type, value: Any, name: str | None = None) -> Any:
        """Append an input that has a value: an array, or a handle of an enclosing tape."""
        made = self.input(type_, name)
        if isinstance(value, Traced):
            # A handle of its own: the program may rebind the original by assigning into it.
            self.captured[made._index] = value._tape.handle(value._tape, value._index, value._type)
        else:
            self.bindings[made._index] = value
        return made

    def value(self, index: int) -> Any:
        """The value of value number `index`, computing what it needs and has not been computed."""
        values = self.values
        if index in values:
            return values[index]
        entries = self.entries
        needed = self._needed(index)
        room = None if current_budget() is None else _Room(self, needed)
        if room is None and self.keeps_calls and len(entries) - self._read >= self._patience:
            self._compute_together(needed)
            needed = self._needed(index)
        reader = self.reader
        with np.errstate(all="ignore"):
            for k in needed:
                op, operands, params, _ = entries[k]
                if k in values:
                    continue
                if op is INPUT:
                    values[k] = self._input_value(k)
                elif op is CONSTANT:
                    values[k] = self.constants[k]
                else:
                    known = [values[o] if o in values else reader.array(o) for o in operands]
                    try:
                        other = self.alone.get(op.name)
                        found = None if other is None else other(params, known)
                        values[k] = evaluate_entry(op, known, params) if found is None else found
                    except Exception as error:  # noqa: BLE001  raised again
                        raise located(error, op.name, (self.origins or {}).get(k, "")) from None
                    if room is not None:
                        room.keep_to_budget(k)
                if reader is not None:
                    reader.note(k)
        if index not in values:
            values[index] = reader.array(index)
        return values[index]

    def _needed(self, index: int) -> list[int]:
        """The entries that have no value and that entry `index` needs, in order."""
        if self.reader is not None:
            found: list[int] = self.reader.needed(index)
            return found
        values, entries = self.values, self.entries
        needed: set[int] = set()
        stack = [index]
        while stack:
            k = stack.pop()
            if k not in values and k not in needed:
                needed.add(k)
                stack.extend(entries[k][1])
        return sorted(needed)

    def _compute_together(self, needed: Sequence[int]) -> None:
        for compute in self.together:
            # What has no value (an index outside its axis) may be what nobody needs.
            with suppress(WengertError, np.linalg.LinAlgError):
                done = compute(self, needed, self._read)
                if done:
                    self._read, self._patience = len(self.entries), _MANY
                else:  # what was not even looked at cost little
                    self._patience += _MANY if done is None else 3 * self._patience

    def _input_value(self, index: int) -> Any:
        if index in self.bindings:
            return self.bindings[index]
        outer = self.captured.get(index)
        if outer is not None:
            return outer._tape.value(outer._index)
        raise NoValueError(
            f"the value of a traced {self.entries[index][3]} was asked for, but "
            + (self.why_no_values or "only its type is known here"),
            hint="write a choice as np.where(condition, a, b) or wg.cond, a loop as wg.scan, "
            "wg.fori_loop or wg.while_loop, and array[i] of a NumPy array as "
            "wengert.numpy.take(array, i); or move it outside",
        )

    def arguments(self) -> list[Any]:
        """What the inputs of the finished graph stand for: arrays, or handles of outer tapes."""
        return [self.captured.get(k, self.bindings.get(k)) for k in self.inputs]

    def lift_constants(self) -> None:
        """Turn constants into inputs bound to their values.

        The structure of a graph then says all about it, so that what is derived from it serves
        every graph of that structure.
        """
        entries = self.entries
        made: dict[int, Any] = {}
        for k in self.constants:
            type_ = entries[k][3]
            # Types are shared, and there may be thousands of constants.
            entry = made.get(id(type_))
            if entry is None:
                entry = made[id(type_)] = (INPUT, (), (), type_)
            entries[k] = entry
        self.inputs += self.constants
        self.bindings.update(self.constants)
        self.constants = {}


class _Room:
    """Gives up values that were computed while recording, where they exceed a budget.

    What the program will ask for next is not known. The oldest values go first: a loop goes on from
    the latest. What is needed after all is computed again.
    """

    def __init__(self, tape: Recorder, needed: Sequence[int]) -> None:
        self.tape = tape
        self.budget = current_budget() or 0
        self.last: dict[int, int] = {}
        for k in needed:
            for operand in tape.entries[k][1]:
                self.last[operand] = k
        self.held = sum([self._bytes(k) for k in tape.values])

    def _bytes(self, k: int) -> int:
        value, op = self.tape.values[k], self.tape.entries[k][0]
        if op is INPUT or op is CONSTANT or op.name in VIEWS:
            return 0
        return value.nbytes if isinstance(value, np.ndarray) else 0

    def keep_to_budget(self, now: int) -> None:
        """Give up values until those that are left fit; `now` has just been computed."""
        own = self._bytes(now)
        self.held += own
        most = self.budget - own  # leaves room for the next one
        if self.held <= most:
            return
        for k in sorted(self.tape.values):
            size = self._bytes(k)
            if size and self.last.get(k, -1) <= now and k != now:
                del self.tape.values[k]
                self.held -= size
            if self.held <= most:
                return
