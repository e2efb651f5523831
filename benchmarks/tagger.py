"""A bidirectional LSTM tagger in wengert and in DyNet, and random sentences for it.

A sentence is a list of (word, tag); a minibatch a list of sentences. Each word's vector goes
through an LSTM from the left and one from the right; a hidden layer over both states scores its
tags. Each maker takes the parameters and gives a step, as in `sequences`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rounds import import_dynet, wengert_batching

Minibatch = list[list[tuple[int, int]]]

WORDS = 1000
VECTOR = 64
SIZE = 64
HIDDEN = 32
TAGS = 9
SENTENCES = 16
LENGTHS = (5, 30)
#: Where the parameters lie in their tree, in the order of the gradients.
FLAT = (
    *((side, name) for side in ("left", "right") for name in ("Wx", "Wh", "b")),
    *(("head", name) for name in ("W", "b", "V", "c")),
)


def parameters() -> dict[str, Any]:
    rng = np.random.default_rng(0)

    def weight(n: int, m: int) -> Any:
        return rng.standard_normal((n, m), np.float32) / np.float32(np.sqrt(n))

    def zeros(n: int) -> Any:
        return np.zeros(n, np.float32)

    def lstm() -> dict[str, Any]:
        return {
            "Wx": weight(VECTOR, 4 * SIZE),
            "Wh": weight(SIZE, 4 * SIZE),
            "b": zeros(4 * SIZE),
        }

    return {
        "words": rng.standard_normal((WORDS, VECTOR), np.float32),
        "left": lstm(),
        "right": lstm(),
        "head": {
            "W": weight(2 * SIZE, HIDDEN),
            "b": zeros(HIDDEN),
            "V": weight(HIDDEN, TAGS),
            "c": zeros(TAGS),
        },
    }


def flat(params: Any) -> list[Any]:
    return [params["words"], *(params[part][name] for part, name in FLAT)]


def minibatches(seed: int = 1) -> Callable[[], Minibatch]:
    """A function that makes another minibatch at each call."""
    rng = np.random.default_rng(seed)
    low, high = LENGTHS

    def make() -> Minibatch:
        return [
            list(
                zip(
                    rng.integers(0, WORDS, n).tolist(),
                    rng.integers(0, TAGS, n).tolist(),
                    strict=True,
                )
            )
            for n in rng.integers(low, high + 1, SENTENCES)
        ]

    return make


# ---------------------------------------------------------------- wengert


def cell(params: Any, x: Any, h: Any, c: Any) -> Any:
    from wengert.nn import sigmoid

    z = x @ params["Wx"] + h @ params["Wh"] + params["b"]
    i, f, g, o = (z[k * SIZE : (k + 1) * SIZE] for k in range(4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def score(head: Any, left: Any, right: Any) -> Any:
    hidden = np.tanh(np.concatenate([left, right]) @ head["W"] + head["b"])
    return hidden @ head["V"] + head["c"]


def wengert_loss(compiled: bool) -> Callable[[Any, Minibatch], Any]:
    """The loss of a minibatch: the sum over its sentences."""
    import wengert as wg

    step, scores = (wg.compile(cell), wg.compile(score)) if compiled else (cell, score)
    start = np.zeros(SIZE, np.float32)

    def states(params: Any, xs: Any) -> list[Any]:
        h, c, found = start, start, []
        for x in xs:
            h, c = step(params, x, h, c)
            found.append(h)
        return found

    def loss(params: Any, sentence: Any) -> Any:
        xs = [params["words"][word] for word, _ in sentence]
        left = states(params["left"], xs)
        right = states(params["right"], xs[::-1])[::-1]
        total = 0.0
        for l_state, r_state, (_, tag) in zip(left, right, sentence, strict=True):
            z = scores(params["head"], l_state, r_state)
            total = total + np.log(np.sum(np.exp(z))) - z[tag]
        return total

    return lambda params, batch: sum(loss(params, sentence) for sentence in batch)


def wengert(params: Any, compiled: bool, batched: bool = True) -> Any:
    import wengert as wg

    step = wg.value_and_grad(wengert_loss(compiled))

    def call(batch: Minibatch) -> tuple[Any, Any]:
        with wengert_batching(batched):
            value, gradients = step(params, batch)
        return value, lambda: flat(gradients)

    return call


# ---------------------------------------------------------------- DyNet


def dynet(params: Any, autobatch: bool) -> Any:
    from sequences import dynet_lstm, from_dynet_order

    dy = import_dynet(autobatch)
    collection = dy.ParameterCollection()
    words = collection.lookup_parameters_from_numpy(params["words"])
    builders = [
        dynet_lstm(dy, collection, params[side], VECTOR, SIZE) for side in ("left", "right")
    ]
    head = [collection.parameters_from_numpy(np.transpose(params["head"][n])) for n in "WbVc"]
    w, b, v, c = head
    recurrent = [p for builder in builders for p in builder.get_parameters()[0]]

    def gradients() -> list[Any]:
        found = [from_dynet_order(np.transpose(p.grad_as_array())) for p in recurrent]
        return [words.grad_as_array(), *found, *(np.transpose(p.grad_as_array()) for p in head)]

    def loss(sentence: Any) -> list[Any]:
        xs = [words[word] for word, _ in sentence]
        left = builders[0].initial_state().transduce(xs)
        right = builders[1].initial_state().transduce(xs[::-1])[::-1]
        found = []
        for l_state, r_state, (_, tag) in zip(left, right, sentence, strict=True):
            both = dy.concatenate([l_state, r_state])
            hidden = dy.tanh(dy.affine_transform([b, w, both]))
            found.append(dy.pickneglogsoftmax(dy.affine_transform([c, v, hidden]), tag))
        return found

    def call(batch: Minibatch) -> tuple[Any, Any]:
        assert collection is not None  # its parameters die with it, so it must stay referenced
        dy.renew_cg()
        for parameter in (words, *recurrent, *head):
            parameter.scale_gradient(0.0)
        total = dy.esum([part for sentence in batch for part in loss(sentence)])
        value = total.value()
        total.backward()
        return value, gradients

    return call
