"""What `import wengert` loads, and which names it offers."""

import subprocess
import sys

import pytest

import wengert as wg


def loaded(code):
    """The modules that a new process has loaded beyond NumPy's after running `code`."""
    text = f"import sys, numpy; before = set(sys.modules)\n{code}\n"
    text += "print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return done.stdout.split()


#: Packages that cost more than the rest of `import wengert`, and parts that some programs need.
HEAVY = {"llvmlite", "scipy", "tqdm", "matplotlib", "sklearn", "numpy.f2py", "numpy.testing"}
PARTS = {f"wengert.{name}" for name in ("codegen", "compiling", "explain", "nn", "optim", "plan")}


@pytest.mark.parametrize("module", ["wengert", "wengert.numpy", "wengert.nn", "wengert.optim"])
def test_an_import_loads_nothing_heavy(module):
    assert not HEAVY & set(loaded(f"import {module}"))


def test_importing_leaves_the_compiler_and_the_explainer_alone():
    assert not PARTS & set(loaded("import wengert"))


def test_what_few_derivatives_need_is_loaded_when_they_ask_for_it():
    late = {"wengert.transform.memory.planner", "wengert.transform.elimination", "random"}
    assert not late & set(loaded("import wengert"))
    code = "import numpy as np, wengert as wg\nwg.jacobian(lambda x: x * x)(np.ones(3))"
    assert "wengert.transform.elimination" in loaded(code)


def test_importing_leaves_the_search_for_garbage_as_it_was():
    code = "import gc, sys\n{}import wengert\nassert gc.isenabled() == {}"
    loaded(code.format("", True))
    loaded(code.format("gc.disable()\n", False))


def test_a_derivative_needs_neither_llvm_nor_scipy():
    found = loaded("import numpy as np, wengert as wg\nwg.grad(lambda x: np.sin(x) * x)(1.0)")
    assert "wengert.transform.gradient" in found
    assert not (HEAVY | PARTS) & set(found)


def test_a_derivative_runs_natively_where_nothing_else_was_loaded():
    code = "import numpy as np, wengert as wg\nwith wg.replaying('always'):\n    "
    found = loaded(code + "wg.grad(lambda x: np.sum(x * x))(np.ones(3))")
    assert "wengert.replay.recording" in found
    assert "wengert.batching.reading" not in found


def test_what_runs_batches_is_loaded_when_there_are_some():
    found = set(loaded("import wengert"))
    assert "wengert.batching.run" in found
    assert not {f"wengert.batching.{name}" for name in ("gradient", "reading", "sweep")} & found


def test_every_name_is_there_and_stays_the_same_object():
    for name in wg.__all__:
        assert getattr(wg, name) is getattr(wg, name)
        assert name in dir(wg)
    assert set(wg.__all__) <= set(dir(wg))
    for name in ("nn", "optim", "numpy", "errors"):
        assert getattr(wg, name).__name__ == f"wengert.{name}"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'wengert' has no attribute 'gradd'"):
        wg.gradd  # noqa: B018  the attribute access is what is tested
