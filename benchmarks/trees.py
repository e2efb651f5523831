"""A binary Tree-LSTM (Tai, Socher and Manning, 2015) in each system, and random trees for it.

A tree is an `int`, the number of a word, or a pair of trees. A minibatch is a list of (tree, class
of its root). Each maker takes the parameters and gives a step: minibatch -> the summed loss, and a
function that hands over the gradients in the order of `FLAT` (an optimiser would not copy them).
Imports are inside, so that a process loads only what it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from rounds import import_dynet

Tree = Any
Minibatch = list[tuple[Tree, int]]

WORDS = 1000
SIZE = 128
CLASSES = 5
EXAMPLES = 32
LEAVES = (5, 40)
#: Where the parameters lie in their tree, in the order of the gradients.
FLAT = (
    ("embedding",),
    ("leaf", "W"),
    ("leaf", "b"),
    ("node", "W"),
    ("node", "b"),
    ("root", "W"),
    ("root", "b"),
)


# ---------------------------------------------------------------- data


def parameters(size: int = SIZE) -> dict[str, Any]:
    rng = np.random.default_rng(0)

    def layer(n: int, m: int) -> dict[str, Any]:
        weight = rng.standard_normal((n, m), np.float32) / np.float32(np.sqrt(n))
        return {"W": weight, "b": np.zeros(m, np.float32)}

    return {
        "embedding": rng.standard_normal((WORDS, size), np.float32),
        "leaf": layer(size, 3 * size),
        "node": layer(2 * size, 5 * size),
        "root": layer(size, CLASSES),
    }


def flat(params: Any) -> list[Any]:
    """The parameters, or gradients in the same form, in the order of `FLAT`."""
    return [params[path[0]] if len(path) == 1 else params[path[0]][path[1]] for path in FLAT]


def random_tree(leaves: int, rng: np.random.Generator) -> Tree:
    if leaves == 1:
        return int(rng.integers(WORDS))
    left = int(rng.integers(1, leaves))
    return random_tree(left, rng), random_tree(leaves - left, rng)


def minibatches(seed: int = 1, examples: int = EXAMPLES) -> Callable[[], Minibatch]:
    """A function that makes another minibatch at each call."""
    rng = np.random.default_rng(seed)
    low, high = LEAVES

    def make() -> Minibatch:
        return [
            (random_tree(int(rng.integers(low, high + 1)), rng), int(rng.integers(CLASSES)))
            for _ in range(examples)
        ]

    return make


def count(tree: Tree) -> tuple[int, int]:
    """How many leaves and inner nodes a tree has."""
    if isinstance(tree, int):
        return 1, 0
    left, right = count(tree[0]), count(tree[1])
    return left[0] + right[0], left[1] + right[1] + 1


def flops(batch: Minibatch) -> int:
    """Operations of the matrix products of a step: each one forward, two backward."""
    counts = [count(tree) for tree, _ in batch]
    leaves, inner = (sum(c[k] for c in counts) for k in (0, 1))
    per_leaf, per_node = SIZE * 3 * SIZE, 2 * SIZE * 5 * SIZE
    return 6 * (leaves * per_leaf + inner * per_node + len(batch) * SIZE * CLASSES)


# ---------------------------------------------------------------- written once, for one example


def leaf_state(layer: Any, x: Any, xp: Any, sigmoid: Any) -> Any:
    """The state (h, c) of a leaf, from its word's vector."""
    i, o, u = (part(x @ layer["W"] + layer["b"], k) for k in range(3))
    c = sigmoid(i) * xp.tanh(u)
    return sigmoid(o) * xp.tanh(c), c


def node_state(layer: Any, left: Any, right: Any, xp: Any, sigmoid: Any) -> Any:
    """The state (h, c) of an inner node, from its children's."""
    z = xp.concatenate([left[0], right[0]]) @ layer["W"] + layer["b"]
    i, f1, f2, o, u = (part(z, k) for k in range(5))
    c = sigmoid(i) * xp.tanh(u) + sigmoid(f1) * left[1] + sigmoid(f2) * right[1]
    return sigmoid(o) * xp.tanh(c), c


def part(z: Any, k: int) -> Any:
    """Gate number k of a vector of gates."""
    return z[k * SIZE : (k + 1) * SIZE]


def state_of(params: Any, tree: Tree, leaf: Any, node: Any) -> Any:
    """The state of a tree's root, by recursion."""
    if isinstance(tree, int):
        return leaf(params["leaf"], params["embedding"][tree])
    left = state_of(params, tree[0], leaf, node)
    right = state_of(params, tree[1], leaf, node)
    return node(params["node"], left, right)


def cross_entropy(layer: Any, h: Any, label: int, xp: Any) -> Any:
    logits = h @ layer["W"] + layer["b"]
    return xp.log(xp.sum(xp.exp(logits))) - logits[label]


# ---------------------------------------------------------------- wengert, autograd


def wengert_loss(compiled: bool) -> Callable[[Any, Minibatch], Any]:
    """The loss of a minibatch: the sum over its examples."""
    import wengert as wg
    from wengert.nn import sigmoid

    def leaf(layer: Any, x: Any) -> Any:
        return leaf_state(layer, x, np, sigmoid)

    def node(layer: Any, left: Any, right: Any) -> Any:
        return node_state(layer, left, right, np, sigmoid)

    if compiled:
        leaf, node = wg.compile(leaf), wg.compile(node)

    def loss(params: Any, tree: Tree, label: int) -> Any:
        h, _ = state_of(params, tree, leaf, node)
        return cross_entropy(params["root"], h, label, np)

    return lambda params, batch: sum(loss(params, tree, label) for tree, label in batch)


def wengert(params: Any, compiled: bool) -> Any:
    import wengert as wg

    step = wg.value_and_grad(wengert_loss(compiled))

    def call(batch: Minibatch) -> tuple[Any, Any]:
        value, gradients = step(params, batch)
        return value, lambda: flat(gradients)

    return call


def autograd(params: Any) -> Any:
    import autograd as ag
    import autograd.numpy as anp

    def sigmoid(x: Any) -> Any:
        return 1.0 / (1.0 + anp.exp(-x))

    def leaf(layer: Any, x: Any) -> Any:
        return leaf_state(layer, x, anp, sigmoid)

    def node(layer: Any, left: Any, right: Any) -> Any:
        return node_state(layer, left, right, anp, sigmoid)

    def loss(params: Any, batch: Minibatch) -> Any:
        total = 0.0
        for tree, label in batch:
            h, _ = state_of(params, tree, leaf, node)
            total = total + cross_entropy(params["root"], h, label, anp)
        return total

    step = ag.value_and_grad(loss)

    def call(batch: Minibatch) -> tuple[Any, Any]:
        value, gradients = step(params, batch)
        return value, lambda: flat(gradients)

    return call


# ---------------------------------------------------------------- PyTorch


def _torch_step(params: Any, total: Callable[[list[Any], Minibatch], Any]) -> Any:
    import torch

    tensors = [torch.tensor(p, requires_grad=True) for p in flat(params)]

    def call(batch: Minibatch) -> tuple[Any, Any]:
        for tensor in tensors:
            tensor.grad = None
        loss = total(tensors, batch)
        loss.backward()
        return loss.item(), lambda: [tensor.grad.numpy() for tensor in tensors]

    return call


def torch_per_node(params: Any) -> Any:
    import torch

    def total(tensors: list[Any], batch: Minibatch) -> Any:
        embedding, w_leaf, b_leaf, w_node, b_node, w_root, b_root = tensors

        def state(tree: Tree) -> Any:
            if isinstance(tree, int):
                i, o, u = (embedding[tree] @ w_leaf + b_leaf).chunk(3)
                c = torch.sigmoid(i) * torch.tanh(u)
                return torch.sigmoid(o) * torch.tanh(c), c
            (h1, c1), (h2, c2) = state(tree[0]), state(tree[1])
            i, f1, f2, o, u = (torch.cat([h1, h2]) @ w_node + b_node).chunk(5)
            c = torch.sigmoid(i) * torch.tanh(u) + torch.sigmoid(f1) * c1 + torch.sigmoid(f2) * c2
            return torch.sigmoid(o) * torch.tanh(c), c

        losses = []
        for tree, label in batch:
            logits = state(tree)[0] @ w_root + b_root
            losses.append(torch.logsumexp(logits, 0) - logits[label])
        return torch.stack(losses).sum()

    return _torch_step(params, total)


def levels(batch: Minibatch) -> tuple[list[int], list[tuple[int, list[int]]]]:
    """Trees level by level: the words of all leaves, deepest first, then for each level from the
    deepest up the number of its leaves, and where its nodes, in order, lie among (inner nodes,
    leaves) of that level. The children of a level's inner nodes are the next level's nodes in
    order, so that pairing them takes no more than a reshape."""
    level: list[Tree] = [tree for tree, _ in batch]
    words: list[list[int]] = []
    places: list[tuple[int, list[int]]] = []
    while level:
        inner = [tree for tree in level if not isinstance(tree, int)]
        words.append([tree for tree in level if isinstance(tree, int)])
        next_inner, next_leaf, place = 0, len(inner), []
        for tree in level:
            if isinstance(tree, int):
                place.append(next_leaf)
                next_leaf += 1
            else:
                place.append(next_inner)
                next_inner += 1
        places.append((len(words[-1]), place))
        level = [child for tree in inner for child in tree]
    return [word for row in reversed(words) for word in row], places[::-1]


def torch_by_level(params: Any) -> Any:
    import torch

    def total(tensors: list[Any], batch: Minibatch) -> Any:
        embedding, w_leaf, b_leaf, w_node, b_node, w_root, b_root = tensors
        words, places = levels(batch)
        x = torch.nn.functional.embedding(torch.tensor(words), embedding)
        i, o, u = torch.addmm(b_leaf, x, w_leaf).chunk(3, dim=1)
        c = torch.sigmoid(i) * torch.tanh(u)
        leaves = torch.cat([torch.sigmoid(o) * torch.tanh(c), c], dim=1)
        parts = leaves.split([size for size, _ in places])
        state = parts[0]
        for leaf, (size, place) in zip(parts[1:], places[1:], strict=True):
            pairs = state.view(-1, 2, 2, SIZE)
            h = pairs[:, :, 0].reshape(-1, 2 * SIZE)
            i, f1, f2, o, u = torch.addmm(b_node, h, w_node).chunk(5, dim=1)
            c = torch.sigmoid(i) * torch.tanh(u)
            c = c + torch.sigmoid(f1) * pairs[:, 0, 1] + torch.sigmoid(f2) * pairs[:, 1, 1]
            state = torch.cat([torch.sigmoid(o) * torch.tanh(c), c], dim=1)
            if size:
                state = torch.cat([state, leaf]).index_select(0, torch.tensor(place))
        logits = torch.addmm(b_root, state[:, :SIZE], w_root)
        labels = torch.tensor([label for _, label in batch])
        return torch.nn.functional.cross_entropy(logits, labels, reduction="sum")

    return _torch_step(params, total)


# ---------------------------------------------------------------- DyNet


def dynet(params: Any, autobatch: bool) -> Any:
    """One process can hold one of the two: autobatching is a switch of the whole library."""
    dy = import_dynet(autobatch)
    collection = dy.ParameterCollection()
    table, *arrays = flat(params)
    words = collection.lookup_parameters_from_numpy(table)
    kept = [collection.parameters_from_numpy(a.T if a.ndim == 2 else a) for a in arrays]
    w_leaf, b_leaf, _, b_node, w_root, b_root = kept
    # The affine transform takes the operands apart, so the weights of the nodes in two halves.
    halves = [collection.parameters_from_numpy(np.ascontiguousarray(h.T)) for h in _halves(params)]

    def gates(z: Any, number: int) -> list[Any]:
        return [dy.pick_range(z, k * SIZE, (k + 1) * SIZE) for k in range(number)]

    def state(tree: Tree) -> Any:
        if isinstance(tree, int):
            i, o, u = gates(dy.affine_transform([b_leaf, w_leaf, words[tree]]), 3)
            c = dy.cmult(dy.logistic(i), dy.tanh(u))
            return dy.cmult(dy.logistic(o), dy.tanh(c)), c
        (h1, c1), (h2, c2) = state(tree[0]), state(tree[1])
        z = dy.affine_transform([b_node, halves[0], h1, halves[1], h2])
        i, f1, f2, o, u = gates(z, 5)
        c = dy.cmult(dy.logistic(i), dy.tanh(u))
        c = c + dy.cmult(dy.logistic(f1), c1) + dy.cmult(dy.logistic(f2), c2)
        return dy.cmult(dy.logistic(o), dy.tanh(c)), c

    def gradients() -> list[Any]:
        node = np.concatenate([h.grad_as_array().T for h in halves])
        w_leaf_bar, b_leaf_bar, _, b_node_bar, w_root_bar, b_root_bar = (
            np.transpose(p.grad_as_array()) for p in kept
        )
        table_bar = words.grad_as_array()
        return [table_bar, w_leaf_bar, b_leaf_bar, node, b_node_bar, w_root_bar, b_root_bar]

    def call(batch: Minibatch) -> tuple[Any, Any]:
        assert collection is not None  # its parameters die with it, so it must stay referenced
        dy.renew_cg()
        for parameter in (words, *kept, *halves):
            parameter.scale_gradient(0.0)
        losses = []
        for tree, label in batch:
            logits = dy.affine_transform([b_root, w_root, state(tree)[0]])
            losses.append(dy.pickneglogsoftmax(logits, label))
        total = dy.esum(losses)
        value = total.value()
        total.backward()
        return value, gradients

    return call


def _halves(params: Any) -> Iterator[Any]:
    yield params["node"]["W"][:SIZE]
    yield params["node"]["W"][SIZE:]
