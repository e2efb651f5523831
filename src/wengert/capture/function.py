"""Capturing a function: run it on variables and keep the graph that it recorded."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from wengert.capture.recorder import Recorder
from wengert.capture.trees import flatten, leaf_names, unflatten
from wengert.capture.variable import Variable
from wengert.capture.weak import PythonNumber
from wengert.errors import ArgumentError, ConversionError, DTypeError
from wengert.graph import Graph, Traced, Type, current_tape, recording, type_of
from wengert.graph.tuples import NamedTuple

__all__ = ["Captured", "argument_names", "as_leaf", "capture", "check_argnums", "function_name"]


class Captured(NamedTuple):
    """What a function did.

    graph : its inputs are the leaves of the traced arguments, then values of enclosing tapes, then
        constants of the program; its outputs are the leaves of the result, then those of `aux`
    arguments : what the inputs stand for: arrays, or handles of enclosing tapes
    known : values that were computed while the function ran, by value number
    out_structure : structure of the result
    out_count : how many leaves the result has
    aux : rebuilds the auxiliary result from its leaves
    counts : number of leaves of each traced argument
    structures : structure of each traced argument
    tape : the tape that recorded; its values can still be asked for
    """

    graph: Graph
    arguments: list[Any]
    known: Mapping[int, Any]
    out_structure: Any
    out_count: int
    aux: Callable[[Sequence[Any]], Any] | None
    counts: list[int]
    structures: list[Any]
    tape: Recorder


def function_name(f: Any) -> str:
    """The name of a function for messages."""
    return getattr(f, "__name__", None) or type(f).__name__


def check_argnums(argnums: int | Sequence[int], count: int, name: str) -> tuple[int, ...]:
    """Positions as non-negative integers, or an error that says which argument is missing."""
    if argnums.__class__ is int and 0 <= argnums < count:
        return (argnums,)
    numbers = (argnums,) if isinstance(argnums, (int, np.integer)) else tuple(argnums)
    for k in numbers:
        if not -count <= k < count:
            raise ArgumentError(
                f"{name}: argnums={argnums}, but the function was called with {count} positional "
                "arguments",
                hint="differentiated arguments must be passed by position",
            )
    return tuple(int(k) % count for k in numbers)


def as_leaf(leaf: Any, what: str) -> Any:
    """A leaf of an argument as an array, NumPy scalar or handle, or an error that names it."""
    if isinstance(leaf, (Traced, np.ndarray)):
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind not in "fiub":
            raise DTypeError(
                f"{what} is an array of dtype {leaf.dtype}",
                hint="arrays must have a float, integer or bool dtype",
            )
        return leaf
    if isinstance(leaf, (bool, int, float, np.generic)):
        return np.asarray(leaf)[()]
    raise DTypeError(
        f"{what} is {leaf!r} of type {type(leaf).__name__}, which is not a number, an array or a "
        "tree (dict, list, tuple, dataclass) of them",
        hint="pass other arguments outside argnums, or close over them",
    )


def argument_names(f: Any, count: int) -> list[str]:
    """Names of the first `count` positional parameters of a function."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return names[:count] + [f"arg{i}" for i in range(len(names), count)]


def capture(
    f: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    traced: Sequence[int],
    purpose: str,
    has_aux: bool = False,
    floats_only: bool = False,
    types_only: Callable[[int, int, Any], Type | None] | None = None,
    lines: bool = False,
    named: bool = False,
    lift: bool = True,
    weak: bool = False,
    prepare: Callable[[Graph], Graph] | None = None,
    calls: bool = False,
) -> Captured:
    """Run `f` with variables in place of the arguments at positions `traced`.

    Parameters
    ----------
    purpose : name of the transformation, for messages
    has_aux : whether `f` returns a pair of a result and auxiliary data
    floats_only : refuse integer and bool leaves, since no derivative by them exists
    types_only : if given, it maps (argument position, leaf number, leaf) to the type of a variable
        that has no value, or to None for one that has
    lines, named : record the user's lines, and name the inputs
    lift : make constants of the program inputs of the graph, so that derived graphs can be reused
    weak : Python numbers take the dtype of the arrays that they meet
    prepare : see `Recorder`
    calls : record a compiled function as one node, if nothing encloses this
    """
    recorder = Recorder(
        current_tape(),
        lines=lines,
        why_no_values=f"{purpose} runs the function without values" if types_only else "",
    )
    recorder.purpose = purpose
    recorder.origins = {}
    if prepare is not None:
        recorder.prepare = prepare
    recorder.keeps_calls = calls and recorder.parent is None
    # Nothing but the structure says what such a graph is.
    plain = lift and not lines and not named and recorder.prepare is None
    expected = _expected(f) if plain else None
    if expected is not None:
        recorder.expected = expected.entries
    call = list(args)
    counts: list[int] = []
    structures: list[Any] = []
    names = argument_names(f, len(args)) if named else []
    for position in traced:
        leaves, structure = flatten(args[position])
        labels = leaf_names(args[position], names[position]) if named else None
        handles = []
        for number, leaf in enumerate(leaves):
            if leaf.__class__ is np.ndarray and leaf.dtype.kind == "f":
                value = leaf
            else:
                value = as_leaf(leaf, f"{purpose}: argument {position} of {function_name(f)}")
            type_ = value._type if isinstance(value, Traced) else type_of(value)
            if floats_only and not type_.is_float:
                what = f"{purpose}: argument {position} of {function_name(f)}"
                raise DTypeError(
                    f"{what} must be float to be differentiated, but a leaf is {type_}",
                    hint="pass 1.0 instead of 1, or x.astype(float), or leave the argument out "
                    "of argnums",
                )
            name = labels[number] if labels else None
            bare = types_only(position, number, value) if types_only is not None else None
            handles.append(
                recorder.bound_input(type_, value, name)
                if bare is None
                else recorder.input(bare, name)
            )
            if weak and leaf.__class__ in (bool, int, float):
                handles[-1] = PythonNumber(recorder, handles[-1]._index, type_)
        counts.append(len(leaves))
        structures.append(structure)
        call[position] = unflatten(structure, handles)
    with recording(recorder):
        try:
            result = f(*call, **kwargs)
        except ValueError as error:
            # NumPy covers what `y[0] = x` raises with "setting an array element with a sequence".
            if isinstance(error.__cause__, ConversionError):
                raise error.__cause__.with_traceback(error.__traceback__) from None
            raise
        aux_tree = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise ArgumentError(
                    f"{purpose}: with has_aux=True {function_name(f)} must return a pair "
                    f"(result, aux), not {type(result).__name__}"
                )
            result, aux_tree = result
        leaves, out_structure = flatten(result)
        outputs = [
            leaf._index
            if leaf.__class__ is Variable and leaf._tape is recorder
            else recorder.index_of(as_leaf(leaf, f"{purpose}: a result of {function_name(f)}"))
            for leaf in leaves
        ]
        aux = None
        if has_aux:
            aux, aux_outputs = _split_aux(aux_tree, recorder)
            outputs += aux_outputs
    # Derivatives will be taken of this graph, within a function that is being compiled.
    prepare = recorder.prepare if floats_only else None
    if lift and prepare is None:
        recorder.lift_constants()
    graph = _finished(recorder, outputs, expected, f) if plain else recorder.graph(outputs)
    return Captured(
        graph if prepare is None else prepare(graph),
        recorder.arguments(),
        recorder.values if prepare is None else {},
        out_structure,
        len(leaves),
        aux,
        counts,
        structures,
        recorder,
    )


#: By the identity of a function's code: the graph that it recorded last.
_last: dict[int, weakref.ref[Graph]] = {}
_MOST_FUNCTIONS = 1024
#: By their hash: recorded graphs that somebody holds, so that a structure that comes again is the
#: same graph, and what was found out about it is known.
_alive: weakref.WeakValueDictionary[int, Graph] = weakref.WeakValueDictionary()
#: Entries of a graph that are looked at before all of them are.
_LOOKED_AT = 64


def _expected(f: Any) -> Graph | None:
    """The graph that this function, or another with the same code, recorded last."""
    found = _last.get(id(getattr(f, "__code__", None)))
    return None if found is None else found()


def _finished(recorder: Recorder, outputs: list[int], expected: Graph | None, f: Any) -> Graph:
    """The graph recorded: the expected one itself, if it is equal."""
    # Entries that repeat the expected ones are shared: this compares addresses, for the most part.
    if (
        expected is not None
        and len(recorder.entries) == len(expected.entries)
        and tuple(outputs) == expected.outputs
        and tuple(recorder.inputs) == expected.inputs
        and tuple(recorder.entries) == expected.entries
    ):
        return expected
    graph = recorder.graph(outputs)
    found = _alive.setdefault(_key(graph), graph)
    if found is not graph and found != graph:
        found = _alive.setdefault(hash(graph), graph)
    if found == graph:
        graph = found
    if len(_last) >= _MOST_FUNCTIONS:
        _last.clear()
    _last[id(getattr(f, "__code__", None))] = weakref.ref(graph)
    return graph


def _key(graph: Graph) -> int:
    """A hash of some of a graph's entries: most graphs of a program with new structures at each
    call are told apart by it, for less than what hashing them costs."""
    entries = graph.entries
    return hash((len(entries), graph.outputs, entries[:: max(1, len(entries) // _LOOKED_AT)]))


def _split_aux(tree: Any, recorder: Recorder) -> tuple[Callable[[Sequence[Any]], Any], list[int]]:
    # Auxiliary data may hold anything; only its variables become outputs of the graph.
    leaves, structure = flatten(tree)
    at = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Traced)]
    outputs = [recorder.index_of(leaves[i]) for i in at]

    def rebuild(values: Sequence[Any]) -> Any:
        filled = list(leaves)
        for i, value in zip(at, values, strict=True):
            filled[i] = value
        return unflatten(structure, filled)

    return rebuild, outputs
