"""What is derived from graphs is remembered within bytes, however many structures come."""

import gc
import threading
import tracemalloc

import numpy as np

import wengert as wg
from wengert.transform import memo as module
from wengert.transform.memo import ENTRY_BYTES, Memo


class Value:
    """A value of a number of entries."""

    def __init__(self, entries):
        self.entries = entries

    def __len__(self):
        return self.entries


def memo(probation=4, kept=8, hashes=100):
    """A memo with room for so many entries."""
    return Memo(probation * ENTRY_BYTES, kept * ENTRY_BYTES, hashes)


def is_new(m, key, entries=1):
    """Whether the value of a key had to be made."""
    made = []
    m.get(key, lambda: made.append(key) or Value(entries))
    return bool(made)


def test_what_is_asked_for_again_is_the_same_value():
    m = memo()
    assert m.get("a", lambda: Value(1)) is m.get("a", lambda: Value(1))


def test_what_comes_once_takes_no_more_than_probation_and_pushes_out_nothing_kept():
    m = memo()
    assert is_new(m, "often")
    assert not is_new(m, "often")
    for k in range(1000):
        assert is_new(m, k)
        assert m.bytes <= (4 + 1) * ENTRY_BYTES
    assert not is_new(m, "often")


def test_what_comes_again_after_probation_is_made_once_more_and_kept():
    m = memo()
    for k in range(6):
        assert is_new(m, k)
    assert is_new(m, 0)
    for k in range(100, 110):
        is_new(m, k)
    assert not is_new(m, 0)


def test_what_is_kept_goes_when_it_was_not_used_for_longest():
    m = memo(kept=2)
    for k in (1, 2):
        is_new(m, k)
        is_new(m, k)
    assert not is_new(m, 1)
    is_new(m, 3)
    is_new(m, 3)
    assert not is_new(m, 1)
    assert is_new(m, 2)


def test_one_value_beyond_the_limit_is_held_until_the_next():
    m = memo(probation=4)
    assert is_new(m, "large", 100)
    assert not is_new(m, "large", 100)
    assert is_new(m, "other large", 100)
    assert is_new(m, "small")
    assert m.bytes <= (100 + 1) * ENTRY_BYTES


def test_hashes_are_bounded():
    m = memo(probation=1, hashes=10)
    for k in range(100):
        is_new(m, k)
    assert len(m._left) + len(m._left_before) <= 20
    assert is_new(m, 98)
    assert not is_new(m, 98)


def test_threads_get_one_value():
    m = memo(probation=1000, kept=1000)
    found = []

    def ask():
        found.extend([m.get(k, lambda: Value(1)) for k in range(200)])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 800
    assert m.bytes == 200 * ENTRY_BYTES


def test_gradients_of_many_structures_take_the_memory_of_the_probation(monkeypatch):
    probation = 400 * 2**10
    monkeypatch.setattr(module, "_memo", Memo(probation, 2**20, 100))
    rng = np.random.default_rng(0)
    functions = (np.sin, np.cos, np.tanh, np.exp)

    def run(choices):
        def loss(x):
            for k in choices:
                x = functions[k](x) * x
            return np.sum(x)

        wg.grad(loss)(np.ones(3))

    def runs(count):
        for choices in rng.integers(4, size=(count, 12)).tolist():
            run(choices)

    with wg.replaying("never"), wg.autobatching("never"):
        runs(50)
        tracemalloc.start()
        try:
            runs(50)
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            runs(200)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert module.memo_bytes() <= probation
    assert after - before < probation
