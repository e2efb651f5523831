"""A compiled function inside a dynamic graph: each use is recorded as one node.

The function is captured once per types of its arguments; a use then appends one entry, whatever the
function computes, and all uses that are ready run as one batch of compiled code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.capture import Variable, flatten, unflatten
from wengert.capture.trees import flatten_registered
from wengert.compiling.entry import capture_entry
from wengert.graph import Traced, Type, current_tape, type_of
from wengert.graph.tuples import NamedTuple
from wengert.ops import TABLE
from wengert.optimise import stabilise
from wengert.plan import Site
from wengert.plan.traced import learn_traced
from wengert.replay.recording import install
from wengert.transform.calling import call

__all__ = ["INLINE", "Calls"]

_PROJECT = TABLE["project"]
_NUMBERS = (bool, int, float)
_MOST = 256

#: What `record` gives where the function must be inlined instead.
INLINE = object()


class _Known(NamedTuple):
    """One signature: the parameters of the entry, the types and the structure of its results, and
    the parameters of the entries that stand for these.

    No parameters: the function uses traced values from outside, and can't be a node of its own.
    """

    params: Any
    types: tuple[Any, ...]
    structure: Any
    numbers: tuple[Any, ...] = ()


class Calls:
    """The signatures of one compiled function. Its site learns them, so that the next use of one is
    recorded by native code."""

    def __init__(self, f: Callable[..., Any], site: Site) -> None:
        self._f = f
        self._site = site
        self._known: dict[Any, _Known | None] = {}
        self._taught: set[Any] = set()

    def record(self, args: tuple[Any, ...]) -> Any:
        """Record a use of the function on the current tape; its results, or `INLINE`."""
        tape = current_tape()
        if tape is None or not tape.keeps_calls or not tape.fast:
            return INLINE
        leaves, structure = flatten_registered(args)
        try:
            types = tuple([leaf._type for leaf in leaves])
        except AttributeError:  # an array or a number among them
            leaves, structure = flatten(args)
            types = tuple([_type(leaf) for leaf in leaves])
        key = (structure, types)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._learn(leaves, structure)
        if not known.params:
            return INLINE
        if len(self._taught) < _MOST:
            self._teach(known, args, (key, tuple([isinstance(x, Traced) for x in leaves])))
        operands = tuple(
            [
                x._index if isinstance(x, Traced) and x._tape is tape else tape.index_of(x)
                for x in leaves
            ]
        )
        entries = tape.entries
        at = len(entries)
        entries.append((call, operands, known.params, known.types))
        results = []
        for number, type_ in enumerate(known.types):
            results.append(Variable(tape, at + 1 + number, type_))
            entries.append((_PROJECT, (at,), known.numbers[number], type_))
        return unflatten(known.structure, results)

    def _learn(self, leaves: Sequence[Any], structure: Any) -> _Known:
        stand_ins = unflatten(structure, [_stand_in(leaf) for leaf in leaves])
        entry = capture_entry(self._f, stand_ins, {}, frozenset(), frozenset())
        if len(self._known) >= _MOST:
            self._known.clear()
        if entry is None or len(entry.graph.output_types) > len(_NUMBER):
            return _Known((), (), None)
        # Equal entries are merged and forms are stable before derivatives are taken, as in compiled
        # derivatives: `(x @ w)[:n]` and `(x @ w)[n:]` then have one product to go back through.
        body = stabilise(entry.graph).graph
        types = tuple(body.output_types)
        params = (("body", body),)
        return _Known(params, types, entry.structure, tuple(_NUMBER[: len(types)]))

    def _teach(self, known: _Known, args: tuple[Any, ...], kind: Any) -> None:
        # Signatures are about types alone; native code also tells arrays from traced values.
        if kind not in self._taught and install():
            self._taught.add(kind)
            learn_traced(
                self._site,
                args,
                known.params,
                known.types,
                known.numbers,
                lambda leaves: unflatten(known.structure, leaves),
            )


_NUMBER = [(("number", k),) for k in range(64)]


def _type(leaf: Any) -> Any:
    if isinstance(leaf, Traced):
        return leaf._type
    return leaf.__class__ if leaf.__class__ in _NUMBERS else type_of(leaf)


def _stand_in(leaf: Any) -> Any:
    if leaf.__class__ in _NUMBERS:
        return leaf
    type_: Type = leaf._type if isinstance(leaf, Traced) else type_of(leaf)
    return np.broadcast_to(type_.dtype.type(0), type_.shape)
