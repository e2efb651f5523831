"""A binary Tree-LSTM on 32 random trees of 5 to 40 leaves, forward and backward, new trees always.

    python benchmarks/tree_lstm.py

Embedding and hidden size 128, 5 classes at the root, float32; about 1,430 nodes a step. The loss of
one tree is plain recursion, summed over the minibatch; every step has trees that nobody has seen.
Beside it: recording alone, as a share of the step, and the operations of the matrix products at the
speed of the best large product.
"""

from __future__ import annotations

import trees
from harness import FLOOR, as_floor, sgemm_peak, timing_table, versions, write
from rounds import Contest, recording, shares

COMPILED = "wengert, compiled cell"
PLAIN = "wengert, plain cell"
SLOW = ("PyTorch per node", "DyNet, not batched", "autograd")


def main() -> None:
    params = trees.parameters()
    with Contest() as contest:
        contest.add(COMPILED, lambda: trees.wengert(params, compiled=True))
        contest.add(PLAIN, lambda: trees.wengert(params, compiled=False))
        contest.add("PyTorch by level", lambda: trees.torch_by_level(params), "torch")
        contest.add("PyTorch per node", lambda: trees.torch_per_node(params), "torch")
        contest.add("autograd", lambda: trees.autograd(params), "autograd")
        for name, batched in (("DyNet, autobatch", True), ("DyNet, not batched", False)):
            contest.elsewhere(name, "dynet", "trees", "dynet", params, batched)
        contest.check(trees.minibatches(seed=2)())
        timings = contest.time(trees.minibatches(seed=3), slow=SLOW)
    work, peak = trees.flops(trees.minibatches()()), sgemm_peak()
    timings[f"{FLOOR}{work / 1e6:.0f} Mflop at {peak / 1e9:.0f} Gflop/s"] = as_floor(work / peak)
    recorded = {
        name: recording(trees.wengert_loss(name == COMPILED), params, trees.minibatches(seed=4))
        for name in (COMPILED, PLAIN)
    }
    write(
        "tree_lstm",
        {
            "title": "Tree-LSTM on 32 random trees, forward and backward",
            "seconds_per_call": timings,
            "recording": recorded,
            "gflops_of_best_sgemm": peak / 1e9,
            "versions": versions("torch", "autograd"),
        },
        timing_table(timings, COMPILED) + shares(recorded, timings),
    )


if __name__ == "__main__":
    main()
