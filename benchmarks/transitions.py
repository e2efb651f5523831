"""A transition-style model in wengert and in DyNet: what it does next depends on what it computes.

A sentence is read by shifting its words to a stack and reducing the two uppermost entries to one, a
Tree-LSTM cell as in `trees`, until one entry is left. At each step the two uppermost entries and
the next word score the two actions; the better one among those that are possible is taken (the
values are read), and the loss says how unlikely the wanted action was, here a random one. A
sentence is a list of (word, wanted actions of two steps).

The model is a generator: it yields its scores and is sent the action. A driver advances all
sentences together and reads all their scores at once, as users of DyNet would write it;
`one_by_one` reads each as it comes. Each maker takes the parameters and gives a step, as in
`trees`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import numpy as np
import trees
from rounds import import_dynet, wengert_batching

Minibatch = list[list[tuple[int, int]]]

SIZE = trees.SIZE
HIDDEN = 64
SENTENCES = 16
LENGTHS = (5, 30)
SHIFT, REDUCE = 0, 1
#: Where the parameters lie in their tree, in the order of the gradients.
FLAT = (
    *(("leaf", name) for name in ("W", "b")),
    *(("node", name) for name in ("W", "b")),
    *(("score", name) for name in ("W", "b", "V", "c")),
)


def parameters() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    found = trees.parameters()
    del found["root"]

    def weight(n: int, m: int) -> Any:
        return rng.standard_normal((n, m), np.float32) / np.float32(np.sqrt(n))

    found["score"] = {
        "W": weight(3 * SIZE, HIDDEN),
        "b": np.zeros(HIDDEN, np.float32),
        "V": weight(HIDDEN, 2),
        "c": np.zeros(2, np.float32),
    }
    return found


def flat(params: Any) -> list[Any]:
    return [params["embedding"], *(params[part][name] for part, name in FLAT)]


def minibatches(seed: int = 1) -> Callable[[], Minibatch]:
    """A function that makes another minibatch at each call."""
    rng = np.random.default_rng(seed)
    low, high = LENGTHS

    def make() -> Minibatch:
        return [
            [(int(rng.integers(trees.WORDS)), int(rng.integers(4))) for _ in range(n)]
            for n in rng.integers(low, high + 1, SENTENCES).tolist()
        ]

    return make


# ---------------------------------------------------------------- the model, for one sentence


class Cells(NamedTuple):
    """What a system computes with.

    leaf : a word's number to the state (h, c) of a stack entry
    node : the states of two entries to that of one
    score : the h of the two uppermost entries and of the next word to the scores of the actions
    loss : scores and the wanted action to a loss
    none : the h of what is not there
    """

    leaf: Callable[[int], Any]
    node: Callable[[Any, Any], Any]
    score: Callable[[Any, Any, Any], Any]
    loss: Callable[[Any, int], Any]
    none: Any


def parse(cells: Cells, sentence: Sequence[tuple[int, int]]) -> Generator[Any, int, list[Any]]:
    """Yields scores, is sent the action that they favour, and returns the losses of its steps."""
    buffer = [cells.leaf(word) for word, _ in reversed(sentence)]
    wanted = [(bits >> k) & 1 for _, bits in sentence for k in (0, 1)]
    stack: list[Any] = []
    losses = []
    while buffer or len(stack) > 1:
        first = stack[-1][0] if stack else cells.none
        second = stack[-2][0] if len(stack) > 1 else cells.none
        scores = cells.score(first, second, buffer[-1][0] if buffer else cells.none)
        action = yield scores
        losses.append(cells.loss(scores, wanted[len(losses)]))
        if not buffer or (action == REDUCE and len(stack) > 1):
            right, left = stack.pop(), stack.pop()
            stack.append(cells.node(left, right))
        else:
            stack.append(buffer.pop())
    return losses


def together(
    cells: Cells, batch: Minibatch, best: Callable[[list[Any]], Sequence[int]]
) -> list[Any]:
    """The losses of all steps; all sentences advance in step, their scores are read at once."""
    running = [parse(cells, sentence) for sentence in batch]
    pending = [next(parser) for parser in running]
    losses: list[Any] = []
    while running:
        actions = best(pending)
        still, pending = [], []
        for parser, action in zip(running, actions, strict=True):
            try:
                pending.append(parser.send(action))
                still.append(parser)
            except StopIteration as end:
                losses += end.value
        running = still
    return losses


def one_by_one(
    cells: Cells, batch: Minibatch, best: Callable[[list[Any]], Sequence[int]]
) -> list[Any]:
    """The losses of all steps; each sentence is read to its end before the next."""
    return [loss for sentence in batch for loss in together(cells, [sentence], best)]


# ---------------------------------------------------------------- wengert


def wengert_loss(compiled: bool, drive: Any = together) -> Callable[[Any, Minibatch], Any]:
    """The loss of a minibatch: the sum over the steps of all its sentences."""
    import wengert as wg
    import wengert.numpy as wnp
    from wengert.nn import sigmoid

    def leaf(layer: Any, x: Any) -> Any:
        return trees.leaf_state(layer, x, np, sigmoid)

    def node(layer: Any, left: Any, right: Any) -> Any:
        return trees.node_state(layer, left, right, np, sigmoid)

    def score(layer: Any, first: Any, second: Any, following: Any) -> Any:
        hidden = np.tanh(np.concatenate([first, second, following]) @ layer["W"] + layer["b"])
        return hidden @ layer["V"] + layer["c"]

    if compiled:
        leaf, node, score = wg.compile(leaf), wg.compile(node), wg.compile(score)

    def best(scores: list[Any]) -> list[int]:
        chosen: list[int] = wg.stop_gradient(wnp.stack(scores)).argmax(axis=1).tolist()
        return chosen

    def loss(params: Any, batch: Minibatch) -> Any:
        cells = Cells(
            leaf=lambda word: leaf(params["leaf"], params["embedding"][word]),
            node=lambda left, right: node(params["node"], left, right),
            score=lambda *states: score(params["score"], *states),
            loss=lambda z, action: np.log(np.sum(np.exp(z))) - z[action],
            none=np.zeros(SIZE, np.float32),
        )
        return sum(drive(cells, batch, best))

    return loss


def wengert(params: Any, compiled: bool, batched: bool = True, drive: Any = together) -> Any:
    import wengert as wg

    step = wg.value_and_grad(wengert_loss(compiled, drive))

    def call(batch: Minibatch) -> tuple[Any, Any]:
        with wengert_batching(batched):
            value, gradients = step(params, batch)
        return value, lambda: flat(gradients)

    return call


# ---------------------------------------------------------------- DyNet


def dynet(params: Any, autobatch: bool) -> Any:
    dy = import_dynet(autobatch)
    collection = dy.ParameterCollection()
    embedding = collection.lookup_parameters_from_numpy(params["embedding"])
    kept = [
        collection.parameters_from_numpy(np.transpose(params[part][name])) for part, name in FLAT
    ]
    w_leaf, b_leaf, w_node, b_node, w, b, v, c = kept

    def leaf(word: int) -> Any:
        z = dy.affine_transform([b_leaf, w_leaf, embedding[word]])
        i, o, u = (dy.pick_range(z, k * SIZE, (k + 1) * SIZE) for k in range(3))
        state = dy.cmult(dy.logistic(i), dy.tanh(u))
        return dy.cmult(dy.logistic(o), dy.tanh(state)), state

    def node(left: Any, right: Any) -> Any:
        z = dy.affine_transform([b_node, w_node, dy.concatenate([left[0], right[0]])])
        i, f1, f2, o, u = (dy.pick_range(z, k * SIZE, (k + 1) * SIZE) for k in range(5))
        state = dy.cmult(dy.logistic(i), dy.tanh(u))
        state = state + dy.cmult(dy.logistic(f1), left[1]) + dy.cmult(dy.logistic(f2), right[1])
        return dy.cmult(dy.logistic(o), dy.tanh(state)), state

    def score(*states: Any) -> Any:
        hidden = dy.tanh(dy.affine_transform([b, w, dy.concatenate(list(states))]))
        return dy.affine_transform([c, v, hidden])

    def best(scores: list[Any]) -> list[int]:
        both = dy.concatenate_cols(scores).npvalue().reshape(2, -1)
        chosen: list[int] = both.argmax(axis=0).tolist()
        return chosen

    def gradients() -> list[Any]:
        return [embedding.grad_as_array(), *(np.transpose(p.grad_as_array()) for p in kept)]

    def call(batch: Minibatch) -> tuple[Any, Any]:
        assert collection is not None  # its parameters die with it, so it must stay referenced
        dy.renew_cg()
        for parameter in (embedding, *kept):
            parameter.scale_gradient(0.0)
        cells = Cells(leaf, node, score, dy.pickneglogsoftmax, dy.zeros(SIZE))
        total = dy.esum(together(cells, batch, best))
        value = total.value()
        total.backward()
        return value, gradients

    return call
