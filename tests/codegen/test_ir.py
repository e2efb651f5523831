"""LLVM IR as text: what LLVM reads is what was meant."""

import ctypes

import numpy as np
import pytest

from wengert.codegen import ir
from wengert.codegen.compiler import load_object

I64, F64 = ir.IntType(64), ir.DoubleType()


def loaded(module, name):
    from wengert.codegen.compiler import Code

    (address,) = load_object(Code(lambda _: module, [name], in_registers=False).optimised(), [name])
    return address


def function(module, name, result, *operands):
    made = ir.Function(module, ir.FunctionType(result, operands), name)
    return made, ir.IRBuilder(made.append_basic_block("entry"))


@pytest.mark.parametrize(
    ("type_", "dtype"), [(ir.HalfType(), "f2"), (ir.FloatType(), "f4"), (F64, "f8")]
)
@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -1 / 3, 6e-8, np.inf, -np.inf, np.nan])
def test_floats_are_read_to_the_bit(type_, dtype, value):
    number = np.dtype(dtype).type(value)
    module = ir.Module()
    f, b = function(module, "store", ir.VoidType(), type_.as_pointer())
    b.store(ir.Constant(type_, float(number)), f.args[0])
    b.ret_void()
    found = np.zeros(1, dtype)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(loaded(module, "store"))(found.ctypes.data)
    assert found.tobytes() == number.tobytes()


def test_branches_and_variables():
    """Collatz steps until 1, with a variable on the stack and a choice of three cases."""
    module = ir.Module()
    f, b = function(module, "steps", I64, I64)
    with b.goto_entry_block():
        count = b.alloca(I64)
    one, zero = ir.Constant(I64, 1), ir.Constant(I64, 0)
    b.store(zero, count)
    entry = b.block
    head, body, done = (b.append_basic_block(n) for n in ("head", "body", "done"))
    b.branch(head)
    b.position_at_end(head)
    n = b.phi(I64)
    n.add_incoming(f.args[0], entry)
    b.cbranch(b.icmp_signed("<=", n, one), done, body)
    b.position_at_end(body)
    with b.goto_entry_block():
        after = b.alloca(I64)
    with b.if_else(b.icmp_unsigned("==", b.and_(n, one), zero)) as (even, odd):
        with even:
            b.store(b.lshr(n, one), after)
        with odd:
            b.store(b.add(b.mul(n, ir.Constant(I64, 3)), one), after)
    with b.if_then(b.icmp_unsigned("!=", n, zero), likely=True):
        b.store(b.add(b.load(count), one), count)
    n.add_incoming(b.load(after), b.block)
    b.branch(head)
    b.position_at_end(done)
    known = b.append_basic_block("known")
    other = b.append_basic_block("other")
    b.switch(f.args[0], other).add_case(ir.Constant(I64, 27), known)
    b.position_at_end(known)
    b.ret(b.neg(b.load(count)))
    b.position_at_end(other)
    b.ret(b.load(count))
    steps = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(loaded(module, "steps"))
    assert [steps(n) for n in (1, 2, 6, 7, 27)] == [0, 1, 8, 16, -111]


def test_vectors_tables_and_structures():
    module = ir.Module()
    table = ir.GlobalVariable(module, ir.ArrayType(I64, 3), "table")
    table.initializer = ir.Constant(ir.ArrayType(I64, 3), [5, ir.Constant(I64, -6), 7])
    table.global_constant, table.linkage = True, "internal"
    f, b = function(module, "f", I64, I64)
    pair = ir.VectorType(I64, 2)
    element = b.load(b.gep(table, [f.args[0]], source_etype=I64))
    vector = b.insert_element(ir.Constant(pair, ir.Undefined), element, ir.Constant(I64, 0))
    both = b.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(ir.IntType(32), 2), None))
    total = b.add(both, ir.splat(pair, ir.Constant(I64, 100)))
    total = b.add(total, ir.Constant(pair, [1000, 2000]))
    whole = ir.Constant(ir.LiteralStructType([I64, I64]), ir.Undefined)
    whole = b.insert_value(whole, b.extract_element(total, ir.Constant(I64, 0)), 0)
    whole = b.insert_value(whole, b.extract_element(total, ir.Constant(I64, 1)), 1)
    b.ret(b.mul(b.extract_value(whole, 0), b.extract_value(whole, 1)))
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(loaded(module, "f"))
    assert [call(k) for k in range(3)] == [1105 * 2105, 1094 * 2094, 1107 * 2107]


def test_equal_types_are_the_same_object():
    assert ir.VectorType(F64, 4) is ir.VectorType(ir.DoubleType(), 4)
    assert ir.FunctionType(I64, [F64]) is ir.FunctionType(I64, (F64,))
    assert str(I64.as_pointer()) == "ptr"
