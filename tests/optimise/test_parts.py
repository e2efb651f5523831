"""The optimiser's parts: patterns, facts, folding, costs, the log."""

from __future__ import annotations

import numpy as np
import pytest
from tests.optimise.test_pipeline import graph_of

from wengert.capture import Recorder
from wengert.graph import CONSTANT, INPUT, Type
from wengert.ops import TABLE
from wengert.ops.transcendental import exp, log
from wengert.optimise import optimise
from wengert.optimise.builder import RuleIndex, _may_match
from wengert.optimise.cost import Cost, cost_table, entry_cost, graph_cost, quantity
from wengert.optimise.facts import is_not_negative
from wengert.optimise.folding import fold
from wengert.optimise.record import EDGES, Record, rule
from wengert.optimise.rules import LAST, RULES, rules_table
from wengert.optimise.terms import Family, constant, parameter, same_number, variable, variants

x, y = variable("x"), variable("y")


def test_patterns_are_written_with_operators():
    assert repr(log(exp(x) + 1.0)) == "log(add(exp(x), 1.0))"
    assert repr(2.0 * x - y / x) == "subtract(multiply(2.0, x), divide(y, x))"
    assert repr(TABLE["reduce_sum"](x, axes=parameter("A"))) == "reduce_sum(x, axes=A)"
    assert constant("a").kind == "constant"


def test_variants_swap_operands_of_commutative_operators():
    assert len(variants(x + y)) == 2
    assert len(variants(x + x)) == 1
    assert len(variants(x - y)) == 1
    assert len(variants((x * 1.0) + y)) == 4


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (1.0, 1, True),
        (0.0, -0.0, False),
        (-0.0, -0.0, True),
        (np.float32(2), 2.0, True),
        (np.nan, np.nan, False),
    ],
)
def test_numbers_are_compared_with_the_sign_of_zero(a, b, same):
    assert same_number(a, b) is same


@pytest.mark.parametrize(
    "wrong",
    [
        {"exact_in": "integers"},
        {"exact_in": "reals", "edges": "any"},
        {"exact_in": "floats", "edges": "range"},
    ],
)
def test_a_rule_must_say_what_it_changes(wrong):
    with pytest.raises(ValueError, match="rule bad"):
        rule("bad", x + 0.0, x, why="", **wrong)


def test_facts():
    tape = Recorder()
    v = tape.input(Type((3,), "f8"))
    sure = TABLE["reduce_sum"](TABLE["exp"](v), axes=(0,)) + 1.0
    assert is_not_negative(tape, sure._index)
    for unsure in (v, TABLE["relu"](v), sure - 1.0, sure * -1.0):
        assert not is_not_negative(tape, unsure._index)


def test_folding_is_bounded():
    big = np.arange(100.0)
    outer = (("spec", "i,j->ij"),)
    assert fold(TABLE["contract"], [big, big], outer, Type((100, 100), "f8")) is None
    assert fold(TABLE["broadcast_to"], [big], (("shape", (1, 100)),), Type((1, 100), "f8")) is None
    assert fold(TABLE["add"], [2.0, np.float64(3.0)], (), Type((), "f8")) == 5.0


def test_a_folded_constant_is_an_array_of_its_own():
    source = np.arange(6.0)
    made = fold(TABLE["reshape"], [source], (("shape", (2, 3)),), Type((2, 3), "f8"))
    assert not np.shares_memory(made, source)


def test_costs():
    f32 = Type((10, 20), "f4")
    assert entry_cost(TABLE["add"], (f32, f32), (), f32) == Cost(200, 2400)
    assert entry_cost(TABLE["reshape"], (f32,), (("shape", (200,)),), f32) == Cost(0, 0)
    spec = (("spec", "ij,jk->ik"),)
    types = (Type((2, 3), "f8"), Type((3, 4), "f8"))
    assert entry_cost(TABLE["contract"], types, spec, Type((2, 4), "f8")) == Cost(48, 8 * 26)
    assert Cost(1, 2) + Cost(3, 4) == Cost(4, 6)
    assert quantity(1_234_567) == "1.23 M"
    assert str(Cost(5, 2000)) == "5 flop, 2 kB"


def test_the_cost_of_a_graph_and_its_table():
    graph = graph_of(lambda a, b: TABLE["contract"](a, b, spec="ij,jk->ik") * 2.0, (8, 9), (9, 7))
    total = graph_cost(graph)
    assert total.flops == 2 * 8 * 9 * 7 + 8 * 7
    table = cost_table(graph)
    assert "contract" in table.splitlines()[0]
    assert table.splitlines()[-1] == f"total 5 entries: {total}"


def test_every_operator_has_a_cost():
    rng = np.random.default_rng(0)
    for op in TABLE.values():
        for operands, params in op.test_samples(rng, np.dtype("f8")):
            graph = graph_like(op, operands, params)
            cost = graph_cost(graph)
            assert cost.flops >= 0
            assert cost.bytes >= 0


def graph_like(op, operands, params):
    tape = Recorder()
    handles = [tape.input(Type(np.shape(v), np.asarray(v).dtype)) for v in operands]
    return tape.graph([op(*handles, **params)._index])


def test_every_operator_survives_optimisation():
    rng = np.random.default_rng(0)
    for op in TABLE.values():
        for operands, params in op.test_samples(rng, np.dtype("f8")):
            graph = graph_like(op, operands, params)
            made = optimise(graph).graph.verify()
            assert made.output_types == graph.output_types, op.name


def test_a_record_reads_as_a_sentence():
    record = Record(
        "simplify", "sum-of-sum", "one reduction", "reals", "range", "loss.py:3", "a", "b"
    )
    assert str(record) == f"sum-of-sum: a -> b (loss.py:3): one reduction [{EDGES['range']}]"
    assert "[" not in str(record._replace(edges="kept"))


def test_the_table_of_rules():
    lines = rules_table().splitlines()
    assert len(lines) == len(RULES) + len(LAST) + 2
    assert lines[1].count("|") == 6
    assert any(line.startswith("| log1p | `log(add(x, 1.0))` | reals |  |") for line in lines)


def test_dead_entries_are_mentioned():
    def f(v):
        TABLE["exp"](v)
        return v * 2.0

    made = optimise(graph_of(f, (3,)))
    assert made.counts() == {"dead": 1}
    assert "dead: 1 entries -> nothing: no output needs them" in str(made)


def test_the_rules_that_may_match_are_found_in_their_order():
    rules = (*RULES, *LAST)
    index = RuleIndex(rules)
    ops = sorted({r.left.op.name for r in rules if not isinstance(r.left.op, Family)})
    makers = [INPUT, CONSTANT, *(TABLE[name] for name in ops)]
    found = 0
    for name in ops:
        for heads in ((a, b) for a in makers for b in makers):
            given = heads[: TABLE[name].arity]
            plain = [
                (rule.name, pattern)
                for rule in rules
                if rule.left.op is TABLE[name]
                for pattern in rule.patterns
                if _may_match(pattern, given)
            ]
            own = index.candidates(TABLE[name], given)
            assert [(r.name, p) for r, p in own if not isinstance(p.op, Family)] == plain
            found += len(plain)
    assert found > 1000
