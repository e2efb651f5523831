"""Random programs over a few operators of every family, for tests of the whole optimiser."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.capture import Recorder
from wengert.graph import Graph, Type
from wengert.ops import TABLE

#: Operators that compute the same bits whatever the layout of their operands.
PLAIN = ("negative", "square", "absolute", "relu", "positive", "stop_gradient", "reciprocal")
UNARY = (
    "negative",
    "exp",
    "tanh",
    "square",
    "sigmoid",
    "absolute",
    "relu",
    "sin",
    "positive",
    "stop_gradient",
    "softplus",
    "reciprocal",
    "log1p",
    "log",
    "exp",
    "sqrt",
)
BINARY = ("add", "subtract", "multiply", "maximum", "minimum", "add", "multiply", "divide")
NUMBERS = (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 1.5, -3.0)


def random_graph(
    rng: Any,
    size: int = 30,
    dtype: str = "f8",
    *,
    plain: bool = False,
    sizes: tuple[int, int] = (3, 4),
) -> Graph:
    """A graph of about `size` operators on small arrays; every sort of operator occurs.

    With `plain`, only such whose NumPy implementation gives the same bits for any memory layout.
    `sizes` are the lengths of the axes.
    """
    tape = Recorder()
    n, m = sizes
    values = [tape.input(Type(s, dtype)) for s in ((n, m), (m,), (n, 1), ())]
    shared = [*values]
    for _ in range(size):
        x = values[rng.integers(max(0, len(values) - 12), len(values))]
        values.append(_step(rng, x, shared + values, plain))
    chosen = rng.choice(len(values), size=4, replace=False)
    return tape.graph([values[-1]._index, *(values[k]._index for k in chosen)]).verify()


def _step(rng: Any, x: Any, values: list[Any], plain: bool) -> Any:
    kind = rng.integers(12)
    if kind <= 2:
        names = PLAIN if plain else UNARY
        return TABLE[names[rng.integers(len(names))]](x)
    if kind <= 5:
        others = [v for v in values if _broadcasts(v.shape, x.shape)] or [x]
        y = others[rng.integers(len(others))]
        return TABLE[BINARY[rng.integers(len(BINARY))]](x, y)
    if kind == 6:
        number = NUMBERS[rng.integers(len(NUMBERS))]
        op = TABLE[BINARY[rng.integers(len(BINARY))]]
        return op(x, number) if rng.integers(2) else op(number, x)
    if kind == 7:
        others = [v for v in values if v.shape == x.shape] or [x]
        y = others[rng.integers(len(others))]
        condition = x > y
        return TABLE["where"](condition if rng.integers(2) else ~condition, x, y)
    return _move(rng, x, values, plain)


def _broadcasts(a: Any, b: Any) -> bool:
    try:
        return int(np.prod(np.broadcast_shapes(a, b))) <= 64
    except ValueError:
        return False


def _move(rng: Any, x: Any, values: list[Any], plain: bool) -> Any:
    kind = rng.integers(9)
    if kind == 0:
        axes = tuple(int(a) for a in range(x.ndim) if rng.integers(2))
        name = ("reduce_max", "reduce_min", "reduce_sum")[rng.integers(2 if plain else 3)]
        return TABLE[name](x, axes=axes)
    if kind == 1 and x.ndim < 3:
        return TABLE["broadcast_to"](x, shape=(int(rng.integers(1, 3)), *x.shape))
    if kind == 2:
        shape = list(x.shape)
        shape.insert(int(rng.integers(len(shape) + 1)), 1)
        flat = tuple(n for n in x.shape if n != 1)
        return TABLE["reshape"](x, shape=tuple(shape) if len(shape) < 4 else flat)
    if kind == 3:
        return TABLE["transpose"](x, axes=tuple(int(a) for a in rng.permutation(x.ndim)))
    if kind == 4 and x.ndim:
        key = [(0, n, 1) for n in x.shape]
        a = int(rng.integers(x.ndim))
        n = x.shape[a]
        key[a] = (0, n, 1) if rng.integers(2) else (n - 1, -1, -1)
        return TABLE["slice_index"](x, key=tuple(key))
    if kind == 5 and x.ndim and x.size <= 24:
        a = int(rng.integers(x.ndim))
        return TABLE["concatenate"](x, x * 2.0 if rng.integers(2) else x, axis=a)
    if kind == 6 and x.size <= 24:
        return TABLE["pad"](x, widths=tuple((int(rng.integers(2)), 1) for _ in x.shape))
    if kind == 7:
        return TABLE["integer_power"](x, n=int(rng.integers(2 if plain else 5)))
    return x * 0.5 if plain else _contraction(rng, x, values)


def _contraction(rng: Any, x: Any, values: list[Any]) -> Any:
    letters = "abcdef"[: x.ndim]
    fitting = [v for v in values if v.ndim and x.ndim and v.shape[0] == x.shape[-1] and v.ndim < 3]
    if not fitting:
        return x * 2.0
    y = fitting[rng.integers(len(fitting))]
    right = letters[-1] + "xyz"[: y.ndim - 1]
    out = letters[:-1] + right[1:]
    if len(out) > 3:
        return x * 1.0
    return TABLE["contract"](x, y, spec=f"{letters},{right}->{out}")


def inputs(rng: Any, graph: Graph) -> list[Any]:
    """Positive inputs of moderate size."""
    return [np.asarray(rng.uniform(0.3, 1.2, t.shape).astype(t.dtype)) for t in graph.input_types]


def random_network(rng: Any, leaves: int) -> Graph:
    """Contractions of random arrays over random indices, in a random order."""
    tape = Recorder()
    sizes = dict(zip("abcdefg", (int(n) for n in rng.integers(1, 7, 7)), strict=True))
    made: list[tuple[Any, str]] = []
    for _ in range(leaves):
        letters = "".join(rng.choice(list(sizes), size=rng.integers(0, 4), replace=False))
        shape = tuple(sizes[c] for c in letters)
        made.append((tape.input(Type(shape, "f8")), letters))
    while len(made) > 1:
        i, j = sorted(int(k) for k in rng.choice(len(made), 2, replace=False))
        (y, right), (x, left) = made.pop(j), made.pop(i)
        out = [
            c
            for c in dict.fromkeys(left + right)
            if rng.random() < 0.6 or not (c in left and c in right)
        ]
        rng.shuffle(out)
        letters = "".join(out)[:6]
        x, left = _only(x, left, right + letters)
        y, right = _only(y, right, left + letters)
        if rng.random() < 0.3 and left == right == letters:
            made.append((x * y, letters))
        else:
            made.append((TABLE["contract"](x, y, spec=f"{left},{right}->{letters}"), letters))
    return tape.graph([made[0][0]._index]).verify()


def _only(x: Any, letters: str, needed: str) -> tuple[Any, str]:
    # A letter of one operand only is summed away first.
    gone = tuple(i for i, c in enumerate(letters) if c not in needed)
    if gone:
        x = TABLE["reduce_sum"](x, axes=gone)
    return x, "".join(c for c in letters if c in needed)
