"""What runs one kind of node over a batch when values are read: by NumPy, and by native code if it
comes often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.batching.sized import Sized, sized
from wengert.graph import Graph, Tape, Type
from wengert.transform.batching import batch_graph
from wengert.transform.calling import call
from wengert.transform.memo import remembered

__all__ = ["Runner", "runner_of"]

#: Rows after which a compiled function is worth native code without residuals.
_OFTEN = 256


class Runner:
    """The values of a graph over a batch.

    flags : which operands are stacked; plan : the native form, if there is one by now
    sizes : how many operands and results, then the bytes of a row of each, 0 for an operand that is
        shared; strides : these bytes again, as `plan` takes them; `sizes_at`, `strides_at` : where
    """

    def __init__(
        self, graph: Graph, flags: tuple[bool, ...], template: Sized, *, native: bool
    ) -> None:
        self.flags = flags
        self.input_types, self.output_types = graph.input_types, graph.output_types
        self._graph, self._template = graph, template
        inputs = [_bytes(t) * flag for t, flag in zip(graph.input_types, flags, strict=True)]
        outputs = [_bytes(t) for t in graph.output_types]
        self.input_bytes, self.output_bytes = sum(inputs), sum(outputs)
        self.strides = np.array([*inputs, *outputs], np.int64)
        self.sizes = np.array([len(inputs), len(outputs), *inputs, *outputs], np.int64)
        self.sizes_at, self.strides_at = self.sizes.ctypes.data, self.strides.ctypes.data
        self.plan: Any = None
        self._rows_left = _OFTEN if native else -1

    def __len__(self) -> int:
        return 8 * len(self._template.entries)

    def _batched(self, n: int) -> Graph:
        return batch_graph(self._graph, self.flags, n, all_outputs=True).graph

    def by_numpy(self, n: int, operands: Sequence[Any]) -> list[Any]:
        """The outputs, a row for each of n nodes."""
        if self._rows_left > 0:
            self._rows_left -= n
            if self._rows_left <= 0:
                self.plan, self._rows_left = self._made_native(), -1
        template = self._template
        env = dict(zip(template.inputs, operands, strict=True))
        template.evaluate(template.outputs, env, n)
        return [env[k] for k in template.outputs]

    def _made_native(self) -> Any:
        # LLVM is loaded by the first program that needs it.
        from wengert.batching.native import sized_plan
        from wengert.optimise import optimise

        return sized_plan(lambda n: optimise(self._batched(n)).graph)


def _bytes(type_: Type) -> int:
    return type_.size * type_.dtype.itemsize


class _Missing:
    """Stands for a runner of a graph that has no template."""

    def __len__(self) -> int:
        return 1


def runner_of(op: Any, params: Any, types: Sequence[Any], flags: tuple[bool, ...]) -> Runner | None:
    """The runner for nodes of an operator, parameters and operand types, remembered by structure;
    None if there is none."""
    is_call = op is call
    graph = params[0][1] if is_call else _graph_of(op, params, types)
    if graph is None:
        return None

    def make() -> Any:
        template = sized(lambda n: batch_graph(graph, flags, n, all_outputs=True).graph)
        return _Missing() if template is None else Runner(graph, flags, template, native=is_call)

    found = remembered("reading", graph, flags, is_call, make=make)
    return found if isinstance(found, Runner) else None


def _graph_of(op: Any, params: Any, types: Sequence[Any]) -> Graph | None:
    if not all(isinstance(t, Type) for t in types):
        return None
    tape = Tape()
    inputs = [tape.input(t)._index for t in types]
    made = tape.record(op, tuple(inputs), params)
    return tape.graph([made._index]) if isinstance(made._type, Type) else None
