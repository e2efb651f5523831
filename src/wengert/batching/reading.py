"""Values that a program reads while it records (`if h[0] > 0`), computed in batches.

When a value is asked for, what it needs is computed; and with it, in the same batches, what the
program has recorded since the last time that is of the same kinds, or of those needed before. Where
examples advance together and each then reads a value of its own, the first one to read finds the
values of all.

The backward sweep needs more than values. So all is computed again when the program has ended, in
larger batches, with what they keep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from wengert.batching.sized import Sized, sized
from wengert.graph import CONSTANT, INPUT, Graph, Tape, Type
from wengert.ops import TABLE
from wengert.run import evaluate_entry
from wengert.run.budget import VIEWS
from wengert.transform.batching import batch_graph
from wengert.transform.calling import call
from wengert.transform.memo import remembered

__all__ = ["compute"]

#: Operators of one operand that cost no more than a batch does for each of its rows.
_CHEAP = frozenset(TABLE[name] for name in (*VIEWS, "reshape") if TABLE[name].arity == 1)
_PROJECT = TABLE["project"]
#: Nodes below which a batch costs more than running them singly; calls of compiled functions are
#: many operators each.
_LEAST, _LEAST_CALLS = 8, 2
#: In seconds: an operator that runs singly, and each byte of a weight that it reads; choosing one
#: node and putting it into a batch; a batch.
_ENTRY, _BYTE, _NODE, _BATCH = 4e-6, 0.1e-9, 5e-6, 40e-6
#: An operand of so many elements is likely to be a weight, which a batch reads once.
_WEIGHT = 1024
#: An operand or result of so many elements: what nobody has asked for is not computed, since the
#: arithmetic is what it costs.
_LARGE = 1 << 18
#: Rows after which a compiled function is worth native code without residuals.
_OFTEN = 256


def compute(tape: Any, needed: Iterable[int], start: int, *, always: bool) -> bool:
    """Compute the needed values of a tape and, from entry `start` on, others of their kinds.

    Whether it was done: not if running the needed ones singly is estimated to be faster.
    """
    reading = _Reading(tape, needed, start)
    if not always and not reading.pays():
        return False
    reading.run()
    return True


class _Kind:
    """Nodes of one operator, parameters and operand types.

    nodes, depth : how many there are, and the sum of their depths; ready : those that can run
    """

    def __init__(self, op: Any, params: Any, types: Sequence[Any]) -> None:
        self.op, self.params, self.types = op, params, types
        self.nodes = self.depth = 0
        self.ready: list[int] = []

    @property
    def least(self) -> int:
        """Nodes from which a batch is worth it."""
        return _LEAST_CALLS if self.op is call else _LEAST

    @property
    def seconds(self) -> float:
        """What one node costs by itself and not in a batch, estimated."""
        weights = [t for t in self.types if isinstance(t, Type) and t.size >= _WEIGHT]
        moved = sum([t.size * t.dtype.itemsize for t in weights])
        return _ENTRY * (len(self.params[0][1]) if self.op is call else 1) + _BYTE * moved

    @property
    def is_large(self) -> bool:
        """Whether arithmetic is what a node costs."""
        if self.op is not call:
            return _any_large(self.types)
        body = self.params[0][1]
        found: bool | None = body.schedules.get("is large")
        if found is None:
            found = body.schedules["is large"] = _any_large([e[3] for e in body.entries])
        return found


def _any_large(types: Iterable[Any]) -> bool:
    return any(isinstance(t, Type) and t.size >= _LARGE for t in types)


class _Reading:
    """One time that values are computed.

    chosen : the nodes that run, in order, with their kinds; roots : for a view the value that it is
    a view of, as far as that is one of the chosen or known
    """

    def __init__(self, tape: Any, needed: Iterable[int], start: int) -> None:
        self.tape, self.entries, self.values = tape, tape.entries, tape.values
        self.bindings, self.constants = tape.bindings, tape.constants
        self.kinds: dict[Any, _Kind] = {}
        self.chosen: dict[int, _Kind] = {}
        self.roots: dict[int, int] = {}
        entries = self.entries
        for k in sorted(needed):
            op, operands, params, _ = entries[k]
            if op in _CHEAP:
                self.roots[k] = self.roots.get(operands[0], operands[0])
            elif not self._is_known(k) and operands:
                key = (op, params, tuple([entries[o][3] for o in operands]))
                kind = self.kinds.get(key)
                if kind is None:
                    kind = self.kinds[key] = _Kind(*key)
                self.chosen[k] = kind
        self._add_others(start)

    def _is_known(self, k: int) -> bool:
        """Whether a value is there; those of leaves are put there."""
        if k in self.values:
            return True
        op = self.entries[k][0]
        if op is INPUT and k in self.bindings:
            self.values[k] = self.bindings[k]
        elif op is CONSTANT:
            self.values[k] = self.constants[k]
        else:
            return False
        return True

    def _add_others(self, start: int) -> None:
        """Choose further nodes of the kinds that are needed, or were at an earlier time."""
        wanted: dict[Any, _Kind] = self.tape.kinds_read
        wanted.update({key: kind for key, kind in self.kinds.items() if not kind.is_large})
        for key in wanted.keys() - self.kinds.keys():
            self.kinds[key] = wanted[key] = _Kind(*key)
        operators = {kind.op for kind in wanted.values()}
        entries, chosen, roots = self.entries, self.chosen, self.roots
        for k in range(start if wanted else len(entries), len(entries)):
            op, operands, params, _ = entries[k]
            if op in _CHEAP:
                root = roots.get(operands[0], operands[0])
                if root in chosen or self._is_known(root):
                    roots[k] = root
            elif op in operators and k not in chosen and k not in self.values:
                kind = wanted.get((op, params, tuple([entries[o][3] for o in operands])))
                if kind is not None and all(
                    o in chosen or o in roots or self._is_known(o) for o in operands
                ):
                    chosen[k] = kind

    def pays(self) -> bool:
        """Whether batches are estimated to be faster."""
        saved, spent = 0.0, len(self.chosen) * _NODE
        counts = Counter(map(id, self.chosen.values()))
        for kind in self.kinds.values():
            nodes = counts[id(kind)]
            if nodes >= kind.least:
                saved += (nodes - 1) * kind.seconds
                spent += _BATCH
        return saved > spent

    # ------------------------------------------------------------ running

    def run(self) -> None:
        """Run the chosen nodes: next those whose kind lies nearest to what is known."""
        waiting, users = self._count()
        kinds = list(self.kinds.values())
        with np.errstate(all="ignore"):
            while True:
                ready = [kind for kind in kinds if kind.ready]
                if not ready:
                    return
                kind = min(ready, key=lambda kind: kind.depth / kind.nodes)
                batch, kind.ready = kind.ready, []
                self._run_batch(kind, batch)
                for k in batch:
                    for user in users.get(k, ()):
                        waiting[user] -= 1
                        if not waiting[user]:
                            self.chosen[user].ready.append(user)

    def _count(self) -> tuple[dict[int, int], dict[int, list[int]]]:
        """For each node how many operands it waits for; and who waits for it."""
        depth: dict[int, int] = {}
        waiting: dict[int, int] = {}
        users: dict[int, list[int]] = {}
        chosen, roots = self.chosen, self.roots
        for k in sorted(chosen):
            own = waits = 0
            for o in self.entries[k][1]:
                root = roots.get(o, o)
                if root in chosen:
                    waits += 1
                    users.setdefault(root, []).append(k)
                    own = max(own, depth[root])
            depth[k], waiting[k] = own + 1, waits
            kind = chosen[k]
            kind.nodes += 1
            kind.depth += own + 1
            if not waits:
                kind.ready.append(k)
        return waiting, users

    def _value(self, k: int) -> Any:
        """A value whose root is known."""
        values = self.values
        if k not in values:
            chain = [k]
            while chain[-1] not in values:
                chain.append(self.entries[chain[-1]][1][0])
            for at in reversed(chain[:-1]):
                op, operands, params, _ = self.entries[at]
                root = values[operands[0]]
                if op is _PROJECT:
                    values[at] = root[params[0][1]]
                else:
                    values[at] = evaluate_entry(op, [root], params)
        return values[k]

    def _run_singly(self, k: int) -> None:
        op, operands, params, _ = self.entries[k]
        self.values[k] = evaluate_entry(op, [self._value(o) for o in operands], params)

    def _run_batch(self, kind: _Kind, batch: list[int]) -> None:
        runner = None
        if len(batch) >= kind.least and kind.types:
            columns = list(zip(*[self.entries[k][1] for k in batch], strict=True))
            runner = _runner(kind, self._flags(kind, columns))
        if runner is None:
            for k in batch:
                self._run_singly(k)
            return
        operands = [
            _stacked([self._value(o) for o in column], type_)
            if flag
            else np.asarray(self._value(column[0]))
            for column, flag, type_ in zip(columns, runner.flags, kind.types, strict=True)
        ]
        outputs = runner.run(len(batch), operands)
        if kind.op is call:
            for k, rows in zip(batch, zip(*outputs, strict=True), strict=True):
                self.values[k] = rows
        else:
            self.values.update(zip(batch, outputs[0], strict=True))

    def _flags(self, kind: _Kind, columns: Sequence[Sequence[int]]) -> tuple[bool, ...]:
        """Which operands are stacked: all but leaves that the whole batch has in common."""
        flags = [
            self.entries[column[0]][0] not in (INPUT, CONSTANT)
            or any(o != column[0] for o in column)
            for column in columns
        ]
        if not any(flags):
            flags[int(np.argmin([t.size for t in kind.types]))] = True
        return tuple(flags)


def _stacked(values: Sequence[Any], type_: Type) -> Any:
    rows = np.empty((len(values), *type_.shape), type_.dtype)
    if type_.shape:
        np.concatenate(values, out=rows.reshape(-1, *type_.shape[1:]))
    else:
        rows[:] = values
    return rows


# ---------------------------------------------------------------- one kind in a batch


class _Runner:
    """The values of a graph over a batch: by NumPy, and by native code if it comes often."""

    def __init__(
        self, graph: Graph, flags: tuple[bool, ...], template: Sized, *, native: bool
    ) -> None:
        self.flags = flags
        self._graph, self._template = graph, template
        types = [*graph.input_types, *graph.output_types]
        stacked = [*flags, *[True] * len(graph.outputs)]
        strides = [t.size * t.dtype.itemsize * s for t, s in zip(types, stacked, strict=True)]
        self._strides = np.array(strides, np.int64)
        self._native: Any = None
        self._rows_left = _OFTEN if native else -1

    def __len__(self) -> int:
        return 8 * len(self._template.entries)

    def _batched(self, n: int) -> Graph:
        return batch_graph(self._graph, self.flags, n, all_outputs=True).graph

    def run(self, n: int, operands: Sequence[Any]) -> list[Any]:
        """The outputs, a row for each of n nodes."""
        if self._rows_left > 0:
            self._rows_left -= n
            if self._rows_left <= 0:
                self._native, self._rows_left = self._made_native(), -1
        if self._native is None:
            template = self._template
            env = dict(zip(template.inputs, operands, strict=True))
            template.evaluate(template.outputs, env, n)
            return [env[k] for k in template.outputs]
        given = [np.ascontiguousarray(a) for a in operands]
        outputs = [np.empty((n, *t.shape), t.dtype) for t in self._graph.output_types]
        places = [a.__array_interface__["data"][0] for a in (*given, *outputs)]
        addresses = np.array(places, np.int64)
        self._native.run(n, addresses.ctypes.data, self._strides.ctypes.data)
        return outputs

    def _made_native(self) -> Any:
        # LLVM is loaded by the first program that needs it.
        from wengert.batching.native import sized_plan
        from wengert.optimise import optimise

        return sized_plan(lambda n: optimise(self._batched(n)).graph)


class _Missing:
    """Stands for a runner of a graph that has no template."""

    def __len__(self) -> int:
        return 1


def _runner(kind: _Kind, flags: tuple[bool, ...]) -> _Runner | None:
    is_call = kind.op is call
    graph = kind.params[0][1] if is_call else _graph_of(kind)
    if graph is None:
        return None

    def make() -> Any:
        template = sized(lambda n: batch_graph(graph, flags, n, all_outputs=True).graph)
        return _Missing() if template is None else _Runner(graph, flags, template, native=is_call)

    found = remembered("reading", graph, flags, is_call, make=make)
    return found if isinstance(found, _Runner) else None


def _graph_of(kind: _Kind) -> Graph | None:
    if not all(isinstance(t, Type) for t in kind.types):
        return None
    tape = Tape()
    inputs = [tape.input(t)._index for t in kind.types]
    made = tape.record(kind.op, tuple(inputs), kind.params)
    return tape.graph([made._index]) if isinstance(made._type, Type) else None
