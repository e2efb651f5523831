"""Values that a program reads while it records (`if h[0] > 0`), computed in batches.

When a value is asked for, what it needs is computed; and with it, in the same batches, what the
program has recorded since the last time that is of the same kinds, or of those needed before. Where
examples advance together and each then reads a value of its own, the first one to read finds the
values of all.

The backward sweep needs more than values. So all is computed again when the program has ended, in
larger batches, with what they keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from wengert.batching.reading_words import (
    ALIGNMENT,
    BLOCKED,
    CONTEXT,
    VIEW,
    setup_words,
    word_functions,
)
from wengert.batching.runners import Runner, runner_of
from wengert.batching.scanning import is_layout_known, row_of
from wengert.graph import CONSTANT, INPUT, Type
from wengert.ops import TABLE
from wengert.replay import results_of_call
from wengert.run import evaluate_entry
from wengert.transform.calling import call

__all__ = ["Reader", "compute"]

#: Nodes below which a batch costs more than running them singly; calls of compiled functions are
#: many operators each.
_LEAST, _LEAST_CALLS = 4, 2
#: In seconds: an operator that runs singly, and each byte of a weight that it reads; choosing one
#: node and putting it into a batch; a batch.
_ENTRY, _BYTE, _NODE, _BATCH = 4e-6, 0.1e-9, 1e-6, 30e-6
#: An operand of so many elements is likely to be a weight, which a batch reads once.
_WEIGHT = 1024
#: An operand or result of so many elements: what nobody has asked for is not computed, since the
#: arithmetic is what it costs.
_LARGE = 1 << 18
#: Identities that are held, in a table of so many places; rows are allocated so many bytes at once.
_IDENTITIES, _PLACES, _CHUNK = 1024, 4096, 1 << 18
_SLICE, _SAME = TABLE["slice_index"], (TABLE["reshape"], TABLE["stop_gradient"])

_PER_ENTRY = ("where", "seen", "done")
_PER_VALUE = ("address", "producer", "root", "shift", "is_leaf", "block")
_PER_NODE = (
    *("node_entries", "node_kinds", "starts", "firsts", "depth", "waiting", "bounds"),
    *("cursor", "following", "order", "chosen", "ends"),
)
_PER_ARG = ("args", "users")
_PER_KIND = ("total_depth", "members", "rank", "head", "tail")
_PER_IDENTITY = ("example", "kind_of", "offset_of", "is_row")


def compute(tape: Any, needed: Sequence[int], start: int, *, always: bool) -> bool:
    """Compute the needed values of a tape and, from entry `start` on, others of their kinds.

    Whether it was done: not if running the needed ones singly is estimated to be faster. Then
    `tape.reader` knows the values.
    """
    reader = tape.reader
    if reader is None:
        if not is_layout_known():
            return False
        reader = Reader(tape)
    if not reader.read(needed, start, always=always):
        return False
    tape.reader = reader
    return True


class _Kind:
    """Nodes of one operator, parameters and operand types; `runners` by which operands they have
    stacked."""

    def __init__(self, op: Any, params: Any, types: Sequence[Any]) -> None:
        self.op, self.params, self.types = op, params, types
        self.is_call = op is call
        #: Nodes from which a batch is worth it.
        self.least = _LEAST_CALLS if self.is_call else _LEAST
        self.runners: dict[tuple[bool, ...], Runner | None] = {}
        weights = [t for t in types if isinstance(t, Type) and t.size >= _WEIGHT]
        moved = sum([t.size * t.dtype.itemsize for t in weights])
        entries = len(params[0][1]) if self.is_call else 1
        #: What one node costs by itself and not in a batch, estimated.
        self.seconds = _ENTRY * entries + _BYTE * moved

    @property
    def is_large(self) -> bool:
        """Whether arithmetic is what a node costs."""
        if not self.is_call:
            return _any_large(self.types)
        body = self.params[0][1]
        found: bool | None = body.schedules.get("is large")
        if found is None:
            found = body.schedules["is large"] = _any_large([e[3] for e in body.entries])
        return found

    def runner(self, shared: Sequence[int]) -> Runner | None:
        """What runs a batch in which the nodes have these operands in common."""
        flags = tuple([not s for s in shared])
        if flags not in self.runners:
            stacked = list(flags)
            if not any(stacked):
                stacked[int(np.argmin([t.size for t in self.types]))] = True
            self.runners[flags] = runner_of(self.op, self.params, self.types, tuple(stacked))
        return self.runners[flags]


def _any_large(types: Iterable[Any]) -> bool:
    return any(isinstance(t, Type) and t.size >= _LARGE for t in types)


class Reader:
    """The values of a tape that have been computed together, and what else of it is known.

    Values lie in blocks of memory, which live as long as the tape.
    """

    def __init__(self, tape: Any) -> None:
        self._tape, self._entries = tape, tape.entries
        self._do = word_functions()
        self._words = np.zeros(len(CONTEXT), np.int64)
        self._at = self._words.ctypes.data
        self._arrays: dict[str, Any] = {}
        self._addresses: dict[str, int] = {}
        self._kinds: list[_Kind] = []
        self._numbers: dict[Any, int] = {}
        self._blocks: list[Any] = []
        self._block_addresses: list[int] = []
        self._free, self._free_end, self._chunk = 0, 0, -1
        self._scratch: Any = np.empty(0, np.uint8)
        self._scratch_at = 0
        self._inputs_seen, self._entries_seen = 0, 0
        self._setup = setup_words()
        self._put("setup", self._setup.ctypes.data)
        self._put("entries", id(self._entries))
        self._put("mask", _PLACES - 1)
        self._put("missing", -1)
        self._grow((*_PER_ENTRY, "found"), 1024)
        self._grow(_PER_VALUE, 2048)
        self._grow(_PER_NODE, 256)
        self._grow(_PER_ARG, 1024)
        self._grow(_PER_KIND, 16)
        self._grow(_PER_IDENTITY, _IDENTITIES)
        self._grow(("table",), _PLACES)
        self._grow(("flags", "batch"), 64)
        self._forget_identities()
        for k in tape.values:
            if self._entries[k][0] not in (INPUT, CONSTANT):
                self.note(k)

    # ------------------------------------------------------------ words

    def _put(self, name: str, value: int) -> None:
        self._words[CONTEXT[name]] = value

    def _get(self, name: str) -> int:
        return int(self._words[CONTEXT[name]])

    def _grow(self, names: Sequence[str], room: int) -> None:
        """Make room for so many numbers."""
        for name in names:
            old = self._arrays.get(name)
            made = np.full(room, -1 if name == "where" else 0, np.int64)
            if old is not None:
                made[: len(old)] = old
            self._arrays[name] = made
            self._addresses[name] = made.ctypes.data
            if name in CONTEXT:
                self._put(name, made.ctypes.data)
        if "address" in names:
            self._put("value_room", room)
        if "args" in names:
            self._put("arg_room", room)

    def _make_room(self, names: Sequence[str], count: int) -> None:
        if len(self._arrays[names[0]]) < count:
            self._grow(names, 2 * count)

    def _forget_identities(self) -> None:
        self._arrays["table"].fill(-1)
        self._put("identities", 0)

    # ------------------------------------------------------------ asking

    def needed(self, index: int) -> list[int]:
        """The entries that have no value and that an entry needs, which may be itself, in order."""
        if self._knows(index):
            return []
        self._make_room((*_PER_ENTRY, "found"), len(self._entries))
        count = self._do["need"](self._at, index, self._addresses["found"])
        found: list[int] = np.sort(self._arrays["found"][:count]).tolist()
        return found

    def _knows(self, k: int) -> bool:
        where = self._arrays["where"]
        if k >= len(where):
            return False
        return bool(where[k] >= 0 and self._arrays["address"][where[k]])

    def array(self, k: int) -> Any:
        """The value of an entry that has one."""
        type_ = self._entries[k][3]
        v = int(self._arrays["where"][k])
        if type_.__class__ is tuple:
            return tuple([self._array(v + j, t) for j, t in enumerate(type_)])
        return self._array(v, type_)

    def _array(self, v: int, type_: Type) -> Any:
        block = int(self._arrays["block"][v])
        begin = int(self._arrays["address"][v]) - self._block_addresses[block]
        if not type_.size:
            return np.empty(type_.shape, type_.dtype)
        made = np.ndarray(type_.shape, type_.dtype, self._blocks[block], begin)
        return made if type_.shape else made[()]

    def note(self, k: int) -> None:
        """Note that the tape has a value, which was computed otherwise."""
        self._make_room((*_PER_ENTRY, "found"), k + 1)
        self._arrays["done"][k] = 1

    # ------------------------------------------------------------ reading

    def read(self, needed: Sequence[int], start: int, *, always: bool) -> bool:
        """As `compute`."""
        entries = self._entries
        count = len(entries)
        self._make_room((*_PER_ENTRY, "found"), count)
        self._make_room(_PER_NODE, len(needed) + count - start + 1)
        self._note_leaves()
        first = self._get("values")
        self._put("nodes", 0)
        self._arrays["starts"][0] = 0
        try:
            self._look(np.array(self._to_batch(needed), np.int64), is_asking=True)
            self._look(np.arange(start, count), is_asking=False)
            if not always and not self._pays():
                return False
            self._run()
        finally:
            self._do["finish"](self._at, first)
        return True

    def _to_batch(self, needed: Sequence[int]) -> Sequence[int]:
        """The needed entries up to the last use of a compiled function; all, if there is none. What
        comes after it is computed from it once."""
        entries = self._entries
        for at in range(len(needed) - 1, -1, -1):
            if entries[needed[at]][0] is call:
                return needed[: at + 1]
        return needed

    def _note_leaves(self) -> None:
        tape, entries = self._tape, self._entries
        inputs = [k for k in tape.inputs[self._inputs_seen :] if k in tape.bindings]
        found = [(k, tape.bindings[k]) for k in inputs]
        self._inputs_seen = len(tape.inputs)
        for k in reversed(tape.constants):
            if k < self._entries_seen:
                break
            found.append((k, tape.constants[k]))
        self._entries_seen = len(entries)
        for k, value in found:
            v = self._hold(k, value)
            self._arrays["is_leaf"][v] = 1

    def _hold(self, k: int, value: Any) -> int:
        """Keep the value of an entry; the number of its first result."""
        type_ = self._entries[k][3]
        parts = zip(value, type_, strict=True) if type_.__class__ is tuple else [(value, type_)]
        numbers = []
        for part, own in parts:
            self._make_room(_PER_VALUE, self._get("values") + 2)
            array = np.ascontiguousarray(part, own.dtype)
            address = array.ctypes.data
            v = self._do["add_value"](self._at, address, -1, -1, 0)
            self._arrays["block"][v] = self._add_block(array, address)
            numbers.append(v)
        if numbers:
            self._arrays["where"][k] = numbers[0]
        return numbers[0] if numbers else 0

    def _add_block(self, array: Any, address: int) -> int:
        self._blocks.append(array)
        self._block_addresses.append(address)
        return len(self._blocks) - 1

    def _look(self, which: Any, *, is_asking: bool) -> None:
        self._put("is_asking", is_asking)
        begin, count, done = which.ctypes.data, len(which), 0
        was_large = False
        while True:
            done += self._do["look"](self._at, begin + 8 * done, count - done)
            if done >= count:
                break
            missing = self._get("missing")
            if missing >= 0:
                self._put("missing", -1)
                if missing in self._tape.values:
                    self._hold(missing, self._tape.values[missing])
                else:  # given up since
                    self._arrays["done"][missing] = 0
                continue
            k = int(which[done])
            type_ = self._entries[k][3]
            results = len(type_) if type_.__class__ is tuple else 1
            args = int(self._arrays["starts"][self._get("nodes")]) + len(self._entries[k][1])
            if self._get("values") + results >= self._get("value_room"):
                self._make_room(_PER_VALUE, self._get("values") + results + 1)
            elif args > self._get("arg_room"):
                self._make_room(_PER_ARG, args)
            else:
                kind = self._name(k, is_asking=is_asking)
                was_large = was_large or (kind >= 0 and self._kinds[kind].is_large)
                if kind == BLOCKED and is_asking:
                    done += 1
        if was_large:  # what nobody needs is not computed
            self._forget_identities()

    def _name(self, k: int, *, is_asking: bool) -> int:
        """Say of which kind the nodes are that are like an entry."""
        op, operands, params, type_ = self._entries[k]
        types = tuple([self._entries[o][3] for o in operands])
        kind, offset = BLOCKED, _offset(op, params, types, type_)
        if self._get("identities") >= _IDENTITIES - 1:
            self._forget_identities()
        if offset is not None:
            kind = VIEW
        else:
            key = (op, params, types)
            kind = self._numbers.get(key, BLOCKED)
            if kind == BLOCKED and is_asking and operands:
                self._make_room(_PER_KIND, len(self._kinds) + 1)
                kind = self._numbers[key] = len(self._kinds)
                self._kinds.append(_Kind(*key))
                self._put("kinds", len(self._kinds))
                self._forget_identities()
            elif kind >= 0 and not is_asking and self._kinds[kind].is_large:
                kind = BLOCKED
        self._do["remember"](self._at, k, kind, offset or 0)
        return kind

    def _pays(self) -> bool:
        """Whether batches are estimated to be faster."""
        nodes = self._get("nodes")
        counts = np.bincount(self._arrays["node_kinds"][:nodes], minlength=len(self._kinds))
        saved, spent = 0.0, nodes * _NODE
        for kind, own in zip(self._kinds, counts.tolist(), strict=True):
            if own >= kind.least:
                saved += (own - 1) * kind.seconds
                spent += _BATCH
        return saved > spent

    # ------------------------------------------------------------ running

    def _run(self) -> None:
        """Run the chosen nodes: next those whose kind lies nearest to what is known."""
        batches = self._do["arrange"](self._at)
        chosen = self._arrays["chosen"][:batches].tolist()
        begin = 0
        with np.errstate(all="ignore"):
            for kind, end in zip(chosen, self._arrays["ends"][:batches].tolist(), strict=True):
                self._run_batch(self._kinds[kind], begin, end)
                begin = end

    def _run_batch(self, kind: _Kind, begin: int, end: int) -> None:
        n, do, at = end - begin, self._do, self._at
        runner = None
        if n >= kind.least and kind.types:
            self._make_room(("flags", "batch"), len(kind.types))
            arity = do["common"](at, begin, end, self._addresses["flags"])
            runner = kind.runner(self._arrays["flags"][:arity].tolist())
        if runner is None:
            for node in self._arrays["order"][begin:end].tolist():
                self._run_singly(node)
            return
        self._make_room(("flags", "batch"), len(runner.sizes))
        room = n * runner.input_bytes + ALIGNMENT * (len(runner.sizes) + 1)
        if len(self._scratch) < room:
            self._scratch = np.empty(2 * room, np.uint8)
            self._scratch_at = self._scratch.ctypes.data
        inputs, outputs = _aligned(self._scratch_at), self._allocate(n, runner)
        addresses, sizes = self._addresses["batch"], runner.sizes_at
        do["gather"](at, begin, end, sizes, inputs, outputs, addresses)
        if runner.plan is not None:
            runner.plan.run(n, addresses, runner.strides_at)
        else:
            self._run_by_numpy(runner, n, begin)
        do["settle"](at, begin, end, sizes, addresses, self._chunk)

    def _allocate(self, n: int, runner: Runner) -> int:
        """Memory for the results of a batch, in the block `_chunk`."""
        size = n * runner.output_bytes + ALIGNMENT * len(runner.sizes)
        if self._free + size > self._free_end:
            chunk = np.empty(max(size, _CHUNK) + ALIGNMENT, np.uint8)
            address = chunk.ctypes.data
            self._chunk = self._add_block(chunk, address)
            self._free, self._free_end = _aligned(address), address + len(chunk)
        found = self._free
        self._free = _aligned(found + size)
        return found

    def _run_by_numpy(self, runner: Runner, n: int, begin: int) -> None:
        places = self._arrays["batch"].tolist()
        first = int(self._arrays["starts"][self._arrays["order"][begin]])
        operands = []
        for p, (flag, type_) in enumerate(zip(runner.flags, runner.input_types, strict=True)):
            if flag:
                offset = places[p] - self._scratch_at
                operands.append(_rows(n, type_, self._scratch, offset))
            else:
                operands.append(self._array(int(self._arrays["args"][first + p]), type_))
        found = runner.by_numpy(n, operands)
        block, address = self._blocks[self._chunk], self._block_addresses[self._chunk]
        arity = len(operands)
        for q, (rows, type_) in enumerate(zip(found, runner.output_types, strict=True)):
            _rows(n, type_, block, places[arity + q] - address)[...] = rows

    def _run_singly(self, node: int) -> None:
        k = int(self._arrays["node_entries"][node])
        op, operands, params, type_ = self._entries[k]
        known = [self._known(o) for o in operands]
        found = results_of_call(params, known) if op is call else None
        if found is None:
            found = evaluate_entry(op, known, params)
        first = int(self._arrays["firsts"][node])
        parts = zip(found, type_, strict=True) if type_.__class__ is tuple else [(found, type_)]
        for q, (part, own) in enumerate(parts):
            array = np.ascontiguousarray(part, own.dtype)
            address = array.ctypes.data
            self._arrays["block"][first + q] = self._add_block(array, address)
            self._arrays["address"][first + q] = address

    def _known(self, k: int) -> Any:
        """The value of an entry that has a number."""
        v = int(self._arrays["where"][k])
        self._do["address_of"](self._at, v)
        return self.array(k)


def _rows(n: int, type_: Type, block: Any, offset: int) -> Any:
    if not n * type_.size:
        return np.empty((n, *type_.shape), type_.dtype)
    return np.ndarray((n, *type_.shape), type_.dtype, block, offset)


def _aligned(address: int) -> int:
    return -(-address // ALIGNMENT) * ALIGNMENT


def _offset(op: Any, params: Any, types: Sequence[Any], type_: Any) -> int | None:
    """For an entry whose result is a part of its operand, or all of it, without gaps, how many
    bytes it begins after it; for a row by its number the bytes of one; None for all others."""
    if op in _SAME:
        return 0
    if op is not _SLICE:
        return None
    key, shape = params[0][1], types[0].shape
    stride: int = type_.dtype.itemsize
    if row_of(params, types[0]) >= 0:
        return type_.size * stride  # type: ignore[no-any-return]
    # Numbers, then one range, then whole axes.
    found, is_whole = 0, True
    for part, n in zip(reversed(key), reversed(shape), strict=True):
        if part.__class__ is int:
            found, is_whole = found + part * stride, False
        elif part.__class__ is not tuple or not is_whole or part[2] != 1 or not n:
            return None
        else:
            found, is_whole = found + part[0] * stride, part == (0, n, 1)
        stride *= n
    return found
