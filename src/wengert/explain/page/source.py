"""The user's program beside its graph: the source lines that recorded it."""

from __future__ import annotations

import linecache
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from wengert.explain.source import OwnSource

__all__ = ["SourceText", "find_source", "line_number"]

#: Lines shown at most; longer programs show the part around their first recorded line.
_MOST_LINES = 400
_OPENING = re.compile(r"\s*(async\s+def|def|class|@|.*\blambda\b)")


class SourceText(TypedDict):
    """`first` is the number in the file of the first of `lines`."""

    file: str
    first: int
    lines: list[str]


def find_source(lines: Mapping[int, str], own: OwnSource | None = None) -> SourceText | None:
    """The text that recorded lines such as `model.py:31` belong to.

    That is the function's own text where `own` is known and recorded any of them, with the helpers
    from the same file where that is not too much. Otherwise it is the text around the lines of the
    file that most of them are in; None if that is not at hand, or if several loaded files of that
    name could be meant.
    """
    places = [_split(text) for text in lines.values()]
    if own is not None:
        found = _own_text(own, [n for file, n in places if file == own.file and n is not None])
        if found is not None:
            return found
    files = Counter(file for file, number in places if number is not None)
    if not files:
        return None
    file = files.most_common(1)[0][0]
    numbers = sorted({n for name, n in places if name == file and n is not None})
    text = _text_of(file, numbers)
    if text is None:
        return None
    first, last = numbers[0], min(numbers[-1], len(text))
    start = _opening(text, first)
    shown = text[start - 1 : min(last, start + _MOST_LINES - 1)]
    return {"file": file, "first": start, "lines": [line.rstrip("\n") for line in shown]}


def _own_text(own: OwnSource, numbers: list[int]) -> SourceText | None:
    inside = [n for n in numbers if own.first <= n <= own.last]
    if not inside:
        return None
    first, last = own.first, own.last
    helpers = [n for n in numbers if 1 <= n <= len(own.text)]
    start, stop = _opening(own.text, min(first, *helpers)), max(last, *helpers)
    if stop - start < _MOST_LINES:
        first, last = start, stop
    shown = own.text[first - 1 : min(last, first + _MOST_LINES - 1)]
    return {"file": own.file, "first": first, "lines": [line.rstrip("\n") for line in shown]}


def _opening(text: Sequence[str], first: int) -> int:
    """The line at which the function around a line begins; itself for a script's own lines."""
    start = first
    while start > 1 and first - start < 60 and not _OPENING.match(text[start - 1]):
        start -= 1
    while start > 1 and text[start - 2].lstrip().startswith("@"):
        start -= 1
    return start if _OPENING.match(text[start - 1]) else first


def line_number(place: str, source: SourceText | None) -> int | None:
    """The line of `model.py:31` if it is among the lines shown."""
    file, number = _split(place)
    if source is None or number is None or file != source["file"]:
        return None
    return number if source["first"] <= number < source["first"] + len(source["lines"]) else None


def _split(place: str) -> tuple[str, int | None]:
    file, _, number = place.rpartition(":")
    return (file, int(number)) if number.isdigit() and file else (place, None)


def _text_of(file: str, numbers: list[int]) -> list[str] | None:
    """The lines of the one loaded file with this name that has text at all these numbers."""
    known = {path for path in list(linecache.cache) if Path(path).name == file}
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if path and Path(path).name == file:
            known.add(path)
    texts = {}
    for path in known:
        text = linecache.getlines(path)
        if len(text) >= numbers[-1] and all(text[n - 1].strip() for n in numbers):
            texts["".join(text)] = text
    return next(iter(texts.values())) if len(texts) == 1 else None
