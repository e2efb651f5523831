"""The counts of docs/memory-counts.md."""

import numpy as np
import pytest

from wengert.explain import explain


def products(*xs):
    h = np.exp(xs[0])
    for x in xs[1:]:
        h = h * x
    return h


def four(counts):
    return (counts.accumulation, counts.tape, counts.total, counts.multiplications)


def test_three_operators_in_a_row_hold_three_and_two():
    forward, reverse = explain(products)(0.5, 1.5, 2.5).memory()
    assert four(forward) == (3, 0, 3, 3)
    assert four(reverse) == (2, 2, 3, 3)


@pytest.mark.parametrize("n", [3, 4, 7, 20, 64])
def test_n_operators_in_a_row(n):
    forward, reverse = explain(products)(*[1.0 + k / n for k in range(n)]).memory()
    assert four(forward) == (n, 0, n, n * (n - 1) // 2)
    assert four(reverse) == (2, n - 1, n, 2 * n - 3)


def test_one_operator():
    forward, reverse = explain(np.exp)(1.0).memory()
    assert four(forward) == (1, 0, 1, 0)
    assert four(reverse) == (1, 1, 1, 0)


def test_one_direction_along_a_chain_holds_one_number():
    def chain(x):
        for _ in range(30):
            x = np.sin(x)
        return x

    forward, reverse = explain(chain)(0.5).memory()
    assert four(forward) == (1, 0, 1, 29)
    assert reverse.accumulation == 1
    assert reverse.multiplications == 29


def test_many_outputs_of_one_input_turn_the_tables():
    def f(x):
        found = []
        for _ in range(10):
            x = np.sin(x)
            found.append(x)
        return found

    forward, reverse = explain(f)(0.5).memory()
    assert forward.accumulation == 1
    assert reverse.accumulation == 10
    assert reverse.multiplications == 45


def test_what_lies_on_no_path_does_not_count():
    def f(x):
        np.exp(x)
        return x * np.exp(wengert_constant(x))

    def wengert_constant(x):
        return np.floor(x) + 2.0

    forward, reverse = explain(f)(0.5).memory()
    assert four(forward) == (1, 0, 1, 0)
    assert four(reverse) == (1, 1, 1, 0)


def test_a_masked_edge_does_not_count():
    taken = explain(lambda x: np.where(x > 0, np.sin(x), np.sqrt(x)))(1.0).memory()
    alone = explain(lambda x: np.where(x > 0, np.sin(x), 0.0))(1.0).memory()
    assert four(taken.reverse)[0] == four(alone.reverse)[0] == 1
    assert taken.forward.multiplications == alone.forward.multiplications == 1


def test_arrays_count_their_numbers():
    forward, reverse = explain(lambda x: np.sum(np.tanh(x)))(np.ones(5)).memory()
    # D(h1, x) is 5 by 5, D(h2, x) 1 by 5; both are held after the last step's predecessor.
    assert forward.accumulation == 25
    assert forward.multiplications == 5 * 5
    assert reverse.accumulation == 5
    assert reverse.tape == 5
    assert reverse.multiplications == 5


def test_bytes_follow_the_dtype():
    forward, reverse = explain(lambda x: np.sin(np.cos(x)))(np.float32(0.5)).memory()
    assert forward.accumulation_bytes == 4
    assert reverse.tape_bytes == 4 * reverse.tape


def test_text():
    assert "forward    reverse" in str(explain(products)(0.5, 1.5).memory())
