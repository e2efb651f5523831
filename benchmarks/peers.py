"""SGD steps of the perceptron of `models`, as a user of each system would write them.

Each maker takes the layers, a batch and its one-hot classes, and gives two functions: one step,
which keeps its parameters from call to call, and the parameters as they are now. What computes in
place for its users does so here. Imports are inside, so that a process loads only what it measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import models
import numpy as np

Stepper = tuple[Callable[[], Any], Callable[[], Any]]
RATE = models.LEARNING_RATE


def _flat(layers: Any) -> list[Any]:
    return [np.asarray(p) for layer in layers for p in layer]


# ---------------------------------------------------------------- wengert


def wengert_functions() -> Any:
    """The step, not compiled yet: layers, x, one_hot -> layers, loss."""
    import wengert as wg
    from wengert.nn import log_softmax

    def loss(layers: Any, x: Any, one_hot: Any) -> Any:
        return models.mlp_loss(layers, x, one_hot, np, log_softmax)

    def step(layers: Any, x: Any, one_hot: Any) -> Any:
        value, grads = wg.value_and_grad(loss)(layers, x, one_hot)
        updated = [
            (w - RATE * w_bar, b - RATE * b_bar)
            for (w, b), (w_bar, b_bar) in zip(layers, grads, strict=True)
        ]
        return updated, value

    return step


def wengert(layers: Any, x: Any, one_hot: Any) -> Stepper:
    return _wengert(layers, x, one_hot, donate=())


def wengert_donating(layers: Any, x: Any, one_hot: Any) -> Stepper:
    return _wengert([(w.copy(), b.copy()) for w, b in layers], x, one_hot, donate=0)


def _wengert(layers: Any, x: Any, one_hot: Any, donate: Any) -> Stepper:
    import wengert as wg

    compiled = wg.compile(wengert_functions(), donate=donate)
    kept = [layers]

    def step() -> Any:
        kept[0], value = compiled(kept[0], x, one_hot)
        return value

    return step, lambda: _flat(kept[0])


# ---------------------------------------------------------------- NumPy by hand


def numpy_by_hand(layers: Any, x: Any, one_hot: Any) -> Stepper:
    """Forward, backward and update without a library, in place where NumPy allows."""
    layers = [(w.copy(), b.copy()) for w, b in layers]
    scale = np.float32(1 / len(x))
    rate = np.float32(RATE)

    def step() -> Any:
        activations = [x]
        for w, b in layers[:-1]:
            z = activations[-1] @ w
            z += b
            activations.append(np.maximum(z, 0, out=z))
        w, b = layers[-1]
        z = activations[-1] @ w
        z += b
        z -= z.max(axis=1, keepdims=True)
        e = np.exp(z)
        total = e.sum(axis=1, keepdims=True)
        value = np.mean(np.log(total[:, 0]) - (one_hot * z).sum(axis=1))
        e /= total
        e -= one_hot
        e *= scale
        z_bar = e
        for number in reversed(range(len(layers))):
            w, b = layers[number]
            a = activations[number]
            w_bar, b_bar = a.T @ z_bar, z_bar.sum(axis=0)
            if number:
                z_bar = z_bar @ w.T
                z_bar *= a > 0
            w_bar *= rate
            b_bar *= rate
            w -= w_bar
            b -= b_bar
        return value

    return step, lambda: _flat(layers)


# ---------------------------------------------------------------- JAX


def jax_jit(layers: Any, x: Any, one_hot: Any) -> Stepper:
    import jax
    import jax.numpy as jnp

    def loss(layers: Any, x: Any, one_hot: Any) -> Any:
        return models.mlp_loss(layers, x, one_hot, jnp, jax.nn.log_softmax)

    def update(layers: Any, x: Any, one_hot: Any) -> Any:
        value, grads = jax.value_and_grad(loss)(layers, x, one_hot)
        return jax.tree.map(lambda p, g: p - RATE * g, layers, grads), value

    compiled = jax.jit(update, donate_argnums=0)
    kept = [jax.tree.map(jnp.array, layers)]
    x, one_hot = jnp.asarray(x), jnp.asarray(one_hot)

    def step() -> Any:
        kept[0], value = compiled(kept[0], x, one_hot)
        return value.block_until_ready()

    return step, lambda: _flat(kept[0])


# ---------------------------------------------------------------- PyTorch


def _torch_step(layers: Any, x: Any, one_hot: Any) -> tuple[Any, Any]:
    import torch
    from torch.nn import functional

    layers = [
        (torch.tensor(w, requires_grad=True), torch.tensor(b, requires_grad=True))
        for w, b in layers
    ]
    flat = [p for layer in layers for p in layer]
    x, one_hot = torch.tensor(x), torch.tensor(one_hot)

    def loss() -> Any:
        *hidden, (weight, bias) = layers
        a = x
        for w, b in hidden:
            a = functional.relu(torch.addmm(b, a, w))
        return functional.cross_entropy(torch.addmm(bias, a, weight), one_hot)

    def step_with(loss: Any) -> Any:
        def step() -> Any:
            value = loss()
            value.backward()
            with torch.no_grad():
                for p in flat:
                    p.sub_(p.grad, alpha=RATE)
                    p.grad = None
            return value

        return step

    def state() -> Any:
        return [p.detach().numpy() for p in flat]

    return (step_with, loss), state


def pytorch(layers: Any, x: Any, one_hot: Any) -> Stepper:
    (step_with, loss), state = _torch_step(layers, x, one_hot)
    return step_with(loss), state


def torch_compile(layers: Any, x: Any, one_hot: Any) -> Stepper:
    import torch

    (step_with, loss), state = _torch_step(layers, x, one_hot)
    return step_with(torch.compile(loss)), state


# ---------------------------------------------------------------- TensorFlow


def tf_function(layers: Any, x: Any, one_hot: Any) -> Stepper:
    import tensorflow as tf

    layers = [(tf.Variable(w), tf.Variable(b)) for w, b in layers]
    flat = [p for layer in layers for p in layer]

    @tf.function
    def update(x: Any, one_hot: Any) -> Any:
        with tf.GradientTape() as tape:
            *hidden, (weight, bias) = layers
            for w, b in hidden:
                x = tf.nn.relu(x @ w + b)
            losses = tf.nn.softmax_cross_entropy_with_logits(one_hot, x @ weight + bias)
            value = tf.reduce_mean(losses)
        for p, p_bar in zip(flat, tape.gradient(value, flat), strict=True):
            p.assign_sub(RATE * p_bar)
        return value

    x, one_hot = tf.constant(x), tf.constant(one_hot)
    return lambda: update(x, one_hot).numpy(), lambda: [p.numpy() for p in flat]


# ---------------------------------------------------------------- PyTensor


def pytensor_in(linker: str) -> Callable[[Any, Any, Any], Stepper]:
    """A maker for one of PyTensor's backends."""

    def make(layers: Any, x: Any, one_hot: Any) -> Stepper:
        import pytensor
        import pytensor.tensor as pt
        from pytensor.compile.mode import get_mode

        shared = [(pytensor.shared(w.copy()), pytensor.shared(b.copy())) for w, b in layers]
        flat = [p for layer in shared for p in layer]
        inputs, classes = pt.fmatrix("x"), pt.fmatrix("one_hot")
        a = inputs
        for w, b in shared[:-1]:
            a = pt.maximum(a @ w + b, np.float32(0))
        logits = a @ shared[-1][0] + shared[-1][1]
        rows = pt.sum(classes * pt.special.log_softmax(logits, axis=1), axis=1)
        loss = -pt.mean(rows)
        rate = np.float32(RATE)
        updates = [
            (p, p - rate * p_bar) for p, p_bar in zip(flat, pytensor.grad(loss, flat), strict=True)
        ]
        compiled = pytensor.function(
            [inputs, classes], loss, updates=updates, mode=get_mode(linker)
        )
        compiled.trust_input = True
        return lambda: compiled(x, one_hot), lambda: [p.get_value() for p in flat]

    return make


MAKERS: Mapping[str, Callable[[Any, Any, Any], Stepper]] = {
    "wengert": wengert,
    "wengert, donating": wengert_donating,
    "NumPy by hand": numpy_by_hand,
    "JAX jit": jax_jit,
    "PyTorch eager": pytorch,
    "torch.compile": torch_compile,
    "tf.function": tf_function,
    "PyTensor C": pytensor_in("CVM"),
    "PyTensor numba": pytensor_in("NUMBA"),
}

#: What a user of each imports.
IMPORTS: Mapping[str, str] = {
    "wengert": "wengert",
    "wengert, donating": "wengert",
    "NumPy by hand": "numpy",
    "JAX jit": "jax",
    "PyTorch eager": "torch",
    "torch.compile": "torch",
    "tf.function": "tensorflow",
    "PyTensor C": "pytensor.tensor",
    "PyTensor numba": "pytensor.tensor",
}
