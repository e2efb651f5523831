"""Where errors say that they happened: the innermost line of the user's own code."""

import functools
import runpy

import numpy as np
import pytest

import wengert as wg
from wengert.errors import ShapeError, WengertError


def test_a_line_of_the_standard_library_is_not_the_users():
    with (
        pytest.raises(WengertError, match=r"At test_errors\.py:\d+\."),
        wg.autobatching("sometimes"),  # entered by contextlib
    ):
        pass

    @functools.singledispatch
    def loss(x):
        return np.sum(x, axis=5)

    with pytest.raises(ShapeError, match=r"At test_errors\.py:\d+\."):
        wg.grad(loss)(np.ones(3))


def test_a_folder_named_like_a_library_is_the_users(tmp_path):
    script = tmp_path / "numpy" / "mine.py"
    script.parent.mkdir()
    script.write_text("import numpy as np\ndef f(x):\n    return np.sum(x, axis=5)\n")
    f = runpy.run_path(str(script))["f"]
    with pytest.raises(ShapeError, match=r"At mine\.py:3\."):
        wg.grad(f)(np.ones(3))
