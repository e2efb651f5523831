"""One operator as a compiled loop over arrays: for the tests and benchmarks of the vector math.

The loop nests of real kernels are in `loops`; this is the least that runs an emitter.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from wengert.codegen import ir
from wengert.codegen.emit import emit
from wengert.codegen.vector import Kind

__all__ = ["assembly", "build", "compiled"]

_POINTER = ir.PointerType()
_SIZE = ir.IntType(64)


def _load(builder: ir.IRBuilder, pointer: ir.Value, i: ir.Value, kind: Kind) -> ir.Value:
    memory = ir.IntType(8) if kind.is_bool else kind.element
    place = builder.gep(pointer, [i], source_etype=memory)
    wide = memory if kind.lanes == 1 else ir.VectorType(memory, kind.lanes)
    value = builder.load(place, typ=wide, align=kind.dtype.itemsize)
    return builder.trunc(value, kind.type) if kind.is_bool else value


def _store(
    builder: ir.IRBuilder,
    value: ir.Value,
    pointer: ir.Value,
    i: ir.Value,
    kind: Kind,
) -> None:
    memory = ir.IntType(8) if kind.is_bool else kind.element
    if kind.is_bool:
        wide = memory if kind.lanes == 1 else ir.VectorType(memory, kind.lanes)
        value = builder.zext(value, wide)
    place = builder.gep(pointer, [i], source_etype=memory)
    builder.store(value, place, align=kind.dtype.itemsize)


def build(
    op_name: str,
    operands: Sequence[Any],
    result: Any,
    params: Mapping[str, Any] | None = None,
    lanes: int = 1,
) -> ir.Module:
    """A module with `void kernel(pointers to operands, pointer to result, size)`.

    The size must be a multiple of the lanes.
    """
    dtypes = [np.dtype(d) for d in operands]
    module = ir.Module()
    module.has_avx512 = bool(llvm.get_host_cpu_features().get("avx512f"))
    type_ = ir.FunctionType(ir.VoidType(), [_POINTER] * (len(dtypes) + 1) + [_SIZE])
    function = ir.Function(module, type_, "kernel")
    *inputs, output, size = function.args
    entry = function.append_basic_block("entry")
    loop = function.append_basic_block("loop")
    done = function.append_basic_block("done")
    builder = ir.IRBuilder(entry)
    zero = ir.Constant(_SIZE, 0)
    builder.cbranch(builder.icmp_unsigned("==", size, zero), done, loop)
    builder.position_at_end(loop)
    i = builder.phi(_SIZE)
    i.add_incoming(zero, entry)
    values = [_load(builder, p, i, Kind(d, lanes)) for p, d in zip(inputs, dtypes, strict=True)]
    kind = Kind(dtypes[-1] if op_name == "where" else dtypes[0], lanes)
    value = emit(builder, op_name, values, params or {}, kind)
    _store(builder, value, output, i, Kind(np.dtype(result), lanes))
    following = builder.add(i, ir.Constant(_SIZE, lanes))
    i.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_unsigned("<", following, size), loop, done)
    builder.position_at_end(done)
    builder.ret_void()
    return module


def _target_machine(features: str | None = None) -> llvm.TargetMachine:
    # An execution engine owns its target machine: one is made for each.
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    if features is None:
        features = llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=2
    )


def _optimised(module: ir.Module, machine: llvm.TargetMachine) -> llvm.ModuleRef:
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    options.loop_vectorization = options.slp_vectorization = False
    options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    return parsed


def assembly(module: ir.Module) -> str:
    """The module's machine code as text."""
    machine = _target_machine()
    return str(machine.emit_assembly(_optimised(module, machine)))


def compiled(
    op_name: str,
    operands: Sequence[Any],
    result: Any,
    params: Mapping[str, Any] | None = None,
    lanes: int = 1,
) -> Callable[..., Any]:
    """A function of arrays of one length and of these dtypes; `out=` may be given.

    Lengths that aren't a multiple of the lanes are padded with ones, at the price of a copy.
    """
    machine = _target_machine()
    engine = llvm.create_mcjit_compiler(
        _optimised(build(op_name, operands, result, params, lanes), machine), machine
    )
    engine.finalize_object()
    dtypes = [np.dtype(d) for d in operands]
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(dtypes) + 1), ctypes.c_int64)
    native = prototype(engine.get_function_address("kernel"))

    def run(*arrays: Any, out: Any = None) -> Any:
        size = arrays[0].size
        padding = -size % lanes
        given = [np.ascontiguousarray(a, d) for a, d in zip(arrays, dtypes, strict=True)]
        if padding:
            given = [np.concatenate([a, np.ones(padding, a.dtype)]) for a in given]
        found = np.empty(size + padding, result) if out is None else out
        native(*(a.ctypes.data for a in given), found.ctypes.data, size + padding)
        return found[:size]

    run.engine = engine  # type: ignore[attr-defined]  # lives as long as the function
    run.native = native  # type: ignore[attr-defined]
    return run
