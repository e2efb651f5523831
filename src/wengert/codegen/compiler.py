"""LLVM: from kernels as data to object files, and object files into memory.

An execution engine owns its target machine: there is one of each per module, kept for the life of
the process, since compiled functions hold addresses into it.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from llvmlite import binding, ir

from wengert.codegen.kernel import CallSpec, Spec, WalkSpec
from wengert.codegen.loops import build_kernel
from wengert.codegen.native import build_runtime
from wengert.codegen.numbers import build_call
from wengert.codegen.walk import build_walk

__all__ = [
    "build_function",
    "kernel_assembly",
    "kernel_text",
    "kernels_object",
    "load_object",
    "runtime_object",
]

#: Never freed (see `engine`).
_engines: list[Any] = []
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_engines))


@functools.cache
def _initialise() -> None:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()


def _target_machine() -> Any:
    _initialise()
    # As a list, so that the same features always give the same text.
    known = binding.get_host_cpu_features()
    features = ",".join(sorted(("+" if on else "-") + name for name, on in known.items()))
    target = binding.Target.from_triple(binding.get_process_triple())
    return target.create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=features,
        opt=2,
        reloc="pic",
        codemodel="default",
    )


@functools.cache
def _emitter() -> Any:
    return _target_machine()


def vector_bytes() -> int:
    """Width of the vectors that kernels use on this processor."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f") and features.get("avx512dq") and features.get("avx512vl"):
        return 64
    return 32 if features.get("avx2") else 16


def _module() -> ir.Module:
    module = ir.Module()
    module.triple = binding.get_process_triple()
    return module


def build_function(module: ir.Module, spec: Spec, name: str, width: int) -> None:
    """Add the function of a kernel or a walk to a module, for vectors of `width` bytes."""
    if isinstance(spec, CallSpec):
        build_call(module, spec, name)
    elif isinstance(spec, WalkSpec):
        build_walk(module, spec, name, width)
    else:
        build_kernel(module, spec, name, width)


def _object(module: ir.Module, *, in_registers: bool = False) -> bytes:
    """The object file of a module; `in_registers` moves variables of the stack to registers."""
    machine = _emitter()
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    if in_registers:
        builder = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(1))
        passes = binding.create_new_function_pass_manager()
        passes.add_sroa_pass()
        passes.add_simplify_cfg_pass()
        passes.add_instruction_combine_pass()
        for function in parsed.functions:
            if not function.is_declaration:
                passes.run(function, builder)
    return bytes(machine.emit_object(parsed))


def kernels_object(specs: Mapping[str, Spec]) -> bytes:
    """An object file of kernels under these names."""
    module = _module()
    for name, spec in specs.items():
        build_function(module, spec, name, vector_bytes())
    return _object(module)


def runtime_object() -> tuple[list[str], bytes]:
    """The names of the runtime's functions, and their object file."""
    module = _module()
    names = build_runtime(module)
    return names, _object(module, in_registers=True)


def load_object(body: bytes, names: Sequence[str]) -> list[int]:
    """The addresses of functions of an object file, which stays in memory; 0 for what is not in
    it."""
    _initialise()
    empty = binding.parse_assembly(f'target triple = "{binding.get_process_triple()}"')
    engine = binding.create_mcjit_compiler(empty, _target_machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(body))
    engine.finalize_object()
    _engines.append(engine)
    return [engine.get_function_address(name) for name in names]


def kernel_text(spec: Spec) -> str:
    """The LLVM IR of a kernel, for reports."""
    module = _module()
    build_function(module, spec, "k" + spec.key(), vector_bytes())
    return str(module)


def kernel_assembly(spec: Spec) -> str:
    """The machine code of a kernel as this processor's assembly, for reports."""
    machine = _target_machine()
    return str(machine.emit_assembly(binding.parse_assembly(kernel_text(spec))))
