"""The native runtime: the loop that runs a plan, and matrix products through BLAS.

Loops and branches are in `control`, the pool of threads in `threads`, the entry in `pycall`.

All functions have the signature of a kernel, `void f(i64* slots, i64* args)`, except `run_steps`.
"""

from __future__ import annotations

from typing import Any

from wengert.codegen import ir
from wengert.codegen.blocks import loop
from wengert.codegen.bounds import build_bounds
from wengert.codegen.control import build_control
from wengert.codegen.memory import build_memory
from wengert.codegen.pycall import build_entry
from wengert.codegen.threads import build_threads
from wengert.codegen.trials import build_trials

__all__ = ["build_further", "build_runtime"]

I8 = ir.IntType(8)
I32 = ir.IntType(32)
I64 = ir.IntType(64)
_KERNEL = ir.FunctionType(ir.VoidType(), [I64.as_pointer(), I64.as_pointer()])
_STEPS = ir.FunctionType(ir.VoidType(), [I64.as_pointer(), I64, I64.as_pointer()])


def build_runtime(module: ir.Module) -> list[str]:
    """Add the functions of the runtime to a module; return their names."""
    threads = build_threads(module)
    _run_steps(module)
    _run_strip(module)
    _call_with_int(module)
    _gemm(module, "gemm_f32", ir.FloatType())
    _gemm(module, "gemm_f64", ir.DoubleType())
    own = ["run_steps", "run_strip", "call_with_int", "gemm_f32", "gemm_f64"]
    return [
        *own,
        *build_memory(module),
        *build_entry(module),
        *threads,
        *build_trials(module),
    ]


def build_further(module: ir.Module) -> list[str]:
    """Add what only some programs need: loops, branches, and checks of indices."""
    ir.Function(module, _STEPS, "run_steps")
    return [*build_bounds(module), *build_control(module)]


def _constant(value: int) -> Any:
    return ir.Constant(I64, value)


def _run_steps(module: ir.Module) -> None:
    """`void run_steps(i64* steps, i64 count, i64* slots)`: steps holds triples (kernel, address of
    the list of argument blocks, number of blocks), the number marked where it is short."""
    function = ir.Function(module, _STEPS, "run_steps")
    steps, count, slots = function.args
    names = ("entry", "head", "body", "one", "several", "next", "done")
    entry, head, body, one, several, onward, done = map(function.append_basic_block, names)
    b = ir.IRBuilder(entry)
    b.branch(head)
    b.position_at_end(head)
    i = b.phi(I64)
    i.add_incoming(_constant(0), entry)
    b.cbranch(b.icmp_signed("<", i, count), body, done)
    b.position_at_end(body)
    at = b.mul(i, _constant(3))
    kernel, blocks, chunks = (b.load(b.gep(steps, [b.add(at, _constant(k))])) for k in range(3))
    b.cbranch(b.icmp_signed("==", chunks, _constant(1)), one, several)
    b.position_at_end(one)
    args = b.inttoptr(b.load(b.inttoptr(blocks, I64.as_pointer())), I64.as_pointer())
    b.call(b.inttoptr(kernel, _KERNEL.as_pointer()), [slots, args])
    b.branch(onward)
    b.position_at_end(several)
    run_chunks = module.globals["run_chunks"]
    b.call(run_chunks, [kernel, b.ptrtoint(slots, I64), blocks, chunks])
    b.branch(onward)
    b.position_at_end(onward)
    i.add_incoming(b.add(i, _constant(1)), onward)
    b.branch(head)
    b.position_at_end(done)
    b.ret_void()


def _run_strip(module: ir.Module) -> None:
    """args: how many calls follow, then pairs (kernel, its arguments): one chunk of a strip."""
    function = ir.Function(module, _KERNEL, "run_strip")
    slots, args = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    with loop(b, _constant(0), b.load(args), _constant(1)) as step:
        at = b.shl(step.index, _constant(1))
        kernel, own = (b.load(b.gep(args, [b.add(at, _constant(k))])) for k in (1, 2))
        own = b.inttoptr(own, I64.as_pointer())
        b.call(b.inttoptr(kernel, _KERNEL.as_pointer()), [slots, own])
    b.ret_void()


def _call_with_int(module: ir.Module) -> None:
    """args: address of a function `f(int)`, and the number to call it with."""
    function = ir.Function(module, _KERNEL, "call_with_int")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    address, value = (b.load(b.gep(function.args[1], [_constant(i)])) for i in range(2))
    kind = ir.FunctionType(ir.VoidType(), [I32])
    b.call(b.inttoptr(address, kind.as_pointer()), [b.trunc(value, I32)])
    b.ret_void()


def _gemm(module: ir.Module, name: str, element: Any) -> None:
    """args: address of Fortran's gemm, slots of a, b, c, then transa, transb (as characters), m, n,
    k, lda, ldb, ldc, the number of products with the strides of a, b, c between them, and where a,
    b and c begin (strides and beginnings in elements).

    Fortran's order: the caller exchanges a and b for arrays in C order.
    """
    function = ir.Function(module, _KERNEL, name)
    slots, args = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    values = [b.load(b.gep(args, [_constant(i)])) for i in range(19)]
    address, slot_a, slot_b, slot_c = values[:4]
    count, stride_a, stride_b, stride_c = values[12:16]

    def place(value: Any, kind: Any) -> Any:
        spot = b.alloca(kind)
        b.store(value, spot)
        return spot

    transposed = [place(b.trunc(v, I8), I8) for v in values[4:6]]
    sizes = [place(v, I64) for v in values[6:12]]
    m, n, k, lda, ldb, ldc = sizes
    alpha, beta = (
        place(ir.Constant(element, 1.0), element),
        place(ir.Constant(element, 0.0), element),
    )
    pointer = element.as_pointer()
    integer, char = I64.as_pointer(), I8.as_pointer()
    gemm_type = ir.FunctionType(
        ir.VoidType(),
        [
            char,
            char,
            integer,
            integer,
            integer,
            pointer,
            pointer,
            integer,
            pointer,
            integer,
            pointer,
            pointer,
            integer,
        ],
    )
    gemm = b.inttoptr(address, gemm_type.as_pointer())
    base = [
        b.gep(b.inttoptr(b.load(b.gep(slots, [s])), pointer), [offset])
        for s, offset in zip((slot_a, slot_b, slot_c), values[16:], strict=True)
    ]
    entry = b.block
    head, body, done = (function.append_basic_block(x) for x in ("head", "body", "done"))
    b.branch(head)
    b.position_at_end(head)
    i = b.phi(I64)
    i.add_incoming(_constant(0), entry)
    b.cbranch(b.icmp_signed("<", i, count), body, done)
    b.position_at_end(body)
    a, bb, c = (
        b.gep(p, [b.mul(i, s)]) for p, s in zip(base, (stride_a, stride_b, stride_c), strict=True)
    )
    b.call(gemm, [*transposed, m, n, k, alpha, a, lda, bb, ldb, beta, c, ldc])
    i.add_incoming(b.add(i, _constant(1)), b.block)
    b.branch(head)
    b.position_at_end(done)
    b.ret_void()
