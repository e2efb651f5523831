"""How often a graph came, and its native form once there is one.

`transform.graphs` remembers derived graphs by structure, so that a tape of a structure seen before
arrives here as the same `Graph` object: what is kept for it hangs on that object and goes with it.
A graph is planned, and later compiled, when the calls so far would have saved a fraction of what
that costs. Nothing is compiled for a structure that comes once.
"""

from __future__ import annotations

import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wengert.errors import BudgetError
from wengert.graph import Graph, Type
from wengert.replay.cost import llvm_seconds, planning_seconds, saving_seconds
from wengert.replay.cut import cut
from wengert.replay.mode import current_mode

if TYPE_CHECKING:
    from wengert.plan import Executable, Plan

__all__ = ["replay", "statistics"]

#: A graph is compiled when its calls would have saved this part of what compiling it costs: what
#: came often is likely to come as often again, and more.
PATIENCE = 0.25
#: Loading LLVM itself, for the first graph of a process.
LOADING_SECONDS = 0.2
#: A graph whose kernels would take longer than this stays with the interpreter: no call may stop a
#: program for long.
MOST_SECONDS = 5.0
#: Machine code is kept for the life of the process: seconds of LLVM, in all, after which graphs run
#: natively only if their kernels exist.
MOST_SECONDS_IN_ALL = 300.0
#: Bytes of arenas and tables after which the native forms not used for longest are forgotten.
MOST_BYTES = 256 * 2**20
#: What the Python objects of a plan take, per entry of the graph.
_ENTRY_BYTES = 2000
#: Sets of known values per graph.
_MOST_VARIANTS = 4

#: Counts since the process began: graphs planned and compiled, native calls, forms forgotten.
statistics = {"planned": 0, "compiled": 0, "native": 0, "forgotten": 0}

_clock = itertools.count()
_lock = threading.Lock()
_alive: weakref.WeakSet[_State] = weakref.WeakSet()
_llvm_spent = 0.0


class _State:
    """One graph with one set of known values, within one budget.

    call : the native form, a function of the arguments; None as long as there is none
    taken : which known values it takes as further arguments
    used : when it was last called, by the clock of calls
    """

    __slots__ = (
        "__weakref__",
        "budget",
        "bytes",
        "call",
        "calls",
        "due",
        "graph",
        "lock",
        "plan",
        "possible",
        "saving",
        "taken",
        "used",
    )

    def __init__(self, graph: Graph, known: Sequence[int], budget: int | None) -> None:
        self.budget = budget
        self.graph, self.taken = cut(graph, known) if known else (graph, [])
        self.call: Callable[..., Any] | None = None
        self.plan: Plan | None = None
        self.calls = 0
        self.used = 0
        self.bytes = 0
        self.lock = threading.Lock()
        self.saving = saving_seconds(self.graph)
        loading = 0.0 if "wengert.codegen.compiler" in sys.modules else LOADING_SECONDS
        self.due = self._calls_for(planning_seconds(self.graph) + loading)
        self.possible = _is_native(self.graph)

    def _calls_for(self, seconds: float) -> float:
        return PATIENCE * seconds / self.saving if self.saving else float("inf")

    def advance(self, mode: str) -> Callable[..., Any] | None:
        """Count a call; the native form, if it is there or due."""
        self.calls += 1
        if not self.possible or (mode != "always" and self.calls < self.due):
            return None
        with self.lock:
            if self.call is None:
                self._prepare(mode)
            return self.call

    def _prepare(self, mode: str) -> None:
        global _llvm_spent
        from wengert.codegen.engine import absent
        from wengert.optimise import optimise
        from wengert.plan import Executable, NumpyStep, link, unlinked_plan
        from wengert.replay.recording import install

        if self.plan is None:
            # Nothing that changes more than rounding: plain code keeps NumPy's inf and nan.
            graph = optimise(self.graph, reassociate=False).graph
            try:
                self.plan = unlinked_plan(graph, self.budget)
            except BudgetError:
                self.possible = False  # NumPy may need less: it keeps other values
                return
            if self.budget is not None and any(isinstance(s, NumpyStep) for s in self.plan.steps):
                self.plan, self.possible = None, False  # what NumPy holds there is not planned
                return
            statistics["planned"] += 1
        seconds = llvm_seconds(absent(self.plan.specs))
        if mode != "always":
            self.due = self._calls_for(planning_seconds(self.graph) + seconds)
            if seconds > MOST_SECONDS or _llvm_spent + seconds > MOST_SECONDS_IN_ALL:
                self.due, self.plan = float("inf"), None
                return
            if self.calls < self.due:
                return
        link(self.plan)
        _llvm_spent += seconds
        statistics["compiled"] += 1
        run = Executable(self.plan)
        self.bytes = 2 * self.plan.arena_bytes + _ENTRY_BYTES * len(self.plan.graph)
        install()
        self.used = next(_clock)
        self.call = _entrance(run, self.plan)
        _remember(self)

    def forget(self) -> None:
        """Give up the native form; the graph must come as often again to get another."""
        self.call, self.plan, self.bytes, self.calls = None, None, 0, 0


def _is_native(graph: Graph) -> bool:
    """Whether plans can hold all its values: in this machine's byte order."""
    types = [t for *_, t in graph.entries]
    return all(t.dtype.isnative for t in types if isinstance(t, Type))


def _entrance(run: Executable, plan: Plan) -> Callable[..., Any]:
    """The native form as a function of the arguments, which returns a list of the results."""
    from wengert.plan import Site, ready_array

    def slow(*args: Any) -> list[Any]:
        return run([ready_array(a) for a in args])

    site = Site("replay", slow)
    types = [plan.graph.type(k) for k in plan.graph.inputs]
    site.learn([_example(t) for t in types], run, list)
    return site.call  # type: ignore[no-any-return]


def _example(type_: Type) -> Any:
    import numpy as np

    return np.broadcast_to(type_.dtype.type(0), type_.shape) if type_.shape else type_.dtype.type(0)


def _remember(state: _State) -> None:
    with _lock:
        _alive.add(state)
        held = sorted(_alive, key=lambda s: s.used)
        total = sum(s.bytes for s in held)
        for old in held:
            if total <= MOST_BYTES or old is state:
                break
            total -= old.bytes
            old.forget()
            statistics["forgotten"] += 1


def replay(
    graph: Graph,
    args: Sequence[Any],
    known: Mapping[int, Any] | None = None,
    budget: int | None = None,
    *,
    at_once: bool = False,
) -> list[Any] | None:
    """The outputs of `graph` by native code; None where the interpreter must run it.

    `known` holds values that have been computed already, by value number. The results are arrays
    of their own. `budget` is how many bytes may be held beside the arguments; `at_once` says that
    the graph is known to come often.
    """
    mode = current_mode.get()
    if mode == "never":
        return None
    if at_once:
        mode = "always"
    states = graph.schedules.get("replay")
    if states is None:
        states = graph.schedules.setdefault("replay", {})
    numbers = tuple(known) if known else ()
    key = numbers if budget is None else (numbers, budget)
    state = states.get(key)
    if state.__class__ is not _State:
        if state is None and len(states) >= _MOST_VARIANTS:
            return None
        if state is None and mode != "always":
            states[key] = 1  # most structures come once: nothing is made for them
            return None
        state = states[key] = _State(graph, numbers, budget)
    call = state.call or state.advance(mode)
    if call is None:
        return None
    state.used = next(_clock)
    statistics["native"] += 1
    if state.taken:
        assert known is not None
        return call(*args, *[known[k] for k in state.taken])  # type: ignore[no-any-return]
    return call(*args)  # type: ignore[no-any-return]
