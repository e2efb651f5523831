"""Which calls of which functions recorded a graph: the modules that a drawing folds.

While the explained function runs, the tape notes a line for every entry. The dictionary in which it
does so is the one here, which looks at the calls that are active at that moment, too.
"""

from __future__ import annotations

import functools
import os
import sys
from collections import Counter
from collections.abc import Mapping
from types import FrameType

from wengert.graph.tuples import NamedTuple

__all__ = ["Call", "CallLines", "Calls", "Groups", "find_groups"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LAYERS = os.path.join(_PACKAGE, "nn") + os.sep
_LIBRARIES = (os.sep + "numpy" + os.sep, os.sep + "optree" + os.sep)
_DEEPEST = 8
_FEWEST_OPERATORS = 2


class Call(NamedTuple):
    """One call of a function: the number of the call around it, if any, and the function's name."""

    parent: int | None
    name: str


class Calls(NamedTuple):
    """All calls in the order in which they began, and by value number the innermost one."""

    calls: list[Call]
    of: Mapping[int, int]

    def renumbered(self, where: Mapping[int, int]) -> Calls:
        """The same for a graph whose entries have other numbers; `where` maps old to new."""
        return Calls(self.calls, {where[i]: c for i, c in self.of.items() if i in where})


class CallLines(dict[int, str]):
    """Lines by value number; keeps the calls that recorded the entries in `calls`."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = Calls([], {})
        self._of: dict[int, int] = {}
        self._known: dict[FrameType, tuple[int | None, int]] = {}

    def __setitem__(self, index: int, line: str) -> None:
        super().__setitem__(index, line)
        call = self._call_of(sys._getframe(1))
        if call is not None:
            self._of[index] = call

    def finish(self) -> Calls:
        """All calls. Lets go of the program's frames."""
        self._known.clear()
        return Calls(self.calls.calls, self._of)

    def _call_of(self, frame: FrameType | None) -> int | None:
        fresh: list[FrameType] = []
        call: int | None = None
        depth = 0
        while frame is not None:
            found = self._known.get(frame)
            if found is not None:
                call, depth = found
                break
            if _counts(frame.f_code.co_filename) and not frame.f_code.co_name.startswith("<"):
                fresh.append(frame)
            frame = frame.f_back
        for each in reversed(fresh):
            if depth < _DEEPEST:
                self.calls.calls.append(Call(call, _name(each.f_code.co_qualname)))
                call = len(self.calls.calls) - 1
                depth += 1
            self._known[each] = (call, depth)
        return call

    def ignore(self, frame: FrameType | None) -> None:
        """Look at no call around this one."""
        if frame is not None:
            self._known[frame] = (None, 0)


@functools.cache
def _counts(file: str) -> bool:
    if file.startswith(_PACKAGE):
        return file.startswith(_LAYERS)
    return not (file.startswith("<frozen") or any(part in file for part in _LIBRARIES))


def _name(qualified: str) -> str:
    return qualified.rpartition("<locals>.")[2].removesuffix(".__call__")


# ---------------------------------------------------------------- groups


class Groups(NamedTuple):
    """Groups as `(label, parent, family)`, and by value number the innermost one.

    A group without a name keeps two calls apart between which other operators stand.
    """

    groups: list[tuple[str, int | None, str]]
    of: dict[int, int]


def find_groups(calls: Calls | None, operators: list[int]) -> Groups:
    """The calls worth folding: of several operators, but not of all that the call around it has."""
    found = Groups([], {})
    if calls is None:
        return found
    count = [0] * len(calls.calls)
    for i in operators:
        call = calls.of.get(i)
        if call is not None:
            count[call] += 1
    for number in range(len(count) - 1, -1, -1):
        parent = calls.calls[number].parent
        if parent is not None:
            count[parent] += count[number]
    kept: list[int | None] = []  # the innermost call worth folding, itself or one around it
    for number, (parent, _) in enumerate(calls.calls):
        all_around = len(operators) if parent is None else count[parent]
        worth = _FEWEST_OPERATORS <= count[number] < min(all_around, len(operators))
        kept.append(number if worth else None if parent is None else kept[parent])
    group_of: dict[int, int] = {}
    after_a_call: set[int | None] = set()

    def around(call: int) -> int | None:
        parent = calls.calls[call].parent
        return None if parent is None else kept[parent]

    def group(call: int | None) -> int | None:
        missing: list[int] = []
        while call is not None and call not in group_of:
            missing.append(call)
            call = around(call)
        made = None if call is None else group_of[call]
        for each in reversed(missing):
            name = calls.calls[each].name
            found.groups.append((name, made, name))
            after_a_call.add(made)
            made = group_of[each] = len(found.groups) - 1
        return made

    for i in operators:
        call = calls.of.get(i)
        here = group(None if call is None else kept[call])
        if here is not None:
            found.of[i] = here
        if here in after_a_call:
            found.groups.append(("", here, ""))
            after_a_call.discard(here)
    return Groups(_numbered(found.groups), found.of)


def _numbered(
    groups: list[tuple[str, int | None, str]],
) -> list[tuple[str, int | None, str]]:
    """Several calls of one function from the same place: `layer 1`, `layer 2`."""
    together = Counter((parent, family) for _, parent, family in groups)
    seen: Counter[tuple[int | None, str]] = Counter()
    numbered = []
    for label, parent, family in groups:
        seen[parent, family] += 1
        several = family and together[parent, family] > 1
        numbered.append((f"{label} {seen[parent, family]}" if several else label, parent, family))
    return numbered
