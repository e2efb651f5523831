"""The thread pool: native workers that help to run the chunks of a step. `pool` starts them.

A step has one or more argument blocks, one per chunk. The calling thread publishes the step and
wakes the workers; then all take chunk after chunk from a common counter, so that a worker that the
system does not run costs nothing: the caller does its share. Which thread runs a chunk makes no
difference to its result. A worker that finds no work looks for some microseconds, since steps
follow each other closely, and then sleeps in a semaphore: an idle pool burns nothing. Who runs a
sequence of jobs with little between them keeps workers awake until its end (`POOL["kept"]`).

To wake a worker takes longer than a short job. So that is shared with workers that look for work
just then; if there are none, now and then one wakes them for those that may follow, and so does the
first that a trial shares (`trials`).

One caller has the pool at a time; another one meanwhile runs all its chunks itself. Workers call
nothing of Python. They are stopped when the process ends, and a forked child starts without any.
"""

from __future__ import annotations

from typing import Any

from wengert.codegen import ir
from wengert.codegen.tables import CLOSED, POOL, SHORT, TRIAL, TRIED

__all__ = ["build_threads"]

#: How often a waiting thread tries before it sleeps.
_SPINS = 2000
#: How often a worker does, which looks for the next of many short jobs: some tens of microseconds.
_LOOKS = 10_000
#: One in so many short jobs that find no worker looking wakes them all.
_WAKE_EVERY = 16

I32 = ir.IntType(32)
I64 = ir.IntType(64)
KERNEL = ir.FunctionType(ir.VoidType(), [I64.as_pointer(), I64.as_pointer()])


def _c(value: int) -> Any:
    return ir.Constant(I64, value)


def _word(b: ir.IRBuilder, base: Any, index: int) -> Any:
    return b.inttoptr(b.add(base, _c(8 * index)), I64.as_pointer())


def _call(b: ir.IRBuilder, pool: Any, which: int, address: Any) -> Any:
    kind = ir.FunctionType(I32, [I64])
    function = b.inttoptr(b.load(_word(b, pool, which)), kind.as_pointer())
    return b.call(function, [address])


def build_threads(module: ir.Module) -> list[str]:
    """Add `pool_worker(i64)` and `run_chunks` to a module."""
    state = ir.GlobalVariable(module, I64, "wengert_pool")
    take = _build_take_chunks(module)
    _build_worker(module, take)
    _build_run_chunks(module, state, take)
    return ["pool_worker"]


def _build_take_chunks(module: ir.Module) -> Any:
    """`void take_chunks(pool)`: run chunks of the published job until none is left."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64]), "take_chunks")
    function.linkage = "internal"
    (pool,) = function.args
    entry, run, done = (function.append_basic_block(n) for n in ("take", "run", "done"))
    head = ir.IRBuilder(entry)
    start = function.append_basic_block("start")
    head.branch(start)
    b = ir.IRBuilder(start)
    # Only after a chunk was taken may the job be read: until then it may be another one's.
    chunk = b.atomic_rmw("add", _word(b, pool, POOL["next"]), _c(1), "seq_cst")
    count = b.load_atomic(_word(b, pool, POOL["count"]), "acquire", 8)
    b.cbranch(b.icmp_signed("<", chunk, count), run, done)
    b.position_at_end(run)
    kernel, slots, blocks = (
        b.load(_word(b, pool, k)) for k in (POOL["kernel"], POOL["slots"], POOL["blocks"])
    )
    args = b.load(b.inttoptr(b.add(blocks, b.shl(chunk, _c(3))), I64.as_pointer()))
    _run(b, kernel, slots, args)
    b.atomic_rmw("add", _word(b, pool, POOL["finished"]), _c(1), "seq_cst")
    b.branch(start)
    b.position_at_end(done)
    b.ret_void()
    return function


def _run(b: ir.IRBuilder, kernel: Any, slots: Any, args: Any) -> None:
    pointers = [b.inttoptr(v, I64.as_pointer()) for v in (slots, args)]
    b.call(b.inttoptr(kernel, KERNEL.as_pointer()), pointers)


def _build_worker(module: ir.Module, take: Any) -> None:
    """`i64 pool_worker(pool)`: wait for work, take chunks, again and again."""
    function = ir.Function(module, ir.FunctionType(I64, [I64]), "pool_worker")
    (pool,) = function.args
    names = "entry wait spin again found kept tired sleep woken work done"
    blocks = {name: function.append_basic_block(name) for name in names.split()}
    entry, wait, spin, again, sleep = (
        blocks[n] for n in ("entry", "wait", "spin", "again", "sleep")
    )
    woken, work, done = (blocks[n] for n in ("woken", "work", "done"))
    b = ir.IRBuilder(entry)
    semaphore = b.add(pool, _c(8 * POOL["work"]))
    looking = _word(b, pool, POOL["looking"])
    b.branch(wait)
    b.position_at_end(wait)
    b.atomic_rmw("add", looking, _c(1), "seq_cst")
    b.branch(spin)
    b.position_at_end(spin)
    i = b.phi(I64)
    i.add_incoming(_c(0), wait)
    got = b.icmp_signed("==", _call(b, pool, POOL["try"], semaphore), ir.Constant(I32, 0))
    b.cbranch(got, blocks["found"], again)
    b.position_at_end(again)
    after = b.add(i, _c(1))
    i.add_incoming(after, again)
    b.cbranch(b.icmp_signed("<", after, _c(_LOOKS)), spin, blocks["kept"])
    b.position_at_end(blocks["kept"])
    yields = ir.FunctionType(I32, [])
    b.call(b.inttoptr(b.load(_word(b, pool, POOL["yield"])), yields.as_pointer()), [])
    i.add_incoming(_c(0), blocks["kept"])
    kept = b.load_atomic(_word(b, pool, POOL["kept"]), "acquire", 8)
    b.cbranch(b.icmp_signed("!=", kept, _c(0)), spin, blocks["tired"])
    for name, then in (("found", woken), ("tired", sleep)):
        b.position_at_end(blocks[name])
        b.atomic_rmw("sub", looking, _c(1), "seq_cst")
        b.branch(then)
    b.position_at_end(sleep)  # a signal may end the sleep without work: then it sleeps again
    got = b.icmp_signed("==", _call(b, pool, POOL["wait"], semaphore), ir.Constant(I32, 0))
    b.cbranch(got, woken, sleep)
    b.position_at_end(woken)
    stop = b.load_atomic(_word(b, pool, POOL["stop"]), "acquire", 8)
    b.cbranch(b.icmp_signed("==", stop, _c(0)), work, done)
    b.position_at_end(work)
    b.call(take, [pool])
    b.branch(wait)
    b.position_at_end(done)
    b.ret(_c(0))


def _build_run_chunks(module: ir.Module, state: Any, take: Any) -> None:
    """`void run_chunks(kernel, slots, list of argument blocks, count)`; the count may be marked as
    that of a short job, or of one that trials decide on (`tables.SHORT`, `TRIED`)."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 4), "run_chunks")
    function.linkage = "internal"
    kernel, slots, blocks, marked = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    count = b.and_(marked, _c(SHORT - 1))
    ask, parallel, alone = (function.append_basic_block(n) for n in ("ask", "parallel", "alone"))
    pool = b.load(state)
    b.cbranch(b.icmp_unsigned("!=", pool, _c(0)), ask, alone)
    b.position_at_end(ask)
    is_short, is_tried = (
        b.icmp_signed("!=", b.and_(marked, _c(mark)), _c(0)) for mark in (SHORT, TRIED)
    )
    tried, shared = (function.append_basic_block(n) for n in ("tried", "shared"))
    b.cbranch(is_tried, tried, shared)
    b.position_at_end(tried)
    trial = b.load(b.inttoptr(b.sub(blocks, _c(8)), I64.as_pointer()))
    kept = b.load(_word(b, trial, TRIAL["is_alone"]))
    asked = b.load(_word(b, trial, TRIAL["wakes"]))
    b.store(_c(0), _word(b, trial, TRIAL["wakes"]))
    b.cbranch(b.icmp_signed("==", kept, _c(0)), shared, alone)
    b.position_at_end(shared)
    wakes = b.phi(I64)
    wakes.add_incoming(_c(0), ask)
    wakes.add_incoming(asked, tried)
    was_busy = b.atomic_rmw("xchg", _word(b, pool, POOL["busy"]), _c(1), "acquire")
    b.cbranch(b.icmp_unsigned("==", was_busy, _c(0)), parallel, alone)

    def each(stop: Any, act: Any) -> None:
        before = b.block
        head, body, after = (function.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        i = b.phi(I64)
        i.add_incoming(_c(0), before)
        b.cbranch(b.icmp_signed("<", i, stop), body, after)
        b.position_at_end(body)
        act(i)
        i.add_incoming(b.add(i, _c(1)), b.block)
        b.branch(head)
        b.position_at_end(after)

    b.position_at_end(parallel)
    # Closed first, opened last: a worker that is late from the job before takes nothing of a job
    # that is half written.
    b.store_atomic(_c(CLOSED), _word(b, pool, POOL["next"]), "seq_cst", 8)
    for word, value in ((POOL["kernel"], kernel), (POOL["slots"], slots), (POOL["blocks"], blocks)):
        b.store(value, _word(b, pool, word))
    b.store_atomic(count, _word(b, pool, POOL["count"]), "seq_cst", 8)
    b.store_atomic(_c(0), _word(b, pool, POOL["finished"]), "seq_cst", 8)
    b.store_atomic(_c(0), _word(b, pool, POOL["next"]), "seq_cst", 8)
    workers, others = b.load(_word(b, pool, POOL["workers"])), b.sub(count, _c(1))
    wanted = b.select(b.icmp_signed("<", workers, others), workers, others)
    wanted = b.select(is_short, _helpers(b, pool, wanted, wakes), wanted)
    each(wanted, lambda i: _call(b, pool, POOL["post"], b.add(pool, _c(8 * POOL["work"]))))
    b.call(take, [pool])
    _wait_until_finished(b, function, pool, count)
    b.store_atomic(_c(0), _word(b, pool, POOL["busy"]), "release", 8)
    b.ret_void()
    b.position_at_end(alone)
    each(
        count,
        lambda i: _run(
            b, kernel, slots, b.load(b.inttoptr(b.add(blocks, b.shl(i, _c(3))), I64.as_pointer()))
        ),
    )
    b.ret_void()


def _helpers(b: ir.IRBuilder, pool: Any, wanted: Any, wakes: Any) -> Any:
    """How many workers are to help with a short job, of those that it could use."""
    looking = b.load_atomic(_word(b, pool, POOL["looking"]), "acquire", 8)
    enough = b.icmp_signed(">=", looking, wanted)
    unhelped = b.load(_word(b, pool, POOL["unhelped"]))
    unhelped = b.add(unhelped, b.select(enough, _c(0), _c(1)))
    b.store(unhelped, _word(b, pool, POOL["unhelped"]))
    is_time = b.icmp_signed("==", b.and_(unhelped, _c(_WAKE_EVERY - 1)), _c(0))
    is_time = b.or_(is_time, b.icmp_signed("!=", wakes, _c(0)))
    return b.select(b.or_(enough, is_time), wanted, looking)


def _wait_until_finished(b: ir.IRBuilder, function: Any, pool: Any, count: Any) -> None:
    # A chunk that a worker runs is nearly done: look first, then let the system run the worker.
    before = b.block
    look, again, give_way, done = (
        function.append_basic_block(n) for n in ("look", "again", "give_way", "finished")
    )
    b.branch(look)
    b.position_at_end(look)
    i = b.phi(I64)
    i.add_incoming(_c(0), before)
    finished = b.load_atomic(_word(b, pool, POOL["finished"]), "seq_cst", 8)
    b.cbranch(b.icmp_signed("==", finished, count), done, again)
    b.position_at_end(again)
    after = b.add(i, _c(1))
    i.add_incoming(after, again)
    b.cbranch(b.icmp_signed("<", after, _c(_SPINS)), look, give_way)
    b.position_at_end(give_way)
    yields = ir.FunctionType(I32, [])
    b.call(b.inttoptr(b.load(_word(b, pool, POOL["yield"])), yields.as_pointer()), [])
    i.add_incoming(after, give_way)
    b.branch(look)
    b.position_at_end(done)
