"""Control flow around vectors: rare cases, functions of their own for them, loops over lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wengert.codegen import ir
from wengert.codegen.vector import Kind, Lanes

__all__ = ["any_of", "if_any", "outlined", "repeat_while"]


def any_of(mask: Lanes) -> ir.Value:
    """Whether any lane is set, as an `i1`."""
    builder, kind = mask.builder, mask.kind
    if kind.lanes == 1:
        return mask.value
    whole = builder.bitcast(mask.value, ir.IntType(kind.lanes))
    return builder.icmp_unsigned("!=", whole, ir.Constant(whole.type, 0))


def if_any(mask: Lanes, common: Sequence[Lanes], rare: Callable[[], list[Lanes]]) -> list[Lanes]:
    """The values `common`, or those that `rare` emits where any lane of the mask is set.

    The builder is left in a new block.
    """
    builder = mask.builder
    test = any_of(mask)
    before = builder.block
    with builder.if_then(test, likely=False):
        values = [v.value for v in rare()]
        after = builder.block
    joined = []
    for one, other in zip(common, values, strict=True):
        phi = builder.phi(one.kind.type)
        phi.add_incoming(one.value, before)
        phi.add_incoming(other, after)
        joined.append(Lanes(builder, phi, one.kind))
    return joined


def outlined(
    name: str,
    operands: Sequence[Lanes],
    results: Sequence[Kind],
    body: Callable[[list[Lanes]], list[Lanes]],
) -> list[Lanes]:
    """What `body` emits, as a call of a function that each module has once.

    For rare cases: they neither swell the loops around them nor take their registers.
    """
    builder = operands[0].builder
    module = builder.module
    full_name = f"wengert.{name}.{operands[0].kind.suffix}"
    struct = ir.LiteralStructType([kind.type for kind in results])
    function = module.globals.get(full_name)
    if function is None:
        type_ = ir.FunctionType(struct, [x.kind.type for x in operands])
        function = ir.Function(module, type_, full_name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        inner = ir.IRBuilder(function.append_basic_block("entry"))
        given = [Lanes(inner, a, x.kind) for a, x in zip(function.args, operands, strict=True)]
        answer: ir.Value = ir.Constant(struct, ir.Undefined)
        for i, part in enumerate(body(given)):
            answer = inner.insert_value(answer, part.value, i)
        inner.ret(answer)
    found = builder.call(function, [x.value for x in operands])
    return [Lanes(builder, builder.extract_value(found, i), kind) for i, kind in enumerate(results)]


def repeat_while(
    state: Sequence[Lanes],
    condition: Callable[[list[Lanes]], Lanes],
    step: Callable[[list[Lanes]], list[Lanes]],
) -> list[Lanes]:
    """Repeat `step` while any lane meets the condition, on all lanes: a step must not change a
    lane that doesn't. The builder is left in a new block.
    """
    builder = state[0].builder
    before = builder.block
    test = builder.append_basic_block("test")
    body = builder.append_basic_block("body")
    after = builder.append_basic_block("after")
    builder.branch(test)
    builder.position_at_end(test)
    phis = [builder.phi(s.kind.type) for s in state]
    for phi, s in zip(phis, state, strict=True):
        phi.add_incoming(s.value, before)
    current = [Lanes(builder, phi, s.kind) for phi, s in zip(phis, state, strict=True)]
    builder.cbranch(any_of(condition(current)), body, after)
    builder.position_at_end(body)
    for phi, s in zip(phis, step(current), strict=True):
        phi.add_incoming(s.value, builder.block)
    builder.branch(test)
    builder.position_at_end(after)
    return current
