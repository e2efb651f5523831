"""A bidirectional LSTM tagger on 16 sentences of 5 to 30 words, forward and backward.

    python benchmarks/bilstm_tagger.py

Vectors, hidden states and tags: 64, 64 for each direction, 9; float32; new lengths always. Batching
across sentences beside the same program without it, in wengert and in DyNet.
"""

from __future__ import annotations

import tagger
from harness import timing_table, versions, write
from rounds import Contest, recording, shares

COMPILED = "wengert, compiled cell"
PLAIN = "wengert, plain cell"
UNBATCHED = "wengert, not batched"


def main() -> None:
    params = tagger.parameters()
    with Contest() as contest:
        contest.add(COMPILED, lambda: tagger.wengert(params, compiled=True))
        contest.add(PLAIN, lambda: tagger.wengert(params, compiled=False))
        contest.add(UNBATCHED, lambda: tagger.wengert(params, compiled=True, batched=False))
        for name, batched in (("DyNet, autobatch", True), ("DyNet, not batched", False)):
            contest.elsewhere(name, "dynet", "tagger", "dynet", params, batched)
        contest.check(tagger.minibatches(seed=2)())
        timings = contest.time(tagger.minibatches(seed=3), slow=(UNBATCHED, "DyNet, not batched"))
    recorded = {
        name: recording(tagger.wengert_loss(name == COMPILED), params, tagger.minibatches(seed=4))
        for name in (COMPILED, PLAIN)
    }
    write(
        "bilstm_tagger",
        {
            "title": "BiLSTM tagger on 16 sentences, forward and backward",
            "seconds_per_call": timings,
            "recording": recorded,
            "versions": versions(),
        },
        timing_table(timings, COMPILED) + shares(recorded, timings),
    )


if __name__ == "__main__":
    main()
