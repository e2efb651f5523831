"""The report of a dynamic run, and how many batches a schedule makes."""

import numpy as np
import pytest
from tests.batching.models import minibatches, parameters, tree_loss

import wengert as wg


def reported(strategy, compiled=True):
    rng = np.random.default_rng(3)
    p = parameters(rng)
    trees = minibatches(rng)["trees"][1]
    with wg.autobatching("always", strategy) as reports:
        wg.grad(lambda p: sum(tree_loss(p, t, compiled) for t in trees))(p)
    return reports[-1], trees


def height(tree):
    return 0 if isinstance(tree, int) else 1 + max(height(t) for t in tree)


def subtrees(tree):
    return {tree} if isinstance(tree, int) else {tree}.union(*map(subtrees, tree))


def test_a_batch_of_cells_for_each_level_of_the_trees():
    report, trees = reported("agenda")
    cells = len(set().union(*map(subtrees, trees)))  # equal ones are computed once
    levels = 1 + max(height(t) for t in trees)
    assert report.by_operator["call"] == (cells, levels)
    assert report.batched
    assert sum(b.nodes for b in report.batches) == report.nodes
    assert set(report.batch_of.values()) == set(range(len(report.batches)))
    operators = [e[0].name for e in report.graph.entries]
    drawn = [operators[k] for k in report.batch_of]  # also what is merged with others
    assert drawn.count("call") == operators.count("call") > cells
    assert drawn.count("add") == operators.count("add")
    assert all("native" in b.ran for b in report.batches if b.operator == "call")
    assert set(report.seconds) == {"scheduling", "placing", "forward", "backward"}
    assert f"call: {cells} nodes in {levels} batches" in str(report)


def test_the_agenda_waits_with_what_follows_the_trees():
    agenda, _ = reported("agenda")
    depth, _ = reported("depth")
    assert len(agenda.batches) < len(depth.batches)
    assert agenda.nodes == depth.nodes


def test_plans_are_found_again():
    @wg.compile
    def cell(w, x):
        return np.tanh(w * x) + 1.5

    def run(rounds):
        def loss(w):
            total = 0.0
            for k in range(10):
                x = w + k
                for _ in range(rounds):
                    x = cell(w, x)
                total += np.sum(x)
            return total

        with wg.autobatching("always") as reports:
            wg.grad(loss)(np.linspace(0.0, 1.0, 13))
        return reports[-1]

    first, second = run(3), run(4)
    assert first.plans[1] >= 1
    assert second.plans == (sum(first.plans), 0)
    assert f"plans: {second.plans[0]} found again, 0 made" in str(second)


def test_a_chain_is_not_batched():
    def chain(x):
        for _ in range(100):
            x = np.sin(x) * 1.5
        return np.sum(x)

    with wg.autobatching() as reports:
        wg.grad(chain)(np.ones(4))
    assert not reports[-1].batched


def test_a_wrong_mode_is_named():
    with pytest.raises(wg.errors.ArgumentError, match="sometimes"), wg.autobatching("sometimes"):
        pass
    with (
        pytest.raises(wg.errors.ArgumentError, match="widest"),
        wg.autobatching("always", "widest"),
    ):
        pass


def test_the_merged_graph_is_drawn_with_the_number_of_its_batch(tmp_path):
    report, _ = reported("agenda")
    path = tmp_path / "merged.svg"
    picture = report.to_svg(path)
    assert path.read_text() == picture == report._repr_svg_()
    assert f"{report.nodes} nodes in {len(report.batches)} batches" in picture
    drawn = [k for k in report.batch_of if f"<title>%{k}: " in picture]
    assert drawn
    for k in drawn:
        assert f" [{report.batch_of[k]}]</text>" in picture.split(f"<title>%{k}: ")[1][:700]
