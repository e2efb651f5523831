"""The source tree is a line: every module imports from folders before its own, never after.

The order is data's way through the system, followed by what stands on top of it.
"""

import ast
from pathlib import Path

import pytest

import wengert

PACKAGE = Path(wengert.__file__).parent

LAYERS = (
    "errors",
    "graph",
    "ops",
    "run",
    "capture",
    "transform",
    "optimise",
    "codegen",
    "plan",
    "replay",
    "batching",
    "numpy",
    "random",
    "check",
    "explain",
    "compiling",
    "api",
    "nn",
    "optim",
    "train",
    "__init__",
    "cli",
    "__main__",
)

MOST_LINES = 500


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path):
    """The dotted parts of a module's name, without `wengert`: ops/math.py is ("ops", "math")."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts


def imported(tree, name, is_package):
    """(line, dotted parts after `wengert`) of each of our own modules that a module imports."""
    package = name if is_package else name[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = node.module.split(".") if node.module else []
            if node.level:
                origin = ["wengert", *package[: len(package) - node.level + 1], *origin]
            targets = [[*origin, alias.name] for alias in node.names]
        else:
            continue
        for target in targets:
            if target[0] == "wengert":
                yield node.lineno, tuple(target[1:]) or ("__init__",)


def layer_of(target):
    """The layer a target lies in: names that are no folder or file come from the package itself."""
    return LAYERS.index(target[0] if target[0] in LAYERS else "__init__")


def upward_imports(source, name, is_package):
    own = LAYERS.index(name[0])
    return [
        f"line {line}: {'.'.join(name)} imports {'.'.join(target)}"
        for line, target in imported(ast.parse(source), name, is_package)
        if layer_of(target) > own
    ]


def test_every_folder_and_file_has_a_place_in_the_order():
    places = {name_of(path)[0] for path in modules()}
    assert places <= set(LAYERS), "give the new folder a place in LAYERS"


@pytest.mark.parametrize("path", modules(), ids=lambda path: "/".join(name_of(path)))
def test_imports_go_one_way(path):
    assert upward_imports(path.read_text(), name_of(path), path.stem == "__init__") == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: "/".join(name_of(path)))
def test_files_stay_short(path):
    assert len(path.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize(
    "source",
    [
        "import wengert",
        "import wengert.transform",
        "from wengert import grad",
        "from wengert import api",
        "from wengert.capture import tape",
        "from .. import capture",
        "from ..capture.tape import Tape",
        "def late():\n    from wengert.train import loop",
    ],
)
def test_an_upward_import_is_found(source):
    assert len(upward_imports(source, ("ops", "shaping"), is_package=False)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import numpy",
        "from wengert.graph import Graph",
        "from wengert import errors",
        "from . import record",
        "from wengert.ops.record import Op",
        "from ..graph.types import Type",
    ],
)
def test_a_downward_import_is_allowed(source):
    assert upward_imports(source, ("ops", "shaping"), is_package=False) == []
