"""The report of a compiled function: what was done to its graph, what runs, and what it costs."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Iterator
from typing import Any

from wengert.compiling.entry import Entry
from wengert.errors import ArgumentError
from wengert.graph import Graph
from wengert.optimise.cost import Cost, quantity
from wengert.plan.report import Memory, StepReport, memory_of, step_reports

__all__ = ["Report"]

#: Rewrites that the text shows; all are in `Report.rewrites`.
_MOST_REWRITES = 40


class Report:
    """What happened to a function for arguments of given types; `str` is all of it as text.

    Attributes
    ----------
    name : the function's
    captured, optimised : the graph before and after optimisation
    rewrites : the optimiser's log: per application of a rule its name, reason, and the user's line
    steps : what runs, in order: kind, operators fused into it, operations and bytes
    memory : bytes of intermediate values, beside those of the graph that was captured
    fitted : how the plan keeps to a budget, if there is one: `budget`, `predicted`, `measured`,
        `ordinary` bytes, and `work`
    seconds : what each stage took: capture, optimise, plan, LLVM
    donated : pairs (result, input leaf): the result is written into the input's memory
    """

    def __init__(self, name: str, entry: Entry) -> None:
        plan = entry.executable().plan
        found = entry.optimised()
        self.name = name
        self.captured: Graph = entry.graph
        self.optimised: Graph = found.graph
        self.rewrites: list[Any] = list(found.log)
        self.steps: list[StepReport] = step_reports(plan)
        self.memory: Memory = memory_of(plan, entry.graph)
        self.fitted: Any = plan.fitted
        self.seconds: dict[str, float] = dict(entry.seconds)
        self.donated: list[tuple[int, int]] = list(entry.reuse)
        self._summary = found.summary()

    @property
    def cost(self) -> Cost:
        """Operations and bytes of all steps."""
        return sum((step.cost for step in self.steps), Cost(0, 0))

    # ------------------------------------------------------------ text

    def __str__(self) -> str:
        sections = [
            ("", self._head()),
            (f"Rewrites ({len(self.rewrites)})", self._rewrites()),
            (f"Steps ({len(self.steps)})", self._steps()),
            ("Memory of intermediate values", self._memory()),
            ("Time", self._time()),
        ]
        return "\n\n".join(
            f"{title}\n" + "\n".join(f"  {line}" for line in lines) if title else "\n".join(lines)
            for title, lines in sections
        )

    def __repr__(self) -> str:
        return f"<Report of {self.name}: {len(self.steps)} steps>"

    def _head(self) -> list[str]:
        graph = self.captured
        inputs = ", ".join(f"{graph.names.get(k, f'%{k}')}: {graph.type(k)}" for k in graph.inputs)
        outputs = ", ".join(str(t) for t in graph.output_types)
        return [f"{self.name}({inputs}) -> {outputs}", f"graph: {self._summary}"]

    def _rewrites(self) -> list[str]:
        lines = [str(record) for record in self.rewrites[:_MOST_REWRITES]]
        more = len(self.rewrites) - len(lines)
        return [*lines, f"… and {more} more"] if more else lines or ["none applied"]

    def _steps(self) -> list[str]:
        lines = []
        for number, step in enumerate(self.steps):
            lines += [
                f"[{number}] {text}" if k == 0 else text for k, text in enumerate(_told(step))
            ]
        for output, k in self.donated:
            lines.append(f"result {output} is written into the memory of input {k}")
        return [*lines, f"all: {self.cost}"]

    def _memory(self) -> list[str]:
        memory = self.memory
        rows = [
            (memory.arena, "arena of one call"),
            (memory.unshared, "the same values without sharing memory"),
            (memory.unoptimised, "the captured graph at its peak, freeing as early as possible"),
            (memory.everything, "the captured graph, keeping everything"),
            (memory.results, "results"),
        ]
        if self.fitted is not None:
            rows += [
                (self.fitted.budget, "budget for the arena and the results"),
                (self.fitted.predicted, "of it predicted by the plan"),
                (self.fitted.measured, "of it taken"),
                (self.fitted.ordinary, f"without a budget; {self.fitted.work:.3g} x its work"),
            ]
        return [f"{quantity(n) + 'B':>9}  {what}" for n, what in rows]

    def _time(self) -> list[str]:
        kernels = [s.origin for s in _all(self.steps) if s.kind == "kernel"]
        counts = ", ".join(f"{kernels.count(o)} from {o}" for o in dict.fromkeys(kernels))
        lines = [f"{1e3 * s:9.2f} ms  {stage}" for stage, s in self.seconds.items()]
        return [*lines, f"kernels: {counts or 'none'}"]

    # ------------------------------------------------------------ code and drawings

    def code(self, step: int | None = None, *, assembly: bool = False) -> str:
        """The generated code of one step, or of all kernels: LLVM IR, or assembly."""
        from wengert.codegen.compiler import kernel_assembly, kernel_text

        if step is not None and not (
            0 <= step < len(self.steps) and _specs(self.steps[step : step + 1])
        ):
            kernels = [n for n, s in enumerate(self.steps) if _specs([s])]
            raise ArgumentError(
                f"report of {self.name}: step {step} is not a generated kernel",
                hint=f"kernels are the steps {kernels}",
            )
        chosen = self.steps if step is None else [self.steps[step]]
        specs = _specs(chosen)
        return "\n".join((kernel_assembly if assembly else kernel_text)(spec) for spec in specs)

    def to_svg(self, path: str | os.PathLike[str] | None = None, *, before: bool = False) -> str:
        """The graph after optimisation, coloured by step; or before it."""
        from wengert.compiling.drawing import draw

        if before:
            picture = draw(self.captured, None, f"{self.name} as captured")
        else:
            steps = {i: n for n, step in enumerate(self.steps) for i in step.entries}
            picture = draw(self.optimised, steps, f"{self.name} as it runs")
        return _written(picture, path)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """A page with the text, and both drawings."""
        page = (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>'
            f"{html.escape(self.name)}</title><style>body{{font:15px/1.5 system-ui;margin:2rem}}"
            "pre{overflow-x:auto}.both{display:flex;gap:2rem;overflow-x:auto;"
            f"align-items:flex-start}}</style></head><body>\n{self._repr_html_()}</body></html>\n"
        )
        return _written(page, path)

    def _repr_html_(self) -> str:
        return (
            f"<h1>{html.escape(self.name)}</h1>\n<pre>{html.escape(str(self))}</pre>\n"
            f'<div class="both">\n{self.to_svg(before=True)}{self.to_svg()}</div>\n'
        )

    @classmethod
    def of(cls, name: str, entry: Entry) -> Report:
        """The report of an entry, which is planned and compiled if it was not yet."""
        return cls(name, entry)


def _all(steps: Iterable[StepReport]) -> Iterator[StepReport]:
    """The steps, and those of the bodies of loops and branches, each after its own."""
    stack = list(steps)[::-1]
    while stack:
        step = stack.pop()
        yield step
        stack += step.inner[::-1]


def _specs(steps: Iterable[StepReport]) -> list[Any]:
    return list(dict.fromkeys(s.spec for s in _all(steps) if s.spec is not None))


def _told(step: StepReport, indent: str = "") -> list[str]:
    """The lines about a step, the steps inside it further in."""
    notes = [str(step.cost)]
    if step.kind == "kernel":
        notes.append(step.origin)
    if step.chunks > 1:
        strip = f" of strip {step.strip}" if step.strip >= 0 else ""
        notes.append(f"{step.chunks} chunks{strip}")
    lines = [f"{indent}{step.what}: {'; '.join(notes)}"]
    if len(step.operators) > 1:
        lines.append(f"{indent}      fuses {', '.join(step.operators)}")
    if step.lines:
        lines.append(f"{indent}      from {', '.join(step.lines)}")
    for inner in step.inner:
        lines += _told(inner, indent + "      ")
    return lines


def _written(text: str, path: str | os.PathLike[str] | None) -> str:
    if path is not None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    return text
