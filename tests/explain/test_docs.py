"""The command and the pictures of docs/explaining.md; pytest runs its examples by itself."""

import re

from tests.explain.test_page_support import ROOT

from wengert import cli

PAGE = ROOT / "docs" / "explaining.md"


def test_the_command_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (line,) = re.findall(r"^\$ wengert (.*)$", PAGE.read_text(encoding="utf-8"), re.M)
    formula, rest = re.fullmatch(r'explain "(.*)" (.*)', line).groups()
    assert cli.main(["explain", formula, *rest.split()]) == 0
    assert (tmp_path / "page.html").exists()


def test_the_pictures_exist():
    for name in re.findall(r"\]\((images/[^)]+)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / name).exists(), name
