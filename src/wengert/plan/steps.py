"""The steps of a plan: native (a kernel, a walk, a product, a loop), or NumPy's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wengert.codegen.kernel import FinishSpec, Spec
from wengert.plan.control import ControlStep

__all__ = ["Cut", "NativeStep", "NumpyStep", "moments"]


class Cut:
    """How a step can be cut into chunks.

    length : of the axis that is divided
    shares : slots of which a chunk reads or writes only its own share: the same part of the memory
        as of the axis
    ns : roughly the nanoseconds of the whole step on one thread
    apply : given the step and the bounds of its chunks, sets what depends on them: `blocks`,
        `writes` and `combining`
    """

    __slots__ = ("apply", "length", "ns", "shares")

    def __init__(
        self,
        length: int,
        shares: frozenset[int],
        ns: float,
        apply: Callable[[NativeStep, list[int]], None],
    ) -> None:
        self.length = length
        self.shares = shares
        self.ns = ns
        self.apply = apply


class NativeStep:
    """One call of a kernel, or several in parallel.

    blocks : the arguments of each chunk
    work : element operations beyond those of moving the operands, roughly
    reads, writes : slots; scratch : slots of memory whose contents nobody reads later
    what : for reports
    finish : what is done with the result of a product while it is computed
    control : what a step that runs other plans is given
    cut : how it can be cut otherwise; combining : steps that combine what its chunks have reduced
    strip : steps next to each other of the same number, not -1, run chunk by chunk (`strips`)
    is_short : whether it, or its strip, takes less time than to wake a thread
    is_tried : whether trials show if other threads help with its strip
    """

    __slots__ = (
        "blocks",
        "combining",
        "control",
        "cut",
        "entries",
        "finish",
        "is_short",
        "is_tried",
        "origin",
        "reads",
        "runtime",
        "scratch",
        "spec",
        "strip",
        "what",
        "work",
        "writes",
    )

    def __init__(
        self,
        blocks: list[list[int]],
        reads: list[int],
        writes: list[int],
        what: str,
        entries: list[int],
        spec: Spec | None = None,
        *,
        runtime: str = "",
    ) -> None:
        self.blocks = blocks
        self.reads = reads
        self.writes = writes
        self.what = what
        self.entries = entries
        self.spec = spec
        self.work = 0
        self.runtime = runtime
        self.origin = "runtime"
        self.control: ControlStep | None = None
        self.cut: Cut | None = None
        self.combining: list[NativeStep] = []
        self.scratch: list[int] = []
        self.strip = -1
        self.is_short = self.is_tried = False
        self.finish: FinishSpec | None = None

    @property
    def uses(self) -> list[int]:
        """All slots that must have memory while it runs."""
        return [*self.reads, *self.writes, *self.scratch]

    def calls_blas(self) -> bool:
        """Whether it calls BLAS."""
        inner = [] if self.control is None else [s for p in self.control.inner for s in p.steps]
        return self.runtime.startswith("gemm") or any(s.calls_blas() for s in inner)


class NumpyStep:
    """One operator computed by NumPy: `function(*operands)` is copied into the result's slot."""

    __slots__ = ("entries", "function", "reads", "what", "writes")

    def __init__(
        self, function: Any, reads: list[int], writes: list[int], what: str, entries: list[int]
    ) -> None:
        self.function = function
        self.reads = reads
        self.writes = writes
        self.what = what
        self.entries = entries

    @property
    def uses(self) -> list[int]:
        """All slots that must have memory while it runs."""
        return [*self.reads, *self.writes]


def moments(steps: Sequence[NativeStep | NumpyStep]) -> list[int]:
    """The number of each step; the steps of a strip have one number."""
    found: list[int] = []
    before = -1
    for step in steps:
        strip = step.strip if isinstance(step, NativeStep) else -1
        found.append((found[-1] if found else -1) + (strip < 0 or strip != before))
        before = strip
    return found
