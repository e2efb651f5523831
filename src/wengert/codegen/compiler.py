"""LLVM: from kernels as data to object files, and object files into memory.

An execution engine owns its target machine: there is one of each per module, kept for the life of
the process, since compiled functions hold addresses into it.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wengert.codegen import ir, llvm
from wengert.codegen.finish import build_finish
from wengert.codegen.kernel import CallSpec, FinishSpec, ProductSpec, Spec, WalkSpec
from wengert.codegen.loops import build_kernel
from wengert.codegen.native import build_further, build_runtime
from wengert.codegen.numbers import build_call
from wengert.codegen.product import build_product
from wengert.codegen.restricted import build_words
from wengert.codegen.state import addresses
from wengert.codegen.walk import build_walk

__all__ = [
    "Code",
    "build_function",
    "kernel_assembly",
    "kernel_text",
    "kernels_code",
    "load_object",
    "runtime_code",
    "words_code",
]

#: Never freed (see `engine`).
_engines: list[Any] = []
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_engines))


def vector_bytes() -> int:
    """Width of the vectors that kernels use on this processor."""
    features = llvm.features()
    if features.get("avx512f") and features.get("avx512dq") and features.get("avx512vl"):
        return 64
    return 32 if features.get("avx2") else 16


def _module() -> ir.Module:
    module = ir.Module()
    module.triple = llvm.library().triple
    module.has_avx512 = vector_bytes() == 64
    return module


def build_function(
    module: ir.Module, spec: Spec, name: str, width: int, *, brief: bool = False
) -> None:
    """Add the function of a kernel or a walk to a module, for vectors of `width` bytes. `brief`
    functions compute the same, to the bit, and may be shorter and slower."""
    if isinstance(spec, CallSpec):
        build_call(module, spec, name)
    elif isinstance(spec, WalkSpec):
        build_walk(module, spec, name, width)
    elif isinstance(spec, ProductSpec):
        build_product(module, spec, name, width, brief=brief)
    elif isinstance(spec, FinishSpec):
        build_finish(module, spec, name, width)
    else:
        build_kernel(module, spec, name, width)


class Code:
    """Functions as LLVM IR, to be made machine code: at first quickly, and then well.

    The *first* code of a function computes what its optimised code computes, to the bit, since
    nothing allows LLVM to change how numbers are rounded. It is entered through `hop(name)`, which
    jumps to the address in the word `word(name)`: to the first code, until somebody writes the
    address of the optimised code there.

    Attributes
    ----------
    build : makes the module; brief functions will do for the first code
    names : the functions that Python needs
    in_registers : whether to move variables of the stack to registers
    """

    def __init__(
        self, build: Callable[[bool], ir.Module], names: Sequence[str], *, in_registers: bool
    ) -> None:
        self.build = build
        self.names = list(names)
        self.in_registers = in_registers

    @functools.cached_property
    def _brief(self) -> ir.Module:
        return self.build(True)

    @functools.cached_property
    def hot(self) -> list[str]:
        """Functions that are optimised in the first code, too."""
        return self._brief.hot()

    @functools.cached_property
    def _parts(self) -> tuple[str, str]:
        """The texts of the hot functions and of the rest."""
        return self._brief.parts() if self.hot else ("", str(self._brief))

    @staticmethod
    def hop(name: str) -> str:
        """The name by which the first code of a function is called."""
        return f"{name}.hop"

    @staticmethod
    def word(name: str) -> str:
        """The name of the word that holds the address that is jumped to."""
        return f"{name}.word"

    def hot_object(self) -> bytes:
        """The object file of the hot functions, which the first code calls by their names."""
        return llvm.library().object_code(self._parts[0], 2)

    def first(self) -> bytes:
        """The object file of the first code: `hop(name)` and `word(name)` of each function."""
        text = self._parts[1] + "".join(map(self._hop, self.names))
        return llvm.library().object_code(text, 0)

    def optimised(self) -> bytes:
        """The object file of the optimised code."""
        text = str(self.build(False))
        if not self.in_registers:
            return llvm.library().object_code(text, 2, verified=True)
        binding, machine = llvm.binding(), llvm.machine(2)
        parsed = binding.parse_assembly(text, binding.create_context())
        parsed.verify()
        builder = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(1))
        passes = binding.create_new_function_pass_manager()
        passes.add_sroa_pass()
        passes.add_simplify_cfg_pass()
        passes.add_instruction_combine_pass()
        for function in parsed.functions:
            if not function.is_declaration:
                passes.run(function, builder)
        return bytes(machine.emit_object(parsed))

    def _hop(self, name: str) -> str:
        kind = self._brief.globals[name].function_type
        result, *operands = [
            "ptr" if isinstance(t, ir.PointerType) else str(t)
            for t in (kind.return_type, *kind.args)
        ]
        listed = ", ".join(f"{t} %a{k}" for k, t in enumerate(operands))
        made, given = ("", "") if result == "void" else ("%r = ", " %r")
        return f"""
@"{self.word(name)}" = global ptr @"{name}"
define {result} @"{self.hop(name)}"({listed}) {{
  %f = load atomic ptr, ptr @"{self.word(name)}" monotonic, align 8
  {made}musttail call {result} %f({listed})
  ret {result}{given}
}}
"""


def kernels_code(specs: Mapping[str, Spec]) -> Code:
    """Kernels under these names."""

    def build(brief: bool) -> ir.Module:
        module = _module()
        for name, spec in specs.items():
            build_function(module, spec, name, vector_bytes(), brief=brief)
        return module

    return Code(build, list(specs), in_registers=False)


def runtime_code(part: str) -> Code:
    """The "runtime" that every program needs, or what "further" ones do (`native`)."""
    module = _module()
    names = build_runtime(module) if part == "runtime" else build_further(module)
    return Code(lambda brief: module, names, in_registers=True)


def words_code(functions: Sequence[Any]) -> Code:
    """Functions of words (see `restricted`)."""
    module = _module()
    names = build_words(module, functions)
    return Code(lambda brief: module, names, in_registers=True)


def load_object(
    body: bytes, names: Sequence[str], known: Mapping[str, int] | None = None
) -> list[int]:
    """The addresses of functions and data of an object file, which stays in memory; 0 for what is
    not in it. `known` holds addresses of what it uses."""
    binding = llvm.binding()
    for name, address in (addresses() if known is None else known).items():
        binding.add_symbol(name, address)
    empty = binding.parse_assembly(f'target triple = "{binding.get_process_triple()}"')
    engine = binding.create_mcjit_compiler(empty, llvm.machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(body))
    engine.finalize_object()
    _engines.append(engine)
    return [engine.get_global_value_address(name) for name in names]


def kernel_text(spec: Spec) -> str:
    """The LLVM IR of a kernel, for reports."""
    module = _module()
    build_function(module, spec, "k" + spec.key(), vector_bytes())
    return str(module)


def kernel_assembly(spec: Spec) -> str:
    """The machine code of a kernel as this processor's assembly, for reports."""
    parsed = llvm.binding().parse_assembly(kernel_text(spec))
    return str(llvm.machine().emit_assembly(parsed))
