"""The way from Python into native code: a `METH_FASTCALL` function, built as LLVM IR.

One function serves every compiled function and signature. Its `self` is a bytes object that holds
the address of a *site*; a site begins a list of *descriptors*, one per signature (see `tables`;
`plan.site` fills them). A call

1. walks the descriptor's nodes: each fetches an object (an argument, or an item of a list, tuple or
   dict fetched before) and checks it (type, dtype, shape, contiguity, or length);
2. on any mismatch tries the next descriptor, then whether the arguments are traced ones of a known
   kind, whose use is to be recorded (`calls`), and at last calls the fallback, a Python function;
3. takes the arena, allocates the output arrays, or takes those of donated arguments, runs the steps
   (without the GIL where they are long, holding references to the inputs), and builds the tree of
   results.

Facts about objects (CPython 3.11 to 3.13 without free threading; NumPy 2's `PyArrayObject`): the
type stands at byte 8, the value of a float or NumPy scalar and the data pointer of an array at 16,
an array's nd at 24, dims at 32, descr at 56, flags at 64, the items of a tuple at 24 and the
address of those of a list at 24; lengths of both at 16.
"""

from __future__ import annotations

from typing import Any

from wengert.codegen import ir
from wengert.codegen.tables import API, DESCRIPTOR, NODE, OBJECT, OUT, SITE
from wengert.codegen.words import I32, I64, Words, constant

__all__ = ["build_entry"]


CONTIGUOUS_AND_ALIGNED = 0x101
WRITEABLE = 0x400
#: The kind of an output (`tables.OUT`) that is an argument's array.
REUSED = 4


def build_entry(module: ir.Module) -> list[str]:
    """Add the two ways in to a module; return their names.

    `entry(self, args, nargs, kwnames)` is a `METH_FASTCALL` function, `entry_of_object` the same as
    the vectorcall function of an object that is called itself (`plan.native`): it holds the address
    of the site in a word of its own.
    """
    enter = _build_enter(module)
    kind = ir.FunctionType(I64, [I64, I64, I64, I64])
    # `self` is a bytes object, whose contents begin at byte 32.
    for name, word in (("entry", 32), ("entry_of_object", OBJECT["site"])):
        function = ir.Function(module, kind, name)
        own, args, count, names = function.args
        w = Words(function)
        # The top bit says that the word before the arguments may be overwritten: nothing here does.
        count = w.b.and_(count, constant(2**63 - 1))
        found = w.b.call(enter, [w.at(w.b.add(own, constant(word))), args, count, names], tail=True)
        w.b.ret(found)
    return ["entry", "entry_of_object"]


def _build_enter(module: ir.Module) -> Any:
    """`PyObject* enter(site, args, nargs, kwnames)`."""
    kind = ir.FunctionType(I64, [I64, I64, I64, I64])
    function = ir.Function(module, kind, "enter")
    function.linkage = "internal"
    site, args, count, names = function.args
    w = Words(function)
    b = w.b
    w.api = w.load(site, SITE["api"])
    fallback = function.append_basic_block("fallback")
    start = function.append_basic_block("start")
    current = w.variable(w.load(site, SITE["first"]))
    b.branch(start)
    following = function.append_basic_block("following")
    b.position_at_end(start)
    descriptor = b.load(current)
    w.unless(b.icmp_unsigned("!=", descriptor, constant(0)), fallback)
    w.unless(w.same(w.load(descriptor, DESCRIPTOR["argument_count"]), count), following)
    _check_names(w, names, w.load(descriptor, DESCRIPTOR["keywords"]), following)
    _call_of_numbers(w, descriptor, args, following)
    objects = w.scratch(w.load(descriptor, DESCRIPTOR["node_count"]))
    _check_nodes(w, descriptor, args, objects, following)
    _check_reused(w, descriptor, objects, following)
    _run(w, descriptor, objects, following)
    b.position_at_end(following)
    b.store(w.load(b.load(current), DESCRIPTOR["next"]), current)
    b.branch(start)
    b.position_at_end(fallback)
    _record(w, site, args, count, names)
    b.ret(w.py("PyObject_Vectorcall", w.load(site, SITE["fallback"]), args, count, names))
    return function


def _check_names(w: Words, names: Any, keywords: Any, mismatch: Any) -> None:
    """The names in a call, a tuple or 0, are those of a descriptor: the same strings in order."""
    b = w.b
    with b.if_else(w.same(names, constant(0))) as (by_position, by_name):
        with by_position:
            w.unless(w.same(keywords, constant(0)), mismatch)
        with by_name:
            w.unless(b.icmp_unsigned("!=", keywords, constant(0)), mismatch)
            number = w.at(b.add(names, constant(16)))
            w.unless(w.same(number, w.load(keywords)), mismatch)
            with w.times(number) as i:
                own = w.load(b.add(names, constant(24)), i)
                w.unless(w.same(own, w.load(keywords, b.add(i, constant(1)))), mismatch)


def _record(w: Words, site: Any, args: Any, count: Any, names: Any) -> None:
    """Where the arguments are traced in a way that is known, return what recording gives."""
    b = w.b
    traced = w.load(site, SITE["traced"])
    known = b.icmp_unsigned("!=", traced, constant(0))
    with b.if_then(b.and_(known, w.same(names, constant(0)))):
        found = w.call(w.load(site, SITE["record_call"]), traced, args, count)
        with b.if_then(b.icmp_unsigned("!=", found, constant(0))):
            b.ret(found)


def _call_of_numbers(w: Words, descriptor: Any, args: Any, mismatch: Any) -> None:
    """Where a descriptor has a function for it all, return its result."""
    b = w.b
    whole = w.load(descriptor, DESCRIPTOR["numbers"])
    with b.if_then(b.icmp_unsigned("!=", whole, constant(0))):
        result = w.call(whole, args, w.load(descriptor, DESCRIPTOR["numbers_table"]))
        w.unless(b.icmp_unsigned("!=", result, constant(0)), mismatch)
        b.ret(result)
        # What follows in this branch is never reached.
        b.position_at_end(w.function.append_basic_block())


def _check_nodes(w: Words, descriptor: Any, args: Any, objects: Any, mismatch: Any) -> None:
    b = w.b
    nodes = w.load(descriptor, DESCRIPTOR["nodes"])
    with w.times(w.load(descriptor, DESCRIPTOR["node_count"])) as i:
        node = b.add(nodes, b.mul(i, constant(8 * len(NODE))))

        def field(name: str) -> Any:
            return w.load(node, NODE[name])

        found = w.variable(constant(0))
        key = field("key")
        after = w.function.append_basic_block("fetched")
        fetch = b.switch(field("fetch"), mismatch)
        for number in range(4):
            block = w.function.append_basic_block()
            fetch.add_case(constant(number), block)
            b.position_at_end(block)
            if number == 0:
                value = w.load(args, key)
            else:
                parent = w.load(objects, field("parent"))
                items = b.add(parent, constant(24))
                value = (
                    w.load(items, key)
                    if number == 1
                    else w.load(w.at(items), key)
                    if number == 2
                    else w.py("PyDict_GetItem", parent, key)
                )
            b.store(value, found)
            b.branch(after)
        b.position_at_end(after)
        value = b.load(found)
        w.unless(b.icmp_unsigned("!=", value, constant(0)), mismatch)
        w.store(value, objects, i)
        kind = w.at(b.add(value, constant(8)))
        done = w.function.append_basic_block("checked")
        check = b.switch(field("check"), mismatch)
        for number, name in enumerate(("PyTuple_Type", "PyList_Type", "PyDict_Type")):
            block = w.function.append_basic_block()
            check.add_case(constant(number), block)
            b.position_at_end(block)
            w.unless(w.same(kind, w.load(w.api, API[name])), mismatch)
            length = w.py("PyDict_Size", value) if number == 2 else w.at(b.add(value, constant(16)))
            w.unless(w.same(length, field("size")), mismatch)
            b.branch(done)
        block = w.function.append_basic_block("array")
        check.add_case(constant(3), block)
        b.position_at_end(block)
        _check_array(w, value, kind, field, mismatch)
        b.branch(done)
        block = w.function.append_basic_block("scalar")
        check.add_case(constant(4), block)
        b.position_at_end(block)
        w.unless(b.or_(w.same(kind, field("type")), w.same(kind, field("other"))), mismatch)
        b.branch(done)
        b.position_at_end(done)


def _check_array(w: Words, value: Any, kind: Any, field: Any, mismatch: Any) -> None:
    b = w.b
    w.unless(w.same(kind, w.load(w.api, API["PyArray_Type"])), mismatch)
    w.unless(w.same(w.at(b.add(value, constant(56))), field("type")), mismatch)
    nd = b.zext(w.at(b.add(value, constant(24)), I32), I64)
    w.unless(w.same(nd, field("nd")), mismatch)
    flags = w.at(b.add(value, constant(64)), I32)
    wanted = ir.Constant(I32, CONTIGUOUS_AND_ALIGNED)
    w.unless(b.icmp_unsigned("==", b.and_(flags, wanted), wanted), mismatch)
    dims, expected = w.at(b.add(value, constant(32))), field("dims")
    with w.times(nd) as axis:
        w.unless(w.same(w.load(dims, axis), w.load(expected, axis)), mismatch)


def _check_reused(w: Words, descriptor: Any, objects: Any, mismatch: Any) -> None:
    """Arrays that results are written into may be written, and overlap no other argument."""
    b = w.b
    outs, nodes = (w.load(descriptor, DESCRIPTOR[name]) for name in ("outs", "nodes"))
    with w.times(w.load(descriptor, DESCRIPTOR["out_count"])) as i:
        out = b.add(outs, b.mul(i, constant(8 * len(OUT))))
        with b.if_then(w.same(w.load(out, OUT["kind"]), constant(REUSED))):
            own = w.load(out, OUT["nd"])
            array = w.load(objects, own)
            flags = b.zext(w.at(b.add(array, constant(64)), I32), I64)
            w.unless(
                b.icmp_unsigned("!=", b.and_(flags, constant(WRITEABLE)), constant(0)), mismatch
            )
            begin = w.at(b.add(array, constant(16)))
            size = NODE["size"]
            end = b.add(begin, w.load(b.add(nodes, b.mul(own, constant(8 * len(NODE)))), size))
            with w.times(w.load(descriptor, DESCRIPTOR["node_count"])) as k:
                node = b.add(nodes, b.mul(k, constant(8 * len(NODE))))
                is_array = w.same(w.load(node, NODE["check"]), constant(3))
                with b.if_then(b.and_(is_array, b.icmp_unsigned("!=", k, own))):
                    first = w.at(b.add(w.load(objects, k), constant(16)))
                    behind = b.icmp_unsigned(">=", first, end)
                    before = b.icmp_unsigned("<=", b.add(first, w.load(node, size)), begin)
                    w.unless(b.or_(behind, before), mismatch)


def _run(w: Words, descriptor: Any, objects: Any, busy: Any) -> None:
    b = w.b
    place = b.inttoptr(b.add(descriptor, constant(8 * DESCRIPTOR["slots"])), I64.as_pointer())
    slots = b.atomic_rmw("xchg", place, constant(0), "acquire")
    w.unless(b.icmp_unsigned("!=", slots, constant(0)), busy)
    release = b.icmp_unsigned("!=", w.load(descriptor, DESCRIPTOR["release"]), constant(0))
    _bind_inputs(w, descriptor, objects, slots, release)
    out_count = w.load(descriptor, DESCRIPTOR["out_count"])
    made = w.scratch(out_count)
    restore = _change_handler(w, w.load(descriptor, DESCRIPTOR["handler"]))
    failed = _allocate(w, descriptor, objects, made, slots)
    restore()
    run_type = ir.FunctionType(ir.VoidType(), [I64.as_pointer(), I64, I64.as_pointer()])
    run_steps = b.module.globals["run_steps"]
    assert run_steps.function_type == run_type

    def run() -> None:
        steps = w.load(descriptor, DESCRIPTOR["steps"])
        b.call(
            run_steps,
            [
                b.inttoptr(steps, I64.as_pointer()),
                w.load(descriptor, DESCRIPTOR["step_count"]),
                b.inttoptr(slots, I64.as_pointer()),
            ],
        )

    with b.if_else(release) as (long, short):
        with long:
            state = w.py("PyEval_SaveThread")
            run()
            w.py("PyEval_RestoreThread", state, result=ir.VoidType())
            _release_inputs(w, descriptor, objects)
        with short:
            run()
    refused = w.function.append_basic_block("refused")
    status = w.load(descriptor, DESCRIPTOR["status"])
    w.unless(w.same(w.at(status), constant(0)), refused)
    _wrap_scalars(w, descriptor, made, out_count, slots)
    b.store_atomic(slots, place, "release", 8)
    b.ret(_assemble(w, descriptor, made))
    b.position_at_end(failed)
    restore()
    b.store_atomic(slots, place, "release", 8)
    b.ret(constant(0))
    b.position_at_end(refused)  # an index was out of bounds: the fallback raises the error
    w.store(constant(0), status)
    _drop(w, descriptor, made, out_count)
    b.store_atomic(slots, place, "release", 8)
    b.branch(busy)


def _change_handler(w: Words, handler: Any) -> Any:
    """Let NumPy allocate by a handler, if it is not 0; returns what emits going back."""
    b = w.b
    old = w.variable(constant(0))
    with b.if_then(b.icmp_unsigned("!=", handler, constant(0))):
        b.store(w.py("PyDataMem_SetHandler", handler), old)

    def restore() -> None:
        before = b.load(old)
        with b.if_then(b.icmp_unsigned("!=", before, constant(0))):
            ours = w.py("PyDataMem_SetHandler", before)
            for value in (ours, before):
                w.py("Py_DecRef", value, result=ir.VoidType())

    return restore


def _leaf_nodes(w: Words, descriptor: Any, objects: Any, act: Any) -> None:
    """`act(node, object)` for each node that is an array or a scalar."""
    b = w.b
    nodes = w.load(descriptor, DESCRIPTOR["nodes"])
    with w.times(w.load(descriptor, DESCRIPTOR["node_count"])) as i:
        node = b.add(nodes, b.mul(i, constant(8 * len(NODE))))
        with b.if_then(b.icmp_unsigned(">=", w.load(node, NODE["check"]), constant(3))):
            act(node, w.load(objects, i))


def _bind_inputs(w: Words, descriptor: Any, objects: Any, slots: Any, release: Any) -> None:
    b = w.b

    def bind(node: Any, value: Any) -> None:
        inside = b.add(value, constant(16))
        is_array = w.same(w.load(node, NODE["check"]), constant(3))
        w.store(b.select(is_array, w.at(inside), inside), slots, w.load(node, NODE["slot"]))
        # Without the GIL another thread may drop a list's items: hold them.
        with b.if_then(release):
            w.py("Py_IncRef", value, result=ir.VoidType())

    _leaf_nodes(w, descriptor, objects, bind)


def _release_inputs(w: Words, descriptor: Any, objects: Any) -> None:
    _leaf_nodes(
        w, descriptor, objects, lambda node, value: w.py("Py_DecRef", value, result=ir.VoidType())
    )


def _allocate(w: Words, descriptor: Any, objects: Any, made: Any, slots: Any) -> Any:
    """Output arrays; returns the block to go to when memory is exhausted."""
    b = w.b
    count = w.load(descriptor, DESCRIPTOR["out_count"])
    outs = w.load(descriptor, DESCRIPTOR["outs"])
    failed = w.function.append_basic_block("failed")
    with w.times(count) as i:
        out = b.add(outs, b.mul(i, constant(8 * len(OUT))))
        with b.if_then(w.same(w.load(out, OUT["kind"]), constant(0))):
            descr = w.load(out, OUT["descr"])
            w.py("Py_IncRef", descr, result=ir.VoidType())  # PyArray_Empty takes a reference
            array = w.py(
                "PyArray_Empty",
                b.trunc(w.load(out, OUT["nd"]), I32),
                w.load(out, OUT["dims"]),
                descr,
                ir.Constant(I32, 0),
            )
            w.unless(b.icmp_unsigned("!=", array, constant(0)), failed)
            w.store(array, made, i)
            w.store(w.at(b.add(array, constant(16))), slots, w.load(out, OUT["slot"]))
        with b.if_then(w.same(w.load(out, OUT["kind"]), constant(REUSED))):
            array = w.load(objects, w.load(out, OUT["nd"]))
            w.py("Py_IncRef", array, result=ir.VoidType())
            w.store(array, made, i)
            w.store(w.at(b.add(array, constant(16))), slots, w.load(out, OUT["slot"]))
    return failed


def _drop(w: Words, descriptor: Any, made: Any, count: Any) -> None:
    """Give output arrays up."""
    b = w.b
    outs = w.load(descriptor, DESCRIPTOR["outs"])
    with w.times(count) as i:
        out = b.add(outs, b.mul(i, constant(8 * len(OUT))))
        kind = w.load(out, OUT["kind"])
        is_array = b.or_(w.same(kind, constant(0)), w.same(kind, constant(REUSED)))
        with b.if_then(is_array):
            w.py("Py_DecRef", w.load(made, i), result=ir.VoidType())


def _wrap_scalars(w: Words, descriptor: Any, made: Any, count: Any, slots: Any) -> None:
    b = w.b
    outs = w.load(descriptor, DESCRIPTOR["outs"])
    with w.times(count) as i:
        out = b.add(outs, b.mul(i, constant(8 * len(OUT))))
        kind = w.load(out, OUT["kind"])
        done = w.function.append_basic_block("wrapped")
        choose = b.switch(kind, done)
        by_numpy = w.function.append_basic_block("by_numpy")
        choose.add_case(constant(1), by_numpy)
        b.position_at_end(by_numpy)
        address = w.load(slots, w.load(out, OUT["slot"]))
        w.store(w.py("PyArray_Scalar", address, w.load(out, OUT["descr"]), constant(0)), made, i)
        b.branch(done)
        for number, value_type in ((2, I64), (3, I32)):
            block = w.function.append_basic_block("scalar")
            choose.add_case(constant(number), block)
            b.position_at_end(block)
            value = w.at(w.load(slots, w.load(out, OUT["slot"])), value_type)
            scalar = w.call(w.load(out, OUT["allocate"]), w.load(out, OUT["type"]), constant(0))
            w.unless(b.icmp_unsigned("!=", scalar, constant(0)), by_numpy)
            b.store(value, b.inttoptr(b.add(scalar, constant(16)), value_type.as_pointer()))
            w.store(scalar, made, i)
            b.branch(done)
        b.position_at_end(done)


def _assemble(w: Words, descriptor: Any, made: Any) -> Any:
    """The tree of results, by a program for a stack: pairs (operation, argument); operation 0
    pushes a leaf, 1 and 2 make a tuple or list of the topmost items, 3 a dict, whose keys follow
    the count at the argument's address."""
    b = w.b
    program = w.load(descriptor, DESCRIPTOR["program"])
    length = w.load(descriptor, DESCRIPTOR["program_count"])
    stack = w.scratch(b.add(length, constant(1)))
    top = w.variable(constant(0))
    with w.times(length) as i:
        operation = w.load(program, b.shl(i, constant(1)))
        argument = w.load(program, b.add(b.shl(i, constant(1)), constant(1)))
        done = w.function.append_basic_block("pushed")
        leaf = w.function.append_basic_block("leaf")
        choose = b.switch(operation, leaf)
        b.position_at_end(leaf)
        w.store(w.load(made, argument), stack, b.load(top))
        b.store(b.add(b.load(top), constant(1)), top)
        b.branch(done)
        for number, name in ((1, "PyTuple_New"), (2, "PyList_New")):
            block = w.function.append_basic_block()
            choose.add_case(constant(number), block)
            b.position_at_end(block)
            tree = w.py(name, argument)
            items = b.add(tree, constant(24)) if number == 1 else w.at(b.add(tree, constant(24)))
            bottom = b.sub(b.load(top), argument)
            with w.times(argument) as k:  # the references move into the tree
                w.store(w.load(stack, b.add(bottom, k)), items, k)
            w.store(tree, stack, bottom)
            b.store(b.add(bottom, constant(1)), top)
            b.branch(done)
        block = w.function.append_basic_block()
        choose.add_case(constant(3), block)
        b.position_at_end(block)
        size = w.at(argument)
        tree = w.py("PyDict_New")
        bottom = b.sub(b.load(top), size)
        with w.times(size) as k:
            value = w.load(stack, b.add(bottom, k))
            w.py("PyDict_SetItem", tree, w.load(argument, b.add(k, constant(1))), value, result=I32)
            w.py("Py_DecRef", value, result=ir.VoidType())
        w.store(tree, stack, bottom)
        b.store(b.add(bottom, constant(1)), top)
        b.branch(done)
        b.position_at_end(done)
    return w.load(stack, 0)
