"""Partial evaluation of a loop's derivative: what is computed when.

The forward derivative of a loop's body is split in three. What depends on the loop's constants
alone is computed once, before the loop. What depends on its carries and elements is computed while
the loop itself runs, and kept, stacked. What depends on tangents is a loop of its own, linear in
them, which reads what was kept; its transpose is the reverse sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.capture import Recorder
from wengert.errors import GraphError
from wengert.graph import CONSTANT, INPUT, Graph
from wengert.graph.tuples import NamedTuple
from wengert.ops import zeros
from wengert.transform.control.bodies import expanded, rearranged
from wengert.transform.graphs import extend
from wengert.transform.memo import remembered
from wengert.transform.merging import merged_entries
from wengert.transform.sweeps import active_entries, pushforward_sweep

__all__ = ["Layout", "Staged", "active_carries", "staged"]

# Operators that only look at their operand otherwise: computed again rather than kept, since
# their result may be larger than it.
_VIEWS = frozenset({"broadcast_to", "reshape", "transpose"})

_FREE, _ONCE, _STEP, _LATE = range(4)


class Layout(NamedTuple):
    """How many of a body's inputs are constants, carries and elements, in this order."""

    consts: int
    carries: int
    elements: int

    @property
    def total(self) -> int:
        """The number of inputs."""
        return sum(self)

    def parts(self, values: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """A list with one item per input, in its three parts."""
        first, second = self.consts, self.consts + self.carries
        return list(values[:first]), list(values[first:second]), list(values[second:])


class Staged:
    """The derivative of a body in its three stages.

    once : constants -> values needed late that are the same in every step
    early : the body, its outputs followed by the values kept in each step
    late : inputs: constants of the loop number `consts`, the results of `once`, tangents of
        constants; tangents of carries; elements number `elements`, the values kept, tangents of
        elements. Outputs: tangents of the carries number `carries`, tangents of `ys`.
    """

    def __init__(
        self,
        once: Graph,
        early: Graph,
        late: Graph,
        *,
        consts: Sequence[int],
        elements: Sequence[int],
        carries: Sequence[int],
        ys: Sequence[int],
        layout: Layout,
        linear: Sequence[int],
    ) -> None:
        self.once = once
        self.early = early
        self.late = late
        self.consts = tuple(consts)
        self.elements = tuple(elements)
        self.carries = tuple(carries)
        self.ys = tuple(ys)
        self.layout = layout
        self.linear = tuple(linear)

    def __len__(self) -> int:
        return len(self.once) + len(self.early) + len(self.late)

    @property
    def carry_types(self) -> tuple[Any, ...]:
        """The types of the carries that have tangents."""
        return self.late.output_types[: len(self.carries)]


def active_carries(body: Graph, layout: Layout, flags: Sequence[bool]) -> list[bool]:
    """`flags` (which inputs have a tangent) with every carry added that gets one in the loop."""
    flags = list(flags)
    while True:
        inputs = [number for number, flag in zip(body.inputs, flags, strict=True) if flag]
        active = active_entries(body.entries, inputs)
        new = list(flags)
        for k in range(layout.carries):
            at = layout.consts + k
            new[at] = flags[at] or active[body.outputs[k]]
        if new == flags:
            return new
        flags = new


def staged(
    body: Graph, layout: Layout, flags: tuple[bool, ...], wanted: tuple[bool, ...]
) -> Staged:
    """Split the derivative of `body` by the inputs in `flags`.

    `flags` are closed (see `active_carries`); `wanted` says for each element of the results (the
    outputs after the carries) whether its tangent is asked for.
    """
    body = expanded(body)
    return remembered(  # type: ignore[no-any-return]
        "staged",
        body,
        layout,
        flags,
        wanted,
        make=lambda: _Stager(body, layout, flags).split(wanted),
    )


class _Stager:
    def __init__(self, body: Graph, layout: Layout, flags: Sequence[bool]) -> None:
        self.body = body
        self.layout = layout
        self.flags = flags
        self.tape = extend(body)
        tape = self.tape
        self.dots: dict[int, int] = {}  # position of an input -> value number of its tangent
        tangents: dict[int, Any] = {}
        for k, (number, flag) in enumerate(zip(body.inputs, flags, strict=True)):
            if flag:
                tangents[number] = tape.input(body.entries[number][3])
                self.dots[k] = tangents[number]._index
        pushforward_sweep(
            body.entries, lambda i: tape.handle(tape, i, tape.entries[i][3]), tangents
        )
        self.tangents = tangents
        tape.entries[:], _ = merged_entries(tape.entries)
        self.late = Recorder()
        self.in_late: dict[int, Any] = {}  # value number on the tape -> handle in the late graph
        self.kept: dict[int, Any] = {}  # ... of the values kept in each step
        self.once: dict[int, Any] = {}  # ... of the values computed once
        self.passed: dict[int, Any] = {}  # position of an input that is read as it is -> handle

    def split(self, wanted: Sequence[bool]) -> Staged:
        """The three graphs."""
        layout, tape, late = self.layout, self.tape, self.late
        carries = [k for k in range(layout.carries) if self.flags[layout.consts + k]]
        outs = self.body.outputs
        ys = [
            k
            for k, want in enumerate(wanted)
            if want and self.tangents.get(outs[layout.carries + k]) is not None
        ]
        found = [self._tangent(outs[k]) for k in carries]
        found += [self._tangent(outs[layout.carries + k]) for k in ys]
        self.stage = self._stages()
        for position, number in self.dots.items():
            self.in_late[number] = late.input(tape.entries[number][3])
            self.dots[position] = self.in_late[number]._index
        for i in self._needed(found):
            if self.stage[i] == _LATE and i not in self.in_late:
                op, operands, params, _ = tape.entries[i]
                self.in_late[i] = late.record(
                    op, tuple([self._late(k)._index for k in operands]), params
                )
        outputs = [self._late(k)._index for k in found]
        first, last = layout.consts, layout.consts + layout.carries
        consts = sorted(k for k in self.passed if k < first)
        elements = sorted(k for k in self.passed if k >= last)
        dots = [
            [self.dots[k] for k in part if k in self.dots]
            for part in layout.parts(range(layout.total))
        ]
        own = [h._index for h in (*[self.passed[k] for k in consts], *self.once.values())]
        stacked = [h._index for h in (*[self.passed[k] for k in elements], *self.kept.values())]
        order = [*own, *dots[0], *dots[1], *stacked, *dots[2]]
        tape.lines = dict(self.body.lines)
        whole = tape.graph(self.body.outputs)
        late_graph = late.graph(outputs, order)
        at = len(own)
        linear = [
            *range(at, at + len(dots[0]) + len(dots[1])),
            *range(len(order) - len(dots[2]), len(order)),
        ]
        return Staged(
            rearranged(whole, range(first), list(self.once)),
            rearranged(whole, range(layout.total), [*self.body.outputs, *self.kept]),
            rearranged(late_graph, range(len(order))),
            consts=consts,
            elements=[k - last for k in elements],
            carries=carries,
            ys=ys,
            layout=Layout(at + len(dots[0]), len(dots[1]), len(stacked) + len(dots[2])),
            linear=linear,
        )

    def _tangent(self, number: int) -> int:
        tangent = self.tangents.get(number)
        if tangent is None:
            tangent = zeros(self.tape, self.body.entries[number][3])
        return tangent._index  # type: ignore[no-any-return]

    def _stages(self) -> list[int]:
        layout, late = self.layout, set(self.dots.values())
        position = {number: k for k, number in enumerate(self.body.inputs)}
        stage: list[int] = []
        for i, (op, operands, _, _) in enumerate(self.tape.entries):
            if op is CONSTANT:
                stage.append(_FREE)
            elif op is INPUT:
                early = _LATE if i in late else _STEP
                stage.append(_ONCE if position.get(i, layout.consts) < layout.consts else early)
            else:
                latest = max([stage[k] for k in operands], default=_ONCE)
                plain = latest == _FREE and op.name not in _VIEWS
                stage.append(_ONCE if plain else latest)
        return stage

    def _needed(self, outputs: Sequence[int]) -> list[int]:
        live = self.tape.graph(outputs).live()
        return [i for i, alive in enumerate(live) if alive]

    def _late(self, number: int) -> Any:
        """The handle in the late graph of a value that is known earlier."""
        chain = []
        while number not in self.in_late:
            op, operands, _, _ = self.tape.entries[number]
            if op is CONSTANT or op is INPUT or op.name not in _VIEWS:
                self.in_late[number] = self._known(number)
                break
            chain.append(number)
            (number,) = operands
        handle = self.in_late[number]
        for k in reversed(chain):
            op, _, params, _ = self.tape.entries[k]
            handle = self.in_late[k] = self.late.record(op, (handle._index,), params)
        return handle

    def _known(self, number: int) -> Any:
        op, _, _, type_ = self.tape.entries[number]
        if isinstance(type_, tuple):
            raise GraphError("control flow: an entry with several results can't be kept")
        if op is CONSTANT:
            index = self.late._append_leaf(CONSTANT, type_)
            self.late.constants[index] = self.tape.constants[number]
            return self.late.handle(self.late, index, type_)
        made = self.late.input(type_)
        if op is INPUT:
            position = self.body.inputs.index(number)
            is_carry = self.layout.consts <= position < self.layout.consts + self.layout.carries
            if not is_carry:
                self.passed[position] = made
                return made
        kept = self.once if self.stage[number] == _ONCE else self.kept
        kept[number] = made
        return made
