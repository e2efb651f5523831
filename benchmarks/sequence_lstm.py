"""An LSTM over 32 sequences of 5 to 60 steps, forward and backward, new lengths always.

    python benchmarks/sequence_lstm.py

Input 64, hidden 128, 5 classes at the end, float32. wengert: the loss of one sequence is a plain
loop, summed over the minibatch, without padding or masks. Beside it: recording alone, as a share of
the step, and the operations of the matrix products at the speed of the best large product.
"""

from __future__ import annotations

from harness import FLOOR, as_floor, sgemm_peak, timing_table, versions, write
from rounds import Contest, recording, shares

import sequences

COMPILED = "wengert, compiled cell"
PLAIN = "wengert, plain cell"
SLOW = ("PyTorch per step", "DyNet, not batched")


def main() -> None:
    params = sequences.parameters()
    with Contest() as contest:
        contest.add(COMPILED, lambda: sequences.wengert(params, compiled=True))
        contest.add(PLAIN, lambda: sequences.wengert(params, compiled=False))
        for name, module, maker in (
            ("JAX, padded scan", "jax", sequences.jax_padded),
            ("PyTorch by hand", "torch", sequences.torch_by_hand),
            ("PyTorch packed nn.LSTM", "torch", sequences.torch_packed),
            ("PyTorch per step", "torch", sequences.torch_per_step),
        ):
            contest.add(name, lambda maker=maker: maker(params), module)
        for name, batched in (("DyNet, autobatch", True), ("DyNet, not batched", False)):
            contest.elsewhere(name, "dynet", "sequences", "dynet", params, batched)
        contest.check(sequences.minibatches(seed=2)())
        timings = contest.time(sequences.minibatches(seed=3), slow=SLOW)
    work, peak = sequences.flops(sequences.minibatches()()), sgemm_peak()
    timings[f"{FLOOR}{work / 1e6:.0f} Mflop at {peak / 1e9:.0f} Gflop/s"] = as_floor(work / peak)
    recorded = {
        name: recording(
            sequences.wengert_loss(name == COMPILED), params, sequences.minibatches(seed=4)
        )
        for name in (COMPILED, PLAIN)
    }
    write(
        "sequence_lstm",
        {
            "title": "LSTM over 32 sequences of 5 to 60 steps, forward and backward",
            "seconds_per_call": timings,
            "recording": recorded,
            "gflops_of_best_sgemm": peak / 1e9,
            "versions": versions("jax", "torch"),
        },
        timing_table(timings, COMPILED) + shares(recorded, timings),
    )


if __name__ == "__main__":
    main()
