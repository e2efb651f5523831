"""Fusion: which entries of a graph run together in one loop nest.

A *group* iterates over one space, a shape without axes of length 1. Elementwise operators,
broadcasts and reductions join a group if every value in it can be addressed by a subset of the
group's axes. Groups are numbered in the order in which they run; an entry may join a group if its
operands come from earlier groups or are available inside it, so that running the groups in order
is always right. One pass over the entries, linear in their number.

A reduction over exactly the trailing axes from `Group.row` on is finished within one row of the
loop nest and can be used by later entries of the same group (softmax, layer norm). Any other
reduction is complete only when the whole nest has run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wengert.graph import CONSTANT, INPUT, Graph, Type
from wengert.plan.indices import given

__all__ = ["REDUCTIONS", "Group", "fuse"]

#: Reductions that a loop nest computes: operator -> how partial results combine.
REDUCTIONS = {"reduce_sum": "sum", "reduce_max": "max", "reduce_min": "min"}

# Joining looks this far back among the groups that are still open to an entry.
_CANDIDATES = 4

#: The longest single row whose reduction is finished before the rest of its group runs; a longer
#: one leaves the caches, so that nothing is gained, and is reduced in parallel.
_LONGEST_ROW = 32768

Axes = tuple[int, ...]


class Group:
    """Entries that run together.

    shape : the iteration space, without axes of length 1
    members : entries in order
    axes : value number -> for each of its axes the group's axis, -1 for length 1 (also for values
        that are loaded)
    row : the group's axis at which the rows begin that reductions finish, or None
    cuts : boundaries between group axes (b stands between b-1 and b) that some value crosses, so
        that the axes on both sides can't be one loop
    late : members that are complete only after the whole group
    fused : False for an entry that runs alone, by its own kernel or by NumPy
    """

    __slots__ = ("axes", "cuts", "fused", "late", "members", "order", "row", "shape")

    def __init__(
        self,
        order: int,
        shape: tuple[int, ...] = (),
        members: list[int] | None = None,
        *,
        fused: bool = True,
    ) -> None:
        self.order = order
        self.shape = shape
        self.members: list[int] = members or []
        self.axes: dict[int, Axes] = {}
        self.row: int | None = None
        self.cuts: set[int] = set()
        self.late: set[int] = set()
        self.fused = fused

    def counted(self, i: int, params: Any) -> Axes:
        """The axes over which member i, random bits, counts elements: those of its shape."""
        own = self.axes[i]
        return own[len(own) - len(dict(params)["shape"]) :]


def _dims(shape: Iterable[int]) -> Axes:
    found, next_dim = [], 0
    for n in shape:
        found.append(-1 if n == 1 else next_dim)
        next_dim += n != 1
    return tuple(found)


def _long(shape: Iterable[int]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)


def _cuts(axes: Axes, rank: int) -> set[int]:
    present = {a for a in axes if a >= 0}
    return {b for b in range(1, rank) if (b - 1 in present) != (b in present)}


class _Fuser:
    def __init__(self, graph: Graph, fusible: Any, together: Mapping[int, Sequence[int]]) -> None:
        self.graph = graph
        self.fusible = fusible
        self.together = together
        self.groups: list[Group] = []
        self.of: dict[int, int] = {}

    def run(self) -> list[Group]:
        live = self.graph.live()
        for i in given(self.graph):
            live[i] = False
        for i in (k for members in self.together.values() for k in members[:-1]):
            live[i] = False
        for i, (op, operands, params, type_) in enumerate(self.graph.entries):
            if op is INPUT or op is CONSTANT or not live[i]:
                continue
            if i in self.together:
                self._alone(i)
                continue
            earliest = max((self._available(k) for k in operands), default=0)
            if not self._may_fuse(i, op, type_, operands):
                self._alone(i)
                continue
            if not any(
                self._join(group, i, op, operands, params, type_) for group in self._open(earliest)
            ):
                self._begin(i, op, operands, params, type_)
        return self.groups

    def _available(self, k: int) -> int:
        """The first group in which value k can be used."""
        if k not in self.of:
            return 0
        group = self.groups[self.of[k]]
        return group.order + (not group.fused or k in group.late)

    def _may_fuse(self, i: int, op: Any, type_: Any, operands: Iterable[int]) -> bool:
        types = [self.graph.entries[k][3] for k in operands]
        if not isinstance(type_, Type) or any(
            not isinstance(t, Type) or t.size == 0 for t in (*types, type_)
        ):
            return False
        if op.name == "reshape":
            # Only axes of length 1 come or go; and there is a group that it can be part of.
            return _long(type_.shape) == _long(types[0].shape)
        return bool(self.fusible(op, types, type_))

    def _open(self, earliest: int) -> list[Group]:
        found = [g for g in self.groups[max(earliest, len(self.groups) - _CANDIDATES) :] if g.fused]
        if earliest < len(self.groups) and self.groups[earliest].fused:
            first = self.groups[earliest]
            if first not in found:
                found.insert(0, first)
        return found

    def _alone(self, i: int) -> None:
        self.of[i] = len(self.groups)
        self.groups.append(Group(len(self.groups), members=[i], fused=False))

    def _begin(self, i: int, op: Any, operands: Any, params: Any, type_: Type) -> None:
        if op.name == "reshape":
            self._alone(i)
            return
        source = self.graph.entries[operands[0]][3] if op.name in REDUCTIONS else type_
        group = Group(len(self.groups), shape=_long(source.shape))
        self.groups.append(group)
        if not self._join(group, i, op, operands, params, type_):
            self.groups.pop()
            self._alone(i)

    # ------------------------------------------------------------ joining

    def _join(self, group: Group, i: int, op: Any, operands: Any, params: Any, type_: Type) -> bool:
        if op.name in REDUCTIONS:
            return self._join_reduction(group, i, operands[0], dict(params)["axes"], type_)
        loads = self._member_axes(group, operands)
        if op.name == "reshape":
            own = loads[operands[0]]
            if own is None:
                return False
            long_axes = iter([a for a in own if a >= 0])
            axes: Axes | None = tuple(-1 if n == 1 else next(long_axes) for n in type_.shape)
        else:
            axes = self._result_axes(group, type_, operands, loads)
        if axes is None:
            return False
        counted = axes[len(axes) - len(dict(params)["shape"]) :] if op.name == "random_bits" else ()
        added = dict(loads)
        for k in operands:
            if loads[k] is None:
                shape = self.graph.entries[k][3].shape
                aligned = axes[len(axes) - len(shape) :] if shape else ()
                added[k] = tuple(-1 if n == 1 else a for n, a in zip(shape, aligned, strict=True))
        return self._add(group, i, axes, added, counted=counted)

    def _member_axes(self, group: Group, operands: Any) -> dict[int, Axes | None]:
        # A value that the group loads may be addressed by other axes elsewhere in it: only
        # members have fixed axes.
        return {
            k: group.axes[k] if self.of.get(k) == group.order and k not in group.late else None
            for k in operands
        }

    def _result_axes(
        self, group: Group, type_: Type, operands: Any, loads: dict[int, Axes | None]
    ) -> Axes | None:
        rank = len(type_.shape)
        whole = _dims(type_.shape) if _long(type_.shape) == group.shape else None
        found: list[int | None] = [-1 if n == 1 else None for n in type_.shape]
        for k in operands:
            own = loads[k]
            if own is None:
                continue
            for j, a in enumerate(own, start=rank - len(own)):
                if a < 0:
                    continue
                if found[j] is not None and found[j] != a:
                    return None
                found[j] = a
        if whole is not None:
            if any(f not in (None, w) for f, w in zip(found, whole, strict=True)):
                return None
            return whole
        if any(f is None for f in found):
            return None
        axes = tuple(f for f in found if f is not None)
        present = [a for a in axes if a >= 0]
        return axes if present == sorted(set(present)) else None

    def _join_reduction(self, group: Group, i: int, k: int, reduced: Axes, type_: Type) -> bool:
        source = self.graph.entries[k][3]
        own = self._member_axes(group, [k])[k]
        if own is None:
            if _long(source.shape) != group.shape:
                return False
            own = _dims(source.shape)
        if len([a for a in own if a >= 0]) != len(group.shape):
            return False
        gone = sorted(own[a] for a in reduced if own[a] >= 0)
        axes = tuple(a for position, a in enumerate(own) if position not in reduced)
        rank = len(group.shape)
        trailing = bool(gone) and gone == list(range(gone[0], rank))
        in_row = trailing and (
            group.row == gone[0]
            or (
                group.row is None
                and (gone[0] > 0 or (rank == 1 and group.shape[0] <= _LONGEST_ROW))
                and not any(b > gone[0] for b in group.cuts)
            )
        )
        if in_row:
            group_row, group.row = group.row, gone[0]
            if self._add(group, i, axes, {k: own}):
                return True
            group.row = group_row
        return self._add(group, i, axes, {k: own}, late=bool(gone))

    def _add(
        self,
        group: Group,
        i: int,
        axes: Axes,
        loads: dict[int, Axes | None],
        *,
        late: bool = False,
        counted: Axes = (),
    ) -> bool:
        rank = len(group.shape)
        cuts = group.cuts | _cuts(counted, rank) if counted else set(group.cuts)
        for k, own in loads.items():
            if own is None:
                return False
            known = group.axes.get(k)
            if known is not None and known != own:
                return False
            cuts |= _cuts(own, rank)
        cuts |= _cuts(axes, rank)
        if group.row is not None and any(b > group.row for b in cuts):
            return False
        group.cuts = cuts
        group.axes.update({k: own for k, own in loads.items() if own is not None})
        group.axes[i] = axes
        group.members.append(i)
        if late:
            group.late.add(i)
        self.of[i] = group.order
        return True


def fuse(
    graph: Graph, fusible: Any, together: Mapping[int, Sequence[int]] | None = None
) -> list[Group]:
    """The groups of `graph` in the order in which they run.

    `fusible(op, operand types, result type)` says whether a loop nest can compute an operator.
    `together` has entries that run alone, each with those that run as part of it, itself the last.
    """
    return _Fuser(graph, fusible, together or {}).run()
