"""Programs whose graph differs from example to example, with a plain and a compiled cell."""

import itertools

import numpy as np

import wengert as wg

D = 6


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def leaf(p, x):
    g = x @ p["W"] + p["b"]
    c = sigmoid(g[:D]) * np.tanh(g[D:])
    return np.tanh(c), c


def node(p, h1, c1, h2, c2):
    g = np.concatenate([h1, h2]) @ p["U"] + p["d"]
    i, f, u = g[:D], g[D : 2 * D], g[2 * D :]
    c = sigmoid(i) * np.tanh(u) + sigmoid(f) * (c1 + c2)
    return np.tanh(c), c


def step(p, h, c, x):
    g = x @ p["W"] + h @ p["V"] + p["b"]
    c = sigmoid(g[:D]) * c + np.tanh(g[D:])
    return np.tanh(c), c


compiled_leaf, compiled_node, compiled_step = map(wg.compile, (leaf, node, step))


def parameters(rng, dtype=np.float64):
    def draw(*shape):
        return (0.4 * rng.standard_normal(shape)).astype(dtype)

    return {
        "E": draw(20, D),
        "W": draw(D, 2 * D),
        "V": draw(D, 2 * D),
        "b": draw(2 * D),
        "U": draw(2 * D, 3 * D),
        "d": draw(3 * D),
        "C": draw(D, 3),
    }


def head(p, h, label):
    scores = h @ p["C"]
    return np.log(np.sum(np.exp(scores))) - scores[label]


def random_tree(rng, leaves):
    if leaves == 1:
        return int(rng.integers(20))
    k = int(rng.integers(1, leaves))
    return random_tree(rng, k), random_tree(rng, leaves - k)


def tree_loss(p, tree, compiled=False):
    of_leaf, of_node = (compiled_leaf, compiled_node) if compiled else (leaf, node)

    def encode(t):
        if isinstance(t, int):
            return of_leaf(p, p["E"][t])
        return of_node(p, *encode(t[0]), *encode(t[1]))

    return head(p, encode(tree)[0], 1)


def sequence_loss(p, xs, compiled=False):
    of_step = compiled_step if compiled else step
    h = c = np.zeros(D, xs.dtype)
    for x in xs:
        h, c = of_step(p, h, c, x)
    return head(p, h, len(xs) % 3)


def lattice_loss(p, rows, compiled=False):
    """Each cell of a grid is made of the two before it; every inner value is used twice."""
    of_node = compiled_node if compiled else node
    line = [leaf(p, p["E"][k]) for k in range(rows)]
    while len(line) > 1:
        line = [of_node(p, *a, *b) for a, b in itertools.pairwise(line)]
    return head(p, line[0][0], 0)


def minibatches(rng, dtype=np.float64):
    """name -> (loss of one example, examples)"""
    return {
        "trees": (tree_loss, [random_tree(rng, int(n)) for n in rng.integers(2, 9, 6)]),
        "sequences": (
            sequence_loss,
            [rng.standard_normal((int(n), D)).astype(dtype) for n in rng.integers(2, 8, 5)],
        ),
        "lattices": (lattice_loss, [2, 3, 5, 4]),
    }
