"""Optimisers: pairs of functions that turn gradients into updates of parameters.

    state = optimiser.init(params)
    updates, state = optimiser.update(gradients, state, params)
    params = apply_updates(params, updates)

A pair changes nothing in place, holds nothing between calls, and works on any tree of arrays. Pairs
are composed by `chain`: each one's updates are the next one's gradients. `sgd`, `momentum`, `adam`
and `adamw` are such chains, so what they are made of can be recombined.
"""

from wengert.optim.aliases import adam, adamw, momentum, sgd
from wengert.optim.optimiser import Optimiser, apply_updates, chain
from wengert.optim.schedules import (
    Schedule,
    constant,
    cosine_decay,
    exponential_decay,
    piecewise_constant,
    warmup_cosine_decay,
)
from wengert.optim.transforms import (
    add_decayed_weights,
    clip_by_global_norm,
    global_norm,
    scale,
    scale_by_adam,
    scale_by_learning_rate,
    scale_by_momentum,
)

__all__ = [
    "Optimiser",
    "Schedule",
    "adam",
    "adamw",
    "add_decayed_weights",
    "apply_updates",
    "chain",
    "clip_by_global_norm",
    "constant",
    "cosine_decay",
    "exponential_decay",
    "global_norm",
    "momentum",
    "piecewise_constant",
    "scale",
    "scale_by_adam",
    "scale_by_learning_rate",
    "scale_by_momentum",
    "sgd",
    "warmup_cosine_decay",
]
