"""Orders of accumulating Jacobians on the standard set: multiplications counted, compiled Jacobians
timed.

    python benchmarks/elimination.py

Each program's Jacobian is compiled for a batch of points (`compile(vmap(jacobian(f)))`): by forward
and reverse mode in batched directions, and by elimination in the order of evaluation, in the
reverse order, by minimal Markowitz degree (the best published heuristic that needs no learning),
and in the order that is searched for. "auto" is what `jacobian` takes by itself. All are timed in
one interleaved run, after their results were checked to agree. Spearman's rank correlation of
multiplications and time, over the ways of one program, says whether time follows the count; counts
that are equal rank the same.

Products with ±1 are not counted. The last columns count them, as the literature does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import optree
from harness import (
    SHORT_PAUSE,
    agree,
    compare,
    duration,
    left_out,
    markdown,
    three_digits,
    versions,
    write,
)
from jacobian_programs import Program, programs
from scipy.stats import rankdata

import wengert as wg
from wengert.transform.elimination import choose, element_counts

BATCH = 500
WAYS = {
    "forward": ("forward", None),
    "reverse": ("reverse", None),
    "elimination, forward": ("elimination", "forward"),
    "elimination, reverse": ("elimination", "reverse"),
    "elimination, Markowitz": ("elimination", "markowitz"),
    "elimination, best": ("elimination", "best"),
    "auto": ("auto", None),
}


def captured_graph(program: Program) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
    """The graph of a program that is being compiled, its active inputs, and its outputs."""
    found = wg.compile(program.function).graph(*program.args)
    return found, tuple(program.argnums), tuple(range(len(found.outputs)))


def counted(program: Program) -> tuple[dict[str, int], dict[str, int]]:
    """Multiplications of every way; and of the elimination orders with products by ±1."""
    graph, wrt, outs = captured_graph(program)
    choice = choose(graph, wrt, outs, "batched")
    count = {c.name: c.multiplications for c in choice.candidates}
    names = ("forward", "reverse", "markowitz", "best")
    own = element_counts(graph, wrt, outs, *names)
    every = element_counts(graph, wrt, outs, *names, every=True)
    found = {
        "forward": count["forward"],
        "reverse": count["reverse"],
        "elimination, forward": own["forward"],
        "elimination, reverse": own["reverse"],
        "elimination, Markowitz": own["markowitz"],
        "elimination, best": own["best"],
        "auto": choice.chosen.multiplications,
    }
    return found, every


def batched(program: Program) -> tuple[dict[str, Callable[[], Any]], dict[str, Any]]:
    """A call of each way's compiled Jacobian for a batch of points; and their results."""
    f, args, argnums = program
    axes = tuple(0 if k in argnums else None for k in range(len(args)))
    rng = np.random.default_rng(0)
    many = tuple(
        np.asarray(a) * rng.uniform(0.99, 1.01, (BATCH, *np.shape(a))) if k in argnums else a
        for k, a in enumerate(args)
    )
    calls, results = {}, {}
    for name, (mode, order) in WAYS.items():
        made = wg.compile(wg.vmap(wg.jacobian(f, argnums, mode, order=order), in_axes=axes))
        results[name] = optree.tree_leaves(made(*many))
        calls[name] = lambda made=made: made(*many)
    return calls, results


def rank_correlation(counts: dict[str, int], times: dict[str, float]) -> float:
    """Spearman's, over all ways but "auto", which is one of them."""
    names = [name for name in counts if name != "auto"]
    a, b = (rankdata([d[name] for name in names]) for d in (counts, times))
    return float(np.corrcoef(a, b)[0, 1])


def main() -> None:
    record, rows, wrong = {}, [], []
    for name, program in programs().items():
        counts, every = counted(program)
        calls, results = batched(program)
        try:
            agree(results, rtol=1e-7, atol=1e-9)
        except AssertionError as error:
            print(error, file=sys.stderr)
            wrong.append(name)
            left_out(name, "its results are wrong")
            continue
        times = compare(calls, rounds=15, seconds=0.02, pause=SHORT_PAUSE)
        # What a quiet machine gives: a disturbed median says nothing about the order.
        each = {way: t["p10"] / BATCH for way, t in times.items()}
        correlation = rank_correlation(counts, each)
        record[name] = {
            "multiplications": counts,
            "with products by one": every,
            "seconds": times,
            "batch": BATCH,
            "rank correlation": correlation,
        }
        cells = [f"{counts[way]}, {duration(each[way])}" for way in WAYS]
        counted_all = [str(every[key]) for key in ("forward", "reverse", "markowitz", "best")]
        rows.append([name, *cells, three_digits(correlation), ", ".join(counted_all)])
    header = ["multiplications, time per Jacobian", *WAYS, "rank correlation"]
    table = markdown(
        [*header, "with products by ±1: forward, reverse, Markowitz, best"],
        rows,
    )
    write(
        "elimination",
        {
            "title": "Orders of accumulating Jacobians",
            "programs": record,
            "versions": versions("scipy", "llvmlite"),
        },
        table,
    )
    if wrong:
        sys.exit(f"wrong results: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
