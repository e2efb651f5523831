"""One walk over a graph: every needed entry is recorded on a `Builder`, which does the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

from wengert.graph import CONSTANT, INPUT, Graph
from wengert.optimise.builder import Builder, RuleIndex
from wengert.optimise.printing import expression
from wengert.optimise.record import Record

__all__ = ["rewrite"]


#: How an entry is emitted instead: (builder, new numbers of the old values) -> new number.
Emit = Callable[[Builder, list[int]], int]


def rewrite(
    graph: Graph,
    origin: list[int],
    index: RuleIndex,
    log: list[Record],
    stage: str,
    instead: Mapping[int, Emit] | None = None,
    settled: Set[int] = frozenset(),
    more: RuleIndex | None = None,
) -> tuple[Graph, list[int], Set[int]]:
    """The graph rebuilt with the rules of `index`, without duplicates and dead entries.

    Parameters
    ----------
    origin : for each entry its number in the graph that the user gave, or -1
    instead : for some entries, how to emit them in another way
    settled : entries that no rule changes, as long as nothing that they are made from does
    more : rules of `index` that `settled` does not speak of

    Returns
    -------
    The graph, its `origin`, and its `settled`
    """
    if settled and not instead and _is_settled(graph, settled, more):
        return graph, origin, settled
    builder = Builder(index, stage=stage, log=log)
    uses = [0] * len(graph.entries)
    live = graph.live()
    for i, (_, operands, _, _) in enumerate(graph.entries):
        if live[i]:
            for k in operands:
                uses[k] += 1
    for k in graph.outputs:
        uses[k] += 1
    dead = sum(not live[i] and bool(entry[1]) for i, entry in enumerate(graph.entries))
    if dead:
        log.append(
            Record(
                stage,
                "dead",
                "no output needs them",
                "floats",
                "kept",
                "",
                f"{dead} entries",
                "nothing",
            )
        )
    where = [-1] * len(graph.entries)
    first: dict[int, int] = {}
    #: Entries that are what they were.
    same = [True] * len(graph.entries)
    for i, (op, operands, params, type_) in enumerate(graph.entries):
        if op is INPUT:
            k = builder.input(type_, graph.names.get(i))._index
        elif not live[i]:
            continue
        elif op is CONSTANT:
            k = builder.add_constant(graph.constants[i])
            same[i] = builder.entries[k][0] is CONSTANT
        else:
            builder.line = graph.lines.get(i, "")
            known, noted = len(builder.entries), len(log)
            mapped = tuple([where[j] for j in operands])
            alike = all(same[j] for j in operands)
            if instead and i in instead:
                k = instead[i](builder, where)
                same[i] = False
            else:
                if alike and i in settled:
                    k = builder.keep(op, mapped, params, type_, more)
                else:
                    k = builder.emit(op, mapped, params)
                same[i] = alike and builder.entries[k][:3] == (op, mapped, params)
            if k < known and len(log) == noted and k in first and not builder.is_silent:
                text = expression(builder, (op, mapped, params))
                log.append(_shared(stage, builder.line, text, origin[i], origin[first[k]]))
        where[i] = k
        first.setdefault(k, i)
        builder.add_uses(k, uses[i])
        if origin[i] >= 0 and op is not CONSTANT:
            builder.origin.setdefault(k, origin[i])
    return builder.finished([where[k] for k in graph.outputs], [where[k] for k in graph.inputs])


def _is_settled(graph: Graph, settled: Set[int], more: RuleIndex | None) -> bool:
    """Whether no entry would change: all have come from a builder, and no rule fits."""
    leaves = sum(op is INPUT or op is CONSTANT for op, *_ in graph.entries)
    if len(settled) + leaves < len(graph.entries):
        return False
    return more is None or not any(
        more.may_change(op) for op, *_ in graph.entries if op is not INPUT and op is not CONSTANT
    )


def _shared(stage: str, line: str, text: str, own: int, other: int) -> Record:
    before = f"%{own} = {text}" if own >= 0 else text
    after = f"%{other}" if other >= 0 else "an entry made before"
    why = "the same operator on the same operands"
    return Record(stage, "same-value", why, "floats", "kept", line, before, after)
