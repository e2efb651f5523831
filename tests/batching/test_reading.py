"""Values that are read while a program records are computed in batches."""

import numpy as np
import pytest

import wengert as wg
import wengert.numpy as wnp
from wengert.batching import reading as module
from wengert.batching import runners
from wengert.capture import Recorder
from wengert.replay import alone, statistics

D = 6
W = np.random.default_rng(0).standard_normal((D, D)) / D


@pytest.fixture
def rounds(monkeypatch):
    """What was computed together: for each time the numbers of nodes of its batches."""
    found = []
    run, run_batch = module.Reader._run, module.Reader._run_batch

    def note_run(self):
        found.append([])
        run(self)

    def note_batch(self, kind, begin, end):
        found[-1].append(end - begin)
        run_batch(self, kind, begin, end)

    monkeypatch.setattr(module.Reader, "_run", note_run)
    monkeypatch.setattr(module.Reader, "_run_batch", note_batch)
    return found


def cell(w, h):
    return np.tanh(h @ w) + 0.1 * h


compiled_cell = wg.compile(cell)


def together(step, w, starts, rounds=5):
    """Examples that advance together; each reads a value of its own in each round."""
    states, total = list(starts), 0.0
    for _ in range(rounds):
        states = [step(w, h) for h in states]
        places = [int(np.argmax(h)) for h in states]
        total += sum(h[k] for h, k in zip(states, places, strict=True))
    return total


def starts(count):
    return list(np.random.default_rng(1).standard_normal((count, D)))


@pytest.mark.parametrize(
    ("step", "when"),
    [(cell, "always"), (compiled_cell, "always"), (compiled_cell, "when it pays")],
)
def test_the_first_example_to_read_finds_the_values_of_all(step, when, rounds):
    loss = wg.value_and_grad(lambda w: together(step, w, starts(24)))
    with wg.autobatching("never"):
        value, gradient = loss(W)
    assert not rounds
    with wg.autobatching(when):
        found, batched = loss(W)
    np.testing.assert_allclose(found, value)
    np.testing.assert_allclose(batched, gradient, atol=1e-12)
    assert [max(batches) for batches in rounds] == [24] * 5


def test_many_plain_operators_that_are_read_at_once(rounds):
    def loss(w):
        states = starts(24)
        for _ in range(3):
            states = [cell(w, h) for h in states]
            best = wg.stop_gradient(wnp.stack(states)).argmax(axis=1).tolist()
            states = [h * 1.5 if k else h for h, k in zip(states, best, strict=True)]
        return sum(np.sum(h) for h in states)

    found = wg.grad(loss)(W)
    assert len(rounds) == 3
    assert all(max(batches) == 24 for batches in rounds)
    with wg.autobatching("never"):
        np.testing.assert_allclose(found, wg.grad(loss)(W), atol=1e-12)


def test_a_branch_that_only_some_examples_take(rounds):
    def loss(w):
        states = starts(24)
        for _ in range(6):
            states = [compiled_cell(w, h) for h in states]
            states = [h if h[0] > 0 else h * 0.5 for h in states]
        return sum(np.sum(h) for h in states)

    found = wg.grad(loss)(W)
    # After both branches have been met, each round is read at once.
    assert all(max(batches) > 20 for batches in rounds[-2:])
    assert len(rounds) == 6
    with wg.autobatching("never"):
        np.testing.assert_allclose(found, wg.grad(loss)(W), atol=1e-12)


def test_native_code_gives_the_same(monkeypatch, rounds):
    monkeypatch.setattr(runners, "_OFTEN", 1)

    @wg.compile
    def step(w, h):
        return cell(w, h) * 1.5

    loss = wg.value_and_grad(lambda w: together(step, w, starts(24)))
    found, gradient = loss(W)
    assert rounds
    with wg.autobatching("never"):
        value, wanted = loss(W)
    np.testing.assert_allclose(found, value)
    np.testing.assert_allclose(gradient, wanted, atol=1e-12)


def test_an_example_that_nobody_reads_may_fail():
    def loss(x):
        matrices = [np.eye(3) * (k - 7.0) * np.sum(x) for k in range(20)]
        inverses = [np.linalg.inv(m) for m in matrices]
        return x[0] * inverses[0][0, 0] if inverses[1][0, 0] < 0 else x[1]

    with wg.autobatching("never"):
        wanted = wg.grad(loss)(np.ones(2))
    with wg.autobatching("always"):
        np.testing.assert_allclose(wg.grad(loss)(np.ones(2)), wanted)


def test_large_values_are_computed_when_they_are_asked_for(monkeypatch, rounds):
    monkeypatch.setattr(module, "_LARGE", 20)
    x = np.ones((5, 5))

    def loss(x):
        parts = [np.tanh(np.sin(x * (k + 1.0))) for k in range(40)]
        return np.sum(parts[0]) if parts[3][0, 0] > 0 else np.sum(parts[1])

    with wg.autobatching("always"):
        wg.grad(loss)(x)
    assert rounds[0] == [1, 1, 1, 1]


def test_reads_one_after_another_are_not_held_up(rounds):
    tapes = []

    def loss(x):
        for _ in range(200):
            x = np.sin(x) * 1.1
            if x[0] > 0:
                x = x * 0.9
        tapes.append(x._tape)
        return np.sum(x)

    wg.grad(loss)(np.ones(3))
    assert not rounds
    assert tapes[0]._patience > 100


def test_what_was_computed_singly_is_not_computed_again(rounds):
    def loss(w):
        total = np.sum(w) * 0.0
        for h in starts(40):  # each example is read to its end before the next
            for _ in range(6):
                h = compiled_cell(w, h)
                total = total + (h[0] if h[0] > 0 else h[1])
        return total

    found = wg.grad(loss)(W)
    # A read is alone with what it needs: nothing else waits, so that batches do not pay.
    assert sum(map(sum, rounds)) < 20
    with wg.autobatching("never"):
        np.testing.assert_allclose(found, wg.grad(loss)(W), atol=1e-12)


def test_uses_read_one_by_one_run_as_native_code():
    @wg.compile
    def step(w, h):
        return cell(w, h) * 1.25

    def loss(w):
        h, total = starts(1)[0], 0.0
        for _ in range(alone._OFTEN + 20):
            h = step(w, h)
            total += h[0] if h[1] > 0 else h[2]
        return total

    before = statistics["native"]
    found, gradient = wg.value_and_grad(loss)(W)
    assert statistics["native"] - before >= 20  # earlier, where there is machine code for it
    with wg.replaying("never"):
        before = statistics["native"]
        value, wanted = wg.value_and_grad(loss)(W)
        assert statistics["native"] == before
    np.testing.assert_allclose(found, value)
    np.testing.assert_allclose(gradient, wanted, atol=1e-12)


def test_other_tapes_compute_singly(rounds):
    with wg.autobatching("always"):
        wg.jvp(lambda w: together(cell, w, starts(24)), (W,), (W,))
    assert not rounds
    assert Recorder.together


@wg.compile
def compiled_pair(w, a, b):
    return np.tanh(a @ w + b), a * b


def wandering(w, rng, examples, steps):
    """Examples take random ways: compiled functions of two results, views with gaps and without,
    single operators, numbers and arrays of their own; some read a value now and then."""
    states = [w[int(rng.integers(D))] for _ in range(examples)]
    total = 0.0
    for _ in range(steps):
        following = []
        for h in states:
            choice = int(rng.integers(7))
            if choice == 0:
                h = compiled_cell(w, h)
            elif choice == 1:
                h, c = compiled_pair(w, h, w[int(rng.integers(D))])
                total = total + c[1]
            elif choice == 2:
                h = compiled_cell(w, np.concatenate([h[D // 2 :], h[: D // 2]]))
            elif choice == 3:
                h = compiled_cell(w, np.stack([h, 0.5 * h]).T[:, 1])
            elif choice == 4:
                h = compiled_cell(w, h[::-1] * rng.standard_normal(D))
            elif choice == 5:
                h = np.reshape(np.reshape(compiled_cell(w, h), (2, D // 2)).T, (D,))
            else:
                h = compiled_cell(w, np.reshape(h, (2, D // 2))[1, 0] + rng.standard_normal(D))
            following.append(h)
        states = following
        for h in states:
            if rng.integers(3) == 0:
                total = total + (h[0] if h[int(rng.integers(D))] > 0 else h[1] * h[2])
    return total + sum(np.sum(h) for h in states)


@pytest.mark.parametrize("seed", range(6))
def test_programs_that_read_here_and_there(seed, rounds):
    def loss(w):
        return wandering(w, np.random.default_rng(seed), examples=12, steps=8)

    with wg.autobatching("never"):
        value, gradient = wg.value_and_grad(loss)(W)
    for when in ("when it pays", "always"):
        with wg.autobatching(when):
            found, batched = wg.value_and_grad(loss)(W)
        np.testing.assert_allclose(found, value)
        np.testing.assert_allclose(batched, gradient, atol=1e-12)
    assert max(map(max, rounds)) > 2


def test_what_is_read_has_the_values_that_the_program_has():
    """Each value that is read is the one that NumPy computes."""
    rng = np.random.default_rng(3)
    weights = rng.standard_normal((D, D)) / D
    xs = rng.standard_normal((20, D))

    def program(w, step, read):
        states = list(xs)
        for _ in range(4):
            states = [step(w, h) for h in states]
            for h in states:
                read(h)
            states = [h.reshape(2, D // 2).T.reshape(D) for h in states]
        return sum(np.sum(h) for h in states)

    wanted, found = [], []
    program(weights, cell, wanted.append)
    wg.grad(lambda w: program(w, compiled_cell, lambda h: found.append(np.array(h._value()))))(
        weights
    )
    np.testing.assert_allclose(found, wanted)


def test_many_entries_between_reads_make_room(rounds):
    def loss(w):
        states = starts(300)
        for _ in range(5):
            states = [compiled_cell(w, h) for h in states]
        total = sum(h[k % D] for k, h in enumerate(states) if states[k][0] > 0)
        states = [compiled_cell(w, h) for h in states for _ in range(3)]
        return total + sum(np.sum(h) for h in states if h[1] > 0)

    found = wg.grad(loss)(W)
    assert [max(batches) for batches in rounds] == [300, 900]
    with wg.autobatching("never"):
        np.testing.assert_allclose(found, wg.grad(loss)(W), atol=1e-12)


def test_values_that_were_computed_singly_before_are_used():
    def loss(w):
        states = [np.sin(h) for h in starts(12)]
        first = states[0] @ w
        total = 1.0 if first[0] > 0 else 2.0
        states = [compiled_cell(w, h * first) for h in states]
        return sum(total * np.sum(h) for h in states if h[0] > 0)

    found = wg.grad(loss)(W)
    with wg.autobatching("never"):
        np.testing.assert_allclose(found, wg.grad(loss)(W), atol=1e-12)
