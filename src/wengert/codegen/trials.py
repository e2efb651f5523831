"""Trials: whether sharing the shorter jobs of a plan with other threads pays, found out as it runs.

How long cores take to hand data to each other differs by a factor of five between neighbours and
others, and on a virtual machine it changes while the program runs. So the first calls of a plan,
and a few of every `_PERIOD` later ones, are timed with sharing and without; the better is kept
until then. Results are the same either way: chunks are the same, whoever runs them.

A plan with such jobs begins with `begin_trial` and ends with `end_trial`, which have the signature
of a kernel; their argument is the address of the words `tables.TRIAL`.
"""

from __future__ import annotations

from typing import Any

from wengert.codegen import ir
from wengert.codegen.blocks import I32, I64, i64
from wengert.codegen.tables import TRIAL

__all__ = ["build_trials"]

_KERNEL = ir.FunctionType(ir.VoidType(), [I64.as_pointer(), I64.as_pointer()])
#: Calls from one trial to the next, a power of two; calls of each kind in a trial, and those of
#: them that are not counted: the caches hold what the kind before has left, and who was asleep is
#: not awake yet.
_PERIOD, _EACH, _UNCOUNTED = 1024, 16, 8
_NEVER = 1 << 62


def build_trials(module: ir.Module) -> list[str]:
    """Add `begin_trial` and `end_trial` to a module; return their names."""
    _begin(module)
    _end(module)
    return ["begin_trial", "end_trial"]


def _word(b: ir.IRBuilder, base: Any, index: int) -> Any:
    return b.gep(base, [i64(index)])


def _state(b: ir.IRBuilder, args: Any) -> Any:
    return b.inttoptr(b.load(args), I64.as_pointer())


def _now(b: ir.IRBuilder, state: Any) -> Any:
    """Nanoseconds, by `clock_gettime`."""
    place = b.alloca(I64, i64(2))
    kind = ir.FunctionType(I32, [I64, I64.as_pointer()])
    clock = b.inttoptr(b.load(_word(b, state, TRIAL["clock"])), kind.as_pointer())
    b.call(clock, [b.load(_word(b, state, TRIAL["which"])), place])
    return b.add(b.mul(b.load(place), i64(10**9)), b.load(_word(b, place, 1)))


def _begin(module: ir.Module) -> None:
    function = ir.Function(module, _KERNEL, "begin_trial")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    state = _state(b, function.args[1])
    calls = b.load(_word(b, state, TRIAL["calls"]))
    b.store(b.add(calls, i64(1)), _word(b, state, TRIAL["calls"]))
    number = b.and_(calls, i64(_PERIOD - 1))
    with b.if_then(b.icmp_signed("<", number, i64(2 * _EACH))):
        with b.if_then(b.icmp_signed("==", number, i64(0))):
            for name in ("alone", "shared"):
                b.store(i64(_NEVER), _word(b, state, TRIAL[name]))
        is_alone = b.icmp_signed("<", number, i64(_EACH))
        b.store(b.select(is_alone, i64(1), i64(0)), _word(b, state, TRIAL["is_alone"]))
        # While this thread was alone the others fell asleep.
        is_first = b.icmp_signed("==", number, i64(_EACH))
        b.store(b.select(is_first, i64(1), i64(0)), _word(b, state, TRIAL["wakes"]))
        b.store(_now(b, state), _word(b, state, TRIAL["began"]))
    b.ret_void()


def _end(module: ir.Module) -> None:
    function = ir.Function(module, _KERNEL, "end_trial")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    state = _state(b, function.args[1])
    # The call has been counted already.
    number = b.and_(b.sub(b.load(_word(b, state, TRIAL["calls"])), i64(1)), i64(_PERIOD - 1))
    with b.if_then(b.icmp_signed("<", number, i64(2 * _EACH))):
        took = b.sub(_now(b, state), b.load(_word(b, state, TRIAL["began"])))
        is_alone = b.icmp_signed("!=", b.load(_word(b, state, TRIAL["is_alone"])), i64(0))
        which = b.select(is_alone, i64(TRIAL["alone"]), i64(TRIAL["shared"]))
        place = b.gep(state, [which])
        counts = b.icmp_signed(">=", b.and_(number, i64(_EACH - 1)), i64(_UNCOUNTED))
        best = b.load(place)
        better = b.and_(counts, b.icmp_signed("<", took, best))
        b.store(b.select(better, took, best), place)
        with b.if_then(b.icmp_signed("==", number, i64(2 * _EACH - 1))):
            alone, shared = (b.load(_word(b, state, TRIAL[x])) for x in ("alone", "shared"))
            # It must be worth the other core.
            saved = b.sub(alone, shared)
            pays = b.icmp_signed(">", b.shl(saved, i64(4)), alone)
            b.store(b.select(pays, i64(0), i64(1)), _word(b, state, TRIAL["is_alone"]))
    b.ret_void()
