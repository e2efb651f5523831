"""An LSTM (Hochreiter and Schmidhuber, 1997; forget gates by Gers, 2000) over sequences that differ
in length, in each system, and random sequences for it.

A minibatch is a list of (array of steps by features, class of the sequence). Each maker takes the
parameters and gives a step: minibatch -> the summed loss, and a function that hands over the
gradients in the order of `NAMES`. Gates lie in the order i, f, g, o. Imports are inside, so that a
process loads only what it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rounds import import_dynet

Minibatch = list[tuple[Any, int]]

FEATURES = 64
SIZE = 128
CLASSES = 5
EXAMPLES = 32
STEPS = (5, 60)
NAMES = ("Wx", "Wh", "b", "V", "c")


# ---------------------------------------------------------------- data


def parameters() -> dict[str, Any]:
    rng = np.random.default_rng(0)

    def weight(n: int, m: int) -> Any:
        return rng.standard_normal((n, m), np.float32) / np.float32(np.sqrt(n))

    return {
        "Wx": weight(FEATURES, 4 * SIZE),
        "Wh": weight(SIZE, 4 * SIZE),
        "b": np.zeros(4 * SIZE, np.float32),
        "V": weight(SIZE, CLASSES),
        "c": np.zeros(CLASSES, np.float32),
    }


def flat(params: Any) -> list[Any]:
    return [params[name] for name in NAMES]


def minibatches(seed: int = 1) -> Callable[[], Minibatch]:
    """A function that makes another minibatch at each call."""
    rng = np.random.default_rng(seed)
    low, high = STEPS

    def make() -> Minibatch:
        lengths = rng.integers(low, high + 1, EXAMPLES)
        return [
            (rng.standard_normal((int(n), FEATURES), np.float32), int(rng.integers(CLASSES)))
            for n in lengths
        ]

    return make


def flops(batch: Minibatch) -> int:
    """Operations of the matrix products of a step; the inputs' gradient is not asked for."""
    steps = sum(len(x) for x, _ in batch)
    return steps * 4 * SIZE * (4 * FEATURES + 6 * SIZE) + len(batch) * 6 * SIZE * CLASSES


# ---------------------------------------------------------------- wengert


def cell(params: Any, x: Any, h: Any, c: Any) -> Any:
    """One step of the LSTM for one sequence."""
    from wengert.nn import sigmoid

    z = x @ params["Wx"] + h @ params["Wh"] + params["b"]
    i, f, g, o = (z[k * SIZE : (k + 1) * SIZE] for k in range(4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def wengert_loss(compiled: bool) -> Callable[[Any, Minibatch], Any]:
    """The loss of a minibatch: the sum over its sequences."""
    import wengert as wg

    step = wg.compile(cell) if compiled else cell
    start = np.zeros(SIZE, np.float32)

    def loss(params: Any, xs: Any, label: int) -> Any:
        recurrent = {name: params[name] for name in ("Wx", "Wh", "b")}
        h, c = start, start
        for x in xs:
            h, c = step(recurrent, x, h, c)
        logits = h @ params["V"] + params["c"]
        return np.log(np.sum(np.exp(logits))) - logits[label]

    return lambda params, batch: sum(loss(params, xs, label) for xs, label in batch)


def wengert(params: Any, compiled: bool) -> Any:
    import wengert as wg

    step = wg.value_and_grad(wengert_loss(compiled))

    def call(batch: Minibatch) -> tuple[Any, Any]:
        value, gradients = step(params, batch)
        return value, lambda: flat(gradients)

    return call


# ---------------------------------------------------------------- JAX


def jax_padded(params: Any) -> Any:
    """Padded to the longest that can come, so that one compiled program serves all minibatches."""
    import jax
    import jax.numpy as jnp

    def loss(params: Any, x: Any, lengths: Any, labels: Any) -> Any:
        gates = x @ params["Wx"] + params["b"]  # one product for all steps

        def advance(state: Any, given: Any) -> Any:
            h, c = state
            z, number = given
            i, f, g, o = jnp.split(z + h @ params["Wh"], 4, axis=1)
            c_next = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h_next = jax.nn.sigmoid(o) * jnp.tanh(c_next)
            alive = (number < lengths)[:, None]
            return (jnp.where(alive, h_next, h), jnp.where(alive, c_next, c)), None

        start = jnp.zeros((x.shape[1], SIZE), jnp.float32)
        (h, _), _ = jax.lax.scan(advance, (start, start), (gates, jnp.arange(len(x))))
        scores = jax.nn.log_softmax(h @ params["V"] + params["c"])
        return -jnp.sum(scores[jnp.arange(len(labels)), labels])

    step = jax.jit(jax.value_and_grad(loss))
    held = jax.tree.map(jnp.asarray, params)

    def call(batch: Minibatch) -> tuple[Any, Any]:
        x = np.zeros((STEPS[1], len(batch), FEATURES), np.float32)
        for column, (xs, _) in enumerate(batch):
            x[: len(xs), column] = xs
        lengths = np.array([len(xs) for xs, _ in batch])
        labels = np.array([label for _, label in batch])
        value, gradients = jax.block_until_ready(step(held, x, lengths, labels))
        return value, lambda: [np.asarray(gradients[name]) for name in NAMES]

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


def torch_per_step(params: Any) -> Any:
    import torch

    def total(tensors: list[Any], batch: Minibatch) -> Any:
        wx, wh, b, v, bias = tensors
        losses = []
        for xs, label in batch:
            h = c = torch.zeros(SIZE)
            for x in torch.from_numpy(xs):
                i, f, g, o = (x @ wx + h @ wh + b).chunk(4)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
            logits = h @ v + bias
            losses.append(torch.logsumexp(logits, 0) - logits[label])
        return torch.stack(losses).sum()

    return _torch_step(params, total)


def torch_by_hand(params: Any) -> Any:
    """Sorted by length, so that those which still run are the first rows; no padding computed."""
    import torch

    def total(tensors: list[Any], batch: Minibatch) -> Any:
        wx, wh, b, v, bias = tensors
        batch = sorted(batch, key=lambda example: -len(example[0]))
        packed = torch.nn.utils.rnn.pack_sequence([torch.from_numpy(xs) for xs, _ in batch])
        sizes = packed.batch_sizes.tolist()
        gates = torch.addmm(b, packed.data, wx)  # one product for all steps
        h = c = torch.zeros(len(batch), SIZE)
        ended = []
        for z in gates.split(sizes):
            if len(z) < len(h):
                ended.append(h[len(z) :])
                h, c = h[: len(z)], c[: len(z)]
            i, f, g, o = torch.addmm(z, h, wh).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        last = torch.cat([h, *reversed(ended)])
        labels = torch.tensor([label for _, label in batch])
        logits = torch.addmm(bias, last, v)
        return torch.nn.functional.cross_entropy(logits, labels, reduction="sum")

    return _torch_step(params, total)


def torch_packed(params: Any) -> Any:
    """PyTorch's own LSTM on a packed sequence."""
    import torch

    lstm = torch.nn.LSTM(FEATURES, SIZE)
    head = torch.nn.Linear(SIZE, CLASSES)
    wx, wh, b = lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0
    # Its second bias is not part of the model.
    lstm.bias_hh_l0.requires_grad_(False)
    held = [wx, wh, b, head.weight, head.bias]
    with torch.no_grad():
        lstm.bias_hh_l0.zero_()
        for tensor, value in zip(held, flat(params), strict=True):
            tensor.copy_(torch.from_numpy(value).T if value.ndim == 2 else torch.from_numpy(value))

    def call(batch: Minibatch) -> tuple[Any, Any]:
        for tensor in held:
            tensor.grad = None
        packed = torch.nn.utils.rnn.pack_sequence(
            [torch.from_numpy(xs) for xs, _ in batch], enforce_sorted=False
        )
        _, (h, _) = lstm(packed)
        labels = torch.tensor([label for _, label in batch])
        loss = torch.nn.functional.cross_entropy(head(h[0]), labels, reduction="sum")
        loss.backward()
        return loss.item(), lambda: [np.transpose(tensor.grad.numpy()) for tensor in held]

    return call


# ---------------------------------------------------------------- DyNet


#: Where DyNet keeps gate k of i, f, g, o: its order is i, f, o, g.
_DYNET_ORDER = [0, 1, 3, 2]


def from_dynet_order(array: Any) -> Any:
    """Swap the last two gates, which lie along the last axis; the same way back."""
    gates = array.reshape(*array.shape[:-1], 4, -1)
    return gates[..., _DYNET_ORDER, :].reshape(array.shape)


def dynet_lstm(dy: Any, collection: Any, params: Any, features: int, size: int) -> Any:
    """DyNet's own LSTM with given parameters."""
    builder = dy.VanillaLSTMBuilder(1, features, size, collection, forget_bias=0.0)
    for parameter, name in zip(builder.get_parameters()[0], ("Wx", "Wh", "b"), strict=True):
        parameter.set_value(from_dynet_order(params[name]).T)
    return builder


def dynet(params: Any, autobatch: bool) -> Any:
    dy = import_dynet(autobatch)
    collection = dy.ParameterCollection()
    builder = dynet_lstm(dy, collection, params, FEATURES, SIZE)
    recurrent = builder.get_parameters()[0]
    v = collection.parameters_from_numpy(params["V"].T)
    bias = collection.parameters_from_numpy(params["c"])

    def gradients() -> list[Any]:
        found = [from_dynet_order(np.transpose(p.grad_as_array())) for p in recurrent]
        return [*found, v.grad_as_array().T, bias.grad_as_array()]

    def call(batch: Minibatch) -> tuple[Any, Any]:
        assert collection is not None  # its parameters die with it, so it must stay referenced
        dy.renew_cg()
        for parameter in (*recurrent, v, bias):
            parameter.scale_gradient(0.0)
        losses = []
        for xs, label in batch:
            state = builder.initial_state().add_inputs([dy.inputTensor(x) for x in xs])[-1]
            logits = dy.affine_transform([bias, v, state.output()])
            losses.append(dy.pickneglogsoftmax(logits, label))
        total = dy.esum(losses)
        value = total.value()
        total.backward()
        return value, gradients

    return call
