"""Large batches are divided where that was faster, and the other way is tried now and then."""

import numpy as np

import wengert as wg
from wengert.batching import native


def ways(sharing, n, alone, shared, count):
    """Which way each of a number of calls took, if they take these seconds."""
    taken = []
    for _ in range(count):
        way = sharing.is_worth_it(n)
        sharing.learn(n, bool(way), shared if way else alone)
        taken.append(bool(way))
    return taken


def test_the_faster_way_is_kept():
    for alone, shared in ((1.0, 0.5), (0.5, 1.0)):
        taken = ways(native._Sharing(), 100, alone, shared, 200)
        assert set(taken[:2]) == {True, False}
        assert taken.count(shared < alone) > 190


def test_a_change_is_noticed():
    sharing = native._Sharing()
    ways(sharing, 100, 1.0, 0.5, 50)
    assert ways(sharing, 100, 1.0, 20.0, 200).count(False) > 190
    assert ways(sharing, 100, 1.0, 0.5, 1000)[-1]
    # Other sizes are another matter.
    assert ways(sharing, 4000, 0.5, 1.0, 200).count(False) > 190


def test_results_do_not_depend_on_it(rng, monkeypatch):
    monkeypatch.setenv("WENGERT_THREADS", "3")
    w = rng.standard_normal((64, 64)) / 8.0
    xs = rng.standard_normal((90, 64))

    def run(way):
        with monkeypatch.context() as patch:
            patch.setattr(native, "_LEAST_WORK", 1)
            patch.setattr(native._Sharing, "is_worth_it", lambda self, n: way)
            cell = wg.compile(lambda w, x: np.tanh(x @ w) * x)
            loss = lambda w: sum(np.sum(cell(w, cell(w, w[0] * x))) for x in xs)  # noqa: E731
            with wg.autobatching("always"):
                return wg.value_and_grad(loss)(w)

    one, other, sequence = run(False), run(True), run(None)
    np.testing.assert_array_equal(sequence[0], one[0])
    np.testing.assert_array_equal(sequence[1], one[1])
    np.testing.assert_allclose(one[0], other[0], rtol=1e-12)
    np.testing.assert_allclose(one[1], other[1], rtol=1e-10, atol=1e-12)
