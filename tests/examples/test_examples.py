"""Every example runs, warns of nothing, and prints what it promises."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, *arguments):
    result = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / f"{name}.py", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_newton_finds_both_roots():
    out = run("newton")
    assert "x = 0.739085133215161" in out
    assert "eccentric anomaly: 101.542 degrees" in out


def test_while_loop_equals_the_closed_forms():
    rows = [line.split() for line in run("while_loop").splitlines()[1:]]
    assert len(rows) == 4
    for row in rows:
        _, root, slope, expected_slope, curvature, expected_curvature = map(float, row)
        assert slope == pytest.approx(expected_slope, abs=2e-8)
        assert slope == pytest.approx(0.5 / root, abs=2e-8)
        assert curvature == pytest.approx(expected_curvature, abs=2e-8)


def test_pendulum_is_found_within_the_noise():
    out = run("pendulum")
    length, damping = re.search(r"found: length ([\d.]+) m .* damping ([\d.]+) /s", out).groups()
    assert float(length) == pytest.approx(1.2, abs=0.01)
    assert float(damping) == pytest.approx(0.15, abs=0.01)


def test_train_digits_reaches_97_percent():
    last = run("train_digits").splitlines()[-1]
    assert float(re.fullmatch(r"test accuracy: ([\d.]+) %", last)[1]) >= 97.0


def test_tree_lstm_learns_from_its_own_gradient():
    # Few functions: whether it learns more than counting does is seen at full size.
    out = run("tree_lstm", "--functions", "32", "--epochs", "1").splitlines()
    assert re.fullmatch(r"24 functions, \d+ nodes to train on; 8 to test on", out[0])
    assert float(re.search(r"differ by (\S+) of", out[1])[1]) < 1e-6
    assert re.fullmatch(r"held-out functions .* Tree-LSTM [\d.]+ %, bag of nodes [\d.]+ %", out[-1])


def test_sequences_need_fewer_bits_after_training():
    last = run("sequences", "--lines", "32", "--epochs", "1").splitlines()[-1]
    before, after = re.search(r"([\d.]+) before, ([\d.]+) after", last).groups()
    assert float(after) < float(before)


def test_every_example_is_tested():
    tests = Path(__file__).read_text()
    for example in EXAMPLES.glob("*.py"):
        assert f'run("{example.stem}"' in tests
