"""`Explanation`: every fact about how the derivatives of one function at one point are computed."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from wengert.errors import ArgumentError
from wengert.explain import derivatives as _derivatives
from wengert.explain import memory as _memory
from wengert.explain.budgeted import BudgetedMemory, budgeted_memory
from wengert.explain.comparison import Comparison, optimised_facts
from wengert.explain.derivatives import Derivative, Formula
from wengert.explain.elimination import Elimination
from wengert.explain.expression import Expression
from wengert.explain.facts import Edge, Facts
from wengert.explain.paths import Paths
from wengert.explain.printing import Style
from wengert.explain.sweeps import adjoints, jacobian
from wengert.explain.tables import Table, make_table
from wengert.graph import Graph
from wengert.optimise import Optimised
from wengert.run.budget import Budget

if TYPE_CHECKING:
    from wengert.batching.report import DynamicReport
    from wengert.explain.page.payload import Schedule

__all__ = ["Explanation", "Operator", "Partial"]


class Partial:
    """A local partial: the derivative of one operator by one of its operands.

    Attributes
    ----------
    operator, operand : names
    formula, latex : in the names of the operands, derived from the operator's rule
    value : the number; for an elementwise operator on arrays the diagonal of the Jacobian; None
        for any other block
    structure : "scalar", "diagonal", "broadcast", "permutation", "sum", "sparse", "dense block"
    nnz : how many entries of the local Jacobian are not zero by structure
    is_masked : whether a condition discards it, so that no derivative flows along its edge
    """

    __slots__ = ("_facts", "edge")

    def __init__(self, facts: Facts, edge: Edge) -> None:
        self._facts = facts
        self.edge = edge

    operator = property(lambda self: self._facts.names[self.edge.into])
    operand = property(lambda self: self._facts.names[self.edge.operand])
    formula = property(lambda self: self.edge.formula("pretty"))
    latex = property(lambda self: self.edge.formula("latex"))
    value = property(lambda self: self.edge.value)
    structure = property(lambda self: self.edge.structure.kind)
    nnz = property(lambda self: self.edge.structure.nnz)
    is_masked = property(lambda self: self.edge.is_masked)

    @property
    def name(self) -> str:
        """`∂h4/∂h3`."""
        return f"∂{self.operator}/∂{self.operand}"

    def __repr__(self) -> str:
        return f"<{self.name} = {self.formula}>"


class Operator:
    """One operator of the graph, in the order of evaluation.

    Attributes
    ----------
    index : its value number in the graph
    name : h1, h2, …
    symbol : how a drawing labels it, such as ×
    formula : what it computes, in the names of its operands
    operands : names, in order
    value, type : of the result
    line : the user's `file.py:31`, where it is known, else ''
    partials : one per operand; None where the result does not depend on it differentiably, and for
        constants
    """

    __slots__ = ("_facts", "index")

    def __init__(self, facts: Facts, index: int) -> None:
        self._facts = facts
        self.index = index

    name = property(lambda self: self._facts.names[self.index])
    symbol = property(lambda self: self._facts.label(self.index))
    formula = property(lambda self: self._facts.computes(self.index))
    latex = property(lambda self: self._facts.computes(self.index, "latex"))
    value = property(lambda self: self._facts.values[self.index])
    type = property(lambda self: self._facts.graph.type(self.index))
    line = property(lambda self: self._facts.graph.lines.get(self.index, ""))

    @property
    def operands(self) -> tuple[str, ...]:
        """Names of the operands, numbers for constants."""
        return tuple(self._facts.names[k] for k in self._facts.graph.entries[self.index][1])

    @property
    def partials(self) -> tuple[Partial | None, ...]:
        """The local partials, one per operand."""
        edges = self._facts.edges[self.index]
        return tuple(None if e is None else Partial(self._facts, e) for e in edges)

    def __repr__(self) -> str:
        return f"<{self.name} = {self.formula}>"


class Explanation:
    """How the derivatives of a function at a point are computed, as data, text and pictures.

    Made by `explain(f)(*args)`. `str()` of it is the full explanation as text.

    Attributes
    ----------
    graph : the Wengert list that the call recorded, without entries that no result needs
    operators : list of `Operator` in the order of evaluation
    function : name of the function
    optimisation : of an optimised graph, what the optimiser did (`str()` of it is the log); else
        None
    """

    def __init__(self, facts: Facts, optimisation: Optimised | None = None) -> None:
        self.facts = facts
        self.optimisation = optimisation
        self.graph: Graph = facts.graph
        self.function = facts.function

    # ------------------------------------------------------------ facts

    @functools.cached_property
    def operators(self) -> list[Operator]:
        """Every operator, in the order of evaluation."""
        return [Operator(self.facts, i) for i in self.facts.operators]

    @property
    def inputs(self) -> dict[str, Any]:
        """Name -> value of every differentiable input."""
        return {self.facts.names[i]: self.facts.values[i] for i in self.facts.inputs}

    @property
    def outputs(self) -> dict[str, Any]:
        """Name -> value of every result."""
        return {o.name: self.facts.values[o.index] for o in self.facts.outputs}

    @functools.cached_property
    def derivatives(self) -> list[Derivative]:
        """The derivative of every float output by every input, outputs first."""
        found = []
        for number, output in enumerate(self.facts.outputs):
            if self.graph.type(output.index).is_float:
                found += self._derivatives_of(number)
        return found

    def _derivatives_of(self, number: int) -> list[Derivative]:
        facts = self.facts
        output = facts.outputs[number]
        adjoint = adjoints(facts, output.index)
        scalar = self.graph.type(output.index).shape == ()
        found = []
        for i in facts.inputs:
            status = "path"
            if not self._reaches(i, output.index):
                masked = facts.reaches(i, masked=True)[output.index]
                status = "masked" if masked else "no path"
            if status != "path":
                x_type, y_type = self.graph.type(i), self.graph.type(output.index)
                value = np.zeros((*y_type.shape, *x_type.shape))[()]
            elif scalar and i in adjoint:
                value = adjoint[i]
            else:
                value = jacobian(facts, output.index, i)
            found.append(
                Derivative(
                    output.name,
                    facts.names[i],
                    value,
                    status,
                    _derivatives.finite_difference(facts, output.index, i),
                )
            )
        return found

    def _reaches(self, source: int, output: int) -> bool:
        return self.facts.depends(output)[source]

    def table(self, mode: Literal["forward", "reverse"]) -> Table:
        """A mode's sweeps, step by step: forward one per input, reverse one per output."""
        if mode not in ("forward", "reverse"):
            raise ArgumentError(f'explain: a table is "forward" or "reverse", not {mode!r}')
        return make_table(self.facts, mode)

    def paths(
        self,
        output: str | int | None = None,
        input: str | int | None = None,
        *,
        limit: int = 20,
    ) -> Paths:
        """Every path from an input to an output, its factors and product, and the sum.

        Parameters
        ----------
        output, input : names (`"h6"`, or the output's own name; `"w"`), or positions among the
            outputs and inputs; either may be left out where there is only one
        limit : how many paths are listed; `count` is exact beyond it
        """
        return Paths(self.facts, self._find(output, "output"), self._find(input, "input"), limit)

    def _find(self, which: str | int | None, what: str) -> int:
        facts = self.facts
        pairs = (
            [(o.name, o.index) for o in facts.outputs]
            if what == "output"
            else [(facts.names[i], i) for i in facts.inputs]
        )
        if which is None and len(pairs) == 1:
            return pairs[0][1]
        if isinstance(which, int) and not isinstance(which, bool) and 0 <= which < len(pairs):
            return pairs[which][1]
        if isinstance(which, str):
            for name, index in pairs:
                if name == which:
                    return index
            if what == "output" and which in facts.names:
                return facts.names.index(which)
        shown = ", ".join(name for name, _ in pairs[:10])
        raise ArgumentError(
            f"explain: there is no {what} {which!r}"
            if which is not None
            else f"explain: say which {what} is meant: there are {len(pairs)}",
            hint=f"the {what}s are {shown}" + (", …" if len(pairs) > 10 else ""),
        )

    @overload
    def memory(self) -> _memory.Memory: ...
    @overload
    def memory(self, budget: Budget, of: str = ...) -> BudgetedMemory: ...
    def memory(
        self, budget: Budget | None = None, of: str = "vjp"
    ) -> _memory.Memory | BudgetedMemory:
        """What each mode holds and multiplies: `.forward` and `.reverse`, exact counts.

        Each has `accumulation`, `tape`, `total` (numbers held at most, and the same with `_bytes`)
        and `multiplications`. With a `budget` such as "200MB": what a derivative holds within it,
        `predicted` and `measured` bytes, and at what `work`. `of` says which: "vjp" (reverse mode),
        "jvp" (forward mode) or "hvp" (forward over reverse mode).
        """
        return self._memory if budget is None else budgeted_memory(self.facts, budget, of)

    @functools.cached_property
    def _memory(self) -> _memory.Memory:
        return _memory.count_memory(self.facts)

    def elimination(self, *, measure: bool = True) -> Elimination:
        """What each order of accumulating the Jacobian of all results by all inputs costs.

        Multiplications of forward mode, of reverse mode and of mixed orders, the time of each, and
        which one `jacobian(mode="auto")` takes in a compiled function. See docs/elimination.md.

        Parameters
        ----------
        measure : whether to compile and time each; some tenths of a second

        Example
        -------
        >>> import numpy as np, wengert as wg
        >>> f = lambda a, b: (np.sin(a * b) * a, np.exp(a * b))
        >>> print(wg.explain(f)(0.5, 2.0).elimination(measure=False))
        Jacobian of f: 2 by 2 numbers
          order of accumulation   multiplications
          forward                 12
          reverse                 12
          elimination, best       5  <- chosen
          elimination, markowitz  5
          elimination, forward    6
          elimination, reverse    5
        """
        return Elimination(self.facts, measure)

    # ------------------------------------------------------------ formulas

    @functools.cached_property
    def _expressions(self) -> dict[int, dict[int, Expression]]:
        return {}

    def _derivative_expression(self, output: int, source: int) -> Expression:
        found = self._expressions.get(output)
        if found is None:
            found = _derivatives.derivative_expressions(self.facts, output)
            self._expressions[output] = found
        return found[source]

    def derivative_formula(
        self,
        input: str | int | None = None,
        output: str | int | None = None,
        style: Style = "code",
    ) -> str:
        """The derivative by an input as a formula; of an array output: of the sum of its elements.

        Short formulas are written out; in long ones, parts that occur several times get names,
        defined in the lines below, so that the text stays linear in the size of the graph.
        `style` is "code" (Python), "pretty" or "latex".
        """
        return str(self.formula_of(input, output, style))

    def formula_of(
        self,
        input: str | int | None = None,
        output: str | int | None = None,
        style: Style = "code",
    ) -> Formula:
        """As `derivative_formula`, with the definitions apart from the formula."""
        source, target = self._find(input, "input"), self._find(output, "output")
        root = self._derivative_expression(target, source)
        return _derivatives.write_formula(self.facts, root, style)

    def function_formula(self, output: str | int | None = None, style: Style = "code") -> Formula:
        """The function itself as a formula in its inputs."""
        root = self.facts.expressions[self._find(output, "output")]
        return _derivatives.write_formula(self.facts, root, style)

    # ------------------------------------------------------------ side by side

    def optimised(self, *, reassociate: bool = True) -> Explanation:
        """The explanation of the same function at the same point, after optimisation.

        The new explanation's `optimisation` holds the log of what was rewritten, and why.

        Parameters
        ----------
        reassociate : also apply rules that change rounding; see `wengert.optimise.optimise`

        Raises
        ------
        ArgumentError if the function uses `stop_gradient` or custom derivatives, which an
        optimised graph no longer has.

        Example
        -------
        >>> import wengert as wg
        >>> plain = wg.explain(lambda x: x * 1.0 + x * 1.0)(3.0)
        >>> better = plain.optimised()
        >>> len(plain.operators), len(better.operators)
        (3, 1)
        """
        return Explanation(*optimised_facts(self.facts, reassociate=reassociate))

    def compare(self, other: Explanation, *, names: Sequence[str] | None = None) -> Comparison:
        """This explanation and another, side by side: `.to_html(path)` is a page with both graphs.

        For the same function before and after optimisation, and for two inputs that take different
        branches. `str()` of the result sets the two side by side in numbers.

        Parameters
        ----------
        names : two headings; by default what differs, such as "x = 2" and "x = -2"

        Example
        -------
        >>> import numpy as np, wengert as wg
        >>> f = wg.explain(lambda x: np.log(x) if x > 0 else x * x)
        >>> both = f(2.0).compare(f(-2.0))
        >>> both.names
        ('x = 2', 'x = -2')
        >>> page = both.to_html()
        """
        if not isinstance(other, Explanation):
            raise ArgumentError(
                f"explain: compare takes another explanation, not {type(other).__name__}",
                hint="wg.explain(f)(2.0).compare(wg.explain(f)(-2.0))",
            )
        if names is None:
            return Comparison(self, other)
        if isinstance(names, str) or len(names) != 2:
            raise ArgumentError(f"explain: compare takes two names, not {names!r}")
        left, right = names
        return Comparison(self, other, (str(left), str(right)))

    # ------------------------------------------------------------ outputs

    def __str__(self) -> str:
        from wengert.explain.text import full_text

        return full_text(self)

    def __repr__(self) -> str:
        names = ", ".join(f"{k}" for k in self.inputs)
        return f"<explanation of {self.function}({names}), {len(self.operators)} long>"

    def latex(self) -> str:
        """The derivation in LaTeX, as a person would write it (amsmath)."""
        from wengert.explain.latex import derivation

        return derivation(self)

    def to_dot(self) -> str:
        """The graph in Graphviz's language."""
        from wengert.explain.dot import to_dot

        return to_dot(self.facts)

    def to_svg(self, path: str | os.PathLike[str] | None = None) -> str:
        """The graph as a picture: values in red, partials in blue; written to `path` if given."""
        from wengert.explain.drawing import draw

        svg = draw(self.facts)
        if path is not None:
            FilePath(path).write_text(svg, encoding="utf-8")
        return svg

    def to_html(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        language: Literal["en", "zh"] | None = None,
        schedule: Schedule | DynamicReport | None = None,
    ) -> str:
        """One self-contained HTML page, which needs no network; written to `path` if given.

        Parameters
        ----------
        language : language it starts in; by default the browser's
        schedule : batches to colour the operators by: `{"batch": {index: batch}, "names": [...]}`,
            where `index` is an operator's and `batch` a position in `names`; or the report of a
            dynamic run of the function (`wg.autobatching`)
        """
        from wengert.explain.page import make_page

        chosen: Any = schedule
        if schedule is not None and not isinstance(schedule, dict):
            from wengert.explain.batches import schedule_of

            chosen = schedule_of(schedule, self.facts.graph)
        text = make_page(self, language=language, schedules=[chosen])
        if path is not None:
            FilePath(path).write_text(text, encoding="utf-8")
        return text

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def _repr_html_(self) -> str:
        from wengert.explain.html import fragment

        return fragment(self)

    def _repr_latex_(self) -> str:
        from wengert.explain.latex import short_derivation

        return short_derivation(self)
