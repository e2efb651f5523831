"""The report of a dynamic run colours the operators of an explanation."""

import numpy as np
import pytest

import wengert as wg
from wengert.errors import ArgumentError
from wengert.explain.batches import schedule_of


def loss(w, x, lengths=(1, 3, 2)):
    def example(n):
        h = x + w * float(n)  # what is the same in several examples would be one node
        for _ in range(n):
            h = np.tanh(h * w + 0.5)
        return np.sum(h)

    return sum(example(n) for n in lengths)


def reported(f, *args):
    with wg.autobatching("always") as reports:
        wg.grad(f)(*args)
    return reports[-1]


def test_operators_of_one_batch_have_one_number():
    w, x = np.full(2, 0.5), np.ones(2)
    report, explanation = reported(loss, w, x), wg.explain(loss)(w, x)
    symbols = {op.index: op.symbol for op in explanation.operators}
    schedule = schedule_of(report, wg.trace(loss, w, x))
    assert set(schedule["batch"]) == set(symbols)
    tanh = [schedule["batch"][k] for k, symbol in symbols.items() if symbol == "tanh"]
    # Examples of 1, 3 and 2 steps: all three run the first together, two the second, one the third.
    assert sorted(tanh.count(b) for b in set(tanh)) == [1, 2, 3]
    for k, batch in schedule["batch"].items():
        assert (symbols[k] == "tanh") == schedule["names"][batch].endswith("tanh")
    assert "3 × tanh" in explanation.to_html(schedule=report)


def test_the_report_of_another_function_is_refused():
    x = np.ones(2)
    report = reported(lambda w: np.sum(np.sin(w) * w), x)
    with pytest.raises(ArgumentError, match="a run of 3 operators"):
        wg.explain(loss)(x, x).to_html(schedule=report)
