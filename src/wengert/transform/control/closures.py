"""Users' functions as graphs: what they close over becomes operands, and their results are checked.

A body, a condition or a branch is captured once, on types alone. Values of enclosing
transformations that it uses, and the constants of the program, become further inputs (closure
conversion), so that derivatives flow through them and the graph's structure does not depend on
them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert.capture import capture, flatten, function_name, unflatten
from wengert.capture.function import as_leaf
from wengert.capture.trees import leaf_names
from wengert.errors import ArgumentError, DTypeError
from wengert.graph import Graph, Traced, Type, current_tape
from wengert.graph.tape import staying_inside
from wengert.graph.tuples import NamedTuple
from wengert.ops import TABLE
from wengert.transform.control.bodies import live_inputs, rearranged
from wengert.transform.control.results import type_of_leaf

__all__ = [
    "Closure",
    "Tree",
    "as_bool",
    "closed",
    "described",
    "fitted",
    "keep_copies",
    "leaves_of",
    "promoted",
    "shown",
]

_PYTHON_NUMBERS = (bool, int, float)


class Tree(NamedTuple):
    """A tree of values: its leaves, their types, its structure and a name for each leaf."""

    leaves: list[Any]
    types: list[Type]
    structure: Any
    names: list[str]

    @property
    def stand_in(self) -> Any:
        """A tree of this structure whose leaves have the types, and no values."""
        return unflatten(self.structure, [_blank(t) for t in self.types])


def leaves_of(tree: Any, what: str, name: str) -> Tree:
    """A tree of arrays, numbers and traced values, or an error that names what it can't hold."""
    found, structure = flatten(tree)
    leaves = [as_leaf(x, what) for x in found]
    return Tree(leaves, [type_of_leaf(x) for x in leaves], structure, leaf_names(tree, name))


def _blank(type_: Type) -> Any:
    return np.broadcast_to(np.zeros((), type_.dtype), type_.shape)


class Closure(NamedTuple):
    """A function as a graph.

    graph : inputs: the leaves of the arguments, then what the function closes over; outputs: the
        leaves of the result
    extras : what it closes over: arrays, numbers and handles of enclosing tapes
    structure : structure of the result
    names : a name for each leaf of the result
    numbers : which leaves of the result were plain Python numbers
    """

    graph: Graph
    extras: list[Any]
    structure: Any
    names: list[str]
    numbers: list[bool]

    @property
    def own(self) -> int:
        """How many inputs are leaves of arguments."""
        return len(self.graph.inputs) - len(self.extras)


def closed(
    f: Callable[..., Any],
    args: Sequence[Any],
    purpose: str,
    *,
    check: Callable[[Any], Any] | None = None,
    targets: Sequence[Type] | None = None,
) -> Closure:
    """Capture `f` on arguments of which only the types count.

    Parameters
    ----------
    check : called with the result: raises if it is not what it must be, and returns it
    targets : types for the leaves of the result: Python numbers are taken in these dtypes
    """
    seen: dict[str, Any] = {}

    @functools.wraps(f, assigned=("__name__", "__doc__", "__module__"))
    def body(*values: Any) -> Any:
        with staying_inside(current_tape()):
            result = f(*values)
        if check is not None:
            result = check(result)
        leaves, structure = flatten(result)
        leaves = [as_leaf_or_number(x, f, purpose) for x in leaves]
        seen["structure"] = structure
        seen["names"] = leaf_names(result, "result")
        seen["numbers"] = [type(x) in _PYTHON_NUMBERS for x in leaves]
        if targets is not None and len(targets) == len(leaves):
            leaves = [_as_target(x, t) for x, t in zip(leaves, targets, strict=True)]
        return leaves

    tape = current_tape()
    captured = capture(
        body,
        args,
        {},
        traced=range(len(args)),
        purpose=purpose,
        lines=tape is not None and tape.lines is not None,
        types_only=lambda position, number, leaf: type_of_leaf(leaf),
    )
    count = sum(captured.counts)
    live = live_inputs(captured.graph)
    extras = [k for k in range(count, len(live)) if live[k]]
    graph = rearranged(captured.graph, [*range(count), *extras])
    values = [captured.arguments[k] for k in extras]
    keep_copies(values)
    return Closure(graph, values, seen["structure"], seen["names"], seen["numbers"])


def keep_copies(values: Sequence[Any]) -> None:
    """Mark a tape's own copies of constants as unchanging: nobody else will change them, and they
    need not be copied again by the enclosing tape."""
    for value in values:
        if isinstance(value, np.ndarray) and value.base is None and value.flags.owndata:
            value.flags.writeable = False


def as_leaf_or_number(x: Any, f: Any, purpose: str) -> Any:
    """A leaf of a result; Python numbers stay as they are."""
    if type(x) in _PYTHON_NUMBERS:
        return x
    return as_leaf(x, f"{purpose}: a result of {described(f)}")


def _as_target(x: Any, target: Type) -> Any:
    if type(x) in _PYTHON_NUMBERS and promoted(type(x), target):
        return target.dtype.type(x)
    return x


def promoted(kind: type, target: Type) -> bool:
    """Whether a Python number of this kind can be taken in the type `target`."""
    return target.shape == () and np.can_cast(np.dtype(kind), target.dtype, "same_kind")


def described(f: Any) -> str:
    """A function for messages: its name, and where it was written."""
    code = getattr(inspect.unwrap(f), "__code__", None)
    if code is None:
        return function_name(f)
    file = code.co_filename.replace("\\", "/").rsplit("/", 1)[-1]
    return f"{function_name(f)} (defined at {file}:{code.co_firstlineno})"


def fitted(
    what: str, expected: Tree, found: Closure, positions: Sequence[int], f: Any, structure: Any
) -> None:
    """Check that carries come out of a body as they went in.

    `positions` are those of the new carries among the outputs, `structure` is theirs.
    """
    if structure != expected.structure:
        raise ArgumentError(
            f"{what}: the carry must keep its structure: it is {shown(expected.structure)}, but "
            f"{described(f)} returned {shown(structure)}",
            hint="return the same tree of dicts, lists and tuples that came in",
        )
    types = found.graph.output_types
    for name, type_, k in zip(expected.names, expected.types, positions, strict=True):
        if types[k] is not type_:
            raise DTypeError(
                f"{what}: the carry must keep its type: {name} is {type_}, but {described(f)} "
                f"returned {types[k]}",
                hint=_hint(name, type_, types[k]),
            )


def _hint(name: str, expected: Type, found: Type) -> str:
    if expected.shape != found.shape:
        return "reshape or slice it in the body, or begin with a carry of that shape"
    return (
        f"begin with a carry of dtype {found.dtype}, or return it with "
        f".astype({str(expected.dtype)!r})"
    )


def shown(structure: Any) -> str:
    """A structure for messages."""
    text = str(structure)
    if text.startswith("PyTreeSpec("):
        text = text[len("PyTreeSpec(") : -1].split(", NoneIsLeaf")[0].split(", namespace")[0]
    return text


def as_bool(x: Any) -> Any:
    """A predicate as a boolean, as Python takes numbers."""
    if type_of_leaf(x).dtype.kind == "b":
        return x
    if isinstance(x, Traced):
        return TABLE["not_equal"](x, x._type.dtype.type(0))
    return np.not_equal(x, 0)
