"""Optimal schedules for chains: binomial checkpointing.

Reversing a chain of n steps needs the states before each step in reverse order. With s slots for
states (one of them holds the initial state) and no step advanced over more than r times,
C(s + r, s) steps can be reversed, and no schedule reverses more (Griewank and Walther, "Algorithm
799: revolve", 2000). All counts here are of forward steps that only advance; the step that is run
once more right before it is reversed belongs to the reversal.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb

from wengert.graph.tuples import NamedTuple

__all__ = [
    "Action",
    "Move",
    "advances",
    "advances_online",
    "capacity",
    "first_stretch",
    "kept_online",
    "moves",
    "repetitions",
    "revolve",
]


class Action(NamedTuple):
    """One action of a schedule.

    what : "store" the current state, which is the one before step `step`, in a slot; "advance" from
        the current state to the one before step `step`; "restore" the state before step `step`
        from its slot; "free" that slot; "reverse" step `step`, whose initial state is current
    """

    what: str
    step: int


def capacity(slots: int, repeats: int) -> int:
    """The most steps that can be reversed with `slots` slots when none is advanced over more than
    `repeats` times."""
    return comb(slots + repeats, slots)


def repetitions(steps: int, slots: int) -> int:
    """The smallest r with `capacity(slots, r) >= steps`."""
    repeats = 0
    while capacity(slots, repeats) < steps:
        repeats += 1
    return repeats


def advances(steps: int, slots: int) -> int:
    """The forward steps of an optimal schedule: r n - C(s + r, s + 1).

    >>> advances(10, 3)
    15
    """
    repeats = repetitions(steps, slots)
    return repeats * steps - comb(slots + repeats, slots + 1)


def first_stretch(steps: int, slots: int) -> int:
    """How far an optimal schedule advances before it stores the next state."""
    repeats = repetitions(steps, slots)
    # Between the smallest split that leaves no more than the slots can hold, and the largest.
    low = capacity(slots, repeats - 2) if repeats >= 2 else 1
    return max(low, steps - capacity(slots - 1, repeats), 1)


def revolve(steps: int, slots: int, first: int = 0) -> Iterator[Action]:
    """The actions of an optimal schedule, begun at the state before step `first`.

    The number of "advance" steps is `advances(steps, slots)`.

    >>> [f"{a.what} {a.step}" for a in revolve(2, 1)]
    ['advance 1', 'reverse 1', 'restore 0', 'reverse 0']
    """
    if slots < 1:
        raise ValueError("a schedule needs a slot for the initial state")
    # Segments still to reverse: begin, end, and the slots for them, that of `begin` included.
    stack: list[tuple[str, int, int, int]] = [("segment", first, first + steps, slots)]
    current = first
    while stack:
        what, begin, end, free = stack.pop()
        if what == "free":
            yield Action("free", begin)
            continue
        if end <= begin:
            continue
        if current != begin:
            yield Action("restore", begin)
            current = begin
        if end - begin == 1:
            yield Action("reverse", begin)
            current = -1
        elif free == 1:
            yield Action("advance", end - 1)
            yield Action("reverse", end - 1)
            current = -1
            stack.append(("segment", begin, end - 1, 1))
        else:
            middle = begin + first_stretch(end - begin, free)
            yield Action("advance", middle)
            current = middle
            stack.append(("segment", begin, middle, free))
            if end - middle > 1:
                yield Action("store", middle)
                stack.append(("free", middle, 0, 0))
                stack.append(("segment", middle, end, free - 1))
            else:
                stack.append(("segment", middle, end, 1))


class Move(NamedTuple):
    """One step of a schedule, with the places of states.

    forward : whether step `step` is run forward, or reversed
    source : the place of the state before it, -1 for the initial state
    target : the place of the state after it; -1 where it is reversed
    """

    forward: bool
    step: int
    source: int
    target: int


def moves(steps: int, slots: int) -> tuple[list[Move], int]:
    """The actions of `revolve` step by step, and how many places for states they take.

    Storing, restoring and freeing take no time: a state that is stored stays where it was made.

    >>> moves(2, 1)
    ([Move(forward=True, step=0, source=-1, target=0),
      Move(forward=False, step=1, source=0, target=-1),
      Move(forward=False, step=0, source=-1, target=-1)], 1)
    """
    found: list[Move] = []
    free: list[int] = []
    places = 0
    stored = {0: -1}
    current, now = -1, 0

    def leave() -> None:
        if current >= 0 and current not in stored.values():
            free.append(current)

    for what, step in revolve(steps, slots):
        if what == "advance":
            for s in range(now, step):
                if free:
                    target = free.pop()
                else:
                    target, places = places, places + 1
                found.append(Move(True, s, current, target))
                leave()
                current = target
            now = step
        elif what == "store":
            stored[step] = current
        elif what == "restore":
            leave()
            current, now = stored[step], step
        elif what == "free":
            place = stored.pop(step)
            if place != current:
                free.append(place)
        else:
            found.append(Move(False, step, current, -1))
            leave()
            current = -1
    return found, places


def kept_online(steps: int, slots: int) -> list[int]:
    """The states that are held after `steps` steps of a loop whose length was not known.

    Half of the slots hold states that are evenly spaced, the others wait for the way back. When a
    state finds them full, every second one is given up, which doubles the spacing.
    """
    most = max(1, slots // 2)
    spacing = 1
    while -(-steps // spacing) > most:
        spacing *= 2
    return list(range(0, steps, spacing))


def advances_online(steps: int, slots: int) -> int:
    """The forward steps that reverse a loop from the states of `kept_online`, after it has run."""
    held = kept_online(steps, slots)
    ends = [*held[1:], steps]
    return sum(
        advances(end - begin, slots - before)
        for before, (begin, end) in enumerate(zip(held, ends, strict=True))
    )
