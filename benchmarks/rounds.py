"""Timing contestants on input that is new each time, some of them in processes of their own.

`harness.compare` repeats one call. Here every round makes new input, of a structure that no
contestant has seen, and each contestant gets it once: what is remembered by structure is no help.
"""

from __future__ import annotations

import importlib
import multiprocessing
import random
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from harness import PAUSE, QUICK, Timings, agree, attempt, duration, exists, summary

#: What one contestant makes of one input: the loss, and a function that hands over the gradients.
Step = Callable[[Any], tuple[Any, Callable[[], Sequence[Any]]]]


class Elsewhere:
    """A step that runs in a process of its own, which times itself.

    For contestants whose switches hold for a whole process. `module.maker(*args)` makes the step.
    """

    def __init__(self, module: str, maker: str, *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, far_end = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(far_end, module, maker, args), daemon=True
        )
        self._process.start()
        far_end.close()
        self._answer()

    def __call__(self, given: Any) -> tuple[Any, Any]:
        self._pipe.send((given, True))
        loss, gradients = self._answer()[1]
        return loss, lambda: gradients

    def seconds(self, given: Any) -> float:
        """Run the step and tell how long it took, the way through the pipe not counted."""
        self._pipe.send((given, False))
        taken: float = self._answer()[0]
        return taken

    def close(self) -> None:
        self._pipe.close()
        self._process.join()

    def _answer(self) -> Any:
        try:
            found = self._pipe.recv()
        except EOFError:
            raise RuntimeError("its process ended") from None
        if isinstance(found, str):
            raise RuntimeError(found)
        return found


def _serve(pipe: Any, module: str, maker: str, args: Sequence[Any]) -> None:
    try:
        step = getattr(importlib.import_module(module), maker)(*args)
        pipe.send((0.0, None))
        while True:
            given, wanted = pipe.recv()
            taken, (loss, gradients) = _timed(step, given)
            pipe.send((taken, (loss, gradients()) if wanted else None))
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001  the parent says what happened
        pipe.send(f"{type(error).__name__}: {error}")


def _timed(step: Callable[[Any], Any], given: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = step(given)
    return time.perf_counter() - start, result


def import_dynet(autobatch: bool) -> Any:
    """DyNet, with autobatching or without: it reads its settings once, when it is imported."""
    import dynet_config

    dynet_config.set(mem=1024, autobatch=int(autobatch))
    import dynet

    return dynet


def wengert_batching(wanted: bool) -> AbstractContextManager[None]:
    """Within the block wengert batches as it sees fit, or never."""
    import wengert as wg

    return wg.autobatching() if wanted else wg.autobatching("never")


class Contest:
    """Steps that are compared. Processes of their own end with the `with` block."""

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}

    def __enter__(self) -> Contest:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None):
        for step in self.steps.values():
            if isinstance(step, Elsewhere):
                step.close()

    def add(self, name: str, make: Callable[[], Step], needs: str | None = None) -> None:
        """Enter a contestant, unless the module it needs is missing."""
        if needs is None or exists(needs):
            attempt(self.steps, name, make)

    def elsewhere(self, name: str, needs: str, module: str, maker: str, *args: Any) -> None:
        """Enter a contestant that runs in a process of its own."""
        self.add(name, lambda: Elsewhere(module, maker, *args), needs)

    def check(self, given: Any, rtol: float = 1e-3, atol: float = 1e-4) -> None:
        """Raise AssertionError unless all make the same of one input, to float32's rounding."""
        results = {name: step(given) for name, step in self.steps.items()}
        agree({name: [r[0], *r[1]()] for name, r in results.items()}, rtol=rtol, atol=atol)

    def time(
        self,
        make: Callable[[], Any],
        *,
        rounds: int = 21,
        slow: Collection[str] = (),
        slow_rounds: int = 3,
    ) -> Timings:
        """Seconds for a step on new input: median and 10th percentile over interleaved rounds.

        In each round every contestant gets the same two new inputs: one to warm up, one timed.
        The slow ones take part in few rounds and are not warmed up again.
        """
        if QUICK:
            rounds, slow_rounds = 2, 1
        chosen = {round(k * (rounds - 1) / max(1, slow_rounds - 1)) for k in range(slow_rounds)}
        samples: dict[str, list[float]] = {name: [] for name in self.steps}
        order = list(self.steps)
        shuffle = random.Random(0)
        for number in range(rounds):
            shuffle.shuffle(order)
            warm, given = make(), make()
            for name in order:
                if name in slow and number not in chosen:
                    continue
                time.sleep(PAUSE)
                if name not in slow:
                    _seconds(self.steps[name], warm)
                samples[name].append(_seconds(self.steps[name], given))
        return {name: summary(found) for name, found in samples.items()}


def _seconds(step: Step, given: Any) -> float:
    return step.seconds(given) if isinstance(step, Elsewhere) else _timed(step, given)[0]


def recording(
    loss: Callable[[Any, Any], Any], params: Any, make: Callable[[], Any], rounds: int = 9
) -> dict[str, float]:
    """Seconds that `loss(params, input)` itself runs within a step: all that Python records.

    Nothing is computed meanwhile, unless the program reads a value.
    """
    import wengert as wg

    spent: list[float] = []

    def watched(params: Any, given: Any) -> Any:
        start = time.perf_counter()
        found = loss(params, given)
        spent.append(time.perf_counter() - start)
        return found

    step = wg.value_and_grad(watched)
    for _ in range(2 if QUICK else rounds):
        step(params, make())
    return summary(spent[1:])  # the first one compiles


def shares(recorded: Timings, timings: Timings) -> str:
    """A sentence for each contestant: recording alone, and its share of the whole step."""
    lines = [
        f"- {name}: recording takes {duration(r['median'])}, "
        f"{100 * r['p10'] / timings[name]['p10']:.0f} % of the step (10th percentiles)"
        for name, r in recorded.items()
    ]
    return "\n\n" + "\n".join(lines)
