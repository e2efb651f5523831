"""Both sides of a rewrite rule as graphs, inputs for them, and what their values must satisfy."""

from __future__ import annotations

import operator
from typing import Any

import mpmath as mp
import numpy as np

from wengert.capture import Recorder
from wengert.graph import Graph, Type
from wengert.optimise.builder import RuleIndex
from wengert.optimise.record import Example, Rule
from wengert.optimise.rewriting import rewrite
from wengert.optimise.terms import Term
from wengert.run import run

NUMBERS = {"a": 2.5, "b": -0.75}
SHAPES = (((3, 4),) * 4, ((),) * 4, ((3, 1), (4,), (3, 4), (1,)))

#: Stands for infinity where limits are computed.
HUGE = 1e60

#: Special values by what a rule may change.
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan]
MODERATE = [0.5, 90.0, -90.0, 200.0, -200.0, 1e-30, -1e-30]
EXTREME = [1e30, -1e30, 3e38, 1e-38, -1e-42]
EDGES = {
    "kept": SPECIAL + MODERATE,
    "zeros": SPECIAL + MODERATE + EXTREME,
    "mended": SPECIAL + MODERATE,
    "range": SPECIAL,
}


def variables_of(term: Term) -> list[str]:
    """Names of the variables of a pattern, in order of appearance."""
    if term.kind == "variable":
        return [term.name]
    found: list[str] = []
    for a in term.args:
        found += [n for n in variables_of(a) if n not in found]
    return found


def instance(term: Term, env: dict[str, Any]) -> Any:
    """A pattern as an expression over handles."""
    if term.kind == "variable":
        return env[term.name]
    if term.kind == "constant":
        return NUMBERS[term.name]
    if term.kind == "number":
        return term.value
    return term.op(*[instance(a, env) for a in term.args], **dict(term.params))


def examples_of(rule: Rule) -> list[Example]:
    """The declared examples of a rule, or some derived from its left side."""
    if rule.examples:
        return list(rule.examples)
    names = variables_of(rule.left)
    floats = "f" in rule.kinds or rule.kinds == "b"

    def function(*handles: Any) -> Any:
        return instance(rule.left, dict(zip(names, handles, strict=True)))

    kinds = ("f" if floats else "i") * len(names)
    return [Example(function, shapes[: len(names)], rule.domain, kinds) for shapes in SHAPES]


def input_types(example: Example, dtype: str) -> list[Type]:
    kinds = example.kinds or "f" * len(example.shapes)
    dtypes = {"f": dtype, "i": "i4", "b": "?"}
    return [Type(tuple(s), dtypes[k]) for s, k in zip(example.shapes, kinds, strict=True)]


def left_graph(example: Example, dtype: str) -> Graph:
    tape = Recorder()
    handles = [tape.input(t) for t in input_types(example, dtype)]
    out = example.function(*handles)
    return tape.graph([tape.index_of(out)]).verify()


def right_graph(rule: Rule, graph: Graph) -> tuple[Graph, list[str]]:
    """The graph rewritten with one rule alone, and the names in its log."""
    log: list[Any] = []
    made, *_ = rewrite(graph, list(range(len(graph))), RuleIndex((rule,)), log, "test")
    return made.verify(), [r.rule for r in log]


def draw(rng: Any, example: Example, dtype: str) -> list[Any]:
    """Ordinary inputs."""
    low, high = example.domain
    drawn = []
    for t in input_types(example, dtype):
        if t.dtype.kind == "f":
            drawn.append(np.asarray(rng.uniform(low, high, t.shape).astype(t.dtype)))
        elif t.dtype.kind == "b":
            drawn.append(np.asarray(rng.uniform(size=t.shape) > 0.5))
        else:
            drawn.append(np.asarray(rng.integers(-2, 3, t.shape).astype(t.dtype)))
    return drawn


def draw_edges(rng: Any, example: Example, dtype: str, values: list[float]) -> list[Any]:
    """Inputs of special values, some ordinary ones among them."""
    drawn = draw(rng, example, dtype)
    for i, v in enumerate(drawn):
        if v.dtype.kind == "f":
            chosen = rng.choice(np.array(values), v.shape).astype(dtype)
            drawn[i] = np.where(rng.uniform(size=v.shape) < 0.8, chosen, v)
    return drawn


def in_high_precision(graph: Graph, args: list[Any]) -> Any:
    """The value with 300 digits; an infinite input is taken as `HUGE`, a value like that as inf.

    nan where the formula has no value.
    """
    functions = {
        "exp": mp.exp,
        "log": mp.log,
        "log1p": lambda x: mp.log(1 + x),
        "sqrt": mp.sqrt,
        "expm1": lambda x: mp.exp(x) - 1,
        "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
        "softplus": lambda x: mp.log(1 + mp.exp(x)),
        "sinh": mp.sinh,
        "cosh": mp.cosh,
        "reciprocal": lambda x: 1 / x,
        "square": lambda x: x * x,
        "absolute": abs,
        "tanh": mp.tanh,
        "logaddexp": lambda x, y: mp.log(mp.exp(x) + mp.exp(y)),
        "add": operator.add,
        "subtract": operator.sub,
        "multiply": operator.mul,
        "divide": operator.truediv,
        "negative": operator.neg,
    }

    def safe(function: Any) -> Any:
        def apply(*numbers: Any) -> Any:
            if any(n is None for n in numbers):
                return None
            try:
                return function(*numbers)
            except (ArithmeticError, ValueError):
                return None

        return apply

    def plus(a: Any, b: Any) -> Any:
        return None if a is None or b is None else a + b

    def number(v: Any) -> Any:
        if np.isnan(v):
            return None
        return mp.mpf(float(v)) if np.isfinite(v) else mp.sign(float(v)) * HUGE

    env: dict[int, Any] = {}
    given = dict(zip(graph.inputs, args, strict=True))
    with mp.workdps(300):
        for i, (op, operands, params, _) in enumerate(graph.entries):
            if not operands:
                env[i] = np.frompyfunc(number, 1, 1)(given.get(i, graph.constants.get(i)))
            elif op.name in functions:
                apply = np.frompyfunc(safe(functions[op.name]), len(operands), 1)
                env[i] = apply(*[env[k] for k in operands])
            elif op.name == "reduce_sum":
                array, axes = np.asarray(env[operands[0]], object), dict(params)["axes"]
                for a in sorted(axes, reverse=True):
                    array = np.frompyfunc(plus, 2, 1).reduce(array, axis=a)
                env[i] = array
            else:
                env[i] = op.evaluate(np.asarray(env[operands[0]], object), **dict(params))
        real = np.frompyfunc(_as_float, 1, 1)
        return np.asarray(real(env[graph.outputs[0]]), float)


def _as_float(v: Any) -> float:
    if v is None or mp.isnan(v):
        return np.nan
    return float(v) if abs(v) < HUGE / 10 else float(mp.sign(v)) * np.inf


def value(graph: Graph, args: list[Any]) -> Any:
    (out,) = run(graph, args)
    return np.asarray(out)


def same_bits(left: Any, right: Any) -> bool:
    """Equal, signs of zeros included; any nan equals any other."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype.kind != "f":
        return bool(np.array_equal(left, right))
    same = (left == right) & (np.signbit(left) == np.signbit(right))
    return bool(np.all(same | (np.isnan(left) & np.isnan(right))))


def agree(left: Any, right: Any, allowed: float) -> Any:
    """Elementwise: the same kind of special value, or close."""
    with np.errstate(all="ignore"):
        close = np.abs(left - right) <= allowed * np.maximum(np.abs(left), 1.0)
    return (
        (left == right)
        | (np.isnan(left) & np.isnan(right))
        | (np.isfinite(left) & np.isfinite(right) & close)
    )
