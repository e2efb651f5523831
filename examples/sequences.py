"""Learn to write the first lines of docstrings, one character after the other.

The text is real: the first lines of the docstrings of Python's own standard library. Each line is a
sequence of another length and a graph of its own: a plain loop over its characters, neither padded
nor masked. The losses of a minibatch are summed, and equal steps of different lines run together
without a word about it.

Printed are bits per character on lines held out, before and after training, beside what counting
single characters and pairs of characters gives; and a few lines that the network writes.

Run: python examples/sequences.py [--lines N] [--epochs N]
"""

import argparse
import ast
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import wengert as wg
from wengert.nn import sigmoid
from wengert.optim import adam, apply_updates

#: Number 0 is the end of a line, and what stands before its beginning.
CHARACTERS = "\n abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;'\"`-_()[]=/*"
NUMBERS = {character: number for number, character in enumerate(CHARACTERS)}
SIZE = 64
BATCH = 16
LENGTHS = (15, 60)  # of a line; shorter and longer ones are left out
LEARNING_RATE = 0.01
ONE_HOT = np.eye(len(CHARACTERS), dtype=np.float32)


# ---------------------------------------------------------------- data


def first_lines(wanted: int) -> list[list[int]]:
    """First lines of docstrings, no line twice, as numbers of characters."""
    found: dict[str, None] = {}
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for line in docstring_lines(ast.parse(path.read_bytes())):
            if LENGTHS[0] <= len(line) <= LENGTHS[1] and all(c in NUMBERS for c in line):
                found[line] = None
        if len(found) >= wanted:
            break
    return [[NUMBERS[c] for c in line] for line in list(found)[:wanted]]


def docstring_lines(tree: ast.Module) -> Iterator[str]:
    """The first line of each docstring of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            text = ast.get_docstring(node)
            if text:
                yield text.splitlines()[0]


# ---------------------------------------------------------------- the model


def parameters(rng: np.random.Generator) -> dict[str, Any]:
    """Small random weights and zero biases."""

    def weight(n: int, m: int) -> Any:
        return rng.normal(0, np.sqrt(1 / n), (n, m)).astype(np.float32)

    count = len(CHARACTERS)
    return {
        "characters": weight(count, SIZE),
        "cell": {"W": weight(2 * SIZE, 4 * SIZE), "b": np.zeros(4 * SIZE, np.float32)},
        "out": {"W": weight(SIZE, count), "b": np.zeros(count, np.float32)},
    }


@wg.compile
def cell(params: Any, x: Any, h: Any, c: Any) -> Any:
    """One step of an LSTM."""
    z = np.concatenate([x, h]) @ params["W"] + params["b"]
    i, f, g, o = (z[k * SIZE : (k + 1) * SIZE] for k in range(4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


@wg.compile
def surprise(params: Any, h: Any, one_hot: Any) -> Any:
    """Minus the logarithm of the probability of the character that comes next."""
    z = h @ params["W"] + params["b"]
    z = z - np.max(z)
    return np.log(np.sum(np.exp(z))) - np.sum(z * one_hot)


def line_loss(params: Any, line: Sequence[int]) -> Any:
    """Surprise at all characters of a line and at its end, in nats."""
    h = c = np.zeros(SIZE, np.float32)
    total = 0.0
    before = 0
    for character in (*line, 0):
        h, c = cell(params["cell"], params["characters"][before], h, c)
        total = total + surprise(params["out"], h, ONE_HOT[character])
        before = character
    return total


def loss(params: Any, lines: Sequence[Sequence[int]]) -> Any:
    """Nats per character: each line's own loss, summed."""
    return sum(line_loss(params, line) for line in lines) / count(lines)


def count(lines: Sequence[Sequence[int]]) -> int:
    """Characters of all lines, their ends counted."""
    return sum(len(line) + 1 for line in lines)


def bits(params: Any, lines: Sequence[Sequence[int]]) -> float:
    """Bits per character."""
    return float(loss(params, lines) / np.log(2))


def counted_bits(trained: Sequence[Sequence[int]], tested: Sequence[Sequence[int]]) -> Any:
    """Bits per character from counts of single characters, and of pairs, each begun at 0.1."""
    pairs = np.full((len(CHARACTERS), len(CHARACTERS)), 0.1)
    for line in trained:
        np.add.at(pairs, ([0, *line], [*line, 0]), 1.0)
    singles = pairs.sum(axis=0)
    before = np.concatenate([[0, *line] for line in tested])
    after = np.concatenate([[*line, 0] for line in tested])
    by_pair = pairs[before, after] / pairs.sum(axis=1)[before]
    return -np.mean(np.log2(singles[after] / singles.sum())), -np.mean(np.log2(by_pair))


def write(params: Any, rng: np.random.Generator) -> str:
    """A line that the network writes; likelier characters are preferred a little."""
    h = c = np.zeros(SIZE, np.float32)
    text, before = "", 0
    while len(text) < LENGTHS[1]:
        h, c = cell(params["cell"], params["characters"][before], h, c)
        z = 1.5 * (h @ params["out"]["W"] + params["out"]["b"]).astype(np.float64)
        probabilities = np.exp(z - z.max())
        before = int(rng.choice(len(CHARACTERS), p=probabilities / probabilities.sum()))
        if before == 0:
            break
        text += CHARACTERS[before]
    return text


# ---------------------------------------------------------------- training


def train(params: Any, lines: list[list[int]], epochs: int) -> Any:
    """Adam on minibatches; the parameters after it."""
    step = wg.value_and_grad(loss)
    optimiser = adam(LEARNING_RATE)
    memory = optimiser.init(params)
    rng = np.random.default_rng(1)
    starts = range(0, len(lines), BATCH)
    with tqdm(total=epochs * len(starts), desc="LSTM", unit="step") as bar:
        for epoch in range(epochs):
            order = rng.permutation(len(lines))
            for start in starts:
                value, gradients = step(params, [lines[k] for k in order[start : start + BATCH]])
                updates, memory = optimiser.update(gradients, memory, params)
                params = apply_updates(params, updates)
                bar.set_postfix(epoch=epoch + 1, bits=f"{value / np.log(2):.2f}", refresh=False)
                bar.update()
    return params


def main() -> None:
    """Train, and measure on the eighth of the lines that training never sees."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    lines = first_lines(arguments.lines)
    tested = lines[::8]
    trained = [line for k, line in enumerate(lines) if k % 8]
    print(
        f"{len(trained)} lines, {count(trained)} characters to train on; {len(tested)} to test on"
    )
    rng = np.random.default_rng(0)
    params = parameters(rng)
    before = bits(params, tested)
    params = train(params, trained, arguments.epochs)
    print("lines that the network writes:")
    for _ in range(3):
        print(f"    {write(params, rng)}")
    single, pair = counted_bits(trained, tested)
    print(
        f"bits per character, held out: {before:.2f} before, {bits(params, tested):.2f} after; "
        f"single characters {single:.2f}, pairs {pair:.2f}"
    )


if __name__ == "__main__":
    main()
