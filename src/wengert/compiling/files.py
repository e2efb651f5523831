"""Compiled functions in files: the optimised graph, and the trees of arguments and results.

A file is a NumPy archive like a graph file (`graph.files`): nothing is pickled, and loading it runs
no code of it. Kernels are not in the file: they come from the disk cache, or are compiled.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from wengert.capture import as_leaf, flatten, unflatten
from wengert.compiling.entry import Entry
from wengert.compiling.layout import build, describe, leaf_count
from wengert.errors import ArgumentError, GraphFileError
from wengert.graph import Graph, Traced
from wengert.graph.files import decode_graph, encode_graph, read_archive, write_archive
from wengert.ops import TABLE
from wengert.plan import Executable, make_plan, ready_array
from wengert.transform.inline import inline

__all__ = ["LoadedFunction", "load_compiled", "save_compiled"]

_FORMAT = "wengert-compiled-function"
_VERSION = 1
_HINT = "write such files with wg.compile(f).save(path, *args)"


def save_compiled(
    path: str | os.PathLike[str],
    name: str,
    entry: Entry,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> None:
    """Write an entry; `args` are the arguments that are not static."""
    arrays: dict[str, Any] = {}
    text = {
        "name": name,
        "graph": encode_graph(entry.optimised().graph, arrays),
        "arguments": describe([list(args), dict(kwargs)]),
        "results": describe(unflatten(entry.structure, range(entry.structure.num_leaves))),
    }
    write_archive(path, _FORMAT, _VERSION, text, arrays)


def load_compiled(path: str | os.PathLike[str]) -> LoadedFunction:
    """See `wengert.load_compiled`."""

    def decode(text: Any, arrays: Mapping[str, Any]) -> LoadedFunction:
        graph = decode_graph(text["graph"], arrays, TABLE).verify()
        if leaf_count(text["arguments"]) != len(graph.inputs) or leaf_count(text["results"]) != len(
            graph.outputs
        ):
            raise GraphFileError("the trees of arguments and results don't fit the graph")
        build(text["arguments"], graph.inputs)
        build(text["results"], graph.outputs)
        return LoadedFunction(str(text["name"]), graph, text["arguments"], text["results"])

    found: LoadedFunction = read_archive(path, _FORMAT, _VERSION, decode, hint=_HINT)
    return found


class LoadedFunction:
    """A compiled function from a file: it takes arguments of the types it was saved for.

    Attributes
    ----------
    graph : the optimised graph
    """

    def __init__(self, name: str, graph: Graph, arguments: Any, results: Any) -> None:
        self.__name__ = name
        self.graph = graph
        self._arguments = arguments
        self._results = results
        self._known: Any = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<loaded compiled {self.__name__}>"

    @functools.cached_property
    def _executable(self) -> Executable:
        with self._lock:
            return Executable(make_plan(self.graph))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The results, as trees of arrays and NumPy scalars."""
        leaves, structure = flatten([list(args), kwargs])
        # Structures are compared by description, once; from then on by identity of classes.
        if self._known is None or self._known != structure:
            if describe([list(args), kwargs]) != self._arguments:
                raise ArgumentError(
                    f"{self.__name__}: was saved for arguments {self.signature()}, but was called "
                    "with a different structure of arguments"
                )
            self._known = structure
        if any(isinstance(leaf, Traced) for leaf in leaves):
            return self._recorded(leaves)
        arrays = [self._checked(leaf, k) for k, leaf in enumerate(leaves)]
        return build(self._results, self._executable(arrays))

    def _checked(self, leaf: Any, number: int) -> Any:
        wanted = self.graph.type(self.graph.inputs[number])
        array = ready_array(as_leaf(leaf, f"{self.__name__}: an argument"))
        if leaf.__class__ in (bool, int, float) and _fits(leaf, wanted):
            array = array.astype(wanted.dtype)
        if array.shape != wanted.shape or array.dtype != wanted.dtype:
            name = self.graph.names.get(self.graph.inputs[number], f"argument leaf {number}")
            raise ArgumentError(
                f"{self.__name__}: was saved for {name} of type {wanted}, but got "
                f"{array.dtype}{list(array.shape)}"
            )
        return array

    def _recorded(self, leaves: Sequence[Any]) -> Any:
        from wengert.graph import innermost

        return build(self._results, inline(innermost(leaves), self.graph, leaves))

    def signature(self) -> str:
        """The arguments as text, such as `(w: f64[3], x: f64[4,3])`."""
        graph = self.graph
        shown = [f"{graph.names.get(k, f'%{k}')}: {graph.type(k)}" for k in graph.inputs]
        return f"({', '.join(shown)})"


def _fits(value: Any, wanted: Any) -> bool:
    # A Python number may be less general than the one that the function was saved with.
    return wanted.is_float or (wanted.dtype.kind == "i" and not isinstance(value, float))
