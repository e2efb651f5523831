"""What the page is given: one JSON document. The mirror of `web/src/payload.ts`.

JSON has no NaN, infinity or signed zero, so a number is a JSON number or one of the strings "nan",
"inf", "-inf", "-0".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

import numpy as np

from wengert.errors import DerivativeError
from wengert.explain.calls import find_groups
from wengert.explain.page.arrays import MOST_NUMBERS, MOST_SEEDS, ArrayProgram, make_arrays
from wengert.explain.page.numbers import Budget, Value, wire_value
from wengert.explain.page.programs import Program, page_name, param_value, to_program
from wengert.explain.page.repeats import find_repeats
from wengert.explain.page.source import SourceText, find_source, line_number
from wengert.explain.structure import type_size
from wengert.explain.sweeps import adjoints, tangents
from wengert.graph import CONSTANT, INPUT

if TYPE_CHECKING:
    from wengert.explain.explanation import Explanation
    from wengert.explain.facts import Edge, Facts

__all__ = ["NodeRecord", "Partial", "Payload", "Schedule", "View", "make_payload", "make_view"]

_LONGEST_EXPRESSION = 160
_MOST_NAMES = 6


class Partial(TypedDict):
    """The local partial on an edge. Null in its place: zero by structure."""

    program: NotRequired[Program]
    text: NotRequired[str]
    value: Value
    structure: str
    nnz: int
    needs: list[int]


class NodeRecord(TypedDict):
    """One entry of the Wengert list; `id` is its position."""

    id: int
    kind: Literal["input", "constant", "op"]
    op: str
    label: str
    name: str
    operands: list[int]
    params: dict[str, Any]
    shape: list[int]
    size: int
    dtype: str
    value: Value
    partials: list[Partial | None]
    differentiable: bool
    line: int | None
    group: int | None
    batch: int | None
    adjoints: NotRequired[dict[str, Value]]
    tangents: NotRequired[dict[str, Value]]


class OutputRecord(TypedDict):
    """One result: its node and its name."""

    node: int
    name: str


class GroupRecord(TypedDict):
    """A piece of the graph that folds; neighbours of one family and parent fold together."""

    label: str
    parent: int | None
    family: str


class Check(TypedDict):
    """A derivative by finite differences, where the page cannot compute it (arrays)."""

    output: int
    input: int
    forward: Value
    reverse: Value
    finite: Value


class View(TypedDict):
    """One graph. `noForward` is why forward mode is not available; '' where it is.

    `arrays` is there where some value is an array, and null in a graph that is too large to be
    computed on the page: with more elements of inputs and constants than `mostNumbers`, or else
    with too many operators or products.
    """

    name: str
    expression: str
    source: SourceText | None
    nodes: list[NodeRecord]
    outputs: list[OutputRecord]
    groups: list[GroupRecord]
    checks: list[Check]
    batches: list[str]
    noForward: str
    arrays: NotRequired[ArrayProgram | None]
    mostNumbers: NotRequired[int]


class Payload(TypedDict):
    """The whole document."""

    format: Literal["wengert-explain"]
    version: Literal[1]
    title: str
    language: Literal["en", "zh"] | None
    views: list[View]


class Schedule(TypedDict):
    """A batched schedule: batch number by value number, and the batches' names."""

    batch: Mapping[int, int]
    names: Sequence[str]


def make_payload(
    *explanations: Explanation,
    title: str | None = None,
    names: Sequence[str] = (),
    language: Literal["en", "zh"] | None = None,
    schedules: Sequence[Schedule | None] = (),
) -> Payload:
    """The payload of a page that shows one explanation, or two side by side.

    Parameters
    ----------
    explanations : one or two
    title : heading of the page; by default the functions with their arguments
    names : heading of each graph where there are two
    language : language the page starts in; by default the browser's
    schedules : for each explanation the batches that its operators are coloured by, or None
    """
    views = [
        make_view(e, name=name, schedule=schedule)
        for e, name, schedule in zip(
            explanations, [*names, "", ""], [*schedules, None, None], strict=False
        )
    ]
    if title is None:
        title = " · ".join(dict.fromkeys(_title(e) for e in explanations))
    return {
        "format": "wengert-explain",
        "version": 1,
        "title": title,
        "language": language,
        "views": views,
    }


def _title(explanation: Explanation) -> str:
    names = [explanation.facts.names[i] for i in explanation.graph.inputs]
    if len(names) > _MOST_NAMES:
        names = [*names[: _MOST_NAMES - 1], "…", names[-1]]
    return f"{explanation.function}({', '.join(names)})"


def make_view(
    explanation: Explanation, *, name: str = "", schedule: Schedule | None = None
) -> View:
    """One graph for the page."""
    facts = explanation.facts
    graph = facts.graph
    budget = Budget(arrays=len(graph) * (2 + min(len(facts.inputs), MOST_SEEDS)))
    source = find_source(graph.lines, facts.source)
    nodes = [_node(facts, i, source, budget) for i in range(len(graph))]
    groups = _group(facts, nodes)
    if schedule is not None:
        for i, batch in schedule["batch"].items():
            nodes[i]["batch"] = batch
    checks: list[Check] = []
    no_forward = ""
    if any(node["shape"] for node in nodes):
        no_forward = _add_sweeps(facts, nodes, budget)
        checks = _checks(facts, budget)
    view: View = {
        "name": name,
        "expression": _expression(explanation),
        "source": source,
        "nodes": nodes,
        "outputs": [{"node": o.index, "name": o.name} for o in facts.outputs],
        "groups": groups,
        "checks": checks,
        "batches": [] if schedule is None else list(schedule["names"]),
        "noForward": no_forward,
    }
    if any(node["shape"] for node in nodes):
        view["arrays"] = make_arrays(facts, _float_outputs(facts))
        view["mostNumbers"] = MOST_NUMBERS
    return view


def _group(facts: Facts, nodes: list[NodeRecord]) -> list[GroupRecord]:
    """Groups by calls of functions; what is outside of them, by the turns of loops."""
    calls = find_groups(facts.calls, facts.operators)
    repeats = find_repeats(facts.graph, facts, calls.of)
    found: list[GroupRecord] = [
        {"label": label, "parent": parent, "family": family}
        for label, parent, family in calls.groups
    ]
    for i, group in calls.of.items():
        nodes[i]["group"] = group
    for i, group in repeats.group_of.items():
        nodes[i]["group"] = group + len(found)
    found += [{"label": r.label, "parent": None, "family": r.family} for r in repeats.groups]
    return found


def _expression(explanation: Explanation) -> str:
    formula = explanation.function_formula(0, "pretty")
    short = not formula.definitions and len(formula.text) <= _LONGEST_EXPRESSION
    return formula.text if short else ""


def _shape(type_: Any) -> tuple[list[int], str]:
    if isinstance(type_, tuple):  # several results; `project` reads one of them
        return [len(type_)], "results"
    return list(type_.shape), str(type_.dtype)


def _node(facts: Facts, i: int, source: SourceText | None, budget: Budget) -> NodeRecord:
    op, operands, params, type_ = facts.graph.entries[i]
    leaf = op is INPUT or op is CONSTANT
    shape, dtype = _shape(type_)
    named = not (op is CONSTANT and shape == [])
    return {
        "id": i,
        "kind": "input" if op is INPUT else "constant" if op is CONSTANT else "op",
        "op": "" if leaf else page_name(op, type_),
        "label": facts.label(i),
        "name": facts.names[i] if named else "",
        "operands": list(operands),
        "params": {} if leaf else {key: param_value(value) for key, value in params},
        "shape": shape,
        "size": type_size(type_),
        "dtype": dtype,
        "value": wire_value(facts.values[i], budget),
        "partials": [] if leaf else [_partial(e, budget) for e in facts.edges[i]],
        "differentiable": i in facts.inputs,
        "line": line_number(facts.graph.lines.get(i, ""), source),
        "group": None,
        "batch": None,
    }


def _partial(edge: Edge | None, budget: Budget) -> Partial | None:
    if edge is None:
        return None
    value = None if edge.is_masked else wire_value(edge.value, budget)
    found: Partial = {
        "value": value,
        "structure": edge.structure.kind,
        "nnz": edge.structure.nnz,
        "needs": list(edge.needs),
    }
    program = None if edge.local is None else to_program(edge.local)
    if program is not None:
        found["program"] = program
    elif edge.local is not None:
        found["text"] = edge.formula("pretty")
    return found


def _add_sweeps(facts: Facts, nodes: list[NodeRecord], budget: Budget) -> str:
    """Adjoints and tangents from seeds of ones: the page cannot compute with arrays.

    Returns why there are no tangents, or ''.
    """
    for output in _float_outputs(facts):
        for i, value in adjoints(facts, output).items():
            nodes[i].setdefault("adjoints", {})[str(output)] = wire_value(value, budget)
    try:
        for source in facts.inputs[:MOST_SEEDS]:
            for i, value in tangents(facts, source).items():
                nodes[i].setdefault("tangents", {})[str(source)] = wire_value(value, budget)
    except DerivativeError as error:  # a custom_vjp that only reverse mode can use
        for node in nodes:
            node.pop("tangents", None)
        return error.message
    return ""


def _float_outputs(facts: Facts) -> list[int]:
    indices = dict.fromkeys(o.index for o in facts.outputs)
    return [i for i in indices if facts.graph.type(i).is_float][:MOST_SEEDS]


def _checks(facts: Facts, budget: Budget) -> list[Check]:
    from wengert.explain.derivatives import finite_difference

    found: list[Check] = []
    for output in _float_outputs(facts):
        rank = len(facts.graph.type(output).shape)
        for source in facts.inputs[:MOST_SEEDS]:
            slope = finite_difference(facts, output, source)
            if slope is not None:  # of the sum of the output's elements, as in the sweeps
                slope = np.sum(slope, axis=tuple(range(rank)))
            found.append(
                {
                    "output": output,
                    "input": source,
                    "forward": None,
                    "reverse": None,
                    "finite": wire_value(slope, budget),
                }
            )
    return found
