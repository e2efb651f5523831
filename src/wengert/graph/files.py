"""Graph files: a NumPy `.npz` archive that holds a JSON text and the arrays of the constants.

Nothing is pickled, so that loading a file runs no code. Whatever is malformed is a
`GraphFileError`: the archive, the text, an unknown operator, a parameter, a type.
"""

from __future__ import annotations

import json
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from wengert.errors import GraphFileError, WengertError
from wengert.graph.graph import CONSTANT, INPUT, Entry, Graph
from wengert.graph.types import Type

__all__ = [
    "decode_graph",
    "encode_graph",
    "load_graph",
    "read_archive",
    "save_graph",
    "write_archive",
]

_FORMAT = "wengert-graph"
_VERSION = 1
# What reading a damaged archive or text may raise, by whatever was damaged.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def save_graph(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write `graph` to `path`. The file appears whole or not at all."""
    arrays: dict[str, Any] = {}
    write_archive(path, _FORMAT, _VERSION, {"graph": encode_graph(graph, arrays)}, arrays)


def load_graph(path: str | os.PathLike[str], table: Mapping[str, Any]) -> Graph:
    """Read a graph whose operators are named in `table`, and verify it."""
    return read_archive(  # type: ignore[no-any-return]
        path,
        _FORMAT,
        _VERSION,
        lambda text, arrays: decode_graph(text["graph"], arrays, table).verify(),
        hint="write graph files with graph.save(path)",
    )


def write_archive(
    path: str | os.PathLike[str],
    name: str,
    version: int,
    text: Mapping[str, Any],
    arrays: Mapping[str, Any],
) -> None:
    """Write a text (of what JSON can hold) and arrays to `path`, whole or not at all."""
    full = json.dumps({"format": name, "version": version, **text}).encode()
    unfinished = f"{os.fspath(path)}.{os.getpid()}.{threading.get_ident()}.part"
    try:
        with open(unfinished, "wb") as file:
            np.savez(file, **{**arrays, "text": np.frombuffer(full, np.uint8)})
        os.replace(unfinished, path)
    finally:
        if os.path.exists(unfinished):
            os.remove(unfinished)


def read_archive(
    path: str | os.PathLike[str],
    name: str,
    version: int,
    decode: Callable[[Any, Mapping[str, Any]], Any],
    *,
    hint: str,
) -> Any:
    """`decode(text, arrays)` of a file that `write_archive` wrote, or a `GraphFileError`."""
    shown = os.path.basename(os.fspath(path))

    def fail(why: str) -> NoReturn:
        raise GraphFileError(f"{shown}: {why}", hint=hint)

    try:
        # Opened here, since np.load leaves a damaged archive open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        fail("no such file")
    except _DAMAGE:
        fail("is not a NumPy .npz archive")
    try:
        text = json.loads(bytes(arrays["text"]).decode())
        if text["format"] != name:
            fail(f"does not hold a {name.replace('-', ' ')}")
        if text["version"] != version:
            fail(f"has version {text['version']}, but this wengert reads version {version}")
        return decode(text, arrays)
    except WengertError as error:
        if error.message.startswith(f"{shown}: "):
            raise
        fail(error.message)
    except _DAMAGE as error:
        fail(f"is malformed ({type(error).__name__}: {error})")


# ---------------------------------------------------------------- encoding


def encode_graph(graph: Graph, arrays: dict[str, Any]) -> dict[str, Any]:
    """A graph as what JSON can hold; the numbers of its constants are put into `arrays`."""
    constants: dict[str, Any] = {}
    scalars: dict[str, list[Any]] = {}
    for index, value in graph.constants.items():
        array = np.asarray(value)
        if array.ndim:
            name = f"constant_{len(arrays)}"
            arrays[name] = array
            constants[str(index)] = name
        else:
            found = scalars.setdefault(array.dtype.str, [])
            constants[str(index)] = [array.dtype.str, len(found)]
            found.append(array)
    # All numbers of one dtype in one array: a graph may have a hundred thousand of them.
    numbers = {}
    for dtype, values in scalars.items():
        name = numbers[dtype] = f"numbers_{len(arrays)}"
        arrays[name] = np.array(values, dtype)
    return {
        "entries": [
            [
                op.name,
                list(operands),
                {k: _encode(v, arrays) for k, v in params},
                _encode_type(type_),
            ]
            for op, operands, params, type_ in graph.entries
        ],
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "constants": constants,
        "numbers": numbers,
        "lines": {str(k): v for k, v in graph.lines.items()},
        "names": {str(k): v for k, v in graph.names.items()},
    }


def _encode_type(type_: Any) -> Any:
    if isinstance(type_, tuple):
        return {"tuple": [_encode_type(t) for t in type_]}
    return [type_.dtype.str, list(type_.shape)]


def _encode(value: Any, arrays: dict[str, Any]) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, tuple):
        return {"tuple": [_encode(v, arrays) for v in value]}
    if isinstance(value, np.dtype):
        return {"dtype": value.str}
    if isinstance(value, Graph):
        return {"graph": encode_graph(value, arrays)}
    raise GraphFileError(f"a parameter of type {type(value).__name__} can't be saved")


# ---------------------------------------------------------------- decoding


def decode_graph(text: Any, arrays: Mapping[str, Any], table: Mapping[str, Any]) -> Graph:
    """The graph that `encode_graph` described, not verified."""
    entries: list[Entry] = []
    leaves = {"input": INPUT, "constant": CONSTANT}
    for name, operands, params, type_ in text["entries"]:
        op = leaves.get(name) or table.get(name)
        if op is None:
            raise GraphFileError(f"unknown operator {name!r}")
        decoded = tuple(sorted((str(k), _decode(v, arrays, table)) for k, v in params.items()))
        entries.append((op, _integers(operands), decoded, _decode_type(type_)))
    constants = {}
    for k, where in text["constants"].items():
        if isinstance(where, str):
            constants[int(k)] = arrays[where][()]
        else:
            dtype, at = where
            constants[int(k)] = arrays[text["numbers"][dtype]][_integers([at])]
    return Graph(
        entries,
        _integers(text["inputs"]),
        _integers(text["outputs"]),
        constants,
        {int(k): str(v) for k, v in text["lines"].items()},
        {int(k): str(v) for k, v in text["names"].items()},
    )


def _integers(values: Any) -> tuple[int, ...]:
    if not all(type(v) is int for v in values):
        raise GraphFileError(f"expected value numbers, not {values!r}")
    return tuple(values)


def _decode_type(text: Any) -> Any:
    if isinstance(text, dict):
        return tuple(_decode_type(t) for t in text["tuple"])
    dtype, shape = text
    if any(n < 0 for n in _integers(shape)):
        raise GraphFileError(f"a shape of {shape}")
    return Type(_integers(shape), np.dtype(dtype))


def _decode(value: Any, arrays: Mapping[str, Any], table: Mapping[str, Any]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "float":
        return float.fromhex(inner)
    if kind == "tuple":
        return tuple(_decode(v, arrays, table) for v in inner)
    if kind == "dtype":
        return np.dtype(inner)
    if kind == "graph":
        return decode_graph(inner, arrays, table).verify()
    raise GraphFileError(f"unknown kind of parameter {kind!r}")
