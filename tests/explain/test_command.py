"""`wengert explain`: what it prints and writes."""

import io
import sys

import pytest

from wengert import cli

LOGISTIC = ["explain", "1/(exp(-(w*x+b))+1)", "x=1", "w=0", "b=0"]


def test_prints_the_explanation(capsys):
    assert cli.main(LOGISTIC) == 0
    out = capsys.readouterr().out
    for part in (
        "∂f/∂w       0.25   0.25",
        "∂f/∂b       0.25   0.25",
        "∂f/∂x       0      0",
        "w → h1 → h2 → h3 → h4 → h5 → h6",
        "Forward sweep for x",
        "Reverse sweep from h6",
        "∂f/∂w = x*exp(-(w*x + b))/(exp(-(w*x + b)) + 1)**2",
    ):
        assert part in out


def test_inputs_stand_in_the_order_given(capsys):
    cli.main(["explain", "a*b", "b=1", "a=2"])
    out = capsys.readouterr().out
    assert "f(b, a) = a·b" in out
    assert out.index("Forward sweep for b") < out.index("Forward sweep for a")


def test_writes_files(tmp_path, capsys):
    svg, page = tmp_path / "g.svg", tmp_path / "g.html"
    assert cli.main([*LOGISTIC, "--svg", str(svg), "--html", str(page)]) == 0
    assert svg.read_text(encoding="utf-8").startswith("<svg")
    assert "<html" in page.read_text(encoding="utf-8")
    assert f"wrote {svg}" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g.html", "g.svg"]


def test_latex(capsys):
    assert cli.main([*LOGISTIC, "--latex"]) == 0
    assert capsys.readouterr().out.startswith(r"\begin{align*}")


def test_opens_the_page(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    page = tmp_path / "g.html"
    assert cli.main([*LOGISTIC, "--html", str(page), "--open"]) == 0
    assert opened == [page.as_uri()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain", "x^2", "x=1"], "write ** for powers"),
        (["explain", "x*y", "x=1"], "the value of 'y' is missing"),
        (["explain", "x", "x=1", "y=2"], "does not use 'y'"),
        (["explain", "x", "x=1", "x=2"], "'x' was given two values"),
        (["explain", "x", "x=1", "--svg", "missing/folder/g.svg"], "can't write g.svg"),
    ],
)
def test_errors(capsys, arguments, message):
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_a_terminal_that_knows_only_ascii(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert cli.main([*LOGISTIC]) == 0
    sys.stdout.flush()
    text = raw.getvalue().decode("ascii")
    assert "dh6/dh5 = -1/h5^2 = -0.25" in text
    assert "w -> h1 -> h2" in text
    assert "?" not in text


def test_arrays(capsys):
    assert cli.main(["explain", "x*w", "x=[1,2,3]", "w=2"]) == 0
    out = capsys.readouterr().out
    assert "diagonal" in out
    assert "broadcast" in out
