"""A transition-style model on 16 sentences: each next step depends on values computed before it.

    python benchmarks/transition.py

A shift-reduce reader with a Tree-LSTM cell, states of 128, float32, 5 to 30 words, forward and
backward, new sentences always. All sentences advance together and the scores of a step are read at
once; `one by one` is the program that reads each score as it comes.
"""

from __future__ import annotations

import transitions
from harness import timing_table, versions, write
from rounds import Contest

COMPILED = "wengert, compiled cell"
PLAIN = "wengert, plain cell"
UNBATCHED = "wengert, not batched"


def main() -> None:
    params = transitions.parameters()

    def entry(**options: object) -> object:
        return lambda: transitions.wengert(params, **options)

    with Contest() as contest:
        contest.add(COMPILED, entry(compiled=True))
        contest.add(PLAIN, entry(compiled=False))
        contest.add(f"{COMPILED}, one by one", entry(compiled=True, drive=transitions.one_by_one))
        contest.add(UNBATCHED, entry(compiled=True, batched=False))
        for name, batched in (("DyNet, autobatch", True), ("DyNet, not batched", False)):
            contest.elsewhere(name, "dynet", "transitions", "dynet", params, batched)
        contest.check(transitions.minibatches(seed=2)())
        timings = contest.time(
            transitions.minibatches(seed=3), slow=(UNBATCHED, "DyNet, not batched")
        )
    write(
        "transition",
        {
            "title": "Transition-style model on 16 sentences, forward and backward",
            "seconds_per_call": timings,
            "versions": versions(),
        },
        timing_table(timings, COMPILED),
    )


if __name__ == "__main__":
    main()
