"""What imports leave alone: packages that only some programs need are loaded by those."""

import subprocess
import sys

import pytest

#: Each of these costs more than the rest of `import wengert`.
HEAVY = ("llvmlite", "scipy", "tqdm", "matplotlib", "sklearn", "numpy.f2py", "numpy.testing")


@pytest.mark.parametrize("module", ["wengert", "wengert.numpy", "wengert.nn", "wengert.optim"])
def test_an_import_loads_nothing_heavy(module):
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_import_leaves_the_compiler_and_the_explainer_alone():
    code = (
        "import sys, wengert\n"
        "own = {m.split('.')[1] for m in sys.modules if m.startswith('wengert.')}\n"
        "print(sorted(own & {'codegen', 'compiling', 'explain', 'nn', 'optim', 'plan', 'train'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
