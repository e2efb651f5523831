"""What is kept for one signature: the graph, the optimised graph, and the executable plan."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wengert.capture import argument_names, capture, function_name
from wengert.codegen import background
from wengert.codegen.engine import begin, is_made, make_later, statistics
from wengert.compiling.generators import warning_of_draws
from wengert.errors import NoValueError
from wengert.graph import Graph, Type, type_of
from wengert.graph.collecting import collecting_later
from wengert.optimise import Optimised, optimise_for_all_sizes, stabilise_for_all_sizes
from wengert.plan import Executable, make_plan
from wengert.plan.donation import reusable
from wengert.plan.products import foreseen
from wengert.transform import templates
from wengert.transform.trace import name_keywords

__all__ = ["Entry", "capture_entry"]

templates.later = background.later


class Entry:
    """The stations of one signature, each made when it is first asked for.

    Attributes
    ----------
    graph : as captured
    structure : structure of the results
    counts : number of leaves of each traced argument, keyword arguments last, sorted by name
    donated : which inputs may be overwritten
    seconds : what each station took
    budget : bytes that a call may hold beside its arguments; None: as many as it needs
    """

    def __init__(
        self,
        graph: Graph,
        structure: Any,
        counts: Sequence[int],
        donated: Sequence[int],
        seconds: dict[str, float],
        budget: int | None = None,
    ) -> None:
        self.graph = graph
        self.structure = structure
        self.counts = list(counts)
        self.donated = list(donated)
        self.seconds = seconds
        self.budget = budget
        self.run: Executable | None = None
        #: Pairs (output, input): the output is written into the input's memory.
        self.reuse: list[tuple[int, int]] = []
        #: Ways of passing arguments of this signature that the call site has been shown.
        self.forms: set[tuple[int, tuple[str, ...]]] = set()
        self.lock = threading.RLock()
        self._optimised: Optimised | None = None

    def optimised(self) -> Optimised:
        """The optimised graph and the log of what was done."""
        with self.lock:
            if self._optimised is None:
                start = time.perf_counter()
                self._optimised = optimise_for_all_sizes(self.graph)
                self.seconds["optimise"] = time.perf_counter() - start
            return self._optimised

    def executable(self) -> Executable:
        """The compiled plan."""
        if self.run is None:
            with self.lock, collecting_later():
                if self.run is None:
                    begin(foreseen(self.graph, is_made))
                    self.run = self._plan(self.optimised().graph)
        return self.run

    def _plan(self, graph: Graph) -> Executable:
        start, before = time.perf_counter(), statistics["seconds"]
        made = Executable(make_plan(graph, self.budget))
        seconds = time.perf_counter() - start
        compiling = min(seconds, statistics["seconds"] - before)
        self.seconds["plan"] = seconds - compiling
        self.seconds["LLVM"] = compiling
        self.reuse = reusable(made.plan, self.donated)
        make_later(made.plan.other_kernels)
        return made


def capture_entry(
    f: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    static: frozenset[int],
    donated: frozenset[int],
) -> Entry | None:
    """Capture `f` for arguments of these types; None if it uses traced values from outside."""
    start = time.perf_counter()
    names = tuple(sorted(kwargs))
    target = _by_position(f, len(args), names) if names else f
    everything = (*args, *[kwargs[name] for name in names])
    traced = [k for k in range(len(everything)) if k >= len(args) or k not in static]

    def typed(position: int, number: int, leaf: Any) -> Type:
        type_ = type_of(leaf)
        native = type_.dtype.isnative
        return type_ if native else type_.with_dtype(type_.dtype.newbyteorder("="))

    try:
        with collecting_later(), warning_of_draws(f):
            captured = capture(
                target,
                everything,
                {},
                traced=traced,
                purpose="compile",
                lines=True,
                named=True,
                lift=False,
                weak=True,
                types_only=typed,
                prepare=stabilise_for_all_sizes,
            )
    except NoValueError as error:
        raise NoValueError(
            error.message,
            hint=f"{error.hint}; or name an argument that decides what {function_name(f)} does in "
            "static_argnums",
            location=error.location,
        ) from error
    if len(captured.graph.inputs) != sum(captured.counts):
        return None
    first = 0
    given_away: list[int] = []
    for position, count in zip(traced, captured.counts, strict=True):
        if position < len(args) and position in donated:
            given_away += range(first, first + count)
        first += count
    return Entry(
        captured.graph,
        captured.out_structure,
        captured.counts,
        given_away,
        {"capture": time.perf_counter() - start},
        captured.tape.budget,
    )


def _by_position(f: Callable[..., Any], count: int, names: tuple[str, ...]) -> Callable[..., Any]:
    target = name_keywords(f, count, names)
    parameters = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for name in (*argument_names(f, count), *names)
    ]
    if len({p.name for p in parameters}) == len(parameters):
        target.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return target
