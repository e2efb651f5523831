"""LLVM's library: called directly, through llvmlite, and by several threads at once."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from wengert.codegen import llvm
from wengert.codegen.compiler import kernel_text
from wengert.codegen.kernel import Instruction, KernelSpec, Load, ProductSpec, Store

F4 = np.dtype(np.float32)
SUM = KernelSpec(
    1,
    (Load(F4, (True,)), Load(F4, (True,))),
    (Instruction("add", (0, 1), (), F4),),
    (Store(2, (True,), ""),),
)


@pytest.fixture(scope="module")
def direct():
    found = llvm.library()
    if not isinstance(found, llvm.Library):
        pytest.skip("another version of llvmlite")
    return found


def test_both_ways_are_the_same(direct):
    through = llvm.Binding()
    assert direct.triple == through.triple
    assert direct.features() == through.features()
    for spec in (SUM, ProductSpec(F4)):
        text = kernel_text(spec)
        for level in (0, 2):
            found = direct.object_code(text, level, verified=True)
            assert found == through.object_code(text, level, verified=True)


def test_errors_are_told(direct):
    for way in (direct, llvm.Binding()):
        with pytest.raises(RuntimeError, match="expected"):
            way.object_code("define i32 @f( { nonsense", 0)
        with pytest.raises(RuntimeError, match="dominate"):
            way.object_code(
                "define i32 @f(i1 %c) {\n br i1 %c, label %a, label %b\na:\n %x = add i32 1, 1\n"
                " br label %b\nb:\n ret i32 %x\n}",
                0,
                verified=True,
            )


def test_threads_at_the_same_time(direct):
    texts = [kernel_text(spec) for spec in (SUM, ProductSpec(F4), ProductSpec(np.dtype("f8")))]
    expected = [direct.object_code(text, 2) for text in texts]
    wrong = []

    def work(seed):
        drawn = np.random.default_rng(seed).integers(0, len(texts), 6)
        wrong.extend(k for k in drawn if direct.object_code(texts[k], 2) != expected[k])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
