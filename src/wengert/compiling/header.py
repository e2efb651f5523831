"""The C header of an exported function."""

from __future__ import annotations

import math

from wengert.graph import Type

__all__ = ["c_header"]

_C_TYPES = {"f4": "float", "f8": "double", "b1": "uint8_t"}


def c_type(type_: Type) -> str:
    """The C type of an element."""
    kind, size = type_.dtype.kind, type_.dtype.itemsize
    known = _C_TYPES.get(type_.dtype.str[1:])
    return known or f"{'u' if kind == 'u' else ''}int{8 * size}_t"


def c_header(
    name: str,
    inputs: list[tuple[str, str, Type]],
    outputs: list[tuple[str, str, Type]],
    about: list[str],
    workspace: int,
) -> str:
    """The header: per leaf its C name, its name in Python, and its type."""
    guard = f"{name.upper()}_H"
    names = [c for c, _, _ in (*inputs, *outputs)]
    width = max([len(n) for n in names], default=0)

    def line(c: str, own: str, type_: Type) -> str:
        shape = " × ".join(str(n) for n in type_.shape) or "one number"
        elements = f", {math.prod(type_.shape)} elements" if type_.ndim > 1 else ""
        return f" *   {c:<{width}}  {shape}{elements}; {own}"

    arguments = [f"const {c_type(t)} *{c}" for c, _, t in inputs]
    arguments += [f"{c_type(t)} *{c}" for c, _, t in outputs] + ["void *workspace"]
    return "\n".join(
        [
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            "#include <stddef.h>",
            "#include <stdint.h>",
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            "/*",
            *[f" * {text}" for text in about],
            " *",
            " * Arrays are contiguous, in C order; a bool is a byte, 0 or 1. Reads:",
            *[line(*entry) for entry in inputs],
            " * Writes (no array may overlap another):",
            *[line(*entry) for entry in outputs],
            f" * and uses {workspace} bytes at `workspace`, of any alignment; NULL if that is 0.",
            " *",
            " * It allocates nothing, keeps nothing, and may be called from several threads,",
            " * each with a workspace of its own. It needs the C library (memcpy, memset) and, on",
            " * processors without these instructions, fma, floor, rint and the like of libm.",
            " */",
            f"void {name}(" + ",\n     ".join(arguments) + ");",
            "",
            "/* The bytes that `workspace` must have. */",
            f"size_t {name}_workspace_bytes(void);",
            "",
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "",
            "#endif",
            "",
        ]
    )
