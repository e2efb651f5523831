"""The short way from calls of NumPy's ufuncs to native recording."""

import subprocess
import sys

import numpy as np
import pytest

from wengert.capture import Recorder, Variable
from wengert.errors import ConversionError
from wengert.graph import type_of
from wengert.ops import TABLE
from wengert.replay import recording
from wengert.replay.ufuncs import Shortcuts


@pytest.fixture(autouse=True)
def shortcuts():
    assert recording.install()
    return recording._installed.shortcuts


def variable(value):
    return Recorder().bound_input(type_of(value), value)


def test_a_ufunc_that_was_recorded_takes_the_short_way(shortcuts, monkeypatch):
    x = variable(np.ones(3))
    for ufunc in (np.tanh, np.hypot):
        operands = (x,) * ufunc.nin
        ufunc(*operands)
        assert ufunc in shortcuts.taken
        # NumPy would ask for it, and find what it can't call.
        monkeypatch.setattr(Variable, "__array_ufunc__", None, raising=False)
        assert ufunc(*operands)._tape.entries[-1][0] is TABLE[ufunc.__name__]
        monkeypatch.undo()
        with pytest.raises(TypeError):
            ufunc()


def test_products_of_an_array_and_a_variable():
    w, a = variable(np.ones((3, 2))), np.arange(3.0)
    for _ in range(3):
        made = a @ w
    op, operands, params, type_ = w._tape.entries[-1]
    assert (op, operands, type_) == (TABLE["contract"], (1, 0), made._type)
    assert params == (a @ w)._tape.entries[-1][2]
    assert len(w._tape.entries) == 6  # the array is one constant


def test_other_calls_are_numpys(shortcuts, rng):
    a, b = rng.standard_normal((2, 3)), rng.standard_normal(3)
    before = np.tanh(a), np.add(a, b), np.matmul(a, b)
    x = variable(b)
    for ufunc in (np.tanh, np.add, np.matmul):
        ufunc(*(x,) * ufunc.nin)
        assert ufunc in shortcuts.taken
    for ufunc, known in zip((np.tanh, np.add, np.matmul), before, strict=True):
        operands = (a, b)[: ufunc.nin]
        out = np.empty(known.shape)
        assert np.array_equal(ufunc(*operands), known)
        assert ufunc(*operands, out) is out
        assert np.array_equal(ufunc(*operands, out=out), known)
        assert ufunc(*operands, dtype=np.float32).dtype == np.float32
        assert np.array_equal(ufunc(*[o.tolist() for o in operands]), known)
    assert np.add.reduce(b) == b.sum()
    with pytest.raises(ConversionError):
        np.tanh(x, out=np.empty(3))
    with pytest.raises(TypeError):
        np.add(a, "text")


def test_they_are_given_back(shortcuts):
    twice = np.frompyfunc(lambda x: 2 * x, 1, 1)
    mine = Shortcuts(shortcuts.own, 1)  # no function is there, and none is called
    mine.take(twice)
    mine.take(np.sum)
    assert mine.taken == [twice]
    mine.give_back()
    assert twice(1.5) == 3.0
    mine.take(twice)
    assert twice(1.5) == 3.0


def test_python_ends_well():
    program = """
import numpy as np
from wengert.capture import Recorder
from wengert.graph import type_of
from wengert.replay import recording
assert recording.install()
x = np.ones(3)
y = Recorder().bound_input(type_of(x), x)
np.add(y, np.tanh(y))
class Last:
    def __del__(self, add=np.add, tanh=np.tanh, x=x):
        print(add(x, tanh(x)).shape)
np.last = Last()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "(3,)\n"), done.stderr
