"""Reading and scheduling by native code and by Python give the same programs and schedules."""

import numpy as np
import pytest
from tests.batching.models import minibatches, parameters

import wengert as wg
from wengert.batching import passes, scanning
from wengert.batching.fragments import library
from wengert.batching.places import Places
from wengert.batching.program import read_program
from wengert.batching.schedule import _numbered, schedule
from wengert.capture import capture
from wengert.codegen.engine import runtime_address


def recorded(kind, compiled):
    rng = np.random.default_rng(4)
    loss, examples = minibatches(rng)[kind]

    def total(p):
        return sum(loss(p, example, compiled) for example in examples)

    purpose = {"purpose": "grad", "floats_only": True, "calls": True}
    return capture(total, (parameters(rng),), {}, traced=(0,), **purpose)


def described(graph, wrt, strategy):
    program = read_program(graph, wrt)
    plan = schedule(program, strategy)
    families = [
        (f.name, f.members.tolist(), f.operands.tolist(), f.firsts.tolist())
        for f in program.families
    ]
    batches = [(b.signature, b.places.tolist()) for b in plan.batches]
    arrays = [x.tolist() for x in (program.starts, program.args, program.depth, program.active)]
    signatures = [(s.family, s.flags, s.shared, s.members.tolist()) for s in plan.signatures]
    found = families, batches, arrays, signatures, program.leaves, program.node_of.tolist()
    return found, placed(program, plan)


def placed(program, plan):
    families = [program.families[s.family] for s in plan.signatures]
    stacked = [
        [] if family.is_sum else [p for p, flag in enumerate(s.flags) if flag]
        for s, family in zip(plan.signatures, families, strict=True)
    ]
    places = Places(program, plan, stacked)
    columns = [c for s, operands in enumerate(stacked) for c in places.columns(s, operands)]
    names = ("rows", "begins", "is_range", "is_single", "is_active")
    return (
        places.row.tolist(),
        places.counts,
        places.leaves,
        [(c.is_whole, *[getattr(c, name).tolist() for name in names]) for c in columns],
    )


def test_columns_say_where_values_lie():
    found = recorded("trees", True)
    program = read_program(found.graph, found.graph.inputs[:1])
    plan = schedule(program)
    places = Places(program, plan, [[]] * len(plan.signatures))
    uses = np.bincount(program.args, minlength=len(program.producer))
    uses[program.outputs] += 1
    for s, (number, flags, _, _) in enumerate(plan.signatures):
        family = program.families[number]
        stacked = [] if family.is_sum else np.flatnonzero(flags).tolist()
        for p, column in zip(stacked, places.columns(s, stacked), strict=True):
            batches = [b.places for b in plan.batches if b.signature == s]
            values = [family.operands[own, p] for own in batches]
            rows = [places.row[own] for own in values]
            assert column.rows.tolist() == np.concatenate(rows).tolist()
            assert column.begins.tolist() == [own[0] for own in rows]
            assert column.is_range.tolist() == [(np.diff(own) == 1).all() for own in rows]
            assert column.is_single.tolist() == [(uses[own] == 1).all() for own in values]
            assert column.is_active.tolist() == [program.active[own].any() for own in values]
            assert column.is_whole == (np.diff(column.rows) == 1).all()


@pytest.mark.parametrize("strategy", ["agenda", "depth"])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", ["trees", "sequences", "lattices"])
def test_native_and_python_agree(kind, compiled, strategy, monkeypatch):
    runtime_address("run_steps")
    found = recorded(kind, compiled)
    wrt = found.graph.inputs[: sum(found.counts)]
    # The second time with the fragments that the first time has found.
    native = [described(found.graph, wrt, strategy) for _ in range(2)]
    library.clear()
    for module in (passes, scanning):
        monkeypatch.setattr(module, "is_started", lambda: False)
        monkeypatch.setattr(module, "_MANY", 10**9)
    assert [described(found.graph, wrt, strategy) for _ in range(2)] == native


def test_every_node_runs_after_its_operands():
    found = recorded("trees", True)
    program = read_program(found.graph, found.graph.inputs[:1])
    for strategy in ("agenda", "depth"):
        done = np.zeros(program.node_count, bool)
        for batch in schedule(program, strategy).batches:
            signature = schedule(program, strategy).signatures[batch.signature]
            members = program.families[signature.family].members[batch.places]
            for node in members.tolist():
                makers = program.producer[program.operands(node)]
                assert done[makers[makers >= 0]].all()
            assert not done[members].any()
            done[members] = True
        assert done.all()


def test_numbers_are_added_in_one_step_wherever_they_are_used_once():
    def loss(x):
        terms = [np.sin(x[k]) for k in range(5)]
        first = terms[0] + terms[1]
        total = (first - terms[2]) - (terms[3] - (terms[4] - x[0] - terms[0]))
        return total - total * first  # `total` and `first` are used elsewhere

    with wg.autobatching("always") as reports:
        value, gradient = wg.value_and_grad(loss)(np.linspace(0.1, 0.5, 5))
    with wg.autobatching("never"):
        wanted, expected = wg.value_and_grad(loss)(np.linspace(0.1, 0.5, 5))
    np.testing.assert_allclose(value, wanted)
    np.testing.assert_allclose(gradient, expected)
    sums = reports[-1].by_operator
    assert sums["add"][0] + sums["subtract"][0] == 3


def test_rows_of_arrays_of_any_rank_are_read_alike():
    """One row by its number is one kind, whatever the number; other slices keep their keys."""
    arrays = [np.ones((4,)), np.ones((4, 3)), np.ones((4, 3, 2))]

    def loss(arrays):
        a, b, c = arrays
        rows = [np.sum(x[k]) for x in (a, b, c) for k in (0, 1, 1, 3)]
        parts = [b[:, 1], b[1:2], b[2, 1:], b[::2], c[1, :, 0], c[1, 2], c[0, 0], np.sum(b.T[0])]
        return sum(rows) + sum(np.sum(part) for part in parts)

    purpose = {"purpose": "grad", "floats_only": True, "calls": True}
    graph = capture(loss, (arrays,), {}, traced=(0,), **purpose).graph
    native = scanning._scan_natively(graph)
    python = scanning.scan_by_python(graph)
    for name in scanning.Scanned._fields:
        assert np.array_equal(getattr(native, name), getattr(python, name)), name
    assert sorted(native.rows[native.rows >= 0].tolist()) == [0] * 4 + [1] * 6 + [3] * 3


def test_numbers_of_rows_do_not_divide_a_batch():
    x = np.random.default_rng(0).standard_normal((60, 3))

    def loss(w):
        return sum(np.tanh(row @ w)[k % 2] for k, row in enumerate(x))

    w = np.ones((3, 5))
    with wg.autobatching("always") as reports:
        found = wg.grad(loss)(w)
    assert reports[-1].by_operator["gather"] == (60, 1)
    with wg.autobatching("never"):
        np.testing.assert_allclose(found, wg.grad(loss)(w))


@pytest.mark.parametrize("most", [3, 1 << 40])
def test_rows_are_numbered_in_their_order(most, rng):
    keys = rng.integers(0, most, (50, 4))
    keys[25:] = keys[rng.integers(0, 25, 25)]
    found = _numbered(keys)
    wanted = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    assert np.array_equal(np.unique(found, return_inverse=True)[1].reshape(-1), wanted)
