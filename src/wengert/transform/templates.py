"""Functions of graphs, remembered for all sizes.

What a derivative, the optimiser or the planner makes of a graph depends on sizes hardly ever, but
mentions them everywhere. When a structure has come with two sizes, the function runs once more, in
the background, on sizes that are not known (`graph.sizes`). What comes out is a *template*: the
result with formulas in place of sizes, and the conditions under which the function would take the
same way. Where these are bounds of a size, a template is made for the other side, too. From then on
a graph is compared with what the template was made from, entry by entry, the conditions are tried,
and the result is written down.

Nothing is assumed of how the graph came about. A function that needs a size as a number, a graph
with loops in it or with large constants: no template, and all is done anew for each size.

(What a further size costs then is, for two fifths each, capturing and planning. Plans have no
templates: their steps are cut by functions of sizes, into numbers of chunks, by common divisors.)
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from wengert.graph import CONSTANT, INPUT, Graph, Type
from wengert.graph.sizes import (
    Fields,
    NotSymbolicError,
    Number,
    Run,
    Size,
    is_size,
    is_watched,
    note,
    note_constant,
)

__all__ = ["for_all_sizes"]

#: Graphs of more entries have no templates: making one would take too long for the first to profit.
_MOST_ENTRIES = 2000
#: Entries of all structures that are remembered, each counted once; the least recently used go.
_MOST_HELD = 50_000
#: A template is made, which takes some ten times as long as the work, when so many graphs came. If
#: that is done at once, the call waits: the second size of a program may be its last batch.
_WHEN, _WHEN_AT_ONCE = 2, 3
#: How often making a template for a structure is tried, and how many there are.
_MOST_TEMPLATES = 4
#: Bounds of which the other side gets a template before a size from there has come.
_FORESEEN = 2
#: Constants of more bytes belong to no template: comparing them takes as long as the work.
_MOST_BYTES = 1024


class _Family:
    """Graphs of one structure: the last that was done anew, and the templates.

    seen : how many graphs were done anew
    tries : how often making a template was tried
    """

    def __init__(self) -> None:
        self.sample: Graph | None = None
        self.templates: list[_Template] = []
        self.seen = 0
        self.tries = 0

    def has(self, graph: Graph) -> bool:
        """Whether there is a template for a graph."""
        return any(template.at(graph) for template in list(self.templates))


#: By what is done, the operators and their operands, and the user's lines.
_families: OrderedDict[tuple[Hashable, tuple[Any, ...], tuple[str, ...]], _Family] = OrderedDict()
_lock = threading.Lock()
_held = 0


def _at_once(work: Callable[[], None]) -> bool:
    del work
    return False


#: Takes work to be done in the background; False: there is no background. `compiling` says how.
later: Callable[[Callable[[], None]], bool] = _at_once


def for_all_sizes(kind: Hashable, graph: Graph, function: Callable[[Graph], Any]) -> Any:
    """`function(graph)`, from a template where there is one for graphs like this.

    `function` must depend on its graph alone, and be the same for equal `kind`. Its result is a
    graph, or made of lists, tuples, dicts, `Fields`, and what does not hold sizes.
    """
    if is_watched() or len(graph.entries) > _MOST_ENTRIES:
        return function(graph)
    if not all(type(entry[3]) is Type for entry in graph.entries):
        return function(graph)
    key = (kind, tuple([entry[:2] for entry in graph.entries]), tuple(graph.lines.values()))
    with _lock:
        family = _families.get(key)
        if family is None:
            family = _families[key] = _Family()
            _forget(len(graph.entries))
        else:
            _families.move_to_end(key)
        templates = list(family.templates)
    for template in templates:
        found = template.at(graph)
        if found is not None:
            return found[0]
    result = function(graph)
    with _lock:
        sample, family.sample = family.sample, _bare(graph)
        family.seen += 1
        if family.seen < _WHEN or sample is None or family.sample is None:
            return result
        if family.tries >= _MOST_TEMPLATES or sample.entries == graph.entries:
            return result
        second = family.sample
        if later(lambda: _make(family, sample, second, function, result)):
            family.tries += 1
            return result
        if family.seen < _WHEN_AT_ONCE:
            return result
        family.tries += 1
    made = _template(sample, second, function, result)
    if made is not None:
        with _lock:
            family.templates.insert(0, made)
    return result


def _make(
    family: _Family, sample: Graph, graph: Graph, function: Callable[[Graph], Any], result: Any
) -> None:
    """Make the template for graphs like these two, and those beyond its bounds."""
    if family.has(graph):  # made meanwhile, for another size
        return
    made = _template(sample, graph, function, result)
    if made is None:
        return
    with _lock:
        family.templates.insert(0, made)
    for other in made.beyond(graph)[:_FORESEEN]:
        if family.has(other):
            continue
        try:
            expected = function(other)
        except Exception:  # noqa: BLE001  there may be no such graph
            continue
        further = _template(sample, other, function, expected)
        if further is not None:
            with _lock:
                family.templates.append(further)


def _forget(added: int) -> None:
    global _held
    _held += added
    while _held > _MOST_HELD:
        (_, entries, _), _ = _families.popitem(last=False)
        _held -= len(entries)


def _bare(graph: Graph) -> Graph | None:
    """What a sample needs of a graph: not what was found out about it."""
    if not _can_be_given(graph):
        return None
    return Graph(
        graph.entries, graph.inputs, graph.outputs, graph.constants, graph.lines, graph.names
    )


def _can_be_given(graph: Graph) -> bool:
    if sum(value.nbytes for value in graph.constants.values()) > _MOST_BYTES:
        return False
    return not any(isinstance(v, Graph) for e in graph.entries for _, v in e[2])


def _template(
    sample: Graph, graph: Graph, function: Callable[[Graph], Any], result: Any
) -> _Template | None:
    """The template for graphs like these two, of which the second gave `result`; None if there is
    none."""
    try:
        run = Run()
        with run.watched(), np.errstate(all="ignore"):
            given = _Given(run, sample, graph)
            found = function(given.graph)
            run.note_tapes()
            made = _Template(run, given, found)
    except (NotSymbolicError, Exception):  # noqa: BLE001
        # Whatever goes wrong with sizes that are no integers: then it is done with integers.
        return None
    again = made.at(graph)
    return made if again is not None and equal(again[0], result) else None


class _Given:
    """A graph with sizes in place of what differs between two graphs.

    sources : for each symbol the input and the axis where its number stands
    numbers : for each `Number` that is given the entry of the constant
    """

    def __init__(self, run: Run, first: Graph, second: Graph) -> None:
        same = (first.inputs, first.outputs) == (second.inputs, second.outputs)
        if not same or first.lines != second.lines or first.names != second.names:
            raise NotSymbolicError
        self.run = run
        self.sources: list[tuple[int, int]] = []
        self.numbers: list[int] = []
        self._symbols: dict[tuple[int, int], Any] = {}
        self._numbers: dict[Any, Number] = {}
        for k in second.inputs:
            pairs = zip(first.type(k).shape, second.type(k).shape, strict=True)
            for axis, (a, b) in enumerate(pairs):
                if a != b and (a, b) not in self._symbols:
                    self._symbols[a, b] = run.symbol(b)
                    self.sources.append((k, axis))
        entries: list[Any] = []
        constants: dict[int, Any] = {}
        for i, (one, two) in enumerate(zip(first.entries, second.entries, strict=True)):
            op, operands, params, type_ = two
            if op is CONSTANT:
                constants[i] = self._constant(i, first.constants[i], second.constants[i])
            elif op is INPUT:
                type_ = Type(self._joined(one[3].shape, type_.shape), type_.dtype)
            else:
                params = self._joined(one[2], params)
                type_ = op.infer(tuple([entries[k][3] for k in operands]), params)
            note(params, type_)
            entries.append((op, operands, params, type_))
        self.graph = Graph(
            entries, second.inputs, second.outputs, constants, second.lines, second.names
        )

    def _joined(self, a: Any, b: Any) -> Any:
        """What is given for `a` in the first graph and for `b` in the second."""
        if a is b or (type(a) is type(b) and a == b):
            return b
        if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
            return tuple([self._joined(x, y) for x, y in zip(a, b, strict=True)])
        if type(a) is int and type(b) is int:
            # A guess: that the sizes that are put in give the graph is checked each time.
            for (x, y), symbol in self._symbols.items():
                if x * b == y * a and y and b and (b % y == 0 or y % b == 0):
                    return symbol * (b // y) if b % y == 0 else symbol // (y // b)
            for (x, y), symbol in self._symbols.items():
                if b - y == a - x:
                    return symbol + (b - y)
        raise NotSymbolicError

    def _constant(self, i: int, a: Any, b: Any) -> Any:
        if _bits(a) == _bits(b):
            note_constant(b)
            return b
        if not isinstance(b, np.generic) or a.dtype != b.dtype:
            raise NotSymbolicError
        key = (_bits(a), _bits(b))
        if key not in self._numbers:
            self._numbers[key] = self.run.number(("given", i), ("given", i), b)
            self.numbers.append(i)
        return self._numbers[key]


def _bits(value: Any) -> Any:
    return (value.dtype, value.shape, value.tobytes())


class _Writer:
    """Writes a function of sizes `s`, numbers `n` and of what does not depend on them, `c`."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.lines: list[str] = []
        self.kept: list[Any] = []
        self._names: dict[int, str] = {}
        self._types: dict[int, str] = {}

    def constant(self, value: Any) -> str:
        """The name of what does not depend on sizes."""
        found = self._names.get(id(value))
        if found is None:
            found = self._names[id(value)] = f"c[{len(self.kept)}]"
            self.kept.append(value)
        return found

    def text(self, value: Any) -> str:
        """An expression for a value that may hold sizes and numbers."""
        if type(value) is Size:
            return self.run.text(value)
        if type(value) is Number:
            return f"n[{value.place}]"
        if type(value) is Type:
            return self._type(value) if _holds(value) else self.constant(value)
        if isinstance(value, Graph):
            constants = self.constant(value.constants)
            if any(_holds(v) for v in value.constants.values()):
                constants = self.text(value.constants)
            rest = [value.inputs, value.outputs, constants, value.lines, value.names]
            parts = [v if isinstance(v, str) else self.constant(v) for v in rest]
            return f"{self.constant(Graph)}({self.text(value.entries)}, {', '.join(parts)})"
        if type(value) is list:
            return f"[{', '.join(map(self.text, value))}]"
        if type(value) is dict:
            pairs = [f"{self.text(k)}: {self.text(v)}" for k, v in value.items()]
            return "{" + ", ".join(pairs) + "}"
        if isinstance(value, Fields):
            parts = [self.text(getattr(value, name)) for name in value.fields]
            return f"{self.constant(type(value))}({', '.join(parts)})"
        if isinstance(value, tuple) and _holds(value):
            if hasattr(value, "_fields"):
                parts = [self.text(v) for v in value]
                return f"{self.constant(type(value))}({', '.join(parts)})"
            return f"({''.join([self.text(v) + ', ' for v in value])})"
        return self.constant(value)

    def _type(self, type_: Type) -> str:
        found = self._types.get(id(type_))
        if found is None:
            found = self._types[id(type_)] = f"t{len(self._types)}"
            shape = self.text(type_.shape)
            self.lines.append(
                f"{found} = {self.constant(Type)}({shape}, {self.constant(type_.dtype)})"
            )
            self.kept.append(type_)  # so that its id stays its own
        return found

    def function(self, result: str) -> Callable[..., Any]:
        """The function with this result."""
        body = "\n".join(f"    {line}" for line in (*self.lines, f"return {result}"))
        found: dict[str, Any] = {}
        exec(f"def function(s, n, c):\n{body}\n", found)
        function, kept = found["function"], self.kept
        return lambda s, n: function(s, n, kept)


def _holds(value: Any) -> bool:
    """Whether there may be sizes or numbers in a value, or in what may be changed of it."""
    if type(value) in (Size, Number):
        return True
    if type(value) is Type:
        return any(is_size(n) for n in value.shape)
    if isinstance(value, tuple):
        return any(_holds(v) for v in value)
    # Lists and what consists of fields are made anew each time.
    return isinstance(value, (list, dict, Fields))


class _Template:
    """A function's result for graphs of one structure, with sizes left open."""

    def __init__(self, run: Run, given: _Given, result: Any) -> None:
        graph = given.graph
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self.lines, self.names = graph.lines, graph.names
        self.sources = given.sources
        self.constants = [(k, _bits(v)) for k, v in graph.constants.items() if not _holds(v)]
        self.repeats = [(k, v.place) for k, v in graph.constants.items() if type(v) is Number]
        self.numbers = [number.recipe for number in run.numbers.values()]
        self.known = frozenset(run.constants)
        writer = _Writer(run)
        self.entries = writer.function(writer.text(graph.entries))
        writer = _Writer(run)
        self.result = writer.function(writer.text(result))
        self.holds = _conditions(run)
        self._beyond = run.beyond()

    def at(self, graph: Graph) -> tuple[Any] | None:
        """The result for a graph, if it is one of these and takes the same way."""
        entries = graph.entries
        if graph.inputs != self.inputs or graph.outputs != self.outputs:
            return None
        try:
            s = [entries[k][3].shape[axis] for k, axis in self.sources]
        except IndexError:
            return None
        constants = graph.constants
        if any(_bits(constants[k]) != bits for k, bits in self.constants):
            return None
        n = self._numbers(constants)
        if n is None or not self.holds(s, n) or self.entries(s, n) != entries:
            return None
        if graph.lines != self.lines or graph.names != self.names:
            return None
        return (self.result(s, n),)

    def beyond(self, graph: Graph) -> list[Graph]:
        """Graphs like the given one, of sizes beyond the bounds of this template."""
        s = [graph.entries[k][3].shape[axis] for k, axis in self.sources]
        n = self._numbers(graph.constants)
        made = []
        for symbol, value in self._beyond if n is not None else ():
            sizes = [value if k == symbol else size for k, size in enumerate(s)]
            entries = self.entries(sizes, n)
            made.append(
                Graph(
                    entries, graph.inputs, graph.outputs, graph.constants, graph.lines, graph.names
                )
            )
        return made

    def _numbers(self, constants: Any) -> list[Any] | None:
        n: list[Any] = []
        if not self.numbers:
            return n
        with np.errstate(all="ignore"):
            for how, args in self.numbers:
                if how == "given":
                    n.append(constants[args])
                else:
                    n.append(how(*[n[a.place] if type(a) is Number else a for a in args]))
        if any(_bits(constants[k]) != _bits(n[place]) for k, place in self.repeats):
            return None
        # Whatever was told apart must still be different.
        bits = {(v.dtype, v.tobytes()) for v in n}
        return n if len(bits) == len(n) and not bits & self.known else None


def _conditions(run: Run) -> Callable[..., Any]:
    writer = _Writer(run)
    tests = []
    for how, args, answer in run.conditions.values():
        texts = [writer.text(a) for a in args]
        if isinstance(how, str):
            asked = f"({texts[0]} {how} {texts[1]})"
        else:
            asked = f"{writer.constant(how)}({', '.join(texts)})"
        tests.append(asked if answer else f"not {asked}")
    if run.noted:
        values = ", ".join([run.text(size) for size in run.noted])
        integers = frozenset(run.integers)
        tests.append(f"len({{{values}}}) == {len(run.noted)}")
        tests.append(f"not {{{values}}} & {writer.constant(integers)}")
    return writer.function(" and ".join(tests) or "True")


def equal(a: Any, b: Any) -> bool:
    """Whether two results are the same, to the bit, the lines and the names."""
    if isinstance(a, Graph) and isinstance(b, Graph):
        return a == b and a.lines == b.lines and a.names == b.names
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, Fields):
        return all(equal(getattr(a, k), getattr(b, k)) for k in a.fields)
    return bool(a == b)
