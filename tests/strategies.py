"""Random programs for hypothesis: typed graphs over the rule table, and Python sources.

Both keep values moderate and away from points without a derivative by evaluating while they build:
a step whose result would be large, or which stands near a tie, is replaced by a tame one.
"""

from __future__ import annotations

import textwrap
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from wengert.capture import Recorder
from wengert.graph import Graph, type_of
from wengert.ops import TABLE

__all__ = ["Program", "Source", "programs", "sources"]

SHAPES = ((), (1,), (3,), (2, 3), (3, 1), (2, 1, 3))
SMOOTH = (
    "sin",
    "cos",
    "tanh",
    "arctan",
    "sigmoid",
    "softplus",
    "exp",
    "square",
    "negative",
    "arcsinh",
    "erf",
    "expm1",
    "sinh",
    "cosh",
    "log1p",
    "sqrt",
    "log",
    "reciprocal",
    "absolute",
    "relu",
    "arcsin",
    "cbrt",
)
BINARY = (
    "add",
    "subtract",
    "multiply",
    "divide",
    "maximum",
    "minimum",
    "hypot",
    "arctan2",
    "logaddexp",
    "power",
)
LARGEST, GAP = 30.0, 0.02


class Program(NamedTuple):
    """A graph and values for its inputs."""

    graph: Graph
    args: list[Any]

    def __repr__(self) -> str:
        return f"{self.graph}\nwith {self.args!r}"


class _Builder:
    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.tape = Recorder()
        self.handles: list[Any] = []
        self.rng = np.random.default_rng(draw(st.integers(0, 99)))
        self.args: list[Any] = []
        for shape in draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3)):
            value = self.rng.uniform(0.3, 1.7, shape) * self.rng.choice([-1.0, 1.0], shape)
            handle = self.tape.input(type_of(value))
            self.tape.bindings[handle._index] = value
            self.handles.append(handle)
            self.args.append(value)

    def pick(self) -> Any:
        return self.handles[self.draw(st.integers(0, len(self.handles) - 1))]

    def choice(self, options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def value(self, handle: Any) -> Any:
        return np.asarray(self.tape.value(handle._index))

    def step(self) -> None:
        x = self.pick()
        made = getattr(self, self.choice(STEPS))(x)
        if made is None or not self.tame(made):
            made = TABLE["sin"](x)
        self.handles.append(made)

    def tame(self, handle: Any) -> bool:
        value = self.value(handle)
        return bool(
            np.all(np.isfinite(value))
            and np.all(np.abs(value) < LARGEST)
            and value.size <= 60
            and value.ndim <= 4
        )

    def apart(self, *handles: Any) -> bool:
        """Whether no two numbers that will be compared are close."""
        a, b = (self.value(h) for h in handles)
        return bool(np.all(np.abs(a - b) > GAP))

    # ------------------------------------------------------------ steps; None means: not here

    def unary(self, x: Any) -> Any:
        op = TABLE[self.choice(SMOOTH)]
        value = self.value(x)
        if op.name in ("sqrt", "log", "log1p", "reciprocal", "absolute", "relu", "cbrt") and (
            np.any(np.abs(value) < 0.1)
        ):
            return None
        if op.name in ("sqrt", "log", "log1p") and np.any(value < 0.1):
            return None
        if op.name == "arcsin" and np.any(np.abs(value) > 0.9):
            return None
        return op(x)

    def binary(self, x: Any) -> Any:
        op, y = TABLE[self.choice(BINARY)], self.pick()
        try:
            np.broadcast_shapes(x.shape, y.shape)
        except ValueError:
            return None
        a, b = self.value(x), self.value(y)
        if op.name in ("maximum", "minimum") and not self.apart(x, y):
            return None
        if op.name == "divide" and np.any(np.abs(b) < 0.2):
            return None
        if op.name in ("hypot", "arctan2") and np.any(np.hypot(a, b) < 0.2):
            return None
        if op.name == "arctan2" and np.any(np.abs(a) < 0.1):
            return None
        if op.name == "power" and np.any(a < 0.2):
            return None
        return op(x, y)

    def with_number(self, x: Any) -> Any:
        return x * 0.75 + 0.25 if self.choice((True, False)) else 1.5 - x

    def integer_power(self, x: Any) -> Any:
        n = self.choice((-1, 0, 1, 2, 3))
        if n < 0 and np.any(np.abs(self.value(x)) < 0.2):
            return None
        return TABLE["integer_power"](x, n=n)

    def where(self, x: Any) -> Any:
        y = self.pick()
        try:
            np.broadcast_shapes(x.shape, y.shape)
        except ValueError:
            return None
        return TABLE["where"](x > y, x, y * 0.5) if self.apart(x, y) else None

    def stop(self, x: Any) -> Any:
        return x * TABLE["floor"](TABLE["stop_gradient"](x) * 0.0 + 2.5)

    def reshape(self, x: Any) -> Any:
        shapes = [(x.size,), (1, x.size), (x.size, 1), x.shape[::-1]]
        return TABLE["reshape"](x, shape=self.choice(shapes))

    def transpose(self, x: Any) -> Any:
        return TABLE["transpose"](x, axes=tuple(reversed(range(x.ndim))))

    def broadcast_to(self, x: Any) -> Any:
        return TABLE["broadcast_to"](x, shape=(2, *x.shape))

    def axes(self, x: Any) -> tuple[int, ...]:
        return tuple(a for a in range(x.ndim) if self.draw(st.booleans()))

    def axis(self, x: Any) -> int:
        return self.draw(st.integers(0, x.ndim - 1))

    def reduce_sum(self, x: Any) -> Any:
        return TABLE["reduce_sum"](x, axes=self.axes(x))

    def reduce_max(self, x: Any) -> Any:
        axes, value = self.axes(x), self.value(x)
        if not axes or x.size == 0:
            return None
        if len(np.unique(np.round(value / GAP))) < value.size:
            return None
        ordered = np.sort(value.ravel())
        if ordered.size > 1 and np.min(np.diff(ordered)) < GAP:
            return None
        return TABLE[self.choice(("reduce_max", "reduce_min"))](x, axes=axes)

    def scan(self, x: Any) -> Any:
        if not x.ndim:
            return None
        if self.draw(st.booleans()):
            return TABLE["cumprod"](x, axis=self.axis(x))
        return TABLE["cumsum"](x, axis=self.axis(x), reverse=self.draw(st.booleans()))

    def recurrence(self, x: Any) -> Any:
        y = self.pick()
        if not x.ndim or y.shape != x.shape:
            return None
        return TABLE["linear_recurrence"](x, y, axis=self.axis(x), reverse=self.draw(st.booleans()))

    def concatenate(self, x: Any) -> Any:
        if not x.ndim:
            return None
        axis = self.axis(x)
        return TABLE["concatenate"](x, x * 0.5, axis=axis)

    def pad(self, x: Any) -> Any:
        return TABLE["pad"](x, widths=((1, 0),) * x.ndim)

    def slice_index(self, x: Any) -> Any:
        if not x.size:
            return None
        keys = []
        for n in x.shape:
            options = [0, n - 1, (0, n, 1), (0, n, 2), (n - 1, -1, -1), (0, 1, 1)]
            keys.append(self.choice(options))
        return TABLE["slice_index"](x, key=tuple(keys))

    def gather(self, x: Any) -> Any:
        if not x.ndim or not x.size:
            return None
        axis = self.axis(x)
        index = self.rng.integers(-x.shape[axis], x.shape[axis], self.choice(((), (2,), (2, 2))))
        return TABLE["gather"](x, index, axes=(axis,))

    def sort(self, x: Any) -> Any:
        if x.ndim != 1:
            return None
        ordered = np.sort(self.value(x))
        if ordered.size > 1 and np.min(np.diff(ordered)) < GAP:
            return None
        return TABLE["gather"](x, TABLE["argsort"](x, axis=0), axes=(0,))

    def scatter_sum(self, x: Any) -> Any:
        if x.ndim != 1:
            return None
        index = self.rng.integers(0, 4, x.shape)
        return TABLE["scatter_sum"](x, index, shape=(4,), parts=(("gather", (0,)),))

    def assign(self, x: Any) -> Any:
        if not x.ndim or not x.size:
            return None
        if self.draw(st.booleans()):
            index = self.rng.integers(0, x.shape[0], 2)
            value = TABLE["gather"](x * x, index, axes=(0,)) * 0.5
            return TABLE["assign"](x, value, index, part=("gather", (0,), False))
        key = (0, *((0, n, 1) for n in x.shape[1:]))
        return TABLE["assign"](x, TABLE["slice_index"](x, key=key) * 2.0, part=("slice", key))

    def contract(self, x: Any) -> Any:
        y = self.pick()
        if not x.ndim or not y.ndim or x.shape[-1] != y.shape[0] or x.ndim + y.ndim > 5:
            return None
        left, right = "abcd"[: x.ndim], "xyzw"[: y.ndim]
        right = left[-1] + right[1:]
        return TABLE["contract"](x, y, spec=f"{left},{right}->{left[:-1]}{right[1:]}")


STEPS = (
    "unary",
    "binary",
    "with_number",
    "integer_power",
    "where",
    "stop",
    "reshape",
    "transpose",
    "broadcast_to",
    "reduce_sum",
    "reduce_max",
    "scan",
    "recurrence",
    "concatenate",
    "pad",
    "slice_index",
    "gather",
    "sort",
    "scatter_sum",
    "assign",
    "contract",
)


@st.composite
def programs(draw: Any, *, most_steps: int = 10) -> Program:
    """A random graph with one to three inputs and one or two float outputs."""
    builder = _Builder(draw)
    for _ in range(draw(st.integers(1, most_steps))):
        builder.step()
    outputs = [builder.handles[-1]]
    if draw(st.booleans()):
        outputs.append(builder.pick())
    graph = builder.tape.graph([h._index for h in outputs])
    return Program(graph, builder.args)


# ---------------------------------------------------------------- Python sources


class Source(NamedTuple):
    """A Python function of `x` (5 elements) and `m` (2 by 3), as source text, and arguments."""

    text: str
    x: Any
    m: Any

    def function(self) -> Any:
        """The function, compiled anew."""
        scope: dict[str, Any] = {"np": np}
        exec(compile(self.text, "<random program>", "exec"), scope)
        return scope["program"]

    def __repr__(self) -> str:
        return f"{self.text}\nwith x = {self.x!r}, m = {self.m!r}"


# Statements keep the shapes of the names they assign: x, y, v have one axis, m, w two, s none.
SETUP = (
    "y = x * 1.5",
    "y = x.copy()",
    "y = np.zeros_like(x)",
    "y = x[::-1]",
    "y = x[1:]",
    "y = x",
    "y = m[0]",
    "y = m[:, 1]",
    "y = m.T[2]",
    "y = m.ravel()",
    "y = w.reshape(-1)",
    "y = v",
    "v = y[1:]",
    "v = y[::2]",
    "v = y[:]",
    "v = x[2:]",
    "v = m[1, :]",
    "v = y.copy()",
    "v = y[[0, -1]]",
    "v = y[y > 0.5]",
    "v = y[np.array([0, 0, 1])]",
    "v = w[:, 0]",
    "w = m * 2.0",
    "w = m.T",
    "w = m[:, ::-1]",
    "w = m[1:]",
    "w = m",
    "w = y[None, :]",
    "w = m[:, [2, 0]]",
    "w = np.stack([y, y * 2.0])",
    "y = w.flatten()",
    "y = w.ravel()[1:]",
    "v = np.flip(y)",
    "v = y[..., :2]",
    "w = y.reshape(1, -1)",
    "w = np.atleast_2d(y)",
    "w = np.expand_dims(v, 0)",
    "y = np.squeeze(w[:1])",
    "v = np.diagonal(m)",
    "w = np.swapaxes(m, 0, 1)",
    "w = np.broadcast_to(y, (2, len(y)))",
    "y, v = np.split(x[:4], 2)",
    "v = np.concatenate([y, v])",
    "y = np.roll(x, 1)",
    "y = np.where(x > 0, x, v[0])",
    "v = np.sort(y)",
    "v = np.array([1.0, 2.0]) * s",
    "v = y if s > 0 else v",
    "y = np.moveaxis(w, 0, -1)[0]",
    "y = np.hstack([x, s])",
    "w = m.astype(float)",
    "y = +x",
    "v = y.take([0, 1])",
    "y = np.atleast_1d(s)",
    "w = np.vstack([y, y])",
    "w = m.swapaxes(0, 1)",
    "v = np.tile(y, 2)",
    "y = np.ravel(m)",
    "y = m.squeeze()[0]",
    "w = np.transpose(w)",
    "y = np.cumsum(x)",
    "v = np.diff(x)",
    "w = np.outer(y, v)",
    "y = w @ np.ones(w.shape[1])",
    "y = np.maximum(x, 0.2)",
    "y = np.repeat(v, 2)",
    "w = w.T.reshape(w.shape)",
)
CHANGE = (
    "y[0] = s",
    "y[-1] = y[0] * y[0]",
    "y[:] = y * 0.5",
    "y[1:] = y[:-1]",
    "y[:-1] = y[1:]",
    "y[::2] = 0.25",
    "y[[0, -1]] = s",
    "y[[0, 0]] = [1.5, 2.5]",
    "y[y > 1.0] = 1.0",
    "y[...] = s",
    "y += 1.0",
    "y *= 0.5",
    "y -= v[0]",
    "y /= 2.0",
    "y **= 2",
    "y[0] += s",
    "y[:1] *= 3.0",
    "y[[0, 0]] += 1.0",
    "v[0] = s * 0.5",
    "v[:] = np.sin(v)",
    "v += 0.25",
    "v *= 1.5",
    "v[-1] -= y[0]",
    "v[::-1] = v * 2.0",
    "v[...] = y[0]",
    "w[0, 0] = s",
    "w[0] = 2.0",
    "w[:, 0] = w[:, -1]",
    "w += 0.5",
    "w *= w",
    "w.T[0] = s",
    "w[-1, :] = w[0] * 0.5",
    "w[0][0] = 3.0",
    "w[[0], [0]] = s",
    "x[0] = 0.75",
    "x[1:] *= 2.0",
    "m[0] = 1.25",
    "m[1, 1] += s",
    "m *= 0.5",
    "np.add(y, 1.0, out=y)",
    "np.multiply(v, 2.0, out=v)",
    "y[0], y[-1] = y[-1], y[0]",
    "y.fill(0.5)",
    "y.sort()",
    "w[..., 0] = s",
    "w[None, 0, 0] = s",
    "np.clip(y, 0.0, 1.0, out=y)",
    "w[:, ::-1] = w",
    "y[np.argsort(y)] = y",
    "y[-1:] = v[:1]",
    "np.negative(v, out=v)",
    "w[1:] += w[:-1]",
    "y[1:] += y[:-1]",
    "np.copyto(y, 0.3)",
    "w[[0, -1]] *= 2.0",
    "w[0], w[-1] = w[-1], w[0]",
    "w[w > 0.8] = 0.1",
    "w[:, y[:1] > 0] = 0.2",
    "y[y < 0] *= -1.0",
    "change(y)",
    "change(v)",
    "change(w[0])",
    "s = change(x)",
    "k = np.arange(3); k[1:] = 0; y = y[k]",
    "b = y > 0; b[0] = True; y = np.where(b, y, 0.5)",
    "a = np.ones(3); y = np.sin(y[0] * a); a[0] = 7.0",
    "w[1:, 1:] -= s",
    "w[:, 0], w[0] = 1.0, s",
)
READ = (
    "s = s + y[0] * y[-1]",
    "s = s + np.sum(v * v)",
    "s = s + np.sum(np.sin(w))",
    "s = s * 0.5 + x[1]",
    "s = s - m[1, 2]",
    "s = np.tanh(s)",
    "s += y[0]",
    "s *= 0.75",
    "s = s + np.sum(y) * v[0]",
    "s = s + np.max(y) - np.min(w)",
    "s = s + np.sum(x * x)",
    "s = s + float(len(y))",
    "s = s + w[0, 0] * v[-1]",
)
BLOCKS = (
    "for i in range(len(y)):\n    s = s + y[i] * {a}\n    y[i] = y[i] * 0.5 + 0.1 * i",
    "for e in y:\n    s = s + e * e",
    "for row in w:\n    row += 0.5\n    s = s + row[0]",
    "if s > 0.5:\n    {c}\nelse:\n    {d}",
    "if y[0] > v[0]:\n    {c}",
    "n = 0\nwhile s < 2.0 and n < 3:\n    {c}\n    s = s + 0.7\n    n += 1",
    "for i in range(1, len(y)):\n    y[i] = y[i] + 0.5 * y[i - 1]",
    "t = y[0]\n{c}\ns = s + t",
    "u = v\n{c}\ns = s + u[0]",
)


# Changes its argument, as functions in NumPy's style do.
CHANGER = """
def change(a):
    a *= 0.5
    a[0] = a[-1] + 1.0
    return a[0] * 1.0
"""


@st.composite
def sources(draw: Any, *, most: int = 9) -> Source:
    """A random function that slices, assigns through views, loops and branches."""
    simple = st.sampled_from(CHANGE + READ)
    lines = ["s = x[0] * 1.0 + m[0, 1]", "y = x * 1.0", "v = y[1:]", "w = m * 1.0"]
    for _ in range(draw(st.integers(1, most))):
        kind = draw(st.sampled_from(("setup", "change", "change", "read", "block")))
        if kind == "setup":
            lines.append(draw(st.sampled_from(SETUP)))
        elif kind == "change":
            lines.append(draw(st.sampled_from(CHANGE)))
        elif kind == "read":
            lines.append(draw(st.sampled_from(READ)))
        else:
            block = draw(st.sampled_from(BLOCKS))
            lines.append(
                block.format(
                    a=draw(st.sampled_from(("1.0", "s", "x[0]"))), c=draw(simple), d=draw(simple)
                )
            )
    end = "return s + np.sum(x) + np.sum(y * y) + np.sum(v) * 0.5 + np.sum(w * 0.3)"
    body = textwrap.indent("\n".join([*lines, end]), "    ")
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.uniform(0.3, 1.7, 5) * rng.choice([-1.0, 1.0], 5)
    return Source(f"{CHANGER}\n\ndef program(x, m):\n{body}\n", x, rng.uniform(0.3, 1.7, (2, 3)))
