"""`explain` and `explain_formula`: from a function or a formula to its explanation."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from wengert.capture import Captured, capture, flatten, function_name, unflatten
from wengert.capture.trees import leaf_names
from wengert.errors import ArgumentError
from wengert.explain.calls import CallLines, Calls
from wengert.explain.explanation import Explanation
from wengert.explain.facts import Facts, prune
from wengert.explain.formula import parse_formula
from wengert.explain.source import OwnSource, find_own_source
from wengert.graph import Graph, Traced, current_tape

__all__ = ["explain", "explain_formula"]


def explain(f: Callable[..., Any]) -> Callable[..., Explanation]:
    """A function that takes the arguments of `f` and explains the derivatives of `f` there.

    The call runs `f` once, with any Python control flow. Every float among the arguments, or in
    trees of them, is an input to differentiate by; anything else, integers included, is passed on
    as it is. Inputs are named after the parameters (or, in trees, `params['w'][0]`) and stand in
    the order in which they were passed.

    Returns
    -------
    A function `(*args, **kwargs) -> Explanation`.

    Raises
    ------
    ArgumentError if there is no float among the arguments, or no float among the results.

    Example
    -------
    >>> import numpy as np, wengert as wg
    >>> logistic = lambda x, w, b: 1 / (np.exp(-(w * x + b)) + 1)
    >>> explanation = wg.explain(logistic)(x=1.0, w=0.0, b=0.0)
    >>> print(explanation.derivative_formula("w"))
    x*exp(-(w*x + b))/(exp(-(w*x + b)) + 1)**2
    >>> [float(d.value) for d in explanation.derivatives]
    [0.0, 0.25, 0.25]
    """

    @functools.wraps(f, assigned=("__name__", "__doc__", "__module__"), updated=())
    def explained(*args: Any, **kwargs: Any) -> Explanation:
        return _explain(f, args, kwargs, _display_name(f))

    return explained


def explain_formula(text: str, values: Mapping[str, Any]) -> Explanation:
    """The explanation of a formula in NumPy's vocabulary, for given values of its names.

    The formula is parsed, never evaluated as code. Inputs stand in the order of `values`.

    Raises
    ------
    FormulaError if the formula is not arithmetic, or a value is missing or not used.

    Example
    -------
    >>> from wengert.explain import explain_formula
    >>> explanation = explain_formula("x*sin(x)", {"x": 0.0})
    >>> print(explanation.derivative_formula())
    sin(x) + x*cos(x)
    """
    formula = parse_formula(text, values)
    floats = {name: np.asarray(value, np.float64)[()] for name, value in values.items()}
    return _explain(lambda **inputs: formula(inputs), (), floats, "f", lines=False)


def _display_name(f: Any) -> str:
    name = function_name(f)
    return name if name.isidentifier() else "f"


def _explain(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    name: str,
    *,
    lines: bool = True,
) -> Explanation:
    named = [*zip(_parameter_names(f, len(args)), args, strict=True), *kwargs.items()]
    leaves: list[Any] = []
    labels: list[str] = []
    rebuild: list[Callable[[list[Any]], Any]] = []
    for label, tree in named:
        found, structure = flatten(tree)
        _refuse_traced(found)
        where = [k for k, leaf in enumerate(found) if _is_float(leaf)]
        own_names = leaf_names(tree, label)
        start = len(leaves)
        leaves += [found[k] for k in where]
        labels += [_printable(own_names[k]) for k in where]
        rebuild.append(functools.partial(_rebuilt, structure, found, where, start))
    if not leaves:
        raise ArgumentError(
            f"explain: {name} was called without any float to differentiate by",
            hint="pass 1.0 instead of 1, or x.astype(float)",
        )

    noted = CallLines()

    def with_inputs(inputs: list[Any]) -> Any:
        if lines:
            noted.ignore(sys._getframe())
            current_tape().lines = noted
        trees = [build(inputs) for build in rebuild]
        count = len(args)
        keywords = dict(zip(kwargs, trees[count:], strict=True))
        return f(*trees[:count], **keywords)

    captured = capture(
        with_inputs,
        (leaves,),
        {},
        traced=(0,),
        purpose="explain",
        lines=lines,
        named=True,
        lift=False,
    )
    source = find_own_source(f) if lines else None
    return Explanation(_facts(captured, _unique(labels), name, source, noted.finish()))


def _rebuilt(
    structure: Any, leaves: list[Any], where: list[int], start: int, inputs: list[Any]
) -> Any:
    filled = list(leaves)
    for number, k in enumerate(where):
        filled[k] = inputs[start + number]
    return unflatten(structure, filled)


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in name)


def _unique(labels: list[str]) -> list[str]:
    found: dict[str, None] = {}
    for label in labels:
        while label in found:
            label += "*"
        found[label] = None
    return list(found)


def _parameter_names(f: Any, count: int) -> list[str]:
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "x")
    names = names[:count]
    return names + [f"{rest}{i + 1}" for i in range(count - len(names))]


def _is_float(leaf: Any) -> bool:
    if isinstance(leaf, (np.ndarray, np.generic)):
        return bool(leaf.dtype.kind == "f")
    return isinstance(leaf, float)


def _refuse_traced(leaves: list[Any]) -> None:
    if any(isinstance(leaf, Traced) for leaf in leaves):
        raise _nested()


def _nested() -> ArgumentError:
    return ArgumentError(
        "explain: it shows numbers, but was called on traced values, inside another transformation",
        hint="explain the derivative instead: wg.explain(wg.grad(f))(x)",
    )


def _facts(
    captured: Captured, labels: list[str], name: str, source: OwnSource | None, calls: Calls
) -> Facts:
    graph = captured.graph
    if any(isinstance(a, Traced) for a in captured.arguments):
        raise _nested()
    if not any(t.is_float for t in graph.output_types):
        raise ArgumentError(
            f"explain: {name} returned no float, so there is nothing to differentiate",
            hint="return a float or an array of floats",
        )
    graph = Graph(
        graph.entries,
        graph.inputs,
        graph.outputs,
        graph.constants,
        graph.lines,
        dict(zip(graph.inputs, labels, strict=True)),
    )
    pruned, where = prune(graph)
    known = {where[i]: value for i, value in captured.known.items() if i in where}
    outputs = _output_names(captured, name)
    found = calls.renumbered(where)
    return Facts(pruned, captured.arguments, known, outputs, name, source, found)


def _output_names(captured: Captured, name: str) -> list[str]:
    count = captured.out_count
    if count == 1:
        return [name]
    tree = unflatten(captured.out_structure, list(range(count)))
    return leaf_names(tree, name)
