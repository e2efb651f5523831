"""Exporting a compiled function: an object file and a C header."""

from __future__ import annotations

import os
import re

from wengert.capture import leaf_names, unflatten
from wengert.codegen.objects import target_for
from wengert.compiling.entry import Entry
from wengert.compiling.header import c_header
from wengert.errors import ArgumentError
from wengert.plan.export import export_graph

__all__ = ["export_entry"]

#: C's and C++'s words that Python's names may collide with, and the header's own.
_KEYWORDS = frozenset(
    {
        "auto",
        "break",
        "case",
        "catch",
        "char",
        "class",
        "const",
        "continue",
        "default",
        "delete",
        "do",
        "double",
        "else",
        "enum",
        "extern",
        "float",
        "for",
        "friend",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "namespace",
        "new",
        "operator",
        "private",
        "protected",
        "public",
        "register",
        "restrict",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "struct",
        "switch",
        "template",
        "this",
        "throw",
        "try",
        "typedef",
        "union",
        "unsigned",
        "using",
        "virtual",
        "void",
        "volatile",
        "while",
        "workspace",
    }
)


def export_entry(
    prefix: str | os.PathLike[str],
    entry: Entry,
    function: str,
    name: str,
    triple: str | None,
    cpu: str,
    features: str,
) -> tuple[str, str]:
    """Write the object file and the header; see `CompiledFunction.export`."""
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name in _KEYWORDS:
        raise ArgumentError(f"export: name={name!r} is no name of a C function")
    graph = entry.optimised().graph
    target = target_for(triple, cpu, features)
    exported = export_graph(graph, name, target)
    taken = set(_KEYWORDS) | {name, f"{name}_workspace_bytes"}
    input_names = [graph.names.get(k, f"argument {i}") for i, k in enumerate(graph.inputs)]
    results = unflatten(entry.structure, range(entry.structure.num_leaves))
    output_names = leaf_names(results, "result")
    inputs = [
        (_c_name(own, taken), own, graph.type(k))
        for own, k in zip(input_names, graph.inputs, strict=True)
    ]
    outputs = [
        (_c_name(f"out{i}", taken), own, graph.type(k))
        for i, (own, k) in enumerate(zip(output_names, graph.outputs, strict=True))
    ]
    about = [f"{function}, compiled by wengert for {target.triple} ({cpu})."]
    paths = (f"{os.fspath(prefix)}.o", f"{os.fspath(prefix)}.h")
    _write(paths[0], exported.code)
    _write(paths[1], c_header(name, inputs, outputs, about, exported.workspace).encode())
    return paths


def _c_name(own: str, taken: set[str]) -> str:
    base = re.sub(r"\W+", "_", own, flags=re.ASCII).strip("_") or "x"
    base = f"x_{base}" if base[0].isdigit() else base
    found, number = base, 2
    while found in taken:
        found, number = f"{base}_{number}", number + 1
    taken.add(found)
    return found


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
