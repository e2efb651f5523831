"""Object files for any target of LLVM: modules that stand alone, without Python."""

from __future__ import annotations

from typing import Any

from llvmlite import binding

from wengert.codegen import ir
from wengert.errors import ArgumentError

__all__ = ["Target", "target_for"]


class Target:
    """A machine that object files are made for.

    Attributes
    ----------
    triple : LLVM's name of the target
    vector_bytes : width of the vectors that kernels use
    pointer_bits : width of an address
    """

    def __init__(self, triple: str, machine: Any, vector_bytes: int) -> None:
        self.triple = triple
        self.machine = machine
        self.vector_bytes = vector_bytes
        self.pointer_bits = 32 if "-p:32:" in str(machine.target_data) else 64

    def module(self) -> ir.Module:
        """An empty module for this target."""
        module = ir.Module()
        module.triple = self.triple
        module.data_layout = str(self.machine.target_data)
        return module

    def object_code(self, module: ir.Module) -> bytes:
        """The optimised machine code of a module."""
        parsed = binding.parse_assembly(str(module))
        parsed.verify()
        options = binding.create_pipeline_tuning_options(speed_level=2)
        builder = binding.create_pass_builder(self.machine, options)
        builder.getModulePassManager().run(parsed, builder)
        return bytes(self.machine.emit_object(parsed))


def target_for(triple: str | None, cpu: str, features: str) -> Target:
    """A target by its triple (None: this machine's); the CPU "native" is this machine's."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    own = binding.get_process_triple()
    width = 16
    if cpu == "native":
        if triple not in (None, own):
            raise ArgumentError(f'export: cpu="native" is for this machine, not for {triple}')
        known = binding.get_host_cpu_features()
        cpu, features = binding.get_host_cpu_name(), features or known.flatten()
        width = 32 if known.get("avx2") else 16
    triple = triple or own
    bare = triple.startswith("wasm") or "-none" in triple
    try:
        machine = binding.Target.from_triple(triple).create_target_machine(
            cpu="" if cpu == "generic" else cpu,
            features=features,
            opt=2,
            reloc="static" if bare else "pic",
            codemodel="default",
        )
    except RuntimeError as error:
        raise ArgumentError(
            f"export: LLVM has no target {triple!r} ({error})",
            hint="for example aarch64-linux-gnu, riscv64-linux-gnu, wasm32",
        ) from error
    return Target(triple, machine, width)
