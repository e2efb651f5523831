"""Fragments: sequences of operators that programs record again and again, as nodes of their own.

A cell in plain Python records the same operators at each use, one after another. Such a sequence is
scheduled and run as one node, by native code, as a use of a compiled function is. `learning` finds
them in a program that few known ones occur in; they are used from the next program on in which they
occur several times. Then reading a program finds them again: at each node the longest that begins
there is taken.

A fragment is about what operators compute, and where within it their operands come from. So which
results are used outside belongs to it too.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from wengert.batching.kinds import Kind
from wengert.graph import Graph, Tape

__all__ = ["LEAST_USES", "Fragment", "Library", "Nodes", "library", "tables"]

#: Uses in one program from which a fragment is worth native code.
LEAST_USES = 8
#: Fragments that are remembered.
_MOST = 64
#: Fragments that a process uses, since machine code is kept for its life.
_MOST_USED = 128
#: Programs, by the kinds of their operators, of which is known when fragments were looked for.
_MOST_PROGRAMS = 256
#: Nodes below which a program is not worth looking at.
_FEW_NODES = 64


class Nodes(NamedTuple):
    """Nodes in the order in which they were recorded.

    family : of each; starts, args : operands of node j are the values args[starts[j]:starts[j + 1]]
    firsts : the first result of each; producer : for each value the node that computes it, or -1
    last : for each value the last node that uses it; outputs of the program have a larger number
    """

    family: Any
    starts: Any
    args: Any
    firsts: Any
    producer: Any
    last: Any


class Fragment:
    """A sequence of operators.

    kinds : of its nodes; specs : for each operand of each node the number of the node that computes
    it, or -1 - e for operand number e of the fragment, in the order in which they are met
    results : the nodes whose results are used outside
    is_used : whether it has occurred in two programs, often in the second
    """

    def __init__(self, kinds: Sequence[Kind], specs: Sequence[int], results: Sequence[int]) -> None:
        self.kinds, self.specs, self.results = tuple(kinds), tuple(specs), tuple(results)
        self.is_used = False
        self.kept = [int(k in self.results) for k in range(len(self.kinds))]
        self.operand_count = 1 - min(0, *self.specs)

    @property
    def key(self) -> Any:
        """What it is, to compare it by."""
        return tuple(map(id, self.kinds)), self.specs, self.results

    @functools.cached_property
    def kind(self) -> Kind:
        """The kind of its nodes."""
        first, last = self.kinds[0].name, self.kinds[-1].name
        name = f"{first} ... {last} ({len(self.kinds)})"
        carries = any(kind.carries for kind in self.kinds)
        return Kind(name, self._graph(), True, False, carries, is_exact=True)

    def _graph(self) -> Graph:
        tape = Tape()
        operands: list[int] = []
        values: list[int] = []
        known: dict[Any, int] = {}
        at = 0
        for kind in self.kinds:
            graph = kind.graph
            specs = self.specs[at : at + len(graph.inputs)]
            at += len(graph.inputs)
            for spec, type_ in zip(specs, graph.input_types, strict=True):
                if -1 - spec == len(operands):
                    operands.append(tape.input(type_)._index)
            own = tuple([values[s] if s >= 0 else operands[-1 - s] for s in specs])
            op, _, params, _ = graph.entries[graph.outputs[0]]
            # Equal entries are one before derivatives are taken: `(x @ w)[:n]` and `(x @ w)[n:]`
            # then have one product to go back through.
            key = (op, own, params)
            if key not in known:
                known[key] = tape.record(op, own, params)._index
            values.append(known[key])
        return tape.graph([values[k] for k in self.results])


class _Tables(NamedTuple):
    """Fragments as arrays for the passes (see `matching`)."""

    heads: Any
    following: Any
    begins: Any
    families: Any
    kept: Any
    spec_begins: Any
    specs: Any
    seen: Any
    result_begins: Any
    result_nodes: Any


class Library:
    """The fragments that are known, the longest first; for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[Fragment, ...] = ()
        #: The same in the order in which they go.
        self._learned: list[Fragment] = []
        self._patience: dict[Any, _Patience] = {}
        self._used = 0

    def among(self, families: dict[int, int]) -> list[Fragment]:
        """Those that may occur in a program: `families` maps the identity of a kind to its
        family."""
        return [f for f in self._known if all(id(kind) in families for kind in f.kinds)]

    def note_uses(self, fragment: Fragment, uses: int) -> None:
        """Use a fragment from now on if it occurs often."""
        with self._lock:
            if not fragment.is_used and uses >= LEAST_USES and self._used < _MOST_USED:
                fragment.is_used = True
                self._used += 1

    def is_due(self, kinds: Collection[int], count: int) -> bool:
        """Whether to learn from another program of these kinds, `count` nodes of them, with few
        fragments: the more often that was in vain, the more rarely."""
        if count < _FEW_NODES:
            return False
        with self._lock:
            return self._patience_with(kinds).is_over()

    def _patience_with(self, kinds: Collection[int]) -> _Patience:
        if len(self._patience) >= _MOST_PROGRAMS:
            self._patience.clear()
        return self._patience.setdefault(frozenset(kinds), _Patience())

    def learn(self, kinds: Collection[int], found: Iterable[Fragment]) -> None:
        """Add what was found in a program of these kinds."""
        with self._lock:
            keys = {f.key for f in self._learned}
            new = {f.key: f for f in found if f.key not in keys}
            self._patience_with(kinds).learned(bool(new))
            # Those that are used are forgotten last, whatever their length.
            kept = sorted([*self._learned, *new.values()], key=lambda f: f.is_used)[-_MOST:]
            self._learned = kept
            self._known = tuple(sorted(kept, key=lambda f: (-len(f.kinds), len(f.results))))

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._known, self._learned = (), []
            self._patience.clear()


class _Patience:
    """When to look for fragments again: after 0, 1, 3, 7 ... programs in vain."""

    def __init__(self) -> None:
        self._left, self._vain = 0, 0

    def is_over(self) -> bool:
        self._left -= 1
        return self._left < 0

    def learned(self, anything: bool) -> None:
        self._vain = 0 if anything else min(self._vain + 1, 20)
        self._left = (1 << self._vain) - 1


library = Library()


def tables(fragments: Sequence[Fragment], families: dict[int, int], count: int) -> _Tables:
    """The arrays of fragments, for a program of `count` families."""
    heads = np.full(count, -1, np.int64)
    following = np.full(len(fragments), -1, np.int64)
    for p in range(len(fragments) - 1, -1, -1):
        first = families[id(fragments[p].kinds[0])]
        following[p], heads[first] = heads[first], p

    def joined(part: Callable[[Fragment], Iterable[int]]) -> Any:
        return np.array([x for f in fragments for x in part(f)] or [0], np.int64)

    def bounds(size: Callable[[Fragment], int]) -> Any:
        return np.cumsum([0, *[size(f) for f in fragments]], dtype=np.int64)

    return _Tables(
        heads,
        following,
        bounds(lambda f: len(f.kinds)),
        joined(lambda f: [families[id(kind)] for kind in f.kinds]),
        joined(lambda f: f.kept),
        bounds(lambda f: len(f.specs)),
        joined(lambda f: f.specs),
        np.zeros(max([f.operand_count for f in fragments], default=1), np.int64),
        bounds(lambda f: len(f.results)),
        joined(lambda f: f.results),
    )
