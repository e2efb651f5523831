"""A stretch of a Wengert list as a linear map: tangents or cotangents in many directions at once.

The stretch lies between two *frontiers*: the values that are known before it and those that are
needed after it. Its Jacobian is a matrix, whose rows are the elements of the later frontier and
whose columns those of the earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.capture import Recorder
from wengert.graph import INPUT, Entry, Graph
from wengert.graph.tuples import NamedTuple
from wengert.ops import TABLE, zeros
from wengert.transform.batching import batch_graph
from wengert.transform.inline import inline
from wengert.transform.sweeps import active_entries, pushforward_sweep, reverse_sweep

__all__ = [
    "Units",
    "columns",
    "identity",
    "is_taken_whole",
    "pull",
    "push",
    "rows",
    "transposed",
]


class Units(NamedTuple):
    """Unit directions: the batch as handles, one array per value, and how to tell them again.

    places : entry of an array -> the first direction that belongs to it, of how many in all
    """

    seeds: list[Any]
    places: dict[int, tuple[int, int]]


def identity(tape: Any, values: Sequence[int]) -> Units:
    """One unit direction per element of the values of a frontier."""
    types = [tape.entries[k][3] for k in values]
    total = sum(t.size for t in types)
    found, places, at = [], {}, 0
    for t in types:
        basis = np.zeros((total, t.size), t.dtype)
        basis[np.arange(at, at + t.size), np.arange(t.size)] = 1
        basis.flags.writeable = False
        found.append(tape.constant(basis.reshape((total, *t.shape))))
        places[found[-1]._index] = (at, total)
        at += t.size
    return Units(found, places)


def is_taken_whole(spec: str, operand: int) -> bool:
    """Whether a contraction with unit directions in place of an operand gives the other operand:
    the operand is a vector, and summed over."""
    letters, out = spec.split("->")[0].split(",")[operand], spec.split("->")[1]
    return len(letters) == 1 and letters not in out


def _cut(entries: Sequence[Entry], start: int, stop: int) -> list[Entry]:
    """The entries up to `stop`, those up to `start` in the role of inputs."""
    return [(INPUT, (), (), e[3]) if i <= start else e for i, e in enumerate(entries[: stop + 1])]


def _env(tape: Any, count: int) -> list[Any]:
    return [tape.handle(tape, i, tape.entries[i][3]) for i in range(count)]


def _batched(
    tape: Any, local: Recorder, results: list[Any], seeds: Units | Sequence[Any]
) -> list[Any]:
    """What `local` recorded, for a batch of its own inputs, on `tape`.

    None for a result that depends on no seed.
    """
    places = seeds.places if isinstance(seeds, Units) else {}
    batch: Sequence[Any] = seeds.seeds if isinstance(seeds, Units) else seeds
    size = batch[0]._type.shape[0]
    given = dict(zip(local.inputs, batch, strict=False))
    at = [j for j, r in enumerate(results) if r is not None]
    outputs = []
    for j in at:
        own = results[j]
        outputs.append(own._index if own._tape is local else local.capture(own)._index)
    flags = [k in given for k in local.inputs]
    args = [given[k] if k in given else local.captured[k] for k in local.inputs]
    graph = batch_graph(local.graph(outputs), flags, size, all_outputs=True).graph
    found: list[Any] = [None] * len(results)
    for j, made in zip(at, _recorded(tape, graph, args, places), strict=True):
        found[j] = made
    return found


def _recorded(
    tape: Any, graph: Graph, args: Sequence[Any], places: dict[int, tuple[int, int]]
) -> list[Any]:
    """As `inline`; a contraction with unit directions takes the other operand as it is."""

    def record(op: Any, operands: tuple[int, ...], params: Any) -> Any:
        made = None
        if op is TABLE["contract"]:
            made = _taken(tape, operands, dict(params)["spec"], places)
        return tape.record(op, operands, params) if made is None else made

    return inline(tape, graph, args, record=record)


def _taken(
    tape: Any, operands: tuple[int, ...], spec: str, places: dict[int, tuple[int, int]]
) -> Any:
    """The contraction of units with another operand without a product, or None."""
    parts, out = spec.split("->")[0].split(","), spec.split("->")[1]
    for own, other in ((0, 1), (1, 0)):
        if operands[own] not in places or len(parts[own]) != 2:
            continue
        direction, summed = parts[own][0], parts[own][1]
        if direction in parts[other] or direction not in out or summed in out:
            continue
        start, total = places[operands[own]]
        left = parts[other].replace(summed, direction)
        if sorted(left) != sorted(out):
            continue
        x = tape.handle(tape, operands[other], tape.entries[operands[other]][3])
        x = TABLE["transpose"](x, axes=tuple(left.index(c) for c in out))
        widths = [(0, 0)] * len(out)
        rows_of = x._type.shape[out.index(direction)]
        widths[out.index(direction)] = (start, total - start - rows_of)
        return x if rows_of == total else TABLE["pad"](x, widths=tuple(widths))
    return None


def push(
    tape: Any,
    entries: Sequence[Entry],
    start: int,
    stop: int,
    before: Sequence[int],
    after: Sequence[int],
    seeds: Units | Sequence[Any],
) -> list[Any]:
    """Tangents of the values `after`, from a batch of tangents of the values `before`.

    `tape` begins with `entries`; those numbered `start` + 1 to `stop` are the stretch. A result is
    None where it is zero by structure.
    """
    local = Recorder(tape)
    tangents = {k: local.input(entries[k][3]) for k in before}
    env = _env(tape, stop + 1)
    pushforward_sweep(_cut(entries, start, stop), env.__getitem__, tangents)
    return _batched(tape, local, [tangents.get(k) for k in after], seeds)


def pull(
    tape: Any,
    entries: Sequence[Entry],
    start: int,
    stop: int,
    before: Sequence[int],
    after: Sequence[int],
    seeds: Units | Sequence[Any],
) -> list[Any]:
    """Cotangents of the values `before`, from a batch of cotangents of the values `after`."""
    local = Recorder(tape)
    cotangents = [local.input(entries[k][3]) for k in after]
    cut = _cut(entries, start, stop)
    active = active_entries(cut, before)
    contributions: dict[int, list[Any]] = {}
    for k, cotangent in zip(after, cotangents, strict=True):
        if active[k]:
            contributions.setdefault(k, []).append(cotangent)
    found = reverse_sweep(cut, _env(tape, stop + 1), active, contributions, before)
    return _batched(tape, local, [found.get(k) for k in before], seeds)


# ---------------------------------------------------------------- matrices


def transposed(matrix: Any) -> Any:
    """The transpose of a matrix on a tape."""
    return TABLE["transpose"](matrix, axes=(1, 0))


def rows(tape: Any, parts: Sequence[Any], types: Sequence[Any], size: int) -> Any:
    """A batch of `size` directions, one array per value, as one matrix with a row per direction."""
    flat = []
    for x, t in zip(parts, types, strict=True):
        if x is None:
            flat.append(zeros(tape, t.with_shape((size, t.size))))
        else:
            flat.append(TABLE["reshape"](x, shape=(size, t.size)))
    return flat[0] if len(flat) == 1 else TABLE["concatenate"](*flat, axis=1)


def columns(matrix: Any, types: Sequence[Any]) -> list[Any]:
    """The inverse of `rows`: a matrix with a row per direction as one batched array per value."""
    size, found, at = matrix._type.shape[0], [], 0
    for t in types:
        part = matrix
        if len(types) > 1:
            part = TABLE["slice_index"](matrix, key=((0, size, 1), (at, at + t.size, 1)))
        at += t.size
        found.append(TABLE["reshape"](part, shape=(size, *t.shape)))
    return found
