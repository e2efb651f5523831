"""Schedules: their ends, their middle, and what they refuse."""

import itertools
import math

import pytest

from wengert import optim
from wengert.errors import ArgumentError


def test_constant():
    assert [optim.constant(0.3)(step) for step in (0, 1, 10**6)] == [0.3] * 3


def test_exponential_decay_multiplies_over_each_period():
    schedule = optim.exponential_decay(2.0, steps=5, factor=0.1)
    for step in range(12):
        assert schedule(step + 5) == pytest.approx(0.1 * schedule(step))


def test_cosine_decay_falls_from_start_to_end():
    schedule = optim.cosine_decay(1.0, steps=20, end=0.2)
    values = [schedule(step) for step in range(30)]
    assert values[0] == 1.0
    assert values[10] == pytest.approx(0.6)
    assert values[20:] == [0.2] * 10
    assert all(later < earlier for earlier, later in itertools.pairwise(values[:21]))
    assert values[5] == pytest.approx(0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2)


def test_warmup_rises_then_falls():
    schedule = optim.warmup_cosine_decay(1.0, warmup_steps=4, steps=12, start=0.2, end=0.1)
    values = [schedule(step) for step in range(14)]
    assert values[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert max(values) == values[4]
    assert values[12:] == pytest.approx([0.1, 0.1])


def test_piecewise_constant_changes_at_its_boundaries():
    schedule = optim.piecewise_constant([3.0, 2.0, 1.0], [2, 4])
    assert [schedule(step) for step in range(6)] == [3.0, 3.0, 2.0, 2.0, 1.0, 1.0]


def test_values_are_python_numbers():
    schedules = [
        optim.constant(0.1),
        optim.exponential_decay(0.1, 10, 0.5),
        optim.cosine_decay(0.1, 10),
        optim.warmup_cosine_decay(0.1, 5, 10),
    ]
    assert {type(schedule(step)) for schedule in schedules for step in (0, 3, 20)} == {float}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.cosine_decay(0.1, 0), "steps must be a positive number of updates, got 0"),
        (lambda: optim.exponential_decay(0.1, -5, 0.5), "steps must be a positive number"),
        (lambda: optim.exponential_decay(0.1, 5, 0.0), "factor must be positive"),
        (lambda: optim.warmup_cosine_decay(0.1, 0, 10), "warmup_steps must be"),
        (lambda: optim.warmup_cosine_decay(0.1, 10, 10), "steps - warmup_steps must be"),
        (lambda: optim.piecewise_constant([1.0], [5]), "got 1 values and 1 boundaries"),
        (lambda: optim.piecewise_constant([1.0, 2.0, 3.0], [5, 5]), "boundaries must rise"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
