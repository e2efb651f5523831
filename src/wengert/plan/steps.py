"""The steps of a plan: native (a kernel, a walk, a product, a loop), or NumPy's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wengert.codegen.kernel import Spec
from wengert.plan.control import ControlStep

__all__ = ["NativeStep", "NumpyStep"]


@dataclass(eq=False, repr=False)
class NativeStep:
    """One call of a kernel, or several in parallel.

    blocks : the arguments of each chunk
    work : element operations beyond those of moving the operands, roughly
    reads, writes : slots; `what` is for reports
    control : what a step that runs other plans is given
    """

    blocks: list[list[int]]
    reads: list[int]
    writes: list[int]
    what: str
    entries: list[int]
    spec: Spec | None = None
    work: int = 0
    runtime: str = ""
    origin: str = "runtime"
    control: ControlStep | None = None

    def calls_blas(self) -> bool:
        """Whether it calls BLAS."""
        inner = [] if self.control is None else [s for p in self.control.inner for s in p.steps]
        return self.runtime.startswith("gemm") or any(s.calls_blas() for s in inner)


@dataclass(eq=False, repr=False)
class NumpyStep:
    """One operator computed by NumPy: `function(*operands)` is copied into the result's slot."""

    function: Any
    reads: list[int]
    writes: list[int]
    what: str
    entries: list[int]
