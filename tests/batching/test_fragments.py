"""Sequences of operators that come again and again run as one node, and nothing else changes."""

import numpy as np
import pytest
from tests.batching.models import (
    D,
    head,
    lattice_loss,
    leaf,
    node,
    parameters,
    random_tree,
    sequence_loss,
    tree_loss,
)

import wengert as wg
from wengert.batching.fragments import LEAST_USES, Fragment, Library, library
from wengert.batching.kinds import kind_of
from wengert.batching.learning import find_parts
from wengert.graph import Type
from wengert.ops import TABLE


def close(found, wanted, tolerance):
    assert abs(found[0] - wanted[0]) <= tolerance * max(1.0, abs(wanted[0]))
    for key, expected in wanted[1].items():
        np.testing.assert_allclose(
            found[1][key], expected, rtol=tolerance, atol=tolerance * max(1.0, abs(expected).max())
        )


def fragments_in(report):
    return {name: n for name, (n, _) in report.by_operator.items() if "..." in name}


def draw(kind, rng, dtype):
    if kind == "trees":
        return [random_tree(rng, int(rng.integers(1, 9))) for _ in range(10)]
    if kind == "sequences":
        return [rng.standard_normal((int(rng.integers(1, 9)), D)).astype(dtype) for _ in range(10)]
    return [int(n) for n in rng.integers(1, 5, 10)]


LOSSES = {"trees": tree_loss, "sequences": sequence_loss, "lattices": lattice_loss}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("strategy", ["agenda", "depth"])
@pytest.mark.parametrize("kind", list(LOSSES))
def test_batched_equals_unbatched_whatever_is_known(kind, strategy, dtype):
    rng = np.random.default_rng(5)
    loss = LOSSES[kind]
    p = parameters(rng, dtype)
    tolerance = 1e-10 if dtype is np.float64 else 2e-4
    for number in range(4):
        examples = draw(kind, rng, dtype)
        f = wg.value_and_grad(lambda p, examples=examples: sum(loss(p, x) for x in examples))
        with wg.autobatching("always", strategy) as reports:
            found = f(p)
        with wg.autobatching("never"):
            wanted = f(p)
        close(found, wanted, tolerance)
        assert found[1]["W"].dtype == dtype
        assert bool(fragments_in(reports[-1])) is (number > 0)


def trees_in(rng, count=16):
    return [random_tree(rng, int(rng.integers(3, 9))) for _ in range(count)]


def test_a_plain_cell_becomes_one_node_per_use(rng):
    p = parameters(rng)
    with wg.autobatching() as reports:
        for _ in range(3):
            trees = trees_in(rng)
            wg.grad(lambda p, trees=trees: sum(tree_loss(p, t) for t in trees))(p)
    assert not fragments_in(reports[0])
    found = fragments_in(reports[2])
    (inner,) = (n for name, n in found.items() if name.startswith("concatenate"))
    (leaves,) = (n for name, n in found.items() if name.startswith("gather"))
    words = {t for tree in trees for t in leaves_of(tree)}
    assert inner == len({t for tree in trees for t in inner_of(tree)})  # equal nodes are one
    assert leaves == len(words)
    assert reports[2].nodes < 0.2 * reports[0].nodes
    assert any(batch.ran.startswith("native") for batch in reports[2].batches)


def leaves_of(tree):
    return [tree] if isinstance(tree, int) else [*leaves_of(tree[0]), *leaves_of(tree[1])]


def inner_of(tree):
    if isinstance(tree, int):
        return []
    return [tree, *inner_of(tree[0]), *inner_of(tree[1])]


def test_a_value_from_within_a_cell_may_be_used_outside(rng):
    """Another program uses what was private to a cell: it is another fragment."""
    p = parameters(rng)

    def loss(p, xs, asks):
        h = c = np.zeros(D)
        extra = 0.0
        for k, x in enumerate(xs):
            g = x @ p["W"] + h @ p["V"] + p["b"]
            c = 1.0 / (1.0 + np.exp(-g[:D])) * c + np.tanh(g[D:])
            h = np.tanh(c)
            if asks and k % 2:
                extra = extra + np.sum(g * g)
        return head(p, h, 0) + extra

    for asks in (False, False, True, True, False, True):
        xs = [rng.standard_normal((int(rng.integers(4, 9)), D)) for _ in range(10)]
        f = wg.value_and_grad(lambda p, xs=xs, asks=asks: sum(loss(p, x, asks) for x in xs))
        with wg.autobatching("always"):
            found = f(p)
        with wg.autobatching("never"):
            wanted = f(p)
        close(found, wanted, 1e-10)


def test_one_long_sequence_of_a_new_length(rng):
    """Its steps can't be batched, but they are a fragment each."""
    p = parameters(rng)
    for length in (40, 43, 41):
        xs = rng.standard_normal((length, D))
        f = wg.value_and_grad(lambda p, xs=xs: sequence_loss(p, xs))
        with wg.autobatching() as reports:
            found = f(p)
        with wg.autobatching("never"):
            wanted = f(p)
        close(found, wanted, 1e-10)
    assert reports[-1].batched
    assert sum(fragments_in(reports[-1]).values()) == 41


def test_infinities_and_nans_are_numpys(rng):
    """Only what keeps NumPy's values is rewritten: `log(sum(exp(x)))` overflows."""
    w = rng.standard_normal((D, D))

    def loss(w, xs):
        return sum(np.log(np.sum(np.exp(x @ w))) - np.sum(np.tanh(x @ w)) * 0.0 for x in xs)

    for scale in (1.0, 1.0, 1e4, 1.0):
        xs = [scale * rng.standard_normal(D) for _ in range(20)]
        with wg.autobatching("always"):
            found = wg.value_and_grad(loss)(w, xs)
        with wg.autobatching("never"):
            wanted = wg.value_and_grad(loss)(w, xs)
        np.testing.assert_allclose(found[0], wanted[0], rtol=1e-12)
        np.testing.assert_allclose(found[1], wanted[1], rtol=1e-9)


def test_second_order(rng):
    p = {key: x for key, x in parameters(rng).items() if key in "EWbUdC"}

    def squared(p, trees):
        inner = wg.grad(lambda p: sum(tree_loss(p, t) for t in trees))(p)
        return sum(np.sum(g * g) for g in inner.values())

    for _ in range(3):
        trees = trees_in(rng, 10)
        with wg.autobatching("always"):
            found = wg.value_and_grad(squared)(p, trees)
        with wg.autobatching("never"):
            wanted = wg.value_and_grad(squared)(p, trees)
        close(found, wanted, 1e-9)


def test_values_read_in_the_middle(rng):
    p = parameters(rng)

    def loss(p, tree):
        def encode(t):
            if isinstance(t, int):
                return leaf(p, p["E"][t])
            h, c = node(p, *encode(t[0]), *encode(t[1]))
            return (h, c) if h[0] > 0 else (c, h * 0.5)

        return head(p, encode(tree)[0], 1)

    for _ in range(4):
        trees = trees_in(rng)
        f = wg.value_and_grad(lambda p, trees=trees: sum(loss(p, t) for t in trees))
        with wg.autobatching("always"):
            found = f(p)
        with wg.autobatching("never"):
            wanted = f(p)
        close(found, wanted, 1e-10)


@pytest.mark.parametrize("when", ["always", "never"])
def test_results_that_must_not_depend_on_earlier_programs_do_not(when, rng):
    p = parameters(rng)
    trees = trees_in(rng)
    f = wg.value_and_grad(lambda p: sum(tree_loss(p, t) for t in trees))
    with wg.replaying(when), wg.autobatching("always") as reports:
        found = [f(p) for _ in range(3)]
    for value, gradient in found[1:]:
        assert value == found[0][0]
        for key in p:
            np.testing.assert_array_equal(gradient[key], found[0][1][key])
    assert not any(fragments_in(report) for report in reports)


def test_an_error_names_the_line_of_the_example(rng):
    table = rng.standard_normal((5, D))

    def loss(table, w, numbers, last):
        total = 0.0
        for number in [*numbers, last]:
            row = table[np.argmax(table[0] * 0.0) + number]  # this line
            total = total + np.sum(np.tanh(row @ w) * row)
        return total

    w = rng.standard_normal((D, D))
    for _ in range(3):
        with wg.autobatching("always"):
            wg.grad(loss)(table, w, rng.integers(0, 5, 30), 2)
    with wg.autobatching("always"), pytest.raises(IndexError, match=r"test_fragments\.py:\d+"):
        wg.grad(loss)(table, w, rng.integers(0, 5, 30), 7)


def test_what_is_remembered_is_bounded(rng):
    for number in range(100):
        shape = number + 2
        xs = [rng.standard_normal(shape) for _ in range(20)]
        with wg.autobatching("always"):
            wg.grad(lambda w, xs=xs: sum(np.sum(np.tanh(w * x) ** 3) for x in xs))(
                rng.standard_normal(shape)
            )
    assert len(library._known) <= 64


def test_what_is_used_is_forgotten_last():
    exp = kind_of((TABLE["exp"], (), (Type((3,), np.dtype(float)),)))
    fragments = [Fragment([exp] * n, [-1, *range(n - 1)], [n - 1]) for n in range(2, 90)]
    mine, longest = Library(), fragments[-1]
    mine.learn([id(exp)], [longest])
    mine.note_uses(longest, LEAST_USES)
    for fragment in fragments[:-1]:
        mine.learn([id(exp)], [fragment])
    kept = mine.among({id(exp): 0})
    assert longest in kept
    assert kept[0] is longest
    assert len(kept) < len(fragments)
    assert fragments[-2] in kept  # what came last
    assert fragments[0] not in kept


def test_looking_in_vain_becomes_rare(rng, monkeypatch):
    from wengert.batching import program

    looked = []
    learn = program.learn_fragments
    monkeypatch.setattr(program, "learn_fragments", lambda *a: looked.append(1) or learn(*a)[:0])
    with wg.autobatching("always"):
        for _ in range(40):
            trees = trees_in(rng)
            wg.grad(lambda p, trees=trees: sum(tree_loss(p, t) for t in trees))(parameters(rng))
    assert len(looked) <= 6


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        # A cell of three operators, and what follows the last one.
        ("abcabcabcabcxabcabcabcabcx", "abc abc abc abc x abc abc abc abc x"),
        # Two cells that share operators (s, m): where they stand tells them apart.
        ("psmqsmmpsmqsmmpsmpsmqsmmqsmmpsm", "psm qsmm psm qsmm psm psm qsmm qsmm psm"),
        ("abababab", "ab ab ab ab"),
        ("abcdefgh", "a b c d e f g h"),
        ("", ""),
    ],
)
def test_straight_parts(text, parts):
    symbols = np.array([ord(c) - ord("a") for c in text], np.int64)
    begins, numbers = find_parts(symbols, np.ones(len(text), bool))
    ends = np.append(begins[1:], len(text))
    found = [text[b:e] for b, e in zip(begins, ends, strict=True)] if text else []
    assert found == parts.split()
    for number in set(numbers.tolist()):
        assert len({part for part, n in zip(found, numbers, strict=True) if n == number}) == 1
    assert LEAST_USES > 1
