"""The command itself: help, version, errors, and that it imports only what it runs."""

import importlib.metadata
import subprocess
import sys
import types

import pytest

from wengert import cli
from wengert.errors import DataError


@pytest.fixture
def command(monkeypatch):
    """A subcommand `try` whose `run` is the test's."""
    module = types.ModuleType("tried")
    module.run = lambda arguments: 0
    module.add_arguments = lambda parser: parser.add_argument("--times", type=int, default=1)
    monkeypatch.setitem(sys.modules, "tried", module)
    monkeypatch.setitem(cli.SUBCOMMANDS, "try", ("tried", "a trial"))
    return module


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"wengert {importlib.metadata.version('wengert')}\n"


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for name, (_, text) in cli.SUBCOMMANDS.items():
        assert name in out
        assert text in out


@pytest.mark.parametrize("arguments", [[], ["learn"]])
def test_no_or_unknown_command(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_arguments_reach_the_command_and_its_status_comes_back(command):
    command.run = lambda arguments: arguments.times
    assert cli.main(["try"]) == 1
    assert cli.main(["try", "--times", "7"]) == 7


def test_help_of_a_command(capsys, command):
    with pytest.raises(SystemExit) as caught:
        cli.main(["try", "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: wengert try")
    assert "--times" in out


def test_our_errors_are_one_line_and_status_2(capsys, command):
    def run(arguments):
        raise DataError("the file is odd", hint="mend it", location="")

    command.run = run
    assert cli.main(["try"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "wengert: error: the file is odd. Hint: mend it.\n"


def test_a_programming_mistake_is_not_hidden(command):
    def run(arguments):
        raise ZeroDivisionError

    command.run = run
    with pytest.raises(ZeroDivisionError):
        cli.main(["try"])


def test_interruption(capsys, command):
    def run(arguments):
        raise KeyboardInterrupt

    command.run = run
    assert cli.main(["try"]) == 130
    assert capsys.readouterr().err == "wengert: interrupted\n"


def test_a_reader_that_leaves_early_is_no_error():
    code = "import sys; from wengert.cli import main; sys.exit(main(['train', 'digits', '--help']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)


def test_help_imports_neither_training_nor_plotting():
    code = (
        "import sys; from wengert.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'sklearn', 'matplotlib', 'tqdm', 'wengert.train'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_package_runs_as_a_module():
    result = subprocess.run(
        [sys.executable, "-m", "wengert", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert result.stdout.startswith("wengert ")
