"""`wengert train`, as a user runs it: what it prints, writes and refuses."""

import re

import numpy as np
import pytest

from wengert.cli import main


def run(capsys, *arguments):
    status = main(["train", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_digits_reach_97_percent(capsys, tmp_path):
    plot = tmp_path / "digits.png"
    status, out, err = run(capsys, "digits", "--plot", plot)
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "digits: 1,347 examples to learn from, 450 held out"
    assert lines[1] == "network: 64 -> 128 -> 10 units, 9,610 parameters"
    checked = re.fullmatch(
        r"gradient check: 500 partials against central differences, "
        r"largest relative difference (\d\.\de-\d+)",
        lines[2],
    )
    assert float(checked[1]) < 1e-6
    assert float(re.fullmatch(r"test accuracy: (\d+\.\d) %", lines[-1])[1]) >= 97.0
    assert "training: 100%" in err, "a progress bar"
    assert plot.read_bytes().startswith(b"\x89PNG")


QUICK = ("--epochs", 2, "--hidden", "12,8", "--batch", 64, "--learning-rate", 0.01)


def test_the_seed_decides_everything(capsys):
    outputs = [run(capsys, "digits", *QUICK, "--seed", seed)[1] for seed in (1, 1, 2)]
    assert outputs[0] == outputs[1] != outputs[2]
    assert "64 -> 12 -> 8 -> 10 units" in outputs[0]


@pytest.fixture
def npz(tmp_path):
    """Images in MNIST's form: a bright row whose place is the label."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200).astype(np.uint8)
    images = rng.integers(0, 100, (200, 28, 28), dtype=np.uint8)
    images[np.arange(200), labels * 7] += 150
    path = tmp_path / "rows.npz"
    np.savez(
        path, x_train=images[:150], y_train=labels[:150], x_test=images[150:], y_test=labels[150:]
    )
    return path


def test_data_from_a_file(capsys, npz, tmp_path):
    plot = tmp_path / "rows.svg"
    status, out, _ = run(capsys, "digits", "--data", npz, *QUICK, "--epochs", 40, "--plot", plot)
    assert status == 0
    assert out.startswith("rows.npz: 150 examples to learn from, 50 held out")
    assert "784 -> 12 -> 8 -> 4 units" in out
    assert float(out.split("test accuracy: ")[1].split()[0]) > 80.0
    assert "<svg" in plot.read_text()


def test_a_bad_file_is_an_error_of_one_line(capsys, tmp_path):
    status, out, err = run(capsys, "digits", "--data", tmp_path / "none.npz")
    assert (status, out) == (2, "")
    assert err.startswith("wengert: error: ")
    assert "there is no such file" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("loss.txt", "must end in .png, .svg, .pdf"),
        ("loss", "must end in"),
        ("nowhere/loss.png", "there is no folder"),
        ("folder.png", "it is a folder"),
    ],
)
def test_a_plot_that_cannot_be_written_is_refused_before_training(capsys, tmp_path, name, message):
    (tmp_path / "folder.png").mkdir()
    status, out, err = run(capsys, "digits", "--plot", tmp_path / name)
    assert (status, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "--epochs: must be 1 or more, got '0'"),
        (["--epochs", "many"], "--epochs: must be an integer, got 'many'"),
        (["--batch", "-3"], "--batch: must be 1 or more"),
        (["--hidden", "32,,8"], "--hidden: must be an integer, got ''"),
        (["--hidden", "0"], "--hidden: must be 1 or more"),
        (["--learning-rate", "nan"], "--learning-rate: must be positive and finite"),
        (["--learning-rate", "fast"], "--learning-rate: must be a number, got 'fast'"),
        (["--seed", "-1"], "--seed: must be from 0"),
        (["--unknown"], "unrecognized arguments: --unknown"),
    ],
)
def test_options_out_of_range_are_refused(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        main(["train", "digits", *arguments])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
