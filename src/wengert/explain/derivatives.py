"""The derivatives: their values, their formulas, and the finite differences that confirm them."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.explain.expression import Expression, Number, Symbol
from wengert.explain.facts import Facts
from wengert.explain.local import constant_expression, shape_of
from wengert.explain.printing import Style, latex_name, postorder, print_formula, tree_sizes
from wengert.explain.sweeps import reverse_program
from wengert.explain.values import value_text
from wengert.graph import CONSTANT, INPUT, Graph
from wengert.graph.tuples import NamedTuple
from wengert.run import run

__all__ = ["Derivative", "Formula", "derivative_expressions", "finite_difference", "write_formula"]

#: Formulas with more parts than this are written with names for what occurs several times.
_MOST_PARTS = 48


class Derivative(NamedTuple):
    """The derivative of an output by an input.

    Attributes
    ----------
    output, input : names
    value : a number, or an array with the output's axes first; None if it is too large to compute
        here (see `wengert.jacobian`)
    status : "path"; "no path" where it is zero by structure; "masked" where it is zero because
        conditions discard every path
    finite_difference : the same by central differences; None where that would take too long
    """

    output: str
    input: str
    value: Any
    status: str
    finite_difference: Any

    @property
    def text(self) -> str:
        """The value as shown: a zero by structure differs from a computed 0."""
        return value_text(self.value) if self.status == "path" else f"0 ({self.status})"


class Formula(NamedTuple):
    """A formula, and the definitions of the names it uses: `(name, formula)` in order."""

    text: str
    definitions: list[tuple[str, str]]

    def __str__(self) -> str:
        if not self.definitions:
            return self.text
        return "\n".join(
            [f"{self.text}, where", *(f"  {name} = {text}" for name, text in self.definitions)]
        )


def derivative_expressions(facts: Facts, output: int) -> dict[int, Expression]:
    """The derivative of an output by each input, as a formula in the names of the inputs.

    It is the reverse sweep, read as formulas. An array output is summed.
    """
    program, reached = reverse_program(facts, output, facts.inputs)
    algebra = facts.algebra
    env: list[Expression] = list(facts.expressions)
    entries = program.entries
    live = program.live()
    for i in range(len(env), len(entries)):
        op, operands, params, type_ = entries[i]
        if not live[i]:
            env.append(algebra.zero)
        elif op is INPUT:
            env.append(algebra.one)
        elif op is CONSTANT:
            env.append(constant_expression(algebra, program.constants[i], i))
        else:
            shapes = [shape_of(entries[k][3]) for k in operands]
            env.append(
                algebra.apply(op, [env[k] for k in operands], params, shapes, shape_of(type_))
            )
    found = dict.fromkeys(facts.inputs, algebra.zero)
    for source, index in zip(reached, program.outputs, strict=True):
        found[source] = env[index]
    return found


def write_formula(facts: Facts, root: Expression, style: Style = "code") -> Formula:
    """A formula written out if it is short, else with names for its repeated parts.

    The text is linear in the size of the graph: a part that occurs several times is written once.
    Parts that are the value of an operator are called by its name.
    """
    sizes = tree_sizes(root, _MOST_PARTS + 1)
    if sizes[root.order] <= _MOST_PARTS:
        return Formula(print_formula(root, style), [])
    under = postorder([root])
    uses: dict[int, int] = {}
    for e in under:
        for part in e.parts:
            uses[part.order] = uses.get(part.order, 0) + 1
    known = {facts.expressions[i].order: facts.names[i] for i in reversed(facts.operators)}
    taken = set(facts.names)
    letter = next(c for c in ("t", "s", "q", "r", "part") if f"{c}1" not in taken)
    names: dict[Expression, str] = {}
    fresh = 0
    for e in under:
        if (
            uses.get(e.order, 0) > 1
            and not isinstance(e, (Number, Symbol))
            and (e.order in known or sizes[e.order] > 3)
        ):
            name = known.get(e.order)
            if name is None:
                fresh += 1
                name = f"{letter}{fresh}"
            names[e] = name
    definitions = [
        (
            latex_name(name) if style == "latex" else name,
            print_formula(e, style, names, define=True),
        )
        for e, name in names.items()
    ]
    return Formula(print_formula(root, style, names, define=True), definitions)


# ---------------------------------------------------------------- finite differences


def _coarsest(graph: Graph) -> float:
    # Numbers are moved in float64, unless the program itself converts to fewer bits.
    dtypes = [np.dtype(np.float64)]
    for op, operands, _, type_ in graph.entries:
        if operands and op.family == "elementwise" and type_.is_float:
            own = type_.dtype
            if all(graph.type(k).dtype.itemsize > own.itemsize for k in operands):
                dtypes.append(own)
    return max(float(np.finfo(d).eps) for d in dtypes)


_MOST_ELEMENTS = 64
_MOST_WORK = 4_000_000


def finite_difference(facts: Facts, output: int, source: int) -> Any:
    """The derivative by central differences, in float64; None where it would take too long.

    The step is the cube root of the machine epsilon times the size of the number, which balances
    rounding against the error of the formula.
    """
    graph = facts.graph
    x, y = graph.type(source), graph.type(output)
    if x.size > _MOST_ELEMENTS or 2 * x.size * (len(graph) + y.size) > _MOST_WORK:
        return None
    if not y.is_float:
        return np.zeros((*y.shape, *x.shape))[()]
    program = graph.with_outputs([output])
    point = np.asarray(facts.values[source], np.float64)
    position = graph.inputs.index(source)
    columns = []
    relative = np.cbrt(_coarsest(graph))
    for k in range(x.size):
        step = relative * max(1.0, abs(float(point.flat[k])))
        ends = []
        for sign in (1.0, -1.0):
            moved = point.copy()
            moved.flat[k] += sign * step
            arguments = list(facts.arguments)
            arguments[position] = moved[()]
            ends.append((moved.flat[k], np.asarray(run(program, arguments)[0], np.float64)))
        (right, above), (left, below) = ends
        with np.errstate(all="ignore"):
            columns.append((above - below) / (right - left))
    stacked = np.reshape(columns, (*x.shape, *y.shape))
    return np.moveaxis(stacked, range(x.ndim), range(-x.ndim, 0))[()] if x.ndim else stacked[()]
