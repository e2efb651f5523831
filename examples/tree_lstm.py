"""Learn a property of programs that takes their structure: does one call stand inside another?

The programs are the functions of Python's own standard library, as syntax trees: `f(g(x))` has a
call inside another, `f(x); g(x)` has not, and both consist of the same nodes. Every example is a
tree of another shape. The loss of one tree is plain recursion; its sum over a minibatch is
differentiated, and equal cells of different trees run together without a word about it.

Examples come in pairs, one with the property and one without, with as many calls and about as many
nodes, so that counting nodes is no help: the network that sees only counts shows it.

Run: python examples/tree_lstm.py [--functions N] [--epochs N]
"""

import argparse
import ast
import sysconfig
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

import wengert as wg
from wengert.nn import sigmoid
from wengert.optim import adam, apply_updates

SIZE = 32
BATCH = 32
NODES = (10, 40)  # of a function, smaller and larger ones are left out
LEARNING_RATE = 0.01


class Node(NamedTuple):
    """A node of a syntax tree: the number of its kind, and its children."""

    kind: int
    children: tuple["Node", ...]


class Example(NamedTuple):
    """A function's tree, how often each kind of node occurs in it, and whether it is positive."""

    tree: Node
    counts: Any
    label: int


# ---------------------------------------------------------------- data

KINDS = sorted(name for name in dir(ast) if isinstance(getattr(ast, name), type))
NUMBERS = {name: number for number, name in enumerate(KINDS)}


def children(node: ast.AST) -> list[ast.AST]:
    """Children that say something: not whether a name is read or written."""
    return [c for c in ast.iter_child_nodes(node) if not isinstance(c, ast.expr_context)]


def convert(node: ast.AST) -> Node:
    """A syntax tree as numbers."""
    return Node(NUMBERS[type(node).__name__], tuple(convert(child) for child in children(node)))


def call_inside_call(node: ast.AST, inside: bool = False) -> bool:
    """Whether a call stands anywhere below another one."""
    is_call = isinstance(node, ast.Call)
    if is_call and inside:
        return True
    return any(call_inside_call(child, inside or is_call) for child in children(node))


def functions() -> Iterator[ast.FunctionDef]:
    """The functions of the modules of the standard library, in alphabetical order."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef):
                yield node


def pairs(wanted: int) -> Iterator[tuple[Example, Example]]:
    """Pairs of a positive and a negative function with as many calls and about as many nodes."""
    waiting: dict[tuple[int, int], dict[int, list[Example]]] = defaultdict(lambda: {0: [], 1: []})
    seen: set[Node] = set()
    call = NUMBERS["Call"]
    for function in functions():
        tree = convert(function)
        counts = np.zeros(len(KINDS), np.float32)
        count_kinds(tree, counts)
        if tree in seen or counts[call] < 2 or not NODES[0] <= counts.sum() <= NODES[1]:
            continue
        seen.add(tree)
        example = Example(tree, counts, int(call_inside_call(function)))
        alike = waiting[int(counts[call]), int(counts.sum()) // 4]
        alike[example.label].append(example)
        if alike[0] and alike[1]:
            yield alike[1].pop(0), alike[0].pop(0)
            wanted -= 1
            if wanted == 0:
                return


def count_kinds(tree: Node, counts: Any) -> None:
    """Add a tree's nodes to the counts of their kinds."""
    counts[tree.kind] += 1
    for child in tree.children:
        count_kinds(child, counts)


# ---------------------------------------------------------------- the two models


def layer(rng: np.random.Generator, n: int, m: int) -> dict[str, Any]:
    """A layer of small random weights and zero biases."""
    return {
        "W": rng.normal(0, np.sqrt(1 / n), (n, m)).astype(np.float32),
        "b": np.zeros(m, np.float32),
    }


def tree_parameters(rng: np.random.Generator) -> dict[str, Any]:
    """Of the Tree-LSTM."""
    return {
        "kinds": rng.normal(0, 1, (len(KINDS), SIZE)).astype(np.float32),
        "cell": layer(rng, 3 * SIZE, 5 * SIZE),
        "out": layer(rng, SIZE, 1),
    }


@wg.compile
def cell(params: Any, x: Any, inner: Any, following: Any) -> Any:
    """The state (h, c) of a node from its kind, its children's state and its next sibling's."""
    z = np.concatenate([x, inner[0], following[0]]) @ params["W"] + params["b"]
    i, f1, f2, o, u = (z[k * SIZE : (k + 1) * SIZE] for k in range(5))
    c = sigmoid(i) * np.tanh(u) + sigmoid(f1) * inner[1] + sigmoid(f2) * following[1]
    return sigmoid(o) * np.tanh(c), c


def state(params: Any, siblings: Sequence[Node]) -> Any:
    """The state of a row of siblings: the tree is read as a binary one, by recursion."""
    zeros = np.zeros(SIZE, params["out"]["W"].dtype)
    found = (zeros, zeros)
    for node in reversed(siblings):
        inner = state(params, node.children)
        found = cell(params["cell"], params["kinds"][node.kind], inner, found)
    return found


def tree_score(params: Any, example: Example) -> Any:
    """Log-odds that an example is positive."""
    h, _ = state(params, (example.tree,))
    return (h @ params["out"]["W"] + params["out"]["b"])[0]


def bag_parameters(rng: np.random.Generator) -> dict[str, Any]:
    """Of the baseline."""
    return {"hidden": layer(rng, len(KINDS), SIZE), "out": layer(rng, SIZE, 1)}


def bag_score(params: Any, example: Example) -> Any:
    """Log-odds from the counts of the kinds of nodes: a perceptron, blind to structure."""
    x = np.log1p(example.counts)
    h = np.tanh(x @ params["hidden"]["W"] + params["hidden"]["b"])
    return (h @ params["out"]["W"] + params["out"]["b"])[0]


# ---------------------------------------------------------------- training

Score = Callable[[Any, Example], Any]


def loss(params: Any, score: Score, examples: Sequence[Example]) -> Any:
    """Mean cross entropy: each example's own loss, summed."""
    signs = [1.0 if example.label else -1.0 for example in examples]
    total = sum(
        np.logaddexp(0.0, -sign * score(params, example))
        for sign, example in zip(signs, examples, strict=True)
    )
    return total / len(examples)


def train(name: str, score: Score, params: Any, examples: list[Example], epochs: int) -> Any:
    """Adam on minibatches; the parameters after it."""
    step = wg.value_and_grad(lambda params, batch: loss(params, score, batch))
    optimiser = adam(LEARNING_RATE)
    memory = optimiser.init(params)
    rng = np.random.default_rng(1)
    starts = range(0, len(examples), BATCH)
    with tqdm(total=epochs * len(starts), desc=name, unit="step") as bar:
        for epoch in range(epochs):
            order = rng.permutation(len(examples))
            for start in starts:
                batch = [examples[k] for k in order[start : start + BATCH]]
                value, gradients = step(params, batch)
                updates, memory = optimiser.update(gradients, memory, params)
                params = apply_updates(params, updates)
                bar.set_postfix(epoch=epoch + 1, loss=f"{value:.3f}", refresh=False)
                bar.update()
    return params


def accuracy(score: Score, params: Any, examples: Sequence[Example]) -> float:
    """Percentage of examples on whose right side the score lies."""
    right = [(score(params, example) > 0) == (example.label == 1) for example in examples]
    return 100 * float(np.mean(right))


def check_gradient(params: Any, examples: Sequence[Example]) -> float:
    """Relative difference to a central difference along a random direction, in double precision."""
    rng = np.random.default_rng(2)
    point = {
        "kinds": params["kinds"].astype(np.float64),
        **{part: {n: a.astype(np.float64) for n, a in params[part].items()} for part in PARTS},
    }
    gradient = wg.grad(lambda p: loss(p, tree_score, examples))(point)
    slope, ends = 0.0, {1: point, -1: point}
    for part in PARTS:
        for name, array in point[part].items():
            direction = rng.standard_normal(array.shape)
            slope += float(np.sum(gradient[part][name] * direction))
            for sign in ends:
                moved = {**ends[sign][part], name: array + sign * 1e-5 * direction}
                ends[sign] = {**ends[sign], part: moved}
    rise = [float(loss(ends[sign], tree_score, examples)) for sign in (1, -1)]
    return abs((rise[0] - rise[1]) / 2e-5 - slope) / abs(slope)


PARTS = ("cell", "out")


def main() -> None:
    """Train both, and test on a quarter of the pairs that training never sees."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--functions", type=int, default=1200, help="how many, a quarter of them to test on"
    )
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    found = list(pairs(arguments.functions // 2))
    held_out = [example for pair in found[::4] for example in pair]
    trained = [example for k, pair in enumerate(found) if k % 4 for example in pair]
    nodes = sum(int(example.counts.sum()) for example in trained)
    print(f"{len(trained)} functions, {nodes} nodes to train on; {len(held_out)} to test on")
    rng = np.random.default_rng(0)
    params = tree_parameters(rng)
    difference = check_gradient(params, trained[:3])
    print(f"gradient and central difference differ by {difference:.1e} of their size")
    assert difference < 1e-6
    params = train("Tree-LSTM", tree_score, params, trained, arguments.epochs)
    bag = train("bag of nodes", bag_score, bag_parameters(rng), trained, 2 * arguments.epochs)
    trees_right = accuracy(tree_score, params, held_out)
    bag_right = accuracy(bag_score, bag, held_out)
    print(
        f"held-out functions classified rightly: Tree-LSTM {trees_right:.1f} %, "
        f"bag of nodes {bag_right:.1f} %"
    )


if __name__ == "__main__":
    main()
