"""Batching as a graph pass: one graph over a batch of inputs, by the operators' batch rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.capture import Recorder
from wengert.graph import CONSTANT, INPUT, Graph, Type
from wengert.ops import TABLE
from wengert.transform.memo import remembered

__all__ = ["Batched", "batch_graph"]


class Batched:
    """A batched graph, and which of its outputs carry the batch axis (first)."""

    def __init__(self, graph: Graph, batched: tuple[bool, ...]) -> None:
        self.graph = graph
        self.batched = batched

    def __len__(self) -> int:
        return len(self.graph)


def batch_graph(
    graph: Graph, batched: Sequence[bool], size: int, *, all_outputs: bool = False
) -> Batched:
    """`graph` with a batch axis of length `size`, first in each input marked in `batched`.

    Entries that depend on no batched input are computed once. With `all_outputs`, an output that
    depends on none is repeated, so that every output carries the batch axis.
    """
    flags = tuple(batched)
    return remembered(  # type: ignore[no-any-return]
        "batch",
        graph,
        flags,
        size,
        all_outputs,
        make=lambda: _batch(graph, flags, size, all_outputs),
    )


def _batch(graph: Graph, flags: tuple[bool, ...], size: int, all_outputs: bool) -> Batched:
    tape = Recorder()
    env: list[Any] = []
    carries: list[bool] = []
    is_batched = dict(zip(graph.inputs, flags, strict=True))
    for i, (op, operands, params, type_) in enumerate(graph.entries):
        if op is INPUT:
            carries.append(is_batched[i])
            own = Type((size, *type_.shape), type_.dtype) if carries[i] else type_
            env.append(tape.input(own, graph.names.get(i)))
        elif op is CONSTANT:
            carries.append(False)
            env.append(tape.constant(graph.constants[i]))
        else:
            args = [env[k] for k in operands]
            which = [carries[k] for k in operands]
            carries.append(any(which))
            if carries[i]:
                env.append(op.batch(args, which, size, dict(params)))
            else:
                env.append(tape.record(op, tuple([a._index for a in args]), params))
    outputs = []
    for k in graph.outputs:
        out = env[k]
        if all_outputs and not carries[k]:
            out = TABLE["broadcast_to"](out, shape=(size, *out._type.shape))
        outputs.append(out._index)
    inputs = [env[k]._index for k in graph.inputs]
    return Batched(
        tape.graph(outputs, inputs), tuple(all_outputs or carries[k] for k in graph.outputs)
    )
