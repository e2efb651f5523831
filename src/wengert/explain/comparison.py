"""Two explanations side by side, and the explanation of an optimised graph."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wengert.errors import ArgumentError
from wengert.explain.facts import Facts, prune
from wengert.explain.tables import columns
from wengert.explain.values import number_text, value_text
from wengert.graph import Graph
from wengert.optimise import Optimised, optimise

if TYPE_CHECKING:
    from wengert.explain.explanation import Explanation

__all__ = ["Comparison", "default_names", "optimised_facts"]

_MOST_INPUTS = 3
#: Operators whose meaning is lost in an optimised graph: it computes, and is not differentiated.
_OWN_DERIVATIVES = ("stop_gradient", "custom_jvp_call", "custom_vjp_call")


class Comparison:
    """Two explanations side by side; made by `Explanation.compare`.

    Attributes
    ----------
    left, right : the two explanations
    names : the heading of each
    """

    def __init__(
        self, left: Explanation, right: Explanation, names: tuple[str, str] | None = None
    ) -> None:
        self.left = left
        self.right = right
        self.names = default_names(left, right) if names is None else names

    def __iter__(self) -> Iterator[Explanation]:
        return iter((self.left, self.right))

    def to_html(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        title: str | None = None,
        language: Literal["en", "zh"] | None = None,
    ) -> str:
        """One self-contained page with both graphs; written to `path` if given.

        Both can be stepped through alone or together. An input edited in one graph is edited in
        the other too, where both were given the same value for it.

        Parameters
        ----------
        title : heading of the page; by default the function with its arguments
        language : language the page starts in; by default the browser's
        """
        from wengert.explain.page import make_page

        names = self.names
        if language == "zh":
            names = _CHINESE.get(names, names)
        text = make_page(self.left, self.right, title=title, names=names, language=language)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def _repr_html_(self) -> str:
        from wengert.explain.html import side_by_side

        return side_by_side(self.names, (self.left, self.right))

    def __repr__(self) -> str:
        return f"<comparison of {self.left!r} with {self.right!r}>"

    def __str__(self) -> str:
        """What differs in numbers: operators, values, derivatives, memory."""
        rows = [("", *self.names), ("operators", *(str(len(e.operators)) for e in self))]
        rows += self._facts("", [_values(e) for e in self])
        rows += self._facts("", [_derivatives(e) for e in self])
        for mode in ("forward", "reverse"):
            counts = [getattr(e.memory(), mode) for e in self]
            rows += [
                (f"{mode}: {what}", *(str(getattr(c, what)) for c in counts))
                for what in ("accumulation", "tape", "total", "multiplications")
            ]
        return "\n".join(columns(rows))

    def _facts(self, prefix: str, both: list[dict[str, str]]) -> list[tuple[str, ...]]:
        keys = dict.fromkeys([*both[0], *both[1]])
        return [(prefix + key, *(facts.get(key, "") for facts in both)) for key in keys]


_CHINESE = {("before optimisation", "after optimisation"): ("优化前", "优化后")}


def _values(explanation: Explanation) -> dict[str, str]:
    found = {**explanation.inputs, **explanation.outputs}
    return {name: value_text(value) for name, value in found.items()}


def _derivatives(explanation: Explanation) -> dict[str, str]:
    return {f"∂{d.output}/∂{d.input}": d.text for d in explanation.derivatives}


def default_names(left: Explanation, right: Explanation) -> tuple[str, str]:
    """Headings that say how two explanations differ: by optimisation, or in their inputs."""
    if right.optimisation is not None and left.optimisation is None:
        return ("before optimisation", "after optimisation")
    if left.optimisation is not None and right.optimisation is None:
        return ("after optimisation", "before optimisation")
    if left.function != right.function:
        return (left.function, right.function)
    a, b = left.inputs, right.inputs
    different = [name for name in a if name in b and not _same(a[name], b[name])]
    if different:
        return (_point(a, different), _point(b, different))
    return ("left", "right")


def _same(a: Any, b: Any) -> bool:
    return bool(np.shape(a) == np.shape(b) and np.array_equal(a, b, equal_nan=True))


def _point(values: Mapping[str, Any], names: list[str]) -> str:
    written = [
        f"{n} = {number_text(values[n]) if np.ndim(values[n]) == 0 else value_text(values[n])}"
        for n in names[:_MOST_INPUTS]
    ]
    return ", ".join([*written, *(["…"] if len(names) > _MOST_INPUTS else [])])


# ---------------------------------------------------------------- optimised graphs


def optimised_facts(facts: Facts, *, reassociate: bool = True) -> tuple[Facts, Optimised]:
    """The facts of the optimised graph, at the same arguments, and the optimiser's log."""
    _refuse_own_derivatives(facts.graph, facts.function)
    done = optimise(facts.graph, reassociate=reassociate)
    made = done.graph
    names = {
        new: facts.graph.names[old]
        for old, new in zip(facts.graph.inputs, made.inputs, strict=True)
        if old in facts.graph.names
    }
    named = Graph(made.entries, made.inputs, made.outputs, made.constants, made.lines, names)
    pruned, _ = prune(named)
    found = Facts(
        pruned, facts.arguments, {}, [o.name for o in facts.outputs], facts.function, facts.source
    )
    return found, done


def _refuse_own_derivatives(graph: Graph, function: str) -> None:
    waiting = [graph]
    while waiting:
        for op, _, params, _ in waiting.pop().entries:
            if op.name in _OWN_DERIVATIVES:
                raise ArgumentError(
                    f"explain: {function} can't be explained after optimisation, since it uses "
                    f"{op.name.removesuffix('_call')}, which an optimised graph no longer has",
                    hint="optimise the derivative instead: wg.explain(wg.grad(f))(x).optimised()",
                )
            for _, value in params:
                parts = value if isinstance(value, tuple) else (value,)
                waiting += [part for part in parts if isinstance(part, Graph)]
